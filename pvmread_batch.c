// SPDX-License-Identifier: GPL-2.0-only
/*
 * BATCH: many segments of a target's memory in one call.
 *
 * The array of segments is read, and its results are written, a chunk at a time. One
 * hold of the engine serves several chunks, so the array is first accessed with page
 * faults disabled. If that fails, the engine must end the hold before the array is
 * faulted in.
 *
 * A batch owns nothing but its engine, on the stack of the ioctl.
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

/* How many segments are read, and their results written, at a time. */
#define PVMREAD_BATCH_CHUNK	14

/*
 * The most chunks that one hold serves. They keep mmap_lock about as long as one copy of
 * PVMREAD_ENGINE_CHUNK bytes does.
 */
#define PVMREAD_BATCH_HOLD	14

/* Once this many segments have failed, any signal ends the batch. */
#define PVMREAD_BATCH_FAILED	128

/* A hold ends if it has fewer bytes left than one chunk of small segments can read. */
#define PVMREAD_BATCH_ROOM	(PVMREAD_BATCH_CHUNK * PVMREAD_SMALL)

/* Write the results of @n segments. Return: 0 or -EFAULT. */
static int pvmread_batch_put_results(const struct pvmread_segment *segs,
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

/*
 * Read @n segments. Their results must be writable before a byte is moved. They lie in two
 * pages at most: write back the first result and the last one. Return: 0 or -EFAULT.
 */
static int pvmread_batch_get(struct pvmread_segment *segs,
			     struct pvmread_segment __user *usegs,
			     unsigned int n)
{
	static_assert(PVMREAD_BATCH_CHUNK * sizeof(*segs) <= SZ_4K);

	if (copy_from_user(segs, usegs, n * sizeof(*segs)) ||
	    !user_write_access_begin(usegs, n * sizeof(*usegs)))
		return -EFAULT;
	unsafe_put_user(segs[0].error, &usegs[0].error, efault);
	unsafe_put_user(segs[n - 1].done, &usegs[n - 1].done, efault);
	user_write_access_end();
	return 0;
efault:
	user_write_access_end();
	return -EFAULT;
}

/*
 * Read the next segments: @n, or the first alone if not all can be accessed. So an
 * array with an inaccessible end is processed as far as possible.
 *
 * Return: how many, or -EFAULT.
 */
static int pvmread_batch_fetch(struct pvmread_engine *eng,
			       struct pvmread_segment *segs,
			       struct pvmread_segment __user *usegs,
			       unsigned int n)
{
	int ret;

	if (eng->locked) {
		pagefault_disable();
		ret = pvmread_batch_get(segs, usegs, n);
		pagefault_enable();
		if (!ret)
			return n;
		pvmread_engine_release(eng);
	}
	if (!pvmread_batch_get(segs, usegs, n))
		return n;
	return n > 1 && !pvmread_batch_get(segs, usegs, 1) ? 1 : -EFAULT;
}

/*
 * Write the results of @n segments, and end the hold if that needs a page fault. Return:
 * 0 or -EFAULT.
 */
static int pvmread_batch_store(struct pvmread_engine *eng,
			       const struct pvmread_segment *segs,
			       struct pvmread_segment __user *usegs,
			       unsigned int n)
{
	int ret;

	if (eng->locked) {
		pagefault_disable();
		ret = pvmread_batch_put_results(segs, usegs, n);
		pagefault_enable();
		if (!ret)
			return 0;
		pvmread_engine_release(eng);
	}
	return pvmread_batch_put_results(segs, usegs, n);
}

/*
 * How far to look up pages, in bytes from the first of @n segments on. The next
 * segments count as long as each begins in a page that an earlier one needs, or in the
 * page after those. The result never exceeds one hold.
 */
PVMREAD_TESTED size_t
pvmread_batch_ahead(const struct pvmread_target *target,
		    const struct pvmread_segment *segs, unsigned int n)
{
	u64 first = round_down(segs->remote, PAGE_SIZE), end = segs->remote;
	unsigned int i;

	for (i = 0; i < n; i++) {
		const struct pvmread_segment *seg = &segs[i];
		u64 seg_end;

		/* A string may end in its first page: do not look up the rest. */
		if (seg->flags)
			break;
		/* Nothing to move: the address does not matter. */
		if (!seg->length)
			continue;
		if (seg->remote < first ||
		    seg->remote >= round_up(end, PAGE_SIZE) + PAGE_SIZE ||
		    check_add_overflow(seg->remote, seg->length, &seg_end))
			break;
		end = max(end, seg_end);
		if (end - first >= PVMREAD_ENGINE_CHUNK)
			break;
	}
	end = min_t(u64, end - segs->remote, PVMREAD_ENGINE_CHUNK);
	return pvmread_target_reach(target, segs->remote, end);
}
EXPORT_SYMBOL_TO_SUITE(pvmread_batch_ahead);

/* The common case: read a few bytes of one page, which is held. */
static __always_inline bool
pvmread_batch_is_small(const struct pvmread_target *target,
		       const struct pvmread_engine *eng,
		       const struct pvmread_segment *seg)
{
	size_t offset = offset_in_page(seg->remote);

	if (!pvmread_engine_has(eng, seg->remote) || seg->flags || eng->write ||
	    seg->length > min(PVMREAD_SMALL, PAGE_SIZE - offset))
		return false;
	/* A length of 0 wraps here: it is not this case. */
	return seg->remote >= target->start && seg->remote <= target->last &&
	       seg->length - 1 <= target->last - seg->remote;
}

/* Copy a small segment with page faults disabled. Return: false if it needs a fault. */
static __always_inline bool
pvmread_batch_copy_small(struct pvmread_engine *eng, struct pvmread_segment *seg)
{
	void __user *buf;
	bool read;
	void *mem;

	if (pvmread_user_ptr(seg->local, &buf))
		return false;

	mem = kmap_local_page(*pvmread_engine_page(eng, seg->remote));
	read = pvmread_copy_small(buf, mem + offset_in_page(seg->remote), seg->length);
	kunmap_local(mem);
	seg->done = seg->length;
	return read;
}

/*
 * Move a segment that a small copy has not moved. @tried: a small copy was tried, and has
 * faulted. @left is the number of segments left in the chunk, including this one. Page faults
 * are enabled.
 *
 * Return: 0 if all was moved, 1 if only the first MAX_RW_COUNT bytes were, or an errno.
 * seg->done is the bytes moved.
 */
static noinline int pvmread_batch_move(struct pvmread_target *target,
				       struct pvmread_engine *eng,
				       struct pvmread_segment *seg,
				       unsigned int left, bool tried)
{
	size_t len = min_t(u64, seg->length, MAX_RW_COUNT), reach;
	struct iov_iter local;
	void __user *buf;
	int ret;

	seg->done = 0;
	if (seg->flags & ~(eng->write ? 0 : PVMREAD_SEGMENT_STRING))
		return -EINVAL;
	if (!len)
		return 0;
	if (pvmread_user_ptr(seg->local, &buf) || !access_ok(buf, len))
		return -EFAULT;
	reach = pvmread_target_reach(target, seg->remote, len);
	iov_iter_ubuf(&local, eng->write ? ITER_SOURCE : ITER_DEST, buf, len);

	if (seg->flags & PVMREAD_SEGMENT_STRING) {
		ret = pvmread_engine_string(eng, seg->remote, reach, &local);
	} else {
		/* The cache may have the page: the engine asks it. */
		if (reach && !pvmread_engine_has(eng, seg->remote) &&
		    (!pvmread_engine_cache(eng) || eng->cache_missed == seg->remote)) {
			size_t ahead = pvmread_batch_ahead(target, seg, left);

			ret = pvmread_engine_hold(eng, seg->remote,
						  max(reach, ahead));
			if (ret)
				return ret;
		}
		if (!tried && pvmread_batch_is_small(target, eng, seg)) {
			bool read;

			pagefault_disable();
			read = pvmread_batch_copy_small(eng, seg);
			pagefault_enable();
			if (read)
				return 0;
		}
		/*
		 * A small copy to one page has faulted at its first byte. Fault the page
		 * in now, because another copy would only fault again.
		 */
		if (pvmread_batch_is_small(target, eng, seg) &&
		    offset_in_page(seg->local) + len <= PAGE_SIZE)
			pvmread_engine_fault_in(eng, &local, len);
		ret = pvmread_engine_move(eng, seg->remote, reach, &local);
	}
	seg->done = len - iov_iter_count(&local);
	if (ret < 0)
		return ret;
	/* The NUL was found. */
	if (ret)
		return 0;
	return reach < len ? -EIO : len < seg->length;
}

/*
 * Read segments from the cache until one is not in it, @n at most. Return: how many
 * were read. Their bytes are added to *@moved.
 */
static unsigned int pvmread_batch_cached(const struct pvmread_target *target,
					 struct pvmread_engine *eng,
					 struct pvmread_segment *segs, unsigned int n,
					 u64 *moved)
{
	unsigned int done;
	bool missed;

	done = pvmread_cache_read_segments(target, segs, n, moved, &missed);
	if (missed)
		eng->cache_missed = segs[done].remote;
	return done;
}

/*
 * Does a signal that is not fatal, or the freezer, end the batch? It does once the batch has moved
 * as many bytes as one read(2) can, or once too many segments have failed: each may have waited
 * for a page fault.
 */
static bool pvmread_batch_is_interrupted(u64 moved, unsigned int failed)
{
	return (moved >= MAX_RW_COUNT || failed >= PVMREAD_BATCH_FAILED) &&
	       signal_pending(current);
}

/*
 * Move the segments, and write their results a chunk at a time.
 *
 * Return: 0, or what ended it: -EFAULT for the array, -EINTR. In any case
 * batch->completed is how many segments have their result, and *@total is the number
 * of bytes moved, even for segments whose result was not written.
 */
static int pvmread_batch_run(struct pvmread_target *target,
			     struct pvmread_engine *eng,
			     struct pvmread_batch *batch,
			     struct pvmread_segment __user *usegs, u64 *total)
{
	struct pvmread_segment segs[PVMREAD_BATCH_CHUNK] __uninitialized;
	unsigned int chunks = 0, failed = 0;
	bool stop = false;

	while (batch->completed < batch->count && !stop) {
		u64 left = batch->count - batch->completed;
		u64 moved = 0;
		int i, n;

		if (fatal_signal_pending(current))
			return -EINTR;
		if (pvmread_batch_is_interrupted(*total, failed))
			break;
		if (++chunks % PVMREAD_BATCH_HOLD == 0 || need_resched() ||
		    pvmread_engine_must_end(eng) ||
		    eng->copied > PVMREAD_ENGINE_CHUNK - PVMREAD_BATCH_ROOM)
			pvmread_engine_release(eng);
		cond_resched();
		n = pvmread_batch_fetch(eng, segs, usegs, min(left, ARRAY_SIZE(segs)));
		if (n < 0)
			return n;

		pagefault_disable();
		for (i = 0; i < n && !stop; i++) {
			bool small = pvmread_batch_is_small(target, eng, &segs[i]), cut = false;
			int reason = 0;

			if (!small || !pvmread_batch_copy_small(eng, &segs[i])) {
				pagefault_enable();
				if (pvmread_engine_cache(eng)) {
					unsigned int done;

					done = pvmread_batch_cached(target, eng, &segs[i],
								    n - i, &moved);
					small = small && !done;
					i += done;
					if (i == n) {
						pagefault_disable();
						break;
					}
				}
				reason = pvmread_batch_move(target, eng, &segs[i], n - i, small);
				cut = reason > 0;
				reason = min(reason, 0);
				if (unlikely(reason || segs[i].done > PVMREAD_ENGINE_CHUNK)) {
					failed += !!reason;
					stop = pvmread_batch_is_interrupted(*total + moved +
									    segs[i].done, failed);
				}
				pagefault_disable();
			}
			/* GUP flushes the CPU caches for a page: call it for each segment. */
			if (IS_ENABLED(CONFIG_ARCH_HAS_CPU_CACHE_ALIASING))
				pvmread_engine_release(eng);

			segs[i].error = -reason;
			moved += segs[i].done;
			if (reason == -EIO)
				atomic64_inc(&target->faults);
			if (reason == -EINTR || ((reason || cut) && batch->flags & PVMREAD_STOP))
				stop = true;
		}
		pagefault_enable();
		/* The engine's own moves count twice: the hold just ends earlier. */
		eng->copied += min_t(u64, moved, PVMREAD_ENGINE_CHUNK);
		pvmread_target_account(target, eng->write, moved);
		*total += moved;
		if (pvmread_batch_store(eng, segs, usegs, i))
			return -EFAULT;
		batch->completed += i;
		usegs += i;
	}
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/**
 * pvmread_batch() - ioctl(PVMREAD_IOC_BATCH) on a target file
 * @file: the target file
 * @arg: the struct; @arg->batch.completed is set
 * @usize: the size of the caller's struct
 * @uarg: the address of the caller's struct
 *
 * Return: 0 if the first @completed segments have results, or an errno: see &struct
 * pvmread_batch.
 */
long pvmread_batch(struct file *file, union pvmread_arg *arg, size_t usize,
		   void __user *uarg)
{
	struct pvmread_target *target = file->private_data;
	struct pvmread_batch __user *ubatch = uarg;
	struct pvmread_engine eng __uninitialized;
	struct pvmread_batch *batch = &arg->batch;
	bool write = batch->flags & PVMREAD_WRITE;
	void __user *usegs = NULL;
	u64 moved = 0;
	long ret;

	batch->completed = 0;
	if (put_user(batch->completed, &ubatch->completed))
		return -EFAULT;

	if (write && !(file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (batch->count > PVMREAD_MAX_BATCH)
		return -EINVAL;
	if (!pvmread_target_alive(target))
		return -ESRCH;
	/* Without segments the address does not matter. */
	ret = batch->count ? pvmread_user_ptr(batch->segments, &usegs) : 0;
	if (ret)
		return ret;

	pvmread_engine_init(&eng, target->mm, write,
			    target->nowait || batch->flags & PVMREAD_NOWAIT,
			    target->resident || batch->flags & PVMREAD_RESIDENT);
	if (!write)
		eng.cache = target->cache;
	ret = pvmread_batch_run(target, &eng, batch, usegs, &moved);
	pvmread_engine_release(&eng);
	/* Skip a target that has exited: its pid may belong to another process now. */
	if (trace_transfer_enabled() && (moved || pvmread_target_alive(target)))
		pvmread_engine_trace(&eng, PVMREAD_TRACE_BATCH,
				     pid_nr(target->pid),
				     batch->flags & PVMREAD_STOP, 0,
				     batch->completed, moved, ret);
	if (put_user(batch->completed, &ubatch->completed))
		ret = -EFAULT;
	return ret;
}
