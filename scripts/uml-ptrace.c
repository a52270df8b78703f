// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lets User mode Linux run on CPUs whose extended register state is larger than it supports.
 *
 * Before 6.13 User mode Linux saves and restores 2,696 bytes. On a CPU with AMX the state is
 * larger, and PTRACE_SETREGSET rejects a partial state with EFAULT. scripts/guest preloads
 * this library, which appends the missing part. The processes of the guest have no permission
 * to use AMX, so the missing part is in its initial state: XSTATE_BV in the header of the
 * known part says so, and the kernel ignores the content.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

typedef long (*ptrace_fn)(int request, int pid, void *addr, void *data);

/* Room for the state of the largest CPU, and more. */
static char state[1 << 16];
static size_t state_size;

/* Extend @part to the CPU's full state. Return: whether it was shorter. */
static int fill_up(ptrace_fn next, int pid, struct iovec *part)
{
	if (!state_size) {
		struct iovec all = { state, sizeof(state) };

		if (next(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &all))
			return 0;
		state_size = all.iov_len;
		memset(state, 0, sizeof(state));
	}
	if (part->iov_len >= state_size)
		return 0;
	memcpy(state, part->iov_base, part->iov_len);
	part->iov_base = state;
	part->iov_len = state_size;
	return 1;
}

long ptrace(enum __ptrace_request request, ...)
{
	static ptrace_fn next;
	struct iovec part;
	void *addr, *data;
	va_list args;
	long ret;
	int pid;

	va_start(args, request);
	pid = va_arg(args, int);
	addr = va_arg(args, void *);
	data = va_arg(args, void *);
	va_end(args);

	if (!next)
		next = (ptrace_fn)dlsym(RTLD_NEXT, "ptrace");
	ret = next(request, pid, addr, data);
	if (ret && errno == EFAULT && request == PTRACE_SETREGSET &&
	    addr == (void *)NT_X86_XSTATE) {
		part = *(struct iovec *)data;
		if (fill_up(next, pid, &part))
			ret = next(request, pid, addr, &part);
	}
	return ret;
}
