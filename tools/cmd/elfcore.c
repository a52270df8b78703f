// SPDX-License-Identifier: GPL-2.0-only
/*
 * The notes of a core file of an x86 process that is not stopped.
 *
 * Only a tracer can read registers. For a thread that waits in a system call, the
 * kernel also shows the program counter, the stack pointer and the call's arguments in
 * /proc. With those and call frame information, a debugger can unwind functions that
 * address their frames by the stack pointer. The base of thread-local variables is
 * found through the list of robust mutexes. The other callee-saved registers and the
 * floating point state are 0.
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
#include <sys/syscall.h>
#include <sys/user.h>
#include <unistd.h>

#include "elfcore.h"

/* No file of /proc that is read here is larger. */
#define PROC_MAX	65536
/* Milliseconds to wait for running threads to block. */
#define NAPS_MAX	1000
/* The segment registers of user space, which are constant. */
#define USER_CS		0x33
#define USER_CS32	0x23
#define USER_DS		0x2b

/* struct compat_elf_prpsinfo of the kernel's include/linux/elfcore-compat.h */
struct prpsinfo32 {
	char pr_state;
	char pr_sname;
	char pr_zomb;
	char pr_nice;
	uint32_t pr_flag;
	uint16_t pr_uid;
	uint16_t pr_gid;
	int32_t pr_pid;
	int32_t pr_ppid;
	int32_t pr_pgrp;
	int32_t pr_sid;
	char pr_fname[16];
	char pr_psargs[80];
};

/* struct compat_elf_prstatus, with the registers of an i386 */
struct prstatus32 {
	int32_t pr_info[3];
	int16_t pr_cursig;
	uint32_t pr_sigpend;
	uint32_t pr_sighold;
	int32_t pr_pid;
	int32_t pr_ppid;
	int32_t pr_pgrp;
	int32_t pr_sid;
	int32_t pr_times[8];
	uint32_t ebx, ecx, edx, esi, edi, ebp, eax, ds, es, fs, gs, orig_eax, eip, cs, eflags,
		 esp, ss;
	int32_t pr_fpvalid;
};

_Static_assert(sizeof(struct prpsinfo32) == 124, "as the kernel has it");
_Static_assert(sizeof(struct prstatus32) == 144, "as the kernel has it");

/* read_proc() - a file below /proc/PID, with a NUL appended, or NULL with errno */
static char *read_proc(const struct target *target, const char *name, size_t *length)
{
	return proc_read(target, name, PROC_MAX, length);
}

/* must_read_proc() - read_proc(), or fail() */
static char *must_read_proc(const struct target *target, const char *name, size_t *length)
{
	char *bytes = read_proc(target, name, length);
	int error = errno;

	if (!target_is_alive(target))
		fail(0, "%s: has exited", target->name);
	if (!bytes)
		fail(error, "/proc/%d/%s", target->tid, name);
	return bytes;
}

/* auxv_value64() - the value of @type in a 64-bit auxiliary vector, or 0 */
static uint64_t auxv_value64(const char *auxv, size_t length, uint64_t type)
{
	Elf64_auxv_t entry;
	size_t i;

	for (i = 0; i + sizeof(entry) <= length; i += sizeof(entry)) {
		memcpy(&entry, auxv + i, sizeof(entry));
		if (entry.a_type == type)
			return entry.a_un.a_val;
	}
	return 0;
}

static uint32_t auxv_value32(const char *auxv, size_t length, uint32_t type)
{
	Elf32_auxv_t entry;
	size_t i;

	for (i = 0; i + sizeof(entry) <= length; i += sizeof(entry)) {
		memcpy(&entry, auxv + i, sizeof(entry));
		if (entry.a_type == type)
			return entry.a_un.a_val;
	}
	return 0;
}

bool is_elf32(const struct target *target)
{
	char *auxv, platform[8] = "";
	size_t length;
	bool elf32;

	auxv = must_read_proc(target, "auxv", &length);
	/* Do not use the program's file: this user may not be allowed to read it. */
	if (auxv_value64(auxv, length, AT_PHENT) == sizeof(Elf64_Phdr)) {
		elf32 = false;
	} else if (auxv_value32(auxv, length, AT_PHENT) == sizeof(Elf32_Phdr)) {
		elf32 = true;
		pvmread_read_string(target->fd, auxv_value32(auxv, length, AT_PLATFORM), platform,
				    sizeof(platform));
	} else {
		fail(0, "%s: not an ELF program", target->name);
	}
	if (!strcmp(platform, "x86_64"))
		fail(0, "%s: x32 programs are not supported", target->name);
	free(auxv);
	return elf32;
}

/* --- threads --- */

/* read_syscall() - where the thread waits; "" if it has ended or the kernel does not tell */
static void read_syscall(const struct target *target, struct thread *thread)
{
	static unsigned int naps;
	char path[64], *line;
	size_t length;
	int attempt;

	snprintf(path, sizeof(path), "task/%d/syscall", thread->tid);
	/* Retry: a thread that runs in short bursts soon waits. All threads share NAPS_MAX. */
	for (attempt = 0; !attempt || (attempt < 10 && naps < NAPS_MAX); attempt++) {
		if (attempt) {
			usleep(1000);
			naps++;
		}
		line = read_proc(target, path, &length);
		snprintf(thread->syscall, sizeof(thread->syscall), "%s", line ?: "");
		free(line);
		if (strncmp(thread->syscall, "running", 7))
			break;
	}
	thread->syscall[strcspn(thread->syscall, "\n")] = '\0';
}

/* is_zombie() - whether it has ended; the main thread may end before the others */
static bool is_zombie(const struct target *target, pid_t tid)
{
	char path[64], *stat, *name_end;
	size_t length;
	bool zombie;

	snprintf(path, sizeof(path), "task/%d/stat", tid);
	stat = read_proc(target, path, &length);
	name_end = stat ? strrchr(stat, ')') : NULL;
	zombie = name_end && !strncmp(name_end, ") Z", 3);
	free(stat);
	return zombie;
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
	/* A debugger shows the first one. TIDs wrap, so the main thread's may not be the lowest. */
	if (!is_zombie(target, target->pid))
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
		warn_about(0, "%s: %zu of %zu threads are running, so the core has no registers of "
			   "them", target->name, unknown, threads->count);
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
			warn_about(0, "%s: thread %d has run: its stack may not match its "
				   "registers", target->name, now.tid);
	}
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
 * read_arguments() - the command line as in a core of the kernel, see fill_psinfo()
 *
 * Does not read /proc/PID/cmdline, because that faults pages in despite --nowait and --resident.
 * @stat is the text of /proc/PID/stat after the name: fields 3 and up.
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

/* read_process() - read the facts about the process for the notes */
static void read_process(const struct target *target, struct elf_prpsinfo *info)
{
	size_t length;
	char *text, *end;
	long nice;
	int i;

	text = must_read_proc(target, "stat", &length);
	/* The name can contain blanks and parentheses. */
	end = strrchr(text, ')');
	if (!end || sscanf(end, ") %c %d %d %d %*d %*d %lu %*u %*u %*u %*u %*u %*u %*d %*d %*d %ld",
			   &info->pr_sname, &info->pr_ppid, &info->pr_pgrp, &info->pr_sid,
			   &info->pr_flag, &nice) != 6)
		fail(0, "/proc/%d/stat: not in the format of proc(5)", target->tid);
	info->pr_pid = target->pid;
	info->pr_nice = nice;
	info->pr_zomb = info->pr_sname == 'Z';
	for (i = 0; i < 6 && "RSDTZW"[i] != info->pr_sname; i++)
		info->pr_state = i + 1;
	read_arguments(target, end + 1, info->pr_psargs, sizeof(info->pr_psargs));
	free(text);

	text = must_read_proc(target, "status", &length);
	end = strstr(text, "\nUid:");
	if (end)
		info->pr_uid = strtoul(end + 5, NULL, 10);
	end = strstr(text, "\nGid:");
	if (end)
		info->pr_gid = strtoul(end + 5, NULL, 10);
	free(text);

	text = must_read_proc(target, "comm", &length);
	text[strcspn(text, "\n")] = '\0';
	memcpy(info->pr_fname, text, MIN(strlen(text), sizeof(info->pr_fname) - 1));
	free(text);
}

/* add_prpsinfo() - add the note about the process */
static void add_prpsinfo(FILE *out, const struct elf_prpsinfo *info, bool elf32)
{
	struct prpsinfo32 small = {
		.pr_state = info->pr_state,
		.pr_sname = info->pr_sname,
		.pr_zomb = info->pr_zomb,
		.pr_nice = info->pr_nice,
		.pr_flag = info->pr_flag,
		.pr_uid = info->pr_uid,
		.pr_gid = info->pr_gid,
		.pr_pid = info->pr_pid,
		.pr_ppid = info->pr_ppid,
		.pr_pgrp = info->pr_pgrp,
		.pr_sid = info->pr_sid,
	};

	memcpy(small.pr_fname, info->pr_fname, sizeof(small.pr_fname));
	memcpy(small.pr_psargs, info->pr_psargs, sizeof(small.pr_psargs));
	if (elf32)
		add_note(out, "CORE", NT_PRPSINFO, &small, sizeof(small));
	else
		add_note(out, "CORE", NT_PRPSINFO, info, sizeof(*info));
}

/**
 * struct waiting - where a thread waits, from /proc/PID/task/TID/syscall
 * @known: the kernel has told it
 * @call: the number of the system call, or -1: it waits for a page
 */
struct waiting {
	bool known;
	long long call;
	unsigned long long arg[6];
	unsigned long long sp;
	unsigned long long pc;
};

static struct waiting parse_syscall(const struct thread *thread)
{
	struct waiting at = {};

	if (sscanf(thread->syscall, "%lld %llx %llx %llx %llx %llx %llx %llx %llx", &at.call,
		   &at.arg[0], &at.arg[1], &at.arg[2], &at.arg[3], &at.arg[4], &at.arg[5],
		   &at.sp, &at.pc) == 9 ||
	    sscanf(thread->syscall, "%lld %llx %llx", &at.call, &at.sp, &at.pc) == 3)
		at.known = true;
	else
		at = (struct waiting){ .call = -1 };
	return at;
}

#ifdef __x86_64__
/**
 * thread_pointer() - fs_base of an x86-64 thread, without asking ptrace
 *
 * The C library registers a list of robust mutexes for each thread. The head of the list is
 * in the block that fs_base points to. In glibc and musl that block begins with its own
 * address.
 *
 * Return: the address, or 0 if there is none.
 */
static uint64_t thread_pointer(const struct target *target, pid_t tid)
{
	enum { BLOCK_MAX = 4096 };
	uint64_t words[BLOCK_MAX / sizeof(uint64_t)], start;
	size_t length, i;
	uintptr_t head;

	if (syscall(SYS_get_robust_list, tid, &head, &length) || head < BLOCK_MAX || head % 8)
		return 0;
	start = head - BLOCK_MAX;
	if (pvmread_read(target->fd, start, words, sizeof(words)) != sizeof(words)) {
		/* The block may be at the start of its mapping. */
		start = head & ~(uint64_t)(BLOCK_MAX - 1);
		memset(words, 0, sizeof(words));
		if (pvmread_read(target->fd, start, words, head - start) <= 0)
			return 0;
	}
	for (i = BLOCK_MAX / sizeof(*words); i-- > 0; )
		if (words[i] && words[i] == start + i * sizeof(*words))
			return words[i];
	return 0;
}

/* set_registers() - set the known registers; the others stay 0 */
static void set_registers(elf_gregset_t *set, const struct target *target,
			  const struct maps *maps, pid_t tid, const struct waiting *at,
			  bool guess)
{
	struct user_regs_struct regs = {
		.cs = USER_CS,
		.ss = USER_DS,
		.rdi = at->arg[0],
		.rsi = at->arg[1],
		.rdx = at->arg[2],
		.r10 = at->arg[3],
		.r8 = at->arg[4],
		.r9 = at->arg[5],
		.rip = at->pc,
		.rsp = at->sp,
		.orig_rax = at->call,
		.fs_base = thread_pointer(target, tid),
	};

	if (at->known && at->call >= 0) {
		/* The values that the registers have during a system call. */
		regs.rax = -ENOSYS;
		regs.rcx = at->pc;
	}
	if (guess && at->sp)
		regs.rbp = guess_frame(target, maps, at->sp);
	_Static_assert(sizeof(regs) == sizeof(*set), "the kernel's order of registers");
	memcpy(set, &regs, sizeof(regs));
}
#else
/* Never called: cmd_dump() fails first on these architectures. */
static void set_registers(elf_gregset_t *set, const struct target *target,
			  const struct maps *maps, pid_t tid, const struct waiting *at,
			  bool guess)
{
	(void)set, (void)target, (void)maps, (void)tid, (void)at, (void)guess;
}
#endif

static void add_prstatus32(FILE *out, const struct elf_prpsinfo *info, pid_t tid,
			   const struct waiting *at)
{
	struct prstatus32 status = {
		.pr_pid = tid,
		.pr_ppid = info->pr_ppid,
		.pr_pgrp = info->pr_pgrp,
		.pr_sid = info->pr_sid,
		.ebx = at->arg[0],
		.ecx = at->arg[1],
		.edx = at->arg[2],
		.esi = at->arg[3],
		.edi = at->arg[4],
		.ebp = at->arg[5],
		.eax = at->known ? -ENOSYS : 0,
		.orig_eax = at->call,
		.eip = at->pc,
		.esp = at->sp,
		.cs = USER_CS32,
		.ds = USER_DS,
		.es = USER_DS,
		.ss = USER_DS,
	};

	add_note(out, "CORE", NT_PRSTATUS, &status, sizeof(status));
}

static void add_prstatus64(FILE *out, const struct target *target, const struct maps *maps,
			   const struct elf_prpsinfo *info, pid_t tid, const struct waiting *at,
			   bool guess)
{
	struct elf_prstatus status = {
		.pr_pid = tid,
		.pr_ppid = info->pr_ppid,
		.pr_pgrp = info->pr_pgrp,
		.pr_sid = info->pr_sid,
	};

	set_registers(&status.pr_reg, target, maps, tid, at, guess);
	add_note(out, "CORE", NT_PRSTATUS, &status, sizeof(status));
}

/* put_long() - append a long of the target */
static void put_long(FILE *out, uint64_t value, bool elf32)
{
	fwrite(&value, elf32 ? 4 : 8, 1, out);
}

/* add_file() - add the note of mapped files, in the format of the kernel's fill_files_note() */
static void add_file(FILE *out, const struct maps *maps, bool elf32)
{
	const uint64_t page = sysconf(_SC_PAGESIZE);
	const struct mapping *map;
	char *desc = NULL;
	uint64_t count = 0;
	size_t length;
	FILE *text = open_memstream(&desc, &length);

	if (!text)
		fail(ENOMEM, "notes");
	for (map = maps->maps; map < maps->maps + maps->count; map++)
		count += *map->name == '/';
	put_long(text, count, elf32);
	put_long(text, page, elf32);
	for (map = maps->maps; map < maps->maps + maps->count; map++) {
		if (*map->name != '/')
			continue;
		put_long(text, map->start, elf32);
		put_long(text, map->end, elf32);
		put_long(text, map->offset / page, elf32);
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
		 const struct threads *threads, bool elf32, bool guess, size_t *length)
{
	struct elf_prpsinfo info = {};
	char *notes = NULL, *auxv;
	struct waiting at;
	size_t i, auxv_length;
	FILE *out = open_memstream(&notes, length);

	if (!out)
		fail(ENOMEM, "notes");
	read_process(target, &info);
	for (i = 0; i < threads->count; i++) {
		at = parse_syscall(&threads->threads[i]);
		if (elf32)
			add_prstatus32(out, &info, threads->threads[i].tid, &at);
		else
			add_prstatus64(out, target, maps, &info, threads->threads[i].tid, &at,
				       guess);
		/*
		 * A thread's notes end at the next NT_PRSTATUS. The notes of the process follow
		 * the first NT_PRSTATUS.
		 */
		if (i)
			continue;
		add_prpsinfo(out, &info, elf32);
		auxv = must_read_proc(target, "auxv", &auxv_length);
		add_note(out, "CORE", NT_AUXV, auxv, auxv_length);
		free(auxv);
		add_file(out, maps, elf32);
	}
	if (fclose(out))
		fail(ENOMEM, "notes");
	return notes;
}
