/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pointer files: a few lines in place of an image, which name what a store holds and where it came
 * from. Text of version 1, as the ZFS fork of enroot writes and reads it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/hex.h"
#include "cli/enroot/enroot.h"

#define POINTER_BYTES_MAX 65536

void enroot_pointer_done(struct enroot_pointer *p)
{
	free(p->config);
	free(p->manifest);
	free(p->arch);
	free(p->uri);
	free(p->imported);
	*p = (struct enroot_pointer){ 0 };
}

static bool only(const char *text, const char *allowed)
{
	for (; *text; text++) {
		if (!((*text >= 'a' && *text <= 'z') || (*text >= '0' && *text <= '9') ||
			    strchr(allowed, *text)))
			return false;
	}
	return true;
}

static bool is_time(const char *text)
{
	static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
	size_t i;

	for (i = 0; form[i]; i++) {
		if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return false;
	}
	return text[i] == 0;
}

static bool is_uri(const char *text)
{
	struct enroot_uri u;
	bool good = enroot_uri_split(text, &u) && u.scheme != SCHEME_ZFS;

	enroot_uri_done(&u);
	return good;
}

static bool set_line(struct enroot_pointer *p, char *line)
{
	const struct {
		const char *key;
		char **value;
	} members[] = {
		{ "image-config-sha256", &p->config },
		{ "manifest-digest", &p->manifest },
		{ "arch", &p->arch },
		{ "uri", &p->uri },
		{ "imported", &p->imported },
	};
	char *equals = strchr(line, '=');
	size_t i;

	if (!equals)
		return true;
	*equals = 0;
	for (i = 0; i < ARRAY_LEN(members); i++) {
		if (!str_eq(members[i].key, line))
			continue;
		free(*members[i].value);
		*members[i].value = strdup(equals + 1);
		return *members[i].value != NULL;
	}
	return true;
}

const char *enroot_pointer_parse(const char *text, size_t len, struct enroot_pointer *ret)
{
	AUTO_FREE char *copy = strndup(text, len);
	char *rest = copy, *line;

	*ret = (struct enroot_pointer){ 0 };
	if (!copy || strlen(copy) != len)
		return "is no text";
	line = strsep(&rest, "\n");
	if (!str_eq(line, POINTER_MAGIC))
		return "Not a ZFS pointer file";
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (!set_line(ret, line))
			return "is too large";
	}
	if (!ret->config || !id_is_valid(ret->config))
		return "missing/invalid image-config-sha256";
	if (ret->manifest && (!str_after(ret->manifest, "sha256:") ||
				     !id_is_valid(ret->manifest + strlen("sha256:"))))
		return "invalid manifest-digest";
	if (!ret->arch || !*ret->arch || !only(ret->arch, "_-"))
		return "missing/invalid arch";
	if (!ret->uri || !is_uri(ret->uri))
		return "missing/invalid uri";
	if (!ret->imported || !is_time(ret->imported))
		return "missing/invalid imported timestamp";
	return NULL;
}

int enroot_pointer_read(const char *path, struct enroot_pointer *ret)
{
	char buf[POINTER_BYTES_MAX];
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	size_t n = 0;
	ssize_t got;
	const char *why;

	*ret = (struct enroot_pointer){ 0 };
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	while (n < sizeof(buf) && (got = read(fd, buf + n, sizeof(buf) - n)) > 0)
		n += (size_t)got;
	if (n < strlen(POINTER_MAGIC) || memcmp(buf, POINTER_MAGIC, strlen(POINTER_MAGIC)) != 0)
		return 0;
	why = enroot_pointer_parse(buf, n, ret);
	if (!why)
		return 1;
	if (str_after(why, "Not a"))
		(void)enroot_error("%s: %s", why, path);
	else
		(void)enroot_error("Pointer %s %s", path, why);
	return -1;
}

int enroot_pointer_write(const char *path, const struct enroot_pointer *p, struct imbrex_error *err)
{
	AUTO_FREE char *temp = format_text("%s.tmp.%ld", path, (long)getpid());
	FILE *f = temp ? fopen(temp, "wxe") : NULL;
	bool good;

	if (!temp)
		return fail_nomem(err);
	if (!f)
		return fail_errno(err, "create '%s'", temp);
	(void)fprintf(f, POINTER_MAGIC "\nimage-config-sha256=%s\n", p->config);
	if (p->manifest && *p->manifest)
		(void)fprintf(f, "manifest-digest=%s\n", p->manifest);
	(void)fprintf(f, "arch=%s\nuri=%s\nimported=%s\n", p->arch, p->uri, p->imported);
	good = fflush(f) == 0 && !ferror(f) && fsync(fileno(f)) == 0;
	good = fclose(f) == 0 && good;
	if (good && rename(temp, path) == 0)
		return 0;
	(void)fail_errno(err, "write '%s'", path);
	(void)unlink(temp);
	return IMBREX_EIO;
}
