/* secret.c - see secret.h. */

#include "core/base/secret.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/resource.h>

int secret_setup(void)
{
	struct rlimit none = { 0, 0 };

	if (sodium_init() < 0)
		return -EIO;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)none; /* the leak checker has to attach to the process */
#else
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
#endif
	return 0;
}

struct secret *secret_new(size_t len)
{
	struct secret *s = malloc(sizeof(*s));

	if (!s || sodium_init() < 0) {
		free(s);
		return NULL;
	}
	s->p = sodium_malloc(len + 1);
	if (!s->p) {
		free(s);
		return NULL;
	}
	memset(s->p, 0, len + 1);
	s->len = len;
	return s;
}

struct secret *secret_copy(struct bytes b)
{
	struct secret *s = secret_new(b.len);

	if (s && b.len)
		memcpy(s->p, b.p, b.len);
	return s;
}

void secret_free(struct secret *s)
{
	if (s)
		sodium_free(s->p);
	free(s);
}

void secret_wipe(void *p, size_t len)
{
	sodium_memzero(p, len);
}
