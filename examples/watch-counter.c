// SPDX-License-Identifier: GPL-2.0
/*
 * watch-counter PID ADDRESS [CHANGES] - print a 64-bit counter of another process
 *
 * Prints each new value and the difference from the one before, until the process exits or
 * CHANGES values were printed. Needs no library: the offset in a target file is the address.
 * PVMREAD_CACHE makes the reads cheaper while the target does not change its mappings there.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/pvmread.h>

/* Attach the counter alone. Return: the target file */
static int attach_counter(pid_t pid, uint64_t address)
{
	struct pvmread_info info = { .size = sizeof(info) };
	struct pvmread_attach attach = {
		.size = sizeof(attach), .pid = pid, .start = address, .length = sizeof(uint64_t),
	};
	int dev = open(PVMREAD_DEVICE, O_RDONLY | O_CLOEXEC), target;

	if (dev < 0 || ioctl(dev, PVMREAD_IOC_INFO, &info))
		err(1, "%s", PVMREAD_DEVICE);
	if (info.features & PVMREAD_FEATURE_CACHE)
		attach.flags |= PVMREAD_CACHE;
	target = ioctl(dev, PVMREAD_IOC_ATTACH, &attach);
	if (target < 0)
		err(1, "cannot attach process %d", pid);
	close(dev);
	return target;
}

int main(int argc, char **argv)
{
	long changes = argc > 3 ? atol(argv[3]) : -1;
	uint64_t address, value, old = 0;
	ssize_t got = 0;
	int target;

	if (argc < 3)
		errx(2, "usage: watch-counter PID ADDRESS [CHANGES]");
	address = strtoull(argv[2], NULL, 0);
	target = attach_counter(atoi(argv[1]), address);

	while (changes && (got = pread(target, &value, sizeof(value), address)) == sizeof(value)) {
		if (value != old) {
			printf("%" PRIu64 " +%" PRIu64 "\n", value, value - old);
			fflush(stdout);
			old = value;
			changes--;
		}
		usleep(1000);
	}
	if (got < 0 && errno == ESRCH)
		printf("process %s has exited\n", argv[1]);
	else if (changes)
		errx(1, "%s: %s", argv[2], got < 0 ? strerror(errno) : "short read");
	return 0;
}
