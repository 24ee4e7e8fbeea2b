/* select.c - see select.h. */

#include "core/archive/select.h"

#include "core/archive/match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 8 };
enum sort_key { BY_TIMESTAMP, BY_NAME, BY_ID };

static const struct {
	const char *name;
	enum sort_key key;
} sort_keys[] = {
	{ "timestamp", BY_TIMESTAMP },
	{ "name", BY_NAME },
	{ "archive", BY_NAME },
	{ "id", BY_ID },
};

static int parse_key(struct bytes word, enum sort_key *out)
{
	for (size_t i = 0; i < sizeof(sort_keys) / sizeof(sort_keys[0]); i++) {
		if (bytes_is(word, sort_keys[i].name)) {
			*out = sort_keys[i].key;
			return 0;
		}
	}
	return -EINVAL;
}

/* The number of keys, or -EINVAL.  Repeated ones change nothing, so a long list is cut. */
static int parse_keys(const char *text, enum sort_key out[KEYS_MAX])
{
	int count = 0;

	for (;;) {
		size_t len = strcspn(text, ",");
		enum sort_key key;

		if (parse_key((struct bytes){ (const uint8_t *)text, len }, &key) < 0)
			return -EINVAL;
		if (count < KEYS_MAX)
			out[count++] = key;
		if (!text[len])
			return count;
		text += len + 1;
	}
}

int select_sort_keys(const char *keys)
{
	enum sort_key parsed[KEYS_MAX];
	int count = parse_keys(keys, parsed);

	return count < 0 ? count : 0;
}

struct order {
	enum sort_key keys[KEYS_MAX];
	int count;
};

static int compare_by(enum sort_key key, const struct manifest_entry *a,
		      const struct manifest_entry *b)
{
	switch (key) {
	case BY_TIMESTAMP: return (a->time_ns > b->time_ns) - (a->time_ns < b->time_ns);
	case BY_NAME: return bytes_compare(a->name, b->name);
	case BY_ID: break;
	}
	return id_compare(&a->id, &b->id);
}

static int compare(const void *left, const void *right, void *arg)
{
	const struct manifest_entry *a = *(const struct manifest_entry *const *)left;
	const struct manifest_entry *b = *(const struct manifest_entry *const *)right;
	const struct order *order = arg;

	for (int i = 0; i < order->count; i++) {
		int c = compare_by(order->keys[i], a, b);

		if (c != 0)
			return c;
	}
	return a < b ? -1 : 1; /* the manifest's own order, so that the result is stable */
}

static bool is_checkpoint(struct bytes name)
{
	return memmem(name.p, name.len, ".checkpoint", strlen(".checkpoint")) != NULL;
}

static bool is_meant(const struct manifest_entry *entry, const struct select_options *o)
{
	const char *glob = o->glob;

	if (o->prefix && (entry->name.len < strlen(o->prefix) ||
			  memcmp(entry->name.p, o->prefix, strlen(o->prefix)) != 0))
		return false;
	if (glob && strncmp(glob, "sh:", 3) == 0)
		glob += 3;
	if (glob && !match_glob(glob, entry->name))
		return false;
	return o->consider_checkpoints || !is_checkpoint(entry->name);
}

static void keep_ends(struct selection *s, const struct select_options *o)
{
	if (o->first && o->first < s->count)
		s->count = o->first;
	if (o->last && o->last < s->count) {
		memmove(s->entries, s->entries + (s->count - o->last),
			o->last * sizeof(struct manifest_entry *));
		s->count = o->last;
	}
}

int select_archives(struct selection *out, const struct manifest *m,
		    const struct select_options *options, struct err *e)
{
	struct order order = { .count = 0 };

	order.count = parse_keys(options->sort_by ? options->sort_by : "timestamp", order.keys);
	if (order.count < 0)
		return err_set(e, EINVAL, "unknown sort key in \"%s\"", options->sort_by);
	out->count = 0;
	out->entries = calloc(m->count + 1, sizeof(struct manifest_entry *));
	if (!out->entries)
		return err_nomem(e, "selection of archives");
	for (size_t i = 0; i < m->count; i++)
		if (is_meant(&m->entries[i], options))
			out->entries[out->count++] = &m->entries[i];
	qsort_r(out->entries, out->count, sizeof(struct manifest_entry *), compare, &order);
	keep_ends(out, options);
	return 0;
}

void selection_fini(struct selection *s)
{
	free(s->entries);
	*s = (struct selection){ 0 };
}

bool select_is_filter(const struct select_options *options)
{
	return options->prefix || options->glob || options->first || options->last;
}
