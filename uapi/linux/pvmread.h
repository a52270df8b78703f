/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * pvmread: read and write the memory of another process through /dev/pvmread.
 *
 * The one header that user space includes.
 */
#ifndef _UAPI_LINUX_PVMREAD_H
#define _UAPI_LINUX_PVMREAD_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * DOC: The rules that every command keeps
 *
 * Structs grow, they never change. The first member of each is @size, which
 * the caller sets to sizeof() of the struct it was compiled with. The kernel
 * takes a shorter struct for one from an older caller: what is missing counts
 * as zero, and nothing is written past @size. It takes a longer one when the
 * bytes that it does not know are zero. Nothing here has padding, and every
 * field has the same offset for 32-bit and 64-bit callers.
 *
 * Whatever a command says itself, each of them can answer:
 *
 *  - ENOTTY: the command is unknown to this version of the module.
 *  - EINVAL: @size is less than the command's first version had, an unknown
 *    flag is set, or a reserved field is not zero.
 *  - E2BIG: @size is larger than the module knows and a byte in the unknown
 *    tail is not zero, or @size is over one page.
 *  - EFAULT: the struct itself cannot be read or written. Both are tried
 *    before anything else is done, so that no byte has moved, unless the caller
 *    takes the struct away while the command runs.
 *
 * ioctl() returns 0 or -1 with errno set. A number of bytes never travels in
 * its return value, which is an int.
 */

/* 0xd5 is free in Documentation/userspace-api/ioctl/ioctl-number.rst, 6.12 to 7.3. */
#define PVMREAD_IOC_TYPE	0xd5

#define PVMREAD_IOC_INFO	_IO(PVMREAD_IOC_TYPE, 0x00)
#define PVMREAD_IOC_READV	_IO(PVMREAD_IOC_TYPE, 0x01)
#define PVMREAD_IOC_WRITEV	_IO(PVMREAD_IOC_TYPE, 0x02)

/* The device node that the module creates, mode 0600. */
#define PVMREAD_DEVICE		"/dev/pvmread"

/* Raised by one when a command changes in a way that @features cannot say. */
#define PVMREAD_ABI_VERSION	1

/**
 * enum pvmread_feature - bits of &struct pvmread_info.features
 * @PVMREAD_FEATURE_READV: PVMREAD_IOC_READV exists
 * @PVMREAD_FEATURE_WRITEV: PVMREAD_IOC_WRITEV exists
 * @PVMREAD_FEATURE_READONLY: the module was loaded with readonly=1, and all
 *	that would write to another process answers EROFS
 */
enum pvmread_feature {
	PVMREAD_FEATURE_READV		= 1 << 0,
	PVMREAD_FEATURE_WRITEV		= 1 << 1,
	PVMREAD_FEATURE_READONLY	= 1 << 2,
};

/**
 * struct pvmread_info - ioctl(PVMREAD_IOC_INFO): what this module can do
 * @size: in: sizeof(struct pvmread_info); at least 8
 * @__reserved: in: must be 0
 * @version: out: PVMREAD_ABI_VERSION of the module
 * @max_segments: out: the most elements that one iovec array may have
 * @features: out: bits of &enum pvmread_feature
 * @max_bytes: out: the most bytes that one request moves; a longer one is cut
 *	there, as in read(2)
 *
 * Never fails for a well-formed struct.
 */
struct pvmread_info {
	__u32 size;
	__u32 __reserved;
	__u32 version;
	__u32 max_segments;
	__aligned_u64 features;
	__aligned_u64 max_bytes;
};

/**
 * struct pvmread_rw - ioctl(PVMREAD_IOC_READV) and ioctl(PVMREAD_IOC_WRITEV)
 * @size: in: sizeof(struct pvmread_rw); at least 56, up to and with
 *	@transferred
 * @flags: in: must be 0
 * @pid: in: the target, as the caller's pid namespace numbers it; a thread id
 *	serves too
 * @error: out: 0, or the errno value that tells why the transfer ended before
 *	one of the two sides was used up
 * @local: in: address of an array of struct iovec, the caller's memory
 * @local_count: in: its number of elements, 0 to 1,024
 * @remote: in: address of an array of struct iovec, the target's memory
 * @remote_count: in: its number of elements, 0 to 1,024
 * @transferred: out: the number of bytes moved, what the syscall returns when
 *	it is not negative
 * @stop_addr: out: the remote address at which the transfer ended: one past
 *	the last byte moved, or the first that could not be, which is the first
 *	of all when the caller's own memory failed at once. 0 when the request
 *	was refused or empty
 *
 * READV copies from the target to the caller, WRITEV from the caller to the
 * target, as process_vm_readv(2) and process_vm_writev(2) do: the same checks
 * in the same order, the same errno, the same bytes, the same partial counts.
 * The arrays are of the caller's own struct iovec: a 32-bit program passes
 * 32-bit ones. The permission needed is PTRACE_MODE_ATTACH_REALCREDS (see
 * ptrace(2)); a process may always name itself.
 *
 * Three differences from the syscalls. @local_count is checked as 64 bits,
 * where the syscall looks at the low 32 alone. Pages of the target beyond what
 * the local side can take are not brought in, and no memory is allocated for
 * them. And the wait for the target's mmap_lock can be killed.
 *
 * The out fields are set, as far as @size reaches, on success and on every
 * failure listed here. What refuses the struct itself does not set them.
 * @error says more than errno can:
 *
 *  - EIO: the target's memory at @stop_addr is not mapped, not with the
 *    permission needed, or of a kind that cannot be pinned
 *  - EFAULT: the caller's own memory
 *  - ENOMEM: no memory to bring the target's page in, or it could not be pinned
 *  - EINTR: the caller is being killed
 *
 * and otherwise what errno says. If at least one byte moved, ioctl() returns
 * 0. If none could be moved for one of the reasons above, errno is EFAULT, or
 * EINTR for the last.
 *
 * errno, in the order in which the checks are made:
 *
 *  - EBADF: READV on a file not open for reading, WRITEV on one not open for
 *    writing
 *  - EROFS: WRITEV, and the module was loaded with readonly=1
 *  - EINVAL: @local_count is over 1,024, or one of the lengths there is
 *    negative as a ssize_t
 *  - EFAULT: the local array cannot be read, or one of its elements lies
 *    outside of user space
 *  - ENOMEM: no memory for a copy of the local array
 *  - (success, 0 bytes: all local lengths are 0)
 *  - EINVAL, ENOMEM, EFAULT: the same of the remote array, but that an address
 *    outside of user space is first met when it is to be copied
 *  - (success, 0 bytes: all remote lengths are 0)
 *  - ENOMEM: no memory for the page pointers
 *  - ESRCH: no such process, or one without memory of its own (a zombie, a
 *    kernel thread)
 *  - EPERM: no permission for it
 *  - EINTR: the caller was killed while it waited for the target's execve(2)
 *  - EFAULT: the first byte of the target's memory could not be reached, or
 *    the first byte of the caller's
 *  - EINTR: the caller was killed before a byte moved (EFAULT by the syscall)
 */
struct pvmread_rw {
	__u32 size;
	__u32 flags;
	__s32 pid;
	__u32 error;
	__aligned_u64 local;
	__aligned_u64 local_count;
	__aligned_u64 remote;
	__aligned_u64 remote_count;
	__aligned_u64 transferred;
	__aligned_u64 stop_addr;
};

#endif /* _UAPI_LINUX_PVMREAD_H */
