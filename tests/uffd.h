/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page faults that wait: a userfaultfd that may or may not serve them.
 */
#ifndef PVMREAD_UFFD_H
#define PVMREAD_UFFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int open_uffd(void);
bool have_uffd(void);
int hold_back(uintptr_t at, size_t len);
void *map_unserved(size_t length);
uintptr_t page_asked_for(int uffd, int limit);
bool serve_page(int uffd, uintptr_t page, const void *contents);

#endif /* PVMREAD_UFFD_H */
