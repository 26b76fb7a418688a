/* Whether all is as it was when the plan was compiled. See launcher.load, plan.Fresh and caller.Before. */
#include "front.h"
#include <stdio.h>
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

/*
 * A source leads where it did, by a path without symlinks, or is still missing. Another name of the same file or directory
 * is not the same: its mount may be read-only, or have others below it, and what is protected is told by its path.
 */
static int leads(struct part p)
{
	const char *path = take_text(&p), *real = take_text(&p);
	char self[32], now[4096];
	struct stat st;
	ssize_t n;
	int fd;

	if (!*real)
		return stat(path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR);
	if (!strcmp(path, real)) {
		fd = resolve(AT_FDCWD, real, O_PATH, RESOLVE_NO_SYMLINKS);
		if (fd >= 0)
			close(fd);
		return fd >= 0;
	}
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return 0;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	n = readlink(self, now, sizeof(now));
	close(fd);
	return n == (ssize_t)strlen(real) && !memcmp(now, real, n);
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

static int same_variable(struct part p)
{
	uint32_t set = take32(&p);
	const char *name = take_text(&p), *value = getenv(name);

	return value ? set && !strcmp(value, take_text(&p)) : !set;
}

/*
 * The first ones, of settings and registrations, are done before anything else in any case: PID 1 makes mount points in
 * directories that are shared.
 */
int checks_hold(const struct start *s, int from, int to)
{
	char *at = NULL;
	struct part p;
	int n = 0;

	while (next_record(s, REC_CHECK, &at, &p)) {
		if (n++ < from)
			continue;
		if (n > to)
			break;
		if (!holds(p))
			return 0;
		if (from && n == from + MANY_CHECKS / 2)
			stay_out_of_way();
	}
	return 1;
}

int meets_conditions(struct start *s)
{
	struct part p;
	char *at = NULL;
	uint32_t kind, checks = 0;

	while ((kind = next_record(s, 0, &at, &p)))
		if (kind <= REC_LAST) {
			s->only[kind] = p;
			checks += kind == REC_CHECK;
		}
	s->late = checks > MANY_CHECKS;
	if (!is_for_us(s) || !checks_hold(s, 0, s->late ? FIRST_CHECKS : MAX_SECTION))
		return 0;
	for (at = NULL; (kind = next_record(s, 0, &at, &p));)
		switch (kind) {
		case REC_VAR:
			if (!same_variable(p))
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
