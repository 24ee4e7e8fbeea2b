/* own_xattr.c - see own_xattr.h. */

#include "fs/own_xattr.h"

#include "core/archive/archive.h"
#include "core/codec/chunker.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { VALUE_MAX = 65536 };

static const char prefix[] = "user.alcove.";
static const char incomplete[] = "listing incomplete";

bool own_xattr_is(struct bytes name)
{
	return name.len >= sizeof(prefix) - 1 &&
	       memcmp(name.p, prefix, sizeof(prefix) - 1) == 0;
}

bool own_xattr_waits(struct bytes name)
{
	return bytes_is(name, "user.alcove.comment") ||
	       bytes_is(name, "user.alcove.chunker_params");
}

static int put_id(struct buf *out, const struct chunk_id *id)
{
	char hex[CHUNK_ID_HEX];

	return buf_append_str(out, id_hex(id, hex));
}

static int put_line(struct buf *out, const struct chunk_id *id)
{
	return put_id(out, id) < 0 ? -ENOMEM : buf_append_byte(out, '\n');
}

static int too_many(struct err *e)
{
	return err_set(e, E2BIG, "more chunks than an attribute can name");
}

int own_xattr_chunks(const struct item_chunk *chunks, size_t count, struct buf *out,
		     struct err *e)
{
	int rc = 0;

	out->len = 0;
	if (count * CHUNK_ID_HEX > VALUE_MAX)
		return too_many(e);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = put_line(out, &chunks[i].id);
	return rc < 0 ? err_nomem(e, "attribute") : 0;
}

static int chunks_of(struct tree *t, const struct tree_node *node, struct buf *out,
		     struct err *e)
{
	struct tree_chunk row;
	int rc = 0;

	if ((size_t)node->chunk_count * CHUNK_ID_HEX > VALUE_MAX)
		return too_many(e);
	for (uint32_t i = 0; rc == 0 && i < node->chunk_count; i++) {
		rc = tree_chunks(t, node, i, 1, &row, e);
		if (rc == 0 && put_line(out, &row.id) < 0)
			rc = err_nomem(e, "attribute");
	}
	return rc;
}

static int time_of(struct reader *r, const struct chunk_id *id, struct buf *out)
{
	struct manifest *m = reader_manifest(r);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < m->count; i++)
		if (id_equal(&m->entries[i].id, id))
			rc = buf_append(out, m->entries[i].time_text.p,
					m->entries[i].time_text.len);
	reader_manifest_unref(r, m);
	return rc;
}

static int comment_of(struct reader *r, const struct chunk_id *id, struct buf *out,
		      struct err *e)
{
	CLEANUP(archive_freep) struct archive *a = NULL;
	int rc = archive_load(&a, r, id, e);

	return rc < 0 ? rc : buf_append(out, a->comment.p, a->comment.len);
}

/* 1, or 0: it does not tell. */
static int chunker_of(struct reader *r, const struct chunk_id *id, struct buf *out,
		      struct err *e)
{
	CLEANUP(archive_freep) struct archive *a = NULL;
	char text[CHUNKER_PARAMS_TEXT];
	struct chunker_params params;
	int rc = archive_load(&a, r, id, e);

	if (rc < 0)
		return rc;
	if (archive_chunker_params(a, &params) < 0)
		return 0;
	rc = buf_append_str(out, chunker_params_format(&params, text));
	return rc < 0 ? err_nomem(e, "attribute") : 1;
}

int own_xattr(struct reader *r, struct volume *v, const struct tree_node *node,
	      struct bytes name, struct buf *out, struct err *e)
{
	struct tree_info info;
	int rc;

	tree_info(v->tree, &info);
	out->len = 0;
	if (bytes_is(name, "user.alcove.id"))
		rc = put_id(out, &info.archive_id);
	else if (bytes_is(name, "user.alcove.time"))
		rc = time_of(r, &info.archive_id, out);
	else if (bytes_is(name, "user.alcove.chunks") && S_ISREG(node->mode))
		rc = chunks_of(v->tree, node, out, e);
	else if (bytes_is(name, "user.alcove.comment") && node->index == TREE_ROOT)
		rc = comment_of(r, &info.archive_id, out, e);
	else if (bytes_is(name, "user.alcove.chunker_params") && node->index == TREE_ROOT)
		return chunker_of(r, &info.archive_id, out, e);
	else if (bytes_is(name, "user.alcove.damaged") && node->index == TREE_ROOT &&
		 info.damaged)
		rc = buf_append_str(out, incomplete);
	else
		return 0;
	return rc < 0 ? rc : 1;
}
