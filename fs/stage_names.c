/* stage_names.c - see stage_internal.h: the names in a directory. */

#include "fs/stage_internal.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { ORDER_SLACK = 32 }; /* places of names that are gone, kept without a reason */

/* In a slot: was taken, search on. */
#define GONE UINT32_MAX

static uint32_t hash_of(const struct stage *s, struct bytes text)
{
	return (uint32_t)XXH3_64bits_withSeed(text.p, text.len, s->seed);
}

static uint32_t *slot_of(const struct names *names, uint32_t hash, struct bytes text)
{
	for (size_t i = hash; names->cap; i++) {
		uint32_t *slot = &names->slots[i & (names->cap - 1)];
		const struct name *name;

		if (!*slot)
			return NULL;
		if (*slot == GONE)
			continue;
		name = names->order[*slot - 1].name;
		if (name->hash == hash && name->len == text.len &&
		    memcmp(name->text, text.p, text.len) == 0)
			return slot;
	}
	return NULL;
}

struct name *stage_find_name(const struct stage *s, const struct node *dir, struct bytes text)
{
	const struct names *names = &dir->of.dir->names;
	const uint32_t *slot = slot_of(names, hash_of(s, text), text);

	return slot ? names->order[*slot - 1].name : NULL;
}

static void put_slot(struct names *names, size_t place)
{
	size_t i = names->order[place].name->hash;

	while (names->slots[i & (names->cap - 1)])
		i++;
	names->slots[i & (names->cap - 1)] = (uint32_t)place + 1;
}

/* Every name into its slot; they are empty. */
static void fill_slots(struct names *names)
{
	for (size_t i = 0; i < names->order_len; i++)
		if (names->order[i].name)
			put_slot(names, i);
	names->used = names->count;
}

/* Room for one more name, at most three quarters full. */
static int reserve_slot(struct names *names)
{
	size_t cap = names->cap ? names->cap : 8;
	uint32_t *slots;

	if (names->cap && names->used + 1 <= names->cap / 4 * 3)
		return 0;
	while (names->count + 1 > cap / 2)
		cap *= 2;
	slots = calloc(cap, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(names->slots);
	names->slots = slots;
	names->cap = cap;
	fill_slots(names);
	return 0;
}

static void close_gaps(struct names *names)
{
	size_t kept = 0;

	for (size_t i = 0; i < names->order_len; i++)
		if (names->order[i].name)
			names->order[kept++] = names->order[i];
	names->order_len = kept;
	memset(names->slots, 0, names->cap * sizeof(*names->slots));
	fill_slots(names);
}

static int reserve_place(struct names *names)
{
	size_t cap = names->order_cap + names->order_cap / 2 + 8;
	struct place *order;

	if (names->order_len < names->order_cap)
		return 0;
	if (cap >= GONE)
		return -ENOSPC;
	order = reallocarray(names->order, cap, sizeof(*order));
	if (!order)
		return -ENOMEM;
	names->order = order;
	names->order_cap = cap;
	return 0;
}

/* The first place behind a cookie. */
size_t stage_place_behind(const struct names *names, uint64_t cookie)
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
struct name *stage_make_name(const struct stage *s, struct bytes text)
{
	size_t len = offsetof(struct name, text) + text.len;
	struct name *name = malloc(
		len > sizeof(*name) ? len : sizeof(*name)); /* its padding is written, too */

	if (!name)
		return NULL;
	*name = (struct name){ .hash = hash_of(s, text), .len = (uint8_t)text.len };
	memcpy(name->text, text.p, text.len);
	return name;
}

int stage_reserve_name(struct node *dir)
{
	struct names *names = &dir->of.dir->names;
	int rc = reserve_slot(names);

	return rc == 0 ? reserve_place(names) : rc;
}

size_t stage_name_bytes(const struct name *name)
{
	return offsetof(struct name, text) + name->len + sizeof(struct place) +
	       2 * sizeof(uint32_t);
}

/* There is room: this cannot fail. */
void stage_add_name(struct stage *s, struct node *dir, struct name *name, struct node *n)
{
	struct names *names = &dir->of.dir->names;

	name->node = n->slot;
	names->order[names->order_len++] = (struct place){ ++names->last_cookie, name };
	put_slot(names, names->order_len - 1);
	names->used++;
	names->count++;
	s->bytes += stage_name_bytes(name);
	if (S_ISDIR(n->mode)) {
		n->of.dir->parent = dir;
		dir->nlink++;
	}
}

/* The name is out of the directory, and the caller's. */
void stage_take_name(struct stage *s, struct node *dir, struct name *name)
{
	struct names *names = &dir->of.dir->names;
	struct node *n = stage_named(s, name);
	uint32_t *slot = slot_of(names, name->hash, (struct bytes){ name->text, name->len });

	names->order[*slot - 1].name = NULL;
	*slot = GONE;
	names->count--;
	if (names->order_len > 2 * names->count + ORDER_SLACK)
		close_gaps(names);
	s->bytes -= stage_name_bytes(name);
	if (S_ISDIR(n->mode)) {
		n->of.dir->parent = NULL;
		dir->nlink--;
	}
}

int stage_check_name(struct bytes name)
{
	if (name.len > STAGE_NAME_MAX)
		return -ENAMETOOLONG;
	if (name.len == 0 || memchr(name.p, '/', name.len) || memchr(name.p, 0, name.len) ||
	    bytes_is(name, ".") || bytes_is(name, ".."))
		return -EINVAL;
	return 0;
}
