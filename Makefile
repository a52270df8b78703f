# SPDX-License-Identifier: GPL-2.0
#
# The entry. kbuild reads Kbuild, not this file. Variables, all optional:
#
#   KDIR=PATH     the kernel build tree that "modules" builds against
#                 (default: the running kernel's, /lib/modules/.../build)
#   W=1 C=2 V=1   as kbuild knows them
#   KSRC=PATH     the kernel source tree that demo and check build and boot
#   KERNEL=6.12   or 6.14, 7.3: which kernel to bring when KSRC is not set
#   CASES=N       random parity cases per guest (default: 100000)
#   SEED=N        what they start from, to repeat a failure
#   TIMEOUT=S     the most seconds that one guest may run
#
# Products go to build/; kernels to the cache, ~/.cache/pvmread or below
# XDG_CACHE_HOME.
KDIR ?= /lib/modules/$(shell uname -r)/build
export KSRC KERNEL CASES SEED TIMEOUT

modules: ## build the module for KDIR, into build/modules
	+@scripts/module "$(KDIR)" build/modules
	@echo "build/modules/pvmread.ko is ready"

demo: ## boot a guest kernel and read one process from another in it
	@scripts/demo

check: ## every check there is: builds, style, KUnit, guests; about 18 minutes the first time
	@scripts/check

bench: ## measure every way to read a process: build/bench.json, .md and .svg
	@scripts/bench

compile_commands.json: ## for clangd: how the files compile against KDIR, or else against the demo's kernel
	@scripts/compile-commands $(if $(filter file,$(origin KDIR)),,"$(KDIR)")

clean: ## remove build/; the kernels in the cache stay
	rm -rf build compile_commands.json

help: ## this list
	@sed -n 's/^\([a-z_.]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 32
	@echo
	@sed -n '/^#   [A-Z]/,/^# *$$/{ s/^# //p }' Makefile

.DEFAULT_GOAL := modules
.PHONY: modules demo check bench compile_commands.json clean help
