// SPDX-License-Identifier: GPL-2.0
/*
 * LSM: what an LSM can deny. A BPF program acts as the LSM: it makes one hook return -EPERM, but
 * only in the test process.
 *
 * SELinux and AppArmor policies do not apply to target files, because both ignore the kernel's
 * shared anonymous inode. But the hooks also run for target files.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <kselftest_harness.h>

#include "process.h"

/* The LSMs that are active, for instance "capability,landlock,bpf". */
#define ACTIVE		"/sys/kernel/security/lsm"
#define SECRET		0x7365637265742121ULL

static uint64_t *page;

static bool has_bpf_lsm(void)
{
	char names[256] = "";
	int fd = open(ACTIVE, O_RDONLY);

	if (fd < 0)
		return false;
	if (read(fd, names, sizeof(names) - 1) < 0)
		names[0] = '\0';
	close(fd);
	return strstr(names, "bpf");
}

/*
 * Make this LSM hook return -EPERM in this process, until the returned file is closed.
 * Return: the file, or -errno.
 */
static int refuse(const char *hook)
{
	const struct bpf_insn program[] = {
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_current_pid_tgid },
		{ .code = BPF_ALU64 | BPF_RSH | BPF_K, .dst_reg = BPF_REG_0, .imm = 32 },
		{ .code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .off = 2,
		  .imm = getpid() },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -EPERM },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_LSM_MAC);
	int id, loaded, attached;

	id = libbpf_find_vmlinux_btf_id(hook, BPF_LSM_MAC);
	if (id < 0)
		return id;
	opts.attach_btf_id = id;
	loaded = bpf_prog_load(BPF_PROG_TYPE_LSM, NULL, "GPL", program, ARRAY_SIZE(program),
			       &opts);
	if (loaded < 0)
		return loaded;
	attached = bpf_raw_tracepoint_open(NULL, loaded);
	close(loaded);
	return attached;
}

FIXTURE(lsm) {
	int dev;
	int fd;
	pid_t target;
};

/* @hook: the hook that refuses; NULL for none. The rest: the errno of each request, or 0. */
FIXTURE_VARIANT(lsm) {
	const char *hook;
	int syscall;
	int readv;
	int attach;
	int pread;
	int batch;
	int mmap;
};

FIXTURE_VARIANT_ADD(lsm, nothing) {
};

FIXTURE_VARIANT_ADD(lsm, ptrace) {
	.hook = "ptrace_access_check",
	.syscall = EPERM, .readv = EPERM, .attach = EPERM,
};

FIXTURE_VARIANT_ADD(lsm, ioctl) {
	.hook = "file_ioctl",
	.readv = EPERM, .attach = EPERM, .batch = EPERM,
};

FIXTURE_VARIANT_ADD(lsm, read) {
	.hook = "file_permission",
	.pread = EPERM,
};

FIXTURE_VARIANT_ADD(lsm, mmap) {
	.hook = "mmap_file",
	.mmap = EPERM,
};

FIXTURE_SETUP(lsm)
{
	self->dev = -1;
	self->fd = -1;
	self->target = -1;
	if (!has_bpf_lsm())
		SKIP(return, "not in this kernel: BPF LSM");
	self->dev = open(PVMREAD_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->dev);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, page);
	*page = SECRET;
	self->target = fork();
	ASSERT_LE(0, self->target);
	if (!self->target) {
		die_with_parent();
		for (;;)
			pause();
	}
	*page = 0;
	self->fd = attach(self->dev, self->target, PVMREAD_WINDOW, 0, 0);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(lsm)
{
	if (self->target > 0) {
		kill(self->target, SIGKILL);
		waitpid(self->target, NULL, 0);
	}
	close(self->fd);
	close(self->dev);
}

/* Return: 0 if a whole word was moved, or errno. */
static int error_of(ssize_t ret)
{
	return ret == sizeof(uint64_t) ? 0 : errno;
}

TEST_F(lsm, refusal_is_obeyed)
{
	uint64_t words[4] = {}, *window;
	struct iovec remote = { .iov_base = page, .iov_len = sizeof(*page) };
	struct iovec local[] = {
		{ .iov_base = &words[0], .iov_len = sizeof(*words) },
		{ .iov_base = &words[1], .iov_len = sizeof(*words) },
	};
	struct request req = {
		.pid = self->target, .local_count = 1, .remote = &remote, .remote_count = 1,
	};
	struct pvmread_segment segment = {
		.remote = (uintptr_t)page, .local = (uintptr_t)&words[3], .length = sizeof(*words),
	};
	struct pvmread_batch batch = {
		.size = sizeof(batch), .segments = (uintptr_t)&segment, .count = 1,
	};
	int refusal = -1, file, by_syscall, by_readv, by_attach, by_pread, by_batch, by_mmap;
	struct pvmread_rw rw;

	if (variant->hook) {
		refusal = refuse(variant->hook);
		ASSERT_LE(0, refusal) {
			TH_LOG("%s: %s", variant->hook, strerror(-refusal));
		}
	}
	/* Print nothing: write(2) may be refused. */
	req.local = &local[0];
	by_syscall = error_of(send_syscall(&req));
	req.local = &local[1];
	by_readv = error_of(send_ioctl(self->dev, &req, &rw));
	file = attach(self->dev, self->target, 0, 0, 0);
	by_attach = file < 0 ? errno : 0;
	by_pread = error_of(pread(self->fd, &words[2], sizeof(*words), (uintptr_t)page));
	by_batch = ioctl(self->fd, PVMREAD_IOC_BATCH, &batch) ? errno : 0;
	window = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, self->fd, (uintptr_t)page);
	by_mmap = window == MAP_FAILED ? errno : 0;
	close(refusal);

	EXPECT_EQ(variant->syscall, by_syscall);
	EXPECT_EQ(variant->readv, by_readv);
	EXPECT_EQ(variant->attach, by_attach);
	EXPECT_EQ(variant->pread, by_pread);
	EXPECT_EQ(variant->batch, by_batch);
	EXPECT_EQ(variant->mmap, by_mmap);
	EXPECT_EQ(variant->syscall ? 0 : SECRET, words[0]);
	EXPECT_EQ(variant->readv ? 0 : SECRET, words[1]);
	EXPECT_EQ(variant->pread ? 0 : SECRET, words[2]);
	EXPECT_EQ(variant->batch ? 0 : SECRET, words[3]);
	if (!by_attach)
		close(file);
	if (!by_mmap) {
		EXPECT_EQ(SECRET, *window);
		munmap(window, PAGE);
	}
}

TEST_HARNESS_MAIN
