// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvmread write: change the memory of a process.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

/* The most input, because all of it is held in memory. */
#define INPUT_MAX	(64 * 1024 * 1024)
#define SHOWN_MAX	512

struct arguments {
	const char *words[2];	/* PID ADDR */
	const char *hex;
	bool yes;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case 'x':
		args->hex = arg;
		return 0;
	case 'y':
		args->yes = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num >= 2)
			argp_error(state, "\"%s\" is one argument too many", arg);
		args->words[state->arg_num] = arg;
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num < 2)
			argp_error(state, "it takes PID and ADDR");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* read_input() - all of standard input, for free() */
static unsigned char *read_input(size_t *length)
{
	unsigned char *bytes = NULL;
	size_t size = 0;

	*length = 0;
	do {
		if (*length == size) {
			size = size ? 2 * size : 65536;
			bytes = realloc(bytes, size);
			if (!bytes)
				fail(ENOMEM, "standard input");
		}
		*length += fread(bytes + *length, 1, size - *length, stdin);
		if (ferror(stdin))
			fail(errno, "standard input");
		if (*length > INPUT_MAX)
			fail(0, "standard input: over %s; write it in pieces",
			     human_size(INPUT_MAX));
	} while (!feof(stdin));
	if (!*length)
		fail(0, "standard input is empty: there is nothing to write");
	return bytes;
}

/*
 * check_range() - fail() unless all of it is mapped writable
 *
 * The kernel would write up to the first page that is not. A user who mistyped the
 * address wants nothing written.
 */
static void check_range(const struct target *target, uint64_t addr, size_t length)
{
	const struct mapping *map;
	uint64_t at = addr;
	struct maps maps;

	maps_load(&maps, target, MAPS_PLAIN);
	do {
		map = maps_find(&maps, at);
		if (!map || map->perms[1] != 'w')
			fail(0, "0x%" PRIx64 " of %s: %s; nothing was written", at, target->name,
			     target_reason(target, at, EIO, PVMREAD_WRITE));
		at = map->end;
	} while (at - addr < length);
	maps_free(&maps);
}

static void show(FILE *tty, const char *what, uint64_t addr, const unsigned char *bytes,
		 size_t length, const unsigned char *other)
{
	size_t shown = length < SHOWN_MAX ? length : SHOWN_MAX;

	fprintf(tty, "%s:\n", what);
	hexdump(tty, addr, bytes, shown, other);
	if (shown < length)
		fprintf(tty, "... and %zu bytes more\n", length - shown);
}

/* confirm() - show the change on the terminal and ask; true if there is no terminal */
static bool confirm(const struct target *target, uint64_t addr, const unsigned char *bytes,
		    size_t length)
{
	FILE *tty = fopen("/dev/tty", "r+e");
	size_t shown = length < SHOWN_MAX ? length : SHOWN_MAX;
	unsigned char old[SHOWN_MAX];
	char answer[16] = "";
	size_t got;
	int error;

	if (!tty && (errno == ENXIO || errno == ENOENT || errno == ENODEV))
		return true;
	if (!tty)
		fail(errno, "/dev/tty; nothing was written");
	error = target_read(target, addr, old, shown, &got);
	if (error)
		fail(0, "0x%" PRIx64 " of %s: %s; nothing was written", addr + got, target->name,
		     target_reason(target, addr + got, error, 0));
	show(tty, "old", addr, old, length, NULL);
	show(tty, "new", addr, bytes, length, old);
	fprintf(tty, "Write %zu bytes at 0x%" PRIx64 " of %s? [y/N] ", length, addr, target->name);
	fflush(tty);
	if (!fgets(answer, sizeof(answer), tty))
		fputc('\n', tty);
	fclose(tty);
	return !strcasecmp(answer, "y\n") || !strcasecmp(answer, "yes\n");
}

/* write_all() - 0, or the errno value that says why the byte at @addr + @done was not written */
static int write_all(const struct target *target, uint64_t addr, const unsigned char *bytes,
		     size_t length, size_t *done)
{
	ssize_t put;

	for (*done = 0; *done < length; *done += put) {
		put = pvmread_write(target->fd, addr + *done, bytes + *done, length - *done);
		if (put <= 0)
			return put ? errno : EIO;
	}
	return 0;
}

int cmd_write(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "hex", 'x', "BYTES", 0,
		  "Write BYTES, such as \"48 89 e5\", instead of standard input", 0 },
		{ "yes", 'y', NULL, 0, "Do not ask", 0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "PID ADDR",
		.doc = "Write standard input, 64 MiB at most, to ADDR of process PID.\v"
		       "ADDR is as for \"pvmread read\". If there is a terminal, the command shows "
		       "the change and asks first.",
	};
	struct arguments args = {};
	unsigned char *bytes;
	struct target target;
	uint64_t addr;
	size_t length, done;
	int error;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	target_open(&target, args.words[0], PVMREAD_WRITE);
	addr = parse_address(args.words[1], &target);
	bytes = args.hex ? parse_hex(args.hex, &length) : read_input(&length);
	check_wrap(&target, addr, length);
	check_range(&target, addr, length);
	if (!args.yes && !confirm(&target, addr, bytes, length)) {
		warn_about(0, "nothing was written");
		free(bytes);
		return EXIT_PART;
	}
	error = write_all(&target, addr, bytes, length, &done);
	free(bytes);
	if (!error)
		return EXIT_DONE;
	warn_about(0, "0x%" PRIx64 " of %s: %s; %zu of %zu bytes were written", addr + done,
		   target.name, target_reason(&target, addr + done, error, PVMREAD_WRITE),
		   done, length);
	return done ? EXIT_PART : EXIT_TROUBLE;
}
