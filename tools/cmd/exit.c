// SPDX-License-Identifier: GPL-2.0-only
/*
 * Signals, and the file that -o names: what must be cleaned up at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"

volatile sig_atomic_t interrupted;

/*
 * What is to be removed and put right at the end. Who holds the lock changes it,
 * or has taken it to die.
 */
static pthread_mutex_t end_lock = PTHREAD_MUTEX_INITIALIZER;
static const char *unlink_path;
static void (*end_hook)(void);

static void unlink_it(void)
{
	pthread_mutex_lock(&end_lock);
	if (unlink_path)
		unlink(unlink_path);
	unlink_path = NULL;
	pthread_mutex_unlock(&end_lock);
}

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

	unlink_it();
	/* From here on a second signal ends what should still take long. */
	signal(number, SIG_DFL);
	sigemptyset(&signals);
	sigaddset(&signals, number);
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL);

	/* Held for good: of two threads that come here one does the rest. */
	pthread_mutex_lock(&end_lock);
	progress_clear();
	if (end_hook)
		end_hook();
	/* Whoever has it locked waits for a reader that may never come. */
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
		fail(error, "a thread that waits for signals");
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

static struct {
	const char *path;
	char *name;
	char *temporary;
	int fd;
} output;

int output_open(const char *path)
{
	struct stat st;
	bool exists;
	int error;

	output.path = path;
	exists = !stat(path, &st);
	if (!exists && (errno != ENOENT || !*path))
		fail(errno, "output file \"%s\"", path);
	if (exists && !S_ISREG(st.st_mode)) {
		output.fd = open(path, O_WRONLY | O_CLOEXEC);
		if (output.fd < 0)
			fail(errno, "%s", path);
		return output.fd;
	}

	/* Through a symbolic link: the file that it names is replaced, not the link. */
	output.name = exists ? realpath(path, NULL) : strdup(path);
	if (!output.name || asprintf(&output.temporary, "%s.XXXXXX", output.name) < 0)
		fail(errno, "%s", path);
	if (atexit(unlink_it))
		fail(ENOMEM, "%s", path);
	/* These would end us without that. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	pthread_mutex_lock(&end_lock);
	output.fd = mkostemp(output.temporary, O_CLOEXEC);
	error = errno;
	unlink_path = output.fd < 0 ? NULL : output.temporary;
	pthread_mutex_unlock(&end_lock);
	if (output.fd < 0)
		fail(error, "a new file beside %s", path);
	return output.fd;
}

void output_commit(void)
{
	if (close(output.fd))
		fail(errno, "%s", output.path);
	if (!output.temporary)
		return;
	if (rename(output.temporary, output.name))
		fail(errno, "%s, from %s", output.path, output.temporary);
	pthread_mutex_lock(&end_lock);
	unlink_path = NULL;
	pthread_mutex_unlock(&end_lock);
	free(output.temporary);
	free(output.name);
	output.temporary = NULL;
	output.name = NULL;
}

void finish_output(void)
{
	progress_clear();
	if (fflush(stdout) || ferror(stdout) || close(STDOUT_FILENO))
		fail(errno, "standard output");
}
