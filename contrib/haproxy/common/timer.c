/*
 * The master's timer, which has the library do what is due, and the worker's, which
 * reports its statistics and that it is alive.
 */
#include "shim.h"

/* How often a worker reports, in milliseconds. */
#define SHIM_REPORT_EVERY 250

static struct task *shim_timer;

static struct task *shim_tick(struct task *task, void *context, SHIM_TASK_STATE state)
{
	int wait;

	mworker_tick(shim_mworker);
	wait = mworker_timeout(shim_mworker);
	task->expire = wait < 0 ? TICK_ETERNITY : tick_add(now_ms, wait);
	return task;
}

static struct task *shim_report(struct task *task, void *context, SHIM_TASK_STATE state)
{
	mworker_worker_set_connections(shim_mworker, actconn);
	mworker_worker_beat(shim_mworker);
	task->expire = tick_add(now_ms, MS_TO_TICKS(SHIM_REPORT_EVERY));
	return task;
}

void shim_update_timer(void)
{
	if (shim_timer)
		task_wakeup(shim_timer, TASK_WOKEN_MSG);
}

/* Runs in the first thread of a master and of a worker, when its loop begins. */
static int shim_start_timer(void)
{
	struct task *task;

	if (tid != 0 || (!master && (!proc_self || !(proc_self->options & PROC_O_TYPE_WORKER))))
		return 1;
	task = task_new_here();
	if (!task)
		return 0;
	task->process = master ? shim_tick : shim_report;
	if (master)
		shim_timer = task;
	task_wakeup(task, TASK_WOKEN_INIT);
	return 1;
}

REGISTER_PER_THREAD_INIT(shim_start_timer);
