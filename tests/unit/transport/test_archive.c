/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Do archives of every layout give the same image, from a file, from a pipe and compressed? Are
 * broken and hostile ones refused with a message that says why?
 */
#include "fixture.h"
#include "transport/archive.h"

#include <zlib.h>

/* Two layers and their configuration; texts are owned. */
struct parts {
	struct str layers[2];
	struct hash_value diff_ids[2];
	char *config;
	struct hash_value config_digest;
	char layer_names[2][160]; /* "<hex>.tar" */
	char config_name[160];    /* "<hex>.json" */
};

static void parts_make(struct parts *p)
{
	*p = (struct parts){ 0 };
	for (int i = 0; i < 2; i++) {
		p->layers[i] = (struct str)STR_INIT(FIXTURE_MAX);
		layer_make(&p->layers[i], i ? "b" : "a", i ? "second" : "first");
		p->diff_ids[i] = sha256_of(p->layers[i].data, p->layers[i].len);
		(void)snprintf(p->layer_names[i], sizeof(p->layer_names[i]), "%s.tar",
			digest_hex(&p->diff_ids[i]));
	}
	p->config = config_make(p->diff_ids, 2, "amd64");
	p->config_digest = sha256_of(p->config, strlen(p->config));
	(void)snprintf(
		p->config_name, sizeof(p->config_name), "%s.json", digest_hex(&p->config_digest));
}

static void parts_done(struct parts *p)
{
	str_done(&p->layers[0]);
	str_done(&p->layers[1]);
	free(p->config);
}

static void add_layer(struct str *tar, const char *name, const struct str *layer)
{
	tar_add(tar, '0', name, "", layer->data, layer->len);
}

/* manifest.json with one image. */
static void add_manifest(struct str *tar, const char *config, const char *tags, const char *first,
	const char *second)
{
	AUTO_FREE char *text =
		format_text("[{\"Config\":\"%s\",\"RepoTags\":%s,\"Layers\":[\"%s\",\"%s\"]}]",
			config, tags, first, second);

	tar_file(tar, "manifest.json", text);
}

/* As podman save and skopeo write it: layers first, legacy links, manifest.json near the end. */
static void podman_layout(const struct parts *p, struct str *tar)
{
	char link[200];

	add_layer(tar, p->layer_names[0], &p->layers[0]);
	add_layer(tar, p->layer_names[1], &p->layers[1]);
	tar_file(tar, p->config_name, p->config);
	(void)snprintf(link, sizeof(link), "../%s", p->layer_names[0]);
	tar_add(tar, '2', "0123/layer.tar", link, "", 0);
	tar_file(tar, "0123/VERSION", "1.0");
	tar_file(tar, "0123/json", "{}");
	add_manifest(tar, p->config_name, "[\"test/one:1\"]", p->layer_names[0], p->layer_names[1]);
	tar_file(tar, "repositories", "{}");
	tar_end(tar);
}

/* As docker 20.10 writes it: a directory a layer; the second a link to the first's neighbour. */
static void docker_layout(const struct parts *p, struct str *tar)
{
	tar_add(tar, '5', "aaaa/", "", "", 0);
	tar_file(tar, "aaaa/VERSION", "1.0");
	tar_file(tar, "aaaa/json", "{}");
	add_layer(tar, "aaaa/layer.tar", &p->layers[0]);
	tar_add(tar, '5', "bbbb/", "", "", 0);
	add_layer(tar, "cccc/layer.tar", &p->layers[1]);
	tar_add(tar, '2', "bbbb/layer.tar", "../cccc/layer.tar", "", 0);
	tar_add(tar, '1', "dddd/layer.tar", "./bbbb/layer.tar", "", 0);
	tar_file(tar, p->config_name, p->config);
	add_manifest(tar, p->config_name, "[\"test/one:1\"]", "aaaa/layer.tar", "dddd/layer.tar");
	tar_end(tar);
}

static void compress_gzip(const struct str *from, struct str *to)
{
	z_stream z = { 0 };
	char *room;

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(str_reserve(to, from->len + 1024, &room), 0);
	z.next_in = (unsigned char *)from->data;
	z.avail_in = (unsigned int)from->len;
	z.next_out = (unsigned char *)room;
	z.avail_out = (unsigned int)from->len + 1024;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	to->len += z.total_out;
	assert_int_equal(deflateEnd(&z), Z_OK);
}

/* As containerd and podman save --format oci-archive write it. */
static void oci_layout(const struct parts *p, const char *annotations, struct str *tar)
{
	struct str packed[2] = { STR_INIT(FIXTURE_MAX), STR_INIT(FIXTURE_MAX) };
	struct hash_value digests[2], h;
	AUTO_FREE char *manifest = NULL;
	AUTO_FREE char *index = NULL;
	char name[160];

	for (int i = 0; i < 2; i++) {
		compress_gzip(&p->layers[i], &packed[i]);
		digests[i] = sha256_of(packed[i].data, packed[i].len);
		(void)snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(&digests[i]));
		tar_add(tar, '0', name, "", packed[i].data, packed[i].len);
	}
	manifest = format_text(
		"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"%s\",\"digest\":\"%s\","
		"\"size\":%zu},\"layers\":[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu},"
		"{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu}]}",
		OCI_TYPE_CONFIG, digest_text(&p->config_digest), strlen(p->config),
		OCI_TYPE_LAYER_GZIP, digest_text(&digests[0]), packed[0].len, OCI_TYPE_LAYER_GZIP,
		digest_text(&digests[1]), packed[1].len);
	h = sha256_of(manifest, strlen(manifest));
	index = format_text("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"%s\",\"digest\":"
			    "\"%s\",\"size\":%zu,\"annotations\":{%s}}]}",
		OCI_TYPE_MANIFEST, digest_text(&h), strlen(manifest), annotations);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(&h));
	tar_file(tar, name, manifest);
	(void)snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(&p->config_digest));
	tar_file(tar, name, p->config);
	tar_file(tar, "index.json", index);
	tar_file(tar, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	tar_end(tar);
	str_done(&packed[0]);
	str_done(&packed[1]);
}

static int open_file(const struct box *box, const struct str *tar,
	const struct archive_options *opts, struct source **ret, struct imbrex_error *err)
{
	put(box, "a.tar", tar->data, tar->len);
	return archive_source_open(box_path(box, "a.tar"), opts, ret, err);
}

static int open_stream(const struct box *box, const struct str *tar,
	const struct archive_options *opts, struct source **ret, struct imbrex_error *err)
{
	AUTO_CLOSE int fd = -EBADF;

	put(box, "a.tar", tar->data, tar->len);
	fd = openat(box->fd, "a.tar", O_RDONLY | O_CLOEXEC);
	return archive_stream_open(fd, "the pipe", opts, ret, err);
}

/* The image is that of `p`, whatever the archive looked like. */
static void expect_image(struct source *s, const struct parts *p, const char *name)
{
	struct source_manifest m = { 0 };
	AUTO_OCI_MANIFEST parsed = { 0 };
	struct imbrex_error err = { 0 };
	AUTO_STR text = { 0 };

	assert_int_equal(s->ops->manifest(s, NULL, &m, &err), 0);
	assert_string_equal(m.name, name);
	assert_string_equal(m.media_type, OCI_TYPE_DOCKER_MANIFEST);
	assert_int_equal(oci_manifest_parse(m.media_type, str_text(&m.manifest), m.manifest.len,
				 &parsed, &err),
		0);
	assert_int_equal(parsed.n_layers, 2);
	assert_true(hash_equal(&parsed.config.digest, &p->config_digest));
	assert_int_equal(blob_text(s, &parsed.config, &text, &err), 0);
	assert_string_equal(str_text(&text), p->config);
	for (size_t i = 0; i < 2; i++) {
		assert_true(hash_equal(&parsed.layers[i].digest, &p->diff_ids[i]));
		assert_int_equal(parsed.layers[i].size_bytes, p->layers[i].len);
		assert_int_equal(blob_text(s, &parsed.layers[i], &text, &err), 0);
		assert_int_equal(text.len, p->layers[i].len);
		assert_memory_equal(text.data, p->layers[i].data, text.len);
	}
	source_manifest_done(&m);
}

static void check_layout(const struct box *box, const struct parts *p, const struct str *tar)
{
	const struct archive_options opts = { .flavour = ARCHIVE_DOCKER };
	struct imbrex_error err = { 0 };
	AUTO_STR packed = STR_INIT(FIXTURE_MAX);
	struct source *s;

	assert_int_equal(open_file(box, tar, &opts, &s, &err), 0);
	expect_image(s, p, "docker.io/test/one:1");
	source_free(s);
	assert_int_equal(open_stream(box, tar, &opts, &s, &err), 0);
	expect_image(s, p, "docker.io/test/one:1");
	source_free(s);
	compress_gzip(tar, &packed);
	assert_int_equal(open_file(box, &packed, &opts, &s, &err), 0);
	expect_image(s, p, "docker.io/test/one:1");
	source_free(s);
}

static void the_layout_of_podman_is_read(void **state)
{
	AUTO_STR tar = STR_INIT(FIXTURE_MAX);
	struct parts p;

	parts_make(&p);
	podman_layout(&p, &tar);
	check_layout(*state, &p, &tar);
	parts_done(&p);
}

static void the_layout_of_old_docker_is_read_through_its_links(void **state)
{
	AUTO_STR tar = STR_INIT(FIXTURE_MAX);
	struct parts p;

	parts_make(&p);
	docker_layout(&p, &tar);
	check_layout(*state, &p, &tar);
	parts_done(&p);
}

static void compressed_layers_are_unpacked(void **state)
{
	AUTO_STR tar = STR_INIT(FIXTURE_MAX);
	AUTO_STR packed = STR_INIT(FIXTURE_MAX);
	struct parts p;

	parts_make(&p);
	compress_gzip(&p.layers[0], &packed);
	add_layer(&tar, "one.tar.gz", &packed);
	add_layer(&tar, "two.tar", &p.layers[1]);
	tar_file(&tar, "config.json", p.config);
	add_manifest(&tar, "config.json", "[\"test/one:1\"]", "one.tar.gz", "two.tar");
	tar_end(&tar);
	check_layout(*state, &p, &tar);
	parts_done(&p);
}

static void the_made_manifest_has_the_bytes_of_podman(void **state)
{
	const struct box *box = *state;
	const struct archive_options opts = { 0 };
	AUTO_STR tar = STR_INIT(FIXTURE_MAX);
	AUTO_SOURCE struct source *s = NULL;
	struct source_manifest m = { 0 };
	AUTO_FREE char *want = NULL;
	struct parts p;

	parts_make(&p);
	podman_layout(&p, &tar);
	want = format_text("{\"schemaVersion\":2,\"mediaType\":"
			   "\"application/vnd.docker.distribution.manifest.v2+json\",\"config\":{"
			   "\"mediaType\":\"application/vnd.docker.container.image.v1+json\","
			   "\"size\":%zu,\"digest\":\"%s\"},\"layers\":[{\"mediaType\":"
			   "\"application/vnd.docker.image.rootfs.diff.tar.gzip\",\"size\":2048,"
			   "\"digest\":\"%s\"},{\"mediaType\":"
			   "\"application/vnd.docker.image.rootfs.diff.tar.gzip\",\"size\":2048,"
			   "\"digest\":\"%s\"}]}",
		strlen(p.config), digest_text(&p.config_digest), digest_text(&p.diff_ids[0]),
		digest_text(&p.diff_ids[1]));
	assert_int_equal(open_file(box, &tar, &opts, &s, NULL), 0);
	assert_int_equal(s->ops->manifest(s, NULL, &m, NULL), 0);
	assert_string_equal(str_text(&m.manifest), want);
	source_manifest_done(&m);
	parts_done(&p);
}

static void check_oci(struct source *s, const struct parts *p, const char *name)
{
	struct source_manifest m = { 0 };
	AUTO_OCI_MANIFEST parsed = { 0 };
	struct imbrex_error err = { 0 };
	AUTO_STR text = { 0 };

	assert_int_equal(s->ops->manifest(s, NULL, &m, &err), 0);
	assert_string_equal(m.name, name);
	assert_int_equal(oci_manifest_parse(m.media_type, str_text(&m.manifest), m.manifest.len,
				 &parsed, &err),
		0);
	assert_int_equal(blob_text(s, &parsed.config, &text, &err), 0);
	assert_string_equal(str_text(&text), p->config);
	for (size_t i = 0; i < 2; i++) {
		struct hash_value h;

		assert_int_equal(blob_text(s, &parsed.layers[i], &text, &err), 0);
		h = sha256_of(text.data, text.len);
		assert_true(hash_equal(&h, &parsed.layers[i].digest));
	}
	source_manifest_done(&m);
}

static void an_oci_archive_is_read_as_it_is(void **state)
{
	const struct box *box = *state;
	const struct archive_options any = { 0 };
	const struct archive_options tagged = { .flavour = ARCHIVE_OCI, .tag = "v1" };
	struct imbrex_error err = { 0 };
	AUTO_STR tar = STR_INIT(FIXTURE_MAX);
	struct source *s;
	struct parts p;

	parts_make(&p);
	oci_layout(&p, "\"org.opencontainers.image.ref.name\":\"v1\"", &tar);
	assert_int_equal(open_file(box, &tar, &any, &s, &err), 0);
	check_oci(s, &p, "localhost/a:v1");
	source_free(s);
	assert_int_equal(open_stream(box, &tar, &tagged, &s, &err), 0);
	check_oci(s, &p, "localhost/the-pipe:v1");
	source_free(s);
	parts_done(&p);
}

static void an_archive_of_new_docker_is_found_by_its_full_name(void **state)
{
	const struct box *box = *state;
	const struct archive_options opts = { .flavour = ARCHIVE_DOCKER, .tag = "test/one:1" };
	struct imbrex_error err = { 0 };
	AUTO_STR tar = STR_INIT(FIXTURE_MAX);
	struct source *s;
	struct parts p;

	parts_make(&p);
	oci_layout(&p,
		"\"io.containerd.image.name\":\"docker.io/test/one:1\","
		"\"org.opencontainers.image.ref.name\":\"1\"",
		&tar);
	assert_int_equal(open_file(box, &tar, &opts, &s, &err), 0);
	check_oci(s, &p, "docker.io/test/one:1");
	source_free(s);
	parts_done(&p);
}

struct taken {
	struct str text[4];
	char names[4][200];
	size_t n;
	size_t spool_from; /* leave layers from here on to the spool */
};

static int take_layer(
	void *ctx, const struct archive_member *m, struct sink **ret, struct imbrex_error *err)
{
	struct taken *t = ctx;

	assert_true(t->n < 4);
	assert_true(m->size_bytes > 0);
	assert_null(m->diff_id);
	(void)snprintf(t->names[t->n], sizeof(t->names[0]), "%s", m->name);
	t->n++;
	return t->n > t->spool_from ? 0
				    : buffer_sink_new(FIXTURE_MAX, &t->text[t->n - 1], ret, err);
}

static void a_stream_gives_its_layers_away_as_they_pass(void **state)
{
	const struct box *box = *state;
	struct taken taken = { .spool_from = 1 };
	const struct archive_events events = { .ctx = &taken, .layer = take_layer };
	const struct archive_options opts = { .events = &events };
	AUTO_STR tar = STR_INIT(FIXTURE_MAX);
	AUTO_STR text = { 0 };
	AUTO_SOURCE struct source *s = NULL;
	struct source_manifest m = { 0 };
	struct imbrex_error err = { 0 };
	struct oci_descriptor d = { 0 };
	const char *member;
	struct parts p;

	parts_make(&p);
	docker_layout(&p, &tar);
	assert_int_equal(open_stream(box, &tar, &opts, &s, &err), 0);
	assert_int_equal(taken.n, 2);
	assert_string_equal(taken.names[0], "aaaa/layer.tar");
	assert_string_equal(taken.names[1], "cccc/layer.tar");
	assert_int_equal(taken.text[0].len, p.layers[0].len);
	assert_int_equal(s->ops->manifest(s, NULL, &m, &err), 0);

	d.digest = p.diff_ids[0];
	assert_int_equal(archive_source_member(s, &d, &member, &err), 1);
	assert_string_equal(member, "aaaa/layer.tar");
	assert_int_equal(blob_text(s, &d, &text, &err), IMBREX_ENOTSUP);
	assert_string_equal(
		err.message, "member 'aaaa/layer.tar' has passed by and cannot be read again");

	d.digest = p.diff_ids[1];
	assert_int_equal(archive_source_member(s, &d, &member, &err), 0);
	assert_string_equal(member, "cccc/layer.tar");
	assert_int_equal(blob_text(s, &d, &text, &err), 0);
	assert_memory_equal(text.data, p.layers[1].data, p.layers[1].len);
	d.digest.bytes[0] ^= 1;
	assert_int_equal(archive_source_member(s, &d, &member, &err), IMBREX_ENOENT);
	source_manifest_done(&m);
	str_done(&taken.text[0]);
	parts_done(&p);
}

static int refuse_layer(
	void *ctx, const struct archive_member *m, struct sink **ret, struct imbrex_error *err)
{
	return fail(err, IMBREX_ECANCELED, "no more");
}

static void a_failure_of_the_receiver_ends_the_stream(void **state)
{
	const struct archive_events events = { .layer = refuse_layer };
	const struct archive_options opts = { .events = &events };
	AUTO_STR tar = STR_INIT(FIXTURE_MAX);
	struct imbrex_error err = { 0 };
	struct source *s;
	struct parts p;

	parts_make(&p);
	podman_layout(&p, &tar);
	assert_int_equal(open_stream(*state, &tar, &opts, &s, &err), IMBREX_ECANCELED);
	assert_string_equal(err.message, "archive 'the pipe': no more");
	parts_done(&p);
}

static void several_images_need_a_name(void **state)
{
	const struct box *box = *state;
	AUTO_STR tar = STR_INIT(FIXTURE_MAX);
	AUTO_FREE char *manifest = NULL;
	struct parts p;
	static const struct {
		const char *tag;
		int status;
		const char *message; /* behind the name of the archive */
		const char *hint;
	} cases[] = {
		{ NULL, IMBREX_EINVAL, "holds 2 images: say which", "tags: one:1, quay.io/x/two" },
		{ "three", IMBREX_ENOENT, "no image 'docker.io/library/three:latest'",
			"tags: one:1, quay.io/x/two" },
		{ "@2", IMBREX_ENOENT, "no image @2: there are 2", "" },
		{ "UP PER", IMBREX_EINVAL, "'UP PER' is not a reference", "" },
		{ "one:1", 0, NULL, NULL },
		{ "docker.io/library/one:1", 0, NULL, NULL },
		{ "@1", 0, NULL, NULL },
		{ "quay.io/x/two", 0, NULL, NULL },
	};

	parts_make(&p);
	manifest = format_text(
		"[{\"Config\":\"c.json\",\"RepoTags\":[\"one:1\"],\"Layers\":[\"a\",\"b\"]},"
		"{\"Config\":\"c.json\",\"RepoTags\":[\"quay.io/x/two\"],"
		"\"Layers\":[\"a\",\"b\"]}]");
	add_layer(&tar, "a", &p.layers[0]);
	add_layer(&tar, "b", &p.layers[1]);
	tar_file(&tar, "c.json", p.config);
	tar_file(&tar, "manifest.json", manifest);
	tar_end(&tar);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct archive_options opts = { .tag = cases[i].tag };
		AUTO_SOURCE struct source *s = NULL;
		struct source_manifest m = { 0 };
		struct imbrex_error err = { 0 };

		assert_int_equal(open_stream(box, &tar, &opts, &s, &err), 0);
		assert_int_equal(s->ops->manifest(s, NULL, &m, &err), cases[i].status);
		if (cases[i].status < 0) {
			assert_string_equal(
				str_after(err.message, "archive 'the pipe': "), cases[i].message);
			assert_string_equal(err.hint, cases[i].hint);
		}
		source_manifest_done(&m);
	}
	parts_done(&p);
}

/* Open and ask for the manifest, from a file and as a stream; both must fail alike. */
static void expect_failure(
	const struct box *box, const struct str *tar, int status, const char *message)
{
	const struct archive_options opts = { 0 };
	char want[512];

	for (int i = 0; i < 2; i++) {
		AUTO_SOURCE struct source *s = NULL;
		struct source_manifest m = { 0 };
		struct imbrex_error err = { 0 };
		int r = i ? open_stream(box, tar, &opts, &s, &err)
			  : open_file(box, tar, &opts, &s, &err);

		if (r == 0)
			r = s->ops->manifest(s, NULL, &m, &err);
		(void)snprintf(want, sizeof(want), "archive '%s': %s",
			i ? "the pipe" : box_path(box, "a.tar"), message);
		assert_string_equal(err.message, want);
		assert_int_equal(r, status);
	}
}

static void what_is_no_image_archive_is_said_to_be_none(void **state)
{
	AUTO_STR tar = STR_INIT(FIXTURE_MAX);

	assert_int_equal(str_puts(&tar, "hello"), 0);
	expect_failure(*state, &tar, IMBREX_EFORMAT, "not a tar archive");
	str_clear(&tar);
	tar_file(&tar, "etc/passwd", "root");
	tar_end(&tar);
	expect_failure(*state, &tar, IMBREX_EFORMAT,
		"not an image archive: has no manifest.json and no oci-layout");
}

static void a_cut_archive_is_refused(void **state)
{
	AUTO_STR tar = STR_INIT(FIXTURE_MAX);
	struct parts p;
	char want[512];

	parts_make(&p);
	podman_layout(&p, &tar);
	tar.len = 512 + 1024;
	(void)snprintf(
		want, sizeof(want), "archive: cut short at byte %d (%s)", 512, p.layer_names[0]);
	{
		const struct archive_options opts = { 0 };
		struct imbrex_error err = { 0 };
		struct source *s;

		assert_int_equal(open_file(*state, &tar, &opts, &s, &err), IMBREX_EFORMAT);
		assert_non_null(strstr(err.message, want));
		assert_int_equal(open_stream(*state, &tar, &opts, &s, &err), IMBREX_EFORMAT);
		assert_non_null(strstr(err.message, "cut short at byte 1536"));
	}
	tar.len = 300;
	expect_failure(*state, &tar, IMBREX_EFORMAT, "not a tar archive");
	parts_done(&p);
}

/* An archive whose manifest.json is right and one thing around it wrong. */
static void hostile_members_are_refused(void **state)
{
	static const struct {
		char type;
		const char *name, *link, *data;
		int status;
		const char *message;
	} cases[] = {
		/* names that a careless reader would join to a path */
		{ '0', "../layer", "", "x", IMBREX_EFORMAT,
			"archive member '../layer': name has a '..' component" },
		{ '0', "a/../../layer", "", "x", IMBREX_EFORMAT,
			"archive member 'a/../../layer': name has a '..' component" },
		/* links that lead out, in circles, nowhere, or to a directory */
		{ '2', "layer", "../../etc/passwd", "", IMBREX_EFORMAT,
			"member 'layer': link '../../etc/passwd' leads outside the archive" },
		{ '2', "layer", "/etc/passwd", "", IMBREX_EFORMAT,
			"member 'layer': link '/etc/passwd' leads outside the archive" },
		{ '2', "layer", "layer", "", IMBREX_EFORMAT,
			"member 'layer': more than 16 links in a row" },
		{ '1', "layer", "nothing", "", IMBREX_ENOENT,
			"no member 'nothing' (linked from 'layer')" },
		{ '5', "layer", "", "", IMBREX_EFORMAT, "member 'layer' is not a file" },
		{ '6', "layer", "", "", IMBREX_EFORMAT, "member 'layer' is not a file" },
		/* a second manifest.json that another reader would take */
		{ '0', "manifest.json", "", "[]", IMBREX_EFORMAT,
			"member 'manifest.json' is there twice" },
		{ 'S', "layer", "", "", IMBREX_ENOTSUP,
			"archive: the member before byte 7680 is sparse" },
	};
	struct parts p;

	parts_make(&p);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_STR tar = STR_INIT(FIXTURE_MAX);

		add_layer(&tar, "second", &p.layers[1]);
		tar_file(&tar, "c.json", p.config);
		add_manifest(&tar, "c.json", "null", "layer", "second");
		add_layer(&tar, "filler", &p.layers[0]);
		tar_add(&tar, cases[i].type, cases[i].name, cases[i].link, cases[i].data,
			strlen(cases[i].data));
		tar_end(&tar);
		expect_failure(*state, &tar, cases[i].status, cases[i].message);
	}
	parts_done(&p);
}

static void documents_that_do_not_fit_are_refused(void **state)
{
	AUTO_STR big = STR_INIT(FIXTURE_MAX);
	struct parts p;
	struct hash_value other = { 0 };
	AUTO_FREE char *one_layer = NULL;
	char wrong[160];
	char want[512];

	parts_make(&p);
	one_layer = config_make(p.diff_ids, 1, "amd64");
	other = sha256_of("x", 1);
	(void)snprintf(wrong, sizeof(wrong), "%s.json", digest_hex(&other));
	(void)snprintf(want, sizeof(want), "configuration '%s': content is %s", wrong,
		digest_text(&p.config_digest));
	assert_int_equal(str_puts(&big, "["), 0);
	while (big.len < 9u * 1024 * 1024)
		assert_int_equal(
			str_puts(&big, "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","), 0);

	struct {
		const char *config_name, *config, *manifest;
		int status;
		const char *message;
	} cases[] = {
		{ wrong, p.config, NULL, IMBREX_EDIGEST, want },
		{ "c.json", one_layer, NULL, IMBREX_EFORMAT, NULL },
		{ "c.json", "{}", NULL, IMBREX_EFORMAT, NULL },
		{ "c.json", p.config, "{}", IMBREX_EFORMAT, NULL },
		{ "c.json", p.config, "[]", IMBREX_ENOENT, "manifest.json names no image" },
		{ "c.json", p.config, "[{\"Config\":\"d.json\",\"Layers\":[]}]", IMBREX_ENOENT,
			"no member 'd.json'" },
		{ "c.json", p.config, "[{\"Layers\":[]}]", IMBREX_EFORMAT,
			"manifest.json[0].Config is missing" },
		{ "c.json", p.config, "[{\"Config\":\"c.json\",\"Layers\":[]}]", IMBREX_EFORMAT,
			NULL },
		{ "c.json", str_text(&big), NULL, IMBREX_ELIMIT, NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct archive_options opts = { 0 };
		AUTO_STR tar = STR_INIT(FIXTURE_MAX);
		AUTO_SOURCE struct source *s = NULL;
		struct source_manifest m = { 0 };
		struct imbrex_error err = { 0 };
		int r;

		add_layer(&tar, "a", &p.layers[0]);
		add_layer(&tar, "b", &p.layers[1]);
		tar_file(&tar, cases[i].config_name, cases[i].config);
		if (cases[i].manifest)
			tar_file(&tar, "manifest.json", cases[i].manifest);
		else
			add_manifest(&tar, cases[i].config_name, "null", "a", "b");
		tar_end(&tar);
		r = open_stream(*state, &tar, &opts, &s, &err);
		if (r == 0)
			r = s->ops->manifest(s, NULL, &m, &err);
		assert_int_equal(r, cases[i].status);
		assert_non_null(str_after(err.message, "archive 'the pipe': "));
		if (cases[i].message)
			assert_string_equal(
				str_after(err.message, "archive 'the pipe': "), cases[i].message);
	}
	parts_done(&p);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_layout_of_podman_is_read),
		TEST(the_layout_of_old_docker_is_read_through_its_links),
		TEST(compressed_layers_are_unpacked),
		TEST(the_made_manifest_has_the_bytes_of_podman),
		TEST(an_oci_archive_is_read_as_it_is),
		TEST(an_archive_of_new_docker_is_found_by_its_full_name),
		TEST(a_stream_gives_its_layers_away_as_they_pass),
		TEST(a_failure_of_the_receiver_ends_the_stream),
		TEST(several_images_need_a_name),
		TEST(what_is_no_image_archive_is_said_to_be_none),
		TEST(a_cut_archive_is_refused),
		TEST(hostile_members_are_refused),
		TEST(documents_that_do_not_fit_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
