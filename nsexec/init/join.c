//go:build ignore

/*
 * A start inside of an instance that is there already. The outer process stays where it is, as in every start; the one
 * that it leaves behind enters the instance's namespaces, but for the pid namespace: only its children are in that. So
 * nobody in the instance can see it, and what comes into their sight, the app, has no more rights than they have.
 */
#include "ops.h"
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>

#define MAX_FRESH 64

static struct fresh {
	uint32_t mode;
	const char *target, *content;
	size_t size;
} fresh[MAX_FRESH];

static int n_fresh;

static void add_fresh(char *p, char *end)
{
	struct fresh *f = &fresh[n_fresh];

	if (n_fresh++ >= MAX_FRESH)
		die(OP_FRESH, E2BIG);
	f->mode = number(OP_FRESH, &p, end);
	f->target = text(OP_FRESH, &p, end);
	f->content = p;
	f->size = end - p;
}

static int is_same(int fd, const struct fresh *f)
{
	static char b[4096];
	size_t at = 0;
	struct stat st;
	ssize_t n;

	if (S_ISLNK(f->mode)) {
		n = readlinkat(fd, "", b, sizeof(b));
		return n == (ssize_t)f->size && !memcmp(b, f->content, n);
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size != (off_t)f->size)
		return 0;
	while ((n = read(fd, b, sizeof(b))) > 0) {
		if ((size_t)n > f->size - at || memcmp(b, f->content + at, n) != 0)
			return 0;
		at += n;
	}
	return n == 0 && at == f->size;
}

static int put(int fd, const struct fresh *f)
{
	int ok = fd >= 0 && write(fd, f->content, f->size) == (ssize_t)f->size;

	if (fd >= 0)
		close(fd);
	return ok;
}

static int make(int at, const char *name, const struct fresh *f)
{
	char to[4096];

	if (!S_ISLNK(f->mode))
		return put(openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, f->mode), f);
	if (f->size >= sizeof(to))
		return 0;
	memcpy(to, f->content, f->size);
	to[f->size] = '\0';
	return symlinkat(to, at, name) == 0;
}

/*
 * The instance gets the host's present version. What can't be written (a root that is read-only, a directory of another
 * user's store) stays as it was: it was good enough for the last start.
 */
static void freshen(const struct fresh *f)
{
	static const char temp[] = ".flake-fresh";
	char dir[4096], *slash;
	int how = S_ISLNK(f->mode) ? O_PATH | O_NOFOLLOW : O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW;
	int fd = resolve(root, relative(f->target), how, RESOLVE_IN_ROOT), at, same;

	same = fd >= 0 && is_same(fd, f);
	if (fd >= 0)
		close(fd);
	if (same || strlen(f->target) >= sizeof(dir))
		return;
	strcpy(dir, f->target);
	slash = strrchr(dir, '/');
	if (!slash)
		return;
	*slash = '\0';
	at = resolve(root, relative(dir), O_PATH | O_DIRECTORY, RESOLVE_IN_ROOT);
	if (at < 0)
		return;
	unlinkat(at, temp, 0);
	if (!make(at, temp, f) || renameat(at, temp, at, slash + 1) != 0) {
		unlinkat(at, temp, 0);
		if (!S_ISLNK(f->mode))
			put(resolve(at, slash + 1, O_WRONLY | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), f);
	}
	close(at);
}

static int pidfd;

/* What is being killed answers like what we may not enter, or have no memory for; its end tells the difference. */
int instance_ends(void)
{
	struct pollfd p = {pidfd, POLLIN, 0};

	return poll(&p, 1, 2000) > 0;
}

static void enter_ns(uint32_t namespaces)
{
	int err;

	if (setns(pidfd, namespaces) == 0)
		return;
	err = errno;
	if ((err == EPERM || err == ESRCH) && again && instance_ends()) {
		report(KIND_FAILED, OP_AGAIN, ESRCH, 0);
		_exit(125);
	}
	die_at(OP_JOIN, err, "enter the kept instance", NULL, NULL);
}

static void enter(pid_t pid1, uint32_t namespaces)
{
	int i, lacks = grafts_missing(pid1);
	mode_t umask_ = umask(0); /* modes are meant as they are given */

	note_groups();
	if (namespaces & NEWUSER)
		own_userns = OWN_SINGLE;
	if (lacks && (namespaces & NEWUSER)) {
		enter_ns(NEWUSER);
		namespaces &= ~NEWUSER;
		if (syscall(SYS_unshare, CLONE_NEWNS) != 0)
			die(OP_JOIN, errno);
	}
	if (lacks)
		take_grafts(own_userns == OWN_SINGLE);
	enter_ns(namespaces);
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		die(OP_JOIN, errno);
	if (lacks)
		attach_grafts();
	for (i = 0; i < n_fresh; i++)
		freshen(&fresh[i]);
	umask(umask_);
	/* No descriptor is open any more when the working directory is entered: an image could name one. */
	close_rest();
	root = -1;
}

static void join(char *p, char *end)
{
	uint32_t pid1, namespaces;

	pidfd = number(OP_JOIN, &p, end);
	join_lock = number(OP_JOIN, &p, end);
	pid1 = number(OP_JOIN, &p, end);
	namespaces = number(OP_JOIN, &p, end);
	fcntl(pidfd, F_SETFD, FD_CLOEXEC);
	joined = 1;
	leave_behind(OP_JOIN, 0);
	prctl(PR_SET_NAME, "flake-join", 0, 0, 0);
	enter(pid1, namespaces);
}

void do_kept(uint32_t op, char *p, char *end)
{
	switch (op) {
	case OP_AFTER:
		after = program(op, p, end);
		return;
	case OP_AGAIN:
		again = program(op, p, end);
		return;
	case OP_GRAFT:
		add_graft(p, end);
		return;
	case OP_FRESH:
		add_fresh(p, end);
		return;
	case OP_JOIN:
		join(p, end);
		return;
	case OP_SERVE:
		do_serve(p, end);
		return;
	case OP_ATTACH:
		do_attach(p, end);
	}
}
