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
#include <sys/statvfs.h>

#define MAX_GRAFTS 256
#define MAX_FRESH 64

static struct graft {
	uint32_t attrs, flags;
	const char *source, *target;
	int tree; /* -1: the instance has it */
	struct stat want;
	int known, read_only;
} grafts[MAX_GRAFTS];

static struct fresh {
	uint32_t mode;
	const char *target, *content;
	size_t size;
} fresh[MAX_FRESH];

static int n_grafts, n_fresh;

static void add_graft(char *p, char *end)
{
	struct graft *g = &grafts[n_grafts];

	if (n_grafts++ >= MAX_GRAFTS)
		die(OP_GRAFT, E2BIG);
	g->attrs = number(OP_GRAFT, &p, end);
	g->flags = number(OP_GRAFT, &p, end);
	g->source = text(OP_GRAFT, &p, end);
	g->target = text(OP_GRAFT, &p, end);
	g->tree = -1;
}

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

/* What the instance has to show for a graft to be done; without an answer it is never. */
static void note_source(struct graft *g)
{
	struct statvfs fs;

	g->known = stat(g->source, &g->want) == 0 && statvfs(g->source, &fs) == 0;
	g->read_only = g->known && ((g->attrs & ATTR_RDONLY) || (fs.f_flag & ST_RDONLY));
}

static int is_mount_point(int fd)
{
	struct { /* statx of linux/stat.h */
		uint32_t mask, blksize;
		uint64_t attributes, ids[2], ino, size, blocks, attributes_mask, rest[24];
	} st;

	return syscall(SYS_statx, fd, "", AT_EMPTY_PATH, 0, &st) == 0 && (st.attributes & st.attributes_mask & ATTR_MOUNT_ROOT);
}

/*
 * Whether the instance shows the very directory or file at that place, with the rights that are wanted. It has to be a
 * mount of its own: what is seen through one above could be renamed.
 */
static int shows(int inside, const struct graft *g)
{
	int at = g->known ? resolve(inside, relative(g->target), O_PATH, RESOLVE_IN_ROOT) : -1;
	struct stat have;
	struct statvfs fs;
	int same = at >= 0 && fstat(at, &have) == 0 && g->want.st_dev == have.st_dev && g->want.st_ino == have.st_ino &&
		fstatvfs(at, &fs) == 0 && g->read_only == !!(fs.f_flag & ST_RDONLY) && is_mount_point(at);

	if (at >= 0)
		close(at);
	return same;
}

/*
 * Marks what the instance lacks, by tree 0, with all that comes after it and may be hidden by it. Says whether that is
 * any. Only who may enter the instance can look into it.
 */
static int missing(pid_t pid1)
{
	char path[40];
	int inside, i, lacks = 0;

	if (n_grafts == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/root", pid1);
	inside = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (i = 0; i < n_grafts; i++) {
		note_source(&grafts[i]);
		lacks = lacks || inside < 0 || !shows(inside, &grafts[i]);
		if (lacks)
			grafts[i].tree = 0;
	}
	close(inside);
	return lacks;
}

/* In the host's mount namespace, or for an ordinary user in a copy of it that he may take from. */
static void take(struct graft *g)
{
	if (g->tree < 0)
		return;
	g->tree = syscall(NR_open_tree, AT_FDCWD, g->source,
			  OPEN_TREE_CLONE | O_CLOEXEC | (g->flags & F_RECURSIVE ? AT_RECURSIVE_ : 0));
	if (g->tree < 0 && errno == ENOENT && (g->flags & F_OPTIONAL))
		return;
	if (g->tree < 0 || detach_events(g->tree) != 0 || (g->attrs && set_attrs(g->tree, g->attrs, g->flags & F_RECURSIVE) != 0))
		die_at(OP_GRAFT, errno, "bind", g->source, g->target);
}

static int is_same(int fd, const struct fresh *f)
{
	static char b[4096];
	size_t at = 0;
	struct stat st;
	ssize_t n;

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

/*
 * The instance gets the host's present version. What can't be written (a root that is read-only, a directory of another
 * user's store) stays as it was: it was good enough for the last start.
 */
static void freshen(const struct fresh *f)
{
	static const char temp[] = ".flake-fresh";
	char dir[4096], *slash;
	int fd = resolve(root, relative(f->target), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW, RESOLVE_IN_ROOT), at, same;

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
	if (!put(openat(at, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, f->mode), f) || renameat(at, temp, at, slash + 1) != 0) {
		unlinkat(at, temp, 0);
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
	int i, lacks = missing(pid1);
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
	for (i = 0; lacks && i < n_grafts; i++)
		take(&grafts[i]);
	enter_ns(namespaces);
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		die(OP_JOIN, errno);
	for (i = 0; lacks && i < n_grafts; i++)
		if (grafts[i].tree >= 0 && !shows(root, &grafts[i]))
			attach(OP_GRAFT, grafts[i].tree, find_target(OP_GRAFT, grafts[i].target, F_FOLLOW, is_dir(grafts[i].tree)),
			       grafts[i].source, grafts[i].target);
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
