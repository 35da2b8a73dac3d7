/*
 * What of the module has to touch HAProxy's listeners and proxies.
 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

#if MWORKER_HAPROXY >= 0x0204
#include <haproxy/fd.h>
#include <haproxy/list.h>
#include <haproxy/listener.h>
#include <haproxy/peers.h>
#include <haproxy/proxy.h>
#include <haproxy/signal.h>
#include <haproxy/task.h>
#endif

#if MWORKER_HAPROXY < 0x0204
#define shim_accept(fd)      listener_accept(fd)
#define is_masters(l)        ((l)->options & LI_O_MWORKER)
#define shim_disable(px)     ((px)->state = PR_STSTOPPED)
#else
#define shim_accept(fd)      listener_accept(fdtab[fd].owner)
#define is_masters(l)        ((l)->rx.flags & RX_F_MWORKER)
#if MWORKER_HAPROXY < 0x0206
#define shim_disable(px)     ((px)->disabled = 1)
#else
#define shim_disable(px)     ((px)->flags |= PR_FL_DISABLED)
#endif
#endif

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
	if (fd >= 0) {
#if MWORKER_HAPROXY >= 0x0206
		fd_set_nonblock(fd);
		fdtab[fd].iocb = mworker_accept_wrapper;
#else
		fcntl(fd, F_SETFL, O_NONBLOCK);
		fd_insert(fd, fdtab[fd].owner, mworker_accept_wrapper, tid_bit);
#endif
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
#if MWORKER_HAPROXY < 0x0206
		task_destroy(peers->peers_fe->task);
		peers->peers_fe->task = NULL;
#endif
		peers->peers_fe = NULL;
	}
}

/* What the master was started with by fd@ stays open for the next image. */
static void shim_unbind(struct listener *l)
{
#if MWORKER_HAPROXY < 0x0204
	if (l->options & LI_O_INHERITED)
		unbind_listener_no_close(l);
	else
#endif
		unbind_listener(l);
	delete_listener(l);
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
			if (is_masters(l)) {
				masters = 1;
				continue;
			}
			shim_unbind(l);
		}
		if (!masters)
			shim_disable(px);
	}
}

#if MWORKER_HAPROXY >= 0x0206
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
#endif
