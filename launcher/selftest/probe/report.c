//go:build ignore

/*
 * What a process has and is, as it finds by itself. It asks the kernel and reads files, and nothing else: no C library's
 * plug-ins, which an image may lack.
 */
#define _GNU_SOURCE
#include "probe.h"
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void end_of_value(void)
{
	putchar('\0');
}

static uint64_t fnv(uint64_t h, const char *p, size_t n)
{
	while (n--)
		h = (h ^ (unsigned char)*p++) * 1099511628211ULL;
	return h;
}

static void arguments(char **args)
{
	uint64_t h = 14695981039346656037ULL;
	int n;

	for (n = 0; args[n]; n++)
		h = fnv(h, args[n], strlen(args[n]) + 1);
	printf("arguments=%d, sum %016llx", n, (unsigned long long)h);
	end_of_value();
}

static void directories(void)
{
	char real[4096] = "?", *pwd = getenv("PWD");
	struct stat a, b;

	if (!getcwd(real, sizeof(real)))
		strcpy(real, "none");
	printf("directory=%s", real);
	end_of_value();
	if (!pwd || *pwd != '/' || stat(pwd, &a) != 0 || stat(".", &b) != 0 || a.st_dev != b.st_dev || a.st_ino != b.st_ino)
		pwd = real; /* as pwd -L does */
	printf("directory as named=%s", pwd);
	end_of_value();
}

/* Which directory that is, and how much is in it. */
static void place(const char *key, const char *path)
{
	struct dirent *e;
	struct stat st;
	int n = 0;
	DIR *d;

	if (!path || stat(path, &st) != 0) {
		printf("%s=none", key);
	} else {
		d = opendir(path);
		while (d && (e = readdir(d)))
			n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
		printf("%s=%llu:%llu %d", key, (unsigned long long)st.st_dev, (unsigned long long)st.st_ino, n);
		if (d)
			closedir(d);
	}
	end_of_value();
}

static void limits(void)
{
	static const char *const names[] = {"cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile",
		"memlock", "as", "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"};
	struct rlimit r;
	unsigned i;

	printf("limits=");
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (getrlimit(i, &r) == 0)
			printf("%s%s %lld:%lld", i ? ", " : "", names[i], (long long)r.rlim_cur, (long long)r.rlim_max);
	end_of_value();
}

static int by_value(const void *a, const void *b)
{
	gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;

	return (x > y) - (x < y);
}

static void identity(void)
{
	gid_t groups[1024];
	uid_t u[3];
	gid_t g[3];
	int n, i;

	getresuid(u, u + 1, u + 2);
	getresgid(g, g + 1, g + 2);
	printf("user id=%u %u %u", u[0], u[1], u[2]);
	end_of_value();
	printf("group id=%u %u %u", g[0], g[1], g[2]);
	end_of_value();
	n = getgroups(1024, groups);
	if (n > 0)
		qsort(groups, n, sizeof(*groups), by_value);
	printf("groups=");
	for (i = 0; i < n; i++)
		printf("%s%u", i ? " " : "", groups[i]);
	end_of_value();
}

/* The lines of a file for which want says so, through a filter that prints what counts of one. */
static void lines(const char *path, void (*each)(char *line, const char *word), const char *word)
{
	char line[4096];
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		each(line, word);
	}
	if (f)
		fclose(f);
}

static void account(char *line, const char *uid)
{
	char *name = strsep(&line, ":"), *id;

	strsep(&line, ":");
	id = strsep(&line, ":");
	if (id && strcmp(id, uid) == 0)
		printf("%s ", name);
}

static void address(char *line, const char *host)
{
	char *addr, *name;

	line[strcspn(line, "#")] = '\0';
	addr = strtok(line, " \t");
	while (addr && (name = strtok(NULL, " \t")))
		if (strcmp(name, host) == 0)
			printf("%s ", addr);
}

static void resolver(char *line, const char *unused)
{
	(void)unused;
	if (*line && *line != '#' && *line != ';')
		printf("%s; ", line);
}

static void interface(char *line, const char *unused)
{
	char *colon = strchr(line, ':');

	(void)unused;
	if (!colon)
		return;
	*colon = '\0';
	printf("%s ", line + strspn(line, " "));
}

static void status_line(char *line, const char *key)
{
	size_t n = strlen(key);

	if (strncmp(line, key, n) == 0 && line[n] == ':')
		printf("%s", line + n + 1 + strspn(line + n + 1, "\t "));
}

static void names(void)
{
	struct utsname u;
	char uid[16];

	uname(&u);
	snprintf(uid, sizeof(uid), "%u", getuid());
	printf("host name=%s", u.nodename);
	end_of_value();
	printf("user name=");
	lines("/etc/passwd", account, uid);
	end_of_value();
	printf("address of localhost=");
	lines("/etc/hosts", address, "localhost");
	end_of_value();
	printf("address of the host=");
	lines("/etc/hosts", address, u.nodename);
	end_of_value();
	printf("name servers=");
	lines("/etc/resolv.conf", resolver, NULL);
	end_of_value();
	printf("network interfaces=");
	lines("/proc/self/net/dev", interface, NULL);
	end_of_value();
}

static void zone(void)
{
	static const time_t instants[] = {1767225600 /* January 2026 */, 1782864000 /* July */};
	struct tm tm;
	unsigned i;

	printf("time zone=");
	for (i = 0; i < 2; i++)
		if (localtime_r(&instants[i], &tm))
			printf("%s%s %ld", i ? ", " : "", tm.tm_zone, (long)tm.tm_gmtoff);
	end_of_value();
}

static void signals(void)
{
	struct { void *handler; unsigned long more[3]; } act; /* the kernel's: the C library hides some signals */
	uint64_t blocked = 0;
	int sig;

	printf("ignored signals=");
	for (sig = 1; sig <= 64; sig++)
		if (syscall(SYS_rt_sigaction, sig, NULL, &act, 8) == 0 && act.handler == (void *)SIG_IGN)
			printf("%d ", sig);
	end_of_value();
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &blocked, 8);
	printf("blocked signals=");
	for (sig = 1; sig <= 64; sig++)
		if (blocked >> (sig - 1) & 1)
			printf("%d ", sig);
	end_of_value();
}

static void descriptors(void)
{
	static const char *const keys[] = {"stdin is", "stdout is", "stderr is"};
	struct winsize w;
	struct stat st;
	int fd;

	for (fd = 0; fd < 3; fd++) {
		if (fstat(fd, &st) != 0)
			printf("%s=closed", keys[fd]);
		else if (ioctl(fd, TIOCGWINSZ, &w) == 0)
			printf("%s=a terminal of %dx%d", keys[fd], w.ws_col, w.ws_row);
		else
			printf("%s=of type %o", keys[fd], st.st_mode & S_IFMT);
		end_of_value();
	}
	printf("further descriptors=");
	for (fd = 3; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("%d ", fd);
	end_of_value();
	fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	printf("controlling terminal=%s", fd < 0 ? "no" : "yes");
	end_of_value();
	close(fd);
}

static void confinement(void)
{
	printf("no_new_privs=%d", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	end_of_value();
	printf("seccomp=");
	lines("/proc/self/status", status_line, "Seccomp");
	end_of_value();
	printf("capabilities=");
	lines("/proc/self/status", status_line, "CapEff");
	end_of_value();
	printf("process id=%d", getpid());
	end_of_value();
}

int report(char **args)
{
	cpu_set_t cpus;
	mode_t mask = umask(0);
	char **e;

	umask(mask);
	descriptors(); /* before this process opens any of its own */
	arguments(args);
	directories();
	place("HOME", getenv("HOME"));
	place("/tmp", "/tmp");
	place("/var/tmp", "/var/tmp");
	printf("umask=%04o", mask);
	end_of_value();
	limits();
	printf("niceness=%d", getpriority(PRIO_PROCESS, 0));
	end_of_value();
	printf("processors=%d", sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 0);
	end_of_value();
	identity();
	names();
	zone();
	signals();
	confinement();
	for (e = environ; *e; e++) {
		printf("env %s", *e);
		end_of_value();
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
