//go:build ignore

/* Programs for later: one that is run when the app has ended, one to become when an instance ends too early. */
#include "ops.h"
#include <sys/wait.h>

int complaints = -1;
char **again, **after;

/* File, arguments, NULL, environment, NULL. */
char **program(uint32_t op, char *p, char *end)
{
	uint32_t n = number(op, &p, end), i, all;
	char **words = vector(op, p, end - p), **out;

	for (all = 0; words[all]; all++)
		;
	out = calloc(all + 2, sizeof(*out));
	if (!out || all < n + 1)
		die(op, EPROTO);
	for (i = 0; i <= n; i++)
		out[i] = words[i];
	for (; i < all; i++)
		out[i + 1] = words[i];
	return out;
}

/* Nobody waits for what it says; that it fails shows. */
void run_after(void)
{
	uint64_t none = 0;
	char **env = after;
	pid_t pid;
	int fd, st;

	if (!after)
		return;
	while (*env++)
		;
	pid = fork();
	if (pid == 0) {
		fd = open("/dev/null", O_RDWR);
		if (dup2(complaints, 2) < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0)
			_exit(127);
		set_mask(&none, NULL);
		execve(after[0], after + 1, env);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &st, 0) < 0 && errno == EINTR)
		;
}

/* The instance ended while we were about to enter it: all over again, from outside. */
void start_again(pid_t child)
{
	char **env = again;

	while (*env++)
		;
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	if (child_ignored)
		signal(SIGCHLD, SIG_IGN);
	set_mask(&callers_mask, NULL);
	execve(again[0], again + 1, env);
	_exit(125);
}
