/*
 * cmd_key.c - `key`: copies of a key out of a repository and back, its passphrase.
 *
 * A copy is the key data as kept, locked by its passphrase, which no copying asks for.
 */

#include "tools/commands.h"

#include "core/archive/reader.h"
#include "core/base/io.h"
#include "core/crypto/paper_key.h"
#include "core/platform/dirs.h"
#include "core/store/keyring.h"
#include "tools/key_page.h"
#include "tools/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKUP_MAX = 64 * 1024, LINE_SIZE = 4096, RC_FAILED = 2 };

static const char logger[] = "borg.archiver";
static const char key_file_word[] = "BORG_KEY";

struct key_args {
	struct location where;
	const char *path; /* NULL or "": not given */
	bool paper, qr;
};

struct keeper { /* a repository whose key is moved */
	struct repo *repo;
	const struct key_traits *type;
	struct buf manifest; /* as stored */
};

static void keeper_fini(struct keeper *k)
{
	repo_close(k->repo);
	buf_fini(&k->manifest);
}

static int open_keeper(struct keeper *k, const struct location *where, struct err *e)
{
	int rc = repo_open(&k->repo, where, &(struct repo_options){ 0 }, e);

	if (rc == 0)
		rc = repo_get(k->repo, &MANIFEST_ID, 0, &k->manifest, e);
	if (rc == -ENOENT && k->repo)
		return err_set_id(e, ENOENT, "NoManifestError", "Repository has no manifest.");
	if (rc < 0)
		return rc;
	k->type = keyring_identify(buf_bytes(&k->manifest), e);
	return k->type ? 0 : -ENOTSUP;
}

static int open_keyed(struct keeper *k, const struct location *where, struct err *e)
{
	int rc = open_keeper(k, where, e);

	if (rc == 0 && k->type->store == KEY_IN_NONE)
		return err_set_id(e, EINVAL, "UnencryptedRepo",
				  "Keymanagement not available for unencrypted repositories.");
	return rc;
}

/* --- export --- */

static int plain_text(const struct keeper *k, struct bytes blob, struct buf *out, struct err *e)
{
	char hex[CHUNK_ID_HEX];

	if (buf_append_str(out, key_file_word) < 0 || buf_append_byte(out, ' ') < 0 ||
	    buf_append_str(out, id_hex(&repo_config(k->repo)->id, hex)) < 0 ||
	    buf_append_byte(out, '\n') < 0)
		return err_nomem(e, "key");
	if (key_blob_encode(blob, out, e) < 0 || buf_append_byte(out, '\n') < 0)
		return err_nomem(e, "key");
	return 0;
}

static int write_backup(const char *path, struct bytes text, struct err *e)
{
	CLEANUP(cleanup_closep) int fd = -1;
	int out = STDOUT_FILENO, rc;

	if (path && *path && strcmp(path, "-") != 0) {
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (fd < 0 && errno == EISDIR)
			return err_set(e, EISDIR, "'%s' must be a file, not a directory", path);
		if (fd < 0)
			return err_set(e, errno, "%s: cannot write: %s", path, strerror(errno));
		out = fd;
	}
	rc = write_all(out, text.p, text.len);
	return rc < 0 ? err_set(e, -rc, "%s: cannot write: %s", path ? path : "standard output",
				strerror(-rc))
		      : 0;
}

static int run_export(struct run *run, void *arg, struct err *e)
{
	const struct key_args *args = arg;
	CLEANUP(keeper_fini) struct keeper k = { 0 };
	CLEANUP(buf_fini) struct buf blob = BUF_INIT;
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	CLEANUP(buf_fini) struct buf page = BUF_INIT;
	int rc = open_keyed(&k, &args->where, e);

	(void)run;
	if (rc == 0)
		rc = keyring_blob(k.repo, k.type, &blob, e);
	if (rc < 0)
		return rc;
	rc = args->paper ? paper_key_put(&text, &repo_config(k.repo)->id, buf_bytes(&blob), e)
			 : plain_text(&k, buf_bytes(&blob), &text, e);
	if (rc == 0 && args->qr && !args->paper)
		rc = key_page(buf_bytes(&text), &page, e);
	if (rc < 0)
		return rc;
	return write_backup(args->path, buf_bytes(page.len ? &page : &text), e);
}

/* --- import --- */

static int restore(struct run *run, const struct keeper *k, const struct location *where,
		   struct bytes blob, struct err *e)
{
	int rc = run_lock(run, k->repo, e);

	if (rc == 0)
		rc = keyring_restore(k->repo, where, k->type, blob, e);
	if (rc < 0) {
		(void)repo_unlock(k->repo, NULL);
		return rc;
	}
	return repo_unlock(k->repo, e);
}

static int not_ours(struct err *e)
{
	return err_set_id(e, EINVAL, "RepoIdMismatch",
			  "This key backup seems to be for a different backup repository, "
			  "aborting.");
}

static int not_a_key(struct err *e)
{
	return err_set_id(e, EINVAL, "NotABorgKeyFile",
			  "This file is not a borg key backup, aborting.");
}

static int parse_backup(const struct keeper *k, struct bytes text, struct buf *blob,
			struct err *e)
{
	CLEANUP(cleanup_freep) char *head = NULL;
	char hex[CHUNK_ID_HEX];
	size_t len;
	int rc;

	if (asprintf(&head, "%s %s\n", key_file_word, id_hex(&repo_config(k->repo)->id, hex)) <
	    0) {
		head = NULL;
		return err_nomem(e, "key");
	}
	len = strlen(head);
	if (text.len < strlen(key_file_word) ||
	    memcmp(text.p, key_file_word, strlen(key_file_word)) != 0)
		return not_a_key(e);
	if (text.len < len || memcmp(text.p, head, len) != 0)
		return not_ours(e);
	rc = key_blob_decode((struct bytes){ text.p + len, text.len - len }, blob, NULL);
	return rc == -EBADMSG ? not_a_key(e) : rc < 0 ? err_nomem(e, "key") : 0;
}

static int import_file(struct run *run, const struct keeper *k, const struct key_args *args,
		       struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	CLEANUP(buf_fini) struct buf blob = BUF_INIT;
	CLEANUP(cleanup_closep) int fd = -1;
	int in = STDIN_FILENO, rc;

	if (strcmp(args->path, "-") != 0) {
		fd = in = open(args->path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			return err_set(e, ENOENT, "input file does not exist: %s", args->path);
	}
	rc = in < 0 ? -errno : read_to_end(in, BACKUP_MAX, &text);
	if (rc == -EFBIG)
		return not_a_key(e);
	if (rc < 0)
		return err_set(e, -rc, "%s: cannot read: %s", args->path, strerror(-rc));
	rc = parse_backup(k, buf_bytes(&text), &blob, e);
	return rc < 0 ? rc : restore(run, k, &args->where, buf_bytes(&blob), e);
}

/* --- import from paper --- */

enum { TYPED_ABORT = 1000 }; /* no paper_key_error */

/* Ask for a line.  An empty one may mean that somebody gives up; else it is as good as any other. */
static int type_line(struct run *run, const char *question, char *line, struct bytes *out)
{
	fputs(question, stdout);
	fflush(stdout);
	if (terminal_line(line, LINE_SIZE) < 0)
		return TYPED_ABORT;
	*out = bytes_str(line);
	if (line[strspn(line, " ")] == '\0' &&
	    run->prompt.confirm(run->prompt.arg, NULL, "Abort import? [yN]:", NULL, NULL))
		return TYPED_ABORT;
	return 0;
}

static void complain(int error, unsigned number)
{
	switch (error) {
	case PAPER_NOT_ONE_DASH:
		puts("each line must contain exactly one '-', try again");
		break;
	case PAPER_NOT_THREE_PARTS:
		puts("the id line must contain exactly three '/', try again");
		break;
	case PAPER_BAD_DIGITS:
		puts("only characters 0-9 and a-f and '-' are valid, try again");
		break;
	default:
		if (number)
			printf("line checksum did not match, try line %u again\n", number);
		else
			puts("line checksum did not match, try same line again");
	}
}

static int type_id(struct run *run, char *line, struct paper_key_id *id)
{
	struct bytes typed;
	int rc;

	for (;;) {
		rc = type_line(run, "id: ", line, &typed);
		if (rc != 0)
			return rc;
		rc = paper_key_parse_id(typed, id);
		if (rc <= 0)
			return rc;
		complain(rc, 0);
	}
}

static int type_lines(struct run *run, char *line, unsigned lines, struct buf *blob)
{
	char question[16];
	struct bytes typed;

	blob->len = 0;
	for (unsigned i = 1; i <= lines;) {
		int rc;

		snprintf(question, sizeof(question), "%2u: ", i);
		rc = type_line(run, question, line, &typed);
		if (rc != 0)
			return rc;
		rc = paper_key_parse_line(typed, i, blob);
		if (rc < 0)
			return rc;
		if (rc > 0)
			complain(rc, i);
		i += rc == 0;
	}
	return 0;
}

static int type_key(struct run *run, const struct keeper *k, struct buf *blob, struct err *e)
{
	char line[LINE_SIZE], repository[PAPER_ID_DIGITS + 1], sum[PAPER_SUM_DIGITS + 1];
	struct paper_key_id id;
	int rc;

	paper_key_repository(&repo_config(k->repo)->id, repository);
	for (;;) {
		rc = type_id(run, line, &id);
		if (rc == 0 && strcmp(id.repository, repository) != 0)
			return not_ours(e);
		if (rc == 0)
			rc = type_lines(run, line, id.lines, blob);
		if (rc < 0)
			return err_nomem(e, "key");
		if (rc > 0)
			return rc;
		paper_key_sum(buf_bytes(blob), sum);
		if (strcmp(sum, id.sum) == 0)
			return 0;
		puts("The overall checksum did not match, retry or enter a blank line to "
		     "abort.");
	}
}

static int import_paper(struct run *run, const struct keeper *k, const struct location *where,
			struct err *e)
{
	CLEANUP(buf_fini) struct buf blob = BUF_INIT;
	int rc = type_key(run, k, &blob, e);

	if (rc == TYPED_ABORT) {
		puts("\n - aborted");
		return 0;
	}
	return rc < 0 ? rc : restore(run, k, where, buf_bytes(&blob), e);
}

static int run_import(struct run *run, void *arg, struct err *e)
{
	const struct key_args *args = arg;
	CLEANUP(keeper_fini) struct keeper k = { 0 };
	bool path = args->path && *args->path;
	int rc = open_keyed(&k, &args->where, e);

	if (rc < 0)
		return rc;
	if (args->paper && path)
		return err_set(e, EINVAL, "with --paper import from file is not supported");
	if (args->paper)
		return import_paper(run, &k, &args->where, e);
	if (!path)
		return err_set(e, EINVAL, "input file to import key from expected");
	return import_file(run, &k, args, e);
}

/* --- the passphrase --- */

static int change(struct run *run, struct reader *reader, char **place, struct err *e)
{
	int rc = run_lock(run, reader->repo, e);

	if (rc == 0)
		rc = keyring_change_passphrase(reader->repo, reader->key, &run->prompt, place,
					       e);
	if (rc < 0) {
		(void)repo_unlock(reader->repo, NULL);
		return rc;
	}
	return repo_unlock(reader->repo, e);
}

static int run_change(struct run *run, void *arg, struct err *e)
{
	const struct key_args *args = arg;
	CLEANUP(reader_closep) struct reader *reader = NULL;
	CLEANUP(cleanup_freep) char *place = NULL;
	int rc = run_open_reader(run, &reader, &args->where, e);

	if (rc == 0) {
		struct manifest *m = reader_manifest(reader);

		rc = manifest_check_features(m, MANIFEST_CHECK, e);
		reader_manifest_unref(reader, m);
	}
	if (rc == 0 && reader->key->traits->store == KEY_IN_NONE) {
		puts("This repository is not encrypted, cannot change the passphrase.");
		run->exit_code = RC_FAILED;
		return 0;
	}
	if (rc == 0)
		rc = change(run, reader, &place, e);
	if (rc < 0)
		return rc;
	log_info(logger, "Key updated");
	log_info(logger, "Key location: %s", place);
	return 0;
}

static int run_migrate(struct run *run, void *arg, struct err *e)
{
	const struct key_args *args = arg;
	CLEANUP(keeper_fini) struct keeper k = { 0 };
	int rc = open_keeper(&k, &args->where, e);

	if (rc == 0)
		rc = run_lock(run, k.repo, e);
	if (rc == 0)
		rc = keyring_migrate(k.repo, buf_bytes(&k.manifest), &run->prompt, e);
	if (rc < 0) {
		if (k.repo)
			(void)repo_unlock(k.repo, NULL);
		return rc;
	}
	log_info(logger, "Key updated");
	return repo_unlock(k.repo, e);
}

/* --- the words --- */

static void key_args_fini(void *arg)
{
	struct key_args *args = arg;

	location_fini(&args->where);
}

static const struct arg_option export_options[] = {
	{ .name = "paper",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct key_args, paper),
	  .help = "Create an export suitable for printing and later type-in" },
	{ .name = "qr-html",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct key_args, qr),
	  .help = "Create an html file suitable for printing and later type-in or qr scan" },
};

static const struct arg_option import_options[] = {
	{ .name = "paper",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct key_args, paper),
	  .help = "interactively import from a backup done with ``--paper``" },
};

#define REPOSITORY                                                                             \
	{                                                                                      \
		"REPOSITORY", ARG_OPTIONAL, offsetof(struct key_args, where), arg_repository,  \
			"the repository"                                                       \
	}

static const struct arg_positional repository_only[] = { REPOSITORY };
static const struct arg_positional export_positionals[] = {
	REPOSITORY,
	{ "PATH", ARG_OPTIONAL, offsetof(struct key_args, path), NULL,
	  "where to store the backup" },
};
static const struct arg_positional import_positionals[] = {
	REPOSITORY,
	{ "PATH", ARG_OPTIONAL, offsetof(struct key_args, path), NULL,
	  "path to the backup ('-' to read from stdin)" },
};

static const struct command command_export = {
	.name = "export",
	.summary = "export repository key for backup",
	.description =
		"Without its key nobody reads a repository, so keep a copy of it apart.  "
		"The copy is still locked by the passphrase, of which you need a copy, "
		"too.\n"
		"\n"
		"PATH gets the text of a key file, which `key import` reads; with "
		"--paper, lines "
		"to be printed, each with check digits for the day when they are typed "
		"in again; with --qr-html a page to be printed, with the key file as a "
		"QR code.\n",
	COMMAND_OPTIONS(export_options),
	COMMAND_POSITIONALS(export_positionals),
	.args_size = sizeof(struct key_args),
	.args_fini = key_args_fini,
	.run = run_export,
};

static const struct command command_import = {
	.name = "import",
	.summary = "import repository key from backup",
	.description =
		"Puts a copy that `key export` made in place of the repository's key.  "
		"With --paper the lines are asked for, one by one.\n"
		"\n"
		"A key that is kept in a file goes to $BORG_KEY_FILE, else to the file in "
		"the keys folder that has the key now, else to a new one there.\n",
	COMMAND_OPTIONS(import_options),
	COMMAND_POSITIONALS(import_positionals),
	.args_size = sizeof(struct key_args),
	.args_fini = key_args_fini,
	.run = run_import,
};

static const struct command command_change_passphrase = {
	.name = "change-passphrase",
	.summary = "change repository passphrase",
	.description =
		"Locks the key by another passphrase.  The key itself stays: whoever had "
		"a copy of it and the old passphrase still reads all that is, and will "
		"be, in the repository.\n",
	COMMAND_POSITIONALS(repository_only),
	.args_size = sizeof(struct key_args),
	.args_fini = key_args_fini,
	.run = run_change,
};

static const struct command command_migrate = {
	.name = "migrate-to-repokey",
	.summary = "migrate passphrase-mode repository to repokey",
	.description = "Before Borg 1.0 there were repositories without a key, whose secrets "
		       "came from the passphrase.  This computes them once more and keeps them "
		       "in the repository, under a passphrase that can be changed.\n",
	COMMAND_POSITIONALS(repository_only),
	.args_size = sizeof(struct key_args),
	.args_fini = key_args_fini,
	.run = run_migrate,
};

static const struct command *const parts[] = { &command_export, &command_import,
					       &command_change_passphrase, &command_migrate,
					       NULL };

const struct command command_key = {
	.name = "key",
	.summary = "manage repository key",
	.parts = parts,
};
