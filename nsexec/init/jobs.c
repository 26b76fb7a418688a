//go:build ignore

/* The outer process as a job of the caller's shell: signals, stops, and the terminal. */
#include "ops.h"
#include <poll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>

#ifndef F_SETSIG
#define F_SETSIG 10
#endif

void unblock(int sig)
{
	uint64_t one = 1ULL << (sig - 1);

	syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &one, NULL, sizeof(one));
}

static int terminal = -1; /* the caller's, where it is one and we are in front */
static struct termios modes;

void note_terminal(void)
{
	int fd;

	for (fd = 0; fd < 3 && terminal < 0; fd++)
		if (tcgetattr(fd, &modes) == 0) {
			if (tcgetpgrp(fd) != getpgrp())
				return;
			terminal = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		}
}

/*
 * A command that makes groups of its own gives the terminal back when it ends, and sets its modes back; one that was
 * killed does neither, and not every shell does it in its place. If somebody else has come to the front meanwhile, it is
 * his.
 */
void give_terminal_back(int status)
{
	pid_t front = terminal < 0 ? -1 : tcgetpgrp(terminal);

	if (front <= 0)
		return;
	if (front != getpgrp() && kill(-front, 0) != 0 && errno == ESRCH && tcsetpgrp(terminal, getpgrp()) == 0)
		front = getpgrp();
	if (front == getpgrp() && WIFSIGNALED(status))
		tcsetattr(terminal, TCSANOW, &modes);
}

static uint32_t stops; /* of the app, that we know of */

struct shared *shared; /* by the outer process and PID 1 */

/* Before PID 1 is there. */
void share_memory(uint32_t op)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die(op, errno);
}

/* Hand PID 1 a signal for the app, or 0: see ask(). */
static void carry(pid_t pid1, int sig)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = CARRIER;
	info.si_code = SI_QUEUE;
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_int = CARRIED(sig, stops);
	syscall(SYS_rt_sigqueueinfo, pid1, CARRIER, &info);
}

/*
 * What a terminal sends goes to its whole foreground group: the app has got it already. But when it goes away only the
 * leader of its session is told, and that may be us. Other signals of the kernel (a timer that was set before we were
 * executed) and everything that somebody sends are for the app.
 */
void relay(pid_t pid1, const struct signalfd_siginfo *in)
{
	int sig = in->ssi_signo;

	if (sig == SIGCHLD || in->ssi_code > SI_KERNEL)
		return;
	if (in->ssi_code > 0 && in->ssi_code < SI_KERNEL)
		return; /* our own wake-up, see stop() */
	if (in->ssi_code == SI_KERNEL)
		switch (sig) {
		case SIGHUP: case SIGCONT:
			if (getsid(0) == getpid())
				break;
			return;
		case SIGINT: case SIGQUIT: case SIGTSTP: case SIGTTIN: case SIGTTOU: case SIGWINCH:
			__atomic_fetch_or(&shared->typed, 1u << sig, __ATOMIC_RELAXED);
			return;
		}
	carry(pid1, sig);
}

/*
 * Have PID 1 report what there is to report, and be through with it. The app may have been continued since its stop was
 * reported, for example by a shell which saw us stop by the terminal's own signal. And the kernel raises the signal that
 * wakes us in stop() behind the write to the pipe: the very report of a stop must not do it.
 */
static void ask(pid_t pid1, int pipe)
{
	struct pollfd p = {pipe, 0, 0};
	uint32_t before = __atomic_load_n(&shared->answers, __ATOMIC_ACQUIRE);

	carry(pid1, 0);
	while (__atomic_load_n(&shared->answers, __ATOMIC_ACQUIRE) == before && poll(&p, 1, 0) == 0)
		nanosleep(&(struct timespec){0, 50000}, NULL);
}

/*
 * The app was stopped: stop as well, and so the caller's shell sees a stopped job. Should the app be continued or
 * killed meanwhile by somebody who does not know of us, the pipe wakes us.
 */
void stop(pid_t pid1, int pipe, int sig)
{
	struct pollfd p = {pipe, POLLIN, 0};
	uint64_t all = ~0ULL;

	stops++;
	ask(pid1, pipe);
	fcntl(pipe, F_SETOWN, getpid());
	fcntl(pipe, F_SETSIG, SIGCONT);
	fcntl(pipe, F_SETFL, O_ASYNC);
	signal(sig, SIG_DFL);
	/* Blocked it waits, and a SIGCONT that comes meanwhile takes it back. */
	if (sig != SIGSTOP)
		kill(getpid(), sig);
	if (poll(&p, 1, 0) == 0) {
		if (sig == SIGSTOP)
			kill(getpid(), sig);
		else
			unblock(sig);
		set_mask(&all, NULL);
	} else if (sig != SIGSTOP) {
		syscall(SYS_rt_sigtimedwait, &(uint64_t){1ULL << (sig - 1)}, NULL, &(struct timespec){0, 0}, sizeof(all));
	}
	fcntl(pipe, F_SETFL, 0);
}
