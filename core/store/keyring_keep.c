/*
 * keyring_keep.c - keys are made, kept under a passphrase, moved; see keyring.h.
 */

#include "core/store/keyring_internal.h"

#include "core/base/io.h"
#include "core/base/log.h"
#include "core/crypto/envelope.h"
#include "core/platform/dirs.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NEW_PROMPTS = 10, LEGACY_PROMPTS = 2, KEY_NAME_MAX = 100 };

static const char key_logger[] = "borg.crypto.key";

/* Append text with every character that is none of a word made "_".  Of characters beyond ASCII,
 * nearly all that names have are letters. */
static void put_word(struct buf *name, const char *text)
{
	for (; *text; text++)
		(void)buf_append_byte(name, isalnum((unsigned char)*text) ||
							    (unsigned char)*text >= 0x80
						    ? (uint8_t)*text
						    : '_');
}

/* Bytes of the first `max` characters. */
static size_t characters(const char *text, size_t max)
{
	size_t n = 0;

	for (; text[n]; n++)
		if (((unsigned char)text[n] & 0xc0) != 0x80 && max-- == 0)
			break;
	return n;
}

/* "host__path", as Borg names key files. */
static char *key_file_name(const struct location *where)
{
	CLEANUP(buf_fini) struct buf name = BUF_INIT;
	CLEANUP(buf_fini) struct buf path = BUF_INIT;
	size_t start = 0;

	if (where->proto != LOCATION_FILE) {
		put_word(&name, where->host);
		(void)buf_append_str(&name, "__");
	}
	put_word(&path, where->path);
	while (path.len > 0 && path.p[path.len - 1] == '_')
		path.len--;
	while (start < path.len && path.p[start] == '_')
		start++;
	if (path.len > start)
		(void)buf_append(&name, path.p + start, path.len - start);
	if (buf_append_byte(&name, 0) < 0)
		return NULL;
	return strndup((char *)name.p, characters((char *)name.p, KEY_NAME_MAX));
}

/* Where a new key file goes: $BORG_KEY_FILE, else a name in the keys folder that is free. */
static int new_key_path(const struct location *where, char **out, struct err *e)
{
	const char *named = getenv("BORG_KEY_FILE");
	CLEANUP(cleanup_freep) char *dir = NULL;
	CLEANUP(cleanup_freep) char *name = NULL;
	CLEANUP(cleanup_freep) char *path = NULL;
	int rc;

	if (named && *named) {
		*out = keyring_absolute(named);
		return *out ? 0 : err_nomem(e, named);
	}
	rc = dirs_keys(&dir, e);
	if (rc < 0)
		return rc;
	name = key_file_name(where);
	path = name ? path_join(dir, name) : NULL;
	for (unsigned i = 2; path && access(path, F_OK) == 0; i++) {
		free(path);
		if (asprintf(&path, "%s/%s.%u", dir, name, i) < 0)
			path = NULL;
	}
	*out = TAKE(path);
	return *out ? 0 : err_nomem(e, "key file");
}

/* Borg tries every file of the keys folder: what is half written must not lie there, so it is written
 * in the folder above. */
static int replace_key_file(const char *path, struct bytes text, struct err *e)
{
	CLEANUP(cleanup_freep) char *keys = folder_of(path);
	CLEANUP(cleanup_freep) char *above = keys ? folder_of(keys) : NULL;
	int rc = above ? file_replace_from(above, path, text, 0600, e) : err_nomem(e, path);

	/* Where that cannot be, as it may with $BORG_KEYS_DIR or $BORG_KEY_FILE, the least evil. */
	return rc == -EXDEV || rc == -EACCES || rc == -EROFS || rc == -EPERM
		       ? file_replace(path, text, 0600, e)
		       : rc;
}

static int write_key_file(const struct repo *repo, const char *path, struct bytes text,
			  struct err *e)
{
	CLEANUP(buf_fini) struct buf file = BUF_INIT;
	char hex[CHUNK_ID_HEX];
	int rc;

	if (buf_append_str(&file, KEYRING_MAGIC) < 0 ||
	    buf_append_str(&file, id_hex(&repo_config(repo)->id, hex)) < 0 ||
	    buf_append_byte(&file, '\n') < 0 || buf_append(&file, text.p, text.len) < 0 ||
	    buf_append_byte(&file, '\n') < 0)
		return err_nomem(e, path);
	rc = replace_key_file(path, buf_bytes(&file), e);
	/* Without the key nobody reads what the repository has; its folder may have been made for it. */
	return rc < 0 ? rc : sync_dirs_above(path, e);
}

static int keep_text(struct repo *repo, struct buf *text, const char *path, struct err *e)
{
	if (path)
		return write_key_file(repo, path, buf_bytes(text), e);
	if (buf_append_byte(text, 0) < 0)
		return err_nomem(e, "key");
	return repo_save_key(repo, (const char *)text->p, e);
}

int keyring_save(struct repo *repo, const struct key *key, struct bytes passphrase,
		 const char *path, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	int rc = key_wrap(key, passphrase, &text, e);

	return rc < 0 ? rc : keep_text(repo, &text, path, e);
}

struct keeping {
	struct repo *repo;
	const struct key *key;
	char *path;  /* NULL: into the repository */
	bool create; /* the file must be new */
	bool empty;  /* the passphrase was */
};

static int save_under(void *arg, struct bytes passphrase, struct err *e)
{
	struct keeping *k = arg;
	struct stat st;

	/* $BORG_KEY_FILE may name the key of another repository. */
	if (k->create && k->path && stat(k->path, &st) == 0)
		return err_set_id(e, EEXIST, "Error",
				  "Error: Aborting because key in \"%s\" already exists.",
				  k->path);
	k->empty = passphrase.len == 0;
	return keyring_save(k->repo, k->key, passphrase, k->path, e);
}

/* A new passphrase by hand, twice the same. */
static int ask_new(const struct prompt *prompt, struct secret **out, struct err *e)
{
	for (int i = 0; i < NEW_PROMPTS; i++) {
		CLEANUP(secret_freep) struct secret *first = NULL;
		CLEANUP(secret_freep) struct secret *second = NULL;
		int rc = prompt->passphrase(prompt->arg, "Enter new passphrase: ", &first, e);

		if (rc == 0)
			rc = prompt->passphrase(prompt->arg,
						"Enter same passphrase again: ", &second, e);
		if (rc == -ENOTTY)
			return keyring_nobody_there(e);
		if (rc < 0)
			return rc;
		if (bytes_equal(secret_bytes(first), secret_bytes(second))) {
			if (prompt->display)
				prompt->display(prompt->arg, secret_bytes(first));
			*out = TAKE(first);
			log_info(key_logger, "Remember your passphrase. Your data will be "
					     "inaccessible without it.");
			return 0;
		}
		log_error(key_logger, "Passphrases do not match");
	}
	return err_set_id(e, EKEYREJECTED, "PasswordRetriesExceeded",
			  "exceeded the maximum password retries");
}

/* $BORG_NEW_PASSPHRASE, else what defines the present one, else a question. */
static int with_new_passphrase(const struct passphrase_use *u, const struct prompt *prompt,
			       struct err *e)
{
	CLEANUP(secret_freep) struct secret *typed = NULL;
	const char *defined = getenv("BORG_NEW_PASSPHRASE");
	int rc;

	if (defined)
		return u->fn(u->arg, bytes_str(defined), e);
	rc = keyring_use_defined(u, e);
	if (rc != PASSPHRASE_NOT_DEFINED)
		return rc;
	if (!prompt || !prompt->passphrase)
		return keyring_nobody_there(e);
	rc = ask_new(prompt, &typed, e);
	return rc < 0 ? rc : u->fn(u->arg, secret_bytes(typed), e);
}

static int keep_under_new(struct keeping *k, const struct prompt *prompt, struct err *e)
{
	struct passphrase_use use = { save_under, k };

	return with_new_passphrase(&use, prompt, e);
}

int keyring_create(struct key **out, struct repo *repo, const struct location *where,
		   const struct key_traits *type, const struct prompt *prompt, struct err *e)
{
	CLEANUP(key_closep) struct key *key = NULL;
	CLEANUP(cleanup_freep) char *path = NULL;
	struct keeping keeping = { .repo = repo, .create = true };
	int rc = key_make(&key, (uint8_t)type->type, &repo_config(repo)->id, e);

	if (rc == 0 && type->store == KEY_IN_FILE)
		rc = new_key_path(where, &path, e);
	keeping.key = key;
	keeping.path = path;
	if (rc == 0)
		rc = keep_under_new(&keeping, prompt, e);
	if (rc < 0)
		return rc;
	key->passphrase_empty = keeping.empty;
	log_info(key_logger, "Key in \"%s\" created.", path ? path : repo_canonical(repo));
	log_info(key_logger, "Keep this key safe. Your data will be inaccessible without it.");
	*out = TAKE(key);
	return 0;
}

int keyring_change_passphrase(struct repo *repo, const struct key *key,
			      const struct prompt *prompt, char **place, struct err *e)
{
	CLEANUP(cleanup_freep) char *path = NULL;
	struct keeping keeping = { .repo = repo, .key = key };
	int rc = 0;

	if (!key->material)
		return err_set(e, EINVAL, "the passphrase cannot be changed without the key");
	if (key->traits->store == KEY_IN_FILE)
		rc = keyring_find_file(repo, &path, e);
	keeping.path = path;
	if (rc == 0)
		rc = keep_under_new(&keeping, prompt, e);
	if (rc < 0)
		return rc;
	*place = path ? TAKE(path) : strdup(repo_canonical(repo));
	return *place ? 0 : err_nomem(e, "key");
}

int keyring_restore(struct repo *repo, const struct location *where,
		    const struct key_traits *type, struct bytes blob, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	CLEANUP(cleanup_freep) char *path = NULL;
	int rc = key_blob_encode(blob, &text, e);

	if (rc == 0 && type->store == KEY_IN_FILE) {
		rc = keyring_file_to_replace(repo, &path, e);
		if (rc == -ENOENT)
			rc = new_key_path(where, &path, e);
	}
	return rc < 0 ? rc : keep_text(repo, &text, path, e);
}

/* --- the mode of before 1.0, without a key --- */

struct legacy {
	struct repo *repo;
	struct bytes manifest;
	struct key *key;
};

/* Nothing but the manifest tells whether it is the passphrase. */
static int try_legacy(void *arg, struct bytes passphrase, struct err *e)
{
	struct legacy *l = arg;
	CLEANUP(key_closep) struct key *key = NULL;
	CLEANUP(envelope_freep) struct envelope *envelope = NULL;
	CLEANUP(buf_fini) struct buf object = BUF_INIT;
	struct bytes payload;
	int rc = key_open_passphrase(&key, &repo_config(l->repo)->id, passphrase, e);

	if (rc == 0)
		rc = envelope_new(&envelope, key, e);
	if (rc == 0 && buf_append(&object, l->manifest.p, l->manifest.len) < 0)
		rc = err_nomem(e, "manifest");
	if (rc == 0)
		rc = envelope_open(envelope, buf_bytes(&object), &payload, e);
	if (rc == 0)
		l->key = TAKE(key);
	return rc == -EBADMSG ? -EKEYREJECTED : rc;
}

static int ask_legacy(struct legacy *l, const struct prompt *prompt, struct err *e)
{
	CLEANUP(secret_freep) struct secret *typed = NULL;
	CLEANUP(cleanup_freep) char *text = NULL;
	int rc;

	if (!prompt || !prompt->passphrase)
		return keyring_nobody_there(e);
	if (asprintf(&text, "Enter passphrase for %s: ", repo_canonical(l->repo)) < 0) {
		text = NULL;
		return err_nomem(e, "prompt");
	}
	rc = prompt->passphrase(prompt->arg, text, &typed, e);
	if (rc == -ENOTTY)
		return keyring_nobody_there(e);
	return rc < 0 ? rc : try_legacy(l, secret_bytes(typed), e);
}

static int open_legacy(struct legacy *l, const struct prompt *prompt, struct err *e)
{
	struct passphrase_use use = { try_legacy, l };
	int rc = keyring_use_defined(&use, e);

	if (rc == PASSPHRASE_NOT_DEFINED)
		rc = ask_legacy(l, prompt, e);
	for (int i = 1; rc == -EKEYREJECTED && i < LEGACY_PROMPTS; i++)
		rc = ask_legacy(l, prompt, e);
	if (rc != -EKEYREJECTED)
		return rc;
	return err_set_id(e, EKEYREJECTED, "PasswordRetriesExceeded",
			  "exceeded the maximum password retries");
}

int keyring_migrate(struct repo *repo, struct bytes manifest, const struct prompt *prompt,
		    struct err *e)
{
	CLEANUP(key_closep) struct key *key = NULL;
	struct legacy legacy = { .repo = repo, .manifest = manifest };
	struct keeping keeping = { .repo = repo };
	int rc;

	if (manifest.len == 0 || manifest.p[0] != KEY_PASSPHRASE)
		return err_set(e, EINVAL, "%s is not in passphrase mode", repo_canonical(repo));
	rc = open_legacy(&legacy, prompt, e);
	if (rc == 0)
		rc = key_migrate(&key, legacy.key, e);
	key_close(legacy.key);
	keeping.key = key;
	return rc < 0 ? rc : keep_under_new(&keeping, prompt, e);
}
