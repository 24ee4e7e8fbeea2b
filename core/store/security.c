/*
 * security.c - see security.h.
 *
 * Borg also consults its own cache's configuration; Alcove has none of it and keeps to the
 * security directory, which Borg writes together with that cache.
 */

#include "core/store/security.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/log.h"
#include "core/platform/dirs.h"

enum { MEMORY_MAX = 64 * 1024 /* bytes of one file */ };

static const char logger[] = "borg.cache";

struct check {
	struct repo *repo;
	const struct key *key;
	const char *timestamp;
	const struct prompt *prompt;
	char *dir;
	char *location_file, *key_type_file, *timestamp_file;
};

static void check_fini(struct check *c)
{
	free(c->dir);
	free(c->location_file);
	free(c->key_type_file);
	free(c->timestamp_file);
}

static int check_init(struct check *c, struct err *e)
{
	int rc = dirs_security(&repo_config(c->repo)->id, &c->dir, e);

	if (rc < 0)
		return rc;
	c->location_file = path_join(c->dir, "location");
	c->key_type_file = path_join(c->dir, "key-type");
	c->timestamp_file = path_join(c->dir, "manifest-timestamp");
	if (!c->location_file || !c->key_type_file || !c->timestamp_file)
		return err_nomem(e, c->dir);
	return 0;
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool known(const struct check *c)
{
	return exists(c->key_type_file) && exists(c->location_file) &&
	       exists(c->timestamp_file);
}

/* What was remembered, on the heap; NULL where nothing is, or nothing that can be read. */
static char *recall(const char *path, const char *warning)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	CLEANUP(cleanup_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int rc = fd < 0 ? -errno : read_to_end(fd, MEMORY_MAX, &text);

	if (rc >= 0)
		return bytes_dup(buf_bytes(&text));
	if (rc == -ENOENT)
		log_debug(logger, "security: file %s not found", path);
	else
		log_warning(logger, "%s: [Errno %d] %s: '%s'", warning, -rc, strerror(-rc),
			    path);
	return NULL;
}

static int remember(const char *path, const char *text, struct err *e)
{
	return file_replace(path, bytes_str(text), 0600, e);
}

static const char *key_type_text(const struct check *c, char out[4])
{
	snprintf(out, 4, "%u", (unsigned)c->key->traits->type & 0xff);
	return out;
}

static int save(const struct check *c, struct err *e)
{
	char type[4], hex[CHUNK_ID_HEX];
	int rc;

	log_debug(logger, "security: saving state for %s to %s",
		  id_hex(&repo_config(c->repo)->id, hex), c->dir);
	log_debug(logger, "security: current location   %s", repo_canonical(c->repo));
	log_debug(logger, "security: key type           %s", key_type_text(c, type));
	log_debug(logger, "security: manifest timestamp %s", c->timestamp);
	rc = remember(c->location_file, repo_canonical(c->repo), e);
	if (rc == 0)
		rc = remember(c->key_type_file, key_type_text(c, type), e);
	if (rc == 0)
		rc = remember(c->timestamp_file, c->timestamp, e);
	return rc;
}

static bool confirmed(const struct check *c, const char *variable, const char *text)
{
	return c->prompt && c->prompt->confirm &&
	       c->prompt->confirm(c->prompt->arg, variable, text, "Aborting.", variable);
}

/* Anybody who can read the storage could have made an unencrypted repository. */
static bool logically_encrypted(const struct key *key)
{
	return key->traits->encrypts &&
	       !(key->traits->store == KEY_IN_REPO && key->passphrase_empty);
}

static int check_unknown(const struct check *c, struct err *e)
{
	if (logically_encrypted(c->key) || known(c))
		return 0;
	if (!confirmed(c, "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK",
		       "Warning: Attempting to access a previously unknown unencrypted "
		       "repository!\nDo you want to continue? [yN] "))
		return err_set_id(e, EPERM, "Cache.CacheInitAbortedError",
				  "Cache initialization aborted");
	log_debug(logger,
		  "security: remembering unknown unencrypted repository (explicitly allowed)");
	return save(c, e);
}

static int check_location(const struct check *c, struct err *e)
{
	CLEANUP(cleanup_freep)
	char *before = recall(c->location_file, "Could not read previous location file");
	CLEANUP(cleanup_freep) char *text = NULL;

	if (before)
		log_debug(logger, "security: read previous location '%s'", before);
	if (!before || !*before || strcmp(before, repo_canonical(c->repo)) == 0)
		return 0;
	if (asprintf(&text,
		     "Warning: The repository at location %s was previously located at %s\n"
		     "Do you want to continue? [yN] ",
		     repo_canonical(c->repo), before) < 0) {
		text = NULL;
		return err_nomem(e, c->dir);
	}
	if (!confirmed(c, "BORG_RELOCATED_REPO_ACCESS_IS_OK", text))
		return err_set_id(e, EPERM, "Cache.RepositoryAccessAborted",
				  "Repository access aborted");
	log_debug(logger, "security: updating location stored in cache and security dir");
	return remember(c->location_file, repo_canonical(c->repo), e);
}

static int check_key_type(const struct check *c, struct err *e)
{
	CLEANUP(cleanup_freep) char *before = NULL;
	char type[4];

	if (!known(c))
		return 0;
	before = recall(c->key_type_file, "Could not read/parse key type file");
	if (before && strcmp(before, key_type_text(c, type)) == 0)
		return 0;
	return err_set_id(e, EPERM, "Cache.EncryptionMethodMismatch",
			  "Repository encryption method changed since last access, refusing to "
			  "continue");
}

static int check_replay(const struct check *c, struct err *e)
{
	CLEANUP(cleanup_freep)
	char *newest = recall(c->timestamp_file, "Could not read previous location file");

	log_debug(logger, "security: determined newest manifest timestamp as %s",
		  newest ? newest : "");
	if (!newest || strcmp(newest, c->timestamp) <= 0)
		return 0;
	if (c->key->traits->type == KEY_PLAINTEXT)
		return err_set_id(e, EPERM, "Cache.RepositoryIDNotUnique",
				  "Cache is newer than repository - do you have multiple, "
				  "independently updated repos with same ID?");
	return err_set_id(
		e, EPERM, "Cache.RepositoryReplay",
		"Cache, or information obtained from the security directory is newer "
		"than repository - this is either an attack or unsafe (multiple repos "
		"with same ID)");
}

int security_check(struct repo *repo, const struct key *key, const char *timestamp,
		   const struct prompt *prompt, struct err *e)
{
	CLEANUP(check_fini)
	struct check c = { .repo = repo, .key = key, .timestamp = timestamp, .prompt = prompt };
	int rc = check_init(&c, e);

	if (rc == 0)
		rc = check_unknown(&c, e);
	if (rc == 0)
		rc = check_location(&c, e);
	if (rc == 0)
		rc = check_key_type(&c, e);
	if (rc == 0)
		rc = check_replay(&c, e);
	if (rc < 0)
		return rc;
	if (!known(&c)) {
		log_debug(logger, "security: remembering previously unknown repository");
		rc = save(&c, e);
	}
	if (rc == 0)
		log_debug(logger, "security: repository checks ok, allowing access");
	return rc;
}

int security_save(struct repo *repo, const struct key *key, const char *timestamp,
		  struct err *e)
{
	CLEANUP(check_fini)
	struct check c = { .repo = repo, .key = key, .timestamp = timestamp };
	int rc = check_init(&c, e);

	return rc < 0 ? rc : save(&c, e);
}

int security_note_tam(struct repo *repo, bool required, struct err *e)
{
	CLEANUP(cleanup_freep) char *dir = NULL;
	CLEANUP(cleanup_freep) char *path = NULL;
	int rc = dirs_security(&repo_config(repo)->id, &dir, e);

	if (rc < 0)
		return rc;
	path = path_join(dir, "tam_required");
	if (!path)
		return err_nomem(e, dir);
	if (required == exists(path))
		return 0;
	log_debug(logger,
		  "Manifest is TAM verified and says TAM is %srequired, updating security "
		  "database...",
		  required ? "" : "*not* ");
	if (required)
		return remember(path, "", e);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(e, errno, "%s: cannot remove: %s", path, strerror(errno));
	return 0;
}
