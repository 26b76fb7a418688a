//go:build ignore

/* What the app may do, who it is, and where it starts. */
#include "ops.h"
#include <grp.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* From linux/seccomp.h, linux/filter.h, linux/capability.h and linux/keyctl.h. */
#define SECCOMP_SET_MODE_FILTER 1
#define SECCOMP_FILTER_FLAG_SPEC_ALLOW (1UL << 2)
#define CAPABILITY_VERSION_3 0x20080522
#define PR_CAP_AMBIENT_ 47
#define KEYCTL_JOIN_SESSION_KEYRING 1

struct sock_filter {
	uint16_t code;
	uint8_t jt, jf;
	uint32_t k;
};

struct sock_fprog {
	unsigned short len;
	struct sock_filter *filter;
};

struct caps {
	uint64_t bounding, effective, permitted, inheritable, ambient;
};

static struct caps caps;
static int have_caps;
static struct cwd {
	uint64_t dev, ino;
	char *path, *real;
	int make, late;
} cwd;

void load_filter(void *prog, uint32_t size)
{
	struct sock_fprog fprog = {size / sizeof(struct sock_filter), prog};

	if (size == 0 || size % sizeof(struct sock_filter) || size / sizeof(struct sock_filter) > 0xffff)
		die(OP_FILTER, EPROTO);
	/* Without the flag, kernels before 5.16 slow the app down by SSBD; before 4.17 they don't know it. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &fprog) == 0)
		return;
	if (errno != EINVAL || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &fprog) != 0)
		die(OP_FILTER, errno);
}

static void loopback(void)
{
	struct ifreq r = {.ifr_flags = IFF_UP | IFF_RUNNING};
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strcpy(r.ifr_name, "lo");
	if (s < 0 || ioctl(s, SIOCSIFFLAGS, &r) != 0)
		die(OP_LOOPBACK, errno);
	close(s);
}

static void limit(char *p, char *end)
{
	struct rlimit r;
	uint64_t v[3];

	if (end - p != sizeof(v))
		die(OP_RLIMIT, EPROTO);
	memcpy(v, p, sizeof(v));
	r.rlim_cur = v[1];
	r.rlim_max = v[2];
	if (setrlimit(v[0], &r) != 0)
		die(OP_RLIMIT, errno);
}

static void make_dirs(char *path)
{
	char *p;

	for (p = path + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(path, 0755);
		*p = '/';
	}
	mkdir(path, 0755);
}

/* A working directory that leads out of the root is one that a descriptor of ours was named for. */
static void check_cwd(void)
{
	char b[4096];

	if (syscall(SYS_getcwd, b, sizeof(b)) < 0 || b[0] != '/')
		die_at(OP_CWD, errno ? errno : EXDEV, "enter working directory", cwd.path, NULL);
}

/* Whether path is the directory that is meant, and we are in it. */
static int try_cwd(const char *path)
{
	struct stat st;

	if (chdir(path) != 0)
		return 0;
	if (!cwd.ino || (stat(".", &st) == 0 && st.st_dev == cwd.dev && st.st_ino == cwd.ino))
		return 1;
	errno = ENOENT;
	return 0;
}

static void enter(void)
{
	if (try_cwd(cwd.path) || (*cwd.real && try_cwd(cwd.real))) {
		errno = 0;
		check_cwd();
		return;
	}
	if (errno == EACCES && !cwd.late) {
		cwd.late = 1; /* perhaps the app's user may */
		return;
	}
	if (errno == ENOENT && cwd.make) {
		cwd.make = 0;
		make_dirs(cwd.path);
		enter();
		return;
	}
	die_at(OP_CWD, errno, "enter working directory", cwd.path, NULL);
}

static void working_directory(char *p, char *end)
{
	cwd.make = number(OP_CWD, &p, end);
	if (end - p < 16)
		die(OP_CWD, EPROTO);
	memcpy(&cwd.dev, p, 8);
	memcpy(&cwd.ino, p + 8, 8);
	p += 16;
	cwd.path = text(OP_CWD, &p, end);
	cwd.real = text(OP_CWD, &p, end);
	enter();
}

static void drop_bounding(void)
{
	int i;

	for (i = 0; i < 64; i++)
		if (!(caps.bounding >> i & 1) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) != 0) {
			if (errno == EINVAL)
				return; /* the kernel's last one is behind us */
			die(OP_CAPS, errno);
		}
}

static void set_caps(void)
{
	struct {
		uint32_t version;
		int pid;
	} head = {CAPABILITY_VERSION_3, 0};
	struct {
		uint32_t effective, permitted, inheritable;
	} data[2];
	int i;

	for (i = 0; i < 2; i++) {
		data[i].effective = caps.effective >> 32 * i;
		data[i].permitted = caps.permitted >> 32 * i;
		data[i].inheritable = caps.inheritable >> 32 * i;
	}
	if (syscall(SYS_capset, &head, data) != 0)
		die(OP_CAPS, errno);
	prctl(PR_CAP_AMBIENT_, 4 /* clear all */, 0, 0, 0);
	for (i = 0; i < 64; i++)
		if (caps.ambient >> i & 1 && prctl(PR_CAP_AMBIENT_, 2 /* raise */, i, 0, 0) != 0)
			die(OP_CAPS, errno);
}

static char may_set = '?';

void note_groups(void)
{
	int fd = open("/proc/self/setgroups", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, &may_set, 1) != 1)
		may_set = 0;
	close(fd);
}

/* In a user namespace that somebody without privileges made, nobody can set groups. */
static int groups_are_fixed(void)
{
	int err = errno;

	if (may_set == '?')
		note_groups();
	errno = err;
	return err == EPERM && may_set == 'd';
}

static void become(char *p, char *end)
{
	uint32_t uid = number(OP_IDS, &p, end), gid = number(OP_IDS, &p, end), groups = number(OP_IDS, &p, end);

	if (!have_caps)
		die(OP_IDS, EPROTO);
	drop_bounding();
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
		die(OP_IDS, errno);
	if (groups && syscall(SYS_setgroups, (end - p) / sizeof(gid_t), p) != 0 && !groups_are_fixed())
		die(OP_IDS, errno);
	/* Raw calls, with the ids that the kernel sees: this process has one thread. */
	if (syscall(SYS_setresgid, gid, gid, gid) != 0 || syscall(SYS_setresuid, uid, uid, uid) != 0)
		die(OP_IDS, errno);
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0)
		die(OP_IDS, errno);
	if (cwd.late)
		enter();
	set_caps();
	/* A change of ids or rights makes it what fs.suid_dumpable says. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		die(OP_IDS, errno);
}

void do_rights(uint32_t op, char *p, char *end)
{
	char *s;

	switch (op) {
	case OP_HOSTNAME:
		s = text(op, &p, end);
		if (sethostname(s, strlen(s)) != 0)
			die(op, errno);
		return;
	case OP_LOOPBACK:
		loopback();
		return;
	case OP_RLIMIT:
		limit(p, end);
		return;
	case OP_UMASK:
		umask(number(op, &p, end));
		return;
	case OP_CWD:
		working_directory(p, end);
		return;
	case OP_CAPS:
		if (end - p != sizeof(caps))
			die(op, EPROTO);
		memcpy(&caps, p, sizeof(caps));
		have_caps = 1;
		return;
	case OP_IDS:
		become(p, end);
		return;
	case OP_KEYRING:
		/* A user may have run out of keys; the caller's must not be within reach all the same. */
		if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
			die(op, errno);
		return;
	}
}
