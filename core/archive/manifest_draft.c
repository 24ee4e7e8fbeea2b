/* manifest_draft.c - see manifest_draft.h. */

#include "core/archive/manifest_draft.h"

#include "core/base/arena.h"
#include "core/codec/mp.h"
#include "core/crypto/tam.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { VERSION = 1, CONFIG_KEYS_MAX = 64 };

struct manifest_draft {
	struct arena arena;
	struct manifest_entry *entries;
	size_t count, cap;
	struct bytes config;
	struct bytes *item_keys;
	size_t item_key_count;
	char *base_time; /* NULL: there was none */
};

static struct bytes keep(struct manifest_draft *d, struct bytes b)
{
	return (struct bytes){ (const uint8_t *)arena_dup(&d->arena, b), b.len };
}

static int compare_bytes(const void *a, const void *b)
{
	return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

static int keep_item_keys(struct manifest_draft *d, const struct manifest *base, struct err *e)
{
	d->item_keys = arena_zalloc(&d->arena, base->item_key_count, sizeof(*d->item_keys));
	if (!d->item_keys)
		return err_nomem(e, "manifest");
	for (size_t i = 0; i < base->item_key_count; i++) {
		d->item_keys[i] = keep(d, base->item_keys[i]);
		if (!d->item_keys[i].p)
			return err_nomem(e, "manifest");
	}
	d->item_key_count = base->item_key_count;
	qsort(d->item_keys, d->item_key_count, sizeof(*d->item_keys), compare_bytes);
	return 0;
}

static int take_base(struct manifest_draft *d, const struct manifest *base, struct err *e)
{
	int rc = keep_item_keys(d, base, e);

	d->config = keep(d, base->config);
	if (base->timestamp)
		d->base_time = arena_dup(&d->arena, bytes_str(base->timestamp));
	if (rc == 0 && (!d->config.p || (base->timestamp && !d->base_time)))
		rc = err_nomem(e, "manifest");
	for (size_t i = 0; rc == 0 && i < base->count; i++)
		rc = manifest_draft_set(d, base->entries[i].name, &base->entries[i].id,
					base->entries[i].time_text, e);
	return rc;
}

int manifest_draft_new(struct manifest_draft **out, const struct manifest *base, struct err *e)
{
	CLEANUP(manifest_draft_freep) struct manifest_draft *d = calloc(1, sizeof(*d));
	CLEANUP(manifest_freep) struct manifest *empty = NULL;
	int rc = 0;

	if (!d)
		return err_nomem(e, "manifest");
	if (!base) {
		rc = manifest_empty(&empty, e);
		base = empty;
	}
	if (rc == 0)
		rc = take_base(d, base, e);
	if (rc < 0)
		return rc;
	*out = TAKE(d);
	return 0;
}

void manifest_draft_free(struct manifest_draft *d)
{
	if (!d)
		return;
	arena_fini(&d->arena);
	free(d->entries);
	free(d);
}

static struct manifest_entry *find(const struct manifest_draft *d, struct bytes name)
{
	for (size_t i = 0; i < d->count; i++)
		if (bytes_equal(d->entries[i].name, name))
			return &d->entries[i];
	return NULL;
}

const struct manifest_entry *manifest_draft_find(const struct manifest_draft *d,
						 struct bytes name)
{
	return find(d, name);
}

int manifest_draft_checkpoint(const struct manifest_draft *d, const char *name, char **out,
			      struct err *e)
{
	for (unsigned i = 0;; i++) {
		char *made = NULL;
		int n = i ? asprintf(&made, "%s.checkpoint.%u", name, i)
			  : asprintf(&made, "%s.checkpoint", name);

		if (n < 0)
			return err_nomem(e, "checkpoint");
		if (!manifest_draft_find(d, bytes_str(made))) {
			*out = made;
			return 0;
		}
		free(made);
	}
}

const struct manifest_entry *manifest_draft_at(const struct manifest_draft *d, size_t i)
{
	return i < d->count ? &d->entries[i] : NULL;
}

static struct manifest_entry *add(struct manifest_draft *d)
{
	if (d->count == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : 32;
		struct manifest_entry *p = realloc(d->entries, cap * sizeof(*p));

		if (!p)
			return NULL;
		d->entries = p;
		d->cap = cap;
	}
	return &d->entries[d->count++];
}

int manifest_draft_set(struct manifest_draft *d, struct bytes name, const struct chunk_id *id,
		       struct bytes time_text, struct err *e)
{
	struct manifest_entry *entry = find(d, name);
	struct manifest_entry made = { .id = *id };

	made.name = entry ? entry->name : keep(d, name);
	made.time_text = keep(d, time_text);
	if (manifest_parse_time(time_text, &made.time_ns) < 0)
		return err_set(e, EINVAL, "an archive without a proper time");
	if (made.name.p && made.time_text.p && !entry)
		entry = add(d);
	if (!made.name.p || !made.time_text.p || !entry)
		return err_nomem(e, "manifest");
	*entry = made;
	return 0;
}

bool manifest_draft_remove(struct manifest_draft *d, struct bytes name)
{
	struct manifest_entry *entry = find(d, name);

	if (!entry)
		return false;
	*entry = d->entries[--d->count];
	return true;
}

/* --- packing --- */

static int put_key(struct buf *out, const char *key)
{
	return mp_put_str(out, bytes_str(key));
}

static int compare_entries(const void *a, const void *b)
{
	const struct manifest_entry *x = a, *y = b;

	return bytes_compare(x->name, y->name);
}

static int pack_archives(const struct manifest_draft *d, struct buf *out)
{
	int rc = mp_put_map(out, (uint32_t)d->count);

	if (d->count)
		qsort(d->entries, d->count, sizeof(*d->entries), compare_entries);
	for (size_t i = 0; rc == 0 && i < d->count; i++) {
		const struct manifest_entry *entry = &d->entries[i];

		if (mp_put_str(out, entry->name) < 0 || mp_put_map(out, 2) < 0 ||
		    put_key(out, "id") < 0 ||
		    mp_put_str(out, (struct bytes){ entry->id.b, CHUNK_ID_SIZE }) < 0 ||
		    put_key(out, "time") < 0 || mp_put_str(out, entry->time_text) < 0)
			rc = -ENOMEM;
	}
	return rc;
}

struct pair {
	struct bytes key, value; /* the value is packed */
};

static int compare_pairs(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	return bytes_compare(x->key, y->key);
}

/* What is there is kept; a repository whose key demands TAMs says so. */
static int pack_config(const struct manifest_draft *d, const struct key *key, struct buf *out)
{
	static const uint8_t packed_true[] = { 0xc3 };
	struct pair pairs[CONFIG_KEYS_MAX + 1];
	struct mp m = mp_read(d->config);
	uint32_t count = mp_map(&m), n = 0;
	int rc;

	for (uint32_t i = 0; i < count && i < CONFIG_KEYS_MAX && mp_ok(&m); i++) {
		struct bytes name = mp_str(&m);
		const uint8_t *start = m.p;

		mp_skip(&m);
		if (!mp_ok(&m) || (key->tam_required && bytes_is(name, "tam_required")))
			continue;
		pairs[n++] = (struct pair){ name, { start, (size_t)(m.p - start) } };
	}
	if (key->tam_required)
		pairs[n++] = (struct pair){ bytes_str("tam_required"),
					    { packed_true, sizeof(packed_true) } };
	if (n)
		qsort(pairs, n, sizeof(*pairs), compare_pairs);
	rc = mp_put_map(out, n);
	for (uint32_t i = 0; rc == 0 && i < n; i++)
		rc = mp_put_str(out, pairs[i].key) < 0 ||
				     buf_append(out, pairs[i].value.p, pairs[i].value.len) < 0
			     ? -ENOMEM
			     : 0;
	return rc;
}

static int pack_item_keys(const struct manifest_draft *d, struct buf *out)
{
	int rc = mp_put_array(out, (uint32_t)d->item_key_count);

	for (size_t i = 0; rc == 0 && i < d->item_key_count; i++)
		rc = mp_put_str(out, d->item_keys[i]);
	return rc;
}

/* Now, or a microsecond after the base. */
static void next_time(const struct manifest_draft *d, char out[MANIFEST_TIME_TEXT])
{
	struct timespec now;
	int64_t base_ns;

	clock_gettime(CLOCK_REALTIME, &now);
	manifest_format_time((int64_t)now.tv_sec * 1000000000 + now.tv_nsec, out);
	if (d->base_time && strcmp(d->base_time, out) >= 0 &&
	    manifest_parse_time(bytes_str(d->base_time), &base_ns) == 0)
		manifest_format_time(base_ns + 1000, out);
}

int manifest_draft_pack(const struct manifest_draft *d, const struct key *key, struct buf *out,
			char timestamp[MANIFEST_TIME_TEXT], struct err *e)
{
	char own[MANIFEST_TIME_TEXT];
	int rc;

	if (!timestamp)
		timestamp = own;
	out->len = 0;
	next_time(d, timestamp);
	if (mp_put_map(out, 6) < 0 || put_key(out, "archives") < 0 ||
	    pack_archives(d, out) < 0 || put_key(out, "config") < 0 ||
	    pack_config(d, key, out) < 0 || put_key(out, "item_keys") < 0 ||
	    pack_item_keys(d, out) < 0 || put_key(out, "tam") < 0)
		return err_nomem(e, "manifest");
	rc = tam_put(out, (struct bytes){ 0 }, e);
	if (rc == 0 &&
	    (put_key(out, "timestamp") < 0 || mp_put_str(out, bytes_str(timestamp)) < 0 ||
	     put_key(out, "version") < 0 || mp_put_uint(out, VERSION) < 0))
		rc = err_nomem(e, "manifest");
	return rc < 0 ? rc : tam_sign(key, "manifest", out, e);
}
