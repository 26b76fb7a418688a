/* What the files of the program share. */
#ifndef FACTS_H
#define FACTS_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* A fact begins with its name on a line; up to the next name all is what it is. */
void fact(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* `ok` or the error's number. */
void outcome(int ok);

void tell_init(void);
void tell_calls(void);
int leave_orphans(int n);
void sweep(void);
int as_caller(char **words);

#endif
