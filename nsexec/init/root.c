//go:build ignore

/*
 * The root of the container: the overlay, and how it becomes /.
 *
 * Nothing is made on the host. Before Linux 6.15 overlayfs takes no layer from a mount that is attached nowhere: what has to
 * be mounted for a while is mounted over the / of our own mount namespace then, where absolute paths do not see it, as they
 * start at the root directory below. From then on the root is put together attached nowhere, which saves the kernel the wait
 * for all its readers when the writable part is taken away from there again.
 */
#include "ops.h"
#include <stdio.h>
#include <sys/mount.h>
#include <sys/utsname.h>

#define MAX_LAYERS 500 /* OVL_MAX_STACK */

int root = -1; /* the mounted overlay */
static int links = -1; /* the host layer: host files as an overlay of their own, topmost of the lower layers */

int fs_string(int fs, const char *key, const char *value)
{
	return syscall(NR_fsconfig, fs, value ? FSCONFIG_SET_STRING_ : FSCONFIG_SET_FLAG_, key, value, 0);
}

/* Whether the kernel is at least that; what can't be read is new. */
int is_kernel(unsigned long major, unsigned long minor)
{
	static unsigned long have[2];
	struct utsname u;
	char *dot;

	if (!have[0]) {
		have[0] = 999;
		if (uname(&u) == 0) {
			have[0] = strtoul(u.release, &dot, 10);
			have[1] = *dot == '.' ? strtoul(dot + 1, NULL, 10) : 0;
		}
	}
	return have[0] > major || (have[0] == major && have[1] >= minor);
}

int make_dir(int dir, const char *name, mode_t mode)
{
	int fd;

	if (mkdirat(dir, name, mode) != 0 && errno != EEXIST)
		return -1;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd;
}

/*
 * overlayfs takes only what is mounted in our own mount namespace. The launcher opened it in the host's, and holds the
 * lock on what it opened.
 */
int reopen(uint32_t op, int fd, const char *path)
{
	int again = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat a, b;

	if (again < 0 || fstat(fd, &a) != 0 || fstat(again, &b) != 0)
		die_at(op, errno, "open", path, NULL);
	if (a.st_dev != b.st_dev || a.st_ino != b.st_ino)
		die_at(op, ESTALE, "open", path, NULL);
	return again;
}

static void fd_path(char *b, size_t n, int fd, const char *name)
{
	snprintf(b, n, "/proc/self/fd/%d%s%s", fd, *name ? "/" : "", name);
}

/* One lowerdir+ for each layer (Linux 6.7). Returns the mount, attached nowhere; *fs is for what the kernel said. */
static int new_overlay(const int32_t *lower, int n, int *fs)
{
	char b[64];
	int i;

	*fs = -1;
	/* Before 6.5 the kernel finds an option that it does not know only at the end, and complains in its log each time. */
	if (!is_kernel(6, 7)) {
		errno = ENOSYS;
		return -1;
	}
	*fs = syscall(NR_fsopen, "overlay", 1);
	if (*fs < 0 || fs_string(*fs, "source", "overlay") != 0 || fs_string(*fs, "userxattr", NULL) != 0)
		return -1;
	for (i = 0; i < n; i++) {
		fd_path(b, sizeof(b), lower[i], "");
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
static void classic_overlay(const int32_t *lower, int n, int err, int fs)
{
	static char data[16384];
	size_t at = 0, max = sysconf(_SC_PAGESIZE) < (long)sizeof(data) ? sysconf(_SC_PAGESIZE) : (long)sizeof(data);
	char target[64];
	int i;

	at = snprintf(data, sizeof(data), "userxattr,lowerdir");
	for (i = 0; i < n && at < max; i++)
		at += snprintf(data + at, sizeof(data) - at, "%c/proc/self/fd/%d", i ? ':' : '=', lower[i]);
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
	if (links < 0)
		die(OP_LINKS, errno);
	if (floating)
		return;
	point = make_dir(base, "links", 0700);
	if (point < 0 || syscall(NR_move_mount, links, "", point, "", MOVE_BOTH_EMPTY) != 0)
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
	uint32_t images = number(OP_OVERLAY, &p, end), own = 0, n, i;
	int32_t lower[MAX_LAYERS + 3]; /* topmost first */
	int fs, point, err;

	if (images < 1 || images >= MAX_LAYERS || upper < 0)
		die(OP_OVERLAY, EPROTO);
	if (how.kind == UPPER_NONE)
		lower[own++] = upper;
	if (hides >= 0)
		lower[own++] = hides;
	if (links >= 0)
		lower[own++] = links;
	n = own + images;
	for (i = own; i < n; i++)
		lower[i] = number(OP_OVERLAY, &p, end);
	for (i = own; i < n; i++)
		lower[i] = reopen(OP_OVERLAY, lower[i], text(OP_OVERLAY, &p, end));
	root = new_overlay(lower, n, &fs);
	if (root < 0) {
		err = errno;
		/* What an older interface could do better. */
		if (floating || (err != ENOSYS && err != EINVAL && err != EOPNOTSUPP && err != EPERM && err != ENODEV))
			die_log(OP_OVERLAY, err, "mount overlay", NULL, fs);
		classic_overlay(lower, n, err, fs);
		close(fs);
		return;
	}
	close(fs);
	if (floating)
		return;
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

	if (floating && lay_over_host() != 0)
		die(OP_PIVOT, errno);
	if (fchdir(root) != 0 || syscall(SYS_pivot_root, ".", ".") != 0)
		die(OP_PIVOT, errno);
	/* On top of us lies the old root now, and on top of that the tmpfs that was mounted over it. */
	if (how.kind != UPPER_DISK && !floating && umount2(".", MNT_DETACH) != 0)
		die(OP_PIVOT, errno);
	if (umount2(".", MNT_DETACH) != 0 || chdir("/") != 0)
		die(OP_PIVOT, errno);
	close_rest();
	forget_directories();
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || (read_only && set_attrs(root, ATTR_RDONLY, 0) != 0))
		die(OP_PIVOT, errno);
	close(root);
	umask(callers_umask);
}
