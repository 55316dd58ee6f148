/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines of the plumbing face, one argument a line: whatever they are, operands are the end
 * of argv, values lie in argv, and a failure says something.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/storage/flag.h"

#define ARGS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct values {
	bool a, b;
	const char *text;
	struct flag_list list;
};

static const struct flag flags[] = {
	{ { "#-all", "--all", "-a" }, FLAG_BOOL, offsetof(struct values, a), "A" },
	{ { "--both", "-b" }, FLAG_BOOL, offsetof(struct values, b), "B" },
	{ { "--text", "-t" }, FLAG_TEXT, offsetof(struct values, text), "Text" },
	{ { "--list", "-l" }, FLAG_LIST, offsetof(struct values, list), "List" },
	{ { NULL } },
};

static void expect(bool truth)
{
	if (!truth)
		abort();
}

static void try_args(char **argv, size_t n, const char *text, size_t size)
{
	struct values values = { .a = false };
	AUTO_FLAG_SET set = { .tables = { { flags, &values } } };
	AUTO_FLAG_PARSED parsed = { .n_operands = 0 };
	size_t i;

	expect(flag_set_init(&set) == 0);
	expect(flag_parse(&set, argv, &parsed) == 0);
	expect(parsed.operands >= argv && parsed.operands + parsed.n_operands == argv + n);
	expect(parsed.failed == (parsed.help || parsed.messages.n > 0));
	expect(!values.text || (values.text >= text && values.text <= text + size));
	for (i = 0; i < values.list.n; i++)
		expect(values.list.items[i] >= text && values.list.items[i] <= text + size);
	flag_values_done(&set.tables[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[ARGS_MAX + 1] = { NULL };
	char *text = strndup((const char *)data, size);
	char *at = text;
	size_t n = 0, len;

	if (!text)
		return 0;
	len = strlen(text);
	while (at && n < ARGS_MAX) {
		argv[n++] = at;
		at = strchr(at, '\n');
		if (at)
			*at++ = '\0';
	}
	try_args(argv, n, text, len);
	free(text);
	return 0;
}
