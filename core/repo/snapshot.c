/*
 * snapshot.c - see snapshot.h.
 *
 * Others change the folder while it is read: an index listed may be replaced before it is
 * opened, a segment listed may be compacted away before it is walked, and a listing of several
 * folders may miss both a segment and its copies.  Borg removes a segment only after the COMMIT
 * that makes its copies durable, and uses no number again below a COMMIT: so the log is looked
 * at until a look finds no more than has been laid over the index, and then nothing is missing.
 * Where that does not come about, the picture is stale, and it is taken again.
 */

#include "core/repo/snapshot.h"

#include "core/base/table.h"
#include "core/repo/files.h"
#include "core/repo/integrity.h"
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

enum {
	STALE_PICTURES_MAX = 50,
	LOOKS_MAX = 1000, /* at a log that grows meanwhile */
};

struct snapshot {
	atomic_uint refs;
	struct index *index; /* NULL: everything is in changes */
	bool own_index;      /* rebuilt by us ... */
	bool kept;           /* ... at another time */
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

bool snapshot_index(const struct snapshot *v, struct index_version *version)
{
	if (!v->index || v->own_index)
		return false;
	*version = index_version(v->index);
	return true;
}

bool snapshot_kept(const struct snapshot *v)
{
	return v->kept;
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
	struct index_walk walk = { 0 };
	struct chunk_id id;
	size_t cursor = 0;
	const void *key;
	struct place at;
	void *value;
	int rc = 0;

	while (rc == 0 && table_next(&v->changes, &cursor, &key, &value))
		if (((const struct place *)value)->segment != UINT32_MAX)
			rc = fn(arg, key);
	while (rc == 0 && v->index && index_next(v->index, &walk, &id, &at))
		if (!table_get(&v->changes, &id))
			rc = fn(arg, &id);
	return rc;
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

/* --- following the log --- */

/* How far the log has been laid over a snapshot. */
struct progress {
	int has_index;            /* 1: the repository has one, and ... */
	uint32_t index_number;    /* ... this is the newest */
	uint32_t from;            /* segments below do not matter */
	uint64_t next;            /* those below are in the snapshot */
	struct segment_list seen; /* what the last look listed, up to the last COMMIT */
};

/* Are all numbers that were there before `next` among those seen? */
static bool all_seen(const struct progress *p, const struct segment_list *now)
{
	size_t i = 0;

	for (size_t k = 0; k < now->count && now->numbers[k] < p->next; k++) {
		while (i < p->seen.count && p->seen.numbers[i] < now->numbers[k])
			i++;
		if (i == p->seen.count || p->seen.numbers[i] != now->numbers[k])
			return false;
	}
	return true;
}

/*
 * Lay what is committed and not yet laid over the snapshot.  1 there was something, and there may
 * be more; 0 nothing; -ENOENT no segment is committed; -ESTALE; -errno.
 *
 * A segment that is gone, or emptied, when its turn comes counts as empty: it was removed after
 * the COMMIT behind its copies, which is found by the next look.
 */
static int lay_more(struct snapshot *v, const struct snapshot_home *home, struct progress *p,
		    struct segment_list *now, struct err *e)
{
	size_t last;
	int rc = last_committed(home, now, &last, e);

	if (rc <= 0)
		return rc < 0 ? rc : -ENOENT;
	if ((uint64_t)now->numbers[last] + 1 < p->next || (p->seen.count && !all_seen(p, now)))
		return -ESTALE;
	rc = 0;
	for (size_t i = 0; rc >= 0 && i <= last; i++) {
		if (now->numbers[i] < p->next)
			continue;
		rc = recover_replay(home, now->numbers[i], &v->changes, e);
		rc = rc == 0 || rc == -ENOENT ? 1 : rc;
	}
	v->transaction = now->numbers[last];
	p->next = (uint64_t)v->transaction + 1;
	now->count = last + 1;
	return rc;
}

/* Until a look finds nothing new.  1 something was laid, 0 nothing; else as lay_more(). */
static int lay_all(struct snapshot *v, const struct snapshot_home *home, struct progress *p,
		   struct err *e)
{
	for (unsigned i = 0; i < LOOKS_MAX; i++) {
		struct segment_list now;
		int rc = files_segments(home->dirfd, home->segments_per_dir, p->from, &now, e);

		if (rc < 0)
			return rc;
		rc = lay_more(v, home, p, &now, e);
		segment_list_fini(&p->seen);
		p->seen = now;
		if (rc <= 0)
			return rc < 0 ? rc : i > 0;
	}
	return -ESTALE;
}

/*
 * The same while one index is the newest: Borg forgets DELETEs that an index has seen, so what is
 * laid over an older one may end with too much.
 */
static int lay_over(struct snapshot *v, const struct snapshot_home *home, struct progress *p,
		    struct err *e)
{
	uint32_t newest;
	int rc = lay_all(v, home, p, e), has;

	segment_list_fini(&p->seen);
	if (rc <= 0)
		return rc;
	has = files_newest_index(home->dirfd, &newest, e);
	if (has < 0)
		return has;
	return has == p->has_index && (!has || newest == p->index_number) ? 1 : -ESTALE;
}

/* --- by the log alone --- */

/* From now on in a file instead of in memory, where the cache folder takes it. */
static void keep(struct snapshot *v, const struct snapshot_home *home)
{
	struct index *index = NULL;

	if (recover_save(home, v->transaction, &v->changes) < 0 ||
	    recover_open_cached(home, v->transaction, &index) != 1)
		return;
	table_fini(&v->changes);
	table_init(&v->changes, sizeof(struct chunk_id), sizeof(struct place));
	v->index = index;
}

/* No segment of the list is committed: is that so, or is the list an old one? */
static int none_committed(const struct snapshot_home *home, const struct segment_list *l,
			  struct err *e)
{
	struct segment_list now;
	int rc = files_segments(home->dirfd, home->segments_per_dir, 0, &now, e);
	bool same;

	if (rc < 0)
		return rc;
	same = now.count == l->count &&
	       (now.count == 0 ||
		memcmp(now.numbers, l->numbers, now.count * sizeof(*now.numbers)) == 0);
	segment_list_fini(&now);
	return same ? check_needed(home, e) : -ESTALE;
}

/* The newest transaction of the log: 1; 0 none was ever committed; -ESTALE; -errno. */
static int newest_transaction(const struct snapshot_home *home, bool has_index, uint32_t *out,
			      struct err *e)
{
	struct segment_list l;
	size_t last;
	int rc = files_segments(home->dirfd, home->segments_per_dir, 0, &l, e);

	if (rc < 0)
		return rc;
	rc = last_committed(home, &l, &last, e);
	if (rc == 1)
		*out = l.numbers[last];
	else if (rc == 0 && has_index)
		rc = none_committed(home, &l, e);
	segment_list_fini(&l);
	return rc;
}

/* No index to trust: all of the log, unless `before`, or what is kept, is that already. */
static int make_from_log(struct snapshot **out, const struct snapshot_home *home,
			 struct snapshot *before, const struct snapshot_distrust *distrust,
			 struct err *e)
{
	CLEANUP(snapshot_closep) struct snapshot *v = snapshot_new();
	struct progress p = { 0 };
	int rc;

	if (!v)
		return err_nomem(e, "index");
	v->own_index = true;
	p.has_index = files_newest_index(home->dirfd, &p.index_number, e);
	if (p.has_index < 0)
		return p.has_index;
	rc = newest_transaction(home, p.has_index, &v->transaction, e);
	if (rc < 0)
		return rc;
	if (rc == 0) {
		v->transaction = SNAPSHOT_NO_TRANSACTION;
		*out = TAKE(v);
		return 0;
	}
	if (!distrust->kept && before && before->own_index &&
	    before->transaction == v->transaction) {
		*out = snapshot_ref(before);
		return 0;
	}
	if (!distrust->kept && recover_open_cached(home, v->transaction, &v->index) == 1) {
		v->kept = true;
	} else {
		rc = lay_over(v, home, &p, e);
		if (rc < 0)
			return rc == -ENOENT ? -ESTALE : rc;
		keep(v, home);
	}
	*out = TAKE(v);
	return 0;
}

/* --- by the repository's index --- */

/* 1 opened; 0 none, a damaged one, or one that is not trusted; -ESTALE replaced meanwhile; -errno. */
static int open_newest_index(const struct snapshot_home *home,
			     const struct snapshot_distrust *distrust, struct snapshot *v,
			     struct err *e)
{
	struct index_version version;
	char name[24];
	int rc = files_newest_index(home->dirfd, &v->index_number, e), fd;

	if (rc <= 0)
		return rc;
	snprintf(name, sizeof(name), "index.%u", v->index_number);
	fd = openat(home->dirfd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return -ESTALE;
	if (fd < 0)
		return err_set(e, errno, "%s/%s: %s", home->path, name, strerror(errno));
	rc = index_open(&v->index, fd, name, e);
	if (rc == -EBADMSG)
		return 0;
	if (rc < 0)
		return rc;
	version = index_version(v->index);
	return !distrust->index || !index_version_equal(&version, distrust->index);
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

/* May what `before` laid over its index be taken from there? */
static bool continues(const struct snapshot *v, const struct snapshot *before)
{
	struct index_version a, b;

	if (!before || before->own_index || before->index_number != v->index_number)
		return false;
	a = index_version(v->index);
	b = index_version(before->index);
	return index_version_equal(&a, &b);
}

/* By the repository's newest index: 1 made, 0 there is none to trust. */
static int make_from_index(struct snapshot **out, const struct snapshot_home *home,
			   const struct snapshot *before,
			   const struct snapshot_distrust *distrust, struct err *e)
{
	CLEANUP(snapshot_closep) struct snapshot *v = snapshot_new();
	struct progress p = { .has_index = 1 };
	int rc;

	if (!v)
		return err_nomem(e, "index");
	rc = open_newest_index(home, distrust, v, e);
	if (rc <= 0)
		return rc;
	v->transaction = v->index_number;
	p.index_number = p.from = v->index_number;
	p.next = (uint64_t)v->index_number + 1;
	if (continues(v, before)) {
		if (copy_changes(v, before) < 0)
			return err_nomem(e, "index");
		p.next = (uint64_t)before->transaction + 1;
	}
	rc = lay_over(v, home, &p, e);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc; /* newer than the log */
	*out = TAKE(v);
	return 1;
}

/* One picture.  -ESTALE: the folder changed under it. */
static int make_once(struct snapshot **out, const struct snapshot_home *home,
		     struct snapshot *before, const struct snapshot_distrust *distrust,
		     struct err *e)
{
	int rc = make_from_index(out, home, before, distrust, e);

	if (rc == 0)
		rc = make_from_log(out, home, before, distrust, e);
	return rc < 0 ? rc : 0;
}

int snapshot_make(struct snapshot **out, const struct snapshot_home *home,
		  struct snapshot *before, const struct snapshot_distrust *distrust,
		  struct err *e)
{
	*out = NULL;
	for (unsigned i = 0; i < STALE_PICTURES_MAX; i++) {
		/* Where the log was cut back by hand, what was there before does not fit. */
		int rc = make_once(out, home, i < 5 ? before : NULL, distrust, e);

		if (rc != -ESTALE)
			return rc;
		usleep(1000 * i); /* somebody compacts: let it get on */
	}
	return err_set(e, EBUSY, "%s: changes faster than it can be read", home->path);
}

int snapshot_verify_index(const struct snapshot *v, const struct snapshot_home *home,
			  struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;

	if (!v->index || v->own_index)
		return 1;
	if (!integrity_read(home->dirfd, v->index_number, "index", &text))
		return -ENOTSUP;
	return index_verify(v->index, buf_bytes(&text), e);
}
