// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the search for symbols.
 */
#include <linux/file.h>
#include <linux/kallsyms.h>
#include <linux/pid.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "pvmread_pair.h"

static void a_symbol_is_found_by_its_whole_name_only(struct kunit *test)
{
	KUNIT_EXPECT_NE(test, pvmread_symbols_find("mm_access", mmput), 0UL);
	KUNIT_EXPECT_EQ(test, pvmread_symbols_find("mmput", mmput),
			(unsigned long)mmput);
	KUNIT_EXPECT_EQ(test, pvmread_symbols_find("get_task_mm", mmput),
			(unsigned long)get_task_mm);
	KUNIT_EXPECT_EQ(test, pvmread_symbols_find("mm_acces", mmput), 0UL);
	KUNIT_EXPECT_EQ(test, pvmread_symbols_find("mm_access_not", mmput), 0UL);
	KUNIT_EXPECT_EQ(test, pvmread_symbols_find("", mmput), 0UL);
	/* A symbol of the module pvmread is not one of the core kernel. */
	KUNIT_EXPECT_EQ(test, pvmread_symbols_find("pvmread_symbols_find", mmput), 0UL);
	/* The search fails if it starts in a module, or outside of any symbol. */
	KUNIT_EXPECT_EQ(test, pvmread_symbols_find("pvmread_symbols_find",
						   pvmread_symbols_find), 0UL);
	KUNIT_EXPECT_EQ(test, pvmread_symbols_find("mmput", (void *)PAGE_SIZE), 0UL);
}

static void a_symbol_is_found_above_or_below(struct kunit *test)
{
	/* Each pair is searched in both directions. */
	static const struct {
		const char *name;
		const void *address, *neighbour;
	} rows[] = {
		{ "get_task_mm", get_task_mm, mmput },
		{ "mmput", mmput, get_task_mm },
		{ "find_get_pid", find_get_pid, find_vpid },
		{ "find_vpid", find_vpid, find_get_pid },
		/* Far apart, so the wrong direction may reach an end of the text first. */
		{ "iov_iter_revert", iov_iter_revert, mmput },
		{ "mmput", mmput, iov_iter_revert },
		{ "fput", fput, find_vpid },
		{ "find_vpid", find_vpid, fput },
	};
	/* The symbols that the module needs. */
	static const struct {
		const char *name;
		const void *neighbour;
	} wanted[] = {
		{ "mm_access", mmput },
		{ "pidfd_get_task", find_vpid },
	};
	char *symbol = kunit_kmalloc(test, KSYM_SYMBOL_LEN, GFP_KERNEL);
	unsigned long address;
	size_t i;

	KUNIT_ASSERT_NOT_NULL(test, symbol);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		address = pvmread_symbols_find(rows[i].name, rows[i].neighbour);
		KUNIT_EXPECT_EQ_MSG(test, address,
				    (unsigned long)rows[i].address, "%s from %ps",
				    rows[i].name, rows[i].neighbour);
	}
	for (i = 0; i < ARRAY_SIZE(wanted); i++) {
		size_t len = strlen(wanted[i].name);

		address = pvmread_symbols_find(wanted[i].name,
					       wanted[i].neighbour);
		KUNIT_ASSERT_NE_MSG(test, address, 0UL, "%s", wanted[i].name);
		sprint_symbol(symbol, address);
		KUNIT_EXPECT_TRUE_MSG(test,
				      !strncmp(symbol, wanted[i].name, len) &&
				      !strncmp(symbol + len, "+0x0/", 5),
				      "%s is %s", wanted[i].name, symbol);
	}
}

#if defined(CONFIG_FAULT_INJECTION) && defined(CONFIG_FAILSLAB)
static void a_search_needs_no_memory(struct kunit *test)
{
	unsigned long address;

	current->fail_nth = 1;
	address = pvmread_symbols_find("mmput", mmput);
	current->fail_nth = 0;
	KUNIT_EXPECT_EQ(test, address, (unsigned long)mmput);
}
#else
static void a_search_needs_no_memory(struct kunit *test)
{
	kunit_skip(test, "the kernel has no CONFIG_FAILSLAB");
}
#endif

struct kunit_case pvmread_symbols_cases[] = {
	KUNIT_CASE(a_symbol_is_found_by_its_whole_name_only),
	KUNIT_CASE(a_symbol_is_found_above_or_below),
	KUNIT_CASE(a_search_needs_no_memory),
	{}
};
