/* cmd_init.c - `init`: a new repository, its key, its first manifest. */

#include "tools/commands.h"

#include "core/base/log.h"
#include "core/base/size_text.h"
#include "core/repo/config.h"
#include "core/repo/create.h"
#include "core/store/keyring.h"
#include "core/store/security.h"

#include <errno.h>
#include <stdlib.h>

struct init_args {
	struct location where;
	const struct key_traits *mode;
	struct repo_creation how;
};

static const char logger[] = "borg.archiver";

static int make_key(struct run *run, struct repo *repo, const struct init_args *args,
		    struct key **out, struct err *e)
{
	const struct key_traits *mode = args->mode;

	if (mode->store == KEY_IN_NONE) {
		log_info("borg.crypto.key",
			 "Encryption NOT enabled.\n"
			 "Use the \"--encryption=repokey|keyfile\" to enable "
			 "encryption.");
		return key_open_plaintext(out, e);
	}
	return keyring_create(out, repo, &args->where, mode, &run->prompt, e);
}

static void say_quota(const struct repo *repo)
{
	char quota[SIZE_TEXT], used[SIZE_TEXT];

	if (repo_config(repo)->storage_quota)
		log_info("borg.repository", "Storage quota: %s out of %s used.",
			 size_text(0, false, used),
			 size_text(repo_config(repo)->storage_quota, false, quota));
}

static void advise(const struct key *key)
{
	if (key->traits->store == KEY_IN_NONE)
		return;
	log_warning(logger,
		    "\n"
		    "IMPORTANT: you will need both KEY AND PASSPHRASE to access this repo!\n"
		    "In the repokey modes the key is inside the repository, which may be lost: "
		    "keep a copy\nelsewhere (\"borg key export\", also for printing), and the "
		    "passphrase where you find it again.\n");
}

static int found(struct run *run, struct repo *repo, const struct init_args *args,
		 struct err *e)
{
	CLEANUP(key_closep) struct key *key = NULL;
	int rc = run_lock(run, repo, e);

	if (rc == 0)
		rc = make_key(run, repo, args, &key, e);
	if (rc == 0)
		rc = session_initialize(repo, key, e);
	if (rc == 0 && key->tam_required)
		rc = security_note_tam(repo, true, e);
	if (rc < 0) {
		(void)repo_unlock(repo, NULL);
		return rc;
	}
	say_quota(repo);
	advise(key);
	return repo_unlock(repo, e);
}

static int run_init(struct run *run, void *arg, struct err *e)
{
	const struct init_args *args = arg;
	CLEANUP(cleanup_freep) char *path = location_canonical(&args->where);
	CLEANUP(repo_closep) struct repo *repo = NULL;
	int rc;

	log_info(logger, "Initializing repository at \"%s\"", path ? path : "");
	rc = repo_create(&args->where, &args->how, e);
	if (rc == 0)
		rc = repo_open(&repo, &args->where, &(struct repo_options){ 0 }, e);
	if (rc == 0)
		rc = found(run, repo, args, e);
	/* With no room for the first transaction there is no repository to keep. */
	if (rc == -ENOSPC && repo) {
		log_error("borg.repository",
			  "Not enough free space to initialize repository at this location.");
		(void)repo_destroy(TAKE(repo), NULL);
	}
	return rc;
}

static void init_args_fini(void *arg)
{
	struct init_args *args = arg;

	location_fini(&args->where);
}

static int arg_mode(void *field, const char *text, struct err *e)
{
	/* In the order of Borg's list of choices. */
	static const enum key_type types[] = {
		KEY_PLAINTEXT,
		KEY_KEYFILE,
		KEY_REPOKEY,
		KEY_AUTHENTICATED,
		KEY_BLAKE2_KEYFILE,
		KEY_BLAKE2_REPOKEY,
		KEY_BLAKE2_AUTHENTICATED,
	};
	CLEANUP(buf_fini) struct buf why = BUF_INIT;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const struct key_traits *t = key_traits((uint8_t)types[i]);

		if (strcmp(t->argument, text) == 0) {
			*(const struct key_traits **)field = t;
			return 0;
		}
		(void)buf_append_str(&why, i ? ", '" : "'");
		(void)buf_append_str(&why, t->argument);
		(void)buf_append_str(&why, "'");
	}
	return err_set(e, EINVAL, "invalid choice: '%s' (choose from %.*s)", text, (int)why.len,
		       (const char *)why.p);
}

static int arg_quota(void *field, const char *text, struct err *e)
{
	enum { SMALLEST = 10000000 };
	uint64_t bytes;

	if (!config_parse_size(text, &bytes))
		return err_set(e, EINVAL, "invalid storage_quota value: '%s'", text);
	if (bytes != 0 && bytes < SMALLEST)
		return err_set(e, EINVAL, "quota is too small (%s). At least 10M are required.",
			       text);
	*(uint64_t *)field = bytes;
	return 0;
}

static const struct arg_option init_options[] = {
	{ .letter = 'e',
	  .name = "encryption",
	  .kind = ARG_VALUE,
	  .required = true,
	  .offset = offsetof(struct init_args, mode),
	  .convert = arg_mode,
	  .metavar = "MODE",
	  .help = "select encryption key mode (required)" },
	{ .name = "append-only",
	  .kind = ARG_FLAG,
	  .offset =
		  offsetof(struct init_args, how) + offsetof(struct repo_creation, append_only),
	  .help = "create an append-only mode repository" },
	{ .name = "storage-quota",
	  .kind = ARG_VALUE,
	  .offset = offsetof(struct init_args, how) +
		    offsetof(struct repo_creation, storage_quota),
	  .convert = arg_quota,
	  .metavar = "QUOTA",
	  .help = "Set storage quota of the new repository (e.g. 5G, 1.5T). Default: no "
		  "quota." },
	{ .name = "make-parent-dirs",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct init_args, how) +
		    offsetof(struct repo_creation, make_parent_dirs),
	  .help = "create the parent directories of the repository directory, if they are "
		  "missing." },
};

static const struct arg_positional init_positionals[] = {
	{ "REPOSITORY", ARG_OPTIONAL, offsetof(struct init_args, where), arg_repository,
	  "repository to create" },
};

const struct command command_init = {
	.name = "init",
	.summary = "initialize empty repository",
	.description =
		"Initialize an empty repository: a folder that holds deduplicated data "
		"of "
		"any number of archives.\n"
		"\n"
		"MODE decides how they are protected, and cannot be changed later:\n"
		"\n"
		"  repokey, repokey-blake2              encrypted; the key is in the "
		"repository\n"
		"  keyfile, keyfile-blake2              encrypted; the key is in your home "
		"folder\n"
		"  authenticated, authenticated-blake2  not secret, but every change is "
		"noticed\n"
		"  none                                 neither\n"
		"\n"
		"The blake2 modes are faster on processors without instructions for SHA-2.  "
		"In all modes but none the passphrase protects the key: without both nobody "
		"reads "
		"what is in the repository, you neither.\n",
	COMMAND_OPTIONS(init_options),
	COMMAND_POSITIONALS(init_positionals),
	.args_size = sizeof(struct init_args),
	.args_fini = init_args_fini,
	.run = run_init,
};
