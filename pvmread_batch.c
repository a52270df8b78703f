// SPDX-License-Identifier: GPL-2.0-only
/*
 * BATCH: many pieces of a target's memory in one call.
 */
#include <linux/atomic.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/kcsan-checks.h>
#include <linux/kernel.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include <linux/pvmread.h>

#include "pvmread.h"
#include "pvmread_trace.h"

/* Write the results of @n segments of a BATCH. Return: 0, or -EFAULT. */
static int pvmread_batch_store(const struct pvmread_segment *segs,
			       struct pvmread_segment __user *usegs,
			       unsigned int n)
{
	unsigned int i;

	if (!user_write_access_begin(usegs, n * sizeof(*usegs)))
		return -EFAULT;
	for (i = 0; i < n; i++) {
		unsafe_put_user(segs[i].error, &usegs[i].error, efault);
		unsafe_put_user(segs[i].done, &usegs[i].done, efault);
	}
	user_write_access_end();
	return 0;
efault:
	user_write_access_end();
	return -EFAULT;
}

/* How many segments of a BATCH are read, and their results written, at a time. */
#define PVMREAD_BATCH_CHUNK	12

/*
 * Read the next segments of a BATCH: all of @n, or the first alone, so that an
 * array that cannot be read to its end is used as far as it can. Their results
 * must be writable before a byte moves: what stands there is written back.
 *
 * Return: how many, or -EFAULT.
 */
static int pvmread_batch_fetch(struct pvmread_segment *segs,
			       struct pvmread_segment __user *usegs,
			       unsigned int n)
{
	for (;; n = 1) {
		if (!copy_from_user(segs, usegs, n * sizeof(*segs)) &&
		    !pvmread_batch_store(segs, usegs, n))
			return n;
		if (n == 1)
			return -EFAULT;
	}
}

/*
 * How many bytes from the first of @n segments on, at least, they will ask for
 * one after the other: as long as each begins in a page that those before it
 * need or in the one behind these, and one pin can take them.
 */
static size_t pvmread_batch_ahead(const struct pvmread_target *target,
				  const struct pvmread_segment *segs,
				  unsigned int n)
{
	u64 first = round_down(segs->remote, PAGE_SIZE), end = segs->remote;
	unsigned int i;

	for (i = 0; i < n; i++) {
		const struct pvmread_segment *seg = &segs[i];
		u64 seg_end;

		/* How far a string goes nobody knows: no page for it alone. */
		if (seg->flags)
			break;
		/* No byte is asked for, wherever that would be. */
		if (!seg->length)
			continue;
		if (seg->remote < first ||
		    seg->remote >= round_up(end, PAGE_SIZE) + PAGE_SIZE ||
		    check_add_overflow(seg->remote, seg->length, &seg_end))
			break;
		end = max(end, seg_end);
		if (end - first >= PVMREAD_STACK_PAGES * PAGE_SIZE)
			break;
	}
	end = min_t(u64, end - segs->remote, PVMREAD_STACK_PAGES * PAGE_SIZE);
	return pvmread_target_reach(target, segs->remote, end);
}

/* Up to this many bytes are moved one word at a time, and cheapest so. */
#define PVMREAD_BATCH_SMALL	128

/*
 * The common case: read a few bytes of one page that is pinned.
 *
 * Return: true if it is this case and they were read; false for any other, a
 * fault of the local side among them.
 */
static __always_inline bool
pvmread_batch_read_small(const struct pvmread_target *target,
			 const struct pvmread_engine *eng,
			 struct pvmread_segment *seg)
{
	size_t offset = offset_in_page(seg->remote), len = seg->length;
	void __user *buf;
	bool read = false;
	void *mem;

	if (!pvmread_engine_has(eng, seg->remote) || seg->flags ||
	    eng->flags & PVMREAD_WRITE ||
	    seg->length > min(PVMREAD_BATCH_SMALL, PAGE_SIZE - offset))
		return false;
	/* No length, no byte to ask for: not this case either. */
	if (seg->remote < target->start || seg->remote > target->last ||
	    seg->length - 1 > target->last - seg->remote)
		return false;
	if (pvmread_user_ptr(seg->local, &buf))
		return false;

	mem = kmap_local_page(*pvmread_engine_page(eng, seg->remote));
	/* Races in the target's memory are the target's. */
	kcsan_disable_current();
	if (user_write_access_begin(buf, len)) {
		unsafe_copy_to_user(buf, mem + offset, len, end);
		read = true;
end:
		user_write_access_end();
	}
	kcsan_enable_current();
	kunmap_local(mem);
	seg->done = len;
	return read;
}

/*
 * Any other case. @left is how many of the chunk are left, this segment and
 * those behind it. Return: 0 or why it was not moved whole; seg->done says how
 * much was.
 */
static noinline int pvmread_batch_move(struct pvmread_target *target,
				       struct pvmread_engine *eng,
				       struct pvmread_segment *seg,
				       unsigned int left)
{
	size_t len = min_t(u64, seg->length, MAX_RW_COUNT), reach;
	bool write = eng->flags & PVMREAD_WRITE;
	struct iov_iter local;
	void __user *buf;
	int ret;

	seg->done = 0;
	if (seg->flags & ~(write ? 0 : PVMREAD_SEGMENT_STRING))
		return -EINVAL;
	if (!len)
		return 0;
	if (pvmread_user_ptr(seg->local, &buf) || !access_ok(buf, len))
		return -EFAULT;
	reach = pvmread_target_reach(target, seg->remote, len);
	iov_iter_ubuf(&local, write ? ITER_SOURCE : ITER_DEST, buf, len);

	if (seg->flags & PVMREAD_SEGMENT_STRING) {
		ret = pvmread_engine_string(eng, seg->remote, reach, &local);
	} else {
		size_t ahead = pvmread_batch_ahead(target, seg, left);

		if (reach && !pvmread_engine_has(eng, seg->remote)) {
			ret = pvmread_engine_pin(eng, seg->remote,
						 max(reach, ahead));
			if (ret || pvmread_batch_read_small(target, eng, seg))
				return ret;
		}
		ret = pvmread_engine_move(eng, seg->remote, reach, &local);
	}
	seg->done = len - iov_iter_count(&local);
	if (!ret && reach < len)
		return -EIO;
	return min(ret, 0);
}

/*
 * BATCH behind the struct: move the segments, and write their results a chunk at
 * a time.
 *
 * Return: 0, or what ended it: -EFAULT for the array, -EINTR. In any case
 * batch->completed is how many have their result, and @total has grown by the
 * bytes moved, those of results that could not be written too.
 */
static int pvmread_batch_run(struct pvmread_target *target,
			     struct pvmread_engine *eng,
			     struct pvmread_batch *batch,
			     struct pvmread_segment __user *usegs, u64 *total)
{
	struct pvmread_segment segs[PVMREAD_BATCH_CHUNK] __uninitialized;
	bool stop = false;

	while (batch->completed < batch->count && !stop) {
		u64 left = batch->count - batch->completed;
		u64 moved = 0;
		int i, n;

		if (fatal_signal_pending(current))
			return -EINTR;
		/* Any other signal, and the freezer, waits as for one read(2). */
		if (*total >= MAX_RW_COUNT && signal_pending(current))
			break;
		cond_resched();
		n = pvmread_batch_fetch(segs, usegs, min(left, ARRAY_SIZE(segs)));
		if (n < 0)
			return n;

		for (i = 0; i < n && !stop; i++) {
			int reason = 0;

			if (!pvmread_batch_read_small(target, eng, &segs[i]))
				reason = pvmread_batch_move(target, eng,
							    &segs[i], n - i);
			/* GUP has made the page coherent, but only as of then. */
			if (IS_ENABLED(CONFIG_ARCH_HAS_CPU_CACHE_ALIASING))
				pvmread_engine_unpin(eng);

			segs[i].error = -reason;
			moved += segs[i].done;
			if (reason == -EIO)
				atomic64_inc(&target->faults);
			stop = reason && (batch->flags & PVMREAD_STOP);
			if (reason == -EINTR)
				stop = true;
		}
		pvmread_target_account(target, eng->flags & PVMREAD_WRITE, moved);
		*total += moved;
		if (pvmread_batch_store(segs, usegs, i))
			return -EFAULT;
		batch->completed += i;
		usegs += i;
	}
	return fatal_signal_pending(current) ? -EINTR : 0;
}

long pvmread_ioctl_batch(struct file *file, struct pvmread_batch __user *ubatch)
{
	struct pvmread_target *target = file->private_data;
	struct pvmread_engine eng __uninitialized;
	struct pvmread_batch batch;
	void __user *usegs;
	u64 moved = 0;
	u32 flags;
	long ret;

	ret = pvmread_get_arg(&batch, sizeof(batch), sizeof(batch), ubatch);
	if (ret < 0)
		return ret;
	if (batch.flags & ~(PVMREAD_WRITE | PVMREAD_STOP | PVMREAD_NOWAIT |
			    PVMREAD_RESIDENT))
		return -EINVAL;
	batch.completed = 0;
	if (put_user(batch.completed, &ubatch->completed))
		return -EFAULT;

	if ((batch.flags & PVMREAD_WRITE) && !(file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (batch.count > PVMREAD_MAX_BATCH)
		return -EINVAL;
	if (!pvmread_target_alive(target))
		return -ESRCH;
	ret = pvmread_user_ptr(batch.segments, &usegs);
	if (ret)
		return ret;

	flags = batch.flags | (target->flags & ~PVMREAD_WRITE);
	/* Its own page pointers will do: nothing is allocated. */
	ret = pvmread_engine_init(&eng, flags, 0);
	if (ret)
		return ret;
	eng.mm = target->mm;
	ret = pvmread_batch_run(target, &eng, &batch, usegs, &moved);
	pvmread_engine_release(&eng);
	if (trace_transfer_enabled())
		pvmread_trace_target(PVMREAD_TRACE_BATCH, target, &eng, 0,
				     batch.completed, moved, ret);
	if (put_user(batch.completed, &ubatch->completed))
		ret = -EFAULT;
	return ret;
}
