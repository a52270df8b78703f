// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bytes and names as text.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "cmd.h"

/* highlight() - the escape sequence for highlighted text; NULL if @out is no terminal */
static const char *highlight(FILE *out)
{
	const char *no_color = getenv("NO_COLOR");

	if (!isatty(fileno(out)))
		return NULL;
	return no_color && *no_color ? "\033[7m" : "\033[1;31m";
}

void hexdump(FILE *out, uint64_t addr, const unsigned char *bytes, size_t length,
	     const unsigned char *old)
{
	const char *on = old ? highlight(out) : NULL;
	size_t line, i;
	bool differs;

	for (line = 0; line < length; line += 16) {
		fprintf(out, "%08" PRIx64 ":", addr + line);
		for (i = line; i < line + 16; i++) {
			if (!(i % 2))
				fputc(' ', out);
			differs = on && i < length && bytes[i] != old[i];
			if (differs)
				fputs(on, out);
			if (i < length)
				fprintf(out, "%02x", bytes[i]);
			else
				fputs("  ", out);
			if (differs)
				fputs("\033[m", out);
		}
		fputs("  ", out);
		for (i = line; i < length && i < line + 16; i++) {
			differs = on && bytes[i] != old[i];
			if (differs)
				fputs(on, out);
			fputc(bytes[i] >= ' ' && bytes[i] < 0x7f ? bytes[i] : '.', out);
			if (differs)
				fputs("\033[m", out);
		}
		fputc('\n', out);
	}
}

bool is_bidi_control(uint32_t c)
{
	return c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

char *printable(char *text)
{
	mbstate_t state = {};
	size_t length;
	wchar_t c;
	char *at;

	for (at = text; *at; at += length) {
		length = mbrtowc(&c, at, strlen(at), &state);
		if (length <= MB_LEN_MAX && iswprint(c) && !is_bidi_control(c))
			continue;
		if (length > MB_LEN_MAX) {
			length = 1;
			state = (mbstate_t){};
		}
		memset(at, '?', length);
	}
	return text;
}

/* utf8_length() - the length of the character at @at, or 0 if it is invalid */
static size_t utf8_length(const unsigned char *at)
{
	size_t length = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	size_t i;

	if ((at[0] >= 0x80 && at[0] < 0xc2) || at[0] > 0xf4)
		return 0;
	for (i = 1; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong, a surrogate, above U+10FFFF; or a C1 control character. */
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f) ||
	    (at[0] == 0xc2 && at[1] < 0xa0))
		return 0;
	return length;
}

char *utf8(const char *text)
{
	static const char replacement[] = "\xef\xbf\xbd";
	char *copy = malloc(3 * strlen(text) + 1), *to = copy;
	size_t length;

	if (!copy)
		fail(ENOMEM, "%s", text);
	for (; *text; text += length ?: 1) {
		length = utf8_length((const unsigned char *)text);
		to = length ? mempcpy(to, text, length) : stpcpy(to, replacement);
	}
	*to = '\0';
	return copy;
}

const char *human_size(uint64_t bytes)
{
	static char texts[8][16];
	static unsigned int next;
	static const char units[] = "KMGTPE";
	char *text = texts[next++ % 8];
	double size = bytes;
	int unit = -1;

	while (size >= 999.5 && units[unit + 1]) {
		size /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(text, sizeof(texts[0]), "%" PRIu64, bytes);
	else
		snprintf(text, sizeof(texts[0]), "%.*f%c", size < 9.95, size, units[unit]);
	return text;
}
