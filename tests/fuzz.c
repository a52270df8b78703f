// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz: random cases. Cases that reach new code are mutated at random.
 *
 * fuzz_case.c defines a case, fuzz_memory.c its memory, and fuzz_model.c the expected
 * results. This file creates and selects cases. Cases that reached something new are
 * the corpus, from which most new cases are made. New means a new pair of consecutive
 * places in the module's code (KCOV), or a new result of an operation. Without KCOV
 * only results count.
 *
 * A case that fails, or that leaves a page pinned or a file open, is reduced while it
 * still does so, and printed as a line for fuzz_cases.c. A case on which the kernel
 * reports something is printed unreduced, because most reports appear only once. To
 * find a case that crashes the kernel, run the same cases again with TRACE.
 *
 * Environment:
 *   CASES=n    number of cases to run (20,000)
 *   SECONDS=n  time limit
 *   SEED=n     seed of 32 bits (a new one every time)
 *   TRACE=n    print each case from the n-th on before it is run
 *   FRESH=1    do not begin with the cases of fuzz_cases.c
 *   KEEP=1     print additions to the corpus, and at the end the coverage
 *
 * Cases of an earlier run are taken from the file /corpus.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kcov.h>
#include <termios.h>

#include <kselftest_harness.h>

#include "fuzz_model.h"
#include "numbers.h"
#include "process.h"
#include "random.h"

#define MAX_CORPUS	3000U
/* This many cases in a row are made from one, so that its windows need not be rebuilt. */
#define LITTER		32U
#define KCOV_PATH	"/sys/kernel/debug/kcov"
#define COVER_LEN	65536UL
#define EDGES		65536U
#define OUTCOMES	131072U
#define MAX_PCS		8192U
#define PIN_CHECK	1024U
/* The time limit of a litter, which usually takes less than a second. */
#define LITTER_S	300

static struct world world;
static struct rng rng;

/* --- The parts of a case --- */

static uint64_t random_length(void)
{
	static const uint64_t odd[] = {
		0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 129, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE,
		15 * PAGE, 16 * PAGE, 17 * PAGE, 255 * PAGE, 256 * PAGE, 257 * PAGE,
		BIG_PAGES * PAGE, BIG_PAGES * PAGE + 1, MAX_RW_COUNT - 1, MAX_RW_COUNT,
		MAX_RW_COUNT + 1, 1ULL << 31, 1ULL << 32, (1ULL << 32) + 1, HALF - 1, HALF,
		UINT64_MAX,
	};

	switch (below(&rng, 8)) {
	case 0:
		return odd[below(&rng, ARRAY_SIZE(odd))];
	case 1:
		return below(&rng, WINDOW * PAGE);
	case 2:
	case 3:
		return below(&rng, 3 * PAGE);
	case 4:
		return odd[below(&rng, 14)];
	default:
		return 1 + below(&rng, 200);
	}
}

static struct value random_address(enum base near)
{
	uint64_t pages = near == OWN_BIG || near == TARGET_BIG ? BIG_PAGES : WINDOW;
	static const int64_t odd[] = { 0, 1, -1, 8, -8, 64, -64, 100, 2048, -7 };
	struct value v = { near, 0 };

	switch (below(&rng, 24)) {
	case 0:
		return (struct value){ TOP, odd[below(&rng, ARRAY_SIZE(odd))] };
	case 1:
		return (struct value){ KERNEL, odd[below(&rng, ARRAY_SIZE(odd))] };
	case 2:
		return (struct value){ ABSOLUTE, odd[below(&rng, ARRAY_SIZE(odd))] };
	case 3:
		return (struct value){ ABSOLUTE, HALF + odd[below(&rng, ARRAY_SIZE(odd))] };
	}
	v.off = below(&rng, pages + 1) * PAGE;
	if (one_in(&rng, 3))
		v.off += below(&rng, PAGE);
	else
		v.off += odd[below(&rng, ARRAY_SIZE(odd))];
	return v;
}

static enum base random_base(bool remote, uint64_t who)
{
	if (remote && who != SELF)
		return one_in(&rng, 40) ? TARGET_BIG : one_in(&rng, 30) ? OWN : TARGET;
	return one_in(&rng, 40) ? OWN_BIG : OWN;
}

static struct element random_element(bool remote, uint64_t who)
{
	struct element e = {
		.addr = random_address(random_base(remote, who)),
		.len = { ABSOLUTE, random_length() },
	};

	/* End at the end of a page, or one byte before or after it. */
	if (one_in(&rng, 4))
		e.len.off = PAGE * below(&rng, 3) + PAGE - e.addr.off % PAGE + below(&rng, 3) - 1;
	if (one_in(&rng, 64))
		e.len = (struct value){ one_in(&rng, 2) ? REST : TURN, below(&rng, 3) - 1 };
	return e;
}

static uint64_t random_count(void)
{
	static const uint64_t odd[] = {
		0, 1, 2, 7, 8, 9, 12, 13, 16, 17, 24, 25, 40, 1ULL << 32, (1ULL << 32) + 1,
		65536, 65537, HALF, 1025, 1023, 1024,
	};

	/* The last two take long, so they are rare. */
	return odd[below(&rng, ARRAY_SIZE(odd) - (one_in(&rng, 16) ? 0 : 2))];
}

static uint64_t random_place(size_t most)
{
	return one_in(&rng, 3) ? 1 + below(&rng, 4) : CUT + below(&rng, most + 1);
}

static uint64_t random_number(enum kind kind, enum field f)
{
	static const unsigned int flags[] = {
		PVMREAD_PIDFD, PVMREAD_NOWAIT, PVMREAD_RESIDENT, PVMREAD_WRITE, PVMREAD_STOP,
		PVMREAD_NOWAIT | PVMREAD_RESIDENT, PVMREAD_WRITE | PVMREAD_STOP,
		PVMREAD_CACHE, PVMREAD_CACHE | PVMREAD_WRITE, PVMREAD_CACHE | PVMREAD_RESIDENT,
		PVMREAD_WINDOW, PVMREAD_WINDOW | PVMREAD_CACHE | PVMREAD_WRITE,
	};
	static const uint64_t size[] = {
		0, 1, 4, 7, 8, 9, 12, 16, 20, 23, 24, 31, 32, 33, 39, 40, 41, 55, 56, 60, 63, 64,
		65, 72, PAGE - 1, PAGE, PAGE + 1, UINT32_MAX,
	};

	switch (f) {
	case F_SLOT:
		return one_in(&rng, 16) ? GONE_SLOT : below(&rng, 2);
	case F_WHO:
		return one_in(&rng, 3) ? below(&rng, WHOS) : one_in(&rng, 2) ? SELF : LIVE;
	case F_FLAGS:
		if (one_in(&rng, 20))
			return 1U << below(&rng, 32);
		return one_in(&rng, 3) ? below(&rng, 32) : flags[below(&rng, ARRAY_SIZE(flags))];
	case F_SIZE:
		return one_in(&rng, 4) ? DEFAULT : size[below(&rng, ARRAY_SIZE(size))];
	case F_TAIL:
		return below(&rng, 40);
	case F_RESERVED:
	case F_SIDE:
	case F_RING:
		return below(&rng, 2);
	case F_DEV:
		return below(&rng, 3);
	case F_AT:
		return one_in(&rng, 3) ? GOOD : random_place(80);
	case F_LAT:
	case F_RAT:
		return one_in(&rng, 3) ? GOOD : random_place(kind == OP_BATCH ? 480 : 200);
	case F_LCOUNT:
	case F_RCOUNT:
		return one_in(&rng, 4) ? DEFAULT : random_count();
	case F_RWF:
		return one_in(&rng, 8) ? 0x4000000 : below(&rng, 2) * RWF_NOWAIT;
	case F_WHENCE:
		return one_in(&rng, 4) ? below(&rng, 6) : below(&rng, 2);
	case F_CMD:
		return below(&rng, 0x8000);
	case F_PAGE:
		return below(&rng, WINDOW);
	case F_PAGES:
		return 1 + below(&rng, 3);
	case F_KIND:
		if (kind != OP_MAP)
			return below(&rng, 4);
		return PAGE_KINDS[below(&rng, sizeof(PAGE_KINDS) - 1)];
	default:
		return 0;
	}
}

/* Restrict an operation to what parse_statement() accepts. */
static void mend(struct op *op)
{
	unsigned int i, hand;

	if (op->f[F_PAGES] > WINDOW - op->f[F_PAGE])
		op->f[F_PAGES] = WINDOW - op->f[F_PAGE];
	for (hand = 0; hand < HANDS; hand++)
		for (i = 0; i < op->count[hand]; i++) {
			struct value *v = &op->list[hand][i].addr;
			int64_t pages = v->base == OWN_BIG || v->base == TARGET_BIG ?
					BIG_PAGES : WINDOW;

			/* An address must not reach other memory of the tester. */
			if (v->base >= OWN && v->base <= TARGET_BIG &&
			    ((int64_t)v->off < -2 * (int64_t)PAGE ||
			     (int64_t)v->off > (pages + 2) * (int64_t)PAGE))
				v->off = v->off % (pages * PAGE);
		}
}

static const enum kind likely[] = {
	OP_READV, OP_READV, OP_READV, OP_READV, OP_WRITEV, OP_WRITEV, OP_WRITEV, OP_ATTACH,
	OP_ATTACH, OP_READ, OP_READ, OP_WRITE, OP_WRITE, OP_SEEK, OP_SPLICE, OP_FEED,
	OP_BATCH, OP_BATCH, OP_BATCH, OP_BATCH, OP_INFO, OP_IOCTL, OP_FDINFO, OP_CLOSE,
	OP_MAP, OP_PROTECT, OP_DROP, OP_TOUCH,
};

static void random_list(struct op *op, enum flank hand)
{
	unsigned int n = one_in(&rng, 3) ? 1 + below(&rng, MAX_LIST) : 1 + below(&rng, 3), i;

	op->count[hand] = n;
	for (i = 0; i < n; i++)
		op->list[hand][i] = random_element(hand == RIGHT, op->f[F_WHO]);
}

static void random_op(struct op *op, enum kind kind)
{
	unsigned int i;

	op_init(op, kind);
	/* Most fields of an operation have usual values, and most operations are valid. */
	for (i = 0; i < FIELDS; i++)
		if (field[i].kinds & BIT(kind) && (BIT(kind) & ON_MEMORY || one_in(&rng, 12)))
			op->f[i] = random_number(kind, i);
	if (field[F_FLAGS].kinds & BIT(kind) && one_in(&rng, 3))
		op->f[F_FLAGS] = random_number(kind, F_FLAGS) & 0x1f;
	if (BIT(kind) & VECTORED && one_in(&rng, 2))
		op->f[F_FLAGS] &= ALL_FLAGS;
	if (kind == OP_ATTACH && one_in(&rng, 2))
		op->f[F_FLAGS] |= PVMREAD_WRITE;
	if (field[F_RING].kinds & BIT(kind) && one_in(&rng, 3)) {
		op->f[F_RING] = 1;
		op->f[F_RWF] = below(&rng, 2) * RWF_NOWAIT;
	}
	if (BIT(kind) & HAS_LEFT)
		random_list(op, LEFT);
	if (BIT(kind) & HAS_RIGHT)
		random_list(op, RIGHT);
	if (kind == OP_BATCH) {
		op->count[LEFT] = op->count[RIGHT];
		for (i = 0; i < op->count[RIGHT]; i++) {
			if (!op->list[LEFT][i].addr.off)
				op->list[LEFT][i] = random_element(false, LIVE);
			op->list[RIGHT][i].flags = one_in(&rng, 4) ? PVMREAD_SEGMENT_STRING : 0;
		}
	}
	if (word[W_POS].kinds & BIT(kind) && (kind == OP_ATTACH || !one_in(&rng, 4)))
		op->w[W_POS] = random_address(one_in(&rng, 8) ? OWN : TARGET);
	if (word[W_LEN].kinds & BIT(kind)) {
		struct element e = random_element(true, LIVE);

		op->w[W_LEN] = e.len;
	}
	/* The range is all of memory. */
	if (kind == OP_ATTACH && one_in(&rng, 2))
		memset(op->w, 0, sizeof(op->w));
	mend(op);
}

static void random_map(char *map)
{
	static const char kinds[] = "wwwwwwwwwwwwrrussspqtzh-xe...";
	unsigned int i, n;

	for (i = 0; i < WINDOW; i += n) {
		char kind = kinds[below(&rng, sizeof(kinds) - 1)];

		n = 1 + below(&rng, 3);
		if (n > WINDOW - i)
			n = WINDOW - i;
		memset(map + i, kind, n);
	}
	map[WINDOW] = '\0';
}

static void insert_op(struct fuzz_case *c, unsigned int at, const struct op *op)
{
	if (c->ops == MAX_OPS)
		c->ops--;
	if (at > c->ops)
		at = c->ops;
	memmove(&c->op[at + 1], &c->op[at], (c->ops - at) * sizeof(*op));
	c->op[at] = *op;
	c->ops++;
}

static void remove_op(struct fuzz_case *c, unsigned int at)
{
	c->ops--;
	memmove(&c->op[at], &c->op[at + 1], (c->ops - at) * sizeof(c->op[0]));
}

static void random_case(struct fuzz_case *c)
{
	unsigned int n = 1 + below(&rng, 5), i;

	memset(c, 0, sizeof(*c));
	for (i = 0; i < SIDES; i++)
		random_map(c->map[i]);
	if (one_in(&rng, 2)) {
		random_op(&c->op[c->ops++], OP_ATTACH);
		/* Make this ATTACH valid. */
		for (i = 0; i < FIELDS; i++)
			if (i != F_FLAGS)
				c->op[0].f[i] = field[i].usual;
		c->op[0].f[F_FLAGS] &= PVMREAD_WRITE | PVMREAD_NOWAIT | PVMREAD_RESIDENT;
		c->op[0].f[F_WHO] = one_in(&rng, 6) ? SELF : LIVE;
	}
	while (n--)
		random_op(&c->op[c->ops++], likely[below(&rng, ARRAY_SIZE(likely))]);
}

static void mutate_value(struct value *v)
{
	static const int64_t step[] = { 1, -1, 8, -8, 64, -64, PAGE, -PAGE, PAGE - 1, 1 - PAGE };

	v->off += step[below(&rng, ARRAY_SIZE(step))];
}

static void mutate_list(struct op *op)
{
	enum flank hand = BIT(op->kind) & HAS_RIGHT ? below(&rng, HANDS) : LEFT;
	unsigned int *n = &op->count[hand], i;
	struct element *e;

	if (!*n || (op->kind != OP_BATCH && one_in(&rng, 12))) {
		if (op->kind != OP_BATCH)
			random_list(op, hand);
		return;
	}
	i = below(&rng, *n);
	e = &op->list[hand][i];
	switch (below(&rng, 8)) {
	case 0:
		/* One element fewer, on both sides of a BATCH. */
		for (hand = 0; hand < HANDS; hand++) {
			if (op->kind != OP_BATCH && &op->count[hand] != n)
				continue;
			memmove(&op->list[hand][i], &op->list[hand][i + 1],
				(op->count[hand] - i - 1) * sizeof(*e));
			op->count[hand]--;
		}
		break;
	case 1:
		/* One element more. */
		if (*n == MAX_LIST)
			break;
		for (hand = 0; hand < HANDS; hand++) {
			if (op->kind != OP_BATCH && &op->count[hand] != n)
				continue;
			op->list[hand][op->count[hand]++] =
				random_element(hand == RIGHT, op->f[F_WHO]);
		}
		break;
	case 2:
		*e = random_element(hand == RIGHT, op->f[F_WHO]);
		break;
	case 3:
		mutate_value(&e->addr);
		break;
	case 4:
		if (e->len.base == ABSOLUTE && one_in(&rng, 2))
			e->len.off = random_length();
		else
			mutate_value(&e->len);
		break;
	case 5:
		if (op->kind == OP_BATCH)
			op->list[RIGHT][i].flags ^= one_in(&rng, 16) ? 1U << below(&rng, 32) :
						    PVMREAD_SEGMENT_STRING;
		break;
	case 6:
		/* Begin where the previous element ends. */
		if (i && hand == RIGHT && e[-1].len.base == ABSOLUTE) {
			e->addr = e[-1].addr;
			e->addr.off += e[-1].len.off;
		}
		break;
	case 7:
		/* Up to the end of its page. */
		e->len = (struct value){ ABSOLUTE, PAGE - e->addr.off % PAGE };
		break;
	}
}

static void mutate_op(struct op *op)
{
	unsigned int i;

	if (BIT(op->kind) & HAS_LEFT && !one_in(&rng, 3)) {
		mutate_list(op);
		mend(op);
		return;
	}
	for (i = 0; i < 8; i++) {
		unsigned int f = below(&rng, FIELDS + WORDS);

		if (f < FIELDS) {
			if (!(field[f].kinds & BIT(op->kind)))
				continue;
			op->f[f] = one_in(&rng, 3) ? field[f].usual : random_number(op->kind, f);
			if (op->kind == OP_MAP && f == F_KIND)
				op->f[f] = random_number(op->kind, f);
			break;
		}
		f -= FIELDS;
		if (!(word[f].kinds & BIT(op->kind)))
			continue;
		if (f == W_LEN)
			op->w[f] = random_element(true, LIVE).len;
		else
			op->w[f] = random_address(one_in(&rng, 8) ? OWN : TARGET);
		if (one_in(&rng, 2))
			mutate_value(&op->w[f]);
		break;
	}
	mend(op);
}

/* Let an operation touch the start or end of a file's range. */
static void aim(const struct fuzz_case *c, struct op *op)
{
	const struct op *attached = &c->op[below(&rng, c->ops)];
	struct value edge = attached->w[W_POS];

	if (attached->kind != OP_ATTACH || attached->w[W_LEN].base != ABSOLUTE ||
	    attached->w[W_LEN].off > BIG_PAGES * PAGE)
		return;
	if (!one_in(&rng, 4))
		edge.off += attached->w[W_LEN].off;
	edge.off += below(&rng, 132) - 130;
	if (op->kind == OP_BATCH && op->count[RIGHT]) {
		struct element *e = &op->list[RIGHT][below(&rng, op->count[RIGHT])];

		e->addr = edge;
		e->len = (struct value){ ABSOLUTE, below(&rng, 140) };
	} else if (op->kind == OP_READ || op->kind == OP_WRITE) {
		op->w[W_POS] = edge;
	}
	mend(op);
}

static struct fuzz_case *corpus[MAX_CORPUS];
static unsigned int corpus_len;

static void mutate_case(struct fuzz_case *c)
{
	unsigned int n = 1 + below(&rng, 3), i;
	const struct fuzz_case *other;
	struct op op;

	while (n--) {
		if (!c->ops) {
			random_case(c);
			return;
		}
		i = below(&rng, c->ops);
		switch (below(&rng, 12)) {
		case 0:
			random_op(&op, likely[below(&rng, ARRAY_SIZE(likely))]);
			insert_op(c, below(&rng, c->ops + 1), &op);
			break;
		case 1:
			if (c->ops > 1)
				remove_op(c, i);
			break;
		case 2:
			op = c->op[i];
			insert_op(c, below(&rng, c->ops + 1), &op);
			break;
		case 3:
			other = corpus[below(&rng, corpus_len)];
			if (other->ops)
				insert_op(c, i + 1, &other->op[below(&rng, other->ops)]);
			break;
		case 4:
			if (one_in(&rng, 4))
				c->map[below(&rng, SIDES)][below(&rng, WINDOW)] =
					PAGE_KINDS[below(&rng, sizeof(PAGE_KINDS) - 1)];
			break;
		default:
			mutate_op(&c->op[i]);
			if (one_in(&rng, 6))
				aim(c, &c->op[i]);
		}
	}
}

/* --- Finding new cases --- */

static uint64_t *cover;		/* KCOV's buffer, or NULL without KCOV */
static unsigned char edges_seen[EDGES];
static bool outcomes_seen[OUTCOMES];
static uint64_t pcs[MAX_PCS];
static unsigned int edge_count, outcome_count, pc_count;
static bool found_new;
static bool tracing;

static void start_cover(void)
{
	int fd = open(KCOV_PATH, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	if (ioctl(fd, KCOV_INIT_TRACE, COVER_LEN))
		return;
	cover = mmap(NULL, COVER_LEN * sizeof(*cover), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (cover == MAP_FAILED || ioctl(fd, KCOV_ENABLE, KCOV_TRACE_PC))
		cover = NULL;
	/* @fd stays open for the rest of the test. */
}

static void clear_cover(void)
{
	if (cover)
		__atomic_store_n(&cover[0], 0, __ATOMIC_RELAXED);
}

static void see_pc(uint64_t pc)
{
	unsigned int i = mix(pc) % MAX_PCS;

	while (pcs[i] && pcs[i] != pc)
		i = (i + 1) % MAX_PCS;
	if (!pcs[i] && pc_count < MAX_PCS / 2) {
		pcs[i] = pc;
		pc_count++;
	}
}

static void see_outcome(uint32_t outcome)
{
	outcome %= OUTCOMES;
	if (!outcome || outcomes_seen[outcome])
		return;
	outcomes_seen[outcome] = true;
	outcome_count++;
	found_new = true;
}

/* Has the case taken a new path, or an old one more often than before? */
static void see_cover(void)
{
	static unsigned char hits[EDGES];
	uint64_t before = 0, n, i;

	if (!cover)
		return;
	n = __atomic_load_n(&cover[0], __ATOMIC_RELAXED);
	if (n > COVER_LEN - 1)
		n = COVER_LEN - 1;
	memset(hits, 0, sizeof(hits));
	for (i = 1; i <= n; i++) {
		uint64_t edge = mix(before * 31 + cover[i]) % EDGES;

		before = cover[i];
		hits[edge] += hits[edge] < 255;
	}
	for (i = 1; i <= n; i++) {
		uint64_t edge = mix((i > 1 ? cover[i - 1] : 0) * 31 + cover[i]) % EDGES;
		unsigned int often = hits[edge] < 2 ? 1 : hits[edge] < 4 ? 2 :
				     hits[edge] < 32 ? 4 : 8;

		if (edges_seen[edge] & often)
			continue;
		edge_count += !edges_seen[edge];
		edges_seen[edge] |= often;
		found_new = true;
	}
	for (i = 1; i <= n && found_new; i++)
		see_pc(cover[i]);
}

static bool keeping;

/* Add a case to the corpus. If there is no room, it replaces a random one. */
static void keep_case(const struct fuzz_case *c)
{
	struct fuzz_case **kept = &corpus[corpus_len];

	if (corpus_len == MAX_CORPUS)
		kept = &corpus[below(&rng, MAX_CORPUS)];
	else
		*kept = malloc(sizeof(**kept));
	if (!*kept)
		return;
	corpus_len += kept == &corpus[corpus_len];
	**kept = *c;
	if (!keeping)
		return;
	/* Print it at once, so that the next run begins with it even if this run fails. */
	printf("#corpus ");
	print_case(stdout, c, " ");
	printf("\n");
}

/* --- Kernel reports and leaks --- */

static int kmsg = -1, tainted = -1;

/* This number changes when the kernel has warned, however the message is worded. */
static int read_taint(void)
{
	char text[16] = "";

	return pread(tainted, text, sizeof(text) - 1, 0) > 0 ? atoi(text) : 0;
}

/* Has the kernel reported something since the last call? Not every report taints it. */
static bool kernel_reports(void)
{
	static int taint = -1;
	static const char * const words[] = {
		"BUG:", "WARNING:", "UBSAN:", "INFO: possible", "INFO: suspicious", "refcount_t:",
	};
	bool found = taint >= 0 && taint != read_taint();
	char text[8192];
	ssize_t len;
	unsigned int i;

	taint = read_taint();
	/* EPIPE: a part of the log is lost; the next read continues after it. */
	while ((len = read(kmsg, text, sizeof(text) - 1)) > 0 || errno == EPIPE) {
		text[len > 0 ? len : 0] = '\0';
		/* Data races may be anywhere in the kernel: scripts/guest filters them. */
		if (strstr(text, "BUG: KCSAN:"))
			continue;
		for (i = 0; i < ARRAY_SIZE(words); i++)
			found |= !!strstr(text, words[i]);
	}
	return found;
}

static unsigned int open_files(void)
{
	unsigned int n = 0;
	int i;

	for (i = 0; i < 256; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

/* Return: true if no file is left open and no page pinned; false, with the leak in world.why. */
static bool leaves_nothing(unsigned int files, long pins)
{
	long now = pins_held();

	if (now != pins)
		return wrong(&world, "pages: %ld are pinned, were %ld", now, pins);
	if (open_files() != files)
		return wrong(&world, "files: %u are open, were %u", open_files(), files);
	return true;
}

/* Check for leaks after each case, which is slow. */
static bool searching;

static bool carry_out(const struct fuzz_case *c, void (*outcomes)(uint32_t))
{
	unsigned int files;
	long pins;

	if (!searching)
		return run_case(&world, c, outcomes);
	files = open_files();
	pins = pins_held();
	return run_case(&world, c, outcomes) && leaves_nothing(files, pins);
}

/* Run a case that may be new. Return: false if it failed. */
static bool try_case(struct fuzz_case *c)
{
	bool good;

	if (tracing) {
		printf("#trace ");
		print_case(stdout, c, " ");
		printf("\n");
		fflush(stdout);
		/* Write it out now: the case may crash the guest. */
		tcdrain(STDOUT_FILENO);
	}
	found_new = false;
	clear_cover();
	good = carry_out(c, see_outcome);
	see_cover();
	if (found_new)
		keep_case(c);
	return good;
}

/* --- Failures --- */

static void ignore_outcome(uint32_t outcome)
{
	(void)outcome;
}

/* Does it fail in the same way as the previous case? If not, world.why is unchanged. */
static bool fails(const struct fuzz_case *c)
{
	static char why[sizeof(world.why)];
	size_t first = strcspn(world.why, " ");

	memcpy(why, world.why, sizeof(why));
	if (!carry_out(c, ignore_outcome) && !strncmp(why, world.why, first + 1))
		return true;
	memcpy(world.why, why, sizeof(why));
	return false;
}

/* If it still fails in the same way, keep the change. */
static bool instead(struct fuzz_case *c, const struct fuzz_case *smaller)
{
	if (!fails(smaller))
		return false;
	*c = *smaller;
	return true;
}

/* Each reduction of a value must decrease its distance from 0, or they would not end. */
static uint64_t distance(struct value v)
{
	return (int64_t)v.off < 0 ? -v.off : v.off;
}

static bool shrink_value(struct fuzz_case *c, struct value *in_trial, struct fuzz_case *trial,
			 const struct value *now)
{
	const struct value tries[] = {
		{ now->base, 0 }, { now->base, now->off & ~(PAGE - 1) }, { now->base, 1 },
		{ now->base, 8 }, { now->base, now->off % PAGE }, { now->base, now->off / 2 },
		{ now->base, (int64_t)now->off < 0 ? now->off + 1 : now->off - 1 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		if (distance(tries[i]) >= distance(*now))
			continue;
		*trial = *c;
		*in_trial = tries[i];
		if (instead(c, trial))
			return true;
	}
	return false;
}

static bool shrink_op(struct fuzz_case *c, unsigned int nr)
{
	static struct fuzz_case trial;
	struct op *op = &trial.op[nr];
	unsigned int i, hand, k;

	for (i = 0; i < FIELDS; i++) {
		if (c->op[nr].f[i] == field[i].usual || i == F_KIND)
			continue;
		trial = *c;
		op->f[i] = field[i].usual;
		if (instead(c, &trial))
			return true;
	}
	for (hand = 0; hand < HANDS; hand++) {
		for (i = 0; i < c->op[nr].count[hand]; i++) {
			trial = *c;
			for (k = 0; k < HANDS; k++) {
				if (k != hand && op->kind != OP_BATCH)
					continue;
				op->count[k]--;
				memmove(&op->list[k][i], &op->list[k][i + 1],
					(op->count[k] - i) * sizeof(op->list[k][0]));
			}
			if (instead(c, &trial))
				return true;
		}
		for (i = 0; i < c->op[nr].count[hand]; i++) {
			struct element *e = &op->list[hand][i];
			const struct element *now = &c->op[nr].list[hand][i];

			if (shrink_value(c, &e->addr, &trial, &now->addr) ||
			    shrink_value(c, &e->len, &trial, &now->len))
				return true;
		}
	}
	for (i = 0; i < WORDS; i++)
		if (word[i].kinds & BIT(c->op[nr].kind) &&
		    c->op[nr].w[i].off != word[i].usual.off &&
		    shrink_value(c, &op->w[i], &trial, &c->op[nr].w[i]))
			return true;
	return false;
}

/* Make the case smaller in one way. Return: false if none is left. */
static bool shrink_once(struct fuzz_case *c)
{
	static struct fuzz_case trial;
	unsigned int i, side;

	for (i = c->ops; i--; ) {
		trial = *c;
		remove_op(&trial, i);
		if (instead(c, &trial))
			return true;
	}
	for (side = 0; side < SIDES; side++)
		for (i = 0; i < WINDOW; i++) {
			if (strchr("w", c->map[side][i]))
				continue;
			trial = *c;
			trial.map[side][i] = 'w';
			if (instead(c, &trial))
				return true;
		}
	for (i = 0; i < c->ops; i++)
		if (shrink_op(c, i))
			return true;
	return false;
}

static void report(struct fuzz_case *c, uint64_t nr)
{
	char *text = NULL, *line, *save = NULL;
	unsigned int rounds = 0;
	long end = now_ms() + 60000;
	size_t len;
	FILE *out;

	alarm(0);
	say("case %llu: %s", (unsigned long long)nr, world.why);
	printf("# unreduced: ");
	print_case(stdout, c, " ");
	printf("\n");
	world.careful = true;
	if (!fails(c)) {
		say("it does not fail alone: memory was not as the case describes it");
		return;
	}
	while (now_ms() < end && shrink_once(c))
		rounds++;
	fails(c);
	say("reduced %u times. Now: %s", rounds, world.why);
	say("for fuzz_cases.c:");
	out = open_memstream(&text, &len);
	if (!out)
		return;
	print_case(out, c, "\n ");
	fclose(out);
	for (line = strtok_r(text, "\n", &save); line; ) {
		char *next = strtok_r(NULL, "\n", &save);

		printf("#case \t\"%s\"%s\n", line, next ? "" : ",");
		line = next;
	}
	fflush(stdout);
	free(text);
}

static struct fuzz_case recent[PIN_CHECK];

/* Which of the last cases has leaked something? */
static void report_leak(uint64_t first, uint64_t n)
{
	alarm(0);
	say("%s", world.why);
	searching = true;
	for (; first < n; first++)
		if (!carry_out(&recent[first % PIN_CHECK], ignore_outcome)) {
			report(&recent[first % PIN_CHECK], first);
			return;
		}
	say("none of the last cases leaks again");
}

/* --- The world --- */

static int open_area(struct area *area, uintptr_t addr)
{
	int fd = memfd_create("area", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, AREA_LEN))
		return -1;
	area->rw = mmap((void *)addr, AREA_LEN, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0);
	area->ro = mmap((void *)(addr + (1 << 20)), AREA_LEN, PROT_READ,
			MAP_SHARED | MAP_FIXED, fd, 0);
	close(fd);
	return area->rw == MAP_FAILED || area->ro == MAP_FAILED ? -1 : 0;
}

/* Find the first address that the kernel does not accept as user space. */
static uint64_t find_top(const struct world *w)
{
	uint64_t good = PAGE, bad = 1ULL << 57;

	while (bad - good > 1) {
		uint64_t middle = good + (bad - good) / 2;
		struct iovec l = { (void *)middle, 0 };

		l.iov_base = (void *)(middle - PAGE);
		l.iov_len = PAGE;
		if (judge_local(w, &l, 1, false))
			bad = middle;
		else
			good = middle;
	}
	return good;
}

static pid_t start_child(bool live, struct world *w)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		_exit(1);
	if (live)
		target_live(&w->side[TARGET_SIDE], w->order);
	_exit(0);
}

/* Return: NULL, or the step that failed. */
static const char *open_world(struct world *w)
{
	siginfo_t unused;
	static const int mode[3] = { O_RDWR, O_RDONLY, O_WRONLY };
	struct pvmread_info info = { .size = sizeof(info) };
	char path[32];
	int i;

	for (i = 0; i < 3; i++) {
		w->dev[i] = open(PVMREAD_DEVICE, mode[i] | O_CLOEXEC);
		if (w->dev[i] < 0)
			return PVMREAD_DEVICE;
	}
	if (ioctl(w->dev[0], PVMREAD_IOC_INFO, &info))
		return "INFO";
	w->features = info.features;
	w->scratch = malloc(BIG_PAGES * PAGE);
	w->wanted = malloc(BIG_PAGES * PAGE);
	w->order = mmap(NULL, sizeof(*w->order), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!w->scratch || !w->wanted || w->order == MAP_FAILED ||
	    !side_init(&w->side[OWN_SIDE], OWN_AT, OWN_BIG_AT, 1) ||
	    !side_init(&w->side[TARGET_SIDE], TARGET_AT, TARGET_BIG_AT, 2))
		return "memory";

	w->target = start_child(true, w);
	w->pid[ZOMBIE] = start_child(false, w);
	w->pid[DEAD] = start_child(true, w);
	if (w->target < 0 || w->pid[ZOMBIE] < 0 || w->pid[DEAD] < 0)
		return "fork";
	if (waitid(P_PID, w->pid[ZOMBIE], &unused, WEXITED | WNOWAIT))
		return "a zombie";
	w->pid[LIVE] = w->target;
	w->pid[SELF] = getpid();
	w->pid[KTHREAD] = 2;
	w->pid[NOBODY] = NO_PID;
	w->pid[MINUS] = -1;
	w->pid[DEVICE_FD] = NO_PID;
	for (i = 0; i < WHOS; i++) {
		w->pidfd[i] = i > KTHREAD ? w->pid[i] : open_pidfd(w->pid[i]);
		w->is_pidfd[i] = i <= KTHREAD && w->pidfd[i] >= 0;
	}
	w->pidfd[DEVICE_FD] = w->dev[0];
	for (i = 0; i < SLOTS; i++)
		w->file[i].fd = -1;
	w->file[GONE_SLOT] = (struct file){
		.fd = attach(w->dev[0], w->pid[DEAD], PVMREAD_WRITE, 0, 0),
		.who = DEAD,
		.flags = PVMREAD_WRITE,
		.last = UINT64_MAX,
	};
	if (w->file[GONE_SLOT].fd < 0)
		return "ATTACH";
	kill(w->pid[DEAD], SIGKILL);
	if (reap(w->pid[DEAD], 60000) < 0)
		return "reaping a child";

	if (!side_map_big(&w->side[OWN_SIDE]) || open_area(&w->area[ARG], 0x70000000) ||
	    open_area(&w->area[LVEC], 0x70400000) || open_area(&w->area[RVEC], 0x70800000) ||
	    pipe2(w->pipe, O_CLOEXEC | O_NONBLOCK))
		return "memory";
	if (!probe_splice(w))
		return "splice";
	if (io_uring_queue_init(1, &w->ring, 0))
		return "io_uring";
	snprintf(path, sizeof(path), "/proc/%d/pagemap", w->target);
	w->pagemap[TARGET_SIDE] = open(path, O_RDONLY | O_CLOEXEC);
	w->pagemap[OWN_SIDE] = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (w->pagemap[TARGET_SIDE] < 0 || w->pagemap[OWN_SIDE] < 0)
		return "pagemap";
	w->top = find_top(w);
	return NULL;
}

static void close_world(struct world *w)
{
	int i;

	for (i = 0; i < SLOTS; i++)
		close_slot(&w->file[i]);
	for (i = 0; i < 3; i++)
		close(w->dev[i]);
	kill(w->target, SIGKILL);
	reap(w->target, 60000);
	reap(w->pid[ZOMBIE], 60000);
}

/* --- The tests --- */

FIXTURE(fuzz) {
	unsigned int files;
	long pins;
};

FIXTURE_SETUP(fuzz)
{
	const char *missing = open_world(&world);

	ASSERT_EQ(NULL, missing) {
		TH_LOG("%s: %s", missing, strerror(errno));
	}
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	tainted = open("/proc/sys/kernel/tainted", O_RDONLY | O_CLOEXEC);
	ASSERT_TRUE(kmsg >= 0 && tainted >= 0);
	lseek(kmsg, 0, SEEK_END);
	kernel_reports();
	self->files = open_files();
	self->pins = pins_held();
}

FIXTURE_TEARDOWN(fuzz)
{
	close_world(&world);
}

TEST_F_TIMEOUT(fuzz, kept_cases_match_the_syscall, 600)
{
	static struct fuzz_case c;
	unsigned int i;

	searching = true;
	for (i = 0; i < kept_count; i++) {
		ASSERT_TRUE(parse_case(kept_cases[i], &c)) {
			TH_LOG("case %u of fuzz_cases.c cannot be parsed", i);
		}
		world.careful = true;
		ASSERT_TRUE(carry_out(&c, ignore_outcome)) {
			TH_LOG("case %u of fuzz_cases.c: %s", i, world.why);
		}
	}
	say("%u cases of fuzz_cases.c", i);
}

/* Cases of an earlier run. Return: how many, or -1 if one failed. */
static int read_corpus(const char *path)
{
	static struct fuzz_case c;
	char *line = NULL;
	size_t room = 0;
	int n = 0, none = 0;
	FILE *in = fopen(path, "re");

	if (!in)
		return 0;
	while (getline(&line, &room, in) > 0) {
		if (!parse_case(line, &c) || !c.ops) {
			none++;
			continue;
		}
		n++;
		if (!try_case(&c)) {
			report(&c, 0);
			n = -1;
			break;
		}
	}
	free(line);
	fclose(in);
	say("%d cases of an earlier run, and %d lines that are no cases", n, none);
	return n;
}

/* The start of the module's code. */
static uint64_t text_start(void)
{
	FILE *in = fopen("/sys/module/pvmread/sections/.text", "re");
	unsigned long long addr = 0;

	if (in && fscanf(in, "%llx", &addr) != 1)
		addr = 0;
	if (in)
		fclose(in);
	return addr;
}

static void print_places(void)
{
	uint64_t start = text_start();
	unsigned int i;

	for (i = 0; i < MAX_PCS; i++)
		if (pcs[i])
			printf("#pc +%#llx\n", (unsigned long long)(pcs[i] - start));
	fflush(stdout);
}

/* Without coverage only results guide the fuzzer. No other test would notice that. */
TEST_F_TIMEOUT(fuzz, sees_coverage_of_the_module, 600)
{
	static struct fuzz_case c;

	start_cover();
	if (!cover)
		SKIP(return, "not in this kernel: KCOV");
	ASSERT_TRUE(parse_case(kept_cases[0], &c));
	EXPECT_TRUE(try_case(&c)) {
		TH_LOG("%s", world.why);
	}
	EXPECT_LT(0, pc_count) {
		TH_LOG("the module was built without KCOV_INSTRUMENT=y");
	}
}

TEST_F_TIMEOUT(fuzz, random_cases_match_the_syscall, 7200)
{
	uint64_t cases = number_from("CASES", 20000), trace = number_from("TRACE", UINT64_MAX);
	long begin = now_ms(), end, last;
	static struct fuzz_case c, parent;
	uint32_t seed = choose_seed();
	uint64_t n;
	unsigned int i;

	end = begin + number_from("SECONDS", 7000) * 1000;
	start_cover();
	say("SEED=%u CASES=%llu", seed, (unsigned long long)cases);
	if (!cover)
		say("this kernel has no KCOV: only results guide the fuzzer");
	self->files += !!cover;
	keeping = number_from("KEEP", 0);
	tracing = !trace;
	searching = true;
	for (i = 0; i < kept_count && !number_from("FRESH", 0); i++) {
		ASSERT_TRUE(parse_case(kept_cases[i], &c));
		ASSERT_TRUE(try_case(&c)) {
			report(&c, 0);
		}
	}
	ASSERT_LE(0, read_corpus("/corpus"));
	searching = false;

	last = now_ms();
	for (n = 0; n < cases; n++) {
		rng.state = mix(mix(seed) + n);
		/* A case that hangs ends the test. */
		if (!(n % LITTER))
			alarm(LITTER_S);
		if (!(n % (4 * LITTER)))
			random_case(&parent);
		else if (!(n % LITTER))
			parent = corpus_len ? *corpus[below(&rng, corpus_len)] : c;
		c = parent;
		if (n % LITTER)
			mutate_case(&c);
		tracing = n >= trace;
		world.careful = !(n % 16);
		ASSERT_TRUE(try_case(&c)) {
			report(&c, n);
		}
		recent[n % PIN_CHECK] = c;
		ASSERT_FALSE(kernel_reports()) {
			say("case %llu made the kernel report something:", (unsigned long long)n);
			printf("#case ");
			print_case(stdout, &c, " ");
			printf("\n");
		}
		if (n % PIN_CHECK == PIN_CHECK - 1) {
			ASSERT_TRUE(leaves_nothing(self->files, self->pins)) {
				report_leak(n + 1 - PIN_CHECK, n + 1);
			}
			if (now_ms() > end)
				break;
			if (now_ms() - last > 10000) {
				last = now_ms();
				say("at %llu: %u edges, %u answers, %u cases kept",
				    (unsigned long long)n, edge_count, outcome_count, corpus_len);
			}
		}
	}
	alarm(0);
	EXPECT_TRUE(leaves_nothing(self->files, self->pins)) {
		report_leak(n / PIN_CHECK * PIN_CHECK, n);
	}
	say("%llu cases in %ld s, SEED=%u: %u places, %u edges, %u answers, %u cases kept",
	    (unsigned long long)n, (now_ms() - begin) / 1000, seed, pc_count, edge_count,
	    outcome_count, corpus_len);
	if (keeping)
		print_places();
}

TEST_HARNESS_MAIN
