/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over every file of the folders named on the command line. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *dir, const char *name)
{
	static uint8_t data[4 * 1024 * 1024];
	char path[4096];
	size_t size;
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "rb");
	if (!file)
		return -1;
	size = fread(data, 1, sizeof(data), file);
	(void)fclose(file);
	(void)LLVMFuzzerTestOneInput(data, size);
	return 0;
}

int main(int argc, char **argv)
{
	size_t n = 0;
	int i;

	for (i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		struct dirent *de;

		if (!dir) {
			(void)fprintf(stderr, "no corpus at %s\n", argv[i]);
			return 1;
		}
		while ((de = readdir(dir))) {
			if (de->d_name[0] == '.')
				continue;
			if (replay_file(argv[i], de->d_name) < 0)
				return 1;
			n++;
		}
		(void)closedir(dir);
	}
	if (!n) {
		(void)fprintf(stderr, "the corpus is empty\n");
		return 1;
	}
	(void)printf("%zu inputs replayed\n", n);
	return 0;
}
