// SPDX-License-Identifier: GPL-2.0-only
/*
 * Numbers, addresses and bytes of the command line.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

/* parse_number() - decimal or 0x; false if @text is something else */
static bool parse_number(const char *text, uint64_t *value, const char **end)
{
	const bool hex = text[0] == '0' && (text[1] | 0x20) == 'x';
	char *stop;

	/* strtoull() would take a sign, blanks, and a "0x" without digits for 0. */
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
	fail(0, "%s \"%s\": not a number of bytes below 2^64, as 4096, 0x1000, 4K or 1G",
	     what, text);
}

/*
 * name_matches() - whether @text is what a person calls the file @path
 *
 * The whole path or its end from a '/' on; with @loosely "libc.so" is
 * libc.so.6, too.
 */
static bool name_matches(const char *path, const char *text, size_t length, bool loosely)
{
	const char *part = path, *rest;

	do {
		rest = part + length;
		if (!strncmp(part, text, length) &&
		    (!*rest || !strcmp(rest, " (deleted)") ||
		     (loosely && *rest == '.' && !strchr(rest, '/') &&
		      length > 3 && !strncmp(rest - 3, ".so", 3))))
			return true;
		part = strchrnul(part, '/');
	} while (*part++);
	return false;
}

/* same_thing() - whether @map goes on with what @last is a part of */
static bool same_thing(const struct mapping *last, const struct mapping *map)
{
	if (!map->inode)
		return last->end == map->start;
	return last->inode == map->inode && last->dev_major == map->dev_major &&
	       last->dev_minor == map->dev_minor && !strcmp(last->name, map->name);
}

/* find_name() - the lowest mapping of that name; NULL if there is none */
static const struct mapping *find_name(const struct maps *maps, const char *text, size_t length,
				       bool loosely)
{
	const struct mapping *first = NULL, *last = NULL, *map;
	size_t i;

	for (i = 0; i < maps->count; i++) {
		map = &maps->maps[i];
		if (!*map->name || !name_matches(map->name, text, length, loosely))
			continue;
		if (last && !same_thing(last, map))
			fail(0, "\"%.*s\" is more than one thing: %s at 0x%" PRIx64
			     " and %s at 0x%" PRIx64 "; give the whole path or the address",
			     (int)length, text, printable(first->name), first->start,
			     printable(map->name), map->start);
		first = first ?: map;
		last = map;
	}
	return first;
}

uint64_t parse_address(const char *text, const struct maps *maps)
{
	const char *plus = strrchr(text, '+'), *end;
	size_t length = strlen(text);
	const struct mapping *map;
	uint64_t value, offset = 0;

	if (parse_number(text, &value, &end) && !*end)
		return value;
	if (!*text)
		fail(0, "the address is empty");
	/* A name may have a '+' itself: libstdc++.so */
	map = find_name(maps, text, length, false) ?: find_name(maps, text, length, true);
	if (!map && plus && plus > text && parse_number(plus + 1, &offset, &end) && !*end) {
		length = plus - text;
		if (parse_number(text, &value, &end) && end == plus)
			goto add;
		map = find_name(maps, text, length, false) ?: find_name(maps, text, length, true);
	}
	if (!map)
		fail(0, "\"%s\": neither the name of a mapping nor an address (0x for hexadecimal)",
		     text);
	value = map->start;
add:
	if (__builtin_add_overflow(value, offset, &value))
		fail(0, "\"%s\" is past the end of the address space", text);
	return value;
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
			fail(0, "\"%s\": not bytes in hexadecimal, as \"48 89 e5\" or 4889e5",
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
		fail(0, "%" PRIu64 " bytes at 0x%" PRIx64 " of %s: the end is over 2^64",
		     length, addr, target->name);
}
