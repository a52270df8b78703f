// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process that a subcommand works on.
 */
#include <ctype.h>
#include <dirent.h>
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

/* For C libraries without a wrapper. */
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

/* read_line() - the first line of a small file, without its newline */
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

/* read_field() - the text after @name in a file like /proc/PID/status; false: none */
static bool read_field(const char *path, const char *name, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	bool found = false;

	if (!file)
		return false;
	while (!found && fgets(text, size, file))
		found = !strncmp(text, name, strlen(name));
	fclose(file);
	if (found)
		memmove(text, text + strlen(name), strlen(text + strlen(name)) + 1);
	return found;
}

/*
 * check_proc() - whether /proc shows the PID namespace of this process
 *
 * After unshare(CLONE_NEWPID), /proc must be mounted again; until then /proc/PID is
 * another process. NSpid lists the PIDs of a process in all namespaces, from that of /proc
 * down to its own.
 */
static enum proc check_proc(void)
{
	char text[256];
	int inner;

	if (access("/proc/self/status", F_OK))
		return access("/proc/uptime", F_OK) ? PROC_MISSING : PROC_FOREIGN;
	if (!read_field("/proc/self/status", "Pid:", text, sizeof(text)) ||
	    strtol(text, NULL, 10) != getpid())
		return PROC_FOREIGN;
	if (read_field("/proc/self/status", "NSpid:", text, sizeof(text)) &&
	    sscanf(text, "%*d %d", &inner) == 1)
		return PROC_FOREIGN;
	return PROC_OURS;
}

void need_proc(const struct target *target, const char *what)
{
	if (target->proc == PROC_MISSING)
		fail(0, "%s of %s: /proc is not mounted", what, target->name);
	if (target->proc == PROC_FOREIGN)
		fail(0, "%s of %s: /proc belongs to another PID namespace; mount one for this "
		     "namespace", what, target->name);
}

static void name_target(struct target *target)
{
	char path[64], comm[32];

	snprintf(path, sizeof(path), "/proc/%d/comm", target->pid);
	if (target->proc == PROC_OURS && read_line(path, comm, sizeof(comm)))
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
		fail(0, "\"%s\" is not a process number as ps prints it", text);
	return pid;
}

/* in_user_namespace() - whether root here is not root of the whole machine */
static bool in_user_namespace(void)
{
	unsigned int inside, outside, length;
	char line[64];

	return read_line("/proc/self/uid_map", line, sizeof(line)) &&
	       (sscanf(line, "%u %u %u", &inside, &outside, &length) != 3 || outside ||
		length != UINT_MAX);
}

/*
 * refused() - fail() for EPERM, with the reason why the caller has no permission
 *
 * Yama checks only PTRACE_MODE_ATTACH. Following a link in /proc/PID/ns needs
 * PTRACE_MODE_READ. If that is also refused, Yama is not the reason.
 */
static void __attribute__((noreturn)) refused(const struct target *target)
{
	char path[64], scope[16] = "";
	struct stat st;

	if (target->proc != PROC_OURS)
		goto unknown;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", target->pid);
	if (stat(path, &st)) {
		if (in_user_namespace())
			fail(0, "%s: permission denied: %s", target->name,
			     "not yours, not dumpable, or in another user namespace");
		snprintf(path, sizeof(path), "/proc/%d", target->pid);
		if (geteuid() && !stat(path, &st) && st.st_uid != geteuid())
			fail(0, "%s: permission denied: not yours, or not dumpable; try as root",
			     target->name);
		goto unknown;
	}
	if (read_line("/proc/sys/kernel/yama/ptrace_scope", scope, sizeof(scope)) &&
	    strtol(scope, NULL, 10) > 0)
		fail(0, "%s: permission denied by Yama: kernel.yama.ptrace_scope is %s; %s",
		     target->name, scope,
		     scope[0] == '3' ? "it cannot be lowered until the next boot" : "try as root");
unknown:
	fail(0, "%s: %s", target->name, pvmread_strerror(EPERM));
}

/* is_thread() - whether @tid is a thread of the target */
static bool is_thread(const struct target *target, pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d", target->pid, tid);
	return !access(path, F_OK);
}

/* attach_number() - attach by the thread id @tid; ESRCH if it is no longer the target's */
static int attach_number(const struct target *target, int dev, pid_t tid, unsigned int flags)
{
	int fd = pvmread_attach(dev, tid, flags, 0, 0);

	if (fd >= 0 && (!target_is_alive(target) ||
			(tid != target->pid && !is_thread(target, tid)))) {
		close(fd);
		fd = -1;
		errno = ESRCH;
	}
	return fd;
}

/* attach_thread() - attach by any thread that has memory; sets @target->tid */
static int attach_thread(struct target *target, int dev, unsigned int flags)
{
	char path[64];
	struct dirent *entry;
	int fd = -1, error;
	DIR *dir;

	errno = ESRCH;
	if (target->proc != PROC_OURS)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/task", target->pid);
	dir = opendir(path);
	if (!dir) {
		if (errno == ENOENT)
			errno = ESRCH;
		return -1;
	}
	errno = ESRCH;
	/* Any error except ESRCH would be the same for every thread. */
	while (fd < 0 && errno == ESRCH) {
		entry = readdir(dir);
		if (!entry)
			break;
		if (!isdigit((unsigned char)*entry->d_name))
			continue;
		target->tid = strtol(entry->d_name, NULL, 10);
		fd = attach_number(target, dev, target->tid, flags);
	}
	error = errno;
	closedir(dir);
	errno = error;
	return fd;
}

/**
 * attach() - a target file of @target, or -1
 *
 * The main thread of a process may have ended before the others. It then has no memory,
 * and one of the others is attached.
 */
static int attach(struct target *target, int dev, unsigned int flags)
{
	int fd;

	target->tid = target->pid;
	fd = pvmread_attach(dev, target->pidfd, flags | PVMREAD_PIDFD, 0, 0);
	if (fd < 0 && errno == EOPNOTSUPP)
		fd = attach_number(target, dev, target->pid, flags);
	if (fd < 0 && errno == ESRCH && target_is_alive(target))
		fd = attach_thread(target, dev, flags);
	return fd;
}

/*
 * open_proc() - open the directory of @target->tid, so that its files are that thread's
 * even if the number is reused
 */
static void open_proc(struct target *target)
{
	char path[64];

	target->proc_dir = -1;
	if (target->proc != PROC_OURS)
		return;
	snprintf(path, sizeof(path), "/proc/%d", target->tid);
	target->proc_dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (target->proc_dir < 0 && errno != ENOENT)
		fail(errno, "%s", path);
	if (target->proc_dir < 0 || !is_thread(target, target->tid) || !target_is_alive(target))
		fail(0, "%s: has exited", target->name);
}

/* open_process() - set @target->pidfd to the process of the thread @tid */
static void open_process(struct target *target, pid_t tid)
{
	char path[64], text[64];

	target->pid = tid;
	snprintf(target->name, sizeof(target->name), "process %d", tid);
	target->pidfd = open_pidfd(tid);
	/* A thread that is not the main one; ENOENT from Linux 6.15 on */
	if (target->pidfd < 0 && (errno == EINVAL || errno == ENOENT)) {
		need_proc(target, "the process");
		snprintf(path, sizeof(path), "/proc/%d/status", tid);
		if (!read_field(path, "Tgid:", text, sizeof(text)))
			fail(0, "thread %d: has ended", tid);
		target->pid = strtol(text, NULL, 10);
		target->pidfd = open_pidfd(target->pid);
		if (target->pidfd >= 0 && !is_thread(target, tid))
			fail(0, "thread %d: has ended", tid);
	}
	if (target->pidfd < 0 && errno == ESRCH)
		fail(0, "%s: no such process", target->name);
	if (target->pidfd < 0)
		fail(errno, "%s: pidfd_open", target->name);
}

void target_open(struct target *target, const char *pid, unsigned int flags)
{
	const pid_t tid = parse_pid(pid);
	int dev = pvmread_open(flags & PVMREAD_WRITE ? O_RDWR : O_RDONLY);

	if (dev < 0)
		fail(0, "%s: %s", PVMREAD_DEVICE, pvmread_strerror(errno));

	target->flags = flags;
	target->proc = check_proc();
	open_process(target, tid);
	name_target(target);

	target->fd = attach(target, dev, flags);
	if (target->fd < 0 && errno == EPERM)
		refused(target);
	if (target->fd < 0 && errno == ESRCH)
		fail(0, "%s: %s", target->name, target_is_alive(target) ?
		     "has no memory: a kernel thread" : "has exited");
	if (target->fd < 0)
		fail(0, "%s: %s", target->name, pvmread_strerror(errno));
	close(dev);
	open_proc(target);
}

int target_again(const struct target *target, unsigned int flags)
{
	struct target copy = *target;
	int dev = pvmread_open(O_RDONLY);
	int fd;

	if (dev < 0)
		fail(0, "%s: %s", PVMREAD_DEVICE, pvmread_strerror(errno));
	fd = attach(&copy, dev, flags);
	if (fd < 0)
		fail(0, "%s: %s", target->name, pvmread_strerror(errno));
	close(dev);
	return fd;
}

void target_cache(struct target *target, uint64_t addr, uint64_t length, unsigned int flags)
{
	struct pvmread_info info;
	int dev = pvmread_open(O_RDONLY);
	char nothing;
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
	/* The process may have executed another program since the first attach. */
	if (pvmread_read(target->fd, 0, &nothing, 0) < 0) {
		close(fd);
		return;
	}
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
