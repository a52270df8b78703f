// SPDX-License-Identifier: GPL-2.0
/*
 * Simulates a user at a terminal, for the tests of the command.
 *
 *   command-terminal EXPECT INPUT COMMAND...
 *
 * Runs COMMAND on a new terminal, types INPUT when it has printed EXPECT, and copies
 * its output. Exits with its status, or with 128 + N after signal N.
 */
#include <err.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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
		if (write(terminal, argv[2], strlen(argv[2])) < 0)
			err(2, "terminal");
		argv[2] = NULL;
	}
	if (waitpid(pid, &status, 0) != pid)
		err(2, "waitpid");
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
