/* The app of the engine's tests: `probe VERB [ARG…]` does one thing and tells about it in one line. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int tell(int ok)
{
	if (ok)
		printf("ok\n");
	else
		printf("errno %d\n", errno);
	return 0;
}

static void on_signal(int sig)
{
	char buf[32];
	int n = snprintf(buf, sizeof(buf), "got %d\n", sig);

	if (write(1, buf, n) < 0)
		_exit(1);
	_exit(40);
}

static int copy(int from)
{
	char buf[65536];
	ssize_t n, m;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		for (char *p = buf; n > 0; p += m, n -= m)
			if ((m = write(1, p, n)) < 0)
				return 1;
	return n < 0;
}

static int list(const char *dir)
{
	struct dirent *e;
	DIR *d = opendir(dir);

	if (!d)
		return tell(0);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			printf("%s\n", e->d_name);
	return closedir(d);
}

static int processes(void)
{
	struct dirent *e;
	DIR *d = opendir("/proc");
	int n = 0;

	while ((e = readdir(d)))
		n += e->d_name[0] >= '0' && e->d_name[0] <= '9';
	closedir(d);
	return n;
}

static int status_of(const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return tell(0);
	printf("%c %04o %d:%d %d:%d\n",
	       S_ISDIR(st.st_mode) ? 'd' : S_ISCHR(st.st_mode) ? 'c' : S_ISLNK(st.st_mode) ? 'l' : S_ISREG(st.st_mode) ? 'f' : '?',
	       st.st_mode & 07777, st.st_uid, st.st_gid,
	       S_ISCHR(st.st_mode) ? (int)major(st.st_rdev) : 0, S_ISCHR(st.st_mode) ? (int)minor(st.st_rdev) : 0);
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "", *a = argc > 2 ? argv[2] : "";
	char buf[65536];
	int i, n;

	if (!strcmp(verb, "exit"))
		return atoi(a);
	if (!strcmp(verb, "raise")) {
		raise(atoi(a));
		pause();
	}
	if (!strcmp(verb, "cat"))
		return copy(0);
	if (!strcmp(verb, "read")) {
		n = open(a, O_RDONLY);
		return n < 0 ? tell(0) : copy(n);
	}
	if (!strcmp(verb, "ls"))
		return list(a);
	if (!strcmp(verb, "stat"))
		return status_of(a);
	if (!strcmp(verb, "link")) {
		n = readlink(a, buf, sizeof(buf));
		return n < 0 ? tell(0) : !printf("%.*s\n", n, buf);
	}
	if (!strcmp(verb, "args")) {
		for (i = 2; i < argc; i++)
			printf("<%s>", argv[i]);
		return !printf("\n");
	}
	if (!strcmp(verb, "env")) {
		for (char **e = environ; *e; e++)
			printf("<%s>", *e);
		return !printf("\n");
	}
	if (!strcmp(verb, "cwd"))
		return !printf("%s\n", getcwd(buf, sizeof(buf)) ? buf : "?");
	if (!strcmp(verb, "hostname"))
		return gethostname(buf, sizeof(buf)) || !printf("%s\n", buf);
	if (!strcmp(verb, "umask"))
		return !printf("%04o\n", umask(0));
	if (!strcmp(verb, "ids")) {
		gid_t g[64];

		n = getgroups(64, g);
		printf("%d:%d:", getuid(), getgid());
		for (i = 0; i < n; i++)
			printf("%s%d", i ? "," : "", g[i]);
		return !printf("\n");
	}
	if (!strcmp(verb, "write")) {
		n = open(a, O_WRONLY | O_CREAT | O_TRUNC, 0666);
		return tell(n >= 0 && write(n, "x", 1) == 1);
	}
	if (!strcmp(verb, "rmdir"))
		return tell(rmdir(a) == 0);
	if (!strcmp(verb, "unlink"))
		return tell(unlink(a) == 0);
	if (!strcmp(verb, "symlink"))
		return tell(argc > 3 && symlink(a, argv[3]) == 0);
	if (!strcmp(verb, "mkdir"))
		return tell(mkdir(a, 0777) == 0);
	if (!strcmp(verb, "mknod"))
		return tell(mknod(a, S_IFCHR | 0666, makedev(1, 3)) == 0);
	if (!strcmp(verb, "mount"))
		return tell(syscall(SYS_mount, "tmpfs", "/tmp", "tmpfs", 0, NULL) == 0);
	if (!strcmp(verb, "sticti"))
		return tell(ioctl(0, TIOCSTI, "x") == 0);
	if (!strcmp(verb, "sticti64")) /* the kernel takes the low half only */
		return tell(syscall(SYS_ioctl, 0, 0xdead00000000UL | TIOCSTI, "x") == 0);
	if (!strcmp(verb, "bpf"))
		return tell(syscall(SYS_bpf, 0, NULL, 0) == 0);
	if (!strcmp(verb, "attach"))
		return tell(ptrace(PTRACE_ATTACH, 1, NULL, NULL) == 0);
	if (!strcmp(verb, "kill9"))
		return tell(kill(1, SIGKILL) == 0);
	if (!strcmp(verb, "fds"))
		return list("/proc/self/fd");
	if (!strcmp(verb, "sleep")) {
		printf("ready %d\n", getpid());
		fflush(stdout);
		for (;;)
			pause();
	}
	if (!strcmp(verb, "trap")) {
		signal(atoi(a), on_signal);
		printf("ready\n");
		fflush(stdout);
		for (;;)
			pause();
	}
	if (!strcmp(verb, "ignored"))
		return !printf("%s\n", signal(atoi(a), SIG_DFL) == SIG_IGN ? "ignored" : "default");
	if (!strcmp(verb, "grouptrap")) { /* a child of the app gets what a terminal sends */
		if (fork() == 0) {
			signal(atoi(a), on_signal);
			printf("ready\n");
			fflush(stdout);
			for (;;)
				pause();
		}
		signal(atoi(a), SIG_IGN);
		wait(&n);
		return WIFEXITED(n) ? WEXITSTATUS(n) : 1;
	}
	if (!strcmp(verb, "orphans")) { /* die as orphans; PID 1 has to reap them all */
		for (i = 0; i < atoi(a); i++)
			if (fork() == 0) {
				if (fork() == 0) {
					usleep(1000);
					_exit(3);
				}
				_exit(0);
			} else {
				wait(NULL);
			}
		for (i = 0; i < 200 && processes() > 2; i++)
			usleep(10000);
		return !printf("%d\n", processes());
	}
	if (!strcmp(verb, "leave")) { /* a process that stays behind, deaf to polite signals */
		if (fork() == 0) {
			setsid();
			for (i = 1; i < 32; i++)
				signal(i, SIG_IGN);
			close(0), close(1), close(2);
			for (;;)
				pause();
		}
		return atoi(a);
	}
	if (!strcmp(verb, "forks")) { /* how many processes there can be at once */
		for (i = 0; i < atoi(a) && (n = fork()) >= 0; i++)
			if (n == 0)
				for (;;)
					pause();
		printf("%d\n", i);
		fflush(stdout);
		return 0;
	}
	if (!strcmp(verb, "fill")) { /* so much memory, in MiB */
		for (i = 0; i < atoi(a); i++)
			memset(malloc(1 << 20), 1, 1 << 20);
		return !printf("%d\n", i);
	}
	if (!strcmp(verb, "burn")) { /* for so many milliseconds; tells how many of them it was let run */
		struct timespec from, now;

		clock_gettime(CLOCK_MONOTONIC, &from);
		do
			clock_gettime(CLOCK_MONOTONIC, &now);
		while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < atoi(a));
		return !printf("%ld\n", clock() * 1000 / CLOCKS_PER_SEC);
	}
	fprintf(stderr, "probe: unknown verb %s\n", verb);
	return 99;
}
