// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvmread scan: search the memory of a process.
 *
 * The expression is matched against adjacent readable mappings as one subject, which passes
 * through a window. When the window moves on, it keeps the bytes that a match may still
 * need: those of a partial match, and those for a lookbehind or the context. A search for
 * values of a type also keeps the bytes that may begin a value.
 */
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "candidates.h"
#include "cmd.h"
#include "locate.h"
#include "typed.h"
#include "walk.h"

/* The longest match that is always found completely. */
#define MATCH_MAX	65536
/* Lookbehinds nested up to this depth always see their text. */
#define LOOKBEHIND_DEPTH 4
#define CONTEXT_MAX	4096
/* The most bytes of a match that are shown. */
#define SHOWN_MAX	256
#define CONTEXT_DEFAULT	16
#define JIT_STACK_MAX	(8 << 20)

enum {
	OPT_COUNT = 256,
	OPT_UTF,
	OPT_HEAP,
	OPT_ANONYMOUS,
	OPT_ALIGN,
	OPT_TOLERANCE,
};

struct arguments {
	struct search_options search;
	const char *pid;
	const char *pattern;
	const char *file;
	const struct type *type;
	const char *save;
	double tolerance;
	uint64_t align;
	uint64_t context;
	uint64_t max;
	bool hex;
	bool regex;
	bool ignore_case;
	bool utf;
	bool count;
	bool has_context;
	bool heap;
	bool anonymous;
};

/**
 * struct scan - the state of the search
 * @back: bytes to keep before @next: context, lookbehind
 * @buf: the window
 * @addr: address of its first byte
 * @length: bytes in it
 * @next: where in it the search continues
 * @found: matches so far
 * @location: where the last match was
 * @predicate: the test of a value, with --type
 * @writer: where values are saved, or NULL
 */
struct scan {
	const struct arguments *args;
	const struct maps *maps;
	pcre2_code *code;
	pcre2_match_context *context;
	pcre2_jit_stack *stack;
	pcre2_match_data *match;
	size_t back;
	unsigned char *buf;
	uint64_t addr;
	size_t length;
	size_t next;
	uint64_t found;
	struct location location;
	struct predicate predicate;
	struct candidates_writer *writer;
};

/* check_usage() - check which options go together */
static void check_usage(const struct arguments *args, struct argp_state *state)
{
	if (!args->pattern)
		argp_error(state, "it takes PID and PATTERN");
	else if (!*args->pattern)
		argp_error(state, "the pattern is empty");
	if (args->heap + args->anonymous + !!args->file > 1)
		argp_error(state, "--heap, --anonymous and --file cannot be combined");
	if (!args->type) {
		if (args->align || args->save || args->tolerance >= 0)
			argp_error(state, "--align, --save and --tolerance need --type");
		if (args->hex && args->regex)
			argp_error(state, "--hex and --regex cannot be combined");
		if (args->hex && (args->ignore_case || args->utf))
			argp_error(state, "--hex cannot be combined with --ignore-case or --utf");
		return;
	}
	if (args->hex || args->regex || args->ignore_case || args->utf || args->has_context)
		argp_error(state, "--type cannot be combined with --hex, --regex, --ignore-case, "
			   "--utf or --context");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->search;
		return 0;
	case 'x':
		args->hex = true;
		return 0;
	case 'e':
		args->regex = true;
		return 0;
	case 'i':
		args->ignore_case = true;
		return 0;
	case OPT_UTF:
		args->utf = true;
		return 0;
	case 'c':
		args->has_context = true;
		args->context = parse_size(arg, "--context");
		if (args->context > CONTEXT_MAX)
			argp_error(state, "--context %s is over %d", arg, CONTEXT_MAX);
		return 0;
	case 'm':
		args->max = parse_size(arg, "--max");
		if (!args->max)
			argp_error(state, "--max 0 would find nothing");
		return 0;
	case OPT_COUNT:
		args->count = true;
		return 0;
	case 't':
		args->type = type_parse(arg);
		return 0;
	case OPT_ALIGN:
		args->align = parse_size(arg, "--align");
		if (!args->align || args->align > ALIGN_MAX || args->align & (args->align - 1))
			argp_error(state, "--align %s: not a power of two up to %d", arg,
				   ALIGN_MAX);
		return 0;
	case OPT_TOLERANCE:
		args->tolerance = tolerance_parse(arg);
		return 0;
	case 's':
		args->save = arg;
		return 0;
	case 'f':
		args->file = arg;
		return 0;
	case OPT_HEAP:
		args->heap = true;
		return 0;
	case OPT_ANONYMOUS:
		args->anonymous = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num >= 2)
			argp_error(state, "\"%s\" is one argument too many", arg);
		if (state->arg_num)
			args->pattern = arg;
		else
			args->pid = arg;
		return 0;
	case ARGP_KEY_END:
		check_usage(args, state);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* --- the pattern --- */

/* hex_expression() - "48 ?? e5" as an expression; for free() */
static char *hex_expression(const char *text)
{
	char *expression = malloc(2 * strlen(text) + 1), *to = expression;
	const char *at = text;

	if (!expression)
		fail(ENOMEM, "--hex");
	/* The two digits of a byte become four characters, "??" becomes one. */
	for (at += strspn(at, " \t\n"); *at; at += strspn(at, " \t\n")) {
		if (at[0] == '?' && at[1] == '?')
			to += sprintf(to, ".");
		else if (isxdigit((unsigned char)at[0]) && isxdigit((unsigned char)at[1]))
			to += sprintf(to, "\\x%.2s", at);
		else
			fail(0, "\"%s\": not hexadecimal bytes, such as \"48 ?? e5\" or 48??e5",
			     text);
		at += 2;
	}
	if (to == expression)
		fail(0, "\"%s\": no bytes given", text);
	*to = '\0';
	return expression;
}

static void compile(struct scan *scan)
{
	const struct arguments *args = scan->args;
	char *expression = args->hex ? hex_expression(args->pattern) : NULL;
	uint32_t options = 0, behind;
	PCRE2_UCHAR text[256];
	PCRE2_SIZE offset;
	int error, rc;

	if (args->hex)
		options |= PCRE2_DOTALL;
	else if (!args->regex)
		options |= PCRE2_LITERAL;
	/* An expression that turns on UTF itself would stop at the first byte that is not UTF-8. */
	if (args->regex)
		options |= args->utf ? PCRE2_NEVER_BACKSLASH_C : PCRE2_NEVER_UTF;
	if (args->ignore_case)
		options |= PCRE2_CASELESS;
	if (args->utf)
		options |= PCRE2_UTF | PCRE2_MATCH_INVALID_UTF;
	scan->code = pcre2_compile((PCRE2_SPTR)(expression ?: args->pattern),
				   PCRE2_ZERO_TERMINATED, options, &error, &offset, NULL);
	free(expression);
	if (!scan->code) {
		pcre2_get_error_message(error, text, sizeof(text));
		fail(0, "\"%s\": %s at byte %zu", args->pattern, text, offset);
	}
	/* If JIT is not available (no writable code), go without it. */
	rc = pcre2_jit_compile(scan->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
	pcre2_pattern_info(scan->code, PCRE2_INFO_MAXLOOKBEHIND, &behind);
	/* This is the longest lookbehind; lookbehinds can be nested, and end with a \b. */
	scan->back = MAX(args->context, (uint64_t)behind * LOOKBEHIND_DEPTH * (args->utf ? 4 : 1));
	/* Keep a character, or CR and LF, so that ^ does not match where the window begins. */
	scan->back = MAX(scan->back, 4);

	scan->match = pcre2_match_data_create(1, NULL);
	scan->context = pcre2_match_context_create(NULL);
	scan->buf = malloc(scan->back + MATCH_MAX + CONTEXT_MAX + WALK_CHUNK);
	if (!scan->match || !scan->context || !scan->buf)
		fail(ENOMEM, "scan");
	if (!rc) {
		scan->stack = pcre2_jit_stack_create(32 * 1024, JIT_STACK_MAX, NULL);
		pcre2_jit_stack_assign(scan->context, NULL, scan->stack);
	}
}

/* compile_typed() - the same for --type */
static void compile_typed(struct scan *scan, struct arguments *args)
{
	predicate_parse(&scan->predicate, args->type, args->pattern, args->tolerance);
	if (!args->align)
		args->align = args->type->size;
	scan->buf = malloc(scan->predicate.size + args->align + WALK_CHUNK);
	if (!scan->buf)
		fail(ENOMEM, "scan");
}

static void release(struct scan *scan)
{
	pcre2_match_data_free(scan->match);
	pcre2_match_context_free(scan->context);
	pcre2_jit_stack_free(scan->stack);
	pcre2_code_free(scan->code);
	predicate_free(&scan->predicate);
	free(scan->buf);
}

/* --- a match --- */

static void print_json(const struct scan *scan, uint64_t addr, const unsigned char *bytes,
		       size_t length)
{
	struct json_object *object = json_checked(json_object_new_object());

	json_add_number(object, "address", addr);
	json_add_number(object, "length", length);
	location_json(&scan->location, addr, object);
	json_add_bytes(object, "bytes", bytes, MIN(length, SHOWN_MAX));
	json_print_line(object);
}

/* report() - print the match from @start to @end of the window */
static void report(struct scan *scan, size_t start, size_t end)
{
	const struct arguments *args = scan->args;
	const uint64_t addr = scan->addr + start;
	size_t from, to;

	scan->found++;
	if (args->count)
		return;
	locate(&scan->location, addr);
	progress_clear();
	if (args->search.json) {
		print_json(scan, addr, scan->buf + start, end - start);
	} else {
		location_print(&scan->location, addr);
		printf(" %zu bytes\n", end - start);
		from = start - MIN(start, args->context);
		to = MIN(MIN(end, start + SHOWN_MAX) + args->context, scan->length);
		hexdump(stdout, scan->addr + from, scan->buf + from, to - from, NULL);
	}
	/* The reader has gone or the disk is full. Stop: the rest may be hundreds of GiB. */
	if (ferror(stdout))
		fail(errno, "standard output");
}

/* report_value() - print the value at @at of the window; false to end the search */
static bool report_value(void *context, size_t at)
{
	struct scan *scan = context;
	const struct arguments *args = scan->args;

	scan->found++;
	if (scan->writer)
		candidates_add(scan->writer, scan->addr + at, scan->buf + at);
	if (!args->count) {
		locate(&scan->location, scan->addr + at);
		progress_clear();
		print_candidate(&scan->location, args->type, scan->addr + at, scan->buf + at,
				scan->predicate.size, args->search.json);
	}
	return scan->found < args->max && !interrupted;
}

/* --- the search --- */

/* search_typed() - search() for values; one may begin near the window's end */
static void search_typed(struct scan *scan)
{
	const size_t align = scan->args->align, size = scan->predicate.size;
	const size_t first = scan->next + (-(scan->addr + scan->next) & (align - 1));

	if (scan->length < first + size || scan->found >= scan->args->max)
		return;
	predicate_search(&scan->predicate, scan->buf, scan->length, first, align, report_value,
			 scan);
	scan->next = scan->length - size + 1;
}

/* whole_characters() - the length of the window without a UTF-8 character cut short */
static size_t whole_characters(const struct scan *scan)
{
	size_t tail;
	unsigned char c;

	for (tail = 1; tail <= MIN(3, scan->length); tail++) {
		c = scan->buf[scan->length - tail];
		if (c >= 0xc0)
			return (c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2) > tail ? scan->length - tail
									  : scan->length;
		if (c < 0x80)
			break;
	}
	return scan->length;
}

static int find(const struct scan *scan, size_t length, uint32_t options)
{
	/* Without NOTEMPTY, an expression such as x* would match everywhere. */
	int rc = pcre2_match(scan->code, scan->buf, length, scan->next,
			     options | PCRE2_NOTEMPTY, scan->match, scan->context);
	PCRE2_UCHAR text[256];

	if (rc >= 0 || rc == PCRE2_ERROR_NOMATCH || rc == PCRE2_ERROR_PARTIAL)
		return rc;
	pcre2_get_error_message(rc, text, sizeof(text));
	fail(0, "the expression failed in the memory from 0x%" PRIx64 " on: %s",
	     scan->addr + scan->next, text);
}

/**
 * search() - report what is in the window
 * @more: there are bytes after it
 *
 * Leaves scan->next where the search continues after the next read. That is the start
 * of a match if the match or its context may continue after the window. If such a match
 * began too far back, it is treated as if the memory ended here.
 */
static void search(struct scan *scan, bool more)
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(scan->match);
	const size_t length = more && scan->args->utf ? whole_characters(scan) : scan->length;
	const size_t keep = MATCH_MAX + scan->args->context;
	/* A match that begins from here on can wait. */
	const size_t late = !more ? SIZE_MAX : scan->length - MIN(scan->length, keep - 1);
	size_t begin;
	int rc;

	if (scan->args->type) {
		search_typed(scan);
		return;
	}
	while (scan->next < length && scan->found < scan->args->max && !interrupted) {
		rc = find(scan, length, more ? PCRE2_PARTIAL_HARD : 0);
		if (rc == PCRE2_ERROR_NOMATCH) {
			scan->next = length;
			break;
		}
		/* Not at[0], because \K moves it. */
		begin = pcre2_get_startchar(scan->match);
		if (rc == PCRE2_ERROR_PARTIAL && begin < late) {
			/*
			 * Do not anchor it: PCRE2 can skip bytes that cannot begin a match,
			 * and a separate attempt at each byte may take as long as this one.
			 */
			scan->next = begin;
			rc = find(scan, length, 0);
			begin = pcre2_get_startchar(scan->match);
			if (rc < 0 || begin >= late) {
				scan->next = late;
				continue;
			}
		}
		if (begin >= late && (rc < 0 || at[1] + scan->args->context > scan->length)) {
			scan->next = begin;
			break;
		}
		report(scan, at[0], at[1]);
		scan->next = MAX(at[1], scan->next + 1);
	}
}

/* move_on() - make room at the end of the window */
static void move_on(struct scan *scan)
{
	size_t drop = scan->next - MIN(scan->next, scan->back);

	memmove(scan->buf, scan->buf + drop, scan->length - drop);
	scan->addr += drop;
	scan->length -= drop;
	scan->next -= drop;
}

/* begin() - start an empty window at @addr */
static void begin(struct scan *scan, uint64_t addr)
{
	scan->addr = addr;
	scan->length = 0;
	scan->next = 0;
}

/* scan_zeros() - search the first WALK_CHUNK zeros of untouched memory, and the last MATCH_MAX */
static void scan_zeros(struct scan *scan, const struct piece *piece)
{
	const uint64_t end = piece->addr + piece->length;
	uint64_t length = MIN(piece->length, WALK_CHUNK);

	memset(scan->buf + scan->length, 0, length);
	scan->length += length;
	search(scan, true);
	move_on(scan);
	if (length == piece->length)
		return;
	/* Skip the zeros in between: terabytes may be reserved. */
	search(scan, false);
	length = MIN(piece->length - length, scan->back + MATCH_MAX);
	begin(scan, end - length);
	memset(scan->buf, 0, length);
	scan->length = length;
	scan->next = MIN(length, scan->back);
}

/**
 * scan_range() - search one mapping, or a part of it
 *
 * If it does not continue where the window ends, the window is searched to its end and
 * a new one begins.
 */
static void scan_range(struct scan *scan, struct walk *walk, const struct mapping *map,
		       uint64_t start, uint64_t end, uint64_t *done)
{
	struct piece piece;

	walk_range(walk, map, start, end);
	while (scan->found < scan->args->max) {
		if (walk->at != scan->addr + scan->length) {
			search(scan, false);
			begin(scan, walk->at);
		}
		if (!walk_next(walk, scan->buf + scan->length, &piece))
			break;
		if (piece.kind == PIECE_ZEROS) {
			/* Skip untouched memory, as scanmem does. */
			if (!scan->args->type)
				scan_zeros(scan, &piece);
		} else if (piece.kind == PIECE_BYTES) {
			scan->length += piece.length;
			search(scan, true);
			move_on(scan);
		} else if (scan->args->search.verbose) {
			warn_about(0, "skipped 0x%" PRIx64 "-0x%" PRIx64 ": %s", piece.addr,
				   piece.addr + piece.length, piece.why);
		}
		*done += piece.length;
		progress_update(*done);
	}
}

static bool is_of_file(const struct mapping *map, const char *file)
{
	return map->inode && name_matches(map->name, file);
}

/* check_file() - fail() if no mapping is of the file that --file names */
static void check_file(const struct maps *maps, const char *file)
{
	size_t i;

	for (i = 0; i < maps->count; i++)
		if (is_of_file(&maps->maps[i], file))
			return;
	fail(0, "--file \"%s\": no mapped file has this name", file);
}

/* is_wanted() - whether @map is searched */
static bool is_wanted(const struct arguments *args, const struct mapping *map)
{
	if (map->perms[0] != 'r' || (args->search.writable && map->perms[1] != 'w'))
		return false;
	if (args->heap)
		return !strcmp(map->name, "[heap]");
	if (args->anonymous)
		return mapping_is_anonymous(map);
	return !args->file || is_of_file(map, args->file);
}

/* scan_all() - search every selected mapping, in address order */
static void scan_all(struct scan *scan, const struct target *target)
{
	uint64_t from = 0, to = UINT64_MAX, start, end, total = 0, done = 0;
	const struct maps *maps = scan->maps;
	const struct mapping *map;
	struct walk walk;
	int pass;

	if (scan->args->search.range)
		parse_range(scan->args->search.range, maps, &from, &to);
	if (scan->args->file)
		check_file(maps, scan->args->file);
	walk_start(&walk, target, scan->args->search.flags);
	for (pass = 0; pass < 2; pass++) {
		for (map = maps->maps; map < maps->maps + maps->count; map++) {
			start = MAX(from, map->start);
			end = MIN(to, map->end);
			if (start >= end || !is_wanted(scan->args, map))
				continue;
			if (pass)
				scan_range(scan, &walk, map, start, end, &done);
			else
				total += end - start;
		}
		if (!pass)
			progress_start("scan", total);
	}
	search(scan, false);
	walk_end(&walk);
}

int cmd_scan(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "hex", 'x', NULL, 0,
		  "PATTERN is bytes, such as \"48 89 e5\"; ?? is any byte", 0 },
		{ "regex", 'e', NULL, 0,
		  "PATTERN is a Perl-compatible regular expression on bytes", 0 },
		{ "ignore-case", 'i', NULL, 0, "Ignore case", 0 },
		{ "utf", OPT_UTF, NULL, 0, "PATTERN and memory are UTF-8", 0 },
		{ "type", 't', "TYPE", 0, "Search for values of TYPE; PATTERN is N, A..B, >N, <N, "
		  ">=N or <=N, or a string for utf16", 0 },
		{ "align", OPT_ALIGN, "BYTES", 0,
		  "Addresses are a multiple of BYTES (default: the type's size)", 0 },
		{ "tolerance", OPT_TOLERANCE, "X", 0,
		  "A float matches N if they differ by at most X", 0 },
		{ "save", 's', "FILE", 0, "Save the values for \"pvmread rescan\"", 0 },
		{ "context", 'c', "BYTES", 0, "Show BYTES around a match (default 16)", 0 },
		{ "max", 'm', "N", 0, "Stop after N matches", 0 },
		{ "count", OPT_COUNT, NULL, 0, "Print only the number of matches", 0 },
		{ "file", 'f', "NAME", 0, "Search only mappings of the file NAME, as in ADDR", 0 },
		{ "heap", OPT_HEAP, NULL, 0, "Search only [heap]", 0 },
		{ "anonymous", OPT_ANONYMOUS, NULL, 0, "Search only anonymous private memory", 0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.children = search_children,
		.args_doc = "PID PATTERN",
		.doc = "Search the readable memory of process PID for a string, for bytes, for a "
		       "regular expression, or for values of a type.\v"
		       "Matches do not overlap, and empty matches do not count. Adjacent mappings "
		       "are searched as one. A match of an expression may be truncated if it is "
		       "longer than 64 KiB. Unreadable memory is skipped.\n\n"
		       "TYPE is i8, i16, i32, i64, u8, u16, u32, u64, f32, f64 or utf16. Write a "
		       "negative number as =-5, or after \"--\".\n\n"
		       "Exit status: 0 if something was found, 1 if not, 2 for trouble.",
	};
	struct arguments args = {
		.context = CONTEXT_DEFAULT,
		.max = UINT64_MAX,
		.tolerance = -1,
	};
	struct scan scan = { .args = &args };
	struct identity identity;
	struct target target;
	struct maps maps;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (args.type)
		compile_typed(&scan, &args);
	else
		compile(&scan);
	target_open(&target, args.pid, args.search.flags);
	maps_load(&maps, &target, MAPS_PLAIN);
	scan.maps = &maps;
	location_start(&scan.location, &maps);
	catch_signals();
	if (args.save) {
		identity_get(&identity, &target);
		scan.writer = candidates_create(args.save, args.type, scan.predicate.size,
						args.align, &identity);
	}
	scan_all(&scan, &target);
	if (interrupted)
		die_of_signal();
	progress_clear();
	if (scan.writer)
		candidates_commit(scan.writer);
	if (args.count)
		printf("%" PRIu64 "\n", scan.found);
	finish_output();
	release(&scan);
	location_end(&scan.location);
	maps_free(&maps);
	return scan.found ? EXIT_DONE : EXIT_PART;
}
