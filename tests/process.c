// SPDX-License-Identifier: GPL-2.0
/*
 * Helpers of the guest tests: processes that exit by themselves, target files, and
 * numbers that the kernel shows.
 */
#define _GNU_SOURCE
#include <linux/kernel-page-flags.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "numbers.h"
#include "process.h"

/* The harness runs each test in a child. They all share this. */
static bool *gave_up;

static __attribute__((constructor)) void share(void)
{
	gave_up = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (gave_up == MAP_FAILED)
		abort();
}

long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Repeat this after each change of credentials, which clears the parent-death signal. */
void die_with_parent(void)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		abort();
	alarm(LIFETIME_S);
}

int open_pidfd(pid_t pid)
{
	return syscall(SYS_pidfd_open, pid, 0);
}

/**
 * reap_in() - wait for a child, with a time limit
 * @pid: the child
 * @limit: time limit in milliseconds
 * @status: its status from waitpid(2)
 *
 * Return: the time that took, in milliseconds, or -1 if it has not ended.
 */
long reap_in(pid_t pid, int limit, int *status)
{
	struct pollfd pfd = { .fd = open_pidfd(pid), .events = POLLIN };
	long begin = now_ms();
	bool ended;

	ended = pfd.fd >= 0 && poll(&pfd, 1, limit) == 1;
	close(pfd.fd);
	if (!ended || waitpid(pid, status, 0) != pid)
		return -1;
	return now_ms() - begin;
}

/* Return: a child's status, or -1 if it does not end within @limit milliseconds. */
int reap(pid_t pid, int limit)
{
	int status;

	return reap_in(pid, limit, &status) < 0 ? -1 : status;
}

int told[2];

void tell(void)
{
	if (write(told[1], "r", 1) != 1)
		_exit(2);
}

/* Return: false if nothing comes for PATIENCE_MS. */
bool is_sent(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char c;

	return poll(&pfd, 1, PATIENCE_MS) == 1 && read(fd, &c, 1) == 1;
}

bool is_told(void)
{
	return is_sent(told[0]);
}

/* Return: @child once it is ready; or -1, and the child is killed. */
pid_t await_ready(pid_t child)
{
	if (child > 0 && !is_told()) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		return -1;
	}
	return child;
}

/* Return: a copy of the file descriptor @number of a process, or -1. */
int take_fd(pid_t pid, int number)
{
	int pidfd = open_pidfd(pid);
	int fd = syscall(SYS_pidfd_getfd, pidfd, number, 0);

	close(pidfd);
	return fd;
}

/* Copy this program to a new file. Return: 0, or -1 with errno set. */
int copy_program(const char *path, mode_t mode)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct stat st;
	int ret = -1;

	if (from >= 0 && to >= 0 && !fstat(from, &st) &&
	    sendfile(to, from, NULL, st.st_size) == st.st_size && !fchmod(to, mode))
		ret = 0;
	close(from);
	close(to);
	return ret;
}

/* Return: the fd of a target file, or -1 with errno set. */
int attach(int dev, pid_t pid, unsigned int flags, uint64_t start, uint64_t length)
{
	struct pvmread_attach arg = {
		.size = sizeof(arg),
		.flags = flags,
		.pid = pid,
		.start = start,
		.length = length,
	};

	return ioctl(dev, PVMREAD_IOC_ATTACH, &arg);
}

/* @feature: a bit of enum pvmread_feature */
bool has_feature(int dev, uint64_t feature)
{
	struct pvmread_info info = { .size = sizeof(info) };

	return !ioctl(dev, PVMREAD_IOC_INFO, &info) && info.features & feature;
}

/* Return: 0, or -1 with errno set; EAGAIN if that would wait. */
int send_fd(int sock, int fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} ctl = {};
	struct iovec vec = { "f", 1 };
	struct msghdr msg = {
		.msg_iov = &vec,
		.msg_iovlen = 1,
		.msg_control = &ctl,
		.msg_controllen = sizeof(ctl),
	};

	ctl.head.cmsg_len = CMSG_LEN(sizeof(int));
	ctl.head.cmsg_level = SOL_SOCKET;
	ctl.head.cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(&ctl.head), &fd, sizeof(fd));
	return sendmsg(sock, &msg, MSG_DONTWAIT) == 1 ? 0 : -1;
}

/* Return: the received file, or -1 if there was none. */
int receive_fd(int sock)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} ctl;
	char c;
	struct iovec vec = { &c, 1 };
	struct msghdr msg = {
		.msg_iov = &vec,
		.msg_iovlen = 1,
		.msg_control = &ctl,
		.msg_controllen = sizeof(ctl),
	};
	int fd;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1 ||
	    msg.msg_controllen < CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&fd, CMSG_DATA(&ctl.head), sizeof(fd));
	return fd;
}

/**
 * proc_number() - the number after a name in a file of /proc
 * @path: /proc/vmstat, /proc/meminfo, /proc/PID/status ...
 * @name: the first word of the line, with its colon if it has one
 *
 * Return: the number, or -1 if there is no such file or line.
 */
long proc_number(const char *path, const char *name)
{
	char line[256], word[64];
	long value, found = -1;
	FILE *f = fopen(path, "re");

	if (!f)
		return -1;
	while (found < 0 && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %ld", word, &value) == 2 && !strcmp(word, name))
			found = value;
	fclose(f);
	return found;
}

/* Return: 0, or -1 with errno set; like the shell's "echo TEXT >PATH". */
int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	int ret = -1;

	if (fd < 0)
		return -1;
	if (write(fd, text, strlen(text)) == (ssize_t)strlen(text))
		ret = 0;
	close(fd);
	return ret;
}

/* Like insmod(8) with these parameters. Return: 0, or -1 with errno set. */
int load(const char *parameters)
{
	int fd = open(MODULE_FILE, O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -1;
	ret = syscall(SYS_finit_module, fd, parameters, 0);
	close(fd);
	return ret;
}

/* Return: 0, or -1 with errno set; @flags are those of delete_module(2). */
int unload(int flags)
{
	return syscall(SYS_delete_module, MODULE_NAME, flags);
}

/*
 * Every open file of the device and every target file holds a reference to the module.
 * io_uring can keep its own reference to such a file for a while after the request has
 * completed or the ring was closed. Before a test counts references, it must wait until
 * those of the previous test are gone.
 *
 * Return: false if the module does not have exactly @refs references within PATIENCE_MS, or
 * is not loaded. After that no test of the program waits for references again, because each
 * would wait for the same leaked one.
 */
bool module_refs_become(long refs)
{
	long end = now_ms() + (*gave_up ? 0 : PATIENCE_MS), now;

	while ((now = number_in(MODULE_REFS)) != refs) {
		if (now < 0 || now_ms() > end) {
			*gave_up = true;
			fprintf(stderr, "# references to the module: %ld, not %ld\n", now, refs);
			return false;
		}
		usleep(1000);
	}
	return true;
}

struct pins pins(void)
{
	/* Each CPU keeps a part of the count until it is flushed. */
	write_file("/proc/sys/vm/stat_refresh", "1");
	return (struct pins){
		.acquired = proc_number("/proc/vmstat", "nr_foll_pin_acquired"),
		.released = proc_number("/proc/vmstat", "nr_foll_pin_released"),
	};
}

/* Return: the number of pins that have not been released. */
long pins_held(void)
{
	struct pins p = pins();

	return p.acquired - p.released;
}

/**
 * stray_pages() - count the anonymous pages that no process has mapped
 *
 * A page of a process that has ended is freed with its last reference. A leaked pin, or a
 * leaked reference that nr_foll_pin_* do not count, keeps it for ever. Pages on the lists of
 * each CPU are drained first.
 *
 * Return: how many pages, or -1 if this kernel does not show them.
 */
long stray_pages(void)
{
	/* A page of the kernel itself may look anonymous, but is not SWAPBACKED. */
	const uint64_t kind = 1ULL << KPF_ANON | 1ULL << KPF_SWAPBACKED;
	const uint64_t mask = kind | 1ULL << KPF_MMAP;
	uint64_t flags[512];
	long stray = 0;
	ssize_t len, i;
	int fd;

	/* Before the kernel drops any cache, it makes each CPU drain its lists. */
	write_file("/proc/sys/vm/drop_caches", "1");
	fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	while ((len = read(fd, flags, sizeof(flags))) > 0)
		for (i = 0; i < len / (ssize_t)sizeof(*flags); i++)
			stray += (flags[i] & mask) == kind;
	close(fd);
	return stray;
}
