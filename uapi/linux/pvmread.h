/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * pvmread: read and write the memory of another process through /dev/pvmread.
 *
 * User space needs only this header.
 */
#ifndef _UAPI_LINUX_PVMREAD_H
#define _UAPI_LINUX_PVMREAD_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * DOC: Rules for every command
 *
 * Structs only grow. The first member of each struct is @size, which the
 * caller sets to sizeof() of the struct it was compiled with. If the struct is shorter
 * than the kernel's, the missing fields count as zero, and a field that @size does not
 * cover completely is not written. If it is longer, the bytes that the kernel does not
 * know must be zero. There is no padding, and each field has the same offset for 32-bit
 * and 64-bit callers.
 *
 * Every command can fail with one of these:
 *
 *  - ENOTTY: this version of the module does not know the command.
 *  - EINVAL: @size is less than that of the command's first version, an unknown flag
 *    is set, or a reserved field is not zero.
 *  - E2BIG: @size is larger than the module knows and a byte in the unknown tail is
 *    not zero, or @size is over one page.
 *  - EFAULT: the struct cannot be read, or it has out fields and cannot be written.
 *    Both are checked first. So no byte has moved, unless the caller unmaps the struct
 *    while the command runs.
 *
 * ioctl() returns 0 (ATTACH: a file descriptor), or -1 with errno set. Numbers of bytes
 * are returned in the struct, because ioctl() returns an int.
 */

/**
 * DOC: Target files
 *
 * PVMREAD_IOC_ATTACH returns a file whose position is an address in the target. It
 * supports pread(), preadv2(), readv(), lseek() with SEEK_SET and SEEK_CUR, splice(),
 * sendfile(), and io_uring's READ and READ_FIXED, up to the top of user space. With
 * PVMREAD_WRITE it also supports pwrite() and the like. ATTACH checks the permission
 * once. The file is a capability: a process that receives it over a Unix socket has the
 * same access.
 *
 * Neither the file nor a request that is faulting in the caller's own memory keeps
 * the target's memory alive. When the target has exited or has called
 * execve(2), every read, write and BATCH fails with ESRCH. The file never shows anything of
 * a new image. There is one exception: requests still work while another process shares the
 * memory, as after vfork(2), or accesses it by process_vm_readv(2) or a page fault in a
 * window.
 *
 * A read does not break copy-on-write sharing (except on s390). A write to a private mapping
 * first makes a private copy for the target. A write marks pages dirty that it has written or
 * was about to write when it ended. If source and destination overlap, the order in which
 * bytes move is undefined.
 *
 * A transfer that ends early returns a short count, as read(2) does. A transfer that
 * moved nothing fails with
 *
 *  - ESRCH: the target has exited or called execve(2)
 *  - EIO: the target's memory is not mapped, not accessible, of a kind that cannot be
 *    pinned, or outside the attached range
 *  - EFAULT: the caller's own memory
 *  - EAGAIN: RWF_NOWAIT, or a file attached with PVMREAD_NOWAIT, and the transfer would
 *    have to wait for the target
 *  - ENOMEM: no memory to fault the target's page in
 *  - EINTR: the caller is being killed
 *  - EBADF: the file was not attached for writing
 *  - EINVAL, EOVERFLOW: the position is 2^63 or more and the VFS refuses it
 *
 * An asynchronous request with RWF_NOWAIT moves all its bytes or fails with EAGAIN. A request
 * of more than 64 KiB always fails. A request within one page may fault that page in. Any
 * other request fails unless all its pages are mapped. io_uring first tries every request
 * this way. After EAGAIN, an io_uring worker repeats the whole request. If the caller's own
 * memory had to be faulted in midway, a part may have been copied before EAGAIN.
 *
 * /proc/PID/fdinfo/FD of a target file shows
 *
 *  - pid: the target's pid in the pid namespace of the reader's /proc; 0 if it has none
 *    there, -1 if it has exited or called execve(2)
 *  - range: the attached range, as in /proc/PID/maps
 *  - mode: "r" or "rw", with "nowait" and "resident" if attached so, "cache" if the file
 *    has a cache, "window" if it can be mapped
 *  - read, written: bytes moved so far
 *  - faults: number of reads, writes and BATCH segments that ended with EIO
 *  - hits, misses: number of look-ups whose first page was in the cache, and of those whose
 *    first page was not. A read makes at least one for each 64 KiB. An asynchronous read
 *    with RWF_NOWAIT is a miss unless all its pages are there
 *  - invalidations: number of MMU notifier invalidations in the attached range
 *  - mapped: size in pages of the ranges that page faults have mapped in windows
 *  - zapped: number of times that an invalidation removed pages from a window, or flushed
 *    the TLBs for it
 */

/**
 * DOC: Cached target files
 *
 * A target file that was attached with PVMREAD_CACHE caches the kernel addresses of the
 * pages that it has read. A later read or BATCH of such a page does not look it up in the
 * target. An 8-byte read takes about a third of the instructions of the same read without
 * the flag, a read of 1 MiB about half. A read returns what the target's memory holds at the
 * time of the call. The errors are the same as without the flag. Writes do not use the cache.
 *
 * The cache holds no reference to the target's pages. An MMU notifier removes an entry
 * before the target's page table changes. There are up to 4,096 entries. If a reader needs
 * more pages, some of them stay in the cache, and the others are read as without the flag.
 *
 * What it costs:
 *
 *  - ATTACH takes the target's mmap_lock for writing, and the lock of each of its mappings.
 *    So it waits for the target's page faults to end. The first MMU notifier in a process
 *    also makes the kernel lock every mapped file and anon_vma
 *  - Until the file is closed, each change of a translation in the attached range (munmap,
 *    mprotect, madvise, a break of copy-on-write sharing, migration, reclaim ...) costs
 *    the target about 100 instructions per such file, plus up to 250 for the first.
 *    Mapping a new page costs nothing extra
 *  - A change waits for reads that are copying. Each copies at most 64 KiB
 *  - After a change in the attached range the cache gets no new entries until a kernel
 *    worker has found no invalidation running in the target. The entries left stay valid
 *  - A read from the cache does not set the page's accessed bit. So reclaim may treat the
 *    page as unused
 *
 * The flag pays off if the same pages are read more often than their translations change.
 */

/**
 * DOC: Windows
 *
 * A target file that was attached with PVMREAD_WINDOW can be mapped with mmap(). The offset is
 * the address in the target. Such a mapping is a window: it shows the target's own pages. A
 * load from it returns what a load by the target returns. If the target writes, unmaps, remaps
 * or drops memory, or breaks copy-on-write sharing, the window follows before the system call
 * or the page fault of the target returns. A window copies no page and holds none: reclaim,
 * migration, huge pages and KSM go on as without it.
 *
 * The first load from a page takes a page fault, which also maps neighbouring pages. The fault
 * waits, killably, if the target's page must be faulted in. A load raises SIGBUS if
 *
 *  - the target has exited or called execve(2)
 *  - the target has not mapped the address, or has no read permission there
 *  - the memory cannot be pinned (device memory, secret memory, another window), or a driver
 *    has mapped it
 *
 * A system call that gets such an address fails with EFAULT.
 *
 * mmap() fails with
 *
 *  - ENODEV: the file was not attached with PVMREAD_WINDOW
 *  - EINVAL: MAP_PRIVATE, or the offset is not a multiple of the page size
 *  - EACCES: PROT_WRITE or PROT_EXEC; also from mprotect()
 *  - EPERM: PROT_EXEC, on kernels that forbid it for files of the anonymous inode
 *  - ENXIO: a part of the window would be outside the attached range
 *  - ESRCH: the target has exited or called execve(2)
 *  - EINTR: a signal without SA_RESTART arrived while the kernel took the locks of the
 *    caller's mappings; or the caller was killed
 *  - ENOMEM, and what mmap(2) lists
 *
 * A window cannot be split, moved or resized. munmap(), mprotect() and madvise() fail with
 * EINVAL if they would have to split it. mremap() fails with EINVAL, or with EFAULT if it would
 * grow the window. A forked child does not inherit a window, and core dumps omit it.
 * process_vm_readv(2), ptrace(2), READV, registered buffers of io_uring and userfaultfd(2)
 * refuse it. MADV_RANDOM and MADV_SEQUENTIAL control how many neighbours a fault maps. The file
 * descriptor can be closed while the window is in use.
 *
 * Cost: ATTACH and changes to the target's mappings cost the same as with PVMREAD_CACHE. An
 * MMU notifier also watches the caller's own mappings. A change that removes pages from a
 * window also waits until they are unmapped in the caller. The next load takes a page fault,
 * which waits for a kernel worker. The OOM reaper and process_mrelease(2) cannot wait, so they
 * skip a mapping of the target while a window maps pages of it.
 */

/* 0xd5 is free in Documentation/userspace-api/ioctl/ioctl-number.rst, 6.12 to 7.3. */
#define PVMREAD_IOC_TYPE	0xd5

/* The device node that the module creates, mode 0600. */
#define PVMREAD_DEVICE		"/dev/pvmread"

/* Incremented when a command changes in a way that @features cannot express. */
#define PVMREAD_ABI_VERSION	1

/**
 * enum pvmread_feature - bits of &struct pvmread_info.features
 * @PVMREAD_FEATURE_READV: PVMREAD_IOC_READV exists
 * @PVMREAD_FEATURE_WRITEV: PVMREAD_IOC_WRITEV exists
 * @PVMREAD_FEATURE_READONLY: the module was loaded with readonly=1, and everything that
 *	would write to another process fails with EROFS
 * @PVMREAD_FEATURE_ATTACH: PVMREAD_IOC_ATTACH and target files exist
 * @PVMREAD_FEATURE_BATCH: PVMREAD_IOC_BATCH exists
 * @PVMREAD_FEATURE_PIDFD: PVMREAD_PIDFD works. It needs a kernel function that the
 *	module may not find
 * @PVMREAD_FEATURE_NOWAIT: PVMREAD_NOWAIT works
 * @PVMREAD_FEATURE_RESIDENT: PVMREAD_RESIDENT works
 * @PVMREAD_FEATURE_CACHE: PVMREAD_CACHE works. It needs a 64-bit kernel with MMU notifiers.
 *	It is not available on s390, in paravirtualized Xen guests, or with aliasing CPU caches
 * @PVMREAD_FEATURE_WINDOW: PVMREAD_WINDOW works. The module was loaded with windows=1, and
 *	PVMREAD_FEATURE_CACHE is set. It needs x86-64, or arm64 without
 *	CONFIG_DEBUG_VM; neither page_table_check=on nor CONFIG_PAGE_TABLE_CHECK_ENFORCED; and
 *	CONFIG_TASKS_RCU if the kernel is preemptible
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
	PVMREAD_FEATURE_CACHE		= 1 << 8,
	PVMREAD_FEATURE_WINDOW		= 1 << 9,
};

/**
 * enum pvmread_flag - how a request names its target and what it may do
 * @PVMREAD_PIDFD: the pid field is a pidfd (see pidfd_open(2)). It names the process
 *	even after its pid was reused. The pidfd of a single thread (PIDFD_THREAD) works
 *	if it is the thread-group leader. Special values (PIDFD_SELF, 6.15
 *	and later) work if the kernel has them
 * @PVMREAD_NOWAIT: do not wait for the target. Mapped pages are copied; a write does not copy to
 *	shared pages of a FUSE file. Unmapped private anonymous pages are faulted in, as are
 *	pages in the page cache that are up to date, unlocked and without PG_readahead. But on
 *	FUSE, on hugetlbfs and in memory registered with userfaultfd(2) no page is faulted in. Any
 *	other page that the target may access ends the transfer with EAGAIN, as does a contended
 *	mmap_lock. No file system is asked to read a page or to make it writable, unless the file
 *	is truncated at that moment. Some waits remain: for execve(2) of the target (READV,
 *	WRITEV, ATTACH), memory allocation, migration, and others that pvmread(4) lists
 * @PVMREAD_RESIDENT: access only pages that the target has mapped with the permission
 *	needed. Any other page ends the transfer with EIO, as a hole does. So does a page
 *	under migration, although a retry may succeed, and on s390 a page that is shared
 *	copy-on-write. No fault handler runs: the target's resident set does not change
 * @PVMREAD_WRITE: ATTACH: the file can also be written. BATCH: move the segments to the
 *	target
 * @PVMREAD_STOP: BATCH: stop after the first segment that is not moved completely
 * @PVMREAD_CACHE: ATTACH: cache the kernel addresses of the target's pages. A request with
 *	PVMREAD_NOWAIT or PVMREAD_RESIDENT reads from the cache but does not fill it. A
 *	file attached with one of the two gets no cache. See Cached target files
 * @PVMREAD_WINDOW: ATTACH: the file can be mapped. Not with PVMREAD_NOWAIT or
 *	PVMREAD_RESIDENT. See Windows
 *
 * The first two have the values and the meaning of PROCESS_VM_PIDFD and PROCESS_VM_NOWAIT
 * of the upstream series "pidfd and nowait support for process_vm_readv/writev".
 */
enum pvmread_flag {
	PVMREAD_PIDFD		= 1 << 0,
	PVMREAD_NOWAIT		= 1 << 1,
	PVMREAD_RESIDENT	= 1 << 2,
	PVMREAD_WRITE		= 1 << 3,
	PVMREAD_STOP		= 1 << 4,
	PVMREAD_CACHE		= 1 << 5,
	PVMREAD_WINDOW		= 1 << 6,
};

/**
 * struct pvmread_info - ioctl(PVMREAD_IOC_INFO): what the module can do
 * @size: in: sizeof(struct pvmread_info); at least 8
 * @__reserved: in: must be 0
 * @version: out: PVMREAD_ABI_VERSION of the module
 * @max_segments: out: the most iovecs that an array of READV may have
 * @features: out: bits of &enum pvmread_feature
 * @max_bytes: out: the most bytes that one request moves. A longer request is truncated,
 *	as in read(2)
 * @max_batch: out: the most segments that a BATCH may have
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

#define PVMREAD_IOC_INFO	_IO(PVMREAD_IOC_TYPE, 0x00)

/**
 * struct pvmread_rw - ioctl(PVMREAD_IOC_READV) and ioctl(PVMREAD_IOC_WRITEV)
 * @size: in: sizeof(struct pvmread_rw); at least 56, up to and including @transferred
 * @flags: in: 0, or any of PVMREAD_PIDFD, PVMREAD_NOWAIT, PVMREAD_RESIDENT
 * @pid: in: the target, in the caller's pid namespace; a thread id also works.
 *	With PVMREAD_PIDFD it is a pidfd
 * @error: out: 0, or the errno value that says why the transfer ended before either side
 *	was used up
 * @local: in: address of an array of struct iovec that describes the caller's memory
 * @local_count: in: number of its elements, 0 to 1,024
 * @remote: in: address of an array of struct iovec that describes the target's memory
 * @remote_count: in: number of its elements, 0 to 1,024
 * @transferred: out: number of bytes moved, as the syscall returns it; 0 on failure
 * @stop_addr: out: the remote address at which the transfer ended: one past the last byte
 *	moved. If the transfer ended early, the byte there could not be moved. 0 if the
 *	request was refused or empty
 *
 * READV copies from the target to the caller, WRITEV from the caller to the target. They do
 * what process_vm_readv(2) and process_vm_writev(2) do: the same checks in the same order,
 * the same errno, the same bytes, the same partial counts. The arrays consist of the
 * caller's own struct iovec: a 32-bit program passes 32-bit ones. The caller needs
 * PTRACE_MODE_ATTACH_REALCREDS (see ptrace(2)); a process may always name itself.
 *
 * Three things differ from the syscalls. @local_count is checked as 64 bits, where the
 * syscalls check the low 32. Pages of the target that the local side has no room for are
 * neither faulted in nor pinned. A fatal signal ends the wait for the target's mmap_lock, and
 * errno is then EINTR, not EFAULT.
 *
 * The syscalls have neither PVMREAD_NOWAIT nor PVMREAD_RESIDENT. With either flag, READV
 * does not pin pages, so it does not break copy-on-write sharing (except on s390). READV
 * without them gives the target a private copy, as process_vm_readv(2) does. With either
 * flag, the order in which bytes move is undefined if the caller names itself and the two
 * sides overlap.
 *
 * If the struct is rejected, the out fields are left untouched. Otherwise they are set, as
 * far as @size covers them, on success and on every failure listed here. @error says more
 * than errno can:
 *
 *  - EIO: the target's memory at @stop_addr is not mapped, not accessible, or of a kind
 *    that cannot be pinned
 *  - EFAULT: the caller's own memory
 *  - EAGAIN: PVMREAD_NOWAIT, and the transfer would have to wait for the target
 *  - ENOMEM: no memory to fault the target's page in, or it could not be pinned
 *  - EINTR: the caller is being killed
 *  - ESRCH: PVMREAD_NOWAIT or PVMREAD_RESIDENT, and the target has exited meanwhile
 *
 * If at least one byte moved, ioctl() returns 0. If none moved for one of the reasons above,
 * errno is the same as @error for EINTR and ESRCH, and EFAULT for the others. If the command
 * fails before it begins to copy, @error is errno.
 *
 * errno, in the order of the checks:
 *
 *  - EBADF: READV on a file not open for reading, WRITEV on one not open for writing
 *  - EROFS: WRITEV, and the module was loaded with readonly=1
 *  - EINVAL: @local_count is over 1,024
 *  - ENOMEM: no memory for a copy of the local array
 *  - EFAULT, EINVAL: an element of the local array cannot be read, or its length is negative
 *    as a ssize_t; the first such element decides
 *  - EFAULT: one of its elements is outside of user space
 *  - (success, 0 bytes: all local lengths are 0)
 *  - EINVAL, ENOMEM, EFAULT: the same for the remote array. An address outside of user space
 *    in it fails only when the copy reaches it
 *  - (success, 0 bytes: all remote lengths are 0)
 *  - ENOMEM: no memory for page pointers
 *  - EOPNOTSUPP: PVMREAD_PIDFD, and the module did not find pidfd_get_task()
 *  - EBADF: PVMREAD_PIDFD, and @pid is not a pidfd
 *  - ESRCH: no such process, or one without memory (a zombie, a kernel thread)
 *  - EPERM: no permission
 *  - EINTR: the caller was killed while it waited for the target's execve(2)
 *  - EFAULT: the first byte could not be moved, because of the target's or the caller's
 *    memory
 *  - EINTR: the caller was killed before a byte moved (the syscalls: EFAULT)
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

#define PVMREAD_IOC_READV	_IO(PVMREAD_IOC_TYPE, 0x01)
#define PVMREAD_IOC_WRITEV	_IO(PVMREAD_IOC_TYPE, 0x02)

/**
 * struct pvmread_attach - ioctl(PVMREAD_IOC_ATTACH): a process as a file
 * @size: in: sizeof(struct pvmread_attach); at least 32
 * @flags: in: PVMREAD_PIDFD; PVMREAD_WRITE to also write; PVMREAD_NOWAIT and
 *	PVMREAD_RESIDENT for every transfer through the file; PVMREAD_CACHE; PVMREAD_WINDOW
 * @pid: in: the target, as in &struct pvmread_rw
 * @__reserved: in: must be 0
 * @start: in: the first address of the attached range
 * @length: in: the number of bytes in it. If @start and @length are 0, the range is all
 *	of the target's memory
 *
 * Returns a target file, close-on-exec, with position @start: see Target files above. The
 * caller needs the same permission as for READV. A process may always attach to itself, and
 * grant a range of its own memory by passing the file on, whatever Yama forbids.
 *
 * errno, in the order of the checks:
 *
 *  - EINVAL: PVMREAD_WINDOW with PVMREAD_NOWAIT or PVMREAD_RESIDENT
 *  - EINVAL: @length is 0 and @start is not, or @start + @length overflows an address
 *  - EBADF: the device is not open for reading, or, with PVMREAD_WRITE, not for writing
 *  - EROFS: PVMREAD_WRITE, and the module was loaded with readonly=1
 *  - EOPNOTSUPP: PVMREAD_CACHE or PVMREAD_WINDOW is not supported: see
 *    PVMREAD_FEATURE_CACHE and PVMREAD_FEATURE_WINDOW
 *  - EOPNOTSUPP, EBADF, ESRCH, EPERM, EINTR: the target, as for READV
 *  - EINTR: PVMREAD_CACHE or PVMREAD_WINDOW, and the caller was killed while it waited for
 *    mmap_lock or for a page fault of the target (Linux 6.15 to 6.19: for mmap_lock only)
 *  - EINTR: PVMREAD_CACHE or PVMREAD_WINDOW, and a signal without SA_RESTART arrived while the
 *    kernel took the locks of the target's mappings
 *  - ENOMEM, EMFILE, ENFILE: no memory for another file, or too many of them
 */
struct pvmread_attach {
	__u32 size;
	__u32 flags;
	__s32 pid;
	__u32 __reserved;
	__aligned_u64 start;
	__aligned_u64 length;
};

#define PVMREAD_IOC_ATTACH	_IO(PVMREAD_IOC_TYPE, 0x03)

/**
 * enum pvmread_segment_flag - bits of &struct pvmread_segment.flags
 * @PVMREAD_SEGMENT_STRING: the segment is complete after the first NUL byte, which is also
 *	moved. If there is none in @length bytes, all of them are moved. No page past the
 *	NUL is accessed. EINVAL with PVMREAD_WRITE
 */
enum pvmread_segment_flag {
	PVMREAD_SEGMENT_STRING	= 1 << 0,
};

/**
 * struct pvmread_segment - one segment of a BATCH
 * @remote: in: its address in the target
 * @local: in: its address in the caller; all of @length must be user space
 * @length: in: its number of bytes, any value. Anything over &struct pvmread_info.max_bytes is
 *	truncated. If it is 0, @remote and @local are ignored
 * @flags: in: bits of &enum pvmread_segment_flag
 * @error: out: 0 if all of it was moved, or why not: EIO, EFAULT, EAGAIN, ENOMEM or EINTR
 *	as in &struct pvmread_rw, with EIO also for memory outside the attached range;
 *	ESRCH if the target exited meanwhile; EINVAL for an unknown flag, or one that
 *	does not fit the direction
 * @done: out: number of bytes moved
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
 * struct pvmread_batch - ioctl(PVMREAD_IOC_BATCH) on a target file: many segments
 * @size: in: sizeof(struct pvmread_batch); at least 32
 * @flags: in: PVMREAD_WRITE, PVMREAD_STOP, PVMREAD_NOWAIT, PVMREAD_RESIDENT
 * @segments: in: address of an array of &struct pvmread_segment
 * @count: in: number of its elements, 0 to &struct pvmread_info.max_batch
 * @completed: out: the number of segments, from the first, that have a result
 *
 * Moves one segment after the other and writes a result for each. A segment that fails does
 * not end the batch, unless PVMREAD_STOP is set: then it is the last one, and @completed
 * counts it. Once max_bytes have been moved or 128 segments have failed, any signal ends the
 * batch: ioctl() returns 0, and @completed says how far it has come.
 *
 * The array is read, and results are written, a few elements at a time. The module may
 * keep pages of the target for the next segments, so small segments cost least in
 * ascending order of their addresses. The target cannot remap such a page meanwhile. If
 * it drops the page with madvise(2), a segment may still find the old contents. If
 * source and destination overlap, the order in which bytes move is undefined.
 *
 * ioctl() returns 0 even if segments have failed.
 * errno, in the order of the checks:
 *
 *  - EBADF: PVMREAD_WRITE, and the file was not attached for writing
 *  - EINVAL: @count is over max_batch
 *  - ESRCH: the target has exited or called execve(2)
 *  - EFAULT: the element @completed of the array cannot be read or written; those before
 *    it have their results
 *  - EINTR: the caller is being killed; the segments before @completed have their results
 */
struct pvmread_batch {
	__u32 size;
	__u32 flags;
	__aligned_u64 segments;
	__aligned_u64 count;
	__aligned_u64 completed;
};

#define PVMREAD_IOC_BATCH	_IO(PVMREAD_IOC_TYPE, 0x04)

#endif /* _UAPI_LINUX_PVMREAD_H */
