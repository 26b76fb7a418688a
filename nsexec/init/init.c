//go:build ignore

/*
 * PID 1 of a flake's container.
 *
 *   init BLOB STATUS
 *
 * BLOB and STATUS are descriptor numbers. BLOB is a file with a flat list of operations that are done in
 * their order; the last one runs the app. STATUS is a pipe that gets fixed-size records about its fate. Both
 * formats are those of the Go package in this directory, which is the other end: change them together.
 *
 * Filters are loaded before the app is forked, so that nothing in the container runs without them: the app
 * may have our user id, and could otherwise ptrace its way into an unfiltered process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* From linux/seccomp.h and linux/filter.h, which musl's compiler wrapper does not find. */
#define SECCOMP_SET_MODE_FILTER 1
#define SECCOMP_FILTER_FLAG_SPEC_ALLOW (1UL << 2)

struct sock_filter {
	uint16_t code;
	uint8_t jt, jf;
	uint32_t k;
};

struct sock_fprog {
	unsigned short len;
	struct sock_filter *filter;
};

#define MAGIC 0x314b4c46u /* "FLK1" on little endian */

enum op {
	OP_STDIO = 1,    /* int32[3]: become 0, 1, 2 */
	OP_DEATH = 2,    /* int32: signal to get when the engine dies */
	OP_NO_PRIVS = 3, /* no_new_privs */
	OP_FILTER = 4,   /* struct sock_filter[] */
	OP_GROUP = 5,    /* the app leads a process group of its own */
	OP_ENV = 6,      /* NUL-terminated strings */
	OP_RUN = 7,      /* NUL-terminated strings: the app's argv; must come last */
	STAGE_FORK = 8,  /* no operation: what comes before the app's execve */
};

enum kind { KIND_STARTED = 1, KIND_ENDED = 2, KIND_FAILED = 3 };

struct header {
	uint32_t magic;
	uint32_t size; /* of the whole blob */
};

struct record {
	uint32_t op;
	uint32_t size; /* of the payload, without the padding to 8 */
};

struct report {
	uint32_t kind;
	uint32_t op;     /* that failed */
	int32_t value;   /* raw wait status, or errno */
	uint32_t exists; /* OP_RUN: the file is there, what it needs is not */
};

static int status_fd = -1;
static int own_group;
static int stdio[3] = {0, 1, 2};
static char **app_env;

static void report(uint32_t kind, uint32_t op, int32_t value, uint32_t exists)
{
	struct report r = {kind, op, value, exists};

	while (write(status_fd, &r, sizeof(r)) < 0 && errno == EINTR)
		;
}

static void die(uint32_t op, int err)
{
	report(KIND_FAILED, op, err, 0);
	_exit(125);
}

/* Raw calls: the C library keeps some real-time signals for itself and would leave them out. */
static void set_mask(const uint64_t *set, uint64_t *old)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, set, old, sizeof(uint64_t));
}

static int next_signal(siginfo_t *info)
{
	uint64_t all = ~0ULL;

	return (int)syscall(SYS_rt_sigtimedwait, &all, info, NULL, sizeof(all));
}

/* A vector of the strings in p[0..size), which ends with a NUL. */
static char **vector(uint32_t op, char *p, uint32_t size)
{
	uint32_t n = 0, i;
	char **v;

	if (size > 0 && p[size - 1] != '\0')
		die(op, EPROTO);
	for (i = 0; i < size; i++)
		n += p[i] == '\0';
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		die(op, ENOMEM);
	for (i = 0; i < n; i++) {
		v[i] = p;
		p += strlen(p) + 1;
	}
	return v;
}

static void load_filter(void *prog, uint32_t size)
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

static void follow_engine(int sig)
{
	struct pollfd p = {status_fd, 0, 0};

	if (prctl(PR_SET_PDEATHSIG, sig, 0, 0, 0) != 0)
		die(OP_DEATH, errno);
	/* It may have died before: then nobody holds the other end of the pipe. */
	if (poll(&p, 1, 0) > 0 && (p.revents & POLLERR))
		_exit(125);
}

static void place_stdio(void)
{
	int i;

	for (i = 0; i < 3; i++)
		if (stdio[i] != i && dup2(stdio[i], i) < 0)
			die(OP_STDIO, errno);
}

/* Only 0, 1, 2 and the status pipe stay, the pipe not beyond the app's execve. */
static void close_rest(void)
{
	int fd;

	if (status_fd != 3) {
		if (dup3(status_fd, 3, O_CLOEXEC) < 0)
			die(OP_STDIO, errno);
		status_fd = 3;
	} else {
		fcntl(3, F_SETFD, FD_CLOEXEC);
	}
	if (syscall(SYS_close_range, 4, ~0U, 0) == 0)
		return;
	for (fd = 4; fd < 1024; fd++)
		close(fd);
}

static const char *search_path(void)
{
	char **e;

	for (e = app_env; *e; e++)
		if (strncmp(*e, "PATH=", 5) == 0)
			return *e + 5;
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

static int try_exec(const char *path, char **argv, uint32_t *exists)
{
	int err;

	execve(path, argv, app_env);
	err = errno;
	if (err == ENOENT && access(path, F_OK) == 0)
		*exists = 1;
	return err;
}

/* As execvp(3), but without the detour over a shell for ENOEXEC. */
static void exec_app(char **argv)
{
	const char *name = argv[0], *dir, *end;
	size_t n, len = strlen(name);
	uint32_t exists = 0;
	int err = ENOENT, saved = 0;
	char *buf;

	if (*name == '\0' || strchr(name, '/')) {
		err = try_exec(name, argv, &exists);
		goto out;
	}
	dir = search_path();
	buf = malloc(strlen(dir) + len + 3);
	if (!buf) {
		err = ENOMEM;
		goto out;
	}
	for (;; dir = end + 1) {
		end = strchr(dir, ':');
		if (!end)
			end = dir + strlen(dir);
		n = end - dir;
		if (n == 0)
			buf[n++] = '.';
		else
			memcpy(buf, dir, n);
		buf[n++] = '/';
		memcpy(buf + n, name, len + 1);
		err = try_exec(buf, argv, &exists);
		if (exists)
			break;
		if (err == EACCES)
			saved = err;
		else if (err != ENOENT && err != ENOTDIR && err != ENAMETOOLONG && err != ELOOP && err != ESTALE)
			break;
		err = ENOENT;
		if (*end == '\0')
			break;
	}
	if (err == ENOENT && !exists && saved)
		err = saved;
out:
	report(KIND_FAILED, OP_RUN, err, exists);
	_exit(127);
}

/* Reap everybody; report and leave with the app, upon which the kernel kills the rest. */
static void reap(pid_t app)
{
	int st;
	pid_t pid;

	while ((pid = waitpid(-1, &st, WNOHANG)) > 0) {
		if (pid != app)
			continue;
		report(KIND_ENDED, 0, st, 0);
		_exit(WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st));
	}
}

static void forward(pid_t app, int sig, const siginfo_t *si)
{
	int outside = si->si_pid == 0;

	/* From the terminal's line discipline: the app is in the same group and has got it too. */
	if (si->si_code == SI_KERNEL)
		return;
	/* The app's group may be orphaned, where the polite stop signals do nothing. */
	if (outside && (sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU))
		sig = SIGSTOP;
	/* The engine marks what a terminal would have sent to the whole group. */
	if (own_group && outside && si->si_code == SI_QUEUE && si->si_value.sival_int == 1)
		kill(-app, sig);
	else
		kill(app, sig);
}

static void run(char **argv, const uint64_t *old_mask)
{
	siginfo_t info;
	pid_t app;
	int sig;

	if (!argv[0])
		die(STAGE_FORK, EPROTO);
	if (!app_env)
		app_env = calloc(1, sizeof(*app_env));
	if (!app_env)
		die(STAGE_FORK, ENOMEM);
	app = fork();
	if (app < 0)
		die(STAGE_FORK, errno);
	if (app == 0) {
		if (own_group)
			setpgid(0, 0);
		set_mask(old_mask, NULL);
		exec_app(argv);
	}
	if (own_group)
		setpgid(app, app); /* whoever comes first: a signal to the group must find it */
	report(KIND_STARTED, 0, 0, 0);
	/* Don't keep the caller's pipes open: a reader waits for their end. */
	close(0);
	close(1);
	close(2);
	for (;;) {
		sig = next_signal(&info);
		if (sig == SIGCHLD)
			reap(app);
		else if (sig > 0)
			forward(app, sig, &info);
	}
}

static void perform(uint32_t op, char *p, uint32_t size, const uint64_t *old_mask)
{
	int32_t v[3];

	switch (op) {
	case OP_STDIO:
		if (size != sizeof(v))
			die(op, EPROTO);
		memcpy(v, p, sizeof(v));
		stdio[0] = v[0], stdio[1] = v[1], stdio[2] = v[2];
		return;
	case OP_DEATH:
		if (size != sizeof(v[0]))
			die(op, EPROTO);
		memcpy(v, p, sizeof(v[0]));
		follow_engine(v[0]);
		return;
	case OP_NO_PRIVS:
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
			die(op, errno);
		return;
	case OP_FILTER:
		load_filter(p, size);
		return;
	case OP_GROUP:
		own_group = 1;
		return;
	case OP_ENV:
		app_env = vector(op, p, size);
		return;
	case OP_RUN:
		place_stdio();
		close_rest();
		run(vector(op, p, size), old_mask);
		return;
	}
	die(op, EPROTO); /* an operation of a younger engine */
}

int main(int argc, char **argv)
{
	uint64_t all = ~0ULL, old_mask = 0;
	struct header head;
	struct record rec;
	struct stat st;
	uint64_t at, size;
	char *blob;
	int fd;

	if (argc != 3)
		_exit(125);
	fd = atoi(argv[1]);
	status_fd = atoi(argv[2]);
	set_mask(&all, &old_mask);
	signal(SIGCHLD, SIG_DFL); /* ignored, it would take the app's status away */
	prctl(PR_SET_NAME, "flake-init", 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof(head))
		die(0, EPROTO);
	size = st.st_size;
	blob = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (blob == MAP_FAILED)
		die(0, errno);
	memcpy(&head, blob, sizeof(head));
	if (head.magic != MAGIC || head.size != size)
		die(0, EPROTO);
	for (at = sizeof(head); at + sizeof(rec) <= size; at += (rec.size + 7ULL) & ~7ULL) {
		memcpy(&rec, blob + at, sizeof(rec));
		at += sizeof(rec);
		if (rec.size > size - at)
			die(rec.op, EPROTO);
		perform(rec.op, blob + at, rec.size, &old_mask);
	}
	die(0, EPROTO); /* no app */
	return 125;
}
