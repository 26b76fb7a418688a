//go:build ignore

/*
 * Which of the limits in /proc/sys/user a clone ran into. The kernel makes all namespaces in one go and says ENOSPC of
 * any; and what limits us may be set outside of the user namespace that we are in by then, where nobody can read it.
 */
#include "ops.h"
#include <sched.h>
#include <stdio.h>

static const struct {
	unsigned long flag;
	const char *name;
} kinds[] = {
	{NEWUSER, "user"}, {CLONE_NEWNS, "mnt"}, {NEWPID, "pid"}, {CLONE_NEWIPC, "ipc"}, {CLONE_NEWUTS, "uts"},
	{CLONE_NEWCGROUP, "cgroup"}, {CLONE_NEWNET, "net"},
};

static const char *limited = "user";

/*
 * Makes them one by one, in a process that is about to end, and tells what failed. One that succeeds alone, as others may
 * have ended meanwhile, leaves it open.
 */
uint32_t find_limit(unsigned long namespaces)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if ((namespaces & kinds[i].flag) && syscall(SYS_unshare, kinds[i].flag) != 0 && errno == ENOSPC) {
			limited = kinds[i].name;
			return kinds[i].flag == NEWUSER ? OP_USERNS : OP_CLONE;
		}
	limited = "*";
	return OP_CLONE;
}

const char *limit_remedy(void)
{
	static char text[160];

	if (*limited == '*')
		return "end other containers, or raise the limits user.max_*_namespaces";
	snprintf(text, sizeof(text), "let users make namespaces: `sysctl user.max_%s_namespaces=15000` as root; or end other containers", limited);
	return text;
}
