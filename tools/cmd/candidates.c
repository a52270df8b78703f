// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files of candidates: addresses that "pvmread scan --save" found, and their values.
 *
 * A file is written while the scan runs and read in pieces, so the memory needed does not
 * depend on the number of candidates.
 */
#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

#include "candidates.h"

#define HASH_START	UINT64_C(0xcbf29ce484222325)

/* hash() - FNV-1a, continued from @hash: detects damage, not an attack */
static uint64_t hash(uint64_t hash, const void *bytes, size_t length)
{
	const unsigned char *at = bytes;

	while (length--)
		hash = (hash ^ *at++) * UINT64_C(0x100000001b3);
	return hash;
}

/* --- the process --- */

/* start_time() - when the process started, even if @target is read through another thread */
static uint64_t start_time(const struct target *target)
{
	char name[64], *stat, *at;
	uint64_t ticks;
	size_t length;

	snprintf(name, sizeof(name), "task/%d/stat", target->pid);
	stat = proc_read(target, name, 4096, &length);
	if (!stat)
		fail(errno, "start time of %s", target->name);
	/* The name is the second field and can contain blanks and parentheses. */
	at = strrchr(stat, ')');
	if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d"
			  " %*d %*d %*d %" SCNu64, &ticks) != 1)
		fail(0, "start time of %s: not found in /proc/%d/%s", target->name, target->tid,
		     name);
	free(stat);
	return ticks;
}

static void read_boot_id(unsigned char *boot)
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	size_t digits = 0;
	int c;

	memset(boot, 0, 16);
	if (!file)
		return;
	while (digits < 32 && (c = fgetc(file)) != EOF) {
		if (!isxdigit(c))
			continue;
		c = isdigit(c) ? c - '0' : tolower(c) - 'a' + 10;
		boot[digits / 2] |= digits % 2 ? c : c << 4;
		digits++;
	}
	fclose(file);
}

/* random_address() - AT_RANDOM of an auxiliary vector; 0 if it has none */
static uint64_t random_address(const char *auxv, size_t length)
{
	Elf64_auxv_t entry;
	size_t i;

	for (i = 0; i + sizeof(entry) <= length; i += sizeof(entry)) {
		memcpy(&entry, auxv + i, sizeof(entry));
		if (entry.a_type == AT_RANDOM)
			return entry.a_un.a_val;
	}
	return 0;
}

void identity_get(struct identity *identity, const struct target *target)
{
	unsigned char bytes[16];
	size_t length, done;
	uint64_t addr;
	char *auxv;

	need_proc(target, "the start time");
	*identity = (struct identity){ .pid = target->pid };
	identity->start_time = start_time(target);
	read_boot_id(identity->boot);
	auxv = proc_read(target, "auxv", 4096, &length);
	if (!auxv)
		fail(errno, "auxiliary vector of %s", target->name);
	identity->program = hash(HASH_START, auxv, length);
	addr = random_address(auxv, length);
	free(auxv);
	if (addr && !target_read(target, addr, bytes, sizeof(bytes), &done))
		identity->random = hash(HASH_START, bytes, sizeof(bytes));
	if (!target_is_alive(target))
		fail(0, "%s: has exited", target->name);
}

void identity_check(const struct identity *saved, const struct identity *now,
		    const struct target *target, const char *path)
{
	if (memcmp(saved->boot, now->boot, sizeof(saved->boot)))
		fail(0, "%s: saved before the last boot; scan again", path);
	if (saved->start_time != now->start_time)
		fail(0, "%s: process %d has exited, and %s has reused its PID; scan again",
		     path, (int)saved->pid, target->name);
	if (saved->program != now->program ||
	    (saved->random && now->random && saved->random != now->random))
		fail(0, "%s: %s has called execve since the scan; scan again", path,
		     target->name);
}

/* --- writing --- */

static void write_all(struct candidates_writer *writer, const void *bytes, size_t length)
{
	ssize_t done;

	for (; length; length -= done, bytes = (const char *)bytes + done) {
		done = write(writer->fd, bytes, length);
		if (done < 0 && errno == EINTR)
			done = 0;
		if (done < 0)
			fail(errno, "%s", writer->path);
	}
}

static void flush(struct candidates_writer *writer)
{
	write_all(writer, writer->buffer, writer->used);
	writer->header.length += writer->used;
	writer->header.checksum = hash(writer->header.checksum, writer->buffer, writer->used);
	writer->used = 0;
}

struct candidates_writer *candidates_create(const char *path, const struct type *type,
					    size_t size, size_t align,
					    const struct identity *identity)
{
	struct candidates_writer *writer = malloc(sizeof(*writer));
	struct stat st;

	if (!writer)
		fail(ENOMEM, "%s", path);
	if (!strcmp(path, "-"))
		fail(0, "--save cannot write to standard output; give a file");
	/* Check before opening it: open() of a FIFO would wait for a reader. */
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		fail(0, "%s: not a regular file", path);
	writer->path = path;
	writer->last = 0;
	writer->used = 0;
	writer->header = (struct candidates_header){
		.magic = CANDIDATES_MAGIC,
		.version = CANDIDATES_VERSION,
		.type = type->number,
		.size = size,
		.align = align,
		.identity = *identity,
		.checksum = HASH_START,
	};
	writer->fd = output_open(path);
	/* Leave room for the header, which is known only at the end. */
	write_all(writer, &writer->header, sizeof(writer->header));
	return writer;
}

void candidates_add(struct candidates_writer *writer, uint64_t addr, const unsigned char *value)
{
	const size_t size = writer->header.size;
	uint64_t distance = addr - writer->last;
	unsigned char *to;

	if (writer->used + 10 + size > sizeof(writer->buffer))
		flush(writer);
	to = writer->buffer + writer->used;
	for (; distance >= 0x80; distance >>= 7)
		*to++ = distance | 0x80;
	*to++ = distance;
	memcpy(to, value, size);
	writer->used = to + size - writer->buffer;
	writer->last = addr;
	writer->header.count++;
}

/* seal() - continue @checksum, that of the body, with the header */
static uint64_t seal(uint64_t checksum, struct candidates_header header)
{
	header.checksum = 0;
	return hash(checksum, &header, sizeof(header));
}

void candidates_commit(struct candidates_writer *writer)
{
	flush(writer);
	writer->header.checksum = seal(writer->header.checksum, writer->header);
	if (lseek(writer->fd, 0, SEEK_SET))
		fail(errno, "%s", writer->path);
	write_all(writer, &writer->header, sizeof(writer->header));
	output_commit();
	free(writer);
}

/* --- reading --- */

static void __attribute__((noreturn)) damaged(const struct candidates_reader *reader,
					      const char *what)
{
	fail(0, "%s: %s: damaged, or not written by \"pvmread scan --save\"", reader->path, what);
}

/* read_all() - false if the file ends too early */
static bool read_all(const struct candidates_reader *reader, void *bytes, size_t length)
{
	ssize_t done;

	for (; length; length -= done, bytes = (char *)bytes + done) {
		done = read(reader->fd, bytes, length);
		if (done < 0)
			fail(errno, "%s", reader->path);
		if (!done)
			return false;
	}
	return true;
}

/* check_header() - check each field, so that the rest of the command can rely on it */
static void check_header(struct candidates_reader *reader, uint64_t file_size)
{
	const struct candidates_header *header = &reader->header;
	const struct type *type;

	if (memcmp(header->magic, CANDIDATES_MAGIC, sizeof(header->magic)))
		fail(0, "%s: not written by \"pvmread scan --save\"", reader->path);
	if (header->version != CANDIDATES_VERSION)
		fail(0, "%s: written by another version of pvmread, or on another kind of machine",
		     reader->path);
	type = type_numbered(header->type);
	reader->type = type;
	if (!type || header->size % type->size || !header->size || header->size > TEXT_MAX ||
	    (type->kind != TYPE_TEXT && header->size != type->size))
		damaged(reader, "unknown type");
	if (!header->align || header->align > ALIGN_MAX || header->align & (header->align - 1))
		damaged(reader, "bad alignment");
	if (!header->identity.pid || header->identity.pid > INT_MAX ||
	    header->identity.__reserved)
		damaged(reader, "bad process number");
	if (file_size - sizeof(*header) != header->length)
		damaged(reader, "the file has been truncated or extended");
	/* A candidate takes at least a byte and a value. */
	if (header->count > header->length / (1 + header->size))
		damaged(reader, "the file is too short for its candidates");
}

struct candidates_reader *candidates_open(const char *path)
{
	struct candidates_reader *reader = calloc(1, sizeof(*reader));
	struct stat st;

	if (!reader)
		fail(ENOMEM, "%s", path);
	reader->path = path;
	/* Do not wait for the writer of a FIFO. */
	reader->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (reader->fd < 0 || fstat(reader->fd, &st))
		fail(errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		fail(0, "%s: not a regular file", path);
	if (!read_all(reader, &reader->header, sizeof(reader->header)))
		fail(0, "%s: too short; not written by \"pvmread scan --save\"", path);
	check_header(reader, st.st_size);
	reader->checksum = HASH_START;
	return reader;
}

/* fill() - make @length bytes available in the buffer, or fewer at the end of the body */
static size_t fill(struct candidates_reader *reader, size_t length)
{
	const uint64_t left = reader->header.length - reader->done;
	size_t kept = reader->end - reader->begin;
	size_t more;

	if (kept >= length || !left)
		return kept;
	memmove(reader->buffer, reader->buffer + reader->begin, kept);
	more = MIN(left, sizeof(reader->buffer) - kept);
	if (!read_all(reader, reader->buffer + kept, more))
		damaged(reader, "the file ends too early");
	reader->checksum = hash(reader->checksum, reader->buffer + kept, more);
	reader->done += more;
	reader->begin = 0;
	reader->end = kept + more;
	return reader->end;
}

/* next_distance() - decode a number with 7 bits per byte */
static uint64_t next_distance(struct candidates_reader *reader)
{
	uint64_t distance = 0;
	unsigned int shift;
	unsigned char byte;

	for (shift = 0; shift < 64; shift += 7) {
		if (reader->begin == reader->end)
			damaged(reader, "an address is truncated");
		byte = reader->buffer[reader->begin++];
		if (shift == 63 && byte > 1)
			break;
		distance |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return distance;
	}
	damaged(reader, "an address is too large");
}

bool candidates_next(struct candidates_reader *reader, uint64_t *addr,
		     const unsigned char **value)
{
	const struct candidates_header *header = &reader->header;
	uint64_t distance;

	if (reader->count == header->count) {
		if (reader->begin != reader->end || reader->done != header->length)
			damaged(reader, "data after the last candidate");
		if (seal(reader->checksum, *header) != header->checksum)
			damaged(reader, "the checksum is wrong");
		return false;
	}
	/* Enough bytes for the longest distance and the value. */
	fill(reader, 10 + header->size);
	distance = next_distance(reader);
	if (!distance && reader->count)
		damaged(reader, "an address occurs twice");
	if (__builtin_add_overflow(reader->addr, distance, &reader->addr) ||
	    reader->addr > UINT64_MAX - header->size || reader->addr % header->align)
		damaged(reader, "a bad address");
	if (reader->end - reader->begin < header->size)
		damaged(reader, "a value is truncated");
	*addr = reader->addr;
	*value = reader->buffer + reader->begin;
	reader->begin += header->size;
	reader->count++;
	return true;
}

void candidates_rewind(struct candidates_reader *reader)
{
	if (lseek(reader->fd, sizeof(reader->header), SEEK_SET) < 0)
		fail(errno, "%s", reader->path);
	reader->count = 0;
	reader->addr = 0;
	reader->done = 0;
	reader->checksum = HASH_START;
	reader->begin = 0;
	reader->end = 0;
}

void candidates_close(struct candidates_reader *reader)
{
	close(reader->fd);
	free(reader);
}
