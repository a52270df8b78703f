// SPDX-License-Identifier: GPL-2.0-only
/*
 * pvmread watch: memory as it changes.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"

#define MAX_LENGTH	(1024 * 1024)
/* The shortest interval that a person can see, and the longest that poll() can wait. */
#define MIN_SECONDS	0.01
#define MAX_SECONDS	86400

struct arguments {
	const char *words[3];	/* PID ADDR LEN */
	double seconds;
	uint64_t count;
	unsigned int flags;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;
	char *end;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->flags;
		return 0;
	case 'n':
		args->seconds = strtod(arg, &end);
		if (end == arg || *end || !(args->seconds >= MIN_SECONDS) ||
		    args->seconds > MAX_SECONDS)
			argp_error(state, "\"%s\": SECONDS must be from %g to %d", arg, MIN_SECONDS,
				   MAX_SECONDS);
		return 0;
	case 'c':
		args->count = parse_size(arg, "COUNT");
		if (!args->count)
			argp_error(state, "COUNT must be at least 1");
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num >= 3)
			argp_error(state, "\"%s\" is one argument too many", arg);
		args->words[state->arg_num] = arg;
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num < 3)
			argp_error(state, "it takes PID, ADDR and LEN");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static volatile sig_atomic_t resized, stopped;

static void on_resize(int number)
{
	(void)number;
	resized = 1;
}

static void on_stop(int number)
{
	(void)number;
	stopped = 1;
}

/* --- the terminal: its alternate screen, without a cursor --- */

static bool on_screen;

static void screen_enter(void)
{
	fputs("\033[?1049h\033[?25l", stdout);
	on_screen = true;
}

static void screen_leave(void)
{
	if (on_screen)
		fputs("\033[?25h\033[?1049l", stdout);
	on_screen = false;
	fflush(stdout);
}

/* leave_for_good() - restore the terminal on a signal; the main thread no longer draws */
static void leave_for_good(void)
{
	flockfile(stdout);
	fputs("\033[?7h", stdout);
	screen_leave();
}

/* suspend() - Ctrl-Z: restore the terminal, stop, and take the terminal again */
static void suspend(void)
{
	stopped = 0;
	screen_leave();
	raise(SIGSTOP);
	screen_enter();
}

/* --- the watched bytes --- */

/**
 * struct view - the bytes now and at the previous read
 * @looks: number of times that they were shown
 * @terminal: they are shown in place
 */
struct view {
	const struct target *target;
	const struct arguments *args;
	uint64_t addr;
	size_t length;
	unsigned char *bytes;
	unsigned char *old;
	uint64_t looks;
	bool terminal;
};

static void draw(const struct view *view)
{
	struct winsize window = {};
	char clock[16], title[160];
	time_t seconds = time(NULL);
	size_t shown = view->length;
	size_t room;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) || !window.ws_row || !window.ws_col) {
		window.ws_row = 24;
		window.ws_col = 80;
	}
	strftime(clock, sizeof(clock), "%T", localtime(&seconds));
	snprintf(title, sizeof(title), "%s  every %gs: 0x%" PRIx64 " of %s", clock,
		 view->args->seconds, view->addr, view->target->name);

	if (!on_screen)
		screen_enter();
	/* Move the cursor home, and truncate long lines at the terminal's edge. */
	printf("\033[H\033[?7l%.*s\033[K\n\033[K\n", window.ws_col, title);
	/* The last line has no newline. It says what did not fit. */
	room = window.ws_row > 3 ? window.ws_row - 3 : 1;
	if ((view->length + 15) / 16 > room)
		shown = room * 16;
	hexdump(stdout, view->addr, view->bytes, shown, view->looks ? view->old : NULL);
	fputs("\033[J", stdout);
	if (shown < view->length)
		printf("%zu bytes more", view->length - shown);
	fputs("\033[?7h", stdout);
}

static void print_snapshot(const struct view *view)
{
	struct timespec now;
	char text[64];

	clock_gettime(CLOCK_REALTIME, &now);
	strftime(text, sizeof(text), "%F %T", localtime(&now.tv_sec));
	printf("%s.%03ld\n", text, now.tv_nsec / 1000000);
	hexdump(stdout, view->addr, view->bytes, view->length, NULL);
}

/* show() - show the bytes if they have changed; true if they were shown */
static bool show(const struct view *view)
{
	if (view->terminal)
		draw(view);
	else if (!view->looks || memcmp(view->bytes, view->old, view->length))
		print_snapshot(view);
	else
		return false;
	if (fflush(stdout)) {
		screen_leave();
		fail(errno, "standard output");
	}
	return true;
}

/* rest() - wait until the next read is due; true if the target ended instead */
static bool rest(const struct view *view)
{
	struct pollfd end = { .fd = view->target->pidfd, .events = POLLIN };
	struct timespec time = { .tv_sec = view->args->seconds };
	sigset_t all, before;
	int ended;

	time.tv_nsec = (view->args->seconds - time.tv_sec) * 1e9;
	do {
		/* A signal that arrives before ppoll() stays blocked until it can end ppoll(). */
		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, &before);
		ended = -1;
		if (!interrupted && !resized && !stopped)
			ended = ppoll(&end, 1, &time, &before);
		sigprocmask(SIG_SETMASK, &before, NULL);
		if (stopped)
			suspend();
		if (ended < 0 && view->terminal)
			show(view);
		resized = 0;
	} while (ended < 0 && !interrupted);
	return ended > 0;
}

/**
 * watch() - read again and again
 * @stop: set to the address that could not be read
 *
 * Return: 0 if --count or a signal ended it, or the errno value of a failed read; ESRCH if
 * the target has exited.
 */
static int watch(struct view *view, uint64_t *stop)
{
	unsigned char *swap;
	size_t got;
	int error;

	for (;;) {
		error = target_read(view->target, view->addr, view->bytes, view->length, &got);
		*stop = view->addr + got;
		if (error)
			return error;
		if (show(view) && ++view->looks == view->args->count)
			return 0;
		error = rest(view) ? ESRCH : 0;
		if (error || interrupted)
			return error;
		swap = view->old;
		view->old = view->bytes;
		view->bytes = swap;
	}
}

int cmd_watch(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "interval", 'n', "SECONDS", 0, "Read every SECONDS (default 1)", 0 },
		{ "count", 'c', "COUNT", 0, "End after COUNT reads (pipe or file: hexdumps)", 0 },
		{}
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.children = access_children,
		.args_doc = "PID ADDR LEN",
		.doc = "Show LEN bytes, 1 MiB at most, at ADDR of process PID as they change.\v"
		       "ADDR and LEN are as for \"pvmread read\". A terminal is refreshed in place "
		       "until Ctrl-C; bytes that changed since the last read are highlighted. A "
		       "pipe or file gets a hexdump whenever the bytes have changed.",
	};
	/* Restart a write(2) that Ctrl-S blocks. ppoll() still fails with EINTR. */
	struct sigaction on_winch = { .sa_handler = on_resize, .sa_flags = SA_RESTART };
	struct sigaction on_tstp = { .sa_handler = on_stop, .sa_flags = SA_RESTART };
	const char *term = getenv("TERM");
	struct arguments args = { .seconds = 1 };
	struct target target;
	struct view view = { .target = &target, .args = &args };
	uint64_t stop;
	int error;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	view.length = parse_size(args.words[2], "LEN");
	if (!view.length || view.length > MAX_LENGTH)
		fail(0, "LEN \"%s\": must be from 1 to 1M", args.words[2]);
	target_open(&target, args.words[0], args.flags);
	view.addr = parse_address(args.words[1], &target);
	check_wrap(&target, view.addr, view.length);
	target_cache(&target, view.addr, view.length, args.flags);
	view.terminal = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb");
	view.bytes = malloc(view.length);
	view.old = malloc(view.length);
	if (!view.bytes || !view.old)
		fail(ENOMEM, "%zu bytes", view.length);

	catch_signals();
	if (view.terminal) {
		on_signal(leave_for_good);
		sigaction(SIGWINCH, &on_winch, NULL);
		sigaction(SIGTSTP, &on_tstp, NULL);
	}
	error = watch(&view, &stop);
	screen_leave();
	free(view.bytes);
	free(view.old);
	if (interrupted)
		die_of_signal();
	finish_output();
	if (!error)
		return EXIT_DONE;
	if (error == ESRCH) {
		warn_about(0, "%s %s", target.name, target_reason(&target, stop, error, 0));
		return args.count ? EXIT_PART : EXIT_DONE;
	}
	warn_about(0, "0x%" PRIx64 " of %s: %s", stop, target.name,
		   target_reason(&target, stop, error, args.flags));
	return EXIT_PART;
}
