//go:build ignore

/*
 * What is mounted in the root. A mount is made with its flags while nobody can see it, then moved to its target.
 */
#include "ops.h"
#include <sys/sysmacros.h>

static int sys_is_hosts;   /* /sys is the host's, for want of rights to mount one */
static int empty_dir = -1; /* mount that covers directories */
static int null = -1;      /* the device that covers files */

/* All descriptors are closed where the root changes. */
void forget_directories(void)
{
	null = empty_dir = -1;
	forget_parent();
}

/* The host's root with all that is mounted there, while nothing of ours is. */
static int hosts[8], n_hosts;

void take_hosts(uint32_t n)
{
	for (; n > 0; n--) {
		if (n_hosts >= (int)(sizeof(hosts) / sizeof(*hosts)))
			die(OP_BIND, E2BIG);
		hosts[n_hosts] = syscall(NR_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | O_CLOEXEC | AT_RECURSIVE_);
		if (hosts[n_hosts++] < 0)
			die_at(OP_BIND, errno, "bind", "/", NULL);
	}
}

static void bind(uint32_t op, const char *source, const char *path, uint32_t attrs, int flags)
{
	int tree = n_hosts > 0 && !strcmp(source, "/") ? hosts[--n_hosts] :
		syscall(NR_open_tree, AT_FDCWD, source,
			OPEN_TREE_CLONE | O_CLOEXEC | (flags & F_RECURSIVE ? AT_RECURSIVE_ : 0));

	if (tree < 0 || (attrs && set_attrs(tree, attrs, flags & F_RECURSIVE) != 0))
		die_at(op, errno, "bind", source, path);
	attach(op, tree, find_target(op, path, flags, is_dir(tree)), source, path);
}

static void link_host(char *p, char *end)
{
	uint32_t kind = number(OP_LINK, &p, end), flags = number(OP_LINK, &p, end);
	const char *source = text(OP_LINK, &p, end), *path = text(OP_LINK, &p, end);
	struct stat st;
	int file, tree, target;

	/* Neither end through a symlink: the planner resolved them and judged the outcome. */
	file = resolve(AT_FDCWD, source, O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS);
	if (file < 0 || fstat(file, &st) != 0)
		die_at(OP_LINK, errno, "link host file", source, NULL);
	if ((S_ISDIR(st.st_mode) ? LINK_DIR : S_ISREG(st.st_mode) ? LINK_FILE : S_ISSOCK(st.st_mode) ? LINK_SOCKET : 99) != kind)
		die_at(OP_LINK, ESTALE, "link host file", source, NULL);
	tree = clone_tree(file, "", flags & F_RECURSIVE);
	if (tree < 0 || set_attrs(tree, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV, flags & F_RECURSIVE) != 0)
		die_at(OP_LINK, errno, "link host file", source, NULL);
	close(file);
	target = resolve(root, relative(path), O_PATH, rules(0));
	if (target < 0)
		die_at(OP_LINK, errno, "find mount point", path, NULL);
	attach(OP_LINK, tree, target, source, path);
}

/* Makes a file system and sets its options, "key=value,key", perhaps without a group; -1 with errno. */
static int try_fs(const char *type, const char *source, const char *options, uint32_t attrs, int group, int *fs)
{
	char b[4096], *key, *value, *next;

	if (strlen(options) >= sizeof(b)) {
		errno = E2BIG;
		return -1;
	}
	strcpy(b, options);

	*fs = syscall(NR_fsopen, type, 1);
	if (*fs < 0 || syscall(NR_fsconfig, *fs, FSCONFIG_SET_STRING_, "source", source, 0) != 0)
		return -1;
	for (key = b; *key; key = next) {
		next = strchrnul(key, ',');
		if (*next)
			*next++ = '\0';
		value = strchr(key, '=');
		if (value)
			*value++ = '\0';
		if (!group && !strcmp(key, "gid"))
			continue;
		if (syscall(NR_fsconfig, *fs, value ? FSCONFIG_SET_STRING_ : FSCONFIG_SET_FLAG_, key, value, 0) != 0)
			return -1;
	}
	if (syscall(NR_fsconfig, *fs, FSCONFIG_CMD_CREATE_, NULL, NULL, 0) != 0)
		return -1;
	return syscall(NR_fsmount, *fs, 1, attrs);
}

/* With a single id mapped, the group of terminals has no number; some kernels say so only in the end. */
static int make_fs(const char *type, const char *source, const char *options, uint32_t attrs, int *fs)
{
	int tree = try_fs(type, source, options, attrs, 1, fs);

	if (tree >= 0 || errno != EINVAL || !strstr(options, "gid="))
		return tree;
	close(*fs);
	return try_fs(type, source, options, attrs, 0, fs);
}

static void mount_fs(char *p, char *end)
{
	uint32_t attrs = number(OP_MOUNT, &p, end), flags = number(OP_MOUNT, &p, end);
	char *type = text(OP_MOUNT, &p, end), *source = text(OP_MOUNT, &p, end);
	char *path = text(OP_MOUNT, &p, end), *options = text(OP_MOUNT, &p, end);
	int fs = -1, tree = -1;

	if (flags & F_HOST)
		errno = EPERM;
	else
		tree = make_fs(type, source, options, attrs, &fs);
	/* In a container of root's the only whole one is read-only, and so must be ours: see nsexec/decisions/0003. */
	if (tree < 0 && errno == EPERM && !strcmp(type, "proc") && !(attrs & ATTR_RDONLY)) {
		close(fs);
		tree = make_fs(type, source, options, attrs | ATTR_RDONLY, &fs);
	}
	/* They belong to whoever owns the network, the ipc or the pid namespace. */
	if (tree < 0 && errno == EPERM && (!strcmp(type, "sysfs") || !strcmp(type, "mqueue") || (host_pids && !strcmp(type, "proc")))) {
		if (fs >= 0)
			close(fs);
		sys_is_hosts |= *type == 's';
		if (*type != 'm' || access(path, F_OK) == 0) /* a host does without queues */
			bind(OP_MOUNT, path, path, attrs, F_RECURSIVE);
		return;
	}
	if (tree < 0)
		die_log(OP_MOUNT, errno, "mount", path, fs);
	close(fs);
	attach(OP_MOUNT, tree, find_target(OP_MOUNT, path, flags, 1), type, path);
}

static void make_node(char *p, char *end)
{
	uint32_t mode = number(OP_NODE, &p, end), major_ = number(OP_NODE, &p, end), minor_ = number(OP_NODE, &p, end);
	uint32_t uid = number(OP_NODE, &p, end), gid = number(OP_NODE, &p, end), flags = number(OP_NODE, &p, end);
	const char *path = text(OP_NODE, &p, end), *name;
	int dir;

	if (!(flags & F_HOST)) {
		dir = find_parent(OP_NODE, path, 0, &name);
		if (mknodat(dir, name, mode, makedev(major_, minor_)) == 0) {
			if ((uid || gid) && fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
				die_at(OP_NODE, errno, "make device", path, NULL);
			return;
		}
		if (errno != EPERM)
			die_at(OP_NODE, errno, "make device", path, NULL);
	}
	bind(OP_NODE, path, path, ATTR_NOSUID | ATTR_NOEXEC, 0);
}

static void make_symlink(char *p, char *end)
{
	const char *to = text(OP_SYMLINK, &p, end), *path = text(OP_SYMLINK, &p, end), *name;
	int dir = find_parent(OP_SYMLINK, path, 0, &name);

	if (symlinkat(to, dir, name) != 0 && errno != EEXIST)
		die_at(OP_SYMLINK, errno, "make symlink", path, NULL);
}

/* What is not there needs no cover. */
static void mask(char *p, char *end)
{
	uint32_t flags = number(OP_MASK, &p, end);
	const char *path = text(OP_MASK, &p, end);
	int target, tree, fs;
	char smallest[] = "size=4k,nr_inodes=1";

	if ((flags & F_SYS) && !sys_is_hosts)
		return;
	target = resolve(root, relative(path), O_PATH, RESOLVE_IN_ROOT);
	if (target < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return;
		die_at(OP_MASK, errno, "cover", path, NULL);
	}
	if (!is_dir(target)) {
		/* Looked up below the root like all else: /dev may be a symlink of the image's. */
		if (null < 0)
			null = resolve(root, "dev/null", O_PATH, RESOLVE_IN_ROOT);
		tree = null < 0 ? -1 : clone_tree(null, "", 0);
	} else if (empty_dir < 0) {
		tree = make_fs("tmpfs", "tmpfs", smallest, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC, &fs);
		if (tree >= 0)
			close(fs), empty_dir = fcntl(tree, F_DUPFD_CLOEXEC, 3);
	} else {
		tree = clone_tree(empty_dir, "", 0);
	}
	if (tree < 0)
		die_at(OP_MASK, errno, "cover", path, NULL);
	attach(OP_MASK, tree, target, path, NULL);
}

static void read_only(char *p, char *end)
{
	const char *path = text(OP_READONLY, &p, end);
	int target = resolve(root, relative(path), O_PATH, RESOLVE_IN_ROOT), tree;

	if (target < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return;
		die_at(OP_READONLY, errno, "protect", path, NULL);
	}
	tree = clone_tree(target, "", 1);
	if (tree < 0 || set_attrs(tree, ATTR_RDONLY, 1) != 0)
		die_at(OP_READONLY, errno, "protect", path, NULL);
	attach(OP_READONLY, tree, target, path, NULL);
}

void do_mount(uint32_t op, char *p, char *end)
{
	uint32_t attrs, flags;
	const char *source;

	if (root < 0)
		die(op, EPROTO);
	switch (op) {
	case OP_LINK:
		link_host(p, end);
		return;
	case OP_MOUNT:
		mount_fs(p, end);
		return;
	case OP_BIND:
		attrs = number(op, &p, end);
		flags = number(op, &p, end);
		source = text(op, &p, end);
		bind(op, source, text(op, &p, end), attrs, flags);
		return;
	case OP_NODE:
		make_node(p, end);
		return;
	case OP_SYMLINK:
		make_symlink(p, end);
		return;
	case OP_MASK:
		mask(p, end);
		return;
	case OP_READONLY:
		read_only(p, end);
		return;
	}
}
