/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user option against hostile passwd and group files.
 * Input: the option up to the first newline, the passwd file up to a form feed, the group file.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "run/passwd.h"
#include "store/auto_ids.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end = text + size;
	const char *newline = size ? memchr(text, '\n', size) : NULL;
	const char *passwd = newline ? newline + 1 : end;
	const char *feed = passwd < end ? memchr(passwd, '\f', (size_t)(end - passwd)) : NULL;
	const char *group = feed ? feed + 1 : end;
	struct imbrex_error err = { 0 };
	AUTO_RUN_USER user = { 0 };
	char spec[600];

	/* Both read the third field; who counts the fourth, too, never needs fewer ids. */
	assert(ids_of_passwd(text, size) >= ids_of_group(text, size));
	(void)snprintf(spec, sizeof(spec), "%.*s",
		(int)MIN((size_t)((newline ? newline : end) - text), sizeof(spec) - 1), text);
	if (run_user_resolve(spec, passwd, (size_t)((feed ? feed : end) - passwd), group,
		    (size_t)(end - group), &user, &err) < 0) {
		assert(err.message[0]);
		return 0;
	}
	assert(user.uid != UINT32_MAX && user.gid != UINT32_MAX);
	assert(!user.home || user.home[0] == '/');
	assert(user.n_groups <= RUN_GROUPS_MAX);
	return 0;
}
