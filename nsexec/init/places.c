//go:build ignore

/*
 * Where something is mounted or made: a place is looked up below the root and never outside, an image may hold any symlink.
 */
#include "ops.h"

struct mount_attr {
	uint64_t set, clear, propagation, userns;
};

struct open_how {
	uint64_t flags, mode, resolve;
};

static int parent = -1; /* see find_parent */

int resolve(int dir, const char *path, int flags, uint64_t rules)
{
	struct open_how h = {flags | O_CLOEXEC, 0, rules | RESOLVE_NO_MAGICLINKS};
	int fd, tries = 64;

	do /* EAGAIN: something was mounted or renamed somewhere meanwhile */
		fd = syscall(NR_openat2, dir, path, &h, sizeof(h));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN) && --tries);
	return fd;
}

int set_attrs(int fd, uint64_t attrs, int recursive)
{
	struct mount_attr a = {attrs, 0, 0, 0};

	if (attrs & 0x70) /* one of the atime flags replaces another */
		a.clear = 0x70;
	return syscall(NR_mount_setattr, fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE_ : 0), &a, sizeof(a));
}

/* What is mounted at the source later may show; what is mounted on the clone must not get out. */
int detach_events(int fd)
{
	struct mount_attr a = {0, 0, 1UL << 19 /* MS_SLAVE */, 0};

	return syscall(NR_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE_, &a, sizeof(a));
}

int clone_tree(int dir, const char *path, int recursive)
{
	return syscall(NR_open_tree, dir, path,
		       OPEN_TREE_CLONE | O_CLOEXEC | AT_SYMLINK_NOFOLLOW | (*path ? 0 : AT_EMPTY_PATH) | (recursive ? AT_RECURSIVE_ : 0));
}

const char *relative(const char *path)
{
	while (*path == '/')
		path++;
	return *path ? path : ".";
}

uint64_t rules(int flags)
{
	return flags & F_FOLLOW ? RESOLVE_IN_ROOT : RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
}

/* A directory of the root, made with those above it if missing. */
static int open_dirs(char *path, int flags)
{
	int fd = resolve(root, path, O_PATH | O_DIRECTORY, rules(flags)), above = root;
	char *slash;

	if (fd >= 0 || errno != ENOENT)
		return fd;
	slash = strrchr(path, '/');
	if (slash) {
		*slash = '\0';
		above = open_dirs(path, flags);
		*slash = '/';
		if (above < 0)
			return -1;
	}
	fd = mkdirat(above, slash ? slash + 1 : path, 0755);
	if (above != root)
		close(above);
	return fd == 0 ? resolve(root, path, O_PATH | O_DIRECTORY, rules(flags)) : -1;
}

/*
 * The directory that holds path's last component, made if missing; *name is that component. It stays ours: what is made in
 * one directory comes together, and it is looked up once. A mount makes us forget it.
 */
int find_parent(uint32_t op, const char *path, int flags, const char **name)
{
	static char known[256];
	static int with;
	char b[4096] = ".", *slash;

	path = relative(path);
	*name = path;
	if (strchr(path, '/')) {
		if (strlen(path) >= sizeof(b))
			die_at(op, ENAMETOOLONG, "find", path, NULL);
		strcpy(b, path);
		slash = strrchr(b, '/');
		*slash = '\0';
		*name = path + (slash - b) + 1;
	}
	if (parent >= 0 && with == flags && !strcmp(known, b))
		return parent;
	if (parent >= 0)
		close(parent);
	parent = open_dirs(b, flags);
	if (parent < 0)
		die_at(op, errno, "find", path, NULL);
	with = flags;
	if (strlen(b) < sizeof(known))
		strcpy(known, b);
	else
		*known = '\0';
	return parent;
}

int find_target(uint32_t op, const char *path, int flags, int as_dir)
{
	int fd = resolve(root, relative(path), O_PATH, rules(flags)), dir, ok;
	const char *name;

	if (fd >= 0)
		return fd;
	if (errno != ENOENT)
		die_at(op, errno, "find mount point", path, NULL);
	dir = find_parent(op, path, flags, &name);
	ok = as_dir ? mkdirat(dir, name, 0755) : mknodat(dir, name, S_IFREG | 0644, 0);
	if (ok != 0)
		die_at(op, errno, "make mount point", path, NULL);
	fd = resolve(root, relative(path), O_PATH, rules(flags));
	if (fd < 0)
		die_at(op, errno, "find mount point", path, NULL);
	return fd;
}

void attach(uint32_t op, int tree, int target, const char *a, const char *b)
{
	if (syscall(NR_move_mount, tree, "", target, "", MOVE_BOTH_EMPTY) != 0)
		die_at(op, errno, "mount", a, b);
	close(tree);
	close(target);
	if (parent >= 0)
		close(parent);
	parent = -1;
}

void forget_parent(void)
{
	parent = -1;
}

int is_dir(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}
