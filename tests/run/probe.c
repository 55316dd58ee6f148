/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only program of the test root file systems: static, looks around and prints what it sees.
 * usage: probe WHAT [ARG]...   (several WHATs are separated by "--")
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static volatile sig_atomic_t got;

static void on_signal(int sig)
{
	got = sig;
}

static void result(const char *what, long r)
{
	printf("%s: %s\n", what, r < 0 ? strerror(errno) : "ok");
}

static int ids(char **argv)
{
	gid_t groups[64];
	int i, n = getgroups(64, groups);

	printf("ids: %u:%u", getuid(), getgid());
	for (i = 0; i < n; i++)
		printf(" %u", groups[i]);
	printf("\n");
	return 0;
}

static int env(char **argv)
{
	char **e;

	for (e = environ; *e; e++)
		printf("env: %s\n", *e);
	return 0;
}

static int cat(char **argv)
{
	char buf[65536];
	int fd = open(argv[0], O_RDONLY);
	ssize_t n;

	if (fd < 0) {
		result(argv[0], -1);
		return 1;
	}
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n)
			return 1;
	return 0;
}

static int put(char **argv)
{
	int fd = open(argv[0], O_WRONLY | O_CREAT | O_TRUNC, 0644);

	result(argv[0], fd < 0 ? -1 : write(fd, "x", 1));
	return fd < 0;
}

static int stat_one(char **argv)
{
	struct stat st;

	if (lstat(argv[0], &st) < 0)
		result(argv[0], -1);
	else
		printf("%s: %o %lu\n", argv[0], st.st_mode, (unsigned long)st.st_rdev);
	return 0;
}

static int fds(char **argv)
{
	int fd;

	printf("fds:");
	for (fd = 0; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf(" %d", fd);
	printf("\n");
	return 0;
}

static int cwd(char **argv)
{
	char buf[4096];

	printf("cwd: %s\n", getcwd(buf, sizeof(buf)) ? buf : strerror(errno));
	return 0;
}

static int name(char **argv)
{
	char buf[100] = "";

	(void)gethostname(buf, sizeof(buf) - 1);
	printf("hostname: %s\n", buf);
	return 0;
}

static int pid(char **argv)
{
	printf("pid: %d\n", getpid());
	return 0;
}

static int tty(char **argv)
{
	const char *t = ttyname(0);

	printf("tty: %s\n", t ? t : "none");
	errno = 0;
	result("tiocsti", ioctl(0, TIOCSTI, "x"));
	return 0;
}

/* Says "ready", waits for a signal, says which. */
static int wait_signal(char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t set, old;

	(void)sigaction(SIGTERM, &sa, NULL);
	(void)sigaction(SIGUSR1, &sa, NULL);
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigfillset(&set);
	(void)sigprocmask(SIG_SETMASK, &set, &old);
	printf("ready\n");
	fflush(stdout);
	(void)sigdelset(&old, SIGTERM);
	while (!got)
		(void)sigsuspend(&old);
	printf("signal: %d\n", got);
	return 40 + got;
}

static int die(char **argv)
{
	fflush(stdout);
	(void)kill(getpid(), (int)atol(argv[0]));
	return 0;
}

/* Orphans 20 grandchildren, waits until process 1 has reaped them all. */
static int orphans(char **argv)
{
	struct dirent *e;
	int i, zombies, tries;
	char path[300], state;
	FILE *f;
	DIR *d;

	for (i = 0; i < 20; i++) {
		if (fork() == 0) {
			if (fork() == 0)
				_exit(0);
			_exit(0);
		}
		(void)wait(NULL);
	}
	for (tries = 0; tries < 1000000; tries++) {
		zombies = 0;
		d = opendir("/proc");
		while (d && (e = readdir(d))) {
			(void)snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
			f = e->d_name[0] >= '0' && e->d_name[0] <= '9' ? fopen(path, "r") : NULL;
			if (f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1)
				zombies += state == 'Z';
			if (f)
				(void)fclose(f);
		}
		if (d)
			(void)closedir(d);
		if (!zombies)
			break;
	}
	printf("zombies: %d\n", zombies);
	return 0;
}

static int leave_behind(char **argv)
{
	printf("left\n");
	fflush(stdout);
	if (fork() == 0) {
		for (;;)
			(void)pause();
	}
	return 7;
}

static int nested(char **argv)
{
	result("userns", unshare(CLONE_NEWUSER | CLONE_NEWNS));
	result("nested tmpfs", mount("none", "/dev/shm", "tmpfs", 0, NULL));
	return 0;
}

static int calls(char **argv)
{
	result("mknod", mknod("/tmpnode", S_IFCHR | 0600, 0x0101));
	result("keyctl", syscall(SYS_keyctl, 0, 0, 0));
	result("bpf", syscall(SYS_bpf, 0, NULL, 0));
	result("mount", mount("none", "/dev/shm", "tmpfs", 0, NULL));
	result("chroot", chroot("/"));
	result("sethostname", sethostname("evil", 4));
	return 0;
}

/* What lies outside must have no name: descriptors, links of process 1, the way up. */
static int escape(char **argv)
{
	result("exe of 1", open("/proc/1/exe", O_RDONLY));
	result("root of 1", open("/proc/1/root/etc", O_RDONLY));
	result("environ of 1", open("/proc/1/environ", O_RDONLY));
	result("fd 0 of 1", open("/proc/1/fd/0", O_RDONLY));
	return 0;
}

static const struct {
	const char *name;
	int (*run)(char **argv);
	int n_args;
} verbs[] = {
	{ "ids", ids, 0 },
	{ "env", env, 0 },
	{ "cat", cat, 1 },
	{ "put", put, 1 },
	{ "stat", stat_one, 1 },
	{ "fds", fds, 0 },
	{ "cwd", cwd, 0 },
	{ "name", name, 0 },
	{ "pid", pid, 0 },
	{ "tty", tty, 0 },
	{ "wait", wait_signal, 0 },
	{ "die", die, 1 },
	{ "orphans", orphans, 0 },
	{ "leave", leave_behind, 0 },
	{ "nested", nested, 0 },
	{ "calls", calls, 0 },
	{ "escape", escape, 0 },
};

int main(int argc, char **argv)
{
	size_t v;
	int i = 1;
	int r = 0;

	while (i < argc) {
		if (strcmp(argv[i], "exit") == 0 && i + 1 < argc)
			return (int)atol(argv[i + 1]);
		for (v = 0; v < sizeof(verbs) / sizeof(verbs[0]); v++)
			if (strcmp(verbs[v].name, argv[i]) == 0)
				break;
		if (v == sizeof(verbs) / sizeof(verbs[0]) || i + verbs[v].n_args >= argc)
			return 99;
		r = verbs[v].run(argv + i + 1);
		i += 1 + verbs[v].n_args;
	}
	return r;
}
