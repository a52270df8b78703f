/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads the memory that is in an ELF core file.
 */
#ifndef COREFILE_H
#define COREFILE_H

#include "cmd.h"
#include "walk.h"

/**
 * struct core_segment - a PT_LOAD
 * @start: the first address
 * @end: the address after the last one
 * @offset: where its bytes are in the file
 * @file_size: number of its bytes in the file; the rest is not in the file
 * @flags: %PF_R, %PF_W, %PF_X
 */
struct core_segment {
	uint64_t start;
	uint64_t end;
	uint64_t offset;
	uint64_t file_size;
	uint32_t flags;
};

/**
 * struct core - an open core file
 * @path: its name
 * @elf_class: %ELFCLASS32 or %ELFCLASS64
 * @machine: %EM_X86_64 and the like
 * @segments: by address; none overlaps another one
 * @count: the number of them
 * @maps: a mapping for each segment, with the name that the file has for it
 */
struct core {
	const char *path;
	int fd;
	int elf_class;
	int machine;
	struct core_segment *segments;
	size_t count;
	struct maps maps;
};

/**
 * core_open() - open the file and read its list of segments, or fail()
 *
 * Nothing in the file is trusted: fail()s if a segment is not completely in the file,
 * or if two segments overlap.
 */
void core_open(struct core *core, const char *path);
void core_close(struct core *core);

/**
 * core_read() - the next piece of a segment, or fail()
 * @segment: number of the segment
 * @addr: where to start; must be in the segment
 * @end: where to stop; in the segment or at its end
 * @buf: the destination, %WALK_CHUNK bytes
 * @piece: filled; holes of the file are %PIECE_ZEROS, missing memory is %PIECE_ABSENT
 */
void core_read(const struct core *core, size_t segment, uint64_t addr, uint64_t end, void *buf,
	       struct piece *piece);

#endif /* COREFILE_H */
