/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Code of the guest tests: more than 2 GiB of memory, in a guest that does not have it.
 */
#ifndef CHUNKS_H
#define CHUNKS_H

#include <stdbool.h>

#define CHUNK		(4UL << 20)
#define CHUNKS		513UL

/**
 * map_chunks() - map CHUNK bytes of shared memory CHUNKS times
 * @at: where; what is mapped there is replaced
 *
 * Return: whether there was memory.
 */
bool map_chunks(void *at);

#endif /* CHUNKS_H */
