#ifndef PLATFORM_DIRS_H
#define PLATFORM_DIRS_H

/*
 * dirs.h - where Borg keeps keys and trust on this machine, and Alcove its caches.
 *
 * Borg's places: docs/format.md "Local state directories"; created on demand with mode 0700.
 * Alcove's cache is apart from Borg's: $ALCOVE_CACHE_DIR; else $BORG_CACHE_DIR/alcove; else
 * $XDG_CACHE_HOME/alcove (where BORG_BASE_DIR is unset); else BASE/.cache/alcove.
 * All results are on the heap.  Threads: reads the environment, so before threads start.
 */

#include "core/base/err.h"
#include "core/base/id.h"

int dirs_base(char **out, struct err *e);
int dirs_config(char **out, struct err *e);
int dirs_keys(char **out, struct err *e);
int dirs_security(const struct chunk_id *repository_id, char **out, struct err *e);
/* Borg's own cache folders, of all repositories and of one: only named in output, never touched by us. */
int dirs_borg_cache_top(char **out, struct err *e);
int dirs_borg_cache(const struct chunk_id *repository_id, char **out, struct err *e);
/* The folder that holds Alcove's caches of all repositories, created likewise. */
int dirs_cache_top(char **out, struct err *e);
/* Alcove's cache folder of a repository, created (0700, CACHEDIR.TAG in its parent). */
int dirs_cache(const struct chunk_id *repository_id, char **out, struct err *e);

#endif
