// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mappings of the target, from /proc/PID/maps.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"

/* The time limit for the resident sizes with MAPS_QUICK. */
#define QUICK_SECONDS	1
/* A read returns as many mappings as fit into the buffer. */
#define BUFFER_SIZE	(256 * 1024)

static void *grow(void *array, size_t count, size_t size)
{
	/* Doubles at each power of two. */
	if (!(count & (count - 1)))
		array = reallocarray(array, count ? 2 * count : 1, size);
	if (!array)
		fail(ENOMEM, "%zu mappings", count);
	return array;
}

/* unescape() - the kernel writes a newline in a name as \012 */
static void unescape(char *name)
{
	char *to = name;

	for (; *name; name++) {
		*to = *name;
		if (!strncmp(name, "\\012", 4)) {
			*to = '\n';
			name += 3;
		}
		to++;
	}
	*to = '\0';
}

/* parse_mapping() - parse a line of maps, or the first line of a mapping in smaps */
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
	unescape(map->name);
	return true;
}

/*
 * clip() - cut off the part below @end; false if nothing remains
 *
 * Mappings may merge between two reads of the file. The kernel then continues with the
 * mapping that contains the next address, and may print a part of it again.
 */
static bool clip(struct mapping *map, uint64_t end)
{
	if (map->end <= end)
		return false;
	if (map->start < end) {
		map->offset += end - map->start;
		map->start = end;
	}
	return true;
}

/* parse_flags() - parse the VmFlags that are used here */
static unsigned int parse_flags(const char *line)
{
	static const struct {
		const char *name;
		unsigned int flag;
	} names[] = {
		{ " dd", MAPPING_DONTDUMP }, { " io", MAPPING_IO }, { " ht", MAPPING_HUGETLB },
		{ " um", MAPPING_USERFAULT },
	};
	unsigned int flags = 0;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		flags |= strstr(line, names[i].name) ? names[i].flag : 0;
	return flags;
}

/* parse_detail() - another line of smaps */
static void parse_detail(struct mapping *map, const char *line)
{
	uint64_t kib;

	if (sscanf(line, "Rss: %" SCNu64 " kB", &kib) == 1)
		map->rss = kib * 1024;
	else if (sscanf(line, "Anonymous: %" SCNu64 " kB", &kib) == 1 ||
		 sscanf(line, "Swap: %" SCNu64 " kB", &kib) == 1)
		map->anonymous += kib * 1024;
	else if (!strncmp(line, "VmFlags:", 8))
		map->flags = parse_flags(line);
}

/**
 * struct loading - maps_load() by a thread
 * @maps: the mappings so far; their count is the progress
 * @error: an errno value; ETIME: MAPS_QUICK took too long
 */
struct loading {
	const struct target *target;
	enum maps_detail detail;
	struct maps maps;
	int error;
};

static void load(void *argument)
{
	struct loading *loading = argument;
	const bool plain = loading->detail == MAPS_PLAIN;
	struct maps *maps = &loading->maps;
	struct timespec start, now;
	struct mapping map;
	char *line = NULL;
	size_t size = 0;
	FILE *file;
	int fd;

	clock_gettime(CLOCK_MONOTONIC, &start);
	fd = proc_open(loading->target, plain ? "maps" : "smaps", O_RDONLY);
	file = fd < 0 ? NULL : fdopen(fd, "r");
	if (!file) {
		loading->error = errno;
		if (fd >= 0)
			close(fd);
		return;
	}
	/* Otherwise exit() would wait for this thread, which may wait for the target. */
	__fsetlocking(file, FSETLOCKING_BYCALLER);
	setvbuf(file, NULL, _IOFBF, BUFFER_SIZE);
	errno = 0;
	while (!loading->error && getline(&line, &size, file) > 0) {
		if (!parse_mapping(&map, line)) {
			if (maps->count)
				parse_detail(&maps->maps[maps->count - 1], line);
			continue;
		}
		if (!clip(&map, maps->count ? maps->maps[maps->count - 1].end : 0)) {
			free(map.name);
			continue;
		}
		maps->maps = grow(maps->maps, maps->count, sizeof(map));
		maps->maps[maps->count] = map;
		__atomic_fetch_add(&maps->count, 1, __ATOMIC_RELAXED);
		if (loading->detail != MAPS_QUICK)
			continue;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - start.tv_sec > QUICK_SECONDS)
			loading->error = ETIME;
	}
	if (!loading->error && !feof(file))
		loading->error = errno ?: EIO;
	free(line);
	fclose(file);
}

/* try_load() - maps_load() with an errno value as its result */
static int try_load(struct maps *maps, const struct target *target, enum maps_detail detail)
{
	struct loading *loading = calloc(1, sizeof(*loading));
	char nothing;
	bool slow;
	int error;

	*maps = (struct maps){};
	if (!loading)
		return ENOMEM;
	*loading = (struct loading){ .target = target, .detail = detail };
	if (!proc_in_time(target, load, loading, &loading->maps.count))
		/* The thread still has @loading. */
		return ETIMEDOUT;
	*maps = loading->maps;
	error = loading->error;
	free(loading);
	/* If the target exits or calls execve, the list may end early. */
	if (!error && (!target_is_alive(target) ||
		       (pvmread_read(target->fd, 0, &nothing, 0) < 0 && errno == ESRCH)))
		error = ESRCH;
	if (error)
		maps_free(maps);
	/* Without CONFIG_PROC_PAGE_MONITOR there is no smaps. */
	if (detail == MAPS_PLAIN || (error != ETIME && error != ENOENT))
		return error;
	slow = error == ETIME;
	error = try_load(maps, target, MAPS_PLAIN);
	maps->slow = slow;
	return error;
}

void maps_load(struct maps *maps, const struct target *target, enum maps_detail detail)
{
	int error;

	need_proc(target, "mappings");
	error = try_load(maps, target, detail);
	if (error == ETIMEDOUT)
		fail(0, "mappings of %s: its address space stays locked; try without --nowait",
		     target->name);
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

bool mapping_has_file(const struct mapping *map)
{
	return map->inode || map->dev_major || map->dev_minor || *map->name == '/';
}

const char *mapping_text(const struct mapping *map)
{
	static char texts[2][PATH_MAX + 32];
	static unsigned int next;
	char *text = texts[next++ % 2];

	snprintf(text, sizeof(texts[0]), "%s", *map->name ? map->name : "[anonymous]");
	return printable(text);
}

bool mapping_is_anonymous(const struct mapping *map)
{
	static const char *const names[] = { "[heap]", "[stack", "[anon:" };
	size_t i;

	if (map->perms[3] != 'p' || mapping_has_file(map))
		return false;
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strncmp(map->name, names[i], strlen(names[i])))
			return true;
	return !*map->name;
}

/* why_not() - say why a byte gave EIO, according to the mappings */
static const char *why_not(const struct mapping *map, unsigned int flags)
{
	const bool write = flags & PVMREAD_WRITE;

	if (!map)
		return "not mapped";
	if (map->perms[write] != (write ? 'w' : 'r'))
		return write ? "mapped, but not writable" : "mapped, but not readable";
	if (flags & PVMREAD_RESIDENT)
		return "not resident; try without --resident";
	return "mapped, but not accessible: past the end of its file, a device or secretmem";
}

const char *target_reason(const struct target *target, uint64_t addr, int error,
			  unsigned int flags)
{
	static char text[128];
	struct maps maps;

	switch (error) {
	case ESRCH:
		/* An exiting process frees its memory first, which can take long. */
		return target_ends_within(target, 200) ? "has exited" :
			"has exited, or runs another program now";
	case EAGAIN:
		return "not available without waiting; try without --nowait";
	case EINVAL:
	case EOVERFLOW:
		if (addr > INT64_MAX)
			return "not an address of a process";
		break;
	case EIO:
		if (target->proc != PROC_OURS || try_load(&maps, target, MAPS_PLAIN))
			break;
		snprintf(text, sizeof(text), "%s; see \"pvmread maps %d\"",
			 why_not(maps_find(&maps, addr), flags), target->pid);
		maps_free(&maps);
		return text;
	}
	return pvmread_strerror(error);
}
