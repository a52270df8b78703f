// SPDX-License-Identifier: GPL-2.0
/*
 * Reproducible random numbers.
 */
#include "random.h"

#define STEP	0x9e3779b97f4a7c15ULL

/* splitmix64: any two numbers give sequences that have nothing to do with each other. */
uint64_t mix(uint64_t x)
{
	x += STEP;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* Return: a number from 0 to @n - 1. */
uint64_t below(struct rng *rng, uint64_t n)
{
	rng->state += STEP;
	return mix(rng->state) % n;
}

bool one_in(struct rng *rng, uint64_t n)
{
	return !below(rng, n);
}
