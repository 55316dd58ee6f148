/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries, pushed. The second currency.
 *
 * new -> (begin -> data* -> end)* -> finish -> free. data() only after begin() of an ENTRY_FILE
 * with size_bytes > 0, in sum exactly size_bytes. end() follows every begin(). free without finish
 * is abort. Calling out of order is an assert of the implementation, not an error.
 */
#ifndef TREE_ENTRY_SINK_H
#define TREE_ENTRY_SINK_H

#include <stddef.h>

#include "base/error.h"
#include "base/macros.h"
#include "tree/entry.h"

struct entry_sink;

struct entry_sink_ops {
	int (*begin)(struct entry_sink *s, const struct entry *e, struct imbrex_error *err);
	int (*data)(struct entry_sink *s, const void *buf, size_t len, struct imbrex_error *err);
	int (*end)(struct entry_sink *s, struct imbrex_error *err);
	int (*finish)(struct entry_sink *s, struct imbrex_error *err);
	void (*free)(struct entry_sink *s);
};

struct entry_sink {
	const struct entry_sink_ops *ops;
};

static inline void entry_sink_free(struct entry_sink *s)
{
	if (s)
		s->ops->free(s);
}
DEFINE_CLEANUP(entry_sink, struct entry_sink, entry_sink_free)
#define AUTO_ENTRY_SINK AUTO(entry_sink)

#endif
