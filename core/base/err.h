#ifndef BASE_ERR_H
#define BASE_ERR_H

/*
 * err.h - a result is a number, an error is also a sentence.
 *
 * Functions that can fail return 0 (done), 1/0 (found, produced / none) or -errno, and
 * fill the struct err that is always their last parameter.  The innermost function
 * states the fact and names the object; callers add circumstance with err_wrap();
 * nobody logs on the way.
 *
 * Codes with one meaning: EBADMSG damaged or forged, ENOENT no such archive or object,
 * EBUSY locked by another, EKEYREJECTED wrong passphrase, ENOTSUP a version or feature
 * we do not know, EPROTO a peer that breaks the protocol.
 *
 * msgid is Borg's name of the error ("Repository.DoesNotExist"), NULL where Borg has
 * none.  It is what scripts match on and what the modern exit codes come from; it always
 * points to a string literal.
 *
 * A NULL struct err is allowed everywhere: the number alone is then the result.
 */

#include <stdarg.h>

struct err {
	int code;          /* errno value, positive; 0 = no error */
	const char *msgid; /* Borg's error class, or NULL */
	char msg[496];     /* truncated, always NUL-terminated; nothing is allocated */
};

#define ERR_INIT                                                                               \
	{                                                                                      \
		0                                                                              \
	}

/* Set the error; returns -code. */
int err_set(struct err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same with Borg's error class. */
int err_set_id(struct err *e, int code, const char *msgid, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Put "fmt: " in front of the sentence; returns rc. */
int err_wrap(struct err *e, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* -ENOMEM with "WHAT: out of memory". */
int err_nomem(struct err *e, const char *what);

#endif
