//go:build ignore

/*
 * The root of the container: the writable part, the overlay, and how it becomes /.
 *
 * Nothing is made on the host. What has to be mounted somewhere for a while is mounted over the / of our own mount
 * namespace, where absolute paths do not see it: they start at the root directory below.
 */
#include "ops.h"
#include <stdio.h>
#include <sys/mount.h>
#include <sys/utsname.h>
#include <sys/xattr.h>

#define MAX_LAYERS 500 /* OVL_MAX_STACK */

int root = -1; /* the mounted overlay */
int base = -1; /* directory that holds upper/, work/ and root/ */
static int upper = -1;
static int links = -1; /* the host layer: host files as an overlay of their own, topmost of the lower layers */
static struct upper how;
static int kept; /* the upper may have been used before */
static mode_t callers_umask;

static int fs_string(int fs, const char *key, const char *value)
{
	return syscall(NR_fsconfig, fs, value ? FSCONFIG_SET_STRING_ : FSCONFIG_SET_FLAG_, key, value, 0);
}

static int make(int dir, const char *name, mode_t mode)
{
	int fd;

	if (mkdirat(dir, name, mode) != 0 && errno != EEXIST)
		return -1;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd;
}

/* Mode and owner of the root are those of a layer, in so far as they mean something here. */
static void like_layer(int fd, struct stat st)
{
	/* The owner of a store that is not the caller's has no number here. The caller stands in, who may not write. */
	if (own_userns == OWN_SINGLE && st.st_uid != geteuid())
		st.st_mode &= ~0222;
	else if (own_userns != OWN_SINGLE && (st.st_uid != 0 || st.st_gid != 0) && fchown(fd, st.st_uid, st.st_gid) != 0 && errno != EINVAL)
		die(OP_UPPER, errno);
	if (fchmod(fd, st.st_mode & 07777) != 0)
		die(OP_UPPER, errno);
}

/* The upper of an earlier start is taken as it is; a new one appears whole, whenever a start is cut short. */
static int make_upper(const struct stat *like)
{
	int fd;

	if (!kept) {
		fd = make(base, "upper", 0700);
		if (fd >= 0)
			like_layer(fd, *like);
		return fd;
	}
	fd = openat(base, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 || errno != ENOENT)
		return fd;
	fd = make(base, "upper.new", 0700);
	if (fd < 0)
		return fd;
	like_layer(fd, *like);
	return renameat(base, "upper.new", base, "upper") == 0 ? fd : -1;
}

static void mount_tmpfs(void)
{
	char size[24];
	int fs = syscall(NR_fsopen, "tmpfs", 1);

	if (fs < 0)
		die(OP_UPPER, errno);
	if (how.size) {
		snprintf(size, sizeof(size), "%llu", (unsigned long long)how.size);
		if (fs_string(fs, "size", size) != 0)
			die(OP_UPPER, errno);
	}
	if (fs_string(fs, "mode", "0700") != 0 || syscall(NR_fsconfig, fs, FSCONFIG_CMD_CREATE_, NULL, NULL, 0) != 0)
		die(OP_UPPER, errno);
	base = syscall(NR_fsmount, fs, 1, 0);
	close(fs);
	/* overlayfs takes no layer from a mount that is attached nowhere */
	if (base < 0 || syscall(NR_move_mount, base, "", AT_FDCWD, "/", MOVE_FROM_EMPTY) != 0)
		die(OP_UPPER, errno);
}

/*
 * overlayfs takes only what is mounted in our own mount namespace. The launcher opened it in the host's, and holds the
 * lock on what it opened.
 */
static int reopen(uint32_t op, int fd, const char *path)
{
	int again = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat a, b;

	if (again < 0 || fstat(fd, &a) != 0 || fstat(again, &b) != 0)
		die_at(op, errno, "open", path, NULL);
	if (a.st_dev != b.st_dev || a.st_ino != b.st_ino)
		die_at(op, ESTALE, "open", path, NULL);
	return again;
}

/*
 * Without user.* attributes overlayfs mounts, and then answers EIO when a directory of a layer is removed (tmpfs has
 * them since 6.6).
 */
static void probe_xattr(int work)
{
	if (fsetxattr(work, "user.overlay.probe", "y", 1, 0) != 0)
		die_at(OP_UPPER, errno, "use user attributes in the writable part", NULL, NULL);
	fremovexattr(work, "user.overlay.probe");
}

void do_upper(char *p, char *end)
{
	const char *path;
	struct stat st;
	int work;

	if (end - p < (ssize_t)sizeof(how))
		die(OP_UPPER, EPROTO);
	memcpy(&how, p, sizeof(how));
	p += sizeof(how);
	path = text(OP_UPPER, &p, end);
	callers_umask = umask(0); /* modes are meant as they are given */
	take_hosts(how.hosts);
	if (how.kind == UPPER_KEPT)
		how.kind = UPPER_DISK, kept = 1;
	if (how.kind == UPPER_DISK)
		base = reopen(OP_UPPER, how.scratch, path);
	else
		mount_tmpfs();
	if (fstat(how.like, &st) != 0)
		die(OP_UPPER, errno);
	upper = make_upper(&st);
	work = make(base, "work", 0700);
	if (upper < 0 || work < 0 || (mkdirat(base, "root", 0700) != 0 && !(kept && errno == EEXIST)))
		die(OP_UPPER, errno);
	if (how.kind != UPPER_NONE)
		probe_xattr(work);
	close(work);
}

/* The directory of the upper that holds path's last component; *name is that. It has to be there; -1 in a kept upper. */
static int upper_parent(uint32_t op, char *path, const char **name)
{
	char *slash = strrchr(path, '/');
	int parent;

	*name = slash ? slash + 1 : path;
	if (!slash)
		return upper;
	*slash = '\0';
	parent = resolve(upper, path, O_RDONLY | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	*slash = '/';
	/* In a kept upper the app may have made something else of it since. */
	if (parent < 0 && !(kept && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)))
		die_at(op, errno, "make", path, NULL);
	return parent;
}

static void make_opaque(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fsetxattr(fd, "user.overlay.opaque", "y", 1, 0) != 0)
		die_at(OP_SEED, errno, "hide what images have in", name, NULL);
	close(fd);
}

/* An entry of the upper, which is there before the overlay is; one that is there already stays as it is. */
void do_seed(char *p, char *end)
{
	uint32_t mode = number(OP_SEED, &p, end), uid = number(OP_SEED, &p, end), gid = number(OP_SEED, &p, end);
	uint32_t opaque = number(OP_SEED, &p, end);
	char *path = text(OP_SEED, &p, end), *to = text(OP_SEED, &p, end);
	const char *name;
	int parent = upper_parent(OP_SEED, path, &name), ok;

	if (parent < 0)
		return;
	if (S_ISLNK(mode))
		ok = symlinkat(to, parent, name);
	else if (S_ISREG(mode))
		ok = mknodat(parent, name, mode, 0);
	else
		ok = mkdirat(parent, name, mode & 07777);
	if (ok != 0) {
		if (errno != EEXIST)
			die_at(OP_SEED, errno, "make", path, NULL);
	} else if (uid != ~0u) {
		if (fchownat(parent, name, uid, gid, AT_SYMLINK_NOFOLLOW) != 0 ||
		    (!S_ISLNK(mode) && fchmodat(parent, name, mode & 07777, 0) != 0)) /* a change of owner clears setgid */
			die_at(OP_SEED, errno, "make", path, NULL);
	}
	if (ok == 0 && opaque)
		make_opaque(parent, name);
	if (parent != upper)
		close(parent);
}

#define MAX_COPY (1 << 20) /* bytes of a file that every start copies */

/* The host's files change by being replaced: a copy, unlike a mount, can be replaced by the app as well. */
void do_copy(char *p, char *end)
{
	uint32_t mode = number(OP_COPY, &p, end), uid = number(OP_COPY, &p, end), gid = number(OP_COPY, &p, end);
	char *source = text(OP_COPY, &p, end), *path = text(OP_COPY, &p, end), b[16384];
	int from = openat(AT_FDCWD, source, O_RDONLY | O_NONBLOCK | O_CLOEXEC), to, parent;
	ssize_t n, all = 0;
	const char *name;
	struct stat st;

	if (from < 0 || fstat(from, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > MAX_COPY) {
		close(from);
		return;
	}
	parent = upper_parent(OP_COPY, path, &name);
	if (parent < 0) {
		close(from);
		return;
	}
	to = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (to < 0 && errno != EEXIST)
		die_at(OP_COPY, errno, "make", path, NULL);
	while (to >= 0 && all < MAX_COPY && (n = read(from, b, sizeof(b))) > 0) {
		if (write(to, b, n) != n)
			die_at(OP_COPY, errno, "copy", source, NULL);
		all += n;
		if (n < (ssize_t)sizeof(b) && all >= st.st_size)
			break;
	}
	if (to >= 0 && uid != ~0u && (uid || gid) && fchown(to, uid, gid) != 0)
		die_at(OP_COPY, errno, "make", path, NULL);
	close(to);
	close(from);
	if (parent != upper)
		close(parent);
}

static void fd_path(char *b, size_t n, int fd, const char *name)
{
	snprintf(b, n, "/proc/self/fd/%d%s%s", fd, *name ? "/" : "", name);
}

/* Before 6.5 the kernel finds an option that it does not know only at the end, and complains in its log each time. */
static int takes_layers_singly(void)
{
	unsigned long major, minor;
	struct utsname u;
	char *dot;

	if (uname(&u) != 0)
		return 1;
	major = strtoul(u.release, &dot, 10);
	minor = *dot == '.' ? strtoul(dot + 1, NULL, 10) : 0;
	return major > 6 || (major == 6 && minor >= 7);
}

/* One lowerdir+ for each layer (Linux 6.7). Returns the mount, attached nowhere; *fs is for what the kernel said. */
static int new_overlay(const int32_t *layers, int n, int *fs)
{
	char b[64];
	int i;

	*fs = -1;
	if (!takes_layers_singly()) {
		errno = ENOSYS;
		return -1;
	}
	*fs = syscall(NR_fsopen, "overlay", 1);
	if (*fs < 0 || fs_string(*fs, "source", "overlay") != 0 || fs_string(*fs, "userxattr", NULL) != 0)
		return -1;
	if (how.kind == UPPER_NONE) {
		fd_path(b, sizeof(b), upper, "");
		if (fs_string(*fs, "lowerdir+", b) != 0)
			return -1;
	}
	if (links >= 0) {
		fd_path(b, sizeof(b), links, "");
		if (fs_string(*fs, "lowerdir+", b) != 0)
			return -1;
	}
	for (i = 0; i < n; i++) {
		fd_path(b, sizeof(b), layers[i], "");
		if (fs_string(*fs, "lowerdir+", b) != 0)
			return -1;
	}
	if (how.kind != UPPER_NONE) {
		fd_path(b, sizeof(b), base, "upper");
		if (fs_string(*fs, "upperdir", b) != 0)
			return -1;
		fd_path(b, sizeof(b), base, "work");
		if (fs_string(*fs, "workdir", b) != 0)
			return -1;
	}
	if (syscall(NR_fsconfig, *fs, FSCONFIG_CMD_CREATE_, NULL, NULL, 0) != 0)
		return -1;
	/* No device node of an image may work: /dev is our own. */
	return syscall(NR_fsmount, *fs, 1, ATTR_NODEV);
}

/*
 * The root lies over the host's, as the tmpfs does that it lies in otherwise: paths from "/" on lead below both. In its
 * place on disk it would be among what is mounted below the caller's home, and a bind of that within itself.
 */
static int lay_over_host(void)
{
	return syscall(NR_move_mount, root, "", AT_FDCWD, "/", MOVE_FROM_EMPTY);
}

/* mount(2) (userxattr: Linux 5.11), whose options have to fit into a page. */
static void classic_overlay(const int32_t *layers, int n, int err, int fs)
{
	static char data[16384];
	size_t at = 0, max = sysconf(_SC_PAGESIZE) < (long)sizeof(data) ? sysconf(_SC_PAGESIZE) : (long)sizeof(data);
	char target[64], separator = '=';
	int i, fd;

	at = snprintf(data, sizeof(data), "userxattr,lowerdir");
	for (i = -2; i < n && at < max; i++) {
		fd = i == -2 ? (how.kind == UPPER_NONE ? upper : -1) : i == -1 ? links : layers[i];
		if (fd < 0)
			continue;
		at += snprintf(data + at, sizeof(data) - at, "%c/proc/self/fd/%d", separator, fd);
		separator = ':';
	}
	if (how.kind != UPPER_NONE && at < max)
		at += snprintf(data + at, sizeof(data) - at, ",upperdir=/proc/self/fd/%d/upper,workdir=/proc/self/fd/%d/work", base, base);
	fd_path(target, sizeof(target), base, "root");
	errno = E2BIG;
	if (at >= max || mount("overlay", target, "overlay", MS_NODEV, data) != 0) /* a newer interface's reason says more */
		die_log(OP_OVERLAY, err == ENOSYS ? errno : err, "mount overlay", NULL, fs);
	root = openat(base, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || (how.kind == UPPER_DISK && lay_over_host() != 0))
		die(OP_OVERLAY, errno);
}

/*
 * Host files as one more overlay: a layer with nothing but names, modes and sizes, each of which leads to the file's
 * content in a directory of the host. Redirects are followed here and never in the overlay that holds image layers.
 * Only such data layers may be redirected to (Linux 6.5; with attributes of users 6.16).
 */
void do_links(char *p, char *end)
{
	uint32_t flags = number(OP_LINKS, &p, end), i, n;
	int32_t layer[16];
	char b[64];
	int fs, point;

	layer[0] = number(OP_LINKS, &p, end);
	n = number(OP_LINKS, &p, end);
	if (n < 1 || n >= sizeof(layer) / sizeof(*layer) || base < 0)
		die(OP_LINKS, EPROTO);
	for (i = 1; i <= n; i++)
		layer[i] = number(OP_LINKS, &p, end);
	for (i = 0; i <= n; i++)
		layer[i] = reopen(OP_LINKS, layer[i], text(OP_LINKS, &p, end));
	fs = syscall(NR_fsopen, "overlay", 1);
	if (fs < 0 || fs_string(fs, "source", "overlay") != 0)
		die_log(OP_LINKS, errno, "mount host layer", NULL, fs);
	if (flags & F_TRUSTED ? fs_string(fs, "metacopy", "on") != 0 || fs_string(fs, "redirect_dir", "on") != 0
			      : fs_string(fs, "userxattr", NULL) != 0)
		die_log(OP_LINKS, errno, "mount host layer", NULL, fs);
	for (i = 0; i <= n; i++) {
		fd_path(b, sizeof(b), layer[i], "");
		if (fs_string(fs, i ? "datadir+" : "lowerdir+", b) != 0)
			die_log(OP_LINKS, errno, "mount host layer", NULL, fs);
		close(layer[i]);
	}
	if (syscall(NR_fsconfig, fs, FSCONFIG_CMD_CREATE_, NULL, NULL, 0) != 0)
		die_log(OP_LINKS, errno, "mount host layer", NULL, fs);
	links = syscall(NR_fsmount, fs, 1, ATTR_RDONLY | ATTR_NODEV | ATTR_NOSUID);
	close(fs);
	/* overlayfs takes no layer from a mount that is attached nowhere */
	point = make(base, "links", 0700);
	if (links < 0 || point < 0 || syscall(NR_move_mount, links, "", point, "", MOVE_BOTH_EMPTY) != 0)
		die(OP_LINKS, errno);
	close(point);
}

/* Whether what was mounted works: a kernel may take all options and fail at the first file. */
void do_verify(char *p, char *end)
{
	const char *path = text(OP_VERIFY, &p, end);
	int fd = resolve(root, path, O_RDONLY, RESOLVE_IN_ROOT);
	char c;

	if (fd < 0 || read(fd, &c, 1) < 0)
		die_at(OP_VERIFY, errno, "read", path, NULL);
	report(KIND_ENDED, 0, 0, 0);
	_exit(0);
}

void do_overlay(char *p, char *end)
{
	uint32_t n = number(OP_OVERLAY, &p, end), i;
	int32_t layers[MAX_LAYERS];
	int fs, point, err;

	if (n < 1 || n >= MAX_LAYERS || upper < 0)
		die(OP_OVERLAY, EPROTO);
	for (i = 0; i < n; i++)
		layers[i] = number(OP_OVERLAY, &p, end);
	for (i = 0; i < n; i++)
		layers[i] = reopen(OP_OVERLAY, layers[i], text(OP_OVERLAY, &p, end));
	root = new_overlay(layers, n, &fs);
	if (root < 0) {
		err = errno;
		/* What an older interface could do better. */
		if (err != ENOSYS && err != EINVAL && err != EOPNOTSUPP && err != EPERM && err != ENODEV)
			die_log(OP_OVERLAY, err, "mount overlay", NULL, fs);
		classic_overlay(layers, n, err, fs);
		close(fs);
		return;
	}
	close(fs);
	if (how.kind == UPPER_DISK) {
		if (lay_over_host() != 0)
			die(OP_OVERLAY, errno);
		return;
	}
	point = openat(base, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (point < 0 || syscall(NR_move_mount, root, "", point, "", MOVE_BOTH_EMPTY) != 0)
		die(OP_OVERLAY, errno);
	close(point);
}

/*
 * The host itself is the root: all of it, as it is mounted now, read-only. What has to differ is mounted over it. It is
 * a copy of the mounts, so the host's own stay as they are.
 */
void do_host(char *p, char *end)
{
	const char *path = text(OP_HOST, &p, end);

	if (is_outer || root >= 0)
		die(OP_HOST, EPROTO);
	callers_umask = umask(0);
	root = syscall(NR_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | O_CLOEXEC | AT_RECURSIVE_);
	if (root < 0 || set_attrs(root, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV, 1) != 0)
		die_at(OP_HOST, errno, "show the host read-only:", path, NULL);
	if (lay_over_host() != 0)
		die_at(OP_HOST, errno, "show the host read-only:", path, NULL);
	how.kind = UPPER_DISK; /* no tmpfs lies over the root */
}

/* What was the root, and what is mounted over it, goes away with the old one. No descriptor of the host's is left. */
void do_pivot(char *p, char *end)
{
	uint32_t read_only = number(OP_PIVOT, &p, end);

	if (fchdir(root) != 0 || syscall(SYS_pivot_root, ".", ".") != 0)
		die(OP_PIVOT, errno);
	/* On top of us lies the old root now, and on top of that the tmpfs that was mounted over it. */
	if (how.kind != UPPER_DISK && umount2(".", MNT_DETACH) != 0)
		die(OP_PIVOT, errno);
	if (umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
		die(OP_PIVOT, errno);
	close_rest();
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || (read_only && set_attrs(root, ATTR_RDONLY, 0) != 0))
		die(OP_PIVOT, errno);
	close(root);
	umask(callers_umask);
}
