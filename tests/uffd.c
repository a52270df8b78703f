// SPDX-License-Identifier: GPL-2.0
/*
 * Page faults that wait: a userfaultfd that may or may not serve them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "uffd.h"

/**
 * open_uffd() - a userfaultfd that also handles faults of the kernel
 *
 * The caller must be root for that.
 *
 * Return: the file descriptor, or -1 if this kernel has none.
 */
int open_uffd(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	/* poll(2) returns POLLERR for a blocking one. */
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	if (ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Return: false with errno set if this kernel has no userfaultfd. */
bool have_uffd(void)
{
	int fd = open_uffd();

	return fd >= 0 && !close(fd);
}

/* Return: a userfaultfd for the untouched pages from @at on, or -1. */
int hold_back(uintptr_t at, size_t len)
{
	struct uffdio_register reg = {
		.range = { .start = at, .len = len },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = open_uffd();

	if (fd >= 0 && ioctl(fd, UFFDIO_REGISTER, &reg)) {
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
	void *page = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page == MAP_FAILED || hold_back((uintptr_t)page, length) < 0 ? NULL : page;
}

/* Return: the page that a fault waits for, at most @limit ms from now; 0 if none does. */
uintptr_t page_asked_for(int uffd, int limit)
{
	struct pollfd pfd = { .fd = uffd, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&pfd, 1, limit) != 1 || read(uffd, &msg, sizeof(msg)) != sizeof(msg) ||
	    msg.event != UFFD_EVENT_PAGEFAULT)
		return 0;
	return msg.arg.pagefault.address & ~(sysconf(_SC_PAGESIZE) - 1UL);
}

/* Serve a page. Return: true if it was missing. */
bool serve_page(int uffd, uintptr_t page, const void *contents)
{
	struct uffdio_copy copy = {
		.dst = page,
		.src = (uintptr_t)contents,
		.len = sysconf(_SC_PAGESIZE),
	};

	return !ioctl(uffd, UFFDIO_COPY, &copy);
}
