/* archive_object.c - see archive_object.h. */

#include "core/archive/archive_object.h"

#include "core/archive/manifest.h"
#include "core/codec/mp.h"
#include "core/crypto/tam.h"

#include <errno.h>

enum { VERSION = 1, PAIRS = 17 };

static int put_key(struct buf *out, const char *key)
{
	return mp_put_str(out, bytes_str(key));
}

static int put_text(struct buf *out, const char *key, struct bytes text)
{
	return put_key(out, key) < 0 ? -ENOMEM : mp_put_str(out, text);
}

static int put_number(struct buf *out, const char *key, uint64_t number)
{
	return put_key(out, key) < 0 ? -ENOMEM : mp_put_uint(out, number);
}

static int put_time(struct buf *out, const char *key, int64_t ns)
{
	char text[MANIFEST_TIME_TEXT];

	return put_text(out, key, bytes_str(manifest_format_time(ns, text)));
}

static int put_chunker_params(struct buf *out, const struct chunker_params *p)
{
	const uint64_t buzhash[] = { p->min_exp, p->max_exp, p->mask_bits, p->window };
	const uint64_t fixed[] = { p->block_size, p->header_size };
	bool is_fixed = p->algorithm == CHUNKER_FIXED;
	const uint64_t *numbers = is_fixed ? fixed : buzhash;
	uint32_t count = is_fixed ? 2 : 4;
	int rc = put_key(out, "chunker_params");

	if (rc == 0)
		rc = mp_put_array(out, 1 + count);
	if (rc == 0)
		rc = put_key(out, is_fixed ? "fixed" : "buzhash");
	for (uint32_t i = 0; rc == 0 && i < count; i++)
		rc = mp_put_uint(out, numbers[i]);
	return rc;
}

static int put_strings(struct buf *out, const char *key, const struct bytes *list, size_t count)
{
	int rc = put_key(out, key) < 0 ? -ENOMEM : mp_put_array(out, (uint32_t)count);

	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = mp_put_str(out, list[i]);
	return rc;
}

static int put_items(struct buf *out, const struct chunk_id *items, size_t count)
{
	int rc = put_key(out, "items") < 0 ? -ENOMEM : mp_put_array(out, (uint32_t)count);

	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = mp_put_str(out, (struct bytes){ items[i].b, CHUNK_ID_SIZE });
	return rc;
}

/* In the order of their names, as all maps of Borg are. */
static int put_before_tam(struct buf *out, const struct archive_facts *f)
{
	if (mp_put_map(out, PAIRS) < 0 || put_chunker_params(out, &f->chunker_params) < 0 ||
	    put_strings(out, "cmdline", f->cmdline, f->cmdline_count) < 0 ||
	    put_text(out, "comment", f->comment) < 0 ||
	    put_number(out, "csize", f->totals.csize) < 0 ||
	    put_number(out, "csize_parts", f->totals.csize_parts) < 0 ||
	    put_text(out, "hostname", f->hostname) < 0 ||
	    put_items(out, f->items, f->item_count) < 0 || put_text(out, "name", f->name) < 0 ||
	    put_number(out, "nfiles", f->totals.nfiles) < 0 ||
	    put_number(out, "nfiles_parts", f->totals.nfiles_parts) < 0 ||
	    put_number(out, "size", f->totals.size) < 0)
		return -ENOMEM;
	return put_number(out, "size_parts", f->totals.size_parts) < 0 ? -ENOMEM
								       : put_key(out, "tam");
}

int archive_pack(const struct archive_facts *f, const struct key *key, struct buf *out,
		 struct err *e)
{
	int rc;

	out->len = 0;
	if (put_before_tam(out, f) < 0)
		return err_nomem(e, "archive");
	rc = tam_put(out, (struct bytes){ 0 }, e);
	if (rc < 0)
		return rc;
	if (put_time(out, "time", f->time_ns) < 0 ||
	    put_time(out, "time_end", f->time_end_ns) < 0 ||
	    put_text(out, "username", f->username) < 0 ||
	    put_number(out, "version", VERSION) < 0)
		return err_nomem(e, "archive");
	return tam_sign(key, "archive", out, e);
}

/* --- changes --- */

struct repack {
	struct bytes name, comment;
	const struct chunk_id *items; /* NULL: as they are */
	size_t item_count;
	struct buf *out;
	bool tam_done;
};

static int put_new_tam(struct repack *r, struct err *e)
{
	r->tam_done = true;
	if (put_key(r->out, "tam") < 0)
		return err_nomem(e, "archive");
	return tam_put(r->out, (struct bytes){ 0 }, e);
}

/* One pair: copied, or with its new value; the TAM's place is where its name sorts. */
static int repack_pair(struct repack *r, struct bytes key, struct bytes value, struct err *e)
{
	int rc = 0;

	if (bytes_is(key, "tam"))
		return put_new_tam(r, e);
	if (!r->tam_done && bytes_compare(key, bytes_str("tam")) > 0)
		rc = put_new_tam(r, e);
	if (rc < 0)
		return rc;
	if (bytes_is(key, "name") && r->name.p)
		rc = put_text(r->out, "name", r->name);
	else if (bytes_is(key, "comment") && r->comment.p)
		rc = put_text(r->out, "comment", r->comment);
	else if (bytes_is(key, "items") && r->items)
		rc = put_items(r->out, r->items, r->item_count);
	else if (mp_put_str(r->out, key) < 0 || buf_append(r->out, value.p, value.len) < 0)
		rc = -ENOMEM;
	return rc < 0 ? err_nomem(e, "archive") : 0;
}

/* Does the map have the key? */
static bool has_key(struct bytes plain, const char *key)
{
	struct mp m = mp_read(plain);

	for (uint32_t left = mp_map(&m); left > 0 && mp_ok(&m); left--) {
		if (bytes_is(mp_str(&m), key))
			return true;
		mp_skip(&m);
	}
	return false;
}

static int repack(struct repack *r, struct bytes plain, const struct key *key, struct err *e)
{
	struct mp m = mp_read(plain);
	uint32_t count = mp_map(&m);
	int rc = 0;

	r->out->len = 0;
	if (mp_put_map(r->out, count + !has_key(plain, "tam")) < 0)
		return err_nomem(e, "archive");
	for (uint32_t i = 0; rc == 0 && i < count && mp_ok(&m); i++) {
		struct bytes pair_key = mp_str(&m);
		const uint8_t *start = m.p;

		mp_skip(&m);
		if (mp_ok(&m))
			rc = repack_pair(r, pair_key,
					 (struct bytes){ start, (size_t)(m.p - start) }, e);
	}
	if (rc == 0 && !mp_ok(&m))
		rc = err_set(e, EBADMSG, "archive object: not a valid record");
	if (rc == 0 && !r->tam_done)
		rc = put_new_tam(r, e);
	return rc < 0 ? rc : tam_sign(key, "archive", r->out, e);
}

int archive_repack(struct bytes plain, struct bytes name, struct bytes comment,
		   const struct key *key, struct buf *out, struct err *e)
{
	struct repack r = { .name = name, .comment = comment, .out = out };

	return repack(&r, plain, key, e);
}

int archive_repack_items(struct bytes plain, const struct chunk_id *items, size_t count,
			 const struct key *key, struct buf *out, struct err *e)
{
	static const struct chunk_id none;
	struct repack r = { .items = items ? items : &none, .item_count = count, .out = out };

	return repack(&r, plain, key, e);
}
