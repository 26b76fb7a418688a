/* How far an app gets with its PID 1, and with what only root of the host may do. Nothing that works would change the host. */
#include "facts.h"
#include <dirent.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>

static void read_of(const char *path)
{
	char b;
	int fd;

	fact("read %s", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	outcome(fd >= 0);
	if (fd >= 0)
		outcome(read(fd, &b, 1) >= 0);
	close(fd);
}

static void write_of(const char *path)
{
	int fd;

	fact("write %s", path);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	outcome(fd >= 0);
	close(fd);
}

static void with_pid1(void)
{
	char b[16];
	struct iovec mine = {b, sizeof(b)}, theirs = {(void *)0x400000, sizeof(b)};
	int fd;

	fact("attach to init");
	outcome(ptrace(PTRACE_ATTACH, 1, NULL, NULL) == 0);
	fact("seize init");
	outcome(ptrace(0x4206, 1, NULL, NULL) == 0);
	fact("read init's memory");
	outcome(syscall(SYS_process_vm_readv, 1, &mine, 1, &theirs, 1, 0) > 0);
	fact("take init's descriptor");
	fd = syscall(434 /* pidfd_open */, 1, 0);
	outcome(fd >= 0);
	outcome(syscall(438 /* pidfd_getfd */, fd, 3, 0) >= 0);
	fact("enter init's namespaces");
	outcome(syscall(SYS_setns, fd, CLONE_NEWNS) == 0);
	close(fd);
	fact("compare with init");
	outcome(syscall(SYS_kcmp, getpid(), 1, 1 /* KCMP_VM */, 0, 0) >= 0);
	fact("limits of init");
	outcome(syscall(SYS_prlimit64, 1, 7, NULL, (uint64_t[2]){0}) == 0);
	fact("kill init"); /* the kernel takes it and protects a PID 1 */
	outcome(kill(1, SIGKILL) == 0);
	fact("stop init");
	outcome(kill(1, SIGSTOP) == 0);
}

void tell_init(void)
{
	static const char *reads[] = {"exe", "environ", "mem", "maps", "smaps", "auxv", "stack", "syscall", "pagemap", "io", "fd", "fd/3", "fdinfo", "map_files", "cwd", "root",
		"root/etc", "task/1/environ", "task/1/mem", "task/1/exe", "personality", "timerslack_ns", "comm", "ns/mnt", "wchan"};
	static const char *writes[] = {"exe", "mem", "oom_score_adj", "clear_refs", "coredump_filter", "comm", "timerslack_ns", "autogroup", "uid_map", "attr/current", "loginuid", "sched", "task/1/exe"};
	char path[64], b[4096];
	ssize_t n;
	size_t i;

	for (i = 0; i < sizeof(reads) / sizeof(*reads); i++) {
		snprintf(path, sizeof(path), "/proc/1/%s", reads[i]);
		read_of(path);
	}
	for (i = 0; i < sizeof(writes) / sizeof(*writes); i++) {
		snprintf(path, sizeof(path), "/proc/1/%s", writes[i]);
		write_of(path);
	}
	for (i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "/proc/1/%s", (const char *[]){"exe", "cwd", "root", "ns/mnt"}[i]);
		fact("link %s", path);
		n = readlink(path, b, sizeof(b));
		outcome(n >= 0);
	}
	fact("command line of init");
	n = open("/proc/1/cmdline", O_RDONLY | O_CLOEXEC);
	i = read(n, b, sizeof(b));
	close(n);
	fwrite(b, 1, (ssize_t)i > 0 ? i : 0, stdout);
	printf("\n");
	with_pid1();
	read_of("/proc/kcore");
	read_of("/proc/keys");
	read_of("/dev/mem");
	write_of("/proc/sysrq-trigger");
	write_of("/proc/sys/kernel/core_pattern");
	write_of("/proc/sys/kernel/hostname");
	write_of("/sys/power/state");
	write_of("/sys/fs/cgroup/cgroup.procs");
	write_of("/etc/passwd");
	write_of("/dev/null");
}

#define TRY(name, call) do { fact("call %s", name); errno = 0; outcome((call) >= 0); } while (0)

/* Families and ids are told apart by arguments. */
static void tell_arguments(void)
{
	char b[16];
	int i, st;

	for (i = 0; i < 46; i++)
		TRY((snprintf(b, sizeof(b), "socket %d", i), b), ({ int s = socket(i, SOCK_DGRAM | SOCK_CLOEXEC, 0); s < 0 ? s : close(s); }));
	TRY("raw socket", ({ int s = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 1); s < 0 ? s : close(s); }));
	TRY("netlink audit", ({ int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 9); s < 0 ? s : close(s); }));
	fact("call setuid");
	fflush(stdout);
	for (i = 0; i < 3; i++) { /* to root, to somebody, up and down again */
		if (fork() == 0)
			_exit(syscall(SYS_setresuid, (int[]){0, 12345, 54321}[i], -1, -1) == 0 ? 0 : errno);
		wait(&st);
		printf("%d\n", WEXITSTATUS(st));
	}
	fact("call raise rights");
	for (i = 0; i < 64; i++)
		if (prctl(47 /* PR_CAP_AMBIENT */, 2, i, 0, 0) == 0)
			printf("%d ", i);
	prctl(47, 4, 0, 0, 0);
	printf("\n");
}

/* Each call is a class of its own in the filter, or a right. */
void tell_calls(void)
{
	TRY("mount", syscall(SYS_mount, "tmpfs", "/tmp", "no such", 0, NULL));
	TRY("umount2", umount2("/proc", 0x8000));
	TRY("pivot_root", syscall(SYS_pivot_root, "", ""));
	TRY("chroot", syscall(SYS_chroot, "/nowhere"));
	TRY("fsopen", syscall(430, "no such", 0));
	TRY("open_tree", syscall(428, AT_FDCWD, "/nowhere", 1));
	TRY("bpf", syscall(SYS_bpf, 0, NULL, 0));
	TRY("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	TRY("userfaultfd", syscall(SYS_userfaultfd, 0xffff));
	TRY("io_uring_setup", syscall(425, 0, NULL));
	TRY("keyctl", syscall(SYS_keyctl, 0 /* id of the session's */, -3, 0));
	TRY("add_key", syscall(SYS_add_key, "user", "", NULL, 0, 0));
	TRY("request_key", syscall(SYS_request_key, "user", "x", NULL, 0));
	TRY("delete_module", syscall(SYS_delete_module, "", 0));
	TRY("finit_module", syscall(SYS_finit_module, -1, "", 0));
	TRY("reboot", syscall(SYS_reboot, 0, 0, 0, NULL));
	TRY("swapoff", syscall(SYS_swapoff, "/nowhere"));
	TRY("quotactl", syscall(SYS_quotactl, -1, NULL, 0, NULL));
	TRY("syslog", syscall(SYS_syslog, 10, NULL, 0));
	TRY("settimeofday", syscall(SYS_settimeofday, NULL, NULL));
	TRY("clock_settime", syscall(SYS_clock_settime, 99, NULL));
	TRY("adjtimex", syscall(SYS_adjtimex, NULL));
	TRY("sethostname", syscall(SYS_sethostname, NULL, -1));
	TRY("open_by_handle_at", syscall(SYS_open_by_handle_at, -1, NULL, 0));
	TRY("name_to_handle_at", syscall(SYS_name_to_handle_at, AT_FDCWD, "/", NULL, NULL, 0));
	TRY("fanotify_init", syscall(SYS_fanotify_init, 0xffff0000, 0));
	TRY("personality", syscall(SYS_personality, 0x0040000));
	TRY("landlock", syscall(444, NULL, 0, 1));
	TRY("unknown", syscall(9999));
	TRY("unshare user", syscall(SYS_unshare, CLONE_NEWUSER | CLONE_THREAD | 1));
	TRY("unshare mnt", syscall(SYS_unshare, CLONE_NEWNS | 1));
	TRY("setns", syscall(SYS_setns, -1, 0));
	TRY("mknod null", mknod("/tmp/facts", S_IFCHR | 0666, makedev(1, 3)));
	unlink("/tmp/facts");
	TRY("type into terminal", ioctl(0, TIOCSTI, "x"));
	TRY("the same, longer", syscall(SYS_ioctl, 0, 0xdead00000000UL | TIOCSTI, "x"));
	tell_arguments();
}

static int processes(void)
{
	struct dirent *e;
	DIR *d = opendir("/proc");
	int n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] >= '0' && e->d_name[0] <= '9';
	closedir(d);
	return n;
}

/* They die as orphans, which PID 1 has to reap. */
int leave_orphans(int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (fork() == 0) {
			if (fork() == 0) {
				usleep(1000);
				_exit(3);
			}
			_exit(0);
		} else {
			wait(NULL);
		}
	for (i = 0; i < 500 && processes() > 2; i++)
		usleep(10000);
	return !printf("%d\n", processes());
}
