// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mappings of the target, from /proc/PID/maps.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

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
		return target_ends_within(target, 200) ? "has exited" :
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
