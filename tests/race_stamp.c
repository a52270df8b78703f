// SPDX-License-Identifier: GPL-2.0
/*
 * Stamps: memory that tells where it belongs.
 *
 * A page repeats one word of eight bytes, which tells the place of the page and its owner. A
 * reader recognizes a wrong page by its stamp: a freed page, or a page of another process, of
 * another image of the same process, or of another address.
 *
 *   byte 0      the mark: who wrote it last; any value
 *   bytes 1, 2  the place, a number of a page
 *   bytes 3, 4  the owner, a number that no two targets share
 *   bytes 5-7   "pvm"
 *
 * A page that was never written is zero. A copy may read a page that is being written, and
 * QEMU may copy byte by byte, so a word may be half old and half new. Bytes 1 to 7 of a stamp
 * are never 0. Words that overwrite each other differ in only one byte, so each byte is
 * correct by itself.
 */
#include "pvmread_test.h"
#include "race_stamp.h"

uint64_t stamp(uint32_t owner, unsigned int place, unsigned char mark)
{
	return mark |
	       (uint64_t)(1 + place % 255) << 8 | (uint64_t)(1 + place / 255) << 16 |
	       (uint64_t)(1 + owner % 255) << 24 | (uint64_t)(1 + owner / 255) << 32 |
	       0x6d7670ULL << 40;
}

uint32_t stamp_owner(uint64_t word)
{
	return (word >> 24 & 0xff) - 1 + 255 * ((word >> 32 & 0xff) - 1);
}

/* Write the stamps for @addr into @buf. */
void draw(void *buf, uintptr_t addr, size_t len, unsigned int period, uint32_t owner,
	  unsigned char mark)
{
	unsigned char *to = buf;

	while (len) {
		uint64_t word = stamp(owner, (addr - WINDOW) / PAGE % period, mark);
		size_t n = 8 - addr % 8;

		if (n > len)
			n = len;
		memcpy(to, (unsigned char *)&word + addr % 8, n);
		to += n;
		addr += n;
		len -= n;
	}
}

static bool word_fits(uint64_t word, unsigned int page, const struct rule *rule, uint32_t *owner)
{
	uint64_t want = stamp(0, page % rule->period, 0);
	bool whole = true;
	uint32_t found;
	int byte;

	if (page >= rule->pages)
		return false;
	if (page >= rule->quiet && (word & 0xff) >= MARK_LOUD)
		return false;
	for (byte = 1; byte < 8; byte++) {
		unsigned char has = word >> 8 * byte, should = want >> 8 * byte;

		if (!has)
			whole = false;
		else if (byte != 3 && byte != 4 && has != should)
			return false;
	}
	if (!whole)
		return true;
	found = stamp_owner(word);
	if (rule->also && found == rule->also)
		return true;
	*owner = found;
	return found >= rule->first && found <= rule->last;
}

/**
 * inspect() - do bytes match the address that they were read from?
 * @buf: the bytes
 * @addr: their address
 * @len: number of bytes
 * @rule: the expected contents
 * @owner: set to an owner that was found, if one was
 *
 * Return: the offset of the first wrong word, or -1.
 */
ssize_t inspect(const void *buf, uintptr_t addr, size_t len, const struct rule *rule,
		uint32_t *owner)
{
	const unsigned char *at = buf;
	unsigned int known_page = -1;
	uint64_t word, known = 0;
	size_t i, n;

	for (i = 0; i < len; i += n) {
		unsigned int page = (addr + i - WINDOW) / PAGE;

		n = 8 - (addr + i) % 8;
		if (n > len - i)
			n = len - i;
		word = 0;
		if (n == 8)
			memcpy(&word, at + i, 8);
		else
			memcpy((unsigned char *)&word + (addr + i) % 8, at + i, n);
		if (word == known && page == known_page)
			continue;
		if (!word_fits(word, page, rule, owner))
			return i;
		known = word;
		known_page = page;
	}
	return -1;
}
