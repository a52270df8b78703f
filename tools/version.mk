# SPDX-License-Identifier: GPL-2.0
# The release, and the library's ABI. dkms.conf, pvmread.c, debian/changelog,
# rpm/pvmread.spec, CHANGELOG.md and README.md also contain the release: make check
# compares them.
VERSION := 0.3.0
SOVERSION := 0
