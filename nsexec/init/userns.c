//go:build ignore

/*
 * The user namespace and the ids that are mapped in it.
 */
#include "ops.h"
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static uint32_t id_of[4]; /* uid inside, outside, gid inside, outside */

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
void give_id(pid_t pid1)
{
	char of[16];

	snprintf(of, sizeof(of), "%d", pid1);
	write_maps(of);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	open_gate(GATE_ID);
}

void await_id(void)
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
