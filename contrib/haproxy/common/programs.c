/*
 * The "program" sections of HAProxy up to 3.2.
 */
#include "shim.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

static int shim_has_programs;
/* The section that is being read. */
static struct mworker_proc *shim_program;

static int shim_is_new_program(const struct mworker_proc *proc)
{
	return (proc->options & PROC_O_TYPE_PROG) && proc->reloads == 0;
}

int mworker_ext_launch_all()
{
	if (!shim_has_programs)
		return 0;
	if (mworker_start_programs(shim_mworker, shim_is_hard_reload()) != MWORKER_OK) {
		/* The library has logged an alert. */
		mworker_stop_new(shim_mworker);
		exit(EXIT_FAILURE);
	}
	return 0;
}

static int shim_out_of_memory(const char *file, int line)
{
	ha_alert("parsing [%s:%d] : out of memory.\n", file, line);
	return ERR_ALERT | ERR_ABORT;
}

static int shim_begin_program(const char *file, int line, char **args)
{
	struct mworker_proc *other;
	int errors = 0;

	if (alertif_too_many_args(1, file, line, args, &errors))
		return errors | ERR_ABORT;
	if (!*args[1]) {
		ha_alert("parsing [%s:%d] : '%s' expects an <id> argument\n", file, line, args[0]);
		return ERR_ALERT | ERR_ABORT;
	}
	list_for_each_entry(other, &proc_list, list) {
		if (shim_is_new_program(other) && strcmp(args[1], other->id) == 0) {
			ha_alert("parsing [%s:%d]: '%s' program section already exists in the configuration.\n", file, line, args[1]);
			return ERR_ALERT | ERR_ABORT;
		}
	}

	if (shim_refuses_programs()) {
		ha_warning("parsing [%s:%d]: The 'program' section is deprecated and will be eventually removed, "
		           "it can be still allowed by setting 'expose-deprecated-directives' keyword in the 'global' "
		           "section defined before any 'program' section. Please, consider to use a process manager instead "
		           "of 'program' section, such as sysvinit, systemd, supervisord or s6.\n",
		           file, line);
		return ERR_ALERT | ERR_ABORT;
	}
	shim_program = mworker_proc_new();
	if (!shim_program || !(shim_program->id = strdup(args[1]))) {
		mworker_free_child(shim_program);
		shim_program = NULL;
		return shim_out_of_memory(file, line);
	}
	shim_program->options = PROC_O_TYPE_PROG | PROC_O_START_RELOAD;
	LIST_APPEND(&proc_list, &shim_program->list);
	return 0;
}

static int shim_program_command(const char *file, int line, char **args)
{
	int count = 0, i;

	if (!*args[1]) {
		ha_alert("parsing [%s:%d]: '%s' expects a command with optional arguments separated in words.\n", file, line, args[0]);
		return ERR_ALERT | ERR_FATAL;
	}
	while (*args[count + 1])
		count++;
	shim_program->command = calloc(count + 1, sizeof(*shim_program->command));
	for (i = 0; shim_program->command && i < count; i++) {
		shim_program->command[i] = strdup(args[i + 1]);
		if (!shim_program->command[i])
			break;
	}
	if (i < count)
		return shim_out_of_memory(file, line);
	return 0;
}

static int shim_program_option(const char *file, int line, char **args, int kwm)
{
	int errors = 0;

	if (!*args[1]) {
		ha_alert("parsing [%s:%d]: '%s' expects an option name.\n", file, line, args[0]);
		return ERR_ALERT | ERR_FATAL;
	}
	if (strcmp(args[1], "start-on-reload") != 0) {
		ha_alert("parsing [%s:%d] : unknown option '%s'.\n", file, line, args[1]);
		return ERR_ALERT | ERR_FATAL;
	}
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

	if (!*args[1]) {
		ha_alert("parsing [%s:%d]: '%s' expects a user name.\n", file, line, args[0]);
		return ERR_ALERT | ERR_FATAL;
	}
	if (*shim_program_uid(shim_program) != -1) {
		ha_alert("parsing [%s:%d] : user/uid already specified. Continuing.\n", file, line);
		return ERR_ALERT;
	}
	errno = 0;
	user = getpwnam(args[1]);
	if (!user) {
		ha_alert("parsing [%s:%d] : cannot find user id for '%s' (%d:%s)\n", file, line, args[1], errno, strerror(errno));
		return ERR_ALERT | ERR_FATAL;
	}
	*shim_program_uid(shim_program) = user->pw_uid;
	return 0;
}

static int shim_program_group(const char *file, int line, char **args)
{
	struct group *group;

	if (!*args[1]) {
		ha_alert("parsing [%s:%d]: '%s' expects a group name.\n", file, line, args[0]);
		return ERR_ALERT | ERR_FATAL;
	}
	if (*shim_program_gid(shim_program) != -1) {
		ha_alert("parsing [%s:%d] : group/gid already specified. Continuing.\n", file, line);
		return ERR_ALERT;
	}
	errno = 0;
	group = getgrnam(args[1]);
	if (!group) {
		ha_alert("parsing [%s:%d] : cannot find group id for '%s' (%d:%s)\n", file, line, args[1], errno, strerror(errno));
		return ERR_ALERT | ERR_FATAL;
	}
	*shim_program_gid(shim_program) = group->gr_gid;
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

	if (!shim_reads_for_master())
		return 0;
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
	} else if (shim_program_uid(shim_program) && strcmp(args[0], "user") == 0) {
		errors = shim_program_user(file, linenum, args);
	} else if (shim_program_gid(shim_program) && strcmp(args[0], "group") == 0) {
		errors = shim_program_group(file, linenum, args);
	} else {
		ha_alert("parsing [%s:%d] : unknown keyword '%s' in '%s' section\n", file, linenum, args[0], "program");
		errors = ERR_ALERT | ERR_FATAL;
	}

	if (errors & (ERR_FATAL | ERR_ABORT))
		shim_drop_program();
	else
		shim_has_programs = 1;
	return errors;
}

#ifdef SHIM_CHECKS_PROGRAMS
int cfg_program_postparser()
{
	struct mworker_proc *proc;
	int errors = 0;

	/* An image that only waits has read no configuration. */
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

REGISTER_CONFIG_POSTPARSER("program", cfg_program_postparser);
#endif

REGISTER_CONFIG_SECTION("program", cfg_parse_program, NULL);
