/*
 * What of the module has to touch HAProxy's listeners and proxies.
 */
#include "shim.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <haproxy/fd.h>
#include <haproxy/list.h>
#include <haproxy/listener.h>
#include <haproxy/peers.h>
#include <haproxy/proxy.h>
#include <haproxy/signal.h>
#include <haproxy/task.h>

/* Proxies have been in a list of their own since 3.5. */
#if MWORKER_HAPROXY >= 0x0305
#define for_each_proxy(px) list_for_each_entry(px, &main_proxies, el)
#else
#define for_each_proxy(px) for (px = proxies_list; px; px = px->next)
#endif

/*
 * A worker's side of its socketpair became readable: a connection of the master
 * CLI, or the end of the master, which then can't tell this worker to leave.
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
			listener_accept(fdtab[fd].owner);
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
	if (fd >= 0) {
		fd_set_nonblock(fd);
		fdtab[fd].iocb = mworker_accept_wrapper;
		fd_want_recv(fd);
	}
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
		peers->peers_fe = NULL;
	}
}

/* Leaves a master with no listener but those of its own CLI. */
void mworker_cleanlisteners()
{
	struct listener *l, *next;
	struct proxy *px;

	shim_stop_peers();
	for_each_proxy(px) {
		int masters = 0;

		list_for_each_entry_safe(l, next, &px->conf.listeners, by_fe) {
			if (l->rx.flags & RX_F_MWORKER) {
				masters = 1;
				continue;
			}
			unbind_listener(l);
			delete_listener(l);
		}
		if (!masters)
			px->flags |= PR_FL_DISABLED;
	}
}

void shim_forget_listeners_on(int fd)
{
	struct listener *l, *next;
	struct proxy *px;

	if (fd < 0)
		return;
	for_each_proxy(px) {
		list_for_each_entry_safe(l, next, &px->conf.listeners, by_fe) {
			if (l->rx.fd == fd) {
				unbind_listener(l);
				delete_listener(l);
			}
		}
	}
}
