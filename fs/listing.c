/*
 * listing.c - see listing.h.
 *
 * Rows are in the order of the archives' numbers, which are never given twice: so a number is a
 * cookie that stays good from list to list.
 */

#include "fs/listing.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	NAME_BYTES_MAX = 255, /* of a folder's name */
	NAME_KEPT = 180,      /* of a longer one */
	NAME_ID_DIGITS = 16,
};

static bool must_escape(struct bytes name)
{
	return name.len == 0 || name.len > NAME_BYTES_MAX || bytes_is(name, ".") ||
	       bytes_is(name, "..") || memchr(name.p, '/', name.len) ||
	       memchr(name.p, 0, name.len);
}

static int escape(struct bytes name, const struct chunk_id *id, struct buf *out)
{
	bool dots = bytes_is(name, ".") || bytes_is(name, "..");
	char hex[CHUNK_ID_HEX];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < name.len; i++) {
		char code[4];

		if (name.p[i] == '/' || name.p[i] == 0 || name.p[i] == '%' || dots) {
			snprintf(code, sizeof(code), "%%%02X", name.p[i]);
			rc = buf_append_str(out, code);
		} else {
			rc = buf_append_byte(out, name.p[i]);
		}
	}
	if (rc == 0 && (name.len == 0 || out->len > NAME_BYTES_MAX)) {
		out->len = out->len < NAME_KEPT ? out->len : NAME_KEPT;
		rc = buf_append_byte(out, '%');
		if (rc == 0)
			rc = buf_append(out, id_hex(id, hex), NAME_ID_DIGITS);
	}
	return rc;
}

/* The folder's name of an archive, on the heap; NULL when out of memory. */
static char *folder_name(struct bytes name, const struct chunk_id *id, bool *escaped)
{
	CLEANUP(buf_fini) struct buf out = BUF_INIT;

	*escaped = must_escape(name);
	if (!*escaped)
		return bytes_dup(name);
	return escape(name, id, &out) < 0 ? NULL : bytes_dup(buf_bytes(&out));
}

void listing_unref(struct listing *l)
{
	if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < l->count; i++)
		free(l->rows[i].name);
	free(l->rows);
	free(l->by_name);
	free(l);
}

static int by_number(const void *x, const void *y)
{
	const struct row *a = x, *b = y;

	return a->number < b->number ? -1 : a->number > b->number;
}

static int by_name(const void *x, const void *y)
{
	const struct row *const *a = x, *const *b = y;

	return strcmp((*a)->name, (*b)->name);
}

struct row *listing_find_name(const struct listing *l, struct bytes name)
{
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = bytes_compare(bytes_str(l->by_name[mid]->name), name);

		if (order == 0)
			return l->by_name[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

const struct row *listing_find_number(const struct listing *l, uint32_t number)
{
	struct row key = { .number = number };

	return l->count == 0 ? NULL
			     : bsearch(&key, l->rows, l->count, sizeof(l->rows[0]), by_number);
}

/* Give escaped names that another archive really has a "%" more, until all differ. */
static int make_unique(struct listing *l)
{
	bool clash;

	do {
		clash = false;
		qsort(l->by_name, l->count, sizeof(l->by_name[0]), by_name);
		for (size_t i = 1; i < l->count; i++) {
			struct row *a = l->by_name[i - 1], *b = l->by_name[i];
			struct row *longer = b->escaped ? b : a;
			size_t n = strlen(longer->name);
			char *grown;

			if (strcmp(a->name, b->name) != 0 || !longer->escaped)
				continue;
			grown = realloc(longer->name, n + 2);
			if (!grown)
				return -ENOMEM;
			memcpy(grown + n, "%", 2);
			longer->name = grown;
			clash = true;
			break; /* the order may have changed */
		}
	} while (clash);
	return 0;
}

static int fill_row(struct row *row, struct inode_numbers *numbers,
		    const struct manifest_entry *entry, struct err *e)
{
	int rc = inode_numbers_get(numbers, &entry->id, &row->number, e);

	if (rc < 0)
		return rc;
	row->id = entry->id;
	row->time_ns = entry->time_ns;
	row->name = folder_name(entry->name, &entry->id, &row->escaped);
	return row->name ? 0 : err_nomem(e, "archives");
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int fill_listing(struct listing *l, struct inode_numbers *numbers,
			const struct selection *chosen, struct err *e)
{
	l->rows = calloc(chosen->count + 1, sizeof(l->rows[0]));
	l->by_name = calloc(chosen->count + 1, sizeof(l->by_name[0]));
	if (!l->rows || !l->by_name)
		return err_nomem(e, "archives");
	for (size_t i = 0; i < chosen->count; i++) {
		int rc = fill_row(&l->rows[l->count], numbers, chosen->entries[i], e);

		l->count++; /* half filled is good enough to be released */
		if (rc < 0)
			return rc;
	}
	qsort(l->rows, l->count, sizeof(l->rows[0]), by_number);
	for (size_t i = 0; i < l->count; i++)
		l->by_name[i] = &l->rows[i];
	return make_unique(l) < 0 ? err_nomem(e, "archives") : 0;
}

int listing_new(struct listing **out, struct reader *reader, struct inode_numbers *numbers,
		const struct select_options *select, struct err *e)
{
	CLEANUP(listing_unrefp) struct listing *l = calloc(1, sizeof(*l));
	struct manifest *m;
	CLEANUP(selection_fini) struct selection chosen = { 0 };
	int rc;

	if (!l)
		return err_nomem(e, "archives");
	atomic_init(&l->refs, 1);
	l->changed_ns = now_ns();
	m = reader_manifest(reader);
	l->manifest = m->hash;
	rc = select_archives(&chosen, m, select, e);
	if (rc == 0)
		rc = fill_listing(l, numbers, &chosen, e);
	reader_manifest_unref(reader, m);
	if (rc < 0)
		return rc;
	*out = TAKE(l);
	return 0;
}

bool listing_equal(const struct listing *x, const struct listing *y)
{
	if (x->count != y->count)
		return false;
	for (size_t i = 0; i < x->count; i++)
		if (x->rows[i].number != y->rows[i].number ||
		    strcmp(x->rows[i].name, y->rows[i].name) != 0)
			return false;
	return true;
}
