// SPDX-License-Identifier: GPL-2.0
/*
 * Do with one CPU for a while.
 */
#define _GNU_SOURCE
#include "one_cpu.h"
#include "process.h"

/*
 * Switching a tracer or a tracepoint patches the kernel's code, by way of int3.
 * QEMU's software emulation of several CPUs at times runs an int3 on one that
 * the other has long replaced, and the guest dies of it. So there is one CPU
 * while tests switch them; these need no more.
 */
static bool was_online[256];

static int set_online(int nr, bool online)
{
	char file[64];

	snprintf(file, sizeof(file), "/sys/devices/system/cpu/cpu%d/online", nr);
	return write_file(file, online ? "1" : "0");
}

void leave_one_cpu(void)
{
	int nr, last = sysconf(_SC_NPROCESSORS_CONF);

	for (nr = 1; nr < last && nr < (int)ARRAY_SIZE(was_online); nr++)
		was_online[nr] = !set_online(nr, false);
	if (sysconf(_SC_NPROCESSORS_ONLN) != 1)
		printf("# %ld CPUs stay: they cannot be taken away\n",
		       sysconf(_SC_NPROCESSORS_ONLN));
}

void bring_cpus_back(void)
{
	size_t nr;

	for (nr = 0; nr < ARRAY_SIZE(was_online); nr++) {
		if (was_online[nr])
			set_online(nr, true);
	}
}
