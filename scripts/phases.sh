# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The phases of tests/run that each guest runs, in this order. To be sourced.
# "permission" is always last, because it changes a setting that cannot be reset.
# shellcheck disable=SC2034 # used where this is sourced

# Most of the command's tests run in only one of these two guests: in "stock" if they need two
# CPUs, a 32-bit program, or a kernel that writes cores. command-dump runs in both, because
# the cores that it writes in User mode Linux have no registers.
phases_uml=(readme abi target batch cache window pressure wait parity lifetime library
	preload examples command-scan command-typed command-strings command-dump command security
	fail race fuzz readonly permission)
phases_stock=(readme abi abi32 target batch batch32 cache window pressure wait parity parity32
	lifetime library library32 preload examples command-dump command-diff command-memory
	command-output path trace security security32 lsm race readonly permission)
# With every checker each phase takes ten times as long. So these are only the ones that
# need what User mode Linux lacks: two CPUs, huge pages, 32-bit callers or a second LSM.
phases_debug=(abi abi32 target batch cache window pressure wait parity lifetime trace
	security fail race fuzz permission)
# All phases of the module, library and shim, for make check-all and make coverage. Without
# "path", because checkers add functions to the traced path.
phases_debug_all=(readme abi abi32 target batch batch32 cache window pressure wait parity
	parity32 lifetime library library32 preload trace security security32 fail fail32 race fuzz
	readonly permission)
# Debian's kernel for another architecture, emulated.
phases_arm64=(readme abi abi32 target batch batch32 cache window pressure wait parity parity32
	lifetime library preload tags trace security security32)
# The kernel with pages of 16 KiB runs neither 32-bit programs nor the tests of the tools.
phases_arm64_16k=(abi target batch cache window pressure wait parity lifetime tags trace
	security)
phases_ppc64el=(abi target batch cache wait parity lifetime trace security)
# Some tests of target and batch expect that a copy ends at the byte that faults: see COPY_SLACK.
phases_riscv64=(abi parity lifetime trace security)
# A 32-bit kernel has neither the cache nor windows. Not "batch": it sends segments whose buffers
# would end above 3 GiB, and expects that a part of them is moved. Not "fail": at each system call
# such a kernel copies from the user's stack, and an injected failure there kills the program.
phases_i386=(abi target wait parity lifetime library trace security permission)
phases_s390x=(readme abi target batch cache parity lifetime library trace security)
