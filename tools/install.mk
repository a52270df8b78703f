# SPDX-License-Identifier: GPL-2.0
#
# Directories and recipes for make install and uninstall, in tools/Makefile and
# the top Makefile. The variables have GNU's names. DESTDIR is put before every
# directory. udev and systemd-sysusers also read /usr/local/lib.
PREFIX		?= /usr/local
prefix		?= $(PREFIX)
exec_prefix	?= $(prefix)
bindir		?= $(exec_prefix)/bin
# Use lib64 if this compiler's C library is in a lib64, as on Fedora and openSUSE. On
# Debian it is not; Debian's packages pass the multiarch directory.
libc	:= $(realpath $(shell $(CC) $(CFLAGS) -print-file-name=libc.so.6 2>/dev/null))
LIBDIR		?= $(exec_prefix)/$(if $(filter %/lib64/,$(dir $(libc))),lib64,lib)
libdir		?= $(LIBDIR)
includedir	?= $(prefix)/include
datarootdir	?= $(prefix)/share
datadir		?= $(datarootdir)
docdir		?= $(datarootdir)/doc/pvmread
mandir		?= $(datarootdir)/man
pkgconfigdir	?= $(libdir)/pkgconfig
completionsdir	?= $(datadir)/bash-completion/completions
udevrulesdir	?= $(prefix)/lib/udev/rules.d
sysusersdir	?= $(prefix)/lib/sysusers.d
INSTALL		?= install

# Lists hold MODE:SOURCE:DESTINATION, for both install and uninstall.
field	= $(word $1,$(subst :, ,$2))

# Before anything is written, fail if the nearest existing directory of a
# destination is not writable. $1: destinations
define may_write
for d in $(foreach f,$1,"$(DESTDIR)$f"); do \
	while d=$$(dirname "$$d"); [ ! -e "$$d" ]; do :; done; \
	[ -d "$$d" ] && [ -w "$$d" ] || { \
		echo "error: cannot write to $$d: be root, or set DESTDIR or PREFIX" >&2; \
		exit 1; \
	}; \
done
endef

# -C leaves an unchanged file alone, so that it keeps its mtime. $1: a list
define put
@$(call may_write,$(foreach f,$1,$(call field,3,$f)))
$(foreach f,$1,$(INSTALL) -C -D -m $(call field,1,$f) $(call field,2,$f) \
	"$(DESTDIR)$(call field,3,$f)"
)
endef

# $1: what to remove; $2: directories that are the project's own, inner ones first
define remove
@set -e; for f in $(foreach f,$1,"$(DESTDIR)$f"); do \
	[ -e "$$f" ] || [ -L "$$f" ] || continue; \
	[ -w "$$(dirname "$$f")" ] || { \
		echo "error: cannot remove $$f: be root, or set DESTDIR or PREFIX" >&2; \
		exit 1; \
	}; \
	echo "rm $$f"; \
	rm -f "$$f"; \
done
@for d in $(foreach f,$2,"$(DESTDIR)$f"); do \
	[ ! -d "$$d" ] || rmdir --ignore-fail-on-non-empty "$$d"; \
done
endef

destinations = $(foreach f,$1,$(call field,3,$f))

# As root without DESTDIR, run a command on the live system. With DESTDIR, a package's
# scripts do that. $1: the command; /usr/sbin and /sbin are also searched for it
live = $(if $(DESTDIR),,@[ "$$(id -u)" != 0 ] || PATH=$$PATH:/usr/sbin:/sbin $1)
