//go:build ignore

/*
 * What is typed while a start is under way: a ^C comes to all processes of the terminal's foreground group, whichever there
 * are at the moment. Before PID 1 is there it is for the outer process, which ends by it. From then on it is for the app,
 * which may not be there yet, and comes to it once.
 *
 * Between two system calls there is always a moment for a signal. The kernel has none between "before a fork" and "for both":
 * but only for signals that are not blocked. So there are handlers, which are let through while processes are forked.
 */
#include "ops.h"

static const int keys[] = {SIGINT, SIGQUIT, SIGTSTP};
enum { KEYS = sizeof(keys) / sizeof(*keys) };

static uint64_t heard;          /* by our handler: those that the caller ignores or holds are his */
static volatile uint64_t typed; /* for the app, which has not got it */
static volatile uint64_t vague; /* what came to the app's process while it was forked, without its origin */
static volatile pid_t born;     /* our number, by the kernel, before anything else in the process that is cloned */
static volatile int app_there, stopped_early;

static uint64_t bit(int sig)
{
	return 1ULL << (sig - 1);
}

static void note_key(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!born) { /* the outer process, as if nothing were there to hear it */
		signal(sig, SIG_DFL);
		unblock(sig);
		kill(getpid(), sig);
		return;
	}
	if (app_there && getpid() == born && !(vague & bit(sig)))
		return; /* the app's process has got it as well */
	/* What somebody sent to the group the outer process hands on. */
	if (info->si_code == SI_KERNEL || (info->si_pid == 0 && __atomic_load_n(&shared->typed, __ATOMIC_RELAXED) >> sig & 1))
		typed |= bit(sig);
	else if (getpid() != born && info->si_pid == 0)
		vague |= bit(sig); /* we have it with its origin */
}

static void let_through(uint64_t signals)
{
	uint64_t closed = ~signals;

	set_mask(&closed, NULL);
}

/*
 * Forks a process, in new namespaces or none. All signals are blocked afterwards, in both. A ^C that both get ends the outer
 * process, and that is all. A ^Z would stop both, one after the other: it is let through a moment earlier only.
 */
pid_t clone_hearing_keys(unsigned long namespaces)
{
	struct sigaction was, act = {.sa_sigaction = note_key, .sa_flags = SA_SIGINFO};
	pid_t pid;
	int i;

	for (i = 0; i < KEYS; i++)
		if (!(callers_mask & bit(keys[i])) && sigaction(keys[i], NULL, &was) == 0 && was.sa_handler == SIG_DFL &&
		    sigaction(keys[i], &act, NULL) == 0)
			heard |= bit(keys[i]);
	set_mask(&callers_mask, NULL); /* what came until now */
	let_through(heard & ~bit(SIGTSTP));
	/* CLONE_CHILD_SETTID: its argument is the fourth or the fifth, as the processor has it. */
	pid = syscall(SYS_clone, namespaces | 0x01000000 | SIGCHLD, 0UL, 0UL, &born, &born);
	let_through(0);
	return pid;
}

/* There is nothing any more that keys could be for. The handler, where a signal still gets to it, does what none would. */
void forget_keys(void)
{
	int i;

	for (i = 0; i < KEYS; i++)
		if (heard & bit(keys[i]))
			signal(keys[i], SIG_DFL);
	heard = 0;
}

/* Before the app is forked by vfork, thus with our memory: until its process is another program keys are noted there, too. */
void hear_keys(void)
{
	if (speaker && !own_group)
		let_through(heard);
}

static void note_stop(int sig)
{
	stopped_early = sig;
}

/* Of the app's process. We wait until it is another program, and nobody could tell of a stop before that. */
void put_off_stops(void)
{
	static const int kinds[] = {SIGTSTP, SIGTTIN, SIGTTOU};
	struct sigaction was, act = {.sa_handler = note_stop};
	size_t i;

	app_there = 1;
	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (sigaction(kinds[i], NULL, &was) == 0 && was.sa_handler != SIG_IGN)
			sigaction(kinds[i], &act, NULL);
}

/* The app is there, and what came before is for it. */
void kill_typed(pid_t app)
{
	int i;

	let_through(0);
	for (i = 0; i < KEYS; i++)
		if (typed & bit(keys[i]))
			kill(app, keys[i]);
	if (stopped_early)
		kill(app, stopped_early);
}
