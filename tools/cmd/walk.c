// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <unistd.h>

#include <linux/fs.h>

#include "walk.h"

/* From linux/fs.h of 6.7. */
#ifndef PAGEMAP_SCAN
#define PAGEMAP_SCAN	_IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_PRESENT	0x8

struct page_region {
	__u64 start;
	__u64 end;
	__u64 categories;
};

struct pm_scan_arg {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};
#endif

void walk_start(struct walk *walk, const struct target *target, bool resident)
{
	char path[64];

	walk->target = target;
	walk->pagemap = -1;
	if (!resident)
		return;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", target->pid);
	walk->pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (!target_is_alive(target))
		fail(0, "%s: has exited", target->name);
}

void walk_end(struct walk *walk)
{
	char nothing;

	if (pvmread_read(walk->target->fd, 0, &nothing, 0) < 0)
		fail(0, "%s: %s", walk->target->name,
		     target_reason(walk->target, 0, errno, 0));
	if (walk->pagemap >= 0)
		close(walk->pagemap);
	walk->pagemap = -1;
}

bool walk_present(const struct walk *walk, uint64_t pages, uint64_t *start, uint64_t *end)
{
	struct page_region run;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = *start - *start % sysconf(_SC_PAGESIZE),
		.end = *end,
		.vec = (uintptr_t)&run,
		.vec_len = 1,
		.max_pages = pages,
		.category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_PRESENT,
	};
	int found;

	if (walk->pagemap < 0)
		return true;
	found = ioctl(walk->pagemap, PAGEMAP_SCAN, &arg);
	if (found < 0)
		return true;
	if (!found)
		return false;
	*start = MAX(*start, run.start);
	*end = MIN(*end, run.end);
	return true;
}

int walk_read(const struct walk *walk, uint64_t addr, uint64_t end, void *buf, uint64_t *length)
{
	uint64_t page = sysconf(_SC_PAGESIZE), start = addr, stop = end;
	ssize_t done;
	int error;

	if (!walk_present(walk, WALK_CHUNK / page, &start, &stop))
		start = end;
	if (start > addr) {
		*length = start - addr;
		error = EIO;
		return error;
	}
	done = pvmread_read(walk->target->fd, addr, buf, MIN(stop - addr, (uint64_t)WALK_CHUNK));
	if (done > 0) {
		*length = done;
		return 0;
	}
	error = errno;
	if (error != EIO && error != EAGAIN && error != ENOMEM)
		fail(0, "0x%" PRIx64 " of %s: %s", addr, walk->target->name,
		     target_reason(walk->target, addr, error, 0));
	do {
		addr += page - addr % page;
	} while (addr < stop && !interrupted && pvmread_read(walk->target->fd, addr, buf, 1) < 0 &&
		 errno == error);
	*length = MIN(addr, stop) - start;
	return error;
}
