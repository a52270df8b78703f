// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of READV and WRITEV behind the ioctl.
 */
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "pvmread_pair.h"

/* --- vectors ------------------------------------------------------------- */

static void empty_vectors_move_nothing(struct kunit *test)
{
	static const struct {
		const char *name;
		size_t n_local, n_remote;
		size_t local[3], remote[3];
		ssize_t moved;
	} rows[] = {
		{ "no segments at all", 0, 0 },
		{ "no local segments", 0, 1, {}, { 8 } },
		{ "no remote segments", 1, 0, { 8 }, {} },
		{ "all local lengths zero", 3, 1, {}, { 8 } },
		{ "all remote lengths zero", 1, 3, { 8 }, {} },
		{ "one of each, both zero", 1, 1 },
		{ "zero first", 3, 3, { 0, 8, 8 }, { 0, 8, 8 }, 16 },
		{ "zero last", 3, 3, { 8, 8, 0 }, { 8, 8, 0 }, 16 },
		{ "zero in between", 3, 3, { 8, 0, 8 }, { 8, 0, 8 }, 16 },
		{ "zero on one side", 3, 2, { 8, 0, 8 }, { 5, 11 }, 16 },
	};
	struct pair *p = test->priv;
	size_t i, k;

	fill(test, 4 * PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct iovec l[3], r[3];
		struct outcome out;

		for (k = 0; k < 3; k++) {
			l[k].iov_base = (void __user *)p->here + 64 * k;
			l[k].iov_len = rows[i].local[k];
			r[k].iov_base = (void __user *)p->there + 64 * k;
			r[k].iov_len = rows[i].remote[k];
		}
		out = request(test, false, l, rows[i].n_local,
			      r, rows[i].n_remote);
		KUNIT_EXPECT_EQ_MSG(test, out.ret, rows[i].moved, "%s",
				    rows[i].name);
		KUNIT_EXPECT_EQ_MSG(test, out.reason, 0, "%s", rows[i].name);
	}
}

static void counts_up_to_uio_maxiov_work(struct kunit *test)
{
	static const size_t counts[] = {
		1, 2, UIO_FASTIOV, UIO_FASTIOV + 1, UIO_MAXIOV
	};
	struct pair *p = test->priv;
	struct iovec *l, *r;
	size_t c, i;

	l = kunit_kcalloc(test, UIO_MAXIOV + 1, sizeof(*l), GFP_KERNEL);
	r = kunit_kcalloc(test, UIO_MAXIOV + 1, sizeof(*r), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, l);
	KUNIT_ASSERT_NOT_NULL(test, r);
	for (i = 0; i <= UIO_MAXIOV; i++) {
		l[i].iov_base = (void __user *)p->here + 3 * i;
		r[i].iov_base = (void __user *)p->there + 7 * i;
		l[i].iov_len = 3;
		r[i].iov_len = 3;
	}

	for (c = 0; c < ARRAY_SIZE(counts); c++) {
		size_t n = counts[c];
		struct outcome out;

		fill(test, 2 * PAGE_SIZE);
		out = request(test, false, l, n, r, n);
		KUNIT_EXPECT_EQ_MSG(test, out.ret, 3 * n, "%zu segments", n);
		KUNIT_ASSERT_EQ(test, 0UL,
				copy_from_user(p->buf, (void __user *)p->here,
					       3 * n + 1));
		for (i = 0; i < 3 * n; i++)
			KUNIT_ASSERT_EQ(test, p->buf[i],
					pattern(7 * (i / 3) + i % 3));
		KUNIT_EXPECT_EQ(test, p->buf[3 * n], UNTOUCHED);
	}
}

static void counts_over_uio_maxiov_are_einval(struct kunit *test)
{
	static const u64 counts[] = {
		UIO_MAXIOV + 1, 1ULL << 31, 1ULL << 32, (1ULL << 32) + 1,
		1ULL << 63, U64_MAX
	};
	struct pair *p = test->priv;
	struct iovec *iov;
	struct outcome out;
	size_t i;

	iov = kunit_kcalloc(test, UIO_MAXIOV + 1, sizeof(*iov), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, iov);
	iov[0] = (struct iovec) { (void __user *)p->here, 8 };

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		out = request(test, false, iov, counts[i], iov, 1);
		KUNIT_EXPECT_EQ_MSG(test, out.ret, -EINVAL, "local %llu",
				    counts[i]);
		out = request(test, false, iov, 1, iov, counts[i]);
		KUNIT_EXPECT_EQ_MSG(test, out.ret, -EINVAL, "remote %llu",
				    counts[i]);
		/* If the local side is empty, the syscall looks at nothing else. */
		out = request(test, false, iov, 0, iov, counts[i]);
		KUNIT_EXPECT_EQ_MSG(test, out.ret, 0, "remote %llu", counts[i]);
	}
}

/* Addresses that a table cannot hold, because they are known only at run time. */
enum place { NIL, HERE, THERE, TOP, NONCANONICAL, BEYOND };

struct hostile {
	enum place place;
	size_t len;
};

static unsigned long place_addr(const struct pair *p, enum place place)
{
	switch (place) {
	case HERE:
		return p->here;
	case THERE:
		return p->there;
	case TOP:
		return ~0UL & PAGE_MASK;
	case NONCANONICAL:
		return 1UL << (BITS_PER_LONG - 1);
	case BEYOND:
		return TASK_SIZE_MAX;
	default:
		return 0;
	}
}

static void hostile_lengths_and_addresses_are_refused(struct kunit *test)
{
	static const struct {
		const char *name;
		size_t n_local, n_remote;
		struct hostile local[2], remote[2];
		ssize_t ret;
		int reason;
		enum place stop;
		size_t stop_offset;
	} rows[] = {
		{ "local length negative", 1, 1,
		  { { HERE, -1 } }, { { THERE, 8 } }, -EINVAL },
		{ "second local length negative", 2, 1,
		  { { HERE, 8 }, { HERE, LONG_MIN } }, { { THERE, 8 } },
		  -EINVAL },
		{ "remote length negative", 1, 1,
		  { { HERE, 8 } }, { { THERE, -1 } }, -EINVAL },
		{ "second remote length negative", 1, 2,
		  { { HERE, 8 } }, { { THERE, 8 }, { THERE, LONG_MIN } },
		  -EINVAL },
		{ "local range wraps", 1, 1,
		  { { TOP, LONG_MAX } }, { { THERE, 8 } }, -EFAULT },
		{ "local address at the top", 1, 1,
		  { { TOP, 8 } }, { { THERE, 8 } }, -EFAULT },
		/* Not NONCANONICAL, whose top byte arm64 would ignore as a tag. */
		{ "second local address beyond user space", 2, 1,
		  { { HERE, 8 }, { BEYOND, 8 } }, { { THERE, 16 } },
		  -EFAULT },
		{ "remote range wraps", 1, 1,
		  { { HERE, 8 } }, { { TOP, LONG_MAX } }, -EFAULT, -EIO, TOP },
		{ "remote address at the top", 1, 1,
		  { { HERE, 8 } }, { { TOP, 8 } }, -EFAULT, -EIO, TOP },
		{ "remote address non-canonical", 1, 1,
		  { { HERE, 8 } }, { { NONCANONICAL, 8 } },
		  -EFAULT, -EIO, NONCANONICAL },
		{ "second remote address at the top", 1, 2,
		  { { HERE, 16 } }, { { THERE, 8 }, { TOP, 8 } },
		  8, -EIO, TOP },
		{ "remote address zero", 1, 1,
		  { { HERE, 8 } }, { { NIL, 8 } }, -EFAULT, -EIO, NIL },
		{ "remote longer than MAX_RW_COUNT", 1, 2,
		  { { HERE, 8 } },
		  { { THERE, LONG_MAX }, { THERE, LONG_MAX } },
		  8, 0, THERE, 8 },
	};
	struct pair *p = test->priv;
	size_t i, k;
	int write;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct iovec l[2], r[2];

		for (k = 0; k < 2; k++) {
			const struct hostile *here = &rows[i].local[k];
			const struct hostile *there = &rows[i].remote[k];

			l[k].iov_base = (void __user *)place_addr(p, here->place);
			l[k].iov_len = here->len;
			r[k].iov_base = (void __user *)place_addr(p, there->place);
			r[k].iov_len = there->len;
		}
		for (write = 0; write < 2; write++) {
			struct outcome out;

			fill(test, PAGE_SIZE);
			out = request(test, write, l, rows[i].n_local,
				      r, rows[i].n_remote);
			KUNIT_EXPECT_EQ_MSG(test, out.ret, rows[i].ret,
					    "%s, write %d", rows[i].name,
					    write);
			KUNIT_EXPECT_EQ_MSG(test, out.reason, rows[i].reason,
					    "%s, write %d", rows[i].name,
					    write);
			KUNIT_EXPECT_EQ_MSG(test, out.stop,
					    place_addr(p, rows[i].stop) +
					    rows[i].stop_offset,
					    "%s, write %d", rows[i].name,
					    write);
		}
	}
}

static void the_local_total_is_cut_at_max_rw_count(struct kunit *test)
{
	struct pair *p = test->priv;
	struct pvmread_rw rw = { .local = p->vectors, .local_count = 2 };
	/* Low, so that the range is user space's, mapped or not. */
	void __user *low = (void __user *)PAGE_SIZE;
	struct iovec iov[2] = {
		{ low, MAX_RW_COUNT }, { low, PAGE_SIZE },
	};
	struct pvmread_vectors vec;
	ssize_t total;

	KUNIT_ASSERT_EQ(test, 0UL,
			copy_to_user((void __user *)p->vectors, iov,
				     sizeof(iov)));
	total = pvmread_vectors_import(&vec, false, &rw);
	KUNIT_EXPECT_EQ(test, total, MAX_RW_COUNT);
	if (total >= 0)
		pvmread_vectors_release(&vec);
}

static void page_count_is_that_of_the_largest_segment(struct kunit *test)
{
	static const struct {
		const char *name;
		size_t room, n;
		struct seg remote[3];
		unsigned long pages;
	} rows[] = {
		{ "no segments", 8, 0, {}, 0 },
		{ "lengths of zero", 8, 3, { { 0, 0 }, { 5, 0 }, { PG(1), 0 } },
		  0 },
		{ "one byte", 8, 1, { { PG(1) - 1, 1 } }, 1 },
		{ "a page", PG(9), 1, { { PG(1), PG(1) } }, 1 },
		{ "a page, askew", PG(9), 1, { { PG(1) + 1, PG(1) } }, 2 },
		{ "two bytes in two pages", 8, 1, { { PG(1) - 1, 2 } }, 2 },
		{ "room for the first page only", 1, 1, { { PG(1) - 1, 2 } },
		  1 },
		{ "room for less than there is", PG(3), 1, { { 0, PG(9) } },
		  3 },
		{ "the first is the largest", PG(9), 3,
		  { { 0, PG(3) }, { 0, PG(2) }, { 0, 1 } }, 3 },
		{ "one in between is", PG(9), 3,
		  { { 0, 1 }, { 0, PG(3) }, { 0, PG(2) } }, 3 },
		{ "the last is", PG(9), 3,
		  { { 0, 1 }, { 9, 0 }, { 1, PG(3) } }, 4 },
		{ "the range wraps", 8, 1,
		  { { ULONG_MAX, LONG_MAX } }, 2 },
		{ "as large as can be", MAX_RW_COUNT, 2,
		  { { 0, LONG_MAX }, { ULONG_MAX, LONG_MAX } },
		  MAX_RW_COUNT / PAGE_SIZE + 1 },
	};
	struct pair *p = test->priv;
	struct pvmread_vectors *vec;
	size_t i, k;

	vec = kunit_kzalloc(test, sizeof(*vec), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vec);
	vec->remote = vec->remote_stack;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		iov_iter_ubuf(&vec->local, ITER_DEST, (void __user *)p->here,
			      rows[i].room);
		vec->remote_count = rows[i].n;
		for (k = 0; k < rows[i].n; k++)
			vec->remote[k] = (struct iovec) {
				(void __user *)rows[i].remote[k].at,
				rows[i].remote[k].len
			};
		KUNIT_EXPECT_EQ_MSG(test, pvmread_vectors_pages(vec),
				    rows[i].pages, "%s", rows[i].name);
	}
}

/* --- engine -------------------------------------------------------------- */

static void misaligned_reads_are_complete(struct kunit *test)
{
	static const struct {
		const char *name;
		struct seg local[MAX_SEGS], remote[MAX_SEGS];
		ssize_t moved;
	} rows[] = {
		{ "one byte", { { 1, 1 } }, { { 2, 1 } }, 1 },
		{ "local longer", { { 0, 100 } }, { { 50, 60 } }, 60 },
		{ "remote longer", { { 9, 60 } }, { { 0, 100 } }, 60 },
		{ "remote longer by pages", { { 9, 60 } },
		  { { 17, PG(40) } }, 60 },
		{ "across one page", { { 3, 64 } },
		  { { PG(1) - 13, 64 } }, 64 },
		{ "both across, askew", { { PG(2) - 1, PG(2) } },
		  { { PG(1) - 7, PG(2) } }, PG(2) },
		{ "last byte of a page, first of the next",
		  { { PG(1) - 1, 2 } }, { { PG(2) - 1, 2 } }, 2 },
		{ "many to one", { { 0, 4000 }, { PG(3) + 5, 300 },
		  { PG(5) - 1, 9000 } }, { { PG(7) + 11, 13300 } }, 13300 },
		{ "one to many", { { 77, 13300 } }, { { 1, 4000 },
		  { PG(3) + 5, 300 }, { PG(5) - 1, 9000 } }, 13300 },
		{ "five and five", { { 1, 1 }, { 100, 4097 }, { PG(3), 3 },
		  { PG(4) - 2, 5000 }, { PG(8), 10 } },
		  { { PG(1) - 1, 5000 }, { 3, 7 }, { PG(9) - 9, 18 },
		  { PG(2), 1 }, { PG(5), 4085 } }, 9111 },
		{ "the same page again and again", { { 0, 40 } },
		  { { 8, 8 }, { 8, 8 }, { 0, 8 }, { 4, 8 }, { 8, 8 } }, 40 },
	};
	struct pair *p = test->priv;
	size_t i, n_local, n_remote;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct iovec l[MAX_SEGS], r[MAX_SEGS];
		struct outcome out;

		n_local = seg_iovecs(rows[i].local, p->here, l);
		n_remote = seg_iovecs(rows[i].remote, p->there, r);
		fill(test, PG(60));
		out = request(test, false, l, n_local, r, n_remote);
		KUNIT_EXPECT_EQ_MSG(test, out.ret, rows[i].moved, "%s",
				    rows[i].name);
		KUNIT_EXPECT_EQ_MSG(test, out.reason, 0, "%s", rows[i].name);
		expect_read(test, rows[i].local, n_local, rows[i].remote,
			    rows[i].moved, PG(60));
	}
}

static void misaligned_writes_are_complete(struct kunit *test)
{
	struct pair *p = test->priv;
	struct iovec l[3] = {
		{ (void __user *)p->here + 5, 4000 },
		{ (void __user *)p->here + PG(2) - 3, 7 },
		{ (void __user *)p->here + PG(4) - 1, 9000 },
	};
	struct iovec r[2] = {
		{ (void __user *)p->there + PG(1) - 9, 5000 },
		{ (void __user *)p->there + PG(5) + 1, 9000 },
	};
	struct outcome out;
	size_t i;

	fill(test, PG(10));
	for (i = 0; i < PG(10); i++)
		p->buf[i] = ~pattern(i);
	KUNIT_ASSERT_EQ(test, 0UL,
			copy_to_user((void __user *)p->here, p->buf, PG(10)));

	out = request(test, true, l, 3, r, 2);
	KUNIT_EXPECT_EQ(test, out.ret, 13007);
	KUNIT_EXPECT_EQ(test, out.stop, p->there + PG(5) + 1 + 8007);

	KUNIT_ASSERT_EQ(test, 0, remote_read(p, 0, p->buf, PG(10)));
	for (i = 0; i < PG(10); i++) {
		size_t k = SIZE_MAX;
		u8 want = pattern(i);

		/* Which byte of the stream is here, if any? */
		if (i >= PG(1) - 9 && i < PG(1) - 9 + 5000)
			k = i - (PG(1) - 9);
		else if (i >= PG(5) + 1 && i < PG(5) + 1 + 8007)
			k = 5000 + i - (PG(5) + 1);
		if (k < 4000)
			want = ~pattern(5 + k);
		else if (k < 4007)
			want = ~pattern(PG(2) - 3 + k - 4000);
		else if (k != SIZE_MAX)
			want = ~pattern(PG(4) - 1 + k - 4007);
		KUNIT_ASSERT_EQ_MSG(test, p->buf[i], want, "byte %zu", i);
	}
}

static void page_counts_around_limits_are_complete(struct kunit *test)
{
	static const size_t counts[] = {
		PVMREAD_RW_STACK_PAGES - 1, PVMREAD_RW_STACK_PAGES,
		PVMREAD_RW_STACK_PAGES + 1, PVMREAD_RW_MAX_PAGES - 1,
		PVMREAD_RW_MAX_PAGES, PVMREAD_RW_MAX_PAGES + 1
	};
	struct pair *p = test->priv;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		size_t len = PG(counts[i]);
		struct seg whole = { 0, len }, askew = { 5, len - 6 };
		struct outcome out;

		fill(test, len);
		out = move(test, false, 0, len, 0, len);
		KUNIT_EXPECT_EQ(test, out.ret, len);
		KUNIT_EXPECT_EQ(test, out.stop, p->there + len);
		expect_read(test, &whole, 1, &whole, len, len);

		fill(test, len);
		out = move(test, false, 5, len - 6, 5, len - 6);
		KUNIT_EXPECT_EQ(test, out.ret, len - 6);
		expect_read(test, &askew, 1, &askew, len - 6, len);
	}
}

static void a_hole_ends_the_transfer_at_its_first_byte(struct kunit *test)
{
	/* Number of pages in the transfer, and the missing one. */
	static const struct {
		size_t pages, hole;
	} rows[] = {
		{ 1, 0 }, { 8, 0 }, { 8, 3 }, { 8, 7 }, { 20, 0 }, { 20, 15 },
		{ 20, 16 }, { 20, 19 },
		{ PVMREAD_RW_MAX_PAGES + 2, PVMREAD_RW_MAX_PAGES - 1 },
		{ PVMREAD_RW_MAX_PAGES + 2, PVMREAD_RW_MAX_PAGES },
		{ PVMREAD_RW_MAX_PAGES + 2, PVMREAD_RW_MAX_PAGES + 1 },
	};
	struct pair *p = test->priv;
	size_t i, off;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = PG(rows[i].pages);

		for (off = 0; off <= 100; off += 100) {
			size_t moved = rows[i].hole ?
				       PG(rows[i].hole) - off : 0;
			struct seg seg = { off, len - off };
			struct outcome out;

			fill(test, len);
			KUNIT_ASSERT_EQ(test, 0,
					remote_unmap(p, PG(rows[i].hole),
						     PAGE_SIZE));
			out = move(test, false, off, len - off, off, len - off);
			KUNIT_EXPECT_EQ(test, out.ret, moved ?: -EFAULT);
			KUNIT_EXPECT_EQ(test, out.reason, -EIO);
			KUNIT_EXPECT_EQ(test, out.stop,
					p->there + off + moved);
			expect_read(test, &seg, 1, &seg, moved, len);
			KUNIT_ASSERT_EQ(test, 0,
					remote_map(p, NULL, PG(rows[i].hole),
						   PAGE_SIZE,
						   PROT_READ | PROT_WRITE,
						   MAP_ANONYMOUS |
						   MAP_PRIVATE));
		}
	}
}

static void a_hole_in_a_later_segment_ends_the_transfer(struct kunit *test)
{
	static const struct seg local[] = { { 0, 3 * 4096 } };
	static const struct seg remote[] = {
		{ 10, 90 }, { 4096 + 200, 2 * 4096 }, { 10, 90 },
	};
	struct pair *p = test->priv;
	struct iovec l, r[3];
	struct outcome out;
	size_t i, moved;

	if (PAGE_SIZE != 4096)
		kunit_skip(test, "the table is for 4 KiB pages");
	l = (struct iovec) { (void __user *)p->here, local[0].len };
	for (i = 0; i < 3; i++)
		r[i] = (struct iovec) {
			(void __user *)p->there + remote[i].at, remote[i].len
		};

	fill(test, PG(4));
	KUNIT_ASSERT_EQ(test, 0, remote_unmap(p, PG(2), PAGE_SIZE));
	out = request(test, false, &l, 1, r, 3);
	moved = 90 + PG(2) - (4096 + 200);
	KUNIT_EXPECT_EQ(test, out.ret, moved);
	KUNIT_EXPECT_EQ(test, out.reason, -EIO);
	KUNIT_EXPECT_EQ(test, out.stop, p->there + PG(2));
	expect_read(test, local, 1, remote, moved, PG(4));
}

static void a_bad_local_page_ends_the_transfer_there(struct kunit *test)
{
	struct pair *p = test->priv;
	struct seg seg = { PG(1), PG(1) };
	struct outcome out;

	/* READ: the local page 2 is missing, the remote side is complete. */
	fill(test, PG(4));
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(p->here + PG(2), PAGE_SIZE));
	out = move(test, false, PG(1), PG(2), PG(1), PG(2));
	KUNIT_EXPECT_EQ(test, out.ret, PG(1));
	KUNIT_EXPECT_EQ(test, out.reason, -EFAULT);
	KUNIT_EXPECT_EQ(test, out.stop, p->there + PG(2));
	expect_read(test, &seg, 1, &seg, PG(1), PG(2));

	out = move(test, false, PG(2), PG(1), 0, PG(1));
	KUNIT_EXPECT_EQ(test, out.ret, -EFAULT);
	KUNIT_EXPECT_EQ(test, out.stop, p->there);

	/* WRITE: only the bytes before the missing page have arrived. */
	out = move(test, true, PG(1) + 100, PG(2), 50, PG(2));
	KUNIT_EXPECT_EQ(test, out.ret, PG(1) - 100);
	KUNIT_EXPECT_EQ(test, out.reason, -EFAULT);
	KUNIT_EXPECT_EQ(test, out.stop, p->there + 50 + PG(1) - 100);
	KUNIT_ASSERT_EQ(test, 0, remote_read(p, 0, p->buf, PG(4)));
	KUNIT_EXPECT_EQ(test, p->buf[49], pattern(49));
	KUNIT_EXPECT_EQ(test, p->buf[50], pattern(PG(1) + 100));
	KUNIT_EXPECT_EQ(test, p->buf[PG(1) - 51], pattern(PG(2) - 1));
	KUNIT_EXPECT_EQ(test, p->buf[PG(1) - 50], pattern(PG(1) - 50));
}

static void target_protection_is_enforced(struct kunit *test)
{
	struct pair *p = test->priv;
	const unsigned long flags = MAP_ANONYMOUS | MAP_PRIVATE;
	struct outcome out;

	fill(test, PG(4));
	KUNIT_ASSERT_EQ(test, 0, remote_map(p, NULL, PG(1), PAGE_SIZE,
					    PROT_READ, flags));
	KUNIT_ASSERT_EQ(test, 0, remote_map(p, NULL, PG(2), PAGE_SIZE,
					    PROT_NONE, flags));

	out = move(test, false, 0, 8, PG(1), 8);
	KUNIT_EXPECT_EQ_MSG(test, out.ret, 8, "read of a read-only page");
	out = move(test, true, 0, 8, PG(1), 8);
	KUNIT_EXPECT_EQ_MSG(test, out.ret, -EFAULT, "write to a read-only page");
	KUNIT_EXPECT_EQ(test, out.stop, p->there + PG(1));
	KUNIT_ASSERT_EQ(test, 0, remote_read(p, PG(1), p->buf, PAGE_SIZE));
	KUNIT_EXPECT_NULL_MSG(test, memchr_inv(p->buf, 0, PAGE_SIZE),
			      "the read-only page has changed");

	out = move(test, false, 0, 8, PG(2), 8);
	KUNIT_EXPECT_EQ_MSG(test, out.ret, -EFAULT, "read of a PROT_NONE page");
	out = move(test, true, 0, 8, PG(2), 8);
	KUNIT_EXPECT_EQ_MSG(test, out.ret, -EFAULT, "write to a PROT_NONE page");

	/* A write stops at the first page that may not be written. */
	out = move(test, true, 0, PG(2), 0, PG(2));
	KUNIT_EXPECT_EQ(test, out.ret, PG(1));
	KUNIT_EXPECT_EQ(test, out.reason, -EIO);
}

/* --- pages --------------------------------------------------------------- */

static void a_private_file_page_is_written_in_a_copy(struct kunit *test)
{
	struct pair *p = test->priv;
	struct file *file = pattern_file(test, 1, 1);
	struct outcome out;
	loff_t pos = 0;
	size_t i;

	fill(test, PG(1));
	KUNIT_ASSERT_EQ(test, 0, remote_map(p, file, 0, PAGE_SIZE,
					    PROT_READ | PROT_WRITE,
					    MAP_PRIVATE));
	out = move(test, true, 0, 16, 32, 16);
	KUNIT_EXPECT_EQ(test, out.ret, 16);
	KUNIT_ASSERT_EQ(test, 0, remote_read(p, 32, p->buf, 16));
	KUNIT_EXPECT_NULL(test, memchr_inv(p->buf, UNTOUCHED, 16));

	KUNIT_ASSERT_EQ(test, kernel_read(file, p->buf, PAGE_SIZE, &pos),
			PAGE_SIZE);
	for (i = 0; i < PAGE_SIZE; i++)
		KUNIT_ASSERT_EQ_MSG(test, p->buf[i], pattern(i),
				    "the file has changed at %zu", i);
}

static void a_shared_file_page_is_dirty_only_if_written(struct kunit *test)
{
	struct pair *p = test->priv;
	struct file *file = pattern_file(test, 1, 1);
	struct outcome out;
	struct folio *folio;
	loff_t pos = 32;

	fill(test, PG(1));
	KUNIT_ASSERT_EQ(test, 0, remote_map(p, file, 0, PAGE_SIZE,
					    PROT_READ | PROT_WRITE,
					    MAP_SHARED));
	/*
	 * The page table entry is dirty, the page is clean. Then pinning it for a write
	 * does not make it dirty, only unpinning does.
	 */
	KUNIT_ASSERT_EQ(test, 0, remote_write(p, 0, p->buf, 1));
	folio = page_folio(remote_page(test, 0));
	folio_lock(folio);
	folio_clear_dirty(folio);
	folio_unlock(folio);

	out = move(test, false, PG(1), 16, 32, 16);
	KUNIT_EXPECT_EQ(test, out.ret, 16);
	KUNIT_EXPECT_FALSE_MSG(test, folio_test_dirty(folio),
			       "dirty after a read");

	out = move(test, true, 0, 16, 32, 16);
	KUNIT_EXPECT_EQ(test, out.ret, 16);
	KUNIT_EXPECT_TRUE_MSG(test, folio_test_dirty(folio),
			      "clean after a write");
	KUNIT_ASSERT_EQ(test, kernel_read(file, p->buf, 16, &pos), 16);
	KUNIT_EXPECT_NULL(test, memchr_inv(p->buf, UNTOUCHED, 16));
}

static void references_and_pins_are_dropped(struct kunit *test)
{
	static const struct {
		const char *name;
		size_t local_at, remote_at, len;
		bool write;
		ssize_t ret;
		int reason;
	} rows[] = {
		{ "read", 0, 0, 4 * 4096, false, 4 * 4096 },
		{ "read with pages allocated", 0, 0, 18 * 4096, false,
		  18 * 4096 },
		{ "write", 0, 0, 4 * 4096, true, 4 * 4096 },
		{ "read into a hole there", 0, 16 * 4096, 8 * 4096, false,
		  4 * 4096, -EIO },
		{ "write into a hole there", 0, 16 * 4096, 8 * 4096, true,
		  4 * 4096, -EIO },
		{ "read at a hole there", 0, 20 * 4096, 4096, false,
		  -EFAULT, -EIO },
		{ "read into a hole here", 22 * 4096, 0, 8 * 4096, false,
		  2 * 4096, -EFAULT },
		{ "write out of a hole here", 22 * 4096, 0, 8 * 4096, true,
		  2 * 4096, -EFAULT },
		{ "read at a hole here", 24 * 4096, 0, 4096, false,
		  -EFAULT, -EFAULT },
	};
	static const size_t watched[] = { 0, 3, 17, 19 };
	struct pair *p = test->priv;
	struct page *pages[ARRAY_SIZE(watched)];
	int before[ARRAY_SIZE(watched)];
	struct folio *folio;
	size_t i, k, round;

	if (PAGE_SIZE != 4096)
		kunit_skip(test, "the table is for 4 KiB pages");
	fill(test, PG(32));
	KUNIT_ASSERT_EQ(test, 0, remote_unmap(p, PG(20), PAGE_SIZE));
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(p->here + PG(24), PAGE_SIZE));
	for (k = 0; k < ARRAY_SIZE(watched); k++)
		pages[k] = remote_page(test, PG(watched[k]));

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (k = 0; k < ARRAY_SIZE(watched); k++)
			before[k] = page_ref_count(pages[k]);
		for (round = 0; round < ROUNDS; round++) {
			struct outcome out;

			out = move(test, rows[i].write, rows[i].local_at,
				   rows[i].len, rows[i].remote_at, rows[i].len);
			KUNIT_ASSERT_EQ_MSG(test, out.ret, rows[i].ret, "%s",
					    rows[i].name);
			KUNIT_ASSERT_EQ_MSG(test, out.reason, rows[i].reason,
					    "%s", rows[i].name);
		}
		for (k = 0; k < ARRAY_SIZE(watched); k++) {
			KUNIT_EXPECT_LE_MSG(test,
					    abs(page_ref_count(pages[k]) -
						before[k]), LRU_SLACK,
					    "%s: page %zu", rows[i].name,
					    watched[k]);
			folio = page_folio(pages[k]);
			KUNIT_EXPECT_FALSE_MSG(test,
					       folio_maybe_dma_pinned(folio),
					       "%s: page %zu is pinned",
					       rows[i].name, watched[k]);
		}
	}
}

static void each_segment_is_pinned_separately(struct kunit *test)
{
	struct pair *p = test->priv;
	struct iovec l[2], r[2];
	struct outcome out;
	unsigned long addr;
	size_t i;

	/*
	 * This thread reads itself. The first remote segment ends in a page that
	 * reads as zero until the first bytes arrive there. The second segment must
	 * see those bytes.
	 */
	addr = vm_mmap(NULL, p->here, PG(3), PROT_READ | PROT_WRITE,
		       MAP_ANONYMOUS | MAP_PRIVATE | MAP_FIXED, 0);
	KUNIT_ASSERT_EQ(test, addr, p->here);
	for (i = 0; i < PAGE_SIZE; i++)
		p->buf[i] = pattern(i) ?: 0xff;
	KUNIT_ASSERT_EQ(test, 0UL,
			copy_to_user((void __user *)p->here, p->buf,
				     PAGE_SIZE));

	l[0] = (struct iovec) { (void __user *)p->here + PG(1) + 100, 16 };
	l[1] = (struct iovec) { (void __user *)p->here + PG(2), 16 };
	r[0] = (struct iovec) { (void __user *)p->here + PG(1) - 8, 16 };
	r[1] = (struct iovec) { (void __user *)p->here + PG(1) + 100, 16 };
	out = request_of(test, p->local, false, l, 2, r, 2);
	KUNIT_EXPECT_EQ(test, out.ret, 32);
	KUNIT_EXPECT_EQ(test, out.reason, 0);

	KUNIT_ASSERT_EQ(test, 0UL,
			copy_from_user(p->buf, (void __user *)p->here + PG(2),
				       16));
	for (i = 0; i < 16; i++)
		KUNIT_EXPECT_EQ_MSG(test, p->buf[i],
				    i < 8 ? pattern(PG(1) - 8 + i) ?: 0xff : 0,
				    "byte %zu", i);
}

#ifdef CONFIG_HIGHMEM
/* Otherwise no test of this suite would copy from a page without a permanent mapping. */
static void the_target_has_pages_in_highmem(struct kunit *test)
{
	fill(test, PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, PageHighMem(remote_page(test, 0)));
}
#endif

struct kunit_case pvmread_rw_cases[] = {
#ifdef CONFIG_HIGHMEM
	KUNIT_CASE(the_target_has_pages_in_highmem),
#endif
	KUNIT_CASE(empty_vectors_move_nothing),
	KUNIT_CASE(counts_up_to_uio_maxiov_work),
	KUNIT_CASE(counts_over_uio_maxiov_are_einval),
	KUNIT_CASE(hostile_lengths_and_addresses_are_refused),
	KUNIT_CASE(the_local_total_is_cut_at_max_rw_count),
	KUNIT_CASE(page_count_is_that_of_the_largest_segment),
	KUNIT_CASE(misaligned_reads_are_complete),
	KUNIT_CASE(misaligned_writes_are_complete),
	KUNIT_CASE(page_counts_around_limits_are_complete),
	KUNIT_CASE(a_hole_ends_the_transfer_at_its_first_byte),
	KUNIT_CASE(a_hole_in_a_later_segment_ends_the_transfer),
	KUNIT_CASE(a_bad_local_page_ends_the_transfer_there),
	KUNIT_CASE(target_protection_is_enforced),
	KUNIT_CASE(a_private_file_page_is_written_in_a_copy),
	KUNIT_CASE(a_shared_file_page_is_dirty_only_if_written),
	KUNIT_CASE(references_and_pins_are_dropped),
	KUNIT_CASE(each_segment_is_pinned_separately),
	{}
};
