// SPDX-License-Identifier: GPL-2.0-only
/*
 * Values of a type in memory, and tests of them.
 *
 * Integers and floats are in the byte order of the machine, as the target has them.
 * Every test of one value consists of two bounds, so the search has one loop per type.
 */
#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "typed.h"

/* This many values are compared at once without a branch, for vector instructions. */
#define BLOCK		256
/* The default tolerance, relative to the value. */
#define TOLERANCE_F32	(1 / 1e6)
#define TOLERANCE_F64	(1 / 1e12)

static const struct type types[] = {
	{ "i8", 1, TYPE_SIGNED, 1 },
	{ "i16", 2, TYPE_SIGNED, 2 },
	{ "i32", 3, TYPE_SIGNED, 4 },
	{ "i64", 4, TYPE_SIGNED, 8 },
	{ "u8", 5, TYPE_UNSIGNED, 1 },
	{ "u16", 6, TYPE_UNSIGNED, 2 },
	{ "u32", 7, TYPE_UNSIGNED, 4 },
	{ "u64", 8, TYPE_UNSIGNED, 8 },
	{ "f32", 9, TYPE_FLOAT, 4 },
	{ "f64", 10, TYPE_FLOAT, 8 },
	{ "utf16", 11, TYPE_TEXT, 2 },
	{}
};

const struct type *type_parse(const char *name)
{
	const struct type *type;

	for (type = types; type->name; type++)
		if (!strcmp(type->name, name))
			return type;
	fail(0, "--type \"%s\": not one of i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, utf16",
	     name);
}

const struct type *type_numbered(unsigned int number)
{
	const struct type *type;

	for (type = types; type->name; type++)
		if (type->number == number)
			return type;
	return NULL;
}

/* --- values --- */

static int64_t load_signed(const unsigned char *bytes, size_t size)
{
	int8_t i8;
	int16_t i16;
	int32_t i32;
	int64_t i64;

	switch (size) {
	case 1:
		memcpy(&i8, bytes, size);
		return i8;
	case 2:
		memcpy(&i16, bytes, size);
		return i16;
	case 4:
		memcpy(&i32, bytes, size);
		return i32;
	}
	memcpy(&i64, bytes, sizeof(i64));
	return i64;
}

static uint64_t load_unsigned(const unsigned char *bytes, size_t size)
{
	const uint64_t mask = UINT64_MAX >> (64 - 8 * size);

	return load_signed(bytes, size) & mask;
}

static double load_float(const unsigned char *bytes, size_t size)
{
	float f32;
	double f64;

	if (size == sizeof(f32)) {
		memcpy(&f32, bytes, sizeof(f32));
		return f32;
	}
	memcpy(&f64, bytes, sizeof(f64));
	return f64;
}

/* float_text() - the shortest decimal number that identifies @value */
static void float_text(char *text, size_t room, double value, size_t size)
{
	int digits = size == sizeof(float) ? FLT_DIG : DBL_DIG;
	double back;

	do {
		snprintf(text, room, "%.*g", digits, value);
		back = size == sizeof(float) ? strtof(text, NULL) : strtod(text, NULL);
	} while (back != value && ++digits <= 17);
}

/* text_utf8() - UTF-16LE as UTF-8, with U+FFFD for an unpaired surrogate; for free() */
static char *text_utf8(const unsigned char *bytes, size_t size, size_t *length)
{
	char *copy = malloc(size / 2 * 3 + 1), *to = copy;
	uint32_t c, low;
	size_t i;

	if (!copy)
		fail(ENOMEM, "%zu bytes", size);
	for (i = 0; i + 1 < size; i += 2) {
		c = bytes[i] | bytes[i + 1] << 8;
		if (c >= 0xd800 && c < 0xdc00 && i + 3 < size) {
			low = bytes[i + 2] | bytes[i + 3] << 8;
			if (low >= 0xdc00 && low < 0xe000) {
				c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
				i += 2;
			}
		}
		if (c >= 0xd800 && c < 0xe000)
			c = 0xfffd;
		if (c < 0x80) {
			*to++ = c;
		} else if (c < 0x800) {
			*to++ = 0xc0 | c >> 6;
			*to++ = 0x80 | (c & 0x3f);
		} else if (c < 0x10000) {
			*to++ = 0xe0 | c >> 12;
			*to++ = 0x80 | (c >> 6 & 0x3f);
			*to++ = 0x80 | (c & 0x3f);
		} else {
			*to++ = 0xf0 | c >> 18;
			*to++ = 0x80 | (c >> 12 & 0x3f);
			*to++ = 0x80 | (c >> 6 & 0x3f);
			*to++ = 0x80 | (c & 0x3f);
		}
	}
	*to = '\0';
	*length = to - copy;
	return copy;
}

static void value_print(const struct type *type, const unsigned char *bytes, size_t size)
{
	char *text, number[64];
	size_t length, i;

	switch (type->kind) {
	case TYPE_SIGNED:
		printf("%" PRId64, load_signed(bytes, size));
		break;
	case TYPE_UNSIGNED:
		printf("%" PRIu64, load_unsigned(bytes, size));
		break;
	case TYPE_FLOAT:
		float_text(number, sizeof(number), load_float(bytes, size), size);
		fputs(number, stdout);
		break;
	case TYPE_TEXT:
		text = text_utf8(bytes, size, &length);
		for (i = 0; i < length; i++)
			if (!text[i])
				text[i] = '?';
		fputs(printable(text), stdout);
		free(text);
		break;
	}
}

static struct json_object *value_json(const struct type *type, const unsigned char *bytes,
				      size_t size)
{
	struct json_object *object = NULL;
	char *text, number[64];
	double value;
	size_t length;

	switch (type->kind) {
	case TYPE_SIGNED:
		object = json_object_new_int64(load_signed(bytes, size));
		break;
	case TYPE_UNSIGNED:
		object = json_object_new_uint64(load_unsigned(bytes, size));
		break;
	case TYPE_FLOAT:
		value = load_float(bytes, size);
		/* JSON has neither infinity nor NaN; json-c's null is NULL. */
		if (__builtin_isnan(value) || __builtin_isinf(value))
			return NULL;
		float_text(number, sizeof(number), value, size);
		object = json_object_new_double_s(value, number);
		break;
	case TYPE_TEXT:
		text = text_utf8(bytes, size, &length);
		object = json_object_new_string_len(text, length);
		free(text);
		break;
	}
	return json_checked(object);
}

void print_candidate(const struct location *location, const struct type *type, uint64_t addr,
		     const unsigned char *bytes, size_t size, bool json)
{
	struct json_object *object;

	if (json) {
		object = json_checked(json_object_new_object());
		json_add_number(object, "address", addr);
		location_json(location, addr, object);
		json_add_text(object, "type", type->name);
		json_object_object_add(object, "value", value_json(type, bytes, size));
		json_print_line(object);
	} else {
		location_print(location, addr);
		putchar(' ');
		value_print(type, bytes, size);
		putchar('\n');
	}
	/* The reader has gone or the disk is full. Stop: the rest may be millions. */
	if (ferror(stdout))
		fail(errno, "standard output");
}

/* --- the tests of values --- */

static uint64_t type_lowest(const struct type *type)
{
	return type->kind == TYPE_SIGNED ? -(UINT64_C(1) << (8 * type->size - 1)) : 0;
}

static uint64_t type_highest(const struct type *type)
{
	return UINT64_MAX >> (64 - 8 * type->size + (type->kind == TYPE_SIGNED));
}

/* less() - whether @a is below @b, both as uint64_t whatever the type's sign */
static bool less(const struct type *type, uint64_t a, uint64_t b)
{
	return type->kind == TYPE_SIGNED ? (int64_t)a < (int64_t)b : a < b;
}

static void __attribute__((noreturn)) out_of_range(const struct type *type, const char *text)
{
	if (type->kind == TYPE_FLOAT)
		fail(0, "\"%s\": out of the range of f32", text);
	if (type->kind == TYPE_SIGNED)
		fail(0, "\"%s\": out of the range of %s, from %" PRId64 " to %" PRId64, text,
		     type->name, (int64_t)type_lowest(type), (int64_t)type_highest(type));
	fail(0, "\"%s\": out of the range of %s, from 0 to %" PRIu64, text, type->name,
	     type_highest(type));
}

static uint64_t parse_integer(const struct type *type, const char *text)
{
	const bool negative = *text == '-';
	const char *digits = text + (*text == '-' || *text == '+');
	const bool hex = digits[0] == '0' && (digits[1] | 0x20) == 'x';
	uint64_t value;
	char *end;

	/* strtoull() would accept blanks and a second sign, and return 0 for "0x" alone. */
	if (hex ? !isxdigit((unsigned char)digits[2]) : !isdigit((unsigned char)digits[0]))
		goto bad;
	errno = 0;
	value = strtoull(digits, &end, hex ? 16 : 10);
	if (*end)
		goto bad;
	if (errno || (negative ? value > -type_lowest(type) : value > type_highest(type)))
		out_of_range(type, text);
	return negative ? -value : value;
bad:
	fail(0, "\"%s\": not an integer, such as 10, -10 or 0x1f", text);
}

static double parse_double(const char *text)
{
	double value;
	char *end;

	errno = 0;
	value = strtod(text, &end);
	if (end == text || *end || isspace((unsigned char)*text))
		fail(0, "\"%s\": not a number, such as 10, -2.5 or 1e-3", text);
	if (__builtin_isnan(value))
		fail(0, "\"%s\": NaN matches nothing", text);
	if (errno == ERANGE && __builtin_isinf(value))
		fail(0, "\"%s\": out of the range of a double", text);
	return value;
}

static double parse_float(const struct type *type, const char *text)
{
	double value = parse_double(text);

	if (type->size == sizeof(float) && !__builtin_isinf(value) &&
	    __builtin_fabs(value) > FLT_MAX)
		out_of_range(type, text);
	return value;
}

double tolerance_parse(const char *text)
{
	double value = parse_double(text);

	if (!(value >= 0) || __builtin_isinf(value))
		fail(0, "--tolerance \"%s\": must be finite and at least 0", text);
	return value;
}

/* default_tolerance() - the tolerance between two floats, one of which is @value */
static double default_tolerance(const struct type *type, double value)
{
	return __builtin_isinf(value) ? 0 :
	       __builtin_fabs(value) *
	       (type->size == sizeof(float) ? TOLERANCE_F32 : TOLERANCE_F64);
}

/* double_above() - the next double; nextafter() would need libm */
static double double_above(double value)
{
	uint64_t bits;

	if (!value)
		return DBL_TRUE_MIN;
	memcpy(&bits, &value, sizeof(bits));
	bits += value > 0 ? 1 : -1;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

static float float_above(float value)
{
	uint32_t bits;

	if (!value)
		return FLT_TRUE_MIN;
	memcpy(&bits, &value, sizeof(bits));
	bits += value > 0 ? 1 : -1;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* bound() - set a bound of @predicate to @text, or to the next value if it is exclusive */
static void bound(struct predicate *predicate, const char *text, bool upper, bool exclusive)
{
	const struct type *type = predicate->type;
	uint64_t value, last;
	double number;

	if (type->kind == TYPE_FLOAT) {
		number = parse_float(type, text);
		if (exclusive && __builtin_isinf(number) && upper == !!__builtin_signbit(number))
			fail(0, "\"%s\": no %s value can match", text, type->name);
		if (upper)
			predicate->float_high = exclusive ? -double_above(-number) : number;
		else
			predicate->float_low = exclusive ? double_above(number) : number;
		return;
	}
	value = parse_integer(type, text);
	last = upper ? type_lowest(type) : type_highest(type);
	if (exclusive && value == last)
		fail(0, "\"%s\": no %s value can match", text, type->name);
	if (upper)
		predicate->span = value - exclusive - predicate->low;
	else
		predicate->low = value + exclusive;
}

/* parse_side() - parse ">10" and the like; @text is the part after '>' or '<' */
static void parse_side(struct predicate *predicate, const char *text, bool upper)
{
	const struct type *type = predicate->type;
	const bool exclusive = *text != '=';

	text += !exclusive;
	text += strspn(text, " ");
	predicate->float_low = -__builtin_inf();
	predicate->float_high = __builtin_inf();
	predicate->low = type_lowest(type);
	bound(predicate, text, upper, exclusive);
	if (!upper)
		predicate->span = type_highest(type) - predicate->low;
}

/* parse_between() - parse "10..20", split at @dots */
static void parse_between(struct predicate *predicate, const char *text, const char *dots)
{
	char *low = strndup(text, dots - text);
	bool empty;

	if (!low)
		fail(ENOMEM, "\"%s\"", text);
	bound(predicate, low, false, false);
	bound(predicate, dots + 2, true, false);
	free(low);
	if (predicate->type->kind == TYPE_FLOAT)
		empty = predicate->float_low > predicate->float_high;
	else
		empty = less(predicate->type, predicate->low + predicate->span, predicate->low);
	if (empty)
		fail(0, "\"%s\": the range ends before it begins", text);
}

/* text_utf16() - convert @text from UTF-8 to UTF-16LE; for free() */
static unsigned char *text_utf16(const char *text, size_t *size)
{
	unsigned char *copy = malloc(2 * strlen(text) + 1), *to = copy;
	const unsigned char *at = (const unsigned char *)text;
	unsigned int more, units, i;
	char *checked = utf8(text);
	uint32_t c, unit[2];

	if (!copy)
		fail(ENOMEM, "\"%s\"", text);
	if (strcmp(checked, text))
		fail(0, "the pattern is not UTF-8, or has control characters");
	free(checked);
	while (*at) {
		more = *at < 0x80 ? 0 : *at < 0xe0 ? 1 : *at < 0xf0 ? 2 : 3;
		c = more ? *at & (0x3f >> more) : *at;
		for (at++; more; more--)
			c = c << 6 | (*at++ & 0x3f);
		units = c < 0x10000 ? 1 : 2;
		unit[0] = units == 1 ? c : 0xd800 + ((c - 0x10000) >> 10);
		unit[1] = 0xdc00 + ((c - 0x10000) & 0x3ff);
		for (i = 0; i < units; i++) {
			*to++ = unit[i];
			*to++ = unit[i] >> 8;
		}
	}
	*size = to - copy;
	if (!*size)
		fail(0, "the pattern is empty");
	if (*size > TEXT_MAX)
		fail(0, "the pattern is longer than %d UTF-16 code units", TEXT_MAX / 2);
	return copy;
}

void predicate_parse(struct predicate *predicate, const struct type *type, const char *text,
		     double tolerance)
{
	const char *dots;

	*predicate = (struct predicate){ .type = type, .test = TEST_WITHIN, .size = type->size };
	if (tolerance >= 0 && type->kind != TYPE_FLOAT)
		fail(0, "--tolerance works only with f32 and f64");
	if (type->kind == TYPE_TEXT) {
		predicate->text = text_utf16(text, &predicate->size);
		return;
	}
	text += *text == '=';
	text += strspn(text, " ");
	dots = strstr(text, "..");
	if (tolerance >= 0 && (dots || *text == '<' || *text == '>'))
		fail(0, "--tolerance works only with a single value, not with \"%s\"", text);
	if (*text == '<' || *text == '>') {
		parse_side(predicate, text + 1, *text == '<');
	} else if (dots) {
		parse_between(predicate, text, dots);
	} else if (type->kind == TYPE_FLOAT) {
		predicate->float_low = parse_float(type, text);
		if (tolerance < 0)
			tolerance = default_tolerance(type, predicate->float_low);
		predicate->float_high = predicate->float_low + tolerance;
		predicate->float_low -= tolerance;
	} else {
		predicate->low = parse_integer(type, text);
	}
}

/* parse_by() - parse the amount of "increased" and "decreased" */
static void parse_by(struct predicate *predicate, const char *by)
{
	const struct type *type = predicate->type;
	const uint64_t most = type_highest(type) - type_lowest(type);
	const struct type u64 = { .name = type->name, .kind = TYPE_UNSIGNED, .size = 8 };

	predicate->has_by = true;
	if (type->kind == TYPE_FLOAT) {
		predicate->float_by = parse_float(type, by);
		if (!(predicate->float_by > 0))
			fail(0, "\"%s\": BY must be more than 0", by);
		if (predicate->tolerance < 0)
			predicate->tolerance = default_tolerance(type, predicate->float_by);
		return;
	}
	predicate->by = parse_integer(&u64, by);
	if (!predicate->by || predicate->by > most)
		fail(0, "\"%s\": BY must be from 1 to %" PRIu64, by, most);
}

void predicate_parse_again(struct predicate *predicate, const struct type *type, size_t size,
			   const char *text, const char *by, double tolerance)
{
	static const struct {
		const char *name;
		enum test test;
	} tests[] = {
		{ "changed", TEST_CHANGED },
		{ "unchanged", TEST_UNCHANGED },
		{ "increased", TEST_INCREASED },
		{ "decreased", TEST_DECREASED },
		{}
	};
	unsigned int i;

	*predicate = (struct predicate){ .type = type, .size = size, .tolerance = tolerance };
	for (i = 0; text && tests[i].name; i++)
		if (!strcmp(text, tests[i].name))
			predicate->test = tests[i].test;
	if (by && predicate->test != TEST_INCREASED && predicate->test != TEST_DECREASED)
		fail(0, "\"%s\": BY works only with increased and decreased", by);
	if (type->kind == TYPE_TEXT && text) {
		if (*text == '=' && tolerance < 0) {
			predicate_parse(predicate, type, text + 1, tolerance);
			return;
		}
		if (predicate->test != TEST_CHANGED && predicate->test != TEST_UNCHANGED)
			fail(0, "\"%s\": utf16 takes only =TEXT, changed and unchanged", text);
	}
	if (text && predicate->test == TEST_ANY) {
		predicate_parse(predicate, type, text, tolerance);
		return;
	}
	if (tolerance >= 0 && (type->kind != TYPE_FLOAT || !text))
		fail(0, "--tolerance works only with f32 and f64, and needs a predicate");
	if (by)
		parse_by(predicate, by);
	if (predicate->tolerance < 0)
		predicate->tolerance = 0;
}

void predicate_free(struct predicate *predicate)
{
	free(predicate->text);
	predicate->text = NULL;
}

/* within() - whether the value is between the bounds, or is the text */
static bool within(const struct predicate *predicate, const unsigned char *bytes)
{
	double value;

	switch (predicate->type->kind) {
	case TYPE_FLOAT:
		value = load_float(bytes, predicate->size);
		return value >= predicate->float_low && value <= predicate->float_high;
	case TYPE_TEXT:
		return !memcmp(bytes, predicate->text, predicate->size);
	default:
		/* For a signed type both are sign-extended, so the difference is correct. */
		return (predicate->type->kind == TYPE_SIGNED ?
			(uint64_t)load_signed(bytes, predicate->size) :
			load_unsigned(bytes, predicate->size)) - predicate->low <= predicate->span;
	}
}

/* increased() - whether @now is above @before, by the given amount if there is one */
static bool increased(const struct predicate *predicate, const unsigned char *now,
		      const unsigned char *before)
{
	const bool is_signed = predicate->type->kind == TYPE_SIGNED;
	uint64_t a, b;
	double more;

	if (predicate->type->kind == TYPE_FLOAT) {
		more = load_float(now, predicate->size) - load_float(before, predicate->size);
		if (predicate->has_by)
			return __builtin_fabs(more - predicate->float_by) <= predicate->tolerance;
		return more > predicate->tolerance;
	}
	a = is_signed ? (uint64_t)load_signed(now, predicate->size) :
			load_unsigned(now, predicate->size);
	b = is_signed ? (uint64_t)load_signed(before, predicate->size) :
			load_unsigned(before, predicate->size);
	return less(predicate->type, b, a) && (!predicate->has_by || a - b == predicate->by);
}

static bool changed(const struct predicate *predicate, const unsigned char *now,
		    const unsigned char *before)
{
	double more;

	if (!memcmp(now, before, predicate->size))
		return false;
	if (predicate->type->kind != TYPE_FLOAT)
		return true;
	more = load_float(now, predicate->size) - load_float(before, predicate->size);
	return !(__builtin_fabs(more) <= predicate->tolerance);
}

bool predicate_holds(const struct predicate *predicate, const unsigned char *now,
		     const unsigned char *before)
{
	switch (predicate->test) {
	case TEST_WITHIN:
		return within(predicate, now);
	case TEST_CHANGED:
		return changed(predicate, now, before);
	case TEST_UNCHANGED:
		return !changed(predicate, now, before);
	case TEST_INCREASED:
		return increased(predicate, now, before);
	case TEST_DECREASED:
		return increased(predicate, before, now);
	default:
		return true;
	}
}

/* --- the search --- */

/*
 * search_TYPE() - predicate_search() for one type; a mask is as wide as a value
 *
 * If the values are adjacent, whole blocks are compared first; most blocks have no match.
 */
#define DEFINE_SEARCH(type, mask, matches)					\
static void search_##type(const struct predicate *predicate,			\
			  const unsigned char *bytes, size_t length,		\
			  size_t first, size_t step,				\
			  bool (*hit)(void *context, size_t at), void *context)	\
{										\
	const struct type##_bounds bounds = type##_bounds(predicate);		\
	size_t at = first, end, i;						\
	type value[BLOCK], one;							\
	mask any;								\
										\
	while (at + sizeof(type) <= length) {					\
		end = length;							\
		if (step == sizeof(type) && length - at >= sizeof(value)) {	\
			memcpy(value, bytes + at, sizeof(value));		\
			any = 0;						\
			for (i = 0; i < BLOCK; i++)				\
				any |= matches(value[i], bounds) ? ~(mask)0 : 0; \
			if (!any) {						\
				at += sizeof(value);				\
				continue;					\
			}							\
			end = at + sizeof(value);				\
		}								\
		for (; at + sizeof(type) <= end; at += step) {			\
			memcpy(&one, bytes + at, sizeof(one));			\
			if (matches(one, bounds) && !hit(context, at))		\
				return;						\
		}								\
	}									\
}

/* Signed types also use this: if a value is below @low, the difference wraps to above @span. */
#define DEFINE_INTEGER_SEARCH(type)						\
struct type##_bounds {								\
	type low;								\
	type span;								\
};										\
static struct type##_bounds type##_bounds(const struct predicate *predicate)	\
{										\
	return (struct type##_bounds){ predicate->low, predicate->span };	\
}										\
DEFINE_SEARCH(type, type, integer_matches)

#define integer_matches(value, bounds) \
	((__typeof__(value))((value) - (bounds).low) <= (bounds).span)

#define DEFINE_FLOAT_SEARCH(type, mask)						\
struct type##_bounds {								\
	type low;								\
	type high;								\
};										\
static struct type##_bounds type##_bounds(const struct predicate *predicate)	\
{										\
	struct type##_bounds bounds = { predicate->float_low, predicate->float_high }; \
										\
	/* The conversion to float may have rounded the bounds outwards. */		\
	if (bounds.low < predicate->float_low)					\
		bounds.low = type##_above(bounds.low);				\
	if (bounds.high > predicate->float_high)				\
		bounds.high = -type##_above(-bounds.high);			\
	return bounds;								\
}										\
DEFINE_SEARCH(type, mask, float_matches)

#define float_matches(value, bounds) \
	(((value) >= (bounds).low) & ((value) <= (bounds).high))

DEFINE_INTEGER_SEARCH(uint8_t)
DEFINE_INTEGER_SEARCH(uint16_t)
DEFINE_INTEGER_SEARCH(uint32_t)
DEFINE_INTEGER_SEARCH(uint64_t)
DEFINE_FLOAT_SEARCH(float, uint32_t)
DEFINE_FLOAT_SEARCH(double, uint64_t)

static void search_text(const struct predicate *predicate, const unsigned char *bytes,
			size_t length, size_t first, size_t step,
			bool (*hit)(void *context, size_t at), void *context)
{
	const unsigned char *found;
	size_t at = first;

	while (at < length) {
		found = memmem(bytes + at, length - at, predicate->text, predicate->size);
		if (!found)
			return;
		at = found - bytes;
		if ((at - first) % step == 0 && !hit(context, at))
			return;
		at++;
	}
}

void predicate_search(const struct predicate *predicate, const unsigned char *bytes,
		      size_t length, size_t first, size_t step,
		      bool (*hit)(void *context, size_t at), void *context)
{
	const bool is_float = predicate->type->kind == TYPE_FLOAT;
	__typeof__(search_text) *search;

	if (predicate->type->kind == TYPE_TEXT)
		search = search_text;
	else if (predicate->size == 1)
		search = search_uint8_t;
	else if (predicate->size == 2)
		search = search_uint16_t;
	else if (predicate->size == 4)
		search = is_float ? search_float : search_uint32_t;
	else
		search = is_float ? search_double : search_uint64_t;
	search(predicate, bytes, length, first, step, hit, context);
}
