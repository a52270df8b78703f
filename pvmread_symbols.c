// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel does not export: mm_access() and pidfd_get_task(), found
 * among its symbols, and a pid or pidfd to a task and its mm by them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/pid.h>
#include <linux/printk.h>
#include <linux/ptrace.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/static_call.h>
#include <linux/string.h>

#include <linux/pvmread.h>

#include "pvmread.h"

/*
 * mm_access() is the one correct check of who may touch whose memory, and no
 * kernel exports it. The call is a static call, so that on x86 it becomes a
 * direct one: where IBT is on, a function whose address nobody takes has no
 * ENDBR, and an indirect call to it would fault.
 */
DEFINE_STATIC_CALL_NULL(pvmread_mm_access, mm_access);

/* Called only if pvmread_has_pidfd: the module does without it. */
DEFINE_STATIC_CALL_NULL(pvmread_pidfd_get_task, pidfd_get_task);
bool pvmread_has_pidfd __ro_after_init;

/* What kallsyms says of a function must be what a pointer to it holds. */
#if defined(CONFIG_THUMB2_KERNEL) || defined(CONFIG_HAVE_FUNCTION_DESCRIPTORS)
#error "pvmread cannot call a function by its symbol's address on this architecture"
#endif

/*
 * How far from its neighbour a symbol is looked for, in symbols. The
 * two share a source file: mm_access() is 5 symbols from mmput() on UML, some 40
 * on Debian's kernel. A linker that orders functions can put them far apart,
 * but all of a kernel's text has not as many.
 */
#define PVMREAD_MAX_HOPS	500000

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

/**
 * pvmread_find_symbol() - the address of a function of the core kernel
 * @name: its name, all of it
 * @neighbour: an exported function, of the same source file if possible
 *
 * Walks from symbol to symbol, up and down in turns. It needs neither kprobes
 * nor an exported kallsyms_lookup_name(), only kallsyms. One call at a time, which
 * a module's init is.
 *
 * Return: the address, or 0 if there is no such symbol around @neighbour or the
 * kernel has no symbols.
 */
PVMREAD_TESTED unsigned long pvmread_find_symbol(const char *name,
						 const void *neighbour)
{
	unsigned long up = (unsigned long)neighbour, down = up;
	static struct pvmread_symbol sym;
	unsigned int hops;

	/* Where the text ends, that direction ends; 0 is no address of text. */
	for (hops = 0; hops < PVMREAD_MAX_HOPS && (up || down); hops++) {
		unsigned long *from = up && (!down || hops % 2) ? &up : &down;

		if (!pvmread_symbol_at(&sym, *from)) {
			*from = 0;
			continue;
		}
		if (!strcmp(sym.name, name))
			return sym.start;
		*from = from == &up ? sym.end : sym.start - 1;
		cond_resched();
	}
	return 0;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_find_symbol);


/**
 * pvmread_target_task() - the process that a request names
 * @nr: its pid, or the id of one of its threads, in the caller's pid namespace;
 *	with PVMREAD_PIDFD a pidfd
 * @flags: PVMREAD_PIDFD or not, others are not looked at
 *
 * Return: the task, with a reference for put_task_struct(); or an ERR_PTR:
 * -ESRCH if there is no such process, -EBADF if @nr is no pidfd, -EOPNOTSUPP if
 * this kernel's pidfds are out of reach.
 */
struct task_struct *pvmread_target_task(pid_t nr, u32 flags)
{
	struct task_struct *task;
	unsigned int pidfd_flags;

	if (flags & PVMREAD_PIDFD) {
		if (!pvmread_has_pidfd)
			return ERR_PTR(-EOPNOTSUPP);
		return static_call(pvmread_pidfd_get_task)(nr, &pidfd_flags);
	}

	rcu_read_lock();
	task = get_pid_task(find_vpid(nr), PIDTYPE_PID);
	rcu_read_unlock();
	return task ?: ERR_PTR(-ESRCH);
}

/**
 * pvmread_target_mm() - the memory of a process, if the caller may touch it
 * @task: the process, or one of its threads
 *
 * Return: the mm with a reference to its users, for pvmread_target_put(); or an
 * ERR_PTR: -ESRCH if the process has no memory, -EPERM if the caller may not,
 * -EINTR if it was killed while it waited for the target's execve().
 */
struct mm_struct *pvmread_target_mm(struct task_struct *task)
{
	struct mm_struct *mm;

	PVMREAD_REDIRECT(pvmread_target_mm, task);
	mm = static_call(pvmread_mm_access)(task,
					    PTRACE_MODE_ATTACH_REALCREDS);
	/* Up to 6.13 a task without memory is NULL, from then on -ESRCH. */
	if (!mm)
		return ERR_PTR(-ESRCH);
	/* The errno that process_vm_readv(2) documents. */
	if (mm == ERR_PTR(-EACCES))
		return ERR_PTR(-EPERM);
	return mm;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_target_mm);

/**
 * pvmread_symbols_init() - find them, at the module's init
 *
 * Return: 0, or -ENOENT if the kernel has no mm_access() among its symbols.
 */
int __init pvmread_symbols_init(void)
{
	unsigned long addr = pvmread_find_symbol("mm_access", mmput);

	if (!addr) {
		pr_err("mm_access not found among the kernel's symbols, refusing to load: CONFIG_KALLSYMS is needed\n");
		return -ENOENT;
	}
	static_call_update(pvmread_mm_access, (void *)addr);

	addr = pvmread_find_symbol("pidfd_get_task", find_vpid);
	if (addr) {
		static_call_update(pvmread_pidfd_get_task, (void *)addr);
		pvmread_has_pidfd = true;
	} else {
		pr_info("pidfd_get_task not found among the kernel's symbols: no pidfds\n");
	}
	return 0;
}
