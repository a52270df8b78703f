// SPDX-License-Identifier: GPL-2.0-only
/*
 * Signals: clean up, then die of the signal.
 */
#include <pthread.h>
#include <unistd.h>

#include "cmd.h"

volatile sig_atomic_t interrupted;

/* Protects end_hook. The thread that ends the process never releases it. */
static pthread_mutex_t end_lock = PTHREAD_MUTEX_INITIALIZER;
static void (*end_hook)(void);

void on_signal(void (*hook)(void))
{
	pthread_mutex_lock(&end_lock);
	end_hook = hook;
	pthread_mutex_unlock(&end_lock);
}

void die_of_signal(void)
{
	const int number = interrupted;
	sigset_t signals;

	output_abandon();
	/* From now on a second signal kills the process if the cleanup takes long. */
	signal(number, SIG_DFL);
	sigemptyset(&signals);
	sigaddset(&signals, number);
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL);

	/* Never released: if two threads get here, only one does the rest. */
	pthread_mutex_lock(&end_lock);
	progress_clear();
	if (end_hook)
		end_hook();
	/* The thread that holds stdout's lock may wait forever for the reader of a pipe. */
	else if (!ftrylockfile(stdout))
		fflush(stdout);
	raise(number);
	_exit(128 + number);
}

static void *await_signal(void *signals)
{
	int number;

	while (sigwait(signals, &number))
		;
	interrupted = number;
	die_of_signal();
}

void catch_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	static sigset_t signals;
	struct sigaction was;
	sigset_t all, before;
	pthread_t thread;
	int error;
	size_t i;

	sigemptyset(&signals);
	for (i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (!sigaction(numbers[i], NULL, &was) && was.sa_handler != SIG_IGN)
			sigaddset(&signals, numbers[i]);
	/* All other signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, await_signal, &signals);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		fail(error, "cannot start a thread to wait for signals");
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
}
