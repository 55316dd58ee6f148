/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a layer known by what docker 20.10, docker 25, podman and containerd call its member, and by
 * nothing else?
 */
#include "fixture.h"
#include "transport/foretell.h"

/*
 * An image of docker 20.10.24: five layers, two of them equal; docker save wrote these folders.
 */
static const char *const diff_ids[] = {
	"76bc8ecc5e0b2edfc00e3dd69a2bf66d7469c25b7153ca5c26e04d128d15c001",
	"fe3ba8d3eaec613e6fc64451e232a95d8735d5d37bc21c069bcc217bf7665dae",
	"db12e271aeb91af5225ff1badc61ec7f592f4fb460017e6630e92cc72b625d1b",
	"db12e271aeb91af5225ff1badc61ec7f592f4fb460017e6630e92cc72b625d1b",
	"9e3c06da82c022747b6998de5c5f1016ca6b49d1fe6f20379ee6236651ca66e6",
};
static const char *const folders[] = {
	"aef47e71937a0bb9acf2e4b7d0afa269871443f634853ceb6672564ff3f970a4",
	"6615908ae47c8ff9ac7feb8625dc43b331c01e288e97eef8c10010747d9694ab",
	"69ae237ebb1d34c98e3c001acffcb68133bc16a7508bae63619ad13a84a4975e",
	"3dc0fc5cb13dcd6ae9337acee462b19128305d4b317a8e8d41560ea1b6d65084",
	"8c8a63c4ac26c60e52fb91ebade15a988873bd89253f393be959c4904bb6faf9",
};

static struct foretell *make(size_t n)
{
	struct hash_value digests[ARRAY_LEN(diff_ids)];
	struct foretell *f;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(
			digest_parse_hex(diff_ids[i], strlen(diff_ids[i]), &digests[i], NULL), 0);
	assert_int_equal(foretell_new(digests, n, &f, NULL), 0);
	return f;
}

/* `want`: index in diff_ids, or -1. */
static void check(const struct foretell *f, const char *name, int want)
{
	const struct hash_value *got = foretell_member(f, name);

	if (want < 0)
		assert_null(got);
	else
		assert_string_equal(got ? digest_hex(got) : "", diff_ids[want]);
}

static void check_folder(const struct foretell *f, size_t i, int want)
{
	AUTO_FREE char *name = format_text("%s/layer.tar", folders[i]);

	check(f, name, want);
}

static void note_parent(struct foretell *f, const char *folder, const char *json)
{
	AUTO_FREE char *name = format_text("%s/json", folder);

	assert_int_equal(foretell_document(f, name, json, strlen(json), NULL), 0);
}

static void folders_of_docker_20_are_computed_but_for_the_top(void **state)
{
	AUTO_FORETELL *f = make(5);
	AUTO_FREE char *json = format_text("{\"parent\":\"%s\"}", folders[3]);

	for (size_t i = 0; i < 4; i++)
		check_folder(f, i, (int)i);
	check_folder(f, 4, -1);
	note_parent(f, folders[4], json);
	check_folder(f, 4, 4);
}

static void a_single_layer_has_no_parent(void **state)
{
	AUTO_FORETELL *f = make(1);

	check_folder(f, 4, -1);
	note_parent(f, folders[4], "{}");
	check_folder(f, 4, 0);
}

static void folders_that_nobody_computes_follow_from_their_parents(void **state)
{
	AUTO_FORETELL *f = make(5);
	char a[65] = { 0 }, b[65] = { 0 };
	AUTO_FREE char *json = NULL;
	AUTO_FREE char *name = NULL;

	memset(a, 'a', 64);
	memset(b, 'b', 64);
	note_parent(f, a, "{\"id\":\"x\"}");
	json = format_text("{\"parent\":\"%s\"}", a);
	note_parent(f, b, json);
	name = format_text("%s/layer.tar", b);
	check(f, name, 1);
}

static void documents_that_are_none_are_ignored(void **state)
{
	static const char *const texts[] = {
		"", "{", "{\"parent\":[]}", "{\"parent\":7}", "{\"parent\":\"x\"}",
		"{\"parent\":null,\"parent\":null}",
		"{\"parent\":\"0000000000000000000000000000000000000000000000000000000000000000\"}"
	};
	AUTO_FORETELL *f = make(5);
	AUTO_FREE char *below_all = format_text("{\"parent\":\"%s\"}", folders[4]);
	AUTO_FREE char *top = format_text("{\"parent\":\"%s\"}", folders[3]);
	char other[65] = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		note_parent(f, folders[4], texts[i]);
	check_folder(f, 4, -1);
	note_parent(f, folders[4], top);
	memset(other, 'c', 64);
	note_parent(f, other, below_all); /* there is no sixth layer */
	check(f, "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc/layer.tar", -1);
	note_parent(f, folders[1], "{}"); /* what was computed stays */
	check_folder(f, 1, 1);
	note_parent(f, "short", "{}");
	check(f, "short/layer.tar", -1);
}

static void digests_in_names_are_found(void **state)
{
	AUTO_FORETELL *f = make(5);

	check(f, "blobs/sha256/9e3c06da82c022747b6998de5c5f1016ca6b49d1fe6f20379ee6236651ca66e6",
		4);
	check(f, "9e3c06da82c022747b6998de5c5f1016ca6b49d1fe6f20379ee6236651ca66e6.tar", 4);
	check(f, "9e3c06da82c022747b6998de5c5f1016ca6b49d1fe6f20379ee6236651ca66e6", -1);
	check(f, "9E3c06da82c022747b6998de5c5f1016ca6b49d1fe6f20379ee6236651ca66e6.tar", -1);
	check(f, "blobs/sha256/9e3c06da82c022747b6998de5c5f1016ca6b49d1fe6f20379ee6236651ca66e6x",
		-1);
	check(f, "blobs/sha256/", -1);
	check(f, "blobs/sha512/9e3c06da82c022747b6998de5c5f1016ca6b49d1fe6f20379ee6236651ca66e6",
		-1);
	check(f, "", -1);
}

static void an_image_without_layers_foretells_nothing(void **state)
{
	AUTO_FORETELL *f = make(0);

	note_parent(f, folders[0], "{}");
	check_folder(f, 0, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folders_of_docker_20_are_computed_but_for_the_top),
		cmocka_unit_test(a_single_layer_has_no_parent),
		cmocka_unit_test(folders_that_nobody_computes_follow_from_their_parents),
		cmocka_unit_test(documents_that_are_none_are_ignored),
		cmocka_unit_test(digests_in_names_are_found),
		cmocka_unit_test(an_image_without_layers_foretells_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
