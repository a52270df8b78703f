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
#include <linux/sizes.h>
#include <linux/types.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include <linux/pvmread.h>

/* READV, WRITEV: page pointers on the stack, as many as process_vm_rw_core() has, ... */
#define PVMREAD_RW_STACK_PAGES	16UL
/* ... and as many as are allocated at most: two pages of them, as there. */
#define PVMREAD_RW_MAX_PAGES	(2 * PAGE_SIZE / sizeof(struct page *))

/*
 * The most bytes that the engine copies under one hold of the target's mmap_lock, and
 * the most pages that it holds: those of as many bytes.
 */
#define PVMREAD_ENGINE_CHUNK	((size_t)SZ_64K)
#define PVMREAD_ENGINE_PAGES	(PVMREAD_ENGINE_CHUNK > PAGE_SIZE ? \
				 PVMREAD_ENGINE_CHUNK / PAGE_SIZE : 1UL)

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
 * @mm: the target's memory; the user of the engine has an mm_count reference
 * @write: to the target, not from it
 * @nowait: PVMREAD_NOWAIT
 * @resident: PVMREAD_RESIDENT
 * @locked: the engine holds mmap_lock and a reference to mm_users
 * @gup_flags: FOLL_WRITE, FOLL_NOFAULT
 * @stop_addr: the address in @mm at which the last move ended
 * @copied: bytes copied since mmap_lock was taken
 * @first: address of the first page that is held
 * @nr: number of pages that are held, 0 if @locked is not set
 * @pages: those pages
 *
 * Set up by pvmread_engine_init(). Holds nothing after pvmread_engine_release().
 */
struct pvmread_engine {
	struct mm_struct *mm;
	bool write;
	bool nowait;
	bool resident;
	bool locked;
	unsigned int gup_flags;
	unsigned long stop_addr;
	size_t copied;
	unsigned long first;
	unsigned long nr;
	struct page *pages[PVMREAD_ENGINE_PAGES];
};

extern bool pvmread_has_pidfd;

int pvmread_symbols_init(void);
struct task_struct *pvmread_target_task(pid_t nr, u32 flags);
struct mm_struct *pvmread_target_mm(struct task_struct *task);

/* What an ioctl's argument can be. All begin with a size and flags. */
union pvmread_arg {
	struct {
		u32 size;
		u32 flags;
	};
	struct pvmread_info info;
	struct pvmread_rw rw;
	struct pvmread_attach attach;
	struct pvmread_batch batch;
};

/**
 * struct pvmread_command - one row of a table of ioctls
 * @cmd: the command
 * @size: size of its struct
 * @min_size: size of the struct in the command's first version
 * @flags: the bits of the flags that the command knows
 * @run: the command. @arg is the struct, @usize its size in the caller, @uarg where it
 *	is there. Returns what the ioctl returns.
 */
struct pvmread_command {
	unsigned int cmd;
	u32 size;
	u32 min_size;
	u32 flags;
	long (*run)(struct file *file, union pvmread_arg *arg, size_t usize,
		    void __user *uarg);
};

/*
 * Copy the struct of an ioctl in and run the command. The size is read first and once:
 * the caller may change it meanwhile.
 *
 * Return: what the command returns; -ENOTTY, -EINVAL, -E2BIG or -EFAULT if it was not run.
 */
static inline long pvmread_run_command(const struct pvmread_command *commands,
				       size_t nr, struct file *file,
				       unsigned int cmd, void __user *uarg)
{
	const struct pvmread_command *command = commands;
	union pvmread_arg arg __uninitialized;
	u32 usize;
	int ret;

	while (command->cmd != cmd)
		if (++command == commands + nr)
			return -ENOTTY;

	if (get_user(usize, (u32 __user *)uarg))
		return -EFAULT;
	if (usize < command->min_size)
		return -EINVAL;
	if (usize > PAGE_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(&arg, command->size, uarg, usize);
	if (ret)
		return ret;
	if (arg.flags & ~command->flags)
		return -EINVAL;
	return command->run(file, &arg, usize, uarg);
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

/* Is the page at @addr held? */
static inline bool pvmread_engine_has(const struct pvmread_engine *eng,
				      unsigned long addr)
{
	return addr - eng->first < eng->nr * PAGE_SIZE;
}

/* The page at @addr, which is held. Speculation must not go beyond those that are. */
static inline struct page **pvmread_engine_page(struct pvmread_engine *eng,
						unsigned long addr)
{
	unsigned long i = (addr - eng->first) >> PAGE_SHIFT;

	return &eng->pages[array_index_nospec(i, eng->nr)];
}

/* Prepare an engine, which may be uninitialised memory. Nothing is held. */
static inline void pvmread_engine_init(struct pvmread_engine *eng,
				       struct mm_struct *mm, bool write,
				       bool nowait, bool resident)
{
	eng->mm = mm;
	eng->write = write;
	eng->nowait = nowait;
	eng->resident = resident;
	eng->locked = false;
	eng->gup_flags = (write ? FOLL_WRITE : 0) |
			 (nowait || resident ? FOLL_NOFAULT : 0);
	eng->copied = 0;
	eng->first = 0;
	eng->nr = 0;
}

int pvmread_gup_error(long got);
int pvmread_engine_hold(struct pvmread_engine *eng, unsigned long addr,
			size_t len);
void pvmread_engine_release(struct pvmread_engine *eng);
int pvmread_engine_move(struct pvmread_engine *eng, unsigned long addr,
			size_t len, struct iov_iter *local);
int pvmread_engine_move_whole(struct pvmread_engine *eng, unsigned long addr,
			      size_t len, struct iov_iter *local);
int pvmread_engine_fault_in(struct pvmread_engine *eng, struct iov_iter *local,
			    size_t len);
int pvmread_engine_string(struct pvmread_engine *eng, unsigned long addr,
			  size_t len, struct iov_iter *local);

/**
 * struct pvmread_target - what a target file refers to
 * @mm: the target's memory, an mm_count reference: what is mapped is not kept
 * @pid: the process; NULL if it was being reaped
 * @start: the first address in the attached range
 * @last: the last address in it
 * @write: the target can be written, too
 * @nowait: PVMREAD_NOWAIT for every transfer
 * @resident: PVMREAD_RESIDENT for every transfer
 * @bytes_read: moved from the target so far
 * @bytes_written: moved to the target so far
 * @faults: number of transfers that ended at the target's memory (EIO)
 */
struct pvmread_target {
	struct mm_struct *mm;
	struct pid *pid;
	unsigned long start;
	unsigned long last;
	bool write;
	bool nowait;
	bool resident;
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

/* Count what was moved, for fdinfo. */
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
long pvmread_batch(struct file *file, union pvmread_arg *arg, size_t usize,
		   void __user *uarg);

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
