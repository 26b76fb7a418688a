/* The list of operations, as nsexec.Direct would write it. See plan.Argv and plan.Environ. */
#include "front.h"

static void put(struct list *l, const void *p, size_t n)
{
	if (l->bad || n > l->room - l->n) {
		l->bad = 1;
		return;
	}
	memcpy(l->p + l->n, p, n);
	l->n += n;
}

static void put_text(struct list *l, const char *s)
{
	put(l, s, strlen(s) + 1);
}

/* An operation's head; end_op fills in its size. */
static size_t begin_op(struct list *l, uint32_t op)
{
	uint32_t head[2] = {op, 0};

	put(l, head, sizeof(head));
	return l->n;
}

static void end_op(struct list *l, size_t begun)
{
	uint32_t size = l->n - begun;

	if (l->bad)
		return;
	memcpy(l->p + begun - 4, &size, 4);
	put(l, "\0\0\0\0\0\0\0", -l->n & 7);
}

static void put_part(struct list *l, struct part p)
{
	put(l, p.p, p.size);
}

/* As strconv.Quote, for what needs no escapes. */
static int put_quoted(struct list *l, const char *s)
{
	const char *p;

	for (p = s; *p; p++)
		if (*p < ' ' || *p > '~' || *p == '"' || *p == '\\')
			return 0;
	put(l, "\"", 1);
	put(l, s, strlen(s));
	put(l, "\"", 2);
	return 1;
}

static size_t name_length(const char *kv)
{
	const char *e = strchr(kv, '=');

	return e ? (size_t)(e - kv) : strlen(kv);
}

static int same_name(const char *a, const char *b, size_t n)
{
	return !strncmp(a, b, n) && b[n] == '=';
}

/* A pattern is a name, with one * or none. */
static int matches(const struct words *patterns, const char *name, size_t n)
{
	const char *pat, *star;
	size_t before, after;
	uint32_t i;

	for (i = 0; i < patterns->n; i++) {
		pat = patterns->v[i];
		if (*pat != *name && *pat != '*')
			continue;
		star = strchr(pat, '*');
		before = star ? (size_t)(star - pat) : strlen(pat);
		after = star ? strlen(star + 1) : 0;
		if ((star ? n >= before + after : n == before) && !strncmp(name, pat, before) && !memcmp(name + n - after, star ? star + 1 : "", after))
			return 1;
	}
	return 0;
}

/* Sets a variable in its place, or behind the others. */
static void set(struct words *env, const char *kv)
{
	size_t n = name_length(kv);
	uint32_t i;

	for (i = 0; i < env->n; i++)
		if (same_name(kv, env->v[i], n))
			break;
	env->v[i] = kv;
	env->n += i == env->n;
}

static int is_taken(const struct words *env, uint32_t n, const char *kv, size_t len)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (same_name(kv, env->v[i], len))
			return 1;
	return 0;
}

static int write_environment(struct start *s, struct list *l)
{
	static char pwd[sizeof(s->cwd) + 4] = "PWD=";
	struct words own, pass, deny, more, env = {0};
	uint32_t callers = 0, i, k;
	const char *value;
	size_t n, op;

	while (environ[callers])
		callers++;
	if (callers > MAX_WORDS || !strings(s->only[REC_ENV], &own) || !strings(s->only[REC_PASS], &pass) ||
	    !strings(s->only[REC_DENY], &deny) || !strings(s->only[REC_SET], &more))
		return 0;
	env.v = calloc(own.n + callers + more.n + s->given.n + 1, sizeof(*env.v));
	if (!env.v)
		return 0;
	memcpy(env.v, own.v, own.n * sizeof(*own.v));
	env.n = own.n;
	for (i = 0; i < callers; i++) {
		n = name_length(environ[i]);
		if (!n || !environ[i][n] || is_taken(&own, own.n, environ[i], n) || !matches(&pass, environ[i], n) || matches(&deny, environ[i], n))
			continue;
		for (k = 0; k < i; k++) /* getenv(3) takes the first */
			if (environ[k][0] == environ[i][0] && same_name(environ[i], environ[k], n))
				break;
		if (k == i)
			env.v[env.n++] = environ[i];
	}
	if (s->cwd[0])
		set(&env, strcat(pwd, s->cwd));
	for (i = 0; i < more.n; i++)
		set(&env, more.v[i]);
	for (i = 0; i < s->given.n; i++) {
		value = s->given.v[i];
		if (!strchr(value, '=')) {
			for (k = 0; k < callers && !same_name(value, environ[k], strlen(value)); k++)
				;
			value = environ[k];
		}
		if (value)
			set(&env, value);
	}
	op = begin_op(l, OP_ENV);
	for (i = 0; i < env.n; i++)
		put_text(l, env.v[i]);
	end_op(l, op);
	return 1;
}

static int command_of(struct start *s, struct words *out)
{
	struct words before, instead;
	uint32_t i;

	if (s->replace) {
		*out = s->args;
		return 1;
	}
	if (!strings(s->only[REC_COMMAND], &before) || !strings(s->only[REC_DEFAULT], &instead))
		return 0;
	if (s->args.n)
		instead = s->args;
	out->n = before.n + instead.n;
	out->v = calloc(out->n + 1, sizeof(*out->v));
	if (!out->v)
		return 0;
	memcpy(out->v, before.v, before.n * sizeof(*out->v));
	for (i = 0; i < instead.n; i++)
		out->v[before.n + i] = instead.v[i];
	return 1;
}

static void write_cwd(struct start *s, struct list *l)
{
	uint32_t make = 0;
	size_t op;

	if (!s->cwd[0]) {
		put_part(l, s->only[REC_CWD]);
		return;
	}
	if (!strcmp(s->cwd, "/"))
		return;
	op = begin_op(l, OP_CWD);
	put(l, &make, sizeof(make));
	put(l, s->plain_cwd ? &(uint64_t){0} : &s->dev, 8);
	put(l, s->plain_cwd ? &(uint64_t){0} : &s->ino, 8);
	put_text(l, s->cwd);
	put_text(l, s->plain_cwd ? "" : s->cwd);
	end_op(l, op);
}

static void put_share(struct start *s, struct list *l, const char *path, size_t n, uint32_t read_only)
{
	struct part share = s->only[REC_SHARE];
	uint32_t attrs = take32(&share) | read_only, flags = take32(&share);
	size_t op = begin_op(l, OP_BIND);
	int i;

	put(l, &attrs, sizeof(attrs));
	put(l, &flags, sizeof(flags));
	for (i = 0; i < 2; i++) {
		put(l, path, n);
		put(l, "", 1);
	}
	end_op(l, op);
}

/* What is protected below the caller's directory stays so, and can't be moved away from there: see caller.protect. */
static void share_directory(struct start *s, struct list *l)
{
	struct part p, done[64];
	size_t begin = strlen(s->cwd), n, i, known = 0;
	const char *path;
	char *at = NULL;
	uint32_t there;

	put_share(s, l, s->cwd, begin, 0);
	while (next_record(s, REC_PROTECT, &at, &p)) {
		there = take32(&p);
		path = take_text(&p);
		if (!there || !within(path, s->cwd))
			continue;
		for (n = begin + 1; n <= strlen(path); n++) {
			if (path[n] && path[n] != '/')
				continue;
			for (i = 0; i < known; i++)
				if (done[i].size == n && !memcmp(done[i].p, path, n))
					break;
			if (i < known)
				continue;
			if (known == sizeof(done) / sizeof(*done)) {
				l->bad = 1;
				return;
			}
			done[known++] = (struct part){(char *)path, n};
			put_share(s, l, path, n, path[n] ? 0 : ATTR_RDONLY);
		}
	}
}

static size_t bytes(char *const *v)
{
	size_t n = 0;

	for (; *v; v++)
		n += strlen(*v) + 1;
	return n;
}

int write_list(struct start *s, struct list *l)
{
	struct words command;
	uint32_t head[2] = {MAGIC, 0}, i;
	size_t op;

	if (!command_of(s, &command) || !command.n || !command.v[0][0])
		return 0;
	l->room = s->size + bytes(environ) + 65536;
	for (i = 0; i < command.n; i++)
		l->room += strlen(command.v[i]) + 1;
	for (i = 0; i < s->given.n; i++)
		l->room += strlen(s->given.v[i]) + 1;
	l->p = malloc(l->room);
	if (!l->p)
		return 0;
	put(l, head, sizeof(head));
	op = begin_op(l, OP_NAME);
	put_text(l, s->speaker);
	if (!put_quoted(l, command.v[0]))
		return 0;
	end_op(l, op);
	put_part(l, s->only[REC_HEAD]);
	put_part(l, s->only[REC_BINDS]);
	if (s->bind_cwd)
		share_directory(s, l);
	put_part(l, s->only[REC_RIGHTS]);
	write_cwd(s, l);
	put_part(l, s->only[REC_ID]);
	if (!write_environment(s, l))
		return 0;
	op = begin_op(l, OP_RUN);
	for (i = 0; i < command.n; i++)
		put_text(l, command.v[i]);
	end_op(l, op);
	head[1] = l->n;
	memcpy(l->p, head, sizeof(head));
	return !l->bad;
}
