/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Values of a type in memory, and what is asked of them.
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
 * struct type - how the bytes of a value are read
 * @name: of --type
 * @number: in a file of candidates
 * @size: bytes; of one code unit if it is TYPE_TEXT
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
 * enum test - what is asked of a value
 * @TEST_ANY: nothing
 * @TEST_WITHIN: it lies between two bounds, or is a text
 *
 * The others compare it with the value before.
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
 * @has_by: by how much it increased or decreased counts, too
 * @by: this much, of an integer
 * @float_by: the same of a float
 * @tolerance: floats that differ by no more count as the same
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
 * @type: of the values; of a utf16 all of @text is the string
 * @tolerance: of --tolerance, or a negative number for the type's own
 */
void predicate_parse(struct predicate *predicate, const struct type *type, const char *text,
		     double tolerance);

/**
 * predicate_parse_again() - what "rescan" takes, or fail()
 * @size: bytes of a value so far
 * @text: as above, with a '=' before a utf16, or "changed", "unchanged", "increased",
 *	"decreased"; NULL for no test
 * @by: how much it increased or decreased, or NULL
 */
void predicate_parse_again(struct predicate *predicate, const struct type *type, size_t size,
			   const char *text, const char *by, double tolerance);

void predicate_free(struct predicate *predicate);

/**
 * predicate_holds() - whether the value @now passes
 * @before: the value that it had, for the tests that compare
 */
bool predicate_holds(const struct predicate *predicate, const unsigned char *now,
		     const unsigned char *before);

/**
 * predicate_search() - find all values in a buffer that pass a TEST_WITHIN
 * @bytes: the buffer
 * @length: the number of bytes in it
 * @first: the index of the first byte that a value may begin at
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
 * @json: an object, in which a float that is not a number is null
 */
void print_candidate(const struct location *location, const struct type *type, uint64_t addr,
		     const unsigned char *bytes, size_t size, bool json);

#endif /* TYPED_H */
