/*
 * session.c - see session.h.
 *
 * The chunk index is opened when somebody needs it.  It only supplies counts: a chunk is deleted
 * where its last reference goes, and the repository, not the index, says what exists.
 */

#include "core/archive/session.h"

#include "core/archive/references.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/crypto/envelope.h"
#include "core/store/security.h"

#include <errno.h>
#include <stdlib.h>

enum { APPLY_ATTEMPTS = 8 };

static const char logger[] = "borg.cache";

struct session_private {
	struct session_options options;
	struct sealer *sealer;     /* for manifests and renamed archives */
	struct chunk_index *index; /* NULL: not opened */
	char *index_dir; /* of our own making, where there is no cache folder; or NULL */
	bool locked;
	bool staged;  /* the index has changes for the next commit */
	bool removes; /* ... and some chunk may lose its last reference */
	size_t missing;
	bool behind;  /* an archive was added that the index does not know, */
	bool unknown; /* ... since the last commit */
	int failed;   /* the commit, with this; what was stored is still there */
};

/* --- begin --- */

static int check_manifest(struct session *s, struct err *e)
{
	struct manifest *m = reader_manifest(s->reader);
	int rc = manifest_check_features(m, s->priv->options.operation, e);

	if (rc == 0)
		rc = security_check(s->reader->repo, s->reader->key, m->timestamp,
				    s->priv->options.prompt, e);
	if (rc == 0)
		rc = manifest_draft_new(&s->draft, m, e);
	reader_manifest_unref(s->reader, m);
	return rc;
}

static int open_counters(struct session *s, struct bytes manifest, struct err *e)
{
	const struct key *key = s->reader->key;
	uint64_t next = 0;
	int rc = envelope_after(key, manifest, &next, e);

	if (rc == 0)
		rc = nonces_open(&s->nonces, s->reader->repo, key, next, e);
	if (rc == 0)
		rc = sealer_new(&s->priv->sealer, key, &COMPRESSION_DEFAULT, s->nonces, e);
	return rc;
}

static int begin(struct session *s, struct err *e)
{
	CLEANUP(buf_fini) struct buf object = BUF_INIT;
	int rc = repo_lock(s->reader->repo, s->priv->options.lock_wait, e);

	if (rc < 0)
		return rc;
	s->priv->locked = true;
	rc = reader_reload(s->reader, &object, e);
	if (rc >= 0)
		rc = check_manifest(s, e);
	return rc < 0 ? rc : open_counters(s, buf_bytes(&object), e);
}

int session_begin(struct session **out, struct reader *r, const struct session_options *options,
		  struct err *e)
{
	CLEANUP(session_dropp) struct session *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_nomem(e, "session");
	s->reader = r;
	s->priv = calloc(1, sizeof(*s->priv));
	if (!s->priv)
		return err_nomem(e, "session");
	s->priv->options = *options;
	rc = begin(s, e);
	if (rc < 0)
		return rc;
	*out = TAKE(s);
	return 0;
}

/* Room that is needed to go on is given back at once. */
static void roll_back(struct session *s)
{
	(void)repo_rollback(s->reader->repo, s->priv->failed == -ENOSPC, NULL);
	s->priv->failed = 0;
}

/* --- end --- */

void session_failed(struct session *s, int rc)
{
	s->priv->failed = rc;
}

static void remove_index_dir(struct session *s)
{
	if (s->priv->index_dir)
		(void)remove_tree(s->priv->index_dir, NULL);
	free(s->priv->index_dir);
}

static int finish(struct session *s, struct err *e)
{
	int rc = 0;

	if (s->priv) {
		chunk_index_close(s->priv->index);
		remove_index_dir(s);
		sealer_free(s->priv->sealer);
	}
	manifest_draft_free(s->draft);
	nonces_close(s->nonces);
	if (s->priv && s->priv->failed)
		roll_back(s);
	if (s->priv && s->priv->locked)
		rc = repo_unlock(s->reader->repo, e);
	free(s->priv);
	free(s);
	return rc;
}

int session_end(struct session *s, struct err *e)
{
	return finish(s, e);
}

void session_drop(struct session *s)
{
	struct err why = ERR_INIT;

	if (s && finish(s, &why) < 0)
		log_warning(logger, "%s", why.msg);
}

int session_put(struct session *s, const struct compression *how, size_t slab_bytes,
		struct put **out, struct err *e)
{
	struct put_options options = { .compression = *how, .slab_bytes = slab_bytes };

	return put_open(out, s->reader->repo, s->reader->key, s->nonces, &options, e);
}

/* --- what the archives refer to --- */

static int read_archive(void *arg, const struct chunk_id *id, struct chunk_refs *refs,
			struct err *e)
{
	struct session *s = arg;
	CLEANUP(archive_freep) struct archive *a = NULL;
	int rc = archive_load(&a, s->reader, id, e);

	if (rc < 0)
		return rc;
	if (s->priv->options.sync_progress)
		s->priv->options.sync_progress(s->priv->options.progress_arg, a->name);
	return references_read(s->reader, a, refs, e);
}

static int open_index(struct session *s, struct err *e)
{
	const char *dir = s->reader->cache_dir;

	if (s->priv->index)
		return 0;
	if (!dir) {
		int rc = references_temporary(&s->priv->index_dir, e);

		if (rc < 0)
			return rc;
		dir = s->priv->index_dir;
	}
	return chunk_index_open(&s->priv->index, dir, e);
}

static int sync_index(struct session *s, struct err *e)
{
	struct manifest *m = reader_manifest(s->reader);
	int rc = references_sync(s->priv->index, m, read_archive, s, e);

	reader_manifest_unref(s->reader, m);
	return rc;
}

/* A damaged index is gone after it was found out: once more, from the beginning. */
int session_chunks(struct session *s, struct chunk_index **out, struct err *e)
{
	int rc = 0;

	for (int turn = 0; turn < 2 && !s->priv->staged; turn++) {
		rc = open_index(s, e);
		if (rc == 0)
			rc = sync_index(s, e);
		if (rc != -EBADMSG)
			break;
		chunk_index_close(s->priv->index);
		s->priv->index = NULL;
	}
	if (rc == 0)
		*out = s->priv->index;
	return rc;
}

/* Is the index true for the manifest in force, or can it be without reading anything? */
static bool index_is_ready(struct session *s)
{
	struct manifest *m = reader_manifest(s->reader);
	bool ready = chunk_index_is_at(s->priv->index, &m->hash);

	if (!ready && m->count == 0)
		ready = sync_index(s, NULL) == 0;
	reader_manifest_unref(s->reader, m);
	return ready;
}

static const char *index_dir(const struct session *s)
{
	return s->reader->cache_dir ? s->reader->cache_dir : s->priv->index_dir;
}

struct chunk_refs *session_refs(struct session *s)
{
	struct chunk_refs *refs = NULL;
	struct err why = ERR_INIT;

	if ((!s->reader->cache_dir && !s->priv->index) || open_index(s, &why) < 0 ||
	    !index_is_ready(s) || chunk_refs_new(&refs, index_dir(s), &why) < 0) {
		log_debug(logger, "no chunk index for this run: %s", why.msg);
		return NULL;
	}
	return refs;
}

/* --- staging --- */

static int does_not_exist(struct bytes name, struct err *e)
{
	return err_set_id(e, ENOENT, "Archive.DoesNotExist", "Archive %.*s does not exist",
			  (int)name.len, (const char *)name.p);
}

int session_add_archive(struct session *s, struct bytes name, const struct chunk_id *id,
			struct bytes time_text, struct chunk_refs *refs, struct err *e)
{
	int rc = manifest_draft_set(s->draft, name, id, time_text, e);

	if (rc < 0 || !refs) {
		s->priv->behind |= !refs;
		s->priv->unknown |= !refs;
		chunk_refs_free(refs);
		return rc;
	}
	s->priv->staged = true;
	return chunk_index_add(s->priv->index, id, refs, e);
}

/* The index learns what changes; without one, only the old archive object is without an owner. */
static int replace_object(struct session *s, const struct chunk_id *old,
			  const struct chunk_id *id, struct chunk_refs *refs, struct err *e)
{
	CLEANUP(chunk_refs_freep) struct chunk_refs *owned = refs;
	uint32_t csize = 0;
	int rc = repo_object_size(s->reader->repo, old, &csize, e);

	if (rc < 0)
		return rc;
	if (!owned) {
		s->priv->behind = true;
		return repo_delete(s->reader->repo, old, e);
	}
	rc = chunk_refs_drop(owned, old, 0, csize, e);
	if (rc < 0)
		return rc;
	s->priv->staged = s->priv->removes = true;
	return chunk_index_replace(s->priv->index, old, id, TAKE(owned), e);
}

int session_replace_archive(struct session *s, struct bytes old_name, struct bytes name,
			    const struct chunk_id *id, struct bytes time_text,
			    struct chunk_refs *refs, struct err *e)
{
	const struct manifest_entry *entry = manifest_draft_find(s->draft, old_name);
	struct chunk_id old;
	int rc;

	if (!entry) {
		chunk_refs_free(refs);
		return does_not_exist(old_name, e);
	}
	old = entry->id;
	rc = replace_object(s, &old, id, refs, e);
	if (rc < 0)
		return rc;
	manifest_draft_remove(s->draft, old_name);
	return manifest_draft_set(s->draft, name, id, time_text, e);
}

/* Then its chunks have an owner still. */
static bool has_other_name(const struct session *s, const struct manifest_entry *entry)
{
	const struct manifest_entry *other;

	for (size_t i = 0; (other = manifest_draft_at(s->draft, i)); i++)
		if (other != entry && id_equal(&other->id, &entry->id))
			return true;
	return false;
}

int session_remove_archive(struct session *s, struct bytes name, struct err *e)
{
	const struct manifest_entry *entry = manifest_draft_find(s->draft, name);
	struct chunk_index *index;
	int rc;

	if (!entry)
		return does_not_exist(name, e);
	if (has_other_name(s, entry))
		return session_forget_archive(s, name, e);
	rc = session_chunks(s, &index, e);
	if (rc == 0)
		rc = chunk_index_remove(index, &entry->id, e);
	if (rc < 0)
		return rc;
	s->priv->staged = s->priv->removes = true;
	manifest_draft_remove(s->draft, name);
	return 0;
}

int session_forget_archive(struct session *s, struct bytes name, struct err *e)
{
	if (!manifest_draft_remove(s->draft, name))
		return does_not_exist(name, e);
	s->priv->behind = true;
	return 0;
}

static int put_sealed(struct session *s, const struct chunk_id *id, struct bytes plain,
		      uint32_t *csize, struct err *e)
{
	CLEANUP(buf_fini) struct buf object = BUF_INIT;
	int rc = object_seal(s->priv->sealer, plain, &object, e);

	*csize = (uint32_t)object.len;
	return rc < 0 ? rc : repo_put(s->reader->repo, id, buf_bytes(&object), e);
}

/* The renamed archive object, stored; refs get it, and lose the old one. */
static int put_renamed(struct session *s, const struct chunk_id *old, struct bytes new_name,
		       struct chunk_id *id, struct chunk_refs *refs, struct err *e)
{
	CLEANUP(chunk_unrefp) struct chunk *plain = NULL;
	CLEANUP(buf_fini) struct buf renamed = BUF_INIT;
	struct chunk_want want = { .id = *old };
	uint32_t csize = 0;
	int rc = fetch_chunk(s->reader->fetch, &want, &plain, e);

	if (rc == 0)
		rc = archive_repack((struct bytes){ plain->p, plain->len }, new_name,
				    (struct bytes){ 0 }, s->reader->key, &renamed, e);
	if (rc < 0)
		return rc;
	sealer_id(s->priv->sealer, buf_bytes(&renamed), id);
	rc = put_sealed(s, id, buf_bytes(&renamed), &csize, e);
	if (rc == 0)
		rc = chunk_refs_add(refs, id, (uint32_t)renamed.len, csize, e);
	if (rc == 0)
		rc = repo_object_size(s->reader->repo, old, &csize, e);
	return rc < 0 ? rc : chunk_refs_drop(refs, old, (uint32_t)plain->len, csize, e);
}

int session_rename_archive(struct session *s, struct bytes name, struct bytes new_name,
			   struct err *e)
{
	const struct manifest_entry *entry = manifest_draft_find(s->draft, name);
	CLEANUP(chunk_refs_freep) struct chunk_refs *refs = NULL;
	struct chunk_index *index;
	struct manifest_entry old;
	struct chunk_id id;
	int rc;

	if (!entry)
		return does_not_exist(name, e);
	if (manifest_draft_find(s->draft, new_name))
		return err_set_id(e, EEXIST, "Archive.AlreadyExists",
				  "Archive %.*s already exists", (int)new_name.len,
				  (const char *)new_name.p);
	old = *entry;
	rc = session_chunks(s, &index, e);
	if (rc == 0)
		rc = chunk_refs_new(&refs, index_dir(s), e);
	if (rc == 0)
		rc = put_renamed(s, &old.id, new_name, &id, refs, e);
	if (rc == 0)
		rc = chunk_index_replace(index, &old.id, &id, TAKE(refs), e);
	if (rc < 0)
		return rc;
	s->priv->staged = s->priv->removes = true;
	rc = manifest_draft_set(s->draft, new_name, &id, old.time_text, e);
	if (rc == 0)
		manifest_draft_remove(s->draft, name);
	return rc;
}

/* --- commit --- */

static int delete_orphan(void *arg, const struct chunk_id *id, const struct chunk_count *sizes,
			 struct err *e)
{
	struct session *s = arg;
	int rc = repo_delete(s->reader->repo, id, e);

	(void)sizes;
	if (rc != -ENOENT)
		return rc;
	s->priv->missing++;
	return 0;
}

/* Who only reads may have taken the index to a manifest that was in force before: back. */
static int apply_staged(struct session *s, struct err *e)
{
	chunk_index_orphan *orphan = s->priv->removes ? delete_orphan : NULL;
	int rc = chunk_index_apply(s->priv->index, orphan, s, e);

	for (int i = 0; i < APPLY_ATTEMPTS && rc == -ESTALE; i++) {
		rc = sync_index(s, e);
		if (rc == 0)
			rc = chunk_index_apply(s->priv->index, orphan, s, e);
	}
	return rc;
}

static int apply_index(struct session *s, struct err *e)
{
	struct err why = ERR_INIT;
	int rc;

	if (!s->priv->staged)
		return 0;
	if (s->priv->removes && s->priv->unknown)
		return err_set(e, EINVAL,
			       "an archive whose references are not counted cannot be "
			       "committed together with a removal");
	if (s->priv->removes)
		return apply_staged(s, e);
	rc = apply_staged(s, &why);
	if (rc < 0) { /* nothing but additions: it will read them when somebody needs it */
		log_warning(logger, "chunk index: %s", why.msg);
		chunk_index_abort(s->priv->index);
		s->priv->staged = false;
		s->priv->behind = true;
	}
	return 0;
}

static int put_manifest(struct session *s, struct chunk_id *hash, struct err *e)
{
	CLEANUP(buf_fini) struct buf plain = BUF_INIT;
	uint32_t csize;
	int rc = manifest_draft_pack(s->draft, s->reader->key, &plain, NULL, e);

	if (rc < 0)
		return rc;
	sealer_id(s->priv->sealer, buf_bytes(&plain), hash);
	return put_sealed(s, &MANIFEST_ID, buf_bytes(&plain), &csize, e);
}

/* The repository is committed: what fails from here on costs time at the next run, nothing else. */
static void commit_index(struct session *s, const struct chunk_id *hash)
{
	struct err why = ERR_INIT;

	if (!s->priv->index || s->priv->behind || (!s->priv->staged && !index_is_ready(s))) {
		if (s->priv->index)
			chunk_index_abort(s->priv->index);
		return;
	}
	if (chunk_index_commit(s->priv->index, hash, &why) < 0) {
		log_warning(logger, "chunk index: %s", why.msg);
		chunk_index_abort(s->priv->index);
	}
}

/* What is committed is there, whether or not this host can note when it was. */
static int remember(struct session *s, struct err *e)
{
	struct err why = ERR_INIT;
	struct manifest *m;
	int rc = reader_reload(s->reader, NULL, e);

	if (rc < 0)
		return rc;
	m = reader_manifest(s->reader);
	if (security_save(s->reader->repo, s->reader->key, m->timestamp, &why) < 0)
		log_warning(logger, "%s", why.msg);
	manifest_draft_free(s->draft);
	s->draft = NULL;
	rc = manifest_draft_new(&s->draft, m, e);
	reader_manifest_unref(s->reader, m);
	return rc;
}

size_t session_missing(const struct session *s)
{
	return s->priv->missing;
}

int session_commit(struct session *s, struct err *e)
{
	struct chunk_id hash;
	int rc = apply_index(s, e);

	if (rc == 0)
		rc = put_manifest(s, &hash, e);
	if (rc == 0)
		rc = repo_commit(s->reader->repo, e);
	if (rc < 0) {
		if (s->priv->index)
			chunk_index_abort(s->priv->index);
		s->priv->failed = rc;
		if (!s->priv->options.rescue)
			roll_back(s);
		return rc;
	}
	commit_index(s, &hash);
	s->priv->staged = s->priv->removes = false;
	s->priv->behind = s->priv->unknown = false;
	return remember(s, e);
}

/* --- the first one --- */

static int put_first(struct repo *repo, const struct key *key, char *timestamp, struct err *e)
{
	CLEANUP(nonces_closep) struct nonces *nonces = NULL;
	CLEANUP(sealer_freep) struct sealer *sealer = NULL;
	CLEANUP(manifest_draft_freep) struct manifest_draft *draft = NULL;
	CLEANUP(buf_fini) struct buf plain = BUF_INIT;
	CLEANUP(buf_fini) struct buf object = BUF_INIT;
	int rc = nonces_open(&nonces, repo, key, 0, e);

	if (rc == 0)
		rc = sealer_new(&sealer, key, &COMPRESSION_DEFAULT, nonces, e);
	if (rc == 0)
		rc = manifest_draft_new(&draft, NULL, e);
	if (rc == 0)
		rc = manifest_draft_pack(draft, key, &plain, timestamp, e);
	if (rc == 0)
		rc = object_seal(sealer, buf_bytes(&plain), &object, e);
	if (rc == 0)
		rc = repo_put(repo, &MANIFEST_ID, buf_bytes(&object), e);
	return rc == 0 ? repo_commit(repo, e) : rc;
}

int session_initialize(struct repo *repo, const struct key *key, struct err *e)
{
	char timestamp[MANIFEST_TIME_TEXT];
	int rc = put_first(repo, key, timestamp, e);

	return rc < 0 ? rc : security_save(repo, key, timestamp, e);
}
