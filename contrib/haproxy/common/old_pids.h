/*
 * The old workers that the command line names (-sf), from where HAProxy would signal
 * them to the last fork: each fork may fail, and then they go on. Included by the files
 * that are appended to src/haproxy.c up to 3.0, whose statics it uses.
 */
#ifndef MWORKER_OLD_PIDS_H
#define MWORKER_OLD_PIDS_H

static int *shim_old_pids;
static int shim_nb_old_pids;

/*
 * Called where HAProxy signals the old workers. A master keeps their PIDs; some
 * versions free the list at a first start. Returns how many are left to be signalled.
 */
static int shim_keep_old_pids(void)
{
	if (!(global.mode & MODE_MWORKER))
		return tell_old_pids(oldpids_sig);
	shim_old_pids = calloc(nb_oldpids, sizeof(*shim_old_pids));
	if (!shim_old_pids) {
		ha_alert("Out of memory.\n");
		exit(1);
	}
	memcpy(shim_old_pids, oldpids, nb_oldpids * sizeof(*shim_old_pids));
	shim_nb_old_pids = nb_oldpids;
	return nb_oldpids;
}

/* Signals them. */
static void shim_signal_old_pids(void)
{
	if (!shim_nb_old_pids)
		return;
	oldpids = shim_old_pids;
	nb_oldpids = shim_nb_old_pids;
	nb_oldpids = tell_old_pids(oldpids_sig);
	shim_old_pids = NULL;
	shim_nb_old_pids = 0;
}

#endif
