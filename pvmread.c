// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvmread: read and write the memory of another process through a device.
 *
 * The ABI is in uapi/linux/pvmread.h, a drawing of the way that a request
 * takes in doc/architecture.md. The file is to be read top to bottom, data
 * runs one way through it, and no function reaches back up:
 *
 *   vectors       what user space passes, copied in and checked
 *   readv         both sides of a request to the engine
 *   target files  a process as a file, and BATCH on it
 *   device        the ioctls of /dev/pvmread
 *   init/exit
 */
#include <linux/anon_inodes.h>
#include <linux/atomic.h>
#include <linux/compat.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/kcsan-checks.h>
#include <linux/kernel.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/overflow.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/proc_fs.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include <linux/pvmread.h>

#include "pvmread.h"

#include "pvmread_trace.h"

static bool readonly;
module_param(readonly, bool, 0444);
MODULE_PARM_DESC(readonly, "Refuse all that would write to another process (EROFS)");

/* --- vectors ------------------------------------------------------------- */

/*
 * The kernel's iovec_from_user() is not exported, and import_iovec() is not it:
 * it would refuse a remote address outside of user space too early, and cut the
 * lengths. What an element says is judged in the order of the array, so that a
 * negative length before an unreadable element is EINVAL and not EFAULT.
 */
static int pvmread_copy_iovecs(struct iovec *iov, const void __user *uvec,
			       unsigned long count)
{
	const struct compat_iovec __user *ucompat = uvec;
	const struct iovec __user *unative = uvec;
	int ret = -EFAULT;
	unsigned long i;

	if (in_compat_syscall()) {
		if (!user_read_access_begin(ucompat, count * sizeof(*ucompat)))
			return -EFAULT;
		for (i = 0; i < count; i++) {
			compat_uptr_t base;
			compat_ssize_t len;

			unsafe_get_user(len, &ucompat[i].iov_len, out);
			unsafe_get_user(base, &ucompat[i].iov_base, out);
			if (len < 0)
				goto einval;
			iov[i].iov_base = compat_ptr(base);
			iov[i].iov_len = len;
		}
	} else {
		if (!user_read_access_begin(unative, count * sizeof(*unative)))
			return -EFAULT;
		for (i = 0; i < count; i++) {
			void __user *base;
			ssize_t len;

			unsafe_get_user(len, &unative[i].iov_len, out);
			unsafe_get_user(base, &unative[i].iov_base, out);
			if (len < 0)
				goto einval;
			iov[i].iov_base = base;
			iov[i].iov_len = len;
		}
	}
	ret = 0;
	goto out;
einval:
	ret = -EINVAL;
out:
	user_read_access_end();
	return ret;
}

/* The remote side of pvmread_vectors_import(); on failure nothing is held. */
static int pvmread_import_remote(struct pvmread_vectors *vec, u64 addr,
				 u64 count)
{
	void __user *uvec;
	int ret;

	vec->remote = vec->remote_stack;
	vec->remote_count = 0;
	if (!count)
		return 0;
	if (count > UIO_MAXIOV)
		return -EINVAL;

	if (count > ARRAY_SIZE(vec->remote_stack)) {
		vec->remote = kmalloc_array(count, sizeof(*vec->remote),
					    GFP_KERNEL);
		if (!vec->remote)
			return -ENOMEM;
	}

	ret = pvmread_user_ptr(addr, &uvec);
	if (!ret)
		ret = pvmread_copy_iovecs(vec->remote, uvec, count);
	if (ret < 0) {
		if (vec->remote != vec->remote_stack)
			kfree(vec->remote);
		return ret;
	}
	vec->remote_count = count;
	return 0;
}

/**
 * pvmread_vectors_release() - give back what pvmread_vectors_import() took
 * @vec: what it filled
 */
PVMREAD_TESTED void pvmread_vectors_release(struct pvmread_vectors *vec)
{
	if (vec->remote != vec->remote_stack)
		kfree(vec->remote);
	kfree(vec->local_alloc);
}
EXPORT_SYMBOL_TO_SUITE(pvmread_vectors_release);

/**
 * pvmread_vectors_import() - copy both iovec arrays in and check them
 * @vec: what is filled; on success pvmread_vectors_release() is due
 * @write: true if the local side is the source
 * @local: user address of the local array
 * @local_count: its length, any value
 * @remote: user address of the remote array, read only if @local is not empty
 * @remote_count: its length, any value
 *
 * Both arrays are of the caller's own struct iovec, native or compat. The
 * checks and their order are those of process_vm_readv(2), but that
 * @local_count is looked at before it is narrowed to 32 bits.
 *
 * Return: the bytes that the local side has room for or offers, 0 to
 * MAX_RW_COUNT; or -EINVAL, -EFAULT, -ENOMEM, and nothing is held.
 */
PVMREAD_TESTED ssize_t
pvmread_vectors_import(struct pvmread_vectors *vec, bool write,
		       u64 local, u64 local_count,
		       u64 remote, u64 remote_count)
{
	struct iovec *alloc = vec->local_stack;
	void __user *uvec;
	ssize_t total;
	int ret;

	if (local_count > UIO_MAXIOV)
		return -EINVAL;
	/* As the syscall: the address of an empty array is not looked at. */
	if (!local_count)
		uvec = NULL;
	else if (pvmread_user_ptr(local, &uvec))
		return -EFAULT;

	total = import_iovec(write ? ITER_SOURCE : ITER_DEST, uvec,
			     local_count, ARRAY_SIZE(vec->local_stack), &alloc,
			     &vec->local);
	if (total < 0)
		return total;
	/* NULL if the stack had room or one segment became an ITER_UBUF. */
	vec->local_alloc = alloc;

	/* Nor is a remote array looked at that nothing can be read into. */
	ret = pvmread_import_remote(vec, remote, total ? remote_count : 0);
	if (ret < 0) {
		kfree(vec->local_alloc);
		return ret;
	}
	return total;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_vectors_import);

/**
 * pvmread_vectors_pages() - how many pages the largest remote segment lies in
 * @vec: what pvmread_vectors_import() filled
 *
 * Return: their number, of the part that the local side can still take; 0 if
 * the remote side is empty.
 */
PVMREAD_TESTED unsigned long
pvmread_vectors_pages(const struct pvmread_vectors *vec)
{
	size_t room = iov_iter_count(&vec->local);
	unsigned long i, most = 0;

	for (i = 0; i < vec->remote_count; i++) {
		const struct iovec *seg = &vec->remote[i];

		if (!seg->iov_len)
			continue;
		/* No more than the local side can take is ever pinned. */
		most = max(most, pvmread_count_pages((unsigned long)seg->iov_base,
						     min(seg->iov_len, room)));
	}
	return most;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_vectors_pages);

/* --- readv ---------------------------------------------------------------- */

/**
 * pvmread_engine_run() - move what two vectors describe
 * @eng: as for pvmread_engine_move()
 * @vec: the two sides; the local one is left advanced by what was moved
 *
 * As the syscall does, each remote segment is pinned anew: what one of them has
 * changed, in a process that reads itself, the next one sees. Nothing is
 * pinned on return.
 *
 * Return: as pvmread_engine_move().
 */
PVMREAD_TESTED int pvmread_engine_run(struct pvmread_engine *eng,
				      struct pvmread_vectors *vec)
{
	unsigned long i;
	int ret = 0;

	eng->stop_addr = 0;
	for (i = 0; i < vec->remote_count && !ret; i++) {
		const struct iovec *seg = &vec->remote[i];

		if (!iov_iter_count(&vec->local))
			break;
		if (!seg->iov_len)
			continue;
		ret = pvmread_engine_move(eng, (unsigned long)seg->iov_base,
					  seg->iov_len, &vec->local);
		if (eng->nr)
			pvmread_engine_unpin(eng);
	}
	return ret;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_engine_run);

/* --- target files -------------------------------------------------------- */

/**
 * struct pvmread_target - what a target file refers to
 * @mm: the target's memory, by mm_count alone: what is in it is not kept
 * @pid: the process, to be shown
 * @start: the first address that the file reaches
 * @last: the last one
 * @flags: PVMREAD_WRITE, PVMREAD_NOWAIT, PVMREAD_RESIDENT, for all transfers
 * @bytes_read: moved from the target so far
 * @bytes_written: moved to it so far
 * @faults: how many transfers the target's memory has ended
 */
struct pvmread_target {
	struct mm_struct *mm;
	struct pid *pid;
	unsigned long start;
	unsigned long last;
	u32 flags;
	atomic64_t bytes_read;
	atomic64_t bytes_written;
	atomic64_t faults;
};

/* How many of @len bytes at @addr the file reaches. */
static size_t pvmread_target_reach(const struct pvmread_target *target,
				   u64 addr, size_t len)
{
	if (!len || addr < target->start || addr > target->last)
		return 0;
	/* Less by one each, so that all of memory has a size. */
	return min_t(u64, len - 1, target->last - addr) + 1;
}

/* Note what was moved, for show_fdinfo. */
static void pvmread_target_account(struct pvmread_target *target, bool write,
				   u64 moved)
{
	atomic64_add(moved, write ? &target->bytes_written : &target->bytes_read);
}

/*
 * Is the target's memory there? When it is gone while a request runs, the engine
 * finds out.
 */
static bool pvmread_target_alive(const struct pvmread_target *target)
{
	return atomic_read(&target->mm->mm_users);
}

/* The tracepoint, but where a target was gone: its pid may be another's by now. */
static noinline __cold void
pvmread_trace_target(enum pvmread_trace_op op,
		     const struct pvmread_target *target,
		     const struct pvmread_engine *eng, u64 addr, u64 segments,
		     u64 bytes, int ret)
{
	if (bytes || ret != -ESRCH)
		pvmread_trace_transfer(op, pid_nr(target->pid), eng, addr,
				       segments, bytes, ret);
}

static ssize_t pvmread_target_rw(struct kiocb *iocb, struct iov_iter *iter,
				 u32 flags)
{
	struct pvmread_target *target = iocb->ki_filp->private_data;
	size_t len = iov_iter_count(iter), moved, reach;
	struct pvmread_engine eng __uninitialized;
	u64 addr = iocb->ki_pos;
	unsigned long pages;
	int ret;

	reach = pvmread_target_reach(target, addr, len);
	/* Else the engine finds that out. */
	if (!reach && !pvmread_target_alive(target))
		return -ESRCH;
	flags |= target->flags & ~PVMREAD_WRITE;
	if (iocb->ki_flags & IOCB_NOWAIT)
		flags |= PVMREAD_NOWAIT;

	pages = pvmread_count_pages(addr, reach);
	ret = pvmread_engine_init(&eng, flags, pages);
	if (ret)
		return ret;
	eng.mm = target->mm;
	/*
	 * io_uring takes a short transfer for the end of the request, and what
	 * it tries without waiting it moves in a worker only after -EAGAIN. So
	 * all or nothing.
	 */
	if (iocb->ki_flags & IOCB_NOWAIT && !is_sync_kiocb(iocb) && reach) {
		ret = pvmread_engine_pin(&eng, addr, reach);
		if (!ret && eng.nr < pages)
			ret = -EAGAIN;
	}
	if (!ret)
		ret = pvmread_engine_move(&eng, addr, reach, iter);
	pvmread_engine_release(&eng);
	if (!ret && reach < len)
		ret = -EIO;

	moved = len - iov_iter_count(iter);
	iocb->ki_pos += moved;
	pvmread_target_account(target, flags & PVMREAD_WRITE, moved);
	if (ret == -EIO)
		atomic64_inc(&target->faults);
	if (trace_transfer_enabled())
		pvmread_trace_target(PVMREAD_TRACE_FILE, target, &eng,
				     iocb->ki_pos - moved, 1, moved, ret);
	return moved ?: ret;
}

static ssize_t pvmread_target_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	return pvmread_target_rw(iocb, to, 0);
}

static ssize_t pvmread_target_write_iter(struct kiocb *iocb,
					 struct iov_iter *from)
{
	return pvmread_target_rw(iocb, from, PVMREAD_WRITE);
}

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

static long pvmread_ioctl_batch(struct file *file,
				struct pvmread_batch __user *ubatch)
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

static long pvmread_target_ioctl(struct file *file, unsigned int cmd,
				 unsigned long arg)
{
	switch (cmd) {
	case PVMREAD_IOC_BATCH:
		return pvmread_ioctl_batch(file, (void __user *)arg);
	default:
		return -ENOTTY;
	}
}

#ifdef CONFIG_PROC_FS
static void pvmread_target_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct pvmread_target *target = file->private_data;
	pid_t nr = -1;

	/* The number of a process that is gone may be another's by now. */
	if (pvmread_target_alive(target) && target->pid &&
	    pid_has_task(target->pid, PIDTYPE_TGID))
		nr = pid_nr_ns(target->pid, proc_pid_ns(file_inode(m->file)->i_sb));
	seq_printf(m, "pid:\t%d\n", nr);
	seq_printf(m, "range:\t%08lx-%08lx\n", target->start,
		   target->last + 1 ?: ULONG_MAX);
	seq_printf(m, "mode:\t%s%s%s\n",
		   target->flags & PVMREAD_WRITE ? "rw" : "r",
		   target->flags & PVMREAD_NOWAIT ? " nowait" : "",
		   target->flags & PVMREAD_RESIDENT ? " resident" : "");
	seq_printf(m, "read:\t%lld\n", atomic64_read(&target->bytes_read));
	seq_printf(m, "written:\t%lld\n", atomic64_read(&target->bytes_written));
	seq_printf(m, "faults:\t%lld\n", atomic64_read(&target->faults));
}
#endif

static void pvmread_target_free(struct pvmread_target *target)
{
	mmdrop(target->mm);
	put_pid(target->pid);
	kfree(target);
}

static int pvmread_target_release(struct inode *inode, struct file *file)
{
	pvmread_target_free(file->private_data);
	return 0;
}

static const struct file_operations pvmread_target_fops = {
	.owner		= THIS_MODULE,
	.fop_flags	= FOP_UNSIGNED_OFFSET,
	.llseek		= no_seek_end_llseek,
	.read_iter	= pvmread_target_read_iter,
	.write_iter	= pvmread_target_write_iter,
	.splice_read	= copy_splice_read,
	.splice_write	= iter_file_splice_write,
	.unlocked_ioctl	= pvmread_target_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.release	= pvmread_target_release,
#ifdef CONFIG_PROC_FS
	.show_fdinfo	= pvmread_target_show_fdinfo,
#endif
};

/**
 * pvmread_target_file() - a process as a file
 * @attach: what is asked for, checked but for the process
 * @last: the last address that the file is to reach
 *
 * Return: the file, which the caller owns, or an ERR_PTR: what
 * pvmread_target_task() and pvmread_target_mm() say, -ENOMEM, -ENFILE.
 */
static struct file *pvmread_target_file(const struct pvmread_attach *attach,
					unsigned long last)
{
	bool write = attach->flags & PVMREAD_WRITE;
	struct pvmread_target *target;
	struct task_struct *task;
	struct mm_struct *mm;
	struct file *file;

	task = pvmread_target_task(attach->pid, attach->flags);
	if (IS_ERR(task))
		return ERR_CAST(task);
	mm = pvmread_target_mm(task);
	if (IS_ERR(mm)) {
		file = ERR_CAST(mm);
		goto trace;
	}

	file = ERR_PTR(-ENOMEM);
	target = kzalloc(sizeof(*target), GFP_KERNEL_ACCOUNT);
	if (!target)
		goto put_mm;
	/* From users to mm_count: what is mapped goes when the process goes. */
	mmgrab(mm);
	target->mm = mm;
	/* NULL if it is reaped just now. */
	target->pid = get_task_pid(task, PIDTYPE_TGID);
	target->start = attach->start;
	target->last = last;
	target->flags = attach->flags & ~PVMREAD_PIDFD;

	file = anon_inode_getfile_fmode("[pvmread]", &pvmread_target_fops,
					target, write ? O_RDWR : O_RDONLY,
					FMODE_LSEEK | FMODE_PREAD |
					FMODE_PWRITE | FMODE_NOWAIT);
	if (IS_ERR(file))
		pvmread_target_free(target);
	else
		file->f_pos = target->start;
put_mm:
	mmput(mm);
trace:
	trace_attach(task, attach, last, -PTR_ERR_OR_ZERO(file));
	put_task_struct(task);
	return file;
}

/* --- device -------------------------------------------------------------- */

static long pvmread_ioctl_info(void __user *uarg)
{
	struct pvmread_info info;
	long usize;

	usize = pvmread_get_arg(&info, sizeof(info),
				offsetofend(struct pvmread_info, __reserved),
				uarg);
	if (usize < 0)
		return usize;
	if (info.__reserved)
		return -EINVAL;

	info = (struct pvmread_info) {
		.size = usize,
		.version = PVMREAD_ABI_VERSION,
		.max_segments = UIO_MAXIOV,
		.features = PVMREAD_FEATURE_READV | PVMREAD_FEATURE_WRITEV |
			    (readonly ? PVMREAD_FEATURE_READONLY : 0) |
			    PVMREAD_FEATURE_ATTACH | PVMREAD_FEATURE_BATCH |
			    (pvmread_has_pidfd ? PVMREAD_FEATURE_PIDFD : 0) |
			    PVMREAD_FEATURE_NOWAIT | PVMREAD_FEATURE_RESIDENT,
		.max_bytes = MAX_RW_COUNT,
		.max_batch = PVMREAD_MAX_BATCH,
	};
	/* Whole fields; those of 32 bits come first. */
	usize = min_t(long, usize, sizeof(info));
	usize = round_down(usize, usize < offsetof(struct pvmread_info, features) ?
				  sizeof(u32) : sizeof(u64));
	return copy_to_user(uarg, &info, usize) ? -EFAULT : 0;
}

/* Write the out fields of @rw to the caller's struct, which has @usize bytes. */
static int pvmread_put_rw(struct pvmread_rw __user *urw,
			  const struct pvmread_rw *rw, size_t usize)
{
	if (!user_write_access_begin(urw, min(usize, sizeof(*urw))))
		return -EFAULT;
	/* From the end: a struct that ends in a hole is left as it was. */
	if (usize >= offsetofend(struct pvmread_rw, stop_addr))
		unsafe_put_user(rw->stop_addr, &urw->stop_addr, efault);
	unsafe_put_user(rw->transferred, &urw->transferred, efault);
	unsafe_put_user(rw->error, &urw->error, efault);
	user_write_access_end();
	return 0;
efault:
	user_write_access_end();
	return -EFAULT;
}

/*
 * READV and WRITEV behind the struct. The order of the steps is that of
 * process_vm_readv(2), and each decides which errno a request has that is
 * wrong twice.
 *
 * Return: bytes moved, with the reason of a short transfer in rw->error, or
 * the errno of one that moved none.
 */
static ssize_t pvmread_rw(struct pvmread_rw *rw, bool write)
{
	u32 flags = rw->flags | PVMREAD_PIN | PVMREAD_HELD |
		    (write ? PVMREAD_WRITE : 0);
	struct pvmread_vectors vec __uninitialized;
	struct pvmread_engine eng __uninitialized;
	struct task_struct *task;
	ssize_t total, moved = 0;
	unsigned long pages;
	pid_t tgid;
	int ret;

	total = pvmread_vectors_import(&vec, write, rw->local, rw->local_count,
				       rw->remote, rw->remote_count);
	if (total < 0)
		return total;

	ret = 0;
	pages = pvmread_vectors_pages(&vec);
	if (!pages)
		goto release_vectors;
	ret = pvmread_engine_init(&eng, flags, pages);
	if (ret)
		goto release_vectors;

	task = pvmread_target_task(rw->pid, flags);
	if (IS_ERR(task)) {
		ret = PTR_ERR(task);
		goto release_engine;
	}
	eng.mm = pvmread_target_mm(task);
	tgid = task->tgid;
	put_task_struct(task);
	if (IS_ERR(eng.mm)) {
		ret = PTR_ERR(eng.mm);
		goto trace;
	}

	ret = pvmread_engine_run(&eng, &vec);
	pvmread_target_put(eng.mm, flags);

	rw->stop_addr = eng.stop_addr;
	rw->error = -ret;
	moved = total - iov_iter_count(&vec.local);
trace:
	if (trace_transfer_enabled()) {
		const struct iovec *first = vec.remote;

		/* There is one that is not empty, or there were no pages. */
		while (!first->iov_len)
			first++;
		pvmread_trace_transfer(PVMREAD_TRACE_RW, tgid, &eng,
				       (uintptr_t)first->iov_base,
				       vec.remote_count, moved, ret);
	}
	if (moved)
		ret = moved;
	else if (rw->error && ret != -EINTR)
		/* Either side's memory, as the syscall has it. */
		ret = -EFAULT;

release_engine:
	pvmread_engine_release(&eng);
release_vectors:
	pvmread_vectors_release(&vec);
	return ret;
}

static long pvmread_ioctl_rw(struct file *file, struct pvmread_rw __user *urw,
			     bool write)
{
	struct pvmread_rw rw;
	ssize_t moved;
	long usize;

	usize = pvmread_get_arg(&rw, sizeof(rw),
				offsetofend(struct pvmread_rw, transferred),
				urw);
	if (usize < 0)
		return usize;
	if (rw.flags & ~(PVMREAD_PIDFD | PVMREAD_NOWAIT | PVMREAD_RESIDENT))
		return -EINVAL;

	/* A struct that cannot be answered must fail before bytes move. */
	rw.error = 0;
	rw.transferred = 0;
	rw.stop_addr = 0;
	if (pvmread_put_rw(urw, &rw, usize))
		return -EFAULT;

	/* As for read(2) and write(2): a node may be readable to a group alone. */
	if (!(file->f_mode & (write ? FMODE_WRITE : FMODE_READ)))
		moved = -EBADF;
	else if (write && readonly)
		moved = -EROFS;
	else
		moved = pvmread_rw(&rw, write);

	if (moved > 0)
		rw.transferred = moved;
	else if (!rw.error)
		rw.error = -moved;
	if (pvmread_put_rw(urw, &rw, usize))
		return -EFAULT;
	return min_t(ssize_t, moved, 0);
}

static long pvmread_ioctl_attach(struct file *file, void __user *uarg)
{
	struct pvmread_attach attach;
	struct file *target;
	u64 end = 0;
	long ret;
	int fd;

	ret = pvmread_get_arg(&attach, sizeof(attach), sizeof(attach), uarg);
	if (ret < 0)
		return ret;
	if (attach.flags & ~(PVMREAD_PIDFD | PVMREAD_WRITE | PVMREAD_NOWAIT |
			     PVMREAD_RESIDENT))
		return -EINVAL;
	if (attach.__reserved)
		return -EINVAL;
	/* An end of 0 is that of all memory. */
	if (attach.length ? check_add_overflow(attach.start, attach.length, &end) :
			    attach.start)
		return -EINVAL;
	if (overflows_type(end, unsigned long))
		return -EINVAL;

	/* The file allows no more than the one it comes from. */
	if (!(file->f_mode & FMODE_READ))
		return -EBADF;
	if (attach.flags & PVMREAD_WRITE) {
		if (!(file->f_mode & FMODE_WRITE))
			return -EBADF;
		if (readonly)
			return -EROFS;
	}

	target = pvmread_target_file(&attach, end - 1);
	if (IS_ERR(target))
		return PTR_ERR(target);
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		fput(target);
	else
		fd_install(fd, target);
	return fd;
}

static long pvmread_ioctl(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	void __user *uarg = (void __user *)arg;

	switch (cmd) {
	case PVMREAD_IOC_INFO:
		return pvmread_ioctl_info(uarg);
	case PVMREAD_IOC_READV:
		return pvmread_ioctl_rw(file, uarg, false);
	case PVMREAD_IOC_WRITEV:
		return pvmread_ioctl_rw(file, uarg, true);
	case PVMREAD_IOC_ATTACH:
		return pvmread_ioctl_attach(file, uarg);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations pvmread_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= pvmread_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};

static struct miscdevice pvmread_miscdev = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= KBUILD_MODNAME,
	.fops	= &pvmread_fops,
	.mode	= 0600,
};

/* --- init and exit ------------------------------------------------------- */

static int __init pvmread_init(void)
{
	int ret = pvmread_symbols_init();

	if (ret)
		return ret;
	return misc_register(&pvmread_miscdev);
}
module_init(pvmread_init);

static void __exit pvmread_exit(void)
{
	misc_deregister(&pvmread_miscdev);
}
module_exit(pvmread_exit);

MODULE_DESCRIPTION("Read and write the memory of another process through a device");
MODULE_AUTHOR("The pvmread developers");
MODULE_VERSION("0.1.0");
MODULE_LICENSE("GPL");
