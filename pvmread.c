// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvmread: read and write the memory of another process through a device.
 *
 * The ABI is in uapi/linux/pvmread.h, a drawing of the way that a request
 * takes in doc/architecture.md. The file is to be read top to bottom, data
 * runs one way through it, and no function reaches back up:
 *
 *   symbols   what the kernel does not export
 *   target    a pid to an mm, and the permission to touch it
 *   vectors   the two iovec arrays, copied in and checked
 *   engine    pin, copy, unpin; knows an mm and an iov_iter, no ioctl
 *   device    the ioctls
 *   init/exit
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compat.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/overflow.h>
#include <linux/pid.h>
#include <linux/ptrace.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/static_call.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include <linux/pvmread.h>

#include "pvmread.h"

static bool readonly;
module_param(readonly, bool, 0444);
MODULE_PARM_DESC(readonly, "Refuse all that would write to another process (EROFS)");

/* --- symbols ------------------------------------------------------------- */

/*
 * mm_access() is the one correct check of who may touch whose memory, and no
 * kernel exports it. The call is a static call, so that on x86 it becomes a
 * direct one: where IBT is on, a function whose address nobody takes has no
 * ENDBR, and an indirect call to it would fault.
 */
DEFINE_STATIC_CALL_NULL(pvmread_mm_access, mm_access);

/* What kallsyms says of a function must be what a pointer to it holds. */
#if defined(CONFIG_THUMB2_KERNEL) || defined(CONFIG_HAVE_FUNCTION_DESCRIPTORS)
#error "pvmread cannot call a function by its symbol's address on this architecture"
#endif

/*
 * How far from mmput() a symbol is looked for, in symbols each way. mm_access()
 * shares a source file with it: 5 symbols on UML, some 40 on Debian's kernel. A
 * linker that orders functions can put them far apart, but all of a kernel's
 * text has not as many.
 */
#define PVMREAD_MAX_HOPS	250000

/* Room for what sprint_symbol() writes, too much for the stack. */
struct pvmread_symbol {
	unsigned long start;
	unsigned long end;
	char name[KSYM_SYMBOL_LEN];
};

/* The symbol that @addr lies in; false if it is in no symbol, or a module's. */
static bool pvmread_symbol_at(struct pvmread_symbol *sym, unsigned long addr)
{
	unsigned long offset, size;
	char *plus;
	int end = 0;

	/* "name+0x12/0x34", and " [module]" for what is not the core kernel's */
	sprint_symbol(sym->name, addr);
	plus = strrchr(sym->name, '+');
	if (!plus ||
	    sscanf(plus, "+0x%lx/0x%lx%n", &offset, &size, &end) != 2 ||
	    plus[end] || offset >= size)
		return false;
	*plus = '\0';
	sym->start = addr - offset;
	sym->end = sym->start + size;
	return true;
}

/* From @addr on, up or down, until a symbol has this name. 0 if none does. */
static unsigned long pvmread_walk(struct pvmread_symbol *sym,
				  unsigned long addr, const char *name, bool up)
{
	unsigned int hops;

	for (hops = 0; hops < PVMREAD_MAX_HOPS; hops++) {
		if (!pvmread_symbol_at(sym, addr))
			return 0;
		if (!strcmp(sym->name, name))
			return sym->start;
		addr = up ? sym->end : sym->start - 1;
		cond_resched();
	}
	return 0;
}

/**
 * pvmread_find_symbol() - the address of a function of the core kernel
 * @name: its name, all of it
 *
 * Walks from symbol to symbol, up and then down from the exported mmput(). It
 * needs neither kprobes nor an exported kallsyms_lookup_name(), only kallsyms.
 *
 * Return: the address, or 0 if there is no such symbol around mmput() or the
 * kernel has no symbols.
 */
PVMREAD_TESTED unsigned long pvmread_find_symbol(const char *name)
{
	unsigned long from = (unsigned long)mmput, found;
	struct pvmread_symbol *sym;

	sym = kmalloc(sizeof(*sym), GFP_KERNEL);
	if (!sym)
		return 0;
	found = pvmread_walk(sym, from, name, true) ?:
		pvmread_walk(sym, from, name, false);
	kfree(sym);
	return found;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_find_symbol);

/* --- target -------------------------------------------------------------- */

/**
 * pvmread_target_mm() - the memory of a process, if the caller may touch it
 * @nr: its pid, or the id of one of its threads, in the caller's pid namespace
 *
 * Return: the mm with a reference to its users, which mmput() gives back and
 * which may turn out the last one; or an ERR_PTR: -ESRCH if there is no such
 * process or it has no memory, -EPERM if the caller may not, -EINTR if it was
 * killed while it waited for the target's execve().
 */
static struct mm_struct *pvmread_target_mm(pid_t nr)
{
	struct task_struct *task;
	struct mm_struct *mm;

	rcu_read_lock();
	task = get_pid_task(find_vpid(nr), PIDTYPE_PID);
	rcu_read_unlock();
	if (!task)
		return ERR_PTR(-ESRCH);

	mm = static_call(pvmread_mm_access)(task,
					    PTRACE_MODE_ATTACH_REALCREDS);
	put_task_struct(task);

	/* Up to 6.13 a task without memory is NULL, from then on -ESRCH. */
	if (!mm)
		return ERR_PTR(-ESRCH);
	/* The errno that process_vm_readv(2) documents. */
	if (mm == ERR_PTR(-EACCES))
		return ERR_PTR(-EPERM);
	return mm;
}

/* --- vectors ------------------------------------------------------------- */

/*
 * A user pointer travels as 64 bits. On a 32-bit kernel the upper half must not
 * just be dropped: that would be another address, and maybe a mapped one.
 */
static int pvmread_user_ptr(u64 addr, void __user **ptr)
{
	if (overflows_type(addr, uintptr_t))
		return -EFAULT;
	*ptr = u64_to_user_ptr(addr);
	return 0;
}

/*
 * The kernel's iovec_from_user() is not exported, and import_iovec() is not it:
 * it would refuse a remote address outside of user space too early, and cut the
 * lengths. What an element says is judged in the order of the array, so that a
 * negative length before an unreadable element is EINVAL and not EFAULT.
 */
static int pvmread_copy_iovecs(struct iovec *iov, const void __user *uvec,
			       unsigned long count)
{
	const struct compat_iovec __user *ucompat = uvec;
	const struct iovec __user *unative = uvec;
	unsigned long i;
	bool whole;

	if (in_compat_syscall()) {
		if (!access_ok(ucompat, count * sizeof(*ucompat)))
			return -EFAULT;
		for (i = 0; i < count; i++) {
			struct compat_iovec elem;

			if (copy_from_user(&elem, &ucompat[i], sizeof(elem)))
				return -EFAULT;
			if ((compat_ssize_t)elem.iov_len < 0)
				return -EINVAL;
			iov[i].iov_base = compat_ptr(elem.iov_base);
			iov[i].iov_len = elem.iov_len;
		}
		return 0;
	}

	if (!access_ok(unative, count * sizeof(*unative)))
		return -EFAULT;
	/*
	 * All at once if possible. If not, one by one: how much of the whole
	 * was copied is exact on some architectures only.
	 */
	whole = !copy_from_user(iov, unative, count * sizeof(*iov));
	for (i = 0; i < count; i++) {
		if (!whole &&
		    copy_from_user(&iov[i], &unative[i], sizeof(iov[i])))
			return -EFAULT;
		if ((ssize_t)iov[i].iov_len < 0)
			return -EINVAL;
	}
	return 0;
}

/* The remote side of pvmread_vectors_import(); on failure nothing is held. */
static int pvmread_import_remote(struct pvmread_vectors *vec, u64 addr,
				 u64 count)
{
	void __user *uvec;
	int ret;

	vec->remote = vec->remote_stack;
	vec->remote_count = 0;
	if (!count)
		return 0;
	if (count > UIO_MAXIOV)
		return -EINVAL;

	if (count > ARRAY_SIZE(vec->remote_stack)) {
		vec->remote = kmalloc_array(count, sizeof(*vec->remote),
					    GFP_KERNEL);
		if (!vec->remote)
			return -ENOMEM;
	}

	ret = pvmread_user_ptr(addr, &uvec);
	if (!ret)
		ret = pvmread_copy_iovecs(vec->remote, uvec, count);
	if (ret) {
		if (vec->remote != vec->remote_stack)
			kfree(vec->remote);
		return ret;
	}
	vec->remote_count = count;
	return 0;
}

/**
 * pvmread_vectors_release() - give back what pvmread_vectors_import() took
 * @vec: what it filled
 */
PVMREAD_TESTED void pvmread_vectors_release(struct pvmread_vectors *vec)
{
	if (vec->remote != vec->remote_stack)
		kfree(vec->remote);
	kfree(vec->local_alloc);
}
EXPORT_SYMBOL_TO_SUITE(pvmread_vectors_release);

/**
 * pvmread_vectors_import() - copy both iovec arrays in and check them
 * @vec: what is filled; on success pvmread_vectors_release() is due
 * @write: true if the local side is the source
 * @local: user address of the local array
 * @local_count: its length, any value
 * @remote: user address of the remote array, read only if @local is not empty
 * @remote_count: its length, any value
 *
 * Both arrays are of the caller's own struct iovec, native or compat. The
 * checks and their order are those of process_vm_readv(2), but that
 * @local_count is looked at before it is narrowed to 32 bits.
 *
 * Return: the bytes that the local side has room for or offers, 0 to
 * MAX_RW_COUNT; or -EINVAL, -EFAULT, -ENOMEM, and nothing is held.
 */
PVMREAD_TESTED ssize_t
pvmread_vectors_import(struct pvmread_vectors *vec, bool write,
		       u64 local, u64 local_count,
		       u64 remote, u64 remote_count)
{
	struct iovec *alloc = vec->local_stack;
	void __user *uvec;
	ssize_t total;
	int ret;

	if (local_count > UIO_MAXIOV)
		return -EINVAL;
	/* As the syscall: the address of an empty array is not looked at. */
	if (!local_count)
		uvec = NULL;
	else if (pvmread_user_ptr(local, &uvec))
		return -EFAULT;

	total = import_iovec(write ? ITER_SOURCE : ITER_DEST, uvec,
			     local_count, ARRAY_SIZE(vec->local_stack), &alloc,
			     &vec->local);
	if (total < 0)
		return total;
	/* NULL if the stack had room or one segment became an ITER_UBUF. */
	vec->local_alloc = alloc;

	/* Nor is a remote array looked at that nothing can be read into. */
	ret = pvmread_import_remote(vec, remote, total ? remote_count : 0);
	if (ret) {
		kfree(vec->local_alloc);
		return ret;
	}
	return total;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_vectors_import);

/* --- engine -------------------------------------------------------------- */

/* How many pages @len bytes at @addr lie in; the sum cannot wrap. */
static unsigned long pvmread_count_pages(unsigned long addr, size_t len)
{
	return DIV_ROUND_UP(offset_in_page(addr) + len, PAGE_SIZE);
}

/**
 * pvmread_engine_init() - make an engine ready for a request
 * @eng: the engine; on success pvmread_engine_release() is due
 * @vec: what it is to move
 * @write: true to write to the target
 *
 * The page pointers are allocated here and not for each segment, and only if
 * some segment needs more of them than the stack has.
 *
 * Return: 1; 0 if the remote side is empty, and nothing is held; -ENOMEM.
 */
PVMREAD_TESTED int pvmread_engine_init(struct pvmread_engine *eng,
				       const struct pvmread_vectors *vec,
				       bool write)
{
	size_t room = iov_iter_count(&vec->local);
	unsigned long i, most = 0;

	for (i = 0; i < vec->remote_count; i++) {
		const struct iovec *seg = &vec->remote[i];

		if (!seg->iov_len)
			continue;
		/* No more than the local side can take is ever pinned. */
		most = max(most, pvmread_count_pages((unsigned long)seg->iov_base,
						     min(seg->iov_len, room)));
	}
	if (!most)
		return 0;

	eng->gup_flags = write ? FOLL_WRITE : 0;
	eng->stop_addr = 0;
	eng->pages = eng->stack;
	eng->max_pages = ARRAY_SIZE(eng->stack);
	if (most > eng->max_pages) {
		eng->max_pages = min(most, PVMREAD_MAX_PIN);
		eng->pages = kmalloc_array(eng->max_pages, sizeof(*eng->pages),
					   GFP_KERNEL);
		if (!eng->pages)
			return -ENOMEM;
	}
	return 1;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_engine_init);

/**
 * pvmread_engine_release() - give back what pvmread_engine_init() took
 * @eng: the engine
 */
PVMREAD_TESTED void pvmread_engine_release(struct pvmread_engine *eng)
{
	if (eng->pages != eng->stack)
		kfree(eng->pages);
}
EXPORT_SYMBOL_TO_SUITE(pvmread_engine_release);

/*
 * Pin pages of the target from @start on. mmap_lock is held here alone, and
 * killably: its holder may be waiting for a page that never comes.
 *
 * Return: how many, 1 to @nr; -EINTR if the caller is being killed, -ENOMEM if
 * there was no memory to bring the first page in, -EIO if it cannot be had for
 * any other reason.
 */
static long pvmread_pin(struct pvmread_engine *eng, unsigned long start,
			unsigned long nr)
{
	int locked = 1;
	long pinned;

	if (fatal_signal_pending(current) || mmap_read_lock_killable(eng->mm))
		return -EINTR;
	pinned = pin_user_pages_remote(eng->mm, start, nr, eng->gup_flags,
				       eng->pages, &locked);
	if (locked)
		mmap_read_unlock(eng->mm);

	if (pinned > 0)
		return pinned;
	if (fatal_signal_pending(current))
		return -EINTR;
	return pinned == -ENOMEM ? -ENOMEM : -EIO;
}

/*
 * Copy @len bytes, of which the first is at @offset in the first page, between
 * pinned pages and the local side, which has at least as many left. Local
 * faults are taken here, and no lock is held.
 *
 * Return: 0, or -EFAULT if the local side faulted.
 */
static int pvmread_copy(const struct pvmread_engine *eng, size_t offset,
			size_t len, struct iov_iter *local)
{
	struct page **page = eng->pages;

	while (len) {
		size_t part = min_t(size_t, len, PAGE_SIZE - offset);
		size_t copied;

		if (eng->gup_flags & FOLL_WRITE)
			copied = copy_page_from_iter(*page, offset, part,
						     local);
		else
			copied = copy_page_to_iter(*page, offset, part, local);
		if (copied < part)
			return -EFAULT;
		len -= part;
		offset = 0;
		page++;
	}
	return 0;
}

/*
 * Move one remote segment, in batches of pages. stop_addr is kept up for the
 * caller. Return: 0 if the segment or the local side is used up, or the errno
 * of what ended it before.
 */
static int pvmread_engine_segment(struct pvmread_engine *eng,
				  unsigned long addr, size_t len,
				  struct iov_iter *local)
{
	int ret = 0;

	eng->stop_addr = addr;
	len = min(len, iov_iter_count(local));
	while (len && !ret) {
		size_t before = iov_iter_count(local);
		size_t offset = offset_in_page(addr);
		size_t batch, moved;
		long nr;

		nr = pvmread_pin(eng, addr - offset,
				 min(pvmread_count_pages(addr, len),
				     eng->max_pages));
		if (nr < 0)
			return nr;

		batch = min_t(size_t, len, nr * PAGE_SIZE - offset);
		ret = pvmread_copy(eng, offset, batch, local);
		/* Dirty even after a fault: a part may have been written. */
		unpin_user_pages_dirty_lock(eng->pages, nr,
					    eng->gup_flags & FOLL_WRITE);

		moved = before - iov_iter_count(local);
		addr += moved;
		len -= moved;
		eng->stop_addr = addr;
	}
	return ret;
}

/**
 * pvmread_engine_run() - move what two vectors describe
 * @eng: an engine that pvmread_engine_init() made ready for @vec
 * @mm: the target's memory; the caller holds a reference to its users
 * @vec: the two sides; the local one is left advanced by what was moved
 *
 * May sleep, and for as long as the page faults of either side take; a fatal
 * signal ends that where the fault's handler allows it. Nothing is pinned on
 * return.
 *
 * Return: 0 if one of the sides was used up, or the reason why it stopped
 * before: -EIO for the remote side, -EFAULT for the local one, -ENOMEM,
 * -EINTR. In any case eng->stop_addr is where.
 */
PVMREAD_TESTED int pvmread_engine_run(struct pvmread_engine *eng,
				      struct mm_struct *mm,
				      struct pvmread_vectors *vec)
{
	unsigned long i;
	int ret = 0;

	eng->mm = mm;
	for (i = 0; i < vec->remote_count && !ret; i++) {
		const struct iovec *seg = &vec->remote[i];

		if (!iov_iter_count(&vec->local))
			break;
		if (!seg->iov_len)
			continue;
		ret = pvmread_engine_segment(eng, (unsigned long)seg->iov_base,
					     seg->iov_len, &vec->local);
	}
	return ret;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_engine_run);

/* --- device -------------------------------------------------------------- */

/*
 * Copy a request struct in. Its size is read first and once; what the struct
 * itself says of it later is not looked at, for the caller can change it.
 *
 * Return: that size, or -EINVAL, -E2BIG, -EFAULT.
 */
static long pvmread_get_arg(void *arg, size_t size, size_t min_size,
			    void __user *uarg)
{
	u32 usize;
	int ret;

	if (get_user(usize, (u32 __user *)uarg))
		return -EFAULT;
	if (usize < min_size)
		return -EINVAL;
	if (usize > PAGE_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(arg, size, uarg, usize);
	if (ret)
		return ret;
	return usize;
}

static long pvmread_ioctl_info(void __user *uarg)
{
	struct pvmread_info info;
	long usize;

	usize = pvmread_get_arg(&info, sizeof(info),
				offsetofend(struct pvmread_info, __reserved),
				uarg);
	if (usize < 0)
		return usize;
	if (info.__reserved)
		return -EINVAL;

	info = (struct pvmread_info) {
		.size = usize,
		.version = PVMREAD_ABI_VERSION,
		.max_segments = UIO_MAXIOV,
		.features = PVMREAD_FEATURE_READV | PVMREAD_FEATURE_WRITEV |
			    (readonly ? PVMREAD_FEATURE_READONLY : 0),
		.max_bytes = MAX_RW_COUNT,
	};
	if (copy_to_user(uarg, &info, min_t(size_t, usize, sizeof(info))))
		return -EFAULT;
	return 0;
}

/* Write the out fields of @rw to the caller's struct, which has @usize bytes. */
static int pvmread_put_rw(struct pvmread_rw __user *urw,
			  const struct pvmread_rw *rw, size_t usize)
{
	size_t tail = min(usize, offsetofend(struct pvmread_rw, stop_addr)) -
		      offsetof(struct pvmread_rw, transferred);

	if (put_user(rw->error, &urw->error) ||
	    copy_to_user(&urw->transferred, &rw->transferred, tail))
		return -EFAULT;
	return 0;
}

/*
 * READV and WRITEV behind the struct. The order of the steps is that of
 * process_vm_readv(2), and each decides which errno a request has that is
 * wrong twice.
 *
 * Return: bytes moved, with the reason of a short transfer in rw->error, or
 * the errno of one that moved none.
 */
static ssize_t pvmread_rw(struct pvmread_rw *rw, bool write)
{
	struct pvmread_vectors vec;
	struct pvmread_engine eng;
	struct mm_struct *mm;
	ssize_t total, moved;
	int ret;

	total = pvmread_vectors_import(&vec, write, rw->local, rw->local_count,
				       rw->remote, rw->remote_count);
	if (total < 0)
		return total;

	ret = pvmread_engine_init(&eng, &vec, write);
	if (ret <= 0)
		goto release_vectors;

	mm = pvmread_target_mm(rw->pid);
	if (IS_ERR(mm)) {
		ret = PTR_ERR(mm);
		goto release_engine;
	}

	ret = pvmread_engine_run(&eng, mm, &vec);
	mmput(mm);

	rw->stop_addr = eng.stop_addr;
	rw->error = -ret;
	moved = total - iov_iter_count(&vec.local);
	if (moved)
		ret = moved;
	else if (ret != -EINTR)
		ret = ret ? -EFAULT : 0;

release_engine:
	pvmread_engine_release(&eng);
release_vectors:
	pvmread_vectors_release(&vec);
	return ret;
}

static long pvmread_ioctl_rw(struct file *file, struct pvmread_rw __user *urw,
			     bool write)
{
	struct pvmread_rw rw;
	ssize_t moved;
	long usize;

	usize = pvmread_get_arg(&rw, sizeof(rw),
				offsetofend(struct pvmread_rw, transferred),
				urw);
	if (usize < 0)
		return usize;
	if (rw.flags)
		return -EINVAL;

	/* A struct that cannot be answered must fail before bytes move. */
	rw.error = 0;
	rw.transferred = 0;
	rw.stop_addr = 0;
	if (pvmread_put_rw(urw, &rw, usize))
		return -EFAULT;

	/* As for read(2) and write(2): a node may be readable to a group alone. */
	if (!(file->f_mode & (write ? FMODE_WRITE : FMODE_READ)))
		moved = -EBADF;
	else if (write && readonly)
		moved = -EROFS;
	else
		moved = pvmread_rw(&rw, write);

	if (moved > 0)
		rw.transferred = moved;
	else if (!rw.error)
		rw.error = -moved;
	if (pvmread_put_rw(urw, &rw, usize))
		return -EFAULT;
	return min_t(ssize_t, moved, 0);
}

static long pvmread_ioctl(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	void __user *uarg = (void __user *)arg;

	switch (cmd) {
	case PVMREAD_IOC_INFO:
		return pvmread_ioctl_info(uarg);
	case PVMREAD_IOC_READV:
		return pvmread_ioctl_rw(file, uarg, false);
	case PVMREAD_IOC_WRITEV:
		return pvmread_ioctl_rw(file, uarg, true);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations pvmread_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= pvmread_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};

static struct miscdevice pvmread_miscdev = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= KBUILD_MODNAME,
	.fops	= &pvmread_fops,
	.mode	= 0600,
};

/* --- init and exit ------------------------------------------------------- */

static int __init pvmread_init(void)
{
	unsigned long addr = pvmread_find_symbol("mm_access");

	if (!addr) {
		pr_err("mm_access not found among the kernel's symbols, refusing to load: CONFIG_KALLSYMS is needed\n");
		return -ENOENT;
	}
	static_call_update(pvmread_mm_access, (void *)addr);
	return misc_register(&pvmread_miscdev);
}
module_init(pvmread_init);

static void __exit pvmread_exit(void)
{
	misc_deregister(&pvmread_miscdev);
}
module_exit(pvmread_exit);

MODULE_DESCRIPTION("Read and write the memory of another process through a device");
MODULE_AUTHOR("The pvmread developers");
MODULE_LICENSE("GPL");
