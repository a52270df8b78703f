// SPDX-License-Identifier: GPL-2.0-only
/*
 * The engine: pin, copy, unpin. It knows an mm and an iov_iter, no ioctl.
 */
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
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uio.h>

#include <linux/pvmread.h>

#include "pvmread.h"

#define CREATE_TRACE_POINTS
#include "pvmread_trace.h"

/**
 * pvmread_engine_init() - make an engine ready for a request
 * @eng: the engine; on success pvmread_engine_release() is due
 * @flags: PVMREAD_WRITE, PVMREAD_NOWAIT, PVMREAD_RESIDENT, PVMREAD_PIN,
 *	PVMREAD_HELD; others are not looked at. What a flag asks of GUP is said
 *	here, but for the fault that PVMREAD_NOWAIT may make: pvmread_fault_in()
 * @pages: how many pages one pin has to take at most
 *
 * The page pointers are allocated here and not for each segment, and only if
 * more of them are needed than the stack has. The caller sets eng->mm.
 *
 * Return: 0, or -ENOMEM, and nothing is held.
 */
int pvmread_engine_init(struct pvmread_engine *eng, u32 flags,
				       unsigned long pages)
{
	eng->flags = flags;
	/*
	 * A pin has a page that is shared copy-on-write copied first, by a
	 * fault. For a look at what is there a reference will do, but on s390,
	 * where GUP makes a protected guest's page accessible to a pin alone.
	 */
	eng->pin = flags & PVMREAD_WRITE || IS_ENABLED(CONFIG_S390) ||
		   (flags & (PVMREAD_PIN | PVMREAD_RESIDENT)) == PVMREAD_PIN ?
		   PVMREAD_PIN_ALL : 0;
	eng->gup_flags = (flags & PVMREAD_WRITE ? FOLL_WRITE : 0) |
			 (flags & (PVMREAD_NOWAIT | PVMREAD_RESIDENT) ?
			  FOLL_NOFAULT : 0);
	eng->first = 0;
	eng->nr = 0;
	eng->pages = eng->stack;
	eng->max_pages = ARRAY_SIZE(eng->stack);
	if (pages > eng->max_pages) {
		eng->max_pages = min(pages, PVMREAD_MAX_PIN);
		eng->pages = kmalloc_array(eng->max_pages, sizeof(*eng->pages),
					   GFP_KERNEL);
		if (!eng->pages)
			return -ENOMEM;
	}
	return 0;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_engine_init);

/**
 * pvmread_engine_unpin() - let the pages go that the last move has left pinned
 * @eng: the engine
 */
void pvmread_engine_unpin(struct pvmread_engine *eng)
{
	unsigned long i;

	if (eng->pin) {
		/* Dirty even after a fault: a part may have been written. */
		unpin_user_pages_dirty_lock(eng->pages, eng->nr,
					    eng->flags & PVMREAD_WRITE);
		eng->pin &= ~PVMREAD_PIN_THESE;
	} else {
		for (i = 0; i < eng->nr; i++)
			put_page(eng->pages[i]);
	}
	eng->nr = 0;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_engine_unpin);

/**
 * pvmread_engine_release() - give back what pvmread_engine_init() took
 * @eng: the engine, with pages pinned or not
 */
void pvmread_engine_release(struct pvmread_engine *eng)
{
	if (eng->nr)
		pvmread_engine_unpin(eng);
	if (eng->pages != eng->stack)
		kfree(eng->pages);
}
EXPORT_SYMBOL_TO_SUITE(pvmread_engine_release);

/* Take mmap_lock. Return: false if it would be waited for, or the caller is killed. */
static __always_inline bool pvmread_lock(struct pvmread_engine *eng)
{
	if (eng->flags & PVMREAD_NOWAIT)
		return mmap_read_trylock(eng->mm);
	return !mmap_read_lock_killable(eng->mm);
}

/*
 * Does it take more than a reference to keep what a page holds? A process that
 * shares it copy-on-write writes to a copy as long as somebody has a reference. But
 * hugetlbfs counts who has it mapped: when the target is gone, its child, whom the
 * caller may not be allowed to see, would write to the page itself.
 */
static bool pvmread_must_keep(struct folio *folio)
{
	return folio_test_hugetlb(folio) && folio_test_anon(folio);
}

/*
 * Have copies of the first pages in their place, up to @nr: as long as the target has
 * a page mapped, who shares it does not write to it. Called with mmap_lock held, so
 * that no fork can come between. Return: how many, 0 if the first one is not mapped,
 * or -ENOMEM.
 */
static long pvmread_take_copies(struct pvmread_engine *eng, long nr, int *locked)
{
	unsigned long addr = eng->first;
	long i;

	for (i = 0; i < nr; i++, addr += PAGE_SIZE) {
		struct page *copy = alloc_page(GFP_KERNEL_ACCOUNT);
		struct page *page = NULL, *again = NULL;

		if (!copy)
			return i ?: -ENOMEM;
		if (get_user_pages_remote(eng->mm, addr, 1, FOLL_NOFAULT, &page,
					  locked) == 1) {
			memcpy_page(copy, 0, page, 0, PAGE_SIZE);
			if (get_user_pages_remote(eng->mm, addr, 1, FOLL_NOFAULT,
						  &again, locked) == 1)
				put_page(again);
			put_page(page);
		}
		if (!page || again != page) {
			put_page(copy);
			break;
		}
		eng->pages[i] = copy;
	}
	return i;
}

/*
 * Of @got pages to which there are references keep the first that are alike: as they
 * are, or pinned, or copies if the target shares them. *@locked is cleared if mmap_lock
 * was let go. Return: as GUP.
 */
static noinline long pvmread_keep(struct pvmread_engine *eng, long got,
				  unsigned int gup_flags, int *locked)
{
	struct folio *folio = page_folio(eng->pages[0]), *next;
	bool must_keep = pvmread_must_keep(folio);
	long i, nr;

	for (nr = 1; nr < got; nr++) {
		next = page_folio(eng->pages[nr]);
		if (next != folio && pvmread_must_keep(next) != must_keep)
			break;
		folio = next;
	}
	for (i = must_keep ? 0 : nr; i < got; i++)
		put_page(eng->pages[i]);
	if (!must_keep)
		return nr;

	if (!*locked)
		*locked = pvmread_lock(eng);
	if (!*locked)
		return 0;
	/* One that is shared would be copied for the target first, by a fault. */
	got = pin_user_pages_remote(eng->mm, eng->first, nr,
				    gup_flags | FOLL_NOFAULT, eng->pages, locked);
	if (got <= 0) {
		got = pvmread_take_copies(eng, nr, locked);
		if (got)
			return got;
		/* The first one has just gone, or is being migrated. */
		got = pin_user_pages_remote(eng->mm, eng->first, 1, gup_flags,
					    eng->pages, locked);
	}
	if (got > 0)
		eng->pin |= PVMREAD_PIN_THESE;
	return got;
}

/*
 * Have pages as GUP gives them, the first of them that are to be kept alike.
 * *@locked is cleared if mmap_lock was let go.
 */
static __always_inline long
pvmread_gup(struct pvmread_engine *eng, unsigned long nr,
	    unsigned int gup_flags, int *locked)
{
	long got, i;

	if (eng->pin & PVMREAD_PIN_ALL)
		return pin_user_pages_remote(eng->mm, eng->first, nr, gup_flags,
					     eng->pages, locked);
	got = get_user_pages_remote(eng->mm, eng->first, nr, gup_flags,
				    eng->pages, locked);
	/* No page of hugetlbfs is a single one, and few others are not. */
	for (i = 0; i < got; i++)
		if (unlikely(PageCompound(eng->pages[i])))
			return pvmread_keep(eng, got, gup_flags, locked);
	return got;
}

/*
 * Would a fault on the first page have to wait, whatever FOLL_NOWAIT asks for?
 * It is a wish that a handler may not grant: filemap_fault() reads a page itself
 * when readahead is off (MADV_RANDOM) or given up, shmem_fault() waits for a
 * lock and for swap, page_mkwrite() for a journal. So of a file only that is
 * asked for which its page cache holds. *@held keeps it there, and is the
 * caller's to give back. Called with mmap_lock held.
 */
static bool pvmread_fault_waits(struct pvmread_engine *eng, int *locked,
				struct folio **held)
{
	/* As GUP: an address of the target's may have a tag. */
	unsigned long addr = untagged_addr_remote(eng->mm, eng->first);
	struct vm_area_struct *vma = vma_lookup(eng->mm, addr);
	bool write = eng->flags & PVMREAD_WRITE;
	struct address_space *mapping;
	struct folio *folio;
	struct inode *inode;
	pgoff_t index;

	/* What is no file's, and what GUP refuses, does not get that far. */
	if (!vma || !vma->vm_file || vma_is_anonymous(vma) ||
	    vma->vm_flags & (VM_IO | VM_PFNMAP) ||
	    !(vma->vm_flags & (write ? VM_WRITE : VM_READ)))
		return false;
	/* Its handler waits for locks that others have while they clear a page. */
	if (is_vm_hugetlb_page(vma))
		return true;
	mapping = vma->vm_file->f_mapping;
	inode = mapping->host;
	/*
	 * Its server, who may be the target, takes pages out of the cache when it
	 * likes, the target its private ones; and whoever then asks the server
	 * for a page cannot be killed.
	 */
	if (inode->i_sb->s_magic == FUSE_SUPER_MAGIC)
		return true;
	/*
	 * A private page that is there is to be copied; no file is asked. Without
	 * a fault mmap_lock is not let go, so vma stays.
	 */
	if (!(vma->vm_flags & VM_SHARED) &&
	    get_user_pages_remote(eng->mm, eng->first, 1, FOLL_NOFAULT,
				  eng->pages, locked) == 1) {
		put_page(eng->pages[0]);
		return false;
	}
	index = linear_page_index(vma, addr);
	if (S_ISREG(inode->i_mode) &&
	    index >= DIV_ROUND_UP(i_size_read(inode), PAGE_SIZE))
		return false;
	/* It waits for who punches a hole, which may be a large one. */
	if (shmem_mapping(mapping) && READ_ONCE(inode->i_private))
		return true;

	if (write && vma->vm_flags & VM_SHARED && vma->vm_ops &&
	    vma->vm_ops->page_mkwrite)
		return true;
	folio = filemap_get_folio(mapping, index);
	if (IS_ERR(folio))
		return true;
	*held = folio;
	/* One that is marked would have the handler read what is behind it. */
	return !folio_test_uptodate(folio) || folio_test_locked(folio) ||
	       (folio_test_readahead(folio) && !(vma->vm_flags & VM_RAND_READ));
}

/*
 * Pin the first page by a fault that does not wait. Called with mmap_lock held.
 * Return: as GUP, 0 if it would have to.
 */
static noinline long pvmread_fault_in(struct pvmread_engine *eng, int *locked)
{
	struct folio *held = NULL;
	long pinned = 0;

	if (!pvmread_fault_waits(eng, locked, &held))
		pinned = pvmread_gup(eng, 1, (eng->gup_flags & ~FOLL_NOFAULT) |
					     FOLL_NOWAIT, locked);
	if (held)
		folio_put(held);
	return pinned;
}

/**
 * pvmread_gup_error() - why GUP gave no page
 * @got: what it returned, 0 or an errno
 *
 * Return: -EINTR if the caller is being killed, -EAGAIN if the page has to be waited
 * for, -ENOMEM if there was no memory for it, else -EIO.
 */
int pvmread_gup_error(long got)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	if (!got)
		return -EAGAIN;
	return got == -ENOMEM ? -ENOMEM : -EIO;
}

/*
 * Pin pages of the target from the one at @addr on, as far as @len bytes need
 * them and there is room, in place of those that were. mmap_lock is held here
 * alone, and killably: its holder may be waiting for a page that never comes.
 *
 * Unless the caller does, a reference to the mm's users is held here alone, too:
 * whoever stalls the copy, with a fault of its own, must not keep all of an
 * exited target's memory by it.
 *
 * Return: 0, and at least the first page is pinned; -ESRCH if the target is
 * gone, -EINTR if the caller is being killed, -EAGAIN if it would have to wait
 * and must not, -ENOMEM if there was no memory to bring the first page in, -EIO
 * if it cannot be had for any other reason.
 */
int pvmread_engine_pin(struct pvmread_engine *eng, unsigned long addr,
			      size_t len)
{
	unsigned long nr = min(pvmread_count_pages(addr, len), eng->max_pages);
	int locked = 1;
	long pinned;

	if (eng->nr)
		pvmread_engine_unpin(eng);
	eng->first = addr & PAGE_MASK;
	if (!(eng->flags & PVMREAD_HELD) && !mmget_not_zero(eng->mm))
		return -ESRCH;

	if (!pvmread_lock(eng)) {
		pinned = 0;
		goto put;
	}
	pinned = pvmread_gup(eng, nr, eng->gup_flags, &locked);
	if (pinned < 0 &&
	    (eng->flags & (PVMREAD_NOWAIT | PVMREAD_RESIDENT)) == PVMREAD_NOWAIT)
		pinned = pvmread_fault_in(eng, &locked);
	if (locked)
		mmap_read_unlock(eng->mm);
put:
	if (!(eng->flags & PVMREAD_HELD))
		pvmread_target_put(eng->mm, eng->flags);

	if (pinned <= 0)
		return pvmread_gup_error(pinned);
	eng->nr = pinned;
	return 0;
}

/*
 * How many of @len bytes from @offset in the first of these pages on are one
 * piece of the kernel's memory: those of its large folio, if it is of one.
 */
static size_t pvmread_contiguous(struct page **page, size_t offset, size_t len)
{
	unsigned long i, pfn = page_to_pfn(*page);
	size_t span = PAGE_SIZE - offset;

	for (i = 1; span < len && !IS_ENABLED(CONFIG_HIGHMEM); i++) {
		/* The frames first: a look at a page may cost a cache miss. */
		if (page_to_pfn(page[i]) != pfn + i ||
		    page_folio(page[i]) != page_folio(*page))
			break;
		span += PAGE_SIZE;
	}
	return min(span, len);
}

/*
 * Copy @len bytes that are one piece of the kernel's memory. Local faults are
 * taken here, and no lock is held. Where all memory is mapped, this is
 * copy_page_to_iter() without its loop over pages.
 *
 * Return: how many; less if a fault could not be served.
 */
static size_t pvmread_copy(struct page *page, size_t offset, size_t len,
			   bool write, struct iov_iter *local)
{
	void *mem;

	if (IS_ENABLED(CONFIG_HIGHMEM))
		return write ? copy_page_from_iter(page, offset, len, local) :
			       copy_page_to_iter(page, offset, len, local);
	mem = page_address(page) + offset;
	return write ? _copy_from_iter(mem, len, local) :
		       _copy_to_iter(mem, len, local);
}

/**
 * pvmread_engine_move() - move one piece of the target's memory
 * @eng: the engine, its mm set; the caller holds a reference to the mm, and to
 *	its users if the engine was told so
 * @addr: where the piece is, any address
 * @len: how long it is; no more is moved than @local has left
 * @local: the other side, left advanced by what was moved
 *
 * May sleep, and for as long as the page faults of either side take; a fatal
 * signal ends that where the fault's handler allows it. The pages last used
 * stay pinned for the next move, until pvmread_engine_unpin() or
 * pvmread_engine_release().
 *
 * Return: 0 if the piece or the local side was used up, or the reason why it
 * stopped before: -EIO for the remote side, -EFAULT for the local one, -ESRCH,
 * -EAGAIN, -ENOMEM, -EINTR. In any case eng->stop_addr is where.
 */
int pvmread_engine_move(struct pvmread_engine *eng,
				       unsigned long addr, size_t len,
				       struct iov_iter *local)
{
	int ret = 0;

	len = min(len, iov_iter_count(local));
	while (len) {
		size_t part, copied;
		struct page **page;

		if (!pvmread_engine_has(eng, addr)) {
			ret = pvmread_engine_pin(eng, addr, len);
			if (ret)
				break;
		}
		page = pvmread_engine_page(eng, addr);
		part = min(len, eng->nr * PAGE_SIZE - (addr - eng->first));
		part = pvmread_contiguous(page, offset_in_page(addr), part);
		copied = pvmread_copy(*page, offset_in_page(addr), part,
				      eng->flags & PVMREAD_WRITE, local);
		addr += copied;
		len -= copied;
		if (copied < part) {
			ret = -EFAULT;
			break;
		}
	}
	eng->stop_addr = addr;
	return ret;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_engine_move);

/**
 * pvmread_engine_string() - read up to and with the first NUL
 * @eng: as for pvmread_engine_move(); not one that writes
 * @addr: where the string is, any address
 * @len: how long it is at most
 * @local: where it goes
 *
 * No page behind the NUL is pinned. The bytes that are looked at are those that
 * are passed on, though the target may be changing them.
 *
 * Return: 1 if a NUL was moved, otherwise as pvmread_engine_move().
 */
noinline_for_stack int
pvmread_engine_string(struct pvmread_engine *eng, unsigned long addr,
		      size_t len, struct iov_iter *local)
{
	char buf[64];
	int ret = 0;

	len = min(len, iov_iter_count(local));
	while (len && !ret) {
		size_t part = min3(len, sizeof(buf),
				   PAGE_SIZE - offset_in_page(addr));
		size_t copied;
		char *nul;

		if (!pvmread_engine_has(eng, addr)) {
			ret = pvmread_engine_pin(eng, addr, 1);
			if (ret)
				break;
		}
		memcpy_from_page(buf, *pvmread_engine_page(eng, addr),
				 offset_in_page(addr), part);
		nul = memchr(buf, '\0', part);
		if (nul)
			part = nul - buf + 1;
		copied = copy_to_iter(buf, part, local);
		if (copied < part)
			ret = -EFAULT;
		else if (nul)
			ret = 1;
		addr += copied;
		len -= copied;
	}
	eng->stop_addr = addr;
	return ret;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_engine_string);

/*
 * The tracepoint, out of line and behind trace_transfer_enabled(): inline it
 * would take registers from those who do not trace.
 */
__cold void
pvmread_trace_transfer(enum pvmread_trace_op op, pid_t target,
		       const struct pvmread_engine *eng, u64 addr,
		       u64 segments, u64 bytes, int ret)
{
	u32 flags = eng->flags & ~(PVMREAD_PIN | PVMREAD_HELD);

	trace_transfer(op, target, flags, addr, segments, bytes, -ret);
}
