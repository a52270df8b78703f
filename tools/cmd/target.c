// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process that a subcommand works on.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cmd.h"

/* The system calls, for C libraries that are older than their wrappers. */
static int open_pidfd(pid_t pid)
{
	return syscall(SYS_pidfd_open, pid, 0);
}

bool target_ends_within(const struct target *target, int ms)
{
	struct pollfd end = { .fd = target->pidfd, .events = POLLIN };

	return poll(&end, 1, ms) > 0;
}

bool target_is_alive(const struct target *target)
{
	return !target_ends_within(target, 0);
}

/* read_line() - the first line of a small file, without its end */
static bool read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	bool ok;

	if (!file)
		return false;
	ok = fgets(line, size, file);
	fclose(file);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

static void name_target(struct target *target)
{
	char path[64], comm[32];

	snprintf(path, sizeof(path), "/proc/%d/comm", target->pid);
	if (read_line(path, comm, sizeof(comm)))
		snprintf(target->name, sizeof(target->name), "process %d (%s)", target->pid,
			 printable(comm));
	else
		snprintf(target->name, sizeof(target->name), "process %d", target->pid);
}

static pid_t parse_pid(const char *text)
{
	unsigned long long pid;
	char *end;

	errno = 0;
	pid = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || !pid || pid > INT_MAX)
		fail(0, "\"%s\" is no process number: give one as ps prints it", text);
	return pid;
}

/* refused() - fail() for EPERM, with what keeps this caller out */
static void __attribute__((noreturn)) refused(const struct target *target)
{
	char path[64], scope[16] = "";
	struct stat proc;

	snprintf(path, sizeof(path), "/proc/%d", target->pid);
	if (geteuid() && !stat(path, &proc) && proc.st_uid != geteuid())
		fail(0, "%s: permission denied: not yours, or not dumpable; try as root",
		     target->name);
	if (read_line("/proc/sys/kernel/yama/ptrace_scope", scope, sizeof(scope)) &&
	    strtol(scope, NULL, 10) > 0)
		fail(0, "%s: permission denied by Yama: kernel.yama.ptrace_scope is %s; %s",
		     target->name, scope,
		     scope[0] == '3' ? "it stays so until the next boot" : "try as root");
	fail(0, "%s: %s", target->name, pvmread_strerror(EPERM));
}

/* attach() - a target file for what @target->pidfd names, or -1 */
static int attach(const struct target *target, int dev, unsigned int flags)
{
	int fd = pvmread_attach(dev, target->pidfd, flags | PVMREAD_PIDFD, 0, 0);

	if (fd >= 0 || errno != EOPNOTSUPP)
		return fd;
	/* By number, then: it was still the target's if the target is there afterwards. */
	fd = pvmread_attach(dev, target->pid, flags, 0, 0);
	if (fd >= 0 && !target_is_alive(target)) {
		close(fd);
		fd = -1;
		errno = ESRCH;
	}
	return fd;
}

void target_open(struct target *target, const char *pid, unsigned int flags)
{
	int dev;

	target->pid = parse_pid(pid);
	snprintf(target->name, sizeof(target->name), "process %d", target->pid);
	dev = pvmread_open(flags & PVMREAD_WRITE ? O_RDWR : O_RDONLY);
	if (dev < 0)
		fail(0, "%s: %s", PVMREAD_DEVICE, pvmread_strerror(errno));

	target->pidfd = open_pidfd(target->pid);
	if (target->pidfd < 0 && errno == ESRCH)
		fail(0, "%s: no such process", target->name);
	/* ENOENT from Linux 6.15 on */
	if (target->pidfd < 0 && (errno == EINVAL || errno == ENOENT))
		fail(0, "%s: a thread of another process; give that one's number", target->name);
	if (target->pidfd < 0)
		fail(errno, "%s: pidfd_open", target->name);
	name_target(target);

	target->fd = attach(target, dev, flags);
	if (target->fd < 0 && errno == EPERM)
		refused(target);
	if (target->fd < 0 && errno == ESRCH)
		fail(0, "%s: %s", target->name, target_is_alive(target) ?
		     "has no memory: a kernel thread, or its main thread has ended" : "has exited");
	if (target->fd < 0)
		fail(0, "%s: %s", target->name, pvmread_strerror(errno));
	close(dev);
}

void target_cache(struct target *target, uint64_t addr, uint64_t length, unsigned int flags)
{
	struct pvmread_info info;
	int dev = pvmread_open(O_RDONLY);
	int fd = -1;

	if (dev < 0)
		return;
	if (!pvmread_get_info(dev, &info) && info.features & PVMREAD_FEATURE_CACHE &&
	    info.features & PVMREAD_FEATURE_PIDFD)
		fd = pvmread_attach(dev, target->pidfd, flags | PVMREAD_PIDFD | PVMREAD_CACHE,
				    addr, length);
	close(dev);
	if (fd < 0)
		return;
	close(target->fd);
	target->fd = fd;
}

int target_read(const struct target *target, uint64_t addr, void *buf, size_t len, size_t *done)
{
	ssize_t got;

	for (*done = 0; *done < len; *done += got) {
		got = pvmread_read(target->fd, addr + *done, (char *)buf + *done, len - *done);
		if (got <= 0)
			return got ? errno : EIO;
	}
	return 0;
}
