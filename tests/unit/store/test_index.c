/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table that comes with an index answers as one that was parsed; an index of another state is not
 * taken; one that lies is found out, or changes nothing but what it was asked to guess.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "os/beneath.h"
#include "os/fd.h"
#include "store/index_file.h"
#include "store/record.h"
#include "store/store.h"
#include "store/tables.h"

#include <cmocka.h>

#define N_LAYERS  40
#define TEXT_MAX  (1024 * 1024)
#define ID_DIGITS 64

struct fixture {
	char *dir;
	int fd;
	struct str text;          /* layers.json */
	struct index_stamp stamp; /* of it */
	struct table truth;       /* parsed */
};

static void layer_id(unsigned int n, char ret[ID_DIGITS + 1])
{
	unsigned int i;

	for (i = 0; i < ID_DIGITS; i++)
		ret[i] = "0123456789abcdef"[(n * 2654435761u >> (i % 8 * 4)) & 15];
	ret[ID_DIGITS] = '\0';
}

/* Four chains; every fifth layer has names, every seventh is one of those without hex ids. */
static void make_layers(struct str *text)
{
	char parent[ID_DIGITS + 1] = "";
	char id[ID_DIGITS + 1];
	unsigned int i;

	assert_int_equal(str_putc(text, '['), 0);
	for (i = 0; i < N_LAYERS; i++) {
		layer_id(i, id);
		if (i % 7 == 6)
			(void)snprintf(id, sizeof(id), "odd-%u", i);
		assert_int_equal(str_printf(text, "%s{\"id\":\"%s\"", i ? "," : "", id), 0);
		if (i % 10)
			assert_int_equal(str_printf(text, ",\"parent\":\"%s\"", parent), 0);
		if (i % 5 == 0)
			assert_int_equal(
				str_printf(text, ",\"names\":[\"name%u\",\"\\u006eick%u\"]", i, i),
				0);
		assert_int_equal(str_printf(text, ",\"diff-digest\":\"sha256:%u\",\"diff-size\":%u",
					 i / 2, i * 100),
			0);
		if (i == N_LAYERS - 1)
			assert_int_equal(str_puts(text, ",\"flags\":{\"incomplete\":true}"), 0);
		assert_int_equal(str_putc(text, '}'), 0);
		memcpy(parent, id, sizeof(id));
	}
	assert_int_equal(str_putc(text, ']'), 0);
}

static void parse(struct fixture *f, struct table *t)
{
	struct imbrex_error err = { 0 };

	table_init(t, &layer_records);
	if (table_parse(t, strdup(f->text.data), f->text.len, PLACE_STABLE, &err) < 0)
		fail_msg("%s", err.message);
}

static int set_up(void **state)
{
	const char *base = getenv("TMPDIR");
	const struct lock_token token = { .bytes = "token", .len = 5 };
	struct fixture *f = calloc(1, sizeof(*f));
	struct stat st;

	if (!f)
		return -1;
	f->dir = format_text("%s/imbrex-index-XXXXXX", base ? base : "/tmp");
	if (!f->dir || !mkdtemp(f->dir))
		return -1;
	f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->text = (struct str)STR_INIT(TEXT_MAX);
	make_layers(&f->text);
	if (write_file_at(f->fd, "layers.json", 0600, f->text.data, f->text.len, NULL) < 0 ||
		fstatat(f->fd, "layers.json", &st, 0) < 0 ||
		index_stamp_init(&f->stamp, &token) < 0)
		return -1;
	index_stamp_file(&f->stamp, 0, &st);
	parse(f, &f->truth);
	*state = f;
	return index_file_save(f->fd, "layers", "layer", &f->stamp, &f->truth.index, NULL);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char *name = strrchr(f->dir, '/');
	AUTO_CLOSE int base = -EBADF;
	int r;

	table_done(&f->truth);
	str_done(&f->text);
	(void)close(f->fd);
	*name++ = '\0';
	base = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = remove_tree_detach_at(base, name, NULL);
	free(f->dir);
	free(f);
	return r;
}

/* A table on the file, and nothing known of it yet. */
static void lend(struct fixture *f, struct table *t)
{
	int fd = openat(f->fd, "layers.json", O_RDONLY | O_CLOEXEC);

	table_init(t, &layer_records);
	assert_true(fd >= 0);
	assert_int_equal(table_lend(t, fd, f->text.len, PLACE_STABLE, NULL), 0);
}

static int load(struct fixture *f, struct table *t, const struct index_stamp *stamp)
{
	int r;

	lend(f, t);
	r = index_file_load(f->fd, INDEX_DIR "/layers", "layer", stamp, &t->index, &t->checksum);
	t->proven = r < 0;
	return r;
}

static void same_record(struct table *a, struct table *b, size_t number)
{
	struct record *x = table_at(a, number);
	struct record *y = table_at(b, number);

	assert_int_equal(x->len, y->len);
	assert_memory_equal(x->text, y->text, x->len);
}

/* Every question, once for each that could be meant. */
static void same_answers(struct table *a, struct table *b)
{
	char text[ID_DIGITS + 8];
	unsigned int i;
	size_t len;

	assert_int_equal(table_count(a), table_count(b));
	assert_int_equal(table_has_incomplete(a), table_has_incomplete(b));
	for (i = 0; i < N_LAYERS + 2; i++) {
		layer_id(i, text);
		if (i % 7 == 6)
			(void)snprintf(text, sizeof(text), "odd-%u", i);
		len = strlen(text);
		assert_int_equal(table_find_id(a, text, len), table_find_id(b, text, len));
		assert_int_equal(table_guess_id(a, text, len), table_guess_id(b, text, len));
		assert_int_equal(
			table_find(a, KEY_PARENT, text, len), table_find(b, KEY_PARENT, text, len));
		text[len / 2] = '\0';
		assert_int_equal(table_find_prefix(a, text), table_find_prefix(b, text));
		text[1] = '\0';
		assert_int_equal(table_find_prefix(a, text), table_find_prefix(b, text));
		(void)snprintf(text, sizeof(text), "nick%u", i);
		assert_int_equal(table_find_name(a, text), table_find_name(b, text));
		(void)snprintf(text, sizeof(text), "sha256:%u", i);
		assert_int_equal(table_find(a, KEY_DIFF_DIGEST, text, strlen(text)),
			table_find(b, KEY_DIFF_DIGEST, text, strlen(text)));
	}
	for (i = 0; i < table_slots(a); i++) {
		assert_int_equal(table_guess_parent(a, i), table_guess_parent(b, i));
		assert_int_equal(table_layer_size(a, i), table_layer_size(b, i));
		assert_int_equal(table_is_orphan(a, i), table_is_orphan(b, i));
	}
}

static void an_index_answers_as_parsing_does(void **state)
{
	struct fixture *f = *state;
	struct table t;
	unsigned int i;

	assert_int_equal(load(f, &t, &f->stamp), 0);
	same_answers(&t, &f->truth);
	for (i = 0; i < N_LAYERS; i++)
		same_record(&t, &f->truth, i);
	assert_false(t.proven);
	assert_int_equal(table_prove(&t, NULL), 0);
	assert_non_null(t.index.map);
	assert_int_equal(table_check(&t, NULL), 0);
	table_done(&t);
}

static void only_what_is_asked_for_is_read(void **state)
{
	struct fixture *f = *state;
	char id[ID_DIGITS + 1];
	struct table t;

	assert_int_equal(load(f, &t, &f->stamp), 0);
	layer_id(3, id);
	assert_int_equal(table_guess_id(&t, id, ID_DIGITS), 3);
	assert_int_equal(table_guess_parent(&t, 3), 2);
	assert_int_equal(t.texts[PLACE_STABLE].have[0], 0);
	assert_int_equal(table_find_id(&t, id, ID_DIGITS), 3);
	assert_non_null(t.seen[3]);
	assert_null(t.seen[2]);
	table_done(&t);
}

static void an_index_of_another_state_is_stale(void **state)
{
	struct fixture *f = *state;
	struct index_stamp other;
	struct table t;
	size_t i;

	for (i = 0; i < sizeof(other); i++) {
		other = f->stamp;
		((uint8_t *)&other)[i] ^= 1;
		assert_int_equal(load(f, &t, &other), -ESTALE);
		table_done(&t);
	}
}

static void another_kind_version_or_size_is_no_index(void **state)
{
	struct fixture *f = *state;
	AUTO_STR text = STR_INIT(TEXT_MAX);
	struct index x;
	uint64_t sum;
	size_t i;

	assert_int_equal(index_file_load(f->fd, INDEX_DIR "/layers", "image", &f->stamp, &x, &sum),
		-EBADMSG);
	assert_int_equal(
		index_file_load(f->fd, INDEX_DIR "/images", "layer", &f->stamp, &x, &sum), -ENOENT);
	assert_int_equal(read_file_at(f->fd, INDEX_DIR "/layers", TEXT_MAX, &text, NULL), 0);
	for (i = 0; i < text.len; i += 61) {
		assert_int_equal(
			write_file_at(f->fd, INDEX_DIR "/cut", 0600, text.data, i, NULL), 0);
		assert_int_equal(
			index_file_load(f->fd, INDEX_DIR "/cut", "layer", &f->stamp, &x, &sum),
			-EBADMSG);
	}
	text.data[8] ^= 1;
	assert_int_equal(
		write_file_at(f->fd, INDEX_DIR "/cut", 0600, text.data, text.len, NULL), 0);
	assert_int_equal(
		index_file_load(f->fd, INDEX_DIR "/cut", "layer", &f->stamp, &x, &sum), -EBADMSG);
}

static void somebody_elses_or_a_writable_file_is_no_index(void **state)
{
	struct fixture *f = *state;
	struct table t;

	assert_int_equal(fchmodat(f->fd, INDEX_DIR "/layers", 0620, 0), 0);
	assert_int_equal(load(f, &t, &f->stamp), -EBADMSG);
	table_done(&t);
	assert_int_equal(unlinkat(f->fd, INDEX_DIR "/layers", 0), 0);
	assert_int_equal(symlinkat("/dev/zero", f->fd, INDEX_DIR "/layers"), 0);
	assert_int_equal(load(f, &t, &f->stamp), -ELOOP);
	table_done(&t);
}

/* A record that is found carries the key, whatever the index says. */
static void nothing_false_is_found(struct table *t, const struct table *truth)
{
	char id[ID_DIGITS + 1];
	ptrdiff_t at;
	unsigned int i;

	for (i = 0; i < N_LAYERS; i++) {
		layer_id(i, id);
		at = table_find_id(t, id, ID_DIGITS);
		if (at >= 0)
			assert_true(record_is(table_at(t, (size_t)at), LAYER_ID, id));
		at = table_find(t, KEY_PARENT, id, ID_DIGITS);
		if (at >= 0)
			assert_true(record_is(table_at(t, (size_t)at), LAYER_PARENT, id));
	}
	for (i = 0; i < truth->index.c.n_entries; i++) {
		(void)table_guess_parent(t, i);
		(void)table_find_prefix(t, "ab");
	}
}

/* Each byte of the file, damaged: nothing false is found, and before anything is changed or
 * removed the truth comes out. */
static void damage_is_found_before_it_matters(void **state)
{
	struct fixture *f = *state;
	AUTO_STR text = STR_INIT(TEXT_MAX);
	struct imbrex_error err = { 0 };
	unsigned int n_refused = 0;
	unsigned int n_parsed = 0;
	struct table t;
	size_t i;
	void *map;

	assert_int_equal(read_file_at(f->fd, INDEX_DIR "/layers", TEXT_MAX, &text, NULL), 0);
	for (i = 0; i < text.len; i++) {
		map = mmap(
			NULL, text.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_true(map != MAP_FAILED);
		memcpy(map, text.data, text.len);
		((uint8_t *)map)[i] ^= (uint8_t)(1 + i * 7 % 255);
		lend(f, &t);
		if (index_adopt(map, text.len, "layer", &f->stamp, &t.index, &t.checksum) < 0) {
			table_done(&t);
			n_refused++;
			continue;
		}
		t.proven = false;
		nothing_false_is_found(&t, &f->truth);
		if (table_prove(&t, &err) < 0)
			fail_msg("byte %zu: %s", i, err.message);
		n_parsed += !t.index.map;
		same_answers(&t, &f->truth);
		assert_int_equal(table_check(&t, NULL), 0);
		table_done(&t);
	}
	assert_true(n_refused > sizeof(f->stamp));
	assert_true(n_parsed > N_LAYERS * sizeof(struct index_entry));
}

static void a_text_that_changed_in_place_is_found_out(void **state)
{
	struct fixture *f = *state;
	AUTO_STR text = STR_INIT(TEXT_MAX);
	struct imbrex_error err = { 0 };
	char id[ID_DIGITS + 1];
	struct table t;

	/* Not proven: parsed anew, by what is there now. */
	assert_int_equal(load(f, &t, &f->stamp), 0);
	assert_int_equal(str_puts(&text, "[{\"id\":\"x\"}"), 0);
	while (text.len < f->text.len - 1)
		assert_int_equal(str_putc(&text, ' '), 0);
	assert_int_equal(str_putc(&text, ']'), 0);
	assert_int_equal(write_file_at(f->fd, "layers.json", 0600, text.data, text.len, NULL), 0);
	layer_id(3, id);
	assert_int_equal(table_find_id(&t, id, ID_DIGITS), -1);
	assert_int_equal(table_count(&t), 1);
	assert_int_equal(table_find_id(&t, "x", 1), 0);
	assert_int_equal(table_check(&t, NULL), 0);
	table_done(&t);
	/* Proven, as for a change: no numbers may move, so nothing goes on. */
	assert_int_equal(load(f, &t, &f->stamp), 0);
	assert_int_equal(table_prove(&t, NULL), 0);
	assert_int_equal(table_find_id(&t, id, ID_DIGITS), -1);
	assert_int_equal(table_check(&t, &err), IMBREX_EFORMAT);
	assert_string_equal(
		err.message, "the file changed although its lock is held, or is damaged");
	table_done(&t);
	/* Cut short. */
	assert_int_equal(load(f, &t, &f->stamp), 0);
	assert_int_equal(write_file_at(f->fd, "layers.json", 0600, "[", 1, NULL), 0);
	assert_int_equal(table_find_id(&t, id, ID_DIGITS), -1);
	assert_int_equal(table_check(&t, &err), IMBREX_EFORMAT);
	assert_string_equal(err.message, "the file was cut short while it was read");
	table_done(&t);
}

/* Append, change and remove on a table with an index and on a parsed one; write both, and read what
 * was written with the index that was kept of it. */
static void changes_are_written_and_indexed(void **state)
{
	struct fixture *f = *state;
	static const char more[] = "{\"id\":\"new\",\"parent\":\"odd-6\",\"names\":[\"nick41\"]}";
	AUTO_STR text = STR_INIT(TEXT_MAX);
	AUTO_STR want = STR_INIT(TEXT_MAX);
	struct table fresh;
	struct table t;
	struct stat st;
	unsigned int i;
	int fd;

	assert_int_equal(load(f, &t, &f->stamp), 0);
	assert_int_equal(table_prove(&t, NULL), 0);
	for (i = 0; i < 2; i++) {
		struct table *x = i ? &f->truth : &t;

		table_remove(x, 0);
		table_remove(x, 17);
		table_remove(x, N_LAYERS - 1);
		assert_int_equal(table_append(x, more, strlen(more), PLACE_STABLE, NULL), 0);
		assert_int_equal(record_set_text(x, 4, LAYER_DIFF_DIGEST, "sha256:1", NULL), 0);
		assert_int_equal(record_set(x, 5, LAYER_NAMES, NULL, NULL), 0);
	}
	same_answers(&t, &f->truth);
	fd = openat(f->fd, "new.json", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(table_write(&t, PLACE_STABLE, fd, true), 0);
	assert_int_equal(fstat(fd, &st), 0);
	index_stamp_file(&f->stamp, 0, &st);
	assert_int_equal(
		index_file_save(f->fd, "layers", "layer", &f->stamp, &t.index, t.saved_at), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(table_format(&f->truth, PLACE_STABLE, &want), 0);
	assert_int_equal(read_file_at(f->fd, "new.json", TEXT_MAX, &text, NULL), 0);
	assert_string_equal(text.data, want.data);
	assert_int_equal(renameat(f->fd, "new.json", f->fd, "layers.json"), 0);
	str_clear(&f->text);
	assert_int_equal(str_append(&f->text, text.data, text.len), 0);
	table_done(&t);
	/* Numbers have holes in the one and none in the other: by ids. */
	assert_int_equal(load(f, &t, &f->stamp), 0);
	parse(f, &fresh);
	assert_int_equal(table_count(&t), table_count(&fresh));
	for (i = 0; i < table_slots(&fresh); i++) {
		struct json_span id = record_plain(table_at(&fresh, i), LAYER_ID);
		ptrdiff_t at = table_find_id(&t, id.at, id.len);
		ptrdiff_t a = table_find(&t, KEY_PARENT, id.at, id.len);
		ptrdiff_t b = table_find(&fresh, KEY_PARENT, id.at, id.len);

		assert_true(at >= 0);
		assert_true(record_same(
			table_at(&t, (size_t)at), LAYER_PARENT, table_at(&fresh, i), LAYER_PARENT));
		assert_int_equal(a < 0, b < 0);
		if (a >= 0)
			assert_true(record_same(table_at(&t, (size_t)a), LAYER_ID,
				table_at(&fresh, (size_t)b), LAYER_ID));
	}
	assert_int_equal(table_prove(&t, NULL), 0);
	assert_non_null(t.index.map);
	table_done(&t);
	table_done(&fresh);
}

/* Thousands who carry one key, added and taken away. */
static void a_key_of_many_is_no_trap(void **state)
{
	struct index x;
	struct index_walk walk;
	uint32_t number;
	uint32_t n;
	uint32_t i;

	index_init(&x);
	for (i = 0; i < 3000; i++) {
		struct index_entry e = { .len = 1 };

		assert_int_equal(index_add(&x, &e), 0);
		assert_int_equal(index_link(&x, KEY_PARENT, "p", 1, i), 0);
	}
	for (i = 0; i < 3000; i += 2)
		index_unlink(&x, KEY_PARENT, "p", 1, i);
	index_seek(&x, KEY_PARENT, "p", 1, &walk);
	for (n = 0; index_step(&x, &walk, &number); n++)
		assert_int_equal(number, 2 * n + 1);
	assert_int_equal(n, 1500);
	for (i = 1; i < 3000; i += 2)
		index_unlink(&x, KEY_PARENT, "p", 1, i);
	index_seek(&x, KEY_PARENT, "p", 1, &walk);
	assert_false(index_step(&x, &walk, &number));
	/* Nodes and slots are used again. */
	n = x.c.n_nodes;
	for (i = 0; i < 3000; i++)
		assert_int_equal(index_link(&x, KEY_NAME, (const char *)&i, sizeof(i), i), 0);
	assert_int_equal(x.c.n_nodes, n);
	for (i = 0; i < 3000; i++) {
		index_seek(&x, KEY_NAME, (const char *)&i, sizeof(i), &walk);
		assert_true(index_step(&x, &walk, &number));
		assert_int_equal(number, i);
	}
	index_done(&x);
}

/* ---- through a store ------------------------------------------------------------------- */

static struct imbrex_store *open_store(struct fixture *f)
{
	static const char *const no_options[] = { NULL };
	AUTO_FREE char *root = format_text("%s/root", f->dir);
	AUTO_FREE char *run = format_text("%s/run", f->dir);
	const struct imbrex_store_opts opts = {
		.graphroot = root, .runroot = run, .driver = "vfs", .storage_opts = no_options
	};
	struct imbrex_error err = { 0 };
	struct imbrex_store *s = NULL;

	(void)setenv("CONTAINERS_STORAGE_CONF", "/dev/null", 1);
	if (imbrex_store_open(&opts, &s, &err) < 0)
		fail_msg("%s", err.message);
	s->layers.index_min_bytes = 1;
	return s;
}

static void put_layers(struct fixture *f, const struct str *text)
{
	assert_int_equal(write_file_at(f->fd, "root/vfs-layers/layers.json", 0600, text->data,
				 text->len, NULL),
		0);
}

/* A file of its own: a new inode, as every writer does it. */
static void replace_layers(struct fixture *f, const struct str *text)
{
	assert_int_equal(unlinkat(f->fd, "root/vfs-layers/layers.json", 0), 0);
	put_layers(f, text);
}

static bool is_mapped(struct fixture *f, size_t want_count)
{
	struct imbrex_store *s = open_store(f);
	struct store_hold hold = HOLD_NONE;
	bool mapped;

	assert_int_equal(store_hold(s, HOLD_LAYERS, &hold, NULL), 0);
	assert_int_equal(table_count(&s->layers.t), want_count);
	mapped = s->layers.t.index.map != NULL;
	store_release(&hold);
	imbrex_store_close(s);
	return mapped;
}

static void readers_and_writers_keep_it_and_strangers_void_it(void **state)
{
	struct fixture *f = *state;
	static const char more[] = "{\"id\":\"zz\"}";
	AUTO_STR text = STR_INIT(TEXT_MAX);
	struct imbrex_store *s = open_store(f);
	struct store_hold hold = HOLD_NONE;

	/* Without the incomplete one, which a writer would remove. */
	table_remove(&f->truth, N_LAYERS - 1);
	assert_int_equal(table_format(&f->truth, PLACE_STABLE, &text), 0);
	put_layers(f, &text);
	imbrex_store_close(s);
	assert_false(is_mapped(f, N_LAYERS - 1)); /* parses, and keeps */
	assert_true(is_mapped(f, N_LAYERS - 1));
	/* The same bytes in another file. */
	replace_layers(f, &text);
	assert_false(is_mapped(f, N_LAYERS - 1));
	assert_true(is_mapped(f, N_LAYERS - 1));
	/* Our own writer. */
	s = open_store(f);
	assert_int_equal(store_hold(s, HOLD_LAYERS_W, &hold, NULL), 0);
	assert_non_null(s->layers.t.index.map);
	assert_int_equal(table_append(&s->layers.t, more, strlen(more), PLACE_STABLE, NULL), 0);
	s->layers.dirty[PLACE_STABLE] = true;
	assert_int_equal(store_save(s, &s->layers, NULL), 0);
	assert_int_equal(table_find_id(&s->layers.t, "zz", 2), N_LAYERS - 1);
	store_release(&hold);
	assert_true(is_mapped(f, N_LAYERS));
	/* Twice in one process: what was read first stays readable. */
	assert_int_equal(store_hold(s, HOLD_LAYERS_W, &hold, NULL), 0);
	table_remove(&s->layers.t, 2);
	s->layers.dirty[PLACE_STABLE] = true;
	assert_int_equal(store_save(s, &s->layers, NULL), 0);
	assert_int_equal(record_set_text(&s->layers.t, 3, LAYER_METADATA, "m", NULL), 0);
	s->layers.dirty[PLACE_STABLE] = true;
	assert_int_equal(store_save(s, &s->layers, NULL), 0);
	same_record(&s->layers.t, &f->truth, 20);
	store_release(&hold);
	assert_true(is_mapped(f, N_LAYERS - 1));
	/* A stamp in the lock file that is another's. */
	assert_int_equal(
		write_file_at(f->fd, "root/vfs-layers/layers.lock", 0644, "x", 1, NULL), 0);
	assert_false(is_mapped(f, N_LAYERS - 1));
	assert_true(is_mapped(f, N_LAYERS - 1));
	imbrex_store_close(s);
}

static void a_damaged_table_is_read_as_damaged_again(void **state)
{
	struct fixture *f = *state;
	AUTO_STR text = STR_INIT(TEXT_MAX);
	struct imbrex_store *s = open_store(f);
	struct store_hold hold = HOLD_NONE;
	int i;

	imbrex_store_close(s);
	assert_int_equal(str_append(&text, f->text.data, f->text.len / 2), 0);
	put_layers(f, &text);
	for (i = 0; i < 2; i++) {
		s = open_store(f);
		assert_int_equal(store_hold(s, HOLD_LAYERS, &hold, NULL), 0);
		assert_true(table_count(&s->layers.t) > 10);
		assert_non_null(table_damage(&s->layers, NULL));
		store_release(&hold);
		imbrex_store_close(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			an_index_answers_as_parsing_does, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_what_is_asked_for_is_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			an_index_of_another_state_is_stale, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			another_kind_version_or_size_is_no_index, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			somebody_elses_or_a_writable_file_is_no_index, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			damage_is_found_before_it_matters, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_text_that_changed_in_place_is_found_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(changes_are_written_and_indexed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			readers_and_writers_keep_it_and_strangers_void_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_damaged_table_is_read_as_damaged_again, set_up, tear_down),
		cmocka_unit_test(a_key_of_many_is_no_trap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
