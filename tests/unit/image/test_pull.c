/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulling from an OCI layout that is honest, or wrong in one place: what is said, and that the
 * store is as it was.
 */
#include "imbrex/imbrex.h"

#include "../transport/fixture.h"
#include "stream/compress.h"

/* cmocka's, without its macro fail(). */
#define DIE(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

#define LAYERS 2
#define ARCH   "amd64"

/* A layout in memory; a test spoils a part before it is written. */
struct layout {
	struct str tars[LAYERS];
	struct str blobs[LAYERS]; /* as stored */
	struct hash_value diff_ids[LAYERS];
	struct hash_value digests[LAYERS]; /* as announced */
	size_t sizes[LAYERS];              /* likewise */
	const char *media_type;            /* of the layers */
	const char *config;                /* instead of the honest one */
};

static void pack(const struct str *tar, struct str *ret)
{
	AUTO_SINK struct sink *end = NULL;
	AUTO_SINK struct sink *gzip = NULL;

	assert_int_equal(buffer_sink_new(FIXTURE_MAX, ret, &end, NULL), 0);
	assert_int_equal(gzip_fast_sink_new(end, &gzip, NULL), 0);
	end = NULL;
	assert_int_equal(sink_write(gzip, tar->data, tar->len, NULL), 0);
	assert_int_equal(sink_finish(gzip, NULL), 0);
}

static void layout_init(struct layout *l)
{
	size_t i;

	*l = (struct layout){ .media_type = "application/vnd.oci.image.layer.v1.tar+gzip" };
	for (i = 0; i < LAYERS; i++) {
		l->tars[i] = l->blobs[i] = (struct str)STR_INIT(FIXTURE_MAX);
		layer_make(&l->tars[i], i ? "b" : "a", i ? "second" : "first");
		pack(&l->tars[i], &l->blobs[i]);
		l->diff_ids[i] = sha256_of(l->tars[i].data, l->tars[i].len);
		l->digests[i] = sha256_of(l->blobs[i].data, l->blobs[i].len);
		l->sizes[i] = l->blobs[i].len;
	}
}

static void layout_done(struct layout *l)
{
	size_t i;

	for (i = 0; i < LAYERS; i++) {
		str_done(&l->tars[i]);
		str_done(&l->blobs[i]);
	}
}

static void put_blob(
	const struct box *box, const struct hash_value *name, const void *data, size_t len)
{
	AUTO_FREE char *path = NULL;
	char hex[HASH_HEX_MAX];

	path = format_text("layout/blobs/sha256/%s", hash_hex(name, hex));
	put(box, path, data, len);
}

static void layout_write(const struct box *box, const struct layout *l)
{
	AUTO_FREE char *made = config_make(l->diff_ids, LAYERS, ARCH);
	const char *config = l->config ? l->config : made;
	struct hash_value config_digest = sha256_of(config, strlen(config));
	AUTO_STR manifest = STR_INIT(FIXTURE_MAX);
	AUTO_STR index = STR_INIT(FIXTURE_MAX);
	struct hash_value digest;
	size_t i;

	assert_int_equal(
		str_printf(&manifest,
			"{\"schemaVersion\":2,\"mediaType\":"
			"\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":"
			"\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\","
			"\"size\":%zu},\"layers\":[",
			digest_text(&config_digest), strlen(config)),
		0);
	for (i = 0; i < LAYERS; i++) {
		assert_int_equal(str_printf(&manifest,
					 "%s{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}",
					 i ? "," : "", l->media_type, digest_text(&l->digests[i]),
					 l->sizes[i]),
			0);
		put_blob(box, &l->digests[i], str_text(&l->blobs[i]), l->blobs[i].len);
	}
	assert_int_equal(str_puts(&manifest, "]}"), 0);
	digest = sha256_of(manifest.data, manifest.len);
	put_blob(box, &config_digest, config, strlen(config));
	put_blob(box, &digest, manifest.data, manifest.len);
	assert_int_equal(
		str_printf(&index,
			"{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":"
			"\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"%s\","
			"\"size\":%zu,\"annotations\":{\"org.opencontainers.image.ref.name\":"
			"\"t\"}}]}",
			digest_text(&digest), manifest.len),
		0);
	put(box, "layout/index.json", index.data, index.len);
	put_text(box, "layout/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
}

/* ---- the store ------------------------------------------------------------------------- */

static struct imbrex_store *open_store(const struct box *box)
{
	static const char *const no_options[] = { NULL };
	const struct imbrex_store_opts opts = { .graphroot = box_path(box, "root"),
		.runroot = box_path(box, "run"),
		.driver = "vfs",
		.storage_opts = no_options };
	struct imbrex_error err = { 0 };
	struct imbrex_store *s = NULL;

	(void)setenv("CONTAINERS_STORAGE_CONF", "/dev/null", 1);
	if (imbrex_store_open(&opts, &s, &err) < 0)
		DIE("%s", err.message);
	return s;
}

static void expect_counts(struct imbrex_store *s, size_t want_images, size_t want_layers)
{
	struct imbrex_error err = { 0 };
	struct imbrex_problem *problems;
	struct imbrex_image *images;
	struct imbrex_layer *layers;
	size_t n;

	assert_int_equal(imbrex_images_list(s, &images, &n, &err), 0);
	imbrex_images_free(images, n);
	assert_int_equal(n, want_images);
	assert_int_equal(imbrex_layers_list(s, &layers, &n, &err), 0);
	imbrex_layers_free(layers, n);
	assert_int_equal(n, want_layers);
	assert_int_equal(imbrex_check(s, NULL, &problems, &n, &err), 0);
	if (n)
		DIE("%s: %s", problems[0].object, problems[0].text);
	imbrex_problems_free(problems, n);
}

struct events {
	struct str text; /* one letter an event */
	uint64_t bytes;
};

static void take_event(void *userdata, const struct imbrex_progress *event)
{
	static const char letters[] = "?SBDKN";
	struct events *e = userdata;

	if (event->kind == IMBREX_PROGRESS_DONE)
		e->bytes = event->done_bytes;
	if (event->kind != IMBREX_PROGRESS_BYTES)
		assert_int_equal(str_putc(&e->text, letters[event->kind]), 0);
}

static int pull(struct imbrex_store *s, const struct box *box, struct events *events,
	struct imbrex_error *err)
{
	AUTO_FREE char *source = format_text("oci:%s", box_path(box, "layout:t"));
	const struct imbrex_pull_opts opts = { .name = "app:1",
		.platform = "linux/" ARCH,
		.jobs = 1,
		.no_sync = true,
		.progress = events ? take_event : NULL,
		.progress_userdata = events };
	AUTO_FREE char *id = NULL;

	return imbrex_pull(s, source, &opts, &id, err);
}

/* ---- tests ----------------------------------------------------------------------------- */

static void an_honest_image_arrives_once_and_is_skipped_the_second_time(void **state)
{
	struct box *box = *state;
	struct imbrex_store *s = open_store(box);
	struct events events = { .text = STR_INIT(FIXTURE_MAX) };
	struct imbrex_error err = { 0 };
	struct layout l;

	layout_init(&l);
	layout_write(box, &l);
	if (pull(s, box, &events, &err) < 0)
		DIE("%s", err.message);
	assert_string_equal(events.text.data, "SDSDN");
	assert_int_equal(events.bytes, l.sizes[1]);
	expect_counts(s, 1, 2);
	str_clear(&events.text);
	assert_int_equal(pull(s, box, &events, &err), 0);
	assert_string_equal(events.text.data, "KKN");
	expect_counts(s, 1, 2);
	str_done(&events.text);
	layout_done(&l);
	imbrex_store_close(s);
}

enum spoil {
	LAYER_BYTE,
	LAYER_SHORT,
	LAYER_LONG,
	LAYER_SIZE,
	LAYER_EMPTY,
	DIFF_ID,
	NO_TAR,
	TAR_NAME,
	MEDIA_TYPE,
	CONFIG_TEXT,
	CONFIG_COUNT,
};

static void spoil(struct layout *l, enum spoil how)
{
	AUTO_STR tar = STR_INIT(FIXTURE_MAX);

	switch (how) {
	case LAYER_BYTE:
		l->blobs[1].data[l->blobs[1].len - 9] ^= 1;
		return;
	case LAYER_SHORT:
		l->blobs[1].len -= 5;
		return;
	case LAYER_LONG:
		assert_int_equal(str_puts(&l->blobs[1], "more"), 0);
		return;
	case LAYER_SIZE:
		l->sizes[1] = 5;
		return;
	case LAYER_EMPTY:
		l->blobs[1].len = 0;
		return;
	case DIFF_ID:
		l->diff_ids[1] = l->diff_ids[0];
		return;
	case NO_TAR:
	case TAR_NAME:
		if (how == NO_TAR)
			assert_int_equal(str_printf(&tar, "%0600d", 7), 0);
		else
			layer_make(&tar, "../escape", "x");
		str_clear(&l->blobs[1]);
		pack(&tar, &l->blobs[1]);
		l->diff_ids[1] = sha256_of(tar.data, tar.len);
		l->digests[1] = sha256_of(l->blobs[1].data, l->blobs[1].len);
		l->sizes[1] = l->blobs[1].len;
		return;
	case MEDIA_TYPE:
		l->media_type = "application/vnd.oci.image.layer.v1.tar+brotli";
		return;
	case CONFIG_TEXT:
		l->config = "{\"rootfs\":";
		return;
	case CONFIG_COUNT:
		l->config = "{\"architecture\":\"" ARCH "\",\"os\":\"linux\",\"rootfs\":"
			    "{\"type\":\"layers\",\"diff_ids\":[]}}";
		return;
	}
}

static void what_is_not_what_was_announced_leaves_no_trace(void **state)
{
	static const struct {
		enum spoil how;
		int status;
		const char *message; /* found in it */
	} cases[] = {
		{ LAYER_BYTE, IMBREX_EDIGEST, " was announced" },
		{ LAYER_SHORT, IMBREX_EDIGEST, " were announced" },
		{ LAYER_LONG, IMBREX_EDIGEST, " were announced" },
		{ LAYER_SIZE, IMBREX_EDIGEST, " bytes but 5 were announced" },
		{ LAYER_EMPTY, IMBREX_EDIGEST, " has 0 bytes but " },
		{ DIFF_ID, IMBREX_EDIGEST, ": content is sha256:" },
		{ NO_TAR, IMBREX_EFORMAT, "tar header at byte 0: the checksum does not match" },
		{ TAR_NAME, IMBREX_EFORMAT,
			"tar entry '../escape' at byte 0: path leaves the layer" },
		{ MEDIA_TYPE, IMBREX_ENOTSUP, "tar+brotli' is no layer of a known kind" },
		{ CONFIG_TEXT, IMBREX_EFORMAT, ": config: byte 10: expected a value" },
		{ CONFIG_COUNT, IMBREX_EFORMAT, "0 diff IDs, but the manifest has 2 layers" },
	};
	struct box *box = *state;
	struct imbrex_store *s = open_store(box);
	struct imbrex_error err = { 0 };
	struct layout l;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		int r;

		layout_init(&l);
		spoil(&l, cases[i].how);
		layout_write(box, &l);
		r = pull(s, box, NULL, &err);
		if (r != cases[i].status || !strstr(err.message, cases[i].message) ||
			!str_after(err.message, "pull oci:"))
			DIE("case %zu: %s: '%s'", i, r < 0 ? imbrex_status_name(r) : "fine",
				err.message);
		expect_counts(s, 0, 0);
		layout_done(&l);
	}
	layout_init(&l);
	layout_write(box, &l);
	assert_int_equal(pull(s, box, NULL, &err), 0);
	expect_counts(s, 1, 2);
	layout_done(&l);
	imbrex_store_close(s);
}

static void history_is_joined_with_the_layers_and_the_process_is_read(void **state)
{
	static const char rest[] =
		"]},\"config\":{\"Env\":[\"A=b\"],\"Entrypoint\":[\"/e\"],\"Cmd\":[\"x\",\"y\"],"
		"\"User\":\"u:g\",\"WorkingDir\":\"/w\",\"StopSignal\":\"SIGINT\"},"
		"\"history\":[{\"created_by\":\"one\",\"created\":\"2026-01-02T03:04:05Z\"},"
		"{\"created_by\":\"nothing\",\"empty_layer\":true,\"comment\":\"c\"},"
		"{\"created_by\":\"two\"},{\"created_by\":\"three too many\"}]}";
	struct box *box = *state;
	struct imbrex_store *s = open_store(box);
	struct imbrex_error err = { 0 };
	struct imbrex_image_process p;
	struct imbrex_history *h;
	AUTO_FREE char *config = NULL;
	struct layout l;
	char first[HASH_TEXT_MAX];
	char second[HASH_TEXT_MAX];
	size_t n;

	layout_init(&l);
	config = format_text("{\"architecture\":\"" ARCH "\",\"os\":\"linux\",\"rootfs\":"
			     "{\"type\":\"layers\",\"diff_ids\":[\"%s\",\"%s\"%s",
		hash_format(&l.diff_ids[0], first), hash_format(&l.diff_ids[1], second), rest);
	l.config = config;
	layout_write(box, &l);
	if (pull(s, box, NULL, &err) < 0)
		DIE("%s", err.message);
	if (imbrex_image_history(s, "app:1", &h, &n, &err) < 0)
		DIE("%s", err.message);
	assert_int_equal(n, 4);
	assert_string_equal(h[0].created_by, "one");
	assert_string_equal(h[0].created, "2026-01-02T03:04:05Z");
	assert_string_equal(h[0].layer, strchr(first, ':') + 1);
	assert_int_equal(h[0].size_bytes, l.tars[0].len);
	assert_true(h[1].empty_layer);
	assert_int_equal(h[1].size_bytes, 0);
	assert_string_equal(h[1].layer, "");
	assert_string_equal(h[1].comment, "c");
	assert_int_equal(h[2].size_bytes, l.tars[1].len);
	assert_int_equal(h[3].size_bytes, -1);
	assert_string_equal(h[3].layer, "");
	imbrex_history_free(h, n);
	if (imbrex_image_process(s, "app:1", &p, &err) < 0)
		DIE("%s", err.message);
	assert_string_equal(p.env[0], "A=b");
	assert_string_equal(p.entrypoint[0], "/e");
	assert_string_equal(p.cmd[1], "y");
	assert_null(p.cmd[2]);
	assert_string_equal(p.user, "u:g");
	assert_string_equal(p.working_dir, "/w");
	assert_string_equal(p.stop_signal, "SIGINT");
	imbrex_image_process_done(&p);
	assert_int_equal(imbrex_image_process(s, "none", &p, &err), IMBREX_ENOENT);
	layout_done(&l);
	imbrex_store_close(s);
}

#define box_test(f) cmocka_unit_test_setup_teardown(f, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		box_test(an_honest_image_arrives_once_and_is_skipped_the_second_time),
		box_test(what_is_not_what_was_announced_leaves_no_trace),
		box_test(history_is_joined_with_the_layers_and_the_process_is_read),
	};

	if (geteuid() != 0) {
		(void)printf("skipped: a store of the machine needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
