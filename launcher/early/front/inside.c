/* The launcher as an app of its own. */
#include "front.h"
#include <stdio.h>

/*
 * PID 1 of an early start is the launcher's file, and so is the process that executes the app. An image whose program, or
 * interpreter, is /proc/self/exe would have the launcher run as the app, in a process that anybody inside may look into, and
 * which runs flake-ctl by a path that is the image's. So it goes no further than here; by now no code of the image's has run.
 * What is installed in an image, or shown in it, lies where it says that it does.
 */
void refuse_inside(void)
{
	char path[4096];
	struct stat own, named;
	ssize_t n;

	if (getppid() > 1) /* nobody but PID 1 has the launcher's file to execute */
		return;
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n < 0 || stat("/proc/self/exe", &own) != 0)
		return;
	path[n] = '\0';
	if (stat(path, &named) == 0 && named.st_dev == own.st_dev && named.st_ino == own.st_ino)
		return;
	dprintf(2, "flake-launcher: the program to be executed is /proc/self/exe, which is the launcher itself\n"
		   "flake-launcher: remedy: name a program of the images\n");
	_exit(125);
}
