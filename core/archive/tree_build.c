/*
 * tree_build.c - see tree_build.h.
 *
 * Chunks of the item stream are authenticated, decrypted and decompressed ahead on all cores
 * (item_stream, stream); records are parsed and put into the builder here, in their order.
 * Measured on a million items, that is a third of the time; the rest is the chunks'.
 *
 * A fresh tree is served from memory at once; a thread writes it sealed into the cache folder
 * and then lets it move there.  What goes wrong with that costs the next visit time, nothing
 * else: the tree stays in memory.
 */

#include "core/archive/tree_build.h"

#include "core/archive/item_stream.h"
#include "core/archive/tree_builder.h"
#include "core/archive/tree_internal.h"
#include "core/base/io.h"
#include "core/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILES_BYTES_MAX = 1 << 30 /* on disk, for a repository: five million files' trees */ };

static const char logger[] = "borg.fuse";

static char *file_path(const struct reader *r, const struct chunk_id *id)
{
	char hex[CHUNK_ID_HEX], *path;

	if (asprintf(&path, "%s/tree.%s", r->cache_dir, id_hex(id, hex)) < 0)
		return NULL;
	return path;
}

/* Items were lost: what could not be read then may be read now (a disk that failed, a repository
 * that was put back), so each opening tries again, and the log says so each time. */
static bool is_incomplete(const struct tree *t)
{
	struct tree_info info;

	tree_info(t, &info);
	return info.damaged;
}

int tree_open_known(struct tree **out, struct reader *r, const struct chunk_id *archive_id,
		    struct err *e)
{
	CLEANUP(cleanup_freep) char *path = NULL;
	CLEANUP(secret_freep) struct secret *secret = NULL;
	struct tree_file *file = NULL;
	int rc;

	if (!r->cache_dir)
		return 0;
	path = file_path(r, archive_id);
	if (!path)
		return err_nomem(e, "tree");
	if (access(path, F_OK) < 0)
		return 0;
	rc = tree_secret(&secret, r->key, r->cache_dir, e);
	if (rc == 0)
		rc = tree_file_open(&file, path, secret, archive_id, r->trees, e);
	if (rc == 0)
		rc = tree_from_file(out, file, e);
	if (rc == -EBADMSG || rc == -ENOENT)
		return 0; /* thrown away: it is built again */
	if (rc == 0 && is_incomplete(*out)) {
		tree_close(*out);
		*out = NULL;
		return 0;
	}
	if (rc < 0)
		return rc;
	(void)utimensat(AT_FDCWD, path, NULL, 0); /* used now: trimmed last */
	return 1;
}

/* --- settling --- */

struct settle_job {
	struct tree *tree;     /* not referenced: closing the tree waits for this thread */
	struct reader *reader; /* outlives its trees */
	struct secret *secret;
	struct chunk_id id;
	char *path;
};

static void settle_job_free(struct settle_job *j)
{
	if (!j)
		return;
	secret_free(j->secret);
	free(j->path);
	free(j);
}
DEFINE_CLEANUP(struct settle_job *, settle_job_free);

static void *settle(void *arg)
{
	CLEANUP(settle_job_freep) struct settle_job *j = arg;
	struct tree_file *file = NULL;
	struct err e = ERR_INIT;
	int rc = tree_file_write(j->path, j->secret, &j->id, tree_image(j->tree), &e);

	if (rc == 0)
		rc = tree_file_open(&file, j->path, j->secret, &j->id, j->reader->trees, &e);
	if (rc < 0) {
		log_debug(logger, "the tree stays in memory: %s", e.msg);
		return NULL;
	}
	tree_settle(j->tree, file);
	malloc_trim(0); /* the builder's memory too: it is large and needed once */
	if (tree_cache_trim(j->reader, FILES_BYTES_MAX, &e) < 0)
		log_debug(logger, "tree files are not trimmed: %s", e.msg);
	return NULL;
}

static void start_settling(struct tree *t, struct reader *r, const struct chunk_id *id)
{
	CLEANUP(settle_job_freep) struct settle_job *j = calloc(1, sizeof(*j));

	if (!j || !r->cache_dir)
		return;
	j->tree = t;
	j->reader = r;
	j->id = *id;
	j->path = file_path(r, id);
	if (!j->path || tree_secret(&j->secret, r->key, r->cache_dir, NULL) < 0)
		return;
	if (tree_start_settling(t, settle, j, NULL) == 0)
		(void)TAKE(j); /* the thread's now */
}

/* --- building --- */

bool tree_stopped(const struct tree_options *o)
{
	return o->stop && atomic_load_explicit(o->stop, memory_order_relaxed);
}

static int add_all(struct tree_builder *b, struct item_reader *ir, const struct tree_options *o,
		   struct err *e)
{
	struct item it;
	int rc;

	while ((rc = item_reader_next(ir, &it, e)) == 1) {
		rc = tree_stopped(o) ? -ECANCELED : tree_builder_add(b, &it, e);
		if (rc < 0)
			return rc;
	}
	return rc;
}

static void report(const struct archive *a, const struct item_reader *ir,
		   const struct tree_builder *b, bool *damaged)
{
	struct err first = ERR_INIT;
	size_t gaps = item_reader_damage(ir, &first), refused = tree_builder_refused(b);

	*damaged = gaps > 0;
	if (gaps > 0)
		log_warning(logger,
			    "archive %.*s: the listing is incomplete, items are damaged in %zu "
			    "place%s (%s)",
			    (int)a->name.len, (const char *)a->name.p, gaps,
			    gaps == 1 ? "" : "s", first.msg);
	if (refused > 0)
		log_warning(logger,
			    "archive %.*s: %zu item(s) left out, no directory can hold their "
			    "paths",
			    (int)a->name.len, (const char *)a->name.p, refused);
}

static bool is_filtered(const struct tree_options *o)
{
	return (o->matcher && !matcher_is_trivial(o->matcher)) || o->strip_components ||
	       o->consider_part_files;
}

static int build(struct tree **out, struct reader *r, const struct archive *a,
		 const struct tree_options *options, struct err *e)
{
	CLEANUP(tree_builder_freep) struct tree_builder *b = NULL;
	CLEANUP(item_reader_closep) struct item_reader *ir = NULL;
	struct tree_builder_options bo = {
		.archive_id = a->id,
		.made_up_ns = a->time_ns,
		.made_up_uid = options->made_up_uid,
		.made_up_gid = options->made_up_gid,
		.matcher = is_filtered(options) ? options->matcher : NULL,
		.strip_components = options->strip_components,
		.consider_part_files = options->consider_part_files,
	};
	bool damaged;
	int rc = tree_builder_new(&b, &bo, e);

	if (rc == 0)
		rc = item_reader_open(&ir, r, a,
				      &(struct item_reader_options){ .robust = true }, e);
	if (rc == 0)
		rc = add_all(b, ir, options, e);
	if (rc < 0)
		return rc;
	report(a, ir, b, &damaged);
	item_reader_close(TAKE(ir));
	return tree_builder_finish(b, damaged, out, e);
}

int tree_open(struct tree **out, struct reader *r, const struct archive *a,
	      const struct tree_options *options, struct err *e)
{
	bool filtered = is_filtered(options);
	int rc = filtered ? 0 : tree_open_known(out, r, &a->id, NULL);

	if (rc == 1)
		return 0;
	rc = build(out, r, a, options, e);
	if (rc == 0 && !filtered)
		start_settling(*out, r, &a->id);
	return rc;
}

/* --- trimming --- */

struct kept {
	char name[NAME_MAX + 1];
	off_t size;
	struct timespec used;
};

static int newest_first(const void *x, const void *y)
{
	const struct kept *a = x, *b = y;

	if (a->used.tv_sec != b->used.tv_sec)
		return a->used.tv_sec < b->used.tv_sec ? 1 : -1;
	return (a->used.tv_nsec < b->used.tv_nsec) - (a->used.tv_nsec > b->used.tv_nsec);
}

static bool is_wanted(const struct manifest *m, const char *hex)
{
	struct chunk_id id;

	if (id_parse(&id, bytes_str(hex)) < 0)
		return false;
	for (size_t i = 0; i < m->count; i++)
		if (id_equal(&m->entries[i].id, &id))
			return true;
	return false;
}

enum { TEMPORARY_S = 3600 /* a temporary file this old was left by a crash */ };

static bool is_stale(const char *name, const struct manifest *m, const struct stat *st)
{
	struct timespec now;

	if (!strstr(name, ".tmp"))
		return !is_wanted(m, name + 5);
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec - st->st_mtim.tv_sec > TEMPORARY_S;
}

/* The tree files of archives that are still there; others are removed on the way. */
static int list_wanted(int dirfd, DIR *d, const struct manifest *m, struct buf *out)
{
	struct dirent *entry;

	while ((entry = readdir(d))) {
		struct kept k = { 0 };
		struct stat st;

		if (strncmp(entry->d_name, "tree.", 5) != 0 ||
		    fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (is_stale(entry->d_name, m, &st)) {
			unlinkat(dirfd, entry->d_name, 0);
			continue;
		}
		memcpy(k.name, entry->d_name, strlen(entry->d_name));
		k.size = st.st_size;
		k.used = st.st_mtim;
		if (buf_append(out, &k, sizeof(k)) < 0)
			return -ENOMEM;
	}
	return 0;
}

int tree_cache_trim(struct reader *r, uint64_t bytes_max, struct err *e)
{
	CLEANUP(buf_fini) struct buf list = BUF_INIT;
	struct manifest *m;
	uint64_t total = 0;
	struct kept *kept;
	DIR *d;
	int rc;

	if (!r->cache_dir)
		return 0;
	d = opendir(r->cache_dir);
	if (!d)
		return err_set(e, errno, "%s: %s", r->cache_dir, strerror(errno));
	m = reader_manifest(r);
	rc = list_wanted(dirfd(d), d, m, &list);
	reader_manifest_unref(r, m);
	kept = (struct kept *)(void *)list.p;
	if (rc == 0 && list.len)
		qsort(kept, list.len / sizeof(*kept), sizeof(*kept), newest_first);
	for (size_t i = 0; rc == 0 && i < list.len / sizeof(*kept); i++) {
		total += (uint64_t)kept[i].size;
		if (i > 0 && total > bytes_max)
			unlinkat(dirfd(d), kept[i].name, 0);
	}
	closedir(d);
	return rc < 0 ? err_nomem(e, "tree cache") : 0;
}
