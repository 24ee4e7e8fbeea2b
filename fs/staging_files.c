/* staging_files.c - see staging.h: contents, with the sizes and times of their nodes. */

#include "fs/staging_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>

/* As its archive has it; whoever is in no archive gets what the mount has. */
static struct staged_ways ways_of(struct staging *s, uint64_t node)
{
	uint64_t archive;

	return stage_archive(s->stage, node, &archive) == 0 ? staging_touched(s, archive).ways
							    : (struct staged_ways){ 0 };
}

int staging_new_content(struct staging *s, uint64_t dir, struct stage_content **out)
{
	*out = staged_new(s->ingest, ways_of(s, dir));
	return *out ? 0 : -ENOMEM;
}

void staging_drop_content(struct stage_content *c)
{
	staged_free(c);
}

void staging_complete(struct stage_node *n)
{
	if (n->content)
		n->st.st_blocks = (blkcnt_t)staged_blocks(n->content);
}

static int file_of(struct staging *s, uint64_t node, struct stage_node *out)
{
	int rc = stage_get(s->stage, node, out);

	if (rc == 0 && !S_ISREG(out->st.st_mode))
		rc = S_ISDIR(out->st.st_mode) ? -EISDIR : -EINVAL;
	return rc;
}

static int changeable_file(struct staging *s, uint64_t node, struct stage_node *out)
{
	int rc = file_of(s, node, out);

	return rc == 0 && out->frozen ? -EROFS : rc;
}

/* Its bytes have changed: it is at least, or with STAGE_GROW left out of `how` exactly, this long. */
static int changed(struct staging *s, uint64_t node, uint64_t size, unsigned how)
{
	struct stat st = { .st_size = (off_t)size };
	struct stage_node n;

	staging_mark_dirty(s, node);
	clock_gettime(CLOCK_REALTIME, &st.st_mtim);
	return stage_set(s->stage, node, STAGE_SIZE | STAGE_MTIME | STAGE_WRITTEN | how, &st,
			 &n);
}

int staging_write(struct staging *s, uint64_t node, uint64_t off, struct bytes data,
		  bool may_wait, struct err *e)
{
	struct stage_node n;
	int rc = changeable_file(s, node, &n);

	if (rc == 0)
		rc = staged_write(n.content, off, data, may_wait, e);
	return rc == 0 ? changed(s, node, off + data.len, STAGE_GROW) : rc;
}

/* It is empty, and cut from now on as its archive's new files are. */
static int begin_anew(struct staging *s, const struct stage_node *n, bool may_wait)
{
	struct staged_ways ways = ways_of(s, n->st.st_ino);

	staged_compress(n->content, ways.compression);
	return staged_rechunk(n->content, ways.chunking, may_wait);
}

int staging_truncate(struct staging *s, uint64_t node, uint64_t size, bool open, bool may_wait,
		     struct err *e)
{
	struct stage_node n;
	int rc = changeable_file(s, node, &n);

	if (rc == 0 && n.flags & (FS_IMMUTABLE_FL | FS_APPEND_FL) &&
	    (!open || n.flags & FS_APPEND_FL))
		rc = -EPERM;
	if (rc == 0)
		rc = staged_truncate(n.content, size, may_wait, e);
	if (rc == 0 && size == 0)
		rc = begin_anew(s, &n, may_wait);
	return rc == 0 ? changed(s, node, size, 0) : rc;
}

int staging_allocate(struct staging *s, uint64_t node, int mode, uint64_t off, uint64_t len,
		     bool may_wait, struct err *e)
{
	struct stage_node n;
	int rc = changeable_file(s, node, &n);

	if (rc == 0)
		rc = staged_allocate(n.content, mode, off, len, may_wait, e);
	return rc == 0 ? changed(s, node, staged_size(n.content), STAGE_GROW) : rc;
}

int staging_read(struct staging *s, uint64_t node, uint64_t off, size_t len, bool may_wait,
		 struct content_range *out, struct err *e)
{
	struct stage_node n;
	int rc = file_of(s, node, &n);

	return rc == 0 ? staged_read(n.content, off, len, may_wait, out, e) : rc;
}

int staging_seek(struct staging *s, uint64_t node, uint64_t off, int whence, bool may_wait,
		 uint64_t *out)
{
	struct stage_node n;
	int rc = file_of(s, node, &n);

	return rc == 0 ? staged_seek(n.content, off, whence, may_wait, out) : rc;
}

int staging_copy(struct staging *s, uint64_t from, uint64_t from_off, uint64_t to,
		 uint64_t to_off, uint64_t *len, struct err *e)
{
	struct stage_node source, target;
	int rc = file_of(s, from, &source);

	if (rc == 0)
		rc = changeable_file(s, to, &target);
	if (rc == 0)
		rc = staged_copy(source.content, from_off, target.content, to_off, *len, len,
				 e);
	return rc == 0 && *len > 0 ? changed(s, to, to_off + *len, STAGE_GROW) : rc;
}

/* The chunks of an archive's file that bytes [off, off + len) are in; `skip`: how far in they begin. */
static int list_chunks(const struct content *from, uint64_t off, uint64_t len, struct buf *out,
		       struct staged_import *what, struct err *e)
{
	struct tree *tree = from->volume->tree;
	struct tree_chunk row;
	uint32_t index = 0;
	int rc = tree_chunk_at(tree, &from->file, off, &index, e);

	for (uint64_t at = off; rc >= 0 && at < off + len && index < from->file.chunk_count;
	     index++) {
		rc = tree_chunks(tree, &from->file, index, 1, &row, e);
		if (rc < 0)
			return rc;
		if (at == off)
			what->skip = off - (row.end - row.size);
		if (buf_append(out, &(struct item_chunk){ row.id, row.size, row.csize },
			       sizeof(struct item_chunk)) < 0)
			return err_nomem(e, "chunks");
		at = row.end;
	}
	what->chunks = (const struct item_chunk *)(const void *)out->p;
	what->count = out->len / sizeof(struct item_chunk);
	what->len = len;
	what->is_last = index == from->file.chunk_count;
	return rc < 0 ? rc : 0;
}

int staging_import(struct staging *s, const struct content *from, uint64_t from_off,
		   uint64_t to, uint64_t to_off, uint64_t *len, bool may_wait, struct err *e)
{
	CLEANUP(buf_fini) struct buf chunks = BUF_INIT;
	struct staged_import what = { 0 };
	struct stage_node n;
	int rc = changeable_file(s, to, &n);

	if (rc < 0)
		return rc;
	if (from_off >= from->file.size)
		*len = 0;
	else if (*len > from->file.size - from_off)
		*len = from->file.size - from_off;
	if (*len == 0)
		return 0;
	rc = list_chunks(from, from_off, *len, &chunks, &what, e);
	if (rc == 0)
		rc = staged_import(n.content, to_off, &what, may_wait, e);
	return rc == 0 ? changed(s, to, to_off + *len, STAGE_GROW) : rc;
}

int staging_failure(struct staging *s, uint64_t node)
{
	struct stage_node n;

	return stage_get(s->stage, node, &n) == 0 && n.content ? staged_sync(n.content, NULL)
							       : 0;
}

int staging_open_file(struct staging *s, uint64_t node, bool for_writing, bool appending)
{
	struct stage_node n;
	uint64_t *count;
	int rc = stage_get(s->stage, node, &n);

	if (rc < 0 || !for_writing)
		return rc;
	if (n.frozen)
		return -EROFS;
	if (n.flags & FS_IMMUTABLE_FL || (n.flags & FS_APPEND_FL && !appending))
		return -EPERM;
	mutex_lock(&s->lock);
	count = table_put(&s->writers, &node, NULL);
	if (count)
		++*count;
	mutex_unlock(&s->lock);
	return count ? 0 : -ENOMEM;
}

void staging_close_file(struct staging *s, uint64_t node, bool for_writing)
{
	struct stage_node n;
	uint64_t *count;
	bool last = false;

	if (!for_writing)
		return;
	mutex_lock(&s->lock);
	count = table_get(&s->writers, &node);
	if (count && --*count == 0) {
		last = true;
		table_remove(&s->writers, &node);
		cond_broadcast(&s->changed);
	}
	mutex_unlock(&s->lock);
	if (last && stage_get(s->stage, node, &n) == 0 && n.content)
		staged_close(n.content);
}
