// SPDX-License-Identifier: GPL-2.0-only
/*
 * The two sides of the tests: see pvmread_pair.h.
 */
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include <kunit/static_stub.h>
#include <kunit/test-bug.h>

#include "pvmread_pair.h"

/* Actions for kunit_add_action(). */
void put_file(void *file)
{
	fput(file);
}

void drop_page(void *page)
{
	put_page(page);
}

void enter(struct mm_struct *from, struct mm_struct *to)
{
	kthread_unuse_mm(from);
	kthread_use_mm(to);
}

/*
 * Not kunit_vm_mmap(): in 6.12 to 7.3 each test that uses it leaks the
 * mm_struct, which kmemleak reports.
 */
struct mm_struct *new_mm(void)
{
	struct mm_struct *mm = mm_alloc();

	if (!mm)
		return NULL;
	mm->task_size = TASK_SIZE;
	arch_pick_mmap_layout(mm, &current->signal->rlim[RLIMIT_STACK]);
	return mm;
}

/* Create a remote side: an untouched arena in a new mm. */
int new_remote(struct pair *p)
{
	struct mm_struct *mm = new_mm();
	unsigned long addr;

	p->remote = mm;
	if (!mm)
		return -ENOMEM;
	enter(p->local, mm);
	addr = vm_mmap(NULL, 0, ARENA_SIZE, PROT_READ | PROT_WRITE,
		       MAP_ANONYMOUS | MAP_PRIVATE, 0);
	enter(mm, p->local);
	if (IS_ERR_VALUE(addr))
		return -ENOMEM;
	p->there = addr;
	return 0;
}

/* Neighbouring bytes, lines and pages all differ. */
u8 pattern(size_t i)
{
	return i + (i >> 6) + 3 * (i >> PAGE_SHIFT);
}

int remote_write(struct pair *p, size_t at, const void *from, size_t len)
{
	int ret;

	enter(p->local, p->remote);
	ret = copy_to_user((void __user *)(p->there + at), from, len) ?
	      -EFAULT : 0;
	enter(p->remote, p->local);
	return ret;
}

int remote_read(struct pair *p, size_t at, void *to, size_t len)
{
	int ret;

	enter(p->local, p->remote);
	ret = copy_from_user(to, (void __user *)(p->there + at), len) ?
	      -EFAULT : 0;
	enter(p->remote, p->local);
	return ret;
}

/* Put a fresh mapping over a part of the remote arena. */
int remote_map(struct pair *p, struct file *file, size_t at, size_t len,
	       unsigned long prot, unsigned long flags)
{
	unsigned long addr;

	enter(p->local, p->remote);
	addr = vm_mmap(file, p->there + at, len, prot, flags | MAP_FIXED, 0);
	enter(p->remote, p->local);
	return addr == p->there + at ? 0 : -ENOMEM;
}

int remote_unmap(struct pair *p, size_t at, size_t len)
{
	int ret;

	enter(p->local, p->remote);
	ret = vm_munmap(p->there + at, len);
	enter(p->remote, p->local);
	return ret;
}

/* Fill @len bytes of the remote arena with the pattern, of the local with UNTOUCHED. */
void fill(struct kunit *test, size_t len)
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

/* Returns the test's target mm. The mm of @task is wrong, because @task is the test thread. */
static struct mm_struct *stub_target_mm(struct task_struct *task)
{
	struct pair *p = kunit_get_current_test()->priv;

	mmget(p->target);
	return p->target;
}

/* READV or WRITEV of @mm without flags, as in the ioctl, but without copying the struct. */
struct outcome request_of(struct kunit *test, struct mm_struct *mm, bool write,
			  const struct iovec *local, u64 local_count,
			  const struct iovec *remote, u64 remote_count)
{
	struct pair *p = test->priv;
	struct pvmread_rw rw = {
		.size = sizeof(rw),
		.pid = task_pid_vnr(current),
		.local = p->vectors,
		.local_count = local_count,
		.remote = p->vectors + VECTOR_SIZE,
		.remote_count = remote_count,
	};
	struct outcome out;

	if (local_count <= UIO_MAXIOV + 1)
		KUNIT_ASSERT_EQ(test, 0UL,
				copy_to_user(u64_to_user_ptr(rw.local), local,
					     local_count * sizeof(*local)));
	if (remote_count <= UIO_MAXIOV + 1)
		KUNIT_ASSERT_EQ(test, 0UL,
				copy_to_user(u64_to_user_ptr(rw.remote), remote,
					     remote_count * sizeof(*remote)));
	p->target = mm;
	out.ret = pvmread_rw(&rw, write);
	out.reason = -(int)rw.error;
	out.stop = rw.stop_addr;
	return out;
}

/* The same for the remote side. */
struct outcome request(struct kunit *test, bool write,
		       const struct iovec *local, u64 local_count,
		       const struct iovec *remote, u64 remote_count)
{
	struct pair *p = test->priv;

	return request_of(test, p->remote, write, local, local_count, remote,
			  remote_count);
}

/* One segment each side, at these offsets of the arenas. */
struct outcome move(struct kunit *test, bool write, size_t here,
		    size_t here_len, size_t there, size_t there_len)
{
	struct pair *p = test->priv;
	struct iovec l = { (void __user *)(p->here + here), here_len };
	struct iovec r = { (void __user *)(p->there + there), there_len };

	return request(test, write, &l, 1, &r, 1);
}

size_t seg_iovecs(const struct seg *segs, unsigned long base,
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
 * The local segments must contain @moved bytes of the remote ones, in order. No other
 * byte of the first @size bytes of the arena may have changed.
 */
void expect_read(struct kunit *test, const struct seg *local,
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

/* Write the pattern to the first pages of a file. */
void refill(struct kunit *test, struct file *file, size_t pages)
{
	struct pair *p = test->priv;
	loff_t pos = 0;
	size_t i;

	for (i = 0; i < PG(pages); i++)
		p->buf[i] = pattern(i);
	KUNIT_ASSERT_EQ(test, kernel_write(file, p->buf, PG(pages), &pos),
			PG(pages));
}

/*
 * An unnamed file of @size pages: the shmem file of a shared anonymous mapping.
 * Only its first @pages pages are in the page cache, and hold the pattern. From
 * 7.3 on a kernel thread has no file system in which to open a file, and the
 * argument types of shmem_file_setup() differ between kernels.
 */
struct file *pattern_file(struct kunit *test, size_t pages, size_t size)
{
	struct pair *p = test->priv;
	struct vm_area_struct *vma;
	struct file *file = NULL;

	KUNIT_ASSERT_EQ(test, 0, remote_map(p, NULL, PG(1), PG(size),
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
	refill(test, file, pages);
	return file;
}

/* The page at a remote address, with a reference until the test's end. */
struct page *remote_page(struct kunit *test, size_t at)
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

int pair_init(struct kunit *test)
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
	/* From now on the exit of this thread drops mm_users of p->local. */
	kthread_use_mm(p->local);
	p->here = vm_mmap(NULL, 0, ARENA_SIZE, prot, flags, 0);
	p->vectors = vm_mmap(NULL, 0, 2 * VECTOR_SIZE, prot, flags, 0);
	if (IS_ERR_VALUE(p->here) || IS_ERR_VALUE(p->vectors))
		return -ENOMEM;

	kunit_activate_static_stub(test, pvmread_symbols_get_mm, stub_target_mm);
	return new_remote(p);
}

/* Runs in another thread after the test thread has ended. */
void pair_exit(struct kunit *test)
{
	struct pair *p = test->priv;

	if (!p)
		return;
	/* kthread_use_mm() took a reference that the exit of the thread does not drop. */
	if (p->local)
		mmdrop(p->local);
	if (p->remote)
		mmput(p->remote);
	vfree(p->buf);
}
