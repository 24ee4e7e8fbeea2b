/* integrity.c - see integrity.h. */

#include "core/repo/integrity.h"

#include "core/base/io.h"
#include "core/codec/checksum.h"
#include "core/codec/mp.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_MAX = 64 * 1024, DIGEST_TEXT = 17 };

struct integrity {
	struct xxh64 *hash;
	uint64_t len; /* of the file so far */
	uint64_t header, final;
	bool has_header;
};

/* A name or a part's name goes into the digest behind its length, ten characters wide. */
static void hash_text(struct integrity *s, const char *text)
{
	char width[24];
	int n = snprintf(width, sizeof(width), "%10zu", strlen(text));

	xxh64_update(s->hash, width, (size_t)n);
	xxh64_update(s->hash, text, strlen(text));
}

static uint64_t hash_part(struct integrity *s, const char *part)
{
	char offset[24];
	int n = snprintf(offset, sizeof(offset), "%" PRIu64, s->len);

	hash_text(s, part);
	xxh64_update(s->hash, offset, (size_t)n);
	return xxh64_digest(s->hash);
}

struct integrity *integrity_new(const char *name)
{
	struct integrity *s = calloc(1, sizeof(*s));

	if (s)
		s->hash = xxh64_new();
	if (!s || !s->hash) {
		free(s);
		return NULL;
	}
	hash_text(s, name);
	return s;
}

void integrity_free(struct integrity *s)
{
	if (!s)
		return;
	xxh64_free(s->hash);
	free(s);
}

void integrity_update(struct integrity *s, const void *p, size_t len)
{
	xxh64_update(s->hash, p, len);
	s->len += len;
}

void integrity_mark_header(struct integrity *s)
{
	s->header = hash_part(s, "HashHeader");
	s->has_header = true;
}

int integrity_finish(struct integrity *s, struct buf *text)
{
	char line[160], header[48] = "";
	int n;

	s->final = hash_part(s, "final");
	if (s->has_header)
		snprintf(header, sizeof(header), "\"HashHeader\": \"%016" PRIx64 "\", ",
			 s->header);
	n = snprintf(line, sizeof(line),
		     "{\"algorithm\": \"XXH64\", \"digests\": {%s\"final\": \"%016" PRIx64
		     "\"}}",
		     header, s->final);
	return buf_append(text, line, (size_t)n);
}

int integrity_matches(struct integrity *s, struct bytes text)
{
	json_t *root = json_loadb((const char *)text.p, text.len, 0, NULL);
	const char *algorithm = json_string_value(json_object_get(root, "algorithm"));
	const char *want =
		json_string_value(json_object_get(json_object_get(root, "digests"), "final"));
	char is[DIGEST_TEXT];
	int rc = -ENOTSUP;

	if (algorithm && want && strcmp(algorithm, "XXH64") == 0) {
		snprintf(is, sizeof(is), "%016" PRIx64, hash_part(s, "final"));
		rc = strcmp(is, want) == 0;
	}
	json_decref(root);
	return rc;
}

int integrity_read(int dirfd, uint32_t transaction, const char *what, struct buf *text)
{
	CLEANUP(buf_fini) struct buf file = BUF_INIT;
	char name[32];
	struct mp m;

	text->len = 0;
	snprintf(name, sizeof(name), "integrity.%" PRIu32, transaction);
	if (file_read(dirfd, name, FILE_MAX, &file, NULL) < 0)
		return 0;
	m = mp_read(buf_bytes(&file));
	for (uint32_t pairs = mp_map(&m); pairs > 0 && mp_ok(&m); pairs--) {
		bool found = bytes_is(mp_str(&m), what);
		struct bytes value;

		if (!found) {
			mp_skip(&m);
			continue;
		}
		value = mp_str(&m);
		return mp_ok(&m) && buf_append(text, value.p, value.len) == 0;
	}
	return 0;
}
