/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that the caller gives. */
#include "registry/creds.h"

#include <stdlib.h>
#include <string.h>

static void wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void credentials_done(struct credentials *c)
{
	wipe(c->username);
	wipe(c->password);
	wipe(c->identity_token);
	free(c->found_in);
	*c = (struct credentials){ 0 };
}

int creds_find(const struct creds_options *opts, const char *registry, const char *repository,
	struct credentials *ret, struct imbrex_error *err)
{
	struct credentials c = { 0 };

	if (!opts->username)
		return 0;
	c.username = strdup(opts->username);
	c.password = strdup(opts->password ? opts->password : "");
	c.found_in = strdup("the command line");
	if (!c.username || !c.password || !c.found_in) {
		credentials_done(&c);
		return fail_nomem(err);
	}
	*ret = c;
	return 1;
}
