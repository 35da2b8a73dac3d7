/*
 * The "program" sections of HAProxy up to 3.2.
 */
#include "shim.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include <haproxy/cfgparse.h>
#include <haproxy/errors.h>
#include <haproxy/list.h>
#include <haproxy/tools.h>

static int shim_has_programs;
/* The section that is being read. */
static struct mworker_proc *shim_program;

int mworker_ext_launch_all()
{
	if (!shim_has_programs)
		return 0;
	/* An alert has been given. */
	if (mworker_start_programs(shim_mworker) != MWORKER_OK)
		exit(EXIT_FAILURE);
	return 0;
}

static int shim_is_new_program(const struct mworker_proc *proc)
{
	return (proc->options & PROC_O_TYPE_PROG) && proc->reloads == 0;
}

static int shim_alert(const char *file, int line, const char *format, const char *word)
{
	char *text = NULL;

	ha_alert("parsing [%s:%d]: %s\n", file, line, memprintf(&text, format, word));
	free(text);
	return ERR_ALERT | ERR_FATAL;
}

static int shim_begin_program(const char *file, int line, char **args)
{
	struct mworker_proc *other;
	int errors = 0;

	if (alertif_too_many_args(1, file, line, args, &errors))
		return errors | ERR_ABORT;
	if (!*args[1])
		return shim_alert(file, line, "'%s' expects an <id> argument", args[0]) | ERR_ABORT;
	list_for_each_entry(other, &proc_list, list) {
		if (shim_is_new_program(other) && strcmp(args[1], other->id) == 0)
			return shim_alert(file, line, "'%s' program section already exists in the configuration.", args[1]) | ERR_ABORT;
	}

	shim_program = mworker_proc_new();
	if (!shim_program || !(shim_program->id = strdup(args[1]))) {
		mworker_free_child(shim_program);
		shim_program = NULL;
		return shim_alert(file, line, "out of memory in '%s'.", args[0]) | ERR_ABORT;
	}
	shim_program->options = PROC_O_TYPE_PROG | PROC_O_START_RELOAD;
	shim_program->uid = -1;
	shim_program->gid = -1;
	LIST_APPEND(&proc_list, &shim_program->list);
	return 0;
}

static int shim_program_command(const char *file, int line, char **args)
{
	int count = 0, i;

	if (!*args[1])
		return shim_alert(file, line, "'%s' expects a command with optional arguments separated in words.", args[0]);
	while (*args[count + 1])
		count++;
	shim_program->command = calloc(count + 1, sizeof(*shim_program->command));
	for (i = 0; shim_program->command && i < count; i++) {
		shim_program->command[i] = strdup(args[i + 1]);
		if (!shim_program->command[i])
			break;
	}
	if (i < count)
		return shim_alert(file, line, "out of memory in '%s'.", args[0]) | ERR_ABORT;
	return 0;
}

static int shim_program_option(const char *file, int line, char **args, int kwm)
{
	int errors = 0;

	if (!*args[1])
		return shim_alert(file, line, "'%s' expects an option name.", args[0]);
	if (strcmp(args[1], "start-on-reload") != 0)
		return shim_alert(file, line, "unknown option '%s'.", args[1]);
	if (alertif_too_many_args_idx(0, 1, file, line, args, &errors))
		return errors;
	if (kwm == KWM_STD)
		shim_program->options |= PROC_O_START_RELOAD;
	else if (kwm == KWM_NO)
		shim_program->options &= ~PROC_O_START_RELOAD;
	return 0;
}

static int shim_program_user(const char *file, int line, char **args)
{
	struct passwd *user;

	if (!*args[1])
		return shim_alert(file, line, "'%s' expects a user name.", args[0]);
	if (shim_program->uid != -1)
		return shim_alert(file, line, "'%s' already specified. Continuing.", args[0]) & ~ERR_FATAL;
	user = getpwnam(args[1]);
	if (!user)
		return shim_alert(file, line, "cannot find user id for '%s'", args[1]);
	shim_program->uid = user->pw_uid;
	return 0;
}

static int shim_program_group(const char *file, int line, char **args)
{
	struct group *group;

	if (!*args[1])
		return shim_alert(file, line, "'%s' expects a group name.", args[0]);
	if (shim_program->gid != -1)
		return shim_alert(file, line, "'%s' already specified. Continuing.", args[0]) & ~ERR_FATAL;
	group = getgrnam(args[1]);
	if (!group)
		return shim_alert(file, line, "cannot find group id for '%s'", args[1]);
	shim_program->gid = group->gr_gid;
	return 0;
}

/* A section that is wrong is not in the table. */
static void shim_drop_program(void)
{
	if (shim_program) {
		LIST_DELETE(&shim_program->list);
		mworker_free_child(shim_program);
		shim_program = NULL;
	}
}

int cfg_parse_program(const char *file, int linenum, char **args, int kwm)
{
	int errors;

	if (strcmp(args[0], "program") == 0) {
		shim_program = NULL;
		errors = shim_begin_program(file, linenum, args);
	} else if (!shim_program) {
		/* Its section was refused. */
		return ERR_ALERT | ERR_FATAL;
	} else if (strcmp(args[0], "command") == 0) {
		errors = shim_program_command(file, linenum, args);
	} else if (strcmp(args[0], "option") == 0) {
		errors = shim_program_option(file, linenum, args, kwm);
	} else if (strcmp(args[0], "user") == 0) {
		errors = shim_program_user(file, linenum, args);
	} else if (strcmp(args[0], "group") == 0) {
		errors = shim_program_group(file, linenum, args);
	} else {
		errors = shim_alert(file, linenum, "unknown keyword '%s' in 'program' section", args[0]);
	}

	if (errors & (ERR_FATAL | ERR_ABORT))
		shim_drop_program();
	else
		shim_has_programs = 1;
	return errors;
}

int cfg_program_postparser()
{
	struct mworker_proc *proc;
	int errors = 0;

	/* One that only waits has no description of its programs. */
	if (global.mode & MODE_MWORKER_WAIT)
		return 0;
	list_for_each_entry(proc, &proc_list, list) {
		if (shim_is_new_program(proc) && !proc->command) {
			ha_alert("The program section '%s' lacks a command to launch.\n", proc->id);
			errors |= ERR_ALERT | ERR_FATAL;
		}
	}
	if (shim_has_programs && !(global.mode & MODE_MWORKER)) {
		ha_alert("Can't use a 'program' section without master worker mode.\n");
		errors |= ERR_ALERT | ERR_FATAL;
	}
	return errors;
}

REGISTER_CONFIG_SECTION("program", cfg_parse_program, NULL);
REGISTER_CONFIG_POSTPARSER("program", cfg_program_postparser);
