/*
 * cmd_config.c - `config`: get and set what the configuration of a repository, or of Borg's cache
 * of it, says.
 *
 * Only known options are set, to values that can be read back; any is shown.  Looking needs no
 * lock: the file is always whole.
 */

#include "tools/commands.h"

#include "core/base/io.h"
#include "core/platform/dirs.h"
#include "core/repo/config.h"
#include "core/repo/ini.h"
#include "core/repo/lock.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint64_t segment_size_end =
	4273995776; /* 2^32 - 20 MiB: the least that is too large */
static const uint64_t quota_min = 10000000;

enum { RC_MISSING = 1 };

struct config_args {
	struct location where;
	char *name, *value; /* NULL: not given */
	bool cache, remove, list;
};

struct config {
	struct run *run;
	const struct config_args *args;
	struct repo *repo;
	struct lock *cache_lock;
	char *path;  /* of the file */
	char *given; /* NAME, taken apart */
	const char *section;
	char *name;
	struct buf text;
};

static int invalid(const char *what, struct err *e)
{
	return err_set(e, EINVAL, "ValueError: Invalid %s", what);
}

/* --- values that can be set --- */

typedef int check_value(const char *value, struct err *e);

static int check_integer(const char *value, struct err *e)
{
	size_t digits = strspn(value, "0123456789");

	return digits > 0 && digits < 10 && !value[digits] ? 0 : invalid("value", e);
}

static int check_segments(const char *value, struct err *e)
{
	return strspn(value, "0") == strlen(value) ? invalid("value", e)
						   : check_integer(value, e);
}

static int check_checked(const char *value, struct err *e)
{
	return check_integer(value[0] == '-' ? value + 1 : value, e);
}

static int check_size(const char *value, struct err *e)
{
	uint64_t size;

	return config_parse_size(value, &size) ? 0 : invalid("value", e);
}

static int check_quota(const char *value, struct err *e)
{
	uint64_t size;

	if (!config_parse_size(value, &size))
		return invalid("value", e);
	return size > 0 && size < quota_min ? invalid("value: storage_quota < 10M", e) : 0;
}

static int check_segment_size(const char *value, struct err *e)
{
	uint64_t size;

	if (!config_parse_size(value, &size))
		return invalid("value", e);
	return size >= segment_size_end ? invalid("value: max_segment_size >= 4273995776", e)
					: 0;
}

static int check_bool(const char *value, struct err *e)
{
	bool is = strcmp(value, "0") == 0 || strcmp(value, "1") == 0;

	return is ? 0 : invalid("value", e);
}

static int check_id(const char *value, struct err *e)
{
	struct chunk_id id;

	return id_parse(&id, bytes_str(value)) == 0
		       ? 0
		       : invalid("value, must be 64 hex digits", e);
}

static int check_location(const char *value, struct err *e)
{
	struct location parsed = { 0 };
	int rc = location_parse(&parsed, value, NULL, e);

	location_fini(&parsed);
	return rc;
}

static const struct known {
	const char *section, *name;
	check_value *check;
} known[] = {
	{ "repository", "segments_per_dir", check_segments },
	{ "repository", "last_segment_checked", check_checked },
	{ "repository", "max_segment_size", check_segment_size },
	{ "repository", "additional_free_space", check_size },
	{ "repository", "storage_quota", check_quota },
	{ "repository", "append_only", check_bool },
	{ "repository", "id", check_id },
	{ "cache", "previous_location", check_location },
};

/* value NULL: only whether there may be such an option. */
static int check(const struct config *c, const char *value, struct err *e)
{
	if (strcmp(c->section, c->args->cache ? "cache" : "repository") != 0)
		return invalid("section", e);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(known[i].section, c->section) == 0 &&
		    strcmp(known[i].name, c->name) == 0)
			return value ? known[i].check(value, e) : 0;
	return invalid("name", e);
}

/* --- showing --- */

static int show_option(const struct config *c, const char *name, const char *missing,
		       struct err *e)
{
	CLEANUP(cleanup_freep) char *value = NULL;
	int rc = ini_get(buf_bytes(&c->text), "repository", name, &value);

	if (rc < 0)
		return err_nomem(e, "config");
	if (rc > 0 || missing)
		printf("%s = %s\n", name, rc > 0 ? value : missing);
	return 0;
}

static int show_list(const struct config *c, struct err *e)
{
	static const char *const names[] = {
		"version",
		"segments_per_dir",
		"max_segment_size",
		"storage_quota",
		"additional_free_space",
		"append_only",
		"id",
	};
	int rc = 0;

	printf("[repository]\n");
	for (size_t i = 0; rc == 0 && i < sizeof(names) / sizeof(names[0]); i++)
		rc = show_option(c, names[i], "False", e); /* Borg's word for a missing one */
	return rc == 0 ? show_option(c, "last_segment_checked", NULL, e) : rc;
}

static int missing(const struct config *c, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	bool section = ini_has_section(buf_bytes(&c->text), c->section);

	(void)buf_append_str(&text, section ? "No option " : "No section: ");
	if (section) {
		args_repr(c->name, &text);
		(void)buf_append_str(&text, " in section: ");
	}
	args_repr(c->section, &text);
	if (buf_append_byte(&text, 0) < 0)
		return err_nomem(e, "config");
	if (c->run->modern)
		return err_set_id(e, ENOENT, "Error", "Error: %s", (const char *)text.p);
	fprintf(stderr, "%s\n", (const char *)text.p);
	c->run->exit_code = RC_MISSING;
	return 0;
}

static int show_one(const struct config *c, struct err *e)
{
	CLEANUP(cleanup_freep) char *value = NULL;
	int rc;

	for (char *p = c->name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	/* As Borg, which follows a repository that has moved before it looks. */
	if (strcmp(c->section, "cache") == 0 && strcmp(c->name, "previous_location") == 0) {
		printf("%s\n", repo_canonical(c->repo));
		return 0;
	}
	rc = ini_get(buf_bytes(&c->text), c->section, c->name, &value);
	if (rc < 0)
		return err_nomem(e, "config");
	if (rc == 0)
		return missing(c, e);
	printf("%s\n", value);
	return 0;
}

/* --- changing --- */

static int store(struct config *c, struct err *e)
{
	struct err why = ERR_INIT;
	int rc;

	if (c->args->cache)
		return file_replace(c->path, buf_bytes(&c->text), 0666, e);
	rc = config_store(c->path, buf_bytes(&c->text), &why);
	if ((rc == -EACCES || rc == -EPERM) && c->run->common.bypass_lock) {
		log_warning("borg.repository",
			    "%s: Failed writing to '%s'. This is expected when working on "
			    "read-only repositories.",
			    strerror(-rc), c->path);
		return 0;
	}
	if (rc < 0 && e)
		*e = why;
	return rc;
}

static int change(struct config *c, const char *value, struct err *e)
{
	int rc = check(c, value, e);

	if (rc < 0)
		return rc;
	if (ini_set(&c->text, c->section, c->name, value) < 0)
		return err_nomem(e, "config");
	return store(c, e);
}

/* --- the command --- */

static int find_file(struct config *c, struct err *e)
{
	CLEANUP(cleanup_freep) char *cache = NULL;
	int rc = 0;

	if (c->args->cache)
		rc = dirs_borg_cache(&repo_config(c->repo)->id, &cache, e);
	if (rc < 0)
		return rc;
	c->path = path_join(cache ? cache : repo_path(c->repo), "config");
	return c->path ? 0 : err_nomem(e, "config");
}

static int lock_cache(struct config *c, struct err *e)
{
	const struct lock_options options = { .wait = c->run->common.lock_wait };
	CLEANUP(cleanup_freep) char *path = strdup(c->path);

	if (!path)
		return err_nomem(e, "lock");
	if (access(path, F_OK) < 0)
		return err_set(e, errno, "%s: Borg has no cache of this repository", path);
	strcpy(strrchr(path, '/'), "/lock");
	return lock_acquire(&c->cache_lock, path, LOCK_EXCLUSIVE, &options, e);
}

static int lock_all(struct config *c, struct err *e)
{
	int rc = c->run->common.bypass_lock ? 0 : run_lock(c->run, c->repo, e);

	return rc == 0 && c->args->cache ? lock_cache(c, e) : rc;
}

/* NAME or SECTION.NAME */
static int take_name(struct config *c, struct err *e)
{
	char *dot;

	c->section = c->args->cache ? "cache" : "repository";
	if (c->args->list)
		return 0;
	if (!c->args->name || !*c->args->name)
		return err_set_id(e, EINVAL, "CommandError",
				  "No config key name was provided.");
	c->given = c->name = strdup(c->args->name);
	if (!c->given)
		return err_nomem(e, "config");
	dot = strchr(c->given, '.');
	if (dot && !strchr(dot + 1, '.')) {
		*dot = '\0';
		c->section = c->given;
		c->name = dot + 1;
	}
	return 0;
}

static int read_text(struct config *c, struct err *e)
{
	int rc = file_read(AT_FDCWD, c->path, CONFIG_FILE_MAX, &c->text, e);

	return rc == -ENOENT && c->args->cache ? 0 : rc; /* Borg has no cache of it */
}

static int act(struct config *c, struct err *e)
{
	const struct config_args *args = c->args;
	bool set = !args->list && !args->remove && args->value && *args->value;
	int rc = take_name(c, e);

	if (rc == 0)
		rc = find_file(c, e);
	if (rc == 0 && (set || args->remove))
		rc = lock_all(c, e);
	if (rc == 0)
		rc = read_text(c, e);
	if (rc < 0)
		return rc;
	if (args->list)
		return show_list(c, e);
	if (args->remove)
		return change(c, NULL, e);
	return set ? change(c, args->value, e) : show_one(c, e);
}

static int run_config(struct run *run, void *arg, struct err *e)
{
	const struct config_args *args = arg;
	const struct repo_options options = { .config_only = true };
	struct config c = { .run = run, .args = args };
	int rc = repo_open(&c.repo, &args->where, &options, e);

	if (rc == 0)
		rc = act(&c, e);
	lock_close(c.cache_lock);
	repo_close(c.repo);
	buf_fini(&c.text);
	free(c.given);
	free(c.path);
	return rc;
}

static void config_args_fini(void *arg)
{
	struct config_args *args = arg;

	location_fini(&args->where);
}

static int arg_local_repository(void *field, const char *text, struct err *e)
{
	const struct location *parsed = field;
	int rc = arg_repository(field, text, e);

	if (rc == 0 && parsed->proto != LOCATION_FILE)
		return err_set(e, EINVAL, "\"%s\": Repository must be local", text);
	return rc;
}

static const struct arg_option config_options[] = {
	{ .letter = 'c',
	  .name = "cache",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct config_args, cache),
	  .help = "get and set values from the repo cache" },
	{ .letter = 'd',
	  .name = "delete",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct config_args, remove),
	  .exclusive = 1,
	  .help = "delete the key from the config file" },
	{ .letter = 'l',
	  .name = "list",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct config_args, list),
	  .exclusive = 1,
	  .help = "list the configuration of the repo" },
};

static const struct arg_positional config_positionals[] = {
	{ "REPOSITORY", ARG_OPTIONAL, offsetof(struct config_args, where), arg_local_repository,
	  "repository to configure" },
	{ "NAME", ARG_OPTIONAL, offsetof(struct config_args, name), NULL,
	  "name of config key" },
	{ "VALUE", ARG_OPTIONAL, offsetof(struct config_args, value), NULL,
	  "new value for key" },
};

const struct command command_config = {
	.name = "config",
	.summary = "get and set configuration values",
	.description =
		"This command gets and sets options in the configuration of a repository, or "
		"with --cache in that of Borg's cache of it.  Only local repositories have one "
		"that can be changed.\n"
		"\n"
		"NAME alone shows a value, NAME and VALUE set it; NAME may be written "
		"SECTION.NAME.\n",
	COMMAND_OPTIONS(config_options),
	COMMAND_POSITIONALS(config_positionals),
	.args_size = sizeof(struct config_args),
	.args_fini = config_args_fini,
	.flags = COMMAND_BYPASS_LOCK,
	.run = run_config,
};
