#ifndef TESTS_LOG_MODEL_H
#define TESTS_LOG_MODEL_H

/*
 * log_model.h - the life of a repository as Borg writes it, one file operation at a time.
 *
 * model_new() makes up transactions, compactions with commits between (segments are deleted many
 * times before the next index is written), crashes and the clean-up after them, after which
 * segment numbers are used again; the order of the file operations is that of Borg 1.1 to 1.4.
 * Nothing is done to files before model_apply() is asked for the next operation, so that a test
 * can read a repository between any two of them.
 *
 * The bytes are made here, by the format's description, not by the code under test.
 */

#include "core/base/id.h"

enum {
	MODEL_OBJECTS = 40, /* ids the model may store; number 0 is the manifest */
	MODEL_TRUNCATES = 1 /* as Borg 1.1: a file is emptied before it is removed */
};

struct model_state {
	uint32_t transaction; /* 0: nothing is committed yet */
	uint64_t live;        /* bit n: the model's object n is there */
};

struct model;

struct model *model_new(uint64_t seed, unsigned flags);
void model_free(struct model *m);

size_t model_first(const struct model *m); /* operations until the first index is in place */
size_t model_count(const struct model *m); /* operations in all */
/* The committed state after n operations. */
struct model_state model_state(const struct model *m, size_t n);
/* The objects of a transaction. */
uint64_t model_live(const struct model *m, uint32_t transaction);
/* Do operation n in the folder. */
void model_apply(const struct model *m, size_t n, int dirfd);

struct chunk_id model_id(unsigned object);
/* Is this the object's content? */
bool model_is(unsigned object, struct bytes content);

#endif
