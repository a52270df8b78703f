// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the subcommands of pvmread share: errors, the target, its mappings,
 * arguments, output, the end.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "cmd.h"

/* --- errors --- */

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

	/* What a signal cut short did not fail. */
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

/* --- the target --- */

/* The system calls, for C libraries that are older than their wrappers. */
static int open_pidfd(pid_t pid)
{
	return syscall(SYS_pidfd_open, pid, 0);
}

/* has_ended() - whether it has, or does within @ms */
static bool has_ended(const struct target *target, int ms)
{
	struct pollfd end = { .fd = target->pidfd, .events = POLLIN };

	return poll(&end, 1, ms) > 0;
}

bool target_is_alive(const struct target *target)
{
	return !has_ended(target, 0);
}

/* read_line() - the first line of a small file, without its end */
static bool read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	bool ok;

	if (!file)
		return false;
	ok = fgets(line, size, file);
	fclose(file);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

static void name_target(struct target *target)
{
	char path[64], comm[32];

	snprintf(path, sizeof(path), "/proc/%d/comm", target->pid);
	if (read_line(path, comm, sizeof(comm)))
		snprintf(target->name, sizeof(target->name), "process %d (%s)", target->pid,
			 printable(comm));
	else
		snprintf(target->name, sizeof(target->name), "process %d", target->pid);
}

static pid_t parse_pid(const char *text)
{
	unsigned long long pid;
	char *end;

	errno = 0;
	pid = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || !pid || pid > INT_MAX)
		fail(0, "\"%s\" is no process number: give one as ps prints it", text);
	return pid;
}

/* refused() - fail() for EPERM, with what keeps this caller out */
static void __attribute__((noreturn)) refused(const struct target *target)
{
	char path[64], scope[16] = "";
	struct stat proc;

	snprintf(path, sizeof(path), "/proc/%d", target->pid);
	if (geteuid() && !stat(path, &proc) && proc.st_uid != geteuid())
		fail(0, "%s: permission denied: not yours, or not dumpable; try as root",
		     target->name);
	if (read_line("/proc/sys/kernel/yama/ptrace_scope", scope, sizeof(scope)) &&
	    strtol(scope, NULL, 10) > 0)
		fail(0, "%s: permission denied by Yama: kernel.yama.ptrace_scope is %s; %s",
		     target->name, scope,
		     scope[0] == '3' ? "it stays so until the next boot" : "try as root");
	fail(0, "%s: %s", target->name, pvmread_strerror(EPERM));
}

/* attach() - a target file for what @target->pidfd names, or -1 */
static int attach(const struct target *target, int dev, unsigned int flags)
{
	int fd = pvmread_attach(dev, target->pidfd, flags | PVMREAD_PIDFD, 0, 0);

	if (fd >= 0 || errno != EOPNOTSUPP)
		return fd;
	/* By number, then: it was still the target's if the target is there afterwards. */
	fd = pvmread_attach(dev, target->pid, flags, 0, 0);
	if (fd >= 0 && !target_is_alive(target)) {
		close(fd);
		fd = -1;
		errno = ESRCH;
	}
	return fd;
}

void target_open(struct target *target, const char *pid, unsigned int flags)
{
	int dev;

	target->pid = parse_pid(pid);
	snprintf(target->name, sizeof(target->name), "process %d", target->pid);
	dev = pvmread_open(flags & PVMREAD_WRITE ? O_RDWR : O_RDONLY);
	if (dev < 0)
		fail(0, "%s: %s", PVMREAD_DEVICE, pvmread_strerror(errno));

	target->pidfd = open_pidfd(target->pid);
	if (target->pidfd < 0 && errno == ESRCH)
		fail(0, "%s: no such process", target->name);
	/* ENOENT from Linux 6.15 on */
	if (target->pidfd < 0 && (errno == EINVAL || errno == ENOENT))
		fail(0, "%s: a thread of another process; give that one's number", target->name);
	if (target->pidfd < 0)
		fail(errno, "%s: pidfd_open", target->name);
	name_target(target);

	target->fd = attach(target, dev, flags);
	if (target->fd < 0 && errno == EPERM)
		refused(target);
	if (target->fd < 0 && errno == ESRCH)
		fail(0, "%s: %s", target->name, target_is_alive(target) ?
		     "has no memory: a kernel thread, or its main thread has ended" : "has exited");
	if (target->fd < 0)
		fail(0, "%s: %s", target->name, pvmread_strerror(errno));
	close(dev);
}

void target_cache(struct target *target, uint64_t addr, uint64_t length, unsigned int flags)
{
	struct pvmread_info info;
	int dev = pvmread_open(O_RDONLY);
	int fd = -1;

	if (dev < 0)
		return;
	if (!pvmread_get_info(dev, &info) && info.features & PVMREAD_FEATURE_CACHE &&
	    info.features & PVMREAD_FEATURE_PIDFD)
		fd = pvmread_attach(dev, target->pidfd, flags | PVMREAD_PIDFD | PVMREAD_CACHE,
				    addr, length);
	close(dev);
	if (fd < 0)
		return;
	close(target->fd);
	target->fd = fd;
}

int target_read(const struct target *target, uint64_t addr, void *buf, size_t len, size_t *done)
{
	ssize_t got;

	for (*done = 0; *done < len; *done += got) {
		got = pvmread_read(target->fd, addr + *done, (char *)buf + *done, len - *done);
		if (got <= 0)
			return got ? errno : EIO;
	}
	return 0;
}

/* --- its mappings --- */

static void *grow(void *array, size_t count, size_t size)
{
	/* Doubles at each power of two. */
	if (!(count & (count - 1)))
		array = reallocarray(array, count ? 2 * count : 1, size);
	if (!array)
		fail(ENOMEM, "%zu mappings", count);
	return array;
}

/* parse_mapping() - a line of maps, or the first of each in smaps */
static bool parse_mapping(struct mapping *map, const char *line)
{
	int name = 0;

	*map = (struct mapping){ .rss = UINT64_MAX };
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n",
		   &map->start, &map->end, map->perms, &map->offset, &map->dev_major,
		   &map->dev_minor, &map->inode, &name) != 7 || !name)
		return false;
	map->name = strndup(line + name, strcspn(line + name, "\n"));
	if (!map->name)
		fail(ENOMEM, "%s", line);
	return true;
}

/* load() - maps_load() with an errno value as its result */
static int load(struct maps *maps, const struct target *target, bool rss)
{
	struct mapping map;
	char *line = NULL;
	char path[64];
	size_t size = 0;
	uint64_t kib;
	FILE *file;
	int error;

	*maps = (struct maps){};
	snprintf(path, sizeof(path), "/proc/%d/%s", target->pid, rss ? "smaps" : "maps");
	file = fopen(path, "re");
	if (!file)
		/* Without CONFIG_PROC_PAGE_MONITOR there is no smaps. */
		return rss && errno == ENOENT ? load(maps, target, false) : errno;
	errno = 0;
	while (getline(&line, &size, file) > 0) {
		if (parse_mapping(&map, line)) {
			maps->maps = grow(maps->maps, maps->count, sizeof(map));
			maps->maps[maps->count++] = map;
		} else if (maps->count && sscanf(line, "Rss: %" SCNu64 " kB", &kib) == 1) {
			maps->maps[maps->count - 1].rss = kib * 1024;
		}
	}
	error = feof(file) ? 0 : errno ?: EIO;
	free(line);
	fclose(file);
	if (!error && !target_is_alive(target))
		error = ESRCH;
	if (error)
		maps_free(maps);
	return error;
}

void maps_load(struct maps *maps, const struct target *target, bool rss)
{
	int error = load(maps, target, rss);

	if (error == ESRCH || (error == ENOENT && !target_is_alive(target)))
		fail(0, "mappings of %s: it has exited", target->name);
	if (error)
		fail(error, "mappings of %s", target->name);
}

void maps_free(struct maps *maps)
{
	size_t i;

	for (i = 0; i < maps->count; i++)
		free(maps->maps[i].name);
	free(maps->maps);
	*maps = (struct maps){};
}

static int compare_mapping(const void *key, const void *element)
{
	const uint64_t addr = *(const uint64_t *)key;
	const struct mapping *map = element;

	if (addr < map->start)
		return -1;
	return addr >= map->end;
}

const struct mapping *maps_find(const struct maps *maps, uint64_t addr)
{
	if (!maps->count)
		return NULL;
	/* The kernel lists them by address. */
	return bsearch(&addr, maps->maps, maps->count, sizeof(*maps->maps), compare_mapping);
}

/* why_not() - what the mappings tell about a byte that gave EIO */
static const char *why_not(const struct mapping *map, unsigned int flags)
{
	const bool write = flags & PVMREAD_WRITE;

	if (!map)
		return "not mapped";
	if (map->perms[write] != (write ? 'w' : 'r'))
		return write ? "mapped, but not to be written" : "mapped, but not to be read";
	if (flags & PVMREAD_RESIDENT)
		return "not resident; try without --resident";
	return "mapped, but cannot be had: past the end of its file, a device or a secret";
}

const char *target_reason(const struct target *target, uint64_t addr, int error,
			  unsigned int flags)
{
	static char text[128];
	struct maps maps;

	switch (error) {
	case ESRCH:
		/* Its memory goes first when it exits, and much of it takes long. */
		return has_ended(target, 200) ? "has exited" :
			"has exited, or runs another program now";
	case EAGAIN:
		return "would have to be waited for; try without --nowait";
	case EINVAL:
	case EOVERFLOW:
		if (addr > INT64_MAX)
			return "not an address of a process";
		break;
	case EIO:
		if (load(&maps, target, false))
			break;
		snprintf(text, sizeof(text), "%s; see \"pvmread maps %d\"",
			 why_not(maps_find(&maps, addr), flags), target->pid);
		maps_free(&maps);
		return text;
	}
	return pvmread_strerror(error);
}

/* --- arguments --- */

/* parse_number() - decimal or 0x; false if @text is something else */
static bool parse_number(const char *text, uint64_t *value, const char **end)
{
	const bool hex = text[0] == '0' && (text[1] | 0x20) == 'x';
	char *stop;

	/* strtoull() would take a sign, blanks, and a "0x" without digits for 0. */
	if (hex ? !isxdigit((unsigned char)text[2]) : !isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*value = strtoull(text, &stop, hex ? 16 : 10);
	*end = stop;
	return !errno;
}

uint64_t parse_size(const char *text, const char *what)
{
	static const char suffixes[] = "KMGT";
	const char *suffix, *end;
	unsigned int shift = 0;
	uint64_t value;

	if (!parse_number(text, &value, &end))
		goto bad;
	suffix = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
	if (suffix) {
		shift = 10 * (suffix - suffixes + 1);
		end++;
	}
	if (*end || value > UINT64_MAX >> shift)
		goto bad;
	return value << shift;
bad:
	fail(0, "%s \"%s\": not a number of bytes below 2^64, as 4096, 0x1000, 4K or 1G",
	     what, text);
}

/*
 * name_matches() - whether @text is what a person calls the file @path
 *
 * The whole path or its end from a '/' on; with @loosely "libc.so" is
 * libc.so.6, too.
 */
static bool name_matches(const char *path, const char *text, size_t length, bool loosely)
{
	const char *part = path, *rest;

	do {
		rest = part + length;
		if (!strncmp(part, text, length) &&
		    (!*rest || !strcmp(rest, " (deleted)") ||
		     (loosely && *rest == '.' && !strchr(rest, '/') &&
		      length > 3 && !strncmp(rest - 3, ".so", 3))))
			return true;
		part = strchrnul(part, '/');
	} while (*part++);
	return false;
}

/* same_thing() - whether @map goes on with what @last is a part of */
static bool same_thing(const struct mapping *last, const struct mapping *map)
{
	if (!map->inode)
		return last->end == map->start;
	return last->inode == map->inode && last->dev_major == map->dev_major &&
	       last->dev_minor == map->dev_minor && !strcmp(last->name, map->name);
}

/* find_name() - the lowest mapping of that name; NULL if there is none */
static const struct mapping *find_name(const struct maps *maps, const char *text, size_t length,
				       bool loosely)
{
	const struct mapping *first = NULL, *last = NULL, *map;
	size_t i;

	for (i = 0; i < maps->count; i++) {
		map = &maps->maps[i];
		if (!*map->name || !name_matches(map->name, text, length, loosely))
			continue;
		if (last && !same_thing(last, map))
			fail(0, "\"%.*s\" is more than one thing: %s at 0x%" PRIx64
			     " and %s at 0x%" PRIx64 "; give the whole path or the address",
			     (int)length, text, printable(first->name), first->start,
			     printable(map->name), map->start);
		first = first ?: map;
		last = map;
	}
	return first;
}

uint64_t parse_address(const char *text, const struct maps *maps)
{
	const char *plus = strrchr(text, '+'), *end;
	size_t length = strlen(text);
	const struct mapping *map;
	uint64_t value, offset = 0;

	if (parse_number(text, &value, &end) && !*end)
		return value;
	if (!*text)
		fail(0, "the address is empty");
	/* A name may have a '+' itself: libstdc++.so */
	map = find_name(maps, text, length, false) ?: find_name(maps, text, length, true);
	if (!map && plus && plus > text && parse_number(plus + 1, &offset, &end) && !*end) {
		length = plus - text;
		if (parse_number(text, &value, &end) && end == plus)
			goto add;
		map = find_name(maps, text, length, false) ?: find_name(maps, text, length, true);
	}
	if (!map)
		fail(0, "\"%s\": neither the name of a mapping nor an address (0x for hexadecimal)",
		     text);
	value = map->start;
add:
	if (__builtin_add_overflow(value, offset, &value))
		fail(0, "\"%s\" is past the end of the address space", text);
	return value;
}

unsigned char *parse_hex(const char *text, size_t *length)
{
	unsigned char *bytes = malloc(strlen(text) / 2 + 1);
	const char *at = text;
	char pair[3] = "";

	if (!bytes)
		fail(ENOMEM, "%zu bytes", strlen(text) / 2);
	for (*length = 0; *at; at += 2) {
		at += strspn(at, " \t\n");
		if (!*at)
			break;
		if (!isxdigit((unsigned char)at[0]) || !isxdigit((unsigned char)at[1]))
			fail(0, "\"%s\": not bytes in hexadecimal, as \"48 89 e5\" or 4889e5",
			     text);
		memcpy(pair, at, 2);
		bytes[(*length)++] = strtoul(pair, NULL, 16);
	}
	if (!*length)
		fail(0, "no bytes given");
	return bytes;
}

void check_wrap(const struct target *target, uint64_t addr, uint64_t length)
{
	if (length && length - 1 > UINT64_MAX - addr)
		fail(0, "%" PRIu64 " bytes at 0x%" PRIx64 " of %s: the end is over 2^64",
		     length, addr, target->name);
}

/* --- output --- */

/* highlight() - how to make what goes to @out stand out: colour, or not even that */
static const char *highlight(FILE *out)
{
	const char *no_color = getenv("NO_COLOR");

	if (!isatty(fileno(out)))
		return NULL;
	return no_color && *no_color ? "\033[7m" : "\033[1;31m";
}

void hexdump(FILE *out, uint64_t addr, const unsigned char *bytes, size_t length,
	     const unsigned char *old)
{
	const char *on = old ? highlight(out) : NULL;
	size_t line, i;
	bool differs;

	for (line = 0; line < length; line += 16) {
		fprintf(out, "%08" PRIx64 ":", addr + line);
		for (i = line; i < line + 16; i++) {
			if (!(i % 2))
				fputc(' ', out);
			differs = on && i < length && bytes[i] != old[i];
			if (differs)
				fputs(on, out);
			if (i < length)
				fprintf(out, "%02x", bytes[i]);
			else
				fputs("  ", out);
			if (differs)
				fputs("\033[m", out);
		}
		fputs("  ", out);
		for (i = line; i < length && i < line + 16; i++) {
			differs = on && bytes[i] != old[i];
			if (differs)
				fputs(on, out);
			fputc(bytes[i] >= ' ' && bytes[i] < 0x7f ? bytes[i] : '.', out);
			if (differs)
				fputs("\033[m", out);
		}
		fputc('\n', out);
	}
}

char *printable(char *text)
{
	mbstate_t state = {};
	size_t length;
	wchar_t c;
	char *at;

	for (at = text; *at; at += length) {
		length = mbrtowc(&c, at, strlen(at), &state);
		if (length <= MB_LEN_MAX && iswprint(c))
			continue;
		if (length > MB_LEN_MAX) {
			length = 1;
			state = (mbstate_t){};
		}
		memset(at, '?', length);
	}
	return text;
}

/* utf8_length() - of the character at @at, or 0 if that is none */
static size_t utf8_length(const unsigned char *at)
{
	size_t length = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	size_t i;

	if ((at[0] >= 0x80 && at[0] < 0xc2) || at[0] > 0xf4)
		return 0;
	for (i = 1; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	/* Longer than need be, half a UTF-16 pair, over U+10FFFF; what terminals obey. */
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f) ||
	    (at[0] == 0xc2 && at[1] < 0xa0))
		return 0;
	return length;
}

char *utf8(const char *text)
{
	static const char replacement[] = "\xef\xbf\xbd";
	char *copy = malloc(3 * strlen(text) + 1), *to = copy;
	size_t length;

	if (!copy)
		fail(ENOMEM, "%s", text);
	for (; *text; text += length ?: 1) {
		length = utf8_length((const unsigned char *)text);
		to = length ? mempcpy(to, text, length) : stpcpy(to, replacement);
	}
	*to = '\0';
	return copy;
}

const char *human_size(uint64_t bytes)
{
	static char texts[8][16];
	static unsigned int next;
	static const char units[] = "KMGTPE";
	char *text = texts[next++ % 8];
	double size = bytes;
	int unit = -1;

	while (size >= 999.5 && units[unit + 1]) {
		size /= 1024;
		unit++;
	}
	if (unit < 0)
		snprintf(text, sizeof(texts[0]), "%" PRIu64, bytes);
	else
		snprintf(text, sizeof(texts[0]), "%.*f%c", size < 9.95, size, units[unit]);
	return text;
}

static struct {
	const char *what;
	uint64_t total;
	double start;
	double next;
	bool shown;
} progress;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

void progress_start(const char *what, uint64_t total)
{
	if (!isatty(STDERR_FILENO) || !total)
		return;
	progress.what = what;
	progress.total = total;
	progress.start = now();
	progress.next = progress.start + 1;
}

void progress_update(uint64_t done)
{
	char before[64], after[96], bar[256];
	struct winsize window = {};
	unsigned int width, filled;
	double time, part, rate;
	uint64_t left;
	int room;

	if (!progress.what)
		return;
	time = now();
	if (time < progress.next)
		return;
	progress.next = time + 0.2;

	part = (double)done / progress.total;
	rate = done / (time - progress.start);
	left = rate > 0 ? (progress.total - done) / rate : 0;
	snprintf(before, sizeof(before), "%s %3d%% ", progress.what, (int)(part * 100));
	snprintf(after, sizeof(after), " %s of %s  %s/s", human_size(done),
		 human_size(progress.total), human_size(rate));
	/* Where the end is days away, it is not known. */
	if (rate > 0 && left < 100 * 3600)
		snprintf(after + strlen(after), sizeof(after) - strlen(after),
			 "  %" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " left",
			 left / 3600, left / 60 % 60, left % 60);

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) || !window.ws_col)
		window.ws_col = 80;
	/* A terminal echoes ^C behind it, which is not to begin another line. */
	width = window.ws_col > 13 ? window.ws_col - 3 : 10;
	room = (int)width - (int)(strlen(before) + strlen(after)) - 2;
	if (room > (int)sizeof(bar) - 1)
		room = sizeof(bar) - 1;
	if (room >= 5) {
		filled = part * room;
		memset(bar, ' ', room);
		memset(bar, '=', filled);
		if (filled < (unsigned int)room)
			bar[filled] = '>';
		fprintf(stderr, "\r%s[%.*s]%s\033[K", before, room, bar, after);
	} else {
		strcat(before, after + 1);
		fprintf(stderr, "\r%.*s\033[K", (int)width, before);
	}
	progress.shown = true;
}

void progress_clear(void)
{
	if (progress.shown)
		fputs("\r\033[K", stderr);
	progress.shown = false;
}

/* --- the end --- */

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
