/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Output of --json. Each function that allocates calls fail() if it cannot.
 */
#ifndef JSON_PRINT_H
#define JSON_PRINT_H

#include <stdint.h>

#include <json.h>

/* json_checked() - return @object; fail() if it is NULL because json-c was out of memory */
struct json_object *json_checked(struct json_object *object);

void json_add_number(struct json_object *object, const char *key, uint64_t value);

/* json_add_text() - add @value, with U+FFFD in place of each byte that is not UTF-8 */
void json_add_text(struct json_object *object, const char *key, const char *value);

/* json_add_bytes() - add @bytes as hexadecimal digits */
void json_add_bytes(struct json_object *object, const char *key, const unsigned char *bytes,
		    size_t length);

/* json_print_line() - print @object as a line on stdout and release it */
void json_print_line(struct json_object *object);

#endif /* JSON_PRINT_H */
