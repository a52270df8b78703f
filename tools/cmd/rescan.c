// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvmread rescan: read again the values that "pvmread scan --save" found.
 *
 * The candidates pass through in chunks: read from the file, read again from the
 * target with one pvmread_batch(), and written to the new file if they remain.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "candidates.h"
#include "cmd.h"
#include "locate.h"
#include "typed.h"

/* The most candidates in a chunk, and the most bytes of their values. */
#define CHUNK_COUNT	8192
#define CHUNK_BYTES	(4 << 20)

enum {
	OPT_COUNT = 256,
	OPT_TOLERANCE,
};

struct arguments {
	const char *words[3];	/* FILE PREDICATE BY */
	const char *save;
	double tolerance;
	uint64_t max;
	bool count;
	bool json;
};

/**
 * struct rescan - the state of a rescan
 * @whole: the same target without a range
 * @reader: FILE
 * @writer: the new file
 * @size: bytes of an old value
 * @room: the capacity of a chunk, in candidates
 * @held: number of candidates in the chunk
 * @addrs: their addresses
 * @segments: the segments that read them
 * @old: their values in the file
 * @new: their values in the target
 * @remained: number of candidates that passed
 * @printed: number of these that were printed
 * @lost: number of candidates that can no longer be read
 */
struct rescan {
	const struct arguments *args;
	struct target target;
	struct target whole;
	struct candidates_reader *reader;
	struct candidates_writer *writer;
	struct predicate predicate;
	struct location location;
	size_t size;
	size_t room;
	size_t held;
	uint64_t *addrs;
	unsigned char *old;
	unsigned char *new;
	struct pvmread_segment *segments;
	uint64_t remained;
	uint64_t printed;
	uint64_t lost;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case OPT_TOLERANCE:
		args->tolerance = tolerance_parse(arg);
		return 0;
	case OPT_COUNT:
		args->count = true;
		return 0;
	case 'm':
		args->max = parse_size(arg, "--max");
		return 0;
	case 'j':
		args->json = true;
		return 0;
	case 's':
		args->save = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num >= 3)
			argp_error(state, "\"%s\" is one argument too many", arg);
		args->words[state->arg_num] = arg;
		return 0;
	case ARGP_KEY_END:
		if (!args->words[0])
			argp_error(state, "no FILE given");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static void *allocate(size_t count, size_t size)
{
	void *array = calloc(count, size);

	if (!array)
		fail(ENOMEM, "%zu candidates", count);
	return array;
}

static void rescan_start(struct rescan *rescan)
{
	rescan->room = MIN(CHUNK_COUNT, CHUNK_BYTES / MAX(rescan->size, rescan->predicate.size));
	rescan->addrs = allocate(rescan->room, sizeof(*rescan->addrs));
	rescan->old = allocate(rescan->room, rescan->size);
	rescan->new = allocate(rescan->room, rescan->predicate.size);
	rescan->segments = allocate(rescan->room, sizeof(*rescan->segments));
}

static void rescan_end(struct rescan *rescan)
{
	free(rescan->addrs);
	free(rescan->old);
	free(rescan->new);
	free(rescan->segments);
	predicate_free(&rescan->predicate);
	location_end(&rescan->location);
	candidates_close(rescan->reader);
}

/* check_all() - fail() if FILE is damaged, before anything is printed */
static void check_all(struct candidates_reader *reader, uint64_t *lowest, uint64_t *highest)
{
	const unsigned char *value;
	uint64_t addr;
	bool first;

	for (first = true; candidates_next(reader, &addr, &value); first = false) {
		if (first)
			*lowest = addr;
		*highest = addr;
	}
	candidates_rewind(reader);
}

/*
 * attach() - attach to the process of FILE, for the range of its candidates
 *
 * The cache needs a second target file. If the first one still works at the end, both
 * belong to the same program.
 */
static void attach(struct rescan *rescan, uint64_t lowest, uint64_t highest)
{
	const struct identity *saved = &rescan->reader->header.identity;
	const uint64_t length = highest - lowest + rescan->predicate.size;
	struct target *target = &rescan->target;
	struct identity now;
	char pid[16];

	snprintf(pid, sizeof(pid), "%" PRIu32, saved->pid);
	target_open(target, pid, 0);
	rescan->whole = *target;
	identity_get(&now, &rescan->whole);
	identity_check(saved, &now, target, rescan->args->words[0]);
	rescan->whole.fd = dup(target->fd);
	if (rescan->whole.fd < 0)
		fail(errno, "%s", target->name);
	if (rescan->reader->header.count > 1 && length > highest - lowest)
		target_cache(target, lowest, length, 0);
}

/* detach() - fail() if the process is gone, because reads may have failed for that reason */
static void detach(struct rescan *rescan)
{
	char nothing;

	if (pvmread_read(rescan->whole.fd, 0, &nothing, 0) < 0)
		fail(0, "%s: %s", rescan->target.name,
		     target_reason(&rescan->target, 0, errno, 0));
	close(rescan->whole.fd);
}

/* read_again() - read the new values of all candidates in the chunk */
static void read_again(struct rescan *rescan)
{
	const size_t size = rescan->predicate.size;
	size_t done = 0, i;
	ssize_t got;

	for (i = 0; i < rescan->held; i++)
		rescan->segments[i] = (struct pvmread_segment){
			.remote = rescan->addrs[i],
			.local = (uintptr_t)(rescan->new + i * size),
			.length = size,
		};
	do {
		got = pvmread_batch(rescan->target.fd, rescan->segments + done,
				    rescan->held - done, 0);
		if (got <= 0)
			fail(0, "%s: %s", rescan->target.name,
			     target_reason(&rescan->target, rescan->addrs[done],
					   got ? errno : EIO, 0));
		done += got;
	} while (done < rescan->held && !interrupted);
}

static void report(struct rescan *rescan, uint64_t addr, const unsigned char *value)
{
	const struct arguments *args = rescan->args;

	if (args->count || rescan->printed >= args->max)
		return;
	rescan->printed++;
	locate(&rescan->location, addr);
	progress_clear();
	print_candidate(&rescan->location, rescan->predicate.type, addr, value,
			rescan->predicate.size, args->json);
}

/* judge() - keep the candidates of the chunk that pass, and begin a new chunk */
static void judge(struct rescan *rescan)
{
	const unsigned char *old = rescan->old, *new = rescan->new;
	const size_t size = rescan->predicate.size;
	size_t i;

	for (i = 0; i < rescan->held; i++, old += rescan->size, new += size) {
		if (rescan->segments[i].error || rescan->segments[i].done < size) {
			rescan->lost++;
		} else if (predicate_holds(&rescan->predicate, new, old)) {
			rescan->remained++;
			candidates_add(rescan->writer, rescan->addrs[i], new);
			report(rescan, rescan->addrs[i], new);
		}
	}
	rescan->held = 0;
}

static void rescan_all(struct rescan *rescan)
{
	struct candidates_reader *reader = rescan->reader;
	const unsigned char *value;
	uint64_t addr;
	bool more;

	progress_start("rescan", reader->header.length);
	do {
		more = candidates_next(reader, &addr, &value);
		if (more) {
			rescan->addrs[rescan->held] = addr;
			memcpy(rescan->old + rescan->held * rescan->size, value, rescan->size);
			rescan->held++;
		}
		if (rescan->held == rescan->room || (rescan->held && !more)) {
			read_again(rescan);
			judge(rescan);
			progress_update(reader->done);
		}
	} while (more && !interrupted);
}

int cmd_rescan(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "count", OPT_COUNT, NULL, 0, "Print only the number of remaining values", 0 },
		{ "max", 'm', "N", 0, "Print at most N values; FILE keeps all", 0 },
		{ "json", 'j', NULL, 0, "Print each value as a JSON object on one line", 0 },
		{ "save", 's', "OTHER", 0, "Save the remaining values in OTHER, not in FILE", 0 },
		{ "tolerance", OPT_TOLERANCE, "X", 0,
		  "Floats that differ by at most X are equal", 0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "FILE [PREDICATE [BY]]",
		.doc = "Reread the values that \"pvmread scan --type --save=FILE\" found, and keep "
		       "in FILE those for which PREDICATE is true.\v"
		       "PREDICATE is N, =N, A..B, >N, <N, >=N, <=N, changed, unchanged, increased "
		       "or decreased; BY is the amount of the increase or decrease. For utf16, "
		       "PREDICATE is =TEXT, changed or unchanged. Without PREDICATE, all readable "
		       "values remain. Write a negative number as =-5, or after \"--\".\n\n"
		       "Exit status: 0 if a value remains, 1 if not, 2 for trouble.",
	};
	struct arguments args = { .max = UINT64_MAX, .tolerance = -1 };
	struct rescan rescan = { .args = &args };
	uint64_t lowest = 0, highest = 0;
	struct candidates_header *header;
	struct maps maps;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	rescan.reader = candidates_open(args.words[0]);
	header = &rescan.reader->header;
	rescan.size = header->size;
	predicate_parse_again(&rescan.predicate, rescan.reader->type, rescan.size, args.words[1],
			      args.words[2], args.tolerance);
	check_all(rescan.reader, &lowest, &highest);
	rescan_start(&rescan);
	attach(&rescan, lowest, highest);
	maps_load(&maps, &rescan.whole, MAPS_PLAIN);
	location_start(&rescan.location, &maps);
	catch_signals();
	rescan.writer = candidates_create(args.save ?: args.words[0], rescan.predicate.type,
					  rescan.predicate.size, header->align,
					  &header->identity);
	rescan_all(&rescan);
	detach(&rescan);
	if (interrupted)
		die_of_signal();
	progress_clear();
	candidates_commit(rescan.writer);
	if (args.count)
		printf("%" PRIu64 "\n", rescan.remained);
	finish_output();
	if (rescan.lost)
		warn_about(0, "%" PRIu64 " of %" PRIu64 " candidates can no longer be read",
			   rescan.lost, header->count);
	if (rescan.printed < rescan.remained && !args.count)
		warn_about(0, "%" PRIu64 " more are in %s", rescan.remained - rescan.printed,
			   args.save ?: args.words[0]);
	rescan_end(&rescan);
	maps_free(&maps);
	return rescan.remained ? EXIT_DONE : EXIT_PART;
}
