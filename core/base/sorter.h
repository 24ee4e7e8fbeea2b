#ifndef BASE_SORTER_H
#define BASE_SORTER_H

/*
 * sorter.h - any number of records in order of their keys, in little memory.
 *
 * Records gather in a buffer; when it is full they are sorted and go, as a run, to an unnamed
 * file; at the end the runs are merged.  Records with equal keys come out in the order in which
 * they were added.  What must not be read by others is sealed before it comes here.
 *
 * Threads: one user.
 */

#include "core/base/bytes.h"
#include "core/base/cleanup.h"
#include "core/base/err.h"

enum { SORTER_VALUE_MAX = 1 << 30 /* bytes */ };

struct sorter;

/* dir: where the file is made, when it is needed; memory: bytes of records held, about. */
int sorter_new(struct sorter **out, const char *dir, size_t key_size, size_t memory,
	       struct err *e);
void sorter_free(struct sorter *s); /* does nothing for NULL */
DEFINE_CLEANUP(struct sorter *, sorter_free);

/* A record whose value, len bytes at *value, is to be filled in before the next call.
 * Errors: -ENOMEM, -EFBIG, errno of the file. */
int sorter_add(struct sorter *s, const void *key, size_t len, uint8_t **value, struct err *e);

/* No more is added: start at the least record; also to start again. */
int sorter_rewind(struct sorter *s, struct err *e);
/* 1 with *key and *value, which hold until the next call; 0 at the end. */
int sorter_next(struct sorter *s, const uint8_t **key, struct bytes *value, struct err *e);

#endif
