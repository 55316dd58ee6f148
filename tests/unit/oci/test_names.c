/* SPDX-License-Identifier: Apache-2.0 */
/* Digests, references, platforms, and the ids derived from digests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "oci/chain.h"
#include "oci/digest.h"
#include "oci/platform.h"
#include "oci/reference.h"

/* Behind our headers: it defines a macro fail(). */
#include <cmocka.h>

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_1 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct hash_value digest(const char *text)
{
	struct imbrex_error err = { 0 };
	struct hash_value v = { 0 };

	if (digest_parse(text, strlen(text), &v, &err) < 0)
		fail_msg("%s", err.message);
	return v;
}

static void a_digest_is_an_algorithm_and_exactly_its_digits(void **state)
{
	static const struct {
		const char *text;
		int status;
		const char *message;
	} bad[] = {
		{ "", IMBREX_EFORMAT, "digest '' is not <algorithm>:<hex>" },
		{ "sha256", IMBREX_EFORMAT, "digest 'sha256' is not <algorithm>:<hex>" },
		{ ":" HEX_A, IMBREX_EFORMAT, "digest ':" HEX_A "' is not <algorithm>:<hex>" },
		{ "SHA256:" HEX_A, IMBREX_EFORMAT,
			"digest 'SHA256:" HEX_A "' is not <algorithm>:<hex>" },
		{ "../x:" HEX_A, IMBREX_EFORMAT,
			"digest '../x:" HEX_A "' is not <algorithm>:<hex>" },
		{ "sha256:abc", IMBREX_EFORMAT,
			"digest 'sha256:abc': 3 digits, but sha256 has 64" },
		{ "sha256:" HEX_A "a", IMBREX_EFORMAT,
			"digest 'sha256:" HEX_A "a': 65 digits, but sha256 has 64" },
		{ "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
			IMBREX_EFORMAT,
			"digest 'sha256:"
			"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' is not "
			"lower-case hexadecimal" },
		{ "sha256:../../../../../../../../../../../../../../../../../../../..//etc",
			IMBREX_EFORMAT, "lower-case hexadecimal" },
		{ "sha512:" HEX_A, IMBREX_EFORMAT, "64 digits, but sha512 has 128" },
		{ "md5:d41d8cd98f00b204e9800998ecf8427e", IMBREX_ENOTSUP,
			"the algorithm is neither sha256 nor sha512" },
		{ "sha256+b64:" HEX_A, IMBREX_ENOTSUP,
			"the algorithm is neither sha256 nor sha512" },
	};
	struct hash_value v;
	size_t i;

	v = digest("sha256:" HEX_1);
	assert_int_equal(v.algorithm, HASH_SHA256);
	assert_int_equal(v.bytes[1], 0x23);
	assert_string_equal(digest_text(&v), "sha256:" HEX_1);
	assert_string_equal(digest_hex(&v), HEX_1);
	assert_string_equal(digest_short(&v), "sha256:0123456789ab");
	v = digest("sha512:" HEX_1 HEX_A);
	assert_string_equal(digest_text(&v), "sha512:" HEX_1 HEX_A);
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		struct imbrex_error err = { 0 };

		assert_int_equal(
			digest_parse(bad[i].text, strlen(bad[i].text), &v, &err), bad[i].status);
		if (!strstr(err.message, bad[i].message))
			fail_msg("%s: %s", bad[i].text, err.message);
	}
}

static void an_absent_digest_equals_nothing(void **state)
{
	struct hash_value a = digest("sha256:" HEX_A);
	struct hash_value b = digest("sha256:" HEX_A);
	struct hash_value none = { 0 };

	assert_true(hash_equal(&a, &b));
	b.bytes[31] ^= 1;
	assert_false(hash_equal(&a, &b));
	assert_false(hash_equal(&none, &none));
	assert_string_equal(digest_short(&none), "");
}

static void references_get_the_defaults_of_docker(void **state)
{
	static const struct {
		const char *text;
		const char *full;
		const char *familiar;
	} cases[] = {
		{ "alpine", "docker.io/library/alpine", "alpine" },
		{ "alpine:3.19", "docker.io/library/alpine:3.19", "alpine:3.19" },
		{ "user/app", "docker.io/user/app", "user/app" },
		{ "docker.io/alpine", "docker.io/library/alpine", "alpine" },
		{ "index.docker.io/alpine", "docker.io/library/alpine", "alpine" },
		{ "docker.io/library/a/b", "docker.io/library/a/b", "library/a/b" },
		{ "quay.io/x/y:t@sha256:" HEX_A, "quay.io/x/y:t@sha256:" HEX_A,
			"quay.io/x/y:t@sha256:" HEX_A },
		{ "localhost/a", "localhost/a", "localhost/a" },
		{ "localhost:5000/a:1", "localhost:5000/a:1", "localhost:5000/a:1" },
		{ "localhost:5000", "docker.io/library/localhost:5000", "localhost:5000" },
		{ "Host/a", "Host/a", "Host/a" },
		{ "[::1]:80/a", "[::1]:80/a", "[::1]:80/a" },
		{ "[2001:db8::1]/a:x", "[2001:db8::1]/a:x", "[2001:db8::1]/a:x" },
		{ "a-b.c:1/d__e/f--g.h_i:T_x.-", "a-b.c:1/d__e/f--g.h_i:T_x.-",
			"a-b.c:1/d__e/f--g.h_i:T_x.-" },
		{ "docker.io/library/" HEX_A, "docker.io/library/" HEX_A,
			"docker.io/library/" HEX_A },
		{ "docker.io/localhost/a", "docker.io/localhost/a", "docker.io/localhost/a" },
		{ "docker.io/a.b/c", "docker.io/a.b/c", "docker.io/a.b/c" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct imbrex_error err = { 0 };
		AUTO_REFERENCE ref = { 0 };
		AUTO_REFERENCE again = { 0 };
		AUTO_FREE char *full = NULL;
		AUTO_FREE char *familiar = NULL;
		AUTO_FREE char *full_again = NULL;

		if (reference_parse(cases[i].text, &ref, &err) < 0)
			fail_msg("%s", err.message);
		full = reference_text(&ref);
		familiar = reference_familiar(&ref);
		assert_string_equal(full, cases[i].full);
		assert_string_equal(familiar, cases[i].familiar);
		assert_int_equal(reference_parse(familiar, &again, &err), 0);
		full_again = reference_text(&again);
		assert_string_equal(full_again, full);
	}
}

static void a_local_name_lives_in_localhost(void **state)
{
	static const struct {
		const char *text;
		const char *full;
	} cases[] = {
		{ "a:1", "localhost/a:1" },
		{ "a/b", "localhost/a/b" },
		{ "localhost/a", "localhost/a" },
		{ "docker.io/a", "docker.io/library/a" },
		{ "quay.io/a/b:2", "quay.io/a/b:2" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_REFERENCE ref = { 0 };
		AUTO_FREE char *full = NULL;

		assert_int_equal(reference_parse_local(cases[i].text, &ref, NULL), 0);
		full = reference_text(&ref);
		assert_string_equal(full, cases[i].full);
	}
}

static void what_is_no_reference_is_refused_with_the_reason(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} cases[] = {
		{ "", "an empty text is no image reference" },
		{ "Alpine", "reference 'Alpine': the repository 'Alpine' must be lower case" },
		{ "quay.io/X/y:1",
			"reference 'quay.io/X/y:1': the repository 'X/y' must be lower case" },
		{ HEX_A, "reference '" HEX_A
			 "' is an id: 64 hex digits cannot be a repository name" },
		{ ":1", "reference ':1' names no repository" },
		{ "@sha256:" HEX_A, "names no repository" },
		{ "quay.io/", "reference 'quay.io/' names no repository" },
		{ "a//b", "reference 'a//b': 'a//b' is no repository name" },
		{ "/a", "reference '/a': '/a' is no repository name" },
		{ "a/", "reference 'a/': 'a/' is no repository name" },
		{ "../a", "reference '../a': '..' is no registry host" },
		{ "a..b", "'a..b' is no repository name" },
		{ "a___b", "'a___b' is no repository name" },
		{ "-a", "'-a' is no repository name" },
		{ "a_", "'a_' is no repository name" },
		{ "a b", "'a b' is no repository name" },
		{ "https://a/b", "reference 'https://a/b': 'https:' is no registry host" },
		{ "h:x/a", "'h:x' is no registry host" },
		{ "h:123456/a", "'h:123456' is no registry host" },
		{ "-h.x/a", "'-h.x' is no registry host" },
		{ "h-.x/a", "'h-.x' is no registry host" },
		{ "h.-x/a", "'h.-x' is no registry host" },
		{ "h./a", "'h.' is no registry host" },
		{ "[::g]/a", "'[::g]' is no registry host" },
		{ "[::1/a", "is no registry host" },
		{ "a:", "reference 'a:': '' is no tag" },
		{ "a:.x", "reference 'a:.x': '.x' is no tag" },
		{ "a:b c", "reference 'a:b c': 'b c' is no tag" },
		{ "a@", "reference 'a@': digest '' is not <algorithm>:<hex>" },
		{ "a@sha256:1",
			"reference 'a@sha256:1': digest 'sha256:1': 1 digits, but sha256 has 64" },
		{ "a@sha256:" HEX_A ":t", "66 digits, but sha256 has 64" },
	};
	char text[1100];
	struct reference ref;
	struct imbrex_error err = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		if (reference_parse(cases[i].text, &ref, &err) != IMBREX_EINVAL)
			fail_msg("not refused as it should: '%s'", cases[i].text);
		if (!strstr(err.message, cases[i].message))
			fail_msg("%s: %s", cases[i].text, err.message);
	}
	assert_int_equal(reference_parse("a@md5:00", &ref, &err), IMBREX_ENOTSUP);
	memset(text, 'a', sizeof(text));
	text[256] = '\0';
	assert_int_equal(reference_parse(text, &ref, &err), IMBREX_ELIMIT);
	assert_non_null(strstr(err.message, "the repository is longer than 255 bytes"));
	text[256] = 'a';
	text[1025] = '\0';
	assert_int_equal(reference_parse(text, &ref, &err), IMBREX_ELIMIT);
	assert_non_null(strstr(err.message, "is longer than 1024 bytes"));
	memcpy(text, "a:", 2);
	text[2 + 129] = '\0';
	assert_int_equal(reference_parse(text, &ref, &err), IMBREX_EINVAL);
}

static void latest_is_added_only_where_nothing_is_said(void **state)
{
	AUTO_REFERENCE ref = { 0 };
	AUTO_REFERENCE pinned = { 0 };
	AUTO_REFERENCE copy = { 0 };
	AUTO_FREE char *name = NULL;

	assert_int_equal(reference_parse("a", &ref, NULL), 0);
	assert_int_equal(reference_default_tag(&ref, NULL), 0);
	assert_string_equal(ref.tag, "latest");
	assert_int_equal(reference_parse("a@sha256:" HEX_A, &pinned, NULL), 0);
	assert_int_equal(reference_default_tag(&pinned, NULL), 0);
	assert_null(pinned.tag);
	assert_int_equal(reference_copy(&ref, &copy, NULL), 0);
	name = reference_name(&copy);
	assert_string_equal(name, "docker.io/library/a");
	assert_true(reference_tag_is_valid("_x.-1"));
	assert_false(reference_tag_is_valid(""));
}

static void platforms_are_normalized(void **state)
{
	static const struct {
		const char *text;
		const char *want; /* NULL: refused */
	} cases[] = {
		{ "linux/amd64", "linux/amd64" },
		{ "x86_64", "linux/amd64" },
		{ "linux/aarch64", "linux/arm64" },
		{ "arm64/v8", "linux/arm64" },
		{ "armhf", "linux/arm/v7" },
		{ "arm/6", "linux/arm/v6" },
		{ "linux/arm/v5", "linux/arm/v5" },
		{ "linux/amd64/v1", "linux/amd64" },
		{ "linux/amd64/v3", "linux/amd64/v3" },
		{ "windows/amd64", "windows/amd64" },
		{ "linux", NULL },
		{ "", NULL },
		{ "linux/", NULL },
		{ "linux/arm/v7/x", NULL },
		{ "arm64/arm64/v8", NULL },
		{ "linux/a b", NULL },
		{ "linux/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL },
	};
	char text[PLATFORM_TEXT_MAX];
	struct platform p;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		int r = platform_parse(cases[i].text, &p, NULL);

		assert_int_equal(r >= 0, cases[i].want != NULL);
		if (r >= 0)
			assert_string_equal(platform_format(&p, text), cases[i].want);
	}
	assert_int_equal(platform_host(&p, NULL), 0);
	assert_string_equal(p.os, "linux");
}

static void older_variants_serve_newer_machines_and_never_the_other_way(void **state)
{
	/* Each list is for the wanted platform first, best first, then 0 for "none of these". */
	static const struct {
		const char *want;
		const char *better;
		const char *worse; /* NULL: better is not served at all */
	} cases[] = {
		{ "linux/arm/v7", "linux/arm/v7", "linux/arm/v6" },
		{ "linux/arm/v7", "linux/arm/v6", "linux/arm/v5" },
		{ "linux/arm/v6", "linux/arm/v7", NULL },
		{ "linux/arm", "linux/arm/v7", "linux/arm/v6" },
		{ "linux/amd64/v3", "linux/amd64/v2", "linux/amd64" },
		{ "linux/amd64", "linux/amd64/v2", NULL },
		{ "linux/amd64", "linux/386", NULL },
		{ "linux/amd64", "windows/amd64", NULL },
		{ "linux/arm64", "linux/arm64", "linux/arm64/v9" },
		{ "linux/arm64/v9", "linux/arm64", NULL },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct platform want, better, worse;

		assert_int_equal(platform_parse(cases[i].want, &want, NULL), 0);
		assert_int_equal(platform_parse(cases[i].better, &better, NULL), 0);
		if (cases[i].worse) {
			assert_int_equal(platform_parse(cases[i].worse, &worse, NULL), 0);
			assert_true(platform_rank(&want, &better) > platform_rank(&want, &worse));
			assert_true(platform_rank(&want, &worse) > 0);
		} else if (strcmp(cases[i].want, "linux/arm64/v9") == 0) {
			assert_true(platform_rank(&want, &better) > 0);
		} else {
			assert_int_equal(platform_rank(&want, &better), 0);
		}
	}
}

static void layer_and_image_ids_follow_the_rules_of_podman(void **state)
{
	struct hash_value diff = digest("sha256:" HEX_1);
	struct hash_value toc[2] = { { 0 } };
	char id[ID_HEX_LEN + 1];
	struct hash_value chain;

	assert_int_equal(layer_id(NULL, &diff, id, NULL), 0);
	assert_string_equal(id, HEX_1);
	assert_int_equal(layer_id(HEX_A, &diff, id, NULL), 0);
	assert_string_equal(id, "4427dc4e560e6aae928f6d31529b0bc8ba50649543b6e179937b965ec129145e");
	assert_int_equal(layer_id_toc(NULL, &diff, id, NULL), 0);
	assert_string_equal(id, "02cfa8d92a8099be65b4b54b5fad7ea9c97794b4290fd252b210e99e9e92ad6d");
	assert_int_equal(layer_id_toc(HEX_A, &diff, id, NULL), 0);
	assert_string_equal(id, "7d3db99c31af4318a24d651133d6d3b63d214c118d444ab6e3a85e5ffa756655");
	assert_int_equal(image_id(&diff, toc, 2, id, NULL), 0);
	assert_string_equal(id, HEX_1);
	toc[1] = digest("sha256:" HEX_A);
	assert_int_equal(image_id(&diff, toc, 2, id, NULL), 0);
	assert_string_equal(id, "5100fb7c201e720f1b451500599226e76d86c7e7997a2d23ed7e393f7619da0b");
	assert_int_equal(chain_id(NULL, &diff, &chain, NULL), 0);
	assert_string_equal(digest_text(&chain), "sha256:" HEX_1);
	assert_int_equal(chain_id(&toc[1], &diff, &chain, NULL), 0);
	assert_string_equal(digest_text(&chain),
		"sha256:27f86de75aa367166218c422dbc679122aa9e56aec2f4a331c5a30895ffaf352");
}

int main(void)
{
	const struct CMUnitTest group[] = {
		cmocka_unit_test(a_digest_is_an_algorithm_and_exactly_its_digits),
		cmocka_unit_test(an_absent_digest_equals_nothing),
		cmocka_unit_test(references_get_the_defaults_of_docker),
		cmocka_unit_test(a_local_name_lives_in_localhost),
		cmocka_unit_test(what_is_no_reference_is_refused_with_the_reason),
		cmocka_unit_test(latest_is_added_only_where_nothing_is_said),
		cmocka_unit_test(platforms_are_normalized),
		cmocka_unit_test(older_variants_serve_newer_machines_and_never_the_other_way),
		cmocka_unit_test(layer_and_image_ids_follow_the_rules_of_podman),
	};

	return cmocka_run_group_tests(group, NULL, NULL);
}
