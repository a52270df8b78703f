// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chunks.h"

/*
 * User mode Linux needs a host mapping for each run of physically contiguous pages, and
 * kills a process that needs more than the host's vm.max_map_count. So other memory
 * takes the scattered pages first.
 */
#define BALLAST		(128UL << 20)

bool map_chunks(void *at)
{
	int fd = memfd_create("chunk", MFD_CLOEXEC);
	void *ballast;
	size_t i;

	ballast = mmap(NULL, BALLAST, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (ballast == MAP_FAILED || fd < 0 || fallocate(fd, 0, 0, CHUNK))
		return false;
	munmap(ballast, BALLAST);
	for (i = 0; i < CHUNKS; i++)
		if (mmap((char *)at + i * CHUNK, CHUNK, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
			return false;
	close(fd);
	return true;
}
