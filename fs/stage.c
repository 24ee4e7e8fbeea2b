/*
 * stage.c - see stage.h: nodes, what is asked of them, archives as a whole.
 */

#include "fs/stage_internal.h"

#include <assert.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Beyond the years 1677 and 2262 there is only the last moment of them. */
int64_t stage_to_ns(const struct timespec *t)
{
	int64_t ns;

	if (__builtin_mul_overflow((int64_t)t->tv_sec, INT64_C(1000000000), &ns) ||
	    __builtin_add_overflow(ns, (int64_t)t->tv_nsec, &ns))
		return t->tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

static struct timespec from_ns(int64_t ns)
{
	int64_t seconds = ns / 1000000000 - (ns % 1000000000 < 0);

	return (struct timespec){ seconds, (long)(ns - seconds * 1000000000) };
}
int64_t stage_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return stage_to_ns(&now);
}

/* --- nodes --- */

struct node *stage_find(const struct stage *s, uint64_t number)
{
	return number & STAGE_BIT ? slab_get(&s->nodes, number ^ STAGE_BIT) : NULL;
}

static struct directory *new_directory(struct node *parent)
{
	struct directory *d = calloc(1, sizeof(*d));

	if (d)
		d->parent = parent;
	return d;
}

struct node *stage_archive_of(const struct stage *s, const struct node *n)
{
	return slab_at(&s->nodes, n->archive);
}

/* The slot of what n belongs to once it is in dir: a directory of the root, or the root. */
uint32_t stage_archive_in(const struct stage *s, const struct node *n, const struct node *dir)
{
	return dir == s->root && S_ISDIR(n->mode) ? n->slot : dir->archive;
}

/* dir: in which it will be; NULL for the root. */
int stage_new_node(struct stage *s, const struct node *dir, mode_t kind, struct node **out)
{
	uint64_t number;
	struct node *n = slab_take(&s->nodes, &number);

	if (!n)
		return -ENOMEM;
	n->slot = (uint32_t)number;
	if (S_ISDIR(kind)) {
		n->of.dir = new_directory(NULL);
		if (!n->of.dir) {
			slab_give(&s->nodes, n->slot);
			return -ENOMEM;
		}
	}
	n->mode = kind & S_IFMT;
	n->atime = n->mtime = n->ctime = stage_now();
	n->archive = dir ? stage_archive_in(s, n, dir) : n->slot;
	if (n->archive != n->slot)
		stage_archive_of(s, n)->of.dir->members++;
	*out = n;
	return 0;
}

static bool is_unused(const struct node *n)
{
	return n->nlink == 0 && n->holds == 0 && (!S_ISDIR(n->mode) || n->of.dir->members == 0);
}

/* The node is no more; its content, if any, is the caller's to dispose of. */
struct stage_content *stage_free_node(struct stage *s, struct node *n)
{
	struct stage_content *content = S_ISREG(n->mode) ? n->of.content : NULL;
	struct node *archive = stage_archive_of(s, n);

	stage_free_xattrs(s, n);
	if (S_ISDIR(n->mode)) {
		free(n->of.dir->names.slots);
		free(n->of.dir->names.order);
		free(n->of.dir);
	} else if (S_ISLNK(n->mode)) {
		free(n->of.target);
	}
	slab_give(&s->nodes, n->slot);
	if (archive != n && --archive->of.dir->members == 0 && is_unused(archive))
		(void)stage_free_node(s, archive);
	return content;
}

void stage_dispose(const struct stage *s, struct stage_content *content)
{
	if (content && s->options.dispose)
		s->options.dispose(s->options.arg, content);
}

/* After a name or a hold has gone: the content to be disposed of, or NULL. */
struct stage_content *stage_drop_unused(struct stage *s, struct node *n)
{
	return is_unused(n) ? stage_free_node(s, n) : NULL;
}

void stage_describe(const struct stage *s, const struct node *n, struct stage_node *out)
{
	*out = (struct stage_node){
		.st = { .st_ino = stage_number(s, n),
			.st_mode = n->mode,
			.st_nlink = n->nlink,
			.st_uid = n->uid,
			.st_gid = n->gid,
			.st_rdev = S_ISCHR(n->mode) || S_ISBLK(n->mode) ? n->of.rdev : 0,
			.st_size = (off_t)n->size,
			.st_blksize = 4096,
			.st_blocks = (blkcnt_t)((n->size + 511) / 512),
			.st_atim = from_ns(n->atime),
			.st_mtim = from_ns(n->mtime),
			.st_ctim = from_ns(n->ctime) },
		.flags = n->flags,
		.frozen = s->root != n && stage_archive_of(s, n)->of.dir->frozen,
		.content = S_ISREG(n->mode) ? n->of.content : NULL,
	};
}

/* --- under the lock: what every call begins with --- */

int stage_find_dir(const struct stage *s, uint64_t number, struct node **out)
{
	*out = stage_find(s, number);
	if (!*out)
		return -ESTALE;
	return S_ISDIR((*out)->mode) ? 0 : -ENOTDIR;
}

int stage_check_frozen(const struct stage *s, const struct node *n)
{
	return n != s->root && stage_archive_of(s, n)->of.dir->frozen ? -EROFS : 0;
}

int stage_check_change(const struct stage *s, const struct node *n)
{
	int rc = stage_check_frozen(s, n);

	return rc == 0 && n->flags & (FS_IMMUTABLE_FL | FS_APPEND_FL) ? -EPERM : rc;
}

/* A directory in which something may be made: it has a name itself. */
int stage_find_live_dir(const struct stage *s, uint64_t number, struct node **out)
{
	int rc = stage_find_dir(s, number, out);

	if (rc == 0)
		rc = stage_check_frozen(s, *out);
	if (rc == 0 && (*out)->nlink == 0)
		rc = -ENOENT;
	return rc == 0 && (*out)->flags & FS_IMMUTABLE_FL ? -EPERM : rc;
}

int stage_find_entry(const struct stage *s, uint64_t dir, struct bytes text,
		     struct node **dir_out, struct name **out)
{
	int rc = stage_find_dir(s, dir, dir_out);

	if (rc == 0)
		rc = stage_check_name(text);
	if (rc < 0)
		return rc;
	*out = stage_find_name(s, *dir_out, text);
	return *out ? 0 : -ENOENT;
}

/* The same for one that is to lose its place. */
int stage_find_removable(const struct stage *s, uint64_t dir, struct bytes text,
			 struct node **dir_out, struct name **out)
{
	int rc = stage_find_entry(s, dir, text, dir_out, out);

	if (rc == 0)
		rc = stage_check_change(s, *dir_out);
	return rc == 0 ? stage_check_change(s, stage_named(s, *out)) : rc;
}

void stage_touch_dir(struct stage *s, struct node *dir)
{
	dir->mtime = dir->ctime = stage_now();
	stage_changed(s, dir);
}

/* --- a whole archive --- */

/* Take one node out of a frozen archive that nobody holds; *at is a directory of it, and NULL when
 * nothing is left. */
static struct stage_content *dissolve_step(struct stage *s, struct node **at)
{
	struct directory *d = (*at)->of.dir;
	struct node *up = d->parent, *n;
	struct name *name;

	while (d->names.order_len > 0 && !d->names.order[d->names.order_len - 1].name)
		d->names.order_len--;
	if (d->names.order_len == 0) {
		(*at)->nlink = 0;
		(void)stage_drop_unused(s, *at);
		*at = up;
		return NULL;
	}
	name = d->names.order[--d->names.order_len].name;
	n = stage_named(s, name);
	s->bytes -= stage_name_bytes(name);
	free(name);
	if (S_ISDIR(n->mode)) {
		*at = n;
		return NULL;
	}
	n->nlink--;
	return stage_drop_unused(s, n);
}

/* In steps, so that nobody waits for the whole. */
static void dissolve(struct stage *s, struct node *archive)
{
	while (archive) {
		struct stage_content *content;

		mutex_lock(&s->lock);
		content = dissolve_step(s, &archive);
		mutex_unlock(&s->lock);
		stage_dispose(s, content);
	}
}

static uint64_t count_held(const struct stage *s, uint32_t archive)
{
	uint64_t held = 0;

	for (uint64_t i = 0; i < slab_end(&s->nodes); i++) {
		const struct node *n = slab_at(&s->nodes, (uint32_t)i);

		held += n && n->archive == archive && n->holds > 0;
	}
	return held;
}

/* Out of the root: it keeps its link count, and has no directory above it. */
static void take_out(struct stage *s, struct node *archive)
{
	struct names *names = &s->root->of.dir->names;
	struct name *name = NULL;

	for (size_t i = 0; i < names->order_len; i++)
		if (names->order[i].name && names->order[i].name->node == archive->slot)
			name = names->order[i].name;
	stage_take_name(s, s->root, name);
	free(name);
	stage_touch_dir(s, s->root);
}

int stage_freeze(struct stage *s, uint64_t dir)
{
	struct node *n, *unheld = NULL;
	int rc;

	mutex_lock(&s->lock);
	rc = stage_find_dir(s, dir, &n);
	if (rc == 0 && (n == s->root || n->of.dir->parent != s->root))
		rc = -ENOENT;
	if (rc == 0) {
		take_out(s, n);
		n->of.dir->frozen = true;
		n->of.dir->held = count_held(s, n->archive);
		unheld = n->of.dir->held == 0 ? n : NULL;
	}
	mutex_unlock(&s->lock);
	dissolve(s, unheld);
	return rc;
}

/* --- looking --- */

int stage_get(struct stage *s, uint64_t node, struct stage_node *out)
{
	const struct node *n;

	mutex_lock(&s->lock);
	n = stage_find(s, node);
	if (n)
		stage_describe(s, n, out);
	mutex_unlock(&s->lock);
	return n ? 0 : -ESTALE;
}

int stage_lookup(struct stage *s, uint64_t dir, struct bytes name, struct stage_node *out)
{
	struct node *d;
	struct name *found;
	int rc;

	mutex_lock(&s->lock);
	rc = stage_find_entry(s, dir, name, &d, &found);
	if (rc == 0)
		stage_describe(s, stage_named(s, found), out);
	mutex_unlock(&s->lock);
	return rc == -EINVAL ? -ENOENT : rc;
}

int stage_parent(struct stage *s, uint64_t dir, struct stage_node *out)
{
	struct node *d;
	int rc;

	mutex_lock(&s->lock);
	rc = stage_find_dir(s, dir, &d);
	if (rc == 0 && d != s->root && !d->of.dir->parent)
		rc = -ENOENT;
	if (rc == 0)
		stage_describe(s, d == s->root ? d : d->of.dir->parent, out);
	mutex_unlock(&s->lock);
	return rc;
}

int stage_archive(struct stage *s, uint64_t node, uint64_t *out)
{
	const struct node *n;
	int rc;

	mutex_lock(&s->lock);
	n = stage_find(s, node);
	rc = !n ? -ESTALE : n == s->root ? -ENOENT : 0;
	if (rc == 0)
		*out = stage_number(s, stage_archive_of(s, n));
	mutex_unlock(&s->lock);
	return rc;
}

int stage_list(struct stage *s, uint64_t dir, uint64_t after, stage_list_fn *fn, void *arg)
{
	struct stage_node node;
	struct node *d;
	int rc, stop = 0;

	mutex_lock(&s->lock);
	rc = stage_find_dir(s, dir, &d);
	for (size_t i = rc == 0 ? stage_place_behind(&d->of.dir->names, after) : 0;
	     rc == 0 && stop == 0 && i < d->of.dir->names.order_len; i++) {
		const struct name *name = d->of.dir->names.order[i].name;

		if (!name)
			continue;
		stage_describe(s, stage_named(s, name), &node);
		stop = fn(arg, (struct bytes){ name->text, name->len }, &node,
			  d->of.dir->names.order[i].cookie);
	}
	mutex_unlock(&s->lock);
	return rc;
}

int stage_link_target(struct stage *s, uint64_t node, struct buf *out)
{
	const struct node *n;
	int rc = 0;

	mutex_lock(&s->lock);
	n = stage_find(s, node);
	if (!n || !S_ISLNK(n->mode))
		rc = n ? -EINVAL : -ESTALE;
	out->len = 0;
	if (rc == 0)
		rc = buf_append(out, n->of.target, n->size);
	mutex_unlock(&s->lock);
	return rc;
}

static void hold_locked(struct stage *s, struct node *n, uint64_t times)
{
	if (stage_check_frozen(s, n) < 0 && n->holds == 0)
		stage_archive_of(s, n)->of.dir->held += times > 0;
	n->holds += times;
}

int stage_next_file(struct stage *s, bool nameless, uint64_t *cursor, struct stage_node *out)
{
	struct node *n = NULL;

	mutex_lock(&s->lock);
	while (!n && *cursor < slab_end(&s->nodes)) {
		n = slab_at(&s->nodes, (uint32_t)(*cursor)++);
		if (n && (!S_ISREG(n->mode) || (nameless && n->nlink > 0) ||
			  stage_check_frozen(s, n) < 0))
			n = NULL;
	}
	if (n) {
		hold_locked(s, n, 1);
		stage_describe(s, n, out);
	}
	mutex_unlock(&s->lock);
	return n != NULL;
}

int stage_hold(struct stage *s, uint64_t node, uint64_t times)
{
	struct node *n;

	mutex_lock(&s->lock);
	n = stage_find(s, node);
	if (n)
		hold_locked(s, n, times);
	mutex_unlock(&s->lock);
	return n ? 0 : -ESTALE;
}

/* One hold of a frozen archive's node less; the archive when it was the last, to be freed. */
static struct node *let_go_frozen(struct stage *s, const struct node *n)
{
	struct node *archive = stage_archive_of(s, n);

	if (n->holds > 0 || --archive->of.dir->held > 0)
		return NULL;
	return archive;
}

static bool is_nameless_file(const struct node *n)
{
	return S_ISREG(n->mode) && n->nlink == 0;
}

bool stage_has_nameless(struct stage *s)
{
	bool some;

	mutex_lock(&s->lock);
	some = s->nameless > 0;
	mutex_unlock(&s->lock);
	return some;
}

void stage_release(struct stage *s, uint64_t node, uint64_t times)
{
	struct stage_content *content = NULL;
	struct node *n, *last = NULL;

	mutex_lock(&s->lock);
	n = stage_find(s, node);
	if (n && times > 0) {
		assert(n->holds >= times);
		n->holds -= times;
		if (stage_check_frozen(s, n) < 0)
			last = let_go_frozen(s, n);
		s->nameless -= is_nameless_file(n) && n->holds == 0;
		content = stage_drop_unused(s, n);
	}
	mutex_unlock(&s->lock);
	stage_dispose(s, content);
	dissolve(s, last);
}

/* --- life --- */

int stage_new(struct stage **out, const struct stage_options *options)
{
	CLEANUP(stage_freep) struct stage *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->options = *options;
	mutex_init(&s->lock);
	table_init(&s->stale, sizeof(uint64_t), 0);
	slab_init(&s->nodes, sizeof(struct node));
	if (getrandom(&s->seed, sizeof(s->seed), 0) != sizeof(s->seed) ||
	    stage_new_node(s, NULL, S_IFDIR, &s->root) < 0)
		return -ENOMEM;
	s->root->mode |= 0755;
	s->root->uid = options->uid;
	s->root->gid = options->gid;
	s->root->nlink = 2;
	*out = TAKE(s);
	return 0;
}

uint64_t stage_root(const struct stage *s)
{
	return stage_number(s, s->root);
}

static void free_all_names(struct names *names)
{
	for (size_t i = 0; i < names->order_len; i++)
		free(names->order[i].name);
}

void stage_free(struct stage *s)
{
	struct node *n;

	if (!s)
		return;
	for (uint64_t i = 0; i < slab_end(&s->nodes); i++) {
		n = slab_at(&s->nodes, (uint32_t)i);
		if (n && S_ISDIR(n->mode))
			free_all_names(&n->of.dir->names);
	}
	for (uint64_t i = 0; i < slab_end(&s->nodes); i++) {
		n = slab_at(&s->nodes, (uint32_t)i);
		if (n && n->archive != n->slot)
			stage_dispose(s, stage_free_node(s, n));
	}
	for (uint64_t i = slab_end(&s->nodes); i-- > 0;) { /* the root last */
		n = slab_at(&s->nodes, (uint32_t)i);
		if (n)
			stage_dispose(s, stage_free_node(s, n));
	}
	slab_fini(&s->nodes);
	table_fini(&s->stale);
	mutex_fini(&s->lock);
	free(s);
}

void stage_usage(struct stage *s, struct stage_usage *out)
{
	mutex_lock(&s->lock);
	*out = (struct stage_usage){
		.nodes = s->nodes.used,
		.bytes = s->bytes + slab_bytes(&s->nodes),
	};
	mutex_unlock(&s->lock);
}
