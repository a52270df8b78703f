// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit suites of pvmread, one for each file of the module.
 */
#include <linux/module.h>

#include "pvmread_pair.h"

static struct kunit_suite rw_suite = {
	.name		= "pvmread_rw",
	.init		= pair_init,
	.exit		= pair_exit,
	.test_cases	= pvmread_rw_cases,
};

static struct kunit_suite target_suite = {
	.name		= "pvmread_target",
	.test_cases	= pvmread_target_cases,
};

static struct kunit_suite batch_suite = {
	.name		= "pvmread_batch",
	.test_cases	= pvmread_batch_cases,
};

static struct kunit_suite engine_suite = {
	.name		= "pvmread_engine",
	.init		= pair_init,
	.exit		= pair_exit,
	.test_cases	= pvmread_engine_cases,
};

#if PVMREAD_HAVE_CACHE
static struct kunit_suite cache_suite = {
	.name		= "pvmread_cache",
	.init		= pair_init,
	.exit		= pair_exit,
	.test_cases	= pvmread_cache_cases,
};

kunit_test_suite(cache_suite);
#endif

static struct kunit_suite symbols_suite = {
	.name		= "pvmread_symbols",
	.init		= pair_init,
	.exit		= pair_exit,
	.test_cases	= pvmread_symbols_cases,
};

kunit_test_suites(&rw_suite, &target_suite, &batch_suite, &engine_suite, &symbols_suite);

/* The expansion of MODULE_IMPORT_NS(), whose argument has been quoted since 6.13. */
MODULE_INFO(import_ns, "EXPORTED_FOR_KUNIT_TESTING");
MODULE_DESCRIPTION("KUnit suite of pvmread");
MODULE_AUTHOR("The pvmread developers");
MODULE_LICENSE("GPL");
