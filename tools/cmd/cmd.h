/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Declarations that the subcommands of pvmread share.
 */
#ifndef CMD_H
#define CMD_H

#include <argp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <libpvmread.h>

/**
 * enum exit_status - exit status of every subcommand, as in grep(1) and diff(1)
 * @EXIT_DONE: success
 * @EXIT_PART: a part is missing (the memory to read has a hole), or nothing was found
 * @EXIT_TROUBLE: no such process, no permission, wrong usage ...
 */
enum exit_status {
	EXIT_DONE	= 0,
	EXIT_PART	= 1,
	EXIT_TROUBLE	= 2,
};

/* The subcommands: argv[0] is "pvmread NAME"; the return is the exit status. */
int cmd_maps(int argc, char **argv);
int cmd_read(int argc, char **argv);
int cmd_write(int argc, char **argv);
int cmd_scan(int argc, char **argv);
int cmd_rescan(int argc, char **argv);
int cmd_strings(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_watch(int argc, char **argv);

/* --- errors --- */

/**
 * fail() - say what failed, on what, why and what to do, and exit
 * @error: errno of a system call, or 0. For an error of the device pass 0, and
 *	pvmread_strerror() in the message
 * @format: "read 0x1000 of process 12", without a newline
 *
 * Exits with EXIT_TROUBLE, and removes the temporary file of output_open(). After a caught
 * signal it prints nothing and calls die_of_signal().
 */
void fail(int error, const char *format, ...)
	__attribute__((noreturn, format(printf, 2, 3)));

/* warn_about() - the same, but does not exit */
void warn_about(int error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* --- the target --- */

/**
 * enum proc - which processes /proc shows
 * @PROC_OURS: those of our PID namespace, with the same numbers
 * @PROC_FOREIGN: those of another PID namespace: a number means another process
 * @PROC_MISSING: it is not mounted
 */
enum proc {
	PROC_OURS,
	PROC_FOREIGN,
	PROC_MISSING,
};

/**
 * struct target - the process that a command works on
 * @pid: its number
 * @tid: the thread whose files in /proc are read: the main thread, unless it has ended
 * @proc_dir: /proc/@tid, or -1
 * @pidfd: names the process even after its number was reused
 * @fd: target file
 * @flags: what it was attached with
 * @proc: whether it can be found in /proc
 * @name: "process 12 (sleep)", for messages
 */
struct target {
	pid_t pid;
	pid_t tid;
	int proc_dir;
	int pidfd;
	int fd;
	unsigned int flags;
	enum proc proc;
	char name[64];
};

/**
 * target_open() - attach, or fail()
 * @target: filled
 * @pid: the user's argument, a process or one of its threads
 * @flags: PVMREAD_WRITE, PVMREAD_NOWAIT, PVMREAD_RESIDENT
 *
 * The attached process is the one that had the number when the pidfd was opened, even
 * if the module does not support PVMREAD_PIDFD.
 */
void target_open(struct target *target, const char *pid, unsigned int flags);

/**
 * target_again() - attach the same process with other flags, or fail()
 *
 * Return: a target file, which the caller closes.
 */
int target_again(const struct target *target, unsigned int flags);

/* need_proc() - fail() unless the target is in /proc; @what names the wanted part of it */
void need_proc(const struct target *target, const char *what);

/**
 * target_cache() - read a range with PVMREAD_CACHE from now on, if that is possible
 * @target: on success it can read only the range; on failure it is unchanged
 * @addr: the first address of the range
 * @length: the number of bytes in it
 * @flags: as for target_open(), without PVMREAD_WRITE
 */
void target_cache(struct target *target, uint64_t addr, uint64_t length, unsigned int flags);

/**
 * target_is_alive() - whether it has not exited, and so no process has reused its PID
 *
 * Call it after a read from /proc/PID: if it is true, the data was the target's.
 */
bool target_is_alive(const struct target *target);

/* target_ends_within() - whether it has exited, or does so within @ms milliseconds */
bool target_ends_within(const struct target *target, int ms);

/**
 * target_read() - pvmread_read() that also says why it ended
 * @done: set to the number of bytes read
 *
 * Return: 0 if all were read, or an errno value for the next byte.
 */
int target_read(const struct target *target, uint64_t addr, void *buf, size_t len,
		size_t *done);

/**
 * target_reason() - why the byte at @addr could not be moved, and what to do
 * @error: the errno of pvmread_read() or pvmread_write()
 * @flags: PVMREAD_WRITE, PVMREAD_RESIDENT, as used in the attempt
 *
 * Return: text in a static buffer, for warn_about(0, "0x1000 of %s: %s", ...)
 */
const char *target_reason(const struct target *target, uint64_t addr, int error,
			  unsigned int flags);

/* --- its files in /proc --- */

/**
 * proc_in_time() - call run(argument); with --nowait, give up if it makes no progress
 * @progress: changes while @run makes progress
 *
 * Return: true if @run has returned; false if another thread is still in it. That thread may
 * use @argument and @progress until this process ends.
 */
bool proc_in_time(const struct target *target, void (*run)(void *argument), void *argument,
		  const size_t *progress);

/* proc_open() - open /proc/PID/@name, or -1 with errno */
int proc_open(const struct target *target, const char *name, int flags);

/* proc_pread() - pread() from a file in /proc/PID; fails with EAGAIN if --nowait gives up */
ssize_t proc_pread(const struct target *target, int fd, void *buf, size_t size, off_t offset);

/**
 * proc_read() - the start of /proc/PID/@name, with a NUL appended
 * @max: the number of bytes wanted
 * @length: set to the number of bytes read
 *
 * Return: the bytes, for free(), or NULL with errno.
 */
char *proc_read(const struct target *target, const char *name, size_t max, size_t *length);

/* --- its mappings --- */

/**
 * enum mapping_flag - flags of a mapping, from VmFlags in smaps
 * @MAPPING_DONTDUMP: madvise(MADV_DONTDUMP)
 * @MAPPING_IO: memory of a device
 * @MAPPING_HUGETLB: huge pages from a pool
 * @MAPPING_USERFAULT: a userfaultfd serves missing pages
 */
enum mapping_flag {
	MAPPING_DONTDUMP	= 1 << 0,
	MAPPING_IO		= 1 << 1,
	MAPPING_HUGETLB		= 1 << 2,
	MAPPING_USERFAULT	= 1 << 3,
};

/**
 * struct mapping - a line of /proc/PID/maps
 * @rss: resident bytes, or UINT64_MAX if not requested or not known
 * @anonymous: bytes of private pages, resident or in swap; 0 without MAPS_FULL
 * @flags: &enum mapping_flag; 0 without MAPS_FULL
 * @name: path, [heap] and the like, or "" for anonymous memory
 */
struct mapping {
	uint64_t start;
	uint64_t end;
	uint64_t offset;
	uint64_t inode;
	uint64_t rss;
	uint64_t anonymous;
	unsigned int dev_major;
	unsigned int dev_minor;
	unsigned int flags;
	char perms[5];
	char *name;
};

/**
 * struct maps - all mappings of a target, by address
 * @slow: MAPS_QUICK took too long, so this is MAPS_PLAIN
 */
struct maps {
	struct mapping *maps;
	size_t count;
	bool slow;
};

/**
 * enum maps_detail - what is loaded of each mapping
 * @MAPS_PLAIN: the contents of /proc/PID/maps
 * @MAPS_QUICK: also those of /proc/PID/smaps, unless that takes longer than a second or two
 * @MAPS_FULL: also those of /proc/PID/smaps, if the kernel has it
 */
enum maps_detail {
	MAPS_PLAIN,
	MAPS_QUICK,
	MAPS_FULL,
};

/* maps_load() - the target's mappings, or fail() */
void maps_load(struct maps *maps, const struct target *target, enum maps_detail detail);
void maps_free(struct maps *maps);

/* maps_find() - the mapping that contains @addr, or NULL */
const struct mapping *maps_find(const struct maps *maps, uint64_t addr);

/* mapping_has_file() - whether it is a mapping of a file or a device */
bool mapping_has_file(const struct mapping *map);

/* mapping_text() - its name for a terminal, in one of two static buffers */
const char *mapping_text(const struct mapping *map);

/* mapping_is_anonymous() - whether it is private memory without a file, at first all zeros */
bool mapping_is_anonymous(const struct mapping *map);

/* --- arguments --- */

/*
 * access_children - argp children that parse --resident and --nowait into an unsigned int,
 * as PVMREAD_RESIDENT and PVMREAD_NOWAIT
 */
extern const struct argp_child access_children[];

/**
 * struct search_options - the common options of scan, strings and diff
 * @flags: PVMREAD_RESIDENT if --resident was given, PVMREAD_NOWAIT if --nowait was
 * @range: the argument of --range, for parse_range(), or NULL
 * @writable: only writable mappings
 * @json: print JSON
 * @verbose: say what was skipped
 */
struct search_options {
	unsigned int flags;
	const char *range;
	bool writable;
	bool json;
	bool verbose;
};

/* search_children - argp children that parse them into a struct search_options */
extern const struct argp_child search_children[];

/* parse_size() - "4096", "0x1000", "4K", "1M", "2G"; fail() names @what */
uint64_t parse_size(const char *text, const char *what);

/**
 * parse_address() - a number, [heap], [stack] or libfoo.so; +OFFSET may follow
 *
 * The mappings of @target are read only if @text is not a number. A library's address is
 * that of its lowest mapping. Its name is its path, or what follows a '/' in the path. If no
 * file has this name, the name of a deleted file matches without " (deleted)". If none does,
 * libfoo.so matches libfoo.so.6. fail() if no file matches, or if two match equally well.
 */
uint64_t parse_address(const char *text, const struct target *target);

/* parse_range() - START-END, each as parse_address() takes it, or fail() */
void parse_range(const char *text, const struct maps *maps, uint64_t *start, uint64_t *end);

/* name_matches() - whether @text matches @name, the name of a mapping, as in parse_address() */
bool name_matches(const char *name, const char *text);

/* check_wrap() - fail() if @addr + @length overflows an address */
void check_wrap(const struct target *target, uint64_t addr, uint64_t length);

/**
 * parse_hex() - convert "48 89 e5" or "4889e5" to bytes, or fail()
 * @length: set to their number, which is not 0
 *
 * Return: the bytes, for free().
 */
unsigned char *parse_hex(const char *text, size_t *length);

/* --- output --- */

/**
 * hexdump() - lines as xxd(1) prints them, with the address of the target
 * @old: @length bytes to compare with, or NULL; bytes that differ are highlighted
 */
void hexdump(FILE *out, uint64_t addr, const unsigned char *bytes, size_t length,
	     const unsigned char *old);

/* is_bidi_control() - whether @c is a Unicode bidirectional control character */
bool is_bidi_control(uint32_t c);

/*
 * printable() - replace by '?', in place, each byte of a character of @text that the locale cannot
 * print, or that is a bidirectional control character
 *
 * Names come from the target, and may contain escape sequences for our terminal.
 */
char *printable(char *text);

/* utf8() - @text with U+FFFD for each byte that is not UTF-8, as in JSON; for free() */
char *utf8(const char *text);

/* human_size() - "4.0K" and "1.5G", in one of a few static buffers */
const char *human_size(uint64_t bytes);

/**
 * progress_start() - show a bar on stderr, if that is a terminal, after 1 s
 * @what: "scan", "dump"
 * @total: bytes
 */
void progress_start(const char *what, uint64_t total);
void progress_update(uint64_t done);
/* progress_clear() - remove the bar, before other output and at the end */
void progress_clear(void);

/* --- the end --- */

/**
 * catch_signals() - from now on clean up on SIGINT, SIGTERM and SIGHUP
 *
 * A thread waits for them and calls die_of_signal(), because no handler would run while the
 * main thread waits in the kernel for a page of the target.
 */
void catch_signals(void);

/* interrupted - the signal received, or 0. If set, the process is about to end: print nothing */
extern volatile sig_atomic_t interrupted;

/**
 * die_of_signal() - clean up, and let the signal kill this process, for the shell to see
 *
 * Removes the temporary file of output_open() and the progress bar.
 */
void die_of_signal(void)
	__attribute__((noreturn));

/* on_signal() - make die_of_signal() call @hook instead of flushing stdout */
void on_signal(void (*hook)(void));

/**
 * output_open() - open the file that -o names, or fail()
 * @path: for a regular file, or a new one, the bytes go to a temporary file in the same
 *	directory, mode 0600, which output_commit() renames. Anything else (/dev/null, a
 *	FIFO) is written directly. "-" is standard output
 *
 * Refuses a file that the kernel would not open for the shell's >, even if another user
 * changes @path meanwhile. Waits for a FIFO's reader.
 *
 * Call catch_signals() first. Only one file can be open at a time. If it is not
 * committed, it is removed when the command ends.
 *
 * Return: a file descriptor, which output_commit() closes.
 */
int output_open(const char *path);

/* output_commit() - complete the file, or fail(). Also closes standard output */
void output_commit(void);

/* output_abandon() - remove an uncommitted file; any thread may call it */
void output_abandon(void);

/* finish_output() - flush stdout; fail() if it could not be written */
void finish_output(void);

#endif /* CMD_H */
