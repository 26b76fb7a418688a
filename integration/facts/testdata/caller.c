/*
 * What a caller can be like:
 *
 *   ignore=N block=N        a signal's disposition, or mask; of ranges as 1-5
 *   pend=N                  it is blocked, and waits
 *   umask=OCTAL nice=N oom=N slack=N core=HEX
 *   nofile=N stack=N        limits, soft and hard
 *   fd=N                    descriptors, of ranges as 40-60: a file of the caller's, to be written to
 *   close=N                 the same, not there
 *   variables=N             as many more
 *   dir=PATH
 */
#include "facts.h"
#include <sys/prctl.h>
#include <sys/resource.h>

static void set_signal(char kind, int sig)
{
	struct { void *handler; unsigned long more[3]; } act = {(void *)SIG_IGN, {0, 0, 0}};
	uint64_t set = 1ULL << (sig - 1);

	if (kind == 'i')
		syscall(SYS_rt_sigaction, sig, &act, NULL, 8);
	else
		syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 8);
	if (kind == 'p')
		kill(getpid(), sig);
}

static void open_at(int n)
{
	int fd = open("/proc/self/exe", O_RDONLY);

	if (fd != n) {
		dup2(fd, n);
		close(fd);
	}
}

static void put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		fprintf(stderr, "facts: write to %s: %s\n", path, strerror(errno));
	close(fd);
}

static void limit(int what, long n)
{
	struct rlimit r = {n, n};

	if (setrlimit(what, &r) != 0)
		fprintf(stderr, "facts: set limit %d: %s\n", what, strerror(errno));
}

static void become_like(const char *word)
{
	const char *value = strchr(word, '=') + 1, *dash = strchr(value, '-');
	int n = atoi(value), last = dash && dash > value ? atoi(dash + 1) : n;
	char name[32];

	for (; n <= last && strchr("ibpfcv", *word); n++) {
		if (!strncmp(word, "ignore", 6) || !strncmp(word, "block", 5) || !strncmp(word, "pend", 4))
			set_signal(*word, n);
		else if (!strncmp(word, "fd", 2))
			open_at(n);
		else if (!strncmp(word, "close", 5))
			close(n);
	}
	n = atoi(value);
	if (!strncmp(word, "umask", 5))
		umask(strtol(value, NULL, 8));
	else if (!strncmp(word, "nice", 4))
		setpriority(PRIO_PROCESS, 0, n);
	else if (!strncmp(word, "oom", 3))
		put("/proc/self/oom_score_adj", value);
	else if (!strncmp(word, "slack", 5))
		prctl(PR_SET_TIMERSLACK, n, 0, 0, 0);
	else if (!strncmp(word, "core", 4))
		put("/proc/self/coredump_filter", value);
	else if (!strncmp(word, "nofile", 6))
		limit(RLIMIT_NOFILE, n);
	else if (!strncmp(word, "stack", 5))
		limit(RLIMIT_STACK, n);
	else if (!strncmp(word, "dir", 3) && chdir(value) != 0)
		fprintf(stderr, "facts: enter %s: %s\n", value, strerror(errno));
	for (; !strncmp(word, "variables", 9) && n > 0; n--) {
		snprintf(name, sizeof(name), "MORE_%d", n);
		setenv(name, "value", 1);
	}
}

int as_caller(char **words)
{
	for (; *words && strcmp(*words, "--"); words++)
		become_like(*words);
	if (!*words || !words[1])
		return 2;
	execv(words[1], words + 1);
	fprintf(stderr, "facts: execute %s: %s\n", words[1], strerror(errno));
	return 126;
}
