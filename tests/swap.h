/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Swap space on a RAM disk, because a guest has no other disk.
 */
#ifndef PVMREAD_SWAP_H
#define PVMREAD_SWAP_H

#include <stdbool.h>

void swap_off(void);
bool swap_on(void);
unsigned int count_swapped(const void *addr, unsigned int nr);

#endif /* PVMREAD_SWAP_H */
