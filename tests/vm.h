/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtual machine that accesses memory of this process, by KVM on x86-64.
 */
#ifndef PVMREAD_VM_H
#define PVMREAD_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

/**
 * struct vm - a virtual machine with one CPU, or none if @cpu is -1
 * @kvm: /dev/kvm
 * @fd: the machine
 * @cpu: its CPU
 * @run: the part of the CPU's state that KVM shares
 * @code: the page that the CPU executes
 */
struct vm {
	int kvm;
	int fd;
	int cpu;
	void *run;
	unsigned char *code;
};

#define VM_NONE		((struct vm){ -1, -1, -1, MAP_FAILED, MAP_FAILED })

bool vm_open(struct vm *vm, void *memory, size_t len);
int vm_load(const struct vm *vm, size_t offset, uint32_t *value);
int vm_store(const struct vm *vm, size_t offset, uint32_t value);
void vm_close(struct vm *vm);

#endif /* PVMREAD_VM_H */
