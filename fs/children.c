/* children.c - see children.h. */

#include "fs/children.h"

#include <errno.h>
#include <stdlib.h>

struct listing {
	struct children *out;
	uint64_t last; /* cookie */
};

void children_fini(struct children *c)
{
	free(c->v);
	buf_fini(&c->names);
}

static int note_child(void *arg, struct bytes name, const struct stage_node *node,
		      uint64_t cookie)
{
	const struct listing *l = arg;
	struct children *c = l->out;

	if (cookie > l->last)
		return 1;
	if (c->count == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 16;
		struct child *v = reallocarray(c->v, cap, sizeof(*v));

		c->failed |= !v;
		if (!v)
			return -ENOMEM;
		c->v = v;
		c->cap = cap;
	}
	c->v[c->count++] = (struct child){ node->st.st_ino, c->names.len, (uint32_t)name.len,
					   S_ISDIR(node->st.st_mode) };
	c->failed |= buf_append(&c->names, name.p, name.len) < 0;
	return c->failed;
}

static void begin(struct children *c)
{
	c->count = 0;
	c->names.len = 0;
	c->failed = false;
}

static int end(const struct children *c, int rc, struct err *e)
{
	if (c->failed)
		rc = -ENOMEM;
	return rc < 0 ? err_set(e, -rc, "directory") : 0;
}

int children_list(struct children *c, struct stage *s, uint64_t dir, uint64_t after,
		  uint64_t last, struct err *e)
{
	struct listing l = { c, last };

	begin(c);
	return end(c, stage_list(s, dir, after, note_child, &l), e);
}

int children_list_dirs(struct children *c, struct stage *s, uint64_t dir, struct err *e)
{
	struct listing l = { c, UINT64_MAX };

	begin(c);
	return end(c, stage_list_dirs(s, dir, note_child, &l), e);
}

int children_append_name(const struct children *c, const struct child *which, struct buf *path)
{
	int rc = path->len > 0 ? buf_append_byte(path, '/') : 0;

	return rc < 0 ? rc : buf_append(path, c->names.p + which->name, which->name_len);
}
