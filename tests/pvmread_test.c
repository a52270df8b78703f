// SPDX-License-Identifier: GPL-2.0
/*
 * Code of the guest tests: one request, sent by system call or through the device.
 */
#define _GNU_SOURCE
#include <sys/utsname.h>

#include "pvmread_test.h"

/* A 32-bit program may also run on a 64-bit kernel. */
bool has_64_bit_kernel(void)
{
	struct utsname system;

	return sizeof(long) == 8 || (!uname(&system) && strstr(system.machine, "64"));
}

/* Return: 1000 * major + minor, for example 6012. */
unsigned int kernel_version(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname system;

	if (!uname(&system))
		sscanf(system.release, "%u.%u", &major, &minor);
	return 1000 * major + minor;
}

/**
 * send_syscall() - the request as a system call
 * @req: the request
 *
 * Return: bytes moved, or -1 with errno set.
 */
ssize_t send_syscall(const struct request *req)
{
	return syscall(req->write ? SYS_process_vm_writev :
				    SYS_process_vm_readv,
		       req->pid, req->local, req->local_count,
		       req->remote, req->remote_count, 0UL);
}

/**
 * send_ioctl() - the same request through the device
 * @fd: open file of PVMREAD_DEVICE
 * @req: the request
 * @rw: if not NULL, the struct as it came back
 *
 * Return: bytes moved, or -1 with errno set, as send_syscall().
 */
ssize_t send_ioctl(int fd, const struct request *req, struct pvmread_rw *rw)
{
	struct pvmread_rw arg = {
		.size = sizeof(arg),
		.pid = req->pid,
		.local = (uintptr_t)req->local,
		.local_count = req->local_count,
		.remote = (uintptr_t)req->remote,
		.remote_count = req->remote_count,
	};
	int ret;

	ret = ioctl(fd, req->write ? PVMREAD_IOC_WRITEV : PVMREAD_IOC_READV,
		    &arg);
	if (rw)
		*rw = arg;
	return ret ? -1 : (ssize_t)arg.transferred;
}
