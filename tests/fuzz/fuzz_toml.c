/* SPDX-License-Identifier: Apache-2.0 */
/* TOML from any bytes: the tree is walked whole, with every typed reader. */
#include <stdint.h>
#include <string.h>

#include "toml/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_member(const struct toml_value *table, const struct toml_value *v)
{
	const struct toml_value *tables;
	AUTO_STRV list = { 0 };
	const char *text;
	int64_t n;
	bool b;

	if (toml_get(table, toml_key(v)) != v)
		abort();
	if (toml_string(table, toml_key(v), &text, NULL) > 0 && toml_kind(v) != TOML_STRING)
		abort();
	if (toml_integer(table, toml_key(v), &n, NULL) > 0 && toml_kind(v) != TOML_INTEGER)
		abort();
	if (toml_bool(table, toml_key(v), &b, NULL) > 0 && toml_kind(v) != TOML_BOOL)
		abort();
	(void)!toml_scalar_text(table, toml_key(v), &text, NULL);
	(void)!toml_strings(table, toml_key(v), &list, &b, NULL);
	(void)!toml_tables(table, toml_key(v), &tables, NULL);
}

static void walk(const struct toml_value *parent)
{
	const struct toml_value *v;

	for (v = toml_first(parent); v; v = toml_next(v)) {
		if (!toml_line(v) || !toml_column(v))
			abort();
		if (toml_kind(parent) == TOML_TABLE)
			read_member(parent, v);
		walk(v);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct imbrex_error err = { 0 };
	AUTO_TOML *doc = NULL;

	if (toml_parse("x.conf", (const char *)data, size, &doc, &err) < 0) {
		if (strncmp(err.message, "x.conf:", 7) != 0)
			abort();
		return 0;
	}
	walk(toml_root(doc));
	(void)toml_table(doc, "storage.options.overlay");
	return 0;
}
