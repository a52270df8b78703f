// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * libpvmread: the ioctls of /dev/pvmread as functions. libpvmread.h says what
 * each of them does.
 *
 * No function retries after EINTR. It mostly means that the caller is being killed;
 * linux/pvmread.h lists the exceptions, for ATTACH and mmap().
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Export only the functions that the header declares. */
#pragma GCC visibility push(default)
#include "libpvmread.h"
#pragma GCC visibility pop

static_assert(sizeof(off_t) == sizeof(uint64_t), "compile with -D_FILE_OFFSET_BITS=64");

int pvmread_open(int flags)
{
	struct pvmread_info info;
	int fd, error;

	if (flags != O_RDONLY && flags != O_RDWR) {
		errno = EINVAL;
		return -1;
	}

	/* The path may name something else, such as a FIFO: do not wait for it. */
	fd = open(PVMREAD_DEVICE, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		if (errno == ENOENT || errno == ENXIO || errno == ENOTDIR || errno == EISDIR)
			errno = ENODEV;
		/*
		 * A device cgroup refuses open(2) with EPERM. The library uses EPERM only for
		 * targets that the caller may not access.
		 */
		if (errno == EPERM)
			errno = EACCES;
		return -1;
	}
	if (pvmread_get_info(fd, &info)) {
		error = errno;
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

int pvmread_get_info(int dev, struct pvmread_info *info)
{
	*info = (struct pvmread_info){ .size = sizeof(*info) };
	if (!ioctl(dev, PVMREAD_IOC_INFO, info))
		return 0;
	/* A refusal by an LSM or seccomp says nothing about the file. */
	if (errno != EBADF && errno != EACCES && errno != EPERM)
		errno = ENODEV;
	return -1;
}

static ssize_t move_vectors(int dev, unsigned int command, pid_t pid,
			    const struct iovec *local_iov, unsigned long liovcnt,
			    const struct iovec *remote_iov, unsigned long riovcnt,
			    unsigned long flags)
{
	struct pvmread_rw rw = {
		.size = sizeof(rw),
		.flags = flags,
		.pid = pid,
		.local = (uintptr_t)local_iov,
		.local_count = liovcnt,
		.remote = (uintptr_t)remote_iov,
		.remote_count = riovcnt,
	};

	/* The syscall's flags are wider than the ioctl's. */
	if (rw.flags != flags) {
		errno = EINVAL;
		return -1;
	}
	return ioctl(dev, command, &rw) ? -1 : (ssize_t)rw.transferred;
}

ssize_t pvmread_readv(int dev, pid_t pid,
		      const struct iovec *local_iov, unsigned long liovcnt,
		      const struct iovec *remote_iov, unsigned long riovcnt,
		      unsigned long flags)
{
	return move_vectors(dev, PVMREAD_IOC_READV, pid, local_iov, liovcnt,
			    remote_iov, riovcnt, flags);
}

ssize_t pvmread_writev(int dev, pid_t pid,
		       const struct iovec *local_iov, unsigned long liovcnt,
		       const struct iovec *remote_iov, unsigned long riovcnt,
		       unsigned long flags)
{
	return move_vectors(dev, PVMREAD_IOC_WRITEV, pid, local_iov, liovcnt,
			    remote_iov, riovcnt, flags);
}

int pvmread_attach(int dev, pid_t pid, unsigned int flags,
		   uint64_t start, uint64_t length)
{
	struct pvmread_attach attach = {
		.size = sizeof(attach),
		.flags = flags,
		.pid = pid,
		.start = start,
		.length = length,
	};

	return ioctl(dev, PVMREAD_IOC_ATTACH, &attach);
}

/*
 * Move one segment. Return: 0, or -1 with the errno of the BATCH or the
 * segment's own; seg->done is how many bytes were moved in either case.
 */
static int move_segment(int target, struct pvmread_segment *seg, unsigned int flags)
{
	struct pvmread_batch batch = {
		.size = sizeof(batch),
		.flags = flags,
		.segments = (uintptr_t)seg,
		.count = 1,
	};

	if (ioctl(target, PVMREAD_IOC_BATCH, &batch))
		return -1;
	if (!seg->error)
		return 0;
	errno = seg->error;
	return -1;
}

/* Less than the kernel's maximum per call, which is 2 GiB less a page. */
#define MOST_BYTES	((size_t)1 << 30)

/* Like pread() or pwrite(), but at any address: those reject 2^63 and above. */
static ssize_t move_some(int target, uint64_t addr, void *buf, size_t len, bool write)
{
	struct pvmread_segment seg = {
		.remote = addr,
		.local = (uintptr_t)buf,
		.length = len,
	};

	if (addr > INT64_MAX) {
		int ret = move_segment(target, &seg, write ? PVMREAD_WRITE : 0);

		return seg.done ? (ssize_t)seg.done : ret;
	}
	return write ? pwrite(target, buf, len, addr) : pread(target, buf, len, addr);
}

/* After a short transfer, continue until a call fails and says why. */
static ssize_t move_all(int target, uint64_t addr, char *buf, size_t len, bool write)
{
	size_t done = 0;
	ssize_t ret;

	/* A larger count does not fit into the return value. */
	if (len > SSIZE_MAX)
		len = SSIZE_MAX;
	do {
		size_t some = len - done;

		/* The whole buffer of one call must lie within user space. */
		if (some > MOST_BYTES)
			some = MOST_BYTES;
		ret = move_some(target, addr + done, buf + done, some, write);
		if (ret > 0)
			done += ret;
	} while (ret > 0 && done < len);
	return done ? (ssize_t)done : ret;
}

ssize_t pvmread_read(int target, uint64_t addr, void *buf, size_t len)
{
	return move_all(target, addr, buf, len, false);
}

ssize_t pvmread_write(int target, uint64_t addr, const void *buf, size_t len)
{
	return move_all(target, addr, (void *)buf, len, true);
}

ssize_t pvmread_read_string(int target, uint64_t addr, char *buf, size_t size)
{
	size_t len = 0;

	if (size > SSIZE_MAX)
		size = SSIZE_MAX;
	/* A segment moves at most as much as a read(2); a string can be longer. */
	do {
		struct pvmread_segment seg = {
			.remote = addr + len,
			.local = (uintptr_t)buf + len,
			.length = size - len,
			.flags = PVMREAD_SEGMENT_STRING,
		};

		if (move_segment(target, &seg, 0))
			return -1;
		len += seg.done;
		if (len && !buf[len - 1])
			return len - 1;
	} while (len < size);
	if (size)
		buf[size - 1] = '\0';
	return size;
}

/* The module truncates a long segment without an error. A string is complete after its NUL. */
static bool is_complete(const struct pvmread_segment *seg)
{
	const char *local = (const char *)(uintptr_t)seg->local;

	if (seg->error || seg->done == seg->length)
		return !seg->error;
	return seg->flags & PVMREAD_SEGMENT_STRING && seg->done && !local[seg->done - 1];
}

ssize_t pvmread_batch(int target, struct pvmread_segment *segs, size_t count,
		      unsigned int flags)
{
	size_t done = 0, most = count;

	do {
		struct pvmread_batch batch = {
			.size = sizeof(batch),
			.flags = flags,
			.segments = (uintptr_t)(segs + done),
			.count = count - done < most ? count - done : most,
		};
		int ret = ioctl(target, PVMREAD_IOC_BATCH, &batch);

		/* A target file does not report max_batch: halve the count until it fits. */
		if (ret && errno == EINVAL && batch.count > 1) {
			most = batch.count / 2;
			continue;
		}
		done += batch.completed;
		if (ret)
			return done ? (ssize_t)done : -1;
		/* The incomplete segment may have been the last one of its ioctl. */
		if (flags & PVMREAD_STOP && done && !is_complete(&segs[done - 1]))
			break;
	} while (done < count);
	return done;
}

/* The number of bytes before @addr in its page. */
static size_t in_page(uint64_t addr)
{
	return addr & (sysconf(_SC_PAGESIZE) - 1);
}

const void *pvmread_map(int target, uint64_t addr, size_t len)
{
	size_t before = in_page(addr);
	char *window;

	/* The kernel rounds the length up. */
	if (!len || len > SIZE_MAX - before || addr > UINT64_MAX - len) {
		errno = EINVAL;
		return NULL;
	}
	window = mmap(NULL, before + len, PROT_READ, MAP_SHARED, target, addr - before);
	return window == MAP_FAILED ? NULL : window + before;
}

int pvmread_unmap(const void *window, size_t len)
{
	size_t before = in_page((uintptr_t)window);

	return munmap((char *)window - before, before + len);
}

ssize_t pvmread_map_read(const void *window, size_t offset, void *buf, size_t len)
{
	size_t done = 0;
	ssize_t ret;

	if (len > SSIZE_MAX)
		len = SSIZE_MAX;
	do {
		struct iovec from = { (char *)window + offset + done, len - done };
		struct iovec to = { (char *)buf + done, len - done };

		ret = process_vm_writev(getpid(), &from, 1, &to, 1, 0);
		if (ret > 0)
			done += ret;
	} while (ret > 0 && done < len);
	if (ret < 0 && errno == EFAULT)
		errno = EIO;
	return done ? (ssize_t)done : ret;
}

const char *pvmread_strerror(int error)
{
	const char *text;

	switch (error) {
	case ENODEV:
		return "no " PVMREAD_DEVICE " here: load the module (as root: modprobe pvmread)";
	case EACCES:
		return "no permission to open " PVMREAD_DEVICE
		       ": be root, or a member of its group (usermod -aG pvmread USER);"
		       " in a container, allow the device";
	case EPERM:
		return "not permitted: be the process's user (and see ptrace_scope) or root";
	case ESRCH:
		return "no such process: it has exited, has called execve, or has no memory";
	case ENXIO:
		return "not in the range that was attached";
	case EIO:
		return "not mapped, not accessible or not in the range: see /proc/PID/maps";
	case EFAULT:
		return "bad address in the caller, or at the first byte in the process";
	case EAGAIN:
		return "not available without waiting: try without PVMREAD_NOWAIT";
	case EROFS:
		return "the module does not write: it was loaded with readonly=1";
	case EBADF:
		return "not an open file, not a pidfd, or not for writing (O_RDWR, PVMREAD_WRITE)";
	case EINVAL:
		return "invalid request: unknown flag, more than 1024 iovecs, or an invalid range";
	case EOPNOTSUPP:
		return "not supported by this kernel or module: PVMREAD_PIDFD, PVMREAD_CACHE;"
		       " or PVMREAD_WINDOW (needs modprobe pvmread windows=1)";
	case ENOTTY:
	case E2BIG:
		return "the file does not take this call, or the module is too old: update it";
	case ENOMEM:
		return "the kernel has no memory for the request or for the process's page";
	case EINTR:
		return "a signal interrupted the call, or the caller is being killed";
	default:
		/* strerror() would translate the text, and use a static buffer. */
		text = strerrordesc_np(error);
		return text ? text : "unknown error";
	}
}
