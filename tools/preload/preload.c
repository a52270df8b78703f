// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * libpvmread-preload: process_vm_readv(2) and process_vm_writev(2) of an
 * unmodified program through /dev/pvmread.
 *
 * A program may call these functions wherever it may make the two system calls:
 * in a signal handler, from many threads, after fork() or vfork(), or after it has
 * closed every file. So the shim takes no lock and allocates nothing.
 *
 * The program may close the shim's descriptor and open another file that gets the same
 * number. fstat(2) detects this, but takes a third as long as process_vm_readv(2). So the
 * shim calls fstat(2) only
 *
 *  - before the first call in each tick of the kernel's clock (1 to 10 ms), and
 *  - when the module has not answered. The module always sets @transferred.
 *
 * The shim may thus send an ioctl to a file of the program. This takes four steps within one
 * tick:
 *
 *  - The program makes a call.
 *  - It closes the descriptor.
 *  - It gets a file with the same high number, by dup2() or by opening many files.
 *  - It makes another call.
 *
 * The ioctl is almost harmless:
 *
 *  - No driver in Linux 6.12 to 7.3 has commands of type 0xd5. Two in 6.12 are known to check
 *    only the number of a command, which is 1 or 2, and not its type. amdkfd returns 0 or an
 *    error and does nothing. nvdimm, whose files only root can open, returns the state of a
 *    DIMM or of its bus, or starts a scrub.
 *  - The struct has room behind it for the 132 bytes that nvdimm writes.
 *  - Even if the driver returns 0, @transferred shows that the module has not answered.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

/* Compiled in: the program must not need libpvmread.so, nor see its functions. */
#include "../lib/libpvmread.c"

#define EXPORT	__attribute__((visibility("default")))

/* The flags of the upstream series, which no libc has yet. */
#define PROCESS_VM_PIDFD	1UL
#define PROCESS_VM_NOWAIT	2UL

static_assert(PROCESS_VM_PIDFD == PVMREAD_PIDFD, "they are passed on as they are");
static_assert(PROCESS_VM_NOWAIT == PVMREAD_NOWAIT, "they are passed on as they are");

enum { READV, WRITEV, CALLS };
enum { DEVICE, KERNEL, WAYS };

struct counter {
	atomic_ullong calls;
	atomic_ullong failed;
	atomic_ullong bytes;
};

/**
 * struct process - the shim's state in one process
 * @pid: the process, or 0 in a child that a bare clone(2) made
 * @warned: the warning that there is no device was printed
 * @reported: the counters were printed
 * @seen: the tick in which fstat(2) last found the device at the descriptor, or 0
 * @missed: the tick in which the device could not be opened, or 0
 * @counters: the calls through the device and through the kernel
 *
 * It is in memory that is all zeros in a forked child (MADV_WIPEONFORK). A child of
 * vfork(2) shares all memory with its parent, so it finds the parent's @pid.
 */
struct process {
	atomic_int pid;
	atomic_int warned;
	atomic_int reported;
	atomic_llong seen;
	atomic_llong missed;
	struct counter counters[CALLS][WAYS];
};

/* Used until start() has run, and on kernels without MADV_WIPEONFORK. */
static struct process early;
static struct process *own = &early;

static bool trace;

/* The flags of PVMREAD_FLAGS, added to every ioctl */
static unsigned int more_flags;

/* The stderr that the program was started with, and a copy for the trace. */
static bool has_stderr;
static dev_t stderr_dev;
static ino_t stderr_ino;
static int stderr_copy = -1;

static atomic_int device_fd = -1;
/* How often the device was opened. A new file may get the same descriptor again. */
static atomic_uint openings;
static atomic_ullong device_rdev;

typedef long syscall_fn(long number, ...);
static atomic_uintptr_t next;

static syscall_fn *next_syscall(void)
{
	syscall_fn *fn = (syscall_fn *)atomic_load(&next);

	/* Only constructors that run before start() find it unset. */
	if (!fn) {
		fn = (syscall_fn *)dlsym(RTLD_NEXT, "syscall");
		atomic_store(&next, (uintptr_t)fn);
	}
	return fn;
}

/* --- text, because stdio is not async-signal-safe --- */

struct text {
	char buf[640];
	size_t len;
};

static void add_some(struct text *text, const char *string, size_t most)
{
	while (most-- && *string && text->len < sizeof(text->buf))
		text->buf[text->len++] = *string++;
}

static void add(struct text *text, const char *string)
{
	add_some(text, string, SIZE_MAX);
}

static void add_number(struct text *text, unsigned long long number)
{
	char digits[24], *digit = digits + sizeof(digits);

	*--digit = '\0';
	do {
		*--digit = '0' + number % 10;
		number /= 10;
	} while (number);
	add(text, digit);
}

/* After a program closes stderr, a file with its data may get the same number. */
static bool is_stderr(int fd)
{
	struct stat st;

	return has_stderr && !fstat(fd, &st) &&
	       st.st_dev == stderr_dev && st.st_ino == stderr_ino;
}

/*
 * Write to stderr. The program must not get a SIGPIPE from this, and no thread may be
 * cancelled here, because the two system calls are not cancellation points.
 */
static void say(const struct text *text)
{
	static const struct timespec now;
	sigset_t sigpipe, pending, old;
	int fd = stderr_copy, cancel;

	if (!is_stderr(fd))
		fd = STDERR_FILENO;
	if (!is_stderr(fd))
		return;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	sigemptyset(&sigpipe);
	sigaddset(&sigpipe, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &sigpipe, &old);
	if (write(fd, text->buf, text->len) < 0 && errno == EPIPE &&
	    !sigismember(&pending, SIGPIPE))
		sigtimedwait(&sigpipe, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_setcancelstate(cancel, NULL);
}

/* --- PVMREAD_FLAGS --- */

/* Why the variable is ignored; empty if it is not */
static struct text complaint;

/* Set @more_flags and @complaint from a comma-separated list. */
static void read_flags(const char *list)
{
	static const struct {
		const char *word;
		unsigned int flag;
	} known[] = {
		{ "nowait", PVMREAD_NOWAIT },
		{ "resident", PVMREAD_RESIDENT },
		{ NULL, 0 },
	}, *flag;
	unsigned int flags = 0;
	size_t len;

	for (; *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		for (flag = known; flag->word; flag++)
			if (len == strlen(flag->word) && !strncmp(list, flag->word, len))
				break;
		if (flag->word) {
			flags |= flag->flag;
		} else if (len) {
			add(&complaint, "pvmread-preload: PVMREAD_FLAGS is ignored: ");
			add(&complaint, "unknown word '");
			add_some(&complaint, list, len < 64 ? len : 64);
			add(&complaint, "'; use nowait, resident, or both separated by a comma\n");
			return;
		}
	}
	more_flags = flags;
}

/* Print @complaint at the first call: most programs that inherit the variable make no call. */
static void complain(void)
{
	static atomic_int complained;

	if (complaint.len && !atomic_exchange(&complained, true))
		say(&complaint);
}

/* --- the device --- */

#define NS_PER_S	1000000000LL

/*
 * The time of the last timer interrupt, in nanoseconds. The vDSO reads it without a system
 * call, whatever the clock source is.
 */
static long long tick(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static bool is_device(int fd)
{
	struct stat st;

	return fd >= 0 && !fstat(fd, &st) && S_ISCHR(st.st_mode) &&
	       st.st_rdev == atomic_load(&device_rdev);
}

static bool is_read_only(int fd)
{
	return (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY;
}

/*
 * Copy @fd to a high number, because programs expect that their next file gets the
 * lowest. Begin at 960 or lower, so that the kernel does not need a large table for it.
 * Return: the copy, or -1.
 */
static int copy_high(int fd)
{
	struct rlimit limit;
	rlim_t most = 1024;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < most)
		most = limit.rlim_cur;
	return fcntl(fd, F_DUPFD_CLOEXEC, (int)(most - most / 16));
}

/* Return: a new file of the device, or -1 with errno as pvmread_open() sets it. */
static int open_device(void)
{
	int fd, high;
	struct stat st;

	fd = pvmread_open(O_RDWR);
	if (fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS))
		fd = pvmread_open(O_RDONLY);
	if (fd < 0)
		return -1;
	if (!fstat(fd, &st))
		atomic_store(&device_rdev, st.st_rdev);
	high = copy_high(fd);
	if (high < 0)
		return fd;
	close(fd);
	return high;
}

/* Open the device again; @fd is the old value of @device_fd. Return: as device() */
static int reopen_device(int fd)
{
	int opened;

	atomic_fetch_add(&openings, 1);
	opened = open_device();
	while (opened >= 0 && !atomic_compare_exchange_strong(&device_fd, &fd, opened)) {
		/* Another thread was quicker, or a signal handler. */
		if (is_device(fd)) {
			close(opened);
			return fd;
		}
	}
	return opened;
}

/* Say once why there is no device. */
static void warn(int error)
{
	struct text text = { .len = 0 };

	if (atomic_exchange(&own->warned, true))
		return;
	add(&text, "pvmread-preload: ");
	add(&text, pvmread_strerror(error));
	add(&text, "; the kernel's own system calls are used");
	add(&text, more_flags ? ", without PVMREAD_FLAGS\n" : "\n");
	say(&text);
}

/*
 * True if @own is this process's. A child of vfork(2) shares its parent's memory, but has
 * descriptors of its own.
 */
static bool is_owner(void)
{
	int pid = atomic_load(&own->pid);

	return !pid || pid == getpid();
}

/* After a failed open(2), this process waits a second before it tries again. */
static inline bool is_missing(long long now)
{
	long long missed = atomic_load(&own->missed);

	return missed && now - missed < NS_PER_S;
}

/*
 * The slow path of device(): check with fstat(2), and open the device if necessary. A file
 * that has the number but is not the device is the program's, and stays open.
 */
static __attribute__((noinline)) int find_device(int fd, long long now)
{
	bool owner = is_owner();
	int cancel;

	complain();
	if (is_device(fd)) {
		atomic_store(&own->seen, owner ? now : 0);
		return fd;
	}
	if (is_missing(now))
		return -1;
	/* open(2) is a cancellation point; the two system calls are not. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	fd = reopen_device(fd);
	if (fd < 0)
		warn(errno);
	pthread_setcancelstate(cancel, NULL);
	atomic_store(&own->seen, owner && fd >= 0 ? now : 0);
	atomic_store(&own->missed, owner && fd < 0 ? now : 0);
	return fd;
}

/*
 * Return: a descriptor of the device, or -1. It has been checked with fstat(2) in this tick,
 * or, with @sure, in this call.
 */
static inline int device(bool sure)
{
	int fd = atomic_load(&device_fd);
	long long now = tick();

	if (fd < 0 ? is_missing(now) : !sure && atomic_load(&own->seen) == now)
		return fd;
	return find_device(fd, now);
}

/* --- the system calls --- */

/* Translate the module's errno to that of the system call. */
static void translate_errno(int fd, int call)
{
	if (errno == EROFS)
		errno = EPERM;
	else if (errno == EOPNOTSUPP)
		errno = EINVAL;
	else if (errno == EBADF && call == WRITEV && is_read_only(fd))
		errno = EPERM;	/* otherwise the pidfd is bad */
}

/*
 * No request can move so many bytes. The module sets @transferred in every request that it
 * accepts, and never sets @size.
 */
#define UNANSWERED	UINT64_MAX

/* Return: as the system call. Set @answered to whether the module has answered. */
static inline __attribute__((always_inline)) ssize_t
through_device(int fd, int call, pid_t pid, const struct iovec *local, unsigned long liovcnt,
	       const struct iovec *remote, unsigned long riovcnt, unsigned long flags,
	       bool *answered)
{
	struct {
		struct pvmread_rw rw;
		char room[192];
	} arg;
	int ret;

	*answered = true;
	if (flags & ~(PROCESS_VM_PIDFD | PROCESS_VM_NOWAIT)) {
		errno = EINVAL;
		return -1;
	}
	arg.rw = (struct pvmread_rw){
		.size = sizeof(arg.rw),
		.flags = flags | more_flags,
		.pid = pid,
		.local = (uintptr_t)local,
		/* The system call uses only the low half of the count. */
		.local_count = (unsigned int)liovcnt,
		.remote = (uintptr_t)remote,
		.remote_count = riovcnt,
		.transferred = UNANSWERED,
	};
	ret = ioctl(fd, call == WRITEV ? PVMREAD_IOC_WRITEV : PVMREAD_IOC_READV, &arg);
	*answered = arg.rw.transferred != UNANSWERED && arg.rw.size == sizeof(arg.rw);
	if (!ret)
		return *answered ? (ssize_t)arg.rw.transferred : 0;
	translate_errno(fd, call);
	return -1;
}

static inline __attribute__((always_inline)) ssize_t
through_kernel(int call, pid_t pid, const struct iovec *local, unsigned long liovcnt,
	       const struct iovec *remote, unsigned long riovcnt, unsigned long flags)
{
	ssize_t ret;

	ret = next_syscall()(call == WRITEV ? SYS_process_vm_writev : SYS_process_vm_readv,
			     pid, local, liovcnt, remote, riovcnt, flags);
	/* Neither way works: try to open the device again at the next call. */
	if (ret < 0 && errno == ENOSYS)
		atomic_store(&own->missed, 0);
	return ret;
}

static inline __attribute__((always_inline)) ssize_t
process_vm(int call, pid_t pid, const struct iovec *local, unsigned long liovcnt,
	   const struct iovec *remote, unsigned long riovcnt, unsigned long flags)
{
	bool answered, sure;
	int saved = errno, way = DEVICE, fd;
	struct counter *counter;
	unsigned int opening;
	ssize_t ret;

	for (sure = false;; sure = true) {
		opening = atomic_load(&openings);
		fd = device(sure);
		if (fd < 0) {
			way = KERNEL;
			ret = through_kernel(call, pid, local, liovcnt, remote, riovcnt, flags);
			break;
		}
		ret = through_device(fd, call, pid, local, liovcnt, remote, riovcnt, flags,
				     &answered);
		if (answered)
			break;
		/*
		 * An LSM or seccomp may have rejected the ioctl. Assume so if the descriptor was
		 * the device's before and after the call, and no thread has reopened it.
		 */
		if (sure && is_device(fd) && opening == atomic_load(&openings))
			break;
	}

	counter = &own->counters[call][way];
	atomic_fetch_add(&counter->calls, 1);
	if (ret < 0) {
		atomic_fetch_add(&counter->failed, 1);
	} else {
		atomic_fetch_add(&counter->bytes, ret);
		errno = saved;
	}
	return ret;
}

EXPORT ssize_t process_vm_readv(pid_t pid, const struct iovec *local, unsigned long liovcnt,
				const struct iovec *remote, unsigned long riovcnt,
				unsigned long flags)
{
	return process_vm(READV, pid, local, liovcnt, remote, riovcnt, flags);
}

EXPORT ssize_t process_vm_writev(pid_t pid, const struct iovec *local, unsigned long liovcnt,
				 const struct iovec *remote, unsigned long riovcnt,
				 unsigned long flags)
{
	return process_vm(WRITEV, pid, local, liovcnt, remote, riovcnt, flags);
}

/* --- the trace --- */

static void add_counter(struct text *text, const char *way, const struct counter *counter)
{
	add(text, way);
	add_number(text, atomic_load(&counter->calls));
	add(text, " calls, ");
	add_number(text, atomic_load(&counter->failed));
	add(text, " failed, ");
	add_number(text, atomic_load(&counter->bytes));
	add(text, " bytes");
}

static bool has_called(void)
{
	int call, way;

	for (call = 0; call < CALLS; call++)
		for (way = 0; way < WAYS; way++)
			if (atomic_load(&own->counters[call][way].calls))
				return true;
	return false;
}

/* At exit: print the counters, if PVMREAD_TRACE=1 and the process made a call. */
static void report(void)
{
	static const char * const names[CALLS] = { "process_vm_readv", "process_vm_writev" };
	struct text text = { .len = 0 };
	int self, i;

	/* Make no system call before this, not even getpid(): strace counts those of a child. */
	if (!trace || !has_called())
		return;
	/* In a child of vfork(), the counters are the parent's. */
	if (!is_owner() || atomic_exchange(&own->reported, true))
		return;
	self = getpid();
	for (i = 0; i < CALLS; i++) {
		add(&text, "pvmread-preload: pid ");
		add_number(&text, self);
		add(&text, ": ");
		add(&text, names[i]);
		add_counter(&text, ": device: ", &own->counters[i][DEVICE]);
		add_counter(&text, "; kernel: ", &own->counters[i][KERNEL]);
		add(&text, "\n");
	}
	say(&text);
}

EXPORT long syscall(long number, ...)
{
	unsigned long arg[6];
	va_list ap;
	size_t i;

	/* Pass on six arguments, the maximum: only the kernel knows how many there are. */
	va_start(ap, number);
	for (i = 0; i < 6; i++)
		arg[i] = va_arg(ap, unsigned long);
	va_end(ap);

	switch (number) {
	case SYS_process_vm_readv:
	case SYS_process_vm_writev:
		return process_vm(number == SYS_process_vm_writev ? WRITEV : READV, arg[0],
				  (const struct iovec *)arg[1], arg[2],
				  (const struct iovec *)arg[3], arg[4], arg[5]);
	case SYS_exit_group:
		report();
		break;
	}
	return next_syscall()(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

/* _exit() and _Exit() run no destructor. */
EXPORT void _exit(int status)
{
	report();
	for (;;)
		next_syscall()(SYS_exit_group, status);
}

/* The C standard's name of _exit() */
EXPORT void c_exit(int status) __asm__("_Exit");
void c_exit(int status)
{
	_exit(status);
}

static void claim(void)
{
	atomic_store(&own->pid, getpid());
	/* Without MADV_WIPEONFORK these are still the parent's. */
	atomic_store(&own->seen, 0);
	atomic_store(&own->missed, 0);
}

static __attribute__((constructor)) void start(void)
{
	const char *wish = secure_getenv("PVMREAD_TRACE");
	const char *flags = secure_getenv("PVMREAD_FLAGS");
	struct process *page;
	struct stat st;

	next_syscall();

	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	if (page != MAP_FAILED && !madvise(page, sizeof(*page), MADV_WIPEONFORK)) {
		*page = early;
		own = page;
	}
	claim();
	/* A child of a bare clone(2) runs no such handler, so its @pid stays 0. */
	pthread_atfork(NULL, NULL, claim);

	if (!fstat(STDERR_FILENO, &st)) {
		has_stderr = true;
		stderr_dev = st.st_dev;
		stderr_ino = st.st_ino;
	}
	if (flags)
		read_flags(flags);
	trace = wish && !strcmp(wish, "1");
	if (trace) {
		/* Programs that check for write errors close stderr at exit. */
		stderr_copy = copy_high(STDERR_FILENO);
		at_quick_exit(report);
	}
}

static __attribute__((destructor)) void end(void)
{
	report();
}
