/* staging_resume.c - see staging.h: checkpoints that are staged again when a mount begins. */

#include "fs/staging_internal.h"

#include "core/archive/archive.h"
#include "core/archive/keep.h"
#include "core/archive/tree_build.h"
#include "core/base/log.h"
#include "fs/resume.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char logger[] = "borg.fuse";

static const double LOCK_WAIT_S = 0.5; /* enough to remove what a killed process has left */

static bool is_ours(const struct staging *s, const struct archive *a)
{
	return bytes_is(a->hostname, s->hostname) && bytes_is(a->username, s->username);
}

static int open_volume(struct staging *s, const struct archive *a,
		       const struct attr_policy *policy, struct volume **out, struct err *e)
{
	struct tree_options options = {
		.consider_part_files = true,
		.made_up_uid = s->options.uid,
		.made_up_gid = s->options.gid,
	};
	struct tree *tree;
	int rc = tree_open(&tree, s->options.reader, a, &options, e);

	return rc < 0 ? rc : volume_new(out, tree, (const char *)a->name.p, policy, e);
}

static int make_top(struct staging *s, struct bytes name, uint64_t *out)
{
	struct stage_maker who = { .uid = s->options.uid, .gid = s->options.gid };
	struct stage_making what = { .mode = S_IFDIR | 0755 };
	struct stage_node made;
	int rc = stage_make(s->stage, stage_root(s->stage), name, &who, &what, &made);

	*out = rc == 0 ? made.st.st_ino : 0;
	return rc;
}

static int note_draft(struct staging *s, uint64_t top, const struct manifest_entry *entry,
		      const struct archive *a)
{
	struct draft *d = staging_draft(s, top);

	if (!d)
		return -ENOMEM;
	d->started_ns = a->time_ns;
	if (a->comment.len > 0 &&
	    staging_set_own_xattr(s, top, bytes_str("user.alcove.comment"), a->comment) < 0)
		return -ENOMEM;
	d->checkpoint = strndup((const char *)entry->name.p, entry->name.len);
	return d->checkpoint ? 0 : -ENOMEM;
}

/* Its files go on being cut as they were. */
static void take_chunker(struct staging *s, uint64_t top, const struct archive *a)
{
	struct chunker_params params;
	struct err why = ERR_INIT;

	if (archive_chunker_params(a, &params) == 0 &&
	    staging_set_chunker(s, top, &params, &why) < 0)
		log_warning(logger, "%.*s goes on with the chunker of the mount: %s",
			    (int)a->name.len, (const char *)a->name.p, why.msg);
}

static int resume_archive(struct staging *s, const struct manifest_entry *entry,
			  const struct archive *a, const struct attr_policy *policy,
			  struct err *e)
{
	CLEANUP(volume_unrefp) struct volume *volume = NULL;
	struct bytes name = keep_stem(entry->name);
	uint64_t top = 0;
	int rc = open_volume(s, a, policy, &volume, e);

	if (rc == 0)
		rc = make_top(s, name, &top);
	if (rc < 0)
		return rc;
	take_chunker(s, top, a);
	rc = resume_tree(s, top, volume, s->options.reader->fetch, policy, e);
	if (rc == 0)
		rc = note_draft(s, top, entry, a);
	if (rc < 0) {
		staging_drop_draft(s, top);
		(void)stage_freeze(s->stage, top); /* nobody holds it: it is gone */
	}
	return rc;
}

/* One archive of the manifest; what is not to be resumed is passed over. */
static int consider(struct staging *s, const struct manifest_entry *entry,
		    const struct attr_policy *policy, const char *take_over, struct err *e)
{
	CLEANUP(archive_freep) struct archive *a = NULL;
	bool wanted = take_over && bytes_is(entry->name, take_over);
	int rc;

	if (!wanted && keep_stem(entry->name).len == entry->name.len)
		return 0;
	rc = archive_load(&a, s->options.reader, &entry->id, e);
	if (rc == 0 && !wanted && !is_ours(s, a))
		return 0;
	return rc == 0 ? resume_archive(s, entry, a, policy, e) : rc;
}

static void consider_all(struct staging *s, const struct manifest *m,
			 const struct attr_policy *policy, const char *take_over)
{
	for (size_t i = 0; i < m->count; i++) {
		const struct manifest_entry *entry = &m->entries[i];
		struct err why = ERR_INIT;
		int rc = consider(s, entry, policy, take_over, &why);

		if (rc < 0)
			log_warning(logger, "%.*s is not resumed: %s", (int)entry->name.len,
				    (const char *)entry->name.p,
				    why.msg[0] ? why.msg : strerror(-rc));
	}
}

static bool has_checkpoints(const struct manifest *m)
{
	for (size_t i = 0; i < m->count; i++)
		if (keep_stem(m->entries[i].name).len != m->entries[i].name.len)
			return true;
	return false;
}

static int consider_now(struct staging *s, struct err *e)
{
	struct reader *reader = s->options.reader;
	int rc = reader_reload(reader, NULL, e);
	struct manifest *m;

	if (rc < 0)
		return rc;
	m = reader_manifest(reader);
	consider_all(s, m, s->resuming.policy, s->resuming.take_over);
	s->seen = m->hash;
	reader_manifest_unref(reader, m);
	s->resuming.policy = NULL;
	return 0;
}

/* Whoever is just writing a checkpoint holds the lock, and so may who was killed a moment ago. */
int staging_try_resume(struct staging *s, struct err *e)
{
	struct repo *repo = s->options.reader->repo;
	struct err why = ERR_INIT;
	int rc, unlocked;

	if (!s->resuming.policy)
		return 0;
	if (s->session)
		return consider_now(s, e);
	rc = repo_lock(repo, LOCK_WAIT_S, e);
	if (rc < 0)
		return rc;
	rc = consider_now(s, e);
	unlocked = repo_unlock(repo, rc < 0 ? &why : e);
	return rc < 0 ? rc : unlocked;
}

int staging_resume(struct staging *s, const struct attr_policy *policy, const char *take_over,
		   struct err *e)
{
	struct manifest *m = reader_manifest(s->options.reader);
	bool known = !take_over || manifest_find(m, bytes_str(take_over));
	bool some = take_over || has_checkpoints(m);
	struct err why = ERR_INIT;
	int rc = 0;

	reader_manifest_unref(s->options.reader, m);
	if (!known)
		return err_set_id(e, ENOENT, "Archive.DoesNotExist",
				  "Archive %s does not exist", take_over);
	mutex_lock(&s->committing);
	if (some) {
		s->resuming.policy = policy;
		s->resuming.take_over = take_over;
		rc = staging_try_resume(s, &why);
	}
	mutex_unlock(&s->committing);
	if (rc == -EBUSY) {
		log_warning(logger, "checkpoints are staged again when the lock is free: %s",
			    why.msg);
		rc = 0;
	}
	return rc < 0 ? err_wrap(e, rc, "%s", why.msg) : 0;
}
