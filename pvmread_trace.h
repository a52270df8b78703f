/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tracepoints pvmread:attach and pvmread:transfer: which process accesses
 * which. The caller is the current task of the event. For io_uring it may be a
 * worker. If io_uring repeats a request in a worker, there are two events, the
 * first with EAGAIN.
 *
 * This is a separate header because the kernel's macros read it more than once.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM pvmread

#if !defined(PVMREAD_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define PVMREAD_TRACE_H

#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/tracepoint.h>

#include <linux/pvmread.h>

#ifndef PVMREAD_TRACE_OPS
#define PVMREAD_TRACE_OPS
/* How a transfer was asked for; its direction is PVMREAD_WRITE of the flags. */
enum pvmread_trace_op {
	PVMREAD_TRACE_RW,	/* READV, WRITEV */
	PVMREAD_TRACE_FILE,	/* read and write of a target file */
	PVMREAD_TRACE_BATCH,	/* BATCH */
};

struct pvmread_engine;

void pvmread_engine_trace(const struct pvmread_engine *eng,
			  enum pvmread_trace_op op, pid_t tgid, u32 flags,
			  u64 addr, u64 segments, u64 bytes, int ret);
#endif

/* perf knows numbers only: the format that it reads must not have names. */
TRACE_DEFINE_ENUM(PVMREAD_PIDFD);
TRACE_DEFINE_ENUM(PVMREAD_NOWAIT);
TRACE_DEFINE_ENUM(PVMREAD_RESIDENT);
TRACE_DEFINE_ENUM(PVMREAD_WRITE);
TRACE_DEFINE_ENUM(PVMREAD_STOP);
TRACE_DEFINE_ENUM(PVMREAD_TRACE_RW);
TRACE_DEFINE_ENUM(PVMREAD_TRACE_FILE);
TRACE_DEFINE_ENUM(PVMREAD_TRACE_BATCH);

#define pvmread_show_flags(flags)			\
	__print_flags(flags, "|",			\
		      { PVMREAD_PIDFD,	  "pidfd" },	\
		      { PVMREAD_NOWAIT,	  "nowait" },	\
		      { PVMREAD_RESIDENT, "resident" },	\
		      { PVMREAD_WRITE,	  "write" },	\
		      { PVMREAD_STOP,	  "stop" })

/*
 * An ATTACH that found the process, whether it was granted or refused.
 *
 * target: its pid in the initial namespace. comm: its name, or that of the thread
 * that the caller named. start, last: the range. flags: those of the request.
 * error: 0, or the errno. It is also 0 if ATTACH then finds no free file descriptor.
 */
TRACE_EVENT(attach,
	TP_PROTO(struct task_struct *target, const struct pvmread_attach *attach,
		 unsigned long last, int error),
	TP_ARGS(target, attach, last, error),

	TP_STRUCT__entry(
		__field(pid_t,		target)
		__array(char,		comm, TASK_COMM_LEN)
		__field(unsigned long,	start)
		__field(unsigned long,	last)
		__field(u32,		flags)
		__field(int,		error)
	),

	TP_fast_assign(
		__entry->target = target->tgid;
		memcpy(__entry->comm, target->comm, TASK_COMM_LEN);
		__entry->start = attach->start;
		__entry->last = last;
		__entry->flags = attach->flags;
		__entry->error = error;
	),

	TP_printk("target=%d comm=%s range=%#lx-%#lx flags=%s error=%d",
		  __entry->target, __entry->comm, __entry->start, __entry->last,
		  pvmread_show_flags(__entry->flags), __entry->error)
);

/*
 * A request that accessed the target's memory, or was denied access to it.
 *
 * target: its pid in the initial namespace. For a target file, the pid of the
 * attached process, even if only other processes use its memory now; 0 if it was
 * being reaped at ATTACH. addr: the first remote address, 0 for a BATCH. segments:
 * number of remote segments; for a BATCH, of those with a result. bytes: number
 * moved. error: 0, or the errno that says why the request ended early.
 */
TRACE_EVENT(transfer,
	TP_PROTO(enum pvmread_trace_op op, pid_t target, u32 flags,
		 u64 addr, u64 segments, u64 bytes, int error),
	TP_ARGS(op, target, flags, addr, segments, bytes, error),

	TP_STRUCT__entry(
		__field(int,		op)
		__field(pid_t,		target)
		__field(u32,		flags)
		__field(int,		error)
		__field(u64,		addr)
		__field(u64,		segments)
		__field(u64,		bytes)
	),

	TP_fast_assign(
		__entry->op = op;
		__entry->target = target;
		__entry->flags = flags;
		__entry->error = error;
		__entry->addr = addr;
		__entry->segments = segments;
		__entry->bytes = bytes;
	),

	TP_printk("target=%d op=%s flags=%s addr=%#llx segments=%llu bytes=%llu error=%d",
		  __entry->target,
		  __print_symbolic(__entry->op,
				   { PVMREAD_TRACE_RW,	  "rw" },
				   { PVMREAD_TRACE_FILE,  "file" },
				   { PVMREAD_TRACE_BATCH, "batch" }),
		  pvmread_show_flags(__entry->flags), __entry->addr,
		  __entry->segments, __entry->bytes, __entry->error)
);

#endif /* PVMREAD_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE pvmread_trace
#include <trace/define_trace.h>
