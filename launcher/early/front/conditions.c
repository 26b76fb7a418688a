/* Whether all is as it was when the plan was compiled. See launcher.load, plan.Fresh and caller.Before. */
#include "front.h"
#include <sys/file.h>
#include <sys/utsname.h>

extern char flake_build[] __attribute__((weak)); /* its address is the number: see the Makefile */
const uintptr_t own_build = (uintptr_t)flake_build;

/* root, and what he may do here: see rootfs.Privileged and plan.Confined. */
static int mighty(void)
{
	struct {
		uint32_t version;
		int pid;
	} head = {0x20080522, 0};
	struct {
		uint32_t effective, permitted, inheritable;
	} data[2];

	return privileged() && syscall(SYS_capget, &head, data) == 0 && data[0].effective >> 21 & 1; /* CAP_SYS_ADMIN */
}

static int is_for_us(struct start *s)
{
	struct part p = s->only[REC_IF];
	struct utsname u;
	uint32_t uid, gid;

	if (take64(&p) != own_build)
		return 0;
	uid = take32(&p);
	gid = take32(&p);
	s->flags = take32(&p);
	if (uid != geteuid() || gid != getegid() || uname(&u) != 0 || strcmp(take_text(&p), u.release))
		return 0;
	s->speaker = take_text(&p);
	return !(s->flags & IF_ROOT) == !mighty();
}

static int holds(struct part p)
{
	uint64_t absent = take64(&p), dev = take64(&p), ino = take64(&p), size = take64(&p), mtime = take64(&p), ctime = take64(&p);
	uint64_t dir = take64(&p);
	struct stat st;

	if (stat(take_text(&p), &st) != 0)
		return absent;
	if (absent || dev != st.st_dev || ino != st.st_ino || mtime != st.st_mtim.tv_sec * 1000000000ULL + st.st_mtim.tv_nsec || !S_ISDIR(st.st_mode) != !dir)
		return 0;
	return dir || (size == (uint64_t)st.st_size && ctime == st.st_ctim.tv_sec * 1000000000ULL + st.st_ctim.tv_nsec);
}

/* A source leads where it did, by a path without symlinks, or is still missing. */
static int leads(struct part p)
{
	const char *path = take_text(&p), *real = take_text(&p);
	struct stat a, b;
	int fd, ok;

	if (!*real)
		return stat(path, &a) != 0 && (errno == ENOENT || errno == ENOTDIR);
	fd = resolve(AT_FDCWD, real, O_PATH, RESOLVE_NO_SYMLINKS);
	if (fd < 0)
		return 0;
	ok = !strcmp(path, real) || (fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino);
	close(fd);
	return ok;
}

static int is_protected_as_before(struct part p)
{
	uint32_t there = take32(&p);
	struct stat st;

	return (lstat(take_text(&p), &st) == 0) == there;
}

static int is_named_so(struct part p)
{
	uint64_t dev = take64(&p), ino = take64(&p);
	struct stat st;

	take64(&p);
	return lstat(take_text(&p), &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

/* Whether a directory that something protected lies in has another name here: see caller.aliases. */
static int is_alias(const struct start *s, const char *path)
{
	uint64_t dev, ino, ours;
	char *at = NULL;
	struct stat st;
	struct part p;

	if (lstat(path, &st) != 0)
		return 1;
	while (next_record(s, REC_NAMED, &at, &p)) {
		dev = take64(&p);
		ino = take64(&p);
		ours = take64(&p);
		if (ours && dev == st.st_dev && ino == st.st_ino && strcmp(take_text(&p), path))
			return 1;
	}
	return 0;
}

/* The same for a directory and those above it. */
static int is_below_alias(const struct start *s, const char *dir)
{
	char b[sizeof(s->cwd)], *slash;

	for (strcpy(b, dir); *b; *slash = '\0') {
		if (is_alias(s, b))
			return 1;
		slash = strrchr(b, '/');
	}
	return 0;
}

static int same_variable(struct part p)
{
	uint32_t set = take32(&p);
	const char *name = take_text(&p), *value = getenv(name);

	return value ? set && !strcmp(value, take_text(&p)) : !set;
}

int meets_conditions(struct start *s)
{
	struct part p;
	char *at = NULL;
	uint32_t kind;

	while ((kind = next_record(s, 0, &at, &p)))
		if (kind <= REC_LAST)
			s->only[kind] = p;
	if (!is_for_us(s))
		return 0;
	for (at = NULL; (kind = next_record(s, 0, &at, &p));)
		switch (kind) {
		case REC_VAR:
			if (!same_variable(p))
				return 0;
			break;
		case REC_CHECK:
			if (!holds(p))
				return 0;
			break;
		case REC_SOURCE:
			if (!leads(p))
				return 0;
			break;
		case REC_NAMED:
			if (!is_named_so(p))
				return 0;
			break;
		case REC_PROTECT:
			if (!is_protected_as_before(p))
				return 0;
			break;
		}
	return 1;
}

/* See overlay.OpenLayers: a layer that is locked for good can be used as long as it is in its place. */
static int open_dir(const char *path, uint32_t layer, int number)
{
	int fd = open(path, (layer ? O_RDONLY : O_PATH) | O_DIRECTORY | O_CLOEXEC), ok;
	struct stat a, b;

	if (fd < 0)
		return 0;
	ok = dup3(fd, number, O_CLOEXEC) == number;
	close(fd);
	if (!ok || !layer)
		return ok;
	while (flock(number, LOCK_SH | LOCK_NB) != 0)
		if (errno != EINTR) {
			if (errno != EWOULDBLOCK)
				return 0;
			break;
		}
	return fstat(number, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int open_dirs_of(struct start *s)
{
	char *at = NULL;
	struct part p;
	uint32_t layer;
	int n = 0;

	while (next_record(s, REC_OPEN, &at, &p)) {
		layer = take32(&p);
		if (n < MAX_DIRS && open_dir(take_text(&p), layer, FIRST_FD + n++))
			continue;
		while (n-- > 0)
			close(FIRST_FD + n);
		return 0;
	}
	return n > 0;
}

static int is_owned(const struct start *s, const char *path)
{
	struct part p = s->only[REC_OWNED];

	while (p.size)
		if (within(path, take_text(&p)))
			return 1;
	return 0;
}

/* Whether the binds show a directory under its own name: the last one that covers it counts. */
static int is_shown(const struct start *s, const char *dir)
{
	const char *source, *target;
	char *at = NULL;
	struct part p;
	int shown = 0;

	while (next_record(s, REC_BIND, &at, &p)) {
		source = take_text(&p);
		target = take_text(&p);
		if (within(dir, target))
			shown = !strcmp(source, target);
	}
	return shown;
}

/* Whether it can be shown by one more bind, and changes nothing for the others. */
static int is_apart(const struct start *s, const char *dir)
{
	char *at = NULL;
	struct part p;

	while (next_record(s, REC_BIND, &at, &p)) {
		take_text(&p);
		if (within(take_text(&p), dir))
			return 0;
	}
	for (at = NULL; next_record(s, REC_PROTECT, &at, &p);) {
		take32(&p);
		if (within(dir, take_text(&p)))
			return 0;
	}
	return 1;
}

/* Where the app starts, if that is where the caller is: see caller.At. */
int find_directory(struct start *s)
{
	const char *pwd = getenv("PWD");
	struct stat st, named;

	if (!(s->flags & IF_SHARE))
		return 1;
	if (syscall(SYS_getcwd, s->cwd, sizeof(s->cwd)) < 0 || s->cwd[0] != '/' || stat(".", &st) != 0)
		return 0;
	if (!strcmp(s->cwd, "/"))
		return s->plain_cwd = 1;
	/* Another name of it, by symlinks that would have to be made. */
	if (pwd && strcmp(pwd, s->cwd) && *pwd == '/' && stat(pwd, &named) == 0 && named.st_dev == st.st_dev && named.st_ino == st.st_ino)
		return 0;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	if (!is_shown(s, s->cwd)) {
		if (is_owned(s, s->cwd))
			return s->plain_cwd = 1;
		s->bind_cwd = 1;
		if ((s->flags & IF_FIXED) || !is_apart(s, s->cwd))
			return 0;
	}
	return !is_below_alias(s, s->cwd);
}
