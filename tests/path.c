// SPDX-License-Identifier: GPL-2.0
/*
 * The same path: ioctl and system call must run through the same kernel functions.
 *
 * There are two doors: the system call and the ioctl. The test sends each request a few
 * times through each door with the function_graph tracer on. It compares all functions
 * below the door's own entry: process_vm_rw() for the system call, the module's functions
 * for the ioctl. If one door always calls a function and the other never does, the test
 * fails, unless the list "differences" has the function and a reason. A function that is
 * called only sometimes (an allocator that must refill, a list that is full) is not a
 * difference.
 *
 * A second list, "path", names the functions that must have been seen by the end. The
 * tracer cannot see some: lib/ is built without it, and "inline" implies notrace even
 * if the compiler does not inline the function. CPU breakpoints count those. Inlined
 * functions are recognized by the kernel's symbol tables.
 *
 * It needs root, tracefs and an x86-64 kernel with function_graph.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <limits.h>
#include <linux/aio_abi.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <kselftest_harness.h>

#include "one_cpu.h"
#include "process.h"

/*
 * These addresses fit in a 32-bit iovec. Every process here leaves them free: the program
 * is below them, and its heap begins at most 1 GiB above the program.
 */
#define LOCAL		((unsigned char *)0x50000000UL)
#define LOCAL_LATE	((unsigned char *)0x51000000UL)	/* on userfaultfd */
#define LOCAL_HOLE	((unsigned char *)0x52000000UL)
#define VECTORS		((unsigned char *)0x53000000UL)
#define REMOTE_ANON	((unsigned char *)0x60000000UL)
#define REMOTE_FRESH	((unsigned char *)0x61000000UL)	/* never touched */
#define REMOTE_SHARED	((unsigned char *)0x62000000UL)	/* a file */
#define REMOTE_PRIVATE	((unsigned char *)0x63000000UL)	/* a file */
#define REMOTE_HOLE	((unsigned char *)0x64000000UL)
#define PAGES		200UL

/*
 * First ROUNDS requests go through each door with breakpoints and warm everything up.
 * Then REPEATS requests go through each door with the tracer. An x86 CPU has four
 * breakpoints.
 */
#define ROUNDS		2
#define BREAKPOINTS	4
#define REPEATS		6

#define BUFFER_KB	"8192"

enum door { SYSCALL, IOCTL, DOORS };

static const char * const door_names[DOORS] = { "syscall", "ioctl" };

/* --- What may differ, and why --- */

struct difference {
	enum door door;		/* the door that calls the function */
	const char *name;	/* a final '*' matches any suffix */
	const char *reason;
};

static const struct difference differences[] = {
	{ SYSCALL, "process_vm_rw*", "the syscall's own code" },
	{ SYSCALL, "__x64_sys_process_vm_*", "the syscall's own code" },
	{ SYSCALL, "__ia32_sys_process_vm_*", "the syscall's own code" },
	{ SYSCALL, "find_get_task_by_vpid",
	  "not exported: the module looks the pid up in the same two steps" },
	{ SYSCALL, "find_task_by_vpid", "called by find_get_task_by_vpid()" },
	{ SYSCALL, "find_task_by_pid_ns", "called by find_task_by_vpid()" },
	{ SYSCALL, "rcu_read_lock_held*",
	  "called by find_task_by_pid_ns() on a debugging kernel" },
	{ SYSCALL, "rcu_lockdep_*", "called by rcu_read_lock_held() on a debugging kernel" },
	{ IOCTL, "find_vpid", "the module's first step to look the pid up" },
	{ IOCTL, "get_pid_task", "the module's second step to look the pid up" },
	{ IOCTL, "pid_task", "called by get_pid_task()" },
	{ SYSCALL, "down_read",
	  "for mmap_lock: the module calls down_read_killable()" },
	{ IOCTL, "__check_object_size",
	  "the copies of the ioctl's struct and of the remote array" },
	{ IOCTL, "__might_*", "the same copies on a debugging kernel: they may sleep" },
	{ IOCTL, "check_stack_object",
	  "called by __check_object_size(): the struct is on the stack" },
	{ IOCTL, "__virt_addr_valid",
	  "called by __check_object_size(): the array is allocated" },
	{ IOCTL, "is_vmalloc_addr", "called by __check_object_size()" },
	{ IOCTL, "__check_heap_object", "called by __check_object_size()" },
};

/* --- What must be seen --- */

/**
 * struct step - a function that must be seen across the requests
 * @name: the function
 * @sibling: NULL if @name cannot be inlined, because its caller is in another source file.
 *	Otherwise its caller, its callee, or a function that its caller also calls: if @name
 *	is inlined, a call of @sibling proves that the kernel got there
 */
struct step {
	const char *name;
	const char *sibling;
};

static const struct step path[] = {
	{ "mm_access", NULL },
	{ "__ptrace_may_access", "mm_access" },
	{ "get_task_mm", "mm_access" },
	{ "__import_iovec", "copy_iovec_from_user" },
	{ "copy_page_to_iter", NULL },
	{ "_copy_to_iter", NULL },
	{ "copy_page_from_iter", NULL },
	{ "pin_user_pages_remote", NULL },
	{ "gup_put_folio", "unpin_user_pages_dirty_lock" },
	{ "mmput", NULL },
	{ "__mmput", "exit_mmap" },
	{ "exit_mmap", NULL },
	{ "exit_aio", NULL },
	{ "uprobe_clear_state", NULL },
	{ "set_mm_exe_file", "exit_mmap" },
	{ "module_put", NULL },
	{ "folio_mark_dirty", NULL },
	{ "copy_iovec_from_user", "__import_iovec" },
	{ "copy_compat_iovec_from_user", "__import_iovec" },
};

#define STEPS	ARRAY_SIZE(path)

/* --- State --- */

/**
 * struct board - memory shared by all processes of this program
 * @door: door of the next request
 * @step: the number of the next request
 * @pid: its target
 * @uffd: the tracee's userfaultfd, a number in its own file table
 * @ret: what the last request returned
 * @err: its errno
 * @compat: false if int $0x80 is not available
 * @steps: for each function of "path" and door, how often it was seen
 * @siblings: the same for its sibling
 * @met: the entries of "differences" that were needed
 * @trouble: why a child gave up
 */
struct board {
	enum door door;
	unsigned int step;
	pid_t pid;
	int uffd;
	ssize_t ret;
	int err;
	bool compat;
	unsigned int steps[STEPS][DOORS];
	unsigned int siblings[STEPS][DOORS];
	bool met[ARRAY_SIZE(differences)];
	char trouble[200];
};

static struct board *board;
static int dev = -1;
static const int cpu;	/* the CPU that the tracee runs on: the first one */
static int tracing_on = -1;
static const char *tracefs;
static char unavailable[200];

/* What kallsyms and available_filter_functions say about each function of "path". */
static unsigned long address[STEPS];
static bool traceable[STEPS];

static __attribute__((noreturn)) void broken(const char *what)
{
	snprintf(board->trouble, sizeof(board->trouble), "%s: %s", what,
		 strerror(errno));
	_exit(2);
}

/* --- Tracefs --- */

static int open_trace(const char *name, int flags)
{
	char file[128];

	snprintf(file, sizeof(file), "%s/%s", tracefs, name);
	return open(file, flags | O_CLOEXEC);
}

/* Return: 0, or -1. */
static int write_trace(const char *name, const char *text, int flags)
{
	int fd = open_trace(name, O_WRONLY | flags);
	ssize_t len = strlen(text);
	int ret;

	if (fd < 0)
		return -1;
	ret = write(fd, text, len) == len ? 0 : -1;
	close(fd);
	return ret;
}

/* Return: whether a line of the file has @word in it. */
static bool is_in_trace(const char *name, const char *word)
{
	char line[512];
	bool found = false;
	FILE *f;
	int fd;

	fd = open_trace(name, O_RDONLY);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		found |= !!strstr(line, word);
	fclose(f);
	return found;
}

/* Compilers split functions: treat "name.part.0" as "name". */
static bool is_variant_of(const char *symbol, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(symbol, name, len) && (!symbol[len] || symbol[len] == '.');
}

#define MODULE_TAG "[pvmread]"

/* The entries of both doors, where tracing begins. */
static bool is_root(const char *symbol, const char *module)
{
	if (module)
		return !strcmp(module, MODULE_TAG);
	return is_variant_of(symbol, "process_vm_rw") ||
	       is_variant_of(symbol, "__x64_sys_process_vm_readv") ||
	       is_variant_of(symbol, "__x64_sys_process_vm_writev") ||
	       is_variant_of(symbol, "__ia32_sys_process_vm_readv") ||
	       is_variant_of(symbol, "__ia32_sys_process_vm_writev");
}

/* Set the roots, and count those of each door in @roots. Return: 0, or -1. */
static int set_roots(unsigned int *roots)
{
	char line[512], name[256], module[64];
	int fd, words, ret = 0;
	size_t i;
	FILE *f;

	if (write_trace("set_graph_function", " ", O_TRUNC))
		return -1;
	fd = open_trace("available_filter_functions", O_RDONLY);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		words = sscanf(line, "%255s %63s", name, module);
		if (words < 1)
			continue;
		for (i = 0; i < STEPS && words == 1; i++)
			traceable[i] |= is_variant_of(name, path[i].name);
		if (!is_root(name, words == 2 ? module : NULL))
			continue;
		if (!write_trace("set_graph_function", name, O_APPEND))
			roots[words == 2 ? IOCTL : SYSCALL]++;
		else
			ret = -1;
	}
	fclose(f);
	return ret;
}

static int read_kallsyms(void)
{
	char line[512], name[256];
	unsigned long at;
	size_t i;
	FILE *f;

	f = fopen("/proc/kallsyms", "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (strchr(line, '[') ||
		    sscanf(line, "%lx %*s %255s", &at, name) != 2)
			continue;
		for (i = 0; i < STEPS; i++) {
			/* Prefer the function itself to a part of it. */
			if (is_variant_of(name, path[i].name) &&
			    (!address[i] || !strchr(name, '.')))
				address[i] = at;
		}
	}
	fclose(f);
	return 0;
}

static void stop_tracing(void)
{
	write_trace("tracing_on", "0", 0);
	write_trace("current_tracer", "nop", 0);
	write_trace("set_graph_function", " ", O_TRUNC);
	write_trace("set_ftrace_pid", " ", O_TRUNC);
	write_trace("tracing_on", "1", 0);
	bring_cpus_back();
}

/* Let the lines of a trace contain only names and braces. */
static const char * const options[] = {
	"nofuncgraph-cpu", "nofuncgraph-proc", "nofuncgraph-duration",
	"nofuncgraph-overhead", "nofuncgraph-abstime", "nofuncgraph-tail",
	"nofuncgraph-irqs", "nofuncgraph-retval", "nofuncgraph-args",
	"nofunction-fork",
};

static int start_tracing(void)
{
	unsigned int roots[DOORS] = {};
	char self[12];
	size_t i;

	tracefs = "/sys/kernel/tracing";
	if (!is_in_trace("available_tracers", "function_graph"))
		tracefs = "/sys/kernel/debug/tracing";
	if (!is_in_trace("available_tracers", "function_graph")) {
		snprintf(unavailable, sizeof(unavailable),
			 "not in this kernel: the function_graph tracer");
		return 0;
	}
	snprintf(self, sizeof(self), "%d", getpid());
	if (write_trace("tracing_on", "0", 0) ||
	    write_trace("current_tracer", "nop", 0) ||
	    write_trace("buffer_size_kb", BUFFER_KB, 0) ||
	    write_trace("set_ftrace_pid", self, O_TRUNC)) {
		perror("# preparing the tracer");
		return -1;
	}
	if (set_roots(roots) || read_kallsyms()) {
		perror("# set_graph_function, available_filter_functions or kallsyms");
		return -1;
	}
	if (!roots[SYSCALL] || !roots[IOCTL]) {
		printf("# no function to begin at: %u for the syscall, %u for the module\n",
		       roots[SYSCALL], roots[IOCTL]);
		return -1;
	}
	leave_one_cpu();
	if (write_trace("current_tracer", "function_graph", 0)) {
		perror("# function_graph");
		return -1;
	}
	/* Not every kernel has all of them. */
	for (i = 0; i < ARRAY_SIZE(options); i++)
		write_trace("trace_options", options[i], 0);
	return 0;
}

/* --- Sets of functions --- */

#define NAMES	4096

static struct {
	char *name;
	unsigned int times[DOORS];
	bool now;
} names[NAMES];
static size_t names_count;

static size_t name_index(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < names_count; i++) {
		if (!strncmp(names[i].name, name, len) && !names[i].name[len])
			return i;
	}
	if (names_count == NAMES)
		return NAMES;
	names[i].name = strndup(name, len);
	return names_count++;
}

/*
 * Calls that do not belong to a request: interrupts, their deferred work, and other
 * tasks. They are dropped with everything below them. The tracer's option to omit
 * interrupts hides only the handlers.
 */
static const char * const interludes[] = {
	"irq_enter", "irq_exit", "__irq_exit", "sysvec_", "__sysvec_", "instr_",
	"common_interrupt", "__common_interrupt", "handle_softirqs",
	"__do_softirq", "do_softirq", "exc_nmi", "nmi_", "smp_", "raw_irqentry",
	"irqentry_", "schedule", "preempt_schedule", "__schedule", "ct_",
	"rcu_nocb_flush", "fpregs_", "idle_cpu",
	/* What the notrace __schedule() and preempt_schedule() call. */
	"rcu_note_", "raw_spin_rq_", "_raw_spin_rq_", "update_rq_clock",
	"pick_", "put_prev_", "set_next_", "finish_task_switch",
	"__perf_event_task_sched", "switch_mm", "psi_", "dequeue_task",
	"balance_", "prepare_task_switch",
	/* Waking a task, and choosing its CPU. */
	"try_to_wake_up", "default_wake_function", "autoremove_wake_function",
	"pollwake", "ep_poll_callback",
};

/* Calls below these do not belong to the request. */
static const char * const leaves[] = {
	"__put_task_struct",
	/* What an allocator calls depends on how much free memory it has cached. */
	"__kmalloc", "__kmalloc_noprof", "__kmalloc_cache_noprof", "kfree",
	/* Below is the notrace __schedule(). */
	"__cond_resched",
};

static bool is_leaf(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(leaves); i++) {
		if (is_variant_of(name, leaves[i]))
			return true;
	}
	return false;
}

static bool is_interlude(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(interludes); i++) {
		if (!strncmp(name, interludes[i], strlen(interludes[i])))
			return true;
	}
	return false;
}

/**
 * parse() - read one request's trace into names[].now
 *
 * Return: the number of functions, or -1 if it is not the trace of exactly one
 * request.
 */
static int parse(void)
{
	int depth = 0, dropped = 0, found = 0, roots = 0, fd;
	char line[512], file[64];
	bool foreign;
	FILE *f;

	/* Reading consumes the trace. */
	snprintf(file, sizeof(file), "per_cpu/cpu%d/trace_pipe", cpu);
	fd = open_trace(file, O_RDONLY | O_NONBLOCK);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		char *name = line + strspn(line, " \t|"), *end;
		size_t len, i;

		if (getenv("PATH_DUMP"))
			printf("# %s", line);
		if (*name == '#' || *name == '/' || *name == '\n')
			continue;
		if (*name == '}') {
			if (depth-- == dropped)
				dropped = 0;
			continue;
		}
		end = strstr(name, "()");
		if (!end)
			continue;
		len = strcspn(name, ".( ");
		*end = 0;
		/* Just after it was enabled, the tracer may show functions that are no roots. */
		foreign = is_interlude(name);
		if (!depth) {
			foreign = !is_root(name, strstr(name, MODULE_TAG));
			roots += !foreign;
		}
		if (end[2] == ' ')
			depth++;
		if (dropped)
			continue;
		if (foreign) {
			if (end[2] == ' ')
				dropped = depth;
			continue;
		}
		if (is_leaf(name) && end[2] == ' ')
			dropped = depth;
		/* Not a kernel function. */
		if (strstr(name, MODULE_TAG))
			continue;
		i = name_index(name, len);
		if (i == NAMES)
			found = INT_MIN;
		else
			names[i].now = true;
		found++;
	}
	fclose(f);
	if (found < 0 || depth || roots != 1) {
		printf("# the trace has %d functions, %d roots, and ends at depth %d\n",
		       found, roots, depth);
		return -1;
	}
	return found;
}

/* Return: whether the tracer's buffer had room for everything. */
static bool is_complete(void)
{
	char line[128], file[64];
	unsigned long n;
	bool ok = false;
	FILE *f;
	int fd;

	snprintf(file, sizeof(file), "per_cpu/cpu%d/stats", cpu);
	fd = open_trace(file, O_RDONLY);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "overrun: %lu", &n) == 1)
			ok = !n;
		if (sscanf(line, "commit overrun: %lu", &n) == 1 ||
		    sscanf(line, "dropped events: %lu", &n) == 1)
			ok &= !n;
	}
	fclose(f);
	return ok;
}

static void count(enum door door)
{
	size_t i, j;

	for (i = 0; i < names_count; i++) {
		if (!names[i].now)
			continue;
		names[i].now = false;
		names[i].times[door]++;
		for (j = 0; j < STEPS; j++) {
			if (!strcmp(names[i].name, path[j].name))
				board->steps[j][door]++;
			if (path[j].sibling &&
			    !strcmp(names[i].name, path[j].sibling))
				board->siblings[j][door]++;
		}
	}
}

enum whom { TARGET, DYING_TARGET, ONESELF, KERNEL_THREAD, NOBODY };

struct scene {
	struct request (*request)(void);
	enum whom whom;
	bool compat;
	bool unprivileged;
	unsigned int least;	/* how many functions both doors must call */
	/* NULL, or the start of the names of functions that only the syscall may call here. */
	const char *syscall_only;
	ssize_t ret;
	int err;
};

static const struct difference *find_difference(const char *name,
						enum door door)
{
	const struct difference *d;
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(differences); i++) {
		d = &differences[i];
		len = strlen(d->name);
		if (d->door != door)
			continue;
		if (d->name[len - 1] == '*' ? !strncmp(name, d->name, len - 1) :
					      !strcmp(name, d->name))
			return d;
	}
	return NULL;
}

/* --- Breakpoints --- */

static int breakpoints[BREAKPOINTS];
static unsigned int hits[STEPS][DOORS];

/* The functions that exist but are invisible to the tracer. */
static bool needs_breakpoint(size_t i)
{
	return address[i] && !traceable[i];
}

/* Return: which function of "path" has breakpoint @n in a round, or STEPS. */
static size_t of_breakpoint(int n, int round)
{
	int nth = round * BREAKPOINTS + n;
	size_t i;

	for (i = 0; i < STEPS; i++) {
		if (needs_breakpoint(i) && !nth--)
			break;
	}
	return i;
}

static void set_breakpoints(struct __test_metadata *_metadata, pid_t pid,
			    int round)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.bp_type = HW_BREAKPOINT_X,
		.bp_len = sizeof(long),
		.exclude_user = 1,
		.exclude_hv = 1,
	};
	size_t step;
	int i;

	for (i = 0; i < BREAKPOINTS; i++) {
		breakpoints[i] = -1;
		step = of_breakpoint(i, round);
		if (step == STEPS)
			continue;
		attr.bp_addr = address[step];
		breakpoints[i] = syscall(SYS_perf_event_open, &attr, pid, -1,
					 -1, PERF_FLAG_FD_CLOEXEC);
		ASSERT_LE(0, breakpoints[i]) {
			TH_LOG("a breakpoint at %s: %s", path[step].name,
			       strerror(errno));
		}
	}
}

static void count_breakpoints(enum door door, int round)
{
	uint64_t n;
	size_t step;
	int i;

	for (i = 0; i < BREAKPOINTS; i++) {
		if (breakpoints[i] < 0)
			continue;
		step = of_breakpoint(i, round);
		if (read(breakpoints[i], &n, sizeof(n)) == sizeof(n)) {
			hits[step][door] = n;
			board->steps[step][door] += n;
		}
		close(breakpoints[i]);
	}
}

static void compare_breakpoints(struct __test_metadata *_metadata, int round)
{
	size_t step;
	int i;

	for (i = 0; i < BREAKPOINTS; i++) {
		step = of_breakpoint(i, round);
		if (step == STEPS)
			continue;
		/*
		 * Do not compare counts: the kernel copies both arrays for the syscall,
		 * while the module copies the remote one itself.
		 */
		EXPECT_EQ(!hits[step][SYSCALL], !hits[step][IOCTL]) {
			TH_LOG("%s: %u times by the syscall, %u by the ioctl",
			       path[step].name, hits[step][SYSCALL],
			       hits[step][IOCTL]);
		}
	}
}

/* --- The 32-bit door --- */

#ifdef __x86_64__
/* A 32-bit system call of a 64-bit program; the sixth argument is 0. */
long int80(long nr, long a, long b, long c, long d, long e);
asm(".pushsection .text\n"
	".type int80, @function\n"
	"int80:\n"
	"push %rbx\n"
	"push %rbp\n"
	"mov %edi, %eax\n"
	"mov %esi, %ebx\n"
	"mov %edx, %r10d\n"
	"mov %ecx, %edx\n"
	"mov %r10d, %ecx\n"
	"mov %r8d, %esi\n"
	"mov %r9d, %edi\n"
	"xor %ebp, %ebp\n"
	"int $0x80\n"
	"cltq\n"
	"pop %rbp\n"
	"pop %rbx\n"
	"ret\n"
	".size int80, . - int80\n"
	".popsection\n");
#else
static long int80(long nr, long a, long b, long c, long d, long e)
{
	(void)nr, (void)a, (void)b, (void)c, (void)d, (void)e;
	raise(SIGSEGV);
	return -EOPNOTSUPP;
}
#endif

#define NR32_GETPID		20
#define NR32_IOCTL		54
#define NR32_PROCESS_VM_READV	347

struct iovec32 {
	uint32_t base;
	uint32_t len;
};

/* All arguments in memory are at VECTORS, below 4 GiB. */
struct vectors32 {
	struct iovec32 local[16];
	struct iovec32 remote[16];
	struct pvmread_rw rw;
};

static void narrow(struct iovec32 *to, const struct iovec *from, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		to[i].base = (uintptr_t)from[i].iov_base;
		to[i].len = from[i].iov_len;
	}
}

static void prepare32(const struct request *req)
{
	struct vectors32 *v = (void *)VECTORS;

	narrow(v->local, req->local, req->local_count);
	narrow(v->remote, req->remote, req->remote_count);
	v->rw = (struct pvmread_rw){
		.size = sizeof(v->rw),
		.pid = req->pid,
		.local = (uintptr_t)v->local,
		.local_count = req->local_count,
		.remote = (uintptr_t)v->remote,
		.remote_count = req->remote_count,
	};
}

/* Only reads. */
static ssize_t send32(enum door door, const struct request *req)
{
	struct vectors32 *v = (void *)VECTORS;
	long ret;

	if (door == SYSCALL)
		ret = int80(NR32_PROCESS_VM_READV, req->pid,
			    (uintptr_t)v->local, req->local_count,
			    (uintptr_t)v->remote, req->remote_count);
	else
		ret = int80(NR32_IOCTL, dev, (unsigned int)PVMREAD_IOC_READV,
			    (uintptr_t)&v->rw, 0, 0);
	if (ret < 0) {
		errno = -ret;
		return -1;
	}
	return door == SYSCALL ? ret : (ssize_t)v->rw.transferred;
}

/* --- Requests --- */

static struct iovec local_vec[16], remote_vec[16];

static struct request request_of(bool write, size_t segments)
{
	return (struct request){
		.write = write,
		.local = local_vec,
		.local_count = segments,
		.remote = remote_vec,
		.remote_count = segments,
	};
}

/* One segment. */
static struct request one(bool write, void *local, void *remote, size_t len)
{
	local_vec[0] = (struct iovec){ local, len };
	remote_vec[0] = (struct iovec){ remote, len };
	return request_of(write, 1);
}

/* A new page each time, because the first access differs from later ones. */
static unsigned char *next(unsigned char *base)
{
	return base + board->step * PAGE;
}

static struct request read_little(void)
{
	return one(false, LOCAL, next(REMOTE_ANON), 8);
}

/* More than fit on the stack of either door. */
static struct request read_nine_segments(void)
{
	size_t i;

	for (i = 0; i < 9; i++) {
		local_vec[i] = (struct iovec){ LOCAL + i * 64, 32 };
		remote_vec[i] = (struct iovec){ next(REMOTE_ANON) + i * 48, 32 };
	}
	return request_of(false, 9);
}

static struct request read_two_segments(void)
{
	read_nine_segments();
	return request_of(false, 2);
}

static struct request read_twenty_pages(void)
{
	return one(false, LOCAL, REMOTE_ANON, 20 * PAGE);
}

static struct request read_some_of_twenty_pages(void)
{
	one(false, LOCAL, REMOTE_ANON, 20 * PAGE);
	local_vec[0].iov_len = 8;
	return request_of(false, 1);
}

static struct request read_untouched(void)
{
	return one(false, LOCAL, next(REMOTE_FRESH), 8);
}

static struct request read_file(void)
{
	return one(false, LOCAL, next(REMOTE_SHARED), 8);
}

static struct request read_hole(void)
{
	return one(false, LOCAL, REMOTE_HOLE, 8);
}

static struct request read_up_to_hole(void)
{
	return one(false, LOCAL, REMOTE_ANON + (PAGES - 1) * PAGE, 2 * PAGE);
}

static struct request read_to_hole(void)
{
	return one(false, LOCAL_HOLE, next(REMOTE_ANON), 8);
}

static struct request write_anon(void)
{
	return one(true, LOCAL, next(REMOTE_ANON), 8);
}

static struct request write_untouched(void)
{
	return one(true, LOCAL, next(REMOTE_FRESH), 8);
}

static struct request write_shared_file(void)
{
	return one(true, LOCAL, next(REMOTE_SHARED), 8);
}

static struct request write_private_file(void)
{
	return one(true, LOCAL, next(REMOTE_PRIVATE), 8);
}

static struct request write_two_segments(void)
{
	local_vec[0] = (struct iovec){ LOCAL, 300 };
	remote_vec[0] = (struct iovec){ next(REMOTE_ANON), 200 };
	local_vec[1] = (struct iovec){ LOCAL + 500, 100 };
	remote_vec[1] = (struct iovec){ next(REMOTE_SHARED), 200 };
	return request_of(true, 2);
}

static struct request read_nothing(void)
{
	return one(false, LOCAL, next(REMOTE_ANON), 0);
}

/* It waits until the tester serves the missing page of the caller. */
static struct request read_and_wait(void)
{
	if (madvise(LOCAL_LATE, PAGE, MADV_DONTNEED))
		broken("MADV_DONTNEED");
	return one(false, LOCAL_LATE, next(REMOTE_ANON), 8);
}

/* --- Processes --- */

static void map(unsigned char *at, size_t pages, int flags, int fd)
{
	if (mmap(at, pages * PAGE, PROT_READ | PROT_WRITE,
		 flags | MAP_FIXED_NOREPLACE, fd, 0) != at)
		broken("mmap");
}

static int new_file(void)
{
	int fd = memfd_create("path", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, PAGES * PAGE))
		broken("memfd");
	return fd;
}

static void map_target_memory(void)
{
	size_t i;
	int fd;

	map(REMOTE_ANON, PAGES, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	memset(REMOTE_ANON, 'a', PAGES * PAGE);
	map(REMOTE_FRESH, PAGES, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fd = new_file();
	map(REMOTE_SHARED, PAGES, MAP_SHARED, fd);
	close(fd);
	fd = new_file();
	map(REMOTE_PRIVATE, PAGES, MAP_PRIVATE, fd);
	close(fd);
	for (i = 0; i < PAGES; i++) {
		/* Reading leaves the pages of a file clean. */
		__atomic_load_n(REMOTE_SHARED + i * PAGE, __ATOMIC_RELAXED);
		__atomic_load_n(REMOTE_PRIVATE + i * PAGE, __ATOMIC_RELAXED);
	}
}

static int ordered[2];

static void be_target(void)
{
	aio_context_t aio = 0;

	map_target_memory();
	/* Something for exit_aio() to do. */
	if (!access("/proc/sys/fs/aio-nr", F_OK) &&
	    syscall(SYS_io_setup, 1, &aio))
		broken("io_setup");
	tell();
	for (;;)
		pause();
}

static pid_t start_target(void)
{
	pid_t pid = fork();

	if (!pid) {
		die_with_parent();
		be_target();
	}
	return await_ready(pid);
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void be_tracee(const struct scene *scene)
{
	map(LOCAL, PAGES, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	memset(LOCAL, 'l', PAGES * PAGE);
	map(VECTORS, 1, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	memset(VECTORS, 0, PAGE);
	map(LOCAL_LATE, 1, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (scene->whom == ONESELF)
		map_target_memory();
	if (scene->whom == DYING_TARGET) {
		board->uffd = hold_back((uintptr_t)LOCAL_LATE, PAGE);
		if (board->uffd < 0)
			broken("userfaultfd");
	}
	if (scene->unprivileged) {
		if (setgroups(0, NULL) || setresgid(1000, 1000, 1000) ||
		    setresuid(1000, 1000, 1000))
			broken("changing the user");
		die_with_parent();
	}
	tell();
	while (is_sent(ordered[0])) {
		struct request req = scene->request();
		ssize_t ret;

		req.pid = board->pid;
		if (scene->compat)
			prepare32(&req);
		if (write(tracing_on, "1", 1) != 1)
			broken("tracing_on");
		if (scene->compat)
			ret = send32(board->door, &req);
		else if (board->door == IOCTL)
			ret = send_ioctl(dev, &req, NULL);
		else
			ret = send_syscall(&req);
		board->err = ret < 0 ? errno : 0;
		if (write(tracing_on, "0", 1) != 1)
			broken("tracing_on");
		board->ret = ret;
		tell();
	}
}

static void end_target_while_waited_for(struct __test_metadata *_metadata,
					int uffd, pid_t target)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)LOCAL_LATE, .len = PAGE },
	};

	ASSERT_EQ((uintptr_t)LOCAL_LATE, page_asked_for(uffd, PATIENCE_MS));
	end(target);
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_ZEROPAGE, &zero));
}

/* Send one request through one door. */
static void send_one(struct __test_metadata *_metadata,
		     const struct scene *scene, enum door door, int uffd)
{
	pid_t target = 0;

	if (scene->whom == DYING_TARGET) {
		target = start_target();
		ASSERT_LT(0, target) {
			TH_LOG("%s", board->trouble);
		}
		board->pid = target;
	}
	board->door = door;
	board->ret = -2;
	ASSERT_EQ(1, write(ordered[1], "r", 1));
	if (target)
		end_target_while_waited_for(_metadata, uffd, target);
	ASSERT_TRUE(is_told()) {
		TH_LOG("%s", board->trouble);
	}
	board->step++;
	ASSERT_TRUE(is_complete());
	EXPECT_EQ(scene->ret, board->ret);
	EXPECT_EQ(scene->err, board->err);
}

static void compare_functions(struct __test_metadata *_metadata,
			      const struct scene *scene)
{
	const char *only = scene->syscall_only;
	const struct difference *d;
	unsigned int common = 0, sometimes = 0;
	enum door door;
	size_t i;

	for (i = 0; i < names_count; i++) {
		const unsigned int *times = names[i].times;

		if (times[SYSCALL] && times[IOCTL]) {
			common++;
			continue;
		}
		if (!times[SYSCALL] && !times[IOCTL])
			continue;
		door = times[IOCTL] ? IOCTL : SYSCALL;
		if (times[door] < REPEATS) {
			printf("# sometimes by %s: %s\n", door_names[door],
			       names[i].name);
			sometimes++;
			continue;
		}
		if (door == SYSCALL && only &&
		    !strncmp(names[i].name, only, strlen(only))) {
			printf("# only by syscall: %s: expected for this request\n",
			       names[i].name);
			continue;
		}
		d = find_difference(names[i].name, door);
		printf("# only by %s: %s: %s\n", door_names[door],
		       names[i].name, d ? d->reason : "UNEXPECTED");
		EXPECT_NE(NULL, d);
		if (d)
			board->met[d - differences] = true;
	}
	printf("# %u functions by both, %u sometimes by one\n", common,
	       sometimes);
	/* Otherwise it took another path than the test expects. */
	EXPECT_LE(scene->least, common);
	fflush(stdout);
}

static void run_scene(struct __test_metadata *_metadata,
		      const struct scene *scene)
{
	pid_t target = 0, tracee;
	int uffd = -1, i;
	enum door door;
	char pid[12];

	tracee = fork();
	ASSERT_LE(0, tracee);
	if (!tracee) {
		cpu_set_t set;

		die_with_parent();
		/* Run on one CPU, so that one trace has everything. */
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set))
			broken("sched_setaffinity");
		be_tracee(scene);
		_exit(0);
	}
	ASSERT_TRUE(is_told()) {
		TH_LOG("%s", board->trouble);
	}
	snprintf(pid, sizeof(pid), "%d", tracee);
	ASSERT_EQ(0, write_trace("set_ftrace_pid", pid, O_TRUNC));
	board->step = 0;
	switch (scene->whom) {
	case TARGET:
		target = start_target();
		ASSERT_LT(0, target) {
			TH_LOG("%s", board->trouble);
		}
		board->pid = target;
		break;
	case DYING_TARGET:
		uffd = take_fd(tracee, board->uffd);
		ASSERT_LE(0, uffd);
		break;
	case ONESELF:
		board->pid = tracee;
		break;
	case KERNEL_THREAD:
		board->pid = 2;
		break;
	case NOBODY:
		board->pid = INT_MAX;
		break;
	}
	for (i = 0; i < ROUNDS; i++) {
		for (door = SYSCALL; door < DOORS; door++) {
			set_breakpoints(_metadata, tracee, i);
			send_one(_metadata, scene, door, uffd);
			count_breakpoints(door, i);
		}
		compare_breakpoints(_metadata, i);
	}
	/* The tracer was on in these rounds, but its trace also shows the breakpoints. */
	ASSERT_EQ(0, write_trace("trace", " ", O_TRUNC));
	for (i = 0; i < 2 * REPEATS; i++) {
		/*
		 * Alternate the door that goes first, because a page records whether
		 * it was used once or twice.
		 */
		door = (i ^ i / 2) & 1 ? IOCTL : SYSCALL;
		send_one(_metadata, scene, door, uffd);
		ASSERT_LE(0, parse());
		count(door);
	}
	compare_functions(_metadata, scene);
	end(tracee);
	if (target)
		end(target);
}

/* --- Request by request --- */

FIXTURE(request) {
};

FIXTURE_VARIANT(request) {
	struct scene scene;
};

FIXTURE_VARIANT_ADD(request, read_little) {
	.scene = { .request = read_little, .least = 20, .ret = 8 },
};

FIXTURE_VARIANT_ADD(request, read_two_segments) {
	.scene = { .request = read_two_segments, .least = 20, .ret = 64 },
};

FIXTURE_VARIANT_ADD(request, read_nine_segments) {
	.scene = { .request = read_nine_segments, .least = 20, .ret = 288 },
};

FIXTURE_VARIANT_ADD(request, read_twenty_pages) {
	.scene = { .request = read_twenty_pages, .least = 20,
		   .ret = 20 * PAGE },
};

/*
 * The syscall pins all pages of the remote side. The module pins only those that the
 * local side has room for: here one page, whose pointer needs no allocation.
 */
FIXTURE_VARIANT_ADD(request, read_some_of_twenty_pages) {
	.scene = { .request = read_some_of_twenty_pages, .least = 20,
		   .syscall_only = "__kmalloc", .ret = 8 },
};

FIXTURE_VARIANT_ADD(request, read_untouched_memory) {
	.scene = { .request = read_untouched, .least = 20, .ret = 8 },
};

FIXTURE_VARIANT_ADD(request, read_file) {
	.scene = { .request = read_file, .least = 20, .ret = 8 },
};

FIXTURE_VARIANT_ADD(request, read_hole) {
	.scene = { .request = read_hole, .least = 10, .ret = -1, .err = EFAULT },
};

FIXTURE_VARIANT_ADD(request, read_up_to_hole) {
	.scene = { .request = read_up_to_hole, .least = 20, .ret = PAGE },
};

FIXTURE_VARIANT_ADD(request, read_to_hole) {
	.scene = { .request = read_to_hole, .least = 20, .ret = -1,
		   .err = EFAULT },
};

FIXTURE_VARIANT_ADD(request, read_nothing) {
	.scene = { .request = read_nothing },
};

FIXTURE_VARIANT_ADD(request, read_itself) {
	.scene = { .request = read_little, .whom = ONESELF, .least = 10,
		   .ret = 8 },
};

FIXTURE_VARIANT_ADD(request, read_kernel_thread) {
	.scene = { .request = read_little, .whom = KERNEL_THREAD, .least = 2,
		   .ret = -1, .err = ESRCH },
};

FIXTURE_VARIANT_ADD(request, read_unused_pid) {
	.scene = { .request = read_little, .whom = NOBODY, .ret = -1,
		   .err = ESRCH },
};

FIXTURE_VARIANT_ADD(request, read_without_permission) {
	.scene = { .request = read_little, .unprivileged = true, .least = 5,
		   .ret = -1, .err = EPERM },
};

FIXTURE_VARIANT_ADD(request, read_32_bit) {
	.scene = { .request = read_little, .compat = true, .least = 20,
		   .ret = 8 },
};

FIXTURE_VARIANT_ADD(request, read_32_bit_nine_segments) {
	.scene = { .request = read_nine_segments, .compat = true, .least = 20,
		   .ret = 288 },
};

FIXTURE_VARIANT_ADD(request, read_exited_target) {
	.scene = { .request = read_and_wait, .whom = DYING_TARGET, .least = 60,
		   .ret = 8 },
};

FIXTURE_VARIANT_ADD(request, write_anon) {
	.scene = { .request = write_anon, .least = 20, .ret = 8 },
};

FIXTURE_VARIANT_ADD(request, write_untouched_memory) {
	.scene = { .request = write_untouched, .least = 20, .ret = 8 },
};

FIXTURE_VARIANT_ADD(request, write_shared_file) {
	.scene = { .request = write_shared_file, .least = 20, .ret = 8 },
};

FIXTURE_VARIANT_ADD(request, write_private_file) {
	.scene = { .request = write_private_file, .least = 20, .ret = 8 },
};

FIXTURE_VARIANT_ADD(request, write_two_segments) {
	.scene = { .request = write_two_segments, .least = 20, .ret = 400 },
};

FIXTURE_SETUP(request)
{
	if (unavailable[0])
		SKIP(return, "%s", unavailable);
	if (variant->scene.compat && !board->compat)
		SKIP(return, "not in this kernel: 32-bit system calls");
	if (variant->scene.whom == DYING_TARGET && !have_uffd())
		SKIP(return, "not in this kernel: userfaultfd: %s", strerror(errno));
	dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, dev) {
		TH_LOG("%s: %s", PVMREAD_DEVICE, strerror(errno));
	}
	tracing_on = open_trace("tracing_on", O_WRONLY);
	ASSERT_LE(0, tracing_on);
	ASSERT_EQ(0, pipe2(told, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(ordered, O_CLOEXEC));
}

FIXTURE_TEARDOWN(request)
{
	if (tracing_on >= 0)
		(void)!write(tracing_on, "0", 1);
}

TEST_F(request, calls_the_same_functions_as_syscall)
{
	run_scene(_metadata, &variant->scene);
}

/* --- The whole path. Must follow the requests, because it counts what they saw. --- */

FIXTURE(path) {
};

FIXTURE_SETUP(path)
{
}

FIXTURE_TEARDOWN(path)
{
}

/* How often the sibling of a function was seen; it may also be a step itself. */
static unsigned int seen_near(size_t i, enum door door)
{
	size_t j;

	for (j = 0; path[i].sibling && j < STEPS; j++) {
		if (!strcmp(path[j].name, path[i].sibling))
			return board->steps[j][door];
	}
	return board->siblings[i][door];
}

TEST_F(path, every_listed_function_was_called_by_both)
{
	const unsigned int *seen;
	const char *how;
	size_t i;

	if (unavailable[0])
		SKIP(return, "%s", unavailable);
	for (i = 0; i < STEPS; i++) {
		seen = board->steps[i];
		if (strstr(path[i].name, "compat") && !board->compat) {
			printf("# %s: this kernel has no 32-bit system calls\n",
			       path[i].name);
			continue;
		}
		if (!address[i])
			how = "inlined: not in kallsyms";
		else if (!seen[SYSCALL] && !seen[IOCTL])
			how = "inlined in its caller: in kallsyms, but called by neither";
		else if (traceable[i])
			how = "traced";
		else
			how = "notrace: not in available_filter_functions; counted by a breakpoint";
		printf("# %s: %u by the syscall, %u by the ioctl; %s\n",
		       path[i].name, seen[SYSCALL], seen[IOCTL], how);
		if (seen[SYSCALL] && seen[IOCTL])
			continue;
		/* It may be inlined, but then its sibling must have been seen. */
		EXPECT_EQ(seen[SYSCALL], seen[IOCTL]);
		EXPECT_NE(NULL, path[i].sibling);
		EXPECT_NE(0, seen_near(i, SYSCALL));
		EXPECT_NE(0, seen_near(i, IOCTL));
	}
	for (i = 0; i < ARRAY_SIZE(differences); i++) {
		if (!board->met[i])
			printf("# a difference that this kernel does not show: %s\n",
			       differences[i].name);
	}
	fflush(stdout);
}

static bool has_int80(void)
{
	int status;
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(int80(NR32_GETPID, 0, 0, 0, 0, 0) == getpid() ? 0 : 1);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       !WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		return KSFT_FAIL;
	board->compat = has_int80();
	if (start_tracing()) {
		stop_tracing();
		return KSFT_FAIL;
	}
	if (!unavailable[0])
		atexit(stop_tracing);
	return test_harness_run(argc, argv);
}
