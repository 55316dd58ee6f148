/* SPDX-License-Identifier: Apache-2.0 */
/* Requests, and what their answers mean; see the header. */
#include "transport/engine.h"

#include "base/limits.h"
#include "json/doc.h"
#include "oci/digest.h"
#include "registry/http.h"

struct engine {
	struct http *http;
	struct endpoint where; /* owned */
	struct http_tls tls;   /* borrows from `where` */
};

void engine_image_done(struct engine_image *image)
{
	free(image->diff_ids);
	strv_done(&image->names);
	*image = (struct engine_image){ 0 };
}

static int copy_text(const char *from, char **ret)
{
	*ret = from ? strdup(from) : NULL;
	return from && !*ret ? -ENOMEM : 0;
}

static int copy_endpoint(const struct endpoint *from, struct endpoint *to)
{
	int r;

	to->insecure = from->insecure;
	to->ca_pem = (struct str)STR_INIT(LIMIT_CONF_BYTES);
	r = copy_text(from->text, &to->text);
	if (r == 0)
		r = copy_text(from->socket_path, &to->socket_path);
	if (r == 0)
		r = copy_text(from->url, &to->url);
	if (r == 0)
		r = copy_text(from->cert_path, &to->cert_path);
	if (r == 0)
		r = copy_text(from->key_path, &to->key_path);
	return r < 0 ? r : str_append(&to->ca_pem, str_text(&from->ca_pem), from->ca_pem.len);
}

int engine_open(const struct endpoint *where, unsigned int timeout_ms, struct engine **ret,
	struct imbrex_error *err)
{
	AUTO_ENGINE *e = calloc(1, sizeof(*e));
	AUTO_FREE char *peer = format_text("engine at %s", where->text);
	struct http_options opts = {
		.stall_timeout_ms = timeout_ms ? timeout_ms : ENGINE_TIMEOUT_MS,
		.unix_socket = where->socket_path,
		.peer = peer,
	};
	int r;

	if (!e || !peer || copy_endpoint(where, &e->where) < 0)
		return fail_nomem(err);
	opts.document_timeout_ms = opts.stall_timeout_ms;
	opts.connect_timeout_ms = MIN(opts.stall_timeout_ms, 30000u);
	e->tls = (struct http_tls){
		.insecure = e->where.insecure,
		.ca_pem = e->where.ca_pem.len ? str_text(&e->where.ca_pem) : NULL,
		.ca_only = true,
		.cert_path = e->where.cert_path,
		.key_path = e->where.key_path,
	};
	r = http_new(&opts, &e->http, err);
	if (r < 0)
		return r;
	*ret = take_ptr(e);
	return 0;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	http_free(e->http);
	endpoint_done(&e->where);
	free(e);
}

/* "<base>/images/<name>/<what>"; slashes of a name stay. */
static int make_url(const struct engine *e, const char *name, const char *what, struct str *ret)
{
	const char *at = name;
	int r = str_printf(ret, "%s/images/", e->where.url);

	while (r == 0) {
		AUTO_FREE char *part = strndup(at, strcspn(at, "/"));

		r = part ? http_escape(ret, part) : -ENOMEM;
		at += part ? strlen(part) : 0;
		if (r < 0 || !*at)
			break;
		at++;
		r = str_putc(ret, '/');
	}
	return r < 0 ? r : str_printf(ret, "/%s", what);
}

/* What an answer that is no success says, in the engine's words. */
static int refused(const struct http_response *answer, struct imbrex_error *err)
{
	AUTO_JSON_DOC *doc = NULL;
	struct json_ref root, at;
	const char *text = NULL;
	int status = answer->status == 404                            ? IMBREX_ENOENT
		     : answer->status == 401 || answer->status == 403 ? IMBREX_EPERM
		     : answer->status == 400                          ? IMBREX_EINVAL
								      : IMBREX_EFAIL;

	if (json_doc_parse("answer", str_text(&answer->document), answer->document.len,
		    LIMIT_HTTP_DOCUMENT_BYTES, &doc, NULL) == 0) {
		root = json_doc_root(doc);
		at = json_get(&root, "message");
		(void)!json_opt_string(&at, &text, NULL);
	}
	if (text && *text)
		return fail(err, status, "%s: %.500s", answer->host, text);
	status =
		fail(err, status, "%s: answers with HTTP status %ld", answer->host, answer->status);
	/* In the words of Go's HTTP server, which has no other sign of it. */
	if (answer->status == 400 && strstr(str_text(&answer->document), "to an HTTPS server"))
		return hint(
			err, status, "it speaks TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH");
	return status;
}

static int perform(struct engine *e, const char *name, const char *what,
	struct http_request *request, struct http_response *answer, struct imbrex_error *err)
{
	AUTO_STR url = STR_INIT(4 * LIMIT_REFERENCE_BYTES + LIMIT_PATH_BYTES);
	int r;

	if (make_url(e, name, what, &url) < 0)
		return fail_nomem(err);
	request->url = str_text(&url);
	request->tls = &e->tls;
	request->no_redirects = true;
	r = http_perform(e->http, request, answer, err);
	request->url = NULL;
	if (r < 0 && answer->trouble == HTTP_TROUBLE_CONNECT && e->where.socket_path)
		return hint(err, r, "is it running, and may you use its socket?");
	if (r < 0)
		return r;
	return answer->status == 200 ? 0 : refused(answer, err);
}

/* ---- inspect ----------------------------------------------------------------------------- */

static int parse_layers(
	const struct json_ref *root, struct engine_image *ret, struct imbrex_error *err)
{
	struct json_ref rootfs = json_get(root, "RootFS");
	struct json_ref layers = json_get(&rootfs, "Layers");
	size_t n = json_count(&layers);
	int r = json_opt_array(&layers, err);

	if (r < 0)
		return r;
	if (n > LIMIT_IMAGE_LAYERS)
		return fail(err, IMBREX_ELIMIT, "%zu layers, more than %d", n, LIMIT_IMAGE_LAYERS);
	ret->diff_ids = calloc(n + 1, sizeof(*ret->diff_ids));
	if (!ret->diff_ids)
		return fail_nomem(err);
	for (size_t i = 0; i < n; i++) {
		struct json_ref at = json_at(&layers, i);
		const char *text;

		r = json_as_string(&at, &text, err);
		if (r == 0)
			r = digest_parse(text, strlen(text), &ret->diff_ids[i], err);
		if (r < 0)
			return r;
	}
	ret->n_diff_ids = n;
	return 0;
}

static int parse_image(
	const struct json_ref *root, struct engine_image *ret, struct imbrex_error *err)
{
	struct json_ref id = json_get(root, "Id");
	struct json_ref names = json_get(root, "RepoTags");
	const char *digest;
	int r;

	r = json_as_string(&id, &digest, err);
	if (r == 0)
		r = str_after(digest, "sha256:")
			    ? digest_parse(digest, strlen(digest), &ret->id, err)
			    : digest_parse_hex(digest, strlen(digest), &ret->id, err);
	if (r == 0)
		r = json_opt_strings(&names, &ret->names, err);
	return r < 0 ? r : parse_layers(root, ret, err);
}

int engine_image_parse(
	const char *text, size_t len, struct engine_image *ret, struct imbrex_error *err)
{
	AUTO_ENGINE_IMAGE image = { 0 };
	AUTO_JSON_DOC *doc = NULL;
	struct json_ref root;
	int r;

	r = json_doc_parse("image", text, len, LIMIT_CONFIG_BYTES, &doc, err);
	if (r < 0)
		return r;
	root = json_doc_root(doc);
	r = parse_image(&root, &image, err);
	if (r < 0)
		return r;
	*ret = image;
	image = (struct engine_image){ 0 };
	return 0;
}

int engine_inspect(
	struct engine *e, const char *name, struct engine_image *ret, struct imbrex_error *err)
{
	AUTO_RESPONSE answer = { 0 };
	struct http_request request = { .document_max = LIMIT_CONFIG_BYTES };
	int r = perform(e, name, "json", &request, &answer, err);

	if (r < 0)
		return r;
	r = engine_image_parse(str_text(&answer.document), answer.document.len, ret, err);
	return r < 0 ? wrap(err, r, "%s: what it says of image '%s'", answer.host, name) : 0;
}

/* ---- export ------------------------------------------------------------------------------ */

static int push_body(void *userdata, const struct http_response *head, const void *buf, size_t len,
	struct imbrex_error *err)
{
	return sink_write(userdata, buf, len, err);
}

int engine_export(
	struct engine *e, const struct hash_value *id, struct sink *to, struct imbrex_error *err)
{
	AUTO_RESPONSE answer = { 0 };
	struct http_request request = { .body = push_body, .userdata = to };
	int r = perform(e, digest_text(id), "get", &request, &answer, err);

	return r < 0 ? r : sink_finish(to, err);
}
