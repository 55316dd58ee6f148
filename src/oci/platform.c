/* SPDX-License-Identifier: Apache-2.0 */
/* Platform names and their order; see the header. */
#include "oci/platform.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

/* What uname(2) and people call it, and what image documents call it (Go 1.2x, GOARCH). */
static const struct {
	const char *name;
	const char *architecture;
	const char *variant; /* NULL: leaves a given one alone */
} aliases[] = {
	{ "x86_64", "amd64", NULL },
	{ "x86-64", "amd64", NULL },
	{ "aarch64", "arm64", NULL },
	{ "armv8l", "arm", "v7" }, /* 32-bit process on a 64-bit kernel */
	{ "armv7l", "arm", "v7" },
	{ "armv6l", "arm", "v6" },
	{ "armv5l", "arm", "v5" },
	{ "armv5tel", "arm", "v5" },
	{ "armv5tejl", "arm", "v5" },
	{ "armhf", "arm", "v7" },
	{ "armel", "arm", "v6" },
	{ "i386", "386", NULL },
	{ "i486", "386", NULL },
	{ "i586", "386", NULL },
	{ "i686", "386", NULL },
	{ "ppc64", "ppc64", NULL },
	{ "ppc64le", "ppc64le", NULL },
	{ "riscv64", "riscv64", NULL },
	{ "s390x", "s390x", NULL },
	{ "loongarch64", "loong64", NULL },
	{ "mips", "mips", NULL },
	{ "mips64", "mips64", NULL },
};

/* Variants from the oldest; a machine runs its own and those before it. */
static const char *const arm_variants[] = { "v5", "v6", "v7", "v8" };
static const char *const amd64_variants[] = { "v1", "v2", "v3", "v4" };

static int set_word(
	const char *what, const char *text, char ret[PLATFORM_WORD_MAX], struct imbrex_error *err)
{
	size_t len;

	if (!text)
		text = "";
	len = strlen(text);
	if (len >= PLATFORM_WORD_MAX ||
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
			len)
		return fail(err, IMBREX_EFORMAT, "platform: '%.64s' is no %s", text, what);
	memcpy(ret, text, len + 1);
	return 0;
}

static void normalize(struct platform *p)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(aliases); i++) {
		if (strcmp(p->architecture, aliases[i].name) != 0)
			continue;
		(void)snprintf(p->architecture, PLATFORM_WORD_MAX, "%s", aliases[i].architecture);
		if (aliases[i].variant && !p->variant[0])
			(void)snprintf(p->variant, PLATFORM_WORD_MAX, "%s", aliases[i].variant);
		break;
	}
	/* The only variants that say nothing: every arm64 is v8, every amd64 is v1. */
	if ((strcmp(p->architecture, "arm64") == 0 &&
		    (strcmp(p->variant, "v8") == 0 || strcmp(p->variant, "8") == 0)) ||
		(strcmp(p->architecture, "amd64") == 0 && strcmp(p->variant, "v1") == 0))
		p->variant[0] = '\0';
	if (strcmp(p->architecture, "arm") == 0 && p->variant[0] >= '5' && p->variant[0] <= '8' &&
		!p->variant[1])
		(void)snprintf(p->variant, PLATFORM_WORD_MAX, "v%c", p->variant[0]);
}

int platform_set(const char *os, const char *architecture, const char *variant,
	struct platform *ret, struct imbrex_error *err)
{
	struct platform p = { 0 };
	int r;

	r = set_word("operating system", os, p.os, err);
	if (r < 0)
		return r;
	r = set_word("architecture", architecture, p.architecture, err);
	if (r < 0)
		return r;
	r = set_word("variant", variant, p.variant, err);
	if (r < 0)
		return r;
	normalize(&p);
	*ret = p;
	return 0;
}

int platform_host(struct platform *ret, struct imbrex_error *err)
{
	struct utsname name;
	size_t i;

	if (uname(&name) < 0)
		return fail_errno(err, "uname");
	for (i = 0; i < ARRAY_LEN(aliases); i++) {
		if (strcmp(name.machine, aliases[i].name) == 0)
			return platform_set(
				"linux", aliases[i].architecture, aliases[i].variant, ret, err);
	}
	return fail(
		err, IMBREX_ENOTSUP, "machine '%s' has no name as an image platform", name.machine);
}

/* A platform may begin with its architecture: is `word` one, in whatever spelling? */
static bool is_architecture(const char *word)
{
	static const char *const others[] = { "amd64", "arm64", "arm", "386", "loong64", "mipsle",
		"mips64le", "wasm" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(aliases); i++) {
		if (strcmp(word, aliases[i].name) == 0)
			return true;
	}
	for (i = 0; i < ARRAY_LEN(others); i++) {
		if (strcmp(word, others[i]) == 0)
			return true;
	}
	return false;
}

int platform_parse(const char *text, struct platform *ret, struct imbrex_error *err)
{
	char words[3][PLATFORM_WORD_MAX] = { 0 };
	const char *at = text;
	size_t n = 0;

	for (;;) {
		size_t len = strcspn(at, "/");

		if (n == 3 || !len || len >= PLATFORM_WORD_MAX)
			return fail(err, IMBREX_EINVAL,
				"platform '%.100s' is not os/architecture[/variant]", text);
		memcpy(words[n++], at, len);
		if (!at[len])
			break;
		at += len + 1;
	}
	if (n < 3 && is_architecture(words[0]))
		return platform_set("linux", words[0], words[1], ret, err);
	/* "arm64/arm64/v8": an architecture is no operating system. */
	if (n < 2 || is_architecture(words[0]))
		return fail(err, IMBREX_EINVAL,
			"platform '%.100s' is not os/architecture[/variant]", text);
	return platform_set(words[0], words[1], words[2], ret, err);
}

const char *platform_format(const struct platform *p, char ret[PLATFORM_TEXT_MAX])
{
	(void)snprintf(ret, PLATFORM_TEXT_MAX, "%s/%s%s%s", p->os[0] ? p->os : "?",
		p->architecture[0] ? p->architecture : "?", p->variant[0] ? "/" : "", p->variant);
	return ret;
}

/* 1 for the oldest variant (which "" means), up; 0 if the architecture has no order of them. */
static unsigned int variant_age(const struct platform *p)
{
	const char *const *variants;
	size_t i;

	if (strcmp(p->architecture, "arm") == 0)
		variants = arm_variants;
	else if (strcmp(p->architecture, "amd64") == 0)
		variants = amd64_variants;
	else
		return 0;
	if (!p->variant[0])
		return 1;
	for (i = 0; i < ARRAY_LEN(arm_variants); i++) {
		if (strcmp(p->variant, variants[i]) == 0)
			return (unsigned int)i + 1;
	}
	return 0;
}

unsigned int platform_rank(const struct platform *wanted, const struct platform *offered)
{
	unsigned int wanted_age = variant_age(wanted);
	unsigned int offered_age = variant_age(offered);

	if (strcmp(wanted->os, offered->os) != 0 ||
		strcmp(wanted->architecture, offered->architecture) != 0)
		return 0;
	if (strcmp(wanted->variant, offered->variant) == 0)
		return 100;
	if (wanted_age && offered_age) {
		/* An arm that was not told its variant may still be any: newest first. */
		if (!wanted->variant[0] && strcmp(wanted->architecture, "arm") == 0)
			return 10 + offered_age;
		return offered_age <= wanted_age ? 10 + offered_age : 0;
	}
	/* No order known: one side not said is better than nothing. */
	if (!offered->variant[0])
		return 5;
	return wanted->variant[0] ? 0 : 1;
}
