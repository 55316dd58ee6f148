/* SPDX-License-Identifier: Apache-2.0 */
/* What comes from other machines or from users: statuses, lists of GUIDs, URIs. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "template/guids.h"
#include "template/peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_status(const char *text, size_t len)
{
	AUTO_TRANSFER_STATUS s = { 0 }, again = { 0 };
	struct imbrex_error err = { 0 };
	AUTO_FREE char *written = NULL;
	int r = transfer_status_parse(text, len, &s, &err);

	if (r < 0) {
		assert(err.message[0] && !s.token && !s.guids.n);
		return;
	}
	written = transfer_status_format(&s);
	assert(written);
	r = transfer_status_parse(written, strlen(written), &again, &err);
	assert(r == 0 && again.guids.n == s.guids.n && !again.token == !s.token);
}

/* Whatever is taken, neither ssh nor a shell finds more in it than a word. */
static void try_uri(const char *text)
{
	AUTO_PEER p = { 0 };
	struct imbrex_error err = { 0 };

	if (peer_parse(text, &p, &err) < 0) {
		assert(err.message[0]);
		return;
	}
	assert(p.target[0] && p.target[0] != '-' && !strpbrk(p.target, " \t\n'\"$`;|&<>()\\/:"));
	assert(p.name[0] != '-' && p.name[0] != '.' && !strpbrk(p.name, " \t\n'\"$`;|&<>()\\/@"));
	assert(strspn(p.port, "0123456789") == strlen(p.port));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_GUIDS g = { 0 };
	struct imbrex_error err = { 0 };
	char *text = malloc(size + 1);

	assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	try_status(text, size);
	try_uri(text);
	if (guids_parse(text, &g, &err) == 0)
		assert(g.n && !guids_has(&g, 0));
	else
		assert(err.message[0]);
	free(text);
	return 0;
}
