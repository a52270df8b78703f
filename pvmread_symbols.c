// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finds functions that the kernel does not export, and calls them: to look up a task by
 * its pid or pidfd, and to get the mm of a task if the caller has permission.
 *
 * The functions are found among the kernel's symbols when the module is loaded, and
 * never change afterwards. No object lives here, and no lock is taken.
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
 * Only mm_access() makes this permission check, and no kernel exports it. A static
 * call becomes a direct call on x86. An indirect call would fault where IBT is on,
 * because a function whose address the kernel never takes has no ENDBR.
 */
DEFINE_STATIC_CALL_NULL(pvmread_mm_access, mm_access);

/* Optional: called only if pvmread_symbols_have_pidfd is set. */
DEFINE_STATIC_CALL_NULL(pvmread_pidfd_get_task, pidfd_get_task);
bool pvmread_symbols_have_pidfd __ro_after_init;

/* A pointer to a function must hold the address that kallsyms has for it. */
#if defined(CONFIG_THUMB2_KERNEL) || defined(CONFIG_HAVE_FUNCTION_DESCRIPTORS)
#error "pvmread cannot call a function by its symbol's address on this architecture"
#endif

/*
 * The most symbols that the search visits: more than a kernel's text has. Functions of
 * one source file are usually close together: mm_access() is 5 symbols from mmput() on
 * User mode Linux, about 40 on Debian's kernel. A linker that orders functions may put
 * them anywhere.
 */
#define PVMREAD_MAX_HOPS	500000

/* Too large for the stack. */
struct pvmread_symbol {
	unsigned long start;
	unsigned long end;
	char name[KSYM_SYMBOL_LEN];
};

/* Find the symbol that @addr is in. Return: false if there is none, or a module has it. */
static bool pvmread_symbols_at(struct pvmread_symbol *sym, unsigned long addr)
{
	unsigned long offset, size;
	char *plus;
	int end = 0;

	/* "name+0x12/0x34", followed by " [module]" if it is not the core kernel's. */
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
 * pvmread_symbols_find() - find a function of the core kernel
 * @name: its whole name
 * @neighbour: an exported function, of the same source file if possible
 *
 * Walks from symbol to symbol, up and down alternately. That needs kallsyms, but neither
 * kprobes nor an exported kallsyms_lookup_name(). Not reentrant: only module init calls
 * it.
 *
 * Return: the address; 0 if no such symbol is found.
 */
PVMREAD_TESTED unsigned long pvmread_symbols_find(const char *name,
						  const void *neighbour)
{
	unsigned long up = (unsigned long)neighbour, down = up;
	static struct pvmread_symbol sym;
	unsigned int hops;

	/* A direction that has reached the end of the text is 0. */
	for (hops = 0; hops < PVMREAD_MAX_HOPS && (up || down); hops++) {
		unsigned long *from = up && (!down || hops % 2) ? &up : &down;

		if (!pvmread_symbols_at(&sym, *from)) {
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
EXPORT_SYMBOL_TO_SUITE(pvmread_symbols_find);

/**
 * pvmread_symbols_get_task() - find the process that a request names
 * @nr: a pid in the caller's pid namespace, of the process or one of its threads; with
 *	@pidfd a file descriptor
 * @pidfd: @nr is a pidfd
 *
 * Return: the task with a reference, which the caller puts with put_task_struct(); or an
 * ERR_PTR: -ESRCH if there is no such process, -EBADF if @nr is not a pidfd, -EOPNOTSUPP
 * if the module did not find pidfd_get_task() in this kernel.
 */
struct task_struct *pvmread_symbols_get_task(pid_t nr, bool pidfd)
{
	struct task_struct *task;
	unsigned int pidfd_flags;

	if (pidfd) {
		if (!pvmread_symbols_have_pidfd)
			return ERR_PTR(-EOPNOTSUPP);
		return static_call(pvmread_pidfd_get_task)(nr, &pidfd_flags);
	}

	rcu_read_lock();
	task = get_pid_task(find_vpid(nr), PIDTYPE_PID);
	rcu_read_unlock();
	return task ?: ERR_PTR(-ESRCH);
}

/**
 * pvmread_symbols_get_mm() - get the mm of a process, if the caller has permission
 * @task: the process, or one of its threads
 *
 * The permission is PTRACE_MODE_ATTACH_REALCREDS. Waits, killably, while the target is in
 * execve().
 *
 * Return: the mm with a reference to mm_users, which the caller puts with mmput() or
 * mmput_async(); or an ERR_PTR: -ESRCH if the task has no mm, -EPERM, or -EINTR if the
 * caller was killed while it waited.
 */
struct mm_struct *pvmread_symbols_get_mm(struct task_struct *task)
{
	struct mm_struct *mm;

	PVMREAD_REDIRECT(pvmread_symbols_get_mm, task);
	mm = static_call(pvmread_mm_access)(task,
					    PTRACE_MODE_ATTACH_REALCREDS);
	/* For a task without an mm: NULL before 6.14, -ESRCH since. */
	if (!mm)
		return ERR_PTR(-ESRCH);
	/* As process_vm_rw_core() does. */
	if (mm == ERR_PTR(-EACCES))
		return ERR_PTR(-EPERM);
	return mm;
}
EXPORT_SYMBOL_TO_SUITE(pvmread_symbols_get_mm);

/**
 * pvmread_symbols_init() - find the functions when the module is loaded
 *
 * Return: 0, or -ENOENT if mm_access() is not among the kernel's symbols.
 */
int __init pvmread_symbols_init(void)
{
	unsigned long addr = pvmread_symbols_find("mm_access", mmput);

	if (!addr) {
		pr_err("mm_access not found among the kernel's symbols, refusing to load: CONFIG_KALLSYMS is needed\n");
		return -ENOENT;
	}
	static_call_update(pvmread_mm_access, (void *)addr);

	addr = pvmread_symbols_find("pidfd_get_task", find_vpid);
	if (addr) {
		static_call_update(pvmread_pidfd_get_task, (void *)addr);
		pvmread_symbols_have_pidfd = true;
	} else {
		pr_info("pidfd_get_task not found among the kernel's symbols: no pidfds\n");
	}
	return 0;
}
