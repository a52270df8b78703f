// SPDX-License-Identifier: GPL-2.0-only
/*
 * An MMU interval notifier with a sequence number that a worker renews.
 *
 * A translation from GUP is valid if no invalidation has run or begun since GUP started.
 * The number from mmu_interval_read_begin() proves that. mmu_interval_read_begin() waits
 * until no invalidation runs anywhere in the target's memory. The wait has no limit, and
 * signals do not end it, so a target can keep it waiting for ever. Therefore only a worker
 * calls it. The number stays good until the next invalidation of the range.
 * mmu_interval_notifier_remove() can wait as long, so the worker also calls that.
 *
 * A struct pvmread_notifier is part of the object that it serves. It holds a reference to
 * mm_count, not to mm_users. After pvmread_notifier_insert(), pvmread_notifier_close() hands
 * the object to the worker, which frees it after the last callback has returned.
 *
 * notifier->lock protects @busy, @closed, @runs and @wanted.
 */
#include <linux/err.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "pvmread.h"

static struct workqueue_struct *pvmread_notifier_workers;

static void pvmread_notifier_free(struct pvmread_notifier *notifier)
{
	mmdrop(notifier->mm);
	notifier->free(notifier);
}

static void pvmread_notifier_work(struct work_struct *work)
{
	struct pvmread_notifier *notifier =
		container_of(work, struct pvmread_notifier, work);
	bool closed, again;

	if (!READ_ONCE(notifier->closed)) {
		unsigned long seq = mmu_interval_read_begin(&notifier->sub);

		/* Pairs with smp_load_acquire() in pvmread_notifier_begin(). */
		smp_store_release(&notifier->seq, seq);
	}
	spin_lock(&notifier->lock);
	closed = notifier->closed;
	WRITE_ONCE(notifier->runs, notifier->runs + 1);
	/* Does a task wait for a run that begins after this one? */
	again = !closed && (long)(notifier->wanted - notifier->runs) > 0;
	if (again)
		queue_work(pvmread_notifier_workers, &notifier->work);
	WRITE_ONCE(notifier->busy, closed || again);
	wake_up_all(&notifier->wait);
	spin_unlock(&notifier->lock);
	if (!closed)
		return;
	mmu_interval_notifier_remove(&notifier->sub);
	pvmread_notifier_free(notifier);
}

#ifndef CONFIG_PER_VMA_LOCK
static int pvmread_notifier_lock_vma(struct vm_area_struct *vma)
{
	return 0;
}
#elif defined(VM_REFCNT_EXCLUDE_READERS_FLAG)	/* Linux 7.0 and later */
static int pvmread_notifier_lock_vma(struct vm_area_struct *vma)
{
	return vma_start_write_killable(vma);
}
#elif defined(VMA_LOCK_OFFSET)			/* Linux 6.15 to 6.19 */
static int pvmread_notifier_lock_vma(struct vm_area_struct *vma)
{
	vma_start_write(vma);
	return 0;
}
#else
/* vma_start_write_killable() of later kernels. */
static int pvmread_notifier_lock_vma(struct vm_area_struct *vma)
{
	unsigned int seq;

	if (__is_vma_write_locked(vma, &seq))
		return 0;
	if (down_write_killable(&vma->vm_lock->lock))
		return -EINTR;
	WRITE_ONCE(vma->vm_lock_seq, seq);
	up_write(&vma->vm_lock->lock);
	return 0;
}
#endif

/*
 * Wait for the page faults that run with a VMA lock instead of mmap_lock. A FUSE server can
 * make one last for ever. The registration of a notifier also waits for them, but no signal
 * ends that wait. Meanwhile it holds mm_all_locks_mutex, which every such registration on the
 * machine needs. Until mmap_lock is dropped, no fault takes these locks again.
 */
static int pvmread_notifier_lock_vmas(struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	struct vma_iterator vmi;
	int ret = 0;

	mmap_assert_write_locked(mm);
	vma_iter_init(&vmi, mm, 0);
	for_each_vma(vmi, vma) {
		ret = pvmread_notifier_lock_vma(vma);
		if (ret)
			break;
	}
	return ret;
}

/**
 * pvmread_notifier_init() - set up a notifier
 * @notifier: the notifier
 * @mm: the memory that it watches; the caller holds a reference
 * @start: the first address of the range that it watches
 * @last: the last one
 * @ops: the callback
 * @free: frees the object that @notifier is part of
 */
void pvmread_notifier_init(struct pvmread_notifier *notifier, struct mm_struct *mm,
			   unsigned long start, unsigned long last,
			   const struct mmu_interval_notifier_ops *ops,
			   void (*free)(struct pvmread_notifier *notifier))
{
	/* The length must not overflow. No page begins at the last address. */
	if (last - start == ULONG_MAX)
		last--;
	mmgrab(mm);
	notifier->mm = mm;
	notifier->start = start;
	notifier->last = last;
	notifier->ops = ops;
	notifier->free = free;
	notifier->inserted = false;
	notifier->busy = false;
	notifier->closed = false;
	notifier->runs = 0;
	notifier->wanted = 0;
	/* Valid numbers are odd. */
	notifier->seq = 0;
	spin_lock_init(&notifier->lock);
	init_waitqueue_head(&notifier->wait);
	INIT_WORK(&notifier->work, pvmread_notifier_work);
}

/**
 * pvmread_notifier_insert_locked() - start to receive invalidations
 * @notifier: the notifier; the caller holds mmap_lock for writing, and mm_users is not 0
 *
 * Takes the lock of each VMA. The first notifier of an mm also takes the locks of the mapped
 * files and of anonymous memory.
 *
 * Return: 0; -ENOMEM; -EINTR if a fatal signal ended the wait for a VMA lock (on Linux 6.15 to
 * 6.19 no signal ends it); -ERESTARTSYS if any signal ended the registration of the first
 * notifier.
 */
int pvmread_notifier_insert_locked(struct pvmread_notifier *notifier)
{
	int ret;

	ret = pvmread_notifier_lock_vmas(notifier->mm);
	if (ret)
		return ret;
	ret = mmu_interval_notifier_insert_locked(&notifier->sub, notifier->mm, notifier->start,
						  notifier->last - notifier->start + 1,
						  notifier->ops);
	notifier->inserted = !ret;
	/* Any signal ends mm_take_all_locks(). */
	return ret == -EINTR ? -ERESTARTSYS : ret;
}

/**
 * pvmread_notifier_insert() - take mmap_lock and insert a notifier
 * @notifier: the notifier; the caller holds a reference to mm_users
 *
 * Return: 0; -EINTR if a fatal signal ended the wait for mmap_lock; or what
 * pvmread_notifier_insert_locked() returns.
 */
int pvmread_notifier_insert(struct pvmread_notifier *notifier)
{
	int ret;

	ret = mmap_write_lock_killable(notifier->mm);
	if (ret)
		return ret;
	ret = pvmread_notifier_insert_locked(notifier);
	mmap_write_unlock(notifier->mm);
	return ret;
}

/* Queue the work if it is neither queued nor running. */
static void pvmread_notifier_queue(struct pvmread_notifier *notifier)
{
	lockdep_assert_held(&notifier->lock);
	if (notifier->busy)
		return;
	WRITE_ONCE(notifier->busy, true);
	queue_work(pvmread_notifier_workers, &notifier->work);
}

/**
 * pvmread_notifier_renew() - let the worker get a new number
 * @notifier: the notifier, which was inserted
 *
 * Does not sleep.
 */
void pvmread_notifier_renew(struct pvmread_notifier *notifier)
{
	spin_lock(&notifier->lock);
	pvmread_notifier_queue(notifier);
	spin_unlock(&notifier->lock);
}

/**
 * pvmread_notifier_wait() - wait until the worker has a new number
 * @notifier: the notifier, which was inserted
 *
 * When this returns 0, every invalidation whose callback ran before this call has ended.
 *
 * Return: 0, or -ERESTARTSYS if a fatal signal ended the wait.
 */
int pvmread_notifier_wait(struct pvmread_notifier *notifier)
{
	unsigned long run;

	spin_lock(&notifier->lock);
	/* If the work is running, it may have begun too early. Wait for the run after it. */
	run = notifier->runs + notifier->busy + 1;
	notifier->wanted = run;
	pvmread_notifier_queue(notifier);
	spin_unlock(&notifier->lock);
	return wait_event_killable(notifier->wait,
				   (long)(READ_ONCE(notifier->runs) - run) >= 0);
}

/**
 * pvmread_notifier_close() - free the object that a notifier is part of
 * @notifier: the notifier
 *
 * If the notifier was inserted, the worker frees the object.
 */
void pvmread_notifier_close(struct pvmread_notifier *notifier)
{
	if (!notifier->inserted) {
		pvmread_notifier_free(notifier);
		return;
	}
	spin_lock(&notifier->lock);
	WRITE_ONCE(notifier->closed, true);
	pvmread_notifier_queue(notifier);
	spin_unlock(&notifier->lock);
}

/**
 * pvmread_notifier_start() - called when the module is loaded
 *
 * Return: 0 or -ENOMEM.
 */
int __init pvmread_notifier_start(void)
{
	pvmread_notifier_workers = alloc_workqueue("pvmread", WQ_UNBOUND, WQ_MAX_ACTIVE);
	return pvmread_notifier_workers ? 0 : -ENOMEM;
}

/**
 * pvmread_notifier_stop() - called when no target file is open any more
 *
 * Sleeps until the last notifier is freed.
 */
void pvmread_notifier_stop(void)
{
	destroy_workqueue(pvmread_notifier_workers);
}
