// SPDX-License-Identifier: GPL-2.0
/*
 * The target of tests/examples.sh: a process with a known return address on its stack,
 * and a counter. Prints the return address and the address of the counter, then counts
 * until it is killed.
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
