/*
 * keyring.c - see keyring.h.
 *
 * A passphrase from the environment is used where it stands and never copied; what a command,
 * a descriptor or a person supplies lives in a struct secret.
 */

#include "core/store/keyring_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/io.h"
#include "core/base/log.h"
#include "core/platform/command.h"
#include "core/platform/dirs.h"

enum {
	KEY_FILE_MAX = 64 * 1024, /* bytes; a real one has about 600 */
	KEY_BLOB_MIN = 20,        /* decoded bytes, Borg's own limit */
	PASSPHRASE_MAX = 64 * 1024,
	PROMPTS = 3,
};

static const char key_logger[] = "borg.crypto.key";

enum { MAGIC = sizeof(KEYRING_MAGIC) - 1, HEAD = MAGIC + CHUNK_ID_HEX - 1 };

/* Open a key file's candidate: regular files only, and never waiting for a fifo's writer. */
static int open_regular(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return -EINVAL;
}

static int invalid(struct repo *repo, const char *path, struct err *e)
{
	return err_set_id(e, EBADMSG, "KeyfileInvalidError",
			  "Invalid key file for repository %s found in %s.",
			  repo_canonical(repo), path);
}

static int doubtful(struct repo *repo, const char *path, const char *why, struct err *e)
{
	log_warning(key_logger, "borg key sanity check: %s [%s]", why, path);
	return invalid(repo, path, e);
}

/* The base64 text behind the first line, or the reason why this is no key file. */
static const char *body_of(struct bytes text, struct bytes *body)
{
	const uint8_t *newline = memchr(text.p, '\n', text.len);
	size_t line;

	if (!newline || newline + 1 == text.p + text.len)
		return "expected 2+ lines total.";
	line = (size_t)(newline - text.p);
	while (line > HEAD && isspace(text.p[line - 1]))
		line--;
	if (line > HEAD)
		return "key line 1 seems too long.";
	*body = (struct bytes){ newline + 1, (size_t)(text.p + text.len - newline - 1) };
	return NULL;
}

/* The blob in a file that must be this repository's key file. */
static int read_key_file(struct repo *repo, const char *path, struct buf *blob, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	CLEANUP(cleanup_closep) int fd = open_regular(path);
	char hex[CHUNK_ID_HEX];
	struct bytes body;
	const char *why;
	int rc;

	if (fd == -ENOENT)
		return err_set_id(e, ENOENT, "KeyfileNotFoundError",
				  "No key file for repository %s found in %s.",
				  repo_canonical(repo), path);
	if (fd == -EINVAL)
		return invalid(repo, path, e);
	if (fd < 0)
		return err_set(e, -fd, "key file %s: %s", path, strerror(-fd));
	rc = read_to_end(fd, KEY_FILE_MAX, &text);
	if (rc == -EFBIG)
		return invalid(repo, path, e);
	if (rc < 0)
		return err_set(e, -rc, "key file %s: %s", path, strerror(-rc));
	if (text.len < MAGIC || memcmp(text.p, KEYRING_MAGIC, MAGIC) != 0)
		return invalid(repo, path, e);
	id_hex(&repo_config(repo)->id, hex);
	if (text.len < HEAD || memcmp(text.p + MAGIC, hex, HEAD - MAGIC) != 0)
		return err_set_id(e, EINVAL, "KeyfileMismatchError",
				  "Mismatch between repository %s and key file %s.",
				  repo_canonical(repo), path);
	why = body_of(buf_bytes(&text), &body);
	if (why)
		return doubtful(repo, path, why, e);
	rc = key_blob_decode(body, blob, NULL);
	if (rc == -ENOMEM)
		return err_nomem(e, path);
	if (rc < 0)
		return doubtful(repo, path, "key line 2+ does not look like base64.", e);
	if (blob->len < KEY_BLOB_MIN)
		return doubtful(
			repo, path,
			"binary encrypted key data from key line 2+ suspiciously short.", e);
	return 0;
}

/* Whether a file in the keys folder begins like this repository's key; others, binary and
 * unreadable ones are none of our business. */
static bool starts_like_our_key(const char *path, const char *hex)
{
	CLEANUP(cleanup_closep) int fd = open_regular(path);
	uint8_t head[HEAD];

	return fd >= 0 && read_exact(fd, head, HEAD, 0) == 1 &&
	       memcmp(head, KEYRING_MAGIC, MAGIC) == 0 &&
	       memcmp(head + MAGIC, hex, HEAD - MAGIC) == 0;
}

static void cleanup_dirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* The first good key file of the keys folder, in the folder's order, as Borg takes it; without
 * `blob` the first that begins as one. */
static int search_keys_dir(struct repo *repo, char **path_out, struct buf *blob, struct err *e)
{
	CLEANUP(cleanup_freep) char *keys = NULL;
	CLEANUP(cleanup_dirp) DIR *dir = NULL;
	char hex[CHUNK_ID_HEX];
	const struct dirent *entry;
	int rc = dirs_keys(&keys, e);

	if (rc < 0)
		return rc;
	dir = opendir(keys);
	if (!dir)
		return err_set(e, errno, "%s: cannot list: %s", keys, strerror(errno));
	id_hex(&repo_config(repo)->id, hex);
	while ((entry = readdir(dir))) {
		CLEANUP(cleanup_freep) char *path = path_join(keys, entry->d_name);

		if (!path)
			return err_nomem(e, keys);
		if (!starts_like_our_key(path, hex))
			continue;
		rc = blob ? read_key_file(repo, path, blob, e) : 0;
		if (rc == -ENOMEM)
			return rc;
		if (rc < 0)
			continue;
		*path_out = TAKE(path);
		return 0;
	}
	return err_set_id(e, ENOENT, "KeyfileNotFoundError",
			  "No key file for repository %s found in %s.", repo_canonical(repo),
			  keys);
}

char *keyring_absolute(const char *path)
{
	CLEANUP(cleanup_freep) char *cwd = path[0] == '/' ? strdup("/") : getcwd(NULL, 0);
	CLEANUP(cleanup_freep) char *whole = cwd ? path_join(cwd, path) : NULL;
	char *out = whole ? malloc(strlen(whole) + 2) : NULL;
	size_t len = 0;
	char *rest = NULL;

	if (!out)
		return NULL;
	out[0] = '\0';
	for (char *part = strtok_r(whole, "/", &rest); part;
	     part = strtok_r(NULL, "/", &rest)) {
		size_t n = strlen(part);

		if (strcmp(part, ".") == 0)
			continue;
		if (strcmp(part, "..") == 0) {
			while (len > 0 && out[--len] != '/')
				;
		} else {
			out[len++] = '/';
			memcpy(out + len, part, n);
			len += n;
		}
		out[len] = '\0';
	}
	if (len == 0)
		memcpy(out, "/", 2);
	return out;
}

static int find_key_file(struct repo *repo, char **path_out, struct buf *blob, struct err *e)
{
	const char *named = getenv("BORG_KEY_FILE");
	CLEANUP(cleanup_freep) char *path = NULL;
	int rc;

	if (!named || !*named)
		return search_keys_dir(repo, path_out, blob, e);
	path = keyring_absolute(named);
	if (!path)
		return err_nomem(e, named);
	rc = blob ? read_key_file(repo, path, blob, e) : 0;
	if (rc == 0)
		*path_out = TAKE(path);
	return rc;
}

int keyring_file_to_replace(struct repo *repo, char **out, struct err *e)
{
	return find_key_file(repo, out, NULL, e);
}

int keyring_find_file(struct repo *repo, char **out, struct err *e)
{
	CLEANUP(buf_fini) struct buf blob = BUF_INIT;

	return find_key_file(repo, out, &blob, e);
}

static struct bytes strip(const char *text)
{
	struct bytes b = bytes_str(text ? text : "");

	while (b.len > 0 && isspace(b.p[0])) {
		b.p++;
		b.len--;
	}
	while (b.len > 0 && isspace(b.p[b.len - 1]))
		b.len--;
	return b;
}

static int repo_blob(struct repo *repo, char **place, struct buf *blob, struct err *e)
{
	struct bytes text = strip(repo_config(repo)->key);
	int rc;

	if (text.len == 0)
		return err_set_id(e, ENOENT, "RepoKeyNotFoundError",
				  "No key entry found in the config of repository %s.",
				  repo_canonical(repo));
	rc = key_blob_decode(text, blob, e);
	if (rc == -ENOMEM)
		return rc;
	if (rc < 0 || blob->len < KEY_BLOB_MIN)
		return invalid(repo, "(repokey)", e);
	*place = strdup(repo_canonical(repo));
	return *place ? 0 : err_nomem(e, "key");
}

/* What opening a blob needs besides the passphrase. */
struct lock {
	struct repo *repo;
	uint8_t type;
	struct buf blob;
	char *place; /* path of the key file or the repository's location */
	bool tam_required_default;
};

static void lock_fini(struct lock *l)
{
	buf_fini(&l->blob);
	free(l->place);
}

/* Keys of 1.0 do not say whether a TAM is required: an empty file of this machine does. */
static int tam_required_here(struct repo *repo, bool *out, struct err *e)
{
	CLEANUP(cleanup_freep) char *dir = NULL;
	CLEANUP(cleanup_freep) char *path = NULL;
	struct stat st;
	int rc = dirs_security(&repo_config(repo)->id, &dir, e);

	if (rc < 0)
		return rc;
	path = path_join(dir, "tam_required");
	if (!path)
		return err_nomem(e, dir);
	*out = stat(path, &st) == 0 && S_ISREG(st.st_mode);
	return 0;
}

static int try_passphrase(struct key **out, const struct lock *l, struct bytes passphrase,
			  struct err *e)
{
	int rc = key_open_blob(out, l->type, buf_bytes(&l->blob), passphrase,
			       l->tam_required_default, e);

	return rc == -EBADMSG && (!e || !e->msgid) ? invalid(l->repo, l->place, e) : rc;
}

struct attempt { /* to unlock */
	struct key **out;
	const struct lock *lock;
};

static int try_defined(void *arg, struct bytes passphrase, struct err *e)
{
	const struct attempt *a = arg;
	int rc = try_passphrase(a->out, a->lock, passphrase, e);

	if (rc != -EKEYREJECTED)
		return rc;
	return err_set_id(e, EKEYREJECTED, "PassphraseWrong",
			  "passphrase supplied in BORG_PASSPHRASE, by BORG_PASSCOMMAND or via "
			  "BORG_PASSPHRASE_FD is incorrect.");
}

/* As text read by Python: CR LF and CR are line ends too; then all line ends at the end go. */
static struct bytes as_text(struct secret *s)
{
	size_t len = 0;

	for (size_t i = 0; i < s->len; i++) {
		if (s->p[i] == '\r' && i + 1 < s->len && s->p[i + 1] == '\n')
			continue;
		s->p[len++] = s->p[i] == '\r' ? '\n' : s->p[i];
	}
	while (len > 0 && s->p[len - 1] == '\n')
		len--;
	return (struct bytes){ s->p, len };
}

static int passcommand_failed(const struct err *why, struct err *e)
{
	return err_set_id(e, why->code, "PasscommandFailure",
			  "passcommand supplied in BORG_PASSCOMMAND failed: %s", why->msg);
}

static int use_passcommand(const struct passphrase_use *u, const char *command, struct err *e)
{
	CLEANUP(command_words_freep) char **words = NULL;
	CLEANUP(secret_freep) struct secret *answer = NULL;
	struct err why = ERR_INIT;

	if (command_split(command, &words, &why) < 0 ||
	    command_output(words, PASSPHRASE_MAX, &answer, &why) < 0)
		return passcommand_failed(&why, e);
	return u->fn(u->arg, as_text(answer), e);
}

static int use_descriptor(const struct passphrase_use *u, int number, struct err *e)
{
	CLEANUP(secret_freep) struct secret *scratch = secret_new(PASSPHRASE_MAX);
	CLEANUP(cleanup_closep) int fd = number;
	size_t len = 0;

	if (!scratch)
		return err_nomem(e, "passphrase");
	while (len < scratch->len) {
		ssize_t n = read(fd, scratch->p + len, scratch->len - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(e, errno, "BORG_PASSPHRASE_FD: cannot read from %d: %s",
				       number, strerror(errno));
		if (n == 0)
			break;
		len += (size_t)n;
	}
	/* The number may soon be that of another file. */
	unsetenv("BORG_PASSPHRASE_FD");
	if (len == scratch->len)
		return err_set(e, EFBIG, "BORG_PASSPHRASE_FD: passphrase too long");
	scratch->len = len;
	return u->fn(u->arg, as_text(scratch), e);
}

/* A number as Python's int() reads it; false where the variable does not hold one. */
static bool env_number(const char *name, int *out)
{
	const char *text = getenv(name);
	char *end;
	long value;

	if (!text)
		return false;
	errno = 0;
	value = strtol(text, &end, 10);
	end += strspn(end, " \t\r\n");
	if (end == text || *end || errno != 0 || value < 0 || value > INT32_MAX)
		return false;
	*out = (int)value;
	return true;
}

int keyring_nobody_there(struct err *e)
{
	/* Neither is set, else it would not have come to a question. */
	return err_set_id(e, ENOTTY, "NoPassphraseFailure",
			  "can not acquire a passphrase: BORG_PASSPHRASE is not set. "
			  "BORG_PASSCOMMAND is not set. Interactive password query failed.");
}

static int ask(struct key **out, const struct lock *l, const struct prompt *prompt,
	       struct err *e)
{
	CLEANUP(cleanup_freep) char *text = NULL;

	if (!prompt || !prompt->passphrase)
		return keyring_nobody_there(e);
	if (asprintf(&text, "Enter passphrase for key %s: ", l->place) < 0) {
		text = NULL;
		return err_nomem(e, "prompt");
	}
	for (int i = 0; i < PROMPTS; i++) {
		CLEANUP(secret_freep) struct secret *typed = NULL;
		int rc = prompt->passphrase(prompt->arg, text, &typed, e);

		if (rc == -ENOTTY)
			return keyring_nobody_there(e);
		if (rc < 0)
			return rc;
		rc = try_passphrase(out, l, secret_bytes(typed), e);
		if (rc != -EKEYREJECTED)
			return rc;
	}
	return err_set_id(e, EKEYREJECTED, "PasswordRetriesExceeded",
			  "exceeded the maximum password retries");
}

int keyring_use_defined(const struct passphrase_use *u, struct err *e)
{
	const char *passphrase = getenv("BORG_PASSPHRASE");
	const char *command = getenv("BORG_PASSCOMMAND");
	int fd;

	if (passphrase)
		return u->fn(u->arg, bytes_str(passphrase), e);
	if (command)
		return use_passcommand(u, command, e);
	if (env_number("BORG_PASSPHRASE_FD", &fd))
		return use_descriptor(u, fd, e);
	return PASSPHRASE_NOT_DEFINED;
}

static int open_lock(struct key **out, const struct lock *l, const struct prompt *prompt,
		     struct err *e)
{
	struct attempt attempt = { out, l };
	struct passphrase_use use = { try_defined, &attempt };
	int rc = keyring_use_defined(&use, e);

	if (rc != PASSPHRASE_NOT_DEFINED)
		return rc;
	rc = try_passphrase(out, l, bytes_str(""), e);
	return rc == -EKEYREJECTED ? ask(out, l, prompt, e) : rc;
}

/* Is `name` in the comma list of BORG_WORKAROUNDS? */
static bool workaround(const char *name)
{
	const char *p = getenv("BORG_WORKAROUNDS");
	size_t len = strlen(name);

	while (p) {
		if (strcspn(p, ",") == len && memcmp(p, name, len) == 0)
			return true;
		p = strchr(p, ',');
		p = p ? p + 1 : NULL;
	}
	return false;
}

const struct key_traits *keyring_identify(struct bytes manifest, struct err *e)
{
	const struct key_traits *traits;

	if (manifest.len == 0) {
		err_set(e, EBADMSG, "the manifest is empty");
		return NULL;
	}
	/* Objects of the legacy type stay when a repository moves on to a repokey. */
	traits = key_traits(manifest.p[0] == KEY_PASSPHRASE ? KEY_REPOKEY : manifest.p[0]);
	if (!traits)
		err_set_id(e, ENOTSUP, "UnsupportedPayloadError",
			   "Unsupported payload type %u. A newer version is required to access "
			   "this repository.",
			   manifest.p[0]);
	return traits;
}

int keyring_blob(struct repo *repo, const struct key_traits *type, struct buf *blob,
		 struct err *e)
{
	CLEANUP(cleanup_freep) char *place = NULL;

	return type->store == KEY_IN_FILE ? find_key_file(repo, &place, blob, e)
					  : repo_blob(repo, &place, blob, e);
}

int keyring_unlock(struct key **out, struct repo *repo, struct bytes manifest,
		   const struct prompt *prompt, struct err *e)
{
	CLEANUP(lock_fini) struct lock l = { .repo = repo };
	const struct key_traits *traits = keyring_identify(manifest, e);
	int rc;

	if (!traits)
		return manifest.len == 0 ? -EBADMSG : -ENOTSUP;
	l.type = (uint8_t)traits->type;
	if (traits->store == KEY_IN_NONE)
		return key_open_plaintext(out, e);
	if (!traits->encrypts && workaround("authenticated_no_key"))
		return key_open_unchecked(out, l.type, e);
	rc = traits->store == KEY_IN_FILE ? find_key_file(repo, &l.place, &l.blob, e)
					  : repo_blob(repo, &l.place, &l.blob, e);
	if (rc == 0)
		rc = tam_required_here(repo, &l.tam_required_default, e);
	if (rc < 0)
		return rc;
	return open_lock(out, &l, prompt, e);
}
