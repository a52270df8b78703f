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
