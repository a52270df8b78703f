// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of target files.
 */
#include <linux/limits.h>

#include "pvmread_pair.h"

static void a_range_ends_at_its_last_byte(struct kunit *test)
{
	static const struct {
		const char *name;
		unsigned long start, last;
		u64 addr;
		size_t len, reach;
	} rows[] = {
		{ "all of it", 100, 199, 100, 100, 100 },
		{ "the first byte", 100, 199, 100, 1, 1 },
		{ "the last byte", 100, 199, 199, 1, 1 },
		{ "one byte too long", 100, 199, 100, 101, 100 },
		{ "from the last byte on", 100, 199, 199, 50, 1 },
		{ "before it", 100, 199, 99, 50, 0 },
		{ "behind it", 100, 199, 200, 50, 0 },
		{ "nothing", 100, 199, 150, 0, 0 },
		{ "a range of one byte", 100, 100, 100, 8, 1 },
		{ "all memory", 0, ULONG_MAX, 0, SIZE_MAX, SIZE_MAX },
		{ "the last byte of all memory", 0, ULONG_MAX, ULONG_MAX, 8, 1 },
		{ "past the end of all memory", 0, ULONG_MAX, ULONG_MAX - 7, 9, 8 },
	};
	struct pvmread_target target = {};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		target.start = rows[i].start;
		target.last = rows[i].last;
		KUNIT_EXPECT_EQ_MSG(test,
				    pvmread_target_reach(&target, rows[i].addr,
							 rows[i].len),
				    rows[i].reach, "%s", rows[i].name);
	}
}

struct kunit_case pvmread_target_cases[] = {
	KUNIT_CASE(a_range_ends_at_its_last_byte),
	{}
};
