/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two requests to a Docker Engine, or to podman's service that answers like one, that bring an
 * image: what it consists of, and its archive.
 *
 * engine_open -> engine_inspect -> engine_export* -> engine_free. One thread. Error tier: err;
 * messages name the engine's host.
 *
 * Source: Docker Engine API v1.41, ImageInspect and ImageGet; paths without a version mean the
 * engine's own.
 */
#ifndef TRANSPORT_ENGINE_H
#define TRANSPORT_ENGINE_H

#include "base/hash.h"
#include "base/strv.h"
#include "stream/sink.h"
#include "transport/endpoint.h"

struct engine;

/* What the engine says of an image; nothing of it is proved. */
struct engine_image {
	struct hash_value id;        /* of the configuration, or (containerd) of a manifest */
	struct hash_value *diff_ids; /* owned; base layer first */
	size_t n_diff_ids;           /* <= LIMIT_IMAGE_LAYERS */
	struct strv names;           /* "a:1", as the engine writes them */
};

void engine_image_done(struct engine_image *image);
#define AUTO_ENGINE_IMAGE __attribute__((cleanup(engine_image_done))) struct engine_image

/*
 * Nothing is sent yet.
 *
 * timeout_ms  longest silence of the engine; 0: ENGINE_TIMEOUT_MS
 */
int engine_open(const struct endpoint *where, unsigned int timeout_ms, struct engine **ret,
	struct imbrex_error *err) MUST_CHECK;
void engine_free(struct engine *e);
DEFINE_CLEANUP(engine, struct engine, engine_free)
#define AUTO_ENGINE AUTO(engine) struct engine

/* Docker before 25 writes the whole archive to its disk before it sends the first byte of it. */
#define ENGINE_TIMEOUT_MS 300000u

/*
 * name  as people write it, or an id; its form has been checked
 *
 * Errors ENOENT if there is no such image; ENET, EPERM; EFORMAT for an answer that is none
 */
int engine_inspect(struct engine *e, const char *name, struct engine_image *ret,
	struct imbrex_error *err) MUST_CHECK;
/* The answer to that request alone. */
int engine_image_parse(const char *text, size_t len, struct engine_image *ret,
	struct imbrex_error *err) MUST_CHECK;
/*
 * Push the archive of one image, by its id, and finish `to`.
 *
 * Errors those above, and those of `to`
 */
int engine_export(struct engine *e, const struct hash_value *id, struct sink *to,
	struct imbrex_error *err) MUST_CHECK;

#endif
