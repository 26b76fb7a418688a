/*
 * What the files of this program share: the numbers of the operations, the system calls that a C library may not
 * know, and the few functions that cross a file's border. The Go package in this directory has the same numbers.
 */
#ifndef OPS_H
#define OPS_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* Not in every C library; the same on every architecture. */
enum {
	NR_open_tree = 428, NR_move_mount = 429, NR_fsopen = 430, NR_fsconfig = 431, NR_fsmount = 432,
	NR_pidfd_send_signal = 424, NR_close_range = 436, NR_openat2 = 437, NR_mount_setattr = 442,
};

/* From linux/mount.h, linux/openat2.h, linux/sched.h, linux/stat.h, which musl's compiler wrapper does not find. */
#define OPEN_TREE_CLONE 1
#define AT_RECURSIVE_ 0x8000
#define MOVE_BOTH_EMPTY (0x04 | 0x40) /* MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH */
#define MOVE_FROM_EMPTY 0x04
enum { FSCONFIG_SET_FLAG_ = 0, FSCONFIG_SET_STRING_ = 1, FSCONFIG_CMD_CREATE_ = 6 };
#define ATTR_RDONLY 0x01
#define ATTR_NOSUID 0x02
#define ATTR_NODEV 0x04
#define ATTR_NOEXEC 0x08
#define RESOLVE_NO_MAGICLINKS 0x02
#define RESOLVE_NO_SYMLINKS 0x04
#define RESOLVE_BENEATH 0x08
#define RESOLVE_IN_ROOT 0x10
#define NEWUSER 0x10000000
#define NEWPID 0x20000000
#define ATTR_MOUNT_ROOT 0x2000 /* of statx, from Linux 5.8 on */

#define MAGIC 0x314b4c46u /* "FLK1" on little endian */

enum op {
	OP_STDIO = 1,    /* int32[3]: become 0, 1, 2 */
	OP_DEATH = 2,    /* int32: signal to get when the engine dies */
	OP_NO_PRIVS = 3, /* no_new_privs */
	OP_FILTER = 4,   /* struct sock_filter[] */
	OP_GROUP = 5,    /* the app leads a process group of its own */
	OP_ENV = 6,      /* NUL-terminated strings */
	OP_RUN = 7,      /* NUL-terminated strings: the app's argv; must come last */
	STAGE_FORK = 8,  /* no operation: what comes before the app's execve */

	/* Of the outer process, in the direct engine only. */
	OP_NAME = 16,    /* two strings: who speaks in messages; the command, quoted */
	OP_USERNS = 17,  /* uint32: uid inside, outside, gid inside, outside */
	OP_SCRATCH = 18, /* int32: directory to be emptied at the end */
	OP_CLONE = 19,   /* uint32: namespaces, propagation. What follows is PID 1's */
	OP_RANGE = 20,   /* uint32 number of uid maps, of gid maps; inside, outside, size of each; newuidmap, newgidmap */
	OP_TRACE = 22,   /* uint32 number of marks; uint64 when the launcher began, when each was made; where to, names */
	OP_EXEC = 21,    /* uint32 number of arguments; file, arguments, environment: become that program */

	OP_UPPER = 32,   /* struct upper, path of the scratch directory: the writable part */
	OP_SEED = 33,    /* uint32 mode, uid, gid (~0: as it is), opaque; path, text of a symlink */
	OP_OVERLAY = 34, /* uint32 number of layers, topmost first; descriptors, paths */
	OP_LINK = 35,    /* uint32 kind, flags; source, target */
	OP_MOUNT = 36,   /* uint32 attributes, flags; file system, source, target, options */
	OP_BIND = 37,    /* uint32 attributes, flags; source, target */
	OP_NODE = 38,    /* uint32 mode, major, minor, uid, gid, flags; path */
	OP_SYMLINK = 39, /* text, path */
	OP_MASK = 41,    /* uint32 flags; path */
	OP_READONLY = 42, /* path */
	OP_PIVOT = 43,   /* uint32: 1 makes the root read-only */
	OP_HOSTNAME = 44, /* name */
	OP_LOOPBACK = 45, /* bring up lo */
	OP_RLIMIT = 46,  /* uint64: resource, soft, hard */
	OP_UMASK = 47,   /* uint32 */
	OP_CWD = 48,     /* uint32 1 to make it if missing; uint64 device, inode (0: any); path, another path if that is not it */
	OP_CAPS = 49,    /* uint64: bounding, effective, permitted, inheritable, ambient */
	OP_IDS = 50,     /* uint32 uid, gid, 1 to set groups, groups… */
	OP_KEYRING = 51, /* leave the caller's session keyring */
	OP_COPY = 52,    /* uint32 mode, uid, gid (~0: as it is); source on the host, path */
	OP_LINKS = 54,   /* uint32 flags, descriptor of the links' layer, number of data layers, descriptors; paths: the host layer */
	OP_VERIFY = 55,  /* path: read a byte of it below the root, and end well */
	OP_HOST = 56,    /* path: the root is the host's, or a directory of it, read-only with all that is mounted there */
	OP_PRESERVE = 53, /* uint32 n, descriptors beyond 2 that the app gets, too */

	/* Of kept instances: hold.c, join.c. */
	OP_HOLD = 64,    /* int32 lock, state file: leave a process behind that watches over PID 1 */
	OP_KEEP = 65,    /* PID 1 stays, without an app; must come last */
	OP_AFTER = 66,   /* uint32 number of arguments; file, arguments, environment: to be run when the app has ended */
	OP_GRAFT = 67,   /* uint32 attributes, flags; source, target: show it in the instance, unless it is there */
	OP_FRESH = 68,   /* uint32 mode; target, content: have that file, or symlink (S_IFLNK) of that text, in the instance */
	OP_SERVE = 71,   /* int32 listening socket, lock: what follows runs in a terminal of its own, served to who connects */
	OP_ATTACH = 72,  /* int32 socket: be at such a terminal; must come last */
	OP_AGAIN = 70,   /* as OP_AFTER: to become if the instance is about to end */
	OP_JOIN = 69,    /* int32 pidfd, lock; uint32 pid, namespaces: go on inside of the instance */
};

/* Flags of the operations on mounts. */
enum {
	F_RECURSIVE = 1, /* with what is mounted below */
	F_FOLLOW = 2,    /* symlinks on the way to the target may be followed, inside the root */
	F_HOST = 4,      /* don't try to make it, take the host's */
	F_SYS = 8,       /* only where /sys is the host's */
	F_TRUSTED = 32,  /* overlayfs' attributes are those of root */
	F_OPTIONAL = 16, /* a source that is missing is left out */
};

enum { LINK_FILE = 0, LINK_DIR = 1, LINK_SOCKET = 2 };
enum { UPPER_TMPFS = 0, UPPER_DISK = 1, UPPER_NONE = 2, UPPER_KEPT = 3 /* on disk, perhaps from an earlier start */ };

struct upper {
	uint32_t kind;
	int32_t scratch; /* UPPER_DISK */
	int32_t like;    /* directory whose mode and owner the root gets */
	uint32_t hosts;  /* how often a later OP_BIND shows all of the host: taken before our mounts are among its */
	uint64_t size;   /* of the tmpfs, 0: the kernel's default */
};

enum kind { KIND_STARTED = 1, KIND_ENDED = 2, KIND_FAILED = 3, KIND_STOPPED = 4, KIND_CONTINUED = 5 };

struct report {
	uint32_t kind;
	uint32_t op;     /* that failed */
	int32_t value;   /* raw wait status, errno, or signal that stopped the app */
	uint32_t exists; /* OP_RUN: the file is there, what it needs is not */
};

/* The signal by which the outer process hands others to PID 1; its value says which is meant (0: none, but answer), and
 * behind which stop of the app it was sent. */
#define CARRIER 63
#define CARRIED(sig, stops) ((int)((sig) | ((stops) & 0xffff) << 8))
/* What the kernel sends when the outer process is gone: with the host's pids, and to the process around a joined app. */
#define ORPHANED 64

/* init.c */
extern int status_fd;
void follow_engine(int sig);
char **vector(uint32_t op, char *p, uint32_t size);
extern uint64_t callers_mask;
void perform_list(char *blob, uint64_t size) __attribute__((noreturn));
/* fds.c */
extern int stdio[3];
void place_stdio(void);
void preserve(char *p, char *end);
void close_rest(void);
void close_preserved(void);
extern int preserved;
void set_mask(const uint64_t *set, uint64_t *old);
char *text(uint32_t op, char **at, char *end);
uint32_t number(uint32_t op, char **at, char *end);

/* report.c: die() tells the user, in the direct engine, and whoever reads the status pipe. what, a and b may be 0. */
extern const char *speaker, *command;
extern int is_outer, own_userns; /* 0, or one of these */
enum { OWN_SINGLE = 1, OWN_RANGE = 2 };
void report(uint32_t kind, uint32_t op, int32_t value, uint32_t exists);
void die(uint32_t op, int err) __attribute__((noreturn));
void die_at(uint32_t op, int err, const char *what, const char *a, const char *b) __attribute__((noreturn));
void die_log(uint32_t op, int err, const char *what, const char *a, int fs) __attribute__((noreturn));
void die_exec(int err, uint32_t exists) __attribute__((noreturn));

/* trace.c */
extern struct trace_log *trace_log;
int start_trace(const char *where, uint64_t began);
void do_trace(char *p, char *end);
void trace_now(const char *name);
void trace_op(uint32_t op);
void trace_as_pid1(const char *name);
void trace_app(const char *name);
void end_trace(void);
void stop_trace(void);
static inline void trace(const char *name)
{
	if (__builtin_expect(trace_log != NULL, 0))
		trace_now(name);
}

/* gate.c */
enum gate { GATE_ID, GATE_CHECKED, GATES };
extern struct shared {
	uint32_t answers; /* of PID 1 to the outer process: a number */
	uint32_t gates[GATES];
	uint32_t typed; /* signals that the terminal has sent to the outer process */
	uint32_t begun; /* 1: PID 1 runs, 2: it does not, and the outer process has moved */
	int processor;  /* of the outer process */
} *shared;
extern int (*recheck)(void);
void open_gate(enum gate gate);
void wait_at_gate(enum gate gate);
void await_checks(void);
void note_processor(void);
void stay_out_of_way(void);
void begin_beside(void);
void perform_if(char *blob, uint64_t size, int (*check)(void));
void take_back(pid_t pid1, int pipe, int signals) __attribute__((noreturn));

/* userns.c */
void do_userns(char *p, char *end);
void do_range(char *p, char *end);
void give_id(pid_t pid1);
void await_id(void);

/* outer.c */
void do_clone(char *p, char *end);
void set_scratch(int fd);
void leave(int status) __attribute__((noreturn));
void leave_behind(uint32_t op, unsigned long namespaces);
extern int join_lock; /* what only who enters has to hold */

/* limits.c */
uint32_t find_limit(unsigned long namespaces);
const char *limit_remedy(void);

/* after.c: each is file, arguments, NULL, environment, NULL. */
extern char **again, **after;
extern int complaints; /* stderr for what is run at the end */
char **program(uint32_t op, char *p, char *end);
void run_after(void);
void start_again(pid_t child) __attribute__((noreturn));

/* hold.c, join.c: instances that outlive their starts. */
#define HOLD "FLAKE_HOLD="
extern int holding;
void do_hold(char *p, char *end);
void guard(pid_t pid1, int pipe, int signals) __attribute__((noreturn));
void keep(void) __attribute__((noreturn));
void hold_main(int fd) __attribute__((noreturn));
void do_kept(uint32_t op, char *p, char *end);
int instance_ends(void);

/* grafts.c */
void add_graft(char *p, char *end);
int grafts_missing(pid_t pid1);
void take_grafts(int private); /* private: this mount namespace is a copy */
void attach_grafts(void);

/* serve.c, attach.c: what goes over their socket. */
#define PACKET 4096
#define TIOCGPTPEER_ 0x5441
enum { PACKET_DATA = 'd', PACKET_SIZE = 'w', PACKET_END = 'e', PACKET_GONE = 'g' };
int send_packet(int fd, char kind, const void *data, size_t n, int nowait);
void do_serve(char *p, char *end);
void do_attach(char *p, char *end) __attribute__((noreturn));

/* root.c, upper.c, places.c, mounts.c */
extern int root, base, upper, hides, floating;
extern struct upper how;
extern mode_t callers_umask;
int fs_string(int fs, const char *key, const char *value);
int is_kernel(unsigned long major, unsigned long minor);
int make_dir(int dir, const char *name, mode_t mode);
int reopen(uint32_t op, int fd, const char *path);
int resolve(int dir, const char *path, int flags, uint64_t how);
const char *relative(const char *path);
void forget_directories(void);
void forget_parent(void);
uint64_t rules(int flags);
int find_parent(uint32_t op, const char *path, int flags, const char **name);
int is_dir(int fd);
int set_attrs(int fd, uint64_t attrs, int recursive);
int detach_events(int fd);
int clone_tree(int dir, const char *path, int recursive);
void take_hosts(uint32_t n);
int find_target(uint32_t op, const char *path, int flags, int as_dir);
void attach(uint32_t op, int tree, int target, const char *a, const char *b);
void do_upper(char *p, char *end);
void do_seed(char *p, char *end);
void do_copy(char *p, char *end);
void do_links(char *p, char *end);
void do_verify(char *p, char *end);
void do_host(char *p, char *end);
void do_overlay(char *p, char *end);
void do_pivot(char *p, char *end);
void do_mount(uint32_t op, char *p, char *end);

/* rights.c */
void load_filter(void *prog, uint32_t size);
void note_groups(void);
void do_rights(uint32_t op, char *p, char *end);

/* jobs.c */
struct signalfd_siginfo;
void unblock(int sig);
void note_terminal(void);
void give_terminal_back(int status);
void share_memory(uint32_t op);
void relay(pid_t pid1, const struct signalfd_siginfo *in);
void stop(pid_t pid1, int pipe, int sig);

/* keys.c */
pid_t clone_hearing_keys(unsigned long namespaces);
void forget_keys(void);
void hear_keys(void);
void put_off_stops(void);
void kill_typed(pid_t app);

/* app.c */
extern int own_group, child_ignored, host_pids, joined;
int next_signal(siginfo_t *info);
extern char **app_env;
void run(char **argv, const uint64_t *old_mask);

#endif
