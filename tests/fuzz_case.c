// SPDX-License-Identifier: GPL-2.0
/*
 * A case of the fuzzer: a description of memory, and a short program of operations. It
 * can be written as a line of text and parsed again. Such a line is a list of
 * statements, each followed by a semicolon:
 *
 *	own wwr.; target w-wu; readv l=o+0x10:0x8 r=t+0xffc:0x8;
 *
 * "own" and "target" describe the two windows of memory, see fuzz_memory.c. Every other
 * statement is an operation with its arguments as NAME=VALUE. Arguments that it does not
 * name have their usual values. The numbers are hexadecimal; addresses and lengths may
 * start with a word, see &enum base.
 */
#define _GNU_SOURCE
#include <ctype.h>

#include "fuzz_case.h"

static const char * const base_name[BASES] = {
	"", "o", "O", "t", "T", "top", "kernel", "rest", "turn"
};

const char * const kind_name[KINDS] = {
	[OP_READV] = "readv",		/* READV */
	[OP_WRITEV] = "writev",		/* WRITEV */
	[OP_ATTACH] = "attach",		/* ATTACH; the file goes to a slot */
	[OP_CLOSE] = "close",
	[OP_READ] = "read",		/* preadv2(2) of a target file, or READV of io_uring */
	[OP_WRITE] = "write",		/* pwritev2(2), or WRITEV of io_uring */
	[OP_SEEK] = "seek",
	[OP_SPLICE] = "splice",		/* from a target file to a pipe */
	[OP_FEED] = "feed",		/* and from a pipe to it */
	[OP_BATCH] = "batch",
	[OP_INFO] = "info",
	[OP_IOCTL] = "ioctl",		/* an unknown command */
	[OP_FDINFO] = "fdinfo",
	[OP_MAP] = "map",		/* replace memory by new memory */
	[OP_PROTECT] = "protect",
	[OP_DROP] = "drop",		/* MADV_DONTNEED */
	[OP_TOUCH] = "touch",		/* MADV_POPULATE_READ, _WRITE */
};

const struct field_info field[FIELDS] = {
	[F_SLOT] = { "slot", 0, ON_FILE | BIT(OP_ATTACH) | BIT(OP_IOCTL) },
	[F_WHO] = { "who", LIVE, ON_DEVICE },
	[F_FLAGS] = { "flags", 0, ON_DEVICE | BIT(OP_BATCH) },
	[F_SIZE] = { "size", DEFAULT, WITH_STRUCT },
	/* If not 0: set the byte with this number, after the fields the module knows, to 1. */
	[F_TAIL] = { "tail", 0, WITH_STRUCT },
	[F_RESERVED] = { "reserved", 0, BIT(OP_ATTACH) | BIT(OP_INFO) },
	/* How the device was opened: 0 read-write, 1 read-only, 2 write-only. */
	[F_DEV] = { "dev", 0, ON_DEVICE },
	[F_AT] = { "at", GOOD, WITH_STRUCT },
	/* The places of the arrays. A BATCH has only the left one. */
	[F_LAT] = { "lat", GOOD, VECTORED | BIT(OP_BATCH) },
	[F_RAT] = { "rat", GOOD, VECTORED },
	/* A list is repeated until it has this many elements. */
	[F_LCOUNT] = { "lcount", DEFAULT, VECTORED | BIT(OP_BATCH) | BIT(OP_READ) | BIT(OP_WRITE) },
	[F_RCOUNT] = { "rcount", DEFAULT, VECTORED },
	[F_RWF] = { "rwf", 0, BIT(OP_READ) | BIT(OP_WRITE) },
	/* 1: by io_uring. */
	[F_RING] = { "ring", 0, BIT(OP_READ) | BIT(OP_WRITE) },
	[F_WHENCE] = { "whence", 0, BIT(OP_SEEK) },
	/* Bits 0 to 7: number; bit 8: to a target file, not the device; bits 9 to 14: size. */
	[F_CMD] = { "cmd", 0x7f, BIT(OP_IOCTL) },
	/* 0 is the tester's memory, 1 the target's. */
	[F_SIDE] = { "side", 1, ON_MEMORY },
	[F_PAGE] = { "page", 0, ON_MEMORY },
	[F_PAGES] = { "pages", 1, ON_MEMORY },
	/* "map" takes a character of a window; "protect", "touch": bit 0 reads, bit 1 writes. */
	[F_KIND] = { "kind", '.', ON_MEMORY },
};

const struct word_info word[WORDS] = {
	/* The usual value stands for the file's own position. */
	[W_POS] = { "pos", { ABSOLUTE, DEFAULT },
		    BIT(OP_READ) | BIT(OP_WRITE) | BIT(OP_SEEK) | BIT(OP_SPLICE) | BIT(OP_FEED) |
		    BIT(OP_ATTACH) },
	[W_LEN] = { "len", { ABSOLUTE, 0 }, BIT(OP_SPLICE) | BIT(OP_FEED) | BIT(OP_ATTACH) },
};

void op_init(struct op *op, enum kind kind)
{
	unsigned int i;

	memset(op, 0, sizeof(*op));
	op->kind = kind;
	for (i = 0; i < FIELDS; i++)
		op->f[i] = field[i].usual;
	for (i = 0; i < WORDS; i++)
		op->w[i] = word[i].usual;
	if (kind == OP_ATTACH)
		op->w[W_POS] = (struct value){ ABSOLUTE, 0 };
}

/* --- To text --- */

static void print_value(FILE *out, struct value v)
{
	if (v.base == ABSOLUTE)
		fprintf(out, "%#llx", (unsigned long long)v.off);
	else if ((int64_t)v.off < 0)
		fprintf(out, "%s-%#llx", base_name[v.base], -(unsigned long long)v.off);
	else
		fprintf(out, "%s+%#llx", base_name[v.base], (unsigned long long)v.off);
}

static void print_list(FILE *out, const struct op *op, enum flank hand)
{
	unsigned int i;

	if (!op->count[hand])
		return;
	fprintf(out, " %c=", hand == LEFT ? 'l' : 'r');
	for (i = 0; i < op->count[hand]; i++) {
		const struct element *e = &op->list[hand][i];

		if (i)
			fputc(',', out);
		print_value(out, e->addr);
		/* One length is enough for both sides of a segment. */
		if (op->kind == OP_BATCH && hand == LEFT)
			continue;
		fputc(':', out);
		print_value(out, e->len);
		if (e->flags)
			fprintf(out, ":%#x", e->flags);
	}
}

static void print_op(FILE *out, const struct op *op)
{
	struct op usual;
	unsigned int i;

	op_init(&usual, op->kind);
	fputs(kind_name[op->kind], out);
	for (i = 0; i < FIELDS; i++)
		if (field[i].kinds & BIT(op->kind) && op->f[i] != usual.f[i])
			fprintf(out, " %s=%#llx", field[i].name, (unsigned long long)op->f[i]);
	for (i = 0; i < WORDS; i++)
		if (word[i].kinds & BIT(op->kind) &&
		    (op->w[i].base != usual.w[i].base || op->w[i].off != usual.w[i].off)) {
			fprintf(out, " %s=", word[i].name);
			print_value(out, op->w[i]);
		}
	print_list(out, op, LEFT);
	print_list(out, op, RIGHT);
	fputc(';', out);
}

/* Print the case, with @between after each statement except the last. */
void print_case(FILE *out, const struct fuzz_case *c, const char *between)
{
	unsigned int i;

	fprintf(out, "own %s;%starget %s;", c->map[0], between, c->map[1]);
	for (i = 0; i < c->ops; i++) {
		fputs(between, out);
		print_op(out, &c->op[i]);
	}
}

/* --- From text --- */

static bool parse_value(const char **text, struct value *v)
{
	size_t len = strspn(*text, "oOtTtopkernelrestturn");
	const char *at = *text + len;
	unsigned long long off;
	bool minus = *at == '-';
	char *end;

	for (v->base = 0; v->base < BASES; v->base++)
		if (strlen(base_name[v->base]) == len && !memcmp(base_name[v->base], *text, len))
			break;
	if (v->base == BASES)
		return false;
	if (len) {
		if (*at != '+' && *at != '-') {
			v->off = 0;
			*text = at;
			return true;
		}
		at++;
	}
	if (!isdigit((unsigned char)*at))
		return false;
	off = strtoull(at, &end, 0);
	v->off = len && minus ? -off : off;
	*text = end;
	return true;
}

static bool parse_list(const char *text, struct op *op, enum flank hand)
{
	unsigned int n = 0;
	char *end;

	for (;;) {
		struct element *e = &op->list[hand][n];

		if (n == MAX_LIST || !parse_value(&text, &e->addr))
			return false;
		if (op->kind != OP_BATCH || hand == RIGHT) {
			if (*text++ != ':' || !parse_value(&text, &e->len))
				return false;
			if (*text == ':') {
				e->flags = strtoul(text + 1, &end, 0);
				text = end;
			}
		}
		op->count[hand] = ++n;
		if (!*text)
			return true;
		if (*text++ != ',')
			return false;
	}
}

static bool parse_argument(char *text, struct op *op)
{
	char *value = strchr(text, '=');
	const char *rest;
	unsigned int i;
	char *end;

	if (!value)
		return false;
	*value++ = '\0';
	if (!strcmp(text, "l") || !strcmp(text, "r"))
		return parse_list(value, op, *text == 'l' ? LEFT : RIGHT);
	for (i = 0; i < WORDS; i++) {
		if (strcmp(text, word[i].name))
			continue;
		rest = value;
		return parse_value(&rest, &op->w[i]) && !*rest;
	}
	for (i = 0; i < FIELDS; i++) {
		if (strcmp(text, field[i].name))
			continue;
		op->f[i] = strtoull(value, &end, 0);
		return end != value && !*end;
	}
	return false;
}

static bool parse_statement(char *text, struct fuzz_case *c)
{
	char *save = NULL, *token = strtok_r(text, " \t\n", &save);
	enum kind kind;
	struct op *op;

	if (!token)
		return true;
	if (!strcmp(token, "own") || !strcmp(token, "target")) {
		char *map = c->map[*token == 't'];

		token = strtok_r(NULL, " \t\n", &save);
		if (!token || strlen(token) > WINDOW || token[strspn(token, PAGE_KINDS)])
			return false;
		memset(map, '.', WINDOW);
		while (*token)
			*map++ = *token++;
		return true;
	}
	for (kind = 0; kind < KINDS; kind++)
		if (!strcmp(token, kind_name[kind]))
			break;
	if (kind == KINDS || c->ops == MAX_OPS)
		return false;
	op = &c->op[c->ops++];
	op_init(op, kind);
	while ((token = strtok_r(NULL, " \t\n", &save)))
		if (!parse_argument(token, op))
			return false;
	if (kind == OP_BATCH && op->count[LEFT] != op->count[RIGHT])
		return false;
	/* Checks that fuzz_memory.c does not repeat. */
	return op->f[F_SLOT] < SLOTS && op->f[F_WHO] < WHOS && op->f[F_DEV] < 3 &&
	       op->f[F_SIDE] < 2 && op->f[F_PAGE] < WINDOW &&
	       op->f[F_PAGES] <= WINDOW - op->f[F_PAGE] &&
	       (kind != OP_MAP || (op->f[F_KIND] < 0x80 && op->f[F_KIND] &&
				   strchr(PAGE_KINDS, op->f[F_KIND])));
}

/* Return: false if the text is not a case. */
bool parse_case(const char *text, struct fuzz_case *c)
{
	char *copy = strdup(text), *save = NULL, *statement;
	bool good = copy;
	unsigned int i;

	memset(c, 0, sizeof(*c));
	for (i = 0; i < 2; i++)
		memset(c->map[i], '.', WINDOW);
	for (statement = copy ? strtok_r(copy, ";", &save) : NULL; good && statement;
	     statement = strtok_r(NULL, ";", &save))
		good = parse_statement(statement, c);
	free(copy);
	return good;
}
