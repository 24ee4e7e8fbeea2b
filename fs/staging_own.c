/* staging_own.c - see staging.h: what an archive in the making tells of itself, and is told. */

#include "fs/staging_internal.h"

#include "fs/own_xattr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_archive(struct staging *s, uint64_t node)
{
	uint64_t archive;

	return stage_archive(s->stage, node, &archive) == 0 && archive == node;
}

/* --- looking --- */

char *staging_comment(struct staging *s, uint64_t archive)
{
	struct touched *t;
	char *out;

	mutex_lock(&s->lock);
	t = table_get(&s->touched, &archive);
	out = strdup(t && t->comment ? t->comment : "");
	mutex_unlock(&s->lock);
	return out;
}

const struct chunker_params *staging_chunker(struct staging *s, uint64_t archive)
{
	return ingest_chunker_params(s->ingest, staging_touched(s, archive).ways.chunking);
}

static const struct compression *compression_of(struct staging *s, uint64_t archive)
{
	uint8_t number = staging_touched(s, archive).ways.compression;

	return number ? ingest_compression_of(s->ingest, number) : &s->options.compression;
}

static int chunks_of(struct staging *s, uint64_t node, struct buf *out, struct err *e)
{
	CLEANUP(cleanup_freep) struct item_chunk *chunks = NULL;
	struct stage_node n;
	uint64_t version;
	size_t count;
	int rc = stage_get(s->stage, node, &n);

	if (rc < 0 || !S_ISREG(n.st.st_mode))
		return 0;
	rc = staged_chunks(n.content, &chunks, &count, &version, e);
	if (rc > 0)
		rc = own_xattr_chunks(chunks, count, out, e);
	else if (rc == 0)
		return 0; /* not cut to the end yet */
	return rc < 0 ? rc : 1;
}

static int put_comment(struct staging *s, uint64_t archive, struct buf *out)
{
	CLEANUP(cleanup_freep) char *comment = staging_comment(s, archive);

	return comment ? buf_append_str(out, comment) : -ENOMEM;
}

static int put_compression(struct staging *s, uint64_t archive, struct buf *out)
{
	char text[COMPRESSION_TEXT];

	return buf_append_str(out, compression_format(compression_of(s, archive), text));
}

static int put_chunker(struct staging *s, uint64_t archive, struct buf *out)
{
	char text[CHUNKER_PARAMS_TEXT];

	return buf_append_str(out, chunker_params_format(staging_chunker(s, archive), text));
}

/* --- changing; value NULL: as if it had not been set --- */

static int set_comment(struct staging *s, uint64_t archive, const char *value)
{
	CLEANUP(cleanup_freep) char *comment = value ? strdup(value) : NULL;
	struct touched *t;

	if (value && !comment)
		return -ENOMEM;
	mutex_lock(&s->lock);
	t = table_put(&s->touched, &archive, NULL);
	if (t) {
		free(t->comment);
		t->comment = TAKE(comment);
	}
	mutex_unlock(&s->lock);
	return t ? 0 : -ENOMEM;
}

static int change_ways(struct staging *s, uint64_t archive, const uint8_t *chunking,
		       const uint8_t *compression)
{
	struct touched *t;

	mutex_lock(&s->lock);
	t = table_put(&s->touched, &archive, NULL);
	if (t && chunking)
		t->ways.chunking = *chunking;
	if (t && compression)
		t->ways.compression = *compression;
	mutex_unlock(&s->lock);
	return t ? 0 : -ENOMEM;
}

/* What is there is cut as it was begun, but compressed as the rest from now on. */
static void compress_files(struct staging *s, uint64_t archive, uint8_t compression)
{
	struct stage_node n;
	uint64_t cursor = 0, of;

	while (stage_next_file(s->stage, false, &cursor, &n)) {
		if (stage_archive(s->stage, n.st.st_ino, &of) == 0 && of == archive)
			staged_compress(n.content, compression);
		stage_release(s->stage, n.st.st_ino, 1);
	}
}

static int set_compression(struct staging *s, uint64_t archive, const char *value)
{
	struct compression how;
	uint8_t number = 0;
	int rc = value ? compression_parse(value, &how, NULL) : 0;

	if (rc == 0 && value)
		rc = ingest_compression(s->ingest, &how, &number, NULL);
	if (rc == 0)
		rc = change_ways(s, archive, NULL, &number);
	if (rc == 0)
		compress_files(s, archive, number);
	return rc;
}

int staging_set_chunker(struct staging *s, uint64_t archive, const struct chunker_params *p,
			struct err *e)
{
	uint8_t number;
	int rc = ingest_chunking(s->ingest, p, &number, e);

	return rc == 0 ? change_ways(s, archive, &number, NULL) : rc;
}

static int set_chunker(struct staging *s, uint64_t archive, const char *value)
{
	struct chunker_params params = s->options.chunker;
	int rc = value ? chunker_params_parse(value, &params, NULL) : 0;

	return rc == 0 ? staging_set_chunker(s, archive, &params, NULL) : rc;
}

/* --- attributes of an archive --- */

static const struct attribute {
	const char *name;
	int (*put)(struct staging *s, uint64_t archive, struct buf *out);
	int (*set)(struct staging *s, uint64_t archive, const char *value);
} attributes[] = {
	{ "user.alcove.comment", put_comment, set_comment },
	{ "user.alcove.compression", put_compression, set_compression },
	{ "user.alcove.chunker_params", put_chunker, set_chunker },
};

static const struct attribute *find(struct staging *s, uint64_t node, struct bytes name)
{
	for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
		if (bytes_is(name, attributes[i].name) && is_archive(s, node))
			return &attributes[i];
	return NULL;
}

int staging_own_xattr(struct staging *s, uint64_t node, struct bytes name, struct buf *out,
		      struct err *e)
{
	const struct attribute *a = find(s, node, name);

	out->len = 0;
	if (bytes_is(name, "user.alcove.chunks"))
		return chunks_of(s, node, out, e);
	if (!a)
		return 0;
	return a->put(s, node, out) < 0 ? err_nomem(e, "attribute") : 1;
}

static int check(struct staging *s, uint64_t node, const struct attribute *a)
{
	struct stage_node n;
	int rc = a ? stage_get(s->stage, node, &n) : -EINVAL;

	return rc == 0 && n.frozen ? -EROFS : rc;
}

int staging_set_own_xattr(struct staging *s, uint64_t node, struct bytes name,
			  struct bytes value)
{
	const struct attribute *a = find(s, node, name);
	CLEANUP(cleanup_freep) char *text = NULL;
	int rc = check(s, node, a);

	if (rc < 0)
		return rc;
	if (value.len > 0 && memchr(value.p, 0, value.len))
		return -EINVAL;
	text = value.len > 0 ? strndup((const char *)value.p, value.len) : strdup("");
	return text ? a->set(s, node, text) : -ENOMEM;
}

int staging_remove_own_xattr(struct staging *s, uint64_t node, struct bytes name)
{
	const struct attribute *a = find(s, node, name);
	int rc = check(s, node, a);

	return rc == 0 ? a->set(s, node, NULL) : rc;
}
