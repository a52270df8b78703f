// SPDX-License-Identifier: GPL-2.0-only
/*
 * The progress bar.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"

static struct {
	const char *what;
	uint64_t total;
	double start;
	double next;
	bool shown;
} progress;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

void progress_start(const char *what, uint64_t total)
{
	if (!isatty(STDERR_FILENO) || !total)
		return;
	progress.what = what;
	progress.total = total;
	progress.start = now();
	progress.next = progress.start + 1;
}

void progress_update(uint64_t done)
{
	char before[64], after[96], bar[256];
	struct winsize window = {};
	unsigned int width, filled;
	double time, part, rate;
	uint64_t left;
	int room;

	if (!progress.what)
		return;
	time = now();
	if (time < progress.next)
		return;
	progress.next = time + 0.2;

	part = (double)done / progress.total;
	rate = done / (time - progress.start);
	left = rate > 0 ? (progress.total - done) / rate : 0;
	snprintf(before, sizeof(before), "%s %3d%% ", progress.what, (int)(part * 100));
	snprintf(after, sizeof(after), " %s of %s  %s/s", human_size(done),
		 human_size(progress.total), human_size(rate));
	/* Do not show an estimate of days: it is only a guess. */
	if (rate > 0 && left < 100 * 3600)
		snprintf(after + strlen(after), sizeof(after) - strlen(after),
			 "  %" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " left",
			 left / 3600, left / 60 % 60, left % 60);

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) || !window.ws_col)
		window.ws_col = 80;
	/* The terminal echoes ^C after the bar: leave room for it in this line. */
	width = window.ws_col > 13 ? window.ws_col - 3 : 10;
	room = (int)width - (int)(strlen(before) + strlen(after)) - 2;
	if (room > (int)sizeof(bar) - 1)
		room = sizeof(bar) - 1;
	if (room >= 5) {
		filled = part * room;
		memset(bar, ' ', room);
		memset(bar, '=', filled);
		if (filled < (unsigned int)room)
			bar[filled] = '>';
		fprintf(stderr, "\r%s[%.*s]%s\033[K", before, room, bar, after);
	} else {
		strcat(before, after + 1);
		fprintf(stderr, "\r%.*s\033[K", (int)width, before);
	}
	progress.shown = true;
}

void progress_clear(void)
{
	if (progress.shown)
		fputs("\r\033[K", stderr);
	progress.shown = false;
}
