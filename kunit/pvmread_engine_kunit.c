// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the engine's functions.
 */
#include <linux/bvec.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/percpu_counter.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include <linux/pvmread.h>

#include "pvmread_pair.h"

KUNIT_DEFINE_ACTION_WRAPPER(release_engine, pvmread_engine_release,
			    struct pvmread_engine *);

/* An engine on the remote side, released at the test's end. */
static struct pvmread_engine *engine(struct kunit *test, u32 flags)
{
	struct pair *p = test->priv;
	struct pvmread_engine *eng;

	eng = kunit_kmalloc(test, sizeof(*eng), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, eng);
	/* Poison it, because a stack is not zeroed. */
	memset(eng, UNTOUCHED, sizeof(*eng));
	pvmread_engine_init(eng, p->remote, flags & PVMREAD_WRITE,
			    flags & PVMREAD_NOWAIT, flags & PVMREAD_RESIDENT);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, release_engine, eng));
	return eng;
}

static struct iov_iter local_iter(const struct pair *p, bool write, size_t at,
				  size_t len)
{
	struct iov_iter local;

	iov_iter_ubuf(&local, write ? ITER_SOURCE : ITER_DEST,
		      (void __user *)p->here + at, len);
	return local;
}

/* One move between these offsets of the arenas, which keeps the hold. */
static struct outcome piece_held(const struct pair *p, struct pvmread_engine *eng,
				 size_t here, size_t there, size_t len)
{
	struct iov_iter local = local_iter(p, eng->write, here, len);
	struct outcome out;

	out.reason = pvmread_engine_move(eng, p->there + there, len, &local);
	out.ret = (len - iov_iter_count(&local)) ?: out.reason;
	out.stop = eng->stop_addr;
	return out;
}

/* One move between these offsets of the arenas. */
static struct outcome piece(const struct pair *p, struct pvmread_engine *eng,
			    size_t here, size_t there, size_t len)
{
	struct outcome out = piece_held(p, eng, here, there, len);

	pvmread_engine_release(eng);
	return out;
}

/* One string of at most @len bytes, into @room bytes; keeps the hold. */
static struct outcome string_held(const struct pair *p, struct pvmread_engine *eng,
				  size_t here, size_t room, size_t there, size_t len)
{
	struct iov_iter local = local_iter(p, false, here, room);
	struct outcome out;

	out.reason = pvmread_engine_string(eng, p->there + there, len, &local);
	out.ret = (room - iov_iter_count(&local)) ?: out.reason;
	out.stop = eng->stop_addr;
	return out;
}

/* One string of at most @len bytes, into @room bytes. */
static struct outcome string(const struct pair *p, struct pvmread_engine *eng,
			     size_t here, size_t room, size_t there, size_t len)
{
	struct outcome out = string_held(p, eng, here, room, there, len);

	pvmread_engine_release(eng);
	return out;
}

/*
 * @out must be of a transfer that began at @there, moved @moved bytes and ended with
 * @reason.
 */
static void expect_outcome(struct kunit *test, struct outcome out, size_t there,
			   size_t moved, int reason, const char *name)
{
	struct pair *p = test->priv;

	KUNIT_EXPECT_EQ_MSG(test, out.reason, reason, "%s", name);
	KUNIT_EXPECT_EQ_MSG(test, out.ret, (ssize_t)moved ?: reason, "%s", name);
	KUNIT_EXPECT_EQ_MSG(test, out.stop, p->there + there + moved, "%s",
			    name);
}

/* Set the first @len local bytes to UNTOUCHED. */
static void blank(struct kunit *test, size_t len)
{
	struct pair *p = test->priv;

	memset(p->buf, UNTOUCHED, len);
	KUNIT_ASSERT_EQ(test, 0UL,
			copy_to_user((void __user *)p->here, p->buf, len));
}

/* The @len bytes at @here must be those of the pattern at @there. */
static void expect_here(struct kunit *test, size_t here, size_t there,
			size_t len, const char *name)
{
	struct pair *p = test->priv;
	size_t i;

	KUNIT_ASSERT_EQ(test, 0UL,
			copy_from_user(p->buf, (void __user *)p->here + here,
				       len));
	for (i = 0; i < len && p->buf[i] == pattern(there + i); i++)
		;
	KUNIT_EXPECT_EQ_MSG(test, i, len, "%s: first wrong byte", name);
}

/* The pattern without NULs. */
static u8 text(size_t i)
{
	return pattern(i) ?: 0xff;
}

/* Text in the first pages of the remote arena. */
static void fill_text(struct kunit *test, size_t len)
{
	struct pair *p = test->priv;
	size_t i;

	for (i = 0; i < len; i++)
		p->buf[i] = text(i);
	KUNIT_ASSERT_EQ(test, remote_write(p, 0, p->buf, len), 0);
}

/* Set one byte of the text to NUL, or back. */
static void put_nul(struct kunit *test, size_t at, bool nul)
{
	u8 byte = nul ? 0 : text(at);

	KUNIT_ASSERT_EQ(test, 0, remote_write(test->priv, at, &byte, 1));
}

#define STAGE_PAGES	40UL

/* The result of a fault on a page of the stage. */
enum scene {
	READY,		/* the page */
	LATER,		/* the page, after a wait */
	KILLED,		/* the page, and the thread is killed meanwhile */
	EXITED,		/* the page, and the target exits meanwhile */
	NO_MEMORY,
	NO_PAGE,
	POISONED,
};

/**
 * struct stage - a mapping at the start of the remote arena, with our fault handler
 * @own: its own pages, with the pattern. Their reference counts are exact, because no
 *	batch of an LRU list holds a reference to them
 * @scenes: result of a fault on each page
 * @file: the mapped file; the stage provides the pages
 * @file_system: writes to a shared mapping call ->page_mkwrite()
 * @faults: number of faults
 * @nowait: number of these that must not wait
 * @mkwrites: number of calls of ->page_mkwrite()
 * @users: mm_users at the last fault
 * @exited: a fault has put a reference to mm_users
 * @closer: the task that unmapped the stage, or a part of it
 */
struct stage {
	struct page *own[STAGE_PAGES];
	enum scene scenes[STAGE_PAGES];
	struct file *file;
	bool file_system;
	unsigned int faults;
	unsigned int nowait;
	unsigned int mkwrites;
	int users;
	bool exited;
	struct task_struct *closer;
};

static vm_fault_t stage_fault(struct vm_fault *vmf)
{
	struct stage *stage = vmf->vma->vm_private_data;
	bool nowait = vmf->flags & FAULT_FLAG_RETRY_NOWAIT;
	struct mm_struct *mm = vmf->vma->vm_mm;

	if (vmf->pgoff >= STAGE_PAGES)
		return VM_FAULT_SIGBUS;
	stage->faults++;
	stage->nowait += nowait;
	stage->users = atomic_read(&mm->mm_users);
	switch (stage->scenes[vmf->pgoff]) {
	case READY:
		break;
	case LATER:
		/*
		 * Like filemap_fault() when a page is being read: a caller that must
		 * not wait keeps mmap_lock, any other caller waits without it.
		 */
		if (nowait)
			return VM_FAULT_RETRY;
		if (fault_flag_allow_retry_first(vmf->flags)) {
			mmap_read_unlock(mm);
			return VM_FAULT_RETRY;
		}
		break;
	case KILLED:
		send_sig(SIGKILL, current, 1);
		break;
	case EXITED:
		/* Never put the last reference: mmput() would need the lock that is held here. */
		stage->exited = atomic_add_unless(&mm->mm_users, -1, 1);
		break;
	case NO_MEMORY:
		return VM_FAULT_OOM;
	case NO_PAGE:
		return VM_FAULT_SIGBUS;
	case POISONED:
		return VM_FAULT_HWPOISON;
	}
	vmf->page = stage->own[vmf->pgoff];
	get_page(vmf->page);
	return 0;
}

static vm_fault_t stage_page_mkwrite(struct vm_fault *vmf)
{
	struct stage *stage = vmf->vma->vm_private_data;

	stage->mkwrites++;
	lock_page(vmf->page);
	return VM_FAULT_LOCKED;
}

static void stage_close(struct vm_area_struct *vma)
{
	struct stage *stage = vma->vm_private_data;

	WRITE_ONCE(stage->closer, current);
}

static const struct vm_operations_struct stage_vm_ops = {
	.close		= stage_close,
	.fault		= stage_fault,
};

static const struct vm_operations_struct stage_fs_vm_ops = {
	.close		= stage_close,
	.fault		= stage_fault,
	.page_mkwrite	= stage_page_mkwrite,
};

/*
 * Map @file, or if it is NULL an unnamed file with an empty page cache, and replace its
 * fault handlers. (A file that the test creates would also need a page cache that
 * kernel_write() can fill.)
 */
static void map_stage(struct kunit *test, struct stage *stage,
		      struct file *file, unsigned long kind)
{
	struct pair *p = test->priv;
	struct vm_area_struct *vma;
	struct file *mapped = NULL;

	KUNIT_ASSERT_EQ(test, 0, remote_map(p, file, 0, PG(STAGE_PAGES),
					    PROT_READ | PROT_WRITE, kind));
	mmap_write_lock(p->remote);
	vma = find_vma(p->remote, p->there);
	if (vma && vma->vm_start == p->there && vma->vm_file) {
		mapped = get_file(vma->vm_file);
		vma->vm_ops = &stage_vm_ops;
		vma->vm_private_data = stage;
		if (stage->file_system) {
			vma->vm_ops = &stage_fs_vm_ops;
			/* Otherwise writes would not fault. */
			vma->vm_page_prot =
				vm_get_page_prot(vma->vm_flags & ~VM_SHARED);
		}
	}
	mmap_write_unlock(p->remote);
	KUNIT_ASSERT_NOT_NULL(test, mapped);
	stage->file = mapped;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, put_file, mapped));
}

static struct stage *new_stage(struct kunit *test)
{
	struct stage *stage;
	size_t i, k;

	stage = kunit_kzalloc(test, sizeof(*stage), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, stage);
	for (i = 0; i < STAGE_PAGES; i++) {
		struct page *page = alloc_page(GFP_KERNEL);
		u8 *mem;

		KUNIT_ASSERT_NOT_NULL(test, page);
		KUNIT_ASSERT_EQ(test, 0,
				kunit_add_action_or_reset(test, drop_page,
							  page));
		mem = page_address(page);
		for (k = 0; k < PAGE_SIZE; k++)
			mem[k] = pattern(PG(i) + k);
		stage->own[i] = page;
	}
	map_stage(test, stage, NULL, MAP_ANONYMOUS | MAP_SHARED);
	blank(test, PG(STAGE_PAGES));
	return stage;
}

/* From now on the page cache has every page of the stage, up to date. */
static void give_cache(struct kunit *test, struct stage *stage)
{
	refill(test, stage->file, STAGE_PAGES);
}

/* Make the target map these pages, by writing their own contents to them. */
static void touch(struct kunit *test, size_t first, size_t nr)
{
	struct pair *p = test->priv;
	size_t i;

	for (i = first; i < first + nr; i++) {
		u8 byte = pattern(PG(i));

		KUNIT_ASSERT_EQ(test, 0, remote_write(p, PG(i), &byte, 1));
	}
}

/* The engine must hold @nr pages of the stage from @first on, and no others. */
static void expect_held(struct kunit *test, const struct stage *stage,
			size_t first, size_t nr, bool pinned, const char *name)
{
	size_t i;

	for (i = 0; i < STAGE_PAGES; i++) {
		struct folio *folio = page_folio(stage->own[i]);
		bool held = i >= first && i < first + nr;
		int refs = folio_ref_count(folio) - folio_mapcount(folio) - 1;

		KUNIT_EXPECT_EQ_MSG(test, folio_maybe_dma_pinned(folio),
				    held && pinned, "%s: page %zu", name, i);
		/* The kernel decides how many references a pin counts for. */
		if (held && pinned)
			KUNIT_EXPECT_GT_MSG(test, refs, 1, "%s: page %zu",
					    name, i);
		else
			KUNIT_EXPECT_EQ_MSG(test, refs, held, "%s: page %zu",
					    name, i);
	}
}

/**
 * struct holder - a worker that holds an mm's mmap_lock for writing, or a folio's lock
 * @work: the work item
 * @mm: the mm whose lock it holds, or NULL
 * @folio: the folio whose lock it holds, or NULL
 * @victim: task to kill when the lock is held, or NULL
 * @held: completed when the lock is held
 * @enough: completed when it is to be released
 * @timed_out: @enough was not completed in time, so the test thread waits for the lock
 *
 * The test thread cannot hold it itself: if a request wrongly waited for the lock, it
 * would wait forever.
 */
struct holder {
	struct work_struct work;
	struct mm_struct *mm;
	struct folio *folio;
	struct task_struct *victim;
	struct completion held;
	struct completion enough;
	bool timed_out;
};

static void hold(struct work_struct *work)
{
	struct holder *holder = container_of(work, struct holder, work);

	if (holder->mm)
		mmap_write_lock(holder->mm);
	else
		folio_lock(holder->folio);
	complete(&holder->held);
	if (holder->victim) {
		/* Give the victim time to wait for the lock. */
		msleep(50);
		send_sig(SIGKILL, holder->victim, 1);
	}
	holder->timed_out = !wait_for_completion_timeout(&holder->enough,
							 60 * HZ);
	if (holder->mm)
		mmap_write_unlock(holder->mm);
	else
		folio_unlock(holder->folio);
}

/* Make the worker take the lock. Nothing may assert before release_lock(). */
static void ask_for_lock(struct holder *holder, struct mm_struct *mm,
			 struct folio *folio, struct task_struct *victim)
{
	holder->mm = mm;
	holder->folio = folio;
	holder->victim = victim;
	holder->timed_out = false;
	init_completion(&holder->held);
	init_completion(&holder->enough);
	INIT_WORK_ONSTACK(&holder->work, hold);
	schedule_work(&holder->work);
}

static void hold_lock(struct holder *holder, struct mm_struct *mm,
		      struct folio *folio, struct task_struct *victim)
{
	ask_for_lock(holder, mm, folio, victim);
	wait_for_completion(&holder->held);
}

/*
 * Make the worker wait for the lock, which the test holds. The worker will release it
 * at once. Return: true if the worker waits.
 */
static bool wait_for_writer(struct holder *holder, struct mm_struct *mm)
{
	int tries;

	ask_for_lock(holder, mm, NULL, NULL);
	complete(&holder->enough);
	for (tries = 0; tries < 10000 && !mmap_lock_is_contended(mm); tries++)
		fsleep(1000);
	return mmap_lock_is_contended(mm);
}

/* Return: true if the lock was held until now. */
static bool release_lock(struct holder *holder)
{
	complete(&holder->enough);
	flush_work(&holder->work);
	destroy_work_on_stack(&holder->work);
	return !holder->timed_out;
}

/* The engine must have @users references to mm_users and, if there are any, mmap_lock. */
static void expect_hold(struct kunit *test, int users, const char *name)
{
	struct pair *p = test->priv;
	bool unlocked = down_write_trylock(&p->remote->mmap_lock);

	if (unlocked)
		up_write(&p->remote->mmap_lock);
	KUNIT_EXPECT_EQ_MSG(test, unlocked, !users, "%s", name);
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&p->remote->mm_users), 1 + users,
			    "%s", name);
}

static void next_move_reuses_a_held_page(struct kunit *test)
{
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	struct pvmread_engine *eng = engine(test, 0);
	struct outcome out;

	touch(test, 3, 1);
	stage->faults = 0;
	out = piece_held(p, eng, 0, PG(3) + 100, 8);
	expect_outcome(test, out, PG(3) + 100, 8, 0, "first");
	expect_held(test, stage, 3, 1, false, "after the first");
	expect_hold(test, 1, "after the first");

	out = piece_held(p, eng, 8, PG(4) - 300, 300);
	expect_outcome(test, out, PG(4) - 300, 300, 0, "second");
	expect_held(test, stage, 3, 1, false, "after the second");
	expect_hold(test, 1, "after the second");
	KUNIT_EXPECT_EQ(test, stage->faults, 0);

	pvmread_engine_release(eng);
	expect_held(test, stage, 0, 0, false, "released");
	expect_hold(test, 0, "released");
	expect_here(test, 0, PG(3) + 100, 8, "first");
	expect_here(test, 8, PG(4) - 300, 300, "second");

	/* After the release no page is kept. */
	KUNIT_ASSERT_EQ(test, 0, remote_unmap(p, PG(3), PAGE_SIZE));
	blank(test, PAGE_SIZE);
	out = piece(p, eng, 0, PG(3) + 100, 8);
	expect_outcome(test, out, PG(3) + 100, 0, -EIO, "unmapped");
	KUNIT_ASSERT_EQ(test, 0UL,
			copy_from_user(p->buf, (void __user *)p->here, 8));
	KUNIT_EXPECT_NULL(test, memchr_inv(p->buf, UNTOUCHED, 8));
}

static void pages_stay_held_until_others_are_needed(struct kunit *test)
{
	const size_t most = PVMREAD_ENGINE_CHUNK / PAGE_SIZE;
	const struct {
		const char *name;
		size_t at, len;
		/* The pages that are held after the move. */
		size_t first, nr;
	} rows[] = {
		{ "the first byte of them", 0, 1, 0, most },
		{ "the last byte of them", PG(most) - 1, 1, 0, most },
		{ "some of them", PG(most) / 2 + 9, 200, 0, most },
		{ "nothing", PG(30), 0, 0, most },
		{ "others", PG(20) + 9, PG(1), 20, 2 },
		{ "the last byte of two", PG(22) - 1, 1, 20, 2 },
		{ "the page after them", PG(22), 1, 22, 1 },
		{ "the page before it", PG(22) - 1, 1, 21, 1 },
		{ "from the page before into it", PG(21) - 1, 2, 20, 2 },
		{ "from the last page into the next two", PG(21) + 5, PG(2), 22, 2 },
		{ "the last page again", PG(24) - 100, 10, 22, 2 },
	};
	static const u32 flags[] = { 0, PVMREAD_WRITE };
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	struct pvmread_engine *eng;
	size_t i, f;

	if (most < 2 || most > 20)
		kunit_skip(test, "the rows are for pages of 4 to 32 KiB");
	touch(test, 0, STAGE_PAGES);
	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		bool write = flags[f] & PVMREAD_WRITE;

		eng = engine(test, flags[f]);
		KUNIT_ASSERT_EQ(test, 0, pvmread_engine_hold(eng, p->there, PG(most) + 1));
		for (i = 0; i < ARRAY_SIZE(rows); i++) {
			struct outcome out;

			out = piece_held(p, eng, 3, rows[i].at, rows[i].len);
			expect_outcome(test, out, rows[i].at, rows[i].len, 0,
				       rows[i].name);
			expect_held(test, stage, rows[i].first, rows[i].nr, write,
				    rows[i].name);
			expect_hold(test, 1, rows[i].name);
		}
		pvmread_engine_release(eng);

		/* A failed look-up also releases the held pages. */
		KUNIT_ASSERT_EQ(test, 0, remote_unmap(p, PG(10), PAGE_SIZE));
		expect_outcome(test, piece_held(p, eng, 0, PG(8), PG(4)), PG(8),
			       PG(2), -EIO, "into a hole");
		pvmread_engine_release(eng);
		expect_held(test, stage, 0, 0, false, "into a hole");
		expect_hold(test, 0, "into a hole");
		kunit_release_action(test, release_engine, eng);
		map_stage(test, stage, stage->file, MAP_SHARED);
		touch(test, 0, STAGE_PAGES);
	}
}

static void moves_longer_than_a_hold_are_complete(struct kunit *test)
{
	static const size_t lengths[] = {
		PVMREAD_ENGINE_CHUNK - 1, PVMREAD_ENGINE_CHUNK,
		PVMREAD_ENGINE_CHUNK + 1, 2 * PVMREAD_ENGINE_CHUNK,
		2 * PVMREAD_ENGINE_CHUNK + 1, PG(STAGE_PAGES) - 9,
	};
	static const size_t offsets[] = { 0, 1, 9 };
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	struct pvmread_engine *eng = engine(test, 0);
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		for (k = 0; k < ARRAY_SIZE(offsets); k++) {
			struct outcome out;

			if (offsets[k] + lengths[i] > PG(STAGE_PAGES))
				continue;
			blank(test, PG(STAGE_PAGES));
			out = piece_held(p, eng, 0, offsets[k], lengths[i]);
			/* A hold moves no more than that. */
			KUNIT_EXPECT_LE(test, eng->copied, PVMREAD_ENGINE_CHUNK);
			pvmread_engine_release(eng);
			expect_outcome(test, out, offsets[k], lengths[i], 0, "move");
			expect_here(test, 0, offsets[k], lengths[i], "move");
			expect_held(test, stage, 0, 0, false, "move");
			expect_hold(test, 0, "move");
		}
	}
}

/* A move ends its hold for a writer, unless it is @nowait. */
static void a_hold_ends_when_a_writer_waits(struct kunit *test)
{
	static const u32 flags[] = { 0, PVMREAD_WRITE, PVMREAD_RESIDENT, PVMREAD_NOWAIT };
	const size_t len = min(PVMREAD_ENGINE_CHUNK, PG(STAGE_PAGES));
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	size_t f;

	touch(test, 0, STAGE_PAGES);
	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		struct pvmread_engine *eng = engine(test, flags[f]);
		struct holder holder;
		struct outcome out;
		bool held, came, waits;
		int ret;

		ret = pvmread_engine_hold(eng, p->there, len);
		waits = wait_for_writer(&holder, p->remote);
		out = piece_held(p, eng, 0, 0, len);
		came = completion_done(&holder.held);
		pvmread_engine_release(eng);
		held = release_lock(&holder);

		KUNIT_EXPECT_EQ(test, ret, 0);
		KUNIT_EXPECT_TRUE(test, waits);
		KUNIT_EXPECT_TRUE(test, held);
		KUNIT_EXPECT_EQ_MSG(test, came, !(flags[f] & PVMREAD_NOWAIT),
				    "flags %u", flags[f]);
		expect_outcome(test, out, 0, len, 0, "beside a writer");
		expect_held(test, stage, 0, 0, false, "beside a writer");
		expect_hold(test, 0, "beside a writer");
		kunit_release_action(test, release_engine, eng);
	}
}

/* A @nowait engine does not sleep, not even before a hold that follows a copy. */
static void nowait_does_not_sleep_for_a_writer(struct kunit *test)
{
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	struct pvmread_engine *eng = engine(test, PVMREAD_NOWAIT);
	struct outcome before, out[3];
	struct holder holder;
	unsigned long sleeps;
	bool held, waits;
	size_t i;

	touch(test, 0, 2);
	KUNIT_ASSERT_EQ(test, 0, mmap_read_lock_killable(p->remote));
	before = piece(p, eng, 0, PG(1), PAGE_SIZE);
	waits = wait_for_writer(&holder, p->remote);
	sleeps = current->nvcsw;
	for (i = 0; i < ARRAY_SIZE(out); i++)
		out[i] = piece(p, eng, 0, 0, PAGE_SIZE);
	sleeps = current->nvcsw - sleeps;
	mmap_read_unlock(p->remote);
	held = release_lock(&holder);

	KUNIT_EXPECT_TRUE(test, waits);
	KUNIT_EXPECT_TRUE(test, held);
	KUNIT_EXPECT_EQ(test, sleeps, 0);
	expect_outcome(test, before, PG(1), PAGE_SIZE, 0, "before");
	for (i = 0; i < ARRAY_SIZE(out); i++)
		expect_outcome(test, out[i], 0, 0, -EAGAIN, "beside a writer");
	expect_held(test, stage, 0, 0, false, "beside a writer");
	expect_hold(test, 0, "beside a writer");
}

static void releasing_nothing_or_twice_is_harmless(struct kunit *test)
{
	static const u32 flags[] = { 0, PVMREAD_WRITE };
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	struct pvmread_engine *eng;
	struct outcome out;
	size_t f;

	KUNIT_ASSERT_EQ(test, 0, remote_unmap(p, PG(10), PAGE_SIZE));
	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		eng = engine(test, flags[f]);
		pvmread_engine_release(eng);
		pvmread_engine_release(eng);
		expect_hold(test, 0, "never used");

		out = piece_held(p, eng, 0, PG(1), PG(3));
		expect_outcome(test, out, PG(1), PG(3), 0, "move");
		expect_held(test, stage, 1, 3, flags[f], "move");
		pvmread_engine_release(eng);
		expect_held(test, stage, 0, 0, false, "released");
		expect_hold(test, 0, "released");
		pvmread_engine_release(eng);
		expect_held(test, stage, 0, 0, false, "twice");
		expect_hold(test, 0, "twice");

		/* Pages are held, followed by a hole. */
		out = piece_held(p, eng, 0, PG(9) + 9, PG(2));
		expect_outcome(test, out, PG(9) + 9, PG(1) - 9, -EIO, "hole");
		pvmread_engine_release(eng);
		expect_held(test, stage, 0, 0, false, "hole");
		expect_hold(test, 0, "hole");
	}
}

static void flags_select_reference_pin_and_dirty(struct kunit *test)
{
	static const struct {
		const char *name;
		u32 flags;
	} rows[] = {
		{ "read", 0 },
		{ "read, NOWAIT", PVMREAD_NOWAIT },
		{ "read, RESIDENT", PVMREAD_RESIDENT },
		{ "read, both", PVMREAD_RESIDENT | PVMREAD_NOWAIT },
		{ "write", PVMREAD_WRITE },
		{ "write, RESIDENT", PVMREAD_WRITE | PVMREAD_RESIDENT },
		{ "write, NOWAIT", PVMREAD_WRITE | PVMREAD_NOWAIT },
	};
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	size_t i, k;

	/* The page table entry is dirty, so a pin alone does not dirty the page. */
	touch(test, 0, STAGE_PAGES);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		bool write = rows[i].flags & PVMREAD_WRITE;
		bool pinned = write || IS_ENABLED(CONFIG_S390);
		struct pvmread_engine *eng = engine(test, rows[i].flags);
		struct outcome out;

		for (k = 0; k < STAGE_PAGES; k++) {
			struct folio *folio = page_folio(stage->own[k]);

			folio_lock(folio);
			folio_clear_dirty(folio);
			folio_unlock(folio);
		}
		out = piece_held(p, eng, 0, PG(5) - 4, 8);
		expect_outcome(test, out, PG(5) - 4, 8, 0, rows[i].name);
		expect_held(test, stage, 4, 2, pinned, rows[i].name);
		for (k = 0; k < STAGE_PAGES; k++)
			KUNIT_EXPECT_FALSE_MSG(test, PageDirty(stage->own[k]),
					       "%s: page %zu, before",
					       rows[i].name, k);
		pvmread_engine_release(eng);
		expect_held(test, stage, 0, 0, false, rows[i].name);
		for (k = 0; k < STAGE_PAGES; k++)
			KUNIT_EXPECT_EQ_MSG(test, !!PageDirty(stage->own[k]),
					    write && (k == 4 || k == 5),
					    "%s: page %zu", rows[i].name, k);
	}
}

/* --- the rule --------------------------------------------------------------- */

/**
 * struct caller - a mapping of the local side with our fault handler
 * @test: its test
 * @stage: the target's pages
 * @page: the page that each fault finds
 * @never: faults find nothing, and do not fail
 * @faults: number of faults
 */
struct caller {
	struct kunit *test;
	struct stage *stage;
	struct page *page;
	bool never;
	unsigned int faults;
};

static vm_fault_t caller_fault(struct vm_fault *vmf)
{
	struct caller *caller = vmf->vma->vm_private_data;

	caller->faults++;
	/* The rule: nothing of the target is held now. */
	expect_hold(caller->test, 0, "in the caller's fault");
	expect_held(caller->test, caller->stage, 0, 0, false,
		    "in the caller's fault");
	if (caller->never)
		return VM_FAULT_NOPAGE;
	vmf->page = caller->page;
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct caller_vm_ops = {
	.fault		= caller_fault,
};

/* Map @nr pages at @at of the local arena, whose faults are those of @caller. */
static void map_caller(struct kunit *test, struct caller *caller, size_t at,
		       size_t nr)
{
	struct pair *p = test->priv;
	struct vm_area_struct *vma;
	unsigned long addr;

	addr = vm_mmap(NULL, p->here + at, PG(nr), PROT_READ | PROT_WRITE,
		       MAP_ANONYMOUS | MAP_SHARED | MAP_FIXED, 0);
	KUNIT_ASSERT_EQ(test, addr, p->here + at);
	mmap_write_lock(p->local);
	vma = find_vma(p->local, addr);
	if (vma && vma->vm_start == addr) {
		vma->vm_ops = &caller_vm_ops;
		vma->vm_private_data = caller;
	}
	mmap_write_unlock(p->local);
	caller->faults = 0;
}

static struct caller *new_caller(struct kunit *test, struct stage *stage)
{
	struct caller *caller = kunit_kzalloc(test, sizeof(*caller), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, caller);
	caller->test = test;
	caller->stage = stage;
	caller->page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	KUNIT_ASSERT_NOT_NULL(test, caller->page);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, drop_page,
							   caller->page));
	return caller;
}

static void nothing_is_held_while_the_caller_faults(struct kunit *test)
{
	static const u32 flags[] = {
		0, PVMREAD_NOWAIT, PVMREAD_RESIDENT, PVMREAD_WRITE,
		PVMREAD_WRITE | PVMREAD_NOWAIT, PVMREAD_WRITE | PVMREAD_RESIDENT,
	};
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	struct caller *caller = new_caller(test, stage);
	size_t f;

	touch(test, 0, STAGE_PAGES);
	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		struct pvmread_engine *eng = engine(test, flags[f]);
		struct iov_iter local;
		struct outcome out;

		/* A fault on the first byte, and on one in the middle of a hold. */
		map_caller(test, caller, PG(2), 1);
		out = piece(p, eng, PG(2), PG(3), 8);
		expect_outcome(test, out, PG(3), 8, 0, "first byte");
		KUNIT_EXPECT_EQ(test, caller->faults, 1);
		map_caller(test, caller, PG(2), 1);
		out = piece(p, eng, PG(2) - 100, PG(3) + 9, PG(1) + 200);
		expect_outcome(test, out, PG(3) + 9, PG(1) + 200, 0, "middle");
		KUNIT_EXPECT_EQ(test, caller->faults, 1);
		/* A hold of an earlier move has also ended. */
		map_caller(test, caller, PG(2), 1);
		piece_held(p, eng, 0, PG(3), 8);
		out = piece(p, eng, PG(2), PG(3), 8);
		expect_outcome(test, out, PG(3), 8, 0, "held before");
		KUNIT_EXPECT_EQ(test, caller->faults, 1);

		if (!(flags[f] & PVMREAD_WRITE)) {
			map_caller(test, caller, PG(2), 1);
			out = string(p, eng, PG(2) - 1, PG(1), PG(3) + 1, 100);
			KUNIT_EXPECT_GE(test, out.ret, 2);
			KUNIT_EXPECT_EQ(test, caller->faults, 1);
		}
		if (flags[f] & PVMREAD_NOWAIT) {
			map_caller(test, caller, PG(2), 1);
			local = local_iter(p, eng->write, PG(2) - 8, 16);
			KUNIT_EXPECT_EQ(test, 0,
					pvmread_engine_move_whole(eng, p->there + PG(3),
								  16, &local));
			KUNIT_EXPECT_EQ(test, iov_iter_count(&local), 0);
			KUNIT_EXPECT_EQ(test, eng->stop_addr, p->there + PG(3) + 16);
			pvmread_engine_release(eng);
			KUNIT_EXPECT_EQ(test, caller->faults, 1);
		}
		expect_hold(test, 0, "at the end");
		kunit_release_action(test, release_engine, eng);
	}
}

static void a_caller_page_that_never_arrives_is_efault(struct kunit *test)
{
	static const u32 flags[] = { 0, PVMREAD_NOWAIT };
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	struct caller *caller = new_caller(test, stage);
	size_t f;

	/*
	 * Faulting the page in succeeds each time, and each copy faults again. Do not
	 * test writes: fault_in_iov_iter_readable() would repeat the fault itself.
	 */
	caller->never = true;
	touch(test, 0, STAGE_PAGES);
	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		struct pvmread_engine *eng = engine(test, flags[f]);
		struct iov_iter local;
		struct outcome out;

		map_caller(test, caller, PG(2), 1);
		out = piece(p, eng, PG(2), PG(3), 8);
		expect_outcome(test, out, PG(3), 0, -EFAULT, "nothing");
		KUNIT_EXPECT_LE(test, caller->faults, 100U);
		out = piece(p, eng, PG(2) - 100, PG(3), 200);
		expect_outcome(test, out, PG(3), 100, -EFAULT, "a part");
		put_nul(test, PG(3) + 150, true);
		out = string(p, eng, PG(2) - 10, PG(1), PG(3) + 100, 100);
		expect_outcome(test, out, PG(3) + 100, 10, -EFAULT, "string");
		if (flags[f] & PVMREAD_NOWAIT) {
			local = local_iter(p, false, PG(2) - 8, 16);
			KUNIT_EXPECT_EQ(test, -EFAULT,
					pvmread_engine_move_whole(eng, p->there + PG(3),
								  16, &local));
			KUNIT_EXPECT_EQ(test, iov_iter_count(&local), 8);
			pvmread_engine_release(eng);
		}
		expect_hold(test, 0, "at the end");
		kunit_release_action(test, release_engine, eng);
	}
}

static void move_whole_moves_all_or_nothing(struct kunit *test)
{
	static const struct {
		const char *name;
		size_t at, len, moved;
		int reason;
	} rows[] = {
		{ "one byte", 0, 1, 1 },
		{ "as much as one hold takes", 0, PVMREAD_ENGINE_CHUNK,
		  PVMREAD_ENGINE_CHUNK },
		{ "one byte more", 0, PVMREAD_ENGINE_CHUNK + 1, 0, -EAGAIN },
		{ "as much, in one page more", 1, PVMREAD_ENGINE_CHUNK,
		  PVMREAD_ENGINE_CHUNK },
		{ "up to a hole", PG(34) + 9, PG(1) - 9, PG(1) - 9 },
		{ "into a hole", PG(34) + 9, PG(1), 0, -EAGAIN },
		{ "in a hole", PG(35) + 9, 8, 0, -EIO },
		/* An io_uring worker could not do better, so move as much as possible. */
		{ "into bad memory of the caller", PG(30) - 9, 100, 50, -EFAULT },
	};
	static const u32 flags[] = { 0, PVMREAD_WRITE };
	struct pair *p = test->priv;
	size_t i, f;

	fill(test, PG(40));
	KUNIT_ASSERT_EQ(test, 0, remote_unmap(p, PG(35), PAGE_SIZE));
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(p->here + PG(38), PAGE_SIZE));
	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		for (i = 0; i < ARRAY_SIZE(rows); i++) {
			size_t here = rows[i].reason == -EFAULT ? PG(38) - 50 : 0;
			struct pvmread_engine *eng;
			struct iov_iter local;
			size_t moved;
			int ret;

			eng = engine(test, flags[f] | PVMREAD_NOWAIT);
			local = local_iter(p, eng->write, here, rows[i].len);
			ret = pvmread_engine_move_whole(eng, p->there + rows[i].at,
							rows[i].len, &local);
			kunit_release_action(test, release_engine, eng);
			KUNIT_EXPECT_EQ_MSG(test, ret, rows[i].reason, "%s",
					    rows[i].name);
			moved = rows[i].len - iov_iter_count(&local);
			/* On 32-bit x86 a copy may stop up to 3 bytes before a fault. */
			if (IS_ENABLED(CONFIG_X86_32) && ret == -EFAULT && moved < rows[i].moved)
				moved = min(moved + 3, rows[i].moved);
			KUNIT_EXPECT_EQ_MSG(test, moved, rows[i].moved, "%s", rows[i].name);
			expect_hold(test, 0, rows[i].name);
		}
	}
}

/* --- resident ------------------------------------------------------------ */

/* Checks without a fault: has the target mapped the page readable? */
static bool remote_maps(struct pair *p, size_t at)
{
	struct page *page;
	int locked = 1;
	long got;

	mmap_read_lock(p->remote);
	got = get_user_pages_remote(p->remote, p->there + at, 1, FOLL_NOFAULT,
				    &page, &locked);
	if (locked)
		mmap_read_unlock(p->remote);
	if (got == 1)
		put_page(page);
	return got == 1;
}

static s64 remote_rss(struct pair *p)
{
	return percpu_counter_sum_positive(&p->remote->rss_stat[MM_FILEPAGES]) +
	       percpu_counter_sum_positive(&p->remote->rss_stat[MM_ANONPAGES]) +
	       percpu_counter_sum_positive(&p->remote->rss_stat[MM_SHMEMPAGES]);
}

/* Each character is a page: u untouched, r read (the zero page), w written, - a hole. */
static void lay_out(struct kunit *test, const char *pages)
{
	struct pair *p = test->priv;
	size_t i;
	u8 byte;

	/* Like a stack, so that touching a page does not map a huge one. */
	KUNIT_ASSERT_EQ(test, 0, remote_map(p, NULL, 0, PG(strlen(pages)),
					    PROT_READ | PROT_WRITE,
					    MAP_ANONYMOUS | MAP_PRIVATE |
					    MAP_STACK));
	for (i = 0; pages[i]; i++) {
		switch (pages[i]) {
		case 'r':
			KUNIT_ASSERT_EQ(test, 0,
					remote_read(p, PG(i), &byte, 1));
			break;
		case 'w':
			touch(test, i, 1);
			break;
		case '-':
			KUNIT_ASSERT_EQ(test, 0,
					remote_unmap(p, PG(i), PAGE_SIZE));
			break;
		}
	}
}

static void resident_moves_only_mapped_pages(struct kunit *test)
{
	static const struct {
		const char *pages;
		bool write;
		size_t at, len, moved;
		int reason;
	} rows[] = {
		{ "u", false, 0, 8, 0, -EIO },
		{ "u", true, 0, 8, 0, -EIO },
		{ "w", false, 9, 8, 8 },
		{ "w", true, 9, 8, 8 },
		/* The zero page is mapped, but only to be read. */
		{ "r", false, 9, 8, 8 },
		{ "r", true, 9, 8, 0, -EIO },
		{ "-", false, 9, 8, 0, -EIO },
		{ "wru", false, 5, PG(3) - 5, PG(2) - 5, -EIO },
		{ "wru", true, 5, PG(3) - 5, PG(1) - 5, -EIO },
		{ "wwuw", false, 0, PG(4), PG(2), -EIO },
		{ "wwuw", true, 100, PG(3), PG(2) - 100, -EIO },
		{ "uw", false, PG(1) - 1, 2, 0, -EIO },
		{ "ww-w", false, 7, PG(3), PG(2) - 7, -EIO },
		/* As many mapped pages as one hold covers, and more. */
		{ "wwwwwwwwwwwwwwwwu", false, 0, PG(17), PG(16), -EIO },
		{ "wwwwwwwwwwwwwwwwrwuw", false, 0, PG(20), PG(18), -EIO },
	};
	static const u32 flags[] = { 0, PVMREAD_NOWAIT };
	struct pair *p = test->priv;
	size_t i, k, f;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (f = 0; f < ARRAY_SIZE(flags); f++) {
			struct pvmread_engine *eng;
			struct outcome out;
			s64 before;

			lay_out(test, rows[i].pages);
			eng = engine(test, flags[f] | PVMREAD_RESIDENT |
				     (rows[i].write ? PVMREAD_WRITE : 0));
			before = remote_rss(p);
			out = piece(p, eng, 0, rows[i].at, rows[i].len);
			expect_outcome(test, out, rows[i].at, rows[i].moved,
				       rows[i].reason, rows[i].pages);
			KUNIT_EXPECT_EQ_MSG(test, remote_rss(p), before, "%s",
					    rows[i].pages);
			for (k = 0; rows[i].pages[k]; k++)
				KUNIT_EXPECT_EQ_MSG(test,
						    remote_maps(p, PG(k)),
						    rows[i].pages[k] == 'r' ||
						    rows[i].pages[k] == 'w',
						    "%s: page %zu",
						    rows[i].pages, k);
			kunit_release_action(test, release_engine, eng);
		}
	}
}

static void resident_runs_no_fault_handler(struct kunit *test)
{
	static const u32 flags[] = {
		0, PVMREAD_WRITE, PVMREAD_NOWAIT, PVMREAD_WRITE | PVMREAD_NOWAIT
	};
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	struct pvmread_engine *eng;
	struct outcome out;
	size_t f;

	touch(test, 0, 2);
	stage->faults = 0;
	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		eng = engine(test, flags[f] | PVMREAD_RESIDENT);
		out = piece(p, eng, 0, PG(1) + 9, PG(2));
		expect_outcome(test, out, PG(1) + 9, PG(1) - 9, -EIO, "move");
		if (!(flags[f] & PVMREAD_WRITE)) {
			out = string(p, eng, 0, PG(1), PG(2) + 1, PG(1));
			expect_outcome(test, out, PG(2) + 1, 0, -EIO,
				       "string");
		}
		KUNIT_EXPECT_EQ(test, stage->faults, 0);
		kunit_release_action(test, release_engine, eng);
	}

	/* A request that may fault calls the handler. */
	eng = engine(test, 0);
	out = piece(p, eng, 0, PG(1) + 9, PG(2));
	expect_outcome(test, out, PG(1) + 9, PG(2), 0, "not resident");
	KUNIT_EXPECT_EQ(test, stage->faults, 2);
}

/* --- waiting ------------------------------------------------------------- */

static void nowait_does_not_wait_for_mmap_lock(struct kunit *test)
{
	static const u32 flags[] = { 0, PVMREAD_WRITE, PVMREAD_RESIDENT };
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	size_t f;

	touch(test, 0, 2);
	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		bool write = flags[f] & PVMREAD_WRITE;
		struct outcome before, locked, str = {}, after;
		struct pvmread_engine *eng;
		struct holder holder;
		bool held;

		eng = engine(test, flags[f] | PVMREAD_NOWAIT);
		before = piece(p, eng, PG(9), 8, 8);
		hold_lock(&holder, p->remote, NULL, NULL);
		locked = piece(p, eng, PG(9), PG(1) - 8, 16);
		if (!write)
			str = string(p, eng, PG(9), 8, PG(1), 8);
		held = release_lock(&holder);
		after = piece(p, eng, PG(9), PG(1) - 8, 16);

		KUNIT_EXPECT_TRUE_MSG(test, held, "the engine has waited");
		expect_outcome(test, before, 8, 8, 0, "before");
		expect_outcome(test, locked, PG(1) - 8, 0, -EAGAIN, "locked");
		if (!write)
			expect_outcome(test, str, PG(1), 0, -EAGAIN, "string");
		expect_outcome(test, after, PG(1) - 8, 16, 0, "afterwards");
		expect_held(test, stage, 0, 0, false, "afterwards");
		expect_hold(test, 0, "afterwards");
		kunit_release_action(test, release_engine, eng);
	}
}

static void nowait_does_not_wait_for_a_fault(struct kunit *test)
{
	static const u32 flags[] = { 0, PVMREAD_WRITE };
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	size_t f;

	/* NOWAIT calls the fault handler of a file only for cached pages. */
	give_cache(test, stage);
	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		/* Pages that no earlier round has mapped. */
		size_t at = PG(10 * f);
		struct pvmread_engine *eng;
		struct outcome out;

		stage->scenes[10 * f] = LATER;
		stage->scenes[10 * f + 3] = LATER;
		stage->faults = 0;
		stage->nowait = 0;
		eng = engine(test, flags[f] | PVMREAD_NOWAIT);
		out = piece(p, eng, 0, at + 9, PG(1));
		expect_outcome(test, out, at + 9, 0, -EAGAIN, "first page");
		expect_held(test, stage, 0, 0, false, "first page");
		expect_hold(test, 0, "first page");
		out = piece(p, eng, 0, at + PG(1) + 9, PG(5));
		expect_outcome(test, out, at + PG(1) + 9, PG(2) - 9, -EAGAIN,
			       "third page");
		expect_held(test, stage, 0, 0, false, "third page");
		expect_hold(test, 0, "third page");
		/* All four faulted, and all of them without waiting. */
		KUNIT_EXPECT_GE(test, stage->faults, 4);
		KUNIT_EXPECT_EQ(test, stage->nowait, stage->faults);

		/* The page is present now. */
		stage->scenes[10 * f + 3] = READY;
		out = piece(p, eng, 0, at + PG(1) + 9, PG(5));
		expect_outcome(test, out, at + PG(1) + 9, PG(5), 0, "ready");
		kunit_release_action(test, release_engine, eng);

		/* A request that may wait does so, without the lock. */
		stage->nowait = 0;
		eng = engine(test, flags[f]);
		out = piece(p, eng, 0, at + 9, PG(6));
		expect_outcome(test, out, at + 9, PG(6), 0, "waited for");
		KUNIT_EXPECT_EQ(test, stage->nowait, 0);
		expect_held(test, stage, 0, 0, false, "waited for");
		expect_hold(test, 0, "waited for");
		kunit_release_action(test, release_engine, eng);
	}
}

static void nowait_moves_only_cached_file_pages(struct kunit *test)
{
	enum { NONE = PROT_NONE, RO = PROT_READ, RW = PROT_READ | PROT_WRITE };
	/* The file has six pages, the cache the first four of them. */
	static const struct {
		const char *name;
		unsigned long prot;
		bool write;
		size_t at, len, moved;
		int reason;
	} rows[] = {
		{ "cached", RW, false, 9, PG(2), PG(2) },
		{ "cached, to write", RW, true, 9, PG(2), PG(2) },
		{ "not cached", RW, false, PG(4) + 9, 8, 0, -EAGAIN },
		{ "not cached, to write", RW, true, PG(4) + 9, 8, 0, -EAGAIN },
		{ "up to what is not cached", RW, false, PG(2) + 9, PG(3),
		  PG(2) - 9, -EAGAIN },
		{ "up to what is not cached, to write", RW, true, PG(2) + 9,
		  PG(3), PG(2) - 9, -EAGAIN },
		{ "cached, read-only, to write", RO, true, 9, 8, 0, -EIO },
		{ "cached, no access", NONE, false, 9, 8, 0, -EIO },
		/* If waiting would not help, the reason is not EAGAIN. */
		{ "not cached, read-only, to write", RO, true, PG(4) + 9, 8, 0,
		  -EIO },
		{ "not cached, no access", NONE, false, PG(4) + 9, 8, 0, -EIO },
		{ "behind the end of the file", RW, false, PG(6) + 9, 8, 0,
		  -EIO },
	};
	static const unsigned long kinds[] = { MAP_SHARED, MAP_PRIVATE };
	struct pair *p = test->priv;
	struct file *file = pattern_file(test, 4, 6);
	struct pvmread_engine *eng;
	struct outcome out;
	size_t i, k;

	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (i = 0; i < ARRAY_SIZE(rows); i++) {
			bool write = rows[i].write;

			/* The page tables are empty again. */
			KUNIT_ASSERT_EQ(test, 0,
					remote_map(p, file, 0, PG(8),
						   rows[i].prot, kinds[k]));
			blank(test, PG(3));
			eng = engine(test, PVMREAD_NOWAIT |
				     (write ? PVMREAD_WRITE : 0));
			out = piece(p, eng, 0, rows[i].at, rows[i].len);
			expect_outcome(test, out, rows[i].at, rows[i].moved,
				       rows[i].reason, rows[i].name);
			expect_hold(test, 0, rows[i].name);
			kunit_release_action(test, release_engine, eng);
			if (!write)
				expect_here(test, 0, rows[i].at, rows[i].moved,
					    rows[i].name);
			/* Check the bytes that a write has moved, if any. */
			if (!write || !rows[i].moved)
				continue;
			KUNIT_ASSERT_EQ(test, 0,
					remote_read(p, rows[i].at, p->buf,
						    rows[i].moved));
			KUNIT_EXPECT_NULL_MSG(test,
					      memchr_inv(p->buf, UNTOUCHED,
							 rows[i].moved),
					      "%s", rows[i].name);
			refill(test, file, 4);
		}
	}

	/* A request that may wait faults the rest in. */
	eng = engine(test, 0);
	expect_outcome(test, piece(p, eng, 0, 9, PG(6) - 9), 9, PG(6) - 9, 0,
		       "may wait");
	expect_outcome(test, piece(p, eng, 0, PG(6) + 9, 8), PG(6) + 9, 0, -EIO,
		       "may wait");
}

static void nowait_does_not_wait_for_a_cached_page(struct kunit *test)
{
	static const struct {
		unsigned long kind;
		u32 flags;
	} rows[] = {
		{ MAP_SHARED, 0 }, { MAP_SHARED, PVMREAD_WRITE },
		{ MAP_PRIVATE, 0 }, { MAP_PRIVATE, PVMREAD_WRITE },
	};
	struct pair *p = test->priv;
	struct file *file = pattern_file(test, 4, 4);
	struct folio *folio;
	int before;
	size_t i;

	folio = filemap_get_folio(file->f_mapping, 2);
	KUNIT_ASSERT_FALSE(test, IS_ERR(folio));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, drop_page,
							   &folio->page));
	if (folio_test_large(folio))
		kunit_skip(test, "the file's pages are one large folio");
	before = folio_ref_count(folio);

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct outcome locked, old, mapped, after;
		struct pvmread_engine *eng;
		struct holder holder;
		bool held;

		KUNIT_ASSERT_EQ(test, 0,
				remote_map(p, file, 0, PG(4),
					   PROT_READ | PROT_WRITE,
					   rows[i].kind));
		eng = engine(test, rows[i].flags | PVMREAD_NOWAIT);
		hold_lock(&holder, NULL, folio, NULL);
		locked = piece(p, eng, 0, 9, PG(4) - 9);
		held = release_lock(&holder);
		KUNIT_EXPECT_TRUE_MSG(test, held, "the engine has waited");
		expect_outcome(test, locked, 9, PG(2) - 9, -EAGAIN, "locked");
		expect_hold(test, 0, "locked");

		/* A page that is being read, or whose read has failed. */
		folio_lock(folio);
		folio_clear_uptodate(folio);
		folio_unlock(folio);
		old = piece(p, eng, 0, 9, PG(4) - 9);
		folio_lock(folio);
		folio_mark_uptodate(folio);
		folio_unlock(folio);
		expect_outcome(test, old, 9, PG(2) - 9, -EAGAIN, "not uptodate");

		/* On a page with PG_readahead a handler reads ahead. */
		folio_set_readahead(folio);
		old = piece(p, eng, 0, 9, PG(4) - 9);
		folio_clear_readahead(folio);
		expect_outcome(test, old, 9, PG(2) - 9, -EAGAIN, "PG_readahead");

		after = piece(p, eng, 0, 9, PG(4) - 9);
		expect_outcome(test, after, 9, PG(4) - 9, 0, "unlocked");
		/* A mapped page needs neither a fault nor the folio's lock. */
		hold_lock(&holder, NULL, folio, NULL);
		mapped = piece(p, eng, 0, 9, PG(4) - 9);
		held = release_lock(&holder);
		KUNIT_EXPECT_TRUE_MSG(test, held, "the engine has waited");
		expect_outcome(test, mapped, 9, PG(4) - 9, 0, "mapped");
		kunit_release_action(test, release_engine, eng);
	}
	KUNIT_ASSERT_EQ(test, 0, remote_unmap(p, 0, PG(4)));
	KUNIT_EXPECT_LE(test, abs(folio_ref_count(folio) - before), LRU_SLACK);
}

static void nowait_write_calls_no_file_system(struct kunit *test)
{
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	struct pvmread_engine *eng, *reader, *waiter;
	struct outcome out;

	stage->file_system = true;
	map_stage(test, stage, stage->file, MAP_SHARED);
	give_cache(test, stage);
	eng = engine(test, PVMREAD_WRITE | PVMREAD_NOWAIT);
	reader = engine(test, PVMREAD_NOWAIT);
	waiter = engine(test, PVMREAD_WRITE);

	out = piece(p, eng, 0, PG(1) + 9, PG(2));
	expect_outcome(test, out, PG(1) + 9, 0, -EAGAIN, "not mapped");
	KUNIT_EXPECT_EQ(test, stage->faults, 0);
	/* A read does not call the file system, and maps the page read-only. */
	out = piece(p, reader, 0, PG(1) + 9, PG(2));
	expect_outcome(test, out, PG(1) + 9, PG(2), 0, "to read");
	out = piece(p, eng, 0, PG(1) + 9, PG(2));
	expect_outcome(test, out, PG(1) + 9, 0, -EAGAIN, "mapped read-only");
	KUNIT_EXPECT_EQ(test, stage->mkwrites, 0);

	out = piece(p, waiter, 0, PG(1) + 9, PG(1));
	expect_outcome(test, out, PG(1) + 9, PG(1), 0, "may wait");
	KUNIT_EXPECT_EQ(test, stage->mkwrites, 2);
	out = piece(p, eng, 0, PG(1) + 9, PG(2));
	expect_outcome(test, out, PG(1) + 9, PG(2) - 9, -EAGAIN,
		       "mapped writable");
	KUNIT_EXPECT_EQ(test, stage->mkwrites, 2);

	/* Writes to a private mapping do not go back to the file. */
	map_stage(test, stage, stage->file, MAP_PRIVATE);
	out = piece(p, eng, 0, PG(1) + 9, PG(2));
	expect_outcome(test, out, PG(1) + 9, PG(2), 0, "private");
	KUNIT_EXPECT_EQ(test, stage->mkwrites, 2);
}

/* A device has no size and no page cache, only its handler. */
static void nowait_calls_no_device_handler(struct kunit *test)
{
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	struct inode *inode = file_inode(stage->file);
	loff_t size = i_size_read(inode);
	umode_t mode = inode->i_mode;
	struct pvmread_engine *eng, *waiter;
	struct outcome out;

	eng = engine(test, PVMREAD_NOWAIT);
	waiter = engine(test, 0);
	inode->i_mode = S_IFCHR | 0600;
	i_size_write(inode, 0);
	out = piece(p, eng, 0, 9, 8);
	expect_outcome(test, out, 9, 0, -EAGAIN, "not mapped");
	KUNIT_EXPECT_EQ(test, stage->faults, 0);
	out = piece(p, waiter, 0, 9, 8);
	expect_outcome(test, out, 9, 8, 0, "may wait");
	out = piece(p, eng, 0, 9, 8);
	expect_outcome(test, out, 9, 8, 0, "mapped");
	i_size_write(inode, size);
	inode->i_mode = mode;
}

static void nowait_faults_in_anonymous_pages(struct kunit *test)
{
	struct pair *p = test->priv;
	struct pvmread_engine *eng;
	struct outcome out;

	lay_out(test, "uuuuuu");
	eng = engine(test, PVMREAD_NOWAIT);
	out = piece(p, eng, 0, 9, PG(2));
	expect_outcome(test, out, 9, PG(2), 0, "read");
	KUNIT_ASSERT_EQ(test, 0UL,
			copy_from_user(p->buf, (void __user *)p->here, PG(2)));
	KUNIT_EXPECT_NULL(test, memchr_inv(p->buf, 0, PG(2)));
	kunit_release_action(test, release_engine, eng);

	blank(test, PG(2));
	eng = engine(test, PVMREAD_NOWAIT | PVMREAD_WRITE);
	out = piece(p, eng, 0, PG(3) + 9, PG(2));
	expect_outcome(test, out, PG(3) + 9, PG(2), 0, "write");
	KUNIT_ASSERT_EQ(test, 0, remote_read(p, PG(3) + 9, p->buf, PG(2)));
	KUNIT_EXPECT_NULL(test, memchr_inv(p->buf, UNTOUCHED, PG(2)));
}

static void the_reason_is_the_errno_of_the_fault(struct kunit *test)
{
	static const struct {
		const char *name;
		enum scene scene;
		int reason;
	} rows[] = {
		{ "no memory", NO_MEMORY, -ENOMEM },
		{ "no page", NO_PAGE, -EIO },
		{ "a poisoned page", POISONED, -EIO },
	};
	static const u32 flags[] = {
		0, PVMREAD_WRITE, PVMREAD_NOWAIT, PVMREAD_WRITE | PVMREAD_NOWAIT
	};
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	struct pvmread_engine *eng;
	struct outcome out;
	size_t i, f;

	give_cache(test, stage);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		stage->scenes[10] = rows[i].scene;
		for (f = 0; f < ARRAY_SIZE(flags); f++) {
			eng = engine(test, flags[f]);
			out = piece(p, eng, 0, PG(10) + 9, 8);
			expect_outcome(test, out, PG(10) + 9, 0, rows[i].reason,
				       rows[i].name);
			out = piece(p, eng, 0, PG(8) + 9, PG(4));
			expect_outcome(test, out, PG(8) + 9, PG(2) - 9,
				       rows[i].reason, rows[i].name);
			expect_held(test, stage, 0, 0, false, rows[i].name);
			expect_hold(test, 0, rows[i].name);
			kunit_release_action(test, release_engine, eng);
		}
		eng = engine(test, 0);
		out = string(p, eng, 0, PG(1), PG(10) + 9, PG(1));
		expect_outcome(test, out, PG(10) + 9, 0, rows[i].reason,
			       rows[i].name);
		expect_hold(test, 0, rows[i].name);
	}
}

/* A kernel thread can be killed only if it allows the signal. */
static void be_mortal(void)
{
	allow_signal(SIGKILL);
}

static void be_immortal(void)
{
	flush_signals(current);
	disallow_signal(SIGKILL);
}

static void a_killed_caller_gets_eintr(struct kunit *test)
{
	static const u32 flags[] = {
		0, PVMREAD_WRITE, PVMREAD_NOWAIT, PVMREAD_RESIDENT
	};
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	size_t f;

	touch(test, 0, 20);
	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		bool write = flags[f] & PVMREAD_WRITE;
		struct pvmread_engine *eng = engine(test, flags[f]);
		struct outcome moved, str = {}, waited;
		struct holder holder;
		bool held, killed;

		/* Kill the caller before the transfer begins. */
		be_mortal();
		send_sig(SIGKILL, current, 1);
		killed = fatal_signal_pending(current);
		moved = piece(p, eng, 0, PG(1) + 9, PG(3));
		if (!write)
			str = string(p, eng, 0, PG(1), PG(1) + 9, PG(1));
		be_immortal();
		KUNIT_EXPECT_TRUE(test, killed);
		expect_outcome(test, moved, PG(1) + 9, 0, -EINTR, "move");
		if (!write)
			expect_outcome(test, str, PG(1) + 9, 0, -EINTR,
				       "string");
		expect_held(test, stage, 0, 0, false, "killed before");
		expect_hold(test, 0, "killed before");

		/* Kill the caller while it waits for the lock. With NOWAIT it does not wait. */
		be_mortal();
		hold_lock(&holder, p->remote, NULL,
			  flags[f] == PVMREAD_NOWAIT ? NULL : current);
		waited = piece(p, eng, 0, PG(1) + 9, PG(3));
		held = release_lock(&holder);
		be_immortal();
		KUNIT_EXPECT_TRUE_MSG(test, held, "the kill came too late");
		expect_outcome(test, waited, PG(1) + 9, 0,
			       flags[f] == PVMREAD_NOWAIT ? -EAGAIN : -EINTR,
			       "waiting for mmap_lock");
		expect_held(test, stage, 0, 0, false, "killed waiting");
		expect_hold(test, 0, "killed waiting");

		kunit_release_action(test, release_engine, eng);
	}

	/* Kill the caller in a fault. The pages before that one are still moved. */
	for (f = 0; f < 2; f++) {
		struct pvmread_engine *eng = engine(test, flags[f]);
		size_t at = PG(25 + 5 * f);
		struct outcome out;

		stage->scenes[25 + 5 * f + 2] = KILLED;
		be_mortal();
		out = piece(p, eng, 0, at + 9, PG(4));
		be_immortal();
		expect_outcome(test, out, at + 9, PG(2) - 9, -EINTR, "midway");
		expect_held(test, stage, 0, 0, false, "midway");
		expect_hold(test, 0, "midway");
		if (!(flags[f] & PVMREAD_WRITE))
			expect_here(test, 0, at + 9, PG(2) - 9, "midway");
		kunit_release_action(test, release_engine, eng);
	}
}

/* --- exit ---------------------------------------------------------------- */

static void a_hold_keeps_the_mm_in_use(struct kunit *test)
{
	static const u32 flags[] = { 0, PVMREAD_WRITE, PVMREAD_NOWAIT };
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	size_t f;

	give_cache(test, stage);
	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		size_t at = PG(10 * f);
		struct pvmread_engine *eng = engine(test, flags[f]);
		struct outcome out;

		out = piece(p, eng, 0, at, PG(2));
		expect_outcome(test, out, at, PG(2), 0, "move");
		KUNIT_EXPECT_EQ(test, stage->users, 2);
		expect_hold(test, 0, "move");
		out = piece(p, eng, 0, PG(STAGE_PAGES) - 1, 8);
		expect_outcome(test, out, PG(STAGE_PAGES) - 1, 8, 0, "another");
		expect_hold(test, 0, "another");
		kunit_release_action(test, release_engine, eng);
	}
}

static void an_exited_target_is_esrch(struct kunit *test)
{
	/* Writers last: they change the pattern. */
	static const u32 flags[] = {
		0, PVMREAD_NOWAIT, PVMREAD_RESIDENT, PVMREAD_WRITE
	};
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	size_t f;

	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		struct mm_struct *mm = p->remote;
		struct pvmread_engine *eng;
		struct outcome out;

		touch(test, 0, 10);
		blank(test, PG(4));
		eng = engine(test, flags[f]);
		out = piece(p, eng, 0, PG(1), PG(2));
		expect_outcome(test, out, PG(1), PG(2), 0, "alive");
		mmgrab(mm);
		mmput(mm);
		KUNIT_EXPECT_EQ(test, atomic_read(&mm->mm_users), 0);

		out = piece(p, eng, 0, PG(1), 8);
		expect_outcome(test, out, PG(1), 0, -ESRCH, "exited");
		if (!eng->write) {
			out = string(p, eng, 0, 8, PG(1), 8);
			expect_outcome(test, out, PG(1), 0, -ESRCH, "string");
		}
		kunit_release_action(test, release_engine, eng);
		expect_held(test, stage, 0, 0, false, "released");

		/* The arena is at the same address. */
		KUNIT_ASSERT_EQ(test, 0, new_remote(p));
		mmdrop(mm);
		map_stage(test, stage, NULL, MAP_ANONYMOUS | MAP_SHARED);
	}
}

static void a_target_may_exit_while_its_pages_are_held(struct kunit *test)
{
	/* Writers last, as above. */
	static const u32 flags[] = {
		0, PVMREAD_NOWAIT, PVMREAD_WRITE, PVMREAD_NOWAIT | PVMREAD_WRITE
	};
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	size_t f, i;

	stage->scenes[5] = EXITED;
	give_cache(test, stage);
	for (f = 0; f < ARRAY_SIZE(flags); f++) {
		/* A NOWAIT write faults in one page at a time, and ends the hold in between. */
		bool ends = flags[f] == (PVMREAD_NOWAIT | PVMREAD_WRITE);
		struct mm_struct *mm = p->remote;
		struct pvmread_engine *eng;
		struct outcome out;

		blank(test, PG(3));
		eng = engine(test, flags[f]);
		mmgrab(mm);
		stage->exited = false;
		stage->closer = NULL;
		out = piece(p, eng, 0, PG(4) + 9, PG(3) - 9);
		/* If the fault has put no reference, put the test's here. */
		if (!stage->exited)
			mmput(mm);
		KUNIT_EXPECT_TRUE(test, stage->exited);
		expect_outcome(test, out, PG(4) + 9, PG(ends ? 2 : 3) - 9,
			       ends ? -ESRCH : 0, "exits");
		if (!eng->write)
			expect_here(test, 0, PG(4) + 9, PG(3) - 9, "exits");
		kunit_release_action(test, release_engine, eng);
		/* A kernel worker tears the memory down, never the caller. */
		for (i = 0; i < 3000 && !READ_ONCE(stage->closer); i++)
			msleep(20);
		KUNIT_EXPECT_NOT_NULL(test, stage->closer);
		KUNIT_EXPECT_EQ(test, atomic_read(&mm->mm_users), 0);
		KUNIT_EXPECT_PTR_NE(test, stage->closer, current);
		expect_held(test, stage, 0, 0, false, "exits");

		KUNIT_ASSERT_EQ(test, 0, new_remote(p));
		mmdrop(mm);
		map_stage(test, stage, stage->file, MAP_SHARED);
	}
}

/* --- strings ------------------------------------------------------------- */

/*
 * The local arena must begin with @moved bytes of the text at @there, the last of them
 * a NUL if @nul. The bytes after them must be unchanged.
 */
static void expect_text(struct kunit *test, size_t there, size_t moved,
			bool nul, const char *name)
{
	struct pair *p = test->priv;
	size_t i, wrong = SIZE_MAX;

	KUNIT_ASSERT_EQ(test, 0UL,
			copy_from_user(p->buf, (void __user *)p->here,
				       moved + 16));
	for (i = 0; i < moved + 16 && wrong == SIZE_MAX; i++) {
		u8 want = i >= moved ? UNTOUCHED :
			  nul && i == moved - 1 ? 0 : text(there + i);

		if (p->buf[i] != want)
			wrong = i;
	}
	KUNIT_EXPECT_EQ_MSG(test, wrong, SIZE_MAX, "%s, from %zu", name, there);
}

static void a_string_ends_with_its_first_nul(struct kunit *test)
{
	/* It is read in pieces that end after 64 bytes, and at the end of the page. */
	static const size_t starts[] = {
		0, 5, PG(1) - 10, PG(1) - 64, PG(2) - 65, PG(2) - 1
	};
	struct pair *p = test->priv;
	struct pvmread_engine *eng = engine(test, 0);
	size_t i, nul;

	fill_text(test, PG(3));
	for (i = 0; i < ARRAY_SIZE(starts); i++) {
		size_t at = starts[i];

		for (nul = 0; nul <= 130; nul++) {
			const struct {
				const char *name;
				size_t room, len, moved;
				int ret;
			} rows[] = {
				{ "all of it", PG(1), PG(1), nul + 1, 1 },
				{ "just long enough", PG(1), nul + 1, nul + 1,
				  1 },
				{ "just room enough", nul + 1, PG(1), nul + 1,
				  1 },
				{ "one too short", PG(1), nul, nul, 0 },
				{ "one too little room", nul, PG(1), nul, 0 },
			};
			size_t k;

			/* A second NUL does not matter. */
			put_nul(test, at + nul, true);
			put_nul(test, at + nul + 1, true);
			for (k = 0; k < ARRAY_SIZE(rows); k++) {
				struct outcome out;

				blank(test, nul + 32);
				out = string(p, eng, 0, rows[k].room, at,
					     rows[k].len);
				expect_outcome(test, out, at, rows[k].moved,
					       rows[k].ret, rows[k].name);
				expect_text(test, at, rows[k].moved,
					    rows[k].ret, rows[k].name);
			}
			put_nul(test, at + nul, false);
			put_nul(test, at + nul + 1, false);
		}
	}
}

static void a_string_without_nul_before_a_hole_is_eio(struct kunit *test)
{
	/* Pages 0 to 2 are text, followed by a hole. A row with nul 0 has no NUL. */
	static const struct {
		const char *name;
		size_t at, len, nul, moved;
		int ret;
	} rows[] = {
		{ "the last byte of a page", 100, PG(9), PG(1) - 1, PG(1) - 100,
		  1 },
		{ "the first byte of the next", 100, PG(9), PG(1),
		  PG(1) - 99, 1 },
		{ "three pages long", 1, PG(9), PG(2) + 1000, PG(2) + 1000, 1 },
		{ "the last byte before the hole", PG(2) + 9, PG(9), PG(3) - 1,
		  PG(1) - 9, 1 },
		{ "only the last byte", PG(3) - 1, PG(9), PG(3) - 1, 1, 1 },
		{ "no NUL before the hole", 100, PG(9), 0, PG(3) - 100, -EIO },
		{ "no NUL, and no further than to the hole", PG(2) + 1,
		  PG(1) - 1, 0, PG(1) - 1, 0 },
		{ "no NUL within the length", 100, PG(2), 0, PG(2), 0 },
		{ "in the hole", PG(3) + 7, 8, 0, 0, -EIO },
		{ "nothing, in the hole", PG(3) + 7, 0, 0, 0, 0 },
		{ "nothing, at a NUL", 100, 0, 100, 0, 0 },
	};
	static const u32 flags[] = { 0, PVMREAD_NOWAIT, PVMREAD_RESIDENT };
	struct pair *p = test->priv;
	size_t i, f;

	fill_text(test, PG(3));
	KUNIT_ASSERT_EQ(test, 0, remote_unmap(p, PG(3), PAGE_SIZE));
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].nul)
			put_nul(test, rows[i].nul, true);
		for (f = 0; f < ARRAY_SIZE(flags); f++) {
			struct pvmread_engine *eng = engine(test, flags[f]);
			struct outcome out;

			blank(test, PG(4));
			out = string(p, eng, 0, PG(9), rows[i].at, rows[i].len);
			expect_outcome(test, out, rows[i].at, rows[i].moved,
				       rows[i].ret, rows[i].name);
			expect_text(test, rows[i].at, rows[i].moved,
				    rows[i].ret == 1, rows[i].name);
			expect_hold(test, 0, rows[i].name);
			kunit_release_action(test, release_engine, eng);
		}
		if (rows[i].nul)
			put_nul(test, rows[i].nul, false);
	}
}

static void a_string_ends_at_unmapped_local_memory(struct kunit *test)
{
	/* The distance of the buffer from the missing page, and the offset of the NUL. */
	static const struct {
		size_t before, nul, moved;
		int ret;
	} rows[] = {
		{ 0, 0, 0, -EFAULT }, { 0, 100, 0, -EFAULT },
		{ 1, 0, 1, 1 }, { 1, 1, 1, -EFAULT },
		{ 63, 100, 63, -EFAULT }, { 64, 63, 64, 1 },
		{ 64, 64, 64, -EFAULT }, { 65, 64, 65, 1 },
		{ 65, 65, 65, -EFAULT }, { 100, 1000, 100, -EFAULT },
	};
	struct pair *p = test->priv;
	struct pvmread_engine *eng = engine(test, 0);
	size_t i, k;

	fill_text(test, PG(3));
	blank(test, PG(4));
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(p->here + PG(2), PAGE_SIZE));
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t at = PG(1) + 10 - rows[i].before;
		struct outcome out;

		put_nul(test, at + rows[i].nul, true);
		out = string(p, eng, PG(2) - rows[i].before, PG(1), at, PG(1));
		expect_outcome(test, out, at, rows[i].moved, rows[i].ret,
			       "string");
		KUNIT_ASSERT_EQ(test, 0UL,
				copy_from_user(p->buf, (void __user *)p->here +
					       PG(2) - rows[i].before,
					       rows[i].before));
		for (k = 0; k < rows[i].moved; k++)
			KUNIT_EXPECT_EQ(test, p->buf[k],
					k == rows[i].nul ? 0 : text(at + k));
		put_nul(test, at + rows[i].nul, false);
	}
}

static void no_page_after_the_nul_is_touched(struct kunit *test)
{
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	struct pvmread_engine *eng = engine(test, 0);
	struct outcome out;
	size_t i;

	for (i = 0; i < PAGE_SIZE; i++)
		((u8 *)page_address(stage->own[5]))[i] = text(PG(5) + i);
	((u8 *)page_address(stage->own[5]))[PAGE_SIZE - 1] = 0;

	out = string_held(p, eng, 0, PG(9), PG(5) + 9, PG(9));
	expect_outcome(test, out, PG(5) + 9, PG(1) - 9, 1, "one page");
	expect_held(test, stage, 5, 1, false, "one page");
	pvmread_engine_release(eng);
	expect_text(test, PG(5) + 9, PG(1) - 9, true, "one page");
	KUNIT_EXPECT_EQ(test, stage->faults, 1);

	/* If the first page has no NUL, the engine looks up the next, and holds only that. */
	((u8 *)page_address(stage->own[5]))[PAGE_SIZE - 1] = text(PG(6) - 1);
	((u8 *)page_address(stage->own[6]))[0] = 0;
	blank(test, PG(3));
	out = string_held(p, eng, 0, PG(9), PG(5) + 9, PG(9));
	expect_outcome(test, out, PG(5) + 9, PG(1) - 8, 1, "two pages");
	expect_held(test, stage, 6, 1, false, "two pages");
	pvmread_engine_release(eng);
	expect_text(test, PG(5) + 9, PG(1) - 8, true, "two pages");
	KUNIT_EXPECT_EQ(test, stage->faults, 2);
	for (i = 0; i < STAGE_PAGES; i++)
		KUNIT_EXPECT_EQ(test, remote_maps(p, PG(i)), i == 5 || i == 6);

	/* Pages that a move still holds are used, wherever the text is in them. */
	for (i = 0; i < PAGE_SIZE; i++)
		((u8 *)page_address(stage->own[22]))[i] = text(PG(22) + i);
	((u8 *)page_address(stage->own[22]))[200] = 0;
	blank(test, PG(3));
	KUNIT_ASSERT_EQ(test, 0, pvmread_engine_hold(eng, p->there + PG(20), PG(4)));
	out = string_held(p, eng, 0, PG(9), PG(22) + 9, PG(9));
	expect_outcome(test, out, PG(22) + 9, 192, 1, "held");
	expect_held(test, stage, 20, 4, false, "held");
	pvmread_engine_release(eng);
	expect_text(test, PG(22) + 9, 192, true, "held");
}

/* --- large folios, kernel memory ----------------------------------------- */

static void large_folio_pages_work_in_any_order(struct kunit *test)
{
	/*
	 * Pages 0 to 3 and 4 to 7 are two folios; each page from 8 on is a folio. This
	 * needs no transparent huge pages, because a driver may map large folios.
	 */
	static const u8 layout[] = {
		0, 1, 2, 3, 4, 5, 6, 7, 8, 3, 2, 1, 0, 9, 5, 6, 6, 7, 10, 11,
		1, 2, 5, 6, 0, 2, 4, 5, 7, 12, 13, 3, 4,
	};
	static const struct seg moves[] = {
		{ 0, PG(ARRAY_SIZE(layout)) },
		{ 1, PG(ARRAY_SIZE(layout)) - 2 },
		{ PG(1) + 9, PG(2) }, { PG(3) - 1, 2 }, { PG(3), PG(2) },
		{ PG(4) - 1, 2 }, { PG(7) + 9, PG(3) }, { PG(9), PG(4) },
		{ PG(15) - 1, PG(3) }, { PG(20), PG(2) }, { PG(24) + 9, PG(8) },
	};
	struct pair *p = test->priv;
	struct stage *stage = new_stage(test);
	struct pvmread_engine *eng;
	struct vm_area_struct *vma;
	struct page *large[2];
	struct outcome out;
	size_t i, k, m;
	int ret = 0;

	for (k = 0; k < 2; k++) {
		large[k] = alloc_pages(GFP_KERNEL | __GFP_COMP, 2);
		KUNIT_ASSERT_NOT_NULL(test, large[k]);
		KUNIT_ASSERT_EQ(test, 0,
				kunit_add_action_or_reset(test, drop_page,
							  large[k]));
		for (i = 0; i < PG(4); i++)
			((u8 *)page_address(large[k]))[i] =
				pattern(PG(4 * k) + i);
	}
	/* Do not let a fault map the pages: in 7.3 it may map all of a folio, in order. */
	mmap_write_lock(p->remote);
	vma = find_vma(p->remote, p->there);
	for (i = 0; i < ARRAY_SIZE(layout) && !ret; i++) {
		struct page *page = layout[i] < 8 ?
				    large[layout[i] / 4] + layout[i] % 4 :
				    stage->own[layout[i]];

		ret = vm_insert_page(vma, p->there + PG(i), page);
	}
	mmap_write_unlock(p->remote);
	KUNIT_ASSERT_EQ(test, 0, ret);

	eng = engine(test, 0);
	for (m = 0; m < ARRAY_SIZE(moves); m++) {
		size_t at = moves[m].at, len = moves[m].len;

		blank(test, PG(STAGE_PAGES));
		out = piece(p, eng, 0, at, len);
		expect_outcome(test, out, at, len, 0, "move");
		KUNIT_ASSERT_EQ(test, 0UL,
				copy_from_user(p->buf, (void __user *)p->here,
					       len + 1));
		for (i = 0; i < len; i++) {
			size_t page = layout[(at + i) / PAGE_SIZE];
			u8 want = pattern(PG(page) + (at + i) % PAGE_SIZE);

			if (p->buf[i] != want)
				break;
		}
		KUNIT_EXPECT_EQ_MSG(test, i, len, "move %zu: first wrong byte",
				    m);
		KUNIT_EXPECT_EQ(test, p->buf[len], UNTOUCHED);
	}
	kunit_release_action(test, release_engine, eng);

	/* Write from the last page of one folio through all of the other. */
	for (i = 0; i < PG(6); i++)
		p->buf[i] = ~pattern(PG(3) + i);
	KUNIT_ASSERT_EQ(test, 0UL,
			copy_to_user((void __user *)p->here, p->buf, PG(6)));
	eng = engine(test, PVMREAD_WRITE);
	out = piece(p, eng, 9, PG(3) + 9, PG(5));
	expect_outcome(test, out, PG(3) + 9, PG(5), 0, "write");
	kunit_release_action(test, release_engine, eng);
	for (k = 0; k < 9; k++) {
		const u8 *mem = page_address(k < 8 ? large[k / 4] + k % 4 :
					     stage->own[8]);

		for (i = 0; i < PAGE_SIZE; i++) {
			bool written = PG(k) + i >= PG(3) + 9 &&
				       PG(k) + i < PG(8) + 9;
			u8 want = pattern(PG(k) + i);

			if (mem[i] != (u8)(written ? ~want : want))
				break;
		}
		KUNIT_EXPECT_EQ_MSG(test, i, PAGE_SIZE,
				    "page %zu: first wrong byte", k);
	}
	for (k = 0; k < 2; k++) {
		struct folio *folio = page_folio(large[k]);

		KUNIT_EXPECT_EQ(test, folio_ref_count(folio),
				folio_mapcount(folio) + 1);
		KUNIT_EXPECT_FALSE(test, folio_maybe_dma_pinned(folio));
	}
}

static void kernel_memory_can_be_the_local_side(struct kunit *test)
{
	/* As in splice() and fixed buffers of io_uring. */
	static const struct seg segs[] = {
		{ 1, 100 }, { PG(1) - 5, 4000 }, { PG(3) + 7, 9000 },
	};
	const size_t total = 100 + 4000 + 9000, size = PG(8);
	struct pair *p = test->priv;
	struct kvec kvec[ARRAY_SIZE(segs)];
	struct bio_vec bvec[ARRAY_SIZE(segs)];
	struct page *page;
	size_t i, k, done;
	int kind;
	u8 *mem;

	page = alloc_pages(GFP_KERNEL | __GFP_COMP, 3);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, drop_page, page));
	mem = page_address(page);
	for (i = 0; i < ARRAY_SIZE(segs); i++) {
		kvec[i].iov_base = mem + segs[i].at;
		kvec[i].iov_len = segs[i].len;
		bvec_set_page(&bvec[i], page, segs[i].len, segs[i].at);
	}

	for (kind = 0; kind < 4; kind++) {
		/* Up to a hole, the rest in two moves, and all of it once more. */
		static const struct {
			size_t at, len, moved;
			bool revert;
			int reason;
		} rows[] = {
			{ PG(8) - 777, PG(9), 777, false, -EIO },
			{ PG(1) - 17, 5000, 5000, false, 0 },
			{ 5, PG(9), 13100 - 5777, false, 0 },
			{ PG(3) - 2, PG(9), 13100, true, 0 },
		};
		bool write = kind & 1;
		struct pvmread_engine *eng;
		struct iov_iter local;
		size_t r;

		KUNIT_ASSERT_EQ(test, 0,
				remote_map(p, NULL, 0, PG(10),
					   PROT_READ | PROT_WRITE,
					   MAP_ANONYMOUS | MAP_PRIVATE));
		fill(test, PG(10));
		KUNIT_ASSERT_EQ(test, 0, remote_unmap(p, PG(8), PAGE_SIZE));
		memset(mem, UNTOUCHED, size);
		if (write)
			for (i = 0; i < size; i++)
				mem[i] = ~pattern(i);
		if (kind & 2)
			iov_iter_bvec(&local, write ? ITER_SOURCE : ITER_DEST,
				      bvec, ARRAY_SIZE(bvec), total);
		else
			iov_iter_kvec(&local, write ? ITER_SOURCE : ITER_DEST,
				      kvec, ARRAY_SIZE(kvec), total);
		eng = engine(test, write ? PVMREAD_WRITE : 0);
		done = 0;
		for (r = 0; r < ARRAY_SIZE(rows); r++) {
			size_t at = rows[r].at, pos = 0, wrong = 0;
			int ret;

			if (rows[r].revert) {
				iov_iter_revert(&local, done);
				done = 0;
			}
			ret = pvmread_engine_move(eng, p->there + at,
						  rows[r].len, &local);
			pvmread_engine_release(eng);
			KUNIT_EXPECT_EQ_MSG(test, ret, rows[r].reason,
					    "kind %d, row %zu", kind, r);
			KUNIT_EXPECT_EQ_MSG(test, eng->stop_addr,
					    p->there + at + rows[r].moved,
					    "kind %d, row %zu", kind, r);
			KUNIT_EXPECT_EQ_MSG(test, iov_iter_count(&local),
					    total - done - rows[r].moved,
					    "kind %d, row %zu", kind, r);

			KUNIT_ASSERT_EQ(test, 0, remote_read(p, at, p->buf,
							     rows[r].moved));
			for (i = 0; i < ARRAY_SIZE(segs); i++) {
				for (k = 0; k < segs[i].len; k++, pos++) {
					size_t here = segs[i].at + k, there;

					if (pos < done ||
					    pos >= done + rows[r].moved)
						continue;
					there = at + pos - done;
					wrong += write ?
						 p->buf[pos - done] !=
						 (u8)~pattern(here) :
						 mem[here] != pattern(there);
				}
			}
			KUNIT_EXPECT_EQ_MSG(test, wrong, 0,
					    "kind %d, row %zu", kind, r);
			done += rows[r].moved;
		}
		KUNIT_EXPECT_EQ(test, done, total);
		/* Around the segments nothing has changed. */
		if (!write) {
			for (i = 0; i < ARRAY_SIZE(segs); i++)
				memset(mem + segs[i].at, UNTOUCHED,
				       segs[i].len);
			KUNIT_EXPECT_NULL(test, memchr_inv(mem, UNTOUCHED,
							   size));
		}
		kunit_release_action(test, release_engine, eng);
	}
}

/* --- failures ------------------------------------------------------------ */

#if defined(CONFIG_FAULT_INJECTION) && defined(CONFIG_FAILSLAB)
enum errand { READ_VECTORS, WRITE_VECTORS, READ_PIECE, READ_STRING, ERRANDS };

/* Where the text of READ_STRING is, and the pages that it has. */
#define TEXT_AT		PG(60)
#define TEXT_PAGES	3UL

/* One move or string, with nothing else that could fail. */
static noinline_for_stack int failing_piece(struct pair *p, bool is_string)
{
	struct iov_iter local = local_iter(p, false, 100, PG(60));
	struct pvmread_engine eng;
	int ret;

	pvmread_engine_init(&eng, p->remote, false, false, false);
	if (is_string)
		ret = pvmread_engine_string(&eng, p->there + TEXT_AT + 100,
					    PG(TEXT_PAGES) - 100, &local);
	else
		ret = pvmread_engine_move(&eng, p->there + 100, PG(50), &local);
	pvmread_engine_release(&eng);
	return ret;
}

/* READV or WRITEV, with nothing else that could fail. */
static noinline_for_stack int failing_request(struct pair *p, bool write, size_t count)
{
	struct pvmread_rw rw = {
		.size = sizeof(rw),
		.pid = task_pid_vnr(current),
		.local = p->vectors,
		.local_count = count,
		.remote = p->vectors + VECTOR_SIZE,
		.remote_count = count,
	};
	ssize_t moved;

	p->target = p->remote;
	moved = pvmread_rw(&rw, write);
	return moved < 0 ? moved : -(int)rw.error;
}

/*
 * fail_nth makes the n-th allocation or user copy of this thread fail. *@met says
 * whether there was an n-th one.
 */
static int failing_errand(struct pair *p, enum errand what, size_t count,
			  unsigned int nth, bool *met)
{
	int ret;

	current->fail_nth = nth;
	if (what == READ_VECTORS || what == WRITE_VECTORS)
		ret = failing_request(p, what == WRITE_VECTORS, count);
	else
		ret = failing_piece(p, what == READ_STRING);
	*met = !current->fail_nth;
	current->fail_nth = 0;
	return ret;
}

/*
 * Repeat it with the first, second ... call failing, until none fails. Return: number
 * of failures; adds the number of failed allocations to *@enomem.
 */
static unsigned int fail_each(struct kunit *test, enum errand errand,
			      size_t count, unsigned int *enomem)
{
	unsigned int nth;

	for (nth = 1; nth < 1000; nth++) {
		bool met;
		int ret = failing_errand(test->priv, errand, count, nth, &met);

		KUNIT_EXPECT_TRUE_MSG(test, !ret || ret == -ENOMEM ||
				      ret == -EFAULT || ret == -EIO,
				      "errand %d, failure %u gave %d",
				      errand, nth, ret);
		if (!met)
			break;
		if (ret == -ENOMEM)
			++*enomem;
	}
	KUNIT_EXPECT_LT(test, nth, 1000U);
	/* At least two calls must have failed, or too little was tested. */
	KUNIT_EXPECT_GT(test, nth, 2U);
	return nth - 1;
}

static void every_injected_failure_leaks_nothing(struct kunit *test)
{
	const size_t count = UIO_FASTIOV + 1;
	const size_t watched[] = { 0, TEXT_AT, TEXT_AT + PG(TEXT_PAGES - 1) };
	struct pair *p = test->priv;
	unsigned int round, enomem = 0, injected = 0;
	struct page *pages[ARRAY_SIZE(watched)];
	int before[ARRAY_SIZE(watched)];
	enum errand errand;
	struct iovec *iov;
	size_t i;

	/* The last segments need more page pointers than the stack has. */
	iov = kunit_kcalloc(test, 2 * count, sizeof(*iov), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, iov);
	for (i = 0; i < count; i++) {
		size_t at = i * PG(3) + 100;
		size_t len = i < count - 1 ? PG(2) : PG(16);

		iov[i].iov_base = (void __user *)p->here + at;
		iov[i].iov_len = len;
		iov[count + i].iov_base = (void __user *)p->there + at;
		iov[count + i].iov_len = len;
	}
	fill(test, PG(62));
	memset(p->buf, 'x', PG(TEXT_PAGES));
	KUNIT_ASSERT_EQ(test, 0,
			remote_write(p, TEXT_AT, p->buf, PG(TEXT_PAGES)));
	KUNIT_ASSERT_EQ(test, 0UL,
			copy_to_user((void __user *)p->vectors, iov,
				     count * sizeof(*iov)));
	KUNIT_ASSERT_EQ(test, 0UL,
			copy_to_user((void __user *)p->vectors + VECTOR_SIZE,
				     iov + count, count * sizeof(*iov)));
	for (i = 0; i < ARRAY_SIZE(watched); i++) {
		pages[i] = remote_page(test, watched[i]);
		before[i] = page_ref_count(pages[i]);
	}

	/*
	 * A request in each direction allocates the two arrays and the page pointers. A
	 * piece or a string allocates nothing. Allocations that the kernel makes only
	 * once, for example for a stack trace, change the count, so try again.
	 */
	for (round = 0; round < 3 && enomem < 6; round++) {
		enomem = 0;
		for (errand = 0; errand < ERRANDS; errand++)
			injected += fail_each(test, errand, count, &enomem);
	}
	for (i = 0; i < ARRAY_SIZE(watched); i++) {
		struct folio *folio = page_folio(pages[i]);

		KUNIT_EXPECT_LE(test, abs(page_ref_count(pages[i]) - before[i]),
				LRU_SLACK);
		KUNIT_EXPECT_FALSE(test, folio_maybe_dma_pinned(folio));
	}
	KUNIT_EXPECT_EQ(test, move(test, false, 0, PG(60), 0, PG(60)).ret,
			PG(60));

	kunit_info(test, "%u failures injected; %u of the last round were allocations",
		   injected, enomem);
	if (!enomem)
		kunit_skip(test, "failslab spares GFP_KERNEL: write N to its ignore-gfp-wait");
	KUNIT_EXPECT_LE(test, 6U, enomem);
}
#else
static void every_injected_failure_leaks_nothing(struct kunit *test)
{
	kunit_skip(test, "the kernel has no CONFIG_FAILSLAB");
}
#endif

struct kunit_case pvmread_engine_cases[] = {
	KUNIT_CASE(next_move_reuses_a_held_page),
	KUNIT_CASE(pages_stay_held_until_others_are_needed),
	KUNIT_CASE(moves_longer_than_a_hold_are_complete),
	KUNIT_CASE(a_hold_ends_when_a_writer_waits),
	KUNIT_CASE(nowait_does_not_sleep_for_a_writer),
	KUNIT_CASE(releasing_nothing_or_twice_is_harmless),
	KUNIT_CASE(flags_select_reference_pin_and_dirty),
	KUNIT_CASE(nothing_is_held_while_the_caller_faults),
	KUNIT_CASE(a_caller_page_that_never_arrives_is_efault),
	KUNIT_CASE(move_whole_moves_all_or_nothing),
	KUNIT_CASE(resident_moves_only_mapped_pages),
	KUNIT_CASE(resident_runs_no_fault_handler),
	KUNIT_CASE(nowait_does_not_wait_for_mmap_lock),
	KUNIT_CASE(nowait_does_not_wait_for_a_fault),
	KUNIT_CASE(nowait_moves_only_cached_file_pages),
	KUNIT_CASE(nowait_does_not_wait_for_a_cached_page),
	KUNIT_CASE(nowait_write_calls_no_file_system),
	KUNIT_CASE(nowait_calls_no_device_handler),
	KUNIT_CASE(nowait_faults_in_anonymous_pages),
	KUNIT_CASE(the_reason_is_the_errno_of_the_fault),
	KUNIT_CASE(a_killed_caller_gets_eintr),
	KUNIT_CASE(a_hold_keeps_the_mm_in_use),
	KUNIT_CASE(an_exited_target_is_esrch),
	KUNIT_CASE(a_target_may_exit_while_its_pages_are_held),
	KUNIT_CASE(a_string_ends_with_its_first_nul),
	KUNIT_CASE(a_string_without_nul_before_a_hole_is_eio),
	KUNIT_CASE(a_string_ends_at_unmapped_local_memory),
	KUNIT_CASE(no_page_after_the_nul_is_touched),
	KUNIT_CASE(large_folio_pages_work_in_any_order),
	KUNIT_CASE(kernel_memory_can_be_the_local_side),
	KUNIT_CASE(every_injected_failure_leaks_nothing),
	{}
};
