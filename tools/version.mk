# SPDX-License-Identifier: GPL-2.0
# The release, and the library's ABI. make check compares who else says them:
# dkms.conf and debian/changelog.
VERSION := 0.1.0
SOVERSION := 0
