/* SPDX-License-Identifier: Apache-2.0 */
/* Fetching with progress. The block on the terminal is gone before anything else is printed. */
#include "cli/imbrex/fetch.h"

#include <limits.h>

#include "base/str.h"
#include "cli/progress.h"

int fetch_image(struct cli *c, struct imbrex_store *s, const char *source, const char *name,
	const struct fetch_args *args, char **ret_id, struct imbrex_error *err)
{
	AUTO_PROGRESS *progress = progress_new(&c->globals);
	const struct imbrex_pull_opts opts = {
		.name = name,
		.platform = args->platform,
		.jobs = args->jobs,
		.tls_verify = args->tls_verify,
		.creds = args->creds,
		.authfile = args->authfile,
		.cert_dir = args->cert_dir,
		.engine_timeout_ms = MIN(args->engine_timeout, UINT_MAX / 1000) * 1000,
		.no_sync = args->no_sync,
		.progress = progress ? progress_event : NULL,
		.progress_userdata = progress,
	};

	return imbrex_pull(s, source, &opts, ret_id, err);
}

bool fetch_is_source(const char *text)
{
	static const char *const prefixes[] = { "docker://", "dockerd://",
		"docker-daemon:", "podman://", "containers-storage:", "oci:", "oci-archive:",
		"docker-archive:", "dir:", "rootfs:", "tar:", "squashfs:", "/", "./", "../" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(prefixes); i++) {
		if (str_after(text, prefixes[i]))
			return true;
	}
	return str_eq(text, "-");
}
