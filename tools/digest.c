/* digest.c - see digest.h. */

#include "tools/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const struct {
	const char *name, *openssl; /* NULL: xxh64 */
} kinds[] = {
	{ "xxh64", NULL },
	{ "md5", "MD5" },
	{ "sha1", "SHA1" },
	{ "sha224", "SHA224" },
	{ "sha256", "SHA256" },
	{ "sha384", "SHA384" },
	{ "sha512", "SHA512" },
	{ "sha3_224", "SHA3-224" },
	{ "sha3_256", "SHA3-256" },
	{ "sha3_384", "SHA3-384" },
	{ "sha3_512", "SHA3-512" },
	{ "blake2b", "BLAKE2B-512" },
	{ "blake2s", "BLAKE2S-256" },
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

struct digest {
	EVP_MD_CTX *evp; /* NULL: xxh64 */
	const EVP_MD *md;
	XXH64_state_t *xxh;
};

const char *digest_name(size_t index)
{
	return index < KINDS ? kinds[index].name : NULL;
}

static int make(struct digest *d, const char *openssl, struct err *e)
{
	if (!openssl) {
		d->xxh = XXH64_createState();
		return d->xxh ? 0 : err_nomem(e, "digest");
	}
	d->md = EVP_get_digestbyname(openssl);
	d->evp = EVP_MD_CTX_new();
	if (!d->md)
		return err_set(e, ENOTSUP, "this OpenSSL has no %s", openssl);
	return d->evp ? 0 : err_nomem(e, "digest");
}

int digest_new(struct digest **out, const char *name, struct err *e)
{
	for (size_t i = 0; i < KINDS; i++) {
		CLEANUP(digest_freep) struct digest *d = NULL;
		int rc;

		if (strcmp(kinds[i].name, name) != 0)
			continue;
		d = calloc(1, sizeof(*d));
		rc = d ? make(d, kinds[i].openssl, e) : err_nomem(e, "digest");
		if (rc == 0)
			*out = TAKE(d);
		return rc;
	}
	return err_set(e, EINVAL, "unknown hash %s", name);
}

void digest_free(struct digest *d)
{
	if (d) {
		EVP_MD_CTX_free(d->evp);
		XXH64_freeState(d->xxh);
	}
	free(d);
}

static int failed(struct err *e)
{
	return err_set(e, EIO, "cannot compute a hash");
}

int digest_start(struct digest *d, struct err *e)
{
	if (d->xxh)
		return XXH64_reset(d->xxh, 0) == XXH_OK ? 0 : failed(e);
	return EVP_DigestInit_ex(d->evp, d->md, NULL) == 1 ? 0 : failed(e);
}

int digest_update(struct digest *d, struct bytes data, struct err *e)
{
	if (d->xxh)
		return XXH64_update(d->xxh, data.p, data.len) == XXH_OK ? 0 : failed(e);
	return EVP_DigestUpdate(d->evp, data.p, data.len) == 1 ? 0 : failed(e);
}

int digest_finish(struct digest *d, char hex[DIGEST_HEX_MAX], struct err *e)
{
	uint8_t out[EVP_MAX_MD_SIZE];
	XXH64_canonical_t canonical;
	unsigned n = 0;

	if (d->xxh) {
		XXH64_canonicalFromHash(&canonical, XXH64_digest(d->xxh));
		hex_encode(canonical.digest, sizeof(canonical.digest), hex);
		return 0;
	}
	if (EVP_DigestFinal_ex(d->evp, out, &n) != 1)
		return failed(e);
	hex_encode(out, n, hex);
	return 0;
}
