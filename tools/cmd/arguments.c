// SPDX-License-Identifier: GPL-2.0-only
/*
 * Numbers, addresses and bytes of the command line.
 */
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

static error_t parse_access(int key, char *arg, struct argp_state *state)
{
	unsigned int *flags = state->input;

	(void)arg;
	switch (key) {
	case 'R':
		*flags |= PVMREAD_RESIDENT;
		return 0;
	case 'N':
		*flags |= PVMREAD_NOWAIT;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp access_argp = {
	.options = (const struct argp_option[]){
		{ "resident", 'R', NULL, 0, "Read only resident memory", 0 },
		{ "nowait", 'N', NULL, 0, "Read only what is available without waiting", 0 },
		{}
	},
	.parser = parse_access,
};

const struct argp_child access_children[] = { { &access_argp, 0, NULL, 0 }, {} };

static error_t parse_search(int key, char *arg, struct argp_state *state)
{
	struct search_options *search = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &search->flags;
		return 0;
	case 'r':
		search->range = arg;
		return 0;
	case 'w':
		search->writable = true;
		return 0;
	case 'j':
		search->json = true;
		return 0;
	case 'v':
		search->verbose = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp search_argp = {
	.options = (const struct argp_option[]){
		{ "range", 'r', "START-END", 0,
		  "Only this range; each end is an ADDR, see \"pvmread read\"", 0 },
		{ "writable", 'w', NULL, 0, "Only writable mappings", 0 },
		{ "json", 'j', NULL, 0, "Print each result as a JSON object on one line", 0 },
		{ "verbose", 'v', NULL, 0, "Say what was skipped", 0 },
		{}
	},
	.parser = parse_search,
	.children = access_children,
};

const struct argp_child search_children[] = { { &search_argp, 0, NULL, 0 }, {} };

/* parse_number() - decimal or 0x; false if @text is something else */
static bool parse_number(const char *text, uint64_t *value, const char **end)
{
	const bool hex = text[0] == '0' && (text[1] | 0x20) == 'x';
	char *stop;

	/* strtoull() would accept a sign and blanks, and return 0 for "0x" without digits. */
	if (hex ? !isxdigit((unsigned char)text[2]) : !isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*value = strtoull(text, &stop, hex ? 16 : 10);
	*end = stop;
	return !errno;
}

uint64_t parse_size(const char *text, const char *what)
{
	static const char suffixes[] = "KMGT";
	const char *suffix, *end;
	unsigned int shift = 0;
	uint64_t value;

	if (!parse_number(text, &value, &end))
		goto bad;
	suffix = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
	if (suffix) {
		shift = 10 * (suffix - suffixes + 1);
		end++;
	}
	if (*end || value > UINT64_MAX >> shift)
		goto bad;
	return value << shift;
bad:
	fail(0, "%s \"%s\": not a number of bytes below 2^64, such as 4096, 0x1000, 4K or 1G",
	     what, text);
}

/**
 * enum match - how well a name in the mappings fits what the user wrote
 * @MATCH_NONE: not at all
 * @MATCH_LOOSELY: "libc.so" for libc.so.6
 * @MATCH_DELETED: without the " (deleted)" of a file that has been removed or replaced
 * @MATCH_END: the end of the path, after a '/'
 * @MATCH_EXACT: the whole name
 */
enum match {
	MATCH_NONE,
	MATCH_LOOSELY,
	MATCH_DELETED,
	MATCH_END,
	MATCH_EXACT,
};

static enum match match_rest(const char *part, const char *text, size_t length)
{
	const char *rest = part + length;

	if (strncmp(part, text, length))
		return MATCH_NONE;
	if (!*rest)
		return MATCH_END;
	if (!strcmp(rest, " (deleted)"))
		return MATCH_DELETED;
	if (*rest == '.' && !strchr(rest, '/') && length > 3 && !strncmp(rest - 3, ".so", 3))
		return MATCH_LOOSELY;
	return MATCH_NONE;
}

static enum match match_name(const char *name, const char *text, size_t length)
{
	enum match match, best = MATCH_NONE;
	const char *part = name;

	if (!length)
		return MATCH_NONE;
	if (!strncmp(name, text, length) && !name[length])
		return MATCH_EXACT;
	do {
		match = match_rest(part, text, length);
		if (match > best)
			best = match;
		part = strchrnul(part, '/');
	} while (*part++);
	return best;
}

bool name_matches(const char *name, const char *text)
{
	return match_name(name, text, strlen(text)) != MATCH_NONE;
}

/* same_thing() - whether @map and @last are parts of one file or area */
static bool same_thing(const struct mapping *last, const struct mapping *map)
{
	if (!map->inode)
		return last->end == map->start;
	return last->inode == map->inode && last->dev_major == map->dev_major &&
	       last->dev_minor == map->dev_minor && !strcmp(last->name, map->name);
}

/**
 * find_name() - the lowest mapping whose name fits best
 * @other: set to a different file whose name matches equally well, or to NULL
 *
 * Return: NULL if there is none.
 */
static const struct mapping *find_name(const struct maps *maps, const char *text, size_t length,
				       const struct mapping **other)
{
	const struct mapping *first = NULL, *last = NULL, *map;
	enum match match, best = MATCH_LOOSELY;

	*other = NULL;
	for (map = maps->maps; map < maps->maps + maps->count; map++) {
		match = match_name(map->name, text, length);
		if (match < best || match == MATCH_NONE)
			continue;
		if (match > best) {
			best = match;
			first = NULL;
			last = NULL;
			*other = NULL;
		}
		if (last && !same_thing(last, map))
			*other = *other ?: map;
		first = first ?: map;
		last = map;
	}
	return first;
}

/**
 * struct address - an address argument of the command line
 * @value: the address
 * @problem: a message for the user, for free(), or NULL
 */
struct address {
	uint64_t value;
	char *problem;
};

static void __attribute__((format(printf, 2, 3)))
set_problem(struct address *address, const char *format, ...)
{
	va_list args;

	free(address->problem);
	va_start(args, format);
	if (vasprintf(&address->problem, format, args) < 0)
		fail(ENOMEM, "an address");
	va_end(args);
}

/* is_number() - "4096" or "0x1000", or two of them with a '+' */
static bool is_number(const char *text, struct address *address)
{
	uint64_t offset;
	const char *end;

	if (!parse_number(text, &address->value, &end))
		return false;
	if (!*end)
		return true;
	if (*end != '+' || !parse_number(end + 1, &offset, &end) || *end)
		return false;
	if (__builtin_add_overflow(address->value, offset, &address->value))
		set_problem(address, "\"%s\" is past the end of the address space", text);
	return true;
}

/* resolve() - find the address that @text means; sets @address->problem on failure */
static void resolve(const char *text, const struct maps *maps, struct address *address)
{
	const char *plus = strrchr(text, '+'), *end;
	const struct mapping *map, *other;
	size_t length = strlen(text);
	uint64_t offset = 0;

	*address = (struct address){};
	if (is_number(text, address))
		return;
	/* A name can contain a '+': libstdc++.so */
	map = find_name(maps, text, length, &other);
	if (!map && plus && parse_number(plus + 1, &offset, &end) && !*end) {
		length = plus - text;
		map = find_name(maps, text, length, &other);
	}
	if (!*text)
		set_problem(address, "the address is empty");
	else if (!map)
		set_problem(address,
			    "\"%s\": neither a mapping nor an address (0x for hexadecimal)", text);
	else if (other)
		set_problem(address, "\"%.*s\" is ambiguous: %s at 0x%" PRIx64
			    " and %s at 0x%" PRIx64 "; give the whole path or the address",
			    (int)length, text, mapping_text(map), map->start,
			    mapping_text(other), other->start);
	else if (__builtin_add_overflow(map->start, offset, &address->value))
		set_problem(address, "\"%s\" is past the end of the address space", text);
}

uint64_t parse_address(const char *text, const struct target *target)
{
	struct address address = {};
	struct maps maps = {};

	if (!is_number(text, &address)) {
		maps_load(&maps, target, MAPS_PLAIN);
		resolve(text, &maps, &address);
		maps_free(&maps);
	}
	if (address.problem)
		fail(0, "%s", address.problem);
	return address.value;
}

void parse_range(const char *text, const struct maps *maps, uint64_t *start, uint64_t *end)
{
	char *copy = strdup(text), *problem = NULL, *dash;
	struct address from, to;
	unsigned int found = 0;

	if (!copy)
		fail(ENOMEM, "--range");
	/* A name can contain a '-', so try each one as the separator. */
	for (dash = strchr(copy, '-'); dash; dash = strchr(dash + 1, '-')) {
		*dash = '\0';
		resolve(copy, maps, &from);
		resolve(dash + 1, maps, &to);
		*dash = '-';
		if (!from.problem && !to.problem) {
			found++;
			*start = from.value;
			*end = to.value;
		} else if (!problem) {
			problem = from.problem ?: to.problem;
			*(from.problem ? &from.problem : &to.problem) = NULL;
		}
		free(from.problem);
		free(to.problem);
	}
	free(copy);
	if (found > 1)
		fail(0, "--range \"%s\": more than one \"-\" can end START; give addresses", text);
	if (!found)
		fail(0, "--range \"%s\": %s", text, problem ?: "not START-END");
	if (*start >= *end)
		fail(0, "--range \"%s\": END must be above START", text);
	free(problem);
}

unsigned char *parse_hex(const char *text, size_t *length)
{
	unsigned char *bytes = malloc(strlen(text) / 2 + 1);
	const char *at = text;
	char pair[3] = "";

	if (!bytes)
		fail(ENOMEM, "%zu bytes", strlen(text) / 2);
	for (*length = 0; *at; at += 2) {
		at += strspn(at, " \t\n");
		if (!*at)
			break;
		if (!isxdigit((unsigned char)at[0]) || !isxdigit((unsigned char)at[1]))
			fail(0, "\"%s\": not hexadecimal bytes, such as \"48 89 e5\" or 4889e5",
			     text);
		memcpy(pair, at, 2);
		bytes[(*length)++] = strtoul(pair, NULL, 16);
	}
	if (!*length)
		fail(0, "no bytes given");
	return bytes;
}

void check_wrap(const struct target *target, uint64_t addr, uint64_t length)
{
	if (length && length - 1 > UINT64_MAX - addr)
		fail(0, "%" PRIu64 " bytes at 0x%" PRIx64 " of %s: the range ends above 2^64",
		     length, addr, target->name);
}
