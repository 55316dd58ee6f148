/* SPDX-License-Identifier: Apache-2.0 */
/* The stages that need no codec and no thread: exact, count, null, tee, buffer, fd, pump. */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "stream/buffer.h"
#include "stream/count.h"
#include "stream/exact.h"
#include "stream/fdsink.h"
#include "stream/null.h"
#include "stream/pump.h"
#include "stream/tee.h"

static const char twenty[] = "01234567890123456789";

static void exact_passes_the_announced_bytes_in_any_pieces(void **state)
{
	size_t piece;

	for (piece = 0; piece <= 20; piece++) {
		struct imbrex_error err = { 0 };
		struct seen seen = SEEN_INIT;
		struct sink *s;

		assert_int_equal(exact_sink_new(20, record_new(&seen), &s, &err), 0);
		assert_int_equal(drive(s, twenty, 20, piece, &err), 0);
		assert_seen(&seen, twenty, 20);
		assert_int_equal(seen.n_finishes, 1);
		assert_int_equal(seen.n_frees, 1);
		seen_done(&seen);
	}
}

static void exact_refuses_other_sizes_and_says_the_difference(void **state)
{
	static const struct {
		uint64_t announced;
		size_t len;
		const char *message;
	} cases[] = {
		{ 20, 8, "got 12 bytes less than the announced 20" },
		{ 20, 0, "got 20 bytes less than the announced 20" },
		{ 8, 20, "got 12 bytes more than the announced 8" },
		{ 0, 1, "got 1 bytes more than the announced 0" },
		{ UINT64_MAX, 20,
			"got 18446744073709551595 bytes less than the announced "
			"18446744073709551615" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		struct seen seen = SEEN_INIT;
		struct sink *s;

		assert_int_equal(
			exact_sink_new(cases[i].announced, record_new(&seen), &s, &err), 0);
		assert_int_equal(drive(s, twenty, cases[i].len, 0, &err), IMBREX_EDIGEST);
		assert_string_equal(err.message, cases[i].message);
		assert_int_equal(seen.n_finishes, 0);
		assert_int_equal(seen.n_frees, 1);
		seen_done(&seen);
	}
}

static void exact_hands_nothing_of_a_write_that_is_too_long_to_the_next_stage(void **state)
{
	struct imbrex_error err = { 0 };
	struct seen seen = SEEN_INIT;
	struct sink *s;

	assert_int_equal(exact_sink_new(10, record_new(&seen), &s, &err), 0);
	assert_int_equal(sink_write(s, twenty, 6, &err), 0);
	assert_int_equal(sink_write(s, twenty, 6, &err), IMBREX_EDIGEST);
	assert_string_equal(err.message, "got 2 bytes more than the announced 10");
	assert_int_equal(seen.n_bytes, 6);
	sink_free(s);
	seen_done(&seen);
}

static void count_adds_what_the_next_stage_accepted(void **state)
{
	struct imbrex_error err = { 0 };
	struct seen seen = SEEN_INIT;
	uint64_t n = 100;
	struct sink *s;

	seen.fail_at_bytes = 20;
	assert_int_equal(count_sink_new(&n, record_new(&seen), &s, &err), 0);
	assert_int_equal(push(s, twenty, 20, 7, &err), IMBREX_ENOSPC);
	assert_int_equal(n, 114);
	sink_free(s);
	seen_done(&seen);
}

static void null_takes_everything(void **state)
{
	struct imbrex_error err = { 0 };
	struct sink *end;
	uint64_t n = 0;
	struct sink *s;

	assert_int_equal(null_sink_new(&end, &err), 0);
	assert_int_equal(count_sink_new(&n, end, &s, &err), 0);
	assert_int_equal(drive(s, twenty, 20, 3, &err), 0);
	assert_int_equal(n, 20);
}

static void tee_gives_both_the_same_bytes(void **state)
{
	struct imbrex_error err = { 0 };
	struct seen side = SEEN_INIT;
	struct seen next = SEEN_INIT;
	struct sink *s;

	assert_int_equal(tee_sink_new(record_new(&side), record_new(&next), &s, &err), 0);
	assert_int_equal(drive(s, twenty, 20, 3, &err), 0);
	assert_seen(&side, twenty, 20);
	assert_seen(&next, twenty, 20);
	assert_int_equal(side.n_finishes + next.n_finishes, 2);
	assert_int_equal(side.n_frees + next.n_frees, 2);
	seen_done(&side);
	seen_done(&next);
}

static void tee_does_not_finish_the_next_stage_if_the_side_fails(void **state)
{
	struct imbrex_error err = { 0 };
	struct seen side = SEEN_INIT;
	struct seen next = SEEN_INIT;
	struct sink *s;

	side.fail_finish = true;
	assert_int_equal(tee_sink_new(record_new(&side), record_new(&next), &s, &err), 0);
	assert_int_equal(drive(s, twenty, 20, 0, &err), IMBREX_EBUSY);
	assert_string_equal(err.message, "the end refuses to finish");
	assert_int_equal(next.n_finishes, 0);
	assert_int_equal(next.n_frees, 1);
	seen_done(&side);
	seen_done(&next);
}

static void buffer_collects_up_to_its_limit(void **state)
{
	struct imbrex_error err = { 0 };
	AUTO_STR text = STR_INIT(5);
	struct sink *s;

	assert_int_equal(buffer_sink_new(20, &text, &s, &err), 0);
	assert_int_equal(push(s, twenty, 20, 9, &err), 0);
	assert_int_equal(text.len, 0); /* nothing before finish */
	assert_int_equal(sink_finish(s, &err), 0);
	sink_free(s);
	assert_string_equal(str_text(&text), twenty);
}

static void buffer_refuses_more_than_its_limit(void **state)
{
	struct imbrex_error err = { 0 };
	AUTO_STR text = STR_INIT(5);
	struct sink *s;

	assert_int_equal(buffer_sink_new(19, &text, &s, &err), 0);
	assert_int_equal(drive(s, twenty, 20, 1, &err), IMBREX_ELIMIT);
	assert_string_equal(err.message, "content is larger than 19 bytes");
	assert_int_equal(text.len, 0);
}

static void fd_writes_what_pump_reads(void **state)
{
	struct imbrex_error err = { 0 };
	char path[] = "/tmp/imbrex-stream-XXXXXX";
	const size_t len = STREAM_BLOCK_BYTES * 2 + 17;
	struct seen seen = SEEN_INIT;
	uint8_t *bytes = malloc(len);
	struct sink *end;
	struct sink *s;
	int fd;

	assert_non_null(bytes);
	fill_pattern(bytes, len, 1);
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fd_sink_new(dup(fd), &s, &err), 0);
	assert_int_equal(drive(s, bytes, len, 100000, &err), 0);

	end = record_new(&seen);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(pump_fd(fd, end, 10, &err), 0);
	assert_seen(&seen, bytes, 10);
	assert_int_equal(pump_fd(fd, end, 0, &err), 0);
	assert_int_equal(seen.n_writes, 1);
	assert_int_equal(pump_fd(fd, end, UINT64_MAX, &err), 0);
	assert_seen(&seen, bytes, len);
	assert_int_equal(seen.n_finishes, 0); /* that is the caller's */
	sink_free(end);
	seen_done(&seen);
	(void)close(fd);
	(void)unlink(path);
	free(bytes);
}

static void fd_reports_a_full_device(void **state)
{
	struct imbrex_error err = { 0 };
	struct sink *s;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		skip();
	assert_int_equal(fd_sink_new(fd, &s, &err), 0);
	assert_int_equal(drive(s, twenty, 20, 0, &err), IMBREX_ENOSPC);
	assert_string_equal(err.message, "write: No space left on device");
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was ours */
}

static void fd_reports_a_descriptor_that_cannot_be_written(void **state)
{
	struct imbrex_error err = { 0 };
	struct sink *s;

	assert_int_equal(fd_sink_new(open("/dev/null", O_RDONLY | O_CLOEXEC), &s, &err), 0);
	assert_int_equal(drive(s, twenty, 20, 0, &err), IMBREX_EFAIL);
	assert_string_equal(err.message, "write: Bad file descriptor");
}

struct drain {
	int fd;
	uint64_t n;
};

static void *drain_run(void *arg)
{
	struct drain *d = arg;
	char piece[777];
	ssize_t n;

	while ((n = read(d->fd, piece, sizeof(piece))) > 0)
		d->n += (uint64_t)n;
	return NULL;
}

static void fd_completes_short_writes_to_a_socket(void **state)
{
	struct imbrex_error err = { 0 };
	const size_t len = 3 * 1024 * 1024;
	void *bytes = calloc(1, len);
	struct drain drain = { 0 };
	pthread_t reader;
	struct sink *s;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	drain.fd = fds[0];
	assert_int_equal(pthread_create(&reader, NULL, drain_run, &drain), 0);
	assert_int_equal(fd_sink_new(fds[1], &s, &err), 0);
	assert_int_equal(drive(s, bytes, len, 0, &err), 0);
	assert_int_equal(pthread_join(reader, NULL), 0);
	assert_int_equal(drain.n, len);
	(void)close(fds[0]);
	free(bytes);
}

static void pump_reports_what_it_cannot_read(void **state)
{
	struct imbrex_error err = { 0 };
	struct seen seen = SEEN_INIT;
	struct sink *s = record_new(&seen);
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pump_fd(fd, s, UINT64_MAX, &err), IMBREX_EFAIL);
	assert_string_equal(err.message, "read: Is a directory");
	(void)close(fd);
	sink_free(s);
	seen_done(&seen);
}

static void pump_returns_the_failure_of_the_chain(void **state)
{
	struct imbrex_error err = { 0 };
	struct seen seen = SEEN_INIT;
	struct sink *s = record_new(&seen);
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	seen.fail_at_bytes = 3 * STREAM_BLOCK_BYTES;
	assert_int_equal(pump_fd(fd, s, UINT64_MAX, &err), IMBREX_ENOSPC);
	assert_string_equal(err.message, "the end is full");
	(void)close(fd);
	sink_free(s);
	seen_done(&seen);
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(exact_passes_the_announced_bytes_in_any_pieces),
		cmocka_unit_test(exact_refuses_other_sizes_and_says_the_difference),
		cmocka_unit_test(exact_hands_nothing_of_a_write_that_is_too_long_to_the_next_stage),
		cmocka_unit_test(count_adds_what_the_next_stage_accepted),
		cmocka_unit_test(null_takes_everything),
		cmocka_unit_test(tee_gives_both_the_same_bytes),
		cmocka_unit_test(tee_does_not_finish_the_next_stage_if_the_side_fails),
		cmocka_unit_test(buffer_collects_up_to_its_limit),
		cmocka_unit_test(buffer_refuses_more_than_its_limit),
		cmocka_unit_test(fd_writes_what_pump_reads),
		cmocka_unit_test(fd_reports_a_full_device),
		cmocka_unit_test(fd_reports_a_descriptor_that_cannot_be_written),
		cmocka_unit_test(fd_completes_short_writes_to_a_socket),
		cmocka_unit_test(pump_reports_what_it_cannot_read),
		cmocka_unit_test(pump_returns_the_failure_of_the_chain),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
