// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file that -o names, and standard output.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"

/* Protects unlink_path: the thread that waits for signals removes the file, too. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *unlink_path;

static struct {
	const char *path;
	char *name;
	char *temporary;
	int fd;
} output;

void output_abandon(void)
{
	pthread_mutex_lock(&lock);
	if (unlink_path)
		unlink(unlink_path);
	unlink_path = NULL;
	pthread_mutex_unlock(&lock);
}

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
	if (atexit(output_abandon))
		fail(ENOMEM, "%s", path);
	/* These would end us without that. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	pthread_mutex_lock(&lock);
	output.fd = mkostemp(output.temporary, O_CLOEXEC);
	error = errno;
	unlink_path = output.fd < 0 ? NULL : output.temporary;
	pthread_mutex_unlock(&lock);
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
	pthread_mutex_lock(&lock);
	unlink_path = NULL;
	pthread_mutex_unlock(&lock);
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
