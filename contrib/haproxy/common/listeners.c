/*
 * What of the module has to touch HAProxy's listeners and proxies.
 */
#include "shim.h"

#include <errno.h>
#include <sys/socket.h>

/*
 * A worker's end of its socketpair became readable: a connection of the master CLI,
 * or the end of the master, which can no longer signal this worker to leave.
 */
void mworker_accept_wrapper(int fd)
{
	ssize_t got;
	char first;

	do {
		got = recv(fd, &first, 1, MSG_PEEK);
	} while (got < 0 && errno == EINTR);

	if (got > 0) {
		if (fdtab[fd].owner)
			shim_accept(fd);
	} else if (got == 0) {
		/* Other threads are at work: no orderly end is possible. */
		exit(EXIT_FAILURE);
	} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
		fd_cant_recv(fd);
	}
}

/* Watches the socketpair, on the first thread of a worker. */
static int shim_watch_master(void)
{
	int fd;

	if (!(global.mode & MODE_MWORKER) || master || tid != 0)
		return 1;
	fd = proc_self->ipc_fd[1];
	if (fd >= 0)
		shim_watch(fd, mworker_accept_wrapper);
	return 1;
}

REGISTER_PER_THREAD_INIT(shim_watch_master);

static void shim_stop_peers(void)
{
	struct peers *peers;

	for (peers = cfg_peers; peers; peers = peers->next) {
		if (!peers->peers_fe)
			continue;
		stop_proxy(peers->peers_fe);
		if (peers->sighandler)
			signal_unregister_handler(peers->sighandler);
		task_destroy(peers->sync_task);
		peers->sync_task = NULL;
		shim_stop_peers_task(peers);
		peers->peers_fe = NULL;
	}
}

/* Leaves a master with no listener but those of its own CLI. */
void mworker_cleanlisteners()
{
	struct listener *l, *next;
	struct proxy *px;

	shim_stop_peers();
	shim_for_each_proxy(px) {
		int masters = 0;

		list_for_each_entry_safe(l, next, &px->conf.listeners, by_fe) {
			if (shim_is_masters(l)) {
				masters = 1;
				continue;
			}
			shim_unbind(l);
		}
		if (!masters)
			shim_disable(px);
	}
}

void shim_stop_listeners_on(int fd)
{
	struct listener *l, *next;
	struct proxy *px;

	if (fd < 0)
		return;
	shim_for_each_proxy(px) {
		list_for_each_entry_safe(l, next, &px->conf.listeners, by_fe) {
			if (shim_listener_fd(l) == fd)
				shim_unbind(l);
		}
	}
}
