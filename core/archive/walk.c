/*
 * walk.c - see walk.h.
 *
 * What is found goes to the user in batches, which go around.  A folder's descriptor goes with
 * them: until WALK_LEFT has been given it is the walker's to close, then the user's side does it.
 */

#include "core/archive/walk.h"

#include "core/base/io.h"
#include "core/base/thread.h"
#include "core/platform/xattr.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	BATCH = 256, /* objects */
	BATCHES = 8,
	WAKE_AT = BATCHES / 2, /* batches free, or there, for which one that waits is woken */
	FOLDERS_AHEAD = 64,    /* open ones beside those that the walker is in */
};

static const char cache_tag_name[] = "CACHEDIR.TAG";
static const char cache_tag[] = "Signature: 8a477f597d28d172789f06886806bc55";

struct slot {
	struct walk_found found; /* but for path and name: */
	size_t path_at, name_at; /* in the batch's text */
};

struct batch {
	size_t count;
	struct slot slots[BATCH];
	struct buf text;
};

struct walk {
	struct walk_options options;
	dev_t device; /* with one_file_system */
	pthread_t thread;
	bool threaded; /* by `thread`, which is to be joined; else the root is no folder */
	atomic_bool ending;

	struct mutex lock; /* guards the following */
	struct cond changed;
	uint64_t filled, taken; /* batches, ever; those between are the user's to be */
	bool hungry;            /* the user waits until there are many, or ... */
	bool flushed;           /* ... no more come before he has taken these */
	uint64_t left;          /* folders closed by the user's side */
	bool done;
	bool nomem;

	struct batch *batches;

	/* the walker's */
	int dirfd; /* of the root's folder */
	char *name;
	uint64_t filling; /* its batch */
	uint64_t opened;  /* folders, ever */
	size_t depth;
	struct buf path; /* of the object at hand, with its NUL */

	/* the user's */
	bool has_batch; /* it is number `taken` ... */
	size_t next;    /* ... and this is next there */
	uint64_t closed;
	int closing; /* the folder last left */
};

/* --- the queue, the walker's side --- */

static bool has_room_locked(const struct walk *w)
{
	return w->filled - w->taken < BATCHES;
}

static void wait_for_room_locked(struct walk *w)
{
	if (has_room_locked(w))
		return;
	while (w->filled - w->taken > BATCHES - WAKE_AT && !atomic_load(&w->ending))
		cond_wait(&w->changed, &w->lock);
}

static bool enough_locked(const struct walk *w)
{
	return w->filled - w->taken >= WAKE_AT || w->flushed || w->done;
}

/* flush: what there is is to be taken now.  At the end it stays as it is: walk_end() looks into it. */
static void give_batch(struct walk *w, bool flush)
{
	mutex_lock(&w->lock);
	if (!atomic_load(&w->ending)) {
		w->filled = ++w->filling;
		w->flushed |= flush;
		if (w->hungry && enough_locked(w))
			cond_broadcast(&w->changed);
		wait_for_room_locked(w);
		if (has_room_locked(w)) {
			w->batches[w->filling % BATCHES].count = 0;
			w->batches[w->filling % BATCHES].text.len = 0;
		}
	}
	mutex_unlock(&w->lock);
}

/* Descriptors are few: the user has to have left some folders. */
static void wait_for_folders(struct walk *w, size_t ahead)
{
	bool many;

	mutex_lock(&w->lock);
	many = w->opened - w->left >= ahead + w->depth;
	mutex_unlock(&w->lock);
	if (!many)
		return;
	give_batch(w, true);
	mutex_lock(&w->lock);
	while (w->opened - w->left >= ahead + w->depth && !atomic_load(&w->ending))
		cond_wait(&w->changed, &w->lock);
	mutex_unlock(&w->lock);
}

static int out_of_memory(struct walk *w)
{
	mutex_lock(&w->lock);
	w->nomem = true;
	mutex_unlock(&w->lock);
	return -ENOMEM;
}

/* -ECANCELED: nobody wants it. */
static int give(struct walk *w, const struct walk_found *found, const char *name)
{
	struct batch *b = &w->batches[w->filling % BATCHES];
	struct slot *s;

	if (atomic_load(&w->ending))
		return -ECANCELED;
	s = &b->slots[b->count];
	s->found = *found;
	s->path_at = b->text.len;
	s->name_at = b->text.len + w->path.len;
	if (buf_append(&b->text, w->path.p, w->path.len) < 0 ||
	    buf_append(&b->text, name, strlen(name) + 1) < 0)
		return out_of_memory(w);
	if (++b->count == BATCH)
		give_batch(w, false);
	return 0;
}

/* --- walking: 0, or the walk is over --- */

struct at {
	int dirfd;
	const char *name;
	bool included;
};

static int visit(struct walk *w, int dirfd, const char *name);

static struct walk_found found_at(const struct at *at, enum walk_kind kind)
{
	return (struct walk_found){ .kind = kind,
				    .first = at->included, /* else WALK_EXCLUDED was */
				    .included = at->included,
				    .dirfd = at->dirfd,
				    .fd = -1 };
}

static int give_kind(struct walk *w, const struct at *at, enum walk_kind kind)
{
	struct walk_found found = found_at(at, kind);

	return give(w, &found, at->name);
}

static int give_failed(struct walk *w, const struct at *at, const char *what, int code)
{
	struct walk_found found = found_at(at, WALK_FAILED);

	found.what = what;
	found.code = code;
	return give(w, &found, at->name);
}

/* The path of an entry; the length of the folder's own. */
static size_t enter(struct buf *path, const char *name)
{
	size_t before = path->len;
	bool dot = path->len == 2 && path->p[0] == '.'; /* "." and its NUL: left out */
	bool root = path->len == 2 && path->p[0] == '/';

	path->len -= dot ? 2 : 1;
	if ((!dot && !root && buf_append_byte(path, '/') < 0) ||
	    buf_append(path, name, strlen(name) + 1) < 0)
		return 0;
	return before;
}

static void leave(struct buf *path, size_t before, bool dot)
{
	path->len = before;
	if (dot)
		memcpy(path->p, ".", 2);
	path->p[before - 1] = '\0';
}

static int visit_entry(struct walk *w, int dirfd, const char *name)
{
	bool dot = w->path.len == 2 && w->path.p[0] == '.';
	size_t before = enter(&w->path, name);
	int rc;

	if (before == 0)
		return out_of_memory(w);
	rc = visit(w, dirfd, name);
	leave(&w->path, before, dot);
	return rc;
}

/* *listed: whether they could be. */
static int visit_entries(struct walk *w, const struct at *at, int fd, bool *listed)
{
	CLEANUP(node_names_fini) struct node_names names = { 0 };
	int rc = node_list(fd, &names);

	*listed = rc == 0;
	if (rc == -ENOMEM)
		return out_of_memory(w);
	if (rc < 0) {
		struct walk_found found = found_at(at, WALK_FAILED);

		found.first = false;
		found.what = "scandir";
		found.code = -rc;
		return give(w, &found, (const char *)w->path.p);
	}
	for (size_t i = 0; rc == 0 && i < names.count; i++)
		rc = visit_entry(w, fd, names.v[i].name);
	return rc;
}

/* --- tags --- */

static bool has_cache_tag(int fd)
{
	CLEANUP(cleanup_closep)
	int tag = openat(fd, cache_tag_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint8_t head[sizeof(cache_tag) - 1];

	return tag >= 0 && read_exact(tag, head, sizeof(head), 0) == 1 &&
	       memcmp(head, cache_tag, sizeof(head)) == 0;
}

static bool has_tag(int fd, const char *name)
{
	struct stat st;

	return fstatat(fd, name, &st, 0) == 0;
}

static bool is_tagged(const struct walk *w, int fd, bool *cache)
{
	bool tagged = *cache = w->options.exclude_caches && has_cache_tag(fd);

	for (size_t i = 0; !tagged && i < w->options.exclude_if_present_count; i++)
		tagged = has_tag(fd, w->options.exclude_if_present[i]);
	return tagged;
}

static int visit_tags(struct walk *w, int fd, bool cache)
{
	int rc = cache ? visit_entry(w, fd, cache_tag_name) : 0;

	for (size_t i = 0; rc == 0 && i < w->options.exclude_if_present_count; i++)
		if (has_tag(fd, w->options.exclude_if_present[i]))
			rc = visit_entry(w, fd, w->options.exclude_if_present[i]);
	return rc;
}

/* --- objects --- */

static bool is_plain(const struct walk *w, int fd, const char *name)
{
	return w->options.attributes && xattr_any(fd, name) == 0;
}

/* The open folder is what was looked at by name; its attributes are those of now.  NULL, else what
 * is wrong with it. */
static const char *check_open(int fd, struct node *node, int *code)
{
	struct node now;

	*code = -node_stat(fd, NULL, &now);
	if (*code)
		return "fstat";
	if (!S_ISDIR(now.st.st_mode))
		return "type";
	if (now.st.st_ino != node->st.st_ino)
		return "inode";
	*node = now;
	return NULL;
}

/* Between WALK_FOLDER and WALK_LEFT, of which the latter hands over the descriptor. */
static int walk_open_folder(struct walk *w, const struct at *at, int *fd, struct node *node)
{
	bool enters = !w->options.one_file_system || node->st.st_dev == w->device,
	     cache = false;
	struct walk_found found = found_at(at, WALK_FOLDER);
	int rc;

	found.fd = *fd;
	found.node = *node;
	found.tagged = enters && is_tagged(w, *fd, &cache);
	found.listed = true;
	if (found.tagged && !(at->included && w->options.keep_exclude_tags))
		return give_kind(w, at, at->included ? WALK_EXCLUDED : WALK_SKIPPED);
	found.plain = at->included && is_plain(w, *fd, NULL);
	rc = give(w, &found, at->name);
	if (rc == 0 && enters)
		rc = found.tagged ? visit_tags(w, *fd, cache)
				  : visit_entries(w, at, *fd, &found.listed);
	if (rc != 0)
		return rc;
	found.kind = WALK_LEFT;
	found.first = false;
	rc = give(w, &found, at->name);
	if (rc == 0)
		*fd = -1;
	return rc;
}

static int walk_folder(struct walk *w, const struct at *at, struct node *node)
{
	int fd, code, rc;
	const char *wrong;

	wait_for_folders(w, FOLDERS_AHEAD);
	fd = node_open(at->dirfd, at->name, NODE_DIRECTORY);
	if (fd == -EMFILE) { /* fewer than that may be open */
		wait_for_folders(w, 1);
		fd = node_open(at->dirfd, at->name, NODE_DIRECTORY);
	}
	if (fd < 0)
		return give_failed(w, at, "dir_open", -fd);
	w->opened++;
	w->depth++;
	wrong = check_open(fd, node, &code);
	rc = wrong ? give_failed(w, at, wrong, code) : walk_open_folder(w, at, &fd, node);
	w->depth--;
	if (fd >= 0) { /* it was not handed over */
		close(fd);
		w->opened--;
	}
	return rc;
}

static int visit_included(struct walk *w, const struct at *at)
{
	struct walk_found found = found_at(at, WALK_OBJECT);
	struct node *node = &found.node;
	int rc = node_stat(at->dirfd, at->name, node);

	if (rc < 0)
		return give_failed(w, at, "stat", -rc);
	if (!at->included && !S_ISDIR(node->st.st_mode))
		return 0;
	if (w->options.skip && w->options.skip(w->options.arg, &node->st))
		return give_kind(w, at, WALK_SKIPPED);
	if (w->options.exclude_nodump && node->bsdflags & 1)
		return give_kind(w, at, WALK_EXCLUDED);
	if (S_ISDIR(node->st.st_mode) && !w->threaded) /* a moment ago it was none */
		return give_failed(w, at, "type", 0);
	if (S_ISDIR(node->st.st_mode))
		return walk_folder(w, at, node);
	found.plain = is_plain(w, at->dirfd, at->name);
	return give(w, &found, at->name);
}

static int visit(struct walk *w, int dirfd, const char *name)
{
	struct match_result m = { .included = true };
	struct at at = { dirfd, name, true };

	if (w->options.matcher)
		m = matcher_match(w->options.matcher, bytes_str((const char *)w->path.p));
	at.included = m.included;
	if (!m.included) {
		struct walk_found found = found_at(&at, WALK_EXCLUDED);
		int rc;

		found.first = true;
		rc = give(w, &found, name);
		if (rc < 0 || !m.recurse)
			return rc;
	}
	return visit_included(w, &at);
}

/* The root; then the queue's end. */
static void walk_root(struct walk *w)
{
	(void)visit(w, w->dirfd, w->name);
	give_batch(w, true);
	mutex_lock(&w->lock);
	w->done = true;
	cond_broadcast(&w->changed);
	mutex_unlock(&w->lock);
}

static void *run(void *arg)
{
	xattr_by_working_folder();
	walk_root(arg);
	return NULL;
}

/* --- the user's side --- */

int walk_new(struct walk **out, const struct walk_options *options, struct err *e)
{
	CLEANUP(walk_freep) struct walk *w = calloc(1, sizeof(*w));

	if (!w)
		return err_nomem(e, "walk");
	w->options = *options;
	w->closing = -1;
	mutex_init(&w->lock);
	cond_init(&w->changed);
	w->batches = calloc(BATCHES, sizeof(*w->batches));
	if (!w->batches)
		return err_nomem(e, "walk");
	*out = TAKE(w);
	return 0;
}

void walk_free(struct walk *w)
{
	if (!w)
		return;
	walk_end(w);
	for (size_t i = 0; w->batches && i < BATCHES; i++)
		buf_fini(&w->batches[i].text);
	free(w->batches);
	free(w->name);
	buf_fini(&w->path);
	cond_fini(&w->changed);
	mutex_fini(&w->lock);
	free(w);
}

int walk_begin(struct walk *w, int dirfd, const char *name, const char *path,
	       const struct stat *st, struct err *e)
{
	int rc = 0;

	walk_end(w);
	w->device = st->st_dev;
	w->dirfd = dirfd;
	free(w->name);
	w->name = strdup(name);
	w->path.len = 0;
	if (!w->name || buf_append(&w->path, path, strlen(path) + 1) < 0)
		return err_nomem(e, "path");
	w->batches[0].count = 0;
	w->batches[0].text.len = 0;
	w->threaded = S_ISDIR(st->st_mode);
	if (!w->threaded) {
		walk_root(w);
		return 0;
	}
	rc = thread_start(&w->thread, run, w, "walk", e);
	if (rc < 0)
		w->threaded = false;
	return rc;
}

static void close_left(struct walk *w)
{
	if (w->closing < 0)
		return;
	close(w->closing);
	w->closing = -1;
	w->closed++;
}

/* The batch used up goes back, the next one comes; false at the end. */
static bool take_batch(struct walk *w)
{
	bool any;

	mutex_lock(&w->lock);
	w->taken += w->has_batch;
	w->left = w->closed;
	if (w->filled - w->taken <= BATCHES - WAKE_AT)
		cond_broadcast(&w->changed);
	w->hungry = w->filled == w->taken && !w->done;
	w->flushed &= !w->hungry;
	while (w->hungry && !enough_locked(w))
		cond_wait(&w->changed, &w->lock);
	w->hungry = false;
	any = w->has_batch = w->filled > w->taken;
	mutex_unlock(&w->lock);
	w->next = 0;
	return any;
}

int walk_next(struct walk *w, const struct walk_found **out, struct err *e)
{
	struct batch *b;
	struct slot *s;

	close_left(w);
	for (;;) {
		b = &w->batches[w->taken % BATCHES];
		if (w->has_batch && w->next < b->count)
			break;
		if (!take_batch(w))
			return w->nomem ? err_nomem(e, "walk") : 0;
	}
	s = &b->slots[w->next++];
	s->found.path = (const char *)b->text.p + s->path_at;
	s->found.name = (const char *)b->text.p + s->name_at;
	if (s->found.kind == WALK_LEFT)
		w->closing = s->found.fd;
	*out = &s->found;
	return 1;
}

/* Folders that nobody will leave. */
static void close_rest(struct walk *w)
{
	for (uint64_t n = w->taken; n <= w->filling && n < w->taken + BATCHES; n++) {
		struct batch *b = &w->batches[n % BATCHES];

		for (size_t i = n == w->taken ? w->next : 0; i < b->count; i++)
			if (b->slots[i].found.kind == WALK_LEFT)
				close(b->slots[i].found.fd);
		b->count = 0;
		b->text.len = 0;
	}
}

void walk_end(struct walk *w)
{
	mutex_lock(&w->lock);
	atomic_store(&w->ending, true);
	cond_broadcast(&w->changed);
	mutex_unlock(&w->lock);
	if (w->threaded)
		thread_join(w->thread);
	close_left(w);
	close_rest(w);
	w->threaded = w->has_batch = w->done = w->nomem = w->hungry = w->flushed = false;
	w->filled = w->taken = w->filling = w->left = w->closed = w->opened = 0;
	w->next = w->depth = 0;
	atomic_store(&w->ending, false);
}
