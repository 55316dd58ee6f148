/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of ZFS made by hand: both byte orders, and what no sender writes. */
#include "format/zfsstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "stream/null.h"

#include <cmocka.h>

struct made {
	uint8_t bytes[4096];
	size_t len;
	bool big;
};

static void put(struct made *m, size_t at, uint64_t value, size_t width)
{
	size_t i;

	for (i = 0; i < width; i++)
		m->bytes[at + i] = (uint8_t)(value >> 8 * (m->big ? width - 1 - i : i));
}

static size_t add_record(struct made *m, uint32_t type)
{
	size_t at = m->len;

	m->len += ZFS_RECORD_BYTES;
	assert_true(m->len <= sizeof(m->bytes));
	put(m, at, type, 4);
	return at;
}

/* BEGIN, an object with a bonus, a written block, a compressed one, END. */
static struct made whole(bool big)
{
	struct made m = { .big = big };
	size_t at = add_record(&m, 0);

	put(&m, 8, UINT64_C(0x2F5bacbac), 8);
	put(&m, 16, 4u << 2 | 1, 8);
	put(&m, 32, 2, 4);
	put(&m, 36, 1, 4);
	put(&m, 40, UINT64_C(0x1122334455667788), 8);
	put(&m, 48, 99, 8);
	memcpy(m.bytes + 56, "pool/a@b", 8);
	at = add_record(&m, 1);
	put(&m, at + 28, 13, 4);
	m.len += 16;
	at = add_record(&m, 3);
	put(&m, at + 32, 512, 8);
	m.len += 512;
	at = add_record(&m, 3);
	put(&m, at + 32, 4096, 8);
	m.bytes[at + 50] = 15;
	put(&m, at + 96, 24, 8);
	m.len += 24;
	(void)add_record(&m, 5);
	return m;
}

static int keep(void *ctx, const struct zfs_begin *b, struct imbrex_error *err)
{
	*(struct zfs_begin *)ctx = *b;
	return 0;
}

static int refuse(void *ctx, const struct zfs_begin *b, struct imbrex_error *err)
{
	return IMBREX_ECANCELED;
}

static int run(const struct made *m, zfs_begin_fn fn, void *ctx, struct imbrex_error *err)
{
	AUTO_SINK struct sink *end = NULL;
	AUTO_SINK struct sink *s = NULL;
	int r;

	assert_int_equal(null_sink_new(&end, err), 0);
	assert_int_equal(zfs_stream_sink_new(fn, ctx, end, &s, err), 0);
	end = NULL;
	r = sink_write(s, m->bytes, m->len, err);
	return r < 0 ? r : sink_finish(s, err);
}

static void either_byte_order_is_read(void **state)
{
	size_t i;

	for (i = 0; i < 2; i++) {
		struct made m = whole(i == 1);
		struct imbrex_error err = { 0 };
		struct zfs_begin b = { 0 };

		if (run(&m, keep, &b, &err) < 0)
			fail_msg("%s", err.message);
		assert_int_equal(b.big_endian, i == 1);
		assert_true(b.to_guid == UINT64_C(0x1122334455667788) && b.from_guid == 99);
		assert_true(b.clone && !b.compound && b.features == 4);
		assert_string_equal(b.to_name, "pool/a@b");
	}
}

static void whoever_is_told_may_refuse(void **state)
{
	struct made m = whole(false);
	struct imbrex_error err = { 0 };

	assert_int_equal(run(&m, refuse, NULL, &err), IMBREX_ECANCELED);
}

/* One change to a good stream, and what is said of it. */
static void hostile_streams_are_refused(void **state)
{
	static const struct {
		size_t at;
		uint64_t value;
		size_t width;
		int status;
		const char *message;
	} cases[] = {
		{ 8, 0x2F5bacbad, 8, IMBREX_EFORMAT, "it is no ZFS stream" },
		{ 0, 1, 4, IMBREX_EFORMAT, "it is no ZFS stream" },
		/* A header of neither kind. */
		{ 16, 3, 8, IMBREX_EFORMAT, "ZFS stream: version 3 is not known" },
		/* A volume. */
		{ 32, 3, 4, IMBREX_EINVAL, "ZFS stream: it is not that of a file system" },
		{ 40, 0, 8, IMBREX_EFORMAT, "ZFS stream: its snapshot has no GUID" },
		{ 16, UINT64_C(1) << 23 | 1, 8, IMBREX_EINVAL,
			"ZFS stream: it is redacted or deduplicated, which is not taken" },
		/* Escape sequences in a name. */
		{ 56, 0x1b, 1, IMBREX_EFORMAT, "ZFS stream: the name of its snapshot is no text" },
		/* Two beginnings, a type nobody knows, lengths to make memory or time go. */
		{ 312, 0, 4, IMBREX_EFORMAT,
			"ZFS stream, byte 312: a record of type 0, which does not belong there" },
		{ 312, 11, 4, IMBREX_EFORMAT,
			"ZFS stream, byte 312: a record of type 11, which does not belong there" },
		{ 4, 0xffffffff, 4, IMBREX_ELIMIT,
			"ZFS stream, byte 0: a record with 4294967295 bytes" },
		{ 312 + 28, 0xffffffff, 4, IMBREX_ELIMIT,
			"ZFS stream, byte 312: a record with 4294967296 bytes" },
		{ 640 + 32, UINT64_MAX, 8, IMBREX_ELIMIT,
			"ZFS stream, byte 640: a record with 18446744073709551615 bytes" },
		/* It says that more comes than does. */
		{ 640 + 32, 2048, 8, IMBREX_EFORMAT, "ZFS stream: it is cut after 2112 bytes" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct made m = whole(false);
		struct imbrex_error err = { 0 };
		struct zfs_begin b;

		put(&m, cases[i].at, cases[i].value, cases[i].width);
		assert_int_equal(run(&m, keep, &b, &err), cases[i].status);
		assert_string_equal(err.message, cases[i].message);
	}
}

static void a_name_without_end_is_refused(void **state)
{
	struct made m = whole(false);
	struct imbrex_error err = { 0 };
	struct zfs_begin b;

	memset(m.bytes + 56, 'x', 256);
	assert_int_equal(run(&m, keep, &b, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "ZFS stream: the name of its snapshot has no end");
}

static void other_files_are_no_streams(void **state)
{
	static const char *const others[] = { "", "hsqs\0\0\0\0\0\0\0\0\0\0\0\0",
		"enroot-zfs-image:v1\n", "\0\0\0\0\0\0\0\0\xac\xcb\xba\xf5\x02\0\0" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(others); i++)
		assert_false(zfs_stream_claims(others[i], i == 3 ? 15 : i ? 16 : 0));
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(either_byte_order_is_read),
		cmocka_unit_test(whoever_is_told_may_refuse),
		cmocka_unit_test(hostile_streams_are_refused),
		cmocka_unit_test(a_name_without_end_is_refused),
		cmocka_unit_test(other_files_are_no_streams),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}
