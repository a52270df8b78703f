/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where an address is, as NAME+OFFSET.
 */
#ifndef LOCATE_H
#define LOCATE_H

#include "cmd.h"
#include "json_print.h"

/**
 * struct location - the mapping of the last address that was located
 * @maps: the target's mappings
 * @map: the mapping, or NULL if the address is in none
 * @base: the address that offsets in it count from
 * @text: its name as a terminal shows it, or NULL at first
 */
struct location {
	const struct maps *maps;
	const struct mapping *map;
	uint64_t base;
	char *text;
};

/* maps_base() - the address that "NAME+OFFSET" counts from, as in parse_address() */
uint64_t maps_base(const struct maps *maps, const struct mapping *map);

/* location_start() - get ready to locate addresses in @maps */
void location_start(struct location *location, const struct maps *maps);
void location_end(struct location *location);

/**
 * locate() - find the mapping of @addr and its base
 *
 * parse_address() accepts the NAME+OFFSET that location_print() prints, unless NAME is
 * [anonymous] or [unknown].
 */
void locate(struct location *location, uint64_t addr);

/* location_print() - print "0x1000 NAME+0x0" on stdout; @addr is the one located */
void location_print(const struct location *location, uint64_t addr);

/* location_json() - add "name" and "offset" to @object; @addr is the one located */
void location_json(const struct location *location, uint64_t addr, struct json_object *object);

#endif /* LOCATE_H */
