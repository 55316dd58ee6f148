/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list. The plain form has names only; the fancy one a table of what runs in them, found in /proc:
 * a process whose root has a file /.lock is in a container, and the container is the directory that
 * is its root. Names are found by device and inode, so that a container that is a mount of its own
 * is known too.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/enroot/enroot.h"

#define N_COLUMNS 9

struct row {
	char *cells[N_COLUMNS]; /* owned; NULL is "" */
	ino_t mount_ns;
	long pid;
};

struct table {
	struct row *rows; /* owned */
	size_t n, max;
};

static const char *const titles[N_COLUMNS] = { "NAME", "PID", "COMM", "STATE", "STARTED", "TIME",
	"MNTNS", "USERNS", "COMMAND" };

static void table_done(struct table *t)
{
	size_t i, k;

	for (i = 0; i < t->n; i++) {
		for (k = 0; k < N_COLUMNS; k++)
			free(t->rows[i].cells[k]);
	}
	free(t->rows);
}

static struct row *add_row(struct table *t)
{
	struct row *more;
	size_t max;

	if (t->n == t->max) {
		max = t->max ? 2 * t->max : 16;
		more = reallocarray(t->rows, max, sizeof(*more));
		if (!more)
			return NULL;
		t->rows = more;
		t->max = max;
	}
	t->rows[t->n] = (struct row){ .pid = 0 };
	return &t->rows[t->n++];
}

/* ---- names ----------------------------------------------------------------------------- */

static int by_collation(const void *a, const void *b)
{
	int r = strcoll(*(char *const *)a, *(char *const *)b);

	return r ? r : strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(const char *dir, bool only_dirs, struct strv *ret)
{
	DIR *d = opendir(dir);
	const struct dirent *de;
	struct stat st;
	int r = 0;

	while (d && r == 0 && (de = readdir(d)) != NULL) {
		if (de->d_name[0] == '.')
			continue;
		if (only_dirs &&
			(fstatat(dirfd(d), de->d_name, &st, 0) < 0 || !S_ISDIR(st.st_mode)))
			continue;
		r = strv_add(ret, de->d_name);
	}
	if (d)
		(void)closedir(d);
	(void)setlocale(LC_COLLATE, "");
	if (ret->n > 1)
		qsort(ret->items, ret->n, sizeof(ret->items[0]), by_collation);
	return r;
}

/* ---- processes ------------------------------------------------------------------------- */

static bool read_proc(long pid, const char *file, char *buf, size_t size, size_t *ret_len)
{
	char path[64];
	int fd;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%ld/%s", pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	(void)close(fd);
	if (n < 0)
		return false;
	buf[n] = 0;
	*ret_len = (size_t)n;
	return true;
}

static ino_t namespace_of(long pid, const char *kind)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%ld/ns/%s", pid, kind);
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

static char *command_line(long pid, const char *comm)
{
	char buf[4096];
	size_t len, i;

	if (!read_proc(pid, "cmdline", buf, sizeof(buf), &len) || len == 0)
		return format_text("[%s]", comm);
	for (i = 0; i < len; i++) {
		if (!buf[i] || buf[i] == '\t' || buf[i] == '\n')
			buf[i] = ' ';
	}
	while (len && buf[len - 1] == ' ')
		buf[--len] = 0;
	return strdup(buf);
}

/* The fields of /proc/PID/stat that ps makes its columns of. */
struct stat_fields {
	char state;
	int session, tty_pgrp, pgrp;
	long nice, threads;
	unsigned long long start_ticks;
};

static bool read_stat(long pid, struct stat_fields *ret)
{
	char buf[4096];
	const char *p;
	size_t len;

	if (!read_proc(pid, "stat", buf, sizeof(buf), &len))
		return false;
	/* The name before it may hold anything. */
	p = strrchr(buf, ')');
	return p && sscanf(p + 1,
			    " %c %*d %d %d %*d %d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %ld %ld "
			    "%*d %llu",
			    &ret->state, &ret->pgrp, &ret->session, &ret->tty_pgrp, &ret->nice,
			    &ret->threads, &ret->start_ticks) == 7;
}

static char *state_text(long pid, const struct stat_fields *f)
{
	return format_text("%c%s%s%s%s", f->state,
		f->nice < 0   ? "<"
		: f->nice > 0 ? "N"
			      : "",
		f->session == pid ? "s" : "", f->threads > 1 ? "l" : "",
		f->tty_pgrp == f->pgrp ? "+" : "");
}

static void set_times(struct row *row, const struct stat_fields *f)
{
	long long ticks = sysconf(_SC_CLK_TCK);
	struct timespec up, now;
	long long elapsed, seconds;
	char text[64];
	struct tm tm, today;
	time_t start;

	if (ticks <= 0 || clock_gettime(CLOCK_BOOTTIME, &up) < 0 ||
		clock_gettime(CLOCK_REALTIME, &now) < 0)
		return;
	elapsed = up.tv_sec - (long long)f->start_ticks / ticks;
	elapsed = elapsed < 0 ? 0 : elapsed;
	start = now.tv_sec - (time_t)elapsed;
	if (!localtime_r(&start, &tm) || !localtime_r(&now.tv_sec, &today))
		return;
	if (tm.tm_year == today.tm_year && tm.tm_yday == today.tm_yday)
		(void)strftime(text, sizeof(text), "%H:%M", &tm);
	else
		(void)strftime(
			text, sizeof(text), tm.tm_year == today.tm_year ? "%b%d" : "%Y", &tm);
	row->cells[4] = strdup(text);
	seconds = elapsed % 60;
	if (elapsed >= 86400)
		row->cells[5] = format_text("%lld-%02lld:%02lld:%02lld", elapsed / 86400,
			elapsed / 3600 % 24, elapsed / 60 % 60, seconds);
	else if (elapsed >= 3600)
		row->cells[5] = format_text(
			"%02lld:%02lld:%02lld", elapsed / 3600, elapsed / 60 % 60, seconds);
	else
		row->cells[5] = format_text("%02lld:%02lld", elapsed / 60, seconds);
}

/* The directory among `names` that is the root of the process; NULL: none of them. */
static const char *name_of_root(const char *data, const struct strv *names, const struct stat *root)
{
	size_t i;

	for (i = 0; i < names->n; i++) {
		AUTO_FREE char *path = format_text("%s/%s", data, names->items[i]);
		struct stat st;

		if (path && stat(path, &st) == 0 && st.st_dev == root->st_dev &&
			st.st_ino == root->st_ino)
			return names->items[i];
	}
	return "<unknown>";
}

static int add_process(struct table *t, long pid, const char *data, const struct strv *names)
{
	char root[64], lock[64], comm[64] = "";
	struct stat_fields f;
	struct stat st;
	struct row *row;
	ino_t ns = namespace_of(pid, "mnt");
	size_t i, len;

	(void)snprintf(root, sizeof(root), "/proc/%ld/root/.", pid);
	(void)snprintf(lock, sizeof(lock), "/proc/%ld/root/.lock", pid);
	if (!ns || lstat(lock, &st) < 0 || stat(root, &st) < 0 || !read_stat(pid, &f))
		return 0;
	/* One process a namespace: the first. Processes come in the order of their ids. */
	for (i = 0; i < t->n; i++) {
		if (t->rows[i].mount_ns == ns)
			return 0;
	}
	row = add_row(t);
	if (!row)
		return -ENOMEM;
	(void)read_proc(pid, "comm", comm, sizeof(comm), &len);
	comm[strcspn(comm, "\n")] = 0;
	row->mount_ns = ns;
	row->pid = pid;
	row->cells[0] = strdup(name_of_root(data, names, &st));
	row->cells[1] = format_text("%ld", pid);
	row->cells[2] = strdup(comm);
	row->cells[3] = state_text(pid, &f);
	set_times(row, &f);
	row->cells[6] = format_text("%lu", (unsigned long)ns);
	row->cells[7] = format_text("%lu", (unsigned long)namespace_of(pid, "user"));
	row->cells[8] = command_line(pid, comm);
	return row->cells[0] ? 0 : -ENOMEM;
}

static int by_number(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return (x > y) - (x < y);
}

static int add_processes(struct table *t, const char *data, const struct strv *names)
{
	DIR *d = opendir("/proc");
	const struct dirent *de;
	size_t n = 0, max = 0, i;
	long *pids = NULL, *more;
	int r = 0;

	while (d && (de = readdir(d)) != NULL) {
		if (de->d_name[0] < '1' || de->d_name[0] > '9')
			continue;
		if (n == max) {
			max = max ? 2 * max : 512;
			more = reallocarray(pids, max, sizeof(*pids));
			if (!more) {
				r = -ENOMEM;
				break;
			}
			pids = more;
		}
		pids[n++] = strtol(de->d_name, NULL, 10);
	}
	if (d)
		(void)closedir(d);
	if (n > 1)
		qsort(pids, n, sizeof(*pids), by_number);
	for (i = 0; r == 0 && i < n; i++)
		r = add_process(t, pids[i], data, names);
	free(pids);
	return r;
}

/* ---- the table ------------------------------------------------------------------------- */

static int by_container(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int r = strcoll(x->cells[0], y->cells[0]);

	return r ? r : (x->pid > y->pid) - (x->pid < y->pid);
}

static int add_idle(struct table *t, const struct strv *names)
{
	size_t busy = t->n, i, k;

	for (i = 0; i < names->n; i++) {
		struct row *row;

		for (k = 0; k < busy && !str_eq(t->rows[k].cells[0], names->items[i]); k++)
			;
		if (k < busy)
			continue;
		row = add_row(t);
		if (!row)
			return -ENOMEM;
		row->cells[0] = strdup(names->items[i]);
		if (!row->cells[0])
			return -ENOMEM;
	}
	return 0;
}

static void print_table(const struct table *t)
{
	size_t widths[N_COLUMNS];
	size_t i, k;

	for (k = 0; k < N_COLUMNS; k++) {
		widths[k] = strlen(titles[k]);
		for (i = 0; i < t->n; i++) {
			const char *cell = t->rows[i].cells[k];

			widths[k] = cell && strlen(cell) > widths[k] ? strlen(cell) : widths[k];
		}
	}
	for (k = 0; k < N_COLUMNS; k++)
		(void)printf("%-*s%s", k + 1 < N_COLUMNS ? (int)widths[k] : 0, titles[k],
			k + 1 < N_COLUMNS ? "  " : "\n");
	for (i = 0; i < t->n; i++) {
		/* A further namespace of the same container. */
		bool again = i > 0 && str_eq(t->rows[i].cells[0], t->rows[i - 1].cells[0]);

		for (k = 0; k < N_COLUMNS; k++) {
			const char *cell = t->rows[i].cells[k];

			if (!cell || (k == 0 && again))
				cell = "";
			(void)printf("%-*s%s", k + 1 < N_COLUMNS ? (int)widths[k] : 0, cell,
				k + 1 < N_COLUMNS ? "  " : "\n");
		}
	}
}

static int list_fancy(const char *data, const struct strv *names)
{
	struct table t = { 0 };
	int r = add_processes(&t, data, names);

	if (r == 0)
		r = add_idle(&t, names);
	if (r == 0) {
		if (t.n > 1)
			qsort(t.rows, t.n, sizeof(*t.rows), by_container);
		print_table(&t);
	}
	table_done(&t);
	return r < 0 ? enroot_error("out of memory") : EXIT_SUCCESS;
}

static int run_list(struct enroot *e)
{
	const char *data = getenv("ENROOT_DATA_PATH");
	AUTO_STRV names = { 0 };
	size_t i;

	if (e->backend == BACKEND_STORE)
		return store_list(e);
	if (read_names(data, e->args.fancy, &names) < 0)
		return enroot_error("out of memory");
	if (e->args.fancy)
		return list_fancy(data, &names);
	for (i = 0; i < names.n; i++)
		(void)puts(names.items[i]);
	return EXIT_SUCCESS;
}

static const struct enroot_option list_options[] = {
	{ { "-f", "--fancy" }, offsetof(struct enroot_args, fancy), true,
		"Show what runs in the containers, as a table" },
	{ { NULL } },
};

const struct enroot_command list_commands[] = {
	{ "list", "[OPTIONS]", "List containers", list_options, 0, UINT_MAX, run_list },
	{ NULL },
};
