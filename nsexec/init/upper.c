//go:build ignore

/* The writable part of the root, and what is in it before the overlay is mounted. */
#include "ops.h"
#include <stdio.h>
#include <sys/xattr.h>

int base = -1; /* directory that holds upper/, work/ and root/ */
int upper = -1;
int hides = -1; /* layer of whiteouts below an upper that is a layer itself and holds no attributes */
struct upper how;
int floating; /* the writable part and what lies on it are attached nowhere */
mode_t callers_umask;
static int kept; /* the upper may have been used before */

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
		fd = make_dir(base, "upper", 0700);
		if (fd >= 0)
			like_layer(fd, *like);
		return fd;
	}
	fd = openat(base, "upper", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 || errno != ENOENT)
		return fd;
	fd = make_dir(base, "upper.new", 0700);
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
	floating = is_kernel(6, 15);
	if (base < 0 || (!floating && syscall(NR_move_mount, base, "", AT_FDCWD, "/", MOVE_FROM_EMPTY) != 0))
		die(OP_UPPER, errno);
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
	work = make_dir(base, "work", 0700);
	if (upper < 0 || work < 0 || (!floating && mkdirat(base, "root", 0700) != 0 && !(kept && errno == EEXIST)))
		die(OP_UPPER, errno);
	if (how.kind != UPPER_NONE && (how.kind == UPPER_DISK || !is_kernel(6, 6)))
		probe_xattr(work);
	close(work);
}

/*
 * The directory of the upper that holds path's last component; *name is that. It has to be there; -1 in a kept upper. It
 * stays ours: what is made in one directory comes together, and nothing but us makes anything here.
 */
static int upper_parent(uint32_t op, char *path, const char **name)
{
	char *slash = strrchr(path, '/');
	static char known[256];
	static int parent = -1;

	*name = slash ? slash + 1 : path;
	if (!slash)
		return upper;
	*slash = '\0';
	if (parent < 0 || strcmp(known, path)) {
		if (parent >= 0)
			close(parent);
		parent = resolve(upper, path, O_RDONLY | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
		*known = '\0';
		if (strlen(path) < sizeof(known))
			strcpy(known, path);
	}
	*slash = '/';
	/* In a kept upper the app may have made something else of it since. */
	if (parent < 0 && !(kept && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)))
		die_at(op, errno, "make", path, NULL);
	return parent;
}

/* Hides by a whiteout, in a layer below the upper. */
static int whiteout(char *path)
{
	char *slash;
	int ok;

	if (hides < 0)
		hides = make_dir(base, "hides", 0700);
	if (hides < 0)
		return -1;
	for (slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		ok = mkdirat(hides, path, 0700);
		*slash = '/';
		if (ok != 0 && errno != EEXIST)
			return -1;
	}
	return mknodat(hides, path, S_IFCHR, 0);
}

/* An upper that is written to has attributes, see probe_xattr; one that is a layer may lie on a tmpfs without (before 6.6). */
static void make_opaque(int parent, const char *name, char *path)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), ok = -1;

	if (fd >= 0) {
		ok = fsetxattr(fd, "user.overlay.opaque", "y", 1, 0);
		if (ok != 0 && errno == EOPNOTSUPP && how.kind == UPPER_NONE)
			ok = whiteout(path);
	}
	if (ok != 0)
		die_at(OP_SEED, errno, "hide what images have in", path, NULL);
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
		make_opaque(parent, name, path);
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
}
