// SPDX-License-Identifier: GPL-2.0-only
/*
 * demo: reads another process through /dev/pvmread and shows what it saw.
 *
 * Starts a program that keeps a session on its heap, a recipe in a linked list
 * and a note on its stack, and that shares none of it. Reads all three with
 * PVMREAD_IOC_READV, and once more with process_vm_readv(2) to compare.
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
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/pvmread.h>

#define MAX_STEPS	16

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

/* What it tells the reader: addresses, and nothing else. */
struct places {
	struct session *session;
	struct step *recipe;
	char *note;
};

static size_t total;

/**
 * be_target() - the other process: fills its memory, says where, and waits
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
	places.session = session;
	places.recipe = recipe;
	places.note = note;
	if (write(STDOUT_FILENO, &places, sizeof(places)) != sizeof(places))
		err(1, "target: write");
	for (;;)
		pause();
}

/**
 * start_target() - this program once more, as a process of its own
 * @pid: set to its pid
 * @places: set to where it keeps what
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
		errx(1, "the target said nothing");
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
 * look() - read a piece of the target through both doors, compare, show it
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
	struct iovec remote = { .iov_base = (void *)addr, .iov_len = len };
	struct iovec local = { .iov_base = buf, .iov_len = len };
	struct pvmread_rw rw = {
		.size = sizeof(rw),
		.pid = pid,
		.local = (uintptr_t)&local,
		.local_count = 1,
		.remote = (uintptr_t)&remote,
		.remote_count = 1,
	};
	void *copy = calloc(1, len);
	ssize_t count;

	if (!copy)
		err(1, "calloc");
	memset(buf, 0, len);
	if (ioctl(fd, PVMREAD_IOC_READV, &rw))
		err(1, "PVMREAD_IOC_READV of %zu bytes at %p", len, addr);
	if (rw.transferred != len)
		errx(1, "only %llu of %zu bytes came, up to %#llx: %s",
		     (unsigned long long)rw.transferred, len,
		     (unsigned long long)rw.stop_addr, strerror(rw.error));
	hexdump(buf, len, (uintptr_t)addr);

	local.iov_base = copy;
	count = process_vm_readv(pid, &local, 1, &remote, 1, 0);
	if (count < 0)
		err(1, "process_vm_readv");
	if ((size_t)count != len || memcmp(buf, copy, len))
		errx(1, "process_vm_readv saw other bytes");
	printf("    process_vm_readv: the same %zu bytes\n\n", len);
	total += len;
	free(copy);
}

int main(int argc, char **argv)
{
	struct session session;
	struct places places;
	struct step *next;
	struct step step;
	char note[64];
	int steps = 0;
	pid_t pid;
	int fd;

	if (argc > 1 && !strcmp(argv[1], "--target"))
		return be_target();

	fd = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", PVMREAD_DEVICE);
	start_target(&pid, &places);
	printf("Process %d runs a program of its own and shares nothing.\n\n",
	       pid);

	printf("Its heap, a session at %p:\n", (void *)places.session);
	look(fd, pid, places.session, &session, sizeof(session));

	printf("Its stack, a note at %p:\n", (void *)places.note);
	look(fd, pid, places.note, note, sizeof(note));

	printf("Its heap again, a list from %p on, followed by its pointers:\n",
	       (void *)places.recipe);
	for (next = places.recipe; next && steps < MAX_STEPS; next = step.next) {
		look(fd, pid, next, &step, sizeof(step));
		steps++;
	}

	printf("Read from process %d, %zu bytes in %d requests:\n", pid, total,
	       steps + 2);
	printf("    user    %.16s\n", session.user);
	printf("    token   %.48s\n", session.token);
	printf("    note    %.64s\n", note);
	printf("    recipe  %d steps, the last: %.40s\n", steps, step.text);
	printf("/dev/pvmread and process_vm_readv(2) agree on every byte.\n");

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(fd);
	return 0;
}
