// SPDX-License-Identifier: GPL-2.0-only
/*
 * The notes of a core file of an x86-64 process that is not stopped.
 *
 * Registers can be had of nobody but a tracer. What the kernel tells without
 * is where a thread that waits in a system call stands: the program counter, the
 * stack pointer, and the call's arguments. With those and call frame information
 * a debugger unwinds all that addresses its frames by the stack pointer. Code
 * that keeps a frame pointer needs rbp, too, which guess_frame() looks for on the
 * stack. The other callee-saved registers, the segment bases and the floating
 * point state stay 0.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/procfs.h>
#include <sys/user.h>
#include <unistd.h>

#include "elfcore.h"

#ifndef __x86_64__
#error "pvmread dump knows the registers of x86-64 only"
#endif

/* More than is needed of any file of /proc. */
#define PROC_MAX	65536
/* The words above the stack pointer among which the frame record is looked for. */
#define STACK_WORDS	8192
/* The value that user space has in these segment registers, always. */
#define USER_CS		0x33
#define USER_SS		0x2b

/**
 * read_proc() - a file below /proc/PID, with a NUL behind it
 *
 * %PROC_MAX bytes of it at most: a process can make its cmdline as long as it
 * likes.
 *
 * Return: the bytes, for free(), or NULL with errno.
 */
static char *read_proc(const struct target *target, const char *name, size_t *length)
{
	char path[96], *bytes;
	ssize_t got;
	int fd;

	*length = 0;
	snprintf(path, sizeof(path), "/proc/%d/%s", target->pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	bytes = malloc(PROC_MAX + 1);
	if (!bytes)
		fail(ENOMEM, "%s", path);
	do {
		got = read(fd, bytes + *length, PROC_MAX - *length);
		*length += MAX(got, 0);
	} while (got > 0);
	if (got < 0) {
		free(bytes);
		bytes = NULL;
	} else {
		bytes[*length] = '\0';
	}
	close(fd);
	return bytes;
}

/* need_proc() - read_proc(), or fail() */
static char *need_proc(const struct target *target, const char *name, size_t *length)
{
	char *bytes = read_proc(target, name, length);
	int error = errno;

	if (!target_is_alive(target))
		fail(0, "%s: has exited", target->name);
	if (!bytes)
		fail(error, "/proc/%d/%s", target->pid, name);
	return bytes;
}

void check_machine(const struct target *target)
{
	char path[64];
	Elf64_Ehdr header;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/exe", target->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : pread(fd, &header, sizeof(header), 0);
	if (got < 0)
		fail(errno, "%s", path);
	close(fd);
	if (got < (ssize_t)sizeof(header) || memcmp(header.e_ident, ELFMAG, SELFMAG) ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64)
		fail(0, "%s: not an x86-64 program; its registers are unknown to this version",
		     target->name);
}

/* --- threads --- */

/* read_syscall() - where the thread waits; "" if it is gone or the kernel does not tell */
static void read_syscall(const struct target *target, struct thread *thread)
{
	char path[64], *line;
	size_t length;
	int attempt;

	snprintf(path, sizeof(path), "task/%d/syscall", thread->tid);
	/* One that works in short bursts may be met at rest. */
	for (attempt = 0; attempt < 10; attempt++) {
		if (attempt)
			usleep(1000);
		line = read_proc(target, path, &length);
		snprintf(thread->syscall, sizeof(thread->syscall), "%s", line ?: "");
		free(line);
		if (strncmp(thread->syscall, "running", 7))
			break;
	}
	thread->syscall[strcspn(thread->syscall, "\n")] = '\0';
}

static int numerically(const struct dirent **a, const struct dirent **b)
{
	int x = atoi((*a)->d_name), y = atoi((*b)->d_name);

	return (x > y) - (x < y);
}

static int is_number(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void add_thread(struct threads *threads, const struct target *target, pid_t tid,
		       bool verbose)
{
	struct thread *thread = &threads->threads[threads->count++];
	char path[64], *name;
	size_t length;

	thread->tid = tid;
	read_syscall(target, thread);
	snprintf(path, sizeof(path), "task/%d/comm", tid);
	name = read_proc(target, path, &length);
	if (!name) {
		/* It has ended since its directory was listed. */
		threads->count--;
		return;
	}
	name[strcspn(name, "\n")] = '\0';
	if (verbose)
		fprintf(stderr, "thread %d (%s): %s\n", tid, printable(name),
			*thread->syscall ? thread->syscall : "registers unknown");
	free(name);
}

void threads_load(struct threads *threads, const struct target *target, bool verbose)
{
	size_t i, unknown = 0;
	struct dirent **entries;
	char path[64];
	int count;

	snprintf(path, sizeof(path), "/proc/%d/task", target->pid);
	count = scandir(path, &entries, is_number, numerically);
	if (count <= 0)
		fail(count ? errno : ESRCH, "%s", path);
	threads->threads = calloc(count + 1, sizeof(*threads->threads));
	if (!threads->threads)
		fail(ENOMEM, "%d threads", count);
	threads->count = 0;
	/* A debugger shows the first one; a wrapped number may be less than the main thread's. */
	add_thread(threads, target, target->pid, verbose);
	for (i = 0; i < (size_t)count; i++) {
		if (atoi(entries[i]->d_name) != target->pid)
			add_thread(threads, target, atoi(entries[i]->d_name), verbose);
		free(entries[i]);
	}
	free(entries);
	if (!target_is_alive(target))
		fail(0, "%s: has exited", target->name);

	for (i = 0; i < threads->count; i++)
		unknown += !strchr(threads->threads[i].syscall, 'x');
	snprintf(path, sizeof(path), "/proc/%d/syscall", target->pid);
	if (access(path, F_OK))
		warn_about(0, "%s: no registers in the core: this kernel has no %s", target->name,
			   path);
	else if (unknown)
		warn_about(0, "%s: %zu of %zu threads are running: without registers in the core",
			   target->name, unknown, threads->count);
}

void threads_check(const struct threads *threads, const struct target *target)
{
	struct thread now;
	size_t i;

	for (i = 0; i < threads->count; i++) {
		if (!strchr(threads->threads[i].syscall, 'x'))
			continue;
		now.tid = threads->threads[i].tid;
		read_syscall(target, &now);
		if (strcmp(now.syscall, threads->threads[i].syscall))
			warn_about(0, "%s: thread %d has run: its stack may not fit its registers",
				   target->name, now.tid);
	}
}

/* --- the frame pointer --- */

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
 * Goes through an entry of the procedure linkage table.
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
	/* A compiler may have moved something between the two. */
	return code[at] == 0x55 && memmem(code + at + 1, 16, "\x48\x89\xe5", 3);
}

/**
 * enum call - what ends at an address
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
		/* ff /2 with its ModRM byte, no, one or four bytes of offset, maybe SIB */
		for (length = 2; length <= 7; length++)
			if (code[7 - length] == 0xff && (code[8 - length] & 0x38) == 0x10)
				return CALL_UNKNOWN;
		return CALL_NONE;
	}
	return keeps_frame(target, callee) ? CALL_FRAME : CALL_PLAIN;
}

/**
 * guess_frame() - what rbp is likely to be
 * @sp: the thread's stack pointer
 *
 * The innermost function that keeps a frame pointer has left a record on the
 * stack, [rbp of its caller][return address], and rbp points there, as what it
 * calls preserves rbp or says where it has put it. The return address is that of a
 * call of such a function. If the call does not tell which function it calls, as
 * that of main() or of a thread's function, the saved rbp must look like one: an
 * address farther up on this stack, or the small number that the C library leaves
 * there. Both may be wrong, where old frames shine through unused words.
 *
 * Return: the address of the record; 0: none.
 */
static uint64_t guess_frame(const struct target *target, const struct maps *maps, uint64_t sp)
{
	/* A record lies where rsp is when push %rbp was done: at a multiple of 16. */
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

/* --- notes --- */

static void add_note(FILE *out, const char *name, uint32_t type, const void *desc, size_t length)
{
	const Elf64_Nhdr header = {
		.n_namesz = strlen(name) + 1,
		.n_descsz = length,
		.n_type = type,
	};
	static const char padding[4];

	fwrite(&header, sizeof(header), 1, out);
	fwrite(name, header.n_namesz, 1, out);
	fwrite(padding, -header.n_namesz & 3, 1, out);
	fwrite(desc, length, 1, out);
	fwrite(padding, -length & 3, 1, out);
}

/*
 * read_arguments() - the command line, as fill_psinfo() of the kernel has it in a core
 *
 * Not from /proc/PID/cmdline, which faults pages in whatever --nowait and --resident say.
 * @stat is the text of /proc/PID/stat behind the name: its fields 3 and on.
 */
static void read_arguments(const struct target *target, const char *stat, char *args, size_t size)
{
	enum { FIRST = 3, ARG_START = 48 };
	unsigned long long start, end;
	ssize_t got, i;
	int field;

	for (field = FIRST; stat && field < ARG_START; field++)
		stat = strchr(stat + 1, ' ');
	if (!stat || sscanf(stat, "%llu %llu", &start, &end) != 2 || start >= end)
		return;
	got = pvmread_read(target->fd, start, args, MIN(end - start, size - 1));
	if (got > 0 && !args[got - 1])
		got--;
	for (i = 0; i < got; i++)
		if (!args[i])
			args[i] = ' ';
}

/* add_prpsinfo() - the process; also fills in @status what all threads have */
static void add_prpsinfo(FILE *out, const struct target *target, struct elf_prstatus *status)
{
	struct elf_prpsinfo info = {};
	size_t length;
	char *text, *end;
	long nice;
	int i;

	text = need_proc(target, "stat", &length);
	/* The name may have blanks and parentheses itself. */
	end = strrchr(text, ')');
	if (!end || sscanf(end, ") %c %d %d %d %*d %*d %lu %*u %*u %*u %*u %*u %*u %*d %*d %*d %ld",
			   &info.pr_sname, &info.pr_ppid, &info.pr_pgrp, &info.pr_sid,
			   &info.pr_flag, &nice) != 6)
		fail(0, "/proc/%d/stat: not as proc(5) has it", target->pid);
	info.pr_pid = target->pid;
	info.pr_nice = nice;
	info.pr_zomb = info.pr_sname == 'Z';
	for (i = 0; i < 6 && "RSDTZW"[i] != info.pr_sname; i++)
		info.pr_state = i + 1;
	read_arguments(target, end + 1, info.pr_psargs, sizeof(info.pr_psargs));
	free(text);

	text = need_proc(target, "status", &length);
	end = strstr(text, "\nUid:");
	if (end)
		info.pr_uid = strtoul(end + 5, NULL, 10);
	end = strstr(text, "\nGid:");
	if (end)
		info.pr_gid = strtoul(end + 5, NULL, 10);
	free(text);

	text = need_proc(target, "comm", &length);
	text[strcspn(text, "\n")] = '\0';
	memcpy(info.pr_fname, text, MIN(strlen(text), sizeof(info.pr_fname) - 1));
	free(text);

	status->pr_ppid = info.pr_ppid;
	status->pr_pgrp = info.pr_pgrp;
	status->pr_sid = info.pr_sid;
	add_note(out, "CORE", NT_PRPSINFO, &info, sizeof(info));
}

/* add_prstatus() - a thread, with the registers that are known of it */
static void add_prstatus(FILE *out, const struct target *target, const struct maps *maps,
			 const struct thread *thread, const struct elf_prstatus *common)
{
	struct user_regs_struct regs = { .cs = USER_CS, .ss = USER_SS };
	struct elf_prstatus status = *common;
	unsigned long long arg[6], sp, pc;
	long long call;

	if (sscanf(thread->syscall, "%lld %llx %llx %llx %llx %llx %llx %llx %llx", &call, &arg[0],
		   &arg[1], &arg[2], &arg[3], &arg[4], &arg[5], &sp, &pc) == 9) {
		regs.rdi = arg[0];
		regs.rsi = arg[1];
		regs.rdx = arg[2];
		regs.r10 = arg[3];
		regs.r8 = arg[4];
		regs.r9 = arg[5];
		/* As the kernel has them while the call goes on. */
		regs.orig_rax = call;
		regs.rax = -ENOSYS;
		regs.rcx = pc;
	} else if (sscanf(thread->syscall, "-1 %llx %llx", &sp, &pc) == 2) {
		/* It waits for a page. */
		regs.orig_rax = -1;
	} else {
		sp = 0;
		pc = 0;
	}
	regs.rip = pc;
	regs.rsp = sp;
	regs.rbp = sp ? guess_frame(target, maps, sp) : 0;
	status.pr_pid = thread->tid;
	_Static_assert(sizeof(regs) == sizeof(status.pr_reg), "the kernel's order of registers");
	memcpy(&status.pr_reg, &regs, sizeof(regs));
	add_note(out, "CORE", NT_PRSTATUS, &status, sizeof(status));
}

/* add_file() - which files are mapped where, in the format of the kernel's fill_files_note() */
static void add_file(FILE *out, const struct maps *maps)
{
	uint64_t head[2] = { 0, sysconf(_SC_PAGESIZE) };
	const struct mapping *map;
	char *desc = NULL;
	size_t length;
	FILE *text = open_memstream(&desc, &length);

	if (!text)
		fail(ENOMEM, "notes");
	for (map = maps->maps; map < maps->maps + maps->count; map++)
		head[0] += *map->name == '/';
	fwrite(head, sizeof(head), 1, text);
	for (map = maps->maps; map < maps->maps + maps->count; map++) {
		uint64_t entry[3] = { map->start, map->end, map->offset / head[1] };

		if (*map->name == '/')
			fwrite(entry, sizeof(entry), 1, text);
	}
	for (map = maps->maps; map < maps->maps + maps->count; map++)
		if (*map->name == '/')
			fwrite(map->name, strlen(map->name) + 1, 1, text);
	if (fclose(text))
		fail(ENOMEM, "notes");
	add_note(out, "CORE", NT_FILE, desc, length);
	free(desc);
}

void *notes_make(const struct target *target, const struct maps *maps,
		 const struct threads *threads, size_t *length)
{
	struct elf_prstatus common = {};
	char *notes = NULL, *auxv, *psinfo = NULL;
	size_t auxv_length, psinfo_length, i;
	FILE *out = open_memstream(&notes, length);
	FILE *info = open_memstream(&psinfo, &psinfo_length);

	if (!out || !info)
		fail(ENOMEM, "notes");
	add_prpsinfo(info, target, &common);
	if (fclose(info))
		fail(ENOMEM, "notes");

	/* A thread's notes go up to the next NT_PRSTATUS; the process's are with the first. */
	add_prstatus(out, target, maps, &threads->threads[0], &common);
	fwrite(psinfo, psinfo_length, 1, out);
	auxv = need_proc(target, "auxv", &auxv_length);
	add_note(out, "CORE", NT_AUXV, auxv, auxv_length);
	add_file(out, maps);
	for (i = 1; i < threads->count; i++)
		add_prstatus(out, target, maps, &threads->threads[i], &common);
	free(auxv);
	free(psinfo);
	if (fclose(out))
		fail(ENOMEM, "notes");
	return notes;
}
