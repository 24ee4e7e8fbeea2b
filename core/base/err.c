/* err.c - see err.h. */

#include "core/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void vset(struct err *e, int code, const char *msgid, const char *fmt, va_list args)
	__attribute__((format(printf, 4, 0)));

static void vset(struct err *e, int code, const char *msgid, const char *fmt, va_list args)
{
	if (!e)
		return;
	e->code = code;
	e->msgid = msgid;
	vsnprintf(e->msg, sizeof(e->msg), fmt, args);
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vset(e, code, NULL, fmt, args);
	va_end(args);
	return -code;
}

int err_set_id(struct err *e, int code, const char *msgid, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vset(e, code, msgid, fmt, args);
	va_end(args);
	return -code;
}

int err_wrap(struct err *e, int rc, const char *fmt, ...)
{
	char inner[sizeof(e->msg)];
	va_list args;
	int n;

	if (!e)
		return rc;
	memcpy(inner, e->msg, sizeof(inner));
	va_start(args, fmt);
	n = vsnprintf(e->msg, sizeof(e->msg), fmt, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(e->msg))
		snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %s", inner);
	return rc;
}

int err_nomem(struct err *e, const char *what)
{
	return err_set(e, ENOMEM, "%s: out of memory", what);
}
