# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Which phases of tests/run a guest takes, in this order. To be sourced.
# "permission" is the last of each: what it sets cannot be set back.
# shellcheck disable=SC2034 # used where this is sourced

phases_uml=(readme abi target batch cache window pressure wait parity lifetime library
	preload examples command-scan command-typed command-strings command-dump command-diff
	command-memory command-output command security fail race fuzz readonly permission)
phases_stock=(readme abi abi32 target batch cache window pressure wait parity parity32
	lifetime library library32 preload examples command-dump command-diff command-memory
	command-output path trace security security32 race readonly permission)
# In a kernel that checks everything each takes ten times as long: what User mode
# Linux cannot show, with two CPUs, huge pages, 32-bit callers and a second LSM.
phases_debug=(abi abi32 target batch cache window pressure wait parity lifetime trace
	security fail race fuzz permission)
# All of it, for make check-all; what measures coverage runs this, too. But not "path":
# what checks a kernel has functions of its own on the way.
phases_debug_all=(readme abi abi32 target batch cache window pressure wait parity parity32
	lifetime library library32 preload trace security security32 fail fail32 race fuzz readonly
	permission)
# Debian's kernel for another architecture, emulated: the tests of the module that need only
# a C library.
phases_arm64=(abi abi32 target batch cache window pressure wait parity parity32 lifetime
	tags trace security security32)
# The kernel with pages of 16 KiB runs no 32-bit programs.
phases_arm64_16k=(abi target batch cache window pressure wait parity lifetime tags trace
	security)
phases_ppc64el=(abi batch parity lifetime trace security)
phases_s390x=(abi target batch cache parity lifetime trace security)
