//go:build ignore

/*
 * An instance that outlives its starts. Three processes make one:
 *
 *   the one that the launcher started   waits until all is ready, and ends
 *   the keeper                          in a session of its own; holds the locks on the layers and the one that says
 *                                       that the instance is alive, and waits for PID 1
 *   PID 1                               of the container; reaps. It has no descriptor of the host's but /dev/null
 *
 * The lock of the living is a POSIX one: it is gone with the keeper, whatever way that ends, and the kernel tells who
 * has it. See nsexec/decisions/0005.
 */
#include "ops.h"
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>

int holding;
static int ready = -1, lock = -1, state = -1;

static int lock_state(short type)
{
	struct flock all = {.l_type = type, .l_whence = SEEK_SET};

	return fcntl(state, F_SETLK, &all);
}

/* Returns in the keeper only. */
void do_hold(char *p, char *end)
{
	int fds[2], st;
	pid_t pid;
	char c;

	lock = number(OP_HOLD, &p, end);
	state = number(OP_HOLD, &p, end);
	if (pipe2(fds, O_CLOEXEC) != 0)
		die(OP_HOLD, errno);
	pid = fork();
	if (pid < 0)
		die(OP_HOLD, errno);
	if (pid > 0) {
		close(fds[1]);
		if (read(fds[0], &c, 1) == 1)
			_exit(0);
		while (waitpid(pid, &st, 0) < 0 && errno == EINTR)
			;
		_exit(125);
	}
	close(fds[0]);
	ready = fds[1];
	holding = 1;
	prctl(PR_SET_NAME, "flake-keeper", 0, 0, 0);
	if (setsid() < 0 || chdir("/") != 0)
		die(OP_HOLD, errno);
	/* Not the lock that keeps others from starting it: that one goes when it is started. */
	if (lock_state(F_WRLCK) != 0)
		die_at(OP_HOLD, errno == EAGAIN ? EBUSY : errno, "lock the instance", NULL, NULL);
}

/* When a process began, in ticks since boot: field 22, counted behind a name that may hold anything. 0: unknown. */
static unsigned long long began(pid_t pid)
{
	char path[32], b[1024], *p;
	int fd, i;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, b, sizeof(b) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	b[n] = '\0';
	p = strrchr(b, ')');
	for (i = 2; p && i < 22; i++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p, NULL, 10) : 0;
}

/* From here on anybody can enter. The record is complete or not there: it is written while others are locked out. */
static void announce(pid_t pid1)
{
	char b[96];
	int n = snprintf(b, sizeof(b), "flake-holder 1\npid %d\nbegan %llu\n", pid1, began(pid1));

	if (pwrite(state, b, n, 0) != n)
		die_at(OP_HOLD, errno, "write the state of the instance", NULL, NULL);
	close(lock);
	if (write(ready, "r", 1) != 1)
		close(ready); /* the launcher was killed, the instance is there */
	close(ready);
	ready = -1;
	dup2(0, 2);
}

/* The end, in an order in which no number of a process is free while the state still names it with a lock. */
static void bury(pid_t pid1, int failed) __attribute__((noreturn));
static void bury(pid_t pid1, int failed)
{
	siginfo_t info;

	while (waitid(P_PID, pid1, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
		;
	lock_state(F_UNLCK);
	while (waitpid(pid1, NULL, 0) < 0 && errno == EINTR)
		;
	if (ready >= 0 && !failed)
		die_at(OP_HOLD, ECHILD, "wait for PID 1 of the instance", NULL, NULL);
	_exit(125);
}

/* The keeper's life. A shutdown ends everybody: no reason to wait for its SIGKILL. */
void guard(pid_t pid1, int pipe, int signals)
{
	struct pollfd p[2] = {{pipe, POLLIN, 0}, {signals, POLLIN, 0}};
	struct signalfd_siginfo info;
	struct report r;
	int failed = 0;

	for (;;) {
		if (poll(p, 2, -1) < 0)
			continue;
		if ((p[1].revents & POLLIN) && read(signals, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGTERM)
			kill(pid1, SIGTERM);
		if (!p[0].revents)
			continue;
		if (read(pipe, &r, sizeof(r)) != sizeof(r))
			break;
		if (r.kind == KIND_FAILED)
			failed = 1;
		else if (r.kind == KIND_STARTED && ready >= 0)
			announce(pid1);
	}
	bury(pid1, failed);
}

/*
 * PID 1 becomes a program that has its memory in the container's user namespace: who owns that may enter the instance,
 * and the app, which can have the same id, may still not look into it. Nothing of the start is left in memory, either.
 */
void keep(void)
{
	static char *argv[] = {"flake-init", NULL}, *env[] = {HOLD "3", NULL};

	close_rest();
	fcntl(3, F_SETFD, 0);
	fcntl(2, F_SETFD, FD_CLOEXEC);
	execve("/proc/self/exe", argv, env);
	die_at(OP_KEEP, errno, "stay in the container", NULL, NULL);
}

/* Politely at first: who is still there after two seconds is killed by the kernel. */
static void shut_down(void)
{
	struct timespec pause = {0, 20000000};
	int i;

	kill(-1, SIGTERM);
	kill(-1, SIGCONT);
	for (i = 0; i < 100 && kill(-1, 0) == 0; i++) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		nanosleep(&pause, NULL);
	}
	_exit(0);
}

void hold_main(int fd)
{
	siginfo_t info;
	int sig;

	status_fd = fd;
	prctl(PR_SET_NAME, "flake-init", 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	dup2(0, 2);
	follow_engine(SIGKILL);
	report(KIND_STARTED, 0, 0, 0);
	for (;;) {
		sig = next_signal(&info);
		if (sig == SIGCHLD)
			while (waitpid(-1, NULL, WNOHANG) > 0)
				;
		else if (sig == SIGTERM && info.si_pid == 0)
			shut_down();
	}
}
