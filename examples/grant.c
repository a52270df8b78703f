// SPDX-License-Identifier: GPL-2.0
/*
 * grant - one process lets another read a range of its memory
 *
 * The granter attaches a range of its own memory and passes the target file over a Unix
 * socket. The grantee first drops its privileges, because it needs none. It can read the
 * range, but nothing outside it, and nothing after the granter has exited.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <libpvmread.h>

static char memory[3][64] = { "secret", "shared", "secret" };

/* Send target file @fd and the start of its range. */
static void send_file(int sock, int fd, uint64_t address)
{
	char control[CMSG_SPACE(sizeof(fd))] __attribute__((aligned)) = "";
	struct iovec data = { &address, sizeof(address) };
	struct msghdr msg = {
		.msg_iov = &data, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	*cmsg = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(fd)), .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	if (sendmsg(sock, &msg, 0) != sizeof(address))
		err(1, "sendmsg");
}

static int receive_file(int sock, uint64_t *address)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned));
	struct iovec data = { address, sizeof(*address) };
	struct msghdr msg = {
		.msg_iov = &data, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != sizeof(*address) || !CMSG_FIRSTHDR(&msg))
		errx(1, "received no file descriptor");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void granter(int sock)
{
	uintptr_t start = (uintptr_t)memory[1];
	int dev = pvmread_open(O_RDONLY);
	int target = dev < 0 ? -1 : pvmread_attach(dev, getpid(), 0, start, sizeof(memory[1]));

	if (target < 0)
		errx(1, "cannot attach my own memory: %s", pvmread_strerror(errno));
	send_file(sock, target, start);
	recv(sock, memory[0], 1, 0);	/* returns when the grantee closes its end */
}

static void show(int target, const char *what, uint64_t address)
{
	char text[sizeof(memory[1])];
	ssize_t length = pvmread_read_string(target, address, text, sizeof(text));

	printf("%s: %s\n", what, length < 0 ? pvmread_strerror(errno) : text);
}

int main(void)
{
	uint64_t address;
	int pair[2], target;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		err(1, "socketpair");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	close(pair[pid ? 1 : 0]);
	if (!pid) {
		granter(pair[1]);
		return 0;
	}
	if (!geteuid() && (setgroups(0, NULL) || setgid(65534) || setuid(65534)))
		err(1, "cannot become nobody");
	target = receive_file(pair[0], &address);
	show(target, "granted", address);
	show(target, "outside the range", address + sizeof(memory[1]));
	close(pair[0]);
	waitpid(pid, NULL, 0);
	show(target, "after the granter exited", address);
	return 0;
}
