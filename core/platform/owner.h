#ifndef PLATFORM_OWNER_H
#define PLATFORM_OWNER_H

/*
 * owner.h - user and group names of this machine and their numbers, looked up once each.
 *
 * Threads: any; a mutex guards the cache.
 */

#include "core/base/bytes.h"

#include <stdbool.h>

struct owner_cache;

struct owner_cache *owner_cache_new(void); /* NULL when out of memory */
void owner_cache_free(struct owner_cache *c);

/* The number of this name here, else `fallback`. */
uint32_t owner_uid(struct owner_cache *c, struct bytes name, uint32_t fallback);
uint32_t owner_gid(struct owner_cache *c, struct bytes name, uint32_t fallback);

/* The name of this number here, as long as the cache lives; empty where there is none. */
struct bytes owner_user(struct owner_cache *c, uint32_t uid);
struct bytes owner_group(struct owner_cache *c, uint32_t gid);

#endif
