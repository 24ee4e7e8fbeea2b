/*
 * sorter.c - see sorter.h.
 *
 * In the buffer a record is its key and its value; in a run, the length of the value (4 bytes)
 * goes before them.  Sorting moves only small entries, which carry the key's first 8 bytes.
 * The merge keeps the runs in a heap by their current key, and by their age among equals.
 */

#include "core/base/sorter.h"

#include "core/base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	LENGTH = 4,
	WINDOW_MIN = 4 * 1024, /* of a run, while merging */
	WINDOW_MAX = 64 * 1024,
	WRITE_MAX = 256 * 1024, /* gathered before it is written */
};

struct entry {
	uint64_t prefix; /* of the key, big-endian */
	uint32_t off;    /* of the record in the buffer */
	uint32_t len;    /* of its value */
};

struct run {
	uint64_t first, end; /* in the file */
	uint64_t off;        /* of what comes after the window */
	struct buf window;
	size_t at;          /* of what comes after the current record in the window */
	const uint8_t *key; /* the current record */
	struct bytes value;
};

struct sorter {
	char *dir;
	size_t key_size, memory;
	struct buf records;
	struct entry *entries;
	size_t count, cap;
	bool sorted;
	size_t next; /* entry, where there are no runs */
	int fd;
	uint64_t end; /* of the file */
	struct run *runs;
	size_t run_count;
	size_t *heap; /* of runs */
	size_t heap_count;
	bool started; /* the heap's top has been handed out */
};

int sorter_new(struct sorter **out, const char *dir, size_t key_size, size_t memory,
	       struct err *e)
{
	CLEANUP(sorter_freep) struct sorter *s = calloc(1, sizeof(*s));

	if (!s)
		return err_nomem(e, "sorter");
	s->fd = -1;
	s->key_size = key_size;
	s->memory = memory;
	s->dir = strdup(dir);
	if (!s->dir)
		return err_nomem(e, "sorter");
	*out = TAKE(s);
	return 0;
}

void sorter_free(struct sorter *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->run_count; i++)
		buf_fini(&s->runs[i].window);
	if (s->fd >= 0)
		close(s->fd);
	buf_fini(&s->records);
	free(s->entries);
	free(s->runs);
	free(s->heap);
	free(s->dir);
	free(s);
}

/* --- the buffer --- */

static uint64_t prefix_of(const struct sorter *s, const uint8_t *key)
{
	uint8_t first[8] = { 0 };

	memcpy(first, key, s->key_size < 8 ? s->key_size : 8);
	return get_be64(first);
}

static int compare_entries(const void *a, const void *b, void *sorter)
{
	const struct entry *x = a, *y = b;
	const struct sorter *s = sorter;
	int order;

	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	order = memcmp(s->records.p + x->off, s->records.p + y->off, s->key_size);
	if (order)
		return order;
	return x->off < y->off ? -1 : 1;
}

static void sort(struct sorter *s)
{
	if (!s->sorted && s->count > 1)
		qsort_r(s->entries, s->count, sizeof(*s->entries), compare_entries, s);
	s->sorted = true;
}

static int fail(const struct sorter *s, int rc, struct err *e)
{
	return err_set(e, -rc, "%s: temporary file: %s", s->dir, strerror(-rc));
}

static int open_file(struct sorter *s, struct err *e)
{
	CLEANUP(cleanup_freep) char *name = NULL;

	s->fd = open(s->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (s->fd >= 0)
		return 0;
	/* Not every file system has files without names. */
	name = path_join(s->dir, "sort.XXXXXX");
	if (!name)
		return err_nomem(e, "sorter");
	s->fd = mkostemp(name, O_CLOEXEC);
	if (s->fd < 0)
		return fail(s, -errno, e);
	unlink(name);
	return 0;
}

static int add_run(struct sorter *s, uint64_t end, struct err *e)
{
	struct run *runs = reallocarray(s->runs, s->run_count + 1, sizeof(*runs));

	if (!runs)
		return err_nomem(e, "sorter");
	s->runs = runs;
	runs[s->run_count++] = (struct run){ .first = s->end, .end = end };
	s->end = end;
	return 0;
}

static int write_out(struct sorter *s, struct buf *out, uint64_t *off)
{
	int rc = write_all_at(s->fd, out->p, out->len, *off);

	*off += out->len;
	out->len = 0;
	return rc;
}

/* Sort what is in the buffer, and move it to the file. */
static int spill(struct sorter *s, struct err *e)
{
	CLEANUP(buf_fini) struct buf out = BUF_INIT;
	uint64_t off = s->end;
	int rc = s->fd < 0 ? open_file(s, e) : 0;

	if (rc < 0)
		return rc;
	sort(s);
	for (size_t i = 0; i < s->count && rc == 0; i++) {
		const struct entry *n = &s->entries[i];
		uint8_t length[LENGTH];

		put_le32(length, n->len);
		if (buf_append(&out, length, LENGTH) < 0 ||
		    buf_append(&out, s->records.p + n->off, s->key_size + n->len) < 0)
			return err_nomem(e, "sorter");
		if (out.len >= WRITE_MAX)
			rc = write_out(s, &out, &off);
	}
	if (rc == 0)
		rc = write_out(s, &out, &off);
	if (rc < 0)
		return fail(s, rc, e);
	s->count = s->records.len = 0;
	s->sorted = false;
	return add_run(s, off, e);
}

static int make_room(struct sorter *s, size_t size, struct err *e)
{
	struct entry *entries;
	size_t held = s->records.len + s->count * sizeof(*s->entries);
	int rc;

	if (s->count && held + size > s->memory) {
		rc = spill(s, e);
		if (rc < 0)
			return rc;
	}
	if (buf_reserve(&s->records, s->records.len + size) < 0)
		return err_nomem(e, "sorter");
	if (s->count < s->cap)
		return 0;
	entries = reallocarray(s->entries, s->cap ? 2 * s->cap : 64, sizeof(*entries));
	if (!entries)
		return err_nomem(e, "sorter");
	s->entries = entries;
	s->cap = s->cap ? 2 * s->cap : 64;
	return 0;
}

int sorter_add(struct sorter *s, const void *key, size_t len, uint8_t **value, struct err *e)
{
	uint8_t *record;
	int rc;

	if (len > SORTER_VALUE_MAX)
		return err_set(e, EFBIG, "sorter: a record of %zu bytes", len);
	rc = make_room(s, s->key_size + len, e);
	if (rc < 0)
		return rc;
	record = s->records.p + s->records.len;
	memcpy(record, key, s->key_size);
	s->entries[s->count++] =
		(struct entry){ prefix_of(s, record), (uint32_t)s->records.len, (uint32_t)len };
	s->records.len += s->key_size + len;
	s->sorted = false;
	*value = record + s->key_size;
	return 0;
}

/* --- the merge --- */

/* At least n bytes in the window from the run's place on; -EBADMSG where the run ends before. */
static int fill(struct sorter *s, struct run *r, size_t n)
{
	size_t have = r->window.len - r->at, want;
	int rc;

	if (have >= n)
		return 0;
	if (have)
		memmove(r->window.p, r->window.p + r->at, have);
	r->at = 0;
	r->window.len = have;
	want = s->memory / (2 * s->run_count);
	if (want < WINDOW_MIN)
		want = WINDOW_MIN;
	if (want > WINDOW_MAX)
		want = WINDOW_MAX;
	if (want < n)
		want = n;
	want -= have;
	if (want > r->end - r->off)
		want = (size_t)(r->end - r->off);
	if (buf_reserve(&r->window, have + want) < 0)
		return -ENOMEM;
	if (have + want < n)
		return -EBADMSG;
	rc = read_exact(s->fd, r->window.p + have, want, r->off);
	if (rc != 1)
		return rc ? rc : -EBADMSG;
	r->off += want;
	r->window.len += want;
	return 0;
}

/* To the run's next record: 1, 0 at its end. */
static int advance(struct sorter *s, struct run *r, struct err *e)
{
	size_t len = 0;
	int rc;

	if (r->at == r->window.len && r->off == r->end)
		return 0;
	rc = fill(s, r, LENGTH);
	if (rc == 0) {
		len = get_le32(r->window.p + r->at);
		rc = fill(s, r, LENGTH + s->key_size + len);
	}
	if (rc < 0)
		return fail(s, rc, e);
	r->key = r->window.p + r->at + LENGTH;
	r->value = (struct bytes){ r->key + s->key_size, len };
	r->at += LENGTH + s->key_size + len;
	return 1;
}

static bool before(const struct sorter *s, size_t a, size_t b)
{
	int order = memcmp(s->runs[a].key, s->runs[b].key, s->key_size);

	return order ? order < 0 : a < b;
}

static void sift_down(struct sorter *s, size_t at)
{
	for (;;) {
		size_t child = 2 * at + 1, moved;

		if (child >= s->heap_count)
			return;
		if (child + 1 < s->heap_count && before(s, s->heap[child + 1], s->heap[child]))
			child++;
		if (!before(s, s->heap[child], s->heap[at]))
			return;
		moved = s->heap[at];
		s->heap[at] = s->heap[child];
		s->heap[child] = moved;
		at = child;
	}
}

static int start_merge(struct sorter *s, struct err *e)
{
	size_t *heap = reallocarray(s->heap, s->run_count, sizeof(*heap));

	if (!heap)
		return err_nomem(e, "sorter");
	s->heap = heap;
	s->heap_count = 0;
	for (size_t i = 0; i < s->run_count; i++) {
		struct run *r = &s->runs[i];
		int rc;

		r->off = r->first;
		r->window.len = r->at = 0;
		rc = advance(s, r, e);
		if (rc < 0)
			return rc;
		if (rc)
			heap[s->heap_count++] = i;
	}
	for (size_t i = s->heap_count; i-- > 0;)
		sift_down(s, i);
	return 0;
}

int sorter_rewind(struct sorter *s, struct err *e)
{
	int rc;

	s->next = 0;
	s->started = false;
	if (!s->run_count) {
		sort(s);
		return 0;
	}
	if (s->count) {
		rc = spill(s, e);
		if (rc < 0)
			return rc;
	}
	buf_fini(&s->records); /* room for the windows */
	return start_merge(s, e);
}

static int next_merged(struct sorter *s, const uint8_t **key, struct bytes *value,
		       struct err *e)
{
	int rc;

	if (s->started) { /* the record handed out last is done with only now */
		rc = advance(s, &s->runs[s->heap[0]], e);
		if (rc < 0)
			return rc;
		if (!rc)
			s->heap[0] = s->heap[--s->heap_count];
		sift_down(s, 0);
	}
	s->started = s->heap_count > 0;
	if (!s->started)
		return 0;
	*key = s->runs[s->heap[0]].key;
	*value = s->runs[s->heap[0]].value;
	return 1;
}

int sorter_next(struct sorter *s, const uint8_t **key, struct bytes *value, struct err *e)
{
	const struct entry *n;

	if (s->run_count)
		return next_merged(s, key, value, e);
	if (s->next == s->count)
		return 0;
	n = &s->entries[s->next++];
	*key = s->records.p + n->off;
	*value = (struct bytes){ *key + s->key_size, n->len };
	return 1;
}
