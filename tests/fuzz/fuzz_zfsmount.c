/* SPDX-License-Identifier: Apache-2.0 */
/* The mount helper's configuration: any file gives a clean absolute path or a message. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "zfsmount/zfsmount.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct zfs_name name = { "t/a" };
	AUTO_MOUNT_CONFIG c = { 0 };
	struct imbrex_error err = { 0 };
	const char *rest;
	char *text;
	int r;

	r = mount_config_parse((const char *)data, size, "F", 1000, "joe", &c, &err);
	if (r < 0) {
		assert(err.message[0] && !c.data_path);
		return 0;
	}
	assert(c.data_path[0] == '/' && c.data_path[1] && !strstr(c.data_path, "/../"));
	text = strndup((const char *)data, size);
	assert(text);
	if (rule_place(text, c.data_path, "/", &name, &rest, &err) == 0)
		assert(*rest && *rest != '/' && !strstr(rest, "/../"));
	free(text);
	return 0;
}
