//go:build ignore

/*
 * What the outer process does while PID 1 is at work, and PID 1 waits for: to give it its id, and to look whether all is as
 * it was planned, which takes long where the plan is about many directories of the host. Nothing of the image runs before
 * that, and all that PID 1 has done goes with it. See nsexec/decisions/0007.
 */
#include "ops.h"
#include <limits.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

int (*recheck)(void);
enum { WAIT = 0, WAKE = 1 }; /* FUTEX_* of linux/futex.h */
static jmp_buf back;
static int dumpable;

enum { OPEN = 1, SHUT = 2 };

static void decide(enum gate gate, uint32_t how)
{
	__atomic_store_n(&shared->gates[gate], how, __ATOMIC_RELEASE);
	syscall(SYS_futex, &shared->gates[gate], WAKE, INT_MAX, NULL, NULL, 0);
}

void open_gate(enum gate gate)
{
	decide(gate, OPEN);
}

void wait_at_gate(enum gate gate)
{
	uint32_t how;

	while (!(how = __atomic_load_n(&shared->gates[gate], __ATOMIC_ACQUIRE)))
		syscall(SYS_futex, &shared->gates[gate], WAIT, 0, NULL, NULL, 0);
	if (how == SHUT)
		_exit(125);
}

/*
 * Before PID 1 says what is wrong: it may only be that the plan is stale. Then it ends here, and nobody is told.
 */
void await_checks(void)
{
	if (!recheck || is_outer)
		return;
	recheck = NULL;
	follow_engine(SIGKILL);
	wait_at_gate(GATE_CHECKED);
}

struct processors {
	unsigned long bits[64];
	long size;
};

enum { WORD = 8 * sizeof(unsigned long) };

static int this_processor(void)
{
	unsigned cpu;

	return syscall(SYS_getcpu, &cpu, NULL, NULL) == 0 ? (int)cpu : -1;
}

static int allowed(struct processors *p)
{
	p->size = syscall(SYS_sched_getaffinity, 0, sizeof(p->bits), p->bits);
	return p->size > 0;
}

static int allow(const struct processors *p)
{
	return syscall(SYS_sched_setaffinity, 0, p->size, p->bits) == 0;
}

/* Goes to another processor, if there is one, and may be at all of them as before. */
static void move_over(void)
{
	struct processors before, others, now;
	int cpu = this_processor(), any = 0;
	long i;

	if (cpu < 0 || !allowed(&before) || cpu >= before.size * 8)
		return;
	others = before;
	others.bits[cpu / WORD] &= ~(1UL << cpu % WORD);
	for (i = 0; i < before.size / (long)sizeof(*before.bits); i++)
		any |= others.bits[i] != 0;
	if (!any || !allow(&others))
		return;
	/* Asked for all, we get what a cpuset has, now and later; who was given fewer gets these. */
	memset(&others, 0xff, sizeof(others.bits));
	if (!allow(&others) || !allowed(&now) || now.size != before.size || memcmp(now.bits, before.bits, now.size))
		allow(&before);
}

/*
 * The kernel may have put PID 1 on our processor though another one is idle: where it waits there behind us, or we behind it,
 * one of the two moves.
 */
void stay_out_of_way(void)
{
	uint32_t none = 0;

	if (shared && __atomic_compare_exchange_n(&shared->begun, &none, 2, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		move_over();
}

void begin_beside(void)
{
	uint32_t none = 0;

	if (__atomic_compare_exchange_n(&shared->begun, &none, 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED) && this_processor() == shared->processor)
		move_over();
}

void note_processor(void)
{
	shared->processor = this_processor();
}

/* As perform_list, but returns where check, which is done while PID 1 works, finds that the start must not be. */
void perform_if(char *blob, uint64_t size, int (*check)(void))
{
	recheck = check;
	dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	if (setjmp(back) == 0)
		perform_list(blob, size);
	recheck = NULL;
	is_outer = 0;
	forget_keys();
	set_mask(&callers_mask, NULL);
	if (child_ignored)
		signal(SIGCHLD, SIG_IGN);
	prctl(PR_SET_DUMPABLE, dumpable == 1, 0, 0, 0);
}

/* Nothing has happened. PID 1 may be another user by now, whom a root without CAP_KILL can't kill: then it ends at the gate. */
void take_back(pid_t pid1, int pipe, int signals)
{
	if (kill(pid1, SIGKILL) != 0)
		decide(GATE_CHECKED, SHUT);
	while (waitpid(pid1, NULL, 0) < 0 && errno == EINTR)
		;
	close(pipe);
	close(signals);
	munmap(shared, sizeof(*shared));
	longjmp(back, 1);
}
