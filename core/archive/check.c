/* check.c - see check.h. */

#include "core/archive/check_internal.h"

#include "core/base/sorter.h"
#include "core/crypto/envelope.h"
#include "core/store/keyring.h"

#include <errno.h>
#include <stdlib.h>

enum {
	STREAM_WINDOW = 64 << 20, /* bytes of plaintext under way */
	KEY_TRIES = 999,          /* objects that may tell the kind of key */
};

/* --- what the others share --- */

uint8_t *check_state(const struct check *c, const struct chunk_id *id)
{
	return table_get(&c->objects, id);
}

void check_reference(struct check *c, const struct chunk_id *id)
{
	uint8_t *state = check_state(c, id);

	if (state)
		*state |= OBJECT_REFERENCED;
}

void check_supersede(struct check *c, const struct chunk_id *id)
{
	uint8_t *state = check_state(c, id);

	if (state)
		*state |= OBJECT_SUPERSEDED;
}

void check_progress(const struct check *c, enum archive_check_step step, size_t done,
		    size_t total)
{
	if (c->options->progress)
		c->options->progress(c->options->progress_arg, step, done, total);
}

static int put_sealed(struct check *c, const struct chunk_id *id, struct bytes plain,
		      uint32_t *csize, struct err *e)
{
	CLEANUP(buf_fini) struct buf object = BUF_INIT;
	int rc = object_seal(c->sealer, plain, &object, e);

	if (csize)
		*csize = (uint32_t)object.len;
	return rc < 0 ? rc : repo_put(c->repo, id, buf_bytes(&object), e);
}

int check_store(struct check *c, struct bytes plain, struct chunk_id *id, uint32_t *csize,
		struct err *e)
{
	uint8_t *state;
	bool made;
	int rc = 0;

	sealer_id(c->sealer, plain, id);
	state = table_put(&c->objects, id, &made);
	if (!state)
		return err_nomem(e, "objects");
	*state |= OBJECT_REFERENCED;
	if (made)
		rc = put_sealed(c, id, plain, csize, e);
	else if (csize)
		rc = repo_object_size(c->repo, id, csize, e);
	return rc;
}

/* --- opening --- */

static int add_object(void *arg, const struct chunk_id *id)
{
	return table_put(arg, id, NULL) ? 0 : -ENOMEM;
}

/* Any object tells the kind of key; the manifest is the likeliest to be good. */
static int unlock_by(struct check *c, const struct chunk_id *id, struct err *e)
{
	CLEANUP(buf_fini) struct buf object = BUF_INIT;
	int rc = repo_get(c->repo, id, 0, &object, e);

	if (rc == 0 && (object.len == 0 || !key_traits(object.p[0])))
		rc = err_set(e, EBADMSG, "the object is of no kind of key");
	return rc < 0 ? -EAGAIN
		      : keyring_unlock(&c->key, c->repo, buf_bytes(&object), c->options->prompt,
				       e);
}

static int unlock(struct check *c, struct err *e)
{
	size_t cursor = 0, tries = 0;
	const void *id;
	void *state;
	int rc = -EAGAIN;

	if (check_state(c, &MANIFEST_ID))
		rc = unlock_by(c, &MANIFEST_ID, e);
	while (rc == -EAGAIN && ++tries <= KEY_TRIES &&
	       table_next(&c->objects, &cursor, &id, &state))
		rc = unlock_by(c, id, e);
	if (rc == -EAGAIN)
		return err_set_id(e, EBADMSG, "IntegrityError",
				  "Data integrity error: make_key: failed to create the key "
				  "(tried %zu chunks)",
				  tries);
	return rc;
}

/* The counters go on where those of the manifest ended, where it can be believed. */
static int open_sealer(struct check *c, struct bytes manifest, struct err *e)
{
	uint64_t next = 0;
	int rc;

	if (!c->options->repair)
		return 0;
	if (manifest.len && envelope_after(c->key, manifest, &next, NULL) < 0)
		next = 0;
	rc = nonces_open(&c->nonces, c->repo, c->key, next, e);
	return rc < 0 ? rc : sealer_new(&c->sealer, c->key, &COMPRESSION_DEFAULT, c->nonces, e);
}

static bool is_damage(int rc, const struct err *why)
{
	return rc == -EBADMSG || rc == -ENOENT ||
	       (why->msgid && strcmp(why->msgid, "TAMUnsupportedSuiteError") == 0);
}

/* 0 with c->manifest; 1 there is none that can be believed; -errno. */
static int load_manifest(struct check *c, struct buf *object, struct err *e)
{
	struct err why = ERR_INIT;
	int rc;

	if (!check_state(c, &MANIFEST_ID)) {
		report(c, "Repository manifest not found!");
		return 1;
	}
	rc = repo_get(c->repo, &MANIFEST_ID, 0, object, &why);
	if (rc == 0)
		rc = manifest_parse(&c->manifest, c->key, buf_bytes(object), MANIFEST_CHECK,
				    &why);
	if (rc == 0)
		return 0;
	if (!is_damage(rc, &why)) {
		*e = why;
		return rc;
	}
	report(c, "Repository manifest is corrupted: %s", why.msg);
	object->len = 0;
	table_remove(&c->objects, &MANIFEST_ID);
	return 1;
}

static int open_manifest(struct check *c, struct err *e)
{
	CLEANUP(buf_fini) struct buf object = BUF_INIT;
	int rc = load_manifest(c, &object, e);

	if (rc == 0)
		rc = manifest_draft_new(&c->draft, c->manifest, e);
	else if (rc == 1)
		rc = check_rebuild_manifest(c, e);
	return rc < 0 ? rc : open_sealer(c, buf_bytes(&object), e);
}

/* --- archives --- */

static int compare_names(const void *a, const void *b)
{
	const struct manifest_entry *x = a, *y = b;

	return bytes_compare(x->name, y->name);
}

/* The archives as the draft has them now, by name. */
static int list_archives(const struct check *c, struct manifest *out, struct err *e)
{
	const struct manifest_entry *entry;
	size_t count = 0;

	*out = (struct manifest){ 0 };
	while (manifest_draft_at(c->draft, count))
		count++;
	out->entries = calloc(count ? count : 1, sizeof(*out->entries));
	if (!out->entries)
		return err_nomem(e, "manifest");
	while ((entry = manifest_draft_at(c->draft, out->count)))
		out->entries[out->count++] = *entry;
	qsort(out->entries, count, sizeof(*out->entries), compare_names);
	return 0;
}

/* It is out of the manifest. */
static void lose_archive(struct check *c, const struct manifest_entry *entry)
{
	c->error_found = true;
	manifest_draft_remove(c->draft, entry->name);
}

static int load_archive(struct check *c, const struct manifest_entry *entry,
			struct archive **out, struct err *why)
{
	CLEANUP(chunk_unrefp) struct chunk *plain = NULL;
	struct chunk_want want = { .id = entry->id };
	int rc;

	(void)stream_push(c->stream, &want); /* an empty window always accepts */
	rc = stream_pull(c->stream, &plain, why);
	return rc < 0 ? rc : archive_parse(out, &entry->id, plain, why);
}

static void say_lost(const struct check *c, const struct err *why,
		     const struct manifest_entry *entry)
{
	char hex[CHUNK_ID_HEX];

	if (!why->msgid || strcmp(why->msgid, "ArchiveTAMInvalid") != 0) {
		log_error(CHECK_LOGGER, "Archive metadata block %s is corrupted: %s",
			  id_hex(&entry->id, hex), why->msg);
		return;
	}
	log_error(CHECK_LOGGER, "Archive TAM authentication issue for archive %.*s: %s",
		  (int)entry->name.len, (const char *)entry->name.p, why->msg);
	log_error(CHECK_LOGGER, "%s",
		  c->options->repair
			  ? "This archive will be *removed* from the manifest! It will be "
			    "deleted."
			  : "This archive would be *removed* / *deleted* when using --repair!");
}

static int check_archive(struct check *c, const struct manifest_entry *entry, struct err *e)
{
	CLEANUP(archive_freep) struct archive *a = NULL;
	struct err why = ERR_INIT;
	char hex[CHUNK_ID_HEX];
	struct chunk_id id;
	int rc;

	if (!check_state(c, &entry->id)) {
		log_error(CHECK_LOGGER, "Archive metadata block %s is missing!",
			  id_hex(&entry->id, hex));
		lose_archive(c, entry);
		return 0;
	}
	check_supersede(c, &entry->id);
	rc = load_archive(c, entry, &a, &why);
	if (rc == 0)
		rc = archive_check_tam(a, c->key, &why);
	if (rc == -EBADMSG || rc == -ENOENT) {
		say_lost(c, &why, entry);
		lose_archive(c, entry);
		return 0;
	}
	if (rc < 0) {
		*e = why;
		return rc;
	}
	rc = check_items(c, a, entry->name, &id, e);
	return rc == 1 ? manifest_draft_set(c->draft, entry->name, &id, entry->time_text, e)
		       : rc;
}

static int check_selected(struct check *c, const struct selection *selected, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < selected->count; i++) {
		const struct manifest_entry *entry = selected->entries[i];

		check_progress(c, CHECK_ARCHIVES, i, selected->count);
		log_info(CHECK_LOGGER, "Analyzing archive %.*s (%zu/%zu)", (int)entry->name.len,
			 (const char *)entry->name.p, i + 1, selected->count);
		rc = check_archive(c, entry, e);
	}
	check_progress(c, CHECK_ARCHIVES, selected->count, selected->count);
	return rc;
}

static void say_selection(const struct select_options *o, size_t count)
{
	const char *star = o->prefix ? "*" : "", *glob = o->prefix ? o->prefix : o->glob;

	if (glob && count == 0)
		log_warning(CHECK_LOGGER, "--glob-archives %s%s does not match any archives",
			    glob, star);
	if (count < o->first)
		log_warning(CHECK_LOGGER, "--first %u archives: only found %zu archives",
			    o->first, count);
	if (count < o->last)
		log_warning(CHECK_LOGGER, "--last %u archives: only found %zu archives",
			    o->last, count);
}

static int check_listed(struct check *c, const struct manifest *list, struct err *e)
{
	CLEANUP(selection_fini) struct selection selected = { 0 };
	struct select_options select = c->options->select;
	int rc;

	select.consider_checkpoints = true;
	rc = select_archives(&selected, list, &select, e);
	if (rc < 0)
		return rc;
	say_selection(&select, selected.count);
	return check_selected(c, &selected, e);
}

static int check_one(struct check *c, const struct manifest *list, struct err *e)
{
	struct bytes name = c->options->archive;

	for (size_t i = 0; i < list->count; i++) {
		const struct manifest_entry *entry = &list->entries[i];
		struct selection one = { &entry, 1 };

		if (bytes_equal(entry->name, name))
			return check_selected(c, &one, e);
	}
	report(c, "Archive '%.*s' not found.", (int)name.len, (const char *)name.p);
	return 0;
}

static int check_archives(struct check *c, struct err *e)
{
	struct manifest list;
	int rc = list_archives(c, &list, e);

	if (rc == 0)
		rc = c->options->archive.p ? check_one(c, &list, e) : check_listed(c, &list, e);
	free(list.entries);
	return rc;
}

/* --- what nobody refers to --- */

static bool checks_all(const struct check *c)
{
	const struct select_options *o = &c->options->select;

	return !c->options->archive.p && !o->prefix && !o->glob && !o->first && !o->last;
}

static int delete_unused(struct check *c, struct err *e)
{
	size_t cursor = 0;
	const void *id;
	void *state;
	int rc = 0;

	while (rc == 0 && table_next(&c->objects, &cursor, &id, &state))
		if (!(*(uint8_t *)state & OBJECT_REFERENCED))
			rc = repo_delete(c->repo, id, e);
	return rc;
}

static int check_orphans(struct check *c, struct err *e)
{
	size_t cursor = 0, orphaned = 0, superseded = 0;
	const void *id;
	void *state;
	int rc;

	if (!checks_all(c)) {
		log_info(CHECK_LOGGER,
			 "Orphaned objects check skipped (needs all archives checked).");
		return 0;
	}
	while (table_next(&c->objects, &cursor, &id, &state)) {
		uint8_t bits = *(uint8_t *)state;

		superseded += bits == OBJECT_SUPERSEDED;
		orphaned += bits == 0;
	}
	if (orphaned)
		report(c, "%zu orphaned objects found!", orphaned);
	if (!c->options->repair || orphaned + superseded == 0)
		return 0;
	log_info(CHECK_LOGGER, "Deleting %zu orphaned and %zu superseded objects...", orphaned,
		 superseded);
	rc = delete_unused(c, e);
	if (rc == 0)
		log_info(CHECK_LOGGER, "Finished deleting orphaned/superseded objects.");
	return rc;
}

/* --- all of it --- */

static int commit(struct check *c, struct err *e)
{
	CLEANUP(buf_fini) struct buf plain = BUF_INIT;
	int rc;

	if (!c->options->repair)
		return 0;
	log_info(CHECK_LOGGER, "Writing Manifest.");
	rc = manifest_draft_pack(c->draft, c->key, &plain, NULL, e);
	if (rc == 0)
		rc = put_sealed(c, &MANIFEST_ID, buf_bytes(&plain), NULL, e);
	if (rc < 0)
		return rc;
	log_info(CHECK_LOGGER, "Committing repo.");
	return repo_commit(c->repo, e);
}

static int check_contents(struct check *c, struct err *e)
{
	int rc = unlock(c, e);

	if (rc == 0)
		rc = unsealer_new(&c->unsealer, c->key, e);
	if (rc == 0)
		rc = stream_open(&c->stream, c->repo, c->key, 0, STREAM_WINDOW, e);
	if (rc == 0 && c->options->verify_data)
		rc = check_verify_data(c, e);
	if (rc == 0)
		rc = open_manifest(c, e);
	if (rc < 0)
		return rc;
	table_remove(&c->objects, &MANIFEST_ID);
	rc = check_archives(c, e);
	if (rc == 0)
		rc = check_orphans(c, e);
	return rc == 0 ? commit(c, e) : rc;
}

static int check_all(struct check *c, struct err *e)
{
	int rc;

	log_info(CHECK_LOGGER, "Starting archive consistency check...");
	rc = repo_scan(c->repo, add_object, &c->objects, e);
	if (rc < 0)
		return rc == -ENOMEM ? err_nomem(e, "objects") : rc;
	if (c->objects.count == 0) {
		log_error(CHECK_LOGGER, "Repository contains no apparent data at all, cannot "
					"continue check/repair.");
		return 1;
	}
	rc = check_contents(c, e);
	if (rc < 0)
		return rc;
	if (c->error_found)
		log_error(CHECK_LOGGER, "Archive consistency check complete, problems found.");
	else
		log_info(CHECK_LOGGER,
			 "Archive consistency check complete, no problems found.");
	return c->error_found && !c->options->repair;
}

static void check_fini(struct check *c)
{
	stream_close(c->stream);
	sealer_free(c->sealer);
	nonces_close(c->nonces);
	unsealer_free(c->unsealer);
	manifest_draft_free(c->draft);
	manifest_free(c->manifest);
	key_close(c->key);
	table_fini(&c->objects);
}

int archive_check(struct repo *repo, const struct archive_check_options *options, struct err *e)
{
	struct check c = { .repo = repo, .options = options };
	int rc;

	table_init(&c.objects, sizeof(struct chunk_id), sizeof(uint8_t));
	rc = check_all(&c, e);
	check_fini(&c);
	return rc;
}
