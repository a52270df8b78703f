// SPDX-License-Identifier: GPL-2.0
/*
 * Loads that may raise SIGBUS or SIGSEGV.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>

#include "load.h"

static __thread sigjmp_buf load_return;
static __thread volatile sig_atomic_t load_runs;

static void load_failed(int sig)
{
	if (!load_runs) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
	siglongjmp(load_return, sig);
}

/*
 * Load a word. The handlers stay installed. A signal outside a load ends the process.
 *
 * Return: 0, or the signal that the load has raised.
 */
int load_signal(const uint64_t *from, uint64_t *value)
{
	struct sigaction act = { .sa_handler = load_failed, .sa_flags = SA_NODEFER };
	static __thread int ready;
	int sig;

	if (!ready) {
		sigaction(SIGBUS, &act, NULL);
		sigaction(SIGSEGV, &act, NULL);
		ready = 1;
	}
	sig = sigsetjmp(load_return, 0);
	if (!sig) {
		load_runs = 1;
		*value = *(const volatile uint64_t *)from;
	}
	load_runs = 0;
	return sig;
}

/* Return: false if the load has raised SIGBUS. Another signal ends the process. */
bool load_word(const uint64_t *from, uint64_t *value)
{
	int sig = load_signal(from, value);

	if (sig && sig != SIGBUS) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
	return !sig;
}
