# SPDX-License-Identifier: GPL-2.0
#
# Where things go, and how they get there: for make install and uninstall, in
# this Makefile and the one above. DESTDIR stands before all of them; the names
# are GNU's. udev and systemd-sysusers read /usr/local/lib, too.
PREFIX		?= /usr/local
prefix		?= $(PREFIX)
exec_prefix	?= $(prefix)
bindir		?= $(exec_prefix)/bin
# lib64 where this compiler's C library is in a lib64, as on Fedora and openSUSE. It
# is not on Debian, whose packages pass the multiarch directory.
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

# Lists hold MODE:SOURCE:DESTINATION, and serve both directions.
field	= $(word $1,$(subst :, ,$2))

# Fail before anything is written if the nearest directory that there is cannot
# be written to. $1: destinations
define may_write
for d in $(foreach f,$1,"$(DESTDIR)$f"); do \
	while d=$$(dirname "$$d"); [ ! -e "$$d" ]; do :; done; \
	[ -d "$$d" ] && [ -w "$$d" ] || { \
		echo "error: cannot write to $$d: be root, or set DESTDIR or PREFIX" >&2; \
		exit 1; \
	}; \
done
endef

# With -C what is the same already keeps its time. $1: a list
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

# What a live system has to be told. A package's scripts do that themselves.
# $1: a command, to be found in root's PATH, too
live = $(if $(DESTDIR),,@[ "$$(id -u)" != 0 ] || PATH=$$PATH:/usr/sbin:/sbin $1)
