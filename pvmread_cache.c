// SPDX-License-Identifier: GPL-2.0-only
/*
 * The cache remembers where pages of a target are, for a target file that was attached
 * with PVMREAD_CACHE. It holds no reference to them: an mmu_interval_notifier removes an
 * entry before the target's page table changes.
 *
 * A struct pvmread_cache belongs to one target file. When the file is freed, the notifier's
 * worker frees the cache.
 *
 * cache->lock protects the table. A read copies with the lock held for reading and page
 * faults disabled, so a translation stays good for as long as the copy takes. An
 * invalidation takes the lock for writing, so it waits for the copies that run.
 *
 * GUP returns a page while its translation is valid. The page becomes an entry only if no
 * invalidation of the attached range ran or began between the start of GUP and the fill. The
 * notifier's sequence number proves that. From an invalidation of the range until the worker
 * has a new number, no page becomes an entry.
 *
 * A request with PVMREAD_NOWAIT or PVMREAD_RESIDENT reads from the table, but never fills
 * it.
 */
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/fault-inject-usercopy.h>
#include <linux/fs.h>
#include <linux/instrumented.h>
#include <linux/kcsan-checks.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include <linux/pvmread.h>

#include "pvmread.h"
#include "pvmread_trace.h"

/* Numbers of entries, powers of two. The table grows when entries displace others. */
#define PVMREAD_CACHE_MIN	64UL
#define PVMREAD_CACHE_MAX	4096UL

/*
 * If a fill of a full-grown table displaces an entry, this many calls of
 * pvmread_cache_begin() decline. So filling costs little if the reader needs more pages than
 * the table has room for.
 */
#define PVMREAD_CACHE_SKIP	15

/* An entry with this address is empty: no page begins there. */
#define PVMREAD_CACHE_EMPTY	ULONG_MAX

/**
 * struct pvmread_cache_entry - where a page of the target is
 * @addr: its address in the target, or PVMREAD_CACHE_EMPTY
 * @mem: its address in the kernel
 */
struct pvmread_cache_entry {
	unsigned long addr;
	void *mem;
};

/**
 * struct pvmread_cache - translations of a target file
 * @lock: protects @mask, @table, @low, @high, @displaced and @invalidations. @mask and
 *	@displaced are also read without it, as a hint
 * @mask: number of entries in @table, less one
 * @table: the index of a page's entry is the page number modulo the number of entries
 * @low: every entry has this address or a higher one
 * @high: every entry has this address or a lower one. Less than @low at first and after an
 *	invalidation of all from @low to @high
 * @mm: the target's memory. The notifier keeps the struct alive (mm_count)
 * @hits: number of look-ups for a read or a segment that found the first page here
 * @misses: number of the others, and of all-or-nothing look-ups that lacked a page
 * @invalidations: how often the notifier was called
 * @displaced: number of entries displaced by others since the last attempt to get a larger
 *	table
 * @skip: how many calls of pvmread_cache_begin() decline; racy, as nothing depends on it
 * @notifier: tells of changes in the attached range
 */
struct pvmread_cache {
	rwlock_t lock;
	unsigned long mask;
	struct pvmread_cache_entry *table;
	unsigned long low;
	unsigned long high;
	struct mm_struct *mm;
	atomic64_t hits;
	atomic64_t misses;
	u64 invalidations;
	unsigned long displaced;
	unsigned int skip;
	struct pvmread_notifier notifier;
};

/* --- table ----------------------------------------------------------------- */

PVMREAD_TESTED struct pvmread_cache_entry *pvmread_cache_alloc_table(unsigned long nr)
{
	size_t size = nr * sizeof(struct pvmread_cache_entry);
	struct pvmread_cache_entry *table;

	PVMREAD_REDIRECT(pvmread_cache_alloc_table, nr);
	table = kvmalloc(size, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (table)
		memset(table, 0xff, size);	/* PVMREAD_CACHE_EMPTY everywhere */
	return table;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_cache_alloc_table);

static __always_inline struct pvmread_cache_entry *
pvmread_cache_entry(const struct pvmread_cache *cache, unsigned long addr)
{
	return &cache->table[(addr >> PAGE_SHIFT) & cache->mask];
}

/* Where the page at @addr is in the kernel, or NULL. */
static __always_inline void *pvmread_cache_find_page(const struct pvmread_cache *cache,
						     unsigned long addr)
{
	const struct pvmread_cache_entry *entry = pvmread_cache_entry(cache, addr);

	return likely(entry->addr == addr) ? entry->mem : NULL;
}

/* Where the byte at @addr is in the kernel, or NULL. */
static __always_inline void *pvmread_cache_find(const struct pvmread_cache *cache,
						unsigned long addr)
{
	void *mem = pvmread_cache_find_page(cache, addr & PAGE_MASK);

	return likely(mem) ? mem + offset_in_page(addr) : NULL;
}

/* Are all pages of @len bytes at @addr, at least 1, in the table? */
static noinline bool pvmread_cache_has(const struct pvmread_cache *cache, unsigned long addr,
				       size_t len)
{
	unsigned long page = addr & PAGE_MASK, last = (addr + len - 1) & PAGE_MASK;

	while (pvmread_cache_find_page(cache, page)) {
		if (page == last)
			return true;
		page += PAGE_SIZE;
	}
	return false;
}

/* Remove the pages from @first to @last. */
static void pvmread_cache_drop(struct pvmread_cache *cache, unsigned long first,
			       unsigned long last)
{
	struct pvmread_cache_entry *entry;
	unsigned long nr, i;

	lockdep_assert_held_write(&cache->lock);
	/* Most changes are elsewhere. */
	if (first > cache->high || last < cache->low)
		return;
	first = max(first, cache->low);
	last = min(last, cache->high);
	if (first == cache->low && last == cache->high) {
		cache->low = ULONG_MAX;
		cache->high = 0;
	}
	nr = ((last - first) >> PAGE_SHIFT) + 1;
	for (i = 0; i <= cache->mask && i < nr; i++) {
		/* Visit each entry once at most, even if the range has more pages. */
		entry = pvmread_cache_entry(cache, first + i * PAGE_SIZE);
		if (entry->addr >= first && entry->addr <= last)
			entry->addr = PVMREAD_CACHE_EMPTY;
	}
}

/* Replace the table by one of @nr entries. If there is no memory, the old one stays. */
static noinline void pvmread_cache_grow(struct pvmread_cache *cache, unsigned long nr)
{
	struct pvmread_cache_entry *table = pvmread_cache_alloc_table(nr);
	unsigned long i;

	write_lock(&cache->lock);
	/* Another reader may have been faster. */
	if (table && cache->mask + 1 < nr) {
		for (i = 0; i <= cache->mask; i++) {
			unsigned long addr = cache->table[i].addr;

			if (addr != PVMREAD_CACHE_EMPTY)
				table[(addr >> PAGE_SHIFT) & (nr - 1)] = cache->table[i];
		}
		swap(cache->table, table);
		WRITE_ONCE(cache->mask, nr - 1);
	}
	WRITE_ONCE(cache->displaced, 0);
	write_unlock(&cache->lock);
	kvfree(table);
}

/* --- life ------------------------------------------------------------------ */

static bool pvmread_cache_invalidate(struct mmu_interval_notifier *sub,
				     const struct mmu_notifier_range *range,
				     unsigned long seq)
{
	struct pvmread_cache *cache = container_of(sub, struct pvmread_cache, notifier.sub);

	write_lock(&cache->lock);
	mmu_interval_set_seq(sub, seq);
	pvmread_cache_drop(cache, range->start & PAGE_MASK, (range->end - 1) & PAGE_MASK);
	cache->invalidations++;
	write_unlock(&cache->lock);
	return true;
}

static const struct mmu_interval_notifier_ops pvmread_cache_ops = {
	.invalidate = pvmread_cache_invalidate,
};

static void pvmread_cache_free(struct pvmread_notifier *notifier)
{
	struct pvmread_cache *cache = container_of(notifier, struct pvmread_cache, notifier);

	kvfree(cache->table);
	kfree(cache);
}

/**
 * pvmread_cache_create() - create an empty cache and register its notifier
 * @mm: the target's memory; the caller has a reference to mm_users
 * @start: the first address of the attached range
 * @last: the last one
 *
 * Return: the cache, or an ERR_PTR: -ENOMEM, or what pvmread_notifier_insert() returns.
 */
struct pvmread_cache *pvmread_cache_create(struct mm_struct *mm, unsigned long start,
					   unsigned long last)
{
	struct pvmread_cache *cache;
	int ret = -ENOMEM;

	cache = kzalloc(sizeof(*cache), GFP_KERNEL_ACCOUNT);
	if (!cache)
		return ERR_PTR(-ENOMEM);
	rwlock_init(&cache->lock);
	cache->mm = mm;
	cache->low = ULONG_MAX;
	cache->mask = PVMREAD_CACHE_MIN - 1;
	cache->table = pvmread_cache_alloc_table(PVMREAD_CACHE_MIN);
	if (!cache->table)
		goto free;
	pvmread_notifier_init(&cache->notifier, mm, start, last, &pvmread_cache_ops,
			      pvmread_cache_free);
	ret = pvmread_notifier_insert(&cache->notifier);
	if (!ret) {
		pvmread_notifier_renew(&cache->notifier);
		return cache;
	}
	pvmread_notifier_close(&cache->notifier);
	return ERR_PTR(ret);
free:
	kfree(cache);
	return ERR_PTR(ret);
}
EXPORT_SYMBOL_TO_SUITE(pvmread_cache_create);

/**
 * pvmread_cache_destroy() - let a worker free a cache
 * @cache: the cache, unused from now on
 */
void pvmread_cache_destroy(struct pvmread_cache *cache)
{
	pvmread_notifier_close(&cache->notifier);
}
EXPORT_SYMBOL_TO_SUITE(pvmread_cache_destroy);

/* --- read ------------------------------------------------------------------ */

/*
 * Take the lock, until pvmread_cache_unlock(). Return: false if the target has exited, even
 * if the cache still has entries. The lock is held in either case.
 */
static __always_inline bool pvmread_cache_lock(struct pvmread_cache *cache)
{
	read_lock(&cache->lock);
	pagefault_disable();
	return atomic_read(&cache->mm->mm_users);
}

static __always_inline void pvmread_cache_unlock(struct pvmread_cache *cache)
{
	pagefault_enable();
	read_unlock(&cache->lock);
}

/*
 * Copy with page faults disabled. check_object_size() has nothing to check: a page of a
 * process is not a kernel object. Return: how many bytes were not copied, as
 * raw_copy_to_user().
 */
static __always_inline size_t pvmread_cache_copy(void __user *buf, const void *mem,
						 size_t len)
{
	if (should_fail_usercopy())
		return len;
	/* The target may write to its memory meanwhile. */
	kcsan_disable_current();
	instrument_copy_to_user(buf, mem, len);
	len = raw_copy_to_user(buf, mem, len);
	kcsan_enable_current();
	return len;
}

/* Copy into the kernel. */
static __always_inline void pvmread_cache_get(void *buf, const void *mem, size_t len)
{
	kcsan_disable_current();
	memcpy(buf, mem, len);
	kcsan_enable_current();
}

/* iov_iter_advance() of a plain buffer, inline. */
static __always_inline void pvmread_cache_advance(struct iov_iter *iter, size_t done)
{
	iter->iov_offset += done;
	iter->count -= done;
}

/* Copy to @buf if @plain, else to @to. Return: how many bytes were not copied. */
static __always_inline size_t pvmread_cache_put(bool plain, void __user *buf,
						struct iov_iter *to, const void *mem,
						size_t len)
{
	return plain ? pvmread_cache_copy(buf, mem, len) : len - _copy_to_iter(mem, len, to);
}

/*
 * Copy up to @len bytes, at least 1, of pages whose entries are neighbours in the table. The
 * first byte is at @addr in the target and at @mem in the kernel. One copy moves all pages that
 * are neighbours in the kernel's mapping.
 *
 * Return: how many bytes were copied. *@missed is true if the copy ended at a page that the
 * table does not have.
 */
static __always_inline size_t pvmread_cache_copy_pages(const struct pvmread_cache *cache,
						       unsigned long addr, const void *mem,
						       size_t len, bool plain,
						       struct iov_iter *to, bool *missed)
{
	const struct pvmread_cache_entry *entry = pvmread_cache_entry(cache, addr);
	size_t room = PAGE_SIZE - offset_in_page(addr), left = len, beyond = 0;
	void __user *buf = plain ? to->ubuf + to->iov_offset : NULL;
	unsigned long page = addr & PAGE_MASK;

	do {
		size_t part = left, rest, copied;

		/* mem[0] to mem[room - 1] are contiguous. Does the next page continue them? */
		if (left > room) {
			page += PAGE_SIZE;
			if (unlikely(entry[1].addr != page)) {
				beyond = left - room;
				left = room;
				continue;
			}
			if (entry[1].mem == mem + room) {
				entry++;
				room += PAGE_SIZE;
				continue;
			}
			part = room;
		}
again:
		rest = pvmread_cache_put(plain, buf, to, mem, part);
		if (unlikely(rest)) {
			copied = part - rest;
			buf += copied;
			mem += copied;
			left -= copied;
			part = rest;
			/* On arm64 a copy stops some bytes before a fault: copy the rest. */
			if (copied)
				goto again;
			break;
		}
		left -= part;
		if (!left)
			break;
		buf += part;
		entry++;
		mem = entry->mem;
		room = PAGE_SIZE;
	} while (true);
	*missed = beyond && !left;
	len -= left + beyond;
	if (plain)
		pvmread_cache_advance(to, len);
	return len;
}

/**
 * pvmread_cache_read() - copy bytes of pages that the cache has
 * @cache: the cache
 * @addr: address of the first byte
 * @len: number of bytes, 1 to PVMREAD_ENGINE_CHUNK; @to has room for them
 * @to: where they go; advanced by what was copied
 * @whole: copy nothing unless the cache has all pages
 * @missed: set to true if the copy ended at a page that the cache does not have, or if the
 *	target has exited
 *
 * Does not sleep.
 *
 * Return: how many bytes were copied. If they are fewer than @len and @missed is false,
 * the caller's memory has to be faulted in.
 */
size_t pvmread_cache_read(struct pvmread_cache *cache, unsigned long addr, size_t len,
			  struct iov_iter *to, bool whole, bool *missed)
{
	/* For a plain buffer, raw_copy_to_user() is cheaper than _copy_to_iter(). */
	bool plain = iter_is_ubuf(to) && access_ok(to->ubuf + to->iov_offset, len);
	size_t left = len, part, copied;
	void *mem = NULL;
	bool miss;

	if (pvmread_cache_lock(cache) && (!whole || pvmread_cache_has(cache, addr, len)))
		mem = pvmread_cache_find(cache, addr);
	atomic64_inc(mem ? &cache->hits : &cache->misses);
	miss = !mem;
	while (!miss) {
		/* The table may wrap between two pages: they are not neighbours in it. */
		part = (cache->mask + 1 - ((addr >> PAGE_SHIFT) & cache->mask)) * PAGE_SIZE -
		       offset_in_page(addr);
		part = min(left, part);
		copied = plain ?
			 pvmread_cache_copy_pages(cache, addr, mem, part, true, to, &miss) :
			 pvmread_cache_copy_pages(cache, addr, mem, part, false, to, &miss);
		left -= copied;
		if (!left || copied < part)
			break;
		addr += copied;
		mem = pvmread_cache_find(cache, addr);
		miss = !mem;
	}
	pvmread_cache_unlock(cache);
	*missed = miss;
	return len - left;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_cache_read);

/* The common case of pvmread_cache_read(): one page, and a plain buffer. */
static __always_inline size_t
pvmread_cache_read_page(struct pvmread_cache *cache, unsigned long addr, size_t len,
			struct iov_iter *to, bool *missed)
{
	void __user *buf = to->ubuf + to->iov_offset;
	size_t done = 0;
	void *mem = NULL;

	if (pvmread_cache_lock(cache))
		mem = pvmread_cache_find(cache, addr);
	if (mem && access_ok(buf, len))
		done = len - pvmread_cache_copy(buf, mem, len);
	pvmread_cache_unlock(cache);
	pvmread_cache_advance(to, done);
	*missed = !mem;
	atomic64_inc(mem ? &cache->hits : &cache->misses);
	return done;
}

/**
 * pvmread_cache_read_iter() - ->read_iter() of a target file that has a cache
 * @iocb: the read
 * @to: where the bytes go
 *
 * Return: the number of bytes read, or an errno.
 */
ssize_t pvmread_cache_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct pvmread_target *target = iocb->ki_filp->private_data;
	struct pvmread_cache *cache = target->cache;
	size_t len = iov_iter_count(to), done;
	u64 addr = iocb->ki_pos;
	bool missed, whole;

	/* A length of 0 wraps here. */
	if (len - 1 >= PVMREAD_ENGINE_CHUNK ||
	    pvmread_target_reach(target, addr, len) < len)
		return pvmread_target_read(iocb, to, cache, 0, false);

	if (len <= PAGE_SIZE - offset_in_page(addr) && iter_is_ubuf(to)) {
		done = pvmread_cache_read_page(cache, addr, len, to, &missed);
	} else {
		/* An asynchronous request that must not wait copies all or nothing. */
		whole = iocb->ki_flags & IOCB_NOWAIT && !is_sync_kiocb(iocb);
		done = pvmread_cache_read(cache, addr, len, to, whole, &missed);
	}
	if (likely(done == len && !trace_transfer_enabled())) {
		iocb->ki_pos += len;
		pvmread_target_account(target, false, len);
		return len;
	}
	/* If this fails, the next copy reports it. */
	if (done < len && !missed)
		fault_in_iov_iter_writeable(to, len - done);
	return pvmread_target_read(iocb, to, cache, done, missed);
}

/**
 * pvmread_cache_peek() - copy bytes of a page into the kernel, if the cache has it
 * @cache: the cache
 * @addr: address of the first byte
 * @len: number of bytes, all in one page
 * @buf: where they go
 *
 * Does not sleep. Return: @len, or 0 if the cache does not have the page.
 */
size_t pvmread_cache_peek(struct pvmread_cache *cache, unsigned long addr, size_t len,
			  void *buf)
{
	void *mem = NULL;

	if (pvmread_cache_lock(cache)) {
		mem = pvmread_cache_find(cache, addr);
		if (mem)
			pvmread_cache_get(buf, mem, len);
	}
	pvmread_cache_unlock(cache);
	return mem ? len : 0;
}

/*
 * Where @len bytes at @addr are in the kernel. Return: NULL if they are not all in one block
 * of 4 KiB, or not all in the attached range from @start to @start + @span, or if the cache
 * does not have the page. *@missed is set only in the last case.
 */
static __always_inline void *
pvmread_cache_find_segment(const struct pvmread_cache *cache, unsigned long start,
			   unsigned long span, unsigned long addr, size_t len,
			   bool *missed)
{
	void *mem;

	/* A length of 0 wraps here. No page is smaller than 4 KiB. */
	if (len - 1 >= SZ_4K - (addr & (SZ_4K - 1)) || addr - start > span ||
	    len - 1 > span - (addr - start))
		return NULL;
	mem = pvmread_cache_find(cache, addr);
	if (unlikely(!mem))
		*missed = true;
	return mem;
}

/*
 * Read a string whose NUL is among its first 64 bytes and in its first 4 KiB block. Pass on
 * the same bytes that were searched for the NUL.
 *
 * Return: the number of bytes read; 0 if the segment is for the engine.
 */
static noinline_for_stack size_t
pvmread_cache_read_string(const struct pvmread_target *target,
			  const struct pvmread_segment *seg, bool *missed)
{
	size_t len = min(SZ_4K - (seg->remote & (SZ_4K - 1)), seg->length);
	void __user *to = u64_to_user_ptr(seg->local);
	char buf[64];
	void *mem;
	char *nul;

	len = min(len, sizeof(buf));
	if (seg->flags != PVMREAD_SEGMENT_STRING || seg->length > MAX_RW_COUNT ||
	    !access_ok(to, seg->length))
		return 0;
	mem = pvmread_cache_find_segment(target->cache, target->start,
					 target->last - target->start, seg->remote, len,
					 missed);
	if (!mem)
		return 0;
	pvmread_cache_get(buf, mem, len);
	nul = memchr(buf, '\0', len);
	if (!nul || !pvmread_copy_small(to, buf, nul - buf + 1))
		return 0;
	return nul - buf + 1;
}

/**
 * pvmread_cache_read_segments() - read the first segments of a batch from the cache
 * @target: the target file, which has a cache
 * @segs: the segments; the results of those that are moved are set
 * @n: their number
 * @moved: the number of bytes moved is added to it
 * @missed: set to true if the first segment that is left is in a page that the cache does
 *	not have, or if the target has exited
 *
 * Does not sleep.
 *
 * Return: how many segments were moved completely. The next one is for the engine.
 */
unsigned int pvmread_cache_read_segments(const struct pvmread_target *target,
					 struct pvmread_segment *segs, unsigned int n,
					 u64 *moved, bool *missed)
{
	unsigned long start = target->start, span = target->last - start;
	struct pvmread_cache *cache = target->cache;
	bool miss = false;
	unsigned int i;
	u64 sum = 0;

	if (!pvmread_cache_lock(cache)) {
		miss = true;
		n = 0;
	}
	for (i = 0; i < n; i++) {
		struct pvmread_segment *seg = &segs[i];
		void __user *buf = u64_to_user_ptr(seg->local);
		size_t len = seg->length;
		void *mem;

		if (unlikely(seg->flags)) {
			len = pvmread_cache_read_string(target, seg, &miss);
			if (!len)
				break;
		} else {
			mem = pvmread_cache_find_segment(cache, start, span, seg->remote,
							 len, &miss);
			if (!mem || !access_ok(buf, len) ||
			    pvmread_cache_copy(buf, mem, len))
				break;
		}
		seg->error = 0;
		seg->done = len;
		sum += len;
	}
	pvmread_cache_unlock(cache);
	*moved += sum;
	*missed = miss;
	atomic64_add(i, &cache->hits);
	if (miss)
		atomic64_inc(&cache->misses);
	return i;
}

/* --- fill ------------------------------------------------------------------ */

/**
 * pvmread_cache_begin() - prepare to fill the cache; to be called before GUP
 * @cache: the cache
 * @seq: set to what pvmread_cache_fill() wants
 *
 * May sleep in an allocation.
 *
 * Return: false if the caller must not fill in the pages from GUP.
 */
bool pvmread_cache_begin(struct pvmread_cache *cache, unsigned long *seq)
{
	unsigned long nr = READ_ONCE(cache->mask) + 1;
	unsigned int skip = READ_ONCE(cache->skip);

	if (skip) {
		WRITE_ONCE(cache->skip, skip - 1);
		return false;
	}
	if (unlikely(!pvmread_notifier_begin(&cache->notifier, seq))) {
		if (!READ_ONCE(cache->notifier.busy))
			pvmread_notifier_renew(&cache->notifier);
		return false;
	}
	if (unlikely(READ_ONCE(cache->displaced) > nr / 4 && nr < PVMREAD_CACHE_MAX))
		pvmread_cache_grow(cache, min(8 * nr, PVMREAD_CACHE_MAX));
	return true;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_cache_begin);

/**
 * pvmread_cache_fill() - remember pages, unless the target has changed them meanwhile
 * @cache: the cache
 * @seq: from pvmread_cache_begin()
 * @addr: address of the first page in the target
 * @pages: the pages, to which the caller has references; @nr of them
 * @nr: at least 1
 *
 * The caller holds the target's mmap_lock, for untagged_addr_remote().
 */
void pvmread_cache_fill(struct pvmread_cache *cache, unsigned long seq,
			unsigned long addr, struct page **pages, unsigned long nr)
{
	struct pvmread_cache_entry *entry;
	unsigned long i;

	/* GUP ignores a tag of an address, but invalidations come without tags. */
	if (untagged_addr_remote(cache->mm, addr) != addr)
		return;
	write_lock(&cache->lock);
	if (mmu_interval_read_retry(&cache->notifier.sub, seq))
		goto unlock;
	cache->low = min(cache->low, addr);
	cache->high = max(cache->high, addr + (nr - 1) * PAGE_SIZE);
	for (i = 0; i < nr; i++, addr += PAGE_SIZE) {
		entry = pvmread_cache_entry(cache, addr);
		if (entry->addr != PVMREAD_CACHE_EMPTY && entry->addr != addr) {
			WRITE_ONCE(cache->displaced, cache->displaced + 1);
			if (cache->mask == PVMREAD_CACHE_MAX - 1)
				WRITE_ONCE(cache->skip, PVMREAD_CACHE_SKIP);
		}
		entry->addr = addr;
		entry->mem = page_address(pages[i]);
	}
unlock:
	write_unlock(&cache->lock);
}
EXPORT_SYMBOL_TO_SUITE(pvmread_cache_fill);

/**
 * pvmread_cache_show_fdinfo() - the cache's lines in /proc/PID/fdinfo/FD
 * @cache: the cache
 * @m: the file
 */
void pvmread_cache_show_fdinfo(struct pvmread_cache *cache, struct seq_file *m)
{
	u64 invalidations;

	read_lock(&cache->lock);
	invalidations = cache->invalidations;
	read_unlock(&cache->lock);
	seq_printf(m, "hits:\t%lld\n", atomic64_read(&cache->hits));
	seq_printf(m, "misses:\t%lld\n", atomic64_read(&cache->misses));
	seq_printf(m, "invalidations:\t%llu\n", invalidations);
}
