/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a layer may take at most, where the driver and the file system can hold it to that.
 * Elsewhere asking for it is refused, with the reason, which is what the skip says.
 */
#include "conformance.h"

#include <stdlib.h>

#define MIB (1024 * 1024)

/* Layer `id` on `parent_id` that may hold 16 MiB; skips where there are no limits. */
static void make_limited(struct fixture *f, const char *id, const char *parent_id)
{
	/* On the stack: a skip jumps out of here. */
	char text[] = "size=16M";
	char *items[] = { text };
	const struct strv options = { .items = items, .n = 1 };
	const struct driver_layer_opts opts = { .options = &options };
	const struct driver_parent parent = { .id = parent_id };
	struct driver_stage *stage = NULL;
	int r;

	r = f->d->ops->stage_new(f->d, f->temp, &parent, &opts, &stage, &f->err);
	if (r == 0)
		r = f->d->ops->stage_seal(stage, &parent, true, &f->err);
	if (r == IMBREX_ENOTSUP) {
		driver_stage_free(stage);
		print_message("skipped: %s\n", f->err.message);
		skip();
	}
	assert_ok(r, &f->err);
	assert_ok(f->d->ops->stage_publish(stage, id, &f->err), &f->err);
	driver_stage_free(stage);
}

/* Mebibytes that fit into the layer; at most `max`. Incompressible, and on disk. */
static unsigned int fill(struct fixture *f, const char *id, unsigned int max)
{
	static uint32_t noise[MIB / 4];
	uint32_t x = 2463534242u;
	unsigned int n = 0;
	int root = open_mounted(f, id, NULL);
	int fd = openat(root, "fill", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r = 0;
	size_t i;

	assert_true(fd >= 0);
	while (n < max && r == 0) {
		for (i = 0; i < ARRAY_LEN(noise); i++) {
			x ^= x << 13;
			x ^= x >> 17;
			x ^= x << 5;
			noise[i] = x;
		}
		r = write_all(fd, noise, sizeof(noise));
		if (r == 0 && fsync(fd) < 0)
			r = -errno;
		n += r == 0;
	}
	if (r < 0)
		assert_true(r == -EDQUOT || r == -ENOSPC);
	(void)close(fd);
	(void)close(root);
	assert_ok(f->d->ops->unmount(f->d, id, &f->err), &f->err);
	return n;
}

static void a_layer_holds_as_much_as_it_may(void **state)
{
	struct fixture *f = *state;
	unsigned int n;

	fixture_layer(f, "base", NULL, &(struct node)FILE("f", 0644, "x"), 1);
	make_limited(f, "box", "base");
	n = fill(f, "box", 48);
	print_message("%u MiB fit into 16\n", n);
	/* File systems that count a transaction later let more through. */
	assert_in_range(n, 8, 32);
	/* What is below it is not counted against others. */
	fixture_layer(f, "other", "base", NULL, 0);
	assert_int_equal(fill(f, "other", 24), 24);
}

static void a_limit_goes_with_its_layer(void **state)
{
	struct fixture *f = *state;

	fixture_layer(f, "base", NULL, &(struct node)FILE("f", 0644, "x"), 1);
	make_limited(f, "box", "base");
	assert_ok(f->d->ops->remove(f->d, "box", f->temp, &f->err), &f->err);
	fixture_layer(f, "box", "base", NULL, 0);
	assert_int_equal(fill(f, "box", 24), 24);
}

static void an_unknown_limit_is_refused(void **state)
{
	AUTO_STRV options = { 0 };
	const struct driver_layer_opts opts = { .options = &options };
	struct fixture *f = *state;
	struct driver_stage *stage = NULL;
	AUTO_STRV ids = { 0 };
	int r;

	assert_int_equal(strv_add(&options, "colour=blue"), 0);
	r = f->d->ops->stage_new(f->d, f->temp, NULL, &opts, &stage, &f->err);
	if (r == 0)
		r = f->d->ops->stage_seal(stage, NULL, true, &f->err);
	driver_stage_free(stage);
	assert_true(r == IMBREX_EINVAL || r == IMBREX_ENOTSUP);
	assert_non_null(strstr(f->err.message, "colour"));
	assert_ok(f->d->ops->list(f->d, &ids, &f->err), &f->err);
	assert_int_equal(ids.n, 0);
}

int test_limits(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_layer_holds_as_much_as_it_may),
		TEST(a_limit_goes_with_its_layer),
		TEST(an_unknown_limit_is_refused),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
