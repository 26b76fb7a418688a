//go:build ignore

/*
 * A terminal that outlives its callers: an app of a kept instance runs in a session of its own, on a pty whose other
 * end is held here. Who calls is connected by a socket of packets, one kind and its data each; who calls later takes
 * over. What the app writes while nobody is there is lost, as on a screen that nobody looks at.
 */
#include "ops.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <termios.h>

static int client = -1;

static void drop(void)
{
	close(client);
	client = -1;
}

/* A packet is sent whole, or the client is not there any more. With nowait, 0 says that it can't take it now. */
int send_packet(int fd, char kind, const void *data, size_t n, int nowait)
{
	char b[PACKET + 1];
	ssize_t sent;

	b[0] = kind;
	memcpy(b + 1, data, n);
	do
		sent = send(fd, b, n + 1, MSG_NOSIGNAL | (nowait ? MSG_DONTWAIT : 0));
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && nowait && (errno == EAGAIN || errno == ENOBUFS))
		return 0;
	return sent == (ssize_t)n + 1 ? 1 : -1;
}

static int make_pty(int *slave)
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), zero = 0;

	if (master < 0 || ioctl(master, TIOCSPTLCK, &zero) != 0)
		die_at(OP_SERVE, errno, "make a terminal", NULL, NULL);
	*slave = ioctl(master, TIOCGPTPEER_, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*slave < 0)
		die_at(OP_SERVE, errno, "make a terminal", NULL, NULL);
	return master;
}

/* The first caller's terminal says how a terminal is meant to be. */
static void like_callers(int slave)
{
	struct termios t;
	struct winsize w;

	if (tcgetattr(0, &t) == 0)
		tcsetattr(slave, TCSANOW, &t);
	if (ioctl(0, TIOCGWINSZ, &w) == 0)
		ioctl(slave, TIOCSWINSZ, &w);
}

static char in[PACKET + 1]; /* a packet of input, and how much of it the terminal has to take yet */
static ssize_t in_at, in_end;

static void to_app(int master)
{
	ssize_t n = write(master, in + in_at, in_end - in_at);

	if (n > 0)
		in_at += n;
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		in_at = in_end; /* nobody reads any more */
}

static void from_client(int master)
{
	struct winsize w;
	ssize_t n;

	n = recv(client, in, sizeof(in), 0);
	if (n <= 0) {
		drop();
	} else if (in[0] == PACKET_SIZE && n - 1 == sizeof(w)) {
		memcpy(&w, in + 1, sizeof(w));
		ioctl(master, TIOCSWINSZ, &w);
	} else if (in[0] == PACKET_DATA) {
		in_at = 1, in_end = n;
		to_app(master);
	}
}

static void take_over(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (client >= 0)
		send_packet(client, PACKET_GONE, "", 0, 1);
	drop();
	client = fd;
}

static char out[PACKET]; /* what the app has written and the client has not taken yet */
static ssize_t out_end;

static void from_app(int master, int *open)
{
	ssize_t n = read(master, out, sizeof(out));

	if (n > 0)
		out_end = n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		*open = 0; /* nobody has the terminal open any more; the app's end is told otherwise */
}

static void to_client(int nowait)
{
	if (out_end == 0)
		return;
	switch (client < 0 ? 1 : send_packet(client, PACKET_DATA, out, out_end, nowait)) {
	case 0:
		return;
	case -1:
		drop();
	}
	out_end = 0;
}

/* Neither side may keep the other from being heard: nothing here waits but the poll. */
static void serve(int master, int listener, int signals, pid_t app) __attribute__((noreturn));
static void serve(int master, int listener, int signals, pid_t app)
{
	enum { MASTER, LISTENER, SIGNALS, CLIENT };
	struct pollfd p[4] = {{master, 0, 0}, {listener, POLLIN, 0}, {signals, POLLIN, 0}, {-1, 0, 0}};
	struct signalfd_siginfo info;
	int32_t status;
	int open = 1;

	ioctl(master, FIONBIO, &(int){1});
	for (;;) {
		p[MASTER].events = (out_end ? 0 : POLLIN) | (in_at < in_end ? POLLOUT : 0);
		p[MASTER].fd = open && p[MASTER].events ? master : -1;
		p[CLIENT].events = (in_at < in_end ? 0 : POLLIN) | (out_end ? POLLOUT : 0);
		p[CLIENT].fd = client;
		if (poll(p, 4, -1) < 0)
			continue;
		if (in_at < in_end && p[MASTER].fd >= 0 && p[MASTER].revents)
			to_app(master);
		else if (client >= 0 && in_at >= in_end && p[CLIENT].revents & (POLLIN | POLLHUP | POLLERR))
			from_client(master);
		else if (client >= 0 && p[CLIENT].revents & POLLHUP)
			drop();
		if (!out_end && p[MASTER].fd >= 0 && p[MASTER].revents)
			from_app(master, &open);
		to_client(1);
		if (p[LISTENER].revents)
			take_over(listener);
		if (!(p[SIGNALS].revents & POLLIN) || read(signals, &info, sizeof(info)) != sizeof(info))
			continue;
		if (info.ssi_signo == SIGTERM)
			kill(app, SIGHUP);
		if (info.ssi_signo == SIGCHLD && waitpid(app, &status, WNOHANG) == app)
			break;
	}
	/* What the app wrote last comes before its status. A client that does not read is not waited for. */
	if (client >= 0)
		setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){.tv_sec = 2}, sizeof(struct timeval));
	do {
		to_client(0);
		out_end = 0;
		from_app(master, &open);
	} while (out_end > 0);
	close(listener); /* who hears of the end may start it again at once */
	if (client >= 0)
		send_packet(client, PACKET_END, &status, sizeof(status), 0);
	_exit(0);
}

/* Returns in the process that becomes the app's outer one. */
void do_serve(char *p, char *end)
{
	int listener = number(OP_SERVE, &p, end), lock = number(OP_SERVE, &p, end), fds[2], master, slave, signals, st;
	uint64_t all = ~0ULL;
	pid_t pid;
	char c;

	if (pipe2(fds, O_CLOEXEC) != 0)
		die(OP_SERVE, errno);
	pid = fork();
	if (pid < 0)
		die(OP_SERVE, errno);
	if (pid > 0) {
		close(fds[1]);
		if (read(fds[0], &c, 1) == 1)
			_exit(0);
		while (waitpid(pid, &st, 0) < 0 && errno == EINTR)
			;
		_exit(125);
	}
	prctl(PR_SET_NAME, "flake-terminal", 0, 0, 0);
	signals = syscall(SYS_signalfd4, -1, &all, sizeof(all), O_CLOEXEC | O_NONBLOCK);
	if (signals < 0 || setsid() < 0)
		die(OP_SERVE, errno);
	master = make_pty(&slave);
	like_callers(slave);
	pid = fork();
	if (pid < 0)
		die(OP_SERVE, errno);
	if (pid == 0) {
		close(master), close(listener), close(signals), close(fds[0]), close(fds[1]);
		if (setsid() < 0 || ioctl(slave, TIOCSCTTY, 0) != 0 || dup2(slave, 0) < 0 || dup2(slave, 1) < 0 || dup2(slave, 2) < 0)
			die(OP_SERVE, errno);
		close(slave);
		return;
	}
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	close(slave), close(lock), close(fds[0]);
	if (chdir("/") != 0 || write(fds[1], "r", 1) != 1)
		close(fds[0]); /* nobody waits any more */
	close(fds[1]);
	st = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(st, 0), dup2(st, 1), dup2(st, 2);
	take_over(listener); /* the first caller has connected before */
	serve(master, listener, signals, pid);
}
