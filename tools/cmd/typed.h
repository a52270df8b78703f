/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Values of a type in memory, and tests of them.
 */
#ifndef TYPED_H
#define TYPED_H

#include "cmd.h"
#include "locate.h"

/* The longest utf16 string, in bytes. */
#define TEXT_MAX	4096

enum type_kind {
	TYPE_SIGNED,
	TYPE_UNSIGNED,
	TYPE_FLOAT,
	TYPE_TEXT,
};

/**
 * struct type - a type of values
 * @name: the argument of --type
 * @number: its number in a file of candidates
 * @size: its size in bytes; for TYPE_TEXT that of one code unit
 */
struct type {
	const char *name;
	unsigned int number;
	enum type_kind kind;
	size_t size;
};

/* type_parse() - the type of that name, or fail() */
const struct type *type_parse(const char *name);

/* type_numbered() - the type of that number, or NULL */
const struct type *type_numbered(unsigned int number);

/**
 * enum test - the kind of a test
 * @TEST_ANY: every value passes
 * @TEST_WITHIN: the value is between two bounds, or is a text
 *
 * The others compare the value with the previous one.
 */
enum test {
	TEST_ANY,
	TEST_WITHIN,
	TEST_CHANGED,
	TEST_UNCHANGED,
	TEST_INCREASED,
	TEST_DECREASED,
};

/**
 * struct predicate - a test with its operands
 * @size: bytes of a value
 * @low: the lower bound of an integer, in two's complement
 * @span: the upper bound minus @low
 * @float_low: the lower bound of a float, @float_high the upper
 * @text: UTF-16LE, or NULL
 * @has_by: the value must have increased or decreased by a given amount
 * @by: the amount for an integer
 * @float_by: the amount for a float
 * @tolerance: floats that differ by at most this count as equal
 */
struct predicate {
	const struct type *type;
	enum test test;
	size_t size;
	uint64_t low;
	uint64_t span;
	double float_low;
	double float_high;
	unsigned char *text;
	bool has_by;
	uint64_t by;
	double float_by;
	double tolerance;
};

/* tolerance_parse() - a number that is not negative, or fail() */
double tolerance_parse(const char *text);

/**
 * predicate_parse() - "10", "=10", "10..20", ">10", "<10", ">=10", "<=10", or fail()
 * @type: type of the values; for utf16 all of @text is the string
 * @tolerance: the one of --tolerance, or negative for the type's default
 */
void predicate_parse(struct predicate *predicate, const struct type *type, const char *text,
		     double tolerance);

/**
 * predicate_parse_again() - parse a predicate of "rescan", or fail()
 * @size: size of the saved values in bytes
 * @text: as in predicate_parse(), but '=' must precede a utf16 string; or "changed",
 *	"unchanged", "increased", "decreased"; NULL for no test
 * @by: the amount of the increase or decrease, or NULL
 */
void predicate_parse_again(struct predicate *predicate, const struct type *type, size_t size,
			   const char *text, const char *by, double tolerance);

void predicate_free(struct predicate *predicate);

/**
 * predicate_holds() - whether the value @now passes
 * @before: the previous value, for tests that compare
 */
bool predicate_holds(const struct predicate *predicate, const unsigned char *now,
		     const unsigned char *before);

/**
 * predicate_search() - find all values in a buffer that pass a TEST_WITHIN
 * @bytes: the buffer
 * @length: the number of bytes in it
 * @first: the index of the first byte where a value may begin
 * @step: the distance to the next one
 * @hit: called with the index of each value; false ends the search
 * @context: passed to @hit
 */
void predicate_search(const struct predicate *predicate, const unsigned char *bytes,
		      size_t length, size_t first, size_t step,
		      bool (*hit)(void *context, size_t at), void *context);

/**
 * print_candidate() - print a line for a value on stdout, or fail()
 * @location: where it is
 * @bytes: the value
 * @size: its number of bytes
 * @json: print a JSON object, in which NaN and infinities are null
 */
void print_candidate(const struct location *location, const struct type *type, uint64_t addr,
		     const unsigned char *bytes, size_t size, bool json);

#endif /* TYPED_H */
