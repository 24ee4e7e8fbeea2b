/*
 * extract.c - see extract.h: which items, in which order, with which content.
 *
 *   items --> plan --> queue of jobs --> restore, one after the other
 *                 \--> chunk stream --/
 *
 * Planning runs ahead of restoring: it copies the next selected items into the queue and asks
 * the stream for their chunks until the stream's window is full.  Chunks come back in the order
 * they were asked for, so each job pulls exactly what was pushed for it, also where its file
 * could not be made.
 *
 * Hard links: a master's record says where its file is, or, where the master is not selected,
 * which chunks its first selected link gets.  Directories get their attributes at the end, last
 * one first, when nothing below them changes any more.
 */

#include "core/archive/extract.h"

#include "core/archive/extract_internal.h"
#include "core/archive/item_stream.h"
#include "core/base/arena.h"
#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/table.h"
#include "core/store/stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	JOBS_MAX = 1024,   /* items planned ahead */
	WINDOW = 64 << 20, /* bytes of content decoded ahead */
	PATH_KEY = 32,     /* bytes of a path's hash */
};

struct master {            /* of a hard link, by the hash of its archive path */
	struct bytes link; /* where its file is; empty: not restored yet */
	struct item_chunk *chunks;
	size_t chunk_count;
	bool damaged;
};

enum work { WORK_NOTHING, WORK_CONTENT, WORK_LINK };

struct job {
	struct arena arena; /* what item and path point to */
	struct item item;
	struct bytes path; /* below the target folder, components stripped */
	enum work work;
	struct bytes link_target;
	const struct item_chunk *chunks; /* to be restored; in the arena or a master's */
	size_t chunk_count, pushed;
};

struct folder { /* waits for its attributes; in the run's arena */
	struct item item;
	struct bytes path;
	struct folder *before;
};

struct extraction {
	const struct extract_options *options;
	const struct extract_events *events;
	struct item_reader *items;
	bool items_ended;
	struct stream *stream;
	struct files files;
	struct job jobs[JOBS_MAX];
	size_t head, count; /* of the queue */
	size_t pushing;     /* jobs whose chunks are all asked for, from head on */
	struct table masters;
	struct arena arena;
	struct folder *folders;
	size_t folder_count;
	struct err *e;
};

/* --- selection --- */

/* The path without its leading components; empty where none is left. */
static struct bytes strip(struct bytes path, unsigned components)
{
	while (components-- > 0) {
		const uint8_t *slash = path.len ? memchr(path.p, '/', path.len) : NULL;
		size_t gone = slash ? (size_t)(slash - path.p) + 1 : path.len;

		path = (struct bytes){ path.p + gone, path.len - gone };
	}
	return path;
}

static bool is_selected(const struct extract_options *o, const struct item *it)
{
	if ((it->has & ITEM_PART) && !o->consider_part_files)
		return false;
	return matcher_match(o->matcher, it->path).included &&
	       strip(it->path, o->strip_components).len > 0;
}

/* Only content is wanted: nothing is made. */
static bool is_content_only(const struct extract_options *o)
{
	return o->dry_run || o->content_fd >= 0;
}

/* --- hard links --- */

static void path_key(struct bytes path, uint8_t key[PATH_KEY])
{
	crypto_generichash(key, PATH_KEY, path.p, path.len, NULL, 0);
}

static struct master *find_master(struct extraction *x, struct bytes path)
{
	uint8_t key[PATH_KEY];

	path_key(path, key);
	return table_get(&x->masters, key);
}

static int copy_bytes(struct arena *arena, struct bytes *b)
{
	char *copy = arena_dup(arena, *b);

	if (!copy)
		return -ENOMEM;
	b->p = (const uint8_t *)copy;
	return 0;
}

static int copy_chunks(struct arena *arena, const struct item *it, struct item_chunk **out)
{
	*out = NULL;
	if (it->chunk_count == 0)
		return 0;
	*out = arena_zalloc(arena, it->chunk_count, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	memcpy(*out, it->chunks, it->chunk_count * sizeof(**out));
	return 0;
}

/* Remember a master: by its place where it is restored, by its chunks where it is not. */
static int note_master(struct extraction *x, const struct item *it, struct bytes link)
{
	uint8_t key[PATH_KEY];
	struct master *m;

	path_key(it->path, key);
	m = table_put(&x->masters, key, NULL);
	if (!m)
		return -ENOMEM;
	*m = (struct master){ .link = link, .damaged = it->has & ITEM_CHUNKS_HEALTHY };
	if (link.len)
		return copy_bytes(&x->arena, &m->link);
	m->chunk_count = it->chunk_count;
	return copy_chunks(&x->arena, it, &m->chunks);
}

/* --- planning --- */

static struct job *job_at(struct extraction *x, size_t place)
{
	return &x->jobs[(x->head + place) % JOBS_MAX];
}

static int copy_xattrs(struct arena *arena, struct item *it)
{
	struct item_xattr *copy;

	if (it->xattr_count == 0)
		return 0;
	copy = arena_zalloc(arena, it->xattr_count, sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < it->xattr_count; i++) {
		copy[i] = it->xattrs[i];
		if (copy_bytes(arena, &copy[i].name) < 0 ||
		    copy_bytes(arena, &copy[i].value) < 0)
			return -ENOMEM;
	}
	it->xattrs = copy;
	return 0;
}

/* A copy of the item that lives as long as the arena; with its chunks where wanted. */
static int copy_item(struct arena *arena, const struct item *from, bool with_chunks,
		     struct item *to)
{
	struct bytes *texts[] = { &to->path,     &to->user,        &to->group,
				  &to->source,   &to->acl_access,  &to->acl_default,
				  &to->acl_nfs4, &to->acl_extended };

	*to = *from;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (copy_bytes(arena, texts[i]) < 0)
			return -ENOMEM;
	to->chunks = NULL;
	to->chunk_count = 0;
	if (copy_xattrs(arena, to) < 0)
		return -ENOMEM;
	if (!with_chunks)
		return 0;
	to->chunk_count = from->chunk_count;
	return copy_chunks(arena, from, &to->chunks);
}

/* A hard-link reference: a link, or the first of those whose master is not restored. */
static int plan_link(struct extraction *x, struct job *job)
{
	struct master *m = find_master(x, job->item.source);

	if (m && m->link.len == 0) {
		job->chunks = m->chunks;
		job->chunk_count = m->chunk_count;
		job->work = S_ISREG(job->item.mode) ? WORK_CONTENT : WORK_NOTHING;
		if (m->damaged)
			job->item.has |= ITEM_CHUNKS_HEALTHY;
		for (size_t i = 0; i < m->chunk_count; i++)
			job->item.chunks_size += m->chunks[i].size;
		job->item.size = job->item.chunks_size;
		m->link = job->path;
		return copy_bytes(&x->arena, &m->link);
	}
	job->work = WORK_LINK;
	job->link_target = m ? m->link : strip(job->item.source, x->options->strip_components);
	return 0;
}

static int plan(struct extraction *x, struct job *job, const struct item *it)
{
	bool content = S_ISREG(it->mode) || is_content_only(x->options);

	job->work = WORK_NOTHING;
	job->chunk_count = job->pushed = 0;
	if (copy_item(&job->arena, it, content, &job->item) < 0)
		return -ENOMEM;
	job->path = strip(job->item.path, x->options->strip_components);
	if (is_content_only(x->options) || !item_is_hardlink_slave(it)) {
		job->work = content ? WORK_CONTENT : WORK_NOTHING;
		job->chunks = job->item.chunks;
		job->chunk_count = job->item.chunk_count;
		return it->hardlink_master ? note_master(x, it, job->path) : 0;
	}
	return plan_link(x, job);
}

/* The next selected item into the queue; 1, 0 where there is none or no room. */
static int plan_next(struct extraction *x)
{
	struct item it;
	int rc;

	while (!x->items_ended && x->count < JOBS_MAX) {
		rc = item_reader_next(x->items, &it, x->e);
		if (rc < 0)
			return rc;
		if (rc == 0) {
			x->items_ended = true;
			return 0;
		}
		if (is_selected(x->options, &it)) {
			rc = plan(x, job_at(x, x->count), &it);
			x->count++;
			return rc < 0 ? err_nomem(x->e, "extract") : 1;
		}
		if (it.hardlink_master && !is_content_only(x->options) &&
		    note_master(x, &it, (struct bytes){ 0 }) < 0)
			return err_nomem(x->e, "extract");
	}
	return 0;
}

/* Ask for chunks of planned jobs, and plan more, until the stream's window is full. */
static int look_ahead(struct extraction *x)
{
	for (;;) {
		struct job *job;

		if (x->pushing == x->count) {
			int rc = plan_next(x);

			if (rc <= 0)
				return rc;
		}
		job = job_at(x, x->pushing);
		for (; job->pushed < job->chunk_count; job->pushed++) {
			const struct item_chunk *c = &job->chunks[job->pushed];
			struct chunk_want want = { c->id, c->size };

			if (!stream_push(x->stream, &want))
				return 0;
		}
		x->pushing++;
	}
}

/* --- content --- */

static bool is_zero(const struct chunk *c)
{
	return c->len > 0 && c->p[0] == 0 && memcmp(c->p, c->p + 1, c->len - 1) == 0;
}

struct sink {
	int fd; /* -1: the content goes nowhere */
	uint64_t written;
	int error; /* the first failure of writing; the rest is still pulled */
};

static void sink_chunk(struct sink *s, const struct chunk *c, bool sparse)
{
	int rc = 0;

	if (s->fd >= 0 && s->error == 0 && !(sparse && is_zero(c)))
		rc = sparse ? write_all_at(s->fd, c->p, c->len, s->written)
			    : write_all(s->fd, c->p, c->len);
	if (rc < 0)
		s->error = -rc;
	s->written += c->len;
}

/* Pull the job's chunks into the sink.  -errno: a chunk is missing or damaged. */
static int pull_content(struct extraction *x, const struct job *job, struct sink *s)
{
	for (size_t i = 0; i < job->chunk_count; i++) {
		CLEANUP(chunk_unrefp) struct chunk *chunk = NULL;
		int rc = look_ahead(x);

		if (rc == 0)
			rc = stream_pull(x->stream, &chunk, x->e);
		if (rc < 0)
			return rc;
		sink_chunk(s, chunk, x->options->sparse && x->options->content_fd < 0);
		if (x->events->content)
			x->events->content(x->events->arg, job->path, chunk->len);
	}
	return 0;
}

static void warn_content(struct extraction *x, const struct job *job, uint64_t written)
{
	const struct item *it = &job->item;

	if ((it->has & ITEM_SIZE) && it->size != written)
		files_warn(&x->files, "BackupError",
			   "%.*s: Size inconsistency detected: size %llu, chunks size %llu",
			   (int)it->path.len, (const char *)it->path.p,
			   (unsigned long long)it->size, (unsigned long long)written);
	if (it->has & ITEM_CHUNKS_HEALTHY)
		files_warn(&x->files, "BackupError",
			   "%.*s: File has damaged (all-zero) chunks. Try running borg check "
			   "--repair.",
			   (int)it->path.len, (const char *)it->path.p);
}

static int only_content(struct extraction *x, const struct job *job)
{
	struct sink s = { .fd = x->options->dry_run ? -1 : x->options->content_fd };
	int rc = pull_content(x, job, &s);

	if (rc < 0)
		return rc;
	if (s.error == EPIPE)
		return err_set(x->e, EPIPE, "standard output was closed");
	if (s.error)
		return err_set(x->e, s.error, "cannot write content: %s", strerror(s.error));
	if (job->work == WORK_CONTENT && (job->item.has & ITEM_CHUNKS))
		warn_content(x, job, s.written);
	return 0;
}

static int restore_file(struct extraction *x, const struct job *job)
{
	struct sink s = { .fd = -1 };
	int made = files_make_file(&x->files, job->path, &s.fd), rc;

	if (made < 0)
		return err_nomem(x->e, "extract");
	rc = pull_content(x, job, &s);
	if (made != 0)
		return rc;
	if (rc < 0) {
		close(s.fd);
		return rc;
	}
	if (s.error) {
		close(s.fd);
		(void)files_warn_os(&x->files, job->path, "write", s.error);
		return 0;
	}
	rc = files_finish_file(&x->files, job->path, &job->item, s.fd, s.written);
	if (rc == 0)
		warn_content(x, job, s.written);
	return rc < 0 ? err_nomem(x->e, "extract") : 0;
}

/* --- restoring --- */

static int restore_folder(struct extraction *x, const struct job *job)
{
	struct folder *folder;
	int rc = files_make_dir(&x->files, job->path);

	if (rc != 0)
		return rc;
	folder = arena_zalloc(&x->arena, 1, sizeof(*folder));
	if (!folder || copy_item(&x->arena, &job->item, false, &folder->item) < 0)
		return -ENOMEM;
	folder->path = strip(folder->item.path, x->options->strip_components);
	folder->before = x->folders;
	x->folders = folder;
	x->folder_count++;
	return 0;
}

static int restore_node(struct extraction *x, const struct job *job)
{
	const struct item *it = &job->item;

	switch (it->mode & S_IFMT) {
	case S_IFDIR: return restore_folder(x, job);
	case S_IFLNK: return files_make_symlink(&x->files, job->path, it);
	case S_IFIFO:
	case S_IFCHR:
	case S_IFBLK: return files_make_special(&x->files, job->path, it);
	default:
		files_warn(&x->files, "BackupError", "%.*s: Unknown archive item type 0%o",
			   (int)it->path.len, (const char *)it->path.p, it->mode & S_IFMT);
		return 1;
	}
}

/* --- to a receiver --- */

static int give_content(struct extraction *x, const struct job *job, bool wanted)
{
	const struct extract_receiver *to = x->options->receiver;

	for (size_t i = 0; i < job->chunk_count; i++) {
		CLEANUP(chunk_unrefp) struct chunk *chunk = NULL;
		int rc = look_ahead(x);

		if (rc == 0)
			rc = stream_pull(x->stream, &chunk, x->e);
		if (rc == 0 && chunk->len != job->chunks[i].size)
			rc = err_set(x->e, EBADMSG,
				     "%.*s: a chunk is not as long as the item says",
				     (int)job->path.len, (const char *)job->path.p);
		if (rc == 0 && wanted)
			rc = to->content(to->arg, chunk->p, chunk->len, x->e);
		if (rc < 0)
			return rc;
		if (x->events->content)
			x->events->content(x->events->arg, job->path, chunk->len);
	}
	return 0;
}

static int give(struct extraction *x, const struct job *job)
{
	const struct extract_receiver *to = x->options->receiver;
	bool link = job->work == WORK_LINK && S_ISREG(job->item.mode);
	uint64_t size = 0;
	int rc, given;

	for (size_t i = 0; i < job->chunk_count; i++)
		size += job->chunks[i].size;
	given = to->item(to->arg, &job->item, job->path,
			 link ? job->link_target : (struct bytes){ 0 }, size, x->e);
	rc = given < 0 ? given : give_content(x, job, given == 0);
	if (rc == 0 && job->work == WORK_CONTENT)
		warn_content(x, job, size);
	return rc;
}

static int restore(struct extraction *x, const struct job *job)
{
	int rc;

	if (x->events->item)
		x->events->item(x->events->arg, job->path);
	if (x->options->receiver)
		return give(x, job);
	if (is_content_only(x->options))
		return only_content(x, job);
	if (job->work == WORK_CONTENT)
		return restore_file(x, job);
	if (job->work == WORK_LINK)
		rc = files_link(&x->files, job->path, job->link_target);
	else
		rc = restore_node(x, job);
	return rc < 0 ? err_nomem(x->e, "extract") : 0;
}

static void drop_job(struct extraction *x)
{
	arena_fini(&job_at(x, 0)->arena);
	job_at(x, 0)->arena = (struct arena)ARENA_INIT;
	x->head = (x->head + 1) % JOBS_MAX;
	x->count--;
	x->pushing--;
}

static int finish_folders(struct extraction *x)
{
	size_t done = 0;

	for (struct folder *d = x->folders; d; d = d->before) {
		if (files_finish_dir(&x->files, d->path, &d->item) < 0)
			return err_nomem(x->e, "extract");
		if (x->events->directories)
			x->events->directories(x->events->arg, ++done, x->folder_count);
	}
	return 0;
}

static int run(struct extraction *x)
{
	for (;;) {
		int rc = look_ahead(x);

		if (rc < 0)
			return rc;
		if (x->count == 0)
			return finish_folders(x);
		rc = restore(x, job_at(x, 0));
		if (rc < 0)
			return rc;
		/* With its chunks pulled the job was fully pushed, by look_ahead() in between. */
		if (x->pushing == 0)
			x->pushing = 1;
		drop_job(x);
	}
}

static void extraction_free(struct extraction *x)
{
	if (!x)
		return;
	while (x->count) {
		x->pushing = x->count;
		drop_job(x);
	}
	stream_close(x->stream);
	item_reader_close(x->items);
	owner_cache_free(x->files.owners);
	files_fini(&x->files);
	table_fini(&x->masters);
	arena_fini(&x->arena);
	free(x);
}
DEFINE_CLEANUP(struct extraction *, extraction_free);

int extract_archive(struct reader *r, const struct archive *a,
		    const struct extract_options *options, const struct extract_events *events,
		    struct err *e)
{
	static const struct item_reader_options strict = { .robust = false };
	CLEANUP(extraction_freep) struct extraction *x = calloc(1, sizeof(*x));
	struct owner_cache *owners;
	int rc;

	if (!x)
		return err_nomem(e, "extract");
	x->options = options;
	x->events = events;
	x->e = e;
	table_init(&x->masters, PATH_KEY, sizeof(struct master));
	owners = owner_cache_new();
	files_init(&x->files, options, events, owners);
	if (!owners)
		return err_nomem(e, "extract");
	rc = item_reader_open(&x->items, r, a, &strict, e);
	if (rc == 0)
		rc = stream_open(&x->stream, r->repo, r->key, 0, WINDOW, e);
	return rc < 0 ? rc : run(x);
}

int extract_size(struct reader *r, const struct archive *a,
		 const struct extract_options *options, uint64_t *bytes, struct err *e)
{
	static const struct item_reader_options strict = { .robust = false };
	CLEANUP(item_reader_closep) struct item_reader *items = NULL;
	struct item it;
	int rc = item_reader_open(&items, r, a, &strict, e);

	*bytes = 0;
	while (rc >= 0 && (rc = item_reader_next(items, &it, e)) > 0)
		if (is_selected(options, &it))
			*bytes += it.chunks_size;
	return rc;
}
