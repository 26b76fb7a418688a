//go:build ignore

/*
 * What a start in a kept instance has it show beside what it shows already.
 */
#include "ops.h"
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#define MAX_GRAFTS 256

static struct graft {
	uint32_t attrs, flags;
	const char *source, *target;
	int tree;  /* -1: the instance has it */
	int whole; /* with what is grafted below it, or -1 */
	struct stat want;
	int known, read_only;
} grafts[MAX_GRAFTS];

static int n_grafts;

void add_graft(char *p, char *end)
{
	struct graft *g = &grafts[n_grafts];

	if (n_grafts++ >= MAX_GRAFTS)
		die(OP_GRAFT, E2BIG);
	g->attrs = number(OP_GRAFT, &p, end);
	g->flags = number(OP_GRAFT, &p, end);
	g->source = text(OP_GRAFT, &p, end);
	g->target = text(OP_GRAFT, &p, end);
	g->tree = g->whole = -1;
}

/* Whether a graft belongs below another, at the place that it has there on the host as well. */
static int lies_in(const struct graft *g, const struct graft *top)
{
	size_t source = strlen(top->source), target = strlen(top->target);

	return !strncmp(g->source, top->source, source) && !strncmp(g->target, top->target, target) &&
		g->target[target] == '/' && !strcmp(g->source + source, g->target + target);
}

/* Whether a graft is one on the way to what is to be read-only: only as a mount of its own it can't be renamed. */
static int is_way(const struct graft *g)
{
	const struct graft *o;
	int below = 0, above = 0;

	for (o = grafts; o < g && !below; o++)
		below = lies_in(g, o);
	for (o = g + 1; o < grafts + n_grafts && !above; o++)
		above = (o->attrs & ATTR_RDONLY) && lies_in(o, g);
	return below && above;
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

/* Whether the instance shows the very directory or file at that place, with the rights that are wanted. */
static int shows(int inside, const struct graft *g)
{
	int at = g->known ? resolve(inside, relative(g->target), O_PATH, RESOLVE_IN_ROOT) : -1;
	struct stat have;
	struct statvfs fs;
	int same = at >= 0 && fstat(at, &have) == 0 && g->want.st_dev == have.st_dev && g->want.st_ino == have.st_ino &&
		fstatvfs(at, &fs) == 0 && g->read_only == !!(fs.f_flag & ST_RDONLY) &&
		(!is_way(g) || is_mount_point(at));

	if (at >= 0)
		close(at);
	return same;
}

/*
 * Marks what the instance lacks, by tree 0, with all that comes after it and may be hidden by it. Says whether that is
 * any. Only who may enter the instance can look into it.
 */
int grafts_missing(pid_t pid1)
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

/* In the host's mount namespace, or in a copy of it. */
static int take(const struct graft *g)
{
	int tree = syscall(NR_open_tree, AT_FDCWD, g->source,
			   OPEN_TREE_CLONE | O_CLOEXEC | (g->flags & F_RECURSIVE ? AT_RECURSIVE_ : 0));

	if (tree < 0 && errno == ENOENT && (g->flags & F_OPTIONAL))
		return -1;
	if (tree < 0 || detach_events(tree) != 0 || (g->attrs && set_attrs(tree, g->attrs, g->flags & F_RECURSIVE) != 0))
		die_at(OP_GRAFT, errno, "bind", g->source, g->target);
	return tree;
}

/* The index behind the last of those that follow a graft and belong below it. */
static int end_of(int top)
{
	int i = top + 1;

	while (i < n_grafts && lies_in(&grafts[i], &grafts[top]))
		i++;
	return i;
}

/*
 * Puts grafts together where nobody sees it: in the instance, whose processes run, what is to be read-only must not be
 * there for a moment without that. The private copy of the host's mounts goes with this process.
 */
static void compose(int top, int end)
{
	int trees[MAX_GRAFTS], i, at;

	for (i = top; i < end; i++)
		trees[i] = take(&grafts[i]);
	for (i = top; i < end; i++) {
		if (trees[i] < 0)
			continue;
		at = open(grafts[i].source, O_PATH | O_CLOEXEC);
		if (at < 0)
			die_at(OP_GRAFT, errno, "bind", grafts[i].source, grafts[i].target);
		attach(OP_GRAFT, trees[i], at, grafts[i].source, grafts[i].target);
	}
	grafts[top].whole = syscall(NR_open_tree, AT_FDCWD, grafts[top].source, OPEN_TREE_CLONE | O_CLOEXEC | AT_RECURSIVE_);
	if (grafts[top].whole < 0)
		die_at(OP_GRAFT, errno, "bind", grafts[top].source, grafts[top].target);
}

void take_grafts(int private)
{
	int i, end;

	for (i = 0; i < n_grafts; i++)
		if (grafts[i].tree >= 0)
			grafts[i].tree = take(&grafts[i]);
	for (i = 0; i < n_grafts; i = end) {
		end = end_of(i);
		if (end == i + 1 || grafts[i].tree < 0)
			continue;
		if (!private && (syscall(SYS_unshare, CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) != 0))
			die(OP_JOIN, errno);
		private = 1;
		compose(i, end);
	}
}

void attach_grafts(void)
{
	struct graft *g;

	for (g = grafts; g < grafts + n_grafts; g++)
		if (g->tree >= 0 && !shows(root, g))
			attach(OP_GRAFT, g->whole >= 0 ? g->whole : g->tree, find_target(OP_GRAFT, g->target, F_FOLLOW, is_dir(g->tree)),
			       g->source, g->target);
}
