// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvmread maps: the mappings of a process.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "cmd.h"
#include "json_print.h"

enum {
	OPT_RSS = 256,
	OPT_NO_RSS,
};

struct arguments {
	const char *pid;
	enum maps_detail detail;
	unsigned int flags;
	bool json;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case OPT_RSS:
		args->detail = MAPS_FULL;
		return 0;
	case OPT_NO_RSS:
		args->detail = MAPS_PLAIN;
		return 0;
	case 'N':
		args->flags = PVMREAD_NOWAIT;
		return 0;
	case 'j':
		args->json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (args->pid)
			argp_error(state, "\"%s\" is one argument too many", arg);
		args->pid = arg;
		return 0;
	case ARGP_KEY_END:
		if (!args->pid)
			argp_error(state, "no PID given");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* print_resident() - the size and its share of the whole, or "-" where unknown */
static void print_resident(uint64_t rss, uint64_t size)
{
	if (rss == UINT64_MAX)
		printf(" %6s    -", "-");
	else
		printf(" %6s %3.0f%%", human_size(rss), size ? 100.0 * rss / size : 0.0);
}

static void print_text(const struct maps *maps)
{
	uint64_t size, sizes = 0, resident = 0;
	const struct mapping *map;

	printf("%18s %18s %6s %6s %4s perm name\n", "start", "end", "size", "rss", "%");
	for (map = maps->maps; map < maps->maps + maps->count; map++) {
		size = map->end - map->start;
		/* In the form that parse_address() accepts. */
		printf("%#18" PRIx64 " %#18" PRIx64 " %6s", map->start, map->end,
		       human_size(size));
		print_resident(map->rss, size);
		printf(" %s%s%s\n", map->perms, *map->name ? " " : "", printable(map->name));
		sizes += size;
		resident = map->rss == UINT64_MAX ? map->rss : resident + map->rss;
	}
	printf("%18s %18zu %6s", "mappings:", maps->count, human_size(sizes));
	print_resident(resident, sizes);
	putchar('\n');
}

static struct json_object *json_mapping(const struct mapping *map)
{
	struct json_object *object = json_checked(json_object_new_object());

	json_add_number(object, "start", map->start);
	json_add_number(object, "end", map->end);
	if (map->rss != UINT64_MAX)
		json_add_number(object, "rss", map->rss);
	json_add_text(object, "perms", map->perms);
	json_add_number(object, "offset", map->offset);
	json_add_number(object, "major", map->dev_major);
	json_add_number(object, "minor", map->dev_minor);
	json_add_number(object, "inode", map->inode);
	json_add_text(object, "name", map->name);
	return object;
}

static void print_json(const struct target *target, const struct maps *maps)
{
	struct json_object *top = json_checked(json_object_new_object());
	struct json_object *list = json_checked(json_object_new_array());
	const struct mapping *map;

	json_add_number(top, "pid", target->pid);
	json_object_object_add(top, "mappings", list);
	for (map = maps->maps; map < maps->maps + maps->count; map++)
		json_object_array_add(list, json_mapping(map));
	puts(json_object_to_json_string_ext(top, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(top);
}

int cmd_maps(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "json", 'j', NULL, 0,
		  "Print JSON; sizes are in bytes, addresses are decimal", 0 },
		{ "rss", OPT_RSS, NULL, 0, "Print the resident sizes, however long that takes", 0 },
		{ "no-rss", OPT_NO_RSS, NULL, 0, "Leave the resident sizes out", 0 },
		{ "nowait", 'N', NULL, 0,
		  "Fail if the process's address space stays locked for a second", 0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "PID",
		.doc = "List the mappings of process PID: addresses, size, resident size, "
		       "permissions, name.\v"
		       "Unless --rss is given, the resident sizes are left out if counting them "
		       "takes the kernel longer than a second or two, for example for very many "
		       "mappings.",
	};
	struct arguments args = { .detail = MAPS_QUICK };
	struct target target;
	struct maps maps;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	target_open(&target, args.pid, args.flags);
	maps_load(&maps, &target, args.detail);
	if (maps.slow)
		warn_about(0, "%s: resident sizes left out: they take too long to count; try --rss",
			   target.name);
	if (args.json)
		print_json(&target, &maps);
	else
		print_text(&maps);
	maps_free(&maps);
	finish_output();
	return EXIT_DONE;
}
