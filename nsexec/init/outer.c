//go:build ignore

/*
 * The outer process of the direct engine: what the launcher turns into, with the same pid, so that the caller's shell
 * waits for it. It makes the namespaces, starts PID 1 in them, hands on signals, and ends as the app did. It stays in
 * the caller's mount namespace, session and process group, and keeps the locks on the layers as open descriptors.
 */
#include "ops.h"
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

static int scratch = -1;
static uint32_t id_of[4]; /* uid inside, outside, gid inside, outside */
int join_lock = -1;

void set_scratch(int fd)
{
	scratch = fd;
}

static void write_file(const char *path, const char *data, size_t n)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, data, n) != (ssize_t)n)
		die_at(OP_USERNS, errno, "map the user's id in", path, NULL);
	close(fd);
}

static void write_map(const char *of, const char *map, uint32_t inside, uint32_t outside)
{
	char path[64], b[64];

	snprintf(path, sizeof(path), "/proc/%s/%s", of, map);
	write_file(path, b, snprintf(b, sizeof(b), "%u %u 1\n", inside, outside));
}

static void write_maps(const char *of)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s/setgroups", of);
	write_file(path, "deny", 4);
	write_map(of, "uid_map", id_of[0], id_of[1]);
	write_map(of, "gid_map", id_of[2], id_of[3]);
}

/*
 * One id is all that a user may map without help, and all that is needed. There is no way back out of a user namespace: where
 * the start may yet be taken back PID 1 alone gets into it.
 */
void do_userns(char *p, char *end)
{
	size_t i;

	for (i = 0; i < 4; i++)
		id_of[i] = number(OP_USERNS, &p, end);
	own_userns = OWN_SINGLE;
	if (recheck)
		return;
	if (syscall(SYS_unshare, NEWUSER) != 0)
		die(OP_USERNS, errno);
	write_maps("self");
}

/* The files that hold a process's ids belong to root where it can't be dumped. */
static void give_id(pid_t pid1)
{
	char of[16];

	snprintf(of, sizeof(of), "%d", pid1);
	write_maps(of);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	open_gate(GATE_ID);
}

static void await_id(void)
{
	follow_engine(SIGKILL);
	wait_at_gate(GATE_ID);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

#define MAX_MAPS 340 /* lines that the kernel takes */

/* Runs newuidmap or newgidmap, silently: what it has to say is said by us. */
static int helper(const char *program, pid_t target, const uint32_t *ids, uint32_t n)
{
	static char words[3 * MAX_MAPS + 1][12], *argv[3 * MAX_MAPS + 3];
	uint64_t none = 0;
	uint32_t i;
	int fd, st;
	pid_t pid;

	argv[0] = (char *)program;
	for (i = 0; i <= 3 * n; i++) {
		snprintf(words[i], sizeof(words[i]), "%u", i ? ids[i - 1] : (uint32_t)target);
		argv[i + 1] = words[i];
	}
	argv[i + 1] = NULL;
	pid = fork();
	if (pid == 0) {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
			_exit(127);
		set_mask(&none, NULL);
		execve(program, argv, argv + i + 1);
		_exit(127);
	}
	if (pid < 0)
		return -1;
	while (waitpid(pid, &st, 0) < 0)
		if (errno != EINTR)
			return -1;
	return st == 0 ? 0 : -1;
}

/*
 * More ids than one are given by helpers with the rights to do so. They have to be outside of the namespace that they
 * write to: a child stays behind for that, and we keep our pid. We are root inside then.
 */
void do_range(char *p, char *end)
{
	uint32_t n[2] = {number(OP_RANGE, &p, end), 0}, ids[2][3 * MAX_MAPS], i, k;
	const char *program[2];
	int go[2], st = -1;
	pid_t pid, self = getpid();
	char c = 0;

	n[1] = number(OP_RANGE, &p, end);
	for (k = 0; k < 2; k++) {
		if (n[k] < 1 || n[k] > MAX_MAPS)
			die(OP_RANGE, EPROTO);
		for (i = 0; i < 3 * n[k]; i++)
			ids[k][i] = number(OP_RANGE, &p, end);
	}
	program[0] = text(OP_RANGE, &p, end);
	program[1] = text(OP_RANGE, &p, end);
	own_userns = OWN_RANGE;
	if (pipe2(go, O_CLOEXEC) != 0)
		die(OP_RANGE, errno);
	pid = fork();
	if (pid < 0)
		die(OP_RANGE, errno);
	if (pid == 0) {
		close(go[1]);
		if (read(go[0], &c, 1) != 1)
			_exit(3); /* there is no namespace to map */
		for (k = 0; k < 2; k++)
			if (helper(program[k], self, ids[k], n[k]) != 0)
				_exit(1 + k);
		_exit(0);
	}
	close(go[0]);
	if (syscall(SYS_unshare, NEWUSER) != 0)
		die(OP_USERNS, errno);
	if (write(go[1], &c, 1) != 1)
		die(OP_RANGE, errno);
	close(go[1]);
	while (waitpid(pid, &st, 0) < 0)
		if (errno != EINTR)
			die(OP_RANGE, errno);
	if (st != 0) /* perhaps by what was typed, which is for us as well */
		set_mask(&callers_mask, NULL);
	if (st != 0)
		die_at(OP_RANGE, EPERM, "map the range of ids by", program[WIFEXITED(st) && WEXITSTATUS(st) == 2], NULL);
}

static void empty(int dir, int depth)
{
	DIR *d = fdopendir(dir);
	struct dirent *e;
	int sub;

	if (!d) {
		close(dir);
		return;
	}
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) == 0 || errno != EISDIR || depth == 0)
			continue;
		/* The app may have taken its own rights away. */
		sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0 && fchmodat(dirfd(d), e->d_name, 0700, 0) == 0)
			sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			continue;
		fchmod(sub, 0700);
		empty(sub, depth - 1);
		unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	}
	closedir(d);
}

/*
 * What is left of a writable part on disk. Nobody but us can reach it any more. What can't be removed here (very deep
 * trees) stays for the store's sweep, which takes everything whose lock nobody holds.
 */
static void remove_scratch(void)
{
	char self[64], path[4096];
	ssize_t n;

	if (scratch < 0)
		return;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", scratch);
	n = readlink(self, path, sizeof(path) - 1);
	empty(fcntl(scratch, F_DUPFD_CLOEXEC, 3), 900);
	if (n > 0) {
		path[n] = '\0';
		rmdir(path);
	}
}

/* Without the library, which keeps signals 32 and 33 to itself: glibc's posix_spawn leaves them ignored, make(1) does. */
static void default_action(int sig)
{
	struct { void *handler; unsigned long more[3]; } act = {(void *)SIG_DFL, {0, 0, 0}};

	syscall(SYS_rt_sigaction, sig, &act, NULL, 8);
}

/* End as the app did, so that a shell sees what it would have seen of the app; the core dump was the app's. */
void leave(int status)
{
	struct rlimit none = {0, 0};
	int sig = WTERMSIG(status);

	remove_scratch();
	end_trace();
	give_terminal_back(status);
	run_after();
	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	default_action(sig);
	unblock(sig);
	kill(getpid(), sig);
	_exit(128 + sig);
}

/* Don't keep the caller's pipes open: a reader waits for their end. */
static void leave_stdio(void)
{
	close(0);
	close(1);
	close(2);
	close_preserved();
}

static void watch(pid_t pid1, int pipe, int signals)
{
	struct pollfd p[2] = {{pipe, POLLIN, 0}, {signals, POLLIN, 0}};
	struct signalfd_siginfo info;
	int status = 0, decided = 0, st;
	struct report r;
	ssize_t n;

	for (;;) {
		if (poll(p, 2, -1) < 0)
			continue;
		if ((p[1].revents & POLLIN) && read(signals, &info, sizeof(info)) == sizeof(info))
			relay(pid1, &info);
		if (!p[0].revents)
			continue;
		n = read(pipe, &r, sizeof(r));
		if (n != sizeof(r))
			break;
		if (r.kind == KIND_STARTED && again)
			leave_stdio();
		if (r.kind == KIND_FAILED && again && r.op == OP_AGAIN) {
			if (!instance_ends())
				die(STAGE_FORK, r.value);
			start_again(pid1);
		}
		if (r.kind == KIND_STOPPED) {
			stop(pid1, pipe, r.value);
		} else if (r.kind == KIND_FAILED && !decided) {
			decided = 1;
			status = 125 << 8;
			if (r.op == OP_RUN)
				status = (r.value == ENOENT || r.value == ENOTDIR ? 127 : 126) << 8;
		} else if (r.kind == KIND_ENDED && !decided) {
			decided = 1;
			status = r.value;
		}
	}
	/* The end of the pipe is not yet the end of what was mounted. */
	trace("end of PID 1");
	while (waitpid(pid1, &st, 0) < 0 && errno == EINTR)
		;
	trace("clearing up");
	if (!decided) /* killed before it could report: for want of memory, or from outside */
		status = WIFSIGNALED(st) ? st : 125 << 8;
	leave(status);
}

/* Forks a process into new namespaces, or none, and watches it till the end. Returns in that process only. */
void leave_behind(uint32_t op, unsigned long namespaces)
{
	uint64_t all = ~0ULL;
	int fds[2], signals, alone = recheck && own_userns == OWN_SINGLE;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		die(op, errno);
	signals = syscall(SYS_signalfd4, -1, &all, sizeof(all), O_CLOEXEC | O_NONBLOCK);
	if (signals < 0)
		die(op, errno);
	share_memory(op);
	if (!alone)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	note_terminal();
	if (recheck)
		note_processor();
	/* What came until now, a ^C for example, is for us alone. */
	set_mask(&callers_mask, NULL);
	set_mask(&all, NULL);
	if (alone)
		namespaces |= NEWUSER;
	pid = syscall(SYS_clone, namespaces | SIGCHLD, 0UL, 0UL, 0UL, 0UL);
	if (pid < 0 && errno == ENOSPC)
		die(find_limit(namespaces), ENOSPC);
	if (pid < 0)
		die(alone ? OP_USERNS : op, errno);
	if (pid > 0) {
		close(fds[1]);
		if (alone)
			give_id(pid);
		if (recheck) {
			trace("checks");
			if (!recheck())
				take_back(pid, fds[0], signals);
			open_gate(GATE_CHECKED);
		}
		if (holding)
			guard(pid, fds[0], signals);
		close(join_lock);
		if (after)
			complaints = fcntl(2, F_DUPFD_CLOEXEC, 3);
		if (!again)
			leave_stdio();
		trace("waiting");
		watch(pid, fds[0], signals);
	}
	is_outer = 0;
	if (recheck)
		begin_beside();
	trace_as_pid1("namespaces");
	close(fds[0]);
	close(signals);
	status_fd = fds[1];
	if (alone)
		await_id();
}

/* Returns in PID 1 only. */
void do_clone(char *p, char *end)
{
	uint32_t flags = number(OP_CLONE, &p, end), propagation = number(OP_CLONE, &p, end);

	leave_behind(OP_CLONE, flags);
	host_pids = !(flags & NEWPID);
	prctl(PR_SET_NAME, "flake-init", 0, 0, 0);
	if (syscall(SYS_mount, NULL, "/", NULL, (unsigned long)propagation, NULL) != 0)
		die_at(OP_CLONE, errno, "detach mount namespace", NULL, NULL);
}
