/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the bytes of a repository may be asked for: its mirrors and itself, in order.
 * Plain values: endpoints_done frees. Error tier: err.
 */
#ifndef REGISTRY_HOSTS_H
#define REGISTRY_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct endpoint {
	char *registry;   /* owned; "quay.io", "127.0.0.1:5000", "docker.io": credentials' key */
	char *repository; /* owned; path there: "library/alpine" */
	bool insecure;    /* https without verification, else http */
};

struct endpoints {
	struct endpoint *items; /* owned */
	size_t n;
};

void endpoints_done(struct endpoints *e);
#define AUTO_ENDPOINTS __attribute__((cleanup(endpoints_done))) struct endpoints

int endpoints_add(struct endpoints *e, const char *registry, const char *repository, bool insecure,
	struct imbrex_error *err) MUST_CHECK;

#endif
