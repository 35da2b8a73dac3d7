/*
 * What depends on the time: what the library does because it has passed, and
 * what a worker tells of itself.
 */
#include "shim.h"

#if MWORKER_HAPROXY >= 0x0204
#include <haproxy/init.h>
#include <haproxy/task.h>
#include <haproxy/thread.h>
#include <haproxy/ticks.h>
#endif

/* How often a worker tells, in milliseconds. */
#define SHIM_TELLS_EVERY 250

static struct task *shim_clock;

static struct task *shim_tick(struct task *task, void *context, SHIM_TASK_STATE state)
{
	int wait;

	mworker_tick(shim_mworker);
	wait = mworker_timeout(shim_mworker);
	task->expire = wait < 0 ? TICK_ETERNITY : tick_add(now_ms, wait);
	return task;
}

static struct task *shim_tell(struct task *task, void *context, SHIM_TASK_STATE state)
{
	mworker_worker_set_connections(shim_mworker, actconn);
	mworker_worker_beat(shim_mworker);
	task->expire = tick_add(now_ms, MS_TO_TICKS(SHIM_TELLS_EVERY));
	return task;
}

void shim_look_at_clock(void)
{
	if (shim_clock)
		task_wakeup(shim_clock, TASK_WOKEN_MSG);
}

/* In the first thread of a master and of a worker, when its loop begins. */
static int shim_loop_begins(void)
{
	struct task *task;

	if (tid != 0 || (!master && (!proc_self || !(proc_self->options & PROC_O_TYPE_WORKER))))
		return 1;
	task = task_new_here();
	if (!task)
		return 0;
	task->process = master ? shim_tick : shim_tell;
	if (master)
		shim_clock = task;
	task_wakeup(task, TASK_WOKEN_INIT);
	return 1;
}

REGISTER_PER_THREAD_INIT(shim_loop_begins);
