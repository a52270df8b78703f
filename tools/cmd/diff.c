// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvmread diff: what differs between two processes, two core files, or a process and a
 * core file.
 *
 * Both sides are sequences of pieces, ordered by address, which are merged: memory on
 * one side only is reported, and memory on both sides is compared.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "cmd.h"
#include "corefile.h"
#include "json_print.h"
#include "locate.h"
#include "walk.h"

#define GAP_DEFAULT	16
/* The most bytes of a range that are shown. */
#define SHOWN_MAX	4096
/* The bytes of a line of a hexdump. */
#define LINE		16

enum {
	OLD,
	NEW,
};

struct arguments {
	struct search_options search;
	const char *sides[2];
	uint64_t gap;
	bool bytes;
};

/**
 * struct side - a side of the comparison: a process or a core file
 * @name: for messages
 * @is_process: the side is @target, not @core
 * @maps: the mappings of the side
 * @next: the number of the mapping that is read next
 * @map: the mapping that is being read
 * @at: core file: the address that is read next
 * @end: where to stop in @map
 * @piece: what was read but not yet compared; at the end its length is 0, its address
 *	UINT64_MAX
 * @buf: what was read
 * @bytes: where in @buf the bytes of @piece are
 * @missing: bytes that could not be compared because this side does not have them
 */
struct side {
	const char *name;
	bool is_process;
	struct target target;
	struct walk walk;
	struct core core;
	struct maps maps;
	size_t next;
	const struct mapping *map;
	uint64_t at;
	uint64_t end;
	struct piece piece;
	unsigned char *buf;
	const unsigned char *bytes;
	uint64_t missing;
};

/**
 * struct range - the range that is reported next, and may still grow
 * @only: the side that alone has it, or NULL if both have it
 * @maps: the mappings that @map is in
 * @map: the mapping that contains it; NULL: there is no range
 * @changed: the number of bytes that differ
 * @held_start: the first address whose bytes are held
 * @held: number of bytes held
 */
struct range {
	const struct side *only;
	const struct maps *maps;
	const struct mapping *map;
	uint64_t start;
	uint64_t end;
	uint64_t changed;
	uint64_t held_start;
	size_t held;
};

/**
 * struct diff - the comparison
 * @from: the first address that is compared
 * @to: the address after the last one
 * @range: the range that is reported next
 * @shown: its held bytes, of both sides
 * @addr: the address of the bytes that are compared
 * @length: their number
 * @bytes: the bytes of both sides
 * @zeros: a chunk of zeros
 * @compared: bytes so far
 * @done: bytes processed on either side
 * @differs: a difference was found
 */
struct diff {
	const struct arguments *args;
	struct side sides[2];
	uint64_t from;
	uint64_t to;
	struct range range;
	unsigned char *shown[2];
	uint64_t addr;
	uint64_t length;
	const unsigned char *bytes[2];
	unsigned char *zeros;
	uint64_t compared;
	uint64_t done;
	bool differs;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->search;
		return 0;
	case 'b':
		args->bytes = true;
		return 0;
	case 'g':
		args->gap = parse_size(arg, "--gap");
		if (!args->gap)
			argp_error(state, "--gap 0: must be at least 1");
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num >= 2)
			argp_error(state, "\"%s\" is one argument too many", arg);
		args->sides[state->arg_num] = arg;
		return 0;
	case ARGP_KEY_END:
		if (!args->sides[NEW])
			argp_error(state, "two arguments are needed, each a PID or a FILE");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* --- a side --- */

/* is_pid() - whether it is a number; a file of that name is given as ./NUMBER */
static bool is_pid(const char *text)
{
	return *text && !text[strspn(text, "0123456789")];
}

static void side_open(struct side *side, const char *what, unsigned int flags)
{
	side->is_process = is_pid(what);
	if (side->is_process) {
		target_open(&side->target, what, flags);
		side->name = side->target.name;
		maps_load(&side->maps, &side->target, MAPS_FULL);
	} else {
		core_open(&side->core, what);
		side->name = what;
		side->maps = side->core.maps;
	}
	side->buf = malloc(WALK_CHUNK);
	if (!side->buf)
		fail(ENOMEM, "%s", side->name);
}

static void side_close(struct side *side)
{
	if (side->is_process)
		maps_free(&side->maps);
	else
		core_close(&side->core);
	free(side->buf);
}

/* is_writable() - whether one of @maps that overlaps @map is writable */
static bool is_writable(const struct maps *maps, const struct mapping *map)
{
	size_t first = 0, last = maps->count, middle;

	/* The first mapping that ends after @map starts */
	while (first < last) {
		middle = first + (last - first) / 2;
		if (maps->maps[middle].end <= map->start)
			first = middle + 1;
		else
			last = middle;
	}
	for (; first < maps->count && maps->maps[first].start < map->end; first++)
		if (maps->maps[first].perms[1] == 'w')
			return true;
	return false;
}

/* is_wanted() - whether a part of @map is to be compared */
static bool is_wanted(const struct diff *diff, const struct mapping *map)
{
	/* [vsyscall] is a kernel address. */
	if (map->end > INT64_MAX || map->end <= diff->from || map->start >= diff->to)
		return false;
	return !diff->args->search.writable || map->perms[1] == 'w' ||
	       is_writable(&diff->sides[OLD].maps, map) ||
	       is_writable(&diff->sides[NEW].maps, map);
}

/* side_total() - the number of bytes in all pieces of side_next() */
static uint64_t side_total(const struct diff *diff, const struct side *side)
{
	const struct mapping *map;
	uint64_t total = 0;

	for (map = side->maps.maps; map < side->maps.maps + side->maps.count; map++)
		if (is_wanted(diff, map))
			total += MIN(map->end, diff->to) - MAX(map->start, diff->from);
	return total;
}

/* is_readable() - whether the memory can be read from outside the process, unlike [vvar] */
static bool is_readable(const struct mapping *map)
{
	return map->perms[0] == 'r' && strncmp(map->name, "[vv", 3);
}

/* enter_next_mapping() - false if there is none */
static bool enter_next_mapping(const struct diff *diff, struct side *side)
{
	for (; side->next < side->maps.count; side->next++) {
		side->map = &side->maps.maps[side->next];
		if (!is_wanted(diff, side->map))
			continue;
		side->next++;
		side->at = MAX(side->map->start, diff->from);
		side->end = MIN(side->map->end, diff->to);
		if (side->is_process && is_readable(side->map))
			walk_range(&side->walk, side->map, side->at, side->end);
		return true;
	}
	return false;
}

/* read_on() - the next piece of the mapping; false if there is none */
static bool read_on(struct side *side)
{
	if (!side->map || side->at >= side->end)
		return false;
	if (!side->is_process) {
		core_read(&side->core, side->next - 1, side->at, side->end, side->buf,
			  &side->piece);
	} else if (!is_readable(side->map)) {
		side->piece = (struct piece){
			.kind = PIECE_ABSENT,
			.addr = side->at,
			.length = side->end - side->at,
			.why = "not readable",
		};
	} else if (!walk_next(&side->walk, side->buf, &side->piece)) {
		return false;
	}
	side->at = side->piece.addr + side->piece.length;
	side->bytes = side->buf;
	return true;
}

/* side_next() - the next piece, in address order */
static void side_next(const struct diff *diff, struct side *side)
{
	while (!read_on(side)) {
		if (enter_next_mapping(diff, side))
			continue;
		side->piece = (struct piece){ .addr = UINT64_MAX };
		return;
	}
}

/* side_skip() - drop the first bytes of the piece */
static void side_skip(struct diff *diff, struct side *side, uint64_t length)
{
	diff->done += length;
	side->piece.addr += length;
	side->piece.length -= length;
	side->bytes += length;
	if (!side->piece.length)
		side_next(diff, side);
}

/* --- the report --- */

static void print_json(const struct diff *diff)
{
	struct json_object *object = json_checked(json_object_new_object());
	const struct range *range = &diff->range;

	json_add_text(object, "what", range->only ? "only" : "changed");
	if (range->only)
		json_add_text(object, "in", range->only->name);
	json_add_number(object, "start", range->start);
	json_add_number(object, "end", range->end);
	json_add_number(object, "bytes", range->changed);
	json_add_text(object, "name", range->map->name);
	json_add_number(object, "offset", range->start - maps_base(range->maps, range->map));
	if (range->held) {
		json_add_number(object, "shown", range->held_start);
		json_add_bytes(object, "old", diff->shown[OLD], range->held);
		json_add_bytes(object, "new", diff->shown[NEW], range->held);
	}
	json_print_line(object);
}

/* print_bytes() - a hexdump with each differing line twice, as in diff -u */
static void print_bytes(const struct diff *diff)
{
	const unsigned char *old, *new;
	size_t at, length;
	uint64_t addr;

	for (at = 0; at < diff->range.held; at += length) {
		addr = diff->range.held_start + at;
		length = MIN(LINE - addr % LINE, diff->range.held - at);
		old = diff->shown[OLD] + at;
		new = diff->shown[NEW] + at;
		if (!memcmp(old, new, length)) {
			putchar(' ');
			hexdump(stdout, addr, old, length, NULL);
			continue;
		}
		putchar('-');
		hexdump(stdout, addr, old, length, new);
		putchar('+');
		hexdump(stdout, addr, new, length, old);
	}
}

static void print_text(const struct diff *diff)
{
	const struct range *range = &diff->range;

	printf("0x%" PRIx64 "-0x%" PRIx64 " %s+0x%" PRIx64 " %" PRIu64 " bytes %s%s\n",
	       range->start, range->end, mapping_text(range->map),
	       range->start - maps_base(range->maps, range->map), range->changed,
	       range->only ? "only in " : "changed", range->only ? range->only->name : "");
	print_bytes(diff);
}

/* hold() - keep the available bytes of the range, up to @end */
static void hold(struct diff *diff, uint64_t end)
{
	struct range *range = &diff->range;
	const uint64_t at = range->held_start + range->held;
	size_t length;

	if (!diff->args->bytes || at < diff->addr || at >= diff->addr + diff->length)
		return;
	length = MIN(MIN(end, diff->addr + diff->length) - MIN(at, end), SHOWN_MAX - range->held);
	memcpy(diff->shown[OLD] + range->held, diff->bytes[OLD] + (at - diff->addr), length);
	memcpy(diff->shown[NEW] + range->held, diff->bytes[NEW] + (at - diff->addr), length);
	range->held += length;
}

/* end_range() - report the range, if there is one */
static void end_range(struct diff *diff)
{
	struct range *range = &diff->range;
	uint64_t shown_end;

	if (!range->map)
		return;
	if (!range->only) {
		/* Whole lines, if possible. */
		shown_end = roundup(range->end, LINE);
		hold(diff, shown_end);
		range->held = MIN(range->held, shown_end - range->held_start);
	}
	diff->differs = true;
	progress_clear();
	if (diff->args->search.json)
		print_json(diff);
	else
		print_text(diff);
	if (ferror(stdout))
		fail(errno, "standard output");
	*range = (struct range){};
}

/* begin_range() - start a range in the mapping of @side */
static void begin_range(struct diff *diff, const struct side *side, uint64_t start)
{
	end_range(diff);
	diff->range = (struct range){ .maps = &side->maps, .map = side->map, .start = start };
}

/* only() - process the first bytes of the piece, which only one side has */
static void only(struct diff *diff, struct side *side, uint64_t length)
{
	struct range *range = &diff->range;

	/* Ignore [vvar] and unreadable memory: only some core files contain them. */
	if (side->piece.kind == PIECE_ABSENT && (side->is_process || !*side->map->name))
		return;
	if (range->only != side || range->map != side->map || range->end != side->piece.addr) {
		begin_range(diff, side, side->piece.addr);
		range->only = side;
	}
	range->end = side->piece.addr + length;
	range->changed += length;
}

/* name_from() - the side that has the better name for the bytes that are compared */
static const struct side *name_from(const struct diff *diff)
{
	const struct side *old = &diff->sides[OLD], *new = &diff->sides[NEW];

	if (old->is_process || new->is_process)
		return old->is_process ? old : new;
	return *new->map->name && !*old->map->name ? new : old;
}

/* changed() - add the byte at @addr, which differs */
static void changed(struct diff *diff, uint64_t addr)
{
	const struct side *side = name_from(diff);
	struct range *range = &diff->range;

	if (range->only || range->map != side->map || addr - range->end >= diff->args->gap) {
		begin_range(diff, side, addr);
		range->held_start = MAX(diff->addr, addr - addr % LINE);
	}
	range->end = addr + 1;
	range->changed++;
}

/*
 * is_shared_memory() - whether it is shared memory whose file has no name in a directory
 */
static bool is_shared_memory(const struct mapping *map)
{
	static const char end[] = " (deleted)";
	const size_t length = strlen(map->name);

	return map->perms[3] == 's' && length >= strlen(end) &&
	       !strcmp(map->name + length - strlen(end), end);
}

/**
 * kind_of() - the kind of the next bytes of @side
 * @other: what they are compared with
 *
 * Anonymous memory that a core file leaves out counts as zeros, unless MADV_DONTDUMP
 * excluded it. "pvmread dump" leaves out untouched memory, and a debugger treats missing
 * memory as zeros.
 */
static enum piece_kind kind_of(const struct side *side, const struct side *other)
{
	const struct mapping *map = side->map;

	if (side->piece.kind != PIECE_ABSENT || side->is_process || map->perms[0] != 'r')
		return side->piece.kind;
	if (!other->is_process)
		return *map->name || map->perms[1] != 'w' ? PIECE_ABSENT : PIECE_ZEROS;
	if (other->map->flags & (MAPPING_DONTDUMP | MAPPING_IO))
		return PIECE_ABSENT;
	return (!*map->name && mapping_is_anonymous(other->map)) || is_shared_memory(other->map) ?
		PIECE_ZEROS : PIECE_ABSENT;
}

/* compare() - the next bytes of both sides */
static void compare(struct diff *diff, const enum piece_kind *kinds, uint64_t length)
{
	enum { BLOCK = 256 };
	const struct side *sides = diff->sides;
	size_t i, at, end;

	diff->addr = sides[OLD].piece.addr;
	diff->length = length;
	for (i = OLD; i <= NEW; i++)
		diff->bytes[i] = kinds[i] == PIECE_ZEROS ? diff->zeros : sides[i].bytes;
	for (at = 0; at < length; at = end) {
		end = MIN(at + BLOCK, length);
		if (!memcmp(diff->bytes[OLD] + at, diff->bytes[NEW] + at, end - at))
			continue;
		for (i = at; i < end; i++)
			if (diff->bytes[OLD][i] != diff->bytes[NEW][i])
				changed(diff, diff->addr + i);
	}
	if (diff->range.map && !diff->range.only)
		hold(diff, UINT64_MAX);
	diff->length = 0;
}

/* not_compared() - count bytes that @side lacks; @other is their kind on the other side */
static void not_compared(struct diff *diff, struct side *side, enum piece_kind other,
			 uint64_t length)
{
	/* The process itself cannot read a guard page, and a core file has a hole there. */
	if (side->is_process && !side->piece.error && other == PIECE_ZEROS)
		return;
	side->missing += length;
	if (!diff->args->search.verbose)
		return;
	end_range(diff);
	warn_about(0, "not compared 0x%" PRIx64 "-0x%" PRIx64 ", %" PRIu64 " bytes: %s: %s",
		   side->piece.addr, side->piece.addr + length, length, side->name,
		   side->piece.why);
}

/* both() - process the next bytes, which both sides have */
static void both(struct diff *diff, uint64_t length)
{
	struct side *old = &diff->sides[OLD], *new = &diff->sides[NEW];
	const enum piece_kind kinds[] = { kind_of(old, new), kind_of(new, old) };

	if (kinds[OLD] == PIECE_ABSENT && kinds[NEW] == PIECE_ABSENT)
		return;
	if (kinds[OLD] == PIECE_ABSENT) {
		not_compared(diff, old, kinds[NEW], length);
	} else if (kinds[NEW] == PIECE_ABSENT) {
		not_compared(diff, new, kinds[OLD], length);
	} else {
		diff->compared += length;
		if (kinds[OLD] == PIECE_BYTES || kinds[NEW] == PIECE_BYTES)
			compare(diff, kinds, length);
	}
}

/* merge() - process both sides, in address order */
static void merge(struct diff *diff)
{
	struct side *old = &diff->sides[OLD], *new = &diff->sides[NEW];
	uint64_t length;

	side_next(diff, old);
	side_next(diff, new);
	while ((old->piece.length || new->piece.length) && !interrupted) {
		if (old->piece.addr < new->piece.addr) {
			length = MIN(old->piece.length, new->piece.addr - old->piece.addr);
			only(diff, old, length);
			side_skip(diff, old, length);
		} else if (new->piece.addr < old->piece.addr) {
			length = MIN(new->piece.length, old->piece.addr - new->piece.addr);
			only(diff, new, length);
			side_skip(diff, new, length);
		} else {
			length = MIN(old->piece.length, new->piece.length);
			both(diff, length);
			side_skip(diff, old, length);
			side_skip(diff, new, length);
		}
		progress_update(diff->done);
	}
	end_range(diff);
}

/* --- the command --- */

/* check_sides() - check that it makes sense to compare the two */
static void check_sides(const struct diff *diff)
{
	const struct side *old = &diff->sides[OLD], *new = &diff->sides[NEW];

	if (diff->args->search.flags && !old->is_process && !new->is_process)
		fail(0, "--resident and --nowait are for processes, not for core files");
	if (!old->is_process && !new->is_process &&
	    (old->core.elf_class != new->core.elf_class || old->core.machine != new->core.machine))
		fail(0, "%s and %s are from different architectures", old->name, new->name);
}

static void run(struct diff *diff)
{
	const unsigned int flags = diff->args->search.flags;
	struct side *side, *sides = diff->sides;
	const struct maps *maps = &sides[sides[NEW].is_process ? NEW : OLD].maps;

	if (diff->args->search.range)
		parse_range(diff->args->search.range, maps, &diff->from, &diff->to);
	diff->zeros = calloc(1, WALK_CHUNK);
	diff->shown[OLD] = malloc(SHOWN_MAX);
	diff->shown[NEW] = malloc(SHOWN_MAX);
	if (!diff->zeros || !diff->shown[OLD] || !diff->shown[NEW])
		fail(ENOMEM, "diff");
	for (side = sides; side <= sides + NEW; side++)
		if (side->is_process)
			walk_start(&side->walk, &side->target, flags);
	progress_start("diff", side_total(diff, &sides[OLD]) + side_total(diff, &sides[NEW]));
	merge(diff);
	if (interrupted)
		die_of_signal();
	for (side = sides; side <= sides + NEW; side++)
		if (side->is_process)
			walk_end(&side->walk);
	finish_output();
	free(diff->zeros);
	free(diff->shown[OLD]);
	free(diff->shown[NEW]);
}

int cmd_diff(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "bytes", 'b', NULL, 0, "Show the bytes, at most 4096 of each range", 0 },
		{ "gap", 'g', "BYTES", 0,
		  "Merge differences less than BYTES apart (default 16)", 0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.children = search_children,
		.args_doc = "PID|FILE PID|FILE",
		.doc = "Show where the memory of two processes, two core files, or a process and a "
		       "core file differs.\v"
		       "A number is a PID; write ./NUMBER for a core file with such a name. With "
		       "--bytes, lines of the first side begin with \"-\", lines of the second "
		       "with \"+\". Anonymous memory that a core file leaves out counts as zeros, "
		       "because core files leave out untouched pages. Other memory that is left "
		       "out, or cannot be read, is not compared; its size is printed at the "
		       "end.\n\n"
		       "Exit status: 0 if nothing differs, 1 if something does, 2 for trouble.",
	};
	struct arguments args = { .gap = GAP_DEFAULT };
	struct diff diff = { .args = &args, .to = UINT64_MAX };
	struct side *side;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	for (side = diff.sides; side <= diff.sides + NEW; side++)
		side_open(side, args.sides[side - diff.sides], args.search.flags);
	check_sides(&diff);
	catch_signals();
	run(&diff);
	if (!diff.compared && !diff.differs)
		fail(0, "%s and %s have no memory that can be compared", diff.sides[OLD].name,
		     diff.sides[NEW].name);
	for (side = diff.sides; side <= diff.sides + NEW; side++) {
		if (side->missing)
			warn_about(0, "%" PRIu64 " bytes were not compared: %s %s", side->missing,
				   side->name, side->is_process ? "did not provide them" :
								  "does not have them");
		side_close(side);
	}
	return diff.differs ? EXIT_PART : EXIT_DONE;
}
