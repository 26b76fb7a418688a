//go:build ignore

/* Which descriptors the app has. */
#include "ops.h"

int stdio[3] = {0, 1, 2};

void place_stdio(void)
{
	int i;

	for (i = 0; i < 3; i++)
		if (stdio[i] != i && dup2(stdio[i], i) < 0)
			die(OP_STDIO, errno);
}

static int *kept_fds; /* preserved descriptors, ascending */
int preserved;    /* how many */

static int is_kept(int fd)
{
	int i;

	for (i = 0; i < preserved && kept_fds[i] <= fd; i++)
		if (kept_fds[i] == fd)
			return 1;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* What it names is open already, as the caller left it, so nothing of ours has such a number. */
void preserve(char *p, char *end)
{
	uint32_t n = number(OP_PRESERVE, &p, end), i;

	if (n > (uint32_t)(end - p) / 4)
		die(OP_PRESERVE, EPROTO);
	kept_fds = calloc(n + 1, sizeof(*kept_fds));
	if (!kept_fds)
		die(OP_PRESERVE, ENOMEM);
	for (i = 0; i < n; i++)
		kept_fds[i] = number(OP_PRESERVE, &p, end);
	qsort(kept_fds, n, sizeof(*kept_fds), by_number);
	preserved = n;
}

/* The app has its own; a reader waits for the end of ours. */
void close_preserved(void)
{
	int i;

	for (i = 0; i < preserved; i++)
		close(kept_fds[i]);
}

static void close_between(unsigned first, unsigned last)
{
	unsigned fd;

	if (first > last || syscall(NR_close_range, first, last, 0) == 0)
		return;
	for (fd = first; fd <= last && fd < 1024; fd++)
		close(fd);
}

/* Only 0, 1, 2, what is preserved and the status pipe stay, the pipe not beyond the app's execve. */
void close_rest(void)
{
	int place = 3, i;
	unsigned from;

	while (is_kept(place))
		place++;
	if (status_fd != place) {
		if (dup3(status_fd, place, O_CLOEXEC) < 0)
			die(OP_STDIO, errno);
		status_fd = place;
	} else {
		fcntl(place, F_SETFD, FD_CLOEXEC);
	}
	from = place + 1; /* below it all are kept */
	for (i = 0; i < preserved; i++) {
		if (kept_fds[i] < place)
			continue;
		close_between(from, kept_fds[i] - 1);
		from = kept_fds[i] + 1;
	}
	close_between(from, ~0U);
}
