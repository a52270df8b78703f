// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvmread read: memory of a process, as a hexdump or raw.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

/* A multiple of the 16 bytes of a line. */
#define CHUNK_SIZE	(1024 * 1024)

struct arguments {
	const char *words[3];	/* PID ADDR LEN */
	const char *output;
	unsigned int flags;
	bool hex;
	bool raw;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->flags;
		return 0;
	case 'o':
		args->output = strcmp(arg, "-") ? arg : NULL;
		return 0;
	case 'x':
		args->hex = true;
		return 0;
	case 'r':
		args->raw = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num >= 3)
			argp_error(state, "\"%s\" is one argument too many", arg);
		args->words[state->arg_num] = arg;
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num < 3)
			argp_error(state, "it takes PID, ADDR and LEN");
		if (args->hex && args->raw)
			argp_error(state, "--hex and --raw cannot be combined");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/**
 * copy() - copy the bytes to the output, a chunk at a time
 * @error: set to 0, or to the errno value that says why there are fewer
 *
 * If nothing can be read, an output file is left unchanged.
 *
 * Return: the number of bytes copied.
 */
static uint64_t copy(const struct target *target, uint64_t addr, uint64_t length,
		     const struct arguments *args, int *error)
{
	bool terminal = !args->output && isatty(STDOUT_FILENO);
	const char *name = args->output ?: "standard output";
	unsigned char *chunk = malloc(CHUNK_SIZE);
	FILE *out = args->output ? NULL : stdout;
	size_t want, got;
	uint64_t done = 0;

	if (!chunk)
		fail(ENOMEM, "%d bytes", CHUNK_SIZE);
	if (!terminal)
		progress_start("read", length);
	do {
		want = length - done < CHUNK_SIZE ? length - done : CHUNK_SIZE;
		*error = target_read(target, addr + done, chunk, want, &got);
		if (!done && !got && *error)
			break;
		if (!out)
			out = fdopen(output_open(args->output), "w");
		if (!out)
			fail(errno, "%s", name);
		if (args->hex || (terminal && !args->raw))
			hexdump(out, addr + done, chunk, got, NULL);
		else
			fwrite(chunk, 1, got, out);
		if (fflush(out) || ferror(out))
			fail(errno, "%s", name);
		done += got;
		progress_update(done);
	} while (!*error && done < length && !interrupted);
	if (interrupted)
		die_of_signal();
	progress_clear();
	free(chunk);
	if (args->output && out)
		output_commit();
	return done;
}

int cmd_read(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "output", 'o', "FILE", 0,
		  "Write to FILE, raw unless --hex; renamed into place when complete", 0 },
		{ "hex", 'x', NULL, 0, "Print a hexdump, as on a terminal", 0 },
		{ "raw", 'r', NULL, 0, "Print raw bytes, as to a pipe", 0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.children = access_children,
		.args_doc = "PID ADDR LEN",
		.doc = "Read LEN bytes at ADDR of process PID.\v"
		       "ADDR is a number, [heap], [stack], or the name of a mapped file, such as "
		       "libc.so; +OFFSET may follow. LEN may end in K, M, G or T. The command ends "
		       "at the first byte that it cannot read, with exit status 1.",
	};
	struct arguments args = {};
	uint64_t addr, length, done;
	struct target target;
	int error;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	length = parse_size(args.words[2], "LEN");
	target_open(&target, args.words[0], args.flags);
	addr = parse_address(args.words[1], &target);
	check_wrap(&target, addr, length);

	catch_signals();
	done = copy(&target, addr, length, &args, &error);
	finish_output();
	if (done == length)
		return EXIT_DONE;
	warn_about(0, "stopped at 0x%" PRIx64 " of %s, after %" PRIu64 " of %" PRIu64 " bytes: %s",
		   addr + done, target.name, done, length,
		   target_reason(&target, addr + done, error, args.flags));
	return EXIT_PART;
}
