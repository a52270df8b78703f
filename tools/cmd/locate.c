// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where an address is, as NAME+OFFSET, for people and as JSON.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "locate.h"

void location_start(struct location *location, const struct maps *maps)
{
	*location = (struct location){ .maps = maps };
}

void location_end(struct location *location)
{
	free(location->text);
	location->text = NULL;
}

uint64_t maps_base(const struct maps *maps, const struct mapping *map)
{
	const struct mapping *first = map;

	if (!map->inode) {
		/* [heap] may be in pieces, for example if a part of it has other permissions. */
		while (*map->name && first > maps->maps && first[-1].end == first->start &&
		       !strcmp(first[-1].name, map->name))
			first--;
		return first->start;
	}
	for (first = maps->maps; first < map; first++)
		if (first->inode == map->inode && first->dev_major == map->dev_major &&
		    first->dev_minor == map->dev_minor)
			break;
	return first->start;
}

void locate(struct location *location, uint64_t addr)
{
	const struct mapping *map = location->map;

	/* Most addresses are in the same mapping as the last one. */
	if (map && addr >= map->start && addr < map->end)
		return;
	free(location->text);
	map = maps_find(location->maps, addr);
	location->map = map;
	location->base = map ? maps_base(location->maps, map) : 0;
	location->text = strdup(!map ? "[unknown]" : *map->name ? map->name : "[anonymous]");
	if (!location->text)
		fail(ENOMEM, "0x%" PRIx64, addr);
	printable(location->text);
}

void location_print(const struct location *location, uint64_t addr)
{
	printf("0x%" PRIx64 " %s+0x%" PRIx64, addr, location->text, addr - location->base);
}

void location_json(const struct location *location, uint64_t addr, struct json_object *object)
{
	json_add_text(object, "name", location->map ? location->map->name : "");
	json_add_number(object, "offset", addr - location->base);
}
