// SPDX-License-Identifier: GPL-2.0

// target_file PID ADDRESS LENGTH - a hexdump of another process's memory
//
// os.NewFile makes an *os.File of a target file. The offset of ReadAt is the address.
//
// UNTESTED: nothing in this project compiles Go.
package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// struct pvmread_attach and PVMREAD_IOC_ATTACH of linux/pvmread.h, on x86 and arm64
type attachRequest struct {
	size, flags   uint32
	pid           int32
	reserved      uint32
	start, length uint64
}

const iocAttach = 0xd503

// attach returns a target file of the process. The device can be closed after that.
func attach(pid int32) (*os.File, error) {
	dev, err := os.Open("/dev/pvmread")
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	request := attachRequest{pid: pid}
	request.size = uint32(unsafe.Sizeof(request))
	fd, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dev.Fd(), iocAttach,
		uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return nil, fmt.Errorf("attach process %d: %w", pid, errno)
	}
	return os.NewFile(fd, fmt.Sprintf("process %d", pid)), nil
}

func dump(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: target_file PID ADDRESS LENGTH")
	}
	pid, err := strconv.ParseInt(args[0], 10, 32)
	if err != nil {
		return err
	}
	address, err := strconv.ParseInt(args[1], 0, 64)
	if err != nil {
		return err
	}
	length, err := strconv.ParseInt(args[2], 0, 32)
	if err != nil || length < 0 {
		return fmt.Errorf("bad length %q", args[2])
	}
	target, err := attach(int32(pid))
	if err != nil {
		return err
	}
	defer target.Close()
	buffer := make([]byte, length)
	// ReadAt continues after a short read. At a hole it returns the bytes before it, and EIO.
	n, err := target.ReadAt(buffer, address)
	fmt.Print(hex.Dump(buffer[:n]))
	return err
}

func main() {
	if err := dump(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
