// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of BATCH.
 */
#include <linux/limits.h>

#include "pvmread_pair.h"

static void lookup_spans_consecutive_segments(struct kunit *test)
{
	/* A row ends at the first segment whose remote address is 0. */
	static const struct {
		const char *name;
		struct pvmread_segment segs[4];
		size_t ahead;
	} rows[] = {
		{ "one segment", { { .remote = PG(5) + 8, .length = 8 } }, 8 },
		{ "the same page",
		  { { .remote = PG(5) + 8, .length = 8 },
		    { .remote = PG(5) + 100, .length = 8 } }, 100 },
		{ "the same page, backwards",
		  { { .remote = PG(5) + 100, .length = 8 },
		    { .remote = PG(5) + 8, .length = 8 } }, 8 },
		{ "the next page",
		  { { .remote = PG(5) + 8, .length = 8 },
		    { .remote = PG(6) + 9, .length = 8 } }, PG(1) + 9 },
		{ "the page before",
		  { { .remote = PG(5) + 8, .length = 8 },
		    { .remote = PG(5) - 8, .length = 8 } }, 8 },
		{ "one page left out",
		  { { .remote = PG(5) + 8, .length = 8 },
		    { .remote = PG(7), .length = 8 } }, 8 },
		{ "page after page",
		  { { .remote = PG(5), .length = 8 },
		    { .remote = PG(6), .length = 8 },
		    { .remote = PG(7), .length = 8 } }, PG(2) + 8 },
		{ "one of no length, anywhere",
		  { { .remote = PG(5), .length = 8 },
		    { .remote = PG(90) },
		    { .remote = PG(6), .length = 8 } }, PG(1) + 8 },
		{ "a string behind it",
		  { { .remote = PG(5), .length = 8 },
		    { .remote = PG(6), .length = 8,
		      .flags = PVMREAD_SEGMENT_STRING } }, 8 },
		{ "a length that wraps",
		  { { .remote = PG(5), .length = 8 },
		    { .remote = PG(6), .length = U64_MAX } }, 8 },
		{ "longer than a hold",
		  { { .remote = PG(5), .length = 1UL << 30 } },
		  PVMREAD_ENGINE_CHUNK },
		{ "past the end of the range",
		  { { .remote = PG(99), .length = 8 },
		    { .remote = PG(100), .length = 8 } }, PG(1) },
		{ "outside the range", { { .remote = PG(100), .length = 8 } }, 0 },
	};
	const struct pvmread_target target = {
		.start = PG(1), .last = PG(100) - 1,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct pvmread_segment *segs = rows[i].segs;
		size_t n = 0;

		while (n < ARRAY_SIZE(rows[i].segs) && segs[n].remote)
			n++;
		KUNIT_EXPECT_EQ_MSG(test, pvmread_batch_ahead(&target, segs, n),
				    rows[i].ahead, "%s", rows[i].name);
	}
}

struct kunit_case pvmread_batch_cases[] = {
	KUNIT_CASE(lookup_spans_consecutive_segments),
	{}
};
