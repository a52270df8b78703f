# SPDX-License-Identifier: GPL-2.0
#
# The entry. kbuild reads Kbuild, not this file. Variables, all optional:
#
#   KDIR=PATH     the kernel build tree that "modules" builds against
#                 (default: the running kernel's, /lib/modules/.../build)
#   W=1 C=2 V=1   as kbuild knows them
#   KSRC=PATH     the kernel source tree that check, kunit and demo build and boot
#   KERNEL=6.12   or 6.14, 7.3: which kernel to download when KSRC is not set
#   UML=1         demo: build and boot User mode Linux instead of Debian's
#                 kernel; KSRC and KERNEL imply UML=1
#   FILTER=GLOB   kunit: the suites to run, or SUITE.TEST
#   CASES=N       random parity cases in each guest (default: 500 to
#                 100000, see doc/testing.md)
#   SEED=N        what they start from, to repeat a failure
#   RACE_SECONDS=N  how long each race lasts (default: 2)
#   TIMEOUT=S     the most seconds that one guest may run
#   PREFIX=/usr   where the tools are installed (default: /usr/local); DESTDIR,
#                 LIBDIR and GNU's bindir, libdir ... serve too: see tools/install.mk
#
# Products go to build/; kernels to the cache, ~/.cache/pvmread or below
# XDG_CACHE_HOME.
KDIR ?= /lib/modules/$(shell uname -r)/build
export KSRC KERNEL UML FILTER CASES SEED RACE_SECONDS TIMEOUT

include tools/version.mk
include tools/install.mk

# With the default KDIR a kernel whose headers are gone has a release, too.
release = $(or $(shell $(if $(filter file,$(origin KDIR)),uname -r,\
	cat "$(KDIR)/include/config/kernel.release")),\
	$(error $(KDIR) is no kernel build tree))
module	= 644:build/modules/pvmread.ko:/lib/modules/$(release)/updates/pvmread.ko

# Debian's dkms looks nowhere else.
dkmsdir	:= /usr/src/pvmread-$(VERSION)
dkms	:= $(foreach file,dkms.conf Kbuild $(wildcard pvmread*.[ch]) uapi/linux/pvmread.h,\
	644:$(file):$(dkmsdir)/$(file))
# Each has a directory there, beside links named kernel-...
dkms_others = $(if $(DESTDIR),,$(filter-out $(VERSION) kernel-%,\
	$(notdir $(patsubst %/,%,$(wildcard /var/lib/dkms/pvmread/*/)))))
name_others = $(if $(dkms_others),@echo "dkms also has pvmread $(dkms_others); to remove one:\
	dkms remove pvmread/VERSION --all" >&2)
dkms_has_it = $(if $(DESTDIR),,$(wildcard /var/lib/dkms/pvmread/$(VERSION)))

# The tools' Makefile runs in its own directory.
in_tools = $(MAKE) --no-print-directory -C tools \
	$(if $(DESTDIR),DESTDIR="$$(realpath -m -- "$(DESTDIR)")")

modules: ## build the module for KDIR, into build/modules
	+@scripts/module "$(KDIR)" build/modules
	@echo "build/modules/pvmread.ko is ready"

install: modules ## install the module for the kernel of KDIR
	$(call put,$(module))
	$(call live,depmod "$(release)")

tools: ## build the library, the shim and the command, into build/tools
	+@$(in_tools) all

install-tools: ## install them, with what the system needs: headers, udev rule ...
	+@$(in_tools) $@

install-man: ## install the man pages
	+@$(in_tools) $@

install-dkms: ## install the module's source for dkms
	$(call put,$(dkms))
	$(name_others)

rpm: ## build the RPM packages, into build/rpm
	@scripts/rpm

uninstall: ## remove what install and install-* have installed
	$(call remove,$(call destinations,$(module)))
	$(if $(wildcard /lib/modules/$(release)),$(call live,depmod "$(release)"))
ifeq ($(dkms_has_it),)
	$(call remove,$(call destinations,$(dkms)),\
		$(addprefix $(dkmsdir)/,uapi/linux uapi) $(dkmsdir))
else
	@echo "$(dkmsdir) stays: first dkms remove pvmread/$(VERSION) --all" >&2
endif
	$(name_others)
	+@$(in_tools) $@

demo: ## boot Debian's kernel in QEMU and read one process from another in it
	@scripts/demo

kunit: ## run the KUnit suites in User mode Linux; FILTER='pvmread_cache*' selects some
	@scripts/kunit "$$FILTER"

check: ## every check there is: builds, style, KUnit, guests; 40 minutes, and 25 more the first time
	@scripts/check

check-all: ## the guests on every kernel, the check on Debian 12 and 13: hours the first time
	@scripts/check-all

coverage: ## which lines and branches of the module the tests reach: build/coverage/index.html
	@scripts/coverage

fuzz: ## the fuzzer in a guest, for FUZZ="--seconds 600" or what scripts/fuzz takes
	@scripts/fuzz $(FUZZ)

bench: ## measure every way to read a process: build/bench.json, .md and .svg
	@scripts/bench

compile_commands.json: ## for clangd: how the files compile against KDIR, by default User mode Linux
	@scripts/compile-commands $(if $(filter file,$(origin KDIR)),,"$(KDIR)")

clean: ## remove build/; the kernels in the cache stay
	rm -rf build compile_commands.json

help: ## this list
	@sed -n 's/^\([a-z_.-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 32
	@echo
	@sed -n '/^#   [A-Z]/,/^# *$$/{ s/^# //p }' Makefile

.DEFAULT_GOAL := modules
.PHONY: modules install tools install-tools install-man install-dkms rpm uninstall \
	demo kunit check check-all coverage fuzz bench compile_commands.json clean help
