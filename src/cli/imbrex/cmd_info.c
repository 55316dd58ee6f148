/* SPDX-License-Identifier: Apache-2.0 */
/* info: facts about the store and the machine. */
#include <string.h>

#include "base/str.h"
#include "cli/imbrex/verbs.h"
#include "cli/out.h"

/* "Key=Value" of the library, split in place. */
static char *split(char *fact)
{
	char *equals = strchr(fact, '=');

	if (!equals)
		return fact + strlen(fact);
	*equals = '\0';
	return equals + 1;
}

static int run(struct cli *c, const void *args)
{
	AUTO_STORE *store = NULL;
	struct json_out j = { .f = stdout };
	struct imbrex_error err = { .status = 0 };
	char **facts, *value;
	size_t i, width = 0;
	int r;

	(void)args;
	r = cli_open_store(c, &store, &err);
	if (r < 0)
		return cli_fail(c, &err);
	r = imbrex_store_info(store, &facts, &err);
	if (r < 0)
		return cli_fail(c, &err);
	for (i = 0; facts[i]; i++)
		width = MAX(width, strcspn(facts[i], "="));
	if (c->globals.json)
		json_begin(&j, NULL, '{');
	for (i = 0; facts[i]; i++) {
		AUTO_STR clean = STR_INIT(4096);

		value = split(facts[i]);
		r = out_clean(&clean, value);
		if (c->globals.json)
			json_text(&j, facts[i], value);
		else if (r == 0 || r == -EFBIG)
			(void)printf("%-*s  %s\n", (int)width, facts[i], str_text(&clean));
	}
	if (c->globals.json)
		json_end(&j, '}');
	imbrex_strings_free(facts);
	return EXIT_SUCCESS;
}

const struct verb verb_info = {
	.name = "info",
	.operands = "",
	.summary = "show facts about the store and the machine",
	.records = true,
	.run = run,
};
