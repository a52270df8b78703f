/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files of candidates: addresses that "pvmread scan --save" found, and their values.
 */
#ifndef CANDIDATES_H
#define CANDIDATES_H

#include "cmd.h"
#include "typed.h"

/* The largest --align: no page is smaller on any architecture. */
#define ALIGN_MAX	4096

/**
 * struct identity - a process and the program that it runs
 * @pid: its number
 * @__reserved: 0
 * @start_time: when it started, in clock ticks since boot
 * @boot: the boot id, or zeros if the kernel does not tell it
 * @program: a hash of the auxiliary vector, most of which is random for each execve(2)
 * @random: a hash of the random bytes that execve(2) puts on the stack; 0 if they
 *	could not be read
 */
struct identity {
	uint32_t pid;
	uint32_t __reserved;
	uint64_t start_time;
	unsigned char boot[16];
	uint64_t program;
	uint64_t random;
};

/* identity_get() - identify the process, or fail(); @target must not have a range */
void identity_get(struct identity *identity, const struct target *target);

/* identity_check() - fail() if @path was saved from another process or program than @now */
void identity_check(const struct identity *saved, const struct identity *now,
		    const struct target *target, const char *path);

/**
 * struct candidates_header - the first bytes of a file
 * @magic: CANDIDATES_MAGIC
 * @version: CANDIDATES_VERSION; all numbers are in the byte order of the machine
 * @type: the number of a struct type
 * @size: bytes of a value
 * @align: every address is a multiple of it
 * @identity: the process
 * @count: number of candidates
 * @length: bytes after the header
 * @checksum: a hash of these bytes and of the header with this field 0
 *
 * After the header, each candidate is the distance from the previous address (7 bits
 * per byte, lowest first) and the value.
 */
struct candidates_header {
	char magic[8];
	uint32_t version;
	uint32_t type;
	uint32_t size;
	uint32_t align;
	struct identity identity;
	uint64_t count;
	uint64_t length;
	uint64_t checksum;
};

#define CANDIDATES_MAGIC	"pvmcand"
#define CANDIDATES_VERSION	1
/* The size of a read or write. */
#define CANDIDATES_BUFFER	65536

/**
 * struct candidates_writer - a file that is written
 * @path: for messages
 * @fd: of output_open()
 * @last: address of the last candidate
 * @used: bytes in @buffer
 */
struct candidates_writer {
	const char *path;
	int fd;
	struct candidates_header header;
	uint64_t last;
	size_t used;
	unsigned char buffer[CANDIDATES_BUFFER];
};

/**
 * candidates_create() - create a file without candidates, or fail()
 * @size: bytes of a value
 *
 * The file gets its name, and replaces an old one, in candidates_commit().
 *
 * Return: the writer, which candidates_commit() releases.
 */
struct candidates_writer *candidates_create(const char *path, const struct type *type,
					    size_t size, size_t align,
					    const struct identity *identity);

/* candidates_add() - append a candidate, whose address is above that of the last one */
void candidates_add(struct candidates_writer *writer, uint64_t addr, const unsigned char *value);

/* candidates_commit() - write the rest, give the file its name and release @writer */
void candidates_commit(struct candidates_writer *writer);

/**
 * struct candidates_reader - a file that is read
 * @path: for messages
 * @type: that of the header
 * @count: candidates read so far
 * @addr: address of the last one
 * @done: bytes of the body read so far
 * @begin: start of the unread part of @buffer
 * @end: end of that part
 */
struct candidates_reader {
	const char *path;
	int fd;
	struct candidates_header header;
	const struct type *type;
	uint64_t count;
	uint64_t addr;
	uint64_t done;
	uint64_t checksum;
	size_t begin;
	size_t end;
	unsigned char buffer[CANDIDATES_BUFFER + TEXT_MAX];
};

/**
 * candidates_open() - open a file and check its header, or fail()
 *
 * Nothing in the file is trusted: fail()s if it is inconsistent.
 *
 * Return: the reader, which candidates_close() releases.
 */
struct candidates_reader *candidates_open(const char *path);

/**
 * candidates_next() - the next candidate, or fail()
 * @value: set to its value, in a buffer that the next call overwrites
 *
 * Return: true; or false after the last one, if the checksum is right.
 */
bool candidates_next(struct candidates_reader *reader, uint64_t *addr,
		     const unsigned char **value);

/* candidates_rewind() - start again with the first candidate */
void candidates_rewind(struct candidates_reader *reader);

void candidates_close(struct candidates_reader *reader);

#endif /* CANDIDATES_H */
