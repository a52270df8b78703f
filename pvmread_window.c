// SPDX-License-Identifier: GPL-2.0-only
/*
 * Windows: mmap() of a target file that was attached with PVMREAD_WINDOW. The caller's page
 * table gets entries for the target's pages, and loads from the window read those pages. A
 * window holds no reference to a page. MMU notifiers remove an entry before the target's page
 * table changes.
 *
 * A struct pvmread_windows belongs to one target file. When the file is freed, the notifier's
 * worker frees it. A struct pvmread_window is one mapping of that file, a VMA, which keeps the
 * file open. After ->close(), the worker of @view or the last sleeping fault frees it.
 *
 * The target's side: windows->notifier watches the attached range. On an invalidation,
 * pvmread_windows_invalidate() removes entries from the caller's page table. The kernel may
 * call it with i_mmap_rwsem or an anon_vma lock held, so it must not take the caller's
 * mmap_lock or i_mmap_rwsem of the window's own file. Therefore no kernel lock keeps the
 * caller's page tables from being freed while it walks them.
 *
 * The caller's side: window->view watches the VMA. Before its page tables are freed or moved,
 * pvmread_window_invalidate_view() removes all entries, and waits until no invalidation walks
 * the page tables any more. The kernel may delay the insertion of @view while other
 * invalidations of the caller's memory run. Until it is done, nothing is mapped.
 *
 * A fault looks pages up and sets entries for them. The page table lock decides between
 * the fault and an invalidation. The invalidation increments window->changes, and then looks
 * for entries. The fault, with the page table lock held, compares window->changes with its
 * value from before the look-up, and then sets entries. So either the fault sees the change, or the
 * invalidation sees the entries. smp_mb() on both sides orders the two for a page table that
 * does not exist yet. A fault must not begin while an invalidation of its pages runs;
 * window->settled excludes that.
 *
 * Lock order: the caller's mmap_lock, the target's mmap_lock (only by trylock), the caller's
 * page table lock. windows->lock and pvmread_zaps_lock nest inside these. Never hold both.
 *
 * Removing entries invalidates the caller's memory. If a third process has a window on the
 * caller, pvmread_windows_invalidate() nests. The nested call has nothing to remove: its range
 * is in a VM_PFNMAP mapping, which no look-up enters, so no window contains pages of another
 * window. It finds its task in pvmread_zaps, counts the change and removes nothing. Otherwise
 * two processes with windows on each other would recurse without end.
 */
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hmm.h>
#include <linux/interval_tree.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/pgtable.h>
#include <linux/rbtree.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait_bit.h>

#include <asm/tlbflush.h>

#include <linux/pvmread.h>

#include "pvmread.h"

/* Pages that a fault maps: the aligned block around it; ahead in sequential access. */
#define PVMREAD_WINDOW_AROUND	16UL
#define PVMREAD_WINDOW_AHEAD	64UL

/* An invalidation clears 32 page tables, then checks whether munmap() waits. */
#define PVMREAD_WINDOW_STEP	(32 * PMD_SIZE)

/* Added to window->walkers to forbid walks of the page tables. */
#define PVMREAD_WINDOW_CLOSED	INT_MIN

/**
 * struct pvmread_windows - the windows on a target file
 * @notifier: watches the attached range
 * @lock: protects @tree, and writes to the @changes of each window
 * @tree: the windows, by their addresses in the target
 * @mapped: number of pages in the ranges that faults have mapped
 * @zapped: number of times that an invalidation removed entries from a window, or flushed its
 *	TLBs
 */
struct pvmread_windows {
	struct pvmread_notifier notifier;
	spinlock_t lock;	/* see above */
	struct rb_root_cached tree;
	atomic64_t mapped;
	atomic64_t zapped;
};

/**
 * struct pvmread_window - a VMA that maps memory of a target
 * @windows: the windows of the file; valid until ->close()
 * @node: in windows->tree; its range is the memory of the target
 * @view: watches the VMA
 * @vma: the VMA
 * @users: one for the VMA, and one for each fault that sleeps
 * @walkers: number of invalidations that use the caller's page tables; with
 *	PVMREAD_WINDOW_CLOSED added, no more may begin
 * @changes: number of invalidations of this memory of the target
 * @settled: all invalidations counted up to this value of @changes have ended
 * @low: the first address that the last fault mapped; racy, a hint
 * @high: the address after the last one; racy, a hint
 */
struct pvmread_window {
	struct pvmread_windows *windows;
	struct interval_tree_node node;
	struct pvmread_notifier view;
	struct vm_area_struct *vma;
	refcount_t users;
	atomic_t walkers;
	unsigned long changes;
	unsigned long settled;
	unsigned long low;
	unsigned long high;
};

/**
 * struct pvmread_zap - a removal of entries
 * @node: in pvmread_zaps
 * @task: the task that runs it
 * @window: where the entries are
 * @start: the first address in the caller's memory
 * @end: the address after the last one
 * @clears: there are entries; if not set, it only flushes TLBs
 */
struct pvmread_zap {
	struct list_head node;
	struct task_struct *task;
	const struct pvmread_window *window;
	unsigned long start;
	unsigned long end;
	bool clears;
};

static DEFINE_SPINLOCK(pvmread_zaps_lock);
/* The removals that run now. */
static LIST_HEAD(pvmread_zaps);

/**
 * struct pvmread_fill - what a fault is about to map
 * @window: the window
 * @changes: window->changes from before the look-up
 * @pfn: the next page, as in &struct hmm_range.hmm_pfns
 * @checked: @changes was found current, with the page table lock held since
 */
struct pvmread_fill {
	struct pvmread_window *window;
	unsigned long changes;
	const unsigned long *pfn;
	bool checked;
};

static void pvmread_window_put(struct pvmread_window *window)
{
	if (refcount_dec_and_test(&window->users))
		kfree(window);
}

static void pvmread_window_free(struct pvmread_notifier *view)
{
	pvmread_window_put(container_of(view, struct pvmread_window, view));
}

/* --- removing entries ------------------------------------------------------- */

/*
 * Remove entries and flush the TLBs. zap_vma_ptes() invalidates the caller's memory, possibly
 * inside an invalidation of the target's. lockdep has one class for the invalidations of all
 * processes, so it would report a deadlock. There is none: see the head of this file.
 * lockdep_off() also hides the page table lock and the locks of the caller's notifiers. lockdep
 * sees these locks in other invalidations of the caller's memory.
 */
static void pvmread_window_zap(struct pvmread_window *window, unsigned long start,
			       unsigned long end, bool clears)
{
	struct pvmread_zap zap = {
		.task = current, .window = window, .start = start, .end = end, .clears = clears,
	};

	spin_lock(&pvmread_zaps_lock);
	list_add(&zap.node, &pvmread_zaps);
	spin_unlock(&pvmread_zaps_lock);
	lockdep_off();
	zap_vma_ptes(window->vma, start, end - start);
	lockdep_on();
	spin_lock(&pvmread_zaps_lock);
	list_del(&zap.node);
	spin_unlock(&pvmread_zaps_lock);
}

/* Is this task inside pvmread_window_zap()? */
static bool pvmread_window_is_nested(void)
{
	struct pvmread_zap *zap;
	bool found = false;

	if (list_empty(&pvmread_zaps))
		return false;
	spin_lock(&pvmread_zaps_lock);
	list_for_each_entry(zap, &pvmread_zaps, node)
		if (zap->task == current)
			found = true;
	spin_unlock(&pvmread_zaps_lock);
	return found;
}

/* Is another task removing entries there? It may not have flushed the TLBs yet. */
static bool pvmread_window_is_zapping(const struct pvmread_window *window,
				      unsigned long start, unsigned long end)
{
	struct pvmread_zap *zap;
	bool found = false;

	spin_lock(&pvmread_zaps_lock);
	list_for_each_entry(zap, &pvmread_zaps, node)
		if (zap->window == window && zap->clears && zap->start < end &&
		    start < zap->end)
			found = true;
	spin_unlock(&pvmread_zaps_lock);
	return found;
}

/*
 * Are there entries from @addr to @end in the page table at @pmd? If so, set *@first to the
 * address of the first one.
 */
static bool pvmread_window_table_has_entries(struct mm_struct *mm, pmd_t *pmd,
					     unsigned long addr, unsigned long end,
					     unsigned long *first)
{
	pte_t *pte = pte_offset_kernel(pmd, addr);
	spinlock_t *ptl = pte_lockptr(mm, pmd);

	spin_lock(ptl);
	for (; addr < end && pte_none(ptep_get(pte)); addr += PAGE_SIZE)
		pte++;
	spin_unlock(ptl);
	if (addr >= end)
		return false;
	*first = addr;
	return true;
}

/*
 * Are there entries from *@start to @end? If so, set *@start to the address of the first one.
 * If munmap() waits, there are none: pvmread_window_invalidate_view() has removed all.
 * The page tables stay: see window->walkers. No entry is huge, because only
 * pvmread_window_set() sets entries. Linux 6.14 does not export
 * apply_to_existing_page_range().
 */
static bool pvmread_window_has_entries(const struct pvmread_window *window,
				       unsigned long *start, unsigned long end,
				       bool may_sleep)
{
	struct mm_struct *mm = window->vma->vm_mm;
	unsigned long addr, next;
	pgd_t *pgd;
	p4d_t *p4d;
	pud_t *pud;
	pmd_t *pmd;

	for (addr = *start; addr < end; addr = next) {
		/* A level that is folded ends where the level above it does. */
		pgd = pgd_offset(mm, addr);
		next = pgd_addr_end(addr, end);
		if (pgd_none(pgdp_get(pgd)))
			continue;
		p4d = p4d_offset(pgd, addr);
		next = p4d_addr_end(addr, next);
		if (p4d_none(p4dp_get(p4d)))
			continue;
		pud = pud_offset(p4d, addr);
		next = pud_addr_end(addr, next);
		if (pud_none(pudp_get(pud)))
			continue;
		pmd = pmd_offset(pud, addr);
		next = pmd_addr_end(addr, next);
		if (pmd_none(pmdp_get(pmd)))
			continue;
		if (pvmread_window_table_has_entries(mm, pmd, addr, next, start))
			return true;
		if (atomic_read(&window->walkers) < 0)
			return false;
		if (may_sleep)
			cond_resched();
	}
	return false;
}

/*
 * Remove the entries for the target's memory from @first to @last, and flush the TLBs.
 * Return: false if there is something to remove or flush, and @may_sleep is not set.
 */
static bool pvmread_window_clear(struct pvmread_window *window, unsigned long first,
				 unsigned long last, bool may_sleep)
{
	struct vm_area_struct *vma = window->vma;
	unsigned long start, end, next, at;
	bool clears;

	start = vma->vm_start + (max(first, window->node.start) - window->node.start);
	end = vma->vm_start + (min(last, window->node.last) - window->node.start) + 1;
	for (; start < end; start = next) {
		at = start;
		clears = pvmread_window_has_entries(window, &at, end, may_sleep);
		next = end;
		if (clears)
			next = min(end, ALIGN_DOWN(at, PVMREAD_WINDOW_STEP) + PVMREAD_WINDOW_STEP);
		/*
		 * If another invalidation has cleared an entry, but not flushed the TLBs yet,
		 * flush them here also: the caller of this invalidation may free the page.
		 * zap_vma_ptes() flushes everything if another removal runs in parallel.
		 */
		if (clears || pvmread_window_is_zapping(window, start, next)) {
			if (!may_sleep)
				return false;
			pvmread_window_zap(window, at, next, clears);
			atomic64_inc(&window->windows->zapped);
		}
		/* pvmread_window_invalidate_view() has removed all entries, and waits for us. */
		if (atomic_read(&window->walkers) < 0)
			break;
	}
	return true;
}

static bool pvmread_windows_invalidate(struct mmu_interval_notifier *sub,
				       const struct mmu_notifier_range *range,
				       unsigned long seq)
{
	struct pvmread_windows *windows =
		container_of(sub, struct pvmread_windows, notifier.sub);
	unsigned long first = range->start & PAGE_MASK, last = (range->end - 1) | ~PAGE_MASK;
	bool may_sleep = mmu_notifier_range_blockable(range), done = true;
	bool nested = pvmread_window_is_nested();
	struct interval_tree_node *node;
	struct pvmread_window *window;

	mmu_interval_set_seq(sub, seq);
	spin_lock(&windows->lock);
	for (node = interval_tree_iter_first(&windows->tree, first, last); node;
	     node = interval_tree_iter_next(node, first, last)) {
		window = container_of(node, struct pvmread_window, node);
		/* A fault that sees the new @changes must also see the new sequence number. */
		smp_store_release(&window->changes, window->changes + 1);
		/* Pairs with smp_mb() in pvmread_window_set(), atomic_cmpxchg() in _open(). */
		smp_mb();
		if (nested || !atomic_inc_unless_negative(&window->walkers))
			continue;
		spin_unlock(&windows->lock);
		if (!pvmread_window_clear(window, first, last, may_sleep))
			done = false;
		spin_lock(&windows->lock);
		/* The window stays in the tree until windows->lock is dropped. */
		if (atomic_dec_return(&window->walkers) == PVMREAD_WINDOW_CLOSED)
			wake_up_var(&window->walkers);
	}
	spin_unlock(&windows->lock);
	return done;
}

static const struct mmu_interval_notifier_ops pvmread_windows_ops = {
	.invalidate = pvmread_windows_invalidate,
};

/*
 * For munmap(), mremap() and exit_mmap(). Then no fault runs: the VMA is locked for writing
 * or has left the tree, or mm_users is 0.
 */
static bool pvmread_window_invalidate_view(struct mmu_interval_notifier *sub,
					   const struct mmu_notifier_range *range,
					   unsigned long seq)
{
	struct pvmread_window *window = container_of(sub, struct pvmread_window, view.sub);
	struct vm_area_struct *vma = window->vma;

	/* Other events leave the page tables where they are. */
	if (range->event != MMU_NOTIFY_UNMAP && range->event != MMU_NOTIFY_RELEASE)
		return true;
	if (atomic_read(&window->walkers) == PVMREAD_WINDOW_CLOSED)
		return true;
	if (!mmu_notifier_range_blockable(range))
		return false;
	/* Until the entries are removed, invalidations of the target must find them. */
	pvmread_window_zap(window, vma->vm_start, vma->vm_end, true);
	if (atomic_add_return(PVMREAD_WINDOW_CLOSED, &window->walkers) !=
	    PVMREAD_WINDOW_CLOSED)
		wait_var_event(&window->walkers,
			       atomic_read(&window->walkers) == PVMREAD_WINDOW_CLOSED);
	return true;
}

static const struct mmu_interval_notifier_ops pvmread_window_view_ops = {
	.invalidate = pvmread_window_invalidate_view,
};

/* --- setting entries --------------------------------------------------------- */

/* Called for each entry of one page table, with the page table lock held. */
static int pvmread_window_set(pte_t *pte, unsigned long addr, void *data)
{
	struct pvmread_fill *fill = data;
	struct pvmread_window *window = fill->window;
	struct vm_area_struct *vma = window->vma;
	unsigned long pfn = *fill->pfn++;

	if (!fill->checked) {
		/* Pairs with smp_mb() in pvmread_windows_invalidate(). */
		smp_mb();
		if (READ_ONCE(window->changes) != fill->changes)
			return -EAGAIN;
		fill->checked = true;
	}
	if (pfn & HMM_PFN_VALID && pte_none(ptep_get(pte))) {
		pfn &= ~HMM_PFN_FLAGS;
		set_pte_at(vma->vm_mm, addr, pte,
			   pte_mkspecial(pfn_pte(pfn, vma->vm_page_prot)));
		update_mmu_cache(vma, addr, pte);
	}
	return 0;
}

/* Map what was looked up, from @start to @end in the caller's memory. */
static vm_fault_t pvmread_window_set_entries(struct pvmread_fill *fill, unsigned long start,
					     unsigned long end)
{
	struct pvmread_window *window = fill->window;
	int err;

	mmap_assert_locked(window->vma->vm_mm);
	err = apply_to_page_range(window->vma->vm_mm, start, end - start, pvmread_window_set,
				  fill);
	if (err == -ENOMEM)
		return VM_FAULT_OOM;
	/* If the target has changed meanwhile, the fault happens again. */
	if (!err) {
		WRITE_ONCE(window->low, start);
		WRITE_ONCE(window->high, end);
		atomic64_add((end - start) >> PAGE_SHIFT, &window->windows->mapped);
	}
	return VM_FAULT_NOPAGE;
}

/*
 * Refuse memory that a driver has mapped: it may not be RAM, or may need other attributes.
 * Allow two protections, because vma_set_page_prot() may have left VM_SHARED out.
 */
static bool pvmread_window_allows(const struct vm_area_struct *source)
{
	pgprot_t prot = vm_get_page_prot(source->vm_flags);
	pgprot_t notify = vm_get_page_prot(source->vm_flags & ~VM_SHARED);

	return !(source->vm_flags & (VM_IO | VM_PFNMAP | VM_MIXEDMAP)) &&
	       (pgprot_val(source->vm_page_prot) == pgprot_val(prot) ||
		pgprot_val(source->vm_page_prot) == pgprot_val(notify));
}

/* Has the kernel inserted window->view? Then it stays until ->close(). */
static bool pvmread_window_has_view(const struct pvmread_window *window)
{
	/* Read without the lock of mm/mmu_notifier.c: it may be false for a moment too long. */
	return !data_race(RB_EMPTY_NODE(&window->view.sub.interval_tree.rb));
}

/*
 * Allow invalidations to walk the page tables, before entries are set. Return: false if the
 * kernel has not inserted window->view yet: then munmap() would not wait for them.
 */
static bool pvmread_window_open(struct pvmread_window *window)
{
	if (atomic_read(&window->walkers) != PVMREAD_WINDOW_CLOSED)
		return true;
	if (!pvmread_window_has_view(window))
		return false;
	/* A full barrier; pairs with smp_mb() in pvmread_windows_invalidate(). */
	atomic_cmpxchg(&window->walkers, PVMREAD_WINDOW_CLOSED, 0);
	return true;
}

/*
 * Get the value of window->changes that pvmread_window_set() compares. Return: false if an
 * invalidation of the window's pages may still run.
 */
static bool pvmread_window_begin(struct pvmread_window *window, unsigned long *changes)
{
	unsigned long seq;

	/*
	 * Pairs with smp_store_release() in pvmread_windows_invalidate(): if @changes includes
	 * an invalidation, pvmread_notifier_begin() below sees its sequence number. The target's
	 * page table must not be read before this.
	 */
	*changes = smp_load_acquire(&window->changes);
	/* Pairs with both stores to @settled. */
	if (smp_load_acquire(&window->settled) == *changes)
		return true;
	/* Has nothing changed in the whole attached range? */
	if (!pvmread_notifier_begin(&window->windows->notifier, &seq))
		return false;
	/* Pairs with smp_load_acquire() above. */
	smp_store_release(&window->settled, *changes);
	return true;
}

/*
 * Choose which addresses in the caller's memory to map for a fault at @addr: *@start to *@end.
 * Map more if faults run upwards or downwards. memcpy() can run either way.
 */
static void pvmread_window_choose(const struct pvmread_window *window,
				  const struct vm_area_struct *source, unsigned long addr,
				  unsigned long *start, unsigned long *end)
{
	const struct vm_area_struct *vma = window->vma;
	unsigned long offset = vma->vm_start - window->node.start;
	unsigned long around = PVMREAD_WINDOW_AROUND * PAGE_SIZE;

	*start = ALIGN_DOWN(addr, around);
	*end = *start + around;
	if (vma->vm_flags & VM_RAND_READ) {
		*start = addr;
		*end = addr + PAGE_SIZE;
	} else if (vma->vm_flags & VM_SEQ_READ || addr == READ_ONCE(window->high)) {
		*start = addr;
		*end = addr + PVMREAD_WINDOW_AHEAD * PAGE_SIZE;
	} else if (addr + PAGE_SIZE == READ_ONCE(window->low)) {
		*end = addr + PAGE_SIZE;
		*start = *end - min(*end, PVMREAD_WINDOW_AHEAD * PAGE_SIZE);
	}
	/* Stay in the window and in one page table. */
	*start = max3(*start, vma->vm_start, addr & PMD_MASK);
	*end = min3(*end, vma->vm_end, (addr & PMD_MASK) + PMD_SIZE);
	/* The target's VMA may begin before the window and end after it. */
	if (source->vm_start > *start - offset)
		*start = source->vm_start + offset;
	if (source->vm_end < *end - offset)
		*end = source->vm_end + offset;
}

/*
 * Get up to @nr pages that the target has mapped, from @addr on, and drop the references at
 * once. window->changes later tells pvmread_window_set() whether the target still maps them.
 * Return: the number of pages, or an errno.
 */
static long pvmread_window_gup(struct mm_struct *mm, unsigned long addr, unsigned long nr,
			       unsigned long *pfns)
{
	struct page *page, **pages = (struct page **)pfns;
	long i, got;

	BUILD_BUG_ON(sizeof(*pages) != sizeof(*pfns));
	got = get_user_pages_remote(mm, addr, nr, FOLL_NOFAULT, pages, NULL);
	for (i = 0; i < got; i++) {
		page = pages[i];
		pfns[i] = page_to_pfn(page) | HMM_PFN_VALID;
		put_page(page);
	}
	return got;
}

/*
 * Look up the pages that the target has mapped from @start to @end in @source. The page at
 * @addr must be among them. hmm_range_fault() is quicker than GUP, but only GUP refuses secret
 * memory, follows entries that NUMA balancing made inaccessible, and does not sleep in hugetlb.
 * Return: false if the target has not mapped the page at @addr.
 */
static bool pvmread_window_look_up(struct mmu_interval_notifier *sub,
				   const struct vm_area_struct *source, unsigned long addr,
				   unsigned long *start, unsigned long *end,
				   unsigned long *pfns)
{
	struct hmm_range range = {
		.notifier = sub,
		.notifier_seq = READ_ONCE(sub->invalidate_seq),
		.start = *start,
		.end = *end,
		.hmm_pfns = pfns,
	};
	unsigned long before = (addr - *start) >> PAGE_SHIFT, pfn;
	long got;

	if (IS_ENABLED(CONFIG_HMM_MIRROR) && !(source->vm_flags & VM_HUGETLB)) {
		if (pvmread_window_gup(sub->mm, addr, 1, &pfn) != 1)
			return false;
		if (hmm_range_fault(&range)) {
			/* Fall back to the page that GUP returned. */
			*start = addr;
			*end = addr + PAGE_SIZE;
			before = 0;
		}
		pfns[before] = pfn;
		return true;
	}
	got = pvmread_window_gup(sub->mm, *start, (*end - *start) >> PAGE_SHIFT, pfns);
	/* A page before the one at @addr may be missing. */
	if (before && got <= (long)before) {
		*start = addr;
		got = pvmread_window_gup(sub->mm, addr, (*end - addr) >> PAGE_SHIFT, pfns);
	}
	if (got <= 0)
		return false;
	*end = *start + (got << PAGE_SHIFT);
	return true;
}

/*
 * Map pages that the target has mapped, including the page at @addr. mmap_lock of the window's
 * mm is held, and so is a reference to the target's mm_users.
 *
 * Return: VM_FAULT_NOPAGE; VM_FAULT_RETRY if pvmread_window_wait() must wait; VM_FAULT_SIGBUS;
 * VM_FAULT_OOM.
 */
static vm_fault_t pvmread_window_fill(struct pvmread_window *window, struct mm_struct *mm,
				      unsigned long addr)
{
	struct pvmread_fill fill = { .window = window };
	struct mmu_interval_notifier *sub = &window->windows->notifier.sub;
	struct vm_area_struct *vma = window->vma, *source;
	unsigned long start, end, offset = vma->vm_start - window->node.start;
	unsigned long pfns[PVMREAD_WINDOW_AHEAD] = {};
	vm_fault_t ret = VM_FAULT_RETRY;
	bool found = false;

	if (!pvmread_window_open(window) || !pvmread_window_begin(window, &fill.changes))
		return VM_FAULT_RETRY;
	/* Waiting could deadlock if two processes have windows on each other. */
	if (!mmap_read_trylock(mm))
		return VM_FAULT_RETRY;
	source = vma_lookup(mm, addr - offset);
	if (source && pvmread_window_allows(source)) {
		pvmread_window_choose(window, source, addr, &start, &end);
		start -= offset;
		end -= offset;
		found = pvmread_window_look_up(sub, source, addr - offset, &start, &end, pfns);
	} else {
		ret = VM_FAULT_SIGBUS;
	}
	mmap_read_unlock(mm);
	if (!found)
		return ret;

	fill.pfn = pfns;
	return pvmread_window_set_entries(&fill, start + offset, end + offset);
}

/* Wait, killably, until the kernel has inserted window->view. */
static void pvmread_window_wait_open(struct pvmread_window *window)
{
	while (!pvmread_window_has_view(window) && !READ_ONCE(window->view.closed) &&
	       !fatal_signal_pending(current))
		schedule_timeout_killable(1);
}

/*
 * Drop mmap_lock, fault the page in, wait for what stopped pvmread_window_fill(), and map
 * the page.
 *
 * Return: VM_FAULT_RETRY with mmap_lock dropped, or held if FAULT_FLAG_RETRY_NOWAIT is set;
 * or anything else with mmap_lock held.
 */
static vm_fault_t pvmread_window_wait(struct pvmread_window *window, struct mm_struct *mm,
				      struct vm_fault *vmf)
{
	unsigned long addr = vmf->address & PAGE_MASK, from, pfn;
	struct pvmread_fill fill = { .window = window, .pfn = &pfn };
	struct mm_struct *reader = vmf->vma->vm_mm;
	struct vm_area_struct *vma, *source;
	vm_fault_t ret = VM_FAULT_RETRY;
	struct file *file;
	struct page *page;
	int locked = 1;
	bool settled;
	long got;

	if (!(vmf->flags & FAULT_FLAG_ALLOW_RETRY))
		return VM_FAULT_SIGBUS;
	if (vmf->flags & FAULT_FLAG_RETRY_NOWAIT)
		return VM_FAULT_RETRY;

	from = window->node.start + (addr - vmf->vma->vm_start);
	/* The VMA may be unmapped meanwhile. The file keeps the module loaded. */
	refcount_inc(&window->users);
	file = get_file(vmf->vma->vm_file);
	mmap_read_unlock(reader);

	settled = pvmread_window_begin(window, &fill.changes);
	if (mmap_read_lock_killable(mm))
		goto out;
	/* If another VMA replaces @source while GUP waits, window->changes shows that. */
	source = vma_lookup(mm, from);
	if (source && pvmread_window_allows(source))
		got = get_user_pages_remote(mm, from, 1, 0, &page, &locked);
	else
		got = -EFAULT;
	if (locked)
		mmap_read_unlock(mm);
	if (got > 0) {
		pfn = page_to_pfn(page) | HMM_PFN_VALID;
		put_page(page);
	} else if (!got || fatal_signal_pending(current)) {
		goto out;
	}
	pvmread_window_wait_open(window);
	if (got > 0 && !settled) {
		if (!pvmread_notifier_wait(&window->windows->notifier))
			/* Pairs with smp_load_acquire() in pvmread_window_begin(). */
			smp_store_release(&window->settled, fill.changes);
		goto out;
	}
	/*
	 * Map the page here: pvmread_window_fill() never gets mmap_lock if the target's threads
	 * always wait for it. Map it only if @addr is still in this window.
	 */
	if (mmap_read_lock_killable(reader))
		goto out;
	vma = vma_lookup(reader, addr);
	if (!vma || vma->vm_private_data != window || !pvmread_window_open(window)) {
		mmap_read_unlock(reader);
		goto out;
	}
	if (got == -ENOMEM)
		ret = VM_FAULT_OOM;
	else if (got < 0)
		ret = VM_FAULT_SIGBUS;
	else
		ret = pvmread_window_set_entries(&fill, addr, addr + PAGE_SIZE);
out:
	pvmread_window_put(window);
	fput(file);
	return ret;
}

static vm_fault_t pvmread_window_fault(struct vm_fault *vmf)
{
	struct pvmread_window *window = vmf->vma->vm_private_data;
	struct mm_struct *mm = window->windows->notifier.mm;
	vm_fault_t ret;

	/* The kernel does not call ->fault() with a VMA lock if there is no ->map_pages(). */
	if (WARN_ON_ONCE(vmf->flags & FAULT_FLAG_VMA_LOCK) || !mmget_not_zero(mm))
		return VM_FAULT_SIGBUS;
	ret = pvmread_window_fill(window, mm, vmf->address & PAGE_MASK);
	if (ret == VM_FAULT_RETRY)
		ret = pvmread_window_wait(window, mm, vmf);
	/* The last user would run exit_mmap(), which may wait for a FUSE server. */
	mmput_async(mm);
	return ret;
}

/* --- mmap() and munmap() ------------------------------------------------------ */

static void pvmread_window_close(struct vm_area_struct *vma)
{
	struct pvmread_window *window = vma->vm_private_data;

	/* mremap() copies the VMA, and unmaps the copy if it cannot move the window. */
	if (window->vma != vma)
		return;
	WARN_ON_ONCE(atomic_read(&window->walkers) != PVMREAD_WINDOW_CLOSED);
	spin_lock(&window->windows->lock);
	interval_tree_remove(&window->node, &window->windows->tree);
	spin_unlock(&window->windows->lock);
	/* From now on the callback of @view only looks at @walkers. */
	pvmread_notifier_close(&window->view);
}

static int pvmread_window_may_split(struct vm_area_struct *vma, unsigned long addr)
{
	return -EINVAL;
}

static int pvmread_window_mremap(struct vm_area_struct *vma)
{
	return -EINVAL;
}

static const struct vm_operations_struct pvmread_window_vm_ops = {
	.close = pvmread_window_close,
	.may_split = pvmread_window_may_split,
	.mremap = pvmread_window_mremap,
	.fault = pvmread_window_fault,
};

/**
 * pvmread_window_mmap() - ->mmap() of a target file
 * @file: the target file
 * @vma: the VMA; its offset is the target's address
 *
 * Takes the lock of each VMA of the caller. The first notifier in the caller's memory also
 * takes the locks of the mapped files and of anonymous memory.
 *
 * Return: 0; -ENODEV if the file was not attached with PVMREAD_WINDOW; -EINVAL for
 * MAP_PRIVATE; -EACCES for PROT_WRITE or PROT_EXEC; -ENXIO if a part is outside the attached
 * range; -ESRCH if the target has exited; -ENOMEM; -EINTR or -ERESTARTSYS as from
 * pvmread_notifier_insert_locked().
 */
int pvmread_window_mmap(struct file *file, struct vm_area_struct *vma)
{
	unsigned long size = vma->vm_end - vma->vm_start;
	struct pvmread_target *target = file->private_data;
	struct pvmread_windows *windows = target->windows;
	u64 start = (u64)vma->vm_pgoff << PAGE_SHIFT;
	struct pvmread_window *window;
	int ret;

	if (!windows)
		return -ENODEV;
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_flags & (VM_WRITE | VM_EXEC))
		return -EACCES;
	if (vma->vm_pgoff > ULONG_MAX >> PAGE_SHIFT ||
	    pvmread_target_reach(target, start, size) < size)
		return -ENXIO;
	if (!pvmread_target_alive(target))
		return -ESRCH;

	window = kzalloc(sizeof(*window), GFP_KERNEL_ACCOUNT);
	if (!window)
		return -ENOMEM;
	window->windows = windows;
	window->vma = vma;
	window->node.start = start;
	window->node.last = start + size - 1;
	refcount_set(&window->users, 1);
	atomic_set(&window->walkers, PVMREAD_WINDOW_CLOSED);
	window->settled = ULONG_MAX;	/* nothing is known */
	pvmread_notifier_init(&window->view, vma->vm_mm, vma->vm_start, vma->vm_end - 1,
			      &pvmread_window_view_ops, pvmread_window_free);
	ret = pvmread_notifier_insert_locked(&window->view);
	if (ret) {
		pvmread_notifier_close(&window->view);
		return ret;
	}
	spin_lock(&windows->lock);
	interval_tree_insert(&window->node, &windows->tree);
	spin_unlock(&windows->lock);
	vm_flags_mod(vma, VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY,
		     VM_MAYWRITE | VM_MAYEXEC);
	vma->vm_private_data = window;
	vma->vm_ops = &pvmread_window_vm_ops;
	return 0;
}

/* --- module and target file ------------------------------------------------------ */

/**
 * pvmread_window_exit() - called when no target file is open any more
 *
 * A fault that has put its reference to the file may not have left the module yet.
 */
void pvmread_window_exit(void)
{
	synchronize_rcu_tasks();
}

static void pvmread_windows_free(struct pvmread_notifier *notifier)
{
	kfree(container_of(notifier, struct pvmread_windows, notifier));
}

/**
 * pvmread_windows_create() - prepare a target file for windows
 * @mm: the target's memory; the caller holds a reference to mm_users
 * @start: the first address of the attached range
 * @last: the last one
 *
 * Return: the windows of the file, or an ERR_PTR: -ENOMEM, or what
 * pvmread_notifier_insert() returns.
 */
struct pvmread_windows *pvmread_windows_create(struct mm_struct *mm, unsigned long start,
					       unsigned long last)
{
	struct pvmread_windows *windows;
	int ret;

	windows = kzalloc(sizeof(*windows), GFP_KERNEL_ACCOUNT);
	if (!windows)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&windows->lock);
	windows->tree = RB_ROOT_CACHED;
	pvmread_notifier_init(&windows->notifier, mm, start, last, &pvmread_windows_ops,
			      pvmread_windows_free);
	ret = pvmread_notifier_insert(&windows->notifier);
	if (!ret) {
		pvmread_notifier_renew(&windows->notifier);
		return windows;
	}
	pvmread_notifier_close(&windows->notifier);
	return ERR_PTR(ret);
}

/**
 * pvmread_windows_destroy() - let a worker free the windows of a file
 * @windows: from pvmread_windows_create(); all windows are closed
 */
void pvmread_windows_destroy(struct pvmread_windows *windows)
{
	pvmread_notifier_close(&windows->notifier);
}

/**
 * pvmread_windows_show_fdinfo() - print the lines for windows in /proc/PID/fdinfo/FD
 * @windows: the windows
 * @m: the file
 */
void pvmread_windows_show_fdinfo(struct pvmread_windows *windows, struct seq_file *m)
{
	seq_printf(m, "mapped:\t%lld\n", atomic64_read(&windows->mapped));
	seq_printf(m, "zapped:\t%lld\n", atomic64_read(&windows->zapped));
}
