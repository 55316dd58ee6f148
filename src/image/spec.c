/* SPDX-License-Identifier: Apache-2.0 */
/* The name of another store, taken apart; see the header. */
#include "image/spec.h"

#include <stdlib.h>
#include <string.h>

void store_spec_done(struct store_spec *s)
{
	free(s->driver);
	free(s->graphroot);
	free(s->runroot);
	strv_done(&s->options);
}

bool store_spec_is_explicit(const char *where)
{
	return where[0] == '[';
}

static int parse_options(const char *at, size_t len, struct strv *ret, struct imbrex_error *err)
{
	const char *end = at + len;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t n = (size_t)((comma ? comma : end) - at);

		if (n && strv_addf(ret, "%.*s", (int)n, at) < 0)
			return fail_nomem(err);
		at += n + (comma != NULL);
	}
	return 0;
}

int store_spec_parse(const char *where, struct store_spec *ret, struct imbrex_error *err)
{
	const char *end = strchr(where, ']');
	const char *at = where + 1;
	const char *stop, *plus, *colon;

	ret->reference = where;
	if (!store_spec_is_explicit(where))
		return 0;
	if (!end)
		return fail(err, IMBREX_EINVAL, "'%s': no ']' after '['", where);
	ret->reference = end + 1;
	stop = memchr(at, '@', (size_t)(end - at));
	if (stop) {
		ret->driver = strndup(at, (size_t)(stop - at));
		at = stop + 1;
		if (!ret->driver)
			return fail_nomem(err);
	}
	colon = memchr(at, ':', (size_t)(end - at));
	if (colon && parse_options(colon + 1, (size_t)(end - colon - 1), &ret->options, err) < 0)
		return IMBREX_ENOMEM;
	stop = colon ? colon : end;
	plus = memchr(at, '+', (size_t)(stop - at));
	if (plus)
		ret->runroot = strndup(plus + 1, (size_t)(stop - plus - 1));
	ret->graphroot = strndup(at, (size_t)((plus ? plus : stop) - at));
	if (!ret->graphroot || (plus && !ret->runroot))
		return fail_nomem(err);
	if (ret->graphroot[0] != '/' || (plus && ret->runroot[0] != '/'))
		return fail(err, IMBREX_EINVAL, "'%s': roots are absolute paths", where);
	return 0;
}
