/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the module share, and what the KUnit suite sees of it. A file mostly
 * uses those below it:
 *
 *   pvmread.c          the device, READV and WRITEV
 *   pvmread_target.c   a process as a file
 *   pvmread_batch.c    BATCH
 *   pvmread_window.c   mmap() of a target file
 *   pvmread_engine.c   moves bytes between an mm and an iov_iter
 *   pvmread_cache.c    remembers where a target file's pages are
 *   pvmread_notifier.c an MMU notifier and its worker
 *   pvmread_symbols.c  functions that the kernel does not export
 */
#ifndef PVMREAD_H
#define PVMREAD_H

#include <linux/bits.h>
#include <linux/export.h>
#include <linux/kcsan-checks.h>
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/mm_types.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <linux/pvmread.h>

/* Page pointers of READV and WRITEV on the stack: PVM_MAX_PP_ARRAY_COUNT of the syscalls. */
#define PVMREAD_RW_STACK_PAGES	16UL
/* The most page pointers they allocate: PVM_MAX_USER_PAGES of the syscalls. */
#define PVMREAD_RW_MAX_PAGES	(2 * PAGE_SIZE / sizeof(struct page *))

/*
 * The most bytes that one move copies under one hold of the target's mmap_lock, and the
 * most pages that they span.
 */
#define PVMREAD_ENGINE_CHUNK	((size_t)SZ_64K)
#define PVMREAD_ENGINE_PAGES	(DIV_ROUND_UP(PVMREAD_ENGINE_CHUNK, PAGE_SIZE) + 1)

struct pvmread_cache;
struct pvmread_target;
struct pvmread_windows;
struct seq_file;

/* The most segments in one BATCH. */
#define PVMREAD_MAX_BATCH	65536

/* Up to this many bytes are cheapest to copy word by word. */
#define PVMREAD_SMALL		128

/**
 * struct pvmread_vectors - both sides of a READV or WRITEV, copied in and checked
 * @local: the caller's memory; advances as bytes are moved
 * @remote: the target's segments, in @remote_stack or allocated
 * @remote_count: number of elements of @remote
 * @local_alloc: what import_iovec() allocated for @local, or NULL
 * @local_stack: room for a few local segments
 * @remote_stack: room for a few remote segments
 *
 * pvmread_vectors_import() fills it in; pvmread_vectors_release() frees what is
 * allocated.
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
 * struct pvmread_engine - moves bytes between an mm and an iov_iter
 * @mm: the target's memory; the user of the engine has an mm_count reference
 * @write: moves to the target, not from it
 * @nowait: PVMREAD_NOWAIT
 * @resident: PVMREAD_RESIDENT
 * @locked: the engine holds mmap_lock and a reference to mm_users
 * @gup_flags: FOLL_WRITE, FOLL_NOFAULT
 * @stop_addr: the address in @mm at which the last move ended
 * @copied: bytes copied since mmap_lock was last taken
 * @cache: the target file's cache, or NULL; never with @write
 * @cache_missed: an address at which @cache had no page when it was last asked
 * @cache_seq: from pvmread_cache_begin()
 * @cache_fill: put the pages that GUP returns into @cache; decided when a hold begins
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
	struct pvmread_cache *cache;
	unsigned long cache_missed;
	unsigned long cache_seq;
	bool cache_fill;
	unsigned long first;
	unsigned long nr;
	struct page *pages[PVMREAD_ENGINE_PAGES];
};

extern bool pvmread_symbols_have_pidfd;

int pvmread_symbols_init(void);
struct task_struct *pvmread_symbols_get_task(pid_t nr, bool pidfd);
struct mm_struct *pvmread_symbols_get_mm(struct task_struct *task);

/* The argument of an ioctl. Each struct begins with a size and flags. */
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
 * @flags: the flags that the command knows
 * @run: runs the command and returns what the ioctl returns. @arg is a copy of the
 *	struct, @usize its size in user space, @uarg its address there
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
 * Copy the struct of an ioctl in and run the command. The size is read once: the caller
 * may change it at any time.
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
 * Convert a user pointer of the ABI, which has 64 bits. A 32-bit kernel must not drop the
 * upper half: that would be another address, which may be mapped.
 */
static inline int pvmread_user_ptr(u64 addr, void __user **ptr)
{
	if (overflows_type(addr, uintptr_t))
		return -EFAULT;
	*ptr = u64_to_user_ptr(addr);
	return 0;
}

/* How many pages @len bytes at @addr span. Callers limit @len: the sum cannot wrap. */
static inline unsigned long pvmread_count_pages(unsigned long addr, size_t len)
{
	return DIV_ROUND_UP(offset_in_page(addr) + len, PAGE_SIZE);
}

/* Does the engine hold the page at @addr? */
static inline bool pvmread_engine_has(const struct pvmread_engine *eng,
				      unsigned long addr)
{
	return addr - eng->first < eng->nr * PAGE_SIZE;
}

/*
 * Does the engine have to make way for a task that waits for mmap_lock? A @nowait engine
 * does not: taking the lock again may fail and cut the request short.
 */
static inline bool pvmread_engine_is_in_the_way(const struct pvmread_engine *eng)
{
	return mmap_lock_is_contended(eng->mm) && !eng->nowait;
}

static inline bool pvmread_engine_must_end(const struct pvmread_engine *eng)
{
	return eng->copied >= PVMREAD_ENGINE_CHUNK ||
	       pvmread_engine_is_in_the_way(eng);
}

/* The page at @addr, which the engine holds. Speculation must not read past @nr. */
static inline struct page **pvmread_engine_page(struct pvmread_engine *eng,
						unsigned long addr)
{
	unsigned long i = (addr - eng->first) >> PAGE_SHIFT;

	return &eng->pages[array_index_nospec(i, eng->nr)];
}

/* Set up an engine in uninitialised memory. It holds nothing. */
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
	eng->cache = NULL;
	eng->cache_missed = 0;
	eng->cache_fill = false;
	eng->first = 0;
	eng->nr = 0;
}

/*
 * The cache needs MMU notifiers, which report changes. On 32-bit kernels sequence numbers wrap
 * too soon, and high memory has no permanent kernel address. Aliasing CPU caches would need a
 * flush. On s390 only GUP makes a page of a protected guest accessible.
 */
#if IS_ENABLED(CONFIG_MMU_NOTIFIER) && IS_ENABLED(CONFIG_64BIT) && \
	!IS_ENABLED(CONFIG_ARCH_HAS_CPU_CACHE_ALIASING) && !IS_ENABLED(CONFIG_S390)
#define PVMREAD_HAVE_CACHE	1
#else
#define PVMREAD_HAVE_CACHE	0
#endif

/*
 * Must match Kbuild. On x86-64 and arm64 a special PTE keeps fast GUP out of a window. User
 * mode Linux has neither special PTEs nor fast GUP. On arm64 CONFIG_DEBUG_VM makes set_pte_at()
 * call a function that is not exported.
 */
#if PVMREAD_HAVE_CACHE && (IS_ENABLED(CONFIG_X86_64) || \
			   (IS_ENABLED(CONFIG_ARM64) && !IS_ENABLED(CONFIG_DEBUG_VM)))
#define PVMREAD_HAVE_WINDOW	1
#else
#define PVMREAD_HAVE_WINDOW	0
#endif

#ifdef CONFIG_MMU_NOTIFIER
/**
 * struct pvmread_notifier - an MMU interval notifier; a worker renews its sequence number
 * @sub: the interval notifier
 * @mm: the memory that it watches, with an mm_count reference
 * @start: the first address of its range
 * @last: the last one
 * @ops: its callback
 * @free: frees the object that this is part of
 * @lock: protects @busy, @closed, @runs and @wanted
 * @inserted: @sub receives invalidations; once set, it stays set
 * @busy: @work is queued or runs, so it must not be queued again: it may free the object
 * @closed: set by pvmread_notifier_close(); @work frees the object
 * @runs: number of times that @work has run
 * @wanted: the highest value of @runs that a task waits for
 * @seq: what mmu_interval_read_begin() last returned
 * @work: gets a new @seq, or frees the object
 * @wait: woken when @work has run
 */
struct pvmread_notifier {
	struct mmu_interval_notifier sub;
	struct mm_struct *mm;
	unsigned long start;
	unsigned long last;
	const struct mmu_interval_notifier_ops *ops;
	void (*free)(struct pvmread_notifier *notifier);
	spinlock_t lock;	/* see above */
	bool inserted;
	bool busy;
	bool closed;
	unsigned long runs;
	unsigned long wanted;
	unsigned long seq;
	struct work_struct work;
	wait_queue_head_t wait;
};

void pvmread_notifier_init(struct pvmread_notifier *notifier, struct mm_struct *mm,
			   unsigned long start, unsigned long last,
			   const struct mmu_interval_notifier_ops *ops,
			   void (*free)(struct pvmread_notifier *notifier));
int pvmread_notifier_insert_locked(struct pvmread_notifier *notifier);
int pvmread_notifier_insert(struct pvmread_notifier *notifier);
void pvmread_notifier_renew(struct pvmread_notifier *notifier);
int pvmread_notifier_wait(struct pvmread_notifier *notifier);
void pvmread_notifier_close(struct pvmread_notifier *notifier);

/*
 * Get the sequence number to check. GUP must not read the page table before this call.
 * Return: false if the number is out of date.
 */
static inline bool pvmread_notifier_begin(struct pvmread_notifier *notifier,
					  unsigned long *seq)
{
	/* Pairs with smp_store_release() in pvmread_notifier_work(). */
	*seq = smp_load_acquire(&notifier->seq);
	return likely(!mmu_interval_check_retry(&notifier->sub, *seq));
}
#endif

/* Without PVMREAD_HAVE_CACHE the calls are compiled out: no target file has a cache. */
int pvmread_notifier_start(void);
void pvmread_notifier_stop(void);
struct pvmread_cache *pvmread_cache_create(struct mm_struct *mm, unsigned long start,
					   unsigned long last);
void pvmread_cache_destroy(struct pvmread_cache *cache);
size_t pvmread_cache_read(struct pvmread_cache *cache, unsigned long addr, size_t len,
			  struct iov_iter *to, bool whole, bool *missed);
ssize_t pvmread_cache_read_iter(struct kiocb *iocb, struct iov_iter *to);
size_t pvmread_cache_peek(struct pvmread_cache *cache, unsigned long addr, size_t len,
			  void *buf);
unsigned int pvmread_cache_read_segments(const struct pvmread_target *target,
					 struct pvmread_segment *segs, unsigned int n,
					 u64 *moved, bool *missed);
bool pvmread_cache_begin(struct pvmread_cache *cache, unsigned long *seq);
void pvmread_cache_fill(struct pvmread_cache *cache, unsigned long seq,
			unsigned long addr, struct page **pages, unsigned long nr);
void pvmread_cache_show_fdinfo(struct pvmread_cache *cache, struct seq_file *m);

/* Without PVMREAD_HAVE_WINDOW these calls are compiled out: no target file allows windows. */
void pvmread_window_exit(void);
struct pvmread_windows *pvmread_windows_create(struct mm_struct *mm, unsigned long start,
					       unsigned long last);
void pvmread_windows_destroy(struct pvmread_windows *windows);
void pvmread_windows_show_fdinfo(struct pvmread_windows *windows, struct seq_file *m);
int pvmread_window_mmap(struct file *file, struct vm_area_struct *vma);

/* The cache of a request, or NULL. */
static inline struct pvmread_cache *
pvmread_engine_cache(const struct pvmread_engine *eng)
{
	return PVMREAD_HAVE_CACHE ? eng->cache : NULL;
}

/*
 * Copy @len bytes, few but at least 1, to @buf with page faults disabled. Return: false if
 * that needs a fault; a part may have been copied.
 */
static __always_inline bool pvmread_copy_small(void __user *buf, const void *mem,
					       size_t len)
{
	bool copied = false;

	/* KCSAN must ignore data races in the target's memory. */
	kcsan_disable_current();
	if (user_write_access_begin(buf, len)) {
		unsafe_copy_to_user(buf, mem, len, end);
		copied = true;
end:
		user_write_access_end();
	}
	kcsan_enable_current();
	return copied;
}

int pvmread_engine_gup_error(long got);
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
 * @mm: the target's mm, with an mm_count reference, which does not keep its memory
 * @pid: the process; NULL if it was being reaped at ATTACH
 * @start: the first address in the attached range
 * @last: the last address in it
 * @cache: its cache if it was attached with PVMREAD_CACHE, or NULL
 * @windows: its windows if attached with PVMREAD_WINDOW, or NULL
 * @write: the target can also be written
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
	struct pvmread_cache *cache;
	struct pvmread_windows *windows;
	bool write;
	bool nowait;
	bool resident;
	atomic64_t bytes_read;
	atomic64_t bytes_written;
	atomic64_t faults;
};

/* How many of @len bytes at @addr are in the attached range. */
static inline size_t pvmread_target_reach(const struct pvmread_target *target,
					  u64 addr, size_t len)
{
	if (!len || addr < target->start || addr > target->last)
		return 0;
	/* Compare the lengths minus one: that of the whole address space overflows. */
	return min_t(u64, len - 1, target->last - addr) + 1;
}

/* Count what was moved, for fdinfo. */
static inline void pvmread_target_account(struct pvmread_target *target,
					  bool write, u64 moved)
{
	atomic64_add(moved, write ? &target->bytes_written : &target->bytes_read);
}

/* Does the target's memory still exist? The engine notices if the target exits later. */
static inline bool pvmread_target_alive(const struct pvmread_target *target)
{
	return atomic_read(&target->mm->mm_users);
}

struct file *pvmread_target_file(const struct pvmread_attach *attach,
				 unsigned long last);
ssize_t pvmread_target_read(struct kiocb *iocb, struct iov_iter *to,
			    struct pvmread_cache *cache, size_t done, bool missed);
long pvmread_batch(struct file *file, union pvmread_arg *arg, size_t usize,
		   void __user *uarg);

/*
 * Only a build for the KUnit suite exports functions, whatever the kernel's CONFIG_KUNIT
 * is: they look up symbols and move memory, and check no permission.
 */
#ifdef PVMREAD_KUNIT
#include <kunit/static_stub.h>

#define PVMREAD_TESTED
#define EXPORT_SYMBOL_TO_SUITE EXPORT_SYMBOL_GPL
/* Lets the suite replace @fn. The macro must be used inside @fn. */
#define PVMREAD_REDIRECT(fn, ...) KUNIT_STATIC_STUB_REDIRECT(fn, ##__VA_ARGS__)

unsigned long pvmread_symbols_find(const char *name, const void *neighbour);

ssize_t pvmread_vectors_import(struct pvmread_vectors *vec, bool write,
			       const struct pvmread_rw *rw);
void pvmread_vectors_release(struct pvmread_vectors *vec);
unsigned long pvmread_vectors_pages(const struct pvmread_vectors *vec);
ssize_t pvmread_rw(struct pvmread_rw *rw, bool write);
size_t pvmread_batch_ahead(const struct pvmread_target *target,
			   const struct pvmread_segment *segs, unsigned int n);
struct pvmread_cache_entry *pvmread_cache_alloc_table(unsigned long nr);
#else
#define PVMREAD_TESTED static
#define EXPORT_SYMBOL_TO_SUITE(...)
#define PVMREAD_REDIRECT(...)
#endif

#endif /* PVMREAD_H */
