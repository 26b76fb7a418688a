/*
 * What the files of the launcher's early part share. The Go package above writes what is read here, and has the same
 * numbers.
 */
#ifndef FRONT_H
#define FRONT_H

#include "../../../nsexec/init/ops.h"

enum { FIRST_FD = 40, MAX_DIRS = 200, MAX_WORDS = 4096, MAX_SECTION = 4 << 20, MANY_CHECKS = 64, FIRST_CHECKS = 8 };

enum record_kind {
	REC_IF = 1, REC_VAR, REC_CHECK, REC_OPEN, REC_BIND, REC_SOURCE, REC_PROTECT, REC_ENV, REC_PASS, REC_DENY, REC_SET, REC_COMMAND,
	REC_DEFAULT, REC_OWNED, REC_HEAD, REC_BINDS, REC_RIGHTS, REC_CWD, REC_ID, REC_SHARE, REC_WORDS, REC_NAMED, REC_LAST = REC_NAMED,
};

enum { IF_USER = 1, IF_SHARE = 2, IF_FIXED = 4, IF_ROOT = 8 };

/* A record's payload. */
struct part {
	char *p;
	uint32_t size;
};

/* A list of strings. */
struct words {
	const char **v;
	uint32_t n;
};

/* What is started: the record of a plan, and the caller's words. */
struct start {
	char *section;
	uint32_t size;
	struct part only[REC_LAST + 1]; /* the last record of each kind */
	uint32_t flags;
	const char *speaker;

	struct words args;    /* of the caller, for the app */
	struct words given;   /* of an ad-hoc start: K=V, or K */
	struct words compile; /* the words that an ad-hoc start is found by */
	int replace;          /* args stand for the plan's command */

	char cwd[4096]; /* the caller's directory, if it is shared; "" else */
	uint64_t dev, ino;
	int late;      /* there are so many checks that they are for when PID 1 is at work */
	int plain_cwd; /* cwd is the image's directory of that name */
	int bind_cwd;  /* cwd has to be shown */
};

/* A list of operations that grows. */
struct list {
	char *p;
	size_t n, room;
	int bad;
};

void refuse_inside(void);

/* These return 0 where the start is not for us; nothing has happened then that counts. */
int find_plan(struct start *s, const char *name);
int meets_conditions(struct start *s);
int open_dirs_of(struct start *s);
void close_dirs(void);
int find_directory(struct start *s);
int checks_hold(const struct start *s, int from, int to);
int write_list(struct start *s, struct list *l);

/* Walking over records: the next of that kind behind *at, which is NULL at first. */
int next_record(const struct start *s, uint32_t kind, char **at, struct part *out);
int strings(struct part p, struct words *out);
const char *take_text(struct part *p);
uint64_t take64(struct part *p);
uint32_t take32(struct part *p);
int within(const char *path, const char *dir);
int is_clean(const char *path);
int privileged(void);
uint32_t fnv32(const char *s);

extern char **environ;

#endif
