// SPDX-License-Identifier: GPL-2.0
/*
 * What the guest tests share: one request, sent through either door.
 */
#define _GNU_SOURCE
#include "pvmread_test.h"

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

/**
 * open_uffd() - a userfaultfd for faults that the kernel takes, too
 *
 * The caller must be root for that.
 *
 * Return: the file descriptor, or -1 if this kernel has none.
 */
int open_uffd(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	/* poll(2) says POLLERR of one that blocks. */
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	if (ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -1;
	}
	return fd;
}

/**
 * map_unserved() - map a page of a userfaultfd that no process serves
 * @length: the size of a page
 *
 * A thread that touches the page waits until this process exits.
 *
 * Return: its address, or NULL if this kernel has no userfaultfd.
 */
void *map_unserved(size_t length)
{
	struct uffdio_register reg = {
		.range = { .len = length },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = open_uffd();
	void *page;

	page = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fd < 0 || page == MAP_FAILED)
		return NULL;
	reg.range.start = (uintptr_t)page;
	return ioctl(fd, UFFDIO_REGISTER, &reg) ? NULL : page;
}
