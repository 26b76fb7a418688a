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
int join_lock = -1;

void set_scratch(int fd)
{
	scratch = fd;
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
	if (alone)
		namespaces |= NEWUSER;
	pid = clone_hearing_keys(namespaces);
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
		if (join_lock >= 0)
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
