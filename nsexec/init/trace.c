//go:build ignore

/*
 * The phases of a start, for who asks: FLAKE_TRACE=1 for lines on stderr, FLAKE_TRACE=FILE for the trace format of Chrome
 * and Perfetto. All processes of a start note in memory that they share when they begin something; the outer process
 * tells at the end. Not asked, it costs the look at a pointer.
 */
#include "ops.h"
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#define MAX_MARKS 600

struct trace_log {
	uint32_t n;
	struct mark {
		uint64_t ns;
		uint32_t who, count;
		char name[48];
	} mark[MAX_MARKS];
};

struct trace_log *trace_log;
static uint32_t self; /* 0: the outer process, 1: PID 1, 2: the app */
static int out = -1, as_json;
static uint64_t origin;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/*
 * where: "1", or an absolute path of a file. began: when the launcher did, 0 for now. Returns 0 if there can't be a trace,
 * with errno. What an older trace has written stays until there is another one to write.
 */
int start_trace(const char *where, uint64_t began)
{
	void *log;

	as_json = strcmp(where, "1") != 0;
	/* The caller's stderr is let go of while the app runs. */
	out = as_json ? open(where, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0644) : fcntl(2, F_DUPFD_CLOEXEC, 3);
	if (out < 0)
		return 0;
	log = mmap(NULL, sizeof(*trace_log), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (log == MAP_FAILED) {
		close(out);
		return 0;
	}
	trace_log = log;
	origin = began ? began : now();
	return 1;
}

static void trace_at(uint64_t ns, uint32_t who, const char *name)
{
	static struct mark *last; /* of this process */
	struct mark *m;
	uint32_t n;

	if (!trace_log)
		return;
	/* Thousands of host files are one phase. */
	if (last && last->who == who && !strcmp(last->name, name)) {
		last->count++;
		return;
	}
	n = __atomic_fetch_add(&trace_log->n, 1, __ATOMIC_RELAXED);
	if (n >= MAX_MARKS)
		return;
	m = &trace_log->mark[n];
	m->ns = ns;
	m->who = who;
	m->count = 1;
	snprintf(m->name, sizeof(m->name), "%s", name);
	last = m;
}

void trace_now(const char *name)
{
	trace_at(now(), self, name);
}

/* What the launcher's Go part has done. */
void do_trace(char *p, char *end)
{
	uint32_t n = number(OP_TRACE, &p, end), i;
	uint64_t at[64];
	const char *where;

	if (n >= sizeof(at) / sizeof(*at) || end - p < (ssize_t)((n + 1) * sizeof(*at)))
		die(OP_TRACE, EPROTO);
	memcpy(at, p, (n + 1) * sizeof(*at));
	p += (n + 1) * sizeof(*at);
	where = text(OP_TRACE, &p, end);
	if (!start_trace(where, at[0]))
		die_at(OP_TRACE, errno, as_json ? "write the trace to" : "write the trace to standard error", as_json ? where : NULL, NULL);
	for (i = 1; i <= n; i++)
		trace_at(at[i], self, text(OP_TRACE, &p, end));
}

/* What follows is PID 1's. */
void trace_as_pid1(const char *name)
{
	self = 1;
	trace(name);
}

/* By the app, which has PID 1's memory until it is another program, or by PID 1 for it. */
void trace_app(const char *name)
{
	if (trace_log)
		trace_at(now(), 2, name);
}

static const struct {
	uint32_t op;
	const char *name;
} names[] = {
	{OP_USERNS, "user namespace"}, {OP_RANGE, "range of ids"}, {OP_CLONE, "namespaces"}, {OP_UPPER, "writable part"},
	{OP_SEED, "writable part"}, {OP_COPY, "copies of host files"}, {OP_LINKS, "host layer"}, {OP_OVERLAY, "overlay"},
	{OP_LINK, "host files"}, {OP_MOUNT, "mounts"}, {OP_BIND, "binds"}, {OP_NODE, "devices"}, {OP_SYMLINK, "devices"},
	{OP_MASK, "masks"}, {OP_READONLY, "read-only paths"}, {OP_PIVOT, "change of root"}, {OP_FILTER, "seccomp filters"},
	{OP_CAPS, "rights"}, {OP_IDS, "rights"}, {OP_RUN, "fork of the app"}, {OP_JOIN, "entering the instance"},
};

void trace_op(uint32_t op)
{
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i].op == op)
			trace_now(names[i].name);
}

/* Somebody else does it. */
void stop_trace(void)
{
	if (!trace_log)
		return;
	close(out);
	munmap(trace_log, sizeof(*trace_log));
	trace_log = NULL;
}

static void say(const char *format, ...)
{
	char b[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(b, sizeof(b), format, args);
	va_end(args);
	if (n > 0 && write(out, b, (size_t)n < sizeof(b) ? (size_t)n : sizeof(b) - 1) < 0)
		as_json = as_json; /* who does not read it does not want it */
}

/* Several of the same in a row are one. Marks of several processes are in the order of their times but for races. */
static uint32_t merge(void)
{
	uint32_t n = trace_log->n < MAX_MARKS ? trace_log->n : MAX_MARKS, i, k, to = 0;
	struct mark *m = trace_log->mark, moved, *last[3] = {NULL, NULL, NULL};

	for (i = 1; i < n; i++)
		for (k = i; k && m[k].ns < m[k - 1].ns; k--)
			moved = m[k], m[k] = m[k - 1], m[k - 1] = moved;
	for (i = 0; i < n; i++)
		if (last[m[i].who] && !strcmp(m[i].name, last[m[i].who]->name))
			last[m[i].who]->count++;
		else
			m[to] = m[i], last[m[i].who] = &m[to], to++;
	return to;
}

/*
 * A phase lasts until the same process begins the next; its last one until the process around it has noted its end, which
 * is the last thing that this one notes.
 */
static uint64_t end_of(uint32_t i, uint32_t n, uint64_t end)
{
	struct mark *m = trace_log->mark, *around = NULL;
	uint32_t k;

	for (k = i + 1; k < n; k++)
		if (m[k].who == m[i].who)
			return m[k].ns;
		else if (m[k].who + 1 == m[i].who)
			around = &m[k];
	return around ? around->ns : end;
}

#define US(ns) (unsigned long long)(ns) / 1000
#define US_REST(ns) (unsigned long long)(ns) % 1000

static void say_event(const struct mark *m, uint64_t until)
{
	say(",\n{\"name\":\"%s\",\"ph\":\"X\",\"pid\":%d,\"tid\":%u,\"ts\":%llu.%03llu,\"dur\":%llu.%03llu,\"args\":{\"count\":%u}}", m->name,
	    getpid(), m->who, US(m->ns - origin), US_REST(m->ns - origin), US(until - m->ns), US_REST(until - m->ns), m->count);
}

void end_trace(void)
{
	static const char *who[] = {"outside", "PID 1", "app"};
	uint64_t until, end = now();
	struct mark *m;
	uint32_t n, i;

	if (!trace_log)
		return;
	n = merge();
	if (as_json && ftruncate(out, 0) == 0) /* what is no regular file has nothing to take away */
		errno = 0;
	if (as_json)
		say("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
	for (i = 0; as_json && i < sizeof(who) / sizeof(*who); i++)
		say("%s\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":%u,\"args\":{\"name\":\"%s\"}}", i ? "," : "", getpid(), i, who[i]);
	for (i = 0; i < n; i++) {
		m = &trace_log->mark[i];
		until = end_of(i, n, end);
		if (as_json)
			say_event(m, until);
		else
			say("%8llu us %+8lld us  %-8s %s\n", US(m->ns - origin), (long long)(until - m->ns) / 1000, who[m->who], m->name);
	}
	if (as_json)
		say("\n]}\n");
	else
		say("%8llu us              end\n", US(end - origin));
	close(out);
}
