/*
 * test_dirs.c - folders follow the environment as Borg's do, and exist afterwards.
 *
 * Method: a row sets variables below a fresh folder ("@" stands for it) and names what each
 * function must return.
 */

#include "tests/support/tap.h"

#include "core/base/io.h"
#include "core/platform/dirs.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const variables[] = {
	"BORG_BASE_DIR",    "BORG_CONFIG_DIR",
	"BORG_KEYS_DIR",    "BORG_SECURITY_DIR",
	"BORG_CACHE_DIR",   "XDG_CONFIG_HOME",
	"XDG_CACHE_HOME",   "HOME",
	"ALCOVE_CACHE_DIR", "USER",
};

#define ID "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static const struct row {
	const char *name;
	const char *set[4]; /* "VARIABLE=value" */
	const char *config, *keys, *security, *borg_cache, *cache;
} rows[] = {
	{ "HOME alone",
	  { "HOME=@/home" },
	  "@/home/.config/borg",
	  "@/home/.config/borg/keys",
	  "@/home/.config/borg/security/" ID,
	  "@/home/.cache/borg/" ID,
	  "@/home/.cache/alcove/" ID },
	{ "BORG_BASE_DIR wins over HOME and hides XDG",
	  { "HOME=@/home", "BORG_BASE_DIR=@/base", "XDG_CONFIG_HOME=@/xc",
	    "XDG_CACHE_HOME=@/xd" },
	  "@/base/.config/borg",
	  "@/base/.config/borg/keys",
	  "@/base/.config/borg/security/" ID,
	  "@/base/.cache/borg/" ID,
	  "@/base/.cache/alcove/" ID },
	{ "XDG",
	  { "HOME=@/home", "XDG_CONFIG_HOME=@/xc", "XDG_CACHE_HOME=@/xd" },
	  "@/xc/borg",
	  "@/xc/borg/keys",
	  "@/xc/borg/security/" ID,
	  "@/xd/borg/" ID,
	  "@/xd/alcove/" ID },
	{ "an empty BORG_BASE_DIR is none",
	  { "HOME=@/home", "BORG_BASE_DIR=", "XDG_CONFIG_HOME=@/xc" },
	  "@/xc/borg",
	  "@/xc/borg/keys",
	  "@/xc/borg/security/" ID,
	  "@/home/.cache/borg/" ID,
	  "@/home/.cache/alcove/" ID },
	{ "each by its own variable",
	  { "BORG_CONFIG_DIR=@/c", "BORG_KEYS_DIR=@/k", "BORG_SECURITY_DIR=@/s",
	    "BORG_CACHE_DIR=@/d" },
	  "@/c",
	  "@/k",
	  "@/s/" ID,
	  "@/d/" ID,
	  "@/d/alcove/" ID },
	{ "keys and security below the configuration",
	  { "BORG_CONFIG_DIR=@/c", "HOME=@/home", "ALCOVE_CACHE_DIR=@/a" },
	  "@/c",
	  "@/c/keys",
	  "@/c/security/" ID,
	  "@/home/.cache/borg/" ID,
	  "@/a/" ID },
};

/* Text with @ replaced by the test's folder. */
static char *expand(const char *text, const char *at)
{
	const char *mark = strchr(text, '@');
	char *out;

	assert_true(asprintf(&out, "%.*s%s%s", mark ? (int)(mark - text) : (int)strlen(text),
			     text, mark ? at : "", mark ? mark + 1 : "") >= 0);
	return out;
}

static void set_variable(const char *assignment, const char *at)
{
	char *text = expand(assignment, at);
	char *value = strchr(text, '=');

	*value++ = '\0';
	assert_int_equal(setenv(text, value, 1), 0);
	free(text);
}

static void expect(const char *want, const char *at, char *got, bool created)
{
	char *path = expand(want, at);
	struct stat st;

	assert_string_equal(got, path);
	if (created) {
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0700);
	} else {
		assert_int_not_equal(stat(path, &st), 0);
	}
	free(path);
	free(got);
}

static void check_tag(const char *cache)
{
	char *top = strdup(cache);
	char *path;
	struct buf tag = BUF_INIT;

	*strrchr(top, '/') = '\0';
	path = path_join(top, "CACHEDIR.TAG");
	assert_int_equal(file_read(-1, path, 4096, &tag, NULL), 0);
	assert_memory_equal(tag.p, "Signature: 8a477f597d28d172789f06886806bc55", 43);
	buf_fini(&tag);
	free(path);
	free(top);
}

static void check_row(const void *arg)
{
	const struct row *row = arg;
	char *at = test_dir_make();
	char *path = NULL;
	struct chunk_id id;

	assert_int_equal(id_parse(&id, bytes_str(ID)), 0);
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
	for (size_t i = 0; i < 4 && row->set[i]; i++)
		set_variable(row->set[i], at);

	assert_int_equal(dirs_borg_cache(&id, &path, NULL), 0);
	expect(row->borg_cache, at, path, false);
	assert_int_equal(dirs_config(&path, NULL), 0);
	expect(row->config, at, path, true);
	assert_int_equal(dirs_keys(&path, NULL), 0);
	expect(row->keys, at, path, true);
	assert_int_equal(dirs_security(&id, &path, NULL), 0);
	expect(row->security, at, path, true);
	assert_int_equal(dirs_cache(&id, &path, NULL), 0);
	check_tag(path);
	expect(row->cache, at, path, true);
	test_dir_remove(at);
}

int main(void)
{
	return run_table(rows, check_row);
}
