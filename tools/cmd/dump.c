// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvmread dump: the memory of a process as an ELF core file.
 *
 * The file is laid out before a byte is read: headers, notes, then the
 * segments, each at an offset of its own. What turns out not to be readable, and
 * pages of zeros, are holes in the file.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libelf.h>

#include "cmd.h"
#include "elfcore.h"
#include "walk.h"

/* x86-64's; also what the program headers are aligned to. */
#define PAGE	4096

struct arguments {
	const char *pid;
	const char *output;
	unsigned int flags;
	bool verbose;
};

/**
 * struct segment - a PT_LOAD: a mapping, or a part of it
 * @absent: nothing of it is read
 * @file_offset: where its bytes are in the file
 * @file_size: the bytes up to the last one that could be read
 */
struct segment {
	const struct mapping *map;
	uint64_t start;
	uint64_t end;
	bool absent;
	uint64_t file_offset;
	uint64_t file_size;
};

/**
 * struct dump - a core file in the making
 * @file: its descriptor
 * @missing: bytes that could not be read, and should have been
 */
struct dump {
	const struct arguments *args;
	const struct target *target;
	int file;
	struct segment *segments;
	size_t count;
	size_t room;
	uint64_t file_end;
	uint64_t missing;
	uint64_t not_resident;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case 'o':
		args->output = arg;
		return 0;
	case 'R':
		args->flags |= PVMREAD_RESIDENT;
		return 0;
	case 'N':
		args->flags |= PVMREAD_NOWAIT;
		return 0;
	case 'v':
		args->verbose = true;
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
			argp_error(state, "no file given: -o FILE");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* --- what is where --- */

static void add_segment(struct dump *dump, const struct mapping *map, uint64_t start,
			uint64_t end, bool absent)
{
	if (dump->count == dump->room) {
		dump->room = MAX(2 * dump->room, 64);
		dump->segments = reallocarray(dump->segments, dump->room, sizeof(*dump->segments));
		if (!dump->segments)
			fail(ENOMEM, "%zu segments", dump->room);
	}
	dump->segments[dump->count++] = (struct segment){
		.map = map, .start = start, .end = end, .absent = absent,
	};
}

/*
 * add_mapping() - a segment, or with --resident one for each run of pages: what
 * is not there must not look like zeros, as a debugger takes it from the
 * program's file instead.
 */
static void add_mapping(struct dump *dump, const struct walk *walk, const struct mapping *map)
{
	uint64_t at, start, end;

	if (map->perms[0] != 'r') {
		add_segment(dump, map, map->start, map->end, true);
		return;
	}
	for (at = map->start; at < map->end && !interrupted; at = end) {
		start = at;
		end = map->end;
		if (!walk_present(walk, 0, &start, &end))
			start = end;
		if (at < start)
			add_segment(dump, map, at, start, true);
		if (start < end)
			add_segment(dump, map, start, end, false);
	}
}

/* lay_out() - give the segments their places in the file, behind @headers bytes */
static void lay_out(struct dump *dump, uint64_t headers)
{
	struct segment *seg;

	dump->file_end = roundup(headers, PAGE);
	for (seg = dump->segments; seg < dump->segments + dump->count; seg++) {
		seg->file_offset = dump->file_end;
		if (seg->absent)
			continue;
		if (seg->end - seg->start > INT64_MAX - dump->file_end)
			fail(0, "%s: maps more than a file can hold; try --resident",
			     dump->target->name);
		dump->file_end += seg->end - seg->start;
	}
}

/* --- memory --- */

/* is_kernels() - [vvar] and the like, which nobody but the process can read */
static bool is_kernels(const struct mapping *map)
{
	return !strncmp(map->name, "[vv", 3);
}

/* skip() - tell what is not in the file, and why */
static void skip(struct dump *dump, const struct mapping *map, uint64_t start, uint64_t end,
		 int error)
{
	const char *why = "past the end of its file, a device or a secret";

	if (map->perms[0] != 'r') {
		why = "not readable";
	} else if (is_kernels(map)) {
		why = "the kernel's";
	} else if (error == EIO && dump->args->flags & PVMREAD_RESIDENT) {
		dump->not_resident += end - start;
		if (!dump->args->verbose)
			return;
		why = "not resident";
	} else {
		dump->missing += end - start;
		if (error == EAGAIN)
			why = "would have to be waited for";
		else if (error != EIO)
			why = pvmread_strerror(error);
	}
	warn_about(0, "skipped 0x%" PRIx64 "-0x%" PRIx64 " %s, %" PRIu64 " bytes: %s", start, end,
		   *map->name ? printable(map->name) : "[anonymous]", end - start, why);
}

static void write_at(const struct dump *dump, const void *bytes, size_t length, uint64_t offset)
{
	ssize_t done;

	for (; length; bytes = (const char *)bytes + done, length -= done, offset += done) {
		done = pwrite(dump->file, bytes, length, offset);
		if (done < 0 && errno == EINTR && !interrupted)
			done = 0;
		else if (done <= 0)
			fail(done ? errno : EIO, "write %s", dump->args->output);
	}
}

/* write_sparse() - leave pages of zeros out */
static void write_sparse(const struct dump *dump, const unsigned char *bytes, size_t length,
			 uint64_t offset)
{
	static const unsigned char zeros[PAGE];
	size_t at, end, start = 0;
	bool zero;

	for (at = 0; at < length; at = end) {
		end = MIN(at + PAGE, length);
		zero = !memcmp(bytes + at, zeros, end - at);
		if (zero || end == length)
			write_at(dump, bytes + start, (zero ? at : end) - start, offset + start);
		if (zero)
			start = end;
	}
}

static void dump_segment(struct dump *dump, const struct walk *walk, struct segment *seg,
			 unsigned char *chunk)
{
	uint64_t at, length;
	int error;

	if (seg->absent) {
		skip(dump, seg->map, seg->start, seg->end, EIO);
		return;
	}
	for (at = seg->start; at < seg->end && !interrupted; at += length) {
		error = walk_read(walk, at, seg->end, chunk, &length);
		if (error) {
			skip(dump, seg->map, at, at + length, error);
		} else {
			write_sparse(dump, chunk, length, seg->file_offset + at - seg->start);
			seg->file_size = at + length - seg->start;
		}
		progress_update(seg->file_offset + at + length - seg->start);
	}
}

/* dump_memory() - all segments; sets their size in the file */
static void dump_memory(struct dump *dump, const struct walk *walk)
{
	unsigned char *chunk = malloc(WALK_CHUNK);
	size_t i;

	if (!chunk)
		fail(ENOMEM, "%d bytes", WALK_CHUNK);
	/*
	 * First, as it takes no room: what is too large for the file system shows
	 * now, not after hours. The file may end with a hole, too.
	 */
	if (ftruncate(dump->file, dump->file_end))
		fail(0, "write %s: %s bytes with holes: %s%s", dump->args->output,
		     human_size(dump->file_end), strerror(errno),
		     dump->args->flags & PVMREAD_RESIDENT ? "" : "; try --resident");
	progress_start("dump", dump->file_end);
	for (i = 0; i < dump->count && !interrupted; i++)
		dump_segment(dump, walk, &dump->segments[i], chunk);
	progress_clear();
	free(chunk);
	if (interrupted)
		die_of_signal();
}

/* --- headers --- */

/* headers_size() - of all in front of the notes */
static uint64_t headers_size(size_t phnum)
{
	uint64_t size = sizeof(Elf64_Ehdr) + phnum * sizeof(Elf64_Phdr);

	/* So many are counted by a section header, for which libelf wants two. */
	return phnum < PN_XNUM ? size : size + 2 * sizeof(Elf64_Shdr);
}

static uint32_t segment_flags(const struct mapping *map)
{
	return (map->perms[0] == 'r' ? PF_R : 0) | (map->perms[1] == 'w' ? PF_W : 0) |
	       (map->perms[2] == 'x' ? PF_X : 0);
}

/* make_headers() - by libelf, at the start of the empty file @fd */
static bool make_headers(const struct dump *dump, int fd, size_t notes_length)
{
	const size_t phnum = dump->count + 1;
	const struct segment *seg;
	Elf64_Phdr *phdr;
	Elf64_Shdr *shdr;
	Elf64_Ehdr *ehdr;
	bool ok;
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_WRITE, NULL);
	ehdr = elf ? elf64_newehdr(elf) : NULL;
	if (!ehdr)
		return false;
	ehdr->e_ident[EI_DATA] = ELFDATA2LSB;
	ehdr->e_type = ET_CORE;
	ehdr->e_machine = EM_X86_64;
	ehdr->e_version = EV_CURRENT;
	ehdr->e_phoff = sizeof(*ehdr);
	if (phnum >= PN_XNUM) {
		shdr = elf64_getshdr(elf_newscn(elf));
		if (!shdr)
			return false;
		ehdr->e_shoff = sizeof(*ehdr) + phnum * sizeof(*phdr);
		/* From the last section's place to the table libelf fills all with zeros. */
		shdr->sh_offset = ehdr->e_shoff;
	}
	phdr = elf64_newphdr(elf, phnum);
	if (!phdr)
		return false;

	*phdr++ = (Elf64_Phdr){
		.p_type = PT_NOTE,
		.p_offset = headers_size(phnum),
		.p_filesz = notes_length,
		.p_align = 4,
	};
	for (seg = dump->segments; seg < dump->segments + dump->count; seg++)
		*phdr++ = (Elf64_Phdr){
			.p_type = PT_LOAD,
			.p_flags = segment_flags(seg->map),
			.p_offset = seg->file_offset,
			.p_vaddr = seg->start,
			.p_filesz = seg->file_size,
			.p_memsz = seg->end - seg->start,
			.p_align = PAGE,
		};
	elf_flagelf(elf, ELF_C_SET, ELF_F_DIRTY | ELF_F_LAYOUT);
	ok = elf_update(elf, ELF_C_WRITE) >= 0;
	elf_end(elf);
	return ok;
}

/* write_headers() - through a file in memory, as libelf truncates what it writes to */
static void write_headers(const struct dump *dump, size_t notes_length)
{
	const size_t size = headers_size(dump->count + 1);
	void *headers;
	int fd;

	fd = memfd_create("headers", MFD_CLOEXEC);
	if (fd < 0)
		fail(errno, "memfd_create");
	if (!make_headers(dump, fd, notes_length))
		fail(0, "%s: ELF headers: %s", dump->args->output, elf_errmsg(-1));
	headers = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (headers == MAP_FAILED)
		fail(errno, "%s: ELF headers", dump->args->output);
	write_at(dump, headers, size, 0);
	munmap(headers, size);
	close(fd);
}

/* --- the command --- */

static void refuse_special(const char *path)
{
	struct stat st;

	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		fail(0, "%s: not a regular file; a core is written in pieces, give the name of one",
		     path);
}

/* dump_target() - the core, complete and under its name, or fail() */
static void dump_target(struct dump *dump)
{
	const struct target *target = dump->target;
	struct threads threads;
	const struct mapping *map;
	size_t notes_length;
	struct maps maps;
	struct walk walk;
	void *notes;

	maps_load(&maps, target, false);
	threads_load(&threads, target, dump->args->verbose);
	notes = notes_make(target, &maps, &threads, &notes_length);
	walk_start(&walk, target, dump->args->flags & PVMREAD_RESIDENT);
	for (map = maps.maps; map < maps.maps + maps.count && !interrupted; map++)
		/* [vsyscall] is in no process's half of the addresses. */
		if (map->end <= INT64_MAX)
			add_mapping(dump, &walk, map);
	if (interrupted)
		die_of_signal();

	dump->file = output_open(dump->args->output);
	lay_out(dump, headers_size(dump->count + 1) + notes_length);
	dump_memory(dump, &walk);
	threads_check(&threads, target);
	walk_end(&walk);
	write_at(dump, notes, notes_length, headers_size(dump->count + 1));
	write_headers(dump, notes_length);
	if (interrupted)
		die_of_signal();
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
		  "Write to FILE, which gets its name when it is complete", 0 },
		{ "resident", 'R', NULL, 0, "Only what is in the process's memory already", 0 },
		{ "nowait", 'N', NULL, 0, "Only what can be had without waiting", 0 },
		{ "verbose", 'v', NULL, 0, "Tell the threads, and what was not resident", 0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "PID -o FILE",
		.doc = "Write the memory of process PID to an ELF core file.\v"
		       "The process is not stopped: its memory is read while it runs. Of a thread "
		       "that waits in a system call the core has the program counter, the stack "
		       "pointer, the call's arguments, and as rbp the innermost frame record found "
		       "on its stack, so that a debugger shows its calls; other registers are 0, "
		       "and so are all of a running thread. What cannot be read is skipped and "
		       "listed. FILE has holes for it and for pages of zeros, and is readable for "
		       "its owner only: it holds what secrets the process has. x86-64 only.\n\n"
		       "Exit status: 0, or 1 if memory that should be readable was not, 2 for trouble.",
	};
	struct arguments args = {};
	struct target target;
	struct dump dump = { .args = &args, .target = &target };

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	refuse_special(args.output);
	target_open(&target, args.pid, args.flags);
	check_machine(&target);
	catch_signals();
	dump_target(&dump);
	if (dump.not_resident)
		warn_about(0, "%s: %" PRIu64 " bytes were not resident and are not in the core",
			   target.name, dump.not_resident);
	return dump.missing ? EXIT_PART : EXIT_DONE;
}
