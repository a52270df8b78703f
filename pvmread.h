/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the module share, and what its KUnit suite sees.
 */
#ifndef PVMREAD_H
#define PVMREAD_H

#include <linux/bits.h>
#include <linux/export.h>
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/mm_types.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/sched/mm.h>
#include <linux/types.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include <linux/pvmread.h>

/*
 * The pages that one pin takes at most. The syscall takes 1,024, what two pages
 * hold of pointers. With 256 what the pin has touched of their struct pages is
 * still in the cache when they are unpinned, and mmap_lock is held for less long.
 */
#define PVMREAD_MAX_PIN		256UL

/* Up to this many page pointers stand on the stack. */
#define PVMREAD_STACK_PAGES	16

/*
 * Beside the flags of the ABI, for the engine. To read, pin the pages as the
 * syscall does; that gives the target a copy of its own of a page that it shares
 * copy-on-write.
 */
#define PVMREAD_PIN		BIT(31)
/* Whether that is so for all pages, or for those that are there now. */
#define PVMREAD_PIN_ALL		BIT(0)
#define PVMREAD_PIN_THESE	BIT(1)
/* The caller holds a reference to the mm's users for as long as the engine runs. */
#define PVMREAD_HELD		BIT(30)

/* The most segments that one BATCH has. */
#define PVMREAD_MAX_BATCH	65536

/**
 * struct pvmread_vectors - the two sides of a request, copied in and checked
 * @local: the caller's memory, and how much of it is still to be used
 * @remote: the target's segments, @remote_stack or allocated
 * @remote_count: their number
 * @local_alloc: what import_iovec() allocated for @local, or NULL
 * @local_stack: the local segments, when there are few
 * @remote_stack: the remote segments, when there are few
 *
 * Filled by pvmread_vectors_import(), which on success leaves it to the caller
 * to hand it to pvmread_vectors_release().
 */
struct pvmread_vectors {
	struct iov_iter local;
	struct iovec *remote;
	unsigned long remote_count;
	struct iovec *local_alloc;
	struct iovec local_stack[UIO_FASTIOV];
	struct iovec remote_stack[UIO_FASTIOV];
};

/**
 * struct pvmread_engine - what moves bytes between an mm and an iov_iter
 * @mm: the target's memory; the caller holds a reference to it
 * @flags: PVMREAD_WRITE, PVMREAD_NOWAIT, PVMREAD_RESIDENT, PVMREAD_HELD
 * @pin: 0 if the pages are just referenced, PVMREAD_PIN_ALL or PVMREAD_PIN_THESE
 *	if they are pinned
 * @gup_flags: how they are to be had first: FOLL_WRITE, FOLL_NOFAULT
 * @stop_addr: the address in @mm at which the last transfer ended
 * @first: the address of the first page that is pinned
 * @nr: how many are
 * @pages: where they are noted, @stack or allocated
 * @max_pages: how many fit there
 * @stack: room for a small transfer
 *
 * Set up by pvmread_engine_init(), given back by pvmread_engine_release().
 */
struct pvmread_engine {
	struct mm_struct *mm;
	u32 flags;
	u8 pin;
	unsigned int gup_flags;
	unsigned long stop_addr;
	unsigned long first;
	unsigned long nr;
	struct page **pages;
	unsigned long max_pages;
	struct page *stack[PVMREAD_STACK_PAGES];
};

extern bool pvmread_has_pidfd;

int pvmread_symbols_init(void);
struct task_struct *pvmread_target_task(pid_t nr, u32 flags);
struct mm_struct *pvmread_target_mm(struct task_struct *task);

/*
 * Give a reference to the mm's users back. It may turn out the last: then all
 * of the target's memory is torn down, and its files are closed, right here
 * unless the request must not wait.
 */
static inline void pvmread_target_put(struct mm_struct *mm, u32 flags)
{
	if (flags & (PVMREAD_NOWAIT | PVMREAD_RESIDENT))
		mmput_async(mm);
	else
		mmput(mm);
}

/*
 * Copy a request struct in. Its size is read first and once; what the struct
 * itself says of it later is not looked at, for the caller can change it.
 *
 * Return: that size, or -EINVAL, -E2BIG, -EFAULT.
 */
static __always_inline long pvmread_get_arg(void *arg, size_t size,
					    size_t min_size, void __user *uarg)
{
	u32 usize;
	int ret;

	if (get_user(usize, (u32 __user *)uarg))
		return -EFAULT;
	/* A size that the compiler knows spares the hardening's checks. */
	if (usize == size)
		ret = copy_from_user(arg, uarg, size) ? -EFAULT : 0;
	else if (usize < min_size)
		ret = -EINVAL;
	else if (usize > PAGE_SIZE)
		ret = -E2BIG;
	else
		ret = copy_struct_from_user(arg, size, uarg, usize);
	if (ret)
		return ret;
	return usize;
}

/*
 * A user pointer travels as 64 bits. On a 32-bit kernel the upper half must not
 * just be dropped: that would be another address, and maybe a mapped one.
 */
static inline int pvmread_user_ptr(u64 addr, void __user **ptr)
{
	if (overflows_type(addr, uintptr_t))
		return -EFAULT;
	*ptr = u64_to_user_ptr(addr);
	return 0;
}

/* How many pages @len bytes at @addr lie in; the sum cannot wrap. */
static inline unsigned long pvmread_count_pages(unsigned long addr, size_t len)
{
	return DIV_ROUND_UP(offset_in_page(addr) + len, PAGE_SIZE);
}

/* Is the page at @addr among those that are pinned? */
static inline bool pvmread_engine_has(const struct pvmread_engine *eng,
			       unsigned long addr)
{
	return addr - eng->first < eng->nr * PAGE_SIZE;
}

/* The page at @addr, which is pinned: a guess of the CPU's must not go beyond. */
static inline struct page **pvmread_engine_page(const struct pvmread_engine *eng,
					 unsigned long addr)
{
	unsigned long i = (addr - eng->first) >> PAGE_SHIFT;

	return &eng->pages[array_index_nospec(i, eng->nr)];
}

int pvmread_engine_init(struct pvmread_engine *eng, u32 flags,
			unsigned long pages);
int pvmread_engine_move(struct pvmread_engine *eng, unsigned long addr,
			size_t len, struct iov_iter *local);
int pvmread_engine_string(struct pvmread_engine *eng, unsigned long addr,
			  size_t len, struct iov_iter *local);
void pvmread_engine_unpin(struct pvmread_engine *eng);
void pvmread_engine_release(struct pvmread_engine *eng);
int pvmread_gup_error(long got);
int pvmread_engine_pin(struct pvmread_engine *eng, unsigned long addr,
		       size_t len);

/**
 * struct pvmread_target - what a target file refers to
 * @mm: the target's memory, by mm_count alone: what is in it is not kept
 * @pid: the process, to be shown
 * @start: the first address that the file reaches
 * @last: the last one
 * @flags: PVMREAD_WRITE, PVMREAD_NOWAIT, PVMREAD_RESIDENT, for all transfers
 * @bytes_read: moved from the target so far
 * @bytes_written: moved to it so far
 * @faults: how many transfers the target's memory has ended
 */
struct pvmread_target {
	struct mm_struct *mm;
	struct pid *pid;
	unsigned long start;
	unsigned long last;
	u32 flags;
	atomic64_t bytes_read;
	atomic64_t bytes_written;
	atomic64_t faults;
};

/* How many of @len bytes at @addr the file reaches. */
static inline size_t pvmread_target_reach(const struct pvmread_target *target,
				   u64 addr, size_t len)
{
	if (!len || addr < target->start || addr > target->last)
		return 0;
	/* Less by one each, so that all of memory has a size. */
	return min_t(u64, len - 1, target->last - addr) + 1;
}

/* Note what was moved, for show_fdinfo. */
static inline void pvmread_target_account(struct pvmread_target *target, bool write,
				   u64 moved)
{
	atomic64_add(moved, write ? &target->bytes_written : &target->bytes_read);
}

/*
 * Is the target's memory there? When it is gone while a request runs, the engine
 * finds out.
 */
static inline bool pvmread_target_alive(const struct pvmread_target *target)
{
	return atomic_read(&target->mm->mm_users);
}

struct file *pvmread_target_file(const struct pvmread_attach *attach,
				 unsigned long last);
long pvmread_ioctl_batch(struct file *file, struct pvmread_batch __user *ubatch);

/*
 * A build for the KUnit suite shows it the functions below. Any other hides
 * them, whatever the kernel's CONFIG_KUNIT: they look up symbols and move
 * memory, and ask for no permission.
 */
#ifdef PVMREAD_KUNIT
#include <kunit/static_stub.h>

#define PVMREAD_TESTED
#define EXPORT_SYMBOL_TO_SUITE EXPORT_SYMBOL_GPL
/* The suite may put a function of its own in place of @fn. */
#define PVMREAD_REDIRECT(fn, ...) KUNIT_STATIC_STUB_REDIRECT(fn, ##__VA_ARGS__)

unsigned long pvmread_find_symbol(const char *name, const void *neighbour);

ssize_t pvmread_vectors_import(struct pvmread_vectors *vec, bool write,
			       const struct pvmread_rw *rw);
void pvmread_vectors_release(struct pvmread_vectors *vec);
unsigned long pvmread_vectors_pages(const struct pvmread_vectors *vec);
ssize_t pvmread_rw(struct pvmread_rw *rw, bool write);
#else
#define PVMREAD_TESTED static
#define EXPORT_SYMBOL_TO_SUITE(...)
#define PVMREAD_REDIRECT(...)
#endif

#endif /* PVMREAD_H */
