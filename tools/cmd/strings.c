// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvmread strings: the text in the memory of a process.
 *
 * A string is held until its end is known. A string longer than the buffer is printed
 * while it is read, so that strings of any length are printed completely in a fixed
 * amount of memory.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "cmd.h"
#include "locate.h"
#include "walk.h"

/* The least number of UTF-8 bytes of a string that are held before it is printed. */
#define HOLD_MIN	65536
#define BYTES_DEFAULT	4
#define BYTES_MAX	(1 << 20)
/* No encoding has a longer character. */
#define CHARACTER_MAX	4
/* Room before the chunk for the start of a character; keeps the chunk aligned. */
#define MARGIN		64

struct arguments {
	struct search_options search;
	const char *pid;
	uint64_t bytes;
	char encoding;
	char radix;
};

/**
 * struct run - a string that may still continue
 * @start: address of its first byte
 * @chars: characters in it so far; 0: there is none
 * @held: the characters not printed yet, as UTF-8
 * @script: the script of its letters, from script_of(); 0: ASCII only
 * @sure: it has a character that cannot be two misread ASCII characters
 * @doubt: number of characters that can be such a pair, minus the ASCII characters in it
 * @flows: its beginning has been printed
 * @dropped: it began inside a string that was being printed
 * @next: address of the first byte after the last character
 */
struct run {
	uint64_t start;
	uint64_t chars;
	char *held;
	size_t held_length;
	unsigned int script;
	bool sure;
	int64_t doubt;
	bool flows;
	bool dropped;
	uint64_t next;
};

/**
 * struct strings - the search
 * @location: location of the last string printed as JSON
 * @runs: one, or with UTF-16 one for even addresses and one for odd ones
 * @room: the size of run->held
 * @flowing: the run whose beginning has been printed, or NULL
 * @mask: replace characters that the terminal cannot print
 * @buf: a chunk of memory, after a margin
 * @addr: the address of the first byte not searched yet
 * @tail: number of such bytes, at the end of the margin
 * @found: strings so far
 */
struct strings {
	const struct arguments *args;
	const struct maps *maps;
	struct location location;
	struct run runs[2];
	size_t room;
	struct run *flowing;
	bool mask;
	unsigned char *buf;
	uint64_t addr;
	size_t tail;
	uint64_t found;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->search;
		return 0;
	case 'n':
		args->bytes = parse_size(arg, "--bytes");
		if (!args->bytes || args->bytes > BYTES_MAX)
			argp_error(state, "--bytes %s: must be from 1 to %d", arg, BYTES_MAX);
		return 0;
	case 'e':
		if (!*arg || arg[1] || !strchr("sulbLB", *arg))
			argp_error(state, "--encoding \"%s\": must be s, u, l, b, L or B", arg);
		args->encoding = *arg;
		return 0;
	case 't':
		if (!*arg || arg[1] || !strchr("odx", *arg))
			argp_error(state, "--radix \"%s\": must be o, d or x", arg);
		args->radix = *arg;
		return 0;
	case ARGP_KEY_ARG:
		if (args->pid)
			argp_error(state, "\"%s\" is one argument too many", arg);
		args->pid = arg;
		return 0;
	case ARGP_KEY_END:
		if (!args->pid)
			argp_error(state, "no PID given");
		if (args->search.json && args->radix)
			argp_error(state, "--json and --radix cannot be combined");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* --- characters --- */

/*
 * is_text() - whether the character can be part of a string
 *
 * Not iswprint(), because the contents of memory do not depend on the caller's locale.
 * Excludes control characters, line separators, noncharacters and private-use characters.
 */
static bool is_text(uint32_t c)
{
	if (c < 0x7f)
		return c >= ' ' || c == '\t';
	if (c < 0xa0 || c > 0x10ffff)
		return false;
	if (c == 0x2028 || c == 0x2029 || is_bidi_control(c))
		return false;
	/* Surrogates, private use */
	if ((c >= 0xd800 && c <= 0xf8ff) || c >= 0xe0000)
		return false;
	if (c == 0xfeff || (c >= 0xfdd0 && c <= 0xfdef))
		return false;
	return (c & 0xffff) < 0xfff9 || (c > 0xffff && (c & 0xffff) < 0xfffe);
}

/*
 * script_of() - a number for the character's script; 0: it fits every script
 *
 * Only approximate: enough to tell text from pairs of bytes that happen to be characters.
 */
static unsigned int script_of(uint32_t c)
{
	static const struct {
		uint32_t first;
		uint32_t last;
		unsigned int script;
	} scripts[] = {
		{ 0x0000, 0x007f, 0 },	/* ASCII */
		{ 0x00a0, 0x00bf, 0 },	/* punctuation */
		{ 0x00c0, 0x024f, 1 },	/* Latin */
		{ 0x0300, 0x036f, 0 },	/* combining marks */
		{ 0x0370, 0x03ff, 2 },	/* Greek */
		{ 0x0400, 0x052f, 3 },	/* Cyrillic */
		{ 0x0600, 0x077f, 4 },	/* Arabic */
		{ 0x1e00, 0x1eff, 1 },	/* Latin */
		{ 0x1f00, 0x1fff, 2 },	/* Greek */
		{ 0x2000, 0x2bff, 0 },	/* punctuation, symbols */
		{ 0x2e80, 0x2fff, 5 },	/* radicals */
		{ 0x3000, 0x303f, 0 },	/* punctuation */
		{ 0x3040, 0x9fff, 5 },	/* Chinese and Japanese */
		{ 0xac00, 0xd7af, 6 },	/* Korean */
		{ 0xf900, 0xfaff, 5 },	/* Chinese and Japanese */
		{ 0xfe00, 0xfe0f, 0 },	/* variation selectors */
		{ 0xff00, 0xffef, 0 },	/* full-width forms */
		{ 0x1f000, 0x1faff, 0 },	/* pictographs */
		{ 0x20000, 0x3ffff, 5 },	/* Chinese and Japanese */
	};
	size_t i;

	for (i = 0; i < sizeof(scripts) / sizeof(*scripts); i++)
		if (c >= scripts[i].first && c <= scripts[i].last)
			return scripts[i].script;
	return 0x100 + c / 128;
}

static uint16_t load16(const unsigned char *at, bool big)
{
	return big ? at[0] << 8 | at[1] : at[1] << 8 | at[0];
}

static uint32_t load32(const unsigned char *at, bool big)
{
	return big ? (uint32_t)load16(at, big) << 16 | load16(at + 2, big)
		   : (uint32_t)load16(at + 2, big) << 16 | load16(at, big);
}

/*
 * decode_utf8() - decode the character at @at, with @left bytes available
 *
 * Return: its length, or 0 if there is none.
 */
static size_t decode_utf8(const unsigned char *at, size_t left, uint32_t *c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	size_t i;

	if (at[0] < 0x80) {
		*c = at[0];
		return 1;
	}
	if (at[0] < 0xc2 || at[0] > 0xf4 || length > left)
		return 0;
	*c = at[0] & (0x7f >> length);
	for (i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (at[i] & 0x3f);
	}
	return *c < least[length] ? 0 : length;
}

static size_t decode_utf16(const unsigned char *at, size_t left, bool big, uint32_t *c)
{
	uint16_t low;

	if (left < 2)
		return 0;
	*c = load16(at, big);
	if (*c < 0xd800 || *c > 0xdbff || left < 4)
		return 2;
	low = load16(at + 2, big);
	if (low < 0xdc00 || low > 0xdfff)
		return 2;
	*c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
	return 4;
}

/* decode() - the length of the character at @at; 0: there is no text character */
static size_t decode(char encoding, const unsigned char *at, size_t left, uint32_t *c)
{
	size_t length;

	switch (encoding) {
	case 'u':
		length = decode_utf8(at, left, c);
		break;
	case 'l':
	case 'b':
		length = decode_utf16(at, left, encoding == 'b', c);
		break;
	case 'L':
	case 'B':
		length = left < 4 ? 0 : 4;
		if (length)
			*c = load32(at, encoding == 'B');
		break;
	default:
		*c = *at;
		length = *c < 0x80;
	}
	return length && is_text(*c) ? length : 0;
}

/* encode() - write the character as UTF-8; returns its length */
static size_t encode(uint32_t c, char *to)
{
	size_t length = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	size_t i;

	if (length == 1) {
		*to = c;
		return 1;
	}
	for (i = length - 1; i; i--, c >>= 6)
		to[i] = 0x80 | (c & 0x3f);
	to[0] = (0xf00 >> length) | c;
	return length;
}

/* --- a string --- */

/* print_quoted() - print @text as a part of a JSON string */
static void print_quoted(const char *text, size_t length)
{
	struct json_object *object = json_checked(json_object_new_string_len(text, length));
	const char *quoted = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
							    JSON_C_TO_STRING_NOSLASHESCAPE);

	fwrite(quoted + 1, 1, strlen(quoted) - 2, stdout);
	json_object_put(object);
}

static void print_start(struct strings *strings, const struct run *run)
{
	char *name;

	progress_clear();
	if (strings->args->radix == 'x')
		printf("%7" PRIx64 " ", run->start);
	else if (strings->args->radix == 'o')
		printf("%7" PRIo64 " ", run->start);
	else if (strings->args->radix == 'd')
		printf("%7" PRIu64 " ", run->start);
	if (!strings->args->search.json)
		return;
	locate(&strings->location, run->start);
	name = utf8(strings->location.map ? strings->location.map->name : "");
	printf("{\"address\":%" PRIu64 ",\"name\":\"", run->start);
	print_quoted(name, strlen(name));
	free(name);
	printf("\",\"offset\":%" PRIu64 ",\"encoding\":\"%c\",\"text\":\"",
	       run->start - strings->location.base, strings->args->encoding);
}

/* print_held() - print the held characters, and empty the buffer */
static void print_held(const struct strings *strings, struct run *run)
{
	char *rest = run->held, *part;

	if (strings->args->search.json) {
		print_quoted(run->held, run->held_length);
	} else if (strings->mask) {
		run->held[run->held_length] = '\0';
		/* printable() would also replace tabs. */
		while ((part = strsep(&rest, "\t"))) {
			fputs(printable(part), stdout);
			if (rest)
				putchar('\t');
		}
	} else {
		fwrite(run->held, 1, run->held_length, stdout);
	}
	run->held_length = 0;
	/* The reader has gone or the disk is full. Stop: the rest may be hundreds of GiB. */
	if (ferror(stdout))
		fail(errno, "standard output");
}

/* is_likely() - whether the string is not text of another encoding */
static bool is_likely(const struct run *run)
{
	return run->sure || run->doubt <= 0;
}

static void forget(struct run *run)
{
	run->chars = 0;
	run->held_length = 0;
	run->script = 0;
	run->sure = false;
	run->doubt = 0;
	run->dropped = false;
}

/* end_run() - finish the string, if there is one */
static void end_run(struct strings *strings, struct run *run)
{
	if (!run->chars)
		return;
	/* Two UTF-16 strings can overlap: while one is being printed, the other must wait. */
	if (run->flows || (run->chars >= strings->args->bytes && is_likely(run) && !run->dropped &&
			   !strings->flowing)) {
		if (!run->flows)
			print_start(strings, run);
		print_held(strings, run);
		if (strings->args->search.json)
			printf("\",\"length\":%" PRIu64 "}", run->next - run->start);
		putchar('\n');
		strings->found++;
	}
	if (run->flows) {
		run->flows = false;
		strings->flowing = NULL;
	}
	forget(run);
}

/* make_room() - make room in run->held, which is full */
static void make_room(struct strings *strings, struct run *run)
{
	if (!is_likely(run)) {
		forget(run);
		return;
	}
	run->dropped |= strings->flowing && strings->flowing != run;
	if (run->dropped) {
		run->held_length = 0;
		return;
	}
	if (!run->flows)
		print_start(strings, run);
	run->flows = true;
	strings->flowing = run;
	print_held(strings, run);
}

/**
 * add() - append to a string, or begin one
 * @addr: address of the first byte
 * @size: the number of bytes in memory
 * @text: as UTF-8, one character or any number of ASCII characters
 * @length: the bytes of it
 */
static void add(struct strings *strings, struct run *run, uint64_t addr, size_t size,
		const char *text, size_t length)
{
	const bool ascii = strings->args->encoding == 's';
	size_t part, done;

	for (done = 0; done < length; done += part) {
		if (run->held_length + (ascii ? 1 : length) > strings->room)
			make_room(strings, run);
		part = MIN(length - done, strings->room - run->held_length);
		if (!run->chars)
			run->start = addr + done;
		memcpy(run->held + run->held_length, text + done, part);
		run->held_length += part;
		run->chars += ascii ? part : 1;
	}
	run->next = addr + size;
}

/* --- the search --- */

/* search_ascii() - a fast version of search() for single bytes */
static size_t search_ascii(struct strings *strings, const unsigned char *bytes, size_t length)
{
	struct run *run = &strings->runs[0];
	size_t at = 0, end;

	while (at < length) {
		for (end = at; end < length && bytes[end] < 0x80 && is_text(bytes[end]); end++)
			;
		if (end > at)
			add(strings, run, strings->addr + at, end - at, (const char *)bytes + at,
			    end - at);
		if (end == length)
			break;
		end_run(strings, run);
		for (at = end + 1; at < length && !bytes[at]; at++)
			;
	}
	return length;
}

/* skip_zeros() - the number of zeros to skip; at least CHARACTER_MAX zeros follow them */
static size_t skip_zeros(const unsigned char *bytes, size_t length)
{
	uint64_t word;
	size_t at;

	for (at = 0; at + sizeof(word) <= length; at += sizeof(word)) {
		memcpy(&word, bytes + at, sizeof(word));
		if (word)
			break;
	}
	return at - MIN(at, CHARACTER_MAX);
}

/**
 * search() - search characters, each of which begins where the last one ends
 *
 * UTF-32 is recognized only at multiples of four, where C compilers put it. At other
 * addresses most of it would look like other characters.
 */
static size_t search(struct strings *strings, const unsigned char *bytes, size_t length, bool last)
{
	const bool utf32 = strings->args->encoding != 'u';
	struct run *run = &strings->runs[0];
	char text[CHARACTER_MAX];
	size_t at = 0, size;
	uint32_t c;

	while (at < length && (last || length - at >= CHARACTER_MAX)) {
		size = utf32 && (strings->addr + at) % sizeof(c) ? 0 :
		       decode(strings->args->encoding, bytes + at, length - at, &c);
		if (size) {
			add(strings, run, strings->addr + at, size, text, encode(c, text));
		} else {
			end_run(strings, run);
			size = 1 + skip_zeros(bytes + at + 1, length - at - 1);
		}
		at += size;
	}
	return at;
}

static bool is_ascii_byte(unsigned int byte)
{
	return byte < 0x7f && (is_text(byte) || (byte >= '\b' && byte <= '\r'));
}

/*
 * doubt() - 1 if the character may be two ASCII bytes, or an ASCII character in the
 * other byte order; -1 if it is ASCII; 0 otherwise
 */
static int doubt(uint32_t c)
{
	const uint32_t high = c >> 8, low = c & 0xff;

	if (c < 0x80)
		return -1;
	return is_ascii_byte(high) && (!low || is_ascii_byte(low));
}

/**
 * search_utf16() - search UTF-16, where nearly any two bytes are a character
 *
 * A string must be likely to be text: its letters except ASCII are of one script, and
 * it is not ASCII misread as UTF-16. The start of a character is also unknown. At odd
 * addresses, which rarely have text, a string can only have characters up to U+1FFF.
 * Text at even addresses, read at odd ones, mostly looks like higher characters.
 */
static size_t search_utf16(struct strings *strings, const unsigned char *bytes, size_t length,
			   bool last)
{
	char text[CHARACTER_MAX];
	unsigned int script;
	struct run *run;
	uint64_t addr;
	size_t at, size;
	uint32_t c;

	for (at = 0; at < length && (last || length - at >= CHARACTER_MAX); at++) {
		addr = strings->addr + at;
		run = &strings->runs[addr % 2];
		/* The second half of a surrogate pair */
		if (run->chars && addr < run->next)
			continue;
		size = decode(strings->args->encoding, bytes + at, length - at, &c);
		if (!size || (addr % 2 && c > 0x1fff)) {
			end_run(strings, run);
			if (!strings->runs[0].chars && !strings->runs[1].chars)
				at += skip_zeros(bytes + at + 1, length - at - 1);
			continue;
		}
		script = script_of(c);
		if (script && run->script && script != run->script)
			end_run(strings, run);
		add(strings, run, addr, size, text, encode(c, text));
		run->script = script ?: run->script;
		run->doubt += doubt(c);
		run->sure |= !doubt(c);
	}
	return at;
}

/*
 * search_on() - search the tail and the @length bytes after it
 *
 * Stops before an incomplete character, which becomes the new tail; with @last there is
 * no tail.
 */
static void search_on(struct strings *strings, size_t length, bool last)
{
	const unsigned char *bytes = strings->buf + MARGIN - strings->tail;
	size_t done;

	length += strings->tail;
	switch (strings->args->encoding) {
	case 's':
		done = search_ascii(strings, bytes, length);
		break;
	case 'l':
	case 'b':
		done = search_utf16(strings, bytes, length, last);
		break;
	default:
		done = search(strings, bytes, length, last);
	}
	strings->tail = length - done;
	strings->addr += done;
	memmove(strings->buf + MARGIN - strings->tail, bytes + done, strings->tail);
}

/* end_here() - end the strings: the next bytes are elsewhere, or not text */
static void end_here(struct strings *strings)
{
	search_on(strings, 0, true);
	end_run(strings, &strings->runs[0]);
	end_run(strings, &strings->runs[1]);
}

static void search_range(struct strings *strings, struct walk *walk, uint64_t *done)
{
	struct piece piece;

	while (walk_next(walk, strings->buf + MARGIN, &piece)) {
		if (piece.kind == PIECE_BYTES) {
			if (piece.addr != strings->addr + strings->tail)
				end_here(strings);
			strings->addr = piece.addr - strings->tail;
			search_on(strings, piece.length, false);
		} else if (piece.kind == PIECE_ABSENT && strings->args->search.verbose) {
			warn_about(0, "skipped 0x%" PRIx64 "-0x%" PRIx64 ": %s", piece.addr,
				   piece.addr + piece.length, piece.why);
		}
		*done += piece.length;
		progress_update(*done);
	}
}

/* search_all() - search every selected mapping, in address order */
static void search_all(struct strings *strings, const struct target *target)
{
	uint64_t from = 0, to = UINT64_MAX, start, end, total = 0, done = 0;
	const struct maps *maps = strings->maps;
	const struct mapping *map;
	struct walk walk;
	int pass;

	if (strings->args->search.range)
		parse_range(strings->args->search.range, maps, &from, &to);
	walk_start(&walk, target, strings->args->search.flags);
	for (pass = 0; pass < 2; pass++) {
		for (map = maps->maps; map < maps->maps + maps->count && !interrupted; map++) {
			start = MAX(from, map->start);
			end = MIN(to, map->end);
			if (start >= end || map->perms[0] != 'r' ||
			    (strings->args->search.writable && map->perms[1] != 'w'))
				continue;
			total += end - start;
			if (!pass)
				continue;
			walk_range(&walk, map, start, end);
			search_range(strings, &walk, &done);
		}
		if (!pass)
			progress_start("strings", total);
	}
	end_here(strings);
	walk_end(&walk);
}

/* prepare() - allocate memory for the strings; @buf has room for MARGIN and a chunk */
static void prepare(struct strings *strings, unsigned char *buf)
{
	size_t i;

	strings->room = MAX(HOLD_MIN, (strings->args->bytes + 1) * CHARACTER_MAX);
	strings->buf = buf;
	for (i = 0; i < 2; i++) {
		strings->runs[i].held = malloc(strings->room + 1);
		if (!buf || !strings->runs[i].held)
			fail(ENOMEM, "strings");
	}
	/* UTF-8 text may contain control sequences of a terminal with another character set. */
	strings->mask = isatty(STDOUT_FILENO) && strcmp(nl_langinfo(CODESET), "UTF-8");
}

int cmd_strings(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "bytes", 'n', "N", 0, "Print strings of at least N characters (default 4)", 0 },
		{ "encoding", 'e', "E", 0, "s: ASCII (default); u: UTF-8; l, b: UTF-16, little- "
		  "and big-endian; L, B: UTF-32, little- and big-endian", 0 },
		{ "radix", 't', "R", 0, "Print each string's address: o: octal, d: decimal, "
		  "x: hexadecimal", 0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.children = search_children,
		.args_doc = "PID",
		.doc = "Print the strings in the readable memory of process PID, as strings(1) "
		       "does for a file.\v"
		       "Adjacent mappings are searched as one. The output is UTF-8. Unreadable "
		       "memory is skipped.\n\n"
		       "Exit status: 0 if a string was found, 1 if not, 2 for trouble.",
	};
	struct arguments args = { .bytes = BYTES_DEFAULT, .encoding = 's' };
	struct strings strings = { .args = &args };
	struct target target;
	unsigned char *buf;
	struct maps maps;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	target_open(&target, args.pid, args.search.flags);
	maps_load(&maps, &target, MAPS_PLAIN);
	strings.maps = &maps;
	location_start(&strings.location, &maps);
	buf = malloc(MARGIN + WALK_CHUNK);
	prepare(&strings, buf);
	catch_signals();
	search_all(&strings, &target);
	if (interrupted)
		die_of_signal();
	finish_output();
	free(buf);
	free(strings.runs[0].held);
	free(strings.runs[1].held);
	location_end(&strings.location);
	maps_free(&maps);
	return strings.found ? EXIT_DONE : EXIT_PART;
}
