# SPDX-License-Identifier: GPL-2.0
"""Read the memory of a process: target_file.py PID ADDRESS LENGTH"""
import fcntl
import os
import struct
import sys

PVMREAD_IOC_ATTACH = 0xd503  # _IO(0xd5, 3); on powerpc _IO() also sets other bits


def attach(pid, flags=0, start=0, length=0):
    """Return a file whose position is an address in the process."""
    # struct pvmread_attach: size, flags, pid, reserved, start, length. It must be a
    # bytearray: for bytes, fcntl.ioctl() returns the buffer, not the new descriptor.
    arg = bytearray(struct.pack("IIiIQQ", 32, flags, pid, 0, start, length))
    device = os.open("/dev/pvmread", os.O_RDWR)
    try:
        return fcntl.ioctl(device, PVMREAD_IOC_ATTACH, arg)
    finally:
        os.close(device)


if __name__ == "__main__":
    pid, address, size = (int(arg, 0) for arg in sys.argv[1:])
    # A target file has no end. Give a length: read() without one would never return.
    sys.stdout.buffer.write(os.pread(attach(pid), size, address))
