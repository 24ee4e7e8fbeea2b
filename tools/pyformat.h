#ifndef TOOLS_PYFORMAT_H
#define TOOLS_PYFORMAT_H

/*
 * pyformat.h - the part of Python's str.format that Borg's formats and placeholders use.
 *
 * A format is literal text and fields "{key}", "{key!conversion}", "{key:spec}"; "{{" and "}}"
 * are braces.  A spec is [[fill]align][sign][#][0][width][,][.precision][type], with
 * the meaning Python gives it for strings and integers.
 *
 * Width counts characters, not bytes.  Threads: no state.
 */

#include "core/base/bytes.h"
#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct py_field {
	struct bytes literal; /* text before it, braces still doubled */
	bool has_key;         /* false: only the literal, at the end */
	struct bytes key;
	struct bytes conversion; /* behind "!", empty: none */
	struct bytes spec;
};

/* The next field of *rest, which moves on; 1, 0 at the end, -EINVAL with Python's message. */
int py_field_next(struct bytes *rest, struct py_field *out, struct err *e);
/* Literal text with doubled braces made single. */
int py_literal(struct bytes literal, struct buf *out);

struct py_spec {
	char fill[5]; /* one character of up to four bytes, NUL-terminated */
	char align;   /* '<' '>' '^' '=', 0: the type's own */
	char sign;    /* '+' '-' ' ', 0: none given */
	bool alternate, grouped, underscored;
	bool zero;
	size_t width;
	int precision; /* -1: none */
	char type;     /* 0: none */
};

int py_spec_parse(struct bytes text, struct py_spec *out, struct err *e);
int py_format_text(const struct py_spec *spec, struct bytes value, struct buf *out,
		   struct err *e);
int py_format_int(const struct py_spec *spec, int64_t value, struct buf *out, struct err *e);

#endif
