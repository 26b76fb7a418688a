/* Where a start's plan lies, and whether it may be used. See rootfs.CheckRoot, plan.Load and launcher.load. */
#include "front.h"
#include <stdio.h>

/* As plan.EarlySum: of eight bytes at a time, for a section may be long. */
static uint32_t checksum(const char *p, size_t n)
{
	uint64_t h = n, w;

	for (; n >= sizeof(w); p += sizeof(w), n -= sizeof(w)) {
		memcpy(&w, p, sizeof(w));
		h = (h ^ w) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 32;
	}
	return n ? 0 : h;
}

uint32_t fnv32(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 16777619u;
	return h;
}

/* As the Go package's path.Clean leaves it, and absolute. */
int is_clean(const char *path)
{
	const char *p;

	if (path[0] != '/' || !path[1])
		return 0;
	for (p = path; *p; p++) {
		if (*p != '/')
			continue;
		if (p[1] == '/' || !p[1] || (p[1] == '.' && (p[2] == '/' || !p[2] || (p[2] == '.' && (p[3] == '/' || !p[3])))))
			return 0;
	}
	return 1;
}

/* A root who can give files to other users: not in a user namespace that has but one id. */
int privileged(void)
{
	unsigned long inside, outside, size, all = 0;
	char b[4096], *p = b;
	int fd, used;
	ssize_t n;

	if (geteuid() != 0)
		return 0;
	fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 1;
	n = read(fd, b, sizeof(b) - 1);
	close(fd);
	b[n > 0 ? n : 0] = '\0';
	while (sscanf(p, "%lu %lu %lu%n", &inside, &outside, &size, &used) == 3)
		all += size, p += used;
	return all > 1;
}

/* The caller's store: see rootfs.DefaultRoot. */
static int store_path(char *b, size_t size)
{
	const char *root = getenv("FLAKES_ROOT"), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	size_t n;

	if (root && *root)
		n = snprintf(b, size, "%s", root);
	else if (privileged())
		n = snprintf(b, size, "/var/lib/flakes");
	else if (data && *data == '/')
		n = snprintf(b, size, "%s/flakes", data);
	else if (home && *home == '/')
		n = snprintf(b, size, "%s/.local/share/flakes", home);
	else
		return 0;
	return n < size && is_clean(b);
}

/* Whether nobody but the caller and root could exchange what lies there. For root that counts for what is above as well. */
static int is_safe(int fd, char *path)
{
	uid_t self = geteuid();
	struct stat st;
	char *p;
	int ok;

	if (fstat(fd, &st) != 0 || (st.st_uid != 0 && st.st_uid != self) || (st.st_mode & 022))
		return 0;
	if (self != 0)
		return 1;
	for (p = path; p; p = strchr(p + 1, '/')) {
		*p = '\0';
		ok = lstat(p == path ? "/" : path, &st) == 0 && st.st_uid == 0 && (!(st.st_mode & 022) || (st.st_mode & S_ISVTX));
		*p = '/';
		if (!ok)
			return 0;
	}
	return 1;
}

static uint32_t le32(const unsigned char *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The part of the plan that is for us. */
static int read_section(int fd, struct start *s)
{
	unsigned char head[32];
	struct stat st;
	uint32_t at;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & 022) || (st.st_uid != 0 && st.st_uid != geteuid()))
		return 0;
	if (pread(fd, head, sizeof(head), 0) != sizeof(head) || memcmp(head, "FLAKEPLN\10\0\0\0", 12))
		return 0;
	at = le32(head + 20);
	s->size = le32(head + 24);
	if (s->size == 0 || s->size > MAX_SECTION || (uint64_t)at + s->size != (uint64_t)st.st_size)
		return 0;
	s->section = malloc(s->size);
	return s->section && pread(fd, s->section, s->size, at) == (ssize_t)s->size &&
	       checksum(s->section, s->size) == le32(head + 28);
}

int find_plan(struct start *s, const char *name)
{
	char path[4096], file[512];
	int root, fd, ok;

	if (!store_path(path, sizeof(path)) || (size_t)snprintf(file, sizeof(file), "plans/%s", name) >= sizeof(file))
		return 0;
	root = resolve(AT_FDCWD, path, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	if (root < 0)
		return 0;
	fd = is_safe(root, path) ? resolve(root, file, O_RDONLY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) : -1;
	ok = fd >= 0 && read_section(fd, s);
	close(fd);
	close(root);
	return ok;
}
