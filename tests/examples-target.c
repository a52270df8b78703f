// SPDX-License-Identifier: GPL-2.0
/*
 * What tests/examples.sh shows to the examples: a process with a known address on its
 * stack, and a counter. Prints both addresses, then counts until it is killed.
 */
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static volatile uint64_t counter = 1000;
static volatile int stop;

static __attribute__((noinline)) void count(void)
{
	printf("%p %p\n", __builtin_return_address(0), (void *)&counter);
	fflush(stdout);
	while (!stop) {
		usleep(20000);
		counter++;
	}
}

int main(void)
{
	alarm(600);
	count();
	return stop;
}
