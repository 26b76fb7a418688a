//go:build ignore

/* The caller's side of a terminal that outlives him, see serve.c. He detaches by going away: no key is taken for that. */
#include "ops.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>

static struct termios before;
static int is_raw, served;

static void make_raw(void)
{
	struct termios t;

	if (tcgetattr(0, &before) != 0)
		return;
	t = before;
	cfmakeraw(&t);
	is_raw = tcsetattr(0, TCSANOW, &t) == 0;
}

static void restore(void)
{
	if (is_raw)
		tcsetattr(0, TCSANOW, &before);
}

/* What is to happen when the app has ended happens then, and not when its caller goes away. */
static void detach(int sig) __attribute__((noreturn));
static void detach(int sig)
{
	restore();
	after = NULL;
	leave(sig);
}

static void tell_size(int server)
{
	struct winsize w;

	if (ioctl(0, TIOCGWINSZ, &w) == 0 || ioctl(1, TIOCGWINSZ, &w) == 0)
		send_packet(server, PACKET_SIZE, &w, sizeof(w), 0);
}

static char held[PACKET]; /* what the caller has typed and the server has not taken yet */
static ssize_t n_held;

static void to_server(int server)
{
	if (n_held && send_packet(server, PACKET_DATA, held, n_held, 1) != 0)
		n_held = 0; /* taken, or nobody is there: that is seen elsewhere */
}

/* 0 when there will be nothing more. */
static int from_caller(void)
{
	ssize_t n = read(0, held, sizeof(held));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 1;
	if (n <= 0 && is_raw)
		detach(SIGHUP); /* the terminal is gone */
	if (n <= 0)
		held[0] = 4; /* ^D */
	n_held = n > 0 ? n : 1;
	return n > 0;
}

static void write_all(const char *p, ssize_t n)
{
	struct pollfd full = {1, POLLOUT, 0};
	ssize_t done;

	for (; n > 0; n -= done, p += done) {
		done = write(1, p, n);
		if (done < 0 && (errno == EINTR || errno == EAGAIN))
			done = 0, poll(&full, 1, -1);
		if (done < 0)
			detach(errno == EPIPE ? SIGPIPE : SIGHUP);
	}
}

static void from_server(int server)
{
	char b[PACKET + 1];
	ssize_t n = recv(server, b, sizeof(b), 0);
	int32_t status;

	if (n <= 0 && !served && again) { /* the app had ended before it could take us */
		restore();
		start_again(0);
	}
	served = 1;
	if (n > 0 && b[0] == PACKET_DATA) {
		write_all(b + 1, n - 1);
		return;
	}
	restore();
	if (n > 0 && b[0] == PACKET_END && n - 1 == sizeof(status)) {
		memcpy(&status, b + 1, sizeof(status));
		leave(status);
	}
	if (n > 0 && b[0] == PACKET_GONE)
		die_at(OP_ATTACH, EBUSY, "stay at the app's terminal: another call has taken it over", NULL, NULL);
	die_at(OP_ATTACH, EPIPE, "stay at the app's terminal", NULL, NULL);
}

void do_attach(char *p, char *end)
{
	int server = number(OP_ATTACH, &p, end);
	struct pollfd fds[3] = {{0, POLLIN, 0}, {server, POLLIN, 0}, {-1, POLLIN, 0}};
	int more = 1;
	struct signalfd_siginfo info;
	uint64_t all = ~0ULL;

	fds[2].fd = syscall(SYS_signalfd4, -1, &all, sizeof(all), O_CLOEXEC | O_NONBLOCK);
	if (fds[2].fd < 0)
		die(OP_ATTACH, errno);
	complaints = 2;
	make_raw();
	tell_size(server);
	for (;;) {
		fds[0].fd = more && !n_held ? 0 : -1;
		fds[1].events = POLLIN | (n_held ? POLLOUT : 0);
		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[1].revents & (POLLIN | POLLHUP | POLLERR))
			from_server(server);
		if (fds[0].fd == 0 && fds[0].revents)
			more = from_caller();
		to_server(server);
		if (!(fds[2].revents & POLLIN) || read(fds[2].fd, &info, sizeof(info)) != sizeof(info))
			continue;
		switch (info.ssi_signo) {
		case SIGWINCH:
			tell_size(server);
			break;
		case SIGHUP: case SIGINT: case SIGQUIT: case SIGTERM:
			detach(info.ssi_signo);
		}
	}
}
