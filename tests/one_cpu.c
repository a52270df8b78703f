// SPDX-License-Identifier: GPL-2.0
/*
 * Use only one CPU for a while.
 */
#define _GNU_SOURCE
#include "one_cpu.h"
#include "process.h"

/*
 * Switching a tracer or a tracepoint patches the kernel's code with a temporary int3.
 * When QEMU emulates several CPUs, one of them sometimes executes an int3 that the
 * other has long replaced, and the guest crashes. So only one CPU is online while tests
 * switch tracers.
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
		printf("# %ld CPUs stay online: they cannot be taken offline\n",
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
