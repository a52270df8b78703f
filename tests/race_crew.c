// SPDX-License-Identifier: GPL-2.0
/*
 * The crew: a process whose threads read and write a target through every interface
 * until they are stopped, and check each result and each byte.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <liburing.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "race_crew.h"
#include "random.h"

struct board *board;
const struct plan *plan;
int dev = -1;
uint64_t seed;
int limit_s;

/* Keep only the first complaint: it often causes the later ones. */
__attribute__((format(printf, 1, 2))) void complain(const char *fmt, ...)
{
	va_list ap;

	if (count(&board->complaints))
		return;
	va_start(ap, fmt);
	vsnprintf(board->complaint, sizeof(board->complaint), fmt, ap);
	va_end(ap);
}

__attribute__((noreturn)) void broken(const char *what)
{
	complain("%s: %s", what, strerror(errno));
	dprintf(STDERR_FILENO, "# %s: %s\n", what, strerror(errno));
	_exit(2);
}

/* Return: a random number below @n, from this thread's own sequence. */
unsigned int draw_lot(unsigned int n)
{
	static __thread uint64_t state;

	if (!state)
		state = mix(seed ^ syscall(SYS_gettid)) | 1;
	state = mix(state);
	return (state >> 32) % n;
}

void pass_time(unsigned int most_us)
{
	usleep(draw_lot(most_us));
}

unsigned int window_pages(void)
{
	return plan->anon + plan->shared + plan->private;
}

pid_t subject_pid(uint64_t subject)
{
	return subject >> 32;
}

/* The second subject exists only sometimes. */
static unsigned int lot_of_subjects(void)
{
	return get(&board->subject[1]) && draw_lot(2);
}

struct rule rule_for(uint32_t first, uint32_t last)
{
	unsigned int pages = window_pages();

	return (struct rule) {
		.first = first,
		.last = last,
		.also = plan->parent,
		.period = plan->period ?: pages,
		.pages = pages,
		.quiet = plan->quiet ?: pages,
	};
}

/* @len bytes at @addr in the target and at @local here. @got of them were moved. */
struct piece {
	uintptr_t addr;
	size_t len;
	size_t got;
	unsigned char *local;
};

struct member {
	unsigned char *buf;
	bool has_ring;
	struct io_uring ring;
	struct handle handles[HANDLES];
	struct piece pieces[PIECES];
	unsigned int nr;
};

static size_t pieces_len(const struct member *m)
{
	size_t len = 0;
	unsigned int i;

	for (i = 0; i < m->nr; i++)
		len += m->pieces[i].len;
	return len;
}

/* @got bytes were moved, the first piece first. */
static void share_out(struct member *m, size_t got)
{
	unsigned int i;

	for (i = 0; i < m->nr; i++) {
		struct piece *piece = &m->pieces[i];

		piece->got = got < piece->len ? got : piece->len;
		got -= piece->got;
	}
	if (got)
		complain("%zu bytes more were moved than asked for", got);
}

static size_t lot_of_bytes(void)
{
	unsigned int lot = draw_lot(32);

	if (lot < 20)
		return 1 + draw_lot(256);
	if (lot < 31)
		return 1 + draw_lot(3 * PAGE);
	return 1 + draw_lot((plan->longest ?: 64) * PAGE);
}

/*
 * Choose at most @most pieces, in the window or up to a page beyond its end, where
 * nothing is mapped. Writes stay in the part that may be written.
 */
static void choose_pieces(struct member *m, unsigned int most, bool write)
{
	unsigned int pages = write && plan->quiet ? plan->quiet : window_pages() + 1;
	uintptr_t end = WINDOW + pages * PAGE, addr = end;
	unsigned char *local = m->buf;

	m->nr = 1 + draw_lot(most);
	for (unsigned int i = 0; i < m->nr; i++) {
		struct piece *piece = &m->pieces[i];
		size_t len = lot_of_bytes();

		/* Sometimes begin where the last piece ended. */
		if (addr >= end || draw_lot(2))
			addr = WINDOW + draw_lot(pages * PAGE);
		if (len > end - addr)
			len = end - addr;
		if (len > BUFFER / PIECES && most > 1)
			len = BUFFER / PIECES;
		*piece = (struct piece){ .addr = addr, .len = len, .local = local };
		addr += len;
		local += len;
	}
}

/* Choose only marks, because the owner of the stamps is unknown. */
static void choose_marks(struct member *m)
{
	unsigned int i;

	m->nr = 1 + draw_lot(PIECES);
	for (i = 0; i < m->nr; i++)
		m->pieces[i] = (struct piece) {
			.addr = WINDOW + draw_lot(window_pages() * PAGE) / 8 * 8,
			.len = 1,
			.local = m->buf + i,
		};
}

/* --- The interfaces. Each returns 0, or the error that ended the transfer early. --- */

static int by_request(struct member *m, pid_t pid, unsigned int flags, bool write)
{
	struct iovec local = { m->buf, pieces_len(m) }, remote[PIECES];
	struct pvmread_rw rw = {
		.size = sizeof(rw),
		.flags = flags,
		.pid = pid,
		.local = (uintptr_t)&local,
		.local_count = 1,
		.remote = (uintptr_t)remote,
		.remote_count = m->nr,
	};
	unsigned int i;
	int ret;

	for (i = 0; i < m->nr; i++) {
		remote[i].iov_base = (void *)m->pieces[i].addr;
		remote[i].iov_len = m->pieces[i].len;
	}
	ret = ioctl(dev, write ? PVMREAD_IOC_WRITEV : PVMREAD_IOC_READV, &rw);
	share_out(m, rw.transferred);
	if (ret ? rw.transferred || !rw.error : !rw.transferred)
		complain("ioctl returned %d, errno %d, transferred %llu, error %u", ret, errno,
			 (unsigned long long)rw.transferred, rw.error);
	if (!rw.error && rw.transferred != local.iov_len)
		complain("a short transfer without an error");
	return rw.error;
}

static int by_batch(struct member *m, struct handle *h, unsigned int flags)
{
	struct pvmread_segment segs[PIECES];
	struct pvmread_batch batch = {
		.size = sizeof(batch),
		.flags = flags,
		.segments = (uintptr_t)segs,
		.count = m->nr,
	};
	unsigned int i;
	int reason = 0;

	for (i = 0; i < m->nr; i++) {
		segs[i] = (struct pvmread_segment) {
			.remote = m->pieces[i].addr,
			.local = (uintptr_t)m->pieces[i].local,
			.length = m->pieces[i].len,
		};
		m->pieces[i].got = 0;
	}
	if (ioctl(h->fd, PVMREAD_IOC_BATCH, &batch))
		return errno;
	if (batch.completed != m->nr && !(flags & PVMREAD_STOP))
		complain("%llu of %u segments completed",
			 (unsigned long long)batch.completed, m->nr);
	for (i = 0; i < batch.completed; i++) {
		m->pieces[i].got = segs[i].done;
		if (segs[i].done + !!segs[i].error > segs[i].length ||
		    (segs[i].done != segs[i].length && !segs[i].error))
			complain("segment of %llu: done %llu, error %u",
				 (unsigned long long)segs[i].length,
				 (unsigned long long)segs[i].done, segs[i].error);
		/* After ESRCH every segment fails with ESRCH, so the last error is ESRCH. */
		if (segs[i].error)
			reason = segs[i].error;
	}
	return reason;
}

static int by_call(struct member *m, struct handle *h, bool write, int flags)
{
	struct piece *piece = &m->pieces[0];
	size_t first = draw_lot(piece->len + 1);
	struct iovec iov[2] = {
		{ piece->local, first },
		{ piece->local + first, piece->len - first },
	};
	ssize_t ret;

	if (draw_lot(2) && !flags)
		ret = write ? pwrite(h->fd, piece->local, piece->len, piece->addr) :
			      pread(h->fd, piece->local, piece->len, piece->addr);
	else
		ret = write ? pwritev2(h->fd, iov, 2, piece->addr, flags) :
			      preadv2(h->fd, iov, 2, piece->addr, flags);
	if (!ret)
		complain("a target file returned end of file");
	share_out(m, ret < 0 ? 0 : ret);
	return ret < 0 ? errno : 0;
}

static int by_uring(struct member *m, struct handle *h, bool write)
{
	struct piece *piece = &m->pieces[0];
	struct __kernel_timespec ts = { .tv_sec = PATIENCE_MS / 1000 };
	struct io_uring_sqe *sqe = io_uring_get_sqe(&m->ring);
	struct io_uring_cqe *cqe;
	int ret;

	if (write)
		io_uring_prep_write(sqe, h->fd, piece->local, piece->len, piece->addr);
	else
		io_uring_prep_read(sqe, h->fd, piece->local, piece->len, piece->addr);
	/* io_uring tries a request in this thread first, or leaves it to a worker. */
	if (draw_lot(2))
		sqe->flags |= IOSQE_ASYNC;
	ret = io_uring_submit(&m->ring);
	if (ret == 1)
		ret = io_uring_wait_cqe_timeout(&m->ring, &cqe, &ts);
	if (ret)
		broken("io_uring");
	ret = cqe->res;
	io_uring_cqe_seen(&m->ring, cqe);
	if (!ret)
		complain("io_uring: a target file returned end of file");
	share_out(m, ret < 0 ? 0 : ret);
	return ret < 0 ? -ret : 0;
}

/* --- Handles --- */

void drop_handle(struct handle *h)
{
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
}

static bool is_answer_of_opening(int err, bool pidfd)
{
	/* pidfd_open(2) fails with EINVAL if the pid is being allocated or freed. */
	if (err == EINVAL && pidfd)
		return plan->mortal;
	return (err == ESRCH && plan->mortal) || (err == EPERM && plan->refused);
}

static void get_handle(struct handle *h)
{
	unsigned int flags = 0, subject = lot_of_subjects();
	uint64_t before = get(&board->subject[subject]), after;

	*h = (struct handle){ .fd = -1, .subject = subject, .pid = subject_pid(before) };
	if (!h->pid)
		return;
	h->pidfd = !draw_lot(4);
	h->write = draw_lot(2);
	h->nowait = !h->pidfd && !draw_lot(4);
	h->resident = !h->pidfd && !draw_lot(8);
	if (h->pidfd) {
		h->fd = open_pidfd(h->pid);
	} else {
		flags |= (h->write ? PVMREAD_WRITE : 0) | (h->nowait ? PVMREAD_NOWAIT : 0);
		flags |= h->resident ? PVMREAD_RESIDENT : 0;
		if (draw_lot(2) && has_feature(dev, PVMREAD_FEATURE_CACHE))
			flags |= PVMREAD_CACHE;
		h->fd = attach(dev, h->pid, flags, 0, 0);
	}
	if (h->fd < 0) {
		count(&board->answers[errno & 255]);
		if (!is_answer_of_opening(errno, h->pidfd))
			complain("%s: %s", h->pidfd ? "pidfd_open" : "ATTACH", strerror(errno));
		pass_time(1000);
		return;
	}
	after = get(&board->subject[subject]);
	h->first = before;
	h->last = before;
	if (plan->image || plan->renumbered)
		/* The next owner may be there, but not announced yet. */
		h->last = (uint32_t)after + 1;
	h->uses = 1 + draw_lot(64);
}

/* --- Checking results --- */

/* A handle stands for one owner, except the pidfd of a process that calls execve(2). */
static bool is_bound(const struct handle *h)
{
	return h && !(h->pidfd && plan->image);
}

static void judge_answer(struct handle *h, int err, bool nowait, bool moved)
{
	switch (err) {
	case 0:
	case EIO:
		break;
	case ESRCH:
		if (!plan->mortal)
			complain("ESRCH, though the target lives");
		break;
	case EAGAIN:
		if (!nowait)
			complain("EAGAIN without NOWAIT");
		break;
	case EPERM:
		if (!plan->refused || is_bound(h))
			complain("EPERM");
		break;
	default:
		complain("a transfer ended with %s", strerror(err));
	}
	if (!is_bound(h))
		return;
	if (h->gone && (err != ESRCH || moved))
		complain("after ESRCH: %s moved, error %d", moved ? "bytes" : "none", err);
	if (err == ESRCH)
		h->gone = true;
}

/* Check where an incomplete transfer ended. If @each is set, the pieces ended separately. */
static void judge_end(const struct member *m, bool each)
{
	unsigned int i;

	for (i = 0; i < m->nr; i++) {
		const struct piece *piece = &m->pieces[i];

		if (piece->got == piece->len)
			continue;
		if (piece->addr + piece->got < WINDOW + window_pages() * PAGE)
			complain("EIO at %#lx, which is mapped", piece->addr + piece->got);
		if (!each)
			break;
	}
}

static void judge_bytes(struct member *m, const struct rule *rule, struct handle *h)
{
	unsigned int i;

	for (i = 0; i < m->nr; i++) {
		const struct piece *piece = &m->pieces[i];
		uint32_t owner = 0;
		uint64_t word = 0;
		ssize_t at;

		at = inspect(piece->local, piece->addr, piece->got, rule, &owner);
		if (at >= 0) {
			memcpy(&word, piece->local + at,
			       piece->got - at < 8 ? piece->got - at : 8);
			complain("%#016llx at %#lx, owner %u to %u%s",
				 (unsigned long long)word, piece->addr + at, rule->first,
				 rule->last, h ? h->pidfd ? ", pidfd" : ", target file" : "");
			return;
		}
		/* From now on this handle must find this owner. */
		if (owner && is_bound(h)) {
			h->first = owner;
			h->last = owner;
		}
	}
}

static bool has_moved(const struct member *m)
{
	unsigned int i;

	for (i = 0; i < m->nr; i++)
		if (m->pieces[i].got)
			return true;
	return false;
}

unsigned char lot_of_marks(unsigned int subject)
{
	return (subject ? MARK_CHILD : MARK_LOUD) + draw_lot(MARK_CHILD - MARK_LOUD);
}

/*
 * Make one transfer. If a writer knows the owner, it writes whole stamps: if these end
 * up in another process, a reader will notice.
 */
static void transfer(struct member *m)
{
	struct handle *h = draw_lot(4) ? &m->handles[draw_lot(HANDLES)] : NULL;
	unsigned int subject = lot_of_subjects(), i, flags = 0;
	bool write = draw_lot(256) < plan->writes;
	uint64_t before, after;
	bool single = false, each = draw_lot(4), is_known, nowait, resident;
	struct rule rule;
	int err;

	if (h) {
		if (h->fd >= 0 && !h->uses--)
			drop_handle(h);
		if (h->fd < 0)
			get_handle(h);
		if (h->fd < 0)
			return;
		subject = h->subject;
		single = !h->pidfd && draw_lot(2);
		if (!h->pidfd && !h->write)
			write = false;
	}
	before = get(&board->subject[subject]);
	if (!before && !h)
		return;
	rule = is_bound(h) ? rule_for(h->first, h->last) : rule_for(before, before);

	is_known = rule.first == rule.last &&
		   (is_bound(h) || !(plan->image || plan->renumbered));
	if (write && is_known) {
		choose_pieces(m, single ? 1 : PIECES, true);
		for (i = 0; i < m->nr; i++)
			draw(m->pieces[i].local, m->pieces[i].addr, m->pieces[i].len,
			     rule.period, rule.first, lot_of_marks(subject));
	} else if (write) {
		single = false;
		choose_marks(m);
		memset(m->buf, lot_of_marks(subject), m->nr);
	} else {
		choose_pieces(m, single ? 1 : PIECES, false);
		memset(m->buf, GARBAGE, pieces_len(m));
	}

	if (!draw_lot(4))
		flags |= PVMREAD_NOWAIT;
	if (!draw_lot(8))
		flags |= PVMREAD_RESIDENT;
	if (!h)
		err = by_request(m, subject_pid(before), flags, write);
	else if (h->pidfd)
		err = by_request(m, h->fd, flags | PVMREAD_PIDFD, write);
	else if (!single)
		err = by_batch(m, h, flags | (write ? PVMREAD_WRITE : 0) |
				     (each ? 0 : PVMREAD_STOP));
	else if (m->has_ring && draw_lot(2))
		err = by_uring(m, h, write);
	else
		err = by_call(m, h, write, flags & PVMREAD_NOWAIT ? RWF_NOWAIT : 0);
	after = get(&board->subject[subject]);

	count(&board->answers[err & 255]);
	nowait = flags & PVMREAD_NOWAIT || (h && h->nowait);
	judge_answer(h, err, nowait, has_moved(m));
	resident = flags & PVMREAD_RESIDENT || (h && h->resident);
	if (err == EIO && plan->solid && !nowait && !resident)
		judge_end(m, each && h && !h->pidfd && !single);
	/* The next process needs time to start. */
	if (err == ESRCH || err == EPERM)
		pass_time(1000);
	if (!has_moved(m))
		return;
	count(&board->moved[subject][write]);
	if (write)
		return;
	if (!is_bound(h) && subject_pid(after) == subject_pid(before))
		rule.last = after;
	judge_bytes(m, &rule, h);
}

static void *be_member(void *unused)
{
	struct member m = {};
	unsigned int i;

	(void)unused;
	m.buf = mmap(NULL, BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m.buf == MAP_FAILED)
		broken("mmap");
	m.has_ring = !io_uring_queue_init(4, &m.ring, 0);
	for (i = 0; i < HANDLES; i++)
		m.handles[i].fd = -1;
	while (!get(&board->stop)) {
		transfer(&m);
		if (plan->calm)
			pass_time(plan->calm);
	}
	for (i = 0; i < HANDLES; i++)
		drop_handle(&m.handles[i]);
	if (m.has_ring)
		io_uring_queue_exit(&m.ring);
	munmap(m.buf, BUFFER);
	return NULL;
}

void be_child(void)
{
	signal(SIGALRM, SIG_DFL);
	die_with_parent();
	alarm(limit_s);
}

void become(uid_t uid)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		broken("changing the user");
	be_child();
}

void be_crew(void)
{
	pthread_t threads[THREADS];
	unsigned int i;

	if (plan->uid)
		become(plan->uid);
	for (i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, be_member, NULL))
			broken("pthread_create");
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}
