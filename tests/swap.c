// SPDX-License-Identifier: GPL-2.0
/*
 * Swap space on a RAM disk, because a guest has no other disk.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pvmread_test.h"
#include "swap.h"

/* The RAM disk from Debian's package, see scripts/kernel-stock. */
#define SWAP_MODULE	"/brd.ko.xz"
#define SWAP_DEVICE	"/dev/ram0"
#define SWAP_PAGES	2048U

void swap_off(void)
{
	swapoff(SWAP_DEVICE);
	syscall(SYS_delete_module, "brd", O_NONBLOCK);
}

/* Like mkswap(8). Writing the whole disk allocates its memory now, not during a test. */
static bool make_swap(void)
{
	uint32_t page[PAGE / 4] = { [256] = 1 /* version */, SWAP_PAGES - 1 /* last page */ };
	int fd = open(SWAP_DEVICE, O_WRONLY | O_CLOEXEC);
	bool written = fd >= 0;
	unsigned int i;

	memcpy((char *)page + PAGE - 10, "SWAPSPACE2", 10);
	for (i = 0; i < SWAP_PAGES && written; i++) {
		written = write(fd, page, PAGE) == (ssize_t)PAGE;
		memset(page, 0, PAGE);
	}
	if (fsync(fd))
		written = false;
	close(fd);
	return written;
}

/* Return: false if this kernel cannot swap, or the guest has no RAM disk. */
bool swap_on(void)
{
	char parameters[40];
	int fd;

	if (access("/proc/swaps", F_OK))
		return false;
	fd = open(SWAP_MODULE, O_RDONLY | O_CLOEXEC);
	snprintf(parameters, sizeof(parameters), "rd_nr=1 rd_size=%lu", SWAP_PAGES * PAGE / 1024);
	syscall(SYS_finit_module, fd, parameters, 4 /* MODULE_INIT_COMPRESSED_FILE */);
	close(fd);
	if (make_swap() && !swapon(SWAP_DEVICE, 0))
		return true;
	swap_off();
	return false;
}

/* Return: how many of the @nr pages at @addr are in swap space. */
unsigned int count_swapped(const void *addr, unsigned int nr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	off_t at = (uintptr_t)addr / PAGE * 8;
	unsigned int swapped = 0;
	uint64_t entry;

	for (; nr && pread(fd, &entry, 8, at) == 8; nr--, at += 8)
		swapped += entry >> 62 & 1;
	close(fd);
	return swapped;
}
