//go:build ignore

/* The app itself: how it is found and executed, and what PID 1 does while it runs. */
#include "ops.h"
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

int own_group, child_ignored, joined;
int host_pids; /* we are no PID 1 */
static int children = -1;
char **app_env;

int next_signal(siginfo_t *info)
{
	uint64_t all = ~0ULL;

	return (int)syscall(SYS_rt_sigtimedwait, &all, info, NULL, sizeof(all));
}

/* Told by the app's process, which has our memory until it is another program. */
static volatile int not_started;

static const char *search_path(void)
{
	char **e;

	for (e = app_env; *e; e++)
		if (strncmp(*e, "PATH=", 5) == 0)
			return *e + 5;
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

static int try_exec(const char *path, char **argv, uint32_t *exists)
{
	int err;

	execve(path, argv, app_env);
	err = errno;
	if (err == ENOENT && access(path, F_OK) == 0)
		*exists = 1;
	return err;
}

/* As execvp(3), but without the detour over a shell for ENOEXEC. */
static void exec_app(char **argv)
{
	const char *name = argv[0], *dir, *end;
	size_t n, len = strlen(name);
	uint32_t exists = 0;
	int err = ENOENT, saved = 0;
	char *buf;

	if (*name == '\0' || strchr(name, '/')) {
		err = try_exec(name, argv, &exists);
		goto out;
	}
	dir = search_path();
	buf = malloc(strlen(dir) + len + 3);
	if (!buf) {
		err = ENOMEM;
		goto out;
	}
	for (;; dir = end + 1) {
		end = strchr(dir, ':');
		if (!end)
			end = dir + strlen(dir);
		n = end - dir;
		if (n == 0)
			buf[n++] = '.';
		else
			memcpy(buf, dir, n);
		buf[n++] = '/';
		memcpy(buf + n, name, len + 1);
		err = try_exec(buf, argv, &exists);
		if (exists)
			break;
		if (err == EACCES)
			saved = err;
		else if (err != ENOENT && err != ENOTDIR && err != ENAMETOOLONG && err != ELOOP && err != ESTALE)
			break;
		err = ENOENT;
		if (*end == '\0')
			break;
	}
	if (err == ENOENT && !exists && saved)
		err = saved;
out:
	not_started = 1;
	die_exec(err, exists);
}

/* A socket-activated app believes in its descriptors only when it is the process that they are said to be for. */
static void claim_descriptors(void)
{
	static char claim[32];
	char **e, *p;
	int pid = getpid();

	for (e = app_env; preserved && *e; e++)
		if (strncmp(*e, "LISTEN_PID=", 11) == 0) {
			p = claim + sizeof(claim) - 1;
			do
				*--p = '0' + pid % 10;
			while (pid /= 10);
			*e = memcpy(p - 11, "LISTEN_PID=", 11);
			return;
		}
}

/*
 * With the host's pids nothing of what the app started ends because we do. All orphans become our children, so that we
 * can find them, and the app itself ends with us.
 */
static void adopt(void)
{
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
		die_at(STAGE_FORK, errno, "watch over the app's processes", NULL, NULL);
	children = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	if (children < 0)
		die_at(STAGE_FORK, errno, "watch over the app's processes by", "/proc/thread-self/children", NULL);
}

/* Killed ones leave theirs to us: again, until there are none, or some don't die (they wait for a disk, or are not ours
 * to kill). */
static void end_children(void)
{
	struct timespec moment = {0, 1000000};
	char list[4096], *p, *next;
	int tries = 3000;
	ssize_t n;
	pid_t pid;

	while (children >= 0 && tries--) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		n = pread(children, list, sizeof(list) - 1, 0);
		if (n <= 0)
			return;
		list[n] = '\0';
		/* The last number of a full page may be cut short: then it is not followed by a blank. */
		for (p = list; (pid = strtol(p, &next, 10)) > 0 && *next == ' '; p = next)
			kill(pid, SIGKILL);
		nanosleep(&moment, NULL);
	}
}

static uint32_t stops; /* of the app, reported */
static int stopped;    /* it is, for all that we know */
static int told;       /* since its last stop the whole group was told to continue, or to stop again */

/* Reap everybody; report and leave with the app, upon which the kernel kills the rest. */
static void reap(pid_t app)
{
	int st;
	pid_t pid;

	while ((pid = waitpid(-1, &st, WNOHANG | (speaker ? WUNTRACED | WCONTINUED : 0))) > 0) {
		if (pid != app)
			continue;
		if (WIFSTOPPED(st)) {
			stops++;
			stopped = 1;
			told = 0;
			report(KIND_STOPPED, 0, WSTOPSIG(st), 0);
			continue;
		}
		if (WIFCONTINUED(st)) {
			stopped = 0;
			report(KIND_CONTINUED, 0, 0, 0);
			continue;
		}
		report(KIND_ENDED, 0, st, 0);
		trace("end of the app");
		end_children();
		_exit(WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st));
	}
}

/*
 * In the direct engine init is in the same process group as the app and the outer process, so it gets what is sent to
 * the group, and so do they: only what the outer process hands on counts. It comes as a real-time signal of its own,
 * since two equal signals that wait become one. Outside of our pid namespace, the outer process is number 0.
 */
static void forward_carried(pid_t app, int sig, const siginfo_t *si)
{
	int meant = si->si_value.sival_int & 0xff;

	if (sig == SIGCONT || (!stopped && (sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU)))
		told = getpgid(app) == getpgrp();
	if (sig == ORPHANED && joined)
		kill(app, SIGKILL); /* as with a container that ends with its start */
	if (sig != CARRIER || si->si_code != SI_QUEUE || si->si_pid != getppid())
		return;
	if (meant == 0) {
		reap(app);
		__atomic_fetch_add(&shared->answers, 1, __ATOMIC_RELEASE);
		return;
	}
	/*
	 * A shell continues the whole group. Handed on as well, that could undo the ^Z which comes next: what the app has
	 * got itself, or what was sent before it stopped again, ends here.
	 */
	if (meant == SIGCONT && (told || si->si_value.sival_int != CARRIED(meant, stops))) {
		told = 0;
		return;
	}
	kill(app, meant);
}

static void forward(pid_t app, int sig, const siginfo_t *si)
{
	int outside = si->si_pid == 0;

	/* From the terminal's line discipline: the app is in the same group and has got it too. */
	if (si->si_code == SI_KERNEL)
		return;
	/* The app's group may be orphaned, where the polite stop signals do nothing. */
	if (outside && (sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU))
		sig = SIGSTOP;
	/* The engine marks what a terminal would have sent to the whole group. */
	if (own_group && outside && si->si_code == SI_QUEUE && si->si_value.sival_int == 1)
		kill(-app, sig);
	else
		kill(app, sig);
}

void run(char **argv, const uint64_t *old_mask)
{
	siginfo_t info;
	pid_t app, parent, outer = getppid();
	int sig;

	if (!argv[0])
		die(STAGE_FORK, EPROTO);
	if (!app_env)
		app_env = calloc(1, sizeof(*app_env));
	if (!app_env)
		die(STAGE_FORK, ENOMEM);
	if (host_pids)
		adopt();
	if (recheck)
		wait_at_gate(GATE_CHECKED);
	parent = getpid();
	hear_keys();
	/* With our memory, until it is another program: we have nothing to do before that, and copying it takes time. */
	app = vfork();
	if (app < 0 && joined && errno == ENOMEM && again) { /* the answer also where PID 1 has ended: the outer process knows */
		report(KIND_FAILED, OP_AGAIN, ENOMEM, 0);
		_exit(125);
	}
	if (app < 0)
		die(STAGE_FORK, errno);
	if (app == 0) {
		put_off_stops();
		trace_app("execve");
		if (own_group)
			setpgid(0, 0);
		if (host_pids && (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid() != parent))
			_exit(125);
		if (child_ignored)
			signal(SIGCHLD, SIG_IGN);
		set_mask(old_mask, NULL);
		claim_descriptors();
		exec_app(argv);
	}
	if (own_group)
		setpgid(app, app); /* whoever comes first: a signal to the group must find it */
	kill_typed(app);
	if (!not_started)
		report(KIND_STARTED, 0, 0, 0);
	trace("waiting");
	if (!not_started)
		trace_app("running");
	/* Don't keep the caller's pipes open: a reader waits for their end. */
	close(0);
	close(1);
	close(2);
	close_preserved();
	for (;;) {
		sig = next_signal(&info);
		if (sig == SIGCHLD)
			reap(app);
		else if (sig == ORPHANED && host_pids && getppid() != outer)
			end_children(), _exit(125);
		else if (sig > 0 && speaker)
			forward_carried(app, sig, &info);
		else if (sig > 0)
			forward(app, sig, &info);
	}
}
