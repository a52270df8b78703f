/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Loads that may raise SIGBUS or SIGSEGV.
 */
#ifndef PVMREAD_LOAD_H
#define PVMREAD_LOAD_H

#include <stdbool.h>
#include <stdint.h>

int load_signal(const uint64_t *from, uint64_t *value);
bool load_word(const uint64_t *from, uint64_t *value);

#endif /* PVMREAD_LOAD_H */
