/*
 * reader.c - see reader.h.
 *
 * Manifests that somebody may still hold are kept in a list with their counts; the first one is
 * the one in force and has a count of its own.
 */

#include "core/archive/reader.h"

#include "core/archive/tree_file.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/thread.h"
#include "core/platform/dirs.h"
#include "core/store/keyring.h"
#include "core/store/security.h"

enum { TREE_CACHE_BYTES = 8 << 20 /* decrypted blocks of all trees */ };

static const char logger[] = "borg.archive";

struct held {
	struct held *next;
	struct manifest *manifest;
	size_t refs;
};

struct reader_private {
	struct mutex refreshing; /* one refresh at a time; taken before `lock` */
	struct mutex lock;       /* guards held and everything in it */
	struct held *held;       /* the manifest in force, then older ones still referenced */
	bool behind; /* guarded by refreshing: the manifest is older than the view */
};

static int read_manifest(struct repo *repo, unsigned flags, struct buf *out, struct err *e)
{
	int rc = repo_get(repo, &MANIFEST_ID, flags, out, e);

	if (rc == -ENOENT)
		return err_set_id(e, ENOENT, "NoManifestError", "Repository has no manifest.");
	return rc < 0 ? err_wrap(e, rc, "manifest") : rc;
}

/* The rest of Borg's sentence needs to know where the repository is. */
static int explain(struct repo *repo, int rc, struct err *e)
{
	if (rc < 0 && e && e->msgid && strcmp(e->msgid, "TAMRequiredError") == 0)
		err_set_id(e, -rc, "TAMRequiredError",
			   "Manifest is unauthenticated, but it is required for this "
			   "repository.\n\n"
			   "This either means that you are under attack, or that you modified "
			   "this repository\n"
			   "with a Borg version older than 1.0.9 after TAM authentication was "
			   "enabled.\n\n"
			   "In the latter case, use \"borg upgrade --tam --force '%s'\" to "
			   "re-authenticate the manifest.",
			   repo_canonical(repo));
	return rc;
}

/* Put the manifest in force.  0 or -ENOMEM; it is the reader's in any case. */
static int install(struct reader *r, struct manifest *manifest, struct err *e)
{
	struct held *held = malloc(sizeof(*held));
	struct held *before;
	struct manifest *old;

	if (!held) {
		manifest_free(manifest);
		return err_nomem(e, "manifest");
	}
	mutex_lock(&r->priv->lock);
	before = r->priv->held;
	*held = (struct held){ .next = before, .manifest = manifest, .refs = 1 };
	r->priv->held = held;
	old = before ? before->manifest : NULL;
	mutex_unlock(&r->priv->lock);
	if (old)
		reader_manifest_unref(r, old);
	return 0;
}

static int load_manifest(struct reader *r, struct buf *object, struct manifest **out,
			 struct err *e)
{
	struct err first = ERR_INIT;
	int rc = manifest_parse(out, r->key, buf_bytes(object), MANIFEST_READ, &first);

	if (rc == -EBADMSG && !first.msgid) {
		/* Bytes that are no object at all may be those of a segment just replaced. */
		rc = read_manifest(r->repo, REPO_GET_FRESH, object, e);
		if (rc < 0)
			return rc;
		return explain(r->repo,
			       manifest_parse(out, r->key, buf_bytes(object), MANIFEST_READ, e),
			       e);
	}
	if (rc < 0 && e)
		*e = first;
	return explain(r->repo, rc, e);
}

static int open_repo(struct reader *r, const struct location *where, struct err *e)
{
	CLEANUP(cleanup_freep) char *cache_top = NULL;
	struct err why = ERR_INIT;

	/* Without a cache folder all works, only more slowly. */
	if (dirs_cache_top(&cache_top, &why) < 0)
		log_debug(logger, "no cache folder: %s", why.msg);
	return repo_open(&r->repo, where, &(struct repo_options){ .cache_dir = cache_top }, e);
}

/* For the keys of Borg 1.0.  Failing to remember it changes nothing for this run. */
static void note_tam(struct repo *repo, const struct manifest *manifest)
{
	struct err why = ERR_INIT;

	if (manifest->tam_verified && security_note_tam(repo, manifest->tam_required, &why) < 0)
		log_debug(logger, "%s", why.msg);
}

static int open_trust(struct reader *r, const struct prompt *prompt, struct err *e)
{
	CLEANUP(buf_fini) struct buf object = BUF_INIT;
	CLEANUP(manifest_freep) struct manifest *manifest = NULL;
	int rc = read_manifest(r->repo, 0, &object, e);

	if (rc == 0)
		rc = keyring_unlock(&r->key, r->repo, buf_bytes(&object), prompt, e);
	if (rc == 0)
		rc = load_manifest(r, &object, &manifest, e);
	if (rc == 0 && manifest->tam_verified)
		rc = security_note_tam(r->repo, manifest->tam_required, e);
	if (rc == 0)
		rc = security_check(r->repo, r->key, manifest->timestamp, prompt, e);
	if (rc < 0)
		return rc;
	note_tam(r->repo, manifest);
	return install(r, TAKE(manifest), e);
}

static struct reader *reader_new(void)
{
	struct reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->priv = calloc(1, sizeof(*r->priv));
	if (!r->priv) {
		free(r);
		return NULL;
	}
	mutex_init(&r->priv->refreshing);
	mutex_init(&r->priv->lock);
	return r;
}

int reader_open(struct reader **out, const struct location *where,
		const struct reader_options *options, struct err *e)
{
	CLEANUP(reader_closep) struct reader *r = reader_new();
	struct err why = ERR_INIT;
	int rc;

	if (!r)
		return err_nomem(e, "repository");
	rc = open_repo(r, where, e);
	if (rc == 0)
		rc = open_trust(r, options->prompt, e);
	if (rc < 0)
		return rc;
	if (dirs_cache(&repo_config(r->repo)->id, &r->cache_dir, &why) < 0)
		log_warning(logger, "no cache folder: %s", why.msg);
	r->trees = tree_cache_new(TREE_CACHE_BYTES);
	if (!r->trees)
		return err_nomem(e, "reader");
	rc = fetch_open(&r->fetch, r->repo, r->key, &options->fetch, e);
	if (rc < 0)
		return rc;
	*out = TAKE(r);
	return 0;
}

void reader_close(struct reader *r)
{
	if (!r)
		return;
	fetch_close(r->fetch);
	while (r->priv->held) {
		struct held *held = r->priv->held;

		r->priv->held = held->next;
		manifest_free(held->manifest);
		free(held);
	}
	key_close(r->key);
	repo_close(r->repo);
	mutex_fini(&r->priv->lock);
	mutex_fini(&r->priv->refreshing);
	free(r->priv);
	tree_cache_free(r->trees);
	free(r->cache_dir);
	free(r);
}

struct manifest *reader_manifest(struct reader *r)
{
	struct manifest *m;

	mutex_lock(&r->priv->lock);
	r->priv->held->refs++;
	m = r->priv->held->manifest;
	mutex_unlock(&r->priv->lock);
	return m;
}

void reader_manifest_unref(struct reader *r, struct manifest *m)
{
	struct held **place, *held, *gone = NULL;

	if (!m)
		return;
	mutex_lock(&r->priv->lock);
	for (place = &r->priv->held; *place && (*place)->manifest != m; place = &(*place)->next)
		;
	held = *place;
	assert(held);
	if (--held->refs == 0) {
		*place = held->next;
		gone = held;
	}
	mutex_unlock(&r->priv->lock);
	if (gone)
		manifest_free(gone->manifest);
	free(gone);
}

static int take_manifest(struct reader *r, struct buf *object, struct err *e)
{
	CLEANUP(manifest_freep) struct manifest *manifest = NULL;
	CLEANUP(buf_fini) struct buf bytes = BUF_INIT;
	struct manifest *now;
	bool same;
	int rc = read_manifest(r->repo, 0, &bytes, e);

	if (rc == 0 && object) {
		object->len = 0;
		if (buf_append(object, bytes.p, bytes.len) < 0)
			return err_nomem(e, "manifest");
	}
	if (rc == 0)
		rc = load_manifest(r, &bytes, &manifest, e);
	if (rc < 0)
		return rc;
	now = reader_manifest(r);
	same = id_equal(&now->hash, &manifest->hash);
	if (!same && strcmp(manifest->timestamp, now->timestamp) < 0)
		rc = err_set_id(
			e, EPERM, "Cache.RepositoryReplay",
			"Cache, or information obtained from the security directory is newer "
			"than repository - this is either an attack or unsafe (multiple repos "
			"with same ID)");
	reader_manifest_unref(r, now);
	if (rc == 0 && !same)
		rc = install(r, TAKE(manifest), e);
	if (rc < 0)
		return rc;
	r->priv->behind = false;
	return same ? 0 : 1;
}

static int follow(struct reader *r, struct err *e)
{
	int rc = repo_refresh(r->repo, e);

	if (rc < 0)
		return rc;
	if (rc > 0)
		r->priv->behind = true;
	return r->priv->behind ? take_manifest(r, NULL, e) : 0;
}

int reader_refresh(struct reader *r, struct err *e)
{
	int rc;

	mutex_lock(&r->priv->refreshing);
	rc = follow(r, e);
	mutex_unlock(&r->priv->refreshing);
	return rc;
}

int reader_reload(struct reader *r, struct buf *object, struct err *e)
{
	int rc;

	mutex_lock(&r->priv->refreshing);
	rc = take_manifest(r, object, e);
	mutex_unlock(&r->priv->refreshing);
	return rc;
}
