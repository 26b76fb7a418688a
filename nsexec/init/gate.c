//go:build ignore

/*
 * What the outer process does while PID 1 is at work, and PID 1 waits for: to give it its id, and to look whether all is as
 * it was planned, which takes long where the plan is about many directories of the host. Nothing of the image runs before
 * that, and all that PID 1 has done goes with it.
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

void open_gate(enum gate gate)
{
	__atomic_store_n(&shared->gates[gate], 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &shared->gates[gate], WAKE, INT_MAX, NULL, NULL, 0);
}

void wait_at_gate(enum gate gate)
{
	while (!__atomic_load_n(&shared->gates[gate], __ATOMIC_ACQUIRE))
		syscall(SYS_futex, &shared->gates[gate], WAIT, 0, NULL, NULL, 0);
}

/* As perform_list, but returns where check, which is done while PID 1 works, finds that the start must not be. */
void perform_if(char *blob, uint64_t size, int (*check)(void))
{
	recheck = check;
	if (setjmp(back) == 0)
		perform_list(blob, size);
	recheck = NULL;
	is_outer = 0;
	set_mask(&callers_mask, NULL);
	if (child_ignored)
		signal(SIGCHLD, SIG_IGN);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

/* Nothing has happened. */
void take_back(pid_t pid1, int pipe, int signals)
{
	kill(pid1, SIGKILL);
	while (waitpid(pid1, NULL, 0) < 0 && errno == EINTR)
		;
	close(pipe);
	close(signals);
	munmap(shared, sizeof(*shared));
	longjmp(back, 1);
}
