//go:build ignore

/*
 * The small static program around an app, in three roles:
 *
 *   init BLOB STATUS          PID 1 of a container that libcontainer has set up
 *   FLAKE_STAGE=BLOB, alone   the direct engine: the outer process, which starts PID 1 itself
 *   FLAKE_HOLD=STATUS, alone  PID 1 of a kept instance, once it is set up
 *
 * BLOB and STATUS are descriptor numbers. BLOB is a file with a flat list of operations that are done in their order;
 * the last one runs the app. STATUS is a pipe that gets fixed-size records about its fate. Both formats are those of
 * the Go package in this directory, which is the other end: change them together.
 *
 * Filters are loaded before the app is forked, so that nothing in the container runs without them: the app may have
 * our user id, and could otherwise ptrace its way into an unfiltered process.
 */
#include "ops.h"
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define STAGE "FLAKE_STAGE="

struct header {
	uint32_t magic;
	uint32_t size; /* of the whole blob */
};

struct record {
	uint32_t op;
	uint32_t size; /* of the payload, without the padding to 8 */
};

int status_fd = -1;
uint64_t callers_mask;

/* Raw calls: the C library keeps some real-time signals for itself and would leave them out. */
void set_mask(const uint64_t *set, uint64_t *old)
{
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, set, old, sizeof(uint64_t));
}

/* The next string of a payload. */
char *text(uint32_t op, char **at, char *end)
{
	char *s = *at, *nul = *at < end ? memchr(*at, '\0', end - *at) : NULL;

	if (!nul)
		die(op, EPROTO);
	*at = nul + 1;
	return s;
}

/* The next number of a payload. */
uint32_t number(uint32_t op, char **at, char *end)
{
	uint32_t v;

	if (end - *at < (ssize_t)sizeof(v))
		die(op, EPROTO);
	memcpy(&v, *at, sizeof(v));
	*at += sizeof(v);
	return v;
}

/* A vector of the strings in p[0..size), which ends with a NUL. */
char **vector(uint32_t op, char *p, uint32_t size)
{
	uint32_t n = 0, i;
	char **v;

	if (size > 0 && p[size - 1] != '\0')
		die(op, EPROTO);
	for (i = 0; i < size; i++)
		n += p[i] == '\0';
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		die(op, ENOMEM);
	for (i = 0; i < n; i++) {
		v[i] = p;
		p += strlen(p) + 1;
	}
	return v;
}

void follow_engine(int sig)
{
	struct pollfd p = {status_fd, 0, 0};

	if (host_pids) /* nobody but we would end the app then */
		sig = ORPHANED;
	if (prctl(PR_SET_PDEATHSIG, sig, 0, 0, 0) != 0)
		die(OP_DEATH, errno);
	/* It may have died before: then nobody holds the other end of the pipe. */
	if (poll(&p, 1, 0) > 0 && (p.revents & POLLERR))
		_exit(125);
}

/* Another program takes this one's place, in the user namespace that was made. */
static void become(char *p, char *end, const uint64_t *old_mask)
{
	uint32_t n = number(OP_EXEC, &p, end);
	const char *file = text(OP_EXEC, &p, end);
	char **all = vector(OP_EXEC, p, end - p), **args = calloc(n + 1, sizeof(*args));
	uint32_t i;

	if (!args)
		die(OP_EXEC, ENOMEM);
	for (i = 0; i < n && all[i]; i++)
		args[i] = all[i];
	if (i < n)
		die(OP_EXEC, EPROTO);
	if (child_ignored)
		signal(SIGCHLD, SIG_IGN);
	set_mask(old_mask, NULL);
	execve(file, args, all + n);
	die_at(OP_EXEC, errno, "execute", file, NULL);
}

static void perform(uint32_t op, char *p, uint32_t size, const uint64_t *old_mask)
{
	char *end = p + size;
	int32_t v[3];

	if (__builtin_expect(trace_log != NULL, 0))
		trace_op(op);

	/* Those of the direct engine make no sense elsewhere, where the container is complete when we come. */
	if (op > OP_NAME && op != OP_KEYRING && !speaker)
		die(op, EPROTO);
	switch (op) {
	case OP_STDIO:
		if (size != sizeof(v))
			die(op, EPROTO);
		memcpy(v, p, sizeof(v));
		stdio[0] = v[0], stdio[1] = v[1], stdio[2] = v[2];
		return;
	case OP_DEATH:
		follow_engine(number(op, &p, end));
		return;
	case OP_NO_PRIVS:
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
			die(op, errno);
		return;
	case OP_FILTER:
		load_filter(p, size);
		return;
	case OP_GROUP:
		own_group = 1;
		return;
	case OP_ENV:
		app_env = vector(op, p, size);
		return;
	case OP_RUN:
		place_stdio();
		close_rest();
		run(vector(op, p, size), old_mask);
		return;
	case OP_NAME:
		speaker = text(op, &p, end);
		command = text(op, &p, end);
		return;
	case OP_USERNS:
		do_userns(p, end);
		return;
	case OP_RANGE:
		do_range(p, end);
		return;
	case OP_TRACE:
		do_trace(p, end);
		return;
	case OP_EXEC:
		become(p, end, old_mask);
		return;
	case OP_SCRATCH:
		set_scratch(number(op, &p, end));
		return;
	case OP_CLONE:
		do_clone(p, end);
		return;
	case OP_UPPER:
		do_upper(p, end);
		return;
	case OP_SEED:
		do_seed(p, end);
		return;
	case OP_OVERLAY:
		do_overlay(p, end);
		return;
	case OP_PIVOT:
		do_pivot(p, end);
		return;
	case OP_LINK ... OP_READONLY:
		do_mount(op, p, end);
		return;
	case OP_LINKS:
		do_links(p, end);
		return;
	case OP_VERIFY:
		do_verify(p, end);
		return;
	case OP_COPY:
		do_copy(p, end);
		return;
	case OP_HOST:
		do_host(p, end);
		return;
	case OP_PRESERVE:
		preserve(p, end);
		return;
	case OP_HOSTNAME ... OP_KEYRING:
		do_rights(op, p, end);
		return;
	case OP_HOLD:
		do_hold(p, end);
		return;
	case OP_KEEP:
		keep();
	case OP_AFTER ... OP_ATTACH:
		do_kept(op, p, end);
		return;
	}
	die(op, EPROTO); /* an operation of a younger engine */
}

static int number_of(const char *s)
{
	return s ? atoi(s) : -1;
}

static void __attribute__((noreturn)) perform_all(char *blob, uint64_t size)
{
	uint64_t old_mask = callers_mask, at;
	struct header head;
	struct record rec;

	/* Ignored, it would take the app's status away. */
	child_ignored = signal(SIGCHLD, SIG_DFL) == SIG_IGN;
	memcpy(&head, blob, sizeof(head));
	if (head.magic != MAGIC || head.size != size)
		die(0, EPROTO);
	for (at = sizeof(head); at + sizeof(rec) <= size; at += (rec.size + 7ULL) & ~7ULL) {
		memcpy(&rec, blob + at, sizeof(rec));
		at += sizeof(rec);
		if (rec.size > size - at)
			die(rec.op, EPROTO);
		perform(rec.op, blob + at, rec.size, &old_mask);
	}
	die(0, EPROTO); /* no app */
}

static void hold_signals(void)
{
	uint64_t all = ~0ULL;

	set_mask(&all, &callers_mask);
}

/* The direct engine in a process that was executed as something else; blob is its own to write to. */
void perform_list(char *blob, uint64_t size)
{
	hold_signals();
	is_outer = 1;
	perform_all(blob, size);
}

int main(int argc, char **argv, char **env)
{
	struct stat st;
	uint64_t size;
	char *blob;
	int fd;

	hold_signals();
	if (env[0] && !env[1] && !strncmp(env[0], HOLD, sizeof(HOLD) - 1))
		hold_main(number_of(env[0] + sizeof(HOLD) - 1));
	if (env[0] && !env[1] && !strncmp(env[0], STAGE, sizeof(STAGE) - 1)) {
		is_outer = 1;
		fd = number_of(env[0] + sizeof(STAGE) - 1);
	} else if (argc == 3) {
		fd = number_of(argv[1]);
		status_fd = number_of(argv[2]);
		prctl(PR_SET_NAME, "flake-init", 0, 0, 0);
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	} else {
		_exit(125);
	}
	if (fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof(struct header))
		die(0, EPROTO);
	size = st.st_size;
	blob = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (blob == MAP_FAILED)
		die(0, errno);
	close(fd);
	perform_all(blob, size);
}
