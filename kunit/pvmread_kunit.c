// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suite of pvmread: vectors and engine, on a real second mm.
 *
 * The test thread holds an mm of its own, the local side. The remote side is
 * an mm that no task has: to look into it the thread changes over to it.
 * Nothing may assert in between, for a thread that ends there would take the
 * wrong mm down.
 */
#include <kunit/test.h>

#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/vmalloc.h>

#include <linux/pvmread.h>

#include "pvmread.h"

/* One more than two pins take, and some to spare. */
#define ARENA_PAGES	1028UL
#define ARENA_SIZE	(ARENA_PAGES * PAGE_SIZE)

/* Two arrays of one more element than allowed. */
#define VECTOR_SIZE	PAGE_ALIGN((UIO_MAXIOV + 1) * sizeof(struct iovec))

#define UNTOUCHED	0xa5

/* The most segments that a row of a table has. */
#define MAX_SEGS	5

/**
 * struct pair - the two sides that a test works on
 * @local: the test thread's own mm
 * @remote: the target
 * @here: address in @local of an arena of ARENA_SIZE bytes
 * @vectors: address in @local where the iovec arrays are put
 * @there: address in @remote of an arena of ARENA_SIZE bytes
 * @buf: kernel memory of ARENA_SIZE bytes, to fill and to look
 */
struct pair {
	struct mm_struct *local;
	struct mm_struct *remote;
	unsigned long here;
	unsigned long vectors;
	unsigned long there;
	u8 *buf;
};

/**
 * struct outcome - how a request ended
 * @ret: bytes moved, or the errno of a request that moved none
 * @reason: what the engine gave for a short transfer, 0 or negative
 * @stop: the remote address at which it ended
 */
struct outcome {
	ssize_t ret;
	int reason;
	unsigned long stop;
};

/* A segment of a table: where in the arena, and how long. */
struct seg {
	size_t at;
	size_t len;
};

static void enter(struct mm_struct *from, struct mm_struct *to)
{
	kthread_unuse_mm(from);
	kthread_use_mm(to);
}

/* Neighbouring bytes, lines and pages all differ. */
static u8 pattern(size_t i)
{
	return i + (i >> 6) + 3 * (i >> PAGE_SHIFT);
}

static int remote_write(struct pair *p, size_t at, const void *from, size_t len)
{
	int ret;

	enter(p->local, p->remote);
	ret = copy_to_user((void __user *)(p->there + at), from, len) ?
	      -EFAULT : 0;
	enter(p->remote, p->local);
	return ret;
}

static int remote_read(struct pair *p, size_t at, void *to, size_t len)
{
	int ret;

	enter(p->local, p->remote);
	ret = copy_from_user(to, (void __user *)(p->there + at), len) ?
	      -EFAULT : 0;
	enter(p->remote, p->local);
	return ret;
}

/* Put a fresh mapping over a part of the remote arena. */
static int remote_map(struct pair *p, struct file *file, size_t at, size_t len,
		      unsigned long prot, unsigned long flags)
{
	unsigned long addr;

	enter(p->local, p->remote);
	addr = vm_mmap(file, p->there + at, len, prot, flags | MAP_FIXED, 0);
	enter(p->remote, p->local);
	return addr == p->there + at ? 0 : -ENOMEM;
}

static int remote_unmap(struct pair *p, size_t at, size_t len)
{
	int ret;

	enter(p->local, p->remote);
	ret = vm_munmap(p->there + at, len);
	enter(p->remote, p->local);
	return ret;
}

/* The first @len bytes: the pattern there, UNTOUCHED here. */
static void fill(struct kunit *test, size_t len)
{
	struct pair *p = test->priv;
	size_t i;

	for (i = 0; i < len; i++)
		p->buf[i] = pattern(i);
	KUNIT_ASSERT_EQ(test, remote_write(p, 0, p->buf, len), 0);
	memset(p->buf, UNTOUCHED, len);
	KUNIT_ASSERT_EQ(test, 0UL,
			copy_to_user((void __user *)p->here, p->buf, len));
}

/* The request behind the ioctl, but for the process that it names. */
static struct outcome request(struct kunit *test, bool write,
			      const struct iovec *local, u64 local_count,
			      const struct iovec *remote, u64 remote_count)
{
	struct pair *p = test->priv;
	unsigned long second = p->vectors + VECTOR_SIZE;
	struct outcome out = {};
	struct pvmread_vectors vec;
	struct pvmread_engine eng;
	unsigned long pages;
	ssize_t total;
	int ret;

	if (local_count <= UIO_MAXIOV + 1)
		KUNIT_ASSERT_EQ(test, 0UL,
				copy_to_user((void __user *)p->vectors, local,
					     local_count * sizeof(*local)));
	if (remote_count <= UIO_MAXIOV + 1)
		KUNIT_ASSERT_EQ(test, 0UL,
				copy_to_user((void __user *)second, remote,
					     remote_count * sizeof(*remote)));

	total = pvmread_vectors_import(&vec, write, p->vectors, local_count,
				       second, remote_count);
	if (total < 0) {
		out.ret = total;
		return out;
	}
	pages = pvmread_vectors_pages(&vec);
	ret = pages ? pvmread_engine_init(&eng, write ? PVMREAD_WRITE : PVMREAD_PIN,
					  pages) : 0;
	if (pages && !ret) {
		eng.mm = p->remote;
		out.reason = pvmread_engine_run(&eng, &vec);
		out.stop = eng.stop_addr;
		ret = out.reason;
		pvmread_engine_release(&eng);
	}
	out.ret = (total - iov_iter_count(&vec.local)) ?: ret;
	pvmread_vectors_release(&vec);
	return out;
}

/* One segment each side, at these offsets of the arenas. */
static struct outcome move(struct kunit *test, bool write, size_t here,
			   size_t here_len, size_t there, size_t there_len)
{
	struct pair *p = test->priv;
	struct iovec l = { (void __user *)(p->here + here), here_len };
	struct iovec r = { (void __user *)(p->there + there), there_len };

	return request(test, write, &l, 1, &r, 1);
}

static size_t seg_iovecs(const struct seg *segs, unsigned long base,
			 struct iovec *iov)
{
	size_t n;

	/* A row ends at the first segment that is all zero. */
	for (n = 0; n < MAX_SEGS && (segs[n].at || segs[n].len); n++)
		iov[n] = (struct iovec) {
			(void __user *)(base + segs[n].at), segs[n].len
		};
	return n;
}

/*
 * What was read: @moved bytes of the remote segments, in order, lie in the
 * local ones, and no other byte of the first @size of the arena has changed.
 */
static void expect_read(struct kunit *test, const struct seg *local,
			size_t n_local, const struct seg *remote,
			size_t moved, size_t size)
{
	struct pair *p = test->priv;
	u8 *want = vmalloc(size);
	size_t r = 0, done = 0, i, k;

	KUNIT_ASSERT_NOT_NULL(test, want);
	memset(want, UNTOUCHED, size);
	for (i = 0; i < n_local && moved; i++) {
		for (k = 0; k < local[i].len && moved; k++, moved--) {
			while (done == remote[r].len) {
				r++;
				done = 0;
			}
			want[local[i].at + k] = pattern(remote[r].at + done++);
		}
	}
	KUNIT_EXPECT_EQ(test, 0UL,
			copy_from_user(p->buf, (void __user *)p->here, size));
	for (i = 0; i < size && p->buf[i] == want[i]; i++)
		;
	KUNIT_EXPECT_EQ_MSG(test, i, size, "first wrong byte: %02x, not %02x",
			    p->buf[i], want[i]);
	vfree(want);
}

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
		/* An empty local side is all that the syscall looks at. */
		out = request(test, false, iov, 0, iov, counts[i]);
		KUNIT_EXPECT_EQ_MSG(test, out.ret, 0, "remote %llu", counts[i]);
	}
}

/* Addresses that a table cannot hold, for they are known at run time alone. */
enum place { NIL, HERE, THERE, TOP, NONCANONICAL };

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
		{ "second local address non-canonical", 2, 1,
		  { { HERE, 8 }, { NONCANONICAL, 8 } }, { { THERE, 16 } },
		  -EFAULT },
		{ "remote range wraps", 1, 1,
		  { { HERE, 8 } }, { { TOP, LONG_MAX } }, -EIO, -EIO, TOP },
		{ "remote address at the top", 1, 1,
		  { { HERE, 8 } }, { { TOP, 8 } }, -EIO, -EIO, TOP },
		{ "remote address non-canonical", 1, 1,
		  { { HERE, 8 } }, { { NONCANONICAL, 8 } },
		  -EIO, -EIO, NONCANONICAL },
		{ "second remote address at the top", 1, 2,
		  { { HERE, 16 } }, { { THERE, 8 }, { TOP, 8 } },
		  8, -EIO, TOP },
		{ "remote address zero", 1, 1,
		  { { HERE, 8 } }, { { NIL, 8 } }, -EIO, -EIO, NIL },
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
	total = pvmread_vectors_import(&vec, false, p->vectors, 2, 0, 0);
	KUNIT_EXPECT_EQ(test, total, MAX_RW_COUNT);
	if (total >= 0)
		pvmread_vectors_release(&vec);
}

/* --- engine -------------------------------------------------------------- */

#define PG(n)	((n) * PAGE_SIZE)

static void segments_that_never_line_up_arrive_whole(struct kunit *test)
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

static void writes_that_never_line_up_arrive_whole(struct kunit *test)
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

		/* Which byte of the stream lies here, if any? */
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

static void page_counts_around_the_limits_arrive_whole(struct kunit *test)
{
	static const size_t counts[] = {
		PVMREAD_STACK_PAGES - 1, PVMREAD_STACK_PAGES,
		PVMREAD_STACK_PAGES + 1, 1023, 1024, 1025
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
	/* Pages of the transfer, and which of them is missing. */
	static const struct {
		size_t pages, hole;
	} rows[] = {
		{ 1, 0 }, { 8, 0 }, { 8, 3 }, { 8, 7 }, { 20, 0 }, { 20, 15 },
		{ 20, 16 }, { 20, 19 }, { 1026, 1023 }, { 1026, 1024 },
		{ 1026, 1025 },
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
			KUNIT_EXPECT_EQ(test, out.ret, moved ?: -EIO);
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

static void a_hole_inside_a_later_segment_leaves_the_rest(struct kunit *test)
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
		kunit_skip(test, "the table is of 4 KiB pages");
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

	/* READ: the local page 2 is missing, the remote side is whole. */
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

	/* WRITE: what lay before the missing page has arrived, no more. */
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

static void protection_of_the_target_is_kept(struct kunit *test)
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
	KUNIT_EXPECT_EQ_MSG(test, out.ret, -EIO, "write to a read-only page");
	KUNIT_EXPECT_EQ(test, out.stop, p->there + PG(1));
	KUNIT_ASSERT_EQ(test, 0, remote_read(p, PG(1), p->buf, PAGE_SIZE));
	KUNIT_EXPECT_NULL_MSG(test, memchr_inv(p->buf, 0, PAGE_SIZE),
			      "the read-only page has changed");

	out = move(test, false, 0, 8, PG(2), 8);
	KUNIT_EXPECT_EQ_MSG(test, out.ret, -EIO, "read of a PROT_NONE page");
	out = move(test, true, 0, 8, PG(2), 8);
	KUNIT_EXPECT_EQ_MSG(test, out.ret, -EIO, "write to a PROT_NONE page");

	/* A write stops at the first page that may not be written. */
	out = move(test, true, 0, PG(2), 0, PG(2));
	KUNIT_EXPECT_EQ(test, out.ret, PG(1));
	KUNIT_EXPECT_EQ(test, out.reason, -EIO);
}

/* --- pages --------------------------------------------------------------- */

KUNIT_DEFINE_ACTION_WRAPPER(put_file, fput, struct file *);

/*
 * An unnamed file of one page with the pattern in it: the one that lies behind
 * a shared mapping. A kernel thread has no place in the file system where it
 * could open one (from 7.3 on), and the argument types of shmem_file_setup()
 * differ between kernels.
 */
static struct file *pattern_file(struct kunit *test)
{
	struct pair *p = test->priv;
	struct vm_area_struct *vma;
	struct file *file = NULL;
	loff_t pos = 0;
	size_t i;

	KUNIT_ASSERT_EQ(test, 0, remote_map(p, NULL, PG(1), PAGE_SIZE,
					    PROT_READ | PROT_WRITE,
					    MAP_ANONYMOUS | MAP_SHARED));
	mmap_read_lock(p->remote);
	vma = find_vma(p->remote, p->there + PG(1));
	if (vma && vma->vm_file)
		file = get_file(vma->vm_file);
	mmap_read_unlock(p->remote);
	KUNIT_ASSERT_NOT_NULL(test, file);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, put_file, file));
	for (i = 0; i < PAGE_SIZE; i++)
		p->buf[i] = pattern(i);
	KUNIT_ASSERT_EQ(test, kernel_write(file, p->buf, PAGE_SIZE, &pos),
			PAGE_SIZE);
	return file;
}

KUNIT_DEFINE_ACTION_WRAPPER(drop_page, put_page, struct page *);

/* The page behind a remote address, with a reference until the test's end. */
static struct page *remote_page(struct kunit *test, size_t at)
{
	struct pair *p = test->priv;
	struct page *page;
	int locked = 1;
	long got;

	mmap_read_lock(p->remote);
	got = get_user_pages_remote(p->remote, p->there + at, 1, 0, &page,
				    &locked);
	if (locked)
		mmap_read_unlock(p->remote);
	KUNIT_ASSERT_EQ(test, got, 1);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, drop_page, page));
	return page;
}

static void a_private_file_page_is_written_in_a_copy(struct kunit *test)
{
	struct pair *p = test->priv;
	struct file *file = pattern_file(test);
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

static void a_shared_file_page_is_dirty_when_written_only(struct kunit *test)
{
	struct pair *p = test->priv;
	struct file *file = pattern_file(test);
	struct outcome out;
	struct folio *folio;
	loff_t pos = 32;

	fill(test, PG(1));
	KUNIT_ASSERT_EQ(test, 0, remote_map(p, file, 0, PAGE_SIZE,
					    PROT_READ | PROT_WRITE,
					    MAP_SHARED));
	/*
	 * Dirty in the page table, clean itself: pinning it for a write does
	 * not make it dirty then, only unpinning does.
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

/*
 * How often a request is made while the counts are watched. The LRU's per-CPU
 * batches hold a few references for a while, so that a count may move by one
 * or two; what a request leaks it leaks each time.
 */
#define ROUNDS		32
#define LRU_SLACK	4

static void references_and_pins_are_given_back(struct kunit *test)
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
		  -EIO, -EIO },
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
		kunit_skip(test, "the table is of 4 KiB pages");
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

#if defined(CONFIG_FAULT_INJECTION) && defined(CONFIG_FAILSLAB)
/*
 * fail_nth makes the n-th place that can fail do so, be it an allocation or a
 * copy from or to user space, for this thread alone. What request() does, but
 * with nothing else inside. *@met tells whether there was an n-th place.
 */
static int failing_request(struct pair *p, bool write, size_t count,
			   unsigned int nth, bool *met)
{
	struct pvmread_vectors vec;
	struct pvmread_engine eng;
	ssize_t total;
	int ret = 0;

	current->fail_nth = nth;
	total = pvmread_vectors_import(&vec, write, p->vectors, count,
				       p->vectors + VECTOR_SIZE, count);
	if (total > 0) {
		ret = pvmread_engine_init(&eng, write ? PVMREAD_WRITE : PVMREAD_PIN,
					  pvmread_vectors_pages(&vec));
		if (!ret) {
			eng.mm = p->remote;
			ret = pvmread_engine_run(&eng, &vec);
			pvmread_engine_release(&eng);
		}
	}
	if (total >= 0)
		pvmread_vectors_release(&vec);
	*met = !current->fail_nth;
	current->fail_nth = 0;
	return total < 0 ? total : ret;
}

static void every_failure_on_the_way_gives_all_back(struct kunit *test)
{
	const size_t count = UIO_FASTIOV + 1;
	struct pair *p = test->priv;
	unsigned int nth, enomem = 0, injected = 0;
	struct page *page;
	struct iovec *iov;
	int before, write;
	size_t i;

	/* The last segments need more page pointers than the stack has. */
	iov = kunit_kcalloc(test, 2 * count, sizeof(*iov), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, iov);
	for (i = 0; i < count; i++) {
		size_t at = i * PG(3) + 100;
		size_t len = i < count - 1 ? PG(2) : PG(PVMREAD_STACK_PAGES);

		iov[i].iov_base = (void __user *)p->here + at;
		iov[i].iov_len = len;
		iov[count + i].iov_base = (void __user *)p->there + at;
		iov[count + i].iov_len = len;
	}
	fill(test, PG(60));
	KUNIT_ASSERT_EQ(test, 0UL,
			copy_to_user((void __user *)p->vectors, iov,
				     count * sizeof(*iov)));
	KUNIT_ASSERT_EQ(test, 0UL,
			copy_to_user((void __user *)p->vectors + VECTOR_SIZE,
				     iov + count, count * sizeof(*iov)));
	page = remote_page(test, 0);
	before = page_ref_count(page);

	for (write = 0; write < 2; write++) {
		for (nth = 1; nth < 1000; nth++) {
			bool met;
			int ret = failing_request(p, write, count, nth, &met);

			KUNIT_EXPECT_TRUE_MSG(test, !ret || ret == -ENOMEM ||
					      ret == -EFAULT || ret == -EIO,
					      "failure %u gave %d", nth, ret);
			if (!met)
				break;
			injected++;
			if (ret == -ENOMEM)
				enomem++;
		}
		KUNIT_EXPECT_LT(test, nth, 1000U);
	}
	KUNIT_EXPECT_LE(test, abs(page_ref_count(page) - before), LRU_SLACK);
	KUNIT_EXPECT_FALSE(test, folio_maybe_dma_pinned(page_folio(page)));
	KUNIT_EXPECT_EQ(test, move(test, false, 0, PG(60), 0, PG(60)).ret,
			PG(60));

	/* Of each direction: the two arrays and the page pointers. */
	kunit_info(test, "%u failures injected, %u of them allocations",
		   injected, enomem);
	if (enomem < 6)
		kunit_skip(test, "failslab spares GFP_KERNEL: write N to its ignore-gfp-wait");
}
#else
static void every_failure_on_the_way_gives_all_back(struct kunit *test)
{
	kunit_skip(test, "the kernel has no CONFIG_FAILSLAB");
}
#endif

/* --- symbols ------------------------------------------------------------- */

static void a_symbol_is_found_by_its_whole_name_only(struct kunit *test)
{
	KUNIT_EXPECT_NE(test, pvmread_find_symbol("mm_access", mmput), 0UL);
	KUNIT_EXPECT_EQ(test, pvmread_find_symbol("mmput", mmput),
			(unsigned long)mmput);
	KUNIT_EXPECT_EQ(test, pvmread_find_symbol("get_task_mm", mmput),
			(unsigned long)get_task_mm);
	KUNIT_EXPECT_EQ(test, pvmread_find_symbol("mm_acces", mmput), 0UL);
	KUNIT_EXPECT_EQ(test, pvmread_find_symbol("mm_access_not", mmput), 0UL);
	KUNIT_EXPECT_EQ(test, pvmread_find_symbol("", mmput), 0UL);
	/* A module's, this one's neighbour. */
	KUNIT_EXPECT_EQ(test, pvmread_find_symbol("pvmread_find_symbol", mmput), 0UL);
}

/* --- the suite ----------------------------------------------------------- */

/*
 * Not kunit_vm_mmap(): in 6.12 to 7.3 each test that uses it leaks the
 * mm_struct, which kmemleak reports.
 */
static struct mm_struct *new_mm(void)
{
	struct mm_struct *mm = mm_alloc();

	if (!mm)
		return NULL;
	mm->task_size = TASK_SIZE;
	arch_pick_mmap_layout(mm, &current->signal->rlim[RLIMIT_STACK]);
	return mm;
}

static int pair_init(struct kunit *test)
{
	const unsigned long prot = PROT_READ | PROT_WRITE;
	const unsigned long flags = MAP_ANONYMOUS | MAP_PRIVATE;
	struct pair *p;

	p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	test->priv = p;
	p->buf = vmalloc(ARENA_SIZE);
	if (!p->buf)
		return -ENOMEM;

	p->local = new_mm();
	if (!p->local)
		return -ENOMEM;
	/* From here on the end of this thread puts the users of p->local. */
	kthread_use_mm(p->local);
	p->here = vm_mmap(NULL, 0, ARENA_SIZE, prot, flags, 0);
	p->vectors = vm_mmap(NULL, 0, 2 * VECTOR_SIZE, prot, flags, 0);
	if (IS_ERR_VALUE(p->here) || IS_ERR_VALUE(p->vectors))
		return -ENOMEM;

	p->remote = new_mm();
	if (!p->remote)
		return -ENOMEM;
	enter(p->local, p->remote);
	p->there = vm_mmap(NULL, 0, ARENA_SIZE, prot, flags, 0);
	enter(p->remote, p->local);
	return IS_ERR_VALUE(p->there) ? -ENOMEM : 0;
}

/* Runs in another thread than the test, when that one has ended. */
static void pair_exit(struct kunit *test)
{
	struct pair *p = test->priv;

	if (!p)
		return;
	/* kthread_use_mm() took a reference that the thread's end leaves. */
	if (p->local)
		mmdrop(p->local);
	if (p->remote)
		mmput(p->remote);
	vfree(p->buf);
}

static struct kunit_case pvmread_cases[] = {
	KUNIT_CASE(empty_vectors_move_nothing),
	KUNIT_CASE(counts_up_to_uio_maxiov_work),
	KUNIT_CASE(counts_over_uio_maxiov_are_einval),
	KUNIT_CASE(hostile_lengths_and_addresses_are_refused),
	KUNIT_CASE(the_local_total_is_cut_at_max_rw_count),
	KUNIT_CASE(segments_that_never_line_up_arrive_whole),
	KUNIT_CASE(writes_that_never_line_up_arrive_whole),
	KUNIT_CASE(page_counts_around_the_limits_arrive_whole),
	KUNIT_CASE(a_hole_ends_the_transfer_at_its_first_byte),
	KUNIT_CASE(a_hole_inside_a_later_segment_leaves_the_rest),
	KUNIT_CASE(a_bad_local_page_ends_the_transfer_there),
	KUNIT_CASE(protection_of_the_target_is_kept),
	KUNIT_CASE(a_private_file_page_is_written_in_a_copy),
	KUNIT_CASE(a_shared_file_page_is_dirty_when_written_only),
	KUNIT_CASE(references_and_pins_are_given_back),
	KUNIT_CASE(every_failure_on_the_way_gives_all_back),
	KUNIT_CASE(a_symbol_is_found_by_its_whole_name_only),
	{}
};

static struct kunit_suite pvmread_suite = {
	.name		= "pvmread",
	.init		= pair_init,
	.exit		= pair_exit,
	.test_cases	= pvmread_cases,
};

kunit_test_suite(pvmread_suite);

/* What MODULE_IMPORT_NS() makes, whose argument gained quotes in 6.13. */
MODULE_INFO(import_ns, "EXPORTED_FOR_KUNIT_TESTING");
MODULE_DESCRIPTION("KUnit suite of pvmread");
MODULE_AUTHOR("The pvmread developers");
MODULE_LICENSE("GPL");
