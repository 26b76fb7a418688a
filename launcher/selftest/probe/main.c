//go:build ignore

/*
 * What `flake-ctl selftest` runs natively and through a flake:
 *
 *   probe report [ARG...]      tell what this process has, as NUL-terminated KEY=VALUE on standard output
 *   probe copy                 standard input to standard output, and every byte there is to standard error
 *   probe exit N | raise N     end with that status, by that signal
 *   probe under CONDITION... -- FILE ARGV0 [ARG...]
 *                              execute FILE with a umask, limits and the like that are not the usual ones
 */
#define _GNU_SOURCE
#include "probe.h"
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int copy(void)
{
	static char b[65536];
	ssize_t n;
	int i;

	while ((n = read(0, b, sizeof(b))) > 0)
		if (write(1, b, n) != n)
			return 1;
	for (i = 0; i < 256; i++)
		b[i] = i;
	return n == 0 && write(2, b, 256) == 256 ? 0 : 1;
}

static int raise_by(int sig)
{
	struct { void *handler; unsigned long more[3]; } act = {(void *)SIG_DFL, {0, 0, 0}};
	struct rlimit none = {0, 0};
	uint64_t nothing = 0;

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	syscall(SYS_rt_sigaction, sig, &act, NULL, 8);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &nothing, NULL, 8);
	kill(getpid(), sig);
	return 0; /* not a deadly one */
}

static void limit(const char *s)
{
	char *next;
	int which = strtol(s, &next, 10);
	struct rlimit r, now;

	r.rlim_cur = strtoull(next + 1, &next, 10);
	r.rlim_max = strtoull(next + 1, NULL, 10);
	getrlimit(which, &now);
	if (r.rlim_max > now.rlim_max)
		r.rlim_max = now.rlim_max;
	if (r.rlim_cur > r.rlim_max)
		r.rlim_cur = r.rlim_max;
	setrlimit(which, &r);
}

static void condition(char *word)
{
	char *value = strchr(word, '=');
	uint64_t set;
	int fd;

	if (!value)
		return;
	*value++ = '\0';
	if (!strcmp(word, "umask"))
		umask(strtoul(value, NULL, 8));
	else if (!strcmp(word, "nice"))
		setpriority(PRIO_PROCESS, 0, atoi(value));
	else if (!strcmp(word, "limit"))
		limit(value);
	else if (!strcmp(word, "ignore"))
		signal(atoi(value), SIG_IGN);
	else if (!strcmp(word, "block"))
		set = 1ULL << (atoi(value) - 1), syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 8);
	else if (!strcmp(word, "open") && (fd = open("/dev/null", O_RDWR)) >= 0 && fd != atoi(value))
		dup2(fd, atoi(value)), close(fd);
}

static int under(char **args)
{
	for (; *args && strcmp(*args, "--"); args++)
		condition(*args);
	if (!args[0] || !args[1] || !args[2])
		return 125;
	execv(args[1], args + 2);
	perror(args[1]);
	return 125;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (!strcmp(verb, "report"))
		return report(argv + 2);
	if (!strcmp(verb, "copy"))
		return copy();
	if (!strcmp(verb, "exit") && argc > 2)
		return atoi(argv[2]);
	if (!strcmp(verb, "raise") && argc > 2)
		return raise_by(atoi(argv[2]));
	if (!strcmp(verb, "under"))
		return under(argv + 2);
	return 125;
}
