// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads core files of 32-bit and 64-bit processes, written by the kernel, gdb's gcore or
 * pvmread dump. The file may be damaged, or made to harm this program.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gelf.h>

#include "corefile.h"

/* More than any sensible vm.max_map_count. */
#define HEADERS_MAX	(16 << 20)
/* Larger notes are ignored: mapping names are not worth the memory. */
#define NOTES_MAX	(256 << 20)

/**
 * struct file_entry - an entry of NT_FILE: a mapping of a file
 * @path: in the note
 */
struct file_entry {
	uint64_t start;
	uint64_t end;
	uint64_t offset;
	const char *path;
};

struct file_entries {
	struct file_entry *entries;
	size_t count;
};

/* --- segments --- */

static int compare_segments(const void *a, const void *b)
{
	const struct core_segment *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* check_header() - check that it is a core file with all of its program headers */
static size_t check_header(struct core *core, Elf *elf, uint64_t file_size)
{
	GElf_Shdr shdr = {};
	GElf_Ehdr ehdr;
	size_t count, size;

	if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &ehdr))
		fail(0, "%s: not an ELF file", core->path);
	if (ehdr.e_type != ET_CORE)
		fail(0, "%s: an ELF file, but not a core file", core->path);
	core->elf_class = gelf_getclass(elf);
	core->machine = ehdr.e_machine;
	size = gelf_fsize(elf, ELF_T_PHDR, 1, EV_CURRENT);
	if (elf_getphdrnum(elf, &count))
		fail(0, "%s: damaged: program headers: %s", core->path, elf_errmsg(-1));
	if (ehdr.e_phnum && ehdr.e_phentsize != size)
		fail(0, "%s: damaged: its program headers have %d bytes each instead of %zu",
		     core->path, ehdr.e_phentsize, size);
	/* libelf counts only headers that lie within the file. */
	if (ehdr.e_phnum == PN_XNUM)
		gelf_getshdr(elf_getscn(elf, 0), &shdr);
	if (count != (ehdr.e_phnum == PN_XNUM && shdr.sh_info ? shdr.sh_info : ehdr.e_phnum) ||
	    ehdr.e_phoff > file_size || count > (file_size - ehdr.e_phoff) / size)
		fail(0, "%s: truncated: it ends within its program headers", core->path);
	/* libelf would read them all into memory. */
	if (count > HEADERS_MAX)
		fail(0, "%s: damaged: it has too many program headers (%zu)", core->path, count);
	return count;
}

/* check_segment() - check that a PT_LOAD is valid */
static void check_segment(const struct core *core, const GElf_Phdr *phdr, uint64_t file_size)
{
	if (phdr->p_memsz > INT64_MAX - phdr->p_vaddr)
		fail(0, "%s: damaged: its segment at 0x%" PRIx64 " is too large (0x%" PRIx64
		     " bytes)",
		     core->path, phdr->p_vaddr, phdr->p_memsz);
	if (phdr->p_filesz > phdr->p_memsz)
		fail(0, "%s: damaged: its segment 0x%" PRIx64 "-0x%" PRIx64
		     " is larger in the file than in memory", core->path, phdr->p_vaddr,
		     phdr->p_vaddr + phdr->p_memsz);
	if (phdr->p_filesz &&
	    (phdr->p_offset > file_size || phdr->p_filesz > file_size - phdr->p_offset))
		fail(0, "%s: truncated: the file has %" PRIu64 " bytes, but its segment 0x%" PRIx64
		     "-0x%" PRIx64 " begins at byte %" PRIu64 " and has %" PRIu64 " bytes",
		     core->path, file_size, phdr->p_vaddr, phdr->p_vaddr + phdr->p_memsz,
		     phdr->p_offset, phdr->p_filesz);
}

/* add_segment() - append one */
static void add_segment(struct core *core, const struct core_segment *segment)
{
	/* Doubles at each power of two. */
	if (!(core->count & (core->count - 1)))
		core->segments = reallocarray(core->segments, core->count ? 2 * core->count : 1,
					      sizeof(*core->segments));
	if (!core->segments)
		fail(ENOMEM, "%s: %zu segments", core->path, core->count);
	core->segments[core->count++] = *segment;
}

static void sort_segments(struct core *core)
{
	qsort(core->segments, core->count, sizeof(*core->segments), compare_segments);
}

/* load_segments() - load the segments with user memory, and find the notes */
static void load_segments(struct core *core, Elf *elf, uint64_t file_size, GElf_Phdr *notes)
{
	const size_t headers = check_header(core, elf, file_size);
	GElf_Phdr phdr;
	size_t i;

	for (i = 0; i < headers; i++) {
		if (!gelf_getphdr(elf, i, &phdr))
			fail(0, "%s: damaged: program headers: %s", core->path, elf_errmsg(-1));
		if (phdr.p_type == PT_NOTE && !notes->p_filesz)
			*notes = phdr;
		/* [vsyscall] is a kernel address. */
		if (phdr.p_type != PT_LOAD || !phdr.p_memsz || phdr.p_vaddr > INT64_MAX)
			continue;
		check_segment(core, &phdr, file_size);
		add_segment(core, &(struct core_segment){
			.start = phdr.p_vaddr,
			.end = phdr.p_vaddr + phdr.p_memsz,
			.offset = phdr.p_offset,
			.file_size = phdr.p_filesz,
			.flags = phdr.p_flags,
		});
	}
	if (!core->count)
		fail(0, "%s: the core file contains no memory", core->path);
	sort_segments(core);
	for (i = 1; i < core->count; i++)
		if (core->segments[i].start < core->segments[i - 1].end)
			fail(0, "%s: damaged: two of its segments overlap at 0x%" PRIx64,
			     core->path, core->segments[i].start);
}

/* --- names --- */

/* get_word() - an address, in the size and byte order of the file */
static uint64_t get_word(const char *ident, const char *at)
{
	const bool big = ident[EI_DATA] == ELFDATA2MSB;
	uint64_t word;
	uint32_t half;

	if (ident[EI_CLASS] == ELFCLASS64) {
		memcpy(&word, at, sizeof(word));
		return big ? be64toh(word) : le64toh(word);
	}
	memcpy(&half, at, sizeof(half));
	return big ? be32toh(half) : le32toh(half);
}

static int compare_entries(const void *a, const void *b)
{
	const struct file_entry *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/*
 * parse_file_note() - NT_FILE, in the format of the kernel's fill_files_note()
 *
 * Ignores incomplete entries.
 */
static void parse_file_note(const struct core *core, const char *ident, const char *note,
			    size_t length, struct file_entries *files)
{
	const size_t word = ident[EI_CLASS] == ELFCLASS64 ? 8 : 4;
	const char *path, *end = note + length;
	uint64_t count, page, i;

	if (length < 2 * word)
		return;
	count = get_word(ident, note);
	page = get_word(ident, note + word);
	note += 2 * word;
	if (count > (size_t)(end - note) / (3 * word))
		return;
	files->entries = calloc(count + 1, sizeof(*files->entries));
	if (!files->entries)
		fail(ENOMEM, "%s: %" PRIu64 " files", core->path, count);
	path = note + 3 * word * count;
	for (i = 0; i < count && memchr(path, '\0', end - path); i++, note += 3 * word) {
		files->entries[i] = (struct file_entry){
			.start = get_word(ident, note),
			.end = get_word(ident, note + word),
			.offset = get_word(ident, note + 2 * word) * page,
			.path = path,
		};
		path += strlen(path) + 1;
	}
	files->count = i;
	qsort(files->entries, files->count, sizeof(*files->entries), compare_entries);
}

/* load_files() - the entries of NT_FILE, if there are any; their paths belong to @elf */
static void load_files(const struct core *core, Elf *elf, uint64_t file_size,
		       const GElf_Phdr *notes, struct file_entries *files)
{
	const char *ident = elf_getident(elf, NULL);
	size_t at = 0, next, name, desc;
	Elf_Data *data;
	GElf_Nhdr note;

	if (!notes->p_filesz || notes->p_filesz > NOTES_MAX || notes->p_offset > file_size ||
	    notes->p_filesz > file_size - notes->p_offset)
		return;
	data = elf_getdata_rawchunk(elf, notes->p_offset, notes->p_filesz,
				    notes->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
	if (!data)
		return;
	for (; (next = gelf_getnote(data, at, &note, &name, &desc)); at = next)
		if (note.n_type == NT_FILE && note.n_namesz == sizeof("CORE") && !files->entries &&
		    !memcmp((char *)data->d_buf + name, "CORE", sizeof("CORE")))
			parse_file_note(core, ident, (char *)data->d_buf + desc, note.n_descsz,
					files);
}

/*
 * add_files() - add a segment for each part of a mapped file that has none
 *
 * gcore leaves out memory that a debugger can read from the file.
 */
static void add_files(struct core *core, const struct file_entries *files)
{
	const size_t count = core->count;
	const struct file_entry *file;
	uint64_t at = 0, end;
	size_t next = 0;

	for (file = files->entries; file < files->entries + files->count; file++) {
		at = MAX(at, file->start);
		while (at < file->end && file->end <= INT64_MAX) {
			while (next < count && core->segments[next].end <= at)
				next++;
			end = next < count ? core->segments[next].start : UINT64_MAX;
			if (end <= at) {
				at = core->segments[next].end;
				continue;
			}
			end = MIN(end, file->end);
			add_segment(core, &(struct core_segment){ .start = at, .end = end });
			at = end;
		}
	}
	sort_segments(core);
}

/* find_file() - the file that is mapped at @addr, or NULL */
static const struct file_entry *find_file(const struct file_entries *files, uint64_t addr)
{
	size_t first = 0, last = files->count, middle;

	while (first < last) {
		middle = first + (last - first) / 2;
		if (files->entries[middle].start <= addr)
			first = middle + 1;
		else
			last = middle;
	}
	return first && addr < files->entries[first - 1].end ? &files->entries[first - 1] : NULL;
}

/* number_of() - a number for a file's path, used instead of an inode number */
static uint64_t number_of(const char *path)
{
	uint64_t number = 0;

	while (*path)
		number = number * 1099511628211 + (unsigned char)*path++;
	return number | 1;
}

/* name_segments() - create a mapping for each segment */
static void name_segments(struct core *core, const struct file_entries *files)
{
	const struct file_entry *file;
	struct mapping *map;
	size_t i;

	core->maps.maps = calloc(core->count, sizeof(*core->maps.maps));
	if (!core->maps.maps)
		fail(ENOMEM, "%s: %zu segments", core->path, core->count);
	core->maps.count = core->count;
	for (i = 0; i < core->count; i++) {
		file = find_file(files, core->segments[i].start);
		map = &core->maps.maps[i];
		*map = (struct mapping){
			.start = core->segments[i].start,
			.end = core->segments[i].end,
			.inode = file ? number_of(file->path) : 0,
			.rss = UINT64_MAX,
			.perms = {
				core->segments[i].flags & PF_R ? 'r' : '-',
				core->segments[i].flags & PF_W ? 'w' : '-',
				core->segments[i].flags & PF_X ? 'x' : '-',
				'p',
			},
			.name = strdup(file ? file->path : ""),
		};
		if (!map->name)
			fail(ENOMEM, "%s", core->path);
	}
}

/* --- the file --- */

void core_open(struct core *core, const char *path)
{
	struct file_entries files = {};
	GElf_Phdr notes = {};
	struct stat st;
	Elf *elf;

	*core = (struct core){ .path = path };
	/* open() of a FIFO without a writer would never return. */
	core->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (core->fd < 0 || fstat(core->fd, &st))
		fail(errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		fail(0, "%s: not a regular file, so not a core file", path);
	elf_version(EV_CURRENT);
	/* Do not map it: if the file were truncated meanwhile, a load would raise SIGBUS. */
	elf = elf_begin(core->fd, ELF_C_READ, NULL);
	if (!elf)
		fail(0, "%s: %s", path, elf_errmsg(-1));
	load_segments(core, elf, st.st_size, &notes);
	load_files(core, elf, st.st_size, &notes, &files);
	add_files(core, &files);
	name_segments(core, &files);
	free(files.entries);
	elf_end(elf);
}

void core_close(struct core *core)
{
	maps_free(&core->maps);
	free(core->segments);
	close(core->fd);
}

/* hole_length() - the length of the hole at @offset in the file */
static uint64_t hole_length(const struct core *core, uint64_t offset)
{
	off_t data = lseek(core->fd, offset, SEEK_DATA);

	if (data < 0 && errno == ENXIO)
		return UINT64_MAX;
	return data <= (off_t)offset ? 0 : data - offset;
}

void core_read(const struct core *core, size_t segment, uint64_t addr, uint64_t end, void *buf,
	       struct piece *piece)
{
	const struct core_segment *from = &core->segments[segment];
	const uint64_t offset = from->offset + (addr - from->start);
	uint64_t length, hole, done;
	ssize_t got;

	*piece = (struct piece){ .addr = addr };
	if (addr - from->start >= from->file_size) {
		piece->kind = PIECE_ABSENT;
		piece->length = end - addr;
		piece->why = "not in the file";
		return;
	}
	length = MIN(end - addr, from->file_size - (addr - from->start));
	hole = hole_length(core, offset);
	if (hole) {
		piece->kind = PIECE_ZEROS;
		piece->length = MIN(hole, length);
		return;
	}
	piece->length = MIN(length, WALK_CHUNK);
	for (done = 0; done < piece->length; done += got) {
		got = pread(core->fd, (char *)buf + done, piece->length - done, offset + done);
		if (got < 0)
			fail(errno, "read %s", core->path);
		if (!got)
			fail(0, "%s: was truncated while it was read", core->path);
	}
}
