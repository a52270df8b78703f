/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reproducible random numbers.
 */
#ifndef PVMREAD_RANDOM_H
#define PVMREAD_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t state;
};

uint64_t mix(uint64_t x);
uint64_t below(struct rng *rng, uint64_t n);
bool one_in(struct rng *rng, uint64_t n);

#endif /* PVMREAD_RANDOM_H */
