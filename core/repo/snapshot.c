/*
 * snapshot.c - see snapshot.h.
 *
 * Others change the folder while it is read: an index listed may be replaced before it is
 * opened, a segment listed may be compacted away before it is walked.  Either means that the
 * picture is stale, and it is taken again.  Borg deletes a segment only after the COMMIT that
 * makes its copies durable, so the next picture has the copies.
 */

#include "core/repo/snapshot.h"

#include "core/base/io.h"
#include "core/base/table.h"
#include "core/codec/mp.h"
#include "core/repo/files.h"
#include "core/repo/recover.h"
#include "core/repo/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STALE_PICTURES_MAX = 50, INTEGRITY_MAX = 64 * 1024 };

struct snapshot {
	atomic_uint refs;
	struct index *index; /* NULL: everything is in changes */
	bool own_index;      /* rebuilt by us */
	uint32_t index_number;
	struct table changes; /* chunk_id -> struct place; segment UINT32_MAX: deleted */
	uint32_t transaction;
};

struct snapshot *snapshot_ref(struct snapshot *v)
{
	atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
	return v;
}

void snapshot_close(struct snapshot *v)
{
	if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
		return;
	index_close(v->index);
	table_fini(&v->changes);
	free(v);
}

static struct snapshot *snapshot_new(void)
{
	struct snapshot *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	atomic_init(&v->refs, 1);
	table_init(&v->changes, sizeof(struct chunk_id), sizeof(struct place));
	return v;
}

uint64_t snapshot_transaction(const struct snapshot *v)
{
	return v->transaction;
}

bool snapshot_index(const struct snapshot *v, uint32_t *number)
{
	*number = v->index_number;
	return v->index && !v->own_index;
}

bool snapshot_find(const struct snapshot *v, const struct chunk_id *id, struct place *out)
{
	const struct place *changed = table_get(&v->changes, id);

	if (changed) {
		*out = *changed;
		return changed->segment != UINT32_MAX;
	}
	return v->index && index_find(v->index, id, out);
}

int snapshot_scan(const struct snapshot *v, snapshot_each *fn, void *arg)
{
	const struct chunk_id *id;
	uint64_t bucket = 0;
	size_t cursor = 0;
	const void *key;
	struct place at;
	void *value;
	int rc = 0;

	while (rc == 0 && table_next(&v->changes, &cursor, &key, &value))
		if (((const struct place *)value)->segment != UINT32_MAX)
			rc = fn(arg, key);
	while (rc == 0 && v->index && index_next(v->index, &bucket, &id, &at))
		if (!table_get(&v->changes, id))
			rc = fn(arg, id);
	return rc;
}

/* Lay one segment's entries over the changes.  -ESTALE: it is gone, the picture is stale. */
static int replay(struct snapshot *v, const struct snapshot_home *home, uint32_t number,
		  struct err *e)
{
	int rc = recover_replay(home, number, &v->changes, e);

	return rc == -ENOENT ? -ESTALE : rc;
}

/* The newest committed segment of the list: 1 and where it stands, 0 none, -ESTALE, -errno. */
static int last_committed(const struct snapshot_home *home, const struct segment_list *l,
			  size_t *out, struct err *e)
{
	for (size_t i = l->count; i > 0; i--) {
		int rc = recover_is_committed(home, l->numbers[i - 1], e);

		*out = i - 1;
		if (rc != 0)
			return rc == -ENOENT ? -ESTALE : rc;
	}
	return 0;
}

static int check_needed(const struct snapshot_home *home, struct err *e)
{
	return err_set_id(e, EBADMSG, "Repository.CheckNeeded",
			  "Inconsistency detected. Please run \"borg check %s\".", home->path);
}

/* The log up to and with numbers[last]. */
static int replay_all(struct snapshot *v, const struct snapshot_home *home,
		      const uint32_t *numbers, size_t last, struct err *e)
{
	struct index *index = NULL;
	int rc = 0;

	v->transaction = numbers[last];
	v->index_number = v->transaction;
	v->own_index = true;
	if (recover_open_cached(home, v->transaction, &v->index) == 1)
		return 0;
	for (size_t i = 0; rc == 0 && i <= last; i++)
		rc = replay(v, home, numbers[i], e);
	if (rc < 0)
		return rc;
	/* From now on mapped instead of in memory, where the cache folder takes it. */
	if (recover_save(home, v->transaction, &v->changes) == 0 &&
	    recover_open_cached(home, v->transaction, &index) == 1) {
		table_fini(&v->changes);
		table_init(&v->changes, sizeof(struct chunk_id), sizeof(struct place));
		v->index = index;
	}
	return 0;
}

/* No index to trust: all of the log, unless `before` is that already. */
static int make_from_log(struct snapshot **out, const struct snapshot_home *home,
			 struct snapshot *before, struct err *e)
{
	CLEANUP(snapshot_closep) struct snapshot *v = snapshot_new();
	struct segment_list l;
	size_t last;
	int rc;

	if (!v)
		return err_nomem(e, "index");
	rc = files_segments(home->dirfd, home->segments_per_dir, 0, &l, e);
	if (rc < 0)
		return rc;
	rc = last_committed(home, &l, &last, e);
	if (rc <= 0)
		rc = rc < 0 ? rc : check_needed(home, e);
	else if (before && before->own_index && before->transaction == l.numbers[last])
		rc = 0, *out = snapshot_ref(before);
	else
		rc = replay_all(v, home, l.numbers, last, e);
	segment_list_fini(&l);
	if (rc == 0 && !*out)
		*out = TAKE(v);
	return rc;
}

/* 1 opened; 0 none, or a damaged one; -ESTALE replaced meanwhile; -errno. */
static int open_newest_index(const struct snapshot_home *home, struct index **out,
			     uint32_t *number, struct err *e)
{
	char name[24];
	int rc = files_newest_index(home->dirfd, number, e), fd;

	if (rc <= 0)
		return rc;
	snprintf(name, sizeof(name), "index.%u", *number);
	fd = openat(home->dirfd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return -ESTALE;
	if (fd < 0)
		return err_set(e, errno, "%s/%s: %s", home->path, name, strerror(errno));
	rc = index_open(out, fd, name, e);
	if (rc == -EBADMSG)
		return 0;
	return rc < 0 ? rc : 1;
}

static int copy_changes(struct snapshot *to, const struct snapshot *from)
{
	size_t cursor = 0;
	const void *key;
	void *value;

	while (table_next(&from->changes, &cursor, &key, &value)) {
		struct place *at = table_put(&to->changes, key, NULL);

		if (!at)
			return -ENOMEM;
		memcpy(at, value, sizeof(*at));
	}
	return 0;
}

/* Lay the segments behind the index over it, up to numbers[last]; those that `before` has laid
 * over the same index are taken from there. */
static int follow_to(struct snapshot *v, const struct snapshot_home *home,
		     const struct snapshot *before, const uint32_t *numbers, size_t last,
		     struct err *e)
{
	uint32_t from = v->index_number + 1;
	int rc = 0;

	v->transaction = numbers[last];
	if (before && !before->own_index && before->index_number == v->index_number &&
	    before->transaction <= v->transaction) {
		rc = copy_changes(v, before) < 0 ? err_nomem(e, "index") : 0;
		from = before->transaction + 1;
	}
	for (size_t i = 0; rc == 0 && i <= last; i++)
		if (numbers[i] >= from)
			rc = replay(v, home, numbers[i], e);
	return rc;
}

/*
 * The committed segments behind the index.  0 done, 1 the index is newer than the log (or its
 * own segment is gone) and cannot be trusted.
 */
static int follow(struct snapshot *v, const struct snapshot_home *home,
		  const struct snapshot *before, struct err *e)
{
	struct segment_list l;
	size_t last;
	int rc = files_segments(home->dirfd, home->segments_per_dir, v->index_number, &l, e);

	if (rc < 0)
		return rc;
	rc = last_committed(home, &l, &last, e);
	if (rc == 1)
		rc = follow_to(v, home, before, l.numbers, last, e);
	else if (rc == 0)
		rc = 1;
	segment_list_fini(&l);
	return rc;
}

/* By the repository's newest index: 1 made, 0 there is none to trust. */
static int make_from_index(struct snapshot **out, const struct snapshot_home *home,
			   const struct snapshot *before, struct err *e)
{
	CLEANUP(snapshot_closep) struct snapshot *v = snapshot_new();
	int rc;

	if (!v)
		return err_nomem(e, "index");
	rc = open_newest_index(home, &v->index, &v->index_number, e);
	if (rc <= 0)
		return rc;
	rc = follow(v, home, before, e);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	*out = TAKE(v);
	return 1;
}

/* One picture.  -ESTALE: the folder changed under it. */
static int make_once(struct snapshot **out, const struct snapshot_home *home,
		     struct snapshot *before, bool distrust_index, struct err *e)
{
	int rc = distrust_index ? 0 : make_from_index(out, home, before, e);

	if (rc == 0)
		rc = make_from_log(out, home, before, e);
	return rc < 0 ? rc : 0;
}

int snapshot_make(struct snapshot **out, const struct snapshot_home *home,
		  struct snapshot *before, bool distrust_index, struct err *e)
{
	*out = NULL;
	for (unsigned i = 0; i < STALE_PICTURES_MAX; i++) {
		int rc = make_once(out, home, before, distrust_index, e);

		if (rc != -ESTALE)
			return rc;
		usleep(1000 * i); /* somebody compacts: let it get on */
	}
	return err_set(e, EBUSY, "%s: changes faster than it can be read", home->path);
}

/* The JSON text of key "index" in integrity.N. */
static int read_integrity(const struct snapshot *v, const struct snapshot_home *home,
			  struct buf *file, struct bytes *out)
{
	char name[32];
	struct mp m;

	snprintf(name, sizeof(name), "integrity.%u", v->index_number);
	if (file_read(home->dirfd, name, INTEGRITY_MAX, file, NULL) < 0)
		return -ENOTSUP;
	m = mp_read(buf_bytes(file));
	for (uint32_t pairs = mp_map(&m); pairs > 0 && mp_ok(&m); pairs--) {
		if (bytes_is(mp_str(&m), "index")) {
			*out = mp_str(&m);
			return mp_ok(&m) ? 0 : -ENOTSUP;
		}
		mp_skip(&m);
	}
	return -ENOTSUP;
}

int snapshot_verify_index(const struct snapshot *v, const struct snapshot_home *home,
			  struct err *e)
{
	struct buf file = BUF_INIT;
	struct bytes text;
	int rc;

	if (!v->index || v->own_index)
		return 1;
	rc = read_integrity(v, home, &file, &text);
	if (rc == 0)
		rc = index_verify(v->index, text, e);
	buf_fini(&file);
	return rc;
}
