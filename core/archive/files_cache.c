/*
 * files_cache.c - see files_cache.h for the contract, files_cache_internal.h for the file.
 *
 * What a run remembers is sealed at once and goes to a sorter; files_cache_commit() writes it.
 */

#include "core/archive/files_cache_internal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
	VERSION = 1,
	TTL = 20, /* runs */
	ENTRY_HEAD = 28,
	ENTRY_CHUNK = 40,
	COUNT_MAX = 1 << 24, /* chunks of a file that is remembered */
	PIECE_BITS = 24,     /* of a nonce; the rest is the entry's serial number */
	SORTER_MEMORY = 6 << 20,
	RENEW_LOOKUPS = 4096, /* then what was freed meanwhile may be used again by writers */
	GENERATION_KEY = 5,
	GENERATION_VALUE = 12 + SEAL_SALT,
};

static const char purpose[] = "alcove files";
static const char purpose_paths[] = "alcove files paths";
static const struct bytes meta_key = { (const uint8_t *)"0", 1 };

/* --- modes --- */

enum { WORD_C = 1, WORD_M = 2, WORD_S = 4, WORD_I = 8, WORD_R = 16, WORD_D = 32 };

static int word_of(const char *text, size_t len)
{
	static const struct {
		const char *name;
		int bit;
	} words[] = { { "ctime", WORD_C }, { "mtime", WORD_M },   { "size", WORD_S },
		      { "inode", WORD_I }, { "rechunk", WORD_R }, { "disabled", WORD_D } };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strlen(words[i].name) == len && memcmp(words[i].name, text, len) == 0)
			return words[i].bit;
	return 0;
}

int files_mode_parse(struct files_mode *out, const char *text, struct err *e)
{
	static const int valid[] = {
		WORD_C | WORD_S | WORD_I,
		WORD_M | WORD_S | WORD_I,
		WORD_C | WORD_S,
		WORD_M | WORD_S,
		WORD_R | WORD_C,
		WORD_R | WORD_M,
		WORD_S,
		WORD_D,
	};
	int words = 0;
	bool good = false;

	for (const char *p = text;; p++) {
		size_t len = strcspn(p, ",");
		int word = word_of(p, len);

		words = word && words >= 0 ? words | word : -1;
		p += len;
		if (!*p)
			break;
	}
	for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
		good = good || words == valid[i];
	if (!good)
		return err_set(e, EINVAL, "invalid FilesCacheMode value");
	*out = (struct files_mode){
		.disabled = words & WORD_D,
		.rechunk = words & WORD_R,
		.size = words & WORD_S,
		.inode = words & WORD_I,
		.compare_time = !(words & WORD_R) && (words & (WORD_C | WORD_M)),
		.time = words & WORD_M ? FILES_MTIME : FILES_CTIME,
	};
	return 0;
}

/* --- generations --- */

static void generation_key(uint8_t key[GENERATION_KEY], uint32_t id)
{
	key[0] = '1';
	put_be32(key + 1, id);
}

struct generation *files_add_generation(struct files_cache *c, struct err *e)
{
	struct generation *p =
		reallocarray(c->generations, c->generation_count + 1, sizeof(*p));

	if (!p) {
		err_nomem(e, "files cache");
		return NULL;
	}
	c->generations = p;
	p[c->generation_count] = (struct generation){ 0 };
	return &p[c->generation_count++];
}

struct generation *files_find_generation(struct files_cache *c, uint32_t id)
{
	for (size_t i = c->generation_count; i-- > 0;)
		if (c->generations[i].id == id)
			return &c->generations[i];
	return NULL;
}

/* The key at hand goes with each block that is sealed or opened: c->key is the seals' header. */
static int make_seal(struct files_cache *c, struct generation *g, struct err *e)
{
	if (g->seal)
		return 0;
	return seal_new(&g->seal, c->secret, g->salt, purpose,
			(struct bytes){ c->key, sizeof(c->key) }, e);
}

int files_write_generation(struct files_cache *c, MDB_txn *txn, const struct generation *g,
			   struct err *e)
{
	uint8_t key[GENERATION_KEY], value[GENERATION_VALUE];
	struct bytes k = { key, sizeof(key) };

	generation_key(key, g->id);
	if (!g->count)
		return cache_db_delete(c->db, txn, k, e);
	put_le32(value, g->run);
	put_le64(value + 4, g->count);
	memcpy(value + 12, g->salt, SEAL_SALT);
	return cache_db_put(c->db, txn, k, (struct bytes){ value, sizeof(value) }, e);
}

static int read_generation(struct files_cache *c, const MDB_val *key, const MDB_val *raw,
			   struct err *e)
{
	struct bytes k = { key->mv_data, key->mv_size }, value;
	struct generation *g;
	int rc = cache_db_check(c->db, k, raw, &value, e);

	if (rc < 0)
		return rc;
	if (k.len != GENERATION_KEY || value.len != GENERATION_VALUE) {
		cache_db_spoil(c->db);
		return err_set(e, EBADMSG, "files cache: impossible generation");
	}
	g = files_add_generation(c, e);
	if (!g)
		return -ENOMEM;
	g->id = get_be32(k.p + 1);
	g->run = get_le32(value.p);
	g->count = get_le64(value.p + 4);
	memcpy(g->salt, value.p + 12, SEAL_SALT);
	return 0;
}

int files_read_generations(struct files_cache *c, MDB_txn *txn, struct err *e)
{
	uint8_t first[1] = { '1' };
	MDB_val key = { sizeof(first), first }, value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, c->db->dbi, &cursor), found;

	if (rc)
		return cache_db_fail(c->db, rc, e);
	found = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	while (found == 0 && rc == 0 && *(uint8_t *)key.mv_data == '1') {
		rc = read_generation(c, &key, &value, e);
		if (rc == 0)
			found = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	if (rc == 0 && found && found != MDB_NOTFOUND)
		rc = cache_db_fail(c->db, found, e);
	return rc;
}

static int random_bytes(void *p, size_t n, struct err *e)
{
	if (getrandom(p, n, 0) != (ssize_t)n)
		return err_set(e, EIO, "files cache: no random numbers");
	return 0;
}

static int begin_generation(struct files_cache *c, struct err *e)
{
	struct generation *g = files_add_generation(c, e);
	uint32_t id;
	int rc = g ? random_bytes(g->salt, SEAL_SALT, e) : -ENOMEM;

	while (rc == 0 && (rc = random_bytes(&id, sizeof(id), e)) == 0 &&
	       files_find_generation(c, id))
		;
	if (rc < 0)
		return rc;
	g->id = id;
	c->mine = g;
	return make_seal(c, g, e);
}

/* --- opening --- */

int files_read_meta(struct files_cache *c, MDB_txn *txn, struct err *e)
{
	struct bytes value;
	int rc = cache_db_get(c->db, txn, meta_key, &value, e);

	if (rc < 0 || (rc == 0 && cache_db_is_new(c->db, txn)))
		return rc;
	if (rc == 0 || value.len != 4 + SEAL_SALT) {
		cache_db_spoil(c->db);
		return err_set(e, EBADMSG, "files cache: impossible head");
	}
	c->runs = get_le32(value.p);
	memcpy(c->salt, value.p + 4, SEAL_SALT);
	return 1;
}

int files_write_meta(struct files_cache *c, MDB_txn *txn, uint32_t runs, struct err *e)
{
	uint8_t value[4 + SEAL_SALT];

	put_le32(value, runs);
	memcpy(value + 4, c->salt, SEAL_SALT);
	return cache_db_put(c->db, txn, meta_key, (struct bytes){ value, sizeof(value) }, e);
}

/* The hash keys are what the seal of 32 zero bytes looks like, under a key for just that. */
static int derive_hash_key(struct files_cache *c, struct err *e)
{
	static const uint8_t zero[2 * PATH_HASH];
	CLEANUP(seal_freep) struct seal *seal = NULL;
	CLEANUP(secret_freep) struct secret *sealed = secret_new(sizeof(zero) + SEAL_TAG);
	int rc;

	static_assert(crypto_shorthash_siphashx24_KEYBYTES == PATH_HASH &&
			      crypto_shorthash_siphashx24_BYTES == PATH_HASH,
		      "SipHash of 128 bits");
	c->hash_key = secret_new(sizeof(zero));
	if (!sealed || !c->hash_key)
		return err_nomem(e, "files cache");
	rc = seal_new(&seal, c->secret, c->salt, purpose_paths, (struct bytes){ 0 }, e);
	if (rc == 0)
		rc = seal_block(seal, 0, (struct bytes){ zero, sizeof(zero) }, sealed->p, e);
	if (rc == 0)
		memcpy(c->hash_key->p, sealed->p, sizeof(zero));
	return rc;
}

static int read_head(struct files_cache *c, struct err *e)
{
	MDB_txn *txn = NULL;
	int rc = cache_db_begin(c->db, true, &txn, e), known;

	if (rc < 0)
		return rc;
	c->generation_count = 0;
	known = files_read_meta(c, txn, e);
	if (known == 1)
		rc = files_read_generations(c, txn, e);
	else if (known == 0)
		rc = random_bytes(c->salt, SEAL_SALT, e);
	else
		rc = known;
	if (rc == 0 && known == 0) {
		c->runs = 0;
		rc = files_write_meta(c, txn, 0, e);
		if (rc == 0)
			return cache_db_commit(c->db, txn, e);
	}
	mdb_txn_abort(txn);
	return rc;
}

static int open_file(struct files_cache *c, const char *dir, struct err *e)
{
	CLEANUP(cleanup_freep) char *name = NULL;
	const char *suffix = getenv("BORG_FILES_CACHE_SUFFIX");
	int rc;

	if (asprintf(&name, suffix && *suffix ? "files.%s" : "files", suffix) < 0) {
		name = NULL;
		return err_nomem(e, "files cache");
	}
	for (char *p = name; *p; p++)
		if (*p == '/')
			*p = '_';
	rc = cache_db_open(&c->db, dir, name, VERSION, e);
	if (rc < 0)
		return rc;
	cache_db_enter(c->db);
	rc = read_head(c, e);
	cache_db_leave(c->db);
	return rc;
}

static uint32_t ttl_wanted(void)
{
	const char *text = getenv("BORG_FILES_CACHE_TTL");
	char *end = NULL;
	long n = text && *text ? strtol(text, &end, 10) : TTL;

	if (end && *end)
		return TTL;
	return n < 0 ? 0 : n > INT32_MAX ? INT32_MAX : (uint32_t)n;
}

/* An entry is not written again before it has this age. */
uint32_t files_refresh_age(const struct files_cache *c)
{
	return c->ttl < 4 ? 1 : c->ttl / 2;
}

static int open_parts(struct files_cache *c, const char *dir, struct err *e)
{
	int rc = open_file(c, dir, e);

	if (rc == -EBADMSG) { /* that file is gone now */
		cache_db_close(TAKE(c->db));
		rc = open_file(c, dir, e);
	}
	if (rc == 0)
		rc = derive_hash_key(c, e);
	if (rc == 0)
		rc = begin_generation(c, e);
	if (rc == 0)
		rc = sorter_new(&c->changed, dir, KEY, SORTER_MEMORY, e);
	if (rc < 0)
		return rc;
	c->plain = malloc(SEAL_BLOCK);
	return c->plain ? 0 : err_nomem(e, "files cache");
}

int files_cache_open(struct files_cache **out, const char *cache_dir,
		     const struct secret *secret, const struct files_mode *mode, struct err *e)
{
	CLEANUP(files_cache_closep) struct files_cache *c = calloc(1, sizeof(*c));
	int rc = 0;

	if (!c)
		return err_nomem(e, "files cache");
	mutex_init(&c->lock);
	c->mode = *mode;
	c->ttl = ttl_wanted();
	if (!mode->disabled) {
		c->secret = secret_copy(secret_bytes(secret));
		rc = c->secret ? open_parts(c, cache_dir, e) : err_nomem(e, "files cache");
	}
	if (rc < 0)
		return rc;
	*out = TAKE(c);
	return 0;
}

void files_cache_close(struct files_cache *c)
{
	if (!c)
		return;
	if (c->txn)
		mdb_txn_abort(c->txn);
	for (size_t i = 0; i < c->generation_count; i++)
		seal_free(c->generations[i].seal);
	free(c->generations);
	sorter_free(c->changed);
	cache_db_close(c->db);
	secret_free(c->secret);
	secret_free(c->hash_key);
	if (c->plain)
		secret_wipe(c->plain, SEAL_BLOCK);
	free(c->plain);
	mutex_fini(&c->lock);
	free(c);
}

void files_chunks_fini(struct files_chunks *chunks)
{
	free(chunks->p);
	*chunks = (struct files_chunks){ 0 };
}

/* --- entries --- */

static void hash(struct bytes text, const uint8_t *key, uint8_t out[PATH_HASH])
{
	crypto_shorthash_siphashx24(out, text.p, text.len, key);
}

static void set_key_locked(struct files_cache *c, struct bytes path)
{
	const uint8_t *slash = path.len ? memrchr(path.p, '/', path.len) : NULL;
	struct bytes folder = { path.p, slash ? (size_t)(slash - path.p) : 0 };
	uint8_t folder_hash[PATH_HASH];

	hash(folder, c->hash_key->p, folder_hash);
	c->key[0] = 'E';
	memcpy(c->key + 1, folder_hash, FOLDER_HASH);
	hash(path, c->hash_key->p, c->key + 1 + FOLDER_HASH);
}

void files_time_tag(const struct files_cache *c, int64_t time, uint8_t out[TIME_TAG])
{
	uint8_t bytes[8], full[PATH_HASH];

	put_le64(bytes, (uint64_t)time);
	hash((struct bytes){ bytes, sizeof(bytes) }, c->hash_key->p + PATH_HASH, full);
	memcpy(out, full, TIME_TAG);
}

/* False for a time that has no number of nanoseconds: such a file is always read. */
static bool time_of(const struct files_cache *c, const struct stat *st, int64_t *out)
{
	const struct timespec *t = c->mode.time == FILES_MTIME ? &st->st_mtim : &st->st_ctim;
	int64_t ns;

	return !__builtin_mul_overflow((int64_t)t->tv_sec, INT64_C(1000000000), &ns) &&
	       !__builtin_add_overflow(ns, (int64_t)t->tv_nsec, out);
}

static size_t entry_size(size_t count)
{
	return ENTRY_HEAD + count * ENTRY_CHUNK;
}

static size_t sealed_size(size_t plain)
{
	return HEAD + plain + (plain + SEAL_BLOCK - 1) / SEAL_BLOCK * SEAL_TAG;
}

static uint64_t nonce(uint32_t serial, size_t piece)
{
	return (uint64_t)serial << PIECE_BITS | piece;
}

static void put_chunk(uint8_t out[ENTRY_CHUNK], const struct item_chunk *chunk)
{
	memcpy(out, chunk->id.b, CHUNK_ID_SIZE);
	put_le32(out + 32, chunk->size);
	put_le32(out + 36, chunk->csize);
}

static void get_chunk(struct item_chunk *out, const uint8_t in[ENTRY_CHUNK])
{
	memcpy(out->id.b, in, CHUNK_ID_SIZE);
	out->size = get_le32(in + 32);
	out->csize = get_le32(in + 36);
}

/* Chunks as bytes, from *at on, into the block of which n bytes are filled; its new length. */
static size_t fill_block(uint8_t *block, size_t n, const struct item_chunk *chunks,
			 size_t total, size_t *at)
{
	while (*at < total && n < SEAL_BLOCK) {
		uint8_t chunk[ENTRY_CHUNK];
		size_t from = *at % ENTRY_CHUNK, part = ENTRY_CHUNK - from;

		put_chunk(chunk, &chunks[*at / ENTRY_CHUNK]);
		if (part > SEAL_BLOCK - n)
			part = SEAL_BLOCK - n;
		memcpy(block + n, chunk + from, part);
		n += part;
		*at += part;
	}
	return n;
}

static int seal_entry_locked(struct files_cache *c, uint32_t serial, int64_t time,
			     const struct stat *st, const struct item_chunk *chunks,
			     size_t count, uint8_t *out, struct err *e)
{
	size_t total = count * ENTRY_CHUNK, at = 0, n = ENTRY_HEAD, piece = 0;
	int rc;

	put_le64(c->plain, (uint64_t)time);
	put_le64(c->plain + 8, st->st_ino);
	put_le64(c->plain + 16, (uint64_t)st->st_size);
	put_le32(c->plain + 24, (uint32_t)count);
	do {
		n = fill_block(c->plain, n, chunks, total, &at);
		rc = seal_block(c->mine->seal, nonce(serial, piece++),
				(struct bytes){ c->plain, n }, out, e);
		out += n + SEAL_TAG;
		n = 0;
	} while (rc == 0 && at < total);
	return rc;
}

/* The entry of c->key goes to the sorter, sealed. */
static int store_locked(struct files_cache *c, int64_t time, const struct stat *st,
			const struct item_chunk *chunks, size_t count, struct err *e)
{
	uint32_t serial = c->serial;
	uint8_t *out = NULL;
	int rc;

	if (serial == UINT32_MAX)
		return err_set(e, EFBIG, "files cache: too many files");
	c->serial++;
	rc = sorter_add(c->changed, c->key, TIME_TAG + sealed_size(entry_size(count)), &out, e);
	if (rc < 0)
		return rc;
	files_time_tag(c, time, out);
	put_le32(out + TIME_TAG, c->mine->id);
	put_le32(out + TIME_TAG + 4, serial);
	return seal_entry_locked(c, serial, time, st, chunks, count, out + TIME_TAG + HEAD, e);
}

int files_cache_remember(struct files_cache *c, struct bytes path, const struct stat *st,
			 const struct item_chunk *chunks, size_t count, struct err *e)
{
	int64_t time;
	int rc;

	if (c->mode.disabled || !S_ISREG(st->st_mode) || count > COUNT_MAX ||
	    !time_of(c, st, &time))
		return 0;
	mutex_lock(&c->lock);
	set_key_locked(c, path);
	rc = store_locked(c, time, st, chunks, count, e);
	if (rc == 0 && (!c->any || time > c->newest))
		c->newest = time;
	c->any = true;
	mutex_unlock(&c->lock);
	return rc;
}

/* --- looking up --- */

/* 1 with the value of c->key, 0. */
static int find_locked(struct files_cache *c, struct bytes *out)
{
	MDB_val key = { KEY, c->key }, value;
	int rc;

	if (c->txn && ++c->lookups % RENEW_LOOKUPS == 0) {
		mdb_txn_reset(c->txn);
		if (mdb_txn_renew(c->txn) != 0) {
			mdb_txn_abort(c->txn);
			c->txn = NULL;
		}
	}
	if (!c->txn && cache_db_begin(c->db, false, &c->txn, NULL) < 0)
		return 0;
	rc = mdb_get(c->txn, c->db->dbi, &key, &value);
	if (rc && rc != MDB_NOTFOUND)
		cache_db_fail(c->db, rc, NULL);
	if (rc)
		return 0;
	cache_db_touch(c->db, value.mv_data);
	*out = (struct bytes){ value.mv_data, value.mv_size };
	return 1;
}

struct opened {
	struct generation *generation;
	uint32_t serial;
	struct bytes rest; /* sealed, after the first piece */
	size_t plain_len;  /* of all pieces */
	size_t first_len;  /* in c->plain */
};

/* The first piece of a value into c->plain. */
static bool open_first_locked(struct files_cache *c, struct bytes value, struct opened *o)
{
	size_t pieces, sealed;

	if (value.len < HEAD + SEAL_TAG + ENTRY_HEAD)
		return false;
	o->generation = files_find_generation(c, get_le32(value.p));
	o->serial = get_le32(value.p + 4);
	if (!o->generation || make_seal(c, o->generation, NULL) < 0)
		return false;
	sealed = value.len - HEAD;
	pieces = (sealed + SEAL_BLOCK + SEAL_TAG - 1) / (SEAL_BLOCK + SEAL_TAG);
	if (sealed < pieces * SEAL_TAG)
		return false;
	o->plain_len = sealed - pieces * SEAL_TAG;
	o->first_len = o->plain_len < SEAL_BLOCK ? o->plain_len : SEAL_BLOCK;
	if (seal_open_block(o->generation->seal, nonce(o->serial, 0),
			    (struct bytes){ value.p + HEAD, o->first_len + SEAL_TAG }, c->plain,
			    NULL) < 0)
		return false;
	o->rest = (struct bytes){ value.p + HEAD + o->first_len + SEAL_TAG,
				  sealed - o->first_len - SEAL_TAG };
	return entry_size(get_le32(c->plain + 24)) == o->plain_len;
}

static bool unchanged_locked(const struct files_cache *c, const struct stat *st, int64_t time)
{
	const struct files_mode *m = &c->mode;

	return !(m->size && get_le64(c->plain + 16) != (uint64_t)st->st_size) &&
	       !(m->inode && get_le64(c->plain + 8) != st->st_ino) &&
	       !(m->compare_time && get_le64(c->plain) != (uint64_t)time);
}

static bool make_room(struct files_chunks *out, size_t count)
{
	struct item_chunk *p;

	if (count <= out->cap)
		return true;
	p = reallocarray(out->p, count, sizeof(*p));
	if (!p)
		return false;
	out->p = p;
	out->cap = count;
	return true;
}

/* Bytes of chunks, of which *done came before, split over pieces as they may be. */
static void take_bytes(struct bytes from, uint8_t chunk[ENTRY_CHUNK], size_t *done,
		       struct item_chunk *out)
{
	while (from.len) {
		size_t at = *done % ENTRY_CHUNK, part = ENTRY_CHUNK - at;

		if (part > from.len)
			part = from.len;
		memcpy(chunk + at, from.p, part);
		from.p += part;
		from.len -= part;
		*done += part;
		if (*done % ENTRY_CHUNK == 0)
			get_chunk(&out[*done / ENTRY_CHUNK - 1], chunk);
	}
}

/* All chunks of the entry of which the first piece is in c->plain. */
static bool take_chunks_locked(struct files_cache *c, struct opened *o,
			       struct files_chunks *out)
{
	size_t count = get_le32(c->plain + 24), left = o->plain_len - o->first_len, done = 0;
	struct bytes plain = { c->plain + ENTRY_HEAD, o->first_len - ENTRY_HEAD };
	uint8_t chunk[ENTRY_CHUNK];

	if (!make_room(out, count))
		return false;
	take_bytes(plain, chunk, &done, out->p);
	for (size_t piece = 1; left; piece++) {
		size_t n = left < SEAL_BLOCK ? left : SEAL_BLOCK;

		if (seal_open_block(o->generation->seal, nonce(o->serial, piece),
				    (struct bytes){ o->rest.p, n + SEAL_TAG }, c->plain,
				    NULL) < 0)
			return false;
		take_bytes((struct bytes){ c->plain, n }, chunk, &done, out->p);
		o->rest.p += n + SEAL_TAG;
		left -= n;
	}
	out->count = count;
	return true;
}

static enum files_found lookup_locked(struct files_cache *c, struct bytes path,
				      const struct stat *st, int64_t time,
				      struct files_chunks *out)
{
	struct opened o;
	struct bytes value;
	uint64_t inode;

	set_key_locked(c, path);
	if (!find_locked(c, &value) || !open_first_locked(c, value, &o))
		return FILES_UNKNOWN;
	if (!unchanged_locked(c, st, time))
		return FILES_CHANGED;
	inode = get_le64(c->plain + 8);
	time = (int64_t)get_le64(c->plain);
	if (!take_chunks_locked(c, &o, out))
		return FILES_UNKNOWN;
	/* Where the inode was not compared, it is corrected: the mode may be another next time.
	 * A failure costs a reading, some day. */
	if (inode != st->st_ino || c->runs + 1 - o.generation->run >= files_refresh_age(c))
		(void)store_locked(c, time, st, out->p, out->count, NULL);
	return FILES_UNCHANGED;
}

enum files_found files_cache_lookup(struct files_cache *c, struct bytes path,
				    const struct stat *st, struct files_chunks *out)
{
	enum files_found found;
	int64_t time;

	if (c->mode.disabled || c->mode.rechunk || !S_ISREG(st->st_mode) ||
	    !time_of(c, st, &time))
		return FILES_UNKNOWN;
	mutex_lock(&c->lock);
	cache_db_enter(c->db);
	found = lookup_locked(c, path, st, time, out);
	cache_db_leave(c->db);
	mutex_unlock(&c->lock);
	return found;
}
