// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files below /proc/PID of the target.
 *
 * Reading some of them takes the target's mmap_lock, which a stalled task may hold forever.
 * With --nowait another thread reads them, and the caller gives up if it makes no progress.
 * The thread ends with the process, because the wait for the lock is killable.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"

/* Assume that a call waits for a lock if it makes no progress for this many seconds. */
#define PATIENCE	1

/**
 * struct errand - a call that a thread makes for proc_in_time()
 */
struct errand {
	void (*run)(void *argument);
	void *argument;
};

static void *run_errand(void *argument)
{
	struct errand *errand = argument;

	errand->run(errand->argument);
	free(errand);
	return NULL;
}

bool proc_in_time(const struct target *target, void (*run)(void *argument), void *argument,
		  const size_t *progress)
{
	struct errand *errand;
	struct timespec end;
	pthread_t thread;
	size_t before;
	int error;

	if (!(target->flags & PVMREAD_NOWAIT)) {
		run(argument);
		return true;
	}
	errand = malloc(sizeof(*errand));
	if (!errand)
		fail(ENOMEM, "/proc/%d", target->tid);
	*errand = (struct errand){ .run = run, .argument = argument };
	error = pthread_create(&thread, NULL, run_errand, errand);
	if (error)
		fail(error, "cannot start a thread to read /proc/%d", target->tid);
	do {
		before = __atomic_load_n(progress, __ATOMIC_RELAXED);
		clock_gettime(CLOCK_REALTIME, &end);
		end.tv_sec += PATIENCE;
		error = pthread_timedjoin_np(thread, NULL, &end);
	} while (error == ETIMEDOUT && __atomic_load_n(progress, __ATOMIC_RELAXED) != before);
	if (error == ETIMEDOUT)
		pthread_detach(thread);
	return !error;
}

int proc_open(const struct target *target, const char *name, int flags)
{
	if (target->proc_dir < 0) {
		errno = ENOENT;
		return -1;
	}
	return openat(target->proc_dir, name, flags | O_CLOEXEC);
}

/**
 * struct look - a pread() by a thread
 */
struct look {
	int fd;
	size_t size;
	off_t offset;
	ssize_t got;
	int error;
	size_t progress;
	char bytes[];
};

static void run_look(void *argument)
{
	struct look *look = argument;

	look->got = pread(look->fd, look->bytes, look->size, look->offset);
	look->error = errno;
}

ssize_t proc_pread(const struct target *target, int fd, void *buf, size_t size, off_t offset)
{
	struct look *look = malloc(sizeof(*look) + size);
	ssize_t got;

	if (!look)
		fail(ENOMEM, "/proc/%d", target->tid);
	*look = (struct look){ .fd = fd, .size = size, .offset = offset };
	if (!proc_in_time(target, run_look, look, &look->progress)) {
		/* The thread still has @look. */
		errno = EAGAIN;
		return -1;
	}
	got = look->got;
	if (got > 0)
		memcpy(buf, look->bytes, got);
	errno = look->error;
	free(look);
	return got;
}

/**
 * struct reading - a file that a thread reads
 */
struct reading {
	const struct target *target;
	const char *name;
	size_t max;
	char *bytes;
	size_t length;
	int error;
};

static void read_all(void *argument)
{
	struct reading *reading = argument;
	int fd = proc_open(reading->target, reading->name, O_RDONLY);
	ssize_t got;

	if (fd < 0) {
		reading->error = errno;
		return;
	}
	do {
		got = read(fd, reading->bytes + reading->length, reading->max - reading->length);
		if (got > 0)
			__atomic_fetch_add(&reading->length, got, __ATOMIC_RELAXED);
	} while (got > 0);
	reading->error = got ? errno : 0;
	close(fd);
}

char *proc_read(const struct target *target, const char *name, size_t max, size_t *length)
{
	struct reading *reading = calloc(1, sizeof(*reading));
	char *bytes = malloc(max + 1);

	if (!reading || !bytes)
		fail(ENOMEM, "/proc/%d/%s", target->tid, name);
	*reading = (struct reading){ .target = target, .name = name, .max = max, .bytes = bytes };
	if (!proc_in_time(target, read_all, reading, &reading->length))
		/* The thread still has @reading. */
		fail(0, "/proc/%d/%s: cannot be read without waiting", target->tid, name);
	*length = reading->length;
	bytes[*length] = '\0';
	errno = reading->error;
	if (errno) {
		free(bytes);
		bytes = NULL;
	}
	free(reading);
	return bytes;
}
