/*
 * A start without Go: this runs before Go's runtime is up, which would take longer than all the rest. It does the plainest
 * starts only (a registered flake, or an ad-hoc start, whose plan holds) and returns from all others as if nothing had
 * happened; then package launcher does them, with words for what is wrong. What is read here was written by package early;
 * what comes out is the list of operations that package nsexec would have written, for the same program.
 */
#include "front.h"
#include <stdio.h>
#include <sys/resource.h>

extern const uintptr_t own_build;
extern char flake_ad_hoc[] __attribute__((weak)); /* linked into flake-run: see the Makefile */
const uintptr_t is_flake_run = (uintptr_t)flake_ad_hoc;

/* The C library gives it to main only. It lies in front of the environment. */
static char **arguments(long *count)
{
	char **p = environ - 2;

	for (*count = 0; (long)*p != *count; p--)
		++*count;
	return p + 1;
}

/* What is asked by variables, Go can answer. */
static int asks_more(void)
{
	const char *where;
	char **e;

	for (e = environ; *e; e++)
		if (!strncmp(*e, "FLAKE_", 6) && strncmp(*e, "FLAKE_TRACE=", 12))
			return 1;
	where = getenv("FLAKE_TRACE"); /* a file by a relative name, or one that can't be written */
	return where && *where && !trace_log;
}

/* The flake's name if there is no doubt about it: see launcher.names. */
static int flake_name(const char *arg0, char *file, size_t size)
{
	const char *home = getenv("HOME"), *name = strrchr(arg0, '/');

	name = name ? name + 1 : arg0;
	if (!*name || *name == '-' || !strcmp(name, ".") || !strcmp(name, "flake-launcher"))
		return 0;
	return (size_t)snprintf(file, size, "%s.%08x.plan", name, fnv32(home ? home : "")) < size;
}

static void hash(unsigned __int128 *h, const char *s)
{
	const unsigned __int128 prime = (unsigned __int128)1 << 88 | 0x13b;

	do
		*h = (*h ^ (unsigned char)*s) * prime;
	while (*s++);
}

/* As plan.AdHocName. */
static void ad_hoc_name(const struct start *s, char *file, size_t size)
{
	unsigned __int128 h = (unsigned __int128)0x6c62272e07bb0142ULL << 64 | 0x62b821756295c58dULL;
	const char *home = getenv("HOME");
	char key[16];
	uint32_t i;

	for (i = 0; i < s->compile.n; i++)
		hash(&h, s->compile.v[i]);
	snprintf(key, sizeof(key), "%08x", fnv32(home ? home : ""));
	hash(&h, key);
	snprintf(file, size, "run-%016llx%016llx.adhoc", (unsigned long long)(h >> 64), (unsigned long long)h);
}

static const char *joined_words(const char *a, const char *b)
{
	char *s = malloc(strlen(a) + strlen(b) + 1);

	return s ? strcat(strcpy(s, a), b) : NULL;
}

/* The value of an option that is written NAME VALUE or NAME=VALUE; NULL if it is another one. */
static char *value_of(const char *name, char ***at)
{
	size_t n = strlen(name);

	if (!strncmp(**at, name, n) && (**at)[n] == '=')
		return **at + n + 1;
	if (!strcmp(**at, name) && (*at)[1] && (*at)[1][0] != '-')
		return *++*at;
	return NULL;
}

/* For both options, a file that has no absolute name or can't be written, and what else there may be, Go has the words. */
static int asks_trace(char ***at)
{
	const char *where;

	if (trace_log)
		return 0;
	if (!strcmp(**at, "--trace"))
		return start_trace("1", 0);
	where = value_of("--trace-json", at);
	return where && *where == '/' && start_trace(where, 0);
}

/* flake-run's command line, of its options the plainest: see package run. */
static int ad_hoc(struct start *s, char **argv, long argc)
{
	const char *base = NULL, *value, *word = "";
	char **at;

	s->compile.v = calloc(argc + 4, sizeof(char *));
	s->given.v = calloc(argc + 1, sizeof(char *));
	if (!s->compile.v || !s->given.v)
		return 0;
	s->compile.v[s->compile.n++] = "compile";
	s->compile.v[s->compile.n++] = "--ad-hoc";
	for (at = argv + 1; *at && **at == '-' && word; at++) {
		if ((value = value_of("--env", &at)) || (value = value_of("-e", &at))) {
			if (!*value || *value == '=' || !strncmp(*at, "-e=", 3))
				return 0;
			s->given.v[s->given.n++] = value;
			continue;
		}
		if (asks_trace(&at))
			continue;
		if (!base && s->compile.n == 2 && (value = value_of("--base", &at)) && *value)
			word = joined_words("--base=", base = value);
		else if (base && (value = value_of("--layer", &at)) && *value)
			word = joined_words("--layer=", value);
		else
			return 0;
		s->compile.v[s->compile.n++] = word;
	}
	if (!*at || !**at || !word)
		return 0;
	s->compile.v[s->compile.n++] = "--";
	s->compile.v[s->compile.n++] = *at++;
	if (*at && !strcmp(*at, "--"))
		at++;
	s->args = (struct words){(const char **)at, argv + argc - at};
	s->replace = s->args.n > 0;
	return 1;
}

/* The plan is for these very words, whatever its file is called. */
static int same_words(struct start *s)
{
	struct words w;
	uint32_t i;

	if (!strings(s->only[REC_WORDS], &w) || w.n != s->compile.n)
		return 0;
	for (i = 0; i < w.n; i++)
		if (strcmp(w.v[i], s->compile.v[i]))
			return 0;
	return 1;
}

static struct start s;

static int late_checks(void)
{
	return checks_hold(&s, FIRST_CHECKS, MAX_SECTION);
}

/* Gives the list of operations of this process's start; 0 if it is not for us. */
int early_list(struct list *l)
{
	char file[300], **argv;
	long argc;

	argv = arguments(&argc);
	if (argc < 1 || argc > MAX_WORDS || asks_more())
		return 0;
	if (is_flake_run) {
		if (!ad_hoc(&s, argv, argc))
			return 0;
		ad_hoc_name(&s, file, sizeof(file));
	} else {
		if (!flake_name(argv[0], file, sizeof(file)))
			return 0;
		s.args = (struct words){(const char **)argv + 1, argc - 1};
	}
	trace("plan");
	if (!find_plan(&s, file))
		return 0;
	trace("checks");
	if (!meets_conditions(&s) || !same_words(&s) || !find_directory(&s))
		return 0;
	trace("list of operations");
	if (!write_list(&s, l))
		return 0;
	trace("layers");
	return open_dirs_of(&s);
}

#ifdef FRONT_TEST /* tells what would be done */
int main(void)
{
	struct list l = {0};

	return early_list(&l) && (!s.late || late_checks()) && write(1, l.p, l.n) == (ssize_t)l.n ? 0 : 3;
}

#else
/* What the caller has closed leads nowhere, lest a file of ours gets its number. Go's runtime does the same. */
static int fill_standard(void)
{
	int fd;

	for (fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return 0;
	return 1;
}

unsigned long long callers_ignored; /* signals, from number 1 on: Go's runtime is about to take them for itself */

static void note_ignored(void)
{
	struct { void *handler; unsigned long more[3]; } act;
	int sig;

	/* Raw calls: the C library hides some of them. */
	for (sig = 1; sig <= 64; sig++)
		if (syscall(SYS_rt_sigaction, sig, NULL, &act, 8) == 0 && act.handler == (void *)SIG_IGN)
			callers_ignored |= 1ULL << (sig - 1);
}

static void start_early(void)
{
	const char *where = getenv("FLAKE_TRACE");
	struct list l = {0};

	if (!own_build || !fill_standard())
		return;
	if (where && (!strcmp(where, "1") || *where == '/'))
		start_trace(where, 0);
	if (early_list(&l)) {
		if (!s.late)
			perform_list(l.p, l.n);
		perform_if(l.p, l.n, late_checks);
		close_dirs();
	}
	stop_trace();
}

/*
 * Go's runtime reserves that much at once, and dies with a stack trace where it can't. (Below some 40 MB the kernel kills
 * the program before its first instruction.)
 */
enum { GO_NEEDS = 740 << 20 };

static void refuse_narrow(void)
{
	static const char words[] = ": start Go's runtime: the limit for the address space is too low\n";
	const char *self = is_flake_run ? "flake-run" : "flake-launcher";
	char b[300];
	struct rlimit limit;
	int n;

	if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur >= GO_NEEDS)
		return;
	n = snprintf(b, sizeof(b), "%s%s%s: remedy: raise it (ulimit -v, LimitAS of a service)\n", self, words, self);
	if (write(2, b, n) < 0)
		_exit(125); /* nobody listens */
	_exit(125);
}

__attribute__((constructor)) static void early(void)
{
	refuse_inside();
	start_early();
	refuse_narrow();
	note_ignored();
}
#endif
