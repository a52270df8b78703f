// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvmread dump: the memory of a process as an ELF core file.
 *
 * The layout of the file (headers, notes, segments) is fixed before memory is read, so
 * that it can go into a pipe. Memory that then turns out to be unreadable is written as
 * zeros. In a file on disk, zeros are holes.
 */
#include <argp.h>
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"
#include "elfcore.h"
#include "walk.h"

/* The page size of x86; also the alignment of the program headers. */
#define PAGE		4096
/* A run of untouched memory of at least this size is left out of the file. */
#define ZEROS_MAX	(1024 * 1024)
/* The kernel's default for /proc/PID/coredump_filter. */
#define FILTER_DEFAULT	0x33

enum {
	OPT_FILTER = 256,
	OPT_ALL,
	OPT_GUESS,
};

/**
 * enum filter - the bits of /proc/PID/coredump_filter, as in core(5)
 */
enum filter {
	FILTER_ANON_PRIVATE	= 1 << 0,
	FILTER_ANON_SHARED	= 1 << 1,
	FILTER_FILE_PRIVATE	= 1 << 2,
	FILTER_FILE_SHARED	= 1 << 3,
	FILTER_ELF_HEADERS	= 1 << 4,
	FILTER_HUGETLB_PRIVATE	= 1 << 5,
	FILTER_HUGETLB_SHARED	= 1 << 6,
};

struct arguments {
	const char *pid;
	const char *output;
	unsigned int flags;
	unsigned int filter;
	bool has_filter;
	bool all;
	bool guess;
	bool verbose;
};

/**
 * struct segment - a PT_LOAD: a mapping, or a part of it
 * @data_end: end of the part in the file; the part from here to @end is not in it
 * @file_offset: where its bytes are in the file
 */
struct segment {
	const struct mapping *map;
	uint64_t start;
	uint64_t data_end;
	uint64_t end;
	uint64_t file_offset;
};

/**
 * struct dump - a core file that is being written
 * @file: its descriptor
 * @stream: it must be written in order: a pipe, a device or standard output
 * @written: bytes written so far
 * @elf32: the target is a 32-bit program
 * @filter: &enum filter
 * @missing: bytes that should have been read but could not
 */
struct dump {
	const struct arguments *args;
	const struct target *target;
	int file;
	bool stream;
	uint64_t written;
	bool elf32;
	unsigned int filter;
	struct segment *segments;
	size_t count;
	size_t room;
	uint64_t file_end;
	uint64_t missing;
	uint64_t not_resident;
	uint64_t not_dumped;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;
	char *end;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->flags;
		return 0;
	case 'o':
		args->output = arg;
		return 0;
	case 'v':
		args->verbose = true;
		return 0;
	case 'a':
		args->all = true;
		return 0;
	case OPT_GUESS:
		args->guess = true;
		return 0;
	case OPT_FILTER:
		errno = 0;
		args->filter = strtoul(arg, &end, 0);
		if (end == arg || *end || errno || strtoul(arg, NULL, 0) > 0x1ff)
			argp_error(state, "--filter %s: not bits of coredump_filter, such as 0x33",
				   arg);
		args->has_filter = true;
		return 0;
	case ARGP_KEY_ARG:
		if (args->pid)
			argp_error(state, "\"%s\" is one argument too many", arg);
		args->pid = arg;
		return 0;
	case ARGP_KEY_END:
		if (!args->pid)
			argp_error(state, "no PID given");
		if (!args->output)
			argp_error(state, "no output file given; use -o FILE");
		if (args->all && args->has_filter)
			argp_error(state, "--all and --filter cannot be combined");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* --- selecting memory --- */

/* read_filter() - the target's filter, or the default if it cannot be read */
static unsigned int read_filter(const struct target *target)
{
	unsigned int filter = FILTER_DEFAULT;
	size_t length;
	char *text = proc_read(target, "coredump_filter", 64, &length);

	if (text && *text)
		filter = strtoul(text, NULL, 16);
	free(text);
	return filter;
}

static bool ends_with(const char *text, const char *end)
{
	const size_t length = strlen(text);

	return length >= strlen(end) && !strcmp(text + length - strlen(end), end);
}

/* begins_with_elf() - whether @map begins with an ELF header */
static bool begins_with_elf(struct walk *walk, const struct mapping *map, unsigned char *chunk)
{
	struct piece piece;

	walk_range(walk, map, map->start, map->start + PAGE);
	return walk_next(walk, chunk, &piece) && piece.kind == PIECE_BYTES &&
	       piece.length >= SELFMAG && !memcmp(chunk, ELFMAG, SELFMAG);
}

/**
 * wanted() - how many bytes of @map to dump, from its start
 *
 * Follows vma_dump_size() of fs/coredump.c. @anonymous stands in for the kernel's anon_vma.
 */
static uint64_t wanted(const struct dump *dump, struct walk *walk, const struct mapping *map,
		       unsigned char *chunk)
{
	const bool private = map->perms[3] == 'p', unknown = map->rss == UINT64_MAX;
	const uint64_t all = map->end - map->start;
	const unsigned int filter = dump->filter;

	if (!strcmp(map->name, "[vdso]") || dump->args->all)
		return all;
	if (map->flags & (MAPPING_DONTDUMP | MAPPING_IO))
		return 0;
	if (map->flags & MAPPING_HUGETLB)
		return filter & (private ? FILTER_HUGETLB_PRIVATE : FILTER_HUGETLB_SHARED) ?
			all : 0;
	if (!private)
		return filter & (ends_with(map->name, " (deleted)") ? FILTER_ANON_SHARED :
				 FILTER_FILE_SHARED) ? all : 0;
	if (filter & FILTER_ANON_PRIVATE &&
	    (map->anonymous || (unknown && mapping_is_anonymous(map))))
		return all;
	if (!mapping_has_file(map))
		return 0;
	if (filter & FILTER_FILE_PRIVATE)
		return all;
	if (filter & FILTER_ELF_HEADERS && !map->offset && map->perms[0] == 'r' &&
	    begins_with_elf(walk, map, chunk))
		return PAGE;
	return 0;
}

/* --- the layout --- */

static struct segment *add_segment(struct dump *dump, const struct mapping *map, uint64_t start)
{
	struct segment *seg;

	if (dump->count == dump->room) {
		dump->room = MAX(2 * dump->room, 64);
		dump->segments = reallocarray(dump->segments, dump->room, sizeof(*dump->segments));
		if (!dump->segments)
			fail(ENOMEM, "%zu segments", dump->room);
	}
	seg = &dump->segments[dump->count++];
	*seg = (struct segment){ .map = map, .start = start, .data_end = start, .end = start };
	return seg;
}

/* is_kernels() - whether it is [vvar] or the like, which only the process itself can read */
static bool is_kernels(const struct mapping *map)
{
	return !strncmp(map->name, "[vv", 3);
}

/* skip() - report memory that is not in the file, and why */
static void skip(struct dump *dump, const struct mapping *map, const struct piece *piece)
{
	const char *why = piece->why;

	if (is_kernels(map)) {
		why = "kernel memory";
	} else if (piece->error == EIO && dump->args->flags & PVMREAD_RESIDENT) {
		dump->not_resident += piece->length;
		if (!dump->args->verbose)
			return;
	} else if (piece->error) {
		dump->missing += piece->length;
	} else if (!dump->args->verbose) {
		return;
	}
	warn_about(0, "skipped 0x%" PRIx64 "-0x%" PRIx64 " %s, %" PRIu64 " bytes: %s", piece->addr,
		   piece->addr + piece->length, mapping_text(map), piece->length, why);
}

/**
 * add_mapping() - add its segments: each is data, then memory that is not in the file
 * @length: number of bytes of it to dump
 *
 * Unreadable memory must not look like zeros: a debugger reads it from the program's file
 * instead.
 */
static void add_mapping(struct dump *dump, struct walk *walk, const struct mapping *map,
			uint64_t length)
{
	struct segment *seg = add_segment(dump, map, map->start);
	struct piece piece;

	seg->end = map->start + length;
	if (map->perms[0] != 'r' && length) {
		piece = (struct piece){
			.addr = map->start, .length = length, .why = "not readable",
			/* Its private pages hold data, which is now missing. */
			.error = map->anonymous ? EACCES : 0,
		};
		skip(dump, map, &piece);
	} else {
		seg->end = map->start;
		walk_range(walk, map, map->start, map->start + length);
		while (walk_next(walk, NULL, &piece)) {
			if (piece.kind == PIECE_ABSENT)
				skip(dump, map, &piece);
			if (piece.kind == PIECE_BYTES && seg->end > seg->data_end)
				seg = add_segment(dump, map, piece.addr);
			seg->end = piece.addr + piece.length;
			if (piece.kind == PIECE_BYTES ||
			    (piece.kind == PIECE_ZEROS && piece.length < ZEROS_MAX &&
			     piece.addr == seg->data_end))
				seg->data_end = seg->end;
		}
	}
	/* The headers describe all of the mapping. */
	seg->end = map->end;
}

/* select_memory() - add the segments of all mappings */
static void select_memory(struct dump *dump, struct walk *walk, const struct maps *maps)
{
	unsigned char *chunk = malloc(WALK_CHUNK);
	const struct mapping *map;
	uint64_t length;

	if (!chunk)
		fail(ENOMEM, "%d bytes", WALK_CHUNK);
	for (map = maps->maps; map < maps->maps + maps->count && !interrupted; map++) {
		/* [vsyscall] is a kernel address. */
		if (map->end > INT64_MAX)
			continue;
		length = wanted(dump, walk, map, chunk);
		if (!length && map->flags & MAPPING_DONTDUMP && !(map->flags & MAPPING_IO))
			dump->not_dumped += map->end - map->start;
		add_mapping(dump, walk, map, length);
	}
	free(chunk);
	if (interrupted)
		die_of_signal();
}

/* lay_out() - give the segments their places in the file, behind @headers bytes */
static void lay_out(struct dump *dump, uint64_t headers)
{
	struct segment *seg;

	dump->file_end = roundup(headers, PAGE);
	for (seg = dump->segments; seg < dump->segments + dump->count; seg++) {
		seg->file_offset = dump->file_end;
		if (seg->data_end - seg->start > INT64_MAX - dump->file_end)
			fail(0, "%s: maps more than a file can hold; try --resident",
			     dump->target->name);
		dump->file_end += roundup(seg->data_end - seg->start, PAGE);
	}
	if (dump->elf32 && dump->file_end > UINT32_MAX)
		fail(0, "%s: the core of a 32-bit program would be larger than 4 GiB",
		     dump->target->name);
}

/* --- the file --- */

static void write_bytes(struct dump *dump, const void *bytes, size_t length)
{
	ssize_t done;

	for (; length; bytes = (const char *)bytes + done, length -= done) {
		if (dump->stream)
			done = write(dump->file, bytes, length);
		else
			done = pwrite(dump->file, bytes, length, dump->written);
		if (done < 0 && errno == EINTR && !interrupted)
			done = 0;
		else if (done <= 0)
			fail(done ? errno : EIO, "write %s", dump->args->output);
		dump->written += done;
	}
}

/* write_zeros() - fill the file with zeros up to @offset */
static void write_zeros(struct dump *dump, uint64_t offset)
{
	static const unsigned char zeros[65536];

	while (dump->stream && dump->written < offset && !interrupted)
		write_bytes(dump, zeros, MIN(offset - dump->written, sizeof(zeros)));
	dump->written = offset;
}

/* write_sparse() - write, but leave out pages of zeros */
static void write_sparse(struct dump *dump, const unsigned char *bytes, size_t length)
{
	static const unsigned char zeros[PAGE];
	size_t at, end, start = 0;
	bool zero;

	if (dump->stream) {
		write_bytes(dump, bytes, length);
		return;
	}
	for (at = 0; at < length; at = end) {
		end = MIN(at + PAGE, length);
		zero = !memcmp(bytes + at, zeros, end - at);
		if (zero || end == length)
			write_bytes(dump, bytes + start, (zero ? at : end) - start);
		if (zero) {
			write_zeros(dump, dump->written + end - at);
			start = end;
		}
	}
}

static void dump_segment(struct dump *dump, struct walk *walk, const struct segment *seg,
			 unsigned char *chunk)
{
	struct piece piece;

	write_zeros(dump, seg->file_offset);
	walk_range(walk, seg->map, seg->start, seg->data_end);
	while (walk_next(walk, chunk, &piece)) {
		if (piece.kind == PIECE_ABSENT)
			skip(dump, seg->map, &piece);
		if (piece.kind == PIECE_BYTES)
			write_sparse(dump, chunk, piece.length);
		else
			write_zeros(dump, dump->written + piece.length);
		progress_update(dump->written);
	}
}

/* dump_memory() - write all segments */
static void dump_memory(struct dump *dump, struct walk *walk)
{
	unsigned char *chunk = malloc(WALK_CHUNK);
	size_t i;

	if (!chunk)
		fail(ENOMEM, "%d bytes", WALK_CHUNK);
	progress_start("dump", dump->file_end);
	for (i = 0; i < dump->count && !interrupted; i++)
		dump_segment(dump, walk, &dump->segments[i], chunk);
	if (!interrupted)
		write_zeros(dump, dump->file_end);
	progress_clear();
	free(chunk);
	if (interrupted)
		die_of_signal();
}

/* --- headers --- */

/* headers_size() - the size of everything before the notes */
static uint64_t headers_size(const struct dump *dump)
{
	const size_t phnum = dump->count + 1;
	const bool extended = phnum >= PN_XNUM;

	if (dump->elf32)
		return sizeof(Elf32_Ehdr) + phnum * sizeof(Elf32_Phdr) +
		       extended * sizeof(Elf32_Shdr);
	return sizeof(Elf64_Ehdr) + phnum * sizeof(Elf64_Phdr) + extended * sizeof(Elf64_Shdr);
}

static uint32_t segment_flags(const struct mapping *map)
{
	return (map->perms[0] == 'r' ? PF_R : 0) | (map->perms[1] == 'w' ? PF_W : 0) |
	       (map->perms[2] == 'x' ? PF_X : 0);
}

static void put_ehdr(const struct dump *dump, FILE *out, size_t phnum)
{
	const bool extended = phnum >= PN_XNUM;
	Elf32_Ehdr small = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = EM_386,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(small),
		.e_ehsize = sizeof(small),
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = MIN(phnum, PN_XNUM),
		.e_shnum = extended,
		.e_shentsize = extended * sizeof(Elf32_Shdr),
		.e_shoff = extended * (sizeof(small) + phnum * sizeof(Elf32_Phdr)),
	};
	Elf64_Ehdr ehdr = {
		.e_type = small.e_type,
		.e_machine = EM_X86_64,
		.e_version = small.e_version,
		.e_phoff = sizeof(ehdr),
		.e_ehsize = sizeof(ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = small.e_phnum,
		.e_shnum = small.e_shnum,
		.e_shentsize = extended * sizeof(Elf64_Shdr),
		.e_shoff = extended * (sizeof(ehdr) + phnum * sizeof(Elf64_Phdr)),
	};

	memcpy(ehdr.e_ident, small.e_ident, sizeof(ehdr.e_ident));
	ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	if (dump->elf32)
		fwrite(&small, sizeof(small), 1, out);
	else
		fwrite(&ehdr, sizeof(ehdr), 1, out);
}

static void put_phdr(const struct dump *dump, FILE *out, const Elf64_Phdr *phdr)
{
	const Elf32_Phdr small = {
		.p_type = phdr->p_type,
		.p_flags = phdr->p_flags,
		.p_offset = phdr->p_offset,
		.p_vaddr = phdr->p_vaddr,
		.p_filesz = phdr->p_filesz,
		.p_memsz = phdr->p_memsz,
		.p_align = phdr->p_align,
	};

	if (dump->elf32)
		fwrite(&small, sizeof(small), 1, out);
	else
		fwrite(phdr, sizeof(*phdr), 1, out);
}

/* put_shdr() - write the section header that holds the number of program headers */
static void put_shdr(const struct dump *dump, FILE *out, size_t phnum)
{
	const Elf32_Shdr small = { .sh_size = 1, .sh_info = phnum };
	const Elf64_Shdr shdr = { .sh_size = 1, .sh_info = phnum };

	if (dump->elf32)
		fwrite(&small, sizeof(small), 1, out);
	else
		fwrite(&shdr, sizeof(shdr), 1, out);
}

static void put_headers(const struct dump *dump, FILE *out, size_t notes_length)
{
	const size_t phnum = dump->count + 1;
	const struct segment *seg;
	Elf64_Phdr phdr = {
		.p_type = PT_NOTE,
		.p_offset = headers_size(dump),
		.p_filesz = notes_length,
		.p_align = 4,
	};

	put_ehdr(dump, out, phnum);
	put_phdr(dump, out, &phdr);
	for (seg = dump->segments; seg < dump->segments + dump->count; seg++) {
		phdr = (Elf64_Phdr){
			.p_type = PT_LOAD,
			.p_flags = segment_flags(seg->map),
			.p_offset = seg->file_offset,
			.p_vaddr = seg->start,
			.p_filesz = seg->data_end - seg->start,
			.p_memsz = seg->end - seg->start,
			.p_align = PAGE,
		};
		put_phdr(dump, out, &phdr);
	}
	if (phnum >= PN_XNUM)
		put_shdr(dump, out, phnum);
}

/* write_headers() - write the headers and the notes */
static void write_headers(struct dump *dump, const void *notes, size_t notes_length)
{
	char *headers = NULL;
	size_t length;
	FILE *out = open_memstream(&headers, &length);

	if (!out)
		fail(ENOMEM, "ELF headers");
	put_headers(dump, out, notes_length);
	if (fclose(out))
		fail(ENOMEM, "ELF headers");
	write_bytes(dump, headers, length);
	write_bytes(dump, notes, notes_length);
	free(headers);
}

/* --- the command --- */

/* check_output() - find out the kind of the output, and whether the core fits */
static void check_output(struct dump *dump)
{
	const char *try = dump->args->flags & PVMREAD_RESIDENT ? "" : "; try --resident";
	struct stat st;

	if (fstat(dump->file, &st))
		fail(errno, "%s", dump->args->output);
	dump->stream = !S_ISREG(st.st_mode) || !strcmp(dump->args->output, "-");
	if (dump->stream && isatty(dump->file))
		fail(0, "cannot write a core to a terminal; use a file or a pipe");
	/*
	 * Do this first, because it needs no space: a core that is too large for the
	 * file system fails now instead of after hours. The file may also end with a
	 * hole.
	 */
	if (!dump->stream && ftruncate(dump->file, dump->file_end))
		fail(0, "write %s: %s bytes, including holes: %s%s", dump->args->output,
		     human_size(dump->file_end), strerror(errno), try);
}

/* dump_target() - write the complete core and give it its name, or fail() */
static void dump_target(struct dump *dump)
{
	const struct target *target = dump->target;
	struct target resident = *target;
	struct threads threads;
	size_t notes_length;
	struct maps maps;
	struct walk walk;
	void *notes;

	maps_load(&maps, target, MAPS_FULL);
	dump->elf32 = is_elf32(target);
	dump->filter = dump->args->has_filter ? dump->args->filter : read_filter(target);
	threads_load(&threads, target, dump->args->verbose);
	walk_start(&walk, target, dump->args->flags);
	/* Building the notes must not fault pages in. */
	resident.fd = walk.resident;
	notes = notes_make(&resident, &maps, &threads, dump->elf32, dump->args->guess,
			   &notes_length);
	dump->file = output_open(dump->args->output);
	select_memory(dump, &walk, &maps);
	lay_out(dump, headers_size(dump) + notes_length);

	check_output(dump);
	write_headers(dump, notes, notes_length);
	dump_memory(dump, &walk);
	walk_end(&walk);
	threads_check(&threads, target);
	output_commit();

	free(notes);
	free(threads.threads);
	free(dump->segments);
	maps_free(&maps);
}

int cmd_dump(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "output", 'o', "FILE", 0,
		  "Write to FILE (- is standard output), renamed into place when complete",
		  0 },
		{ "filter", OPT_FILTER, "BITS", 0,
		  "Use these bits instead of the process's coredump_filter", 0 },
		{ "all", 'a', NULL, 0,
		  "Dump all readable mappings, even those with MADV_DONTDUMP", 0 },
		{ "guess-frame-pointer", OPT_GUESS, NULL, 0,
		  "Look for each thread's frame pointer on its stack", 0 },
		{ "verbose", 'v', NULL, 0, "List the threads, and everything not in the core", 0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.children = access_children,
		.args_doc = "PID -o FILE",
		.doc = "Write the memory of process PID to an ELF core file.\v"
		       "The process runs while its memory is read. The core has the mappings that "
		       "the kernel would dump: /proc/PID/coredump_filter and MADV_DONTDUMP select "
		       "them. Unreadable memory is skipped; --verbose lists all of it. Pages of "
		       "zeros become holes in FILE. Only its owner can read FILE, because it may "
		       "contain secrets.\n\n"
		       "For a thread that waits in a system call, the core has the program "
		       "counter, the stack pointer, and the call's number and arguments. For each "
		       "thread of a 64-bit program, it has the base of the thread-local variables. "
		       "The other registers are 0. This command works only on x86-64.\n\n"
		       "Exit status: 0 for success, 1 if memory that should be readable was not, "
		       "2 for trouble.",
	};
	struct arguments args = {};
	struct target target;
	struct dump dump = { .args = &args, .target = &target };

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (!KNOWS_REGISTERS)
		fail(0, "dump works only on x86-64");
	target_open(&target, args.pid, args.flags);
	catch_signals();
	dump_target(&dump);
	if (dump.not_resident)
		warn_about(0, "%s: %" PRIu64 " bytes were not resident and are not in the core",
			   target.name, dump.not_resident);
	if (dump.not_dumped && args.verbose)
		warn_about(0, "%s: %" PRIu64 " bytes with MADV_DONTDUMP are not in the core",
			   target.name, dump.not_dumped);
	if (args.all)
		warn_about(0, "%s: the core includes memory that the process asked to keep out of "
			   "cores", target.name);
	return dump.missing ? EXIT_PART : EXIT_DONE;
}
