// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the cache of translations.
 */
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/string.h>
#include <linux/uio.h>

#include <kunit/static_stub.h>

#include "pvmread_pair.h"

static void destroy_cache(void *cache)
{
	pvmread_cache_destroy(cache);
}

/* Wait until a worker has the sequence number that filling needs. */
static void await_worker(struct kunit *test, struct pvmread_cache *cache)
{
	unsigned long seq;
	int i;

	for (i = 0; i < 10000 && !pvmread_cache_begin(cache, &seq); i++)
		fsleep(1000);
	KUNIT_ASSERT_LT(test, i, 10000);
}

/* A cache of the remote arena, destroyed at the test's end. */
static struct pvmread_cache *cache_of(struct kunit *test)
{
	struct pair *p = test->priv;
	struct pvmread_cache *cache;

	cache = pvmread_cache_create(p->remote, p->there, p->there + ARENA_SIZE - 1);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, cache);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, destroy_cache, cache));
	await_worker(test, cache);
	return cache;
}

/* Fill the cache with the remote arena's pages from @first on, one at a time. */
static void fill_cache(struct kunit *test, struct pvmread_cache *cache, size_t first,
		       size_t pages)
{
	struct pair *p = test->priv;
	struct pvmread_engine eng;
	size_t i;
	int ret = 0;

	pvmread_engine_init(&eng, p->remote, false, false, false);
	eng.cache = cache;
	for (i = first; i < first + pages && !ret; i++) {
		ret = pvmread_engine_hold(&eng, p->there + PG(i), 1);
		pvmread_engine_release(&eng);
	}
	KUNIT_ASSERT_EQ(test, 0, ret);
}

/* Read into the same place of the local arena. Return: number of bytes from the cache. */
static size_t read_cache(struct kunit *test, struct pvmread_cache *cache, size_t at,
			 size_t len, bool *missed)
{
	struct pair *p = test->priv;
	struct iov_iter to;
	size_t got;

	iov_iter_ubuf(&to, ITER_DEST, (void __user *)p->here + at, len);
	got = pvmread_cache_read(cache, p->there + at, len, &to, false, missed);
	KUNIT_EXPECT_EQ(test, len - got, iov_iter_count(&to));
	return got;
}

/* Return: how many of the pages are in the cache. */
static size_t count_pages(struct kunit *test, struct pvmread_cache *cache, size_t pages)
{
	size_t i, had = 0;
	bool missed;

	for (i = 0; i < pages; i++)
		had += read_cache(test, cache, PG(i), 8, &missed) == 8;
	return had;
}

static void a_read_ends_at_an_uncached_page(struct kunit *test)
{
	struct pvmread_cache *cache = cache_of(test);
	struct pair *p = test->priv;
	bool missed = false;
	size_t i;

	fill(test, PG(4));
	KUNIT_EXPECT_EQ(test, 0, read_cache(test, cache, PG(1), 8, &missed));
	KUNIT_EXPECT_TRUE(test, missed);
	fill_cache(test, cache, 1, 2);
	KUNIT_EXPECT_EQ(test, PG(2) - 5, read_cache(test, cache, PG(1) + 5, PG(2), &missed));
	KUNIT_EXPECT_TRUE(test, missed);
	KUNIT_EXPECT_EQ(test, PG(2), read_cache(test, cache, PG(1), PG(2), &missed));
	KUNIT_EXPECT_FALSE(test, missed);
	KUNIT_ASSERT_EQ(test, 0, copy_from_user(p->buf, (void __user *)p->here + PG(1), PG(2)));
	for (i = 0; i < PG(2); i++)
		if (p->buf[i] != pattern(PG(1) + i))
			break;
	KUNIT_EXPECT_EQ(test, PG(2), i);
}

static void a_read_ends_at_unmapped_caller_memory(struct kunit *test)
{
	struct pvmread_cache *cache = cache_of(test);
	struct pair *p = test->priv;
	struct iov_iter to;
	bool missed = true;

	fill(test, PG(3));
	fill_cache(test, cache, 0, 3);
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(p->here + PG(1), PAGE_SIZE));
	iov_iter_ubuf(&to, ITER_DEST, (void __user *)p->here + 100, PG(2));
	KUNIT_EXPECT_EQ(test, PAGE_SIZE - 100,
			pvmread_cache_read(cache, p->there, PG(2), &to, false, &missed));
	KUNIT_EXPECT_FALSE(test, missed);
	KUNIT_EXPECT_EQ(test, PG(1) + 100, iov_iter_count(&to));
}

/* Entries can outlive the last user of the memory: exit_aio() may wait before exit_mmap(). */
static void an_exited_target_is_not_read(struct kunit *test)
{
	struct pvmread_cache *cache = cache_of(test);
	struct pair *p = test->priv;
	bool missed = false;
	size_t got;
	int users;

	fill(test, PG(1));
	fill_cache(test, cache, 0, 1);
	users = atomic_xchg(&p->remote->mm_users, 0);
	got = read_cache(test, cache, 0, 8, &missed);
	atomic_set(&p->remote->mm_users, users);
	KUNIT_EXPECT_EQ(test, 0, got);
	KUNIT_EXPECT_TRUE(test, missed);
	KUNIT_EXPECT_EQ(test, 8, read_cache(test, cache, 0, 8, &missed));
}

static void unmap_removes_its_cached_pages(struct kunit *test)
{
	struct pvmread_cache *cache = cache_of(test);
	struct pair *p = test->priv;

	/*
	 * A VMA of its own, smaller than a huge page: to split a VMA where a huge page could
	 * be, the kernel invalidates all of that page.
	 */
	KUNIT_ASSERT_EQ(test, 0, remote_map(p, NULL, 0, PG(100),
					    PROT_READ | PROT_WRITE | PROT_EXEC,
					    MAP_PRIVATE | MAP_ANONYMOUS));
	await_worker(test, cache);
	fill(test, PG(8));
	fill_cache(test, cache, 0, 8);
	KUNIT_EXPECT_EQ(test, 8, count_pages(test, cache, 8));
	KUNIT_ASSERT_EQ(test, 0, remote_unmap(p, PG(2), PG(3)));
	KUNIT_EXPECT_EQ(test, 5, count_pages(test, cache, 8));
	/* More pages than the table has entries */
	KUNIT_ASSERT_EQ(test, 0, remote_unmap(p, 0, PG(100)));
	KUNIT_EXPECT_EQ(test, 0, count_pages(test, cache, 8));
}

static void a_page_unmapped_during_gup_is_not_cached(struct kunit *test)
{
	struct pvmread_cache *cache = cache_of(test);
	struct pair *p = test->priv;
	struct pvmread_engine eng;
	unsigned long seq;
	int again;

	fill(test, PG(2));
	for (again = 0; again < 2; again++) {
		await_worker(test, cache);
		pvmread_engine_init(&eng, p->remote, false, false, false);
		KUNIT_ASSERT_TRUE(test, pvmread_cache_begin(cache, &seq));
		KUNIT_ASSERT_EQ(test, 0, pvmread_engine_hold(&eng, p->there + PG(again), 1));
		/* The reference keeps the page, but not its mapping. */
		mmap_read_unlock(p->remote);
		KUNIT_EXPECT_EQ(test, 0, remote_unmap(p, PG(again), PAGE_SIZE));
		mmap_read_lock(p->remote);
		pvmread_cache_fill(cache, seq, eng.first, eng.pages, 1);
		pvmread_engine_release(&eng);
	}
	KUNIT_EXPECT_EQ(test, 0, count_pages(test, cache, 2));
}

static struct pvmread_cache_entry *no_table(unsigned long nr)
{
	return NULL;
}

static void the_table_grows_when_entries_collide(struct kunit *test)
{
	struct pvmread_cache *cache = cache_of(test);

	fill(test, PG(1000));
	fill_cache(test, cache, 0, 64);
	KUNIT_EXPECT_EQ(test, 64, count_pages(test, cache, 1000));
	/* Entries that were displaced before it grew are missing. */
	fill_cache(test, cache, 64, 936);
	KUNIT_EXPECT_GT(test, count_pages(test, cache, 1000), 800);
	fill_cache(test, cache, 0, 1000);
	KUNIT_EXPECT_EQ(test, 1000, count_pages(test, cache, 1000));
}

static void without_memory_the_table_does_not_grow(struct kunit *test)
{
	struct pvmread_cache *cache = cache_of(test);

	fill(test, PG(500));
	kunit_activate_static_stub(test, pvmread_cache_alloc_table, no_table);
	fill_cache(test, cache, 0, 500);
	KUNIT_EXPECT_EQ(test, 64, count_pages(test, cache, 500));
	kunit_deactivate_static_stub(test, pvmread_cache_alloc_table);
	fill_cache(test, cache, 0, 500);
	fill_cache(test, cache, 0, 500);
	KUNIT_EXPECT_EQ(test, 500, count_pages(test, cache, 500));
}

static void without_memory_create_is_enomem(struct kunit *test)
{
	struct pair *p = test->priv;

	kunit_activate_static_stub(test, pvmread_cache_alloc_table, no_table);
	KUNIT_EXPECT_PTR_EQ(test, ERR_PTR(-ENOMEM),
			    (void *)pvmread_cache_create(p->remote, 0, ULONG_MAX));
	kunit_deactivate_static_stub(test, pvmread_cache_alloc_table);
}

struct kunit_case pvmread_cache_cases[] = {
	KUNIT_CASE(a_read_ends_at_an_uncached_page),
	KUNIT_CASE(a_read_ends_at_unmapped_caller_memory),
	KUNIT_CASE(an_exited_target_is_not_read),
	KUNIT_CASE(unmap_removes_its_cached_pages),
	KUNIT_CASE(a_page_unmapped_during_gup_is_not_cached),
	KUNIT_CASE(the_table_grows_when_entries_collide),
	KUNIT_CASE(without_memory_the_table_does_not_grow),
	KUNIT_CASE(without_memory_create_is_enomem),
	{}
};
