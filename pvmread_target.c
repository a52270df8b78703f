// SPDX-License-Identifier: GPL-2.0-only
/*
 * Target files: a process as a file whose position is an address.
 *
 * Each file has a struct pvmread_target, which lives from ATTACH until ->release(). It owns
 * a reference to mm_count, not mm_users: the file keeps the mm_struct, but not the
 * target's memory. Apart from its counters it never changes, so no lock protects it.
 *
 * ATTACH checks the permission, and no transfer does. A transfer begins with
 * mmget_not_zero(), which fails when the target has exited or called execve(): then the
 * answer is ESRCH.
 */
#include <linux/anon_inodes.h>
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/uio.h>

#include <linux/pvmread.h>

#include "pvmread.h"
#include "pvmread_trace.h"

static __always_inline ssize_t
pvmread_target_rw(struct kiocb *iocb, struct iov_iter *iter, bool write,
		  struct pvmread_cache *cache, size_t done, bool missed)
{
	struct pvmread_target *target = iocb->ki_filp->private_data;
	bool iocb_nowait = iocb->ki_flags & IOCB_NOWAIT;
	size_t len = done + iov_iter_count(iter), moved, reach;
	struct pvmread_engine eng __uninitialized;
	u64 addr = iocb->ki_pos;
	int ret;

	reach = pvmread_target_reach(target, addr, len);
	/* If any byte is in the range, the engine makes this check. */
	if (!reach && !pvmread_target_alive(target))
		return -ESRCH;

	pvmread_engine_init(&eng, target->mm, write,
			    target->nowait || iocb_nowait, target->resident);
	eng.cache = cache;
	if (missed)
		eng.cache_missed = addr + done;
	if (iocb_nowait && !is_sync_kiocb(iocb) && done < reach) {
		iov_iter_revert(iter, done);
		ret = pvmread_engine_move_whole(&eng, addr, reach, iter);
	} else {
		ret = pvmread_engine_move(&eng, addr + done, reach - done, iter);
	}
	pvmread_engine_release(&eng);
	if (!ret && reach < len)
		ret = -EIO;

	moved = len - iov_iter_count(iter);
	iocb->ki_pos += moved;
	pvmread_target_account(target, write, moved);
	if (ret == -EIO)
		atomic64_inc(&target->faults);
	/* Skip a target that has exited: its pid may belong to another process now. */
	if (trace_transfer_enabled() && (moved || ret != -ESRCH))
		pvmread_engine_trace(&eng, PVMREAD_TRACE_FILE, pid_nr(target->pid),
				     0, addr, 1, moved, ret);
	return moved ?: ret;
}

/**
 * pvmread_target_read() - read by the engine
 * @iocb: as ->read_iter() has it
 * @to: likewise, advanced by @done
 * @cache: the target file's cache, or NULL
 * @done: number of bytes that were copied from @cache
 * @missed: whether @cache is known not to have the next page
 *
 * Return: as ->read_iter(), for the whole read.
 */
ssize_t pvmread_target_read(struct kiocb *iocb, struct iov_iter *to,
			    struct pvmread_cache *cache, size_t done, bool missed)
{
	return pvmread_target_rw(iocb, to, false, cache, done, missed);
}

static ssize_t pvmread_target_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	return pvmread_target_rw(iocb, to, false, NULL, 0, false);
}

static ssize_t pvmread_target_write_iter(struct kiocb *iocb,
					 struct iov_iter *from)
{
	return pvmread_target_rw(iocb, from, true, NULL, 0, false);
}

static const struct pvmread_command pvmread_target_commands[] = {
	{ PVMREAD_IOC_BATCH, sizeof(struct pvmread_batch),
	  offsetofend(struct pvmread_batch, completed),
	  PVMREAD_WRITE | PVMREAD_STOP | PVMREAD_NOWAIT | PVMREAD_RESIDENT,
	  pvmread_batch },
};

static long pvmread_target_ioctl(struct file *file, unsigned int cmd,
				 unsigned long arg)
{
	return pvmread_run_command(pvmread_target_commands,
				   ARRAY_SIZE(pvmread_target_commands),
				   file, cmd, (void __user *)arg);
}

static void pvmread_target_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct pvmread_target *target = file->private_data;
	pid_t nr = -1;

	/* After the process has exited, another one may have its pid. */
	if (pvmread_target_alive(target) && target->pid &&
	    pid_has_task(target->pid, PIDTYPE_TGID))
		nr = pid_nr_ns(target->pid, proc_pid_ns(file_inode(m->file)->i_sb));
	seq_printf(m, "pid:\t%d\n", nr);
	seq_printf(m, "range:\t%08lx-%08lx\n", target->start,
		   target->last + 1 ?: ULONG_MAX);
	seq_printf(m, "mode:\t%s%s%s%s%s\n",
		   target->write ? "rw" : "r",
		   target->nowait ? " nowait" : "",
		   target->resident ? " resident" : "",
		   target->cache ? " cache" : "",
		   target->windows ? " window" : "");
	seq_printf(m, "read:\t%lld\n", atomic64_read(&target->bytes_read));
	seq_printf(m, "written:\t%lld\n", atomic64_read(&target->bytes_written));
	seq_printf(m, "faults:\t%lld\n", atomic64_read(&target->faults));
	if (PVMREAD_HAVE_CACHE && target->cache)
		pvmread_cache_show_fdinfo(target->cache, m);
	if (PVMREAD_HAVE_WINDOW && target->windows)
		pvmread_windows_show_fdinfo(target->windows, m);
}

static void pvmread_target_free(struct pvmread_target *target)
{
	if (PVMREAD_HAVE_CACHE && target->cache)
		pvmread_cache_destroy(target->cache);
	if (PVMREAD_HAVE_WINDOW && target->windows)
		pvmread_windows_destroy(target->windows);
	mmdrop(target->mm);
	put_pid(target->pid);
	kfree(target);
}

static int pvmread_target_mmap(struct file *file, struct vm_area_struct *vma)
{
	return PVMREAD_HAVE_WINDOW ? pvmread_window_mmap(file, vma) : -ENODEV;
}

static int pvmread_target_release(struct inode *inode, struct file *file)
{
	pvmread_target_free(file->private_data);
	return 0;
}

#define PVMREAD_TARGET_FOPS(read)				\
{								\
	.owner		= THIS_MODULE,				\
	.fop_flags	= FOP_UNSIGNED_OFFSET,			\
	.llseek		= no_seek_end_llseek,			\
	.read_iter	= read,					\
	.write_iter	= pvmread_target_write_iter,		\
	.mmap		= pvmread_target_mmap,			\
	.splice_read	= copy_splice_read,			\
	.splice_write	= iter_file_splice_write,		\
	.unlocked_ioctl	= pvmread_target_ioctl,			\
	.compat_ioctl	= compat_ptr_ioctl,			\
	.release	= pvmread_target_release,		\
	.show_fdinfo	= pvmread_target_show_fdinfo,		\
}

static const struct file_operations pvmread_target_fops =
	PVMREAD_TARGET_FOPS(pvmread_target_read_iter);

static const struct file_operations pvmread_target_cached_fops =
	PVMREAD_TARGET_FOPS(PVMREAD_HAVE_CACHE ? pvmread_cache_read_iter : NULL);

/**
 * pvmread_target_file() - create a target file
 * @attach: the request; everything except the process was checked
 * @last: the last address of the range
 *
 * Return: the file, which the caller owns; or an ERR_PTR: what pvmread_symbols_get_task()
 * and pvmread_symbols_get_mm() return, -ENOMEM, -ENFILE.
 */
struct file *pvmread_target_file(const struct pvmread_attach *attach,
				 unsigned long last)
{
	struct pvmread_target *target;
	struct task_struct *task;
	struct mm_struct *mm;
	struct file *file;
	int ret;

	task = pvmread_symbols_get_task(attach->pid,
					attach->flags & PVMREAD_PIDFD);
	if (IS_ERR(task))
		return ERR_CAST(task);
	mm = pvmread_symbols_get_mm(task);
	if (IS_ERR(mm)) {
		file = ERR_CAST(mm);
		goto trace;
	}

	file = ERR_PTR(-ENOMEM);
	target = kzalloc(sizeof(*target), GFP_KERNEL_ACCOUNT);
	if (!target)
		goto put_mm;
	mmgrab(mm);
	target->mm = mm;
	/* NULL if the process is being reaped. */
	target->pid = get_task_pid(task, PIDTYPE_TGID);
	target->start = attach->start;
	target->last = last;
	target->write = attach->flags & PVMREAD_WRITE;
	target->nowait = attach->flags & PVMREAD_NOWAIT;
	target->resident = attach->flags & PVMREAD_RESIDENT;

	/* A nowait or resident file would never fill its cache. */
	if (PVMREAD_HAVE_CACHE && attach->flags & PVMREAD_CACHE &&
	    !target->nowait && !target->resident) {
		target->cache = pvmread_cache_create(mm, target->start, target->last);
		if (IS_ERR(target->cache)) {
			file = ERR_CAST(target->cache);
			target->cache = NULL;
			goto free_target;
		}
	}
	if (PVMREAD_HAVE_WINDOW && attach->flags & PVMREAD_WINDOW) {
		target->windows = pvmread_windows_create(mm, target->start,
							 target->last);
		if (IS_ERR(target->windows)) {
			file = ERR_CAST(target->windows);
			target->windows = NULL;
			goto free_target;
		}
	}

	file = anon_inode_getfile_fmode("[pvmread]",
					target->cache ? &pvmread_target_cached_fops :
							&pvmread_target_fops,
					target,
					target->write ? O_RDWR : O_RDONLY,
					FMODE_LSEEK | FMODE_PREAD |
					FMODE_PWRITE | FMODE_NOWAIT);
	if (!IS_ERR(file))
		file->f_pos = target->start;
free_target:
	if (IS_ERR(file))
		pvmread_target_free(target);
put_mm:
	/* The last user would run exit_mmap(), which may wait for a FUSE server. */
	mmput_async(mm);
trace:
	ret = PTR_ERR_OR_ZERO(file);
	trace_attach(task, attach, last, ret == -ERESTARTSYS ? EINTR : -ret);
	put_task_struct(task);
	return file;
}
