/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Numbers in the environment and in files that each hold one number.
 */
#ifndef PVMREAD_NUMBERS_H
#define PVMREAD_NUMBERS_H

#include <stdint.h>

uint64_t number_from(const char *name, uint64_t otherwise);
uint32_t choose_seed(void);
long number_in(const char *path);
int set_number(const char *path, long n);

#endif /* PVMREAD_NUMBERS_H */
