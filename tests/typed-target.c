// SPDX-License-Identifier: GPL-2.0
/*
 * A process with values of every type at known addresses, for the tests of "pvmread
 * scan --type" and "pvmread rescan".
 *
 *   typed-target [COUNT]
 *
 * COUNT values of 77777777, a u32, are at MANY. Prints "ready", and then executes the
 * lines of its standard input, and prints "done" after each:
 *
 *   step	adds one to every value at BASE and to the COUNT values
 *   unmap	unmaps half of the pages with the COUNT values
 *   exec	executes itself
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KIB	1024UL
#define MIB	(1024 * KIB)
/* Known to the tests. */
#define BASE	0x20000000UL
#define MANY	0x30000000UL

static unsigned int many;

static char *map(uintptr_t at, size_t length)
{
	void *p = mmap((void *)at, length, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != (void *)at)
		err(1, "mmap at %#lx", (unsigned long)at);
	return p;
}

/* The compiler must not assume that the values are aligned. */
#define PUT(type, offset, expression) do {	\
	void *at = (char *)BASE + (offset);	\
	type old, new;				\
						\
	memcpy(&old, at, sizeof(old));		\
	new = (expression);			\
	memcpy(at, &new, sizeof(new));		\
} while (0)

static void begin(void)
{
	/* The first letter of another string, and a surrogate pair. */
	static const unsigned char text[] = {
		'z', 0, 0x7c, 0x01, 0x3d, 0xd8, 0x00, 0xde, 'x', 0,
	};
	/*
	 * Compute 77777777. As a constant it could be in the program's own code at an aligned
	 * address, and scan would find it there too.
	 */
	volatile uint32_t tenth = 7777777;
	uint32_t *at = (uint32_t *)MANY;
	unsigned int i;

	/* Three MiB; the last page is a separate mapping. */
	memset(map(BASE, 3 * MIB), 0, 3 * MIB);
	if (mprotect((char *)BASE + 3 * MIB - 4 * KIB, 4 * KIB, PROT_READ))
		err(1, "mprotect");
	PUT(int8_t, 0x100, -101);
	PUT(int16_t, 0x110, -12345);
	PUT(int32_t, 0x120, -123456789);
	PUT(int64_t, 0x130, -1234567890123456789);
	PUT(uint8_t, 0x140, 201);
	PUT(uint16_t, 0x150, 54321);
	PUT(uint32_t, 0x160, 3123456789);
	PUT(uint64_t, 0x170, 17123456789012345678u);
	PUT(float, 0x180, 3.14159f);
	PUT(double, 0x190, 2.718281828459045);
	memcpy((char *)BASE + 0x1a0, text, sizeof(text));
	/* Adjacent values; a NaN, an infinity. */
	PUT(float, 0x200, 1000.4f);
	PUT(float, 0x204, 1000.6f);
	PUT(float, 0x208, __builtin_nanf(""));
	PUT(float, 0x20c, __builtin_inff());
	/* Unaligned values. Some cross the boundary of two reads. */
	PUT(uint32_t, 0x301, 0xabcdef01);
	PUT(uint32_t, MIB - 2, 0xabcdef02);
	PUT(uint64_t, 2 * MIB - 4, 0xabcdef0304050607);
	memcpy((char *)BASE + 2 * MIB + 64 * KIB - 5, text, sizeof(text));

	map(MANY, many * sizeof(*at) + 4 * KIB);
	for (i = 0; i < many; i++)
		at[i] = 10 * tenth + 7;
}

static void step(void)
{
	uint32_t *at = (uint32_t *)MANY;
	unsigned int i;

	PUT(int8_t, 0x100, old + 1);
	PUT(int16_t, 0x110, old + 1);
	PUT(int32_t, 0x120, old + 1);
	PUT(int64_t, 0x130, old + 1);
	PUT(uint8_t, 0x140, old + 1);
	PUT(uint16_t, 0x150, old + 1);
	PUT(uint32_t, 0x160, old + 1);
	PUT(uint64_t, 0x170, old + 1);
	PUT(float, 0x180, old + 1);
	PUT(double, 0x190, old + 1);
	PUT(uint16_t, 0x1a0, old + 1);
	for (i = 0; i < many; i++)
		at[i]++;
}

static void unmap(void)
{
	const size_t half = many * sizeof(uint32_t) / 2;

	if (munmap((char *)MANY + (half & -(4 * KIB)), half + 8 * KIB))
		err(1, "munmap");
}

int main(int argc, char **argv)
{
	char line[64];

	many = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	begin();
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "step\n"))
			step();
		else if (!strcmp(line, "unmap\n"))
			unmap();
		else if (!strcmp(line, "exec\n"))
			execv("/proc/self/exe", argv);
		else
			errx(2, "%s: not one of step, unmap, exec", line);
		puts("done");
		fflush(stdout);
	}
	return 0;
}
