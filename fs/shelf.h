#ifndef FS_SHELF_H
#define FS_SHELF_H

/*
 * shelf.h - the archives a view may show, by number; each is opened when first asked for.
 *
 * Opening an archive that is not in the cache folder decodes it, which takes its time, so it
 * happens on threads of the shelf, once however many ask.  Only so many stay open: who was not
 * asked for longest is closed, and opened again on demand.
 *
 * Threads: any; one mutex, never held during I/O or a callback.
 */

#include "core/archive/reader.h"
#include "core/archive/tree_build.h"
#include "fs/volume.h"

struct shelf;

/* Makes a tree that is not one archive's, on a thread that may wait.  -ECANCELED: *stop has become
 * true. */
typedef int shelf_make(void *arg, const _Atomic bool *stop, struct tree **out, struct err *e);

struct shelf_options {
	struct reader *reader;
	shelf_make *make; /* NULL: trees come from their archives */
	void *make_arg;
	const struct attr_policy *policy;
	struct tree_options tree; /* a matcher or strip_components: nothing is cached */
};

int shelf_open(struct shelf **out, const struct shelf_options *options, struct err *e);
/* Gives up what is under way, calls all who wait; does nothing for NULL. */
void shelf_close(struct shelf *s);
DEFINE_CLEANUP(struct shelf *, shelf_close);

/* Announce archive `number`; one that is there already stays as it is. */
int shelf_add(struct shelf *s, uint32_t number, const struct chunk_id *id, struct bytes name,
	      struct err *e);
/* The repository has it no longer: what is open serves on, nothing is opened any more. */
void shelf_retire(struct shelf *s, uint32_t number);

/* The open archive, with a reference: 0; -EINPROGRESS not open, see shelf_await(); -ESTALE no
 * such archive (any more); or why it cannot be opened. */
int shelf_take(struct shelf *s, uint32_t number, struct volume **out, struct err *e);
/* Attributes of its topmost directory, if they are known without decoding: 1, or 0. */
int shelf_root(struct shelf *s, uint32_t number, struct stat *out);
/* As view_await(). */
bool shelf_await(struct shelf *s, uint32_t number, void (*fn)(void *), void *arg);
/* As shelf_take(), but waits. */
int shelf_take_wait(struct shelf *s, uint32_t number, struct volume **out, struct err *e);
/* `v` turned out to be unreadable (its cache file is damaged): it is closed and will be built
 * again.  False where that was tried too often. */
bool shelf_spoiled(struct shelf *s, uint32_t number, const struct volume *v);

#endif
