/*
 * versions.c - see versions.h.
 *
 * Two tables.  `newest` lives as long as the view: hash of a path -> its newest version and the
 * hash of that content.  `here` lives for one archive: hash of a path -> its version and
 * content in this archive, which is what a hard link to that path shares.  Contents are told
 * apart by the hash of their chunk ids, as Borg does, so nothing of a file is read.
 */

#include "fs/versions.h"

#include "core/base/table.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { HASH = 16 /* bytes */ };

struct hash {
	uint8_t b[HASH];
};

struct version {
	struct hash content;
	uint64_t number; /* from 1; 0: has no content to number */
};

struct versions {
	struct table newest; /* struct hash of path -> struct version */
	struct table here;   /* the same, of the archive being added */
	struct buf path, source;
};

static struct hash hash_of(struct bytes b)
{
	struct hash h;

	crypto_generichash(h.b, sizeof(h.b), b.p, b.len, NULL, 0);
	return h;
}

static struct hash hash_content(const struct item *it)
{
	crypto_generichash_state state;
	struct hash h;

	crypto_generichash_init(&state, NULL, 0, sizeof(h.b));
	for (size_t i = 0; i < it->chunk_count; i++)
		crypto_generichash_update(&state, it->chunks[i].id.b, CHUNK_ID_SIZE);
	crypto_generichash_final(&state, h.b, sizeof(h.b));
	return h;
}

struct versions *versions_new(void)
{
	struct versions *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	table_init(&v->newest, sizeof(struct hash), sizeof(struct version));
	table_init(&v->here, sizeof(struct hash), sizeof(struct version));
	return v;
}

void versions_free(struct versions *v)
{
	if (!v)
		return;
	table_fini(&v->newest);
	table_fini(&v->here);
	buf_fini(&v->path);
	buf_fini(&v->source);
	free(v);
}

void versions_next_archive(struct versions *v)
{
	table_fini(&v->here);
	table_init(&v->here, sizeof(struct hash), sizeof(struct version));
}

static int put(struct table *t, const struct hash *key, struct version value)
{
	struct version *at = table_put(t, key, NULL);

	if (!at)
		return -ENOMEM;
	*at = value;
	return 0;
}

/* Number the content that the path has in this archive. */
static int number(struct versions *v, const struct hash *path, struct hash content,
		  uint64_t *out)
{
	const struct version *before = table_get(&v->newest, path);
	struct version now = { content, before ? before->number : 0 };

	if (!before || memcmp(&before->content, &content, sizeof(content)) != 0)
		now.number++;
	*out = now.number;
	if (put(&v->newest, path, now) < 0)
		return -ENOMEM;
	return put(&v->here, path, now);
}

static struct bytes last_component(struct bytes path)
{
	for (size_t i = path.len; i > 0; i--)
		if (path.p[i - 1] == '/')
			return (struct bytes){ path.p + i, path.len - i };
	return path;
}

/* The length of the name without its last extension; leading dots begin a name, not an
 * extension. */
static size_t root_length(struct bytes name)
{
	size_t dots = 0;

	while (dots < name.len && name.p[dots] == '.')
		dots++;
	for (size_t i = name.len; i > dots; i--)
		if (name.p[i - 1] == '.')
			return i - 1;
	return name.len;
}

/* out = "path/name" for number 0, else "path/root.NNNNN.ext". */
static int inside(struct buf *out, struct bytes path, uint64_t version)
{
	struct bytes name = last_component(path);
	size_t root = version ? root_length(name) : name.len;
	char text[24] = "";

	if (version)
		snprintf(text, sizeof(text), ".%05" PRIu64, version);
	out->len = 0;
	if (buf_append(out, path.p, path.len) < 0 || buf_append_byte(out, '/') < 0 ||
	    buf_append(out, name.p, root) < 0 || buf_append_str(out, text) < 0 ||
	    buf_append(out, name.p + root, name.len - root) < 0)
		return -ENOMEM;
	return 0;
}

/* A hard link shows what its target has in this archive, numbered in the history of the
 * link's own path. */
static int map_link(struct versions *v, const struct item *in, struct item *out,
		    const struct hash *path, uint64_t *mine)
{
	struct hash source = hash_of(in->source);
	const struct version *found = table_get(&v->here, &source);
	struct version target;
	int rc;

	if (!found)
		return 0;
	target = *found; /* the table moves when the link is put in */
	if (target.number == 0)
		rc = put(&v->here, path, target);
	else
		rc = number(v, path, target.content, mine);
	if (rc < 0 || inside(&v->source, in->source, target.number) < 0)
		return -ENOMEM;
	out->source = buf_bytes(&v->source);
	return 1;
}

int versions_map(struct versions *v, const struct item *in, struct item *out, struct err *e)
{
	struct hash path = hash_of(in->path);
	uint64_t mine = 0;
	int rc = 1;

	*out = *in;
	if (S_ISDIR(in->mode))
		return 1;
	if (item_is_hardlink_slave(in))
		rc = map_link(v, in, out, &path, &mine);
	else if (in->has & ITEM_CHUNKS)
		rc = number(v, &path, hash_content(in), &mine);
	else
		rc = put(&v->here, &path, (struct version){ .number = 0 });
	if (rc == 0 && item_is_hardlink_slave(in))
		return 0;
	if (rc >= 0)
		rc = inside(&v->path, in->path, mine);
	if (rc < 0)
		return err_nomem(e, "versions view");
	out->path = buf_bytes(&v->path);
	return 1;
}
