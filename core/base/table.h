#ifndef BASE_TABLE_H
#define BASE_TABLE_H

/*
 * table.h - a hash table from fixed-size keys to fixed-size values.
 *
 * Open addressing with linear probing; removal shifts entries back, so there are no
 * tombstones.  The hash is seeded at random for each table: keys may be hostile.
 * Pointers to values hold until the next put or remove; they are aligned to 8 where both sizes
 * are multiples of 8.
 *
 * Threads: readers may share a table that nobody changes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
	uint8_t *slots; /* capacity x (key, value), then capacity bytes of occupancy */
	size_t key_size;
	size_t value_size;
	size_t capacity; /* a power of two, or 0 */
	size_t count;
	uint64_t seed;
};

void table_init(struct table *t, size_t key_size, size_t value_size);
void table_fini(struct table *t); /* also a cleanup */

void *table_get(const struct table *t, const void *key); /* the value, or NULL */
/* The value of key, made (zeroed) where absent, which *created (may be NULL) tells; NULL
 * when out of memory. */
void *table_put(struct table *t, const void *key, bool *created);
bool table_remove(struct table *t, const void *key); /* was it there? */
/* Iterate: start with *cursor = 0; false at the end.  No put or remove meanwhile. */
bool table_next(const struct table *t, size_t *cursor, const void **key, void **value);

#endif
