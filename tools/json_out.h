#ifndef TOOLS_JSON_OUT_H
#define TOOLS_JSON_OUT_H

/*
 * json_out.h - JSON as Python's json.dumps() writes it, so that output can be compared byte for
 * byte: non-ASCII escaped, floats in their shortest form, objects indented by 4 or on one line.
 *
 * The caller gives members in the order wanted (Borg sorts keys where it indents).  Text that is
 * not UTF-8 is shown with "?".  A failing allocation is remembered in `failed`.
 * Source: command-line specification, 14.  Threads: one user.
 */

#include "core/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum { JSON_DEPTH_MAX = 16 };

struct json_out {
	struct buf out;
	int indent; /* columns a level; -1: one line */
	unsigned depth;
	bool filled[JSON_DEPTH_MAX]; /* the open object or array has a member */
	bool keyed;                  /* a key was written, its value is next */
	bool failed;
};

void json_key(struct json_out *j, const char *key);
void json_open(struct json_out *j, char bracket); /* '{' or '[' */
void json_close(struct json_out *j, char bracket);
void json_text(struct json_out *j, struct bytes text);
void json_str(struct json_out *j, const char *text);
void json_int(struct json_out *j, int64_t value);
void json_uint(struct json_out *j, uint64_t value);
void json_double(struct json_out *j, double value);
void json_bool(struct json_out *j, bool value);
void json_nil(struct json_out *j);

#endif
