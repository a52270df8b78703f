// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file that -o names, and standard output.
 *
 * Another user may be able to write to the directory of FILE, and to replace FILE at
 * any time. So FILE is looked up once, with O_PATH, and the kernel follows the links
 * and applies fs.protected_symlinks. Everything else is done in the open directory,
 * after a check that the object is there. If something has changed, the look-up starts
 * again.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"

/* While another user swaps names, each look-up succeeds with a chance of one half. */
#define TRIES		100

#define SUFFIX_LENGTH	9	/* ".abcdefgh" */
#define DELETED		" (deleted)"

/**
 * struct place - where FILE is
 * @path: FILE, for messages
 * @dir: O_PATH descriptor of its directory, or -1 if it has none (a pipe)
 * @name: its name in @dir
 * @object: O_PATH descriptor of FILE, or -1 if it does not exist yet
 * @st: the last stat() of it
 */
struct place {
	const char *path;
	int dir;
	char *name;
	int object;
	struct statx st;
};

static struct {
	const char *path;
	int fd;
	int dir;
	char *name;
	char *temporary;
} output;

/* Protects output.temporary: the thread that waits for signals may also remove the file. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_same(const struct statx *a, const struct statx *b)
{
	return a->stx_ino == b->stx_ino && a->stx_dev_major == b->stx_dev_major &&
	       a->stx_dev_minor == b->stx_dev_minor;
}

/* look() - stat() without following a link; "" is @dir itself. Return: errno or 0 */
static int look(int dir, const char *name, struct statx *st)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;

	return statx(dir, name, flags, STATX_BASIC_STATS | STATX_BTIME, st) ? errno : 0;
}

static bool is_anothers_in_sticky(const struct place *place)
{
	struct statx dir;

	return place->dir >= 0 && place->st.stx_mask && !look(place->dir, "", &dir) &&
	       (dir.stx_mode & S_ISVTX) && place->st.stx_uid != geteuid();
}

static void refuse(const struct place *place, int error)
	__attribute__((noreturn));

static void refuse(const struct place *place, int error)
{
	if (error == EACCES && is_anothers_in_sticky(place))
		fail(error, "%s belongs to another user, in a sticky directory", place->path);
	fail(error, "%s", place->path);
}

static void leave_directory(struct place *place)
{
	if (place->dir >= 0)
		close(place->dir);
	place->dir = -1;
	free(place->name);
	place->name = NULL;
}

static void forget(struct place *place)
{
	leave_directory(place);
	if (place->object >= 0)
		close(place->object);
	place->object = -1;
}

/* enter() - open the directory of @path, which ends in a name. Return: errno or 0 */
static int enter(struct place *place, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char *parent = slash ? strndup(path, name - path) : strdup(".");
	int error;

	place->name = strdup(name);
	if (!parent || !place->name)
		fail(ENOMEM, "%s", place->path);
	place->dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	error = place->dir < 0 ? errno : 0;
	free(parent);
	return error;
}

/* is_standard() - whether it is our stdin, stdout or stderr, whose open() checked permission */
static bool is_standard(const struct statx *st)
{
	struct statx standard;
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (!look(fd, "", &standard) && is_same(&standard, st))
			return true;
	return false;
}

/**
 * trace() - find the directory of @place->object, which was reached through a link
 *
 * Only /proc shows its path. The path may be stale, or relative to another root
 * directory. So check that the object is at this path.
 *
 * Return: false if it is not.
 */
static bool trace(struct place *place)
{
	char link[32], path[PATH_MAX];
	struct statx st;
	ssize_t length;

	leave_directory(place);
	if (!S_ISREG(place->st.stx_mode) && is_standard(&place->st))
		return true;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", place->object);
	length = readlink(link, path, sizeof(path));
	if (length < 0)
		fail(errno, "cannot follow the link %s: %s", place->path, link);
	if (length == sizeof(path))
		refuse(place, ENAMETOOLONG);
	path[length] = '\0';
	if (path[0] != '/' && !S_ISREG(place->st.stx_mode))
		return true;
	if (path[0] != '/' || (length >= (ssize_t)strlen(DELETED) &&
			       !strcmp(path + length - strlen(DELETED), DELETED)))
		fail(0, "%s: the file that the link leads to has no name: \"%s\"", place->path,
		     printable(path));
	return !enter(place, path) && !look(place->dir, place->name, &st) &&
	       is_same(&st, &place->st);
}

/*
 * remove_created() - remove a file that O_CREAT has created since @since
 *
 * Keeps a file that may be older, so an empty file may be left behind.
 */
static bool remove_created(const struct place *place, const struct statx *st,
			   const struct timespec *since)
{
	const struct statx_timestamp *birth = &st->stx_btime;

	return S_ISREG(st->stx_mode) && !st->stx_size && st->stx_nlink == 1 &&
	       st->stx_uid == geteuid() && (st->stx_mask & STATX_BTIME) &&
	       (birth->tv_sec > since->tv_sec ||
		(birth->tv_sec == since->tv_sec && (long)birth->tv_nsec >= since->tv_nsec)) &&
	       !unlinkat(place->dir, place->name, 0);
}

/**
 * create_target() - create the target of a dangling link
 *
 * The kernel creates the file, as it does for the shell's >: it knows which links
 * may be followed. The file is removed once its place is known.
 *
 * Return: false if another look-up is needed.
 */
static bool create_target(struct place *place)
{
	struct timespec since;
	struct statx created;

	/* trace() needs it. */
	if (access("/proc/self/fd", X_OK))
		fail(errno, "cannot follow the link %s: /proc/self/fd", place->path);
	clock_gettime(CLOCK_REALTIME_COARSE, &since);
	place->object = openat(place->dir, place->name, O_WRONLY | O_CREAT | O_NONBLOCK |
			       O_NOCTTY | O_CLOEXEC, 0600);
	if (place->object < 0)
		refuse(place, errno);
	if (look(place->object, "", &created) || !S_ISREG(created.stx_mode))
		return false;
	place->st = created;
	if (!trace(place) || !remove_created(place, &created, &since))
		return false;
	close(place->object);
	place->object = -1;
	return true;
}

/* find() - look FILE up. Return: false if it changed meanwhile */
static bool find(struct place *place)
{
	struct statx seen, found;
	int error;

	error = enter(place, place->path);
	if (error)
		refuse(place, error);
	if (!*place->name)
		refuse(place, EISDIR);
	error = look(place->dir, place->name, &seen);
	if (error == ENOENT)
		return true;
	if (error)
		refuse(place, error);

	place->st = seen;
	place->object = openat(place->dir, place->name, O_PATH | O_CLOEXEC);
	if (place->object < 0 && errno == ENOENT)
		return S_ISLNK(seen.stx_mode) && create_target(place);
	if (place->object < 0)
		refuse(place, errno);
	error = look(place->object, "", &found);
	if (error)
		refuse(place, error);
	place->st = found;
	if (is_same(&seen, &found))
		return true;
	return S_ISLNK(seen.stx_mode) && trace(place);
}

/**
 * reopen() - open the object for writing, if the shell's > could open it
 *
 * O_CREAT makes the kernel apply fs.protected_fifos and fs.protected_regular. It does
 * so for a name in a directory, but not for one in /proc/self/fd.
 *
 * Return: a descriptor, or -1 if the name now refers to another object.
 */
static int reopen(const struct place *place, int flags)
{
	char link[32];
	struct timespec since;
	struct statx st;
	int fd;

	flags |= O_WRONLY | O_NOCTTY | O_CLOEXEC;
	clock_gettime(CLOCK_REALTIME_COARSE, &since);
	if (place->dir < 0) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", place->object);
		fd = open(link, flags);
	} else {
		fd = openat(place->dir, place->name, flags | O_CREAT | O_NOFOLLOW, 0600);
	}
	if (fd < 0 && errno == ELOOP)
		return -1;
	if (fd < 0)
		refuse(place, errno);
	if (!look(fd, "", &st) && is_same(&st, &place->st))
		return fd;
	if (place->dir >= 0)
		remove_created(place, &st, &since);
	close(fd);
	return -1;
}

/* check_replaceable() - fail() if a regular file is not replaceable. Return: false if it changed */
static bool check_replaceable(const struct place *place)
{
	int fd;

	if (place->st.stx_attributes & STATX_ATTR_MOUNT_ROOT)
		fail(EBUSY, "%s is a mount point and cannot be replaced", place->path);
	if (place->st.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND))
		fail(EPERM, "%s is immutable or append-only", place->path);
	if (!is_anothers_in_sticky(place))
		return true;
	/* fs.protected_regular applies to opening the file, but not to a rename. */
	fd = reopen(place, O_NONBLOCK);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/*
 * open_place() - look FILE up, and open it unless it is to be replaced
 * @fd: set to -1 if it is to be replaced, or is new
 *
 * Return: false if it changed meanwhile.
 */
static bool open_place(struct place *place, int *fd)
{
	*fd = -1;
	if (!find(place))
		return false;
	if (place->object < 0)
		return true;
	if (S_ISDIR(place->st.stx_mode))
		refuse(place, EISDIR);
	if (S_ISREG(place->st.stx_mode))
		return check_replaceable(place);
	*fd = reopen(place, 0);
	return *fd >= 0;
}

/* name_temporary() - output.name, truncated if necessary, with an unpredictable suffix */
static char *name_temporary(void)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
	long max = fpathconf(output.dir, _PC_NAME_MAX);
	unsigned char suffix[SUFFIX_LENGTH];
	size_t length = strlen(output.name);
	char *name;
	size_t i;

	if (max <= SUFFIX_LENGTH)
		max = NAME_MAX;
	if (length > (size_t)max - SUFFIX_LENGTH) {
		length = max - SUFFIX_LENGTH;
		/* Some filesystems take only whole characters of UTF-8. */
		while (length && (output.name[length] & 0xc0) == 0x80)
			length--;
	}
	name = malloc(length + sizeof(suffix) + 1);
	if (!name || getrandom(suffix, sizeof(suffix), 0) != sizeof(suffix))
		fail(errno, "creating a temporary file beside %s", output.path);
	memcpy(name, output.name, length);
	name[length] = '.';
	for (i = 1; i < sizeof(suffix); i++)
		name[length + i] = letters[suffix[i] % (sizeof(letters) - 1)];
	name[length + i] = '\0';
	return name;
}

/* create_beside() - create the temporary file, which is finally renamed to FILE */
static void create_beside(void)
{
	struct statx dir;
	char *name;
	int error;

	/* A file created there could be neither renamed nor removed. */
	if (!look(output.dir, "", &dir) && (dir.stx_attributes & STATX_ATTR_APPEND))
		fail(EPERM, "the directory of %s is append-only", output.path);
	if (atexit(output_abandon))
		fail(ENOMEM, "%s", output.path);
	/* Without this, these signals would kill the process. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	do {
		name = name_temporary();
		pthread_mutex_lock(&lock);
		/* The thread that waits for signals may already have called output_abandon(). */
		if (interrupted) {
			pthread_mutex_unlock(&lock);
			die_of_signal();
		}
		output.fd = openat(output.dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW |
				   O_CLOEXEC, 0600);
		error = errno;
		if (output.fd >= 0)
			output.temporary = name;
		pthread_mutex_unlock(&lock);
		if (output.fd < 0)
			free(name);
	} while (output.fd < 0 && error == EEXIST);
	if (output.fd < 0)
		fail(error, "creating a temporary file beside %s", output.path);
}

void output_abandon(void)
{
	pthread_mutex_lock(&lock);
	if (output.temporary)
		unlinkat(output.dir, output.temporary, 0);
	output.temporary = NULL;
	pthread_mutex_unlock(&lock);
}

int output_open(const char *path)
{
	struct place place = { .path = path, .dir = -1, .object = -1 };
	int tries = TRIES;

	output.path = path;
	if (!strcmp(path, "-")) {
		output.path = "standard output";
		output.fd = STDOUT_FILENO;
		return output.fd;
	}
	if (!*path)
		fail(ENOENT, "output file \"%s\"", path);
	while (!open_place(&place, &output.fd)) {
		forget(&place);
		if (!--tries)
			fail(0, "%s keeps changing, or leads out of the root directory",
			     path);
	}
	if (output.fd < 0) {
		output.dir = place.dir;
		output.name = place.name;
		place.dir = -1;
		place.name = NULL;
		create_beside();
	}
	forget(&place);
	return output.fd;
}

void output_commit(void)
{
	char *temporary = output.temporary;

	if (close(output.fd))
		fail(errno, "%s", output.path);
	if (!output.name)
		return;
	if (renameat(output.dir, temporary, output.dir, output.name))
		fail(errno, "%s cannot be replaced", output.path);
	pthread_mutex_lock(&lock);
	output.temporary = NULL;
	pthread_mutex_unlock(&lock);
	free(temporary);
	free(output.name);
	output.name = NULL;
	close(output.dir);
}

void finish_output(void)
{
	progress_clear();
	if (fflush(stdout) || ferror(stdout) || close(STDOUT_FILENO))
		fail(errno, "standard output");
}
