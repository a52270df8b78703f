// SPDX-License-Identifier: GPL-2.0
/*
 * Simulates a user at a terminal, for the tests of the command.
 *
 *   command-terminal EXPECT INPUT COMMAND...
 *
 * Runs COMMAND on a new terminal, types INPUT when it has printed EXPECT, and copies
 * its output. If INPUT is Ctrl-S, resizes the terminal while COMMAND cannot write to it, and
 * then types Ctrl-Q. Exits with the status of COMMAND, or with 128 + N after signal N.
 */
#include <err.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CTRL_S		"\023"
#define CTRL_Q		"\021"
/* Long enough for a command that keeps drawing to block in write(2). */
#define STOPPED_US	500000

static void type(int terminal, const char *input)
{
	if (write(terminal, input, strlen(input)) < 0)
		err(2, "terminal");
}

int main(int argc, char **argv)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	char seen[65536] = "";
	size_t length = 0;
	int terminal, status;
	ssize_t got;
	pid_t pid;

	if (argc < 4)
		errx(2, "usage: command-terminal EXPECT INPUT COMMAND...");
	setenv("TERM", "xterm", 1);
	pid = forkpty(&terminal, NULL, NULL, &size);
	if (pid < 0)
		err(2, "forkpty");
	if (!pid) {
		execvp(argv[3], argv + 3);
		err(2, "%s", argv[3]);
	}

	/* read() fails with EIO when no process has the terminal open any more. */
	while ((got = read(terminal, seen + length, sizeof(seen) - 1 - length)) > 0) {
		if (write(STDOUT_FILENO, seen + length, got) != got)
			err(2, "write");
		length += got;
		seen[length] = '\0';
		if (!argv[2] || !strstr(seen, argv[1]))
			continue;
		type(terminal, argv[2]);
		if (!strcmp(argv[2], CTRL_S)) {
			usleep(STOPPED_US);
			size.ws_col--;
			if (ioctl(terminal, TIOCSWINSZ, &size))
				err(2, "TIOCSWINSZ");
			usleep(STOPPED_US);
			if (waitpid(pid, NULL, WNOHANG))
				errx(2, "it ended while its output was stopped");
			type(terminal, CTRL_Q);
		}
		argv[2] = NULL;
	}
	if (waitpid(pid, &status, 0) != pid)
		err(2, "waitpid");
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
