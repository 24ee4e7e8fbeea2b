/*
 * manifest.c - see manifest.h.
 *
 * Names, times and item keys point into an arena, so the plaintext is given back after parsing.
 * What Borg itself would not have written (an id that is not 32 bytes, a time that is none, a name
 * twice) is damage: a manifest is believed as a whole or not at all.
 */

#include "core/archive/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/arena.h"
#include "core/base/log.h"
#include "core/codec/mp.h"
#include "core/crypto/envelope.h"
#include "core/crypto/tam.h"
#include "core/store/object.h"

enum {
	ENTRY_MIN =
		1 + 1 + 3 + 2 + CHUNK_ID_SIZE + 5 + 1, /* bytes of the shortest packed entry */
	ITEM_KEYS_MAX = 100,                           /* as Borg's own reader */
	ITEM_KEY_LEN_MAX = 255,
};

static const char logger[] = "borg.crypto.key";

struct manifest_private {
	struct arena arena;
};

/* What is read before it is known whether all of it is there and good. */
struct parsed {
	bool version, archives, config;
};

static int damaged(struct err *e, const char *what)
{
	return err_set(e, EBADMSG, "manifest: %s", what);
}

/* --- times --- */

static bool digits(const uint8_t *p, unsigned count, unsigned *out)
{
	unsigned v = 0;

	for (unsigned i = 0; i < count; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (unsigned)(p[i] - '0');
	}
	*out = v;
	return true;
}

static bool leap(unsigned year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
	static const uint8_t days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return month == 2 && leap(year) ? 29 : days[month - 1];
}

/* Days from 1970-01-01, proleptic Gregorian. */
static int64_t days_since_epoch(unsigned year, unsigned month, unsigned day)
{
	int64_t y = (int64_t)year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t shifted = (month + 9) % 12; /* March is 0 */
	int64_t day_of_year = (153 * shifted + 2) / 5 + (int64_t)day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - 719468;
}

/* ".5" is 500000000 ns; one to six digits, as Python's %f. */
static bool parse_fraction(struct bytes text, unsigned *ns)
{
	unsigned v;

	if (text.len < 2 || text.len > 7 || text.p[0] != '.' ||
	    !digits(text.p + 1, (unsigned)text.len - 1, &v))
		return false;
	for (size_t i = text.len - 1; i < 9; i++)
		v *= 10;
	*ns = v;
	return true;
}

int manifest_parse_time(struct bytes text, int64_t *ns)
{
	enum { PLAIN = 19 }; /* YYYY-MM-DDTHH:MM:SS */
	const uint8_t *p = text.p;
	unsigned year, month, day, hour, minute, second, fraction = 0;
	int64_t seconds;

	if (text.len < PLAIN || p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':' ||
	    p[16] != ':')
		return -EINVAL;
	if (!digits(p, 4, &year) || !digits(p + 5, 2, &month) || !digits(p + 8, 2, &day) ||
	    !digits(p + 11, 2, &hour) || !digits(p + 14, 2, &minute) ||
	    !digits(p + 17, 2, &second))
		return -EINVAL;
	if (text.len > PLAIN &&
	    !parse_fraction((struct bytes){ p + PLAIN, text.len - PLAIN }, &fraction))
		return -EINVAL;
	if (year < 1 || month < 1 || month > 12 || day < 1 ||
	    day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 59)
		return -EINVAL;
	seconds =
		days_since_epoch(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
	/* Years beyond 1677 ... 2262 are times too, if not in 64 bits of ns. */
	if (__builtin_mul_overflow(seconds, (int64_t)1000000000, ns) ||
	    __builtin_add_overflow(*ns, (int64_t)fraction, ns))
		*ns = seconds < 0 ? INT64_MIN : INT64_MAX;
	return 0;
}

const char *manifest_format_time(int64_t ns, char out[MANIFEST_TIME_TEXT])
{
	int64_t seconds = ns / 1000000000 - (ns % 1000000000 < 0);
	long micros = (long)((ns - seconds * 1000000000) / 1000);
	time_t when = (time_t)seconds;
	char date[24] = "";
	struct tm utc;

	if (gmtime_r(&when, &utc))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(out, MANIFEST_TIME_TEXT, "%s.%06ld", date, micros);
	return out;
}

/* --- archives --- */

static struct bytes keep(struct arena *a, struct bytes b)
{
	return (struct bytes){ (const uint8_t *)arena_dup(a, b), b.len };
}

static int parse_entry(struct mp *m, struct arena *arena, struct manifest_entry *out,
		       struct err *e)
{
	struct bytes name = mp_str(m), id = { 0 }, time = { 0 };
	uint32_t count = mp_map(m);

	for (uint32_t i = 0; i < count && mp_ok(m); i++) {
		struct bytes key = mp_str(m);

		if (bytes_is(key, "id"))
			id = mp_str(m);
		else if (bytes_is(key, "time"))
			time = mp_str(m);
		else
			mp_skip(m);
	}
	if (!mp_ok(m) || id.len != CHUNK_ID_SIZE)
		return damaged(e, "an archive without a proper id");
	if (manifest_parse_time(time, &out->time_ns) < 0)
		return damaged(e, "an archive without a proper time");
	memcpy(out->id.b, id.p, CHUNK_ID_SIZE);
	out->name = keep(arena, name);
	out->time_text = keep(arena, time);
	return out->name.p && out->time_text.p ? 0 : err_nomem(e, "manifest");
}

static int compare_entries(const void *a, const void *b)
{
	const struct manifest_entry *x = a, *y = b;

	return bytes_compare(x->name, y->name);
}

static int parse_archives(struct mp *m, struct manifest *out, struct err *e)
{
	struct arena *arena = &out->priv->arena;
	uint32_t count = mp_map(m);

	if (!mp_ok(m) || count > (size_t)(m->end - m->p) / ENTRY_MIN)
		return damaged(e, "the archives are not a proper map");
	out->entries = arena_zalloc(arena, count ? count : 1, sizeof(*out->entries));
	if (!out->entries)
		return err_nomem(e, "manifest");
	for (out->count = 0; out->count < count; out->count++) {
		int rc = parse_entry(m, arena, &out->entries[out->count], e);

		if (rc < 0)
			return rc;
	}
	qsort(out->entries, out->count, sizeof(*out->entries), compare_entries);
	for (size_t i = 1; i < out->count; i++)
		if (bytes_equal(out->entries[i - 1].name, out->entries[i].name))
			return damaged(e, "two archives of one name");
	return 0;
}

/* --- item keys: what we know, and what the manifest adds --- */

static const char *const known_item_keys[] = {
	"acl_access",
	"acl_default",
	"acl_extended",
	"acl_nfs4",
	"atime",
	"birthtime",
	"bsdflags",
	"chunks",
	"chunks_healthy",
	"ctime",
	"gid",
	"group",
	"hardlink_master",
	"mode",
	"mtime",
	"part",
	"path",
	"rdev",
	"size",
	"source",
	"uid",
	"user",
	"xattrs",
};

enum { KNOWN_ITEM_KEYS = sizeof(known_item_keys) / sizeof(known_item_keys[0]) };

static bool has_item_key(const struct manifest *m, struct bytes key)
{
	for (size_t i = 0; i < m->item_key_count; i++)
		if (bytes_equal(m->item_keys[i], key))
			return true;
	return false;
}

static int init_item_keys(struct manifest *m, struct err *e)
{
	m->item_keys = arena_zalloc(&m->priv->arena, KNOWN_ITEM_KEYS + ITEM_KEYS_MAX,
				    sizeof(*m->item_keys));
	if (!m->item_keys)
		return err_nomem(e, "manifest");
	for (size_t i = 0; i < KNOWN_ITEM_KEYS; i++)
		m->item_keys[m->item_key_count++] = bytes_str(known_item_keys[i]);
	return 0;
}

static int parse_item_keys(struct mp *m, struct manifest *out, struct err *e)
{
	uint32_t count = mp_array(m);

	if (!mp_ok(m) || count > ITEM_KEYS_MAX)
		return damaged(e, "item_keys are not a proper list");
	for (uint32_t i = 0; i < count; i++) {
		struct bytes key = mp_str(m);

		if (!mp_ok(m) || key.len == 0 || key.len > ITEM_KEY_LEN_MAX)
			return damaged(e, "an item key is not a proper one");
		if (has_item_key(out, key))
			continue;
		/* Not more than the list has room for, even where item_keys come twice. */
		if (out->item_key_count == KNOWN_ITEM_KEYS + ITEM_KEYS_MAX)
			return damaged(e, "item_keys twice");
		key = keep(&out->priv->arena, key);
		if (!key.p)
			return err_nomem(e, "manifest");
		out->item_keys[out->item_key_count++] = key;
	}
	return 0;
}

/* --- configuration and features --- */

static int parse_config(struct mp *m, struct manifest *out, struct err *e)
{
	const uint8_t *start = m->p;
	uint32_t count = mp_map(m);

	for (uint32_t i = 0; i < count && mp_ok(m); i++) {
		if (bytes_is(mp_str(m), "tam_required") && mp_peek(m) == MP_BOOL)
			out->tam_required = mp_bool(m);
		else
			mp_skip(m);
	}
	if (!mp_ok(m))
		return 0; /* as the caller sees */
	out->config = keep(&out->priv->arena, (struct bytes){ start, (size_t)(m->p - start) });
	return out->config.p ? 0 : err_nomem(e, "manifest");
}

static const char *operation_name(enum manifest_operation operation)
{
	switch (operation) {
	case MANIFEST_READ: return "read";
	case MANIFEST_CHECK: return "check";
	case MANIFEST_WRITE: return "write";
	case MANIFEST_DELETE: return "delete";
	}
	return "read";
}

static int refuse_features(struct mp *m, struct err *e)
{
	CLEANUP(buf_fini) struct buf names = BUF_INIT;
	uint32_t count = mp_array(m);
	int rc = 0;

	if (mp_ok(m) && count == 0)
		return 0;
	for (uint32_t i = 0; i < count && mp_ok(m) && rc == 0; i++) {
		struct bytes name = mp_str(m);

		rc = buf_append_str(&names, i ? ", '" : "'");
		if (rc == 0)
			rc = buf_append(&names, name.p, name.len);
		if (rc == 0)
			rc = buf_append_str(&names, "'");
	}
	if (rc < 0)
		return err_nomem(e, "manifest");
	if (!mp_ok(m))
		return damaged(e, "the feature flags are not a proper map");
	return err_set_id(
		e, ENOTSUP, "MandatoryFeatureUnsupported",
		"Unsupported repository feature(s) [%.*s]. A newer version of borg is "
		"required to access this repository.",
		names.len < 300 ? (int)names.len : 300, (const char *)names.p);
}

static int check_requirements(struct mp *m, struct err *e)
{
	uint32_t count = mp_map(m);

	for (uint32_t i = 0; i < count && mp_ok(m); i++) {
		int rc;

		if (!bytes_is(mp_str(m), "mandatory")) {
			mp_skip(m);
			continue;
		}
		rc = refuse_features(m, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* We support no feature, so any that is mandatory for the operation is one too many. */
static int check_flags(struct mp *m, enum manifest_operation operation, struct err *e)
{
	uint32_t count;

	if (mp_nil(m))
		return 0;
	count = mp_map(m);
	for (uint32_t i = 0; i < count && mp_ok(m); i++) {
		int rc;

		if (!bytes_is(mp_str(m), operation_name(operation))) {
			mp_skip(m);
			continue;
		}
		rc = check_requirements(m, e);
		if (rc < 0)
			return rc;
	}
	return mp_ok(m) ? 0 : damaged(e, "the feature flags are not a proper map");
}

int manifest_check_features(const struct manifest *manifest, enum manifest_operation operation,
			    struct err *e)
{
	struct mp m = mp_read(manifest->config);
	uint32_t count = mp_map(&m);

	for (uint32_t i = 0; i < count && mp_ok(&m); i++) {
		int rc;

		if (!bytes_is(mp_str(&m), "feature_flags")) {
			mp_skip(&m);
			continue;
		}
		rc = check_flags(&m, operation, e);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- the whole --- */

static int parse_timestamp(struct mp *m, struct manifest *out, struct err *e)
{
	struct bytes text = mp_str(m);
	int64_t ns;

	if (!mp_ok(m) || manifest_parse_time(text, &ns) < 0)
		return damaged(e, "the timestamp is none");
	out->timestamp = arena_dup(&out->priv->arena, text);
	return out->timestamp ? 0 : err_nomem(e, "manifest");
}

static int parse_version(struct mp *m, struct err *e)
{
	uint64_t version = mp_uint(m);

	if (!mp_ok(m))
		return damaged(e, "the version is not a number");
	if (version != 1 && version != 2)
		return err_set(e, ENOTSUP, "Invalid manifest version");
	return 0;
}

static int parse_map(struct mp *m, struct manifest *out, struct parsed *parsed, struct err *e)
{
	uint32_t count = mp_map(m);
	int rc = 0;

	for (uint32_t i = 0; i < count && mp_ok(m) && rc == 0; i++) {
		struct bytes key = mp_str(m);

		if (bytes_is(key, "version")) {
			rc = parse_version(m, e);
			parsed->version = true;
		} else if (bytes_is(key, "archives")) {
			if (parsed->archives)
				return damaged(e, "the archives twice");
			rc = parse_archives(m, out, e);
			parsed->archives = true;
		} else if (bytes_is(key, "timestamp")) {
			rc = parse_timestamp(m, out, e);
		} else if (bytes_is(key, "item_keys")) {
			rc = parse_item_keys(m, out, e);
		} else if (bytes_is(key, "config")) {
			rc = parse_config(m, out, e);
			parsed->config = true;
		} else {
			mp_skip(m);
		}
	}
	if (rc < 0)
		return rc;
	if (!mp_ok(m) || m->p != m->end)
		return damaged(e, "not a valid record");
	if (!parsed->version || !parsed->archives || !parsed->config || !out->timestamp)
		return damaged(e, "incomplete");
	return 0;
}

/* A workaround the user asked for: authenticated modes without their key cannot verify. */
static bool cannot_verify(const struct key *key)
{
	return key->traits->type != KEY_PLAINTEXT && key->id_key.len == 0;
}

static int verify_tam(const struct key *key, struct bytes plain, struct manifest *out,
		      struct err *e)
{
	if (cannot_verify(key))
		return 0;
	switch (tam_verify(key, "manifest", plain)) {
	case TAM_VALID:
		log_debug(logger, "TAM-verified manifest");
		out->tam_verified = true;
		return 0;
	case TAM_ABSENT:
		if (key->tam_required)
			return err_set_id(e, EBADMSG, "TAMRequiredError",
					  "Manifest is unauthenticated, but it is required for "
					  "this repository.");
		log_debug(logger, "TAM not found and not required");
		return 0;
	case TAM_UNKNOWN_TYPE:
		if (key->tam_required)
			return err_set_id(
				e, ENOTSUP, "TAMUnsupportedSuiteError",
				"Could not verify manifest: Unsupported suite; a newer "
				"version is needed.");
		log_debug(logger, "Ignoring TAM made with unsupported suite, since TAM is not "
				  "required");
		return 0;
	case TAM_INVALID: break;
	}
	return err_set_id(e, EBADMSG, "TAMInvalid",
			  "Data integrity error: Manifest authentication did not verify");
}

static int open_object(const struct key *key, struct bytes object, struct buf *plain,
		       struct chunk_id *hash, struct err *e)
{
	CLEANUP(unsealer_freep) struct unsealer *u = NULL;
	CLEANUP(envelope_freep) struct envelope *env = NULL;
	int rc = unsealer_new(&u, key, e);

	if (rc == 0)
		rc = object_unseal(u, &MANIFEST_ID, object, 0, plain, e);
	if (rc < 0)
		return err_wrap(e, rc, "manifest");
	rc = envelope_new(&env, key, e);
	if (rc < 0)
		return rc;
	envelope_id(env, buf_bytes(plain), hash);
	return 0;
}

static bool from_the_future(struct bytes plain)
{
	static const uint8_t marker[4] = { 0xc1, 0xc1, 0xc1, 0xc1 };

	return plain.len >= sizeof(marker) && memcmp(plain.p, marker, sizeof(marker)) == 0;
}

static struct manifest *manifest_new(void)
{
	struct manifest *m = calloc(1, sizeof(*m));

	if (m)
		m->priv = calloc(1, sizeof(*m->priv));
	if (m && !m->priv) {
		free(m);
		return NULL;
	}
	return m;
}

int manifest_parse(struct manifest **out, const struct key *key, struct bytes object,
		   enum manifest_operation operation, struct err *e)
{
	CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
	CLEANUP(buf_fini) struct buf plain = BUF_INIT;
	struct parsed parsed = { 0 };
	struct mp m;
	int rc;

	if (!manifest)
		return err_nomem(e, "manifest");
	rc = open_object(key, object, &plain, &manifest->hash, e);
	if (rc < 0)
		return rc;
	if (from_the_future(buf_bytes(&plain)))
		return err_set_id(
			e, ENOTSUP, "UnsupportedManifestError",
			"Unsupported manifest envelope. A newer version is required to "
			"access this repository.");
	rc = verify_tam(key, buf_bytes(&plain), manifest, e);
	if (rc == 0)
		rc = init_item_keys(manifest, e);
	if (rc < 0)
		return rc;
	m = mp_read(buf_bytes(&plain));
	rc = parse_map(&m, manifest, &parsed, e);
	if (rc == 0)
		rc = manifest_check_features(manifest, operation, e);
	if (rc < 0)
		return rc;
	*out = TAKE(manifest);
	return 0;
}

int manifest_empty(struct manifest **out, struct err *e)
{
	static const uint8_t empty_map[] = { 0x80 };
	CLEANUP(manifest_freep) struct manifest *manifest = manifest_new();
	int rc;

	if (!manifest)
		return err_nomem(e, "manifest");
	rc = init_item_keys(manifest, e);
	if (rc < 0)
		return rc;
	manifest->config = (struct bytes){ empty_map, sizeof(empty_map) };
	*out = TAKE(manifest);
	return 0;
}

void manifest_free(struct manifest *m)
{
	if (!m)
		return;
	arena_fini(&m->priv->arena);
	free(m->priv);
	free(m);
}

const struct manifest_entry *manifest_find(const struct manifest *m, struct bytes name)
{
	struct manifest_entry wanted = { .name = name };

	if (m->count == 0)
		return NULL;
	return bsearch(&wanted, m->entries, m->count, sizeof(*m->entries), compare_entries);
}
