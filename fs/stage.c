/*
 * stage.c - see stage.h: nodes, names, links.
 *
 * A number is slot and generation: the low 32 bits say where the node is, the next 31 how many were
 * there before it; a slot whose generations are used up is not used again.
 */

#include "fs/stage_internal.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <xxhash.h>

enum {
	SLOTS_FIRST = 64,
	ORDER_SLACK = 32, /* places of names that are gone, kept without a reason */
	LINKS_MAX = 65000,
};

#define GENERATION_MAX UINT32_C(0x7ffffffe)

static struct name gone; /* in a slot: was taken, search on */

struct timespec stage_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

/* --- nodes --- */

struct node *stage_find(const struct stage *s, uint64_t number)
{
	uint32_t slot = (uint32_t)number;

	if (slot >= s->node_cap || !s->nodes[slot] || s->nodes[slot]->number != number)
		return NULL;
	return s->nodes[slot];
}

static int grow_nodes(struct stage *s)
{
	size_t cap = s->node_cap ? 2 * s->node_cap : SLOTS_FIRST;
	struct node **nodes = reallocarray(s->nodes, cap, sizeof(*nodes));
	uint32_t *generations;

	if (!nodes)
		return -ENOMEM;
	s->nodes = nodes;
	generations = reallocarray(s->generations, cap, sizeof(*generations));
	if (!generations)
		return -ENOMEM;
	s->generations = generations;
	memset(nodes + s->node_cap, 0, (cap - s->node_cap) * sizeof(*nodes));
	memset(generations + s->node_cap, 0, (cap - s->node_cap) * sizeof(*generations));
	s->free_slot = (uint32_t)s->node_cap;
	s->node_cap = cap;
	return 0;
}

/* A slot for one more node.  -ENOSPC where four thousand million have been there. */
static int find_slot(struct stage *s, uint32_t *out)
{
	for (size_t tries = 0; tries < 2; tries++) {
		for (size_t i = s->free_slot; i < s->node_cap; i++)
			if (!s->nodes[i] && s->generations[i] < GENERATION_MAX) {
				*out = (uint32_t)i;
				s->free_slot = (uint32_t)i + 1;
				return 0;
			}
		/* From the start again where it is worth it: half are free. */
		s->free_slot = 0;
		if (s->node_count > s->node_cap / 2)
			break;
	}
	if (s->node_cap > UINT32_MAX / 2)
		return -ENOSPC;
	if (grow_nodes(s) < 0)
		return -ENOMEM;
	*out = s->free_slot++;
	return 0;
}

static struct directory *new_directory(struct node *parent)
{
	struct directory *d = calloc(1, sizeof(*d));

	if (d)
		d->parent = parent;
	return d;
}

static struct node *archive_of(const struct stage *s, const struct node *n)
{
	return s->nodes[n->archive];
}

/* The slot of what n belongs to once it is in dir: a directory of the root, or the root. */
static uint32_t archive_in(const struct stage *s, const struct node *n, const struct node *dir)
{
	return dir == s->root && S_ISDIR(n->mode) ? (uint32_t)n->number : dir->archive;
}

/* dir: in which it will be; NULL for the root. */
static int new_node(struct stage *s, const struct node *dir, mode_t kind, struct node **out)
{
	struct node *n = calloc(1, sizeof(*n));
	uint32_t slot;
	int rc = n ? find_slot(s, &slot) : -ENOMEM;

	if (rc == 0 && S_ISDIR(kind)) {
		n->of.dir = new_directory(NULL);
		rc = n->of.dir ? 0 : -ENOMEM;
	}
	if (rc < 0) {
		free(n);
		return rc;
	}
	n->number = STAGE_BIT | (uint64_t)s->generations[slot] << 32 | slot;
	n->mode = kind & S_IFMT;
	n->atime = n->mtime = n->ctime = stage_now();
	s->nodes[slot] = n;
	n->archive = dir ? archive_in(s, n, dir) : slot;
	if (n->archive != slot)
		archive_of(s, n)->of.dir->members++;
	s->node_count++;
	s->bytes += sizeof(*n);
	*out = n;
	return 0;
}

static bool is_unused(const struct node *n)
{
	return n->nlink == 0 && n->holds == 0 && (!S_ISDIR(n->mode) || n->of.dir->members == 0);
}

/* The node is no more; its content, if any, is the caller's to dispose of. */
static struct stage_content *free_node(struct stage *s, struct node *n)
{
	struct stage_content *content = S_ISREG(n->mode) ? n->of.content : NULL;
	uint32_t slot = (uint32_t)n->number;
	struct node *archive = archive_of(s, n);

	stage_free_xattrs(s, n);
	if (S_ISDIR(n->mode)) {
		free(n->of.dir->names.slots);
		free(n->of.dir->names.order);
		free(n->of.dir);
	} else if (S_ISLNK(n->mode)) {
		free(n->of.target);
	}
	s->nodes[slot] = NULL;
	s->generations[slot]++;
	s->node_count--;
	s->bytes -= sizeof(*n);
	free(n);
	if (archive != n && --archive->of.dir->members == 0 && is_unused(archive))
		(void)free_node(s, archive);
	return content;
}

static void dispose(const struct stage *s, struct stage_content *content)
{
	if (content && s->options.dispose)
		s->options.dispose(s->options.arg, content);
}

/* After a name or a hold has gone: the content to be disposed of, or NULL. */
static struct stage_content *drop_unused(struct stage *s, struct node *n)
{
	return is_unused(n) ? free_node(s, n) : NULL;
}

void stage_describe(const struct stage *s, const struct node *n, struct stage_node *out)
{
	*out = (struct stage_node){
		.st = { .st_ino = n->number,
			.st_mode = n->mode,
			.st_nlink = n->nlink,
			.st_uid = n->uid,
			.st_gid = n->gid,
			.st_rdev = n->rdev,
			.st_size = (off_t)n->size,
			.st_blksize = 4096,
			.st_blocks = (blkcnt_t)((n->size + 511) / 512),
			.st_atim = n->atime,
			.st_mtim = n->mtime,
			.st_ctim = n->ctime },
		.flags = n->flags,
		.frozen = s->root != n && archive_of(s, n)->of.dir->frozen,
		.content = S_ISREG(n->mode) ? n->of.content : NULL,
	};
}

/* --- names of a directory --- */

static uint32_t hash_of(const struct stage *s, struct bytes text)
{
	return (uint32_t)XXH3_64bits_withSeed(text.p, text.len, s->seed);
}

static struct name **slot_of(const struct names *names, uint32_t hash, struct bytes text)
{
	for (size_t i = hash; names->cap; i++) {
		struct name **slot = &names->slots[i & (names->cap - 1)];

		if (!*slot)
			return NULL;
		if (*slot != &gone && (*slot)->hash == hash && (*slot)->len == text.len &&
		    memcmp((*slot)->text, text.p, text.len) == 0)
			return slot;
	}
	return NULL;
}

static struct name *find_name(const struct stage *s, const struct node *dir, struct bytes text)
{
	struct name **slot = slot_of(&dir->of.dir->names, hash_of(s, text), text);

	return slot ? *slot : NULL;
}

static void put_slot(struct name **slots, size_t cap, struct name *name)
{
	size_t i = name->hash;

	while (slots[i & (cap - 1)])
		i++;
	slots[i & (cap - 1)] = name;
}

/* Room for one more name, at most three quarters full. */
static int reserve_slot(struct names *names)
{
	size_t cap = names->cap ? names->cap : 8;
	struct name **slots;

	if (names->cap && names->used + 1 <= names->cap / 4 * 3)
		return 0;
	while (names->count + 1 > cap / 2)
		cap *= 2;
	slots = calloc(cap, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < names->cap; i++)
		if (names->slots[i] && names->slots[i] != &gone)
			put_slot(slots, cap, names->slots[i]);
	free(names->slots);
	names->slots = slots;
	names->cap = cap;
	names->used = names->count;
	return 0;
}

static void close_gaps(struct names *names)
{
	size_t kept = 0;

	for (size_t i = 0; i < names->order_len; i++)
		if (names->order[i].name)
			names->order[kept++] = names->order[i];
	names->order_len = kept;
}

static int reserve_place(struct names *names)
{
	size_t cap = names->order_cap ? 2 * names->order_cap : 8;
	struct place *order;

	if (names->order_len < names->order_cap)
		return 0;
	order = reallocarray(names->order, cap, sizeof(*order));
	if (!order)
		return -ENOMEM;
	names->order = order;
	names->order_cap = cap;
	return 0;
}

/* The first place behind a cookie. */
static size_t place_behind(const struct names *names, uint64_t cookie)
{
	size_t low = 0, high = names->order_len;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (names->order[mid].cookie <= cookie)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* A name that is in no directory yet. */
static struct name *make_name(const struct stage *s, struct bytes text)
{
	struct name *name = malloc(sizeof(*name) + text.len);

	if (!name)
		return NULL;
	*name = (struct name){ .hash = hash_of(s, text), .len = (uint16_t)text.len };
	memcpy(name->text, text.p, text.len);
	return name;
}

static int reserve_name(struct node *dir)
{
	struct names *names = &dir->of.dir->names;
	int rc = reserve_slot(names);

	return rc == 0 ? reserve_place(names) : rc;
}

/* There is room: this cannot fail. */
static void add_name(struct stage *s, struct node *dir, struct name *name, struct node *n)
{
	struct names *names = &dir->of.dir->names;

	name->node = n;
	name->cookie = ++names->last_cookie;
	put_slot(names->slots, names->cap, name);
	names->used++;
	names->count++;
	names->order[names->order_len++] = (struct place){ name->cookie, name };
	s->bytes += sizeof(*name) + name->len + sizeof(struct place) + 2 * sizeof(name);
	if (S_ISDIR(n->mode)) {
		n->of.dir->parent = dir;
		dir->nlink++;
	}
}

/* The name is out of the directory, and the caller's. */
static void take_name(struct stage *s, struct node *dir, struct name *name)
{
	struct names *names = &dir->of.dir->names;
	struct bytes text = { name->text, name->len };
	size_t place = place_behind(names, name->cookie) - 1;

	*slot_of(names, name->hash, text) = &gone;
	names->order[place].name = NULL;
	names->count--;
	if (names->order_len > 2 * names->count + ORDER_SLACK)
		close_gaps(names);
	s->bytes -= sizeof(*name) + name->len + sizeof(struct place) + 2 * sizeof(name);
	if (S_ISDIR(name->node->mode)) {
		name->node->of.dir->parent = NULL;
		dir->nlink--;
	}
}

static int check_name(struct bytes name)
{
	if (name.len > STAGE_NAME_MAX)
		return -ENAMETOOLONG;
	if (name.len == 0 || memchr(name.p, '/', name.len) || memchr(name.p, 0, name.len) ||
	    bytes_is(name, ".") || bytes_is(name, ".."))
		return -EINVAL;
	return 0;
}

/* --- under the lock: what every call begins with --- */

static int find_dir(const struct stage *s, uint64_t number, struct node **out)
{
	*out = stage_find(s, number);
	if (!*out)
		return -ESTALE;
	return S_ISDIR((*out)->mode) ? 0 : -ENOTDIR;
}

static int check_frozen(const struct stage *s, const struct node *n)
{
	return n != s->root && archive_of(s, n)->of.dir->frozen ? -EROFS : 0;
}

int stage_check_change(const struct stage *s, const struct node *n)
{
	int rc = check_frozen(s, n);

	return rc == 0 && n->flags & (FS_IMMUTABLE_FL | FS_APPEND_FL) ? -EPERM : rc;
}

/* A directory in which something may be made: it has a name itself. */
static int find_live_dir(const struct stage *s, uint64_t number, struct node **out)
{
	int rc = find_dir(s, number, out);

	if (rc == 0)
		rc = check_frozen(s, *out);
	if (rc == 0 && (*out)->nlink == 0)
		rc = -ENOENT;
	return rc == 0 && (*out)->flags & FS_IMMUTABLE_FL ? -EPERM : rc;
}

static int find_entry(const struct stage *s, uint64_t dir, struct bytes text,
		      struct node **dir_out, struct name **out)
{
	int rc = find_dir(s, dir, dir_out);

	if (rc == 0)
		rc = check_name(text);
	if (rc < 0)
		return rc;
	*out = find_name(s, *dir_out, text);
	return *out ? 0 : -ENOENT;
}

/* The same for one that is to lose its place. */
static int find_removable(const struct stage *s, uint64_t dir, struct bytes text,
			  struct node **dir_out, struct name **out)
{
	int rc = find_entry(s, dir, text, dir_out, out);

	if (rc == 0)
		rc = stage_check_change(s, *dir_out);
	return rc == 0 ? stage_check_change(s, (*out)->node) : rc;
}

static void touch_dir(struct node *dir)
{
	dir->mtime = dir->ctime = stage_now();
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
		(void)drop_unused(s, *at);
		*at = up;
		return NULL;
	}
	name = d->names.order[--d->names.order_len].name;
	n = name->node;
	s->bytes -= sizeof(*name) + name->len + sizeof(struct place) + 2 * sizeof(name);
	free(name);
	if (S_ISDIR(n->mode)) {
		*at = n;
		return NULL;
	}
	n->nlink--;
	return drop_unused(s, n);
}

/* In steps, so that nobody waits for the whole. */
static void dissolve(struct stage *s, struct node *archive)
{
	while (archive) {
		struct stage_content *content;

		mutex_lock(&s->lock);
		content = dissolve_step(s, &archive);
		mutex_unlock(&s->lock);
		dispose(s, content);
	}
}

static uint64_t count_held(const struct stage *s, uint32_t archive)
{
	uint64_t held = 0;

	for (size_t i = 0; i < s->node_cap; i++)
		held += s->nodes[i] && s->nodes[i]->archive == archive &&
			s->nodes[i]->holds > 0;
	return held;
}

/* Out of the root: it keeps its link count, and has no directory above it. */
static void take_out(struct stage *s, struct node *archive)
{
	struct names *names = &s->root->of.dir->names;
	struct name *name = NULL;

	for (size_t i = 0; i < names->order_len; i++)
		if (names->order[i].name && names->order[i].name->node == archive)
			name = names->order[i].name;
	take_name(s, s->root, name);
	free(name);
	touch_dir(s->root);
}

int stage_freeze(struct stage *s, uint64_t dir)
{
	struct node *n, *unheld = NULL;
	int rc;

	mutex_lock(&s->lock);
	rc = find_dir(s, dir, &n);
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
	rc = find_entry(s, dir, name, &d, &found);
	if (rc == 0)
		stage_describe(s, found->node, out);
	mutex_unlock(&s->lock);
	return rc == -EINVAL ? -ENOENT : rc;
}

int stage_parent(struct stage *s, uint64_t dir, struct stage_node *out)
{
	struct node *d;
	int rc;

	mutex_lock(&s->lock);
	rc = find_dir(s, dir, &d);
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
		*out = archive_of(s, n)->number;
	mutex_unlock(&s->lock);
	return rc;
}

int stage_list(struct stage *s, uint64_t dir, uint64_t after, stage_list_fn *fn, void *arg)
{
	struct stage_node node;
	struct node *d;
	int rc, stop = 0;

	mutex_lock(&s->lock);
	rc = find_dir(s, dir, &d);
	for (size_t i = rc == 0 ? place_behind(&d->of.dir->names, after) : 0;
	     rc == 0 && stop == 0 && i < d->of.dir->names.order_len; i++) {
		const struct name *name = d->of.dir->names.order[i].name;

		if (!name)
			continue;
		stage_describe(s, name->node, &node);
		stop = fn(arg, (struct bytes){ name->text, name->len }, &node, name->cookie);
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
	if (check_frozen(s, n) < 0 && n->holds == 0)
		archive_of(s, n)->of.dir->held += times > 0;
	n->holds += times;
}

int stage_next_file(struct stage *s, uint64_t *cursor, struct stage_node *out)
{
	struct node *n = NULL;

	mutex_lock(&s->lock);
	while (!n && *cursor < s->node_cap) {
		n = s->nodes[(*cursor)++];
		if (n && (!S_ISREG(n->mode) || check_frozen(s, n) < 0))
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
	struct node *archive = archive_of(s, n);

	if (n->holds > 0 || --archive->of.dir->held > 0)
		return NULL;
	return archive;
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
		if (check_frozen(s, n) < 0)
			last = let_go_frozen(s, n);
		if (!last)
			content = drop_unused(s, n);
	}
	mutex_unlock(&s->lock);
	dispose(s, content);
	dissolve(s, last);
}

/* --- making --- */

static int fill_node(struct node *n, const struct stage_making *what)
{
	if (S_ISREG(n->mode)) {
		n->of.content = what->content;
	} else if (S_ISLNK(n->mode)) {
		n->of.target = strndup((const char *)what->target.p, what->target.len);
		n->size = what->target.len;
		if (!n->of.target)
			return -ENOMEM;
	} else if (S_ISCHR(n->mode) || S_ISBLK(n->mode)) {
		n->rdev = what->rdev;
	}
	return 0;
}

/* Owner and mode; a directory with set-group-ID hands its group down, and to directories the bit. */
static int give_owner(struct stage *s, const struct node *dir, struct node *n,
		      const struct stage_maker *who, mode_t mode)
{
	n->uid = who->uid;
	n->gid = who->gid;
	mode &= 07777;
	if (dir->mode & S_ISGID) {
		n->gid = dir->gid;
		if (S_ISDIR(n->mode))
			mode |= S_ISGID;
	}
	if (S_ISLNK(n->mode)) {
		n->mode |= 0777;
		return 0;
	}
	return stage_inherit(s, dir, n, mode, who->umask);
}

static int make_locked(struct stage *s, uint64_t dir, struct bytes text,
		       const struct stage_maker *who, const struct stage_making *what,
		       struct stage_node *out)
{
	CLEANUP(cleanup_freep) struct name *name = NULL;
	struct node *d, *n = NULL;
	int rc = find_live_dir(s, dir, &d);

	if (rc == 0)
		rc = check_name(text);
	if (rc == 0 && find_name(s, d, text))
		rc = -EEXIST;
	if (rc == 0)
		rc = reserve_name(d);
	if (rc == 0 && !(name = make_name(s, text)))
		rc = -ENOMEM;
	if (rc == 0)
		rc = new_node(s, d, what->mode, &n);
	if (rc == 0)
		rc = fill_node(n, what);
	if (rc == 0)
		rc = give_owner(s, d, n, who, what->mode);
	if (rc < 0) {
		if (n)
			(void)free_node(s, n); /* its content stays the caller's */
		return rc;
	}
	n->nlink = S_ISDIR(n->mode) ? 2 : 1;
	add_name(s, d, TAKE(name), n);
	touch_dir(d);
	stage_describe(s, n, out);
	return 0;
}

int stage_make(struct stage *s, uint64_t dir, struct bytes name, const struct stage_maker *who,
	       const struct stage_making *what, struct stage_node *out)
{
	int rc;

	mutex_lock(&s->lock);
	rc = make_locked(s, dir, name, who, what, out);
	mutex_unlock(&s->lock);
	return rc;
}

static int link_locked(struct stage *s, uint64_t node, uint64_t dir, struct bytes text,
		       struct stage_node *out)
{
	struct node *n = stage_find(s, node), *d;
	struct name *name;
	int rc = find_live_dir(s, dir, &d);

	if (!n)
		return -ESTALE;
	if (rc == 0)
		rc = check_name(text);
	if (rc < 0)
		return rc;
	if (S_ISDIR(n->mode))
		return -EPERM;
	if (n->nlink == 0)
		return -ENOENT;
	if (find_name(s, d, text))
		return -EEXIST;
	if (n->archive != d->archive)
		return -EXDEV;
	rc = stage_check_change(s, n);
	if (rc < 0)
		return rc;
	if (n->nlink >= LINKS_MAX)
		return -EMLINK;
	rc = reserve_name(d);
	name = rc == 0 ? make_name(s, text) : NULL;
	if (!name)
		return -ENOMEM;
	n->nlink++;
	n->ctime = stage_now();
	add_name(s, d, name, n);
	touch_dir(d);
	stage_describe(s, n, out);
	return 0;
}

int stage_link(struct stage *s, uint64_t node, uint64_t dir, struct bytes name,
	       struct stage_node *out)
{
	int rc;

	mutex_lock(&s->lock);
	rc = link_locked(s, node, dir, name, out);
	mutex_unlock(&s->lock);
	return rc;
}

/* --- removing --- */

/* The node has lost a name: a directory its only one. */
static struct stage_content *lose_name(struct stage *s, struct node *n)
{
	n->nlink = S_ISDIR(n->mode) ? 0 : n->nlink - 1;
	n->ctime = stage_now();
	return drop_unused(s, n);
}

static struct stage_content *remove_name(struct stage *s, struct node *dir, struct name *name)
{
	struct node *n = name->node;

	take_name(s, dir, name);
	free(name);
	touch_dir(dir);
	return lose_name(s, n);
}

int stage_unlink(struct stage *s, uint64_t dir, struct bytes name)
{
	struct stage_content *content = NULL;
	struct name *found;
	struct node *d;
	int rc;

	mutex_lock(&s->lock);
	rc = find_removable(s, dir, name, &d, &found);
	if (rc == 0 && S_ISDIR(found->node->mode))
		rc = -EISDIR;
	if (rc == 0)
		content = remove_name(s, d, found);
	mutex_unlock(&s->lock);
	dispose(s, content);
	return rc;
}

int stage_rmdir(struct stage *s, uint64_t dir, struct bytes name)
{
	struct name *found;
	struct node *d;
	int rc;

	mutex_lock(&s->lock);
	rc = find_removable(s, dir, name, &d, &found);
	if (rc == 0 && !S_ISDIR(found->node->mode))
		rc = -ENOTDIR;
	if (rc == 0 && found->node->of.dir->names.count > 0)
		rc = -ENOTEMPTY;
	if (rc == 0)
		(void)remove_name(s, d, found);
	mutex_unlock(&s->lock);
	return rc;
}

/* --- renaming --- */

struct move { /* of one name */
	struct node *dir;
	struct bytes text;
	struct name *name; /* NULL: nothing is there */
};

static bool is_below(const struct node *d, const struct node *top)
{
	for (; d; d = d->of.dir->parent)
		if (d == top)
			return true;
	return false;
}

/* May `what` go to `where`?  Only a directory can be put below itself. */
static bool into_itself(const struct node *what, const struct node *where)
{
	return S_ISDIR(what->mode) && is_below(where, what);
}

static int check_replaced(const struct node *old, const struct node *by)
{
	if (S_ISDIR(by->mode) && !S_ISDIR(old->mode))
		return -ENOTDIR;
	if (!S_ISDIR(by->mode) && S_ISDIR(old->mode))
		return -EISDIR;
	if (S_ISDIR(old->mode) && old->of.dir->names.count > 0)
		return -ENOTEMPTY;
	return 0;
}

static void moved(struct node *n, struct node *from, struct node *to)
{
	n->ctime = stage_now();
	touch_dir(from);
	touch_dir(to);
}

/* The nodes of a tree, each directory before what is in it, a file once for each of its names. */
static int list_tree(struct node *top, struct buf *out)
{
	int rc = buf_append(out, &top, sizeof(top));

	for (size_t at = 0; rc == 0 && at < out->len; at += sizeof(top)) {
		const struct names *names;
		struct node *d;

		memcpy(&d, out->p + at, sizeof(d));
		names = S_ISDIR(d->mode) ? &d->of.dir->names : NULL;
		for (size_t i = 0; rc == 0 && names && i < names->order_len; i++)
			if (names->order[i].name)
				rc = buf_append(out, &names->order[i].name->node, sizeof(d));
	}
	return rc;
}

static int compare_nodes(const void *a, const void *b)
{
	const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

	return (x > y) - (x < y);
}

/* Hard links may not end up in two archives.  Sorts the list, each node stays once. */
static int check_links(struct buf *list)
{
	struct node **v = (struct node **)(void *)list->p;
	size_t count = list->len / sizeof(*v), kept = 0;

	qsort(v, count, sizeof(*v), compare_nodes);
	for (size_t i = 0, end; i < count; i = end) {
		for (end = i + 1; end < count && v[end] == v[i];)
			end++;
		if (!S_ISDIR(v[i]->mode) && v[i]->nlink != end - i)
			return -EXDEV;
		v[kept++] = v[i];
	}
	list->len = kept * sizeof(*v);
	return 0;
}

/* What is to belong to another archive then: gathered before anything changes. */
static int prepare_move(const struct stage *s, struct node *n, const struct node *dir,
			struct buf *moving)
{
	int rc;

	if (n->archive == archive_in(s, n, dir))
		return 0;
	rc = list_tree(n, moving);
	return rc == 0 ? check_links(moving) : rc;
}

static void change_archive(struct stage *s, struct node *n, uint32_t archive)
{
	struct node *old = archive_of(s, n);

	if (old != n)
		old->of.dir->members--;
	n->archive = archive;
	if (archive_of(s, n) != n)
		archive_of(s, n)->of.dir->members++;
}

static void move_all(struct stage *s, const struct buf *moving, uint32_t archive)
{
	struct node *const *v = (struct node *const *)(const void *)moving->p;

	for (size_t i = 0; i < moving->len / sizeof(*v); i++)
		change_archive(s, v[i], archive);
}

/* Each takes the other's place: the names stay, what they stand for changes. */
static int exchange(struct stage *s, const struct move *a, const struct move *b)
{
	CLEANUP(buf_fini) struct buf to_b = BUF_INIT;
	CLEANUP(buf_fini) struct buf to_a = BUF_INIT;
	struct node *x = a->name->node, *y = b->name->node;
	int rc = stage_check_change(s, b->dir);

	if (rc == 0)
		rc = stage_check_change(s, y);
	if (rc == 0 && (into_itself(x, b->dir) || into_itself(y, a->dir)))
		rc = -EINVAL;
	if (rc == 0)
		rc = prepare_move(s, x, b->dir, &to_b);
	if (rc == 0)
		rc = prepare_move(s, y, a->dir, &to_a);
	if (rc < 0)
		return rc;
	move_all(s, &to_b, archive_in(s, x, b->dir));
	move_all(s, &to_a, archive_in(s, y, a->dir));
	if (S_ISDIR(x->mode)) {
		a->dir->nlink--;
		b->dir->nlink++;
		x->of.dir->parent = b->dir;
	}
	if (S_ISDIR(y->mode)) {
		b->dir->nlink--;
		a->dir->nlink++;
		y->of.dir->parent = a->dir;
	}
	a->name->node = y;
	b->name->node = x;
	moved(x, a->dir, b->dir);
	y->ctime = x->ctime;
	return 0;
}

static int replace(struct stage *s, const struct move *from, const struct move *to,
		   struct stage_content **content)
{
	CLEANUP(buf_fini) struct buf moving = BUF_INIT;
	struct node *n = from->name->node;
	struct name *name;
	int rc = into_itself(n, to->dir) ? -EINVAL : 0;

	if (rc == 0 && to->name && to->name->node == n)
		return 0; /* two names of one file: both stay */
	if (rc == 0 && to->name)
		rc = check_replaced(to->name->node, n);
	if (rc == 0 && to->name)
		rc = stage_check_change(s, to->name->node);
	if (rc == 0 && to->name)
		rc = stage_check_change(s, to->dir);
	if (rc == 0)
		rc = prepare_move(s, n, to->dir, &moving);
	if (rc == 0)
		rc = reserve_name(to->dir);
	name = rc == 0 ? make_name(s, to->text) : NULL;
	if (!name)
		return rc < 0 ? rc : -ENOMEM;
	if (to->name)
		*content = remove_name(s, to->dir, to->name);
	take_name(s, from->dir, from->name);
	free(from->name);
	add_name(s, to->dir, name, n);
	move_all(s, &moving, archive_in(s, n, to->dir));
	moved(n, from->dir, to->dir);
	return 0;
}

static int rename_locked(struct stage *s, struct move *from, struct move *to, uint64_t from_dir,
			 uint64_t to_dir, unsigned flags, struct stage_content **content)
{
	int rc = find_removable(s, from_dir, from->text, &from->dir, &from->name);

	if (rc == 0)
		rc = find_live_dir(s, to_dir, &to->dir);
	if (rc == 0)
		rc = check_name(to->text);
	if (rc < 0)
		return rc;
	to->name = find_name(s, to->dir, to->text);
	if (flags & RENAME_EXCHANGE)
		return to->name ? exchange(s, from, to) : -ENOENT;
	if (flags & RENAME_NOREPLACE && to->name)
		return -EEXIST;
	return replace(s, from, to, content);
}

int stage_rename(struct stage *s, uint64_t from_dir, struct bytes from, uint64_t to_dir,
		 struct bytes to, unsigned flags)
{
	struct move a = { .text = from }, b = { .text = to };
	struct stage_content *content = NULL;
	int rc;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	mutex_lock(&s->lock);
	rc = rename_locked(s, &a, &b, from_dir, to_dir, flags, &content);
	mutex_unlock(&s->lock);
	dispose(s, content);
	return rc;
}

/* --- life --- */

int stage_new(struct stage **out, const struct stage_options *options)
{
	CLEANUP(stage_freep) struct stage *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->options = *options;
	mutex_init(&s->lock);
	if (getrandom(&s->seed, sizeof(s->seed), 0) != sizeof(s->seed) ||
	    new_node(s, NULL, S_IFDIR, &s->root) < 0)
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
	return s->root->number;
}

static void free_all_names(struct names *names)
{
	for (size_t i = 0; i < names->order_len; i++)
		free(names->order[i].name);
}

void stage_free(struct stage *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->node_cap; i++)
		if (s->nodes[i] && S_ISDIR(s->nodes[i]->mode))
			free_all_names(&s->nodes[i]->of.dir->names);
	for (size_t i = 0; i < s->node_cap; i++)
		if (s->nodes[i] && s->nodes[i]->archive != i)
			dispose(s, free_node(s, s->nodes[i]));
	for (size_t i = s->node_cap; i-- > 0;) /* the root last */
		if (s->nodes[i])
			dispose(s, free_node(s, s->nodes[i]));
	free(s->nodes);
	free(s->generations);
	mutex_fini(&s->lock);
	free(s);
}

void stage_usage(struct stage *s, struct stage_usage *out)
{
	mutex_lock(&s->lock);
	*out = (struct stage_usage){
		.nodes = s->node_count,
		.bytes = s->bytes + s->node_cap * (sizeof(*s->nodes) + sizeof(*s->generations))
	};
	mutex_unlock(&s->lock);
}
