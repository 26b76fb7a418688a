/*
 * The app of the tests that compare ways to start one:
 *
 *   facts                    tells what it can find out about its surroundings
 *   facts inside             that, and how far it gets with its PID 1 and with what is not for everybody: in a container only
 *   facts as WORD… -- CMD…   becomes CMD, as a caller of that kind: see caller.c
 *   facts wait               says `ready` and sleeps until its standard input ends
 *   facts exit N, raise N    ends so
 *   facts orphans N          leaves so many, and tells how many processes there are when they are gone
 *   facts open PATH…         opens each for writing
 *   flake-ctl, flake-engine  tell how far they get with the file that their parent was executed from
 *   facts args               tells number, length and a sum of its arguments and of its environment
 */
#include "facts.h"
#include <dirent.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <time.h>

extern char **environ;

void fact(const char *format, ...)
{
	va_list v;

	va_start(v, format);
	printf("@ ");
	vprintf(format, v);
	printf("\n");
	va_end(v);
}

void outcome(int ok)
{
	if (ok)
		printf("ok\n");
	else
		printf("errno %d\n", errno);
}

static void tell_file(const char *path)
{
	char b[65536];
	size_t most = strcmp(path, "/proc/kcore") ? sizeof(b) : 4; /* for those who may read it it is all of the memory */
	ssize_t n;
	int fd;

	fact("file %s", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		outcome(0);
		return;
	}
	while ((n = read(fd, b, most)) > 0 && most > 4)
		fwrite(b, 1, n, stdout);
	if (n < 0)
		outcome(0);
	close(fd);
	printf("\n");
}

static void tell_link(const char *path)
{
	char b[4096];
	ssize_t n = readlink(path, b, sizeof(b));

	fact("link %s", path);
	if (n < 0)
		outcome(0);
	else
		printf("%.*s\n", (int)n, b);
}

static void tell_entry(const char *path, const char *name)
{
	char full[4096];
	struct stat st;

	snprintf(full, sizeof(full), "%s/%s", path, name);
	if (lstat(full, &st) != 0) {
		printf("%s errno %d\n", name, errno);
		return;
	}
	printf("%s %o %d:%d %d:%d\n", name, st.st_mode, st.st_uid, st.st_gid, major(st.st_rdev), minor(st.st_rdev));
}

/* Processes and what is in them come and go. */
static void tell_dir(const char *path, int entries)
{
	struct dirent *e;
	DIR *d = opendir(path);

	fact("directory %s", path);
	if (!d) {
		outcome(0);
		return;
	}
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.' || (e->d_name[0] >= '0' && e->d_name[0] <= '9'))
			continue;
		if (entries)
			tell_entry(path, e->d_name);
		else
			printf("%s\n", e->d_name);
	}
	closedir(d);
}

static void tell_fds(void)
{
	struct stat st;
	int fd;

	fact("descriptors");
	for (fd = 0; fd < 4096; fd++)
		if (fstat(fd, &st) == 0)
			printf("%d %o %x %x\n", fd, st.st_mode & S_IFMT, fcntl(fd, F_GETFL) & (O_ACCMODE | O_PATH), fcntl(fd, F_GETFD));
}

/* Raw calls: the C library hides two signals. */
static void tell_signals(void)
{
	struct { void *handler; unsigned long more[3]; } act;
	struct timespec wait = {1, 0};
	uint64_t mask = 0;
	int sig;

	fact("signals ignored");
	for (sig = 1; sig <= 64; sig++)
		if (syscall(SYS_rt_sigaction, sig, NULL, &act, 8) == 0 && act.handler == SIG_IGN)
			printf("%d ", sig);
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
	printf("\n");
	fact("signals blocked");
	printf("%llx\n", (unsigned long long)mask);
	fact("signals pending"); /* what was on its way may need a moment */
	for (; mask && (sig = syscall(SYS_rt_sigtimedwait, &mask, NULL, &wait, 8)) > 0; wait = (struct timespec){0, 50000000})
		printf("%d ", sig);
	printf("\n");
}

static void tell_process(void)
{
	char b[4096];
	uint32_t ids[4] = {0};
	stack_t alt = {0};
	cpu_set_t cpus;
	int i, v;
	static const struct { const char *name; int option; } of[] = {
		{"no_new_privs", PR_GET_NO_NEW_PRIVS}, {"dumpable", PR_GET_DUMPABLE}, {"keepcaps", PR_GET_KEEPCAPS}, {"securebits", PR_GET_SECUREBITS},
		{"timer slack", PR_GET_TIMERSLACK}, {"thp disabled", PR_GET_THP_DISABLE}, {"seccomp", PR_GET_SECCOMP}, {"memory policy", 66},
	};

	for (i = 0; i < (int)(sizeof(of) / sizeof(*of)); i++) {
		fact("process %s", of[i].name);
		printf("%d\n", prctl(of[i].option, 0, 0, 0, 0));
	}
	for (i = PR_GET_PDEATHSIG; i != PR_GET_CHILD_SUBREAPER + 1; i = i == PR_GET_PDEATHSIG ? PR_GET_CHILD_SUBREAPER : i + 1) {
		v = -1;
		prctl(i, &v, 0, 0, 0);
		fact("process %s", i == PR_GET_PDEATHSIG ? "death signal" : "subreaper");
		printf("%d\n", v);
	}
	fact("process priority");
	printf("%d\n", getpriority(PRIO_PROCESS, 0));
	fact("process scheduling");
	printf("%d io %ld\n", sched_getscheduler(0), syscall(SYS_ioprio_get, 1, 0));
	sched_getaffinity(0, sizeof(cpus), &cpus);
	fact("process processors");
	printf("%d\n", CPU_COUNT(&cpus));
	fact("process alternate stack");
	sigaltstack(NULL, &alt);
	printf("%d\n", alt.ss_flags);
	fact("process umask");
	printf("%04o\n", umask(0));
	fact("process directory");
	printf("%s\n", getcwd(b, sizeof(b)) ? b : "?");
	fact("process is init");
	printf("%d, child of init %d\n", getpid() == 1, getppid() == 1);
	fact("process ids");
	syscall(SYS_getresuid, ids, ids + 1, ids + 2);
	printf("%u %u %u ", ids[0], ids[1], ids[2]);
	syscall(SYS_getresgid, ids, ids + 1, ids + 2);
	printf("%u %u %u fs %ld %ld\n", ids[0], ids[1], ids[2], syscall(SYS_setfsuid, -1), syscall(SYS_setfsgid, -1));
	fact("host name");
	printf("%s\n", gethostname(b, sizeof(b)) == 0 ? b : "?");
	fact("session"); /* what is outside of the pid namespace is 0 */
	printf("own %d, own group %d\n", getsid(0) != 0, getpgrp() != 0);
}

static void tell_files(void)
{
	static const char *files[] = {"self/status", "1/status", "self/limits", "1/limits", "self/oom_score_adj", "1/oom_score_adj", "self/cgroup", "1/cgroup",
		"self/uid_map", "self/gid_map", "self/setgroups", "self/personality", "self/coredump_filter", "self/loginuid", "self/sessionid", "self/attr/current",
		"self/mountinfo", "1/mountinfo", "self/autogroup", "keys", "kcore", "cmdline", "sys/kernel/hostname", "self/timens_offsets"};
	static const char *spaces[] = {"mnt", "pid", "pid_for_children", "ipc", "uts", "cgroup", "net", "user", "time", "time_for_children"};
	static const char *dirs[] = {"/", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"}, *names[] = {"/proc", "/sys", "/proc/acpi", "/sys/firmware", "/sys/class/net", "/sys/dev/block"};
	char path[128];
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(*files); i++) {
		snprintf(path, sizeof(path), "/proc/%s", files[i]);
		tell_file(path);
	}
	for (i = 0; i < sizeof(spaces) / sizeof(*spaces); i++) {
		snprintf(path, sizeof(path), "/proc/self/ns/%s", spaces[i]);
		tell_link(path);
	}
	for (i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		tell_dir(dirs[i], 1);
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		tell_dir(names[i], 0);
	for (i = 0; i < 6; i++)
		tell_link((const char *[]){"/proc/self/exe", "/proc/self/root", "/dev/fd", "/dev/stdin", "/dev/ptmx", "/dev/core"}[i]);
}

static int sum_of(const char *name, char **v)
{
	unsigned long n = 0, length = 0, sum = 5381;
	char *p;

	for (; v[n]; n++)
		for (p = v[n], length += strlen(p); *p; p++)
			sum = sum * 33 + (unsigned char)*p;
	return printf("%s %lu %lu %lx\n", name, n, length, sum) < 0;
}

static int beside(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", getppid());
	printf("beside %d: ", getppid());
	outcome(open(path, O_RDONLY) >= 0);
	outcome(open(path, O_WRONLY) >= 0);
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	char **e, c;
	int i;

	if (strstr(argv[0], "/flake-"))
		return beside();
	if (!strcmp(verb, "as"))
		return as_caller(argv + 2);
	if (!strcmp(verb, "exit"))
		return atoi(argv[2]);
	if (!strcmp(verb, "raise"))
		return raise(atoi(argv[2]));
	if (!strcmp(verb, "orphans"))
		return leave_orphans(atoi(argv[2]));
	if (!strcmp(verb, "args"))
		return sum_of("arguments", argv + 1) | sum_of("variables", environ);
	if (!strcmp(verb, "wait")) {
		printf("ready\n");
		fflush(stdout);
		return read(0, &c, 1) != 0;
	}
	if (!strcmp(verb, "open")) {
		for (i = 2; i < argc; i++) {
			fact("write to %s", argv[i]);
			outcome(open(argv[i], O_WRONLY | O_APPEND) >= 0);
		}
		return 0;
	}
	tell_fds(); /* first: it has opened nothing yet */
	tell_signals();
	fact("environment");
	for (e = environ; *e; e++)
		printf("<%s>\n", *e);
	tell_files();
	tell_process();
	if (!strcmp(verb, "inside")) {
		tell_init();
		tell_calls();
		sweep();
	}
	fact("end");
	fflush(stdout);
	_exit(0);
}
