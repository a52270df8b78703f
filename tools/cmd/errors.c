// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages of pvmread, and the exit after an error.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

static void complain(int error, const char *format, va_list args)
{
	progress_clear();
	fflush(stdout);
	fprintf(stderr, "%s: ", program_invocation_name);
	vfprintf(stderr, format, args);
	fprintf(stderr, "%s%s\n", error ? ": " : "", error ? strerror(error) : "");
}

void fail(int error, const char *format, ...)
{
	va_list args;

	/* An operation that a signal has interrupted is not an error. */
	if (interrupted)
		die_of_signal();
	va_start(args, format);
	complain(error, format, args);
	va_end(args);
	exit(EXIT_TROUBLE);
}

void warn_about(int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(error, format, args);
	va_end(args);
}
