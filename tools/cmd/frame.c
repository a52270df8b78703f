// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guess at the frame pointer of an x86-64 thread that is not stopped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "elfcore.h"

/* The number of words above the stack pointer that are searched for the frame record. */
#define STACK_WORDS	8192

static bool read_code(const struct target *target, uint64_t addr, void *code, size_t length)
{
	return pvmread_read(target->fd, addr, code, length) == (ssize_t)length;
}

/* skip_endbr() - the length of an endbr64 at the start of @code */
static size_t skip_endbr(const uint8_t *code)
{
	return memcmp(code, "\xf3\x0f\x1e\xfa", 4) ? 0 : 4;
}

/**
 * keeps_frame() - whether the function at @addr begins with push %rbp; mov %rsp,%rbp
 *
 * Follows the jump of a PLT entry.
 */
static bool keeps_frame(const struct target *target, uint64_t addr)
{
	uint8_t code[32];
	int32_t offset;
	uint64_t slot;
	size_t at;

	if (!read_code(target, addr, code, sizeof(code)))
		return false;
	at = skip_endbr(code);
	at += code[at] == 0xf2;
	if (code[at] == 0xff && code[at + 1] == 0x25) {
		/* jmp *offset(%rip) */
		memcpy(&offset, code + at + 2, sizeof(offset));
		slot = addr + at + 6 + offset;
		if (!read_code(target, slot, &addr, sizeof(addr)) ||
		    !read_code(target, addr, code, sizeof(code)))
			return false;
	}
	at = skip_endbr(code);
	/* The compiler may have moved other instructions between the two. */
	return code[at] == 0x55 && memmem(code + at + 1, 16, "\x48\x89\xe5", 3);
}

/**
 * enum call - the call instruction that ends at an address
 * @CALL_NONE: no call, so the address is no return address
 * @CALL_FRAME: the call of a function that keeps a frame pointer
 * @CALL_PLAIN: the call of one that does not
 * @CALL_UNKNOWN: a call through a register or through memory
 */
enum call {
	CALL_NONE,
	CALL_FRAME,
	CALL_PLAIN,
	CALL_UNKNOWN,
};

static enum call call_before(const struct target *target, const struct maps *maps, uint64_t addr)
{
	const struct mapping *map = maps_find(maps, addr);
	uint64_t callee, slot;
	uint8_t code[7];
	int32_t offset;
	size_t length;

	if (!map || map->perms[2] != 'x' || addr - map->start < sizeof(code) ||
	    !read_code(target, addr - sizeof(code), code, sizeof(code)))
		return CALL_NONE;
	memcpy(&offset, code + 3, sizeof(offset));
	if (code[2] == 0xe8) {
		callee = addr + offset;
	} else if (code[1] == 0xff && code[2] == 0x15) {
		slot = addr + offset;
		if (!read_code(target, slot, &callee, sizeof(callee)))
			return CALL_UNKNOWN;
	} else {
		/* ff /2: ModRM byte, maybe SIB, and 0, 1 or 4 bytes of offset */
		for (length = 2; length <= 7; length++)
			if (code[7 - length] == 0xff && (code[8 - length] & 0x38) == 0x10)
				return CALL_UNKNOWN;
		return CALL_NONE;
	}
	return keeps_frame(target, callee) ? CALL_FRAME : CALL_PLAIN;
}

uint64_t guess_frame(const struct target *target, const struct maps *maps, uint64_t sp)
{
	/* A record is where rsp points after push %rbp: at a multiple of 16. */
	const uint64_t bottom = (sp + 15) & ~UINT64_C(15);
	const struct mapping *map = maps_find(maps, sp);
	uint64_t *words, at, frame = 0;
	ssize_t got;
	size_t i;

	if (!map || bottom >= map->end)
		return 0;
	words = malloc(STACK_WORDS * sizeof(*words));
	if (!words)
		fail(ENOMEM, "stack");
	got = pvmread_read(target->fd, bottom, words,
			   MIN(map->end - bottom, STACK_WORDS * sizeof(*words)));
	for (i = 0; !frame && (ssize_t)((i + 2) * sizeof(*words)) <= got; i += 2) {
		at = bottom + i * sizeof(*words);
		switch (call_before(target, maps, words[i + 1])) {
		case CALL_FRAME:
			frame = at;
			break;
		case CALL_UNKNOWN:
			if (words[i] < 4096 ||
			    (words[i] > at && words[i] < map->end && !(words[i] & 15)))
				frame = at;
			break;
		case CALL_PLAIN:
		case CALL_NONE:
			break;
		}
	}
	free(words);
	return frame;
}
