// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the fuzzer's cases, and computes the expected result of each operation.
 *
 * Every transfer is made twice: by the module with the second twins of the memory, and
 * by the system call with the first. A READV or WRITEV corresponds to one system call.
 * So does a transfer of a target file, with a single remote element. A BATCH
 * corresponds to one per segment. The model computes what the system call does not
 * have: structs that are too short or too long, files and their ranges, and strings.
 * With PVMREAD_RESIDENT and PVMREAD_NOWAIT it computes up to which byte memory is
 * available without a wait, and truncates the system call's request there.
 */
#define _GNU_SOURCE
#include <stdarg.h>

#include "fuzz_model.h"
#include "process.h"

/* Say why the case failed. Return: false. */
bool wrong(struct world *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->why, sizeof(w->why), fmt, ap);
	va_end(ap);
	return false;
}

/* Return: the result of a call as the kernel returns it: -errno on failure. */
static long answer(long ret)
{
	return ret == -1 ? -errno : ret;
}

static void *at(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

/* --- Addresses --- */

static const uint64_t base_at[BASES] = {
	[OWN] = OWN_AT, [OWN_BIG] = OWN_BIG_AT,
	[TARGET] = TARGET_AT, [TARGET_BIG] = TARGET_BIG_AT,
	[KERNEL] = KERNEL_ADDR,
};

/* The address of a value in the second twins, if it has two. */
static uint64_t address(const struct world *w, struct value v)
{
	if (v.base == TOP)
		return w->top + v.off;
	return base_at[v.base] + v.off + (v.base >= OWN && v.base <= TARGET_BIG ? TWIN : 0);
}

static uint64_t length(const struct world *w, struct value v, uint64_t addr)
{
	if (v.base == REST)
		return w->top - addr + v.off;
	if (v.base == TURN)
		return v.off - addr;
	return v.off;
}

/* Convert an address in the second twins to one in the first. */
static uint64_t first_twin(uint64_t addr)
{
	if (addr >= (OWN_AT & ~(TWIN - 1)) && addr < TARGET_AT + 2 * TWIN)
		return addr & ~TWIN;
	return addr;
}

/*
 * Return: the page of the process's memory that contains an address of the second
 * twins, counted first in the window, then in the block; -1 if it is in neither.
 */
static long page_of(enum whom who, uint64_t addr)
{
	uint64_t at = (who == SELF ? OWN_AT : TARGET_AT) + TWIN;
	uint64_t big = (who == SELF ? OWN_BIG_AT : TARGET_BIG_AT) + TWIN;

	if (addr - at < WINDOW * PAGE)
		return (addr - at) / PAGE;
	if (addr - big < BIG_PAGES * PAGE)
		return WINDOW + (addr - big) / PAGE;
	return -1;
}

static const struct side *side_of(const struct world *w, enum whom who)
{
	return &w->side[who == SELF ? OWN_SIDE : TARGET_SIDE];
}

/* Return: bits of the window's pages that contain these bytes; the block is one bit. */
static unsigned int own_pages(uint64_t addr, uint64_t len)
{
	unsigned int pages = 0;
	uint64_t end;
	long page;

	if (!len)
		return 0;
	/* A transfer does not get past a hole. */
	end = len > BIG_PAGES * PAGE ? addr + BIG_PAGES * PAGE : addr + len;
	for (addr &= ~(PAGE - 1); addr < end; addr += PAGE) {
		page = page_of(SELF, addr);
		if (page < 0)
			break;
		pages |= BIT(page < WINDOW ? page : WINDOW);
	}
	return pages;
}

/* --- Structs and arrays in memory --- */

/**
 * place() - put data where user space can, or cannot, access it
 * @area: the area for it
 * @where: a &enum place
 * @data: its contents
 * @len: their length
 * @reach: set to the number of these bytes that can be read
 *
 * Return: its address.
 */
static uint64_t place(struct area *area, uint64_t where, const void *data, size_t len,
		      size_t *reach)
{
	unsigned char *to = area->rw;

	*reach = 0;
	switch (where) {
	case AT_NULL:
		return 0;
	case IN_KERNEL:
		return KERNEL_ADDR;
	case AT_HALF:
		return HALF;
	}
	*reach = len;
	if (where >= CUT && where - CUT < len)
		*reach = where - CUT;
	if (where >= CUT)
		to = area->rw + AREA_LEN - *reach;
	memcpy(to, data, *reach);
	return (uintptr_t)(where == READ_ONLY ? area->ro : to);
}

/**
 * struct sent - a struct as it was passed
 * @addr: where it is
 * @reach: number of its bytes that can be read
 * @size: its size field
 * @len: number of bytes recorded
 * @bytes: these bytes
 */
struct sent {
	uint64_t addr;
	size_t reach;
	uint64_t size;
	size_t len;
	unsigned char bytes[3 * PAGE];
};

static void put_struct(struct world *w, const struct op *op, struct sent *sent, void *arg,
		       size_t size)
{
	uint32_t said = op->f[F_SIZE] == DEFAULT ? size : op->f[F_SIZE];

	memcpy(arg, &said, sizeof(said));
	sent->size = said;
	sent->len = said < size ? size : said;
	if (sent->len > 2 * PAGE)
		sent->len = 2 * PAGE;
	memset(sent->bytes, 0, sent->len);
	memset(sent->bytes + sent->len, UNTOUCHED, 64);
	memcpy(sent->bytes, arg, size);
	/* The kernel must neither read nor write after the size that the struct states. */
	if (said < size)
		memset(sent->bytes + said, UNTOUCHED, size - said);
	/* The size itself is always passed. */
	memcpy(sent->bytes, &said, sizeof(said));
	if (said > size && op->f[F_TAIL])
		sent->bytes[size + (op->f[F_TAIL] - 1) % (sent->len - size)] = 1;
	sent->len += 64;
	sent->addr = place(&w->area[ARG], op->f[F_AT], sent->bytes, sent->len, &sent->reach);
}

/**
 * judge_struct() - the expected errno for a struct, from its size alone
 * @op: the operation
 * @sent: the struct
 * @size: its size
 * @min: size of its first version
 * @got: the actual errno
 *
 * Return: 0, or a negative errno.
 */
static long judge_struct(const struct op *op, const struct sent *sent, size_t size, size_t min,
			 long got)
{
	if (sent->reach < sizeof(uint32_t))
		return -EFAULT;
	if (sent->size < min)
		return -EINVAL;
	if (sent->size > PAGE)
		return -E2BIG;
	if (sent->size > size && op->f[F_TAIL])
		/* Either error may be found first. */
		return sent->reach < sent->size && got == -EFAULT ? -EFAULT : -E2BIG;
	return sent->reach < sent->size ? -EFAULT : 0;
}

/* Does the struct have the expected contents after the call? */
static bool same_struct(struct world *w, const struct op *op, const struct sent *sent)
{
	const unsigned char *got = at(sent->addr);
	size_t i;

	if (!sent->reach || !memcmp(got, sent->bytes, sent->reach))
		return true;
	for (i = 0; got[i] == sent->bytes[i]; i++)
		;
	return wrong(w, "%s: byte %zu of the struct is %#x, must be %#x", kind_name[op->kind], i,
		     got[i], sent->bytes[i]);
}

/* Expect this value in an out field, if the struct contains the whole field. */
static void expect_field(struct sent *sent, size_t offset, const void *value, size_t len)
{
	if (offset + len <= sent->size)
		memcpy(sent->bytes + offset, value, len);
}

/* An element list of the operation as iovec arrays for both twins. Return: its length. */
static unsigned int make_vec(struct world *w, const struct op *op, enum flank hand,
			     enum field count)
{
	unsigned int n = op->count[hand], i;
	uint64_t all = op->f[count] == DEFAULT ? n : op->f[count];

	if (all > MAX_VEC)
		all = MAX_VEC;
	memset(w->vec[hand], 0, sizeof(w->vec[hand][0]) * 2);
	for (i = 0; i < all && n; i++) {
		const struct element *e = &op->list[hand][i % n];
		uint64_t addr = address(w, e->addr), twin = first_twin(addr);

		w->vec[hand][1][i] = (struct iovec){ (void *)addr, length(w, e->len, addr) };
		w->vec[hand][0][i] = (struct iovec){ (void *)twin, length(w, e->len, twin) };
	}
	return all;
}

/* --- The system call --- */

static long oracle(pid_t pid, bool write, const struct iovec *l, unsigned long ln,
		   const struct iovec *r, unsigned long rn)
{
	struct request req = {
		.pid = pid, .write = write,
		.local = l, .local_count = ln, .remote = r, .remote_count = rn,
	};

	return answer(send_syscall(&req));
}

/* The expected errno for a local array alone. */
long judge_local(const struct world *w, const struct iovec *l, unsigned long n, bool write)
{
	return oracle(w->pid[SELF], write, l, n, NULL, 0);
}

/* Can this byte of the first twins be read, or written? */
static bool reachable(const struct world *w, enum whom who, bool write, uint64_t addr)
{
	struct iovec r = { (void *)first_twin(addr), 1 };
	char byte = 0;
	struct iovec l = { &byte, 1 };
	long page = page_of(who, addr);

	if (page >= 0 && page < WINDOW && side_of(w, who)->now[page] == 'x')
		return write;
	/* The same value is written back. */
	if (oracle(w->pid[who], false, &l, 1, &r, 1) == 1)
		return !write || oracle(w->pid[who], true, &l, 1, &r, 1) == 1;
	return false;
}

static uint64_t sum(const struct iovec *vec, unsigned int n)
{
	uint64_t total = 0;
	unsigned int i;

	for (i = 0; i < n; i++)
		if (__builtin_add_overflow(total, vec[i].iov_len, &total))
			return UINT64_MAX;
	return total;
}

/* The address of a byte of an array, or the one after its last byte. */
static uint64_t byte_at(const struct iovec *vec, unsigned int n, uint64_t nr)
{
	uint64_t end = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (nr < vec[i].iov_len)
			return (uintptr_t)vec[i].iov_base + nr;
		nr -= vec[i].iov_len;
		if (vec[i].iov_len)
			end = (uintptr_t)vec[i].iov_base + vec[i].iov_len;
	}
	return end;
}

/* --- Where flags end a transfer --- */

/**
 * struct at_hand - the available memory of a process before a request
 * @resident: pages in its page tables
 * @cached: pages that are in the page cache, or have no file
 * @pagemap: pagemap of the process, for memory outside the windows
 */
struct at_hand {
	int pagemap;
	bool resident[WINDOW + BIG_PAGES];
	bool cached[WINDOW];
};

static bool look(const struct world *w, enum whom who, unsigned int flags, struct at_hand *h)
{
	const struct side *s = side_of(w, who);
	int pagemap = w->pagemap[who == SELF ? OWN_SIDE : TARGET_SIDE];
	unsigned int i;

	h->pagemap = pagemap;
	for (i = 0; i < WINDOW && flags & PVMREAD_NOWAIT; i++)
		h->cached[i] = s->now[i] != 'h' ||
			       lseek(s->holes[1], i * PAGE, SEEK_DATA) == (off_t)(i * PAGE);
	return !(flags & PVMREAD_RESIDENT) ||
	       (get_presence(pagemap, s->at + TWIN, WINDOW, h->resident) &&
		get_presence(pagemap, s->big + TWIN, BIG_PAGES, h->resident + WINDOW));
}

static bool is_present(int pagemap, uint64_t addr)
{
	bool present;

	return get_presence(pagemap, addr, 1, &present) && present;
}

/*
 * Return: the number of bytes of a remote array before the first page that is not
 * available; UINT64_MAX if all are.
 */
static uint64_t at_hand(enum whom who, unsigned int flags, const struct at_hand *h,
			const struct iovec *r, unsigned int n)
{
	uint64_t before = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint64_t addr = (uintptr_t)r[i].iov_base, end = addr + r[i].iov_len;
		uint64_t page_end;

		/* The segment wraps: the syscall stops here. */
		if (end < addr)
			return UINT64_MAX;
		for (; addr < end; addr = page_end) {
			long page = page_of(who, addr);

			page_end = (addr | (PAGE - 1)) + 1;
			if (page < 0 && !(flags & PVMREAD_RESIDENT)) {
				/* There is nothing to wait for. Skip the rest. */
				if (end - addr > MAX_RW_COUNT)
					return UINT64_MAX;
				page_end = end;
			} else if (page < 0 ? !is_present(h->pagemap, addr) :
				   flags & PVMREAD_RESIDENT ? !h->resident[page] :
							      page < WINDOW && !h->cached[page]) {
				return before;
			}
			before += (page_end < end ? page_end : end) - addr;
		}
	}
	return UINT64_MAX;
}

/* Is this page certainly mapped writable in the process? */
static bool surely_writable(const struct world *w, enum whom who, uint64_t addr)
{
	long page = page_of(who, addr);

	return page >= WINDOW || (page >= 0 && side_of(w, who)->now[page] == 'w');
}

/* Truncate an array to this many bytes. Return: its new number of elements. */
static unsigned int cut_vec(struct iovec *vec, unsigned int n, uint64_t bytes)
{
	unsigned int i;

	for (i = 0; i < n && bytes; i++) {
		if (vec[i].iov_len > bytes)
			vec[i].iov_len = bytes;
		bytes -= vec[i].iov_len;
	}
	return i;
}

/**
 * struct transfer - a transfer and its expected result
 * @who: whose memory
 * @write: direction
 * @flags: PVMREAD_NOWAIT, PVMREAD_RESIDENT
 * @l: the local array, in the first twins
 * @ln: its length
 * @r: the remote array, in the second twins
 * @rn: its length
 * @r0: the remote array in the first twins, which gets truncated
 * @got: bytes that the module has moved
 * @got_error: the error that ended it
 * @moved: bytes that it must have moved
 * @error: the error that must have ended it, or 0
 */
struct transfer {
	enum whom who;
	bool write;
	unsigned int flags;
	const struct iovec *l;
	unsigned int ln;
	const struct iovec *r;
	unsigned int rn;
	struct iovec *r0;
	uint64_t got;
	int got_error;
	uint64_t moved;
	int error;
};

/**
 * model_transfer() - make a transfer with the system call
 * @w: the world
 * @t: the transfer, with a valid local array
 * @h: the memory that was available before
 *
 * Return: false if the module's answer cannot be right.
 */
static bool model_transfer(struct world *w, struct transfer *t, const struct at_hand *h)
{
	uint64_t want = sum(t->l, t->ln), limit = UINT64_MAX, stop;
	int limit_error = t->flags & PVMREAD_RESIDENT ? EIO : EAGAIN;
	unsigned int n = t->rn;
	long ret;

	if (want > MAX_RW_COUNT)
		want = MAX_RW_COUNT;
	if (want > sum(t->r, t->rn))
		want = sum(t->r, t->rn);
	t->moved = 0;
	t->error = 0;
	if (!want)
		return true;
	if (t->flags & (PVMREAD_NOWAIT | PVMREAD_RESIDENT)) {
		limit = at_hand(t->who, t->flags, h, t->r, t->rn);
		/* It is unknown whether a present page is writable without a fault. */
		stop = byte_at(t->r, t->rn, t->got);
		if (t->write && t->flags & PVMREAD_RESIDENT && t->got_error == EIO &&
		    t->got < limit && t->got < want && !surely_writable(w, t->who, stop) &&
		    (!t->got || byte_at(t->r, t->rn, t->got - 1) / PAGE != stop / PAGE ||
		     byte_at(t->r, t->rn, t->got - 1) + 1 != stop))
			limit = t->got;
	}
	if (limit < want)
		n = cut_vec(t->r0, n, limit);
	ret = n && limit ? oracle(w->pid[t->who], t->write, t->l, t->ln, t->r0, n) : 0;
	if (ret < 0 && ret != -EFAULT)
		return wrong(w, "the system call: %s", strerror(-ret));
	if (ret > 0)
		t->moved = ret;
	if (t->moved >= want)
		return true;
	if (t->moved == limit)
		t->error = limit_error;
	else
		t->error = reachable(w, t->who, t->write, byte_at(t->r, t->rn, t->moved)) ?
			   EFAULT : EIO;
	return true;
}

static void note(struct world *w, const struct op *op, long ret, int error, bool moved, bool all)
{
	w->outcome = (op->kind * 4 + moved * 2 + all) * 512 + (-ret & 0xff) * 2 + error;
	if (ret > 0)
		w->outcome = (op->kind * 4 + moved * 2 + all) * 512;
}

static bool same_answer(struct world *w, const struct op *op, long ret, long must)
{
	return ret == must ||
	       wrong(w, "%s answers %ld, must be %ld", kind_name[op->kind], ret, must);
}

/* Do both sides share pages of the tester? Then the result is undefined, and the case ends. */
static bool onto_itself(struct world *w, enum whom who, unsigned int own, unsigned int remote,
			unsigned int written)
{
	if (who != SELF || !(own & remote))
		return false;
	w->over = true;
	w->skip |= written;
	return true;
}

static unsigned int vec_pages(const struct iovec *vec, unsigned int n)
{
	unsigned int pages = 0, i;

	for (i = 0; i < n; i++)
		pages |= own_pages((uintptr_t)vec[i].iov_base, vec[i].iov_len);
	return pages;
}

/* --- READV, WRITEV --- */

static bool can_transfer(enum whom who)
{
	return who == LIVE || who == SELF;
}

static bool run_rw(struct world *w, const struct op *op)
{
	bool write = op->kind == OP_WRITEV, onto;
	unsigned int ln = make_vec(w, op, LEFT, F_LCOUNT), rn = make_vec(w, op, RIGHT, F_RCOUNT);
	uint64_t lcount = op->f[F_LCOUNT] == DEFAULT ? ln : op->f[F_LCOUNT];
	uint64_t rcount = op->f[F_RCOUNT] == DEFAULT ? rn : op->f[F_RCOUNT];
	struct iovec (*l)[MAX_VEC] = w->vec[LEFT], (*r)[MAX_VEC] = w->vec[RIGHT];
	size_t llen = ln * sizeof(l[0][0]), rlen = rn * sizeof(r[0][0]), reach;
	enum whom who = op->f[F_WHO];
	uint32_t flags = op->f[F_FLAGS], error = 0;
	bool pidfd = flags & PVMREAD_PIDFD;
	struct transfer t = {
		.who = who, .write = write, .flags = flags,
		.l = l[0], .ln = ln, .r = r[1], .rn = rn, .r0 = r[0],
	};
	struct pvmread_rw arg = {
		.flags = flags,
		.pid = pidfd ? w->pidfd[who] : w->pid[who],
		.error = UNTOUCHED,
		.transferred = UNTOUCHED,
		.stop_addr = UNTOUCHED,
		.local_count = lcount,
		.remote_count = rcount,
	};
	uint64_t moved = 0, stop = 0;
	struct at_hand h;
	struct sent sent;
	long ret, must;

	arg.local = place(&w->area[LVEC], op->f[F_LAT], l[1], llen, &reach);
	arg.remote = place(&w->area[RVEC], op->f[F_RAT], r[1], rlen, &reach);
	put_struct(w, op, &sent, &arg, sizeof(arg));
	if (can_transfer(who) && !look(w, who, flags, &h))
		return wrong(w, "pagemap cannot be read");
	onto = onto_itself(w, who, vec_pages(l[1], ln), vec_pages(r[1], rn),
			   vec_pages(write ? r[1] : l[1], write ? rn : ln));
	ret = answer(ioctl(w->dev[op->f[F_DEV]], write ? PVMREAD_IOC_WRITEV : PVMREAD_IOC_READV,
			   sent.addr));

	must = judge_struct(op, &sent, sizeof(arg), offsetof(struct pvmread_rw, stop_addr), ret);
	if (!must && flags & ~ALL_FLAGS)
		must = -EINVAL;
	if (!must && op->f[F_AT] == READ_ONLY)
		must = -EFAULT;
	note(w, op, ret, 0, false, false);
	if (must)
		return same_answer(w, op, ret, must) && same_struct(w, op, &sent);

	memcpy(&arg, at(sent.addr), offsetof(struct pvmread_rw, stop_addr));
	if (onto && flags & (PVMREAD_NOWAIT | PVMREAD_RESIDENT))
		/* The request itself may have made pages available. */
		return ret <= 0 && arg.transferred <= MAX_RW_COUNT ? true :
		       wrong(w, "%ld and %llu bytes", ret, arg.transferred);

	/* Errors in the arrays come before the process is looked up. */
	if (op->f[F_DEV] == (write ? 1 : 2))
		must = -EBADF;
	else if (lcount > 1024)
		must = -EINVAL;
	else
		must = oracle(NO_PID, write,
			      at(place(&w->area[LVEC], op->f[F_LAT], l[0], llen, &reach)), lcount,
			      at(place(&w->area[RVEC], op->f[F_RAT], r[0], rlen, &reach)), rcount);
	if (must == -ESRCH && pidfd && !w->is_pidfd[who]) {
		must = -EBADF;
	} else if (must == -ESRCH && can_transfer(who)) {
		t.got = arg.transferred;
		t.got_error = arg.error;
		if (!model_transfer(w, &t, &h))
			return false;
		moved = t.moved;
		error = t.error;
		stop = error ? byte_at(r[1], rn, moved) : byte_at(r[1], rn, moved - 1) + 1;
		must = moved ? 0 : -EFAULT;
		note(w, op, ret, error, moved, !error);
	}
	if (!error)
		error = -must;
	expect_field(&sent, offsetof(struct pvmread_rw, error), &error, sizeof(error));
	expect_field(&sent, offsetof(struct pvmread_rw, transferred), &moved, sizeof(moved));
	expect_field(&sent, offsetof(struct pvmread_rw, stop_addr), &stop, sizeof(stop));
	return same_answer(w, op, ret, must) && same_struct(w, op, &sent);
}

/* --- Target files --- */

static long judge_attach(const struct world *w, const struct op *op,
			 const struct pvmread_attach *arg)
{
	enum whom who = op->f[F_WHO];

	if (arg->flags & ~(ALL_FLAGS | PVMREAD_WRITE | PVMREAD_CACHE | PVMREAD_WINDOW) ||
	    arg->__reserved)
		return -EINVAL;
	if (arg->flags & PVMREAD_WINDOW && arg->flags & (PVMREAD_NOWAIT | PVMREAD_RESIDENT))
		return -EINVAL;
	if (arg->length ? arg->start + arg->length < arg->start : !!arg->start)
		return -EINVAL;
	if (op->f[F_DEV] == 2 || (op->f[F_DEV] == 1 && arg->flags & PVMREAD_WRITE))
		return -EBADF;
	if (arg->flags & PVMREAD_CACHE && !(w->features & PVMREAD_FEATURE_CACHE))
		return -EOPNOTSUPP;
	if (arg->flags & PVMREAD_WINDOW && !(w->features & PVMREAD_FEATURE_WINDOW))
		return -EOPNOTSUPP;
	if (arg->flags & PVMREAD_PIDFD && !w->is_pidfd[who])
		return -EBADF;
	return can_transfer(who) ? 0 : -ESRCH;
}

void close_slot(struct file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

static bool run_attach(struct world *w, const struct op *op)
{
	struct file *f = &w->file[op->f[F_SLOT]];
	enum whom who = op->f[F_WHO];
	uint64_t start = address(w, op->w[W_POS]);
	struct pvmread_attach arg = {
		.flags = op->f[F_FLAGS],
		.pid = op->f[F_FLAGS] & PVMREAD_PIDFD ? w->pidfd[who] : w->pid[who],
		.__reserved = op->f[F_RESERVED],
		.start = start,
		.length = length(w, op->w[W_LEN], start),
	};
	struct sent sent;
	long ret, must;

	put_struct(w, op, &sent, &arg, sizeof(arg));
	ret = answer(ioctl(w->dev[op->f[F_DEV]], PVMREAD_IOC_ATTACH, sent.addr));
	must = judge_struct(op, &sent, sizeof(arg), sizeof(arg), ret);
	if (!must)
		must = judge_attach(w, op, &arg);
	note(w, op, ret, 0, ret >= 0, false);
	if (must)
		return same_answer(w, op, ret, must) && same_struct(w, op, &sent);
	if (ret < 0)
		return same_answer(w, op, ret, 0);
	/* The file in this slot stays. */
	if (op->f[F_SLOT] == GONE_SLOT) {
		close(ret);
		return same_struct(w, op, &sent);
	}
	close_slot(f);
	*f = (struct file){
		.fd = ret,
		.who = who,
		.flags = arg.flags & ~PVMREAD_PIDFD,
		.start = start,
		.last = start + arg.length - 1,
		.pos = start,
	};
	return same_struct(w, op, &sent);
}

/* Return: how many of @len bytes at @addr are in the range of a file. */
static uint64_t reach_of(const struct file *f, uint64_t addr, uint64_t len)
{
	if (!len || addr < f->start || addr > f->last)
		return 0;
	return len - 1 < f->last - addr ? len : f->last - addr + 1;
}

/* The expected result of a transfer that the VFS has passed on. */
static bool model_file(struct world *w, struct file *f, const struct op *op, struct transfer *t,
		       const struct at_hand *h, uint64_t pos, uint64_t total, long ret)
{
	uint64_t reach = reach_of(f, pos, total);
	struct iovec r[2] = {
		{ (void *)first_twin(pos), reach }, { (void *)pos, reach },
	};

	t->r0 = &r[0];
	t->r = &r[1];
	t->rn = 1;
	t->got = ret > 0 ? ret : 0;
	t->got_error = ret < 0 ? -ret : EIO;
	if (!model_transfer(w, t, h))
		return false;
	if (!t->error && reach < total)
		t->error = EIO;
	f->faults += t->error == EIO;
	f->moved[t->write] += t->moved;
	note(w, op, ret, t->error, t->moved, !t->error);
	return same_answer(w, op, ret, t->moved ? (long)t->moved : -t->error);
}

static bool has_position(const struct op *op, uint64_t pos)
{
	return pos != DEFAULT && (op->w[W_POS].base != ABSOLUTE || op->w[W_POS].off != DEFAULT);
}

/* Did the VFS refuse the position before it called the module? Kernels differ. */
static bool refused_position(uint64_t pos, long ret)
{
	return (int64_t)pos < 0 && (ret == -EINVAL || ret == -EOVERFLOW);
}

/* Transfer by io_uring. It tries at once, and if that would wait, it tries in a worker. */
static long by_ring(struct world *w, int fd, bool write, const struct iovec *vec,
		    unsigned int count, uint64_t pos, int rwf)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);
	struct io_uring_cqe *cqe;
	int ret;

	if (write)
		io_uring_prep_writev2(sqe, fd, vec, count, pos, rwf);
	else
		io_uring_prep_readv2(sqe, fd, vec, count, pos, rwf);
	ret = io_uring_submit(&w->ring);
	while (ret >= 0 && (ret = io_uring_wait_cqe(&w->ring, &cqe)) == -EINTR)
		;
	if (ret < 0)
		return ret;
	ret = cqe->res;
	io_uring_cqe_seen(&w->ring, cqe);
	return ret;
}

/*
 * The checks of a transfer of @count elements before the module is called. io_uring
 * first copies the array and then looks up the file.
 */
static long judge_file(const struct world *w, const struct file *f, const struct op *op,
		       const struct iovec *l, uint32_t count)
{
	bool write = op->kind == OP_WRITE, closed;
	long vec = count > 1024 ? -EINVAL : judge_local(w, l, count, write);

	closed = f->fd < 0 || (write && !(f->flags & PVMREAD_WRITE));
	if (!op->f[F_RING])
		return closed ? -EBADF : vec;
	if (vec || closed)
		return vec ?: -EBADF;
	return op->f[F_RWF] & ~RWF_NOWAIT ? -EOPNOTSUPP : 0;
}

/* Is all of this certainly mapped in the process, for both directions? */
static bool surely_mapped(const struct world *w, enum whom who, uint64_t addr, uint64_t len)
{
	uint64_t end = addr + len;

	for (; addr < end; addr = (addr | (PAGE - 1)) + 1)
		if (!surely_writable(w, who, addr))
			return false;
	return true;
}

/* An asynchronous request that must not wait moves everything in one hold, or nothing. */
static bool may_refuse(const struct world *w, const struct file *f, uint64_t pos, uint64_t total)
{
	uint64_t reach = reach_of(f, pos, total);

	return reach && (reach > 16 * PAGE || !surely_mapped(w, f->who, pos, reach));
}

static bool run_file(struct world *w, const struct op *op)
{
	bool write = op->kind == OP_WRITE, onto, ring = op->f[F_RING];
	struct file *f = &w->file[op->f[F_SLOT]];
	struct iovec (*l)[MAX_VEC] = w->vec[LEFT];
	unsigned int n = make_vec(w, op, LEFT, F_LCOUNT), pages;
	/* The VFS has 32 bits for the count. */
	uint32_t count = op->f[F_LCOUNT] == DEFAULT ? n : op->f[F_LCOUNT];
	uint64_t pos = address(w, op->w[W_POS]), total;
	bool own = !has_position(op, pos), at_once;
	int rwf = op->f[F_RWF];
	struct transfer t = {
		.who = f->who, .write = write,
		.flags = f->flags | (rwf & RWF_NOWAIT ? PVMREAD_NOWAIT : 0),
		.l = l[0], .ln = count,
	};
	struct at_hand h;
	long ret, must;

	at_once = ring && rwf & RWF_NOWAIT;
	if (own)
		pos = f->pos;
	total = sum(l[1], count > n ? n : count);
	if (total > MAX_RW_COUNT)
		total = MAX_RW_COUNT;
	if (can_transfer(f->who) && !look(w, f->who, t.flags, &h))
		return wrong(w, "pagemap cannot be read");
	pages = own_pages(pos, total);
	onto = onto_itself(w, f->who, vec_pages(l[1], n), pages,
			   write ? pages : vec_pages(l[1], n));
	if (ring)
		ret = by_ring(w, f->fd, write, l[1], count, own ? -1ULL : pos, rwf);
	else
		ret = answer(syscall(write ? SYS_pwritev2 : SYS_preadv2, f->fd, l[1],
				     (unsigned long)count, own ? -1UL : pos, 0UL, rwf));
	note(w, op, ret, 0, false, false);

	must = !own && !ring && (int64_t)pos < 0 ? -EINVAL : judge_file(w, f, op, l[0], count);
	/* If there is nothing to move, the VFS does not call the module; io_uring does. */
	if (!must && !total && ring && !can_transfer(f->who))
		must = -ESRCH;
	if (must || !total)
		return same_answer(w, op, ret, must);
	if (refused_position(pos, ret))
		return true;
	if (rwf & ~RWF_NOWAIT)
		return same_answer(w, op, ret, -EOPNOTSUPP);
	if (!can_transfer(f->who))
		return same_answer(w, op, ret, -ESRCH);
	/* io_uring may have tried twice. fdinfo then counts both attempts. */
	f->unsure |= ring && ret != (long)total;
	if (onto && t.flags & (PVMREAD_NOWAIT | PVMREAD_RESIDENT)) {
		f->unsure = true;
		return ret <= (long)total;
	}
	if (at_once && ret == -EAGAIN && may_refuse(w, f, pos, total))
		return true;
	if (!model_file(w, f, op, &t, &h, pos, total, ret))
		return false;
	if (at_once && t.moved && t.moved < reach_of(f, pos, total) && t.error != EFAULT)
		return wrong(w, "%s by io_uring: neither all nor nothing: %llu bytes",
			     kind_name[op->kind], (unsigned long long)t.moved);
	if (own)
		f->pos += t.moved;
	return true;
}

static bool run_seek(struct world *w, const struct op *op)
{
	struct file *f = &w->file[op->f[F_SLOT]];
	uint64_t off = address(w, op->w[W_POS]);
	int whence = op->f[F_WHENCE];
	long ret = answer(lseek(f->fd, off, whence));

	note(w, op, ret < 0 && (int64_t)off < 0 ? 0 : ret, 0, false, false);
	if (f->fd < 0)
		return same_answer(w, op, ret, -EBADF);
	if (whence != SEEK_SET && whence != SEEK_CUR)
		return same_answer(w, op, ret, -EINVAL);
	f->pos = whence == SEEK_SET ? off : f->pos + off;
	return same_answer(w, op, ret, f->pos);
}

/* An empty pipe accepts all @len bytes at once. */
static bool fill_pipe(struct world *w, const void *from, size_t len)
{
	return !len || write(w->pipe[1], from, len) == (ssize_t)len;
}

static void drain(struct world *w)
{
	while (read(w->pipe[0], w->scratch, PIPE_PAGES * PAGE) > 0)
		;
}

/*
 * If the kernel cannot allocate pages in bulk (with page_owner, or Linux 7.3 on one CPU), it
 * gives a file only one page to fill. It does so with any file, so try it with /dev/zero.
 */
bool probe_splice(struct world *w)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	ssize_t ret = splice(fd, NULL, w->pipe[1], NULL, PIPE_PAGES * PAGE, 0);

	close(fd);
	drain(w);
	w->splice_most = ret;
	return ret == (ssize_t)PAGE || ret == (ssize_t)(PIPE_PAGES * PAGE);
}

static bool run_splice(struct world *w, const struct op *op)
{
	bool to_file = op->kind == OP_FEED;
	struct file *f = &w->file[op->f[F_SLOT]];
	uint64_t pos = address(w, op->w[W_POS]), total = length(w, op->w[W_LEN], pos);
	bool own = !has_position(op, pos);
	unsigned char *local = to_file ? w->side[OWN_SIDE].big_pattern : w->wanted;
	struct transfer t = { .who = f->who, .write = to_file, .flags = f->flags, .ln = 1 };
	loff_t at = pos, *where = own ? NULL : &at;
	struct at_hand h;
	struct iovec l;
	long ret;

	if (own)
		pos = f->pos;
	if (to_file && total > PIPE_PAGES * PAGE)
		total = PIPE_PAGES * PAGE;
	if (to_file && !fill_pipe(w, local, total))
		return wrong(w, "a pipe takes less than %llu bytes", (unsigned long long)total);
	if (can_transfer(f->who) && !look(w, f->who, t.flags, &h))
		return wrong(w, "pagemap cannot be read");
	ret = answer(to_file ? splice(w->pipe[0], NULL, f->fd, where, total, 0) :
			     splice(f->fd, where, w->pipe[1], NULL, total, 0));
	if (to_file)
		drain(w);
	note(w, op, ret, 0, false, false);
	if (!total)
		return same_answer(w, op, ret, 0);
	if (f->fd < 0 || (to_file && !(f->flags & PVMREAD_WRITE)))
		return same_answer(w, op, ret, -EBADF);
	if ((int64_t)total < 0)
		return same_answer(w, op, ret, -EINVAL);
	if (refused_position(pos, ret))
		return true;
	if (!can_transfer(f->who))
		return same_answer(w, op, ret, -ESRCH);
	if (total > (to_file ? PIPE_PAGES * PAGE : w->splice_most))
		total = to_file ? PIPE_PAGES * PAGE : w->splice_most;

	l = (struct iovec){ local, total };
	t.l = &l;
	if (!model_file(w, f, op, &t, &h, pos, total, ret)) {
		drain(w);
		return false;
	}
	/* splice(2) tries the rest again, which also fails. fdinfo counts both attempts. */
	if (to_file && t.moved && t.moved < total)
		f->unsure = true;
	if (!to_file && t.moved &&
	    (read(w->pipe[0], w->scratch, PIPE_PAGES * PAGE) != (ssize_t)t.moved ||
	     memcmp(w->scratch, w->wanted, t.moved))) {
		drain(w);
		return wrong(w, "splice: other bytes than the system call's");
	}
	if (own)
		f->pos += t.moved;
	else if ((uint64_t)at != pos + t.moved)
		return wrong(w, "splice: the position is %#llx", (unsigned long long)at);
	return true;
}

/*
 * A segment of a BATCH that stops after the first NUL. The page after it must not be
 * accessed, so read page by page.
 */
static bool model_string(struct world *w, struct transfer *t, const struct at_hand *h,
			 uint64_t reach, uint64_t len)
{
	uint64_t addr = (uintptr_t)t->r->iov_base, left = reach, need = 0, part;
	struct iovec l = *t->l, r = *t->r0;
	unsigned char *nul = NULL;
	long ret;

	t->error = reach < len ? EIO : 0;
	for (; left && !nul; addr += part, left -= part, need += part) {
		struct iovec here = { w->scratch, PAGE - addr % PAGE };
		struct iovec there = { (void *)addr, 1 };

		if (here.iov_len > left)
			here.iov_len = left;
		part = here.iov_len;
		if (t->flags & (PVMREAD_NOWAIT | PVMREAD_RESIDENT) &&
		    !at_hand(t->who, t->flags, h, &there, 1)) {
			t->error = t->flags & PVMREAD_RESIDENT ? EIO : EAGAIN;
			break;
		}
		there = (struct iovec){ (void *)first_twin(addr), part };
		if (oracle(w->pid[t->who], false, &here, 1, &there, 1) != (long)part) {
			t->error = EIO;
			break;
		}
		nul = memchr(w->scratch, 0, part);
		if (nul) {
			part = nul - w->scratch + 1;
			t->error = 0;
		}
	}
	if (!need)
		return true;
	l.iov_len = need;
	r.iov_len = need;
	ret = oracle(w->pid[t->who], false, &l, 1, &r, 1);
	t->moved = ret > 0 ? ret : 0;
	if (t->moved < need)
		t->error = EFAULT;
	return true;
}

/* Return: false if the module's answer cannot be right. */
static bool model_segment(struct world *w, const struct file *f, const struct pvmread_segment *seg,
			  struct transfer *t, const struct at_hand *h)
{
	uint64_t len = seg->length < MAX_RW_COUNT ? seg->length : MAX_RW_COUNT, reach;
	struct iovec l = { (void *)first_twin(seg->local), len }, r[2];

	t->moved = 0;
	t->error = 0;
	if (seg->flags & ~(t->write ? 0 : PVMREAD_SEGMENT_STRING)) {
		t->error = EINVAL;
		return true;
	}
	if (!len)
		return true;
	if (seg->local > w->top || len > w->top - seg->local) {
		t->error = EFAULT;
		return true;
	}
	reach = reach_of(f, seg->remote, len);
	r[0] = (struct iovec){ (void *)first_twin(seg->remote), reach };
	r[1] = (struct iovec){ (void *)(uintptr_t)seg->remote, reach };
	t->l = &l;
	t->r0 = &r[0];
	t->r = &r[1];
	t->ln = 1;
	t->rn = 1;
	if (seg->flags)
		return model_string(w, t, h, reach, len);
	if (!model_transfer(w, t, h))
		return false;
	if (!t->error && reach < len)
		t->error = EIO;
	return true;
}

/**
 * model_batch() - check the results of the segments
 * @w: the world
 * @f: the target file
 * @t: whose memory, direction and flags
 * @h: what was at hand before
 * @addr: where the array is
 * @count: its length
 * @whole: number of its elements that can be read and written
 * @stop: PVMREAD_STOP
 * @completed: set to the number that must have a result
 *
 * Return: the expected result of the ioctl; 1 if something else is wrong.
 */
static long model_batch(struct world *w, struct file *f, struct transfer *t,
			const struct at_hand *h, uint64_t addr, uint64_t count, uint64_t whole,
			bool stop, uint64_t *completed)
{
	const struct pvmread_segment *got = (void *)(uintptr_t)addr;
	uint64_t i = 0;

	for (; i < count; i++, *completed = i, got++) {
		if (i >= whole)
			return -EFAULT;
		t->got = got->done;
		t->got_error = got->error;
		if (!model_segment(w, f, &w->segs[i], t, h))
			return 1;
		if (got->done != t->moved || (int)got->error != t->error) {
			wrong(w, "batch: segment %llu has done %#llx, error %d; must be %#llx, %d",
			      (unsigned long long)i, got->done, got->error,
			      (unsigned long long)t->moved, t->error);
			return 1;
		}
		f->moved[t->write] += t->moved;
		f->faults += t->error == EIO;
		w->segs[i].done = t->moved;
		w->segs[i].error = t->error;
		note(w, &(struct op){ .kind = OP_BATCH }, 0, t->error, t->moved, !t->error);
		if (stop && t->error)
			count = i + 1;
	}
	return 0;
}

static bool run_batch(struct world *w, const struct op *op)
{
	struct file *f = &w->file[op->f[F_SLOT]];
	unsigned int n = op->count[RIGHT], own = 0, remote = 0, i;
	uint64_t count = op->f[F_LCOUNT] == DEFAULT ? n : op->f[F_LCOUNT];
	unsigned int all = count < MAX_VEC ? count : MAX_VEC;
	uint64_t where = op->f[F_LAT], completed = 0;
	size_t len = all * sizeof(w->segs[0]), reach;
	bool write = op->f[F_FLAGS] & PVMREAD_WRITE, onto;
	struct pvmread_batch arg = {
		.flags = op->f[F_FLAGS],
		.count = count,
		.completed = UNTOUCHED,
	};
	struct transfer t = {
		.who = f->who, .write = write,
		.flags = (f->flags | arg.flags) & (PVMREAD_NOWAIT | PVMREAD_RESIDENT),
	};
	struct at_hand h;
	struct sent sent;
	long ret, must;

	for (i = 0; i < all; i++) {
		const struct element *l = &op->list[LEFT][n ? i % n : 0];
		const struct element *r = &op->list[RIGHT][n ? i % n : 0];
		struct pvmread_segment *seg = &w->segs[i];

		*seg = (struct pvmread_segment){ .error = UNTOUCHED, .done = UNTOUCHED };
		if (!n)
			continue;
		seg->remote = address(w, r->addr);
		seg->local = address(w, l->addr);
		seg->length = length(w, r->len, seg->remote);
		seg->flags = r->flags;
		own |= own_pages(seg->local, seg->length);
		remote |= own_pages(seg->remote, seg->length);
	}
	/* The array must end after the recorded elements. */
	if (count > all && where == GOOD)
		where = CUT + len;
	arg.segments = place(&w->area[LVEC], where, w->segs, len, &reach);
	put_struct(w, op, &sent, &arg, sizeof(arg));
	if (can_transfer(f->who) && !look(w, f->who, t.flags, &h))
		return wrong(w, "pagemap cannot be read");
	onto = onto_itself(w, f->who, own, remote, write ? remote : own);
	ret = answer(ioctl(f->fd, PVMREAD_IOC_BATCH, sent.addr));
	note(w, op, ret, 0, false, false);
	if (f->fd < 0)
		return same_answer(w, op, ret, -EBADF);

	must = judge_struct(op, &sent, sizeof(arg), sizeof(arg), ret);
	if (!must && arg.flags & ~(PVMREAD_WRITE | PVMREAD_STOP | PVMREAD_NOWAIT |
				   PVMREAD_RESIDENT))
		must = -EINVAL;
	if (!must && op->f[F_AT] == READ_ONLY)
		must = -EFAULT;
	if (must)
		return same_answer(w, op, ret, must) && same_struct(w, op, &sent);
	if (onto) {
		/* The bytes that a segment reads are undefined, and so is the end of a string. */
		f->unsure = true;
		return ret <= 0;
	}

	if (write && !(f->flags & PVMREAD_WRITE))
		must = -EBADF;
	else if (count > MAX_BATCH)
		must = -EINVAL;
	else if (!can_transfer(f->who))
		must = -ESRCH;
	else
		must = model_batch(w, f, &t, &h, arg.segments, count,
				   where == READ_ONLY ? 0 : reach / sizeof(w->segs[0]),
				   arg.flags & PVMREAD_STOP, &completed);
	if (must > 0)
		return false;
	/* Nothing else of the array has changed. */
	if (reach && memcmp(at(arg.segments), w->segs, reach))
		return wrong(w, "batch: the array has changed where it must not");
	expect_field(&sent, offsetof(struct pvmread_batch, completed), &completed,
		     sizeof(completed));
	return same_answer(w, op, ret, must) && same_struct(w, op, &sent);
}

static bool run_fdinfo(struct world *w, const struct op *op)
{
	const struct file *f = &w->file[op->f[F_SLOT]];
	char path[40], got[1024] = "", must[1024];
	const char *from;
	FILE *in;

	if (f->fd < 0)
		return true;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", f->fd);
	in = fopen(path, "re");
	if (!in || !fread(got, 1, sizeof(got) - 1, in))
		return wrong(w, "fdinfo cannot be read");
	fclose(in);
	snprintf(must, sizeof(must), "pos:\t%lld\n", (long long)f->pos);
	if (strncmp(got, must, strlen(must)))
		return wrong(w, "fdinfo: must begin with %s has %s", must, got);
	from = strstr(got, "pid:");
	snprintf(must, sizeof(must),
		 "pid:\t%d\nrange:\t%08llx-%08llx\nmode:\t%s%s%s%s%s\n"
		 "read:\t%llu\nwritten:\t%llu\nfaults:\t%llu\n",
		 can_transfer(f->who) ? w->pid[f->who] : -1, (unsigned long long)f->start,
		 (unsigned long long)(f->last == UINT64_MAX ? f->last : f->last + 1),
		 f->flags & PVMREAD_WRITE ? "rw" : "r",
		 f->flags & PVMREAD_NOWAIT ? " nowait" : "",
		 f->flags & PVMREAD_RESIDENT ? " resident" : "",
		 (f->flags & (PVMREAD_CACHE | PVMREAD_NOWAIT | PVMREAD_RESIDENT)) ==
		 PVMREAD_CACHE ? " cache" : "", f->flags & PVMREAD_WINDOW ? " window" : "",
		 (unsigned long long)f->moved[0], (unsigned long long)f->moved[1],
		 (unsigned long long)f->faults);
	if (f->unsure)
		*strstr(must, "read:") = '\0';
	if (!from || strncmp(from, must, strlen(must)))
		return wrong(w, "fdinfo: must have\n%s\nhas\n%.150s", must, from ?: "nothing");
	return true;
}

/* --- Other commands --- */

static bool run_info(struct world *w, const struct op *op)
{
	struct pvmread_info arg = {
		.__reserved = op->f[F_RESERVED],
		.version = UNTOUCHED,
		.max_segments = UNTOUCHED,
		.features = UNTOUCHED,
	};
	const struct pvmread_info must_be = {
		.version = PVMREAD_ABI_VERSION,
		.max_segments = 1024,
		.features = w->features,
		.max_bytes = MAX_RW_COUNT,
		.max_batch = MAX_BATCH,
	};
	struct sent sent;
	size_t offset;
	long ret, must;

	put_struct(w, op, &sent, &arg, sizeof(arg));
	ret = answer(ioctl(w->dev[0], PVMREAD_IOC_INFO, sent.addr));
	must = judge_struct(op, &sent, sizeof(arg), offsetof(struct pvmread_info, version), ret);
	if (!must && arg.__reserved)
		must = -EINVAL;
	if (!must && op->f[F_AT] == READ_ONLY)
		must = -EFAULT;
	note(w, op, ret, 0, false, false);
	for (offset = 8; !must && offset < sizeof(arg); ) {
		size_t len = offset < offsetof(struct pvmread_info, features) ? 4 : 8;

		expect_field(&sent, offset, (char *)&must_be + offset, len);
		offset += len;
	}
	return same_answer(w, op, ret, must) && same_struct(w, op, &sent);
}

static bool run_ioctl(struct world *w, const struct op *op)
{
	unsigned int nr = op->f[F_CMD] & 0xff;
	bool file = op->f[F_CMD] & 0x100;
	int fd = file ? w->file[op->f[F_SLOT]].fd : w->dev[0];
	unsigned int size = op->f[F_CMD] >> 9 & 0x3f;
	long ret;

	if (fd < 0)
		return true;
	/* Avoid a command that exists. */
	if (!size && (file ? nr == 4 : nr < 4))
		nr += 0x80;
	ret = answer(ioctl(fd, _IOC(_IOC_NONE, PVMREAD_IOC_TYPE, nr, size), w->area[ARG].rw));
	note(w, op, ret, 0, false, false);
	return same_answer(w, op, ret, -ENOTTY);
}

/* --- A case --- */

static bool run_change(struct world *w, const struct op *op)
{
	enum whom who = op->f[F_SIDE] ? LIVE : SELF;
	bool good;

	if (who == SELF) {
		good = side_change(&w->side[OWN_SIDE], op);
	} else {
		w->order->what = CHANGE;
		w->order->op = *op;
		good = command(w->order);
		side_note(&w->side[TARGET_SIDE], op);
	}
	return good || wrong(w, "%s cannot be done: %s", kind_name[op->kind], strerror(errno));
}

static bool run_op(struct world *w, const struct op *op)
{
	switch (op->kind) {
	case OP_READV:
	case OP_WRITEV:
		return run_rw(w, op);
	case OP_ATTACH:
		return run_attach(w, op);
	case OP_CLOSE:
		if (op->f[F_SLOT] != GONE_SLOT)
			close_slot(&w->file[op->f[F_SLOT]]);
		return true;
	case OP_READ:
	case OP_WRITE:
		return run_file(w, op);
	case OP_SEEK:
		return run_seek(w, op);
	case OP_SPLICE:
	case OP_FEED:
		return run_splice(w, op);
	case OP_BATCH:
		return run_batch(w, op);
	case OP_INFO:
		return run_info(w, op);
	case OP_IOCTL:
		return run_ioctl(w, op);
	case OP_FDINFO:
		return run_fdinfo(w, op);
	default:
		return run_change(w, op);
	}
}

static bool uses(const struct op *op, enum base base)
{
	unsigned int hand, i;

	for (i = 0; i < WORDS; i++)
		if (op->w[i].base == base)
			return true;
	for (hand = 0; hand < HANDS; hand++)
		for (i = 0; i < op->count[hand]; i++)
			if (op->list[hand][i].addr.base == base)
				return true;
	return false;
}

static bool writes_target(const struct op *op)
{
	return op->kind == OP_WRITEV || op->kind == OP_WRITE || op->kind == OP_FEED ||
	       (op->kind == OP_BATCH && op->f[F_FLAGS] & PVMREAD_WRITE);
}

/* Which blocks may change? They are large, so restore them only if needed. */
static void find_blocks(struct world *w, const struct fuzz_case *c)
{
	bool writes = false, target = false;
	unsigned int i;

	/* Restore memory whose state after the previous case is unknown. */
	w->own_big = w->skip & BIT(WINDOW);
	for (i = 0; i < c->ops; i++) {
		const struct op *op = &c->op[i];

		w->own_big |= uses(op, OWN_BIG);
		target |= uses(op, TARGET_BIG);
		writes |= writes_target(op);
	}
	w->big = target && writes;
}

static bool compare(struct world *w)
{
	static const char * const whose[] = { "the tester's", "the target's" };
	bool big[SIDES] = { w->own_big || w->careful, w->big || w->careful };
	long at[SIDES];
	int i;

	w->order->what = COMPARE;
	w->order->big = big[TARGET_SIDE];
	w->order->careful = w->careful;
	w->order->skip = 0;
	at[TARGET_SIDE] = command(w->order);
	at[OWN_SIDE] = side_compare(&w->side[OWN_SIDE], big[OWN_SIDE], w->careful, w->skip,
				    w->pagemap[OWN_SIDE]);
	for (i = 0; i < SIDES; i++)
		if (at[i] != -1)
			return wrong(w, "%s memory is not as the system call left it: byte %#lx",
				     whose[i], at[i]);
	return true;
}

/**
 * run_case() - run a case
 * @w: the world
 * @c: the case
 * @outcomes: called with a number for the result of each operation
 *
 * Return: true, or false with w->why.
 */
bool run_case(struct world *w, const struct fuzz_case *c, void (*outcomes)(uint32_t))
{
	bool good;
	unsigned int i;

	w->why[0] = '\0';
	w->over = false;
	find_blocks(w, c);
	w->skip = 0;
	w->order->what = RESET;
	w->order->big = w->big;
	memcpy(w->order->map, c->map[TARGET_SIDE], WINDOW);
	if (!command(w->order) || !side_reset(&w->side[OWN_SIDE], c->map[OWN_SIDE], w->own_big,
					      w->pagemap[OWN_SIDE]))
		return wrong(w, "memory cannot be prepared: %s", strerror(errno));
	memcpy(w->side[TARGET_SIDE].now, c->map[TARGET_SIDE], WINDOW);

	for (i = 0, good = true; good && i < c->ops && !w->over; i++) {
		w->outcome = 0;
		good = run_op(w, &c->op[i]);
		outcomes(w->outcome);
	}
	if (!good && !w->why[0])
		wrong(w, "%s: an impossible result", kind_name[c->op[i - 1].kind]);
	for (i = 0; i < GONE_SLOT; i++)
		close_slot(&w->file[i]);
	w->file[GONE_SLOT].pos = 0;
	lseek(w->file[GONE_SLOT].fd, 0, SEEK_SET);
	return good && compare(w);
}
