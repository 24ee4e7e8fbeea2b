#ifndef TOOLS_FORMAT_H
#define TOOLS_FORMAT_H

/*
 * format.h - `list --format`: a format compiled once, applied to each line.
 *
 * The commands say which keys exist and what their values are; the format knows Python's
 * alignment and the times.  Literal keys (NL, TAB, ...) are known here.
 * Source: command-line specification, 13.4.  Threads: immutable after format_compile().
 */

#include "core/base/bytes.h"
#include "core/base/cleanup.h"
#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct format_key {
	const char *name;
	unsigned id; /* below 64 */
};

struct format_value {
	enum { FORMAT_TEXT, FORMAT_INT, FORMAT_TIME } kind;
	struct bytes text; /* any bytes; what is not UTF-8 is shown as "?" */
	int64_t number;    /* FORMAT_TIME: ns since the epoch */
};

typedef int format_get(void *arg, unsigned id, struct format_value *out, struct err *e);

struct format;

/* Errors: -EINVAL malformed, or a key not in `keys`. */
int format_compile(struct format **out, const char *text, const struct format_key *keys,
		   size_t key_count, struct err *e);
void format_free(struct format *f);
DEFINE_CLEANUP(struct format *, format_free);

bool format_uses(const struct format *f, unsigned id);
/* Append one line. */
int format_put(const struct format *f, format_get *get, void *arg, struct buf *out,
	       struct err *e);

#endif
