// SPDX-License-Identifier: GPL-2.0-only
/*
 * The engine moves bytes between a target's mm and an iov_iter, for target files,
 * BATCH, and READV and WRITEV with PVMREAD_NOWAIT or PVMREAD_RESIDENT.
 *
 * It has one law: nothing of the target is held while the caller's memory is faulted
 * in. The engine copies with page faults disabled, under the target's mmap_lock. If
 * a copy comes out short, the engine drops all that it holds, faults the caller's
 * memory in, and goes on from there. So a caller that stalls its own page fault
 * cannot
 *
 *  - reach a page that the target has moved out of the attached range (mremap),
 *  - keep an exited target's memory alive,
 *  - see what a forked child wrote to a private hugetlb page after the target had
 *    exited: hugetlb_wp() reuses a page by its mapcount and ignores references.
 *
 * A hold is a reference to mm_users, mmap_lock for reading, and references to up to
 * PVMREAD_ENGINE_PAGES neighbouring pages, or pins if the engine writes. It may serve
 * several moves and about PVMREAD_ENGINE_CHUNK bytes. The user of the engine ends it
 * with pvmread_engine_release() before it returns, sleeps, or accesses user memory with
 * page faults enabled.
 *
 * One race remains: during a hold, another thread of the target may drop a page with
 * madvise() or move it with UFFDIO_MOVE. Neither needs mmap_lock for writing.
 * /proc/PID/mem has the same race.
 *
 * A struct pvmread_engine lives on the stack of one request. Its user owns the mm_count
 * reference that it needs.
 */
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/hugetlb_inline.h>
#include <linux/kernel.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/userfaultfd_k.h>

#include <linux/pvmread.h>

#include "pvmread.h"

#define CREATE_TRACE_POINTS
#include "pvmread_trace.h"

/*
 * How often the engine tries again without having moved a byte: after it has faulted
 * in the caller's memory, and after a fault of the target has dropped mmap_lock.
 * Reclaim may take a page away in between, but not this often.
 */
#define PVMREAD_ENGINE_TRIES	16

/* A move looks for a waiter on mmap_lock at least once per this many bytes. */
#define PVMREAD_ENGINE_STEP	((size_t)SZ_32K)

/* --- hold ----------------------------------------------------------------- */

/*
 * A write pins its pages, because it changes them: file systems look for FOLL_PIN. On
 * s390 a read pins them also, because GUP makes a protected guest's page accessible only
 * for FOLL_PIN. On other architectures a read uses references, because pinning a page
 * that is shared copy-on-write would copy it for the target.
 */
static bool pvmread_engine_pins(const struct pvmread_engine *eng)
{
	return eng->write || IS_ENABLED(CONFIG_S390);
}

/* @dirty: some of the pages may have been written. */
static void pvmread_engine_put_pages(struct pvmread_engine *eng, bool dirty)
{
	unsigned long i;

	if (pvmread_engine_pins(eng)) {
		unpin_user_pages_dirty_lock(eng->pages, eng->nr, dirty);
	} else {
		for (i = 0; i < eng->nr; i++)
			put_page(eng->pages[i]);
	}
	eng->nr = 0;
}

/*
 * A reader can steal an rwsem from a waiting writer for 4 ms or longer. So if the target
 * waits to change its mappings, sleep until it has had time to wake up and take mmap_lock.
 * A hold lasts as long as its copy, so the sleep grows with what the last hold copied, or
 * the next may copy. A @nowait engine does not sleep: mmap_read_trylock() steals nothing.
 */
static void pvmread_engine_give_way(const struct pvmread_engine *eng, size_t len)
{
	unsigned int us = 50 + min(eng->copied ?: len, PVMREAD_ENGINE_CHUNK) / 256;

	if (unlikely(pvmread_engine_is_in_the_way(eng)))
		usleep_range(us, 2 * us);
}

/*
 * Take mmap_lock. The caller has a reference to mm_users, which is put on failure.
 *
 * Return: 0, -EINTR, or -EAGAIN if a @nowait engine would have to wait.
 */
static int pvmread_engine_lock(struct pvmread_engine *eng)
{
	if (eng->nowait ? mmap_read_trylock(eng->mm) :
			  !mmap_read_lock_killable(eng->mm)) {
		eng->locked = true;
		eng->copied = 0;
		return 0;
	}
	mmput_async(eng->mm);
	return fatal_signal_pending(current) ? -EINTR : -EAGAIN;
}

/**
 * pvmread_engine_release() - end the hold, if there is one
 * @eng: the engine
 *
 * mmput_async() lets a kernel worker tear the memory down if this was the last user:
 * exit_mmap() may wait for a FUSE server, and that wait is not killable. After a write the
 * release may wait for the lock of a page, to mark the page dirty. Neither mmap_lock nor
 * mm_users is held meanwhile.
 */
void pvmread_engine_release(struct pvmread_engine *eng)
{
	if (!eng->locked)
		return;
	mmap_read_unlock(eng->mm);
	eng->locked = false;
	mmput_async(eng->mm);
	if (eng->nr)
		pvmread_engine_put_pages(eng, eng->write);
}
EXPORT_SYMBOL_TO_SUITE(pvmread_engine_release);

static __always_inline long pvmread_engine_gup(struct pvmread_engine *eng,
					       unsigned long nr,
					       unsigned int gup_flags, int *locked)
{
	if (pvmread_engine_pins(eng))
		return pin_user_pages_remote(eng->mm, eng->first, nr, gup_flags,
					     eng->pages, locked);
	return get_user_pages_remote(eng->mm, eng->first, nr, gup_flags,
				     eng->pages, locked);
}

/* --- nowait ---------------------------------------------------------------- */

/*
 * Will GUP refuse the page before it calls a fault handler? Mirrors check_vma_flags(). If this
 * function misses a page that GUP refuses, the caller merely gets EAGAIN instead of EIO.
 */
static bool pvmread_engine_nowait_refused(struct vm_area_struct *vma, bool write)
{
	return vma->vm_flags & (VM_IO | VM_PFNMAP) ||
	       !(vma->vm_flags & (write ? VM_WRITE : VM_READ));
}

/*
 * Will the fault find private anonymous memory: a zero page, a new page, or the copy
 * of one that is mapped? Mirrors do_pte_missing(), which calls do_anonymous_page() for
 * such a VMA, and do_wp_page(), which calls no file system for a private mapping.
 * FAULT_FLAG_RETRY_NOWAIT keeps do_swap_page() from waiting for a swapped-out page.
 *
 * *@held is a reference to the mapped page, which the caller puts after the fault. Without
 * it reclaim could unmap the page first, and the fault would ask the file system.
 */
static bool pvmread_engine_nowait_private(struct pvmread_engine *eng,
					  struct vm_area_struct *vma, int *locked,
					  struct folio **held)
{
	struct page *page;

	/* Without a file it is anonymous, or the kernel's own like [vdso]. */
	if (!vma->vm_file || vma_is_anonymous(vma))
		return true;
	if (vma->vm_flags & VM_SHARED ||
	    get_user_pages_remote(eng->mm, eng->first, 1, FOLL_NOFAULT, &page,
				  locked) != 1)
		return false;
	*held = page_folio(page);
	return true;
}

/*
 * Will the fault find a page in the page cache that is up to date, unlocked and without
 * PG_readahead? Mirrors filemap_fault(), which gets such a page without I/O, as do the
 * handlers of xfs, ext4, btrfs and shmem. Past the end of the file they return
 * VM_FAULT_SIGBUS at once, except with DAX. ->page_mkwrite() may wait for a journal.
 * *@held is a reference to the page, which the caller puts after the fault: it keeps
 * reclaim and fadvise() from dropping the page. If a hole is punched there before the fault,
 * or the file is truncated and extended, the fault may read the page from the disk.
 *
 * shmem_fault() also waits while a hole is punched over this page. That wait is bounded,
 * because the punch depends on no user process.
 */
static bool pvmread_engine_nowait_cached(struct vm_area_struct *vma,
					 unsigned long addr, bool write,
					 struct folio **held)
{
	struct address_space *mapping = vma->vm_file->f_mapping;
	pgoff_t index = linear_page_index(vma, addr);
	struct inode *inode = mapping->host;
	struct folio *folio;

	if (S_ISREG(inode->i_mode) && !IS_DAX(inode) &&
	    index >= DIV_ROUND_UP(i_size_read(inode), PAGE_SIZE))
		return true;
	if (write && vma->vm_flags & VM_SHARED && vma->vm_ops->page_mkwrite)
		return false;
	folio = filemap_get_folio(mapping, index);
	if (IS_ERR(folio))
		return false;
	*held = folio;
	return folio_test_uptodate(folio) && !folio_test_locked(folio) &&
	       !folio_test_readahead(folio);
}

static bool pvmread_engine_is_fuse(const struct inode *inode)
{
	return inode && inode->i_sb->s_magic == FUSE_SUPER_MAGIC;
}

/*
 * May moving an unmapped page of @vma wait? A FUSE server, which may be the target,
 * can drop pages from the page cache at any time, and a wait for it is not killable.
 * hugetlb_fault() waits for a mutex that another fault holds while it clears a page.
 * Without a 6.15 fix, handle_userfault() makes GUP repeat the fault, with mmap_lock
 * held, while the userfaultfd is being closed.
 */
static bool pvmread_engine_nowait_mapped_only(struct vm_area_struct *vma)
{
	return is_vm_hugetlb_page(vma) || userfaultfd_armed(vma) ||
	       (vma->vm_file && pvmread_engine_is_fuse(file_inode(vma->vm_file)));
}

/*
 * Unpin the first page of a FUSE file and all that follow. A private copy does not
 * belong to the file. After a write the engine marks each page dirty, which may wait for the
 * page's lock. When the kernel drops a dirty page of a FUSE file, it holds that lock until the
 * server, which may be the target, has written the page.
 *
 * The inode stays: mmap_lock has been held since GUP found the page in a mapping of the file.
 *
 * Return: false if no page is left.
 */
static noinline bool pvmread_engine_nowait_keep(struct pvmread_engine *eng)
{
	unsigned long nr;

	mmap_assert_locked(eng->mm);
	for (nr = 0; nr < eng->nr; nr++) {
		struct folio *folio = page_folio(eng->pages[nr]);
		struct address_space *mapping = READ_ONCE(folio->mapping);

		if (mapping && !folio_test_anon(folio) && pvmread_engine_is_fuse(mapping->host))
			break;
	}
	unpin_user_pages(eng->pages + nr, eng->nr - nr);
	eng->nr = nr;
	return nr;
}

/*
 * Fault the first page in, if that does not wait. FOLL_NOWAIT alone does not ensure
 * that: it is a hint that many fault handlers ignore.
 *
 * Return: as GUP; 0 if the fault might wait.
 */
static noinline long pvmread_engine_fault_nowait(struct pvmread_engine *eng,
						 int *locked)
{
	/* The target's addresses may be tagged. */
	unsigned long addr = untagged_addr_remote(eng->mm, eng->first);
	struct vm_area_struct *vma = vma_lookup(eng->mm, addr);
	unsigned int gup_flags = FOLL_NOWAIT | (eng->write ? FOLL_WRITE : 0);
	struct folio *held = NULL;
	long got = 0;

	mmap_assert_locked(eng->mm);
	if (!vma || pvmread_engine_nowait_refused(vma, eng->write) ||
	    (!pvmread_engine_nowait_mapped_only(vma) &&
	     (pvmread_engine_nowait_private(eng, vma, locked, &held) ||
	      pvmread_engine_nowait_cached(vma, addr, eng->write, &held))))
		got = pvmread_engine_gup(eng, 1, gup_flags, locked);
	if (held)
		folio_put(held);
	return got;
}

/* --- pages ----------------------------------------------------------------- */

/**
 * pvmread_engine_gup_error() - why GUP gave no page
 * @got: what it returned, 0 or an errno
 *
 * Return: -EINTR if the caller is being killed, -EAGAIN if the page has to be waited
 * for, -ENOMEM if there was no memory for it, else -EIO.
 */
int pvmread_engine_gup_error(long got)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	if (!got)
		return -EAGAIN;
	return got == -ENOMEM ? -ENOMEM : -EIO;
}

/**
 * pvmread_engine_hold() - hold pages of the target
 * @eng: the engine; pages that it holds are put
 * @addr: address in the first page
 * @len: number of bytes from @addr on that the pages should cover, at least 1
 *
 * Sleeps
 *  - in the target's page faults, unless @nowait or @resident,
 *  - until it gets mmap_lock, unless @nowait,
 *  - up to 0.6 ms before it takes mmap_lock if the target waits for it, unless @nowait.
 *
 * Return: 0 if the page at @addr is held. The pages after it are also held, up to @len
 * bytes, the first page that GUP does not get, or the room in @eng. On an error no page
 * is held, but mmap_lock may be: -ESRCH if the target has exited, -EINTR if the caller
 * is being killed, -EAGAIN if a @nowait engine would have to wait, -ENOMEM if there was
 * no memory to fault the page in, and -EIO if the page is not mapped or not accessible,
 * or if the target dropped it again after each fault.
 */
int pvmread_engine_hold(struct pvmread_engine *eng, unsigned long addr,
			size_t len)
{
	unsigned long nr = pvmread_count_pages(addr, min(len, PVMREAD_ENGINE_CHUNK));
	unsigned int tries;
	int ret;

	if (eng->nr) {
		if (eng->write)
			pvmread_engine_release(eng);
		else
			pvmread_engine_put_pages(eng, false);
	}
	if (pvmread_engine_must_end(eng))
		pvmread_engine_release(eng);

	eng->first = addr & PAGE_MASK;
	if (!eng->locked) {
		pvmread_engine_give_way(eng, len);
		eng->cache_fill = pvmread_engine_cache(eng) && !eng->nowait &&
				  !eng->resident &&
				  pvmread_cache_begin(eng->cache, &eng->cache_seq);
		if (!mmget_not_zero(eng->mm))
			return -ESRCH;
		ret = pvmread_engine_lock(eng);
		if (ret)
			return ret;
	}
	for (tries = 0; tries < PVMREAD_ENGINE_TRIES; tries++) {
		int locked = 1;
		long got;

		got = pvmread_engine_gup(eng, nr, eng->gup_flags, &locked);
		if (got < 0 && eng->nowait && !eng->resident)
			got = pvmread_engine_fault_nowait(eng, &locked);
		if (got > 0)
			eng->nr = got;
		if (likely(got > 0 && locked)) {
			if (unlikely(eng->write && eng->nowait) &&
			    !pvmread_engine_nowait_keep(eng))
				return -EAGAIN;
			if (PVMREAD_HAVE_CACHE && eng->cache_fill)
				pvmread_cache_fill(eng->cache, eng->cache_seq, eng->first,
						   eng->pages, eng->nr);
			return 0;
		}

		if (!locked) {
			/* A fault has dropped mmap_lock: the mappings may have changed. */
			eng->locked = false;
			if (eng->nr)
				pvmread_engine_put_pages(eng, false);
			if (got <= 0)
				mmput_async(eng->mm);
		}
		if (got <= 0)
			return pvmread_engine_gup_error(got);
		if (!locked) {
			ret = pvmread_engine_lock(eng);
			if (ret)
				return ret;
		}
		/* The target may be dropping pages as fast as they are faulted in. */
		if (tries)
			nr = 1;
	}
	return -EIO;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_engine_hold);

/* --- copy ------------------------------------------------------------------ */

/* Some pages have no permanent mapping, or one that must be flushed after a copy. */
#define PVMREAD_ENGINE_BY_PAGE	(IS_ENABLED(CONFIG_HIGHMEM) || \
				 IS_ENABLED(CONFIG_ARCH_HAS_CPU_CACHE_ALIASING))

/*
 * How many of @len bytes, starting at @offset in @page[0], one copy can move: those that
 * are contiguous in the kernel's mapping and in one folio.
 */
static size_t pvmread_engine_contiguous(struct page **page, size_t offset, size_t len)
{
	unsigned long i, pfn = page_to_pfn(*page);
	size_t span = PAGE_SIZE - offset;

	for (i = 1; span < len && !PVMREAD_ENGINE_BY_PAGE; i++) {
		/* Compare the frame numbers first: a struct page may miss the cache. */
		if (page_to_pfn(page[i]) != pfn + i ||
		    page_folio(page[i]) != page_folio(*page))
			break;
		span += PAGE_SIZE;
	}
	return min(span, len);
}

static size_t pvmread_engine_copy_part(struct page *page, size_t offset, size_t len,
				       bool write, struct iov_iter *local)
{
	void *mem;

	if (PVMREAD_ENGINE_BY_PAGE)
		return write ? copy_page_from_iter(page, offset, len, local) :
			       copy_page_to_iter(page, offset, len, local);
	mem = page_address(page) + offset;
	return write ? _copy_from_iter(mem, len, local) :
		       _copy_to_iter(mem, len, local);
}

/*
 * Copy @len bytes at @addr, at least 1, all in pages that are held. Return: how many were
 * copied before the caller's memory had to be faulted in.
 */
static size_t pvmread_engine_copy(struct pvmread_engine *eng, unsigned long addr,
				  size_t len, struct iov_iter *local)
{
	size_t done = 0, copied;

	mmap_assert_locked(eng->mm);
	pagefault_disable();
	do {
		struct page **page = pvmread_engine_page(eng, addr + done);
		size_t offset = offset_in_page(addr + done);
		size_t part = pvmread_engine_contiguous(page, offset, len - done);

		/*
		 * On arm64 a copy that meets a fault stops some bytes before it. Asking
		 * again gets the rest.
		 */
		copied = pvmread_engine_copy_part(*page, offset, part, eng->write,
						  local);
		done += copied;
	} while (copied && done < len);
	pagefault_enable();
	eng->copied += done;
	return done;
}

/* Is it worth while to ask the cache for the page at @addr? */
static bool pvmread_engine_may_hit(const struct pvmread_engine *eng, unsigned long addr)
{
	return pvmread_engine_cache(eng) && eng->cache_missed != addr &&
	       !pvmread_engine_has(eng, addr);
}

/*
 * Copy up to *@part bytes at @addr from pages that the cache has. If it does not have all,
 * *@part is set to what was copied. Return: how many bytes were copied. If they are fewer
 * than *@part, the caller's memory has to be faulted in.
 */
static size_t pvmread_engine_copy_cached(struct pvmread_engine *eng, unsigned long addr,
					 size_t *part, struct iov_iter *local)
{
	size_t copied;
	bool missed;

	copied = pvmread_cache_read(eng->cache, addr, *part, local, false, &missed);
	if (missed) {
		eng->cache_missed = addr + copied;
		*part = copied;
	}
	if (eng->locked) {
		/* Tasks that wait for mmap_lock have also waited for this copy. */
		eng->copied += copied;
		if (pvmread_engine_must_end(eng))
			pvmread_engine_release(eng);
	}
	cond_resched();
	return copied;
}

/**
 * pvmread_engine_fault_in() - fault the caller's memory in, with nothing held
 * @eng: the engine; its hold ends
 * @local: the caller's memory
 * @len: number of bytes to fault in, at least 1; @local has at least as many left
 *
 * Return: 0 if at least the first byte was faulted in, so that the caller can copy
 * again; else -EFAULT or -EINTR.
 */
int pvmread_engine_fault_in(struct pvmread_engine *eng, struct iov_iter *local,
			    size_t len)
{
	size_t left;

	pvmread_engine_release(eng);
	if (fatal_signal_pending(current))
		return -EINTR;
	len = min(len, PVMREAD_ENGINE_CHUNK);
	left = eng->write ? fault_in_iov_iter_readable(local, len) :
			    fault_in_iov_iter_writeable(local, len);
	/* fixup_user_fault() does not grow a stack. A real access to user memory does. */
	if (left == len && !eng->write && fault_in_iov_iter_readable(local, len) < len)
		left = fault_in_iov_iter_writeable(local, len);
	if (left < len)
		return 0;
	return fatal_signal_pending(current) ? -EINTR : -EFAULT;
}

/*
 * Fault the caller's memory in after a short copy, which moved @copied bytes. *@tries
 * counts consecutive copies without progress. Reclaim may drop the page again, or MTE may
 * refuse a part of the page that the fault-in does not touch.
 */
static int pvmread_engine_retry(struct pvmread_engine *eng, struct iov_iter *local,
				size_t len, size_t copied, unsigned int *tries)
{
	*tries = copied ? 0 : *tries + 1;
	if (*tries > PVMREAD_ENGINE_TRIES) {
		pvmread_engine_release(eng);
		return -EFAULT;
	}
	return pvmread_engine_fault_in(eng, local, len);
}

/**
 * pvmread_engine_move() - move one piece of the target's memory
 * @eng: the engine
 * @addr: address of the piece, any value
 * @len: its length; no more is moved than @local has left
 * @local: the other side; advanced by what was moved
 *
 * May sleep as pvmread_engine_hold() does, and in the caller's page faults. A fatal
 * signal ends a page fault if the fault handler allows it. The hold may go on: see
 * pvmread_engine_release().
 *
 * Return: 0 if the piece was moved or @local is used up, or why not: -EFAULT for the
 * caller's memory, else as pvmread_engine_hold(). eng->stop_addr is the address in the
 * target at which the move ended.
 */
int pvmread_engine_move(struct pvmread_engine *eng, unsigned long addr,
			size_t len, struct iov_iter *local)
{
	size_t mapped = SIZE_MAX; /* bytes at @local that need no fault, as far as known */
	unsigned int tries = 0;
	int ret = 0;

	len = min(len, iov_iter_count(local));
	while (len) {
		size_t part, copied;

		if (pvmread_engine_may_hit(eng, addr)) {
			if (fatal_signal_pending(current)) {
				ret = -EINTR;
				break;
			}
			part = min(len, PVMREAD_ENGINE_CHUNK);
			copied = pvmread_engine_copy_cached(eng, addr, &part, local);
		} else {
			if (!pvmread_engine_has(eng, addr) ||
			    (eng->copied && pvmread_engine_must_end(eng))) {
				ret = pvmread_engine_hold(eng, addr, len);
				if (ret)
					break;
			}
			part = min3(len, eng->nr * PAGE_SIZE - (addr - eng->first),
				    min(PVMREAD_ENGINE_STEP,
					PVMREAD_ENGINE_CHUNK - eng->copied));
			copied = pvmread_engine_copy(eng, addr, part, local);
		}
		addr += copied;
		len -= copied;
		mapped -= min(mapped, copied);
		if (copied < part) {
			ret = pvmread_engine_retry(eng, local, len, copied, &tries);
			if (ret)
				break;
			mapped = PVMREAD_ENGINE_CHUNK;
			continue;
		}
		tries = 0;
		/* Avoid a copy that would fail. If the fault-in fails, the next copy reports it. */
		if (!mapped && len) {
			pvmread_engine_fault_in(eng, local, len);
			mapped = PVMREAD_ENGINE_CHUNK;
		}
	}
	eng->stop_addr = addr;
	return ret;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_engine_move);

/**
 * pvmread_engine_move_whole() - move one piece of the target's memory, or nothing
 * @eng: the engine, with @nowait
 * @addr: address of the piece
 * @len: its length; @local has at least as much left
 * @local: the other side; advanced by what was moved
 *
 * For an asynchronous request that must not wait. After -EAGAIN io_uring asks again from
 * a worker, but it takes a short transfer for the final result. So nothing is moved if a
 * page of the target has to be waited for.
 *
 * If the caller's memory has to be faulted in after a part was copied, and a page of the
 * target is gone by then, the answer is -EAGAIN although that part was copied. The next
 * attempt copies it again.
 *
 * Return: as pvmread_engine_move(); -EAGAIN also if the piece is longer than one hold.
 */
int pvmread_engine_move_whole(struct pvmread_engine *eng, unsigned long addr,
			      size_t len, struct iov_iter *local)
{
	size_t done = 0, copied;
	unsigned int tries = 0;
	int ret;

	eng->stop_addr = addr;
	if (len > PVMREAD_ENGINE_CHUNK)
		return atomic_read(&eng->mm->mm_users) ? -EAGAIN : -ESRCH;
	do {
		ret = pvmread_engine_hold(eng, addr + done, len - done);
		if (!ret && eng->nr < pvmread_count_pages(addr + done, len - done))
			ret = -EAGAIN;
		if (ret)
			break;
		copied = pvmread_engine_copy(eng, addr + done, len - done, local);
		done += copied;
		if (done < len)
			ret = pvmread_engine_retry(eng, local, len - done, copied,
						   &tries);
	} while (done < len && !ret);

	if (ret == -EAGAIN) {
		iov_iter_revert(local, done);
		done = 0;
	}
	eng->stop_addr = addr + done;
	return ret;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_engine_move_whole);

/* Copy @part bytes of the page at @addr to @buf, if the cache has it. */
static bool pvmread_engine_peek_cached(struct pvmread_engine *eng, unsigned long addr,
				       size_t part, char *buf)
{
	if (!pvmread_engine_may_hit(eng, addr) || fatal_signal_pending(current))
		return false;
	if (eng->locked && pvmread_engine_must_end(eng))
		pvmread_engine_release(eng);
	cond_resched();
	return pvmread_cache_peek(eng->cache, addr, part, buf);
}

/**
 * pvmread_engine_string() - read up to and including the first NUL
 * @eng: the engine, which does not write
 * @addr: address of the string, any value
 * @len: its maximum length
 * @local: where it goes; advanced by what was moved
 *
 * No page after the NUL is accessed. The target may be changing the string: the bytes
 * that were searched for the NUL are those that are passed on.
 *
 * Return: 1 if a NUL was moved, otherwise as pvmread_engine_move().
 */
noinline_for_stack int
pvmread_engine_string(struct pvmread_engine *eng, unsigned long addr,
		      size_t len, struct iov_iter *local)
{
	unsigned int tries = 0;
	char buf[64];
	int ret = 0;

	len = min(len, iov_iter_count(local));
	while (len && !ret) {
		size_t part = min3(len, sizeof(buf),
				   PAGE_SIZE - offset_in_page(addr));
		size_t copied = 0, more;
		char *nul;

		if (!pvmread_engine_peek_cached(eng, addr, part, buf)) {
			if (!pvmread_engine_has(eng, addr) ||
			    eng->copied >= PVMREAD_ENGINE_CHUNK) {
				ret = pvmread_engine_hold(eng, addr, 1);
				if (ret)
					break;
			}
			memcpy_from_page(buf, *pvmread_engine_page(eng, addr),
					 offset_in_page(addr), part);
		}
		nul = memchr(buf, '\0', part);
		if (nul)
			part = nul - buf + 1;

		pagefault_disable();
		do {
			more = copy_to_iter(buf + copied, part - copied, local);
			copied += more;
		} while (more && copied < part);
		pagefault_enable();

		eng->copied += copied;
		addr += copied;
		len -= copied;
		if (copied < part) {
			ret = pvmread_engine_retry(eng, local, part - copied,
						   copied, &tries);
			continue;
		}
		tries = 0;
		if (nul)
			ret = 1;
	}
	eng->stop_addr = addr;
	return ret;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_engine_string);

/* --- trace ----------------------------------------------------------------- */

/**
 * pvmread_engine_trace() - the tracepoint of a request that the engine served
 * @eng: the engine
 * @op: how the request was made
 * @tgid: the target's pid in the initial namespace
 * @flags: ABI flags of the request that the engine does not know
 * @addr: the first address in the target, or 0
 * @segments: number of segments
 * @bytes: number of bytes moved
 * @ret: 0, or the negative errno that ended it
 *
 * Inlining it would cost every request registers. Call it only if
 * trace_transfer_enabled().
 */
__cold void pvmread_engine_trace(const struct pvmread_engine *eng,
				 enum pvmread_trace_op op, pid_t tgid, u32 flags,
				 u64 addr, u64 segments, u64 bytes, int ret)
{
	flags |= (eng->write ? PVMREAD_WRITE : 0) |
		 (eng->nowait ? PVMREAD_NOWAIT : 0) |
		 (eng->resident ? PVMREAD_RESIDENT : 0);
	trace_transfer(op, tgid, flags, addr, segments, bytes, -ret);
}
