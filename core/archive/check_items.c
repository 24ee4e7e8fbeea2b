/*
 * check_items.c - one archive's item stream: what is lost of it, and which chunks of files are.
 *
 * An archive is read once to see whether anything about it has to change, and reported on; in
 * repair it is then read again and written anew.  One that is whole is left as it is.
 */

#include "core/archive/check_internal.h"

#include "core/archive/archive_object.h"
#include "core/archive/item.h"
#include "core/archive/item_scan.h"
#include "core/codec/chunker.h"
#include "core/codec/mp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { REASON = 200 /* characters */ };

struct chunk_list {
	struct item_chunk *v;
	size_t count, cap;
};

/* A record, taken apart as far as it matters here. */
struct fields {
	struct bytes record, path;
	struct bytes chunks, healthy; /* packed; p NULL: absent */
	uint32_t count;               /* pairs */
	bool has_mtime, has_size, has_acl;
	uint64_t size;
};

/* The new item stream. */
struct sink {
	struct chunker *chunker;
	struct chunker_scan scan;
	struct buf stream; /* from the present chunk's start on */
	struct chunk_id *ids;
	size_t count, cap;
};

struct pass {
	struct check *c;
	const struct archive *archive;
	struct bytes name;
	bool write;    /* the second time */
	bool changed;  /* it cannot stay as it is */
	bool *present; /* of the stream's chunks */
	size_t number; /* of the present chunk */
	struct item_scan scan;
	struct chunk_list current, healthy, result;
	struct buf record; /* written anew */
	struct sink sink;
};

static void pass_fini(struct pass *p)
{
	free(p->present);
	item_scan_fini(&p->scan);
	free(p->current.v);
	free(p->healthy.v);
	free(p->result.v);
	buf_fini(&p->record);
	chunker_free(p->sink.chunker);
	buf_fini(&p->sink.stream);
	free(p->sink.ids);
}

/* The present chunk of the stream is to blame. */
static void blame_chunk(struct pass *p, const char *what)
{
	char hex[CHUNK_ID_HEX];

	p->changed = true;
	if (!p->write)
		report(p->c, "%s [chunk: %06zu_%s]", what, p->number,
		       id_hex(&p->archive->items[p->number], hex));
}

/* --- the new stream --- */

static int sink_open(struct sink *s, const struct key *key, struct err *e)
{
	return chunker_new(&s->chunker, &CHUNKER_ITEMS, (uint32_t)key->chunk_seed, e);
}

static int sink_store(struct pass *p, struct bytes chunk, struct err *e)
{
	struct sink *s = &p->sink;

	if (s->count == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		struct chunk_id *ids = realloc(s->ids, cap * sizeof(*ids));

		if (!ids)
			return err_nomem(e, "archive");
		s->ids = ids;
		s->cap = cap;
	}
	return check_store(p->c, chunk, &s->ids[s->count++], NULL, e);
}

static int sink_cut(struct pass *p, bool at_end, struct err *e)
{
	struct sink *s = &p->sink;
	size_t start = 0, len;
	int rc = 0;

	while (rc == 0 &&
	       (len = chunker_cut(s->chunker, &s->scan,
				  (struct bytes){ s->stream.p + start, s->stream.len - start },
				  at_end)) > 0) {
		rc = sink_store(p, (struct bytes){ s->stream.p + start, len }, e);
		start += len;
	}
	if (start > 0) {
		memmove(s->stream.p, s->stream.p + start, s->stream.len - start);
		s->stream.len -= start;
	}
	return rc;
}

static int sink_add(struct pass *p, struct bytes record, struct err *e)
{
	if (buf_append(&p->sink.stream, record.p, record.len) < 0)
		return err_nomem(e, "item");
	return p->sink.stream.len >= chunker_max(p->sink.chunker) ? sink_cut(p, false, e) : 0;
}

/* --- records --- */

static bool is_item_key(const struct check *c, struct bytes key)
{
	for (size_t i = 0; i < c->manifest->item_key_count; i++)
		if (bytes_equal(c->manifest->item_keys[i], key))
			return true;
	return false;
}

static void add_reason(char reason[REASON], const char *what, struct bytes key)
{
	size_t len = strlen(reason);
	int name = key.len < 40 ? (int)key.len : 40;

	snprintf(reason + len, REASON - len, "%s%.*s", len ? ", " : what, name,
		 (const char *)key.p);
}

static void take_field(struct fields *f, struct bytes key, struct bytes value)
{
	struct mp m = mp_read(value);

	if (bytes_is(key, "path")) {
		f->path = mp_str(&m);
	} else if (bytes_is(key, "mtime")) {
		f->has_mtime = true;
	} else if (bytes_is(key, "chunks")) {
		f->chunks = value;
	} else if (bytes_is(key, "chunks_healthy")) {
		f->healthy = value;
	} else if (bytes_is(key, "size")) {
		f->size = mp_uint(&m);
		f->has_size = mp_ok(&m);
	}
}

/* Is the record an item's?  Else the reason says why not, as Borg does. */
static bool read_fields(const struct check *c, struct bytes record, struct fields *f,
			char reason[REASON])
{
	struct mp m = mp_read(record);
	char invalid[REASON] = "";

	*f = (struct fields){ .record = record };
	reason[0] = '\0';
	if (mp_peek(&m) != MP_MAP) {
		snprintf(reason, REASON, "not a dictionary");
		return false;
	}
	f->count = mp_map(&m);
	for (uint32_t i = 0; i < f->count && mp_ok(&m); i++) {
		struct bytes key = mp_str(&m);
		const uint8_t *start = m.p;

		mp_skip(&m);
		if (mp_ok(&m))
			take_field(f, key, (struct bytes){ start, (size_t)(m.p - start) });
		if (mp_ok(&m) && bytes_is(key, "acl"))
			f->has_acl = true; /* attic left it in every item */
		else if (mp_ok(&m) && !is_item_key(c, key))
			add_reason(invalid, "invalid keys: ", key);
	}
	if (!f->has_mtime)
		add_reason(reason, "missing required keys: ", bytes_str("mtime"));
	if (!f->path.p)
		add_reason(reason, "missing required keys: ", bytes_str("path"));
	if (!mp_ok(&m))
		snprintf(reason, REASON, "not a dictionary");
	else if (!reason[0])
		memcpy(reason, invalid, sizeof(invalid));
	return !reason[0];
}

static int append_chunk(struct chunk_list *l, const struct item_chunk *chunk)
{
	if (l->count == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct item_chunk *v = realloc(l->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->count++] = *chunk;
	return 0;
}

/* 1; 0 it is no list of chunks; -ENOMEM. */
static int read_chunks(struct chunk_list *l, struct bytes packed)
{
	struct mp m = mp_read(packed);
	uint32_t count = mp_array(&m);

	l->count = 0;
	for (uint32_t i = 0; i < count && mp_ok(&m); i++) {
		bool triple = mp_array(&m) == 3;
		struct bytes id = mp_str(&m);
		uint64_t size = mp_uint(&m), csize = mp_uint(&m);
		struct item_chunk chunk = { .size = (uint32_t)size, .csize = (uint32_t)csize };

		if (!mp_ok(&m) || !triple || id.len != CHUNK_ID_SIZE ||
		    size > OBJECT_PLAIN_MAX || csize > UINT32_MAX)
			return 0;
		memcpy(chunk.id.b, id.p, CHUNK_ID_SIZE);
		if (append_chunk(l, &chunk) < 0)
			return -ENOMEM;
	}
	return mp_ok(&m);
}

static int put_chunks(struct buf *out, const char *key, const struct chunk_list *l)
{
	int rc = mp_put_str(out, bytes_str(key)) < 0 ? -ENOMEM
						     : mp_put_array(out, (uint32_t)l->count);

	for (size_t i = 0; rc == 0 && i < l->count; i++) {
		const struct item_chunk *chunk = &l->v[i];

		if (mp_put_array(out, 3) < 0 ||
		    mp_put_str(out, (struct bytes){ chunk->id.b, CHUNK_ID_SIZE }) < 0 ||
		    mp_put_uint(out, chunk->size) < 0 || mp_put_uint(out, chunk->csize) < 0)
			rc = -ENOMEM;
	}
	return rc;
}

/* The record with these chunks; healthy: NULL where there are none (any more). */
static int put_record(struct buf *out, const struct fields *f, const struct chunk_list *chunks,
		      const struct chunk_list *healthy)
{
	struct mp m = mp_read(f->record);
	uint32_t count = mp_map(&m) - f->has_acl - (f->healthy.p != NULL) + (healthy != NULL);
	int rc;

	out->len = 0;
	rc = mp_put_map(out, count);
	for (uint32_t i = 0; rc == 0 && i < f->count; i++) {
		const uint8_t *start = m.p, *value;
		struct bytes key = mp_str(&m);

		value = m.p;
		mp_skip(&m);
		if (value == f->chunks.p) {
			rc = put_chunks(out, "chunks", chunks);
			if (rc == 0 && healthy)
				rc = put_chunks(out, "chunks_healthy", healthy);
		} else if (value != f->healthy.p && !bytes_is(key, "acl")) {
			rc = buf_append(out, start, (size_t)(m.p - start));
		}
	}
	return rc;
}

/* --- chunks of a file --- */

static bool same_chunk(const struct item_chunk *a, const struct item_chunk *b)
{
	return id_equal(&a->id, &b->id) && a->size == b->size && a->csize == b->csize;
}

static bool same_list(const struct chunk_list *a, const struct chunk_list *b)
{
	for (size_t i = 0; i < a->count && i < b->count; i++)
		if (!same_chunk(&a->v[i], &b->v[i]))
			return false;
	return a->count == b->count;
}

/* What is known of a file while its chunks are gone through. */
struct file {
	struct pass *p;
	const struct fields *f;
	uint64_t offset;
	bool replaced;
};

#define SPAN(b) (int)(b).len, (const char *)(b).p

static void say_chunk(const struct file *file, enum log_level level, const char *what,
		      const struct item_chunk *chunk, const char *then)
{
	char hex[CHUNK_ID_HEX];

	if (!file->p->write)
		log_message(level, CHECK_LOGGER, NULL,
			    "%.*s: %.*s: %s (Byte %" PRIu64 "-%" PRIu64 ", Chunk %s).%s",
			    SPAN(file->p->name), SPAN(file->f->path), what, file->offset,
			    file->offset + chunk->size, id_hex(&chunk->id, hex), then);
}

/* Zeros in place of a lost chunk.  What was zeros comes back as it was. */
static int replace_chunk(struct file *file, struct item_chunk *chunk, struct err *e)
{
	CLEANUP(cleanup_freep) uint8_t *zeros = NULL;
	struct item_chunk made = { .size = chunk->size };
	int rc;

	file->p->c->error_found = file->p->changed = true;
	if (!file->p->write) {
		file->replaced = true;
		return 0;
	}
	zeros = calloc(1, chunk->size ? chunk->size : 1);
	if (!zeros)
		return err_nomem(e, "chunk");
	rc = check_store(file->p->c, (struct bytes){ zeros, chunk->size }, &made.id,
			 &made.csize, e);
	if (rc == 0 && !id_equal(&made.id, &chunk->id)) {
		file->replaced = true;
		*chunk = made;
	}
	return rc;
}

/* The chunk as it should be is not there. */
static int settle_missing(struct file *file, const struct item_chunk *healthy,
			  struct item_chunk *chunk, struct err *e)
{
	bool repair = file->p->c->options->repair;

	if (same_chunk(chunk, healthy)) {
		say_chunk(file, LOG_LEVEL_ERROR, "New missing file chunk detected", chunk,
			  repair ? " Replacing with all-zero chunk."
				 : " Would replace it with all-zero chunk with --repair.");
		return replace_chunk(file, chunk, e);
	}
	say_chunk(file, LOG_LEVEL_INFO, "Previously missing file chunk is still missing",
		  healthy, " It has an all-zero replacement chunk already.");
	if (check_state(file->p->c, &chunk->id)) {
		check_reference(file->p->c, &chunk->id);
		return 0;
	}
	say_chunk(file, LOG_LEVEL_WARNING, "Missing all-zero replacement chunk detected", chunk,
		  repair ? " Generating new replacement chunk."
			 : " Would generate new replacement chunk with --repair.");
	return replace_chunk(file, chunk, e);
}

static int settle_chunk(struct file *file, const struct item_chunk *healthy,
			struct item_chunk *chunk, struct err *e)
{
	struct check *c = file->p->c;

	if (!check_state(c, &healthy->id))
		return settle_missing(file, healthy, chunk, e);
	check_reference(c, &healthy->id);
	if (same_chunk(chunk, healthy))
		return 0;
	say_chunk(file, LOG_LEVEL_INFO,
		  c->options->repair ? "Healed previously missing file chunk!"
				     : "Missing file chunk would be healed with --repair!",
		  healthy, "");
	file->p->changed = true;
	check_supersede(c, &chunk->id);
	*chunk = *healthy;
	return 0;
}

static void check_size(const struct pass *p, const struct fields *f,
		       const struct chunk_list *list)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < list->count; i++)
		sum += list->v[i].size;
	if (!p->write && f->has_size && f->size != sum)
		log_warning(CHECK_LOGGER,
			    "%.*s: %.*s: size inconsistency detected: size %" PRIu64
			    ", chunks size %" PRIu64,
			    SPAN(p->name), SPAN(f->path), f->size, sum);
}

static void say_file(const struct pass *p, const struct fields *f, enum log_level level,
		     const char *repaired, const char *would)
{
	if (!p->write)
		log_message(level, CHECK_LOGGER, NULL, "%.*s: %.*s: %s", SPAN(p->name),
			    SPAN(f->path), p->c->options->repair ? repaired : would);
}

/* p->current and p->healthy have what the item says; p->result gets what it should say.
 * *keep_healthy: p->healthy goes with it. */
static int settle_chunks(struct pass *p, const struct fields *f, bool *keep_healthy,
			 struct err *e)
{
	struct file file = { .p = p, .f = f };
	bool had_healthy = *keep_healthy;
	int rc = 0;

	p->result.count = 0;
	for (size_t i = 0; rc == 0 && i < p->current.count; i++) {
		struct item_chunk chunk = p->current.v[i];

		rc = settle_chunk(&file, had_healthy ? &p->healthy.v[i] : &p->current.v[i],
				  &chunk, e);
		if (rc == 0 && append_chunk(&p->result, &chunk) < 0)
			rc = err_nomem(e, "item");
		file.offset += chunk.size;
	}
	if (rc < 0)
		return rc;
	if (had_healthy && same_list(&p->result, &p->healthy)) {
		say_file(p, f, LOG_LEVEL_INFO, "Completely healed previously damaged file!",
			 "Would completely heal damaged file with --repair!");
		p->changed = true;
		*keep_healthy = false;
	} else if (file.replaced && !had_healthy) {
		struct chunk_list was = p->healthy;

		p->healthy = p->current;
		p->current = was;
		*keep_healthy = true;
	}
	check_size(p, f, &p->result);
	return 0;
}

/* Most files: no chunk was ever lost, and none is now. */
static bool all_there(struct pass *p)
{
	for (size_t i = 0; i < p->current.count; i++) {
		uint8_t *state = check_state(p->c, &p->current.v[i].id);

		if (!state)
			return false;
		*state |= OBJECT_REFERENCED;
	}
	return true;
}

/* 1; 0 the item's chunks are none; -errno. */
static int check_file(struct pass *p, struct fields *f, struct err *e)
{
	bool keep_healthy = f->healthy.p != NULL;
	int rc = read_chunks(&p->current, f->chunks);

	if (rc == 1 && keep_healthy)
		rc = read_chunks(&p->healthy, f->healthy);
	if (rc <= 0)
		return rc < 0 ? err_nomem(e, "item") : 0;
	if (!keep_healthy && all_there(p)) {
		check_size(p, f, &p->current);
		return 1;
	}
	if (keep_healthy && p->healthy.count != p->current.count) {
		say_file(p, f, LOG_LEVEL_WARNING, "Invalid chunks_healthy metadata removed!",
			 "Invalid chunks_healthy metadata would be removed with --repair!");
		p->changed = true;
		keep_healthy = false;
	}
	rc = settle_chunks(p, f, &keep_healthy, e);
	if (rc < 0 || !p->write)
		return rc < 0 ? rc : 1;
	if (put_record(&p->record, f, &p->result, keep_healthy ? &p->healthy : NULL) < 0)
		return err_nomem(e, "item");
	f->record = buf_bytes(&p->record);
	return 1;
}

static int take_record(struct pass *p, struct bytes record, struct err *e)
{
	char reason[REASON], text[REASON + 100];
	struct fields f;
	bool valid = read_fields(p->c, record, &f, reason);
	int rc = 1;

	if (valid && f.chunks.p)
		rc = check_file(p, &f, e);
	if (rc < 0)
		return rc;
	if (rc == 0)
		snprintf(reason, sizeof(reason), "not a list of chunks");
	if (!valid || rc == 0) {
		snprintf(text, sizeof(text),
			 "Did not get expected metadata dict when unpacking item metadata (%s)",
			 reason);
		blame_chunk(p, text);
		return 0;
	}
	return p->write ? sink_add(p, f.record, e) : 0;
}

/* --- the stream --- */

static int take_records(struct pass *p, const struct chunk *plain, struct err *e)
{
	struct bytes value;
	int rc;

	if (item_scan_feed(&p->scan, (struct bytes){ plain->p, plain->len }) < 0)
		return err_nomem(e, "item stream");
	while ((rc = item_scan_next(&p->scan, &value)) == 1) {
		rc = take_record(p, value, e);
		if (rc < 0)
			return rc;
	}
	if (rc == -EBADMSG) {
		blame_chunk(
			p,
			"Unpacker crashed while unpacking item metadata, trying to resync...");
		item_scan_resync(&p->scan);
	}
	return 0;
}

static int take_chunk(struct pass *p, struct err *e)
{
	CLEANUP(chunk_unrefp) struct chunk *plain = NULL;
	struct err why = ERR_INIT;
	int rc = stream_pull(p->c->stream, &plain, &why);

	if (rc == 0)
		return take_records(p, plain, e);
	if (rc == -ENOMEM)
		return err_nomem(e, "item stream");
	blame_chunk(p, why.msg);
	item_scan_resync(&p->scan);
	return 0;
}

static void push_ahead(struct pass *p, size_t *pushed)
{
	for (; *pushed < p->archive->item_chunk_count; ++*pushed) {
		struct chunk_want want = { .id = p->archive->items[*pushed] };

		if (p->present[*pushed] && !stream_push(p->c->stream, &want))
			return;
	}
}

static int read_items(struct pass *p, struct err *e)
{
	size_t pushed = 0;
	int rc = 0;

	for (p->number = 0; rc == 0 && p->number < p->archive->item_chunk_count; p->number++) {
		push_ahead(p, &pushed);
		if (p->present[p->number]) {
			rc = take_chunk(p, e);
		} else {
			blame_chunk(p, "item metadata chunk missing");
			item_scan_resync(&p->scan);
		}
	}
	if (rc == 0 && item_scan_rest(&p->scan)) {
		p->number--;
		blame_chunk(p, "The item metadata end inside an item");
	}
	return rc;
}

static int pass_run(struct pass *p, struct err *e)
{
	size_t count = p->archive->item_chunk_count;

	item_scan_init(&p->scan, p->c->manifest->item_keys, p->c->manifest->item_key_count);
	p->present = calloc(count ? count : 1, sizeof(*p->present));
	if (!p->present)
		return err_nomem(e, "archive");
	for (size_t i = 0; i < count; i++)
		p->present[i] = check_state(p->c, &p->archive->items[i]) != NULL;
	return read_items(p, e);
}

static int look(struct check *c, const struct archive *a, struct bytes name, struct err *e)
{
	struct pass p = { .c = c, .archive = a, .name = name };
	int rc = pass_run(&p, e);
	bool changed = p.changed;

	pass_fini(&p);
	return rc < 0 ? rc : changed;
}

static int store_archive(struct pass *p, struct chunk_id *id, struct err *e)
{
	CLEANUP(buf_fini) struct buf plain = BUF_INIT;
	int rc = sink_cut(p, true, e);

	if (rc == 0)
		rc = archive_repack_items(archive_plain(p->archive), p->sink.ids, p->sink.count,
					  p->c->key, &plain, e);
	return rc < 0 ? rc : check_store(p->c, buf_bytes(&plain), id, NULL, e);
}

static int rewrite(struct check *c, const struct archive *a, struct bytes name,
		   struct chunk_id *id, struct err *e)
{
	struct pass p = { .c = c, .archive = a, .name = name, .write = true };
	int rc = sink_open(&p.sink, c->key, e);

	if (rc == 0)
		rc = pass_run(&p, e);
	if (rc == 0)
		rc = store_archive(&p, id, e);
	pass_fini(&p);
	return rc < 0 ? rc : 1;
}

int check_items(struct check *c, const struct archive *a, struct bytes name,
		struct chunk_id *id, struct err *e)
{
	int rc = look(c, a, name, e), changed = rc;

	if (rc == 1 && c->options->repair)
		rc = rewrite(c, a, name, id, e);
	else if (rc == 1)
		rc = 0;
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < a->item_chunk_count; i++)
		(changed ? check_supersede : check_reference)(c, &a->items[i]);
	(changed ? check_supersede : check_reference)(c, &a->id);
	return rc;
}
