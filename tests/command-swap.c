// SPDX-License-Identifier: GPL-2.0
/*
 * A race for the name of the file that pvmread -o writes.
 *
 *   command-swap COUNT UID FILE A B TARGET [COMMAND...]
 *
 * Root writes FILE, COUNT times, while A and B are exchanged. With COMMAND, the command
 * writes FILE, and a process of UID exchanges the names at random times. Otherwise this
 * program writes FILE with the functions of pvmread -o, and exchanges the names at random
 * between their system calls.
 *
 * If FILE is A, A is a file and B is a link to TARGET, or a FIFO if TARGET is "". Both
 * belong to UID, and are created again after FILE was written.
 *
 * Prints how often writing FILE succeeded and failed, how often the names were
 * exchanged, and how many bytes arrived in the FIFO.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void step(void);

/* The names may change between any two of these calls. */
#define access(...)	(step(), access(__VA_ARGS__))
#define open(...)	(step(), open(__VA_ARGS__))
#define openat(...)	(step(), openat(__VA_ARGS__))
#define readlink(...)	(step(), readlink(__VA_ARGS__))
#define renameat(...)	(step(), renameat(__VA_ARGS__))
#define statx(...)	(step(), statx(__VA_ARGS__))
#define unlinkat(...)	(step(), unlinkat(__VA_ARGS__))
#include "../tools/cmd/output.c"
#undef access
#undef open
#undef openat
#undef readlink
#undef renameat
#undef statx
#undef unlinkat

/* The race's own descriptors are above these. */
#define MAX_FD		99

static const char text[] = "written by root\n";

static struct {
	int uid;
	const char *file;
	const char *a;
	const char *b;
	const char *target;
	char **command;
	int fifo;
	int leaked;
	unsigned long *swaps;
} race = { .fifo = -1 };

static jmp_buf refused;

/* --- the parts of the command that output.c needs --- */

volatile sig_atomic_t interrupted;

void fail(int error, const char *format, ...)
{
	(void)error;
	(void)format;
	longjmp(refused, 1);
}

void die_of_signal(void)
{
	abort();
}

void progress_clear(void)
{
}

char *printable(char *name)
{
	return name;
}

/* --- the race --- */

static void swap_names(void)
{
	/* A file that root has just written belongs to root until it is created again. */
	if (!renameat2(AT_FDCWD, race.a, AT_FDCWD, race.b, RENAME_EXCHANGE))
		++*race.swaps;
}

static void step(void)
{
	const int error = errno;

	if (!(random() % 4))
		swap_names();
	errno = error;
}

/*
 * swap_always() - sleep for a random time between two exchanges
 *
 * On one CPU, the end of the sleep can interrupt the other program at any point.
 * Without a sleep, only the end of a time slice would interrupt it.
 */
static void swap_always(void)
{
	struct timespec pause = {};

	if (setgid(race.uid) || setuid(race.uid))
		err(2, "setuid");
	for (;;) {
		swap_names();
		pause.tv_nsec = random() % 100000;
		nanosleep(&pause, NULL);
	}
}

static void drain_fifo(void)
{
	char bytes[4096];
	ssize_t got;

	if (race.fifo < 0)
		return;
	while ((got = read(race.fifo, bytes, sizeof(bytes))) > 0)
		race.leaked += got;
	close(race.fifo);
	race.fifo = -1;
}

static void make_names(void)
{
	int fd;

	drain_fifo();
	unlink(race.a);
	unlink(race.b);
	fd = open(race.a, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd < 0 || fchown(fd, race.uid, race.uid))
		err(2, "%s", race.a);
	close(fd);
	if (*race.target ? symlink(race.target, race.b) : mkfifo(race.b, 0666))
		err(2, "%s", race.b);
	if (!*race.target) {
		fd = open(race.b, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		race.fifo = fcntl(fd, F_DUPFD_CLOEXEC, MAX_FD + 1);
		if (race.fifo < 0)
			err(2, "%s", race.b);
		close(fd);
	}
	if (lchown(race.b, race.uid, race.uid))
		err(2, "%s", race.b);
}

/* write_file() - false if the command's functions refuse */
static bool write_file(void)
{
	const size_t length = sizeof(text) - 1;
	bool done = false;
	int fd;

	if (!setjmp(refused)) {
		fd = output_open(race.file);
		if (write(fd, text, length) != (ssize_t)length)
			err(2, "%s", race.file);
		output_commit();
		done = true;
	} else {
		/* Do what happens when a process ends. */
		output_abandon();
		close_range(STDERR_FILENO + 1, MAX_FD, 0);
		memset(&output, 0, sizeof(output));
	}
	return done;
}

/* run_command() - false if it refuses */
static bool run_command(void)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		err(2, "fork");
	if (!pid) {
		/* Do not print a reason for each of many failures. */
		if (freopen("/dev/null", "w", stderr))
			execvp(*race.command, race.command);
		_exit(EXIT_PART);
	}
	if (waitpid(pid, &status, 0) != pid)
		err(2, "waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status) == EXIT_PART)
		errx(2, "%s: wait status %#x", race.file, status);
	return !status;
}

int main(int argc, char **argv)
{
	int count, i, written = 0;
	pid_t swapper = 0;
	bool make;

	if (argc < 7)
		errx(2, "usage: command-swap COUNT UID FILE A B TARGET [COMMAND...]");
	count = atoi(argv[1]);
	race.uid = atoi(argv[2]);
	race.file = argv[3];
	race.a = argv[4];
	race.b = argv[5];
	race.target = argv[6];
	race.command = argv + 7;
	race.swaps = mmap(NULL, sizeof(*race.swaps), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (race.swaps == MAP_FAILED)
		err(2, "mmap");

	make = !strcmp(race.file, race.a);
	if (make)
		make_names();
	if (*race.command) {
		swapper = fork();
		if (swapper < 0)
			err(2, "fork");
		if (!swapper)
			swap_always();
	}
	for (i = 0; i < count; i++) {
		if (!(*race.command ? run_command() : write_file()))
			continue;
		written++;
		if (make)
			make_names();
	}
	if (swapper) {
		kill(swapper, SIGKILL);
		waitpid(swapper, NULL, 0);
	}
	drain_fifo();
	printf("written %d refused %d swaps %lu leaked %d\n", written, count - written,
	       *race.swaps, race.leaked);
	return 0;
}
