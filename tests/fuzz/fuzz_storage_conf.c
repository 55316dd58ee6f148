/* SPDX-License-Identifier: Apache-2.0 */
/* storage.conf from any bytes: either a whole configuration, or a message with the file's name. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/str.h"
#include "store/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void load(const char *path, bool rootless)
{
	const struct storage_config_request request = {
		.config_file = path, .rootless = rootless, .uid = rootless ? 1000 : 0
	};
	struct imbrex_error err = { 0 };
	struct storage_config c = { 0 };
	size_t i;

	if (storage_config_load(&request, &c, &err) < 0) {
		must(err.message[0] && !c.graphroot);
		return;
	}
	must(c.graphroot[0] == '/' && c.runroot[0] == '/' && c.driver && c.imagestore);
	must(strcmp(c.driver, "overlay2") != 0);
	for (i = 0; i < c.driver_options.n; i++)
		must(strchr(c.driver_options.items[i], '=') != NULL);
	storage_config_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("storage.conf", MFD_CLOEXEC);
	AUTO_FREE char *path = format_text("/proc/self/fd/%d", fd);

	must(fd >= 0 && path);
	(void)setenv("XDG_RUNTIME_DIR", "/nowhere", 1);
	(void)unsetenv("STORAGE_OPTS");
	(void)unsetenv("STORAGE_DRIVER");
	(void)unsetenv("CONTAINERS_STORAGE_CONF_OVERRIDE");
	must(size == 0 || write(fd, data, size) == (ssize_t)size);
	load(path, false);
	load(path, true);
	(void)close(fd);
	return 0;
}
