/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers reach their places base first, whatever order an archive has them in; what is thrown away
 * was hashed, and what an engine announced is compared with what came. The source is a table.
 */
#include "image/feed.h"

#include <stdio.h>

#include "../os/scratch.h"
#include "base/error.h"
#include "base/limits.h"
#include "one_file_tar.h"
#include "os/fd.h"

#define N_MAX 8
#define LARGE 100000u

struct script {
	struct source base;
	struct import im;
	struct feed feed;
	struct imbrex_rootfs_opts opts;
	char *tars[N_MAX]; /* owned */
	size_t lens[N_MAX];
	struct hash_value diff_ids[N_MAX], announced[N_MAX], told[N_MAX];
	size_t n;
	size_t order[N_MAX]; /* in which they pass; each once */
	size_t n_passing;
	char config[2048];
	struct hash_value config_id;
	size_t n_blobs; /* asked for after the archive has passed */
	char happened[256];
	size_t there; /* begin() says that this one is there; SIZE_MAX: none */
	struct scratch *s;
	struct imbrex_error err;
};

/* One file, called and filled by `letter`. */
static void make_tar(struct script *t, size_t i, char letter, size_t size)
{
	char *tar = calloc(1, ONE_FILE_TAR_BYTES(size));

	assert_non_null(tar);
	t->tars[i] = tar;
	t->lens[i] = one_file_tar(tar, letter, size);
	assert_int_equal(hash_bytes(HASH_SHA256, tar, t->lens[i], &t->diff_ids[i]), 0);
	t->announced[i] = t->told[i] = t->diff_ids[i];
}

static int get_outline(struct source *s, struct source_outline *ret, struct imbrex_error *err)
{
	struct script *t = CONTAINER_OF(s, struct script, base);

	*ret = (struct source_outline){
		.image = t->config_id, .diff_ids = t->announced, .n_diff_ids = t->n
	};
	return 0;
}

static int pass_by(struct script *t, struct imbrex_error *err)
{
	size_t i;
	int r = 0;

	for (i = 0; r == 0 && i < t->n_passing; i++) {
		size_t k = t->order[i];
		const struct archive_member m = {
			.name = "layer.tar", .size_bytes = t->lens[k], .diff_id = &t->told[k]
		};
		AUTO_SINK struct sink *sink = NULL;

		r = t->feed.events.layer(t->feed.events.ctx, &m, &sink, err);
		if (r < 0 || !sink)
			continue;
		r = sink_write(sink, t->tars[k], t->lens[k] / 2, err);
		if (r == 0)
			r = sink_write(sink, t->tars[k] + t->lens[k] / 2,
				t->lens[k] - t->lens[k] / 2, err);
		if (r == 0)
			r = sink_finish(sink, err);
	}
	return r;
}

static int get_manifest(struct source *s, const struct platform *want, struct source_manifest *ret,
	struct imbrex_error *err)
{
	struct script *t = CONTAINER_OF(s, struct script, base);
	char text[HASH_TEXT_MAX];
	size_t i;
	int r = pass_by(t, err);

	if (r < 0)
		return r;
	ret->manifest = (struct str)STR_INIT(LIMIT_MANIFEST_BYTES);
	ret->media_type = strdup("application/vnd.docker.distribution.manifest.v2+json");
	r = str_printf(&ret->manifest,
		"{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":{\"mediaType\":"
		"\"application/"
		"vnd.docker.container.image.v1+json\",\"size\":%zu,\"digest\":\"%s\"},"
		"\"layers\":[",
		ret->media_type, strlen(t->config), hash_format(&t->config_id, text));
	for (i = 0; r == 0 && i < t->n; i++)
		r = str_printf(&ret->manifest,
			"%s{\"mediaType\":\"application/vnd.docker.image.rootfs.diff.tar.gzip\","
			"\"size\":%zu,\"digest\":\"%s\"}",
			i ? "," : "", t->lens[i], hash_format(&t->diff_ids[i], text));
	return r < 0 || str_puts(&ret->manifest, "]}") < 0 ? fail_nomem(err) : 0;
}

static int get_blob(
	struct source *s, const struct oci_descriptor *d, struct sink *to, struct imbrex_error *err)
{
	struct script *t = CONTAINER_OF(s, struct script, base);
	size_t i;
	int r = IMBREX_ENOENT;

	if (hash_equal(&d->digest, &t->config_id)) {
		r = sink_write(to, t->config, strlen(t->config), err);
		return r == 0 ? sink_finish(to, err) : r;
	}
	t->n_blobs++;
	for (i = 0; i < t->n; i++) {
		if (!hash_equal(&d->digest, &t->diff_ids[i]))
			continue;
		r = sink_write(to, t->tars[i], t->lens[i], err);
		return r == 0 ? sink_finish(to, err) : r;
	}
	return r;
}

static void no_free(struct source *s)
{
}

static const struct source_ops announcing = { .name = "table",
	.unpacked = true,
	.outline = get_outline,
	.manifest = get_manifest,
	.blob = get_blob,
	.free = no_free };
static const struct source_ops silent = { .name = "table",
	.unpacked = true,
	.manifest = get_manifest,
	.blob = get_blob,
	.free = no_free };

static int begin(void *ctx, size_t i, int *ret_fd, struct imbrex_error *err)
{
	struct script *t = ctx;
	size_t len = strlen(t->happened);

	if (i == t->there) {
		(void)snprintf(t->happened + len, sizeof(t->happened) - len, "=%zu ", i);
		return 1;
	}
	(void)snprintf(t->happened + len, sizeof(t->happened) - len, "(%zu", i);
	*ret_fd = t->s->fd;
	return 0;
}

static int end(void *ctx, size_t i, struct imbrex_error *err)
{
	struct script *t = ctx;
	size_t len = strlen(t->happened);

	(void)snprintf(t->happened + len, sizeof(t->happened) - len, ") ");
	return 0;
}

/* "aBc.": small, large, small, empty */
static void make(struct script *t, struct scratch *s, const struct source_ops *ops,
	const char *layers, const char *order)
{
	char text[HASH_TEXT_MAX];
	size_t i, len;

	*t = (struct script){ .base = { ops }, .there = SIZE_MAX, .s = s };
	for (t->n = strlen(layers), i = 0; i < t->n; i++) {
		bool large = layers[i] >= 'A' && layers[i] <= 'Z';

		make_tar(t, i, layers[i] == '.' ? '\0' : layers[i], large ? LARGE : 10);
	}
	for (t->n_passing = strlen(order), i = 0; i < t->n_passing; i++)
		t->order[i] = (size_t)(order[i] - '0');
	(void)snprintf(t->config, sizeof(t->config),
		"{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","
		"\"diff_ids\":[");
	for (i = 0; i < t->n; i++) {
		len = strlen(t->config);
		(void)snprintf(t->config + len, sizeof(t->config) - len, "%s\"%s\"", i ? "," : "",
			hash_format(&t->diff_ids[i], text));
	}
	len = strlen(t->config);
	(void)snprintf(t->config + len, sizeof(t->config) - len, "]}}");
	assert_int_equal(hash_bytes(HASH_SHA256, t->config, strlen(t->config), &t->config_id), 0);
	t->im = (struct import)IMPORT_INIT(&t->opts);
	t->im.source = &t->base;
	feed_init(&t->feed, &t->im);
}

static int run(struct script *t, size_t first)
{
	const struct feed_target target = { begin, end, t };
	int r = feed_announced(&t->feed, &t->err);

	if (r == 0)
		r = import_documents(&t->im, &t->err);
	return r < 0 ? r : feed_run(&t->feed, first, &target, &t->err);
}

static void done(struct script *t)
{
	size_t i;

	feed_done(&t->feed);
	import_done(&t->im);
	for (i = 0; i < t->n; i++)
		free(t->tars[i]);
}

static void layers_reach_their_places_in_order(void **state)
{
	static const struct {
		const char *layers, *order;
		size_t first, n_blobs;
		const char *happened, *files;
	} cases[] = {
		{ "abc", "012", 0, 0, "(0) (1) (2) ", "abc" },
		{ "ABC", "012", 0, 0, "(0) (1) (2) ", "ABC" },
		/* Too early: small ones are kept in memory, large ones by the transport. */
		{ "abc", "210", 0, 0, "(0) (1) (2) ", "abc" },
		{ "ABC", "210", 0, 2, "(0) (1) (2) ", "ABC" },
		{ "aBc", "102", 0, 1, "(0) (1) (2) ", "aBc" },
		/* One that is needed again passes once. */
		{ ".a.B.", "013", 0, 0, "(0) (1) (2) (3) (4) ", "aB" },
		{ ".a.B.", "310", 0, 1, "(0) (1) (2) (3) (4) ", "aB" },
		{ "AbA", "01", 0, 2, "(0) (1) (2) ", "Ab" },
		{ "...", "0", 0, 0, "(0) (1) (2) ", "" },
		/* What is there is not written. */
		{ "ABc", "012", 2, 0, "(2) ", "c" },
		{ "abc", "012", 3, 0, "", "" },
		{ "aBa", "01", 2, 0, "(2) ", "a" },
	};
	struct scratch *s = *state;
	size_t i, k;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct script t;
		int r;

		make(&t, s, &announcing, cases[i].layers, cases[i].order);
		r = run(&t, cases[i].first);
		if (r < 0)
			print_error("%s %s: %s\n", cases[i].layers, cases[i].order, t.err.message);
		assert_int_equal(r, 0);
		assert_string_equal(t.happened, cases[i].happened);
		assert_int_equal(t.n_blobs, cases[i].n_blobs);
		for (k = 0; "abcABC"[k]; k++) {
			const char name[] = { "abcABC"[k], '\0' };

			assert_int_equal(
				exists_at(s->fd, name), strchr(cases[i].files, name[0]) != NULL);
			(void)unlinkat(s->fd, name, 0);
		}
		done(&t);
	}
}

static void a_silent_source_is_asked_for_each(void **state)
{
	struct script t;

	make(&t, *state, &silent, "aBc", "");
	assert_int_equal(run(&t, 1), 0);
	assert_string_equal(t.happened, "(1) (2) ");
	assert_int_equal(t.n_blobs, 2);
	done(&t);
}

static void what_somebody_else_has_made_is_passed_over(void **state)
{
	struct script t;

	make(&t, *state, &announcing, "abc", "012");
	t.there = 1;
	assert_int_equal(run(&t, 0), 0);
	assert_string_equal(t.happened, "(0) =1 (2) ");
	done(&t);
	make(&t, *state, &silent, "abc", "");
	t.there = 1;
	assert_int_equal(run(&t, 0), 0);
	assert_string_equal(t.happened, "(0) =1 (2) ");
	done(&t);
}

static void lies_are_found_out(void **state)
{
	struct script t;

	/* A layer that is not what it is called: on its way to its place, and thrown away. */
	make(&t, *state, &announcing, "aBc", "012");
	t.tars[1][600] ^= 1;
	assert_int_equal(run(&t, 0), IMBREX_EDIGEST);
	assert_string_equal(t.happened, "(0) (1");
	done(&t);
	make(&t, *state, &announcing, "aBc", "012");
	t.tars[1][600] ^= 1;
	assert_int_equal(run(&t, 2), IMBREX_EDIGEST);
	assert_string_equal(t.happened, "");
	done(&t);
	/* An image that is not the one that was announced, though each layer is. */
	make(&t, *state, &announcing, "abc", "012");
	t.announced[2] = t.announced[0];
	assert_int_equal(run(&t, 0), IMBREX_EDIGEST);
	assert_non_null(strstr(t.err.message, "layer 3 is sha256:"));
	assert_non_null(strstr(t.err.message, "was announced"));
	done(&t);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
	const struct CMUnitTest group[] = {
		TEST(layers_reach_their_places_in_order),
		TEST(a_silent_source_is_asked_for_each),
		TEST(what_somebody_else_has_made_is_passed_over),
		TEST(lies_are_found_out),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
