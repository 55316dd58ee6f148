/* SPDX-License-Identifier: Apache-2.0 */
/* The stages with hidden threads: digest and queue. To be run under ThreadSanitizer as well. */
#include "harness.h"

#include <pthread.h>

#include "base/hash.h"
#include "base/limits.h"
#include "stream/digest.h"
#include "stream/queue.h"

#define BIG_BYTES (5 * STREAM_BLOCK_BYTES + 12345)

static uint8_t *big_new(void)
{
	uint8_t *bytes = malloc(BIG_BYTES);

	assert_non_null(bytes);
	fill_pattern(bytes, BIG_BYTES, 7);
	return bytes;
}

static void hasher_gives_the_published_values(void **state)
{
	static const struct {
		enum hash_algorithm algorithm;
		const char *text;
	} cases[] = {
		/* FIPS 180-4 examples: "abc" */
		{ HASH_SHA256, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61"
			       "f20015ad" },
		{ HASH_SHA512, "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee6"
			       "4b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94f"
			       "a54ca49f" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		char text[HASH_TEXT_MAX];
		struct hash_value value;
		AUTO_HASHER *h = NULL;

		assert_int_equal(hasher_new(cases[i].algorithm, &h, &err), 0);
		assert_int_equal(hasher_update(h, "a", 1, &err), 0);
		assert_int_equal(hasher_update(h, "bc", 2, &err), 0);
		assert_int_equal(hasher_final(h, &value, &err), 0);
		assert_string_equal(hash_format(&value, text), cases[i].text);
	}
}

static void digest_is_the_same_for_every_chunking(void **state)
{
	static const size_t pieces[] = { 0, 1000, 16383, 16384, 16385, 100000, STREAM_BLOCK_BYTES };
	static const enum hash_algorithm algorithms[] = { HASH_SHA256, HASH_SHA512 };
	uint8_t *bytes = big_new();
	size_t i;
	size_t j;

	for (j = 0; j < ARRAY_LEN(algorithms); j++) {
		for (i = 0; i < ARRAY_LEN(pieces); i++) {
			struct imbrex_error err = { 0 };
			struct seen seen = SEEN_INIT;
			struct hash_value want;
			struct hash_value value = { 0 };
			struct sink *s;

			assert_int_equal(hash_bytes(algorithms[j], bytes, BIG_BYTES, &want), 0);
			assert_int_equal(digest_sink_new(algorithms[j], &want, &value,
						 record_new(&seen), &s, &err),
				0);
			assert_int_equal(drive(s, bytes, BIG_BYTES, pieces[i], &err), 0);
			assert_true(hash_equal(&value, &want));
			assert_seen(&seen, bytes, BIG_BYTES);
			assert_int_equal(seen.n_finishes, 1);
			assert_int_equal(seen.n_frees, 1);
			seen_done(&seen);
		}
	}
	free(bytes);
}

static void digest_refuses_other_content_and_names_both(void **state)
{
	struct imbrex_error err = { 0 };
	struct hash_value want;
	struct hash_value value = { 0 };
	struct seen seen = SEEN_INIT;
	struct sink *s;

	assert_int_equal(hash_bytes(HASH_SHA256, "abc", 3, &want), 0);
	assert_int_equal(
		digest_sink_new(HASH_SHA256, &want, &value, record_new(&seen), &s, &err), 0);
	assert_int_equal(drive(s, "abd", 3, 0, &err), IMBREX_EDIGEST);
	assert_string_equal(err.message,
		"content is sha256:a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9"
		" but sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
		" was announced");
	assert_int_equal(seen.n_finishes, 0);
	assert_false(hash_is_set(&value));
	seen_done(&seen);
}

static void digest_of_nothing_is_that_of_the_empty_string(void **state)
{
	struct imbrex_error err = { 0 };
	struct hash_value want;
	struct hash_value value = { 0 };
	struct seen seen = SEEN_INIT;
	struct sink *s;

	assert_int_equal(hash_bytes(HASH_SHA256, "", 0, &want), 0);
	assert_int_equal(
		digest_sink_new(HASH_SHA256, NULL, &value, record_new(&seen), &s, &err), 0);
	assert_int_equal(drive(s, "", 0, 0, &err), 0);
	assert_true(hash_equal(&value, &want));
	seen_done(&seen);
}

/* An end that looks at the digest when it is finished, as a commit does. */
struct committer {
	struct sink sink;
	const struct hash_value *value;
	bool was_set;
};

static int committer_write(struct sink *s, const void *buf, size_t len, struct imbrex_error *err)
{
	return 0;
}

static int committer_finish(struct sink *s, struct imbrex_error *err)
{
	struct committer *c = CONTAINER_OF(s, struct committer, sink);

	c->was_set = hash_is_set(c->value);
	return 0;
}

static void committer_free(struct sink *s)
{
}

static void digest_is_known_when_the_next_stage_is_finished(void **state)
{
	static const struct sink_ops ops = { "committer", committer_write, committer_finish,
		committer_free };
	struct hash_value value = { 0 };
	struct committer c = { { &ops }, &value, false };
	struct imbrex_error err = { 0 };
	struct sink *s;

	assert_int_equal(digest_sink_new(HASH_SHA256, NULL, &value, &c.sink, &s, &err), 0);
	assert_int_equal(drive(s, "abc", 3, 0, &err), 0);
	assert_true(c.was_set);
}

static void a_failure_behind_the_digest_waits_for_the_helper(void **state)
{
	size_t i;

	for (i = 0; i < 200; i++) {
		struct imbrex_error err = { 0 };
		struct seen seen = SEEN_INIT;
		uint8_t *bytes = calloc(1, STREAM_BLOCK_BYTES);
		struct sink *s;
		int r;

		assert_non_null(bytes);
		seen.fail_at_bytes = 1;
		assert_int_equal(
			digest_sink_new(HASH_SHA256, NULL, NULL, record_new(&seen), &s, &err), 0);
		r = sink_write(s, bytes, STREAM_BLOCK_BYTES, &err);
		memset(bytes, 1, STREAM_BLOCK_BYTES); /* ours again: a reading helper would race */
		free(bytes);
		assert_int_equal(r, IMBREX_ENOSPC);
		assert_string_equal(err.message, "the end is full");
		sink_free(s);
		assert_int_equal(seen.n_frees, 1);
		seen_done(&seen);
	}
}

static void two_digests_in_one_chain_agree(void **state)
{
	struct imbrex_error err = { 0 };
	uint8_t *bytes = big_new();
	struct seen seen = SEEN_INIT;
	struct hash_value a;
	struct hash_value b;
	struct sink *inner;
	struct sink *s;

	assert_int_equal(
		digest_sink_new(HASH_SHA256, NULL, &b, record_new(&seen), &inner, &err), 0);
	assert_int_equal(digest_sink_new(HASH_SHA256, NULL, &a, inner, &s, &err), 0);
	assert_int_equal(drive(s, bytes, BIG_BYTES, 300000, &err), 0);
	assert_true(hash_equal(&a, &b));
	seen_done(&seen);
	free(bytes);
}

static void queue_keeps_bytes_and_order_for_every_chunking(void **state)
{
	static const size_t pieces[] = { 0, 5000, 100000, STREAM_BLOCK_BYTES - 1,
		STREAM_BLOCK_BYTES, STREAM_BLOCK_BYTES + 1 };
	uint8_t *bytes = big_new();
	size_t n_blocks;
	size_t i;

	for (n_blocks = 1; n_blocks <= 3; n_blocks++) {
		for (i = 0; i < ARRAY_LEN(pieces); i++) {
			struct imbrex_error err = { 0 };
			struct seen seen = SEEN_INIT;
			struct sink *s;

			assert_int_equal(queue_sink_new(n_blocks, record_new(&seen), &s, &err), 0);
			assert_int_equal(drive(s, bytes, BIG_BYTES, pieces[i], &err), 0);
			assert_seen(&seen, bytes, BIG_BYTES);
			assert_int_equal(seen.n_writes, 6);
			assert_int_equal(seen.n_finishes, 1);
			assert_int_equal(seen.n_frees, 1);
			seen_done(&seen);
		}
	}
	free(bytes);
}

static void queue_of_nothing_still_finishes_the_next_stage(void **state)
{
	struct imbrex_error err = { 0 };
	struct seen seen = SEEN_INIT;
	struct sink *s;

	assert_int_equal(queue_sink_new(2, record_new(&seen), &s, &err), 0);
	assert_int_equal(drive(s, "", 0, 0, &err), 0);
	assert_int_equal(seen.n_writes, 0);
	assert_int_equal(seen.n_finishes, 1);
	seen_done(&seen);
}

static void queue_returns_a_failed_write_of_the_consumer_to_the_producer(void **state)
{
	struct imbrex_error err = { 0 };
	uint8_t *block = calloc(1, STREAM_BLOCK_BYTES);
	struct seen seen = SEEN_INIT;
	struct sink *s;
	size_t n = 0;
	int r;

	assert_non_null(block);
	seen.discard = true;
	seen.fail_at_bytes = 3 * STREAM_BLOCK_BYTES;
	assert_int_equal(queue_sink_new(2, record_new(&seen), &s, &err), 0);
	do {
		r = sink_write(s, block, STREAM_BLOCK_BYTES, &err);
	} while (r == 0 && ++n < 100);
	assert_int_equal(r, IMBREX_ENOSPC);
	assert_string_equal(err.message, "the end is full");
	assert_true(n >= 3 && n <= 5); /* three blocks failed it, two more fit the ring */
	sink_free(s);
	assert_int_equal(seen.n_writes, 3);
	assert_int_equal(seen.n_finishes, 0);
	assert_int_equal(seen.n_frees, 1);
	seen_done(&seen);
	free(block);
}

static void queue_returns_a_failed_last_write_from_finish(void **state)
{
	struct imbrex_error err = { 0 };
	struct seen seen = SEEN_INIT;
	struct sink *s;

	seen.fail_at_bytes = 3;
	assert_int_equal(queue_sink_new(2, record_new(&seen), &s, &err), 0);
	assert_int_equal(drive(s, "abc", 3, 0, &err), IMBREX_ENOSPC);
	assert_string_equal(err.message, "the end is full");
	assert_int_equal(seen.n_finishes, 0);
	seen_done(&seen);
}

static void queue_returns_a_failed_finish_of_the_consumer(void **state)
{
	struct imbrex_error err = { 0 };
	struct seen seen = SEEN_INIT;
	struct sink *s;

	seen.fail_finish = true;
	assert_int_equal(queue_sink_new(2, record_new(&seen), &s, &err), 0);
	assert_int_equal(drive(s, "abc", 3, 0, &err), IMBREX_EBUSY);
	assert_string_equal(err.message, "the end refuses to finish");
	seen_done(&seen);
}

static void queue_works_without_an_error_object(void **state)
{
	struct seen seen = SEEN_INIT;
	struct sink *s;

	seen.fail_finish = true;
	assert_int_equal(queue_sink_new(1, record_new(&seen), &s, NULL), 0);
	assert_int_equal(drive(s, "abc", 3, 0, NULL), IMBREX_EBUSY);
	seen_done(&seen);
}

static void queue_freed_before_finish_never_finishes_the_next_stage(void **state)
{
	uint8_t *block = calloc(1, STREAM_BLOCK_BYTES);
	size_t n;

	assert_non_null(block);
	for (n = 0; n < 60; n++) {
		struct imbrex_error err = { 0 };
		struct seen seen = SEEN_INIT;
		struct sink *s;
		size_t i;

		seen.discard = true;
		assert_int_equal(queue_sink_new(3, record_new(&seen), &s, &err), 0);
		for (i = 0; i < n % 6; i++)
			assert_int_equal(sink_write(s, block, STREAM_BLOCK_BYTES, &err), 0);
		sink_free(s);
		assert_true(seen.n_writes <= n % 6);
		assert_int_equal(seen.n_finishes, 0);
		assert_int_equal(seen.n_frees, 1);
		seen_done(&seen);
	}
	free(block);
}

static void a_digest_behind_a_queue_finishes_before_finish_returns(void **state)
{
	struct imbrex_error err = { 0 };
	uint8_t *bytes = big_new();
	struct hash_value want;
	struct hash_value value = { 0 };
	struct seen seen = SEEN_INIT;
	struct sink *inner;
	struct sink *s;

	assert_int_equal(hash_bytes(HASH_SHA256, bytes, BIG_BYTES, &want), 0);
	assert_int_equal(
		digest_sink_new(HASH_SHA256, NULL, &value, record_new(&seen), &inner, &err), 0);
	assert_int_equal(queue_sink_new(2, inner, &s, &err), 0);
	assert_int_equal(drive(s, bytes, BIG_BYTES, 70000, &err), 0);
	assert_true(hash_equal(&value, &want));
	seen_done(&seen);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(hasher_gives_the_published_values),
		cmocka_unit_test(digest_is_the_same_for_every_chunking),
		cmocka_unit_test(digest_refuses_other_content_and_names_both),
		cmocka_unit_test(digest_of_nothing_is_that_of_the_empty_string),
		cmocka_unit_test(digest_is_known_when_the_next_stage_is_finished),
		cmocka_unit_test(a_failure_behind_the_digest_waits_for_the_helper),
		cmocka_unit_test(two_digests_in_one_chain_agree),
		cmocka_unit_test(queue_keeps_bytes_and_order_for_every_chunking),
		cmocka_unit_test(queue_of_nothing_still_finishes_the_next_stage),
		cmocka_unit_test(queue_returns_a_failed_write_of_the_consumer_to_the_producer),
		cmocka_unit_test(queue_returns_a_failed_last_write_from_finish),
		cmocka_unit_test(queue_returns_a_failed_finish_of_the_consumer),
		cmocka_unit_test(queue_works_without_an_error_object),
		cmocka_unit_test(queue_freed_before_finish_never_finishes_the_next_stage),
		cmocka_unit_test(a_digest_behind_a_queue_finishes_before_finish_returns),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
