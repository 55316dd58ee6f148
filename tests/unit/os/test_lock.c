/* SPDX-License-Identifier: Apache-2.0 */
/* Lock files against a second process that locks as Go does, stamps, and the asserted order. */
#include "os/lock.h"

#include <signal.h>
#include <sys/prctl.h>

#include "base/macros.h"
#include "scratch.h"

/* Classic POSIX record lock, whole file, as Go's containers/storage takes it: 0 or errno. */
static int posix_lock(int fd, short type, int cmd)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET };

	return fcntl(fd, cmd, &fl) < 0 ? errno : 0;
}

/* Another process's try: 1 got, 0 busy. */
static int other_process_gets(int dirfd, const char *name, short type)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int fd = openat(dirfd, name, O_RDWR);
		int r = posix_lock(fd, type, F_SETLK);

		_exit(r == 0 ? 1 : r == EAGAIN || r == EACCES ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A process that holds a POSIX lock until its end of the pipe closes. */
struct holder {
	pid_t pid;
	int end;
};

static struct holder start_holder(int dirfd, const char *name, short type)
{
	struct holder h;
	int ready[2];
	int stop[2];
	char c;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(stop), 0);
	h.pid = fork();
	if (h.pid == 0) {
		int fd = openat(dirfd, name, O_RDWR);

		(void)close(stop[1]);
		if (posix_lock(fd, type, F_SETLKW) || write(ready[1], "r", 1) != 1)
			_exit(1);
		_exit(read(stop[0], &c, 1) < 0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	(void)close(ready[0]);
	(void)close(ready[1]);
	(void)close(stop[0]);
	h.end = stop[1];
	return h;
}

static void stop_holder(struct holder h)
{
	int status;

	(void)close(h.end);
	assert_int_equal(waitpid(h.pid, &status, 0), h.pid);
	assert_int_equal(status, 0);
}

static void ours_keeps_a_go_process_out(void **state)
{
	static const struct {
		enum lock_mode ours;
		short theirs;
		int gets;
	} cases[] = {
		{ LOCK_EXCLUSIVE, F_WRLCK, 0 },
		{ LOCK_EXCLUSIVE, F_RDLCK, 0 },
		{ LOCK_SHARED, F_WRLCK, 0 },
		{ LOCK_SHARED, F_RDLCK, 1 },
	};
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_FILE_LOCK l = FILE_LOCK_INIT;
	size_t i;

	assert_int_equal(
		file_lock_open(&l, s->fd, "x.lock", LOCK_LAYERS, /* read_only= */ false, &err), 0);
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(file_lock_acquire(&l, cases[i].ours, &err), 0);
		assert_int_equal(
			other_process_gets(s->fd, "x.lock", cases[i].theirs), cases[i].gets);
		file_lock_release(&l);
		assert_int_equal(other_process_gets(s->fd, "x.lock", F_WRLCK), 1);
	}
}

static void a_go_process_keeps_us_out(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_FILE_LOCK l = FILE_LOCK_INIT;
	struct holder h;

	assert_int_equal(file_lock_open(&l, s->fd, "x.lock", LOCK_LAYERS, false, &err), 0);
	h = start_holder(s->fd, "x.lock", F_WRLCK);
	assert_int_equal(file_lock_try(&l, LOCK_EXCLUSIVE, &err), 0);
	assert_int_equal(file_lock_try(&l, LOCK_SHARED, &err), 0);
	stop_holder(h);
	h = start_holder(s->fd, "x.lock", F_RDLCK);
	assert_int_equal(file_lock_try(&l, LOCK_EXCLUSIVE, &err), 0);
	assert_int_equal(file_lock_try(&l, LOCK_SHARED, &err), 1);
	file_lock_release(&l);
	stop_holder(h);
	assert_int_equal(file_lock_try(&l, LOCK_EXCLUSIVE, &err), 1);
}

static void waiting_ends_when_the_other_process_ends(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_FILE_LOCK l = FILE_LOCK_INIT;
	struct holder h;

	assert_int_equal(file_lock_open(&l, s->fd, "x.lock", LOCK_LAYERS, false, &err), 0);
	h = start_holder(s->fd, "x.lock", F_WRLCK);
	(void)close(h.end);
	assert_int_equal(file_lock_acquire(&l, LOCK_EXCLUSIVE, &err), 0);
	assert_int_equal(waitpid(h.pid, NULL, 0), h.pid);
}

static void closing_another_fd_of_the_file_keeps_the_lock(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_FILE_LOCK l = FILE_LOCK_INIT;

	assert_int_equal(file_lock_open(&l, s->fd, "x.lock", LOCK_LAYERS, false, &err), 0);
	assert_int_equal(file_lock_acquire(&l, LOCK_EXCLUSIVE, &err), 0);
	(void)close(openat(s->fd, "x.lock", O_RDWR));
	assert_int_equal(other_process_gets(s->fd, "x.lock", F_WRLCK), 0);
}

static void a_replaced_lock_file_is_picked_up(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_FILE_LOCK l = FILE_LOCK_INIT;

	assert_int_equal(file_lock_open(&l, s->fd, "x.lock", LOCK_LAYERS, false, &err), 0);
	assert_int_equal(file_lock_acquire(&l, LOCK_EXCLUSIVE, &err), 0);
	file_lock_release(&l);
	assert_int_equal(unlinkat(s->fd, "x.lock", 0), 0);
	assert_int_equal(file_lock_acquire(&l, LOCK_EXCLUSIVE, &err), 0);
	assert_int_equal(other_process_gets(s->fd, "x.lock", F_WRLCK), 0);
}

static void the_file_and_its_parents_are_made(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_FILE_LOCK l = FILE_LOCK_INIT;
	mode_t mask = umask(022);
	struct stat st;

	assert_int_equal(file_lock_open(&l, s->fd, "a/b/x.lock", LOCK_GRAPH, false, &err), 0);
	(void)umask(mask);
	assert_int_equal(fstatat(s->fd, "a/b/x.lock", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(fstatat(s->fd, "a/b", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

static void what_is_no_regular_file_is_refused(void **state)
{
	static const char *const names[] = { "fifo", "dir", "link" };
	const struct scratch *s = *state;
	size_t i;

	assert_int_equal(mkfifoat(s->fd, "fifo", 0644), 0);
	assert_int_equal(mkdirat(s->fd, "dir", 0755), 0);
	assert_int_equal(symlinkat("target", s->fd, "link"), 0);
	for (i = 0; i < ARRAY_LEN(names); i++) {
		struct imbrex_error err = { 0 };
		AUTO_FILE_LOCK l = FILE_LOCK_INIT;
		AUTO_FILE_LOCK ro = FILE_LOCK_INIT;
		char want[64];

		(void)snprintf(
			want, sizeof(want), "lock file '%s' is not a regular file", names[i]);
		assert_int_equal(file_lock_open(&l, s->fd, names[i], LOCK_GRAPH, false, &err),
			IMBREX_EFORMAT);
		assert_string_equal(err.message, want);
		assert_int_equal(file_lock_open(&ro, s->fd, names[i], LOCK_LAYERS_RO, true, &err),
			IMBREX_EFORMAT);
		assert_string_equal(err.message, want);
	}
	assert_false(scratch_has(s->fd, "target"));
}

static void a_stamp_is_64_bytes_in_the_agreed_layout(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_FILE_LOCK l = FILE_LOCK_INIT;
	struct lock_token empty;
	struct lock_token first;
	struct lock_token second;
	struct lock_token read_back;
	unsigned int pid;

	assert_int_equal(file_lock_open(&l, s->fd, "x.lock", LOCK_LAYERS, false, &err), 0);
	assert_int_equal(file_lock_acquire(&l, LOCK_EXCLUSIVE, &err), 0);
	assert_int_equal(lock_token_read(&l, &empty, &err), 0);
	assert_int_equal(empty.len, 0);
	assert_int_equal(lock_token_write(&l, &first, &err), 0);
	assert_int_equal(lock_token_write(&l, &second, &err), 0);
	assert_int_equal(lock_token_read(&l, &read_back, &err), 0);
	assert_int_equal(read_back.len, 64);
	assert_true(lock_token_equal(&second, &read_back));
	assert_false(lock_token_equal(&first, &second));
	assert_false(lock_token_equal(&empty, &second));
	assert_int_equal(second.bytes[8], first.bytes[8] + 1);
	assert_int_equal(second.bytes[15], 0);
	pid = second.bytes[16] | (unsigned int)second.bytes[17] << 8 |
	      (unsigned int)second.bytes[18] << 16 | (unsigned int)second.bytes[19] << 24;
	assert_int_equal(pid, getpid());
}

static void a_short_or_old_stamp_is_read_as_it_is(void **state)
{
	const struct scratch *s = *state;
	struct imbrex_error err = { 0 };
	AUTO_FILE_LOCK l = FILE_LOCK_INIT;
	struct lock_token token;

	scratch_file(s->fd, "x.lock", "short");
	assert_int_equal(file_lock_open(&l, s->fd, "x.lock", LOCK_LAYERS_RO, true, &err), 0);
	assert_int_equal(file_lock_acquire(&l, LOCK_SHARED, &err), 0);
	assert_int_equal(lock_token_read(&l, &token, &err), 0);
	assert_int_equal(token.len, 5);
	assert_memory_equal(token.bytes, "short", 5);
}

/* Takes the ranks in turn in a child: 1 if an assert stopped it. */
static int order_is_refused(int dirfd, const enum lock_rank *ranks, size_t n)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct file_lock locks[8];
		size_t i;

		(void)prctl(PR_SET_DUMPABLE, 0);
		(void)signal(SIGABRT, SIG_DFL);
		(void)dup2(open("/dev/null", O_WRONLY), 2);
		for (i = 0; i < n; i++) {
			char name[32];

			(void)snprintf(name, sizeof(name), "%zu.lock", i);
			if (file_lock_open(&locks[i], dirfd, name, ranks[i], false, NULL) < 0)
				_exit(2);
			if (file_lock_acquire(&locks[i], LOCK_EXCLUSIVE, NULL) < 0)
				_exit(3);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGABRT;
	assert_int_equal(WEXITSTATUS(status), 0);
	return 0;
}

static void locks_are_taken_in_order(void **state)
{
	static const struct {
		enum lock_rank ranks[8];
		size_t n;
		int refused;
	} cases[] = {
		{ { LOCK_GRAPH, LOCK_USERNS, LOCK_LAYERS, LOCK_LAYERS_RO, LOCK_LAYERS_RO,
			  LOCK_IMAGES, LOCK_IMAGES_RO, LOCK_CONTAINERS },
			8, 0 },
		{ { LOCK_LAYERS, LOCK_LAYERS_IMAGESTORE, LOCK_IMAGES, LOCK_CONTAINERS,
			  LOCK_MOUNTPOINTS, LOCK_STAGING },
			6, 0 },
		{ { LOCK_STAGING, LOCK_GRAPH, LOCK_STAGING }, 3, 0 },
		{ { LOCK_LAYERS, LOCK_GRAPH }, 2, 1 },
		{ { LOCK_CONTAINERS, LOCK_IMAGES }, 2, 1 },
		{ { LOCK_LAYERS, LOCK_USERNS }, 2, 1 },
		{ { LOCK_LAYERS, LOCK_LAYERS }, 2, 1 },
		{ { LOCK_LAYERS_IMAGESTORE }, 1, 1 },
		{ { LOCK_MOUNTPOINTS }, 1, 1 },
		{ { LOCK_GRAPH, LOCK_MOUNTPOINTS }, 2, 1 },
		{ { LOCK_LAYERS, LOCK_MOUNTPOINTS, LOCK_IMAGES }, 3, 1 },
	};
	const struct scratch *s = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(
			order_is_refused(s->fd, cases[i].ranks, cases[i].n), cases[i].refused);
}

int main(void)
{
	const struct CMUnitTest group[] = {
		scratch_test(ours_keeps_a_go_process_out),
		scratch_test(a_go_process_keeps_us_out),
		scratch_test(waiting_ends_when_the_other_process_ends),
		scratch_test(closing_another_fd_of_the_file_keeps_the_lock),
		scratch_test(a_replaced_lock_file_is_picked_up),
		scratch_test(the_file_and_its_parents_are_made),
		scratch_test(what_is_no_regular_file_is_refused),
		scratch_test(a_stamp_is_64_bytes_in_the_agreed_layout),
		scratch_test(a_short_or_old_stamp_is_read_as_it_is),
		scratch_test(locks_are_taken_in_order),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
