#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

/*
 * cleanup.h - what a scope owns, the scope releases.
 *
 *   CLEANUP(segment_closep) struct segment *s = NULL;
 *   ...every failure simply returns...
 *   *out = TAKE(s);
 *
 * DEFINE_CLEANUP(type, fn) makes fn##p(), which calls fn on the variable's value.
 */

#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* The value of pointer x, which is NULL afterwards: ownership moves on. */
#define TAKE(x)                                                                                \
	__extension__({                                                                        \
		__typeof__(x) taken_ = (x);                                                    \
		(x) = NULL;                                                                    \
		taken_;                                                                        \
	})

#define DEFINE_CLEANUP(type, fn)                                                               \
	__attribute__((unused)) static inline void fn##p(type *value_)                         \
	{                                                                                      \
		fn(*value_);                                                                   \
	}                                                                                      \
	struct cleanup_semicolon_

void cleanup_freep(void *pointer_to_pointer); /* free(3) as a cleanup for any pointer */
void cleanup_closep(const int *fd);           /* close(2) where *fd >= 0 */

#endif
