// SPDX-License-Identifier: GPL-2.0-only
/*
 * Output of --json.
 */
#include <errno.h>
#include <stdlib.h>

#include "cmd.h"
#include "json_print.h"

struct json_object *json_checked(struct json_object *object)
{
	if (!object)
		fail(ENOMEM, "--json");
	return object;
}

void json_add_number(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_checked(json_object_new_uint64(value)));
}

void json_add_text(struct json_object *object, const char *key, const char *value)
{
	char *text = utf8(value);

	json_object_object_add(object, key, json_checked(json_object_new_string(text)));
	free(text);
}

void json_add_bytes(struct json_object *object, const char *key, const unsigned char *bytes,
		    size_t length)
{
	char *hex = malloc(2 * length + 1);
	size_t i;

	if (!hex)
		fail(ENOMEM, "--json");
	for (i = 0; i < length; i++)
		sprintf(hex + 2 * i, "%02x", bytes[i]);
	json_object_object_add(object, key,
			       json_checked(json_object_new_string_len(hex, 2 * length)));
	free(hex);
}

void json_print_line(struct json_object *object)
{
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}
