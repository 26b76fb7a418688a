//go:build ignore

/*
 * What is told about a start that failed. With libcontainer that is a record for the engine, which finds the words.
 * In the direct engine there is nobody left but this program, so it writes the two lines itself; for a command that
 * can't be executed they are those of nsexec.ExecError, and a test compares them.
 */
#include "ops.h"
#include <sys/prctl.h>

const char *speaker, *command;
int is_outer, own_userns;
static const char *kernel_says;

struct lines {
	char b[4096];
	size_t n;
};

static void add(struct lines *l, const char *s)
{
	while (*s && l->n < sizeof(l->b) - 1)
		l->b[l->n++] = *s++;
}

/* A path comes from an image or a host: it must not become a line or a terminal's command. */
static void add_path(struct lines *l, const char *s)
{
	add(l, "\"");
	for (; *s && l->n < sizeof(l->b) - 1; s++)
		l->b[l->n++] = (unsigned char)*s < ' ' || *s == 0x7f ? '?' : *s;
	add(l, "\"");
}

static void add_number(struct lines *l, int v)
{
	char b[12], *p = b + sizeof(b);

	*--p = '\0';
	do
		*--p = '0' + v % 10;
	while (v /= 10);
	add(l, p);
}

/* Go's words, so that both engines say the same. */
static const struct {
	int err;
	const char *text;
} errors[] = {
	{EPERM, "operation not permitted"}, {ENOENT, "no such file or directory"}, {EIO, "input/output error"},
	{ENXIO, "no such device or address"}, {E2BIG, "argument list too long"}, {ENOEXEC, "exec format error"},
	{EBADF, "bad file descriptor"}, {EAGAIN, "resource temporarily unavailable"}, {ENOMEM, "cannot allocate memory"},
	{EACCES, "permission denied"}, {EFAULT, "bad address"}, {EBUSY, "device or resource busy"}, {EEXIST, "file exists"},
	{EXDEV, "invalid cross-device link"}, {ENODEV, "no such device"}, {ENOTDIR, "not a directory"},
	{EISDIR, "is a directory"}, {EINVAL, "invalid argument"}, {ENFILE, "too many open files in system"},
	{EMFILE, "too many open files"}, {ETXTBSY, "text file busy"}, {EFBIG, "file too large"},
	{ENOSPC, "no space left on device"}, {EROFS, "read-only file system"}, {EMLINK, "too many links"},
	{ENAMETOOLONG, "file name too long"}, {ENOSYS, "function not implemented"},
	{ELOOP, "too many levels of symbolic links"}, {EPROTO, "protocol error"},
	{EOVERFLOW, "value too large for defined data type"}, {ELIBBAD, "accessing a corrupted shared library"},
	{EUSERS, "too many users"}, {EOPNOTSUPP, "operation not supported"}, {ESTALE, "stale file handle"},
	{EDQUOT, "disk quota exceeded"}, {EPIPE, "broken pipe"},
};

static void add_error(struct lines *l, int err)
{
	size_t i;

	for (i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (errors[i].err == err) {
			add(l, errors[i].text);
			return;
		}
	add(l, "errno ");
	add_number(l, err);
}

static int knob_is(const char *path, char value)
{
	char c = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC), is;

	if (fd < 0)
		return 0;
	is = read(fd, &c, 1) == 1 && c == value && (read(fd, &c, 1) <= 0 || c == '\n');
	close(fd);
	return is;
}

/* Somebody's filter on system calls, as long as ours is not loaded. */
static int filtered(void)
{
	return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2;
}

/* Why an ordinary user gets no namespace of users, or none that is of use. */
static const char *barred(uint32_t op, int err)
{
	if (knob_is("/proc/sys/kernel/unprivileged_userns_clone", '0'))
		return "let users make namespaces: `sysctl kernel.unprivileged_userns_clone=1` as root";
	if (op == OP_USERNS || op == OP_CLONE) {
		if (err == EACCES && knob_is("/sys/fs/selinux/enforce", '1'))
			return "SELinux bars it: allow `user_namespace create` for the type that `ausearch -m avc` names";
		if (filtered())
			return "a seccomp filter bars it (Seccomp in /proc/self/status): run outside of other containers and sandboxes, or let "
			       "the outer one make namespaces (docker, podman: --security-opt seccomp=unconfined; systemd: RestrictNamespaces=no)";
	}
	if (knob_is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", '1'))
		return "AppArmor bars it: install our profile, or `sysctl kernel.apparmor_restrict_unprivileged_userns=0` as root";
	if (op == OP_USERNS && err == EACCES && knob_is("/sys/module/apparmor/parameters/enabled", 'Y'))
		return "AppArmor bars it: install our profile, or allow `userns,` in the one that /proc/self/attr/current names";
	return NULL;
}

static const char *remedy(uint32_t op, int err)
{
	const char *why = own_userns && op != OP_RANGE && (err == EPERM || err == EACCES) ? barred(op, err) : NULL;

	if (err == ENOSPC && (op == OP_USERNS || op == OP_CLONE))
		return limit_remedy();
	if (why)
		return why;
	if (err == ENOSYS && filtered())
		return "a seccomp filter may bar it (Seccomp in /proc/self/status): run outside of other containers and sandboxes, "
		       "or use a kernel of version 5.12 or newer";
	if (err == ENOSYS)
		return "use a kernel of version 5.12 or newer, or `engine: libcontainer`";
	if (op == OP_KEYRING)
		return "end other containers, or raise kernel.keys.maxkeys";
	if (err == ENOSPC || err == ENOMEM || err == EDQUOT)
		return "free memory, or disk space below the store";
	if (err == EFBIG)
		return "raise the limit for the size of files (`ulimit -f`, LimitFSIZE of a service)";
	if (err == EMFILE || err == ENFILE)
		return "close what the caller has open, or raise the limit of open files (`ulimit -n`)";
	if (err == EAGAIN || err == EUSERS)
		return "end other processes, or raise the limit of processes";
	switch (op) {
	case OP_USERNS:
		return "run outside of other containers, or as root";
	case OP_TRACE:
		return "name a file that you may write, in a directory that is there, and no symlink";
	case OP_RANGE:
		return "check your lines in /etc/subuid and /etc/subgid, and that newuidmap and newgidmap may do it (not inside of a flake)";
	case OP_CLONE:
		return "run as root, outside of other containers";
	case OP_UPPER:
		if (err == EOPNOTSUPP)
			return "start with --writable disk, or on Linux 6.6 or newer";
		break;
	case OP_OVERLAY:
		if (err == ENODEV)
			return "load the kernel's module with `modprobe overlay`, or use a kernel that has it";
		if (err == ELOOP)
			return "name each image once, and keep stores out of image layers";
		if (err == E2BIG)
			return "use Linux 6.7 or newer, or images with fewer layers";
		return "check that the store lies on a local file system that is no overlay itself";
	case OP_LINK: case OP_LINKS:
		return "start again: host files have changed since the start was planned";
	case OP_MOUNT:
		if (err == EPERM && own_userns)
			return "run outside of other containers, or give the outer one `nesting: true`";
		break;
	case OP_RLIMIT:
		if (err == EPERM)
			return "ask for no more than the hard limit that you have yourself (`ulimit -Ha`), or run as root";
		break;
	case OP_BIND:
		if (err == ENOENT)
			return "make what is missing on the host, or take the option out";
		if (err == EACCES) /* on the way to it */
			return "change to another directory if you are in it, or take the option out: you can't reach it by its path";
		break;
	case OP_CAPS:
		if (err == EPERM)
			return "leave out capabilities that you don't have yourself";
		break;
	case OP_HOLD:
		return err == EBUSY ? "end it with `flake-ctl reset`: something of it is still running" : "start it again; the kernel's log may tell more";
	case OP_JOIN:
		if (err == EPERM)
			return "end it with `flake-ctl reset`, or start it as who started it first, with CAP_SYS_PTRACE if that is root";
		return "start it again: the instance has ended meanwhile";
	case OP_ATTACH:
		return "call it again, to come back or to start it again; another instance has a terminal of its own";
	case OP_GRAFT:
		if (err == EACCES || err == EOVERFLOW || err == EROFS)
			return "start it in a directory that the instance has, or end the instance first (flake-ctl reset)";
		break;
	case OP_CWD:
		return "change to another directory, or name one that the image has with workdir: (--workdir)";
	}
	if (err == EPERM)
		return own_userns ? "run outside of other containers" : "run as root, outside of other containers";
	return "check the flake's options; the kernel's log may tell more";
}

static void say(struct lines *l, const char *advice)
{
	char all[6144];
	size_t n = 0;
	const char *parts[] = {speaker, ": ", l->b, "\n", speaker, ": remedy: ", advice, "\n"}, *p;
	size_t i;

	l->b[l->n] = '\0';
	for (i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		for (p = parts[i]; *p && n < sizeof(all); p++)
			all[n++] = *p;
	if (write(2, all, n) < 0)
		return; /* nobody listens */
}

void report(uint32_t kind, uint32_t op, int32_t value, uint32_t exists)
{
	struct report r = {kind, op, value, exists};

	if (is_outer)
		return;
	while (write(status_fd, &r, sizeof(r)) < 0 && errno == EINTR)
		;
}

void die(uint32_t op, int err)
{
	static const char *const what[] = {
		[0] = "read the program", [OP_STDIO] = "place standard input and output", [OP_DEATH] = "follow the launcher",
		[OP_NO_PRIVS] = "set no_new_privs", [OP_FILTER] = "load seccomp filter", [OP_ENV] = "read the environment",
		[OP_RUN] = "run the app", [STAGE_FORK] = "fork the app", [OP_USERNS] = "make user namespace",
		[OP_CLONE] = "make namespaces", [OP_UPPER] = "make the writable part", [OP_PIVOT] = "change the root",
		[OP_HOSTNAME] = "set host name", [OP_LOOPBACK] = "bring up the loopback interface",
		[OP_RLIMIT] = "set a resource limit", [OP_CAPS] = "set capabilities", [OP_IDS] = "set user and groups",
		[OP_KEYRING] = "leave the caller's keyring", [OP_RANGE] = "map the range of ids", [OP_EXEC] = "execute a program",
		[OP_PRESERVE] = "keep descriptors", [OP_LINKS] = "mount host layer",
		[OP_HOLD] = "keep an instance", [OP_KEEP] = "stay in the container", [OP_JOIN] = "enter the kept instance",
		[OP_SERVE] = "run it in a terminal of its own", [OP_ATTACH] = "come to the app's terminal",
	};

	die_at(op, err, op < sizeof(what) / sizeof(*what) && what[op] ? what[op] : "set up the container", NULL, NULL);
}

void die_at(uint32_t op, int err, const char *what, const char *a, const char *b)
{
	struct lines l = {.n = 0};

	await_checks();
	report(KIND_FAILED, op, err, 0);
	if (speaker) {
		add(&l, "start container: ");
		add(&l, what);
		if (a) {
			add(&l, " ");
			add_path(&l, a);
		}
		if (b) {
			add(&l, " on ");
			add_path(&l, b);
		}
		add(&l, ": ");
		add_error(&l, err);
		if (kernel_says) {
			add(&l, " (");
			add(&l, kernel_says);
			add(&l, ")");
		}
		say(&l, remedy(op, err));
	}
	_exit(125);
}

/* The kernel has more to say about a file system that it did not make: "e overlay: text". */
void die_log(uint32_t op, int err, const char *what, const char *a, int fs)
{
	static char log[512];
	ssize_t n = fs < 0 ? 0 : read(fs, log, sizeof(log) - 1);
	char *p;

	if (n > 2) {
		for (p = log; *p; p++)
			if ((unsigned char)*p < ' ')
				*p = p[1] ? ' ' : '\0';
		kernel_says = log[1] == ' ' ? log + 2 : log;
	}
	die_at(op, err, what, a, NULL);
}

void die_exec(int err, uint32_t exists)
{
	int missing = err == ENOENT || err == ENOTDIR;
	struct lines l = {.n = 0};
	const char *advice = "make the file executable for the user that the app runs as";

	report(KIND_FAILED, OP_RUN, err, exists);
	if (!speaker)
		_exit(missing ? 127 : 126);
	add(&l, "execute ");
	add(&l, command);
	add(&l, ": ");
	if (err == ENOENT && exists) {
		add(&l, "its interpreter or loader is not in the image");
		advice = "add the missing interpreter to one of the flake's images, or let the host supply it";
	} else if (missing) {
		add(&l, "not found in the image");
		advice = "name a command that the image has, or set the flake's target_app_path";
	} else if (err == ENOEXEC) {
		add(&l, "neither a program for this machine nor a script with a #! line");
		advice = "pull the image for this machine's architecture, or run the script through its interpreter";
	} else {
		add_error(&l, err);
		if (err == E2BIG)
			advice = "pass fewer or shorter arguments";
	}
	say(&l, advice);
	_exit(missing ? 127 : 126);
}
