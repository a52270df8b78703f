/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libpvmread: the memory of another process through /dev/pvmread, from C.
 *
 * The library keeps nothing: a device and a target are file descriptors that
 * the caller owns and gives back with close(2). Every function is thread-safe,
 * and async-signal-safe but for pvmread_strerror(). None falls back to another
 * way: what the module cannot do fails. A failure returns -1 (or NULL) and sets
 * errno. libpvmread(3) says the same in prose; linux/pvmread.h is the ABI below.
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
 * @flags: O_RDONLY to read other processes, O_RDWR to write them, too
 *
 * The file is close-on-exec.
 *
 * Return: a file descriptor for the functions below that take @dev, or -1:
 *
 *  - ENODEV: the module is not loaded, or what is there is not its device
 *  - EACCES: the caller may not open the node: it is not in its group
 *  - EINVAL: @flags has another bit, or is O_WRONLY
 *  - whatever else open(2) says
 */
int pvmread_open(int flags);

/**
 * pvmread_get_info() - what the module can do
 * @dev: from pvmread_open()
 * @info: filled; features that are newer than the library are bits in
 *	&struct pvmread_info.features all the same
 *
 * Return: 0, or -1: EBADF, ENODEV if @dev is not the device.
 */
int pvmread_get_info(int dev, struct pvmread_info *info);

/**
 * pvmread_readv() - process_vm_readv(2) through the device
 * @dev: from pvmread_open()
 * @pid: the target; with PVMREAD_PIDFD a pidfd
 * @local_iov: the caller's memory
 * @liovcnt: its number of elements, not cut to 32 bits as by the syscall
 * @remote_iov: the target's memory
 * @riovcnt: its number of elements
 * @flags: 0, or PVMREAD_PIDFD, PVMREAD_NOWAIT, PVMREAD_RESIDENT
 *
 * Return: the bytes moved, or -1 with the syscall's errno. EOPNOTSUPP:
 * PVMREAD_PIDFD, and the module could not find what it takes in this kernel.
 */
ssize_t pvmread_readv(int dev, pid_t pid,
		      const struct iovec *local_iov, unsigned long liovcnt,
		      const struct iovec *remote_iov, unsigned long riovcnt,
		      unsigned long flags);

/**
 * pvmread_writev() - process_vm_writev(2) through the device
 *
 * As pvmread_readv(), the other way. EBADF: @dev was opened with O_RDONLY.
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
 * @length: bytes from there; with @start 0 and @length 0 all of the memory
 *
 * Return: a target file, close-on-exec, whose position is the address, or -1
 * with errno as &struct pvmread_attach has it: ESRCH, EPERM, EBADF, EROFS ...
 */
int pvmread_attach(int dev, pid_t pid, unsigned int flags,
		   uint64_t start, uint64_t length);

/**
 * pvmread_read() - read the target
 * @target: from pvmread_attach()
 * @addr: the address there
 * @buf: where to
 * @len: bytes, any number
 *
 * Goes on where the kernel answers with a part, so that a short count means
 * that the byte at @addr + count cannot be had, and a second call there says why.
 *
 * Return: the bytes read, or -1 if there is not even one: EIO (not mapped, or
 * outside of the attached range), EAGAIN, ESRCH, EFAULT (@buf) ...
 */
ssize_t pvmread_read(int target, uint64_t addr, void *buf, size_t len);

/**
 * pvmread_write() - write the target
 *
 * As pvmread_read(), the other way. EBADF: not attached with PVMREAD_WRITE.
 */
ssize_t pvmread_write(int target, uint64_t addr, const void *buf, size_t len);

/**
 * pvmread_read_string() - read a C string
 * @target: from pvmread_attach()
 * @addr: its address there
 * @buf: where to; on success NUL-terminated if @size is not 0
 * @size: room in @buf
 *
 * No page behind the NUL is looked at.
 *
 * Return: the length of the string without its NUL. @size: there is no NUL in
 * so many bytes; @buf has the first @size - 1. -1: the memory ends before the
 * string does (EIO), or another error of pvmread_read().
 */
ssize_t pvmread_read_string(int target, uint64_t addr, char *buf, size_t size);

/**
 * pvmread_batch() - many small pieces at once
 * @target: from pvmread_attach()
 * @segs: the pieces, each with its own result in @done and @error
 * @count: how many, any number: what is over PVMREAD_MAX_BATCH of the module
 *	takes more than one ioctl
 * @flags: PVMREAD_WRITE, PVMREAD_STOP, PVMREAD_NOWAIT, PVMREAD_RESIDENT
 *
 * Cheapest in the order of the addresses.
 *
 * Return: the number of segments that have a result, from the first on: @count,
 * unless PVMREAD_STOP met one that is not whole or something ended the rest. If
 * none has, -1 with errno as &struct pvmread_batch has it.
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
 * from a window raises SIGBUS where the target has no memory, or has exited or called
 * execve(2). See Windows in linux/pvmread.h.
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
 * The kernel copies, so a fault becomes an error, and no signal handler is involved. It costs
 * a system call, process_vm_writev(2) on this process. A loop that handles SIGBUS can load
 * from the window directly.
 *
 * Return: the bytes copied, fewer than @len if the next byte cannot be loaded; or -1 if there
 * is not even one: EIO (a load would raise SIGBUS, or @buf cannot be written), ENOSYS (the
 * kernel has no process_vm_writev(2)), or the errno of a seccomp filter.
 */
ssize_t pvmread_map_read(const void *window, size_t offset, void *buf, size_t len);

/**
 * pvmread_strerror() - what an errno of this library means, and what to do
 * @error: an errno value
 *
 * ENODEV says how to load the module, EACCES how to get into the group, and so
 * on for all that linux/pvmread.h gives a meaning of its own; otherwise the
 * text of strerror(3).
 *
 * Return: a constant string, never NULL, in English.
 */
const char *pvmread_strerror(int error);

#ifdef __cplusplus
}
#endif

#endif /* LIBPVMREAD_H */
