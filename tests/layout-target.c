// SPDX-License-Identifier: GPL-2.0
/*
 * A process with the mappings that its arguments ask for, for the tests of the
 * command.
 *
 *   layout-target ADDRESS:PERMS:FILE...
 *
 * ADDRESS is hexadecimal; PERMS is "rw", "r" or "none"; the memory is private and holds
 * a copy of FILE. "+GIBIBYTES" instead of FILE maps that much untouched memory. Prints
 * "ready" when everything is set up.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void fill(char *at, size_t size, int fd)
{
	ssize_t got;

	for (; size; at += got, size -= got) {
		got = read(fd, at, size);
		if (got <= 0)
			err(1, "read");
	}
}

static void place(const char *argument)
{
	char *perms, *what;
	const unsigned long at = strtoul(argument, &perms, 16);
	int fd = -1, protection;
	struct stat st;
	size_t size;
	char *bytes;

	what = *perms ? strchr(perms + 1, ':') : NULL;
	if (*perms != ':' || !what)
		errx(1, "%s: not ADDRESS:PERMS:FILE", argument);
	what++;
	if (*what == '+') {
		size = strtoul(what, NULL, 10) << 30;
	} else {
		fd = open(what, O_RDONLY);
		if (fd < 0 || fstat(fd, &st))
			err(1, "%s", what);
		size = st.st_size;
	}
	bytes = mmap((void *)at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		     MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
	if (bytes != (void *)at)
		err(1, "mmap at %#lx", at);
	if (fd >= 0) {
		fill(bytes, size, fd);
		close(fd);
	}
	protection = perms[1] == 'n' ? PROT_NONE : perms[2] == 'w' ? PROT_READ | PROT_WRITE :
								     PROT_READ;
	if (mprotect(bytes, size, protection))
		err(1, "mprotect at %#lx", at);
}

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		place(argv[i]);
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
