/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the enroot face reads: lines of its configuration, URIs, pointer files. Any text is taken or
 * refused with a reason; a URI that is taken gives a file name without a slash.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/enroot/enroot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The messages are the program's; nothing is printed here. */
int enroot_error(const char *fmt, ...)
{
	return 1;
}

static const char *lookup(const char *name)
{
	return name[0] == 'N' ? NULL : " some text ";
}

static void read_line(const char *line)
{
	AUTO_STR value = STR_INIT(4096);
	size_t at, len, value_at;

	if (!config_line_split(line, &at, &len, &value_at))
		return;
	assert(at + len <= value_at && value_at <= strlen(line) && len > 0);
	if (!expand_value(line + value_at, lookup, &value))
		assert(value.len == strlen(str_text(&value)));
}

static void read_uri(const char *text)
{
	AUTO_URI u = { 0 };

	if (!enroot_uri_split(text, &u))
		return;
	if (u.scheme == SCHEME_DOCKER) {
		AUTO_FREE char *source = enroot_uri_source(&u);

		assert(*u.registry && *u.image && *u.tag && source);
	}
	if (u.scheme != SCHEME_ZFS) {
		AUTO_FREE char *name = enroot_uri_name(&u);

		assert(*name && !strchr(name, '/'));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_POINTER p = { 0 };
	char *text;

	if (size > 8192)
		return 0;
	text = strndup((const char *)data, size);
	if (!text)
		return 0;
	read_line(text);
	read_uri(text);
	if (!enroot_pointer_parse((const char *)data, size, &p))
		assert(strlen(p.config) == 64 && *p.arch && *p.uri);
	free(text);
	return 0;
}
