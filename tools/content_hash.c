/* content_hash.c - see content_hash.h. */

#include "tools/content_hash.h"

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

struct content_hash {
	EVP_MD_CTX *evp; /* NULL: xxh64 */
	const EVP_MD *md;
	XXH64_state_t *xxh;
};

const char *content_hash_name(size_t index)
{
	return index < KINDS ? kinds[index].name : NULL;
}

static int make(struct content_hash *d, const char *openssl, struct err *e)
{
	if (!openssl) {
		d->xxh = XXH64_createState();
		return d->xxh ? 0 : err_nomem(e, "content hash");
	}
	d->md = EVP_get_digestbyname(openssl);
	d->evp = EVP_MD_CTX_new();
	if (!d->md)
		return err_set(e, ENOTSUP, "this OpenSSL has no %s", openssl);
	return d->evp ? 0 : err_nomem(e, "content hash");
}

int content_hash_new(struct content_hash **out, const char *name, struct err *e)
{
	for (size_t i = 0; i < KINDS; i++) {
		CLEANUP(content_hash_freep) struct content_hash *d = NULL;
		int rc;

		if (strcmp(kinds[i].name, name) != 0)
			continue;
		d = calloc(1, sizeof(*d));
		rc = d ? make(d, kinds[i].openssl, e) : err_nomem(e, "content hash");
		if (rc == 0)
			*out = TAKE(d);
		return rc;
	}
	return err_set(e, EINVAL, "unknown hash %s", name);
}

void content_hash_free(struct content_hash *d)
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

int content_hash_start(struct content_hash *d, struct err *e)
{
	if (d->xxh)
		return XXH64_reset(d->xxh, 0) == XXH_OK ? 0 : failed(e);
	return EVP_DigestInit_ex(d->evp, d->md, NULL) == 1 ? 0 : failed(e);
}

int content_hash_update(struct content_hash *d, struct bytes data, struct err *e)
{
	if (d->xxh)
		return XXH64_update(d->xxh, data.p, data.len) == XXH_OK ? 0 : failed(e);
	return EVP_DigestUpdate(d->evp, data.p, data.len) == 1 ? 0 : failed(e);
}

int content_hash_finish(struct content_hash *d, char hex[CONTENT_HASH_HEX], struct err *e)
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
