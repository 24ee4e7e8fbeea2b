/* table.c - see table.h. */

#include "core/base/table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static size_t slot_size(const struct table *t)
{
	return t->key_size + t->value_size;
}

static uint8_t *slot_at(const struct table *t, size_t index)
{
	return t->slots + index * slot_size(t);
}

static uint8_t *occupied(const struct table *t)
{
	return t->slots + t->capacity * slot_size(t);
}

static size_t home_of(const struct table *t, const void *key)
{
	return (size_t)XXH3_64bits_withSeed(key, t->key_size, t->seed) & (t->capacity - 1);
}

void table_init(struct table *t, size_t key_size, size_t value_size)
{
	*t = (struct table){ .key_size = key_size, .value_size = value_size };
	/* Without entropy the seed stays 0: slower under attack, never wrong. */
	if (getrandom(&t->seed, sizeof(t->seed), GRND_NONBLOCK) < 0)
		t->seed = 0;
}

void table_fini(struct table *t)
{
	free(t->slots);
	t->slots = NULL;
	t->capacity = t->count = 0;
}

/* The slot that holds key, or the free one where it belongs.  Needs a free slot. */
static size_t find(const struct table *t, const void *key)
{
	size_t i = home_of(t, key);

	while (occupied(t)[i] && memcmp(slot_at(t, i), key, t->key_size) != 0)
		i = (i + 1) & (t->capacity - 1);
	return i;
}

void *table_get(const struct table *t, const void *key)
{
	size_t i;

	if (t->count == 0)
		return NULL;
	i = find(t, key);
	return occupied(t)[i] ? slot_at(t, i) + t->key_size : NULL;
}

static bool grow(struct table *t)
{
	struct table bigger = *t;

	bigger.capacity = t->capacity ? 2 * t->capacity : 16;
	if (bigger.capacity > SIZE_MAX / (slot_size(t) + 1))
		return false;
	bigger.slots = calloc(bigger.capacity, slot_size(t) + 1);
	if (!bigger.slots)
		return false;
	for (size_t i = 0; i < t->capacity; i++) {
		size_t to;

		if (!occupied(t)[i])
			continue;
		to = find(&bigger, slot_at(t, i));
		memcpy(slot_at(&bigger, to), slot_at(t, i), slot_size(t));
		occupied(&bigger)[to] = 1;
	}
	free(t->slots);
	*t = bigger;
	return true;
}

void *table_put(struct table *t, const void *key, bool *created)
{
	size_t i;

	if (t->count >= t->capacity - t->capacity / 4 && !grow(t))
		return NULL;
	i = find(t, key);
	if (created)
		*created = !occupied(t)[i];
	if (!occupied(t)[i]) {
		memcpy(slot_at(t, i), key, t->key_size);
		memset(slot_at(t, i) + t->key_size, 0, t->value_size);
		occupied(t)[i] = 1;
		t->count++;
	}
	return slot_at(t, i) + t->key_size;
}

bool table_remove(struct table *t, const void *key)
{
	size_t mask = t->capacity - 1, hole, i;

	if (!table_get(t, key))
		return false;
	hole = find(t, key);
	for (i = (hole + 1) & mask; occupied(t)[i]; i = (i + 1) & mask) {
		size_t home = home_of(t, slot_at(t, i));

		/* An entry moves into the hole unless its home lies behind the hole. */
		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		memcpy(slot_at(t, hole), slot_at(t, i), slot_size(t));
		hole = i;
	}
	occupied(t)[hole] = 0;
	t->count--;
	return true;
}

bool table_next(const struct table *t, size_t *cursor, const void **key, void **value)
{
	for (; *cursor < t->capacity; ++*cursor) {
		if (!occupied(t)[*cursor])
			continue;
		*key = slot_at(t, *cursor);
		*value = slot_at(t, *cursor) + t->key_size;
		++*cursor;
		return true;
	}
	return false;
}
