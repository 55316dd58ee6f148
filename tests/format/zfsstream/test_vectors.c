/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Are streams of OpenZFS followed to their end as they are, however they arrive, and is refused
 * what is not meant to be taken? Argument: the folder of vectors.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "format/zfsstream.h"
#include "stream/buffer.h"

/* Behind ours: it defines fail(). */
#include <cmocka.h>

#define VECTOR_BYTES 65536

static const char *vectors;

static size_t read_whole(const char *name, uint8_t *buf)
{
	char path[4096];
	FILE *f;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/%s.zfs", vectors, name);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("cannot open %s", path);
	n = fread(buf, 1, VECTOR_BYTES, f);
	(void)fclose(f);
	return n;
}

static int note_begin(void *ctx, const struct zfs_begin *b, struct imbrex_error *err)
{
	char *text = ctx;

	(void)snprintf(text, 512, "%s to %016" PRIx64 " from %016" PRIx64 "%s features %" PRIx64,
		b->to_name, b->to_guid, b->from_guid, b->clone ? " clone" : "", b->features);
	return 0;
}

/* What came out must be what went in. */
static int follow(
	const uint8_t *buf, size_t len, size_t piece, char *text, struct imbrex_error *err)
{
	AUTO_STR out = STR_INIT(VECTOR_BYTES);
	AUTO_SINK struct sink *end = NULL;
	AUTO_SINK struct sink *s = NULL;
	size_t at, n;
	int r;

	assert_int_equal(buffer_sink_new(VECTOR_BYTES, &out, &end, err), 0);
	assert_int_equal(zfs_stream_sink_new(note_begin, text, end, &s, err), 0);
	end = NULL;
	for (r = 0, at = 0; r == 0 && at < len; at += n) {
		n = MIN(piece, len - at);
		r = sink_write(s, buf + at, n, err);
	}
	if (r == 0)
		r = sink_finish(s, err);
	if (r == 0) {
		assert_int_equal(out.len, len);
		assert_memory_equal(out.data, buf, len);
	}
	return r;
}

static void streams_are_followed_to_their_end(UNUSED void **state)
{
	static const struct {
		const char *name, *begin;
	} cases[] = {
		{ "whole/full",
			"p/store@pristine to 023b82db2e209b3b from 0000000000000000 features 4" },
		{ "whole/incremental", "p/c@enroot-export-1 to fa17fb4af1ce253e from "
				       "023b82db2e209b3b clone features 4" },
		{ "whole/options-L-e-c", "p/store@pristine to 023b82db2e209b3b from "
					 "0000000000000000 features 430004" },
	};
	static uint8_t buf[VECTOR_BYTES];
	static const size_t pieces[] = { 1, 7, 312, VECTOR_BYTES };
	size_t i, k, len;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		len = read_whole(cases[i].name, buf);
		for (k = 0; k < ARRAY_LEN(pieces); k++) {
			struct imbrex_error err = { 0 };
			char text[512] = "";

			if (follow(buf, len, pieces[k], text, &err) < 0)
				fail_msg("%s: %s", cases[i].name, err.message);
			assert_string_equal(text, cases[i].begin);
		}
	}
}

static void what_is_not_meant_is_refused(UNUSED void **state)
{
	static const char compound[] =
		"ZFS stream: it carries properties or several datasets (zfs send -p, -R); only the "
		"stream of one snapshot is taken";
	static const struct {
		const char *name;
		int status;
		const char *message;
	} cases[] = {
		{ "refused/properties", IMBREX_EINVAL, compound },
		{ "refused/replication", IMBREX_EINVAL, compound },
		{ "refused/raw", IMBREX_EINVAL,
			"ZFS stream: it is that of an encrypted dataset (zfs send -w), which is "
			"not taken" },
		{ "refused/cut-resumed", IMBREX_EFORMAT, "ZFS stream: it is cut after 1024 bytes" },
		{ "refused/cut", IMBREX_EFORMAT, "ZFS stream: it is cut after 9900 bytes" },
	};
	static uint8_t buf[VECTOR_BYTES];
	size_t i, len;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		char text[512] = "";

		len = read_whole(cases[i].name, buf);
		assert_int_equal(follow(buf, len, 100, text, &err), cases[i].status);
		assert_string_equal(err.message, cases[i].message);
		/* Nothing of it was told of before it was refused. */
		assert_int_equal(text[0] != '\0', cases[i].status == IMBREX_EFORMAT);
	}
}

static void a_cut_anywhere_is_noticed(UNUSED void **state)
{
	static uint8_t buf[VECTOR_BYTES];
	size_t len = read_whole("whole/incremental", buf), cut;

	for (cut = 0; cut < len; cut++) {
		struct imbrex_error err = { 0 };
		char text[512];

		assert_int_equal(follow(buf, cut, 4096, text, &err), IMBREX_EFORMAT);
		assert_non_null(strstr(err.message, cut < 16 ? "it is no ZFS stream" : "cut"));
	}
	{
		struct imbrex_error err = { 0 };
		char text[512];

		assert_int_equal(follow(buf, len + 1, 4096, text, &err), IMBREX_EFORMAT);
		assert_string_equal(err.message, "ZFS stream: bytes follow its end at byte 9976");
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(streams_are_followed_to_their_end),
		cmocka_unit_test(what_is_not_meant_is_refused),
		cmocka_unit_test(a_cut_anywhere_is_noticed),
	};

	vectors = argc > 1 ? argv[1] : ".";
	return cmocka_run_group_tests(all, NULL, NULL);
}
