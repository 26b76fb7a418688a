/* The directories of a start: layers, and where its caller is. See overlay.OpenLayers and caller.At. */
#include "front.h"
#include <sys/file.h>

static int opened;

/* See overlay.OpenLayers: a layer that is locked for good can be used as long as it is in its place. */
static int open_dir(const char *path, uint32_t layer, int number)
{
	int fd = open(path, (layer ? O_RDONLY : O_PATH) | O_DIRECTORY | O_CLOEXEC), ok;
	struct stat a, b;

	if (fd < 0)
		return 0;
	/* What the caller has open there stays: it may be a lock that he holds as long as the app runs. */
	ok = fcntl(number, F_GETFD) < 0 && dup3(fd, number, O_CLOEXEC) == number;
	close(fd);
	if (!ok)
		return 0;
	opened++;
	if (!layer)
		return 1;
	while (flock(number, LOCK_SH | LOCK_NB) != 0)
		if (errno != EINTR) {
			if (errno != EWOULDBLOCK)
				return 0;
			break;
		}
	return fstat(number, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

void close_dirs(void)
{
	while (opened > 0)
		close(FIRST_FD + --opened);
}

int open_dirs_of(struct start *s)
{
	char *at = NULL;
	struct part p;
	uint32_t layer;

	while (next_record(s, REC_OPEN, &at, &p)) {
		layer = take32(&p);
		if (opened < MAX_DIRS && open_dir(take_text(&p), layer, FIRST_FD + opened))
			continue;
		close_dirs();
		return 0;
	}
	return opened > 0;
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
