// SPDX-License-Identifier: GPL-2.0
/*
 * Numbers in the environment and in files that hold one.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "numbers.h"

/* Return: the number in the environment variable @name, or @otherwise if it is not set. */
uint64_t number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* Return: SEED of the environment, or a random number that is not 0. */
uint32_t choose_seed(void)
{
	uint32_t seed = 0;

	while (!seed && getrandom(&seed, sizeof(seed), 0) == sizeof(seed))
		;
	return number_from("SEED", seed);
}

/* Return: the number, or -1 if there is none. */
long number_in(const char *path)
{
	FILE *f = fopen(path, "re");
	long n = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%ld", &n) != 1)
		n = -1;
	fclose(f);
	return n;
}

/* Return: 0, or -1 with errno set. */
int set_number(const char *path, long n)
{
	FILE *f = fopen(path, "we");
	int ret;

	if (!f)
		return -1;
	ret = fprintf(f, "%ld", n) < 0 ? -1 : 0;
	return fclose(f) ? -1 : ret;
}
