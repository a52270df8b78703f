// SPDX-License-Identifier: GPL-2.0-only
/*
 * demo: reads another process through /dev/pvmread and shows what it saw.
 *
 * Starts a program that keeps a session on its heap, a recipe in a linked list and a note
 * on its stack, and that shares none of it. Reads all three with PVMREAD_IOC_READV, and
 * once more with process_vm_readv(2) to compare. Then reads a page that never arrives:
 * process_vm_readv(2) hangs, and a read with PVMREAD_RESIDENT returns at once.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/pvmread.h>
#include <linux/userfaultfd.h>

#define MAX_STEPS	16
/* After how long process_vm_readv(2) counts as stuck */
#define PATIENCE_MS	2000

/* What the target keeps on its heap. */
struct session {
	char user[16];
	char token[48];
	uint64_t expires;
};

struct step {
	struct step *next;
	char text[40];
};

/* What the target tells the reader: only addresses. */
struct places {
	struct session *session;
	struct step *recipe;
	char *note;
	/* Two pages; the second never arrives. */
	char *diary;
};

static size_t page_size;
static size_t total;

/**
 * stall() - make the first access to a page wait forever
 * @page: a page that has not been touched
 *
 * Registers it with a userfaultfd that no process serves. The userfaultfd is closed when the
 * target exits.
 */
static void stall(void *page)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)page, .len = page_size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		err(1, "target: userfaultfd");
}

/**
 * be_target() - act as the target: fill memory, send its addresses, and wait
 *
 * Return: never; the reader kills it.
 */
static int be_target(void)
{
	/* Last step first: the list grows at its head. */
	static const char * const steps[] = {
		"Roll, cut, boil until they come up.",
		"One egg, 120 g of flour, salt, nutmeg.",
		"Peel them, press them, let them cool.",
		"Boil 400 g of potatoes in their skins.",
		NULL
	};
	char note[64] = "Note to self: the spare key is under the fern.";
	struct session *session = calloc(1, sizeof(*session));
	struct step *recipe = NULL;
	struct places places;
	size_t i;

	if (!session)
		err(1, "target: calloc");
	*session = (struct session){
		.user = "grandmother",
		.token = "tok_7Qm2xV9-not-a-real-one-b81fD4Zs",
		.expires = 1893456000,
	};
	for (i = 0; steps[i]; i++) {
		struct step *step = calloc(1, sizeof(*step));

		if (!step)
			err(1, "target: calloc");
		snprintf(step->text, sizeof(step->text), "%s", steps[i]);
		step->next = recipe;
		recipe = step;
	}
	places.diary = mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (places.diary == MAP_FAILED)
		err(1, "target: mmap");
	stall(places.diary + page_size);
	snprintf(places.diary, page_size, "Monday: planted the fern.");
	places.session = session;
	places.recipe = recipe;
	places.note = note;
	if (write(STDOUT_FILENO, &places, sizeof(places)) != sizeof(places))
		err(1, "target: write");
	for (;;)
		pause();
}

/**
 * start_target() - run this program again, as the target
 * @pid: set to its pid
 * @places: set to the addresses that it sends
 */
static void start_target(pid_t *pid, struct places *places)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		err(1, "pipe2");
	*pid = fork();
	if (*pid < 0)
		err(1, "fork");
	if (!*pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dup2(fds[1], STDOUT_FILENO) < 0)
			err(1, "dup2");
		execl("/proc/self/exe", "target", "--target", NULL);
		err(1, "exec");
	}
	close(fds[1]);
	if (read(fds[0], places, sizeof(*places)) != sizeof(*places))
		errx(1, "the target did not send its addresses");
	close(fds[0]);
}

static void hexdump(const void *buf, size_t len, uintptr_t addr)
{
	const unsigned char *byte = buf;
	size_t row, i;

	for (row = 0; row < len; row += 16) {
		printf("    %012lx: ", (unsigned long)(addr + row));
		for (i = row; i < row + 16; i++) {
			if (i < len)
				printf("%02x", byte[i]);
			else
				printf("  ");
			if (i & 1)
				putchar(' ');
		}
		putchar(' ');
		for (i = row; i < row + 16 && i < len; i++)
			putchar(byte[i] >= ' ' && byte[i] <= '~' ? byte[i] : '.');
		putchar('\n');
	}
}

/**
 * readv_device() - read a piece of the target with one PVMREAD_IOC_READV
 * @fd: PVMREAD_DEVICE
 * @pid: the target
 * @addr: where, in the target
 * @buf: filled with what was read
 * @len: how much
 * @flags: for struct pvmread_rw
 * @rw: the request; its output fields hold the result
 *
 * Ends the program if nothing was read.
 */
static void readv_device(int fd, pid_t pid, const void *addr, void *buf, size_t len,
			 unsigned int flags, struct pvmread_rw *rw)
{
	struct iovec remote = { .iov_base = (void *)addr, .iov_len = len };
	struct iovec local = { .iov_base = buf, .iov_len = len };

	*rw = (struct pvmread_rw){
		.size = sizeof(*rw),
		.flags = flags,
		.pid = pid,
		.local = (uintptr_t)&local,
		.local_count = 1,
		.remote = (uintptr_t)&remote,
		.remote_count = 1,
	};
	if (ioctl(fd, PVMREAD_IOC_READV, rw))
		err(1, "PVMREAD_IOC_READV of %zu bytes at %p", len, addr);
}

static ssize_t readv_syscall(pid_t pid, const void *addr, void *buf, size_t len)
{
	struct iovec remote = { .iov_base = (void *)addr, .iov_len = len };
	struct iovec local = { .iov_base = buf, .iov_len = len };

	return process_vm_readv(pid, &local, 1, &remote, 1, 0);
}

/**
 * look() - read a piece of the target in both ways and compare
 * @fd: PVMREAD_DEVICE
 * @pid: the target
 * @addr: where, in the target
 * @buf: filled with what was read
 * @len: how much
 *
 * Ends the program if the two differ.
 */
static void look(int fd, pid_t pid, const void *addr, void *buf, size_t len)
{
	void *copy = calloc(1, len);
	struct pvmread_rw rw;
	ssize_t count;

	if (!copy)
		err(1, "calloc");
	memset(buf, 0, len);
	readv_device(fd, pid, addr, buf, len, 0, &rw);
	if (rw.transferred != len)
		errx(1, "read only %llu of %zu bytes, up to %#llx: %s",
		     (unsigned long long)rw.transferred, len,
		     (unsigned long long)rw.stop_addr, strerror(rw.error));

	count = readv_syscall(pid, addr, copy, len);
	if (count < 0)
		err(1, "process_vm_readv");
	if ((size_t)count != len || memcmp(buf, copy, len))
		errx(1, "process_vm_readv read different bytes");
	total += len;
	free(copy);
}

/**
 * show_reads() - the first part: read what process_vm_readv(2) can also read
 * @fd: PVMREAD_DEVICE
 * @pid: the target
 * @places: the addresses of its objects
 */
static void show_reads(int fd, pid_t pid, const struct places *places)
{
	struct session session;
	struct step *next;
	struct step step;
	char note[64];
	int steps;

	printf("1. Read its memory through /dev/pvmread\n\n");
	look(fd, pid, places->session, &session, sizeof(session));
	printf("  A struct on its heap:\n");
	hexdump(&session, sizeof(session), (uintptr_t)places->session);

	look(fd, pid, places->note, note, sizeof(note));
	printf("  A string on its stack:\n");
	printf("    %012lx: %.64s\n", (unsigned long)places->note, note);

	printf("  A linked list on its heap, followed from pointer to pointer:\n");
	next = places->recipe;
	for (steps = 0; next && steps < MAX_STEPS; steps++) {
		look(fd, pid, next, &step, sizeof(step));
		printf("    %012lx: %.40s\n", (unsigned long)next, step.text);
		next = step.next;
	}
	printf("  process_vm_readv(2) read the same %zu bytes.\n\n", total);
}

static long elapsed_us(const struct timespec *since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - since->tv_sec) * 1000000 + (now.tv_nsec - since->tv_nsec) / 1000;
}

/**
 * get_stuck() - show that process_vm_readv(2) does not return
 * @pid: the target
 * @addr: where, in the target
 * @buf: room for @len bytes
 * @len: how much
 *
 * A child makes the call, so that it can be killed. Ends the program if the call returns.
 */
static void get_stuck(pid_t pid, const void *addr, void *buf, size_t len)
{
	pid_t caller = fork();
	int ms;

	if (caller < 0)
		err(1, "fork");
	if (!caller) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(readv_syscall(pid, addr, buf, len) < 0);
	}
	for (ms = 0; ms < PATIENCE_MS; ms += 100) {
		usleep(100 * 1000);
		if (waitpid(caller, NULL, WNOHANG))
			errx(1, "process_vm_readv(2) returned, but should wait for the page");
	}
	kill(caller, SIGKILL);
	waitpid(caller, NULL, 0);
	printf("did not return in %d s; its caller had to be killed\n", PATIENCE_MS / 1000);
}

/**
 * show_stall() - the second part: read a page for which process_vm_readv(2) waits forever
 * @fd: PVMREAD_DEVICE
 * @pid: the target
 * @diary: two pages of the target; the second one never arrives
 */
static void show_stall(int fd, pid_t pid, const char *diary)
{
	char *buf = calloc(2, page_size);
	struct timespec start;
	struct pvmread_rw rw;
	long us;

	if (!buf)
		err(1, "calloc");
	printf("2. Read a page that never arrives\n\n"
	       "  Process %d has two more pages, and has written to the first one. A page fault\n"
	       "  in the second one never ends, because no process serves its userfaultfd. The\n"
	       "  same happens in a mapped file whose FUSE or network server hangs. Read both\n"
	       "  pages with\n\n",
	       pid);

	printf("    process_vm_readv(2)             ");
	get_stuck(pid, diary, buf, 2 * page_size);

	clock_gettime(CLOCK_MONOTONIC, &start);
	readv_device(fd, pid, diary, buf, 2 * page_size, PVMREAD_RESIDENT, &rw);
	us = elapsed_us(&start);
	if (rw.transferred != page_size || rw.stop_addr != (uintptr_t)diary + page_size ||
	    rw.error != EIO)
		errx(1, "PVMREAD_RESIDENT: %llu bytes, up to %#llx, %s; expected %zu, up to %p, %s",
		     (unsigned long long)rw.transferred, (unsigned long long)rw.stop_addr,
		     strerror(rw.error), page_size, diary + page_size, strerror(EIO));
	printf("    /dev/pvmread, PVMREAD_RESIDENT  returned in %ld.%03ld ms:\n",
	       us / 1000, us % 1000);
	printf("        the first page, \"%.64s\"\n"
	       "        and where it stopped: the page at %012llx is not mapped\n",
	       buf, (unsigned long long)rw.stop_addr);
	free(buf);
}

int main(int argc, char **argv)
{
	struct places places;
	pid_t pid;
	int fd;

	page_size = sysconf(_SC_PAGESIZE);
	if (argc > 1 && !strcmp(argv[1], "--target"))
		return be_target();

	/* Show each line when it is printed, not when the program ends. */
	setlinebuf(stdout);
	fd = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", PVMREAD_DEVICE);
	start_target(&pid, &places);
	printf("Process %d is another program, which shares no memory with this one.\n\n", pid);
	show_reads(fd, pid, &places);
	show_stall(fd, pid, places.diary);

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(fd);
	return 0;
}
