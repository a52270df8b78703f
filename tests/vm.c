// SPDX-License-Identifier: GPL-2.0
/*
 * A virtual machine that accesses memory of this process, by KVM on x86-64.
 *
 * KVM has page tables of its own for the machine. It must remove an entry from them when
 * this process loses the page.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pvmread_test.h"
#include "vm.h"

#ifdef __x86_64__

#include <linux/kvm.h>

/* Where the machine has the memory: one segment of real mode. */
#define VM_MEMORY	0x10000U
#define VM_MOST		0x10000U

/*
 * mov (%bx), %eax; out %al, $0; mov %eax, (%bx); out %al, $0 - for a CPU in real mode
 *
 * Each half ends with an out, not a hlt: Linux 6.14 handles hlt with interrupts off, and on an
 * AMD CPU without next RIP saving, such as QEMU's, it then reads memory that may fault.
 */
static const unsigned char vm_program[] = {
	0x66, 0x8b, 0x07, 0xe6, 0x00, 0x66, 0x89, 0x07, 0xe6, 0x00
};

#define VM_LOADS	0	/* where each half begins */
#define VM_STORES	5

static_assert(sizeof(struct kvm_run) <= PAGE, "struct kvm_run");

static bool vm_add_memory(const struct vm *vm, unsigned int slot, uint64_t at, void *memory,
			  size_t len)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = at,
		.memory_size = len,
		.userspace_addr = (uintptr_t)memory,
	};

	return !ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static bool vm_set_segments(const struct vm *vm)
{
	struct kvm_sregs sregs;

	if (ioctl(vm->cpu, KVM_GET_SREGS, &sregs))
		return false;
	sregs.cs.selector = 0;
	sregs.cs.base = 0;
	sregs.ds.selector = VM_MEMORY / 16;
	sregs.ds.base = VM_MEMORY;
	return !ioctl(vm->cpu, KVM_SET_SREGS, &sregs);
}

/*
 * Create a machine whose memory is the @len bytes, at most 64 KiB, at @memory.
 *
 * Return: false with errno set: ENOENT if this kernel has no KVM, or why KVM did not create it.
 */
bool vm_open(struct vm *vm, void *memory, size_t len)
{
	int err = EINVAL;

	*vm = VM_NONE;
	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0)
		return false;
	vm->fd = ioctl(vm->kvm, KVM_CREATE_VM, 0);
	vm->code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vm->fd >= 0 && vm->code != MAP_FAILED && len <= VM_MOST) {
		memcpy(vm->code, vm_program, sizeof(vm_program));
		vm->cpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
		if (vm->cpu >= 0)
			vm->run = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, vm->cpu, 0);
		if (vm->run != MAP_FAILED && vm_set_segments(vm) &&
		    vm_add_memory(vm, 0, 0, vm->code, PAGE) &&
		    vm_add_memory(vm, 1, VM_MEMORY, memory, len))
			return true;
		err = errno;
	}
	vm_close(vm);
	errno = err;
	return false;
}

/* Run one half of the program. Return: 0, or an errno. */
static int vm_run(const struct vm *vm, uint64_t begin, size_t offset, uint32_t *value)
{
	struct kvm_regs regs = { .rip = begin, .rbx = offset, .rax = *value, .rflags = 2 };
	const struct kvm_run *run = vm->run;
	int ret;

	if (ioctl(vm->cpu, KVM_SET_REGS, &regs))
		return errno;
	do {
		ret = ioctl(vm->cpu, KVM_RUN, 0);
	} while (ret && (errno == EINTR || errno == EAGAIN));
	if (ret)
		return errno;
	/* KVM lets its user emulate a store to memory that this process may not write. */
	if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.is_write)
		return EROFS;
	if (run->exit_reason != KVM_EXIT_IO)
		return EPROTO;
	if (ioctl(vm->cpu, KVM_GET_REGS, &regs))
		return errno;
	*value = regs.rax;
	return 0;
}

/*
 * Let the machine load 32 bits at @offset in its memory.
 *
 * Return: 0, or the errno: EFAULT if there is no memory, or if this process lost the page while
 * KVM looked it up.
 */
int vm_load(const struct vm *vm, size_t offset, uint32_t *value)
{
	*value = 0;
	return vm_run(vm, VM_LOADS, offset, value);
}

/*
 * The same for a store.
 *
 * Return: 0; EROFS if the memory has a page that is read-only; EFAULT if it has no page.
 */
int vm_store(const struct vm *vm, size_t offset, uint32_t value)
{
	return vm_run(vm, VM_STORES, offset, &value);
}

#else

bool vm_open(struct vm *vm, void *memory, size_t len)
{
	(void)memory;
	(void)len;
	*vm = VM_NONE;
	errno = ENOENT;
	return false;
}

int vm_load(const struct vm *vm, size_t offset, uint32_t *value)
{
	(void)vm;
	(void)offset;
	(void)value;
	return ENOSYS;
}

int vm_store(const struct vm *vm, size_t offset, uint32_t value)
{
	return vm_load(vm, offset, &value);
}

#endif

void vm_close(struct vm *vm)
{
	if (vm->run != MAP_FAILED)
		munmap(vm->run, PAGE);
	close(vm->cpu);
	close(vm->fd);
	close(vm->kvm);
	if (vm->code != MAP_FAILED)
		munmap(vm->code, PAGE);
	*vm = VM_NONE;
}
