/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libpvmread: a C interface to /dev/pvmread, the memory of other processes.
 *
 * The library has no state of its own: a device and a target are file descriptors
 * that the caller owns and closes. Every function is thread-safe, and every one
 * except pvmread_strerror() is async-signal-safe. None falls back to the system
 * calls: what the module cannot do fails. A failure returns -1 (or NULL) and sets
 * errno. libpvmread(3) says the same in prose; linux/pvmread.h is the ABI
 * underneath.
 */
#ifndef LIBPVMREAD_H
#define LIBPVMREAD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <linux/pvmread.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * pvmread_open() - open /dev/pvmread
 * @flags: O_RDONLY to read other processes, O_RDWR to also write them
 *
 * The file is close-on-exec.
 *
 * Return: a file descriptor for the functions below that take @dev, or -1:
 *
 *  - ENODEV: the module is not loaded, or the file is not its device
 *  - EACCES: the caller may not open the node: it is not in the node's group, or a
 *	container's device cgroup denies access
 *  - EINVAL: @flags has another bit, or is O_WRONLY
 *  - any other errno of open(2)
 */
int pvmread_open(int flags);

/**
 * pvmread_get_info() - what the module can do
 * @dev: from pvmread_open()
 * @info: filled; &struct pvmread_info.features also has the bits of features that are
 *	newer than the library
 *
 * Return: 0, or -1: EBADF; ENODEV if @dev is not the device.
 */
int pvmread_get_info(int dev, struct pvmread_info *info);

/**
 * pvmread_readv() - process_vm_readv(2) through the device
 * @dev: from pvmread_open()
 * @pid: the target; with PVMREAD_PIDFD a pidfd
 * @local_iov: the caller's memory
 * @liovcnt: its number of elements; the syscall truncates it to 32 bits
 * @remote_iov: the target's memory
 * @riovcnt: its number of elements
 * @flags: 0, or PVMREAD_PIDFD, PVMREAD_NOWAIT, PVMREAD_RESIDENT
 *
 * Return: the bytes moved, or -1 with the syscall's errno. EOPNOTSUPP:
 * PVMREAD_PIDFD, and the module did not find pidfd_get_task() in this kernel.
 */
ssize_t pvmread_readv(int dev, pid_t pid,
		      const struct iovec *local_iov, unsigned long liovcnt,
		      const struct iovec *remote_iov, unsigned long riovcnt,
		      unsigned long flags);

/**
 * pvmread_writev() - process_vm_writev(2) through the device
 *
 * Like pvmread_readv(), in the other direction. EBADF: @dev was opened with O_RDONLY.
 * EROFS: the module was loaded with readonly=1.
 */
ssize_t pvmread_writev(int dev, pid_t pid,
		       const struct iovec *local_iov, unsigned long liovcnt,
		       const struct iovec *remote_iov, unsigned long riovcnt,
		       unsigned long flags);

/**
 * pvmread_attach() - a process, or a range of its memory, as a file
 * @dev: from pvmread_open()
 * @pid: the target; with PVMREAD_PIDFD a pidfd
 * @flags: PVMREAD_PIDFD, PVMREAD_WRITE, PVMREAD_NOWAIT, PVMREAD_RESIDENT, PVMREAD_CACHE,
 *	PVMREAD_WINDOW
 * @start: the first address that the file reaches
 * @length: bytes from there; all of the memory if @start and @length are 0
 *
 * Return: a target file, close-on-exec, whose position is the address, or -1
 * with an errno of &struct pvmread_attach: ESRCH, EPERM, EBADF, EROFS ...
 */
int pvmread_attach(int dev, pid_t pid, unsigned int flags,
		   uint64_t start, uint64_t length);

/**
 * pvmread_read() - read the target
 * @target: from pvmread_attach()
 * @addr: the address there
 * @buf: the destination
 * @len: number of bytes, any value
 *
 * After a partial transfer it continues with the rest. So a short count
 * means that the byte at @addr + count cannot be read; a second call there says why.
 *
 * Return: the bytes read, or -1 if there are none: EIO (not mapped, or
 * outside of the attached range), EAGAIN, ESRCH, EFAULT (@buf) ...
 */
ssize_t pvmread_read(int target, uint64_t addr, void *buf, size_t len);

/**
 * pvmread_write() - write the target
 *
 * Like pvmread_read(), in the other direction. EBADF: not attached with PVMREAD_WRITE.
 */
ssize_t pvmread_write(int target, uint64_t addr, const void *buf, size_t len);

/**
 * pvmread_read_string() - read a C string
 * @target: from pvmread_attach()
 * @addr: its address there
 * @buf: the destination; on success NUL-terminated if @size is not 0
 * @size: the size of @buf
 *
 * No page past the NUL is accessed.
 *
 * Return: the length of the string without its NUL; or @size if there is no NUL in
 * @size bytes (@buf then has the first @size - 1); or -1 if the memory ends before
 * the string does (EIO), or on another error of pvmread_read().
 */
ssize_t pvmread_read_string(int target, uint64_t addr, char *buf, size_t size);

/**
 * pvmread_batch() - many segments at once
 * @target: from pvmread_attach()
 * @segs: the segments, each with its own result in @done and @error
 * @count: number of segments, any value. A count above max_batch of the module takes
 *	more than one ioctl
 * @flags: PVMREAD_WRITE, PVMREAD_STOP, PVMREAD_NOWAIT, PVMREAD_RESIDENT
 *
 * Segments cost least in ascending order of their addresses.
 *
 * Return: the number of segments, from the first, that have a result. It is @count,
 * unless an error ended the batch, or a segment was not moved completely and
 * PVMREAD_STOP is set. If none has a result, -1 with an errno of &struct pvmread_batch.
 */
ssize_t pvmread_batch(int target, struct pvmread_segment *segs, size_t count,
		      unsigned int flags);

/**
 * pvmread_map() - map memory of the target: a window
 * @target: from pvmread_attach() with PVMREAD_WINDOW
 * @addr: the address there
 * @len: number of bytes, at least 1
 *
 * The pages that hold the bytes are mapped. They must all be in the attached range. A load
 * from a window raises SIGBUS where the target has no memory, and everywhere once the target
 * has exited or called execve(2). See Windows in linux/pvmread.h.
 *
 * Return: the address in this process of the byte at @addr, or NULL with the errno
 * of mmap(2) on a target file: ENODEV (attached without PVMREAD_WINDOW), ENXIO (outside the
 * attached range), ESRCH, EINVAL (@len is 0, or the end overflows) ...
 */
const void *pvmread_map(int target, uint64_t addr, size_t len);

/**
 * pvmread_unmap() - unmap a window
 * @window: from pvmread_map()
 * @len: the @len given to pvmread_map()
 *
 * Return: 0, or -1 with the errno of munmap(2).
 */
int pvmread_unmap(const void *window, size_t len);

/**
 * pvmread_map_read() - copy from a window without the risk of SIGBUS
 * @window: from pvmread_map()
 * @offset: offset of the first byte in the window
 * @buf: the destination
 * @len: number of bytes
 *
 * The kernel copies the bytes, so a fault becomes an error, and no signal handler is
 * involved. It costs a system call, process_vm_writev(2) on this process. A loop that
 * handles SIGBUS can load from the window directly.
 *
 * Return: the bytes copied, fewer than @len if the next byte cannot be loaded; or -1 if
 * there are none: EIO (a load would raise SIGBUS, or @buf cannot be written), ENOSYS (the
 * kernel has no process_vm_writev(2)), or the errno of a seccomp filter.
 */
ssize_t pvmread_map_read(const void *window, size_t offset, void *buf, size_t len);

/**
 * pvmread_strerror() - what an errno of this library means, and what to do
 * @error: an errno value
 *
 * For ENODEV of pvmread_open() it says how to load the module, for EACCES how to get into
 * the group, and so on. For an errno whose meaning is not special here it is the text of
 * strerror(3).
 *
 * Return: a constant string, never NULL, in English.
 */
const char *pvmread_strerror(int error);

#ifdef __cplusplus
}
#endif

#endif /* LIBPVMREAD_H */
