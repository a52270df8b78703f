// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvmread: look into the memory of other processes from the command line.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} commands[] = {
	{ "maps", cmd_maps, "list the mappings of a process" },
	{ "read", cmd_read, "read memory, as a hexdump or raw" },
	{ "write", cmd_write, "write memory" },
	{ "scan", cmd_scan, "search memory for bytes, a string or an expression" },
	{ "rescan", cmd_rescan, "reread and filter the values that scan saved" },
	{ "strings", cmd_strings, "print the text in memory" },
	{ "dump", cmd_dump, "write a core file for a debugger" },
	{ "diff", cmd_diff, "compare processes and core files" },
	{ "watch", cmd_watch, "show memory as it changes" },
	{}
};

const char *argp_program_version = "pvmread " VERSION;

static const struct command *find_command(const char *name)
{
	const struct command *command;

	for (command = commands; command->name; command++)
		if (!strcmp(command->name, name))
			return command;
	return NULL;
}

/* list_commands() - list the subcommands after the options in --help */
static char *list_commands(int key, const char *text, void *input)
{
	const struct command *command;
	char *list = NULL;
	size_t size;
	FILE *out;

	(void)input;
	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	out = open_memstream(&list, &size);
	if (!out)
		return (char *)text;
	fputs("Commands:\n", out);
	for (command = commands; command->name; command++)
		fprintf(out, "  %-7s %s\n", command->name, command->what);
	fprintf(out, "\n%s", text);
	return fclose(out) ? (char *)text : list;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	switch (key) {
	case ARGP_KEY_ARG:
		/* The rest is the subcommand's. */
		state->next--;
		*(int *)state->input = state->next;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_state_help(state, stderr, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK);
		exit(EXIT_TROUBLE);
	}
	return ARGP_ERR_UNKNOWN;
}

/* run() - run the command, with the name that its messages begin with */
static int run(const struct command *command, int argc, char **argv)
{
	if (asprintf(&argv[0], "pvmread %s", command->name) < 0)
		fail(ENOMEM, "%s", command->name);
	program_invocation_name = argv[0];
	return command->run(argc, argv);
}

/*
 * fill_standard_files() - open dummies for closed standard files
 *
 * Otherwise a file of ours would get such a number, and messages or output would go
 * into it. Using the dummies fails, as with closed files.
 */
static void fill_standard_files(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			_exit(EXIT_TROUBLE);
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse,
		.args_doc = "COMMAND [ARGUMENT...]",
		.doc = "Read and write the memory of other processes through /dev/pvmread.\v"
		       "\"pvmread COMMAND --help\" describes a command; see also pvmread(1).",
		.help_filter = list_commands,
	};
	char help[] = "--help";
	const struct command *command;
	int first = 0;

	fill_standard_files();
	/* Names use the terminal's encoding. Messages stay English: scripts rely on them. */
	setlocale(LC_CTYPE, "");
	program_invocation_name = program_invocation_short_name;
	argp_err_exit_status = EXIT_TROUBLE;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &first);
	argc -= first;
	argv += first;

	if (!strcmp(argv[0], "help")) {
		if (argc == 1) {
			argp_help(&argp, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK,
				  program_invocation_name);
			finish_output();
			return EXIT_DONE;
		}
		command = find_command(argv[1]);
		if (command)
			return run(command, 2, (char *[]){ argv[0], help, NULL });
		argv++;
	}
	command = find_command(argv[0]);
	if (!command)
		fail(0, "\"%s\" is not a command; \"pvmread help\" lists them", argv[0]);
	return run(command, argc, argv);
}
