/* dirs.c - see dirs.h.  An empty variable counts as unset. */

#include "core/platform/dirs.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/io.h"

static const char cachedir_tag[] =
	"Signature: 8a477f597d28d172789f06886806bc55\n"
	"# This file is a cache directory tag created by Alcove.\n"
	"# For information about cache directory tags, see https://bford.info/cachedir/\n";

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* XDG variables count only where the user did not move everything elsewhere. */
static const char *xdg(const char *name)
{
	return env("BORG_BASE_DIR") ? NULL : env(name);
}

static int copy(const char *path, char **out, struct err *e)
{
	*out = strdup(path);
	return *out ? 0 : err_nomem(e, path);
}

static int join(const char *a, const char *b, char **out, struct err *e)
{
	*out = path_join(a, b);
	return *out ? 0 : err_nomem(e, a);
}

/* The home in the user database of a name, or of this process where it is NULL. */
static char *passwd_home(const char *user)
{
	const struct passwd *pw = user ? getpwnam(user) : getpwuid(getuid());

	return pw && pw->pw_dir && *pw->pw_dir ? strdup(pw->pw_dir) : NULL;
}

/* After `sudo -u` or `su`, HOME may still be root's: keys of others must not land there. */
static bool is_roots_home(const char *home)
{
	CLEANUP(cleanup_freep) char *roots = NULL;
	const struct passwd *pw;

	if (getuid() == 0)
		return false;
	pw = getpwuid(0);
	roots = pw && pw->pw_dir ? strdup(pw->pw_dir) : NULL;
	return roots && strcmp(home, roots) == 0;
}

int dirs_base(char **out, struct err *e)
{
	const char *base = env("BORG_BASE_DIR");
	const char *home = env("HOME");

	if (base)
		return copy(base, out, e);
	if (home && !is_roots_home(home))
		return copy(home, out, e);
	*out = !home && env("USER") ? passwd_home(env("USER")) : NULL;
	if (!*out)
		*out = passwd_home(NULL);
	if (*out)
		return 0;
	if (home)
		return copy(home, out, e);
	return err_set(e, ENOENT, "no home directory: HOME and BORG_BASE_DIR are not set");
}

/* $variable; else $xdg_variable/leaf; else BASE/dot/leaf.  Not created. */
static int place(const char *variable, const char *xdg_variable, const char *dot,
		 const char *leaf, char **out, struct err *e)
{
	CLEANUP(cleanup_freep) char *base = NULL;
	CLEANUP(cleanup_freep) char *folder = NULL;
	int rc;

	if (env(variable))
		return copy(env(variable), out, e);
	if (xdg(xdg_variable))
		return join(xdg(xdg_variable), leaf, out, e);
	rc = dirs_base(&base, e);
	if (rc == 0)
		rc = join(base, dot, &folder, e);
	if (rc < 0)
		return rc;
	return join(folder, leaf, out, e);
}

static int create(char **path, struct err *e)
{
	int rc = make_dirs(*path, 0700, e);

	if (rc < 0) {
		free(*path);
		*path = NULL;
	}
	return rc;
}

int dirs_config(char **out, struct err *e)
{
	int rc = place("BORG_CONFIG_DIR", "XDG_CONFIG_HOME", ".config", "borg", out, e);

	return rc < 0 ? rc : create(out, e);
}

/* $variable, else a folder of the configuration; not created. */
static int config_place(const char *variable, const char *leaf, char **out, struct err *e)
{
	CLEANUP(cleanup_freep) char *config = NULL;
	int rc;

	if (env(variable))
		return copy(env(variable), out, e);
	rc = dirs_config(&config, e);
	return rc < 0 ? rc : join(config, leaf, out, e);
}

int dirs_keys(char **out, struct err *e)
{
	int rc = config_place("BORG_KEYS_DIR", "keys", out, e);

	return rc < 0 ? rc : create(out, e);
}

static int with_id(const char *top, const struct chunk_id *id, char **out, struct err *e)
{
	char hex[CHUNK_ID_HEX];

	return join(top, id_hex(id, hex), out, e);
}

int dirs_security(const struct chunk_id *repository_id, char **out, struct err *e)
{
	CLEANUP(cleanup_freep) char *top = NULL;
	int rc = config_place("BORG_SECURITY_DIR", "security", &top, e);

	if (rc == 0)
		rc = with_id(top, repository_id, out, e);
	return rc < 0 ? rc : create(out, e);
}

int dirs_borg_cache_top(char **out, struct err *e)
{
	return place("BORG_CACHE_DIR", "XDG_CACHE_HOME", ".cache", "borg", out, e);
}

int dirs_borg_cache(const struct chunk_id *repository_id, char **out, struct err *e)
{
	CLEANUP(cleanup_freep) char *top = NULL;
	int rc = dirs_borg_cache_top(&top, e);

	return rc < 0 ? rc : with_id(top, repository_id, out, e);
}

/* Backup programs leave out what carries this tag. */
static int tag(const char *folder, struct err *e)
{
	CLEANUP(cleanup_freep) char *path = path_join(folder, "CACHEDIR.TAG");

	if (!path)
		return err_nomem(e, folder);
	if (access(path, F_OK) == 0)
		return 0;
	return file_replace(path, bytes_str(cachedir_tag), 0600, e);
}

int dirs_cache_top(char **out, struct err *e)
{
	CLEANUP(cleanup_freep) char *top = NULL;
	int rc;

	if (env("ALCOVE_CACHE_DIR"))
		rc = copy(env("ALCOVE_CACHE_DIR"), &top, e);
	else if (env("BORG_CACHE_DIR"))
		rc = join(env("BORG_CACHE_DIR"), "alcove", &top, e);
	else
		rc = place("ALCOVE_CACHE_DIR", "XDG_CACHE_HOME", ".cache", "alcove", &top, e);
	if (rc == 0)
		rc = create(&top, e);
	if (rc == 0)
		rc = tag(top, e);
	if (rc < 0)
		return rc;
	*out = TAKE(top);
	return 0;
}

int dirs_cache(const struct chunk_id *repository_id, char **out, struct err *e)
{
	CLEANUP(cleanup_freep) char *top = NULL;
	int rc = dirs_cache_top(&top, e);

	if (rc == 0)
		rc = with_id(top, repository_id, out, e);
	return rc < 0 ? rc : create(out, e);
}
