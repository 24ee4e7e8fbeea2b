/*
 * archive.c - see archive.h.
 *
 * Texts point into the archive object's plaintext, which the archive keeps; lists are its own.
 */

#include "core/archive/archive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/log.h"
#include "core/codec/chunker.h"
#include "core/codec/mp.h"

enum { ITEM_ID_MIN = 2 + CHUNK_ID_SIZE }; /* bytes of a packed id */

static const char logger[] = "borg.crypto.key";

struct archive_private {
	struct chunk *plain;
	struct arena arena;
};

/* Keys without which an object is no archive. */
struct required {
	bool version, name, items, cmdline, time;
};

static int damaged(struct err *e, const char *what)
{
	return err_set(e, EBADMSG, "archive object: %s", what);
}

static int parse_strings(struct mp *m, struct arena *arena, struct bytes **out, size_t *count,
			 struct err *e)
{
	uint32_t n = mp_array(m);
	struct bytes *list;

	if (!mp_ok(m) || n > (size_t)(m->end - m->p))
		return damaged(e, "a command line is not a proper list");
	list = arena_zalloc(arena, n ? n : 1, sizeof(*list));
	if (!list)
		return err_nomem(e, "archive object");
	for (uint32_t i = 0; i < n; i++)
		list[i] = mp_str(m);
	*out = list;
	*count = n;
	return 0;
}

static int parse_items(struct mp *m, struct archive *a, struct err *e)
{
	uint32_t n = mp_array(m);

	if (!mp_ok(m) || n > (size_t)(m->end - m->p) / ITEM_ID_MIN)
		return damaged(e, "the items are not a proper list");
	a->items = arena_alloc(&a->priv->arena, (n ? n : 1) * sizeof(*a->items));
	if (!a->items)
		return err_nomem(e, "archive object");
	for (uint32_t i = 0; i < n; i++) {
		struct bytes id = mp_str(m);

		if (!mp_ok(m) || id.len != CHUNK_ID_SIZE)
			return damaged(e, "an item chunk's id is not 32 bytes");
		memcpy(a->items[i].b, id.p, CHUNK_ID_SIZE);
	}
	a->item_chunk_count = n;
	return 0;
}

static int parse_version(struct mp *m, struct err *e)
{
	uint64_t version = mp_uint(m);

	if (!mp_ok(m))
		return damaged(e, "the version is not a number");
	return version == 1 ? 0 : err_set(e, ENOTSUP, "Unknown archive metadata version");
}

static int parse_time(struct mp *m, struct bytes *text, int64_t *ns, struct err *e)
{
	*text = mp_str(m);
	if (!mp_ok(m) || manifest_parse_time(*text, ns) < 0)
		return damaged(e, "a time is none");
	return 0;
}

static struct bytes skip_packed(struct mp *m)
{
	const uint8_t *begin = m->p;

	mp_skip(m);
	return mp_ok(m) ? (struct bytes){ begin, (size_t)(m->p - begin) } : (struct bytes){ 0 };
}

static struct bytes text_or_nil(struct mp *m)
{
	return mp_nil(m) ? (struct bytes){ 0 } : mp_str(m);
}

static int parse_value(struct mp *m, struct bytes key, struct archive *a, struct required *seen,
		       struct err *e)
{
	struct arena *arena = &a->priv->arena;

	if (bytes_is(key, "version")) {
		seen->version = true;
		return parse_version(m, e);
	}
	if (bytes_is(key, "items")) {
		seen->items = true;
		return parse_items(m, a, e);
	}
	if (bytes_is(key, "cmdline")) {
		seen->cmdline = true;
		return parse_strings(m, arena, &a->cmdline, &a->cmdline_count, e);
	}
	if (bytes_is(key, "recreate_cmdline"))
		return mp_nil(m) ? 0
				 : parse_strings(m, arena, &a->recreate_cmdline,
						 &a->recreate_cmdline_count, e);
	if (bytes_is(key, "time")) {
		seen->time = true;
		return parse_time(m, &a->time_text, &a->time_ns, e);
	}
	if (bytes_is(key, "time_end"))
		return parse_time(m, &a->time_end_text, &a->time_end_ns, e);
	if (bytes_is(key, "name")) {
		seen->name = true;
		a->name = mp_str(m);
	} else if (bytes_is(key, "comment")) {
		a->comment = text_or_nil(m);
	} else if (bytes_is(key, "hostname")) {
		a->hostname = text_or_nil(m);
	} else if (bytes_is(key, "username")) {
		a->username = text_or_nil(m);
	} else if (bytes_is(key, "cwd")) {
		a->has_cwd = mp_peek(m) != MP_NIL;
		a->cwd = text_or_nil(m);
	} else if (bytes_is(key, "chunker_params")) {
		a->chunker_params = mp_peek(m) == MP_ARRAY ? skip_packed(m)
							   : (mp_skip(m), (struct bytes){ 0 });
	} else if (bytes_is(key, "size")) {
		a->size = mp_uint(m);
		a->has_totals = true;
	} else if (bytes_is(key, "csize")) {
		a->csize = mp_uint(m);
	} else if (bytes_is(key, "nfiles")) {
		a->nfiles = mp_uint(m);
	} else {
		mp_skip(m);
	}
	return 0;
}

static int parse_map(struct archive *a, struct err *e)
{
	struct mp m = mp_read((struct bytes){ a->priv->plain->p, a->priv->plain->len });
	struct required seen = { 0 };
	uint32_t count = mp_map(&m);

	for (uint32_t i = 0; i < count && mp_ok(&m); i++) {
		struct bytes key = mp_str(&m);
		int rc = mp_ok(&m) ? parse_value(&m, key, a, &seen, e) : 0;

		if (rc < 0)
			return rc;
	}
	if (!mp_ok(&m) || m.p != m.end)
		return damaged(e, "not a valid record");
	if (!seen.version || !seen.name || !seen.items || !seen.cmdline || !seen.time)
		return damaged(e, "incomplete");
	if (a->time_end_text.len == 0) {
		a->time_end_text = a->time_text;
		a->time_end_ns = a->time_ns;
	}
	return 0;
}

/* Is `name` among the comma-separated words of BORG_WORKAROUNDS? */
static bool has_workaround(const char *name)
{
	const char *text = getenv("BORG_WORKAROUNDS");
	size_t len = strlen(name);

	while (text && *text) {
		size_t word = strcspn(text, ",");

		if (word == len && memcmp(text, name, len) == 0)
			return true;
		text += word + (text[word] == ',');
	}
	return false;
}

/*
 * A TAM that is there must be right; reading does not ask that there be one, since archives of
 * many versions have none.
 */
int archive_check_tam(struct archive *a, const struct key *key, struct err *e)
{
	if (key->traits->type != KEY_PLAINTEXT && key->id_key.len == 0) {
		a->tam = TAM_VALID; /* the user chose to read without the key */
		return 0;
	}
	a->tam = tam_verify(key, "archive",
			    (struct bytes){ a->priv->plain->p, a->priv->plain->len });
	switch (a->tam) {
	case TAM_VALID: log_debug(logger, "TAM-verified archive"); return 0;
	case TAM_ABSENT: log_debug(logger, "Archive TAM not found and not required"); return 0;
	case TAM_UNKNOWN_TYPE:
		log_debug(logger, "Ignoring archive TAM made with unsupported suite, since TAM "
				  "is not required");
		return 0;
	case TAM_INVALID: break;
	}
	if (has_workaround("ignore_invalid_archive_tam")) {
		log_debug(logger, "ignoring invalid archive TAM due to BORG_WORKAROUNDS");
		return 0;
	}
	return err_set_id(e, EBADMSG, "ArchiveTAMInvalid",
			  "Data integrity error: Archive authentication did not verify");
}

static struct archive *archive_new(const struct chunk_id *id)
{
	struct archive *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->id = *id;
	a->priv = calloc(1, sizeof(*a->priv));
	if (!a->priv) {
		free(a);
		return NULL;
	}
	return a;
}

int archive_load(struct archive **out, struct reader *r, const struct chunk_id *id,
		 struct err *e)
{
	CLEANUP(archive_freep) struct archive *a = archive_new(id);
	struct chunk_want want = { .id = *id };
	int rc;

	if (!a)
		return err_nomem(e, "archive object");
	rc = fetch_chunk(r->fetch, &want, &a->priv->plain, e);
	if (rc < 0)
		return err_wrap(e, rc, "archive object");
	a->packed_size = a->priv->plain->len;
	rc = archive_check_tam(a, r->key, e);
	if (rc == 0)
		rc = parse_map(a, e);
	if (rc < 0)
		return rc;
	*out = TAKE(a);
	return 0;
}

int archive_parse(struct archive **out, const struct chunk_id *id, struct chunk *plain,
		  struct err *e)
{
	CLEANUP(archive_freep) struct archive *a = archive_new(id);
	int rc;

	if (!a)
		return err_nomem(e, "archive object");
	chunk_ref(plain);
	a->priv->plain = plain;
	a->packed_size = plain->len;
	rc = parse_map(a, e);
	if (rc < 0)
		return rc;
	*out = TAKE(a);
	return 0;
}

struct bytes archive_plain(const struct archive *a)
{
	return (struct bytes){ a->priv->plain->p, a->priv->plain->len };
}

void archive_free(struct archive *a)
{
	if (!a)
		return;
	chunk_unref(a->priv->plain);
	arena_fini(&a->priv->arena);
	free(a->priv);
	free(a);
}

/* Four numbers, without a name, are Borg 1.1's buzhash. */
int archive_chunker_params(const struct archive *a, struct chunker_params *out)
{
	struct mp m = mp_read(a->chunker_params);
	uint32_t count = a->chunker_params.len > 0 ? mp_array(&m) : 0;
	struct bytes name = bytes_str("buzhash");
	uint64_t v[4] = { 0 };
	bool fixed, fits = true;

	if (count == 5 || count == 3)
		name = mp_str(&m);
	fixed = count == 3 && bytes_is(name, "fixed");
	if (!fixed && (count < 4 || count > 5 || !bytes_is(name, "buzhash")))
		return -ENODATA;
	for (size_t i = 0; i < (fixed ? 2 : 4); i++) {
		v[i] = mp_uint(&m);
		fits = fits && v[i] <= UINT32_MAX;
	}
	if (!mp_ok(&m) || !fits)
		return -ENODATA;
	*out = (struct chunker_params){ .algorithm = fixed ? CHUNKER_FIXED : CHUNKER_BUZHASH };
	if (fixed) {
		out->block_size = (uint32_t)v[0];
		out->header_size = (uint32_t)v[1];
	} else {
		out->min_exp = (unsigned)v[0];
		out->max_exp = (unsigned)v[1];
		out->mask_bits = (unsigned)v[2];
		out->window = (unsigned)v[3];
	}
	return 0;
}
