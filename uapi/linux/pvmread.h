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
 * as zero, and a field that @size does not hold whole is not written. It takes
 * a longer one when the bytes that it does not know are zero. Nothing here has
 * padding, and every field has the same offset for 32-bit and 64-bit callers.
 *
 * Whatever a command says itself, each of them can answer:
 *
 *  - ENOTTY: the command is unknown to this version of the module.
 *  - EINVAL: @size is less than the command's first version had, an unknown
 *    flag is set, or a reserved field is not zero.
 *  - E2BIG: @size is larger than the module knows and a byte in the unknown
 *    tail is not zero, or @size is over one page.
 *  - EFAULT: the struct itself cannot be read, or written where it has out
 *    fields. Both are tried before anything else is done, so that no byte has
 *    moved, unless the caller takes the struct away while the command runs.
 *
 * ioctl() returns 0 (ATTACH: a file descriptor) or -1 with errno set. A number
 * of bytes never travels in its return value, which is an int.
 */

/**
 * DOC: Target files
 *
 * PVMREAD_IOC_ATTACH gives a file whose position is an address in the target:
 * pread(), preadv2(), readv(), lseek() with SEEK_SET and SEEK_CUR, splice(),
 * sendfile(), io_uring's READ and READ_FIXED, and with PVMREAD_WRITE pwrite()
 * and the like, up to the top of user space. Permission was asked for once, by
 * ATTACH. The file can be passed over a Unix socket, and whoever holds it may do
 * what it allows: it is a capability.
 *
 * The file does not keep the target's memory, and nor does a request whose
 * caller is slow to take its bytes (it keeps 256 pages at most, or the huge
 * pages that these are part of). When the target has exited or has called
 * execve(2), every read, write and BATCH answers ESRCH, and nothing of a new
 * image is ever shown. While another process shares the memory, as after
 * vfork(2), or somebody else is looking into it, as process_vm_readv(2) does, it
 * is there, and so is the target.
 *
 * A read takes pages as they are: one that is shared copy-on-write stays
 * shared (but on s390). A write gives the target a copy of its own first, and marks
 * as dirty what it has written, or was about to when it ended.
 *
 * A transfer that ends early is short, as read(2) and write(2) are. One that
 * moved nothing answers
 *
 *  - ESRCH: the target is gone
 *  - EIO: the target's memory is not mapped there, not with the permission
 *    needed, of a kind that cannot be pinned, or outside of the attached range
 *  - EFAULT: the caller's own memory
 *  - EAGAIN: RWF_NOWAIT, or a file attached with PVMREAD_NOWAIT: the target's
 *    page would have to be waited for
 *  - ENOMEM: no memory for the target's page, or for page pointers
 *  - EINTR: the caller is being killed
 *  - EBADF: the file was not attached for writing
 *  - EINVAL, EOVERFLOW: a position from 2^63 on, which the VFS may refuse itself
 *
 * An asynchronous request with RWF_NOWAIT moves all, at most 256 pages, or
 * nothing and answers EAGAIN: io_uring, which tries each request so first, then
 * moves all of it in its worker.
 *
 * /proc/PID/fdinfo/FD of a target file shows
 *
 *  - pid: the process, as the reader's /proc numbers it, 0 if it does not; -1
 *    when it is gone
 *  - range: what is attached, as in /proc/PID/maps
 *  - mode: "r" or "rw"; "nowait" and "resident" as attached
 *  - read, written: bytes moved so far
 *  - faults: how often the target's memory has ended a transfer (EIO)
 */

/* 0xd5 is free in Documentation/userspace-api/ioctl/ioctl-number.rst, 6.12 to 7.3. */
#define PVMREAD_IOC_TYPE	0xd5

#define PVMREAD_IOC_INFO	_IO(PVMREAD_IOC_TYPE, 0x00)
#define PVMREAD_IOC_READV	_IO(PVMREAD_IOC_TYPE, 0x01)
#define PVMREAD_IOC_WRITEV	_IO(PVMREAD_IOC_TYPE, 0x02)
#define PVMREAD_IOC_ATTACH	_IO(PVMREAD_IOC_TYPE, 0x03)
/* On a target file. */
#define PVMREAD_IOC_BATCH	_IO(PVMREAD_IOC_TYPE, 0x04)

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
 * @PVMREAD_FEATURE_ATTACH: PVMREAD_IOC_ATTACH exists, and target files
 * @PVMREAD_FEATURE_BATCH: PVMREAD_IOC_BATCH exists
 * @PVMREAD_FEATURE_PIDFD: PVMREAD_PIDFD works; it takes a function that the
 *	module may not find in a kernel
 * @PVMREAD_FEATURE_NOWAIT: PVMREAD_NOWAIT works
 * @PVMREAD_FEATURE_RESIDENT: PVMREAD_RESIDENT works
 */
enum pvmread_feature {
	PVMREAD_FEATURE_READV		= 1 << 0,
	PVMREAD_FEATURE_WRITEV		= 1 << 1,
	PVMREAD_FEATURE_READONLY	= 1 << 2,
	PVMREAD_FEATURE_ATTACH		= 1 << 3,
	PVMREAD_FEATURE_BATCH		= 1 << 4,
	PVMREAD_FEATURE_PIDFD		= 1 << 5,
	PVMREAD_FEATURE_NOWAIT		= 1 << 6,
	PVMREAD_FEATURE_RESIDENT	= 1 << 7,
};

/**
 * enum pvmread_flag - how a request names its target and what it does to it
 * @PVMREAD_PIDFD: the pid field is a pidfd (see pidfd_open(2)) and names the
 *	process itself, whatever its number was given to since. One of a single
 *	thread (PIDFD_THREAD) serves if that thread leads its process. What else
 *	the kernel takes for a pidfd (PIDFD_SELF, from 6.15 on) it decides
 * @PVMREAD_NOWAIT: do not wait for the target. A page that would have to be
 *	waited for, as for a userfaultfd or a disk, ends the transfer with EAGAIN,
 *	and so does a lock on the target's mappings that is taken. What can be had
 *	at once is: what is mapped; of a file, and of what mmap(2) has shared,
 *	what the page cache holds, but for a page at which the kernel would read
 *	on, for FUSE, and to write for a file system that wants to be told before
 *	a shared page is written; of private anonymous memory, what is in memory
 *	or was never touched; of hugetlbfs nothing else than what is mapped, with
 *	the permission needed.
 *	Waits for the kernel itself remain: READV, WRITEV and ATTACH wait while
 *	the target is inside execve(2), a write may wait to mark a page of a
 *	shared file dirty, and a page that is not mapped for its migration, for
 *	memory to be reclaimed, for a compressed swap device, for room in the queue
 *	of any swap device, for the lock of a huge page, for a hole that is
 *	punched into shared memory from just then on, or for a file system that
 *	asks its peers of cached pages, too (bcachefs, ceph, gfs2, orangefs), or
 *	takes a page back in that instant; and whoever looks at memory of
 *	hugetlbfs waits for who is changing that mapping, and to read a private
 *	page that is shared for memory to copy it to (with PVMREAD_RESIDENT, too)
 * @PVMREAD_RESIDENT: move only pages that the target has mapped already, with
 *	the permission needed. Another one ends the transfer with EIO, as a hole
 *	does; so does one that the kernel is moving just then (migration), which
 *	is there when asked for again, and on s390 one that is shared
 *	copy-on-write. No fault handler is ever entered: the target's resident set
 *	stays as it is, and a READV leaves it sharing what it shares, while one
 *	without the flag, like the syscall, gives the target a copy of its own of
 *	a page that is shared copy-on-write (with a forked process, say)
 * @PVMREAD_WRITE: ATTACH: the file can be written, too. BATCH: the segments
 *	are moved to the target
 * @PVMREAD_STOP: BATCH: end with the first segment that is not moved whole
 *
 * The first two have the values and the meaning of PROCESS_VM_PIDFD and
 * PROCESS_VM_NOWAIT of the upstream series "pidfd and nowait support for
 * process_vm_readv/writev".
 */
enum pvmread_flag {
	PVMREAD_PIDFD		= 1 << 0,
	PVMREAD_NOWAIT		= 1 << 1,
	PVMREAD_RESIDENT	= 1 << 2,
	PVMREAD_WRITE		= 1 << 3,
	PVMREAD_STOP		= 1 << 4,
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
 * @max_batch: out: the most segments that one BATCH may have
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
	__aligned_u64 max_batch;
};

/**
 * struct pvmread_rw - ioctl(PVMREAD_IOC_READV) and ioctl(PVMREAD_IOC_WRITEV)
 * @size: in: sizeof(struct pvmread_rw); at least 56, up to and with
 *	@transferred
 * @flags: in: 0, or PVMREAD_PIDFD, PVMREAD_NOWAIT, PVMREAD_RESIDENT
 * @pid: in: the target, as the caller's pid namespace numbers it; a thread id
 *	serves too. With PVMREAD_PIDFD a file descriptor
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
 * The out fields are set, as far as @size holds them whole, on success and on
 * every failure listed here. What refuses the struct itself does not set them.
 * @error says more than errno can:
 *
 *  - EIO: the target's memory at @stop_addr is not mapped, not with the
 *    permission needed, or of a kind that cannot be pinned
 *  - EFAULT: the caller's own memory
 *  - EAGAIN: PVMREAD_NOWAIT, and the target's page, or the lock on its
 *    mappings, would have to be waited for
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
 *  - EOPNOTSUPP: PVMREAD_PIDFD, and this kernel does not have it
 *  - EBADF: PVMREAD_PIDFD, and @pid is not a pidfd
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

/**
 * struct pvmread_attach - ioctl(PVMREAD_IOC_ATTACH): a process as a file
 * @size: in: sizeof(struct pvmread_attach); at least 32
 * @flags: in: PVMREAD_PIDFD; PVMREAD_WRITE to write, too; PVMREAD_NOWAIT and
 *	PVMREAD_RESIDENT for all that is ever moved through the file
 * @pid: in: the target, as in &struct pvmread_rw
 * @__reserved: in: must be 0
 * @start: in: the first address that the file reaches
 * @length: in: the number of bytes from there. @start and @length 0: all of the
 *	target's memory
 *
 * Returns a target file, close-on-exec, its position @start. What it does is
 * said above, under Target files. The permission needed is that of READV;
 * a process may always attach itself, and so grant a range of its own memory by
 * passing the file on, whatever Yama says.
 *
 * errno, in the order in which the checks are made:
 *
 *  - EINVAL: @length is 0 and @start is not, or @start + @length is over what
 *    an address holds
 *  - EBADF: the device is not open for reading, or with PVMREAD_WRITE for
 *    writing
 *  - EROFS: PVMREAD_WRITE, and the module was loaded with readonly=1
 *  - EOPNOTSUPP, EBADF, ESRCH, EPERM, EINTR: the target, as for READV
 *  - ENOMEM, EMFILE, ENFILE: no memory or room for another file
 */
struct pvmread_attach {
	__u32 size;
	__u32 flags;
	__s32 pid;
	__u32 __reserved;
	__aligned_u64 start;
	__aligned_u64 length;
};

/**
 * enum pvmread_segment_flag - bits of &struct pvmread_segment.flags
 * @PVMREAD_SEGMENT_STRING: stop after the first NUL byte, which is moved, and
 *	with which the segment is whole. If there is none in @length bytes, all
 *	of them are moved, without one.
 *	No page behind the NUL is looked at. EINVAL with PVMREAD_WRITE
 */
enum pvmread_segment_flag {
	PVMREAD_SEGMENT_STRING	= 1 << 0,
};

/**
 * struct pvmread_segment - one piece of a BATCH
 * @remote: in: its address in the target
 * @local: in: its address in the caller; all of @length must be user space
 * @length: in: its number of bytes, any value; more than
 *	&struct pvmread_info.max_bytes count as that many. With 0 there is
 *	nothing to move, and @remote and @local are not looked at
 * @flags: in: bits of &enum pvmread_segment_flag
 * @error: out: 0 if all was moved, or why not: EIO, EFAULT, EAGAIN, ENOMEM,
 *	EINTR as in &struct pvmread_rw, where outside of the attached range is
 *	EIO, too; ESRCH if the target went away meanwhile; EINVAL for an unknown
 *	flag or one that does not go with the direction
 * @done: out: the number of bytes moved
 */
struct pvmread_segment {
	__aligned_u64 remote;
	__aligned_u64 local;
	__aligned_u64 length;
	__u32 flags;
	__u32 error;
	__aligned_u64 done;
};

/**
 * struct pvmread_batch - ioctl(PVMREAD_IOC_BATCH) on a target file: many pieces
 * @size: in: sizeof(struct pvmread_batch); at least 32
 * @flags: in: PVMREAD_WRITE, PVMREAD_STOP, PVMREAD_NOWAIT, PVMREAD_RESIDENT
 * @segments: in: address of an array of &struct pvmread_segment
 * @count: in: its number of elements, 0 to &struct pvmread_info.max_batch
 * @completed: out: how many of them, from the first, have their result
 *
 * Moves one segment after the other and writes each its own result. Goes on
 * past one that fails, unless PVMREAD_STOP is set: then that one is the last,
 * and @completed counts it. Once max_bytes have been moved a signal ends it, too:
 * ioctl() returns 0, and @completed says how far it has come.
 *
 * The array is read and its results are written a few elements at a time. A
 * page of the target stays pinned from one segment to the next, and pages that
 * the next few segments ask for may be pinned with it: many small segments cost
 * least in the order of their addresses. What the target does to the page
 * meanwhile (unmap it, say) may show only when another page was pinned, and a
 * caller who moves its own memory onto itself may find older bytes, or newer
 * ones where the two sides of a segment overlap.
 *
 * ioctl() returns 0 when the segments have their results, whatever these are.
 * errno, in the order in which the checks are made:
 *
 *  - EBADF: the file was not attached for writing, and PVMREAD_WRITE is set
 *  - EINVAL: @count is over max_batch
 *  - ESRCH: the target is gone
 *  - EFAULT: the element @completed of the array cannot be read or written;
 *    those before it have their results
 *  - EINTR: the caller is being killed; segments before @completed have their
 *    results
 */
struct pvmread_batch {
	__u32 size;
	__u32 flags;
	__aligned_u64 segments;
	__aligned_u64 count;
	__aligned_u64 completed;
};

#endif /* _UAPI_LINUX_PVMREAD_H */
