// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvmread: read and write the memory of another process through a device.
 *
 * This file has the device: its ioctls, READV and WRITEV, the module's init and
 * exit. The ABI is in uapi/linux/pvmread.h. doc/architecture.md has a drawing of all
 * files.
 *
 * READV and WRITEV take the path of process_vm_readv(2) and process_vm_writev(2).
 * Their functions mirror those of mm/process_vm_access.c and lib/iov_iter.c:
 *
 *   pvmread_rw()              process_vm_rw()
 *   pvmread_rw_core()         process_vm_rw_core()
 *   pvmread_rw_single_vec()   process_vm_rw_single_vec()
 *   pvmread_rw_pages()        process_vm_rw_pages()
 *   pvmread_import_remote()   iovec_from_user(), which is not exported
 *   pvmread_copy_iovecs()     copy_iovec_from_user(), copy_compat_iovec_from_user()
 *
 * They differ from the syscalls in this:
 *
 *  - The local count is checked before it is narrowed to the 32 bits that
 *    import_iovec() takes.
 *  - Only pages that the local side has room for are pinned. The syscalls also
 *    fault in what they cannot copy, and process_vm_writev(2) dirties those pages.
 *  - A fatal signal ends the wait for mmap_lock.
 *  - The reason and the remote address of a short transfer are reported. The
 *    syscalls answer EFAULT for either side's memory.
 *  - The target's pid can be a pidfd.
 *
 * The syscalls have no counterpart of PVMREAD_NOWAIT and PVMREAD_RESIDENT.
 * pvmread_rw_core() hands such a request to the engine. A pin cannot serve it:
 * pinning a page that is shared copy-on-write takes a fault.
 */
#include <linux/compat.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/overflow.h>
#include <linux/page_table_check.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include <xen/xen.h>

#include <linux/pvmread.h>

#include "pvmread.h"
#include "pvmread_trace.h"

static bool readonly;
module_param(readonly, bool, 0444);
MODULE_PARM_DESC(readonly, "Refuse everything that would write to another process (EROFS)");

static bool windows;
module_param(windows, bool, 0444);
MODULE_PARM_DESC(windows, "Allow mmap() of target files that were attached with PVMREAD_WINDOW");

/* --- READV and WRITEV ----------------------------------------------------- */

/*
 * The kernel does not export iovec_from_user(). import_iovec() cannot replace it
 * for the remote array: it refuses addresses outside of the caller's user space and
 * truncates the lengths. The elements are checked in the order of the array, so
 * that a negative length before an unreadable element is EINVAL and not EFAULT.
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

/* On failure nothing is left allocated. */
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

PVMREAD_TESTED void pvmread_vectors_release(struct pvmread_vectors *vec)
{
	if (vec->remote != vec->remote_stack)
		kfree(vec->remote);
	kfree(vec->local_alloc);
}
EXPORT_SYMBOL_TO_SUITE(pvmread_vectors_release);

/**
 * pvmread_vectors_import() - copy both iovec arrays in and check them
 * @vec: filled in; the caller calls pvmread_vectors_release() after success
 * @write: true if the local side is the source
 * @rw: the addresses of the arrays and their lengths, any values
 *
 * Both arrays consist of the caller's own struct iovec, native or compat. The
 * remote array is read only if the local side is not empty, as in the syscalls.
 *
 * Return: the number of bytes on the local side, 0 to MAX_RW_COUNT; or -EINVAL,
 * -EFAULT or -ENOMEM, with nothing left allocated.
 */
PVMREAD_TESTED ssize_t pvmread_vectors_import(struct pvmread_vectors *vec, bool write,
					      const struct pvmread_rw *rw)
{
	struct iovec *alloc = vec->local_stack;
	void __user *uvec = NULL;
	ssize_t total;
	int ret;

	if (rw->local_count > UIO_MAXIOV)
		return -EINVAL;
	/* As in the syscalls, the address of an empty array may be anything. */
	if (rw->local_count && pvmread_user_ptr(rw->local, &uvec))
		return -EFAULT;

	total = import_iovec(write ? ITER_SOURCE : ITER_DEST, uvec,
			     rw->local_count, ARRAY_SIZE(vec->local_stack), &alloc,
			     &vec->local);
	if (total < 0)
		return total;
	/* NULL if local_stack was large enough, or one segment became an ITER_UBUF. */
	vec->local_alloc = alloc;

	ret = pvmread_import_remote(vec, rw->remote, total ? rw->remote_count : 0);
	if (ret < 0) {
		kfree(vec->local_alloc);
		return ret;
	}
	return total;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_vectors_import);

/**
 * pvmread_vectors_pages() - how many pages the largest remote segment spans
 * @vec: filled in by pvmread_vectors_import()
 *
 * Return: the number of pages, with each segment truncated to the room on the local
 * side; 0 if the remote side is empty.
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
		most = max(most, pvmread_count_pages((unsigned long)seg->iov_base,
						     min(seg->iov_len, room)));
	}
	return most;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_vectors_pages);

/*
 * Copy @len bytes between @iter and pinned pages, starting at @offset in the first
 * page. No lock is held: the caller's page faults may take arbitrarily long.
 *
 * Return: 0 if @len bytes were copied or @iter is used up, else -EFAULT.
 */
static int pvmread_rw_pages(struct page **pages, unsigned int offset, size_t len,
			    struct iov_iter *iter, bool write)
{
	while (len && iov_iter_count(iter)) {
		struct page *page = *pages++;
		size_t copy = min(len, PAGE_SIZE - offset);
		size_t copied;

		if (write)
			copied = copy_page_from_iter(page, offset, copy, iter);
		else
			copied = copy_page_to_iter(page, offset, copy, iter);

		len -= copied;
		if (copied < copy && iov_iter_count(iter))
			return -EFAULT;
		offset = 0;
	}
	return 0;
}

/*
 * Copy one remote segment, as far as @iter has room. @pages has space for
 * @max_pages. *@stop is set to the remote address at which the copy ended.
 *
 * Return: 0, or why the copy is short: -EFAULT for the caller's memory, -EIO
 * or -ENOMEM for the target's, or -EINTR.
 */
static int pvmread_rw_single_vec(unsigned long addr, size_t len,
				 struct iov_iter *iter, struct page **pages,
				 unsigned long max_pages, struct mm_struct *mm,
				 bool write, unsigned long *stop)
{
	unsigned int gup_flags = write ? FOLL_WRITE : 0;
	int ret = 0;

	len = min(len, iov_iter_count(iter));
	while (len && !ret) {
		unsigned long nr = min(pvmread_count_pages(addr, len), max_pages);
		size_t bytes, before = iov_iter_count(iter);
		int locked = 1;
		long pinned;

		if (mmap_read_lock_killable(mm)) {
			ret = -EINTR;
			break;
		}
		pinned = pin_user_pages_remote(mm, addr & PAGE_MASK, nr,
					       gup_flags, pages, &locked);
		if (locked)
			mmap_read_unlock(mm);
		if (pinned <= 0) {
			ret = pvmread_engine_gup_error(pinned);
			break;
		}

		bytes = min(len, pinned * PAGE_SIZE - offset_in_page(addr));
		ret = pvmread_rw_pages(pages, offset_in_page(addr), bytes, iter,
				       write);
		bytes = before - iov_iter_count(iter);
		addr += bytes;
		len -= bytes;

		/* Dirty them even after a fault: some pages may have been written. */
		unpin_user_pages_dirty_lock(pages, pinned, write);
	}
	*stop = addr;
	return ret;
}

/*
 * READV or WRITEV with PVMREAD_NOWAIT or PVMREAD_RESIDENT. Puts the mm_users reference,
 * because the engine must not keep it while it faults the caller's memory in.
 *
 * Return: as pvmread_engine_move().
 */
static int pvmread_rw_engine(struct pvmread_vectors *vec, struct mm_struct *mm,
			     const struct pvmread_rw *rw, bool write,
			     unsigned long *stop)
{
	struct pvmread_engine eng __uninitialized;
	unsigned long i;
	int ret = 0;

	mmgrab(mm);
	mmput_async(mm);
	pvmread_engine_init(&eng, mm, write, rw->flags & PVMREAD_NOWAIT,
			    rw->flags & PVMREAD_RESIDENT);
	for (i = 0; i < vec->remote_count && !ret; i++) {
		const struct iovec *seg = &vec->remote[i];

		if (!iov_iter_count(&vec->local))
			break;
		if (!seg->iov_len)
			continue;
		ret = pvmread_engine_move(&eng, (unsigned long)seg->iov_base,
					  seg->iov_len, &vec->local);
		*stop = eng.stop_addr;
		/*
		 * A process may read itself: the next segment must see what this
		 * one has changed.
		 */
		pvmread_engine_release(&eng);
	}
	mmdrop(mm);
	return ret;
}

/* Out of line: the inlined tracepoint would cost pvmread_rw_core() registers. */
static noinline __cold void
pvmread_rw_trace(const struct pvmread_rw *rw, bool write, pid_t tgid,
		 const struct pvmread_vectors *vec, size_t moved, int ret)
{
	const struct iovec *first = vec->remote;

	/* At least one segment is not empty: pvmread_rw_core() has checked that. */
	while (!first->iov_len)
		first++;
	trace_transfer(PVMREAD_TRACE_RW, tgid,
		       rw->flags | (write ? PVMREAD_WRITE : 0),
		       (uintptr_t)first->iov_base, vec->remote_count, moved, -ret);
}

/*
 * Find the target, check the permission, copy the segments.
 *
 * Return: the number of bytes moved, or the errno of a request that moved none.
 * rw->error and rw->stop_addr say why and where the copy ended.
 */
static ssize_t pvmread_rw_core(struct pvmread_rw *rw, bool write,
			       struct pvmread_vectors *vec)
{
	bool by_engine = rw->flags & (PVMREAD_NOWAIT | PVMREAD_RESIDENT);
	size_t total = iov_iter_count(&vec->local), moved = 0;
	struct page *stack_pages[PVMREAD_RW_STACK_PAGES];
	unsigned long i, nr_pages, stop = 0;
	struct page **pages = stack_pages;
	struct task_struct *task;
	struct mm_struct *mm;
	pid_t tgid;
	int ret = 0;

	nr_pages = min(pvmread_vectors_pages(vec), PVMREAD_RW_MAX_PAGES);
	if (!nr_pages)
		return 0;
	if (nr_pages <= ARRAY_SIZE(stack_pages) || by_engine) {
		nr_pages = ARRAY_SIZE(stack_pages);
	} else {
		pages = kmalloc_array(nr_pages, sizeof(*pages), GFP_KERNEL);
		if (!pages)
			return -ENOMEM;
	}

	task = pvmread_symbols_get_task(rw->pid, rw->flags & PVMREAD_PIDFD);
	if (IS_ERR(task)) {
		ret = PTR_ERR(task);
		goto free_pages;
	}
	tgid = task->tgid;
	mm = pvmread_symbols_get_mm(task);
	if (IS_ERR(mm)) {
		ret = PTR_ERR(mm);
		goto put_task;
	}

	if (by_engine) {
		ret = pvmread_rw_engine(vec, mm, rw, write, &stop);
	} else {
		for (i = 0; i < vec->remote_count && !ret; i++) {
			if (!iov_iter_count(&vec->local))
				break;
			if (!vec->remote[i].iov_len)
				continue;
			ret = pvmread_rw_single_vec((unsigned long)vec->remote[i].iov_base,
						    vec->remote[i].iov_len,
						    &vec->local, pages, nr_pages,
						    mm, write, &stop);
		}
		mmput(mm);
	}
	rw->error = -ret;
	rw->stop_addr = stop;
	moved = total - iov_iter_count(&vec->local);

put_task:
	put_task_struct(task);
	if (trace_transfer_enabled())
		pvmread_rw_trace(rw, write, tgid, vec, moved, ret);
	/* The syscalls answer EFAULT for either side's memory. */
	if (rw->error && ret != -EINTR && ret != -ESRCH)
		ret = -EFAULT;
free_pages:
	if (pages != stack_pages)
		kfree(pages);
	return moved ?: ret;
}

/**
 * pvmread_rw() - READV or WRITEV, after the struct was copied in
 * @rw: the request; its @error and @stop_addr are set if a copy was begun
 * @write: true for WRITEV
 *
 * A request may be wrong in more than one way. The first check that fails sets its
 * errno. The order of the checks is that of the syscalls.
 *
 * Return: the number of bytes moved, or the errno of a request that moved none.
 */
PVMREAD_TESTED ssize_t pvmread_rw(struct pvmread_rw *rw, bool write)
{
	struct pvmread_vectors vec __uninitialized;
	ssize_t ret;

	ret = pvmread_vectors_import(&vec, write, rw);
	if (ret < 0)
		return ret;
	ret = pvmread_rw_core(rw, write, &vec);
	pvmread_vectors_release(&vec);
	return ret;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_rw);

/* --- device -------------------------------------------------------------- */

/*
 * In a paravirtualized Xen guest, gntdev's own MMU notifier may take away a page's mapping in
 * the kernel before the cache's notifier runs.
 */
static bool pvmread_have_cache(void)
{
	return PVMREAD_HAVE_CACHE && !xen_pv_domain();
}

/* The page table check does not expect an anonymous page in a second process. */
static bool pvmread_checks_page_tables(void)
{
#ifdef CONFIG_PAGE_TABLE_CHECK
	return !static_branch_likely(&page_table_check_disabled);
#else
	return false;
#endif
}

/* synchronize_rcu_tasks() must wait for a task that was preempted while it left the module. */
static bool pvmread_can_wait_for_tasks(void)
{
	return IS_ENABLED(CONFIG_TASKS_RCU) || !IS_ENABLED(CONFIG_PREEMPTION);
}

static bool pvmread_have_window(void)
{
	return PVMREAD_HAVE_WINDOW && windows && pvmread_have_cache() &&
	       !pvmread_checks_page_tables() && pvmread_can_wait_for_tasks();
}

static long pvmread_ioctl_info(struct file *file, union pvmread_arg *arg,
			       size_t usize, void __user *uarg)
{
	arg->info = (struct pvmread_info) {
		.size = usize,
		.version = PVMREAD_ABI_VERSION,
		.max_segments = UIO_MAXIOV,
		.features = PVMREAD_FEATURE_READV | PVMREAD_FEATURE_WRITEV |
			    (readonly ? PVMREAD_FEATURE_READONLY : 0) |
			    PVMREAD_FEATURE_ATTACH | PVMREAD_FEATURE_BATCH |
			    (pvmread_symbols_have_pidfd ? PVMREAD_FEATURE_PIDFD : 0) |
			    PVMREAD_FEATURE_NOWAIT | PVMREAD_FEATURE_RESIDENT |
			    (pvmread_have_cache() ? PVMREAD_FEATURE_CACHE : 0) |
			    (pvmread_have_window() ? PVMREAD_FEATURE_WINDOW : 0),
		.max_bytes = MAX_RW_COUNT,
		.max_batch = PVMREAD_MAX_BATCH,
	};
	/* Copy whole fields only. The 32-bit fields come first. */
	usize = min(usize, sizeof(arg->info));
	usize = round_down(usize, usize < offsetof(struct pvmread_info, features) ?
				  sizeof(u32) : sizeof(u64));
	return copy_to_user(uarg, &arg->info, usize) ? -EFAULT : 0;
}

/* Write the out fields of @rw to the caller's struct, which has @usize bytes. */
static int pvmread_put_rw(struct pvmread_rw __user *urw,
			  const struct pvmread_rw *rw, size_t usize)
{
	if (!user_write_access_begin(urw, min(usize, sizeof(*urw))))
		return -EFAULT;
	/* Write the last field first: if it is unmapped, the struct stays unchanged. */
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

static long pvmread_ioctl_rw(struct file *file, struct pvmread_rw *rw, size_t usize,
			     struct pvmread_rw __user *urw, bool write)
{
	ssize_t moved;

	/* An unwritable struct must fail before bytes move. */
	rw->error = 0;
	rw->transferred = 0;
	rw->stop_addr = 0;
	if (pvmread_put_rw(urw, rw, usize))
		return -EFAULT;

	/* Check as read(2) and write(2) do: the file may be open only for reading. */
	if (!(file->f_mode & (write ? FMODE_WRITE : FMODE_READ)))
		moved = -EBADF;
	else if (write && readonly)
		moved = -EROFS;
	else
		moved = pvmread_rw(rw, write);

	if (moved > 0)
		rw->transferred = moved;
	else if (!rw->error)
		rw->error = -moved;
	if (pvmread_put_rw(urw, rw, usize))
		return -EFAULT;
	return min_t(ssize_t, moved, 0);
}

static long pvmread_ioctl_readv(struct file *file, union pvmread_arg *arg,
				size_t usize, void __user *uarg)
{
	return pvmread_ioctl_rw(file, &arg->rw, usize, uarg, false);
}

static long pvmread_ioctl_writev(struct file *file, union pvmread_arg *arg,
				 size_t usize, void __user *uarg)
{
	return pvmread_ioctl_rw(file, &arg->rw, usize, uarg, true);
}

static long pvmread_ioctl_attach(struct file *file, union pvmread_arg *arg,
				 size_t usize, void __user *uarg)
{
	const struct pvmread_attach *attach = &arg->attach;
	struct file *target;
	u64 end = 0;
	int fd;

	if (attach->__reserved)
		return -EINVAL;
	/* A page fault of the caller may wait for the target, so a window cannot obey these. */
	if (attach->flags & PVMREAD_WINDOW &&
	    attach->flags & (PVMREAD_NOWAIT | PVMREAD_RESIDENT))
		return -EINVAL;
	/* An end of 0 stands for the end of the address space. */
	if (attach->length ?
	    check_add_overflow(attach->start, attach->length, &end) :
	    attach->start)
		return -EINVAL;
	if (overflows_type(end, unsigned long))
		return -EINVAL;

	/* A target file allows no more than the device file that created it. */
	if (!(file->f_mode & FMODE_READ))
		return -EBADF;
	if (attach->flags & PVMREAD_WRITE) {
		if (!(file->f_mode & FMODE_WRITE))
			return -EBADF;
		if (readonly)
			return -EROFS;
	}

	if ((attach->flags & PVMREAD_CACHE && !pvmread_have_cache()) ||
	    (attach->flags & PVMREAD_WINDOW && !pvmread_have_window()))
		return -EOPNOTSUPP;

	target = pvmread_target_file(attach, end - 1);
	if (IS_ERR(target))
		return PTR_ERR(target);
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		fput(target);
	else
		fd_install(fd, target);
	return fd;
}

#define PVMREAD_RW_FLAGS	(PVMREAD_PIDFD | PVMREAD_NOWAIT | PVMREAD_RESIDENT)

static const struct pvmread_command pvmread_commands[] = {
	{ PVMREAD_IOC_READV, sizeof(struct pvmread_rw),
	  offsetofend(struct pvmread_rw, transferred),
	  PVMREAD_RW_FLAGS, pvmread_ioctl_readv },
	{ PVMREAD_IOC_WRITEV, sizeof(struct pvmread_rw),
	  offsetofend(struct pvmread_rw, transferred),
	  PVMREAD_RW_FLAGS, pvmread_ioctl_writev },
	{ PVMREAD_IOC_ATTACH, sizeof(struct pvmread_attach),
	  offsetofend(struct pvmread_attach, length),
	  PVMREAD_RW_FLAGS | PVMREAD_WRITE | PVMREAD_CACHE | PVMREAD_WINDOW,
	  pvmread_ioctl_attach },
	{ PVMREAD_IOC_INFO, sizeof(struct pvmread_info),
	  offsetofend(struct pvmread_info, __reserved),
	  0, pvmread_ioctl_info },
};

static long pvmread_ioctl(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	return pvmread_run_command(pvmread_commands, ARRAY_SIZE(pvmread_commands),
				   file, cmd, (void __user *)arg);
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
	ret = PVMREAD_HAVE_CACHE ? pvmread_notifier_start() : 0;
	if (ret)
		return ret;
	ret = misc_register(&pvmread_miscdev);
	if (ret && PVMREAD_HAVE_CACHE)
		pvmread_notifier_stop();
	return ret;
}
module_init(pvmread_init);

static void __exit pvmread_exit(void)
{
	misc_deregister(&pvmread_miscdev);
	if (PVMREAD_HAVE_CACHE)
		pvmread_notifier_stop();
	if (PVMREAD_HAVE_WINDOW && windows)
		pvmread_window_exit();
}
module_exit(pvmread_exit);

MODULE_DESCRIPTION("Read and write the memory of another process through a device");
MODULE_AUTHOR("The pvmread developers");
MODULE_VERSION("0.3.0");
MODULE_LICENSE("GPL");
