/* golden.c - see golden.h. */

#include "tests/support/golden.h"

#include "core/base/io.h"
#include "tests/support/tap.h"

#include <glob.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOLDEN_DIR "tests/golden"

static void give_up(const char *what, const char *name)
{
	fprintf(stderr, "golden: %s: %s\n", what, name);
	abort();
}

static char *joined(const char *dir, const char *name)
{
	char *path = path_join(dir, name);

	if (!path)
		give_up("out of memory", name);
	return path;
}

static void unpack(const char *name, const char *into)
{
	char command[8192];
	int len = snprintf(command, sizeof(command), "tar -xzf %s/%s.tar.gz -C '%s'",
			   GOLDEN_DIR, name, into);

	if (len < 0 || (size_t)len >= sizeof(command) || system(command) != 0)
		give_up("cannot unpack (are we in the top folder?)", name);
}

static bool is(const json_t *object, const char *field, const char *want)
{
	const char *text = json_string_value(json_object_get(object, field));

	return text && strcmp(text, want) == 0;
}

/* The times that source files had are for people, and one is beyond what jansson's integers hold. */
static void cut_source_time(char *line)
{
	static const char field[] = "\"mtime_source_ns\": ";
	char *at = strstr(line, field), *behind;

	if (!at)
		return;
	behind = at + strlen(field);
	behind += strspn(behind, "-0123456789");
	behind += strspn(behind, ", ");
	memmove(at, behind, strlen(behind) + 1);
}

static void read_manifest(struct golden *g)
{
	FILE *f = fopen(GOLDEN_DIR "/manifest.jsonl", "re");
	char *line = NULL;
	size_t cap = 0;

	g->items = json_array();
	if (!f || !g->items)
		give_up("no manifest.jsonl for", g->name);
	while (getline(&line, &cap, f) > 0) {
		json_t *object;

		cut_source_time(line);
		object = json_loads(line, JSON_ALLOW_NUL, NULL);
		if (!object)
			give_up("not JSON", line);
		if (is(object, "kind", "item"))
			json_array_append(g->items, object);
		else if (is(object, "kind", "repo") && is(object, "name", g->name))
			g->repository = json_incref(object);
		json_decref(object);
	}
	free(line);
	fclose(f);
	if (!g->repository)
		give_up("not in manifest.jsonl", g->name);
}

static void point_environment_at(const struct golden *g)
{
	char *keys = joined(g->dir, "keys");

	setenv("BORG_BASE_DIR", g->base, 1);
	setenv("BORG_KEYS_DIR", keys, 1);
	setenv("BORG_PASSPHRASE", "test", 1);
	setenv("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes", 1);
	setenv("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes", 1);
	unsetenv("BORG_REPO");
	unsetenv("BORG_KEY_FILE");
	unsetenv("BORG_CACHE_DIR");
	unsetenv("BORG_CONFIG_DIR");
	unsetenv("BORG_SECURITY_DIR");
	unsetenv("ALCOVE_CACHE_DIR");
	free(keys);
}

struct golden *golden_open(const char *name)
{
	struct golden *g = calloc(1, sizeof(*g));
	const char *key_file;

	if (!g)
		give_up("out of memory", name);
	g->name = strdup(name);
	g->dir = test_dir_make();
	unpack(name, g->dir);
	read_manifest(g);
	g->repo = joined(g->dir,
			 json_string_value(json_object_get(g->repository, "repository_dir")));
	g->base = joined(g->dir, "base");
	if (mkdir(g->base, 0700) < 0)
		give_up("cannot create", g->base);
	key_file = json_string_value(json_object_get(g->repository, "keyfile"));
	if (key_file)
		g->key_file = joined(g->dir, key_file);
	point_environment_at(g);
	return g;
}

void golden_close(struct golden *g)
{
	if (!g)
		return;
	json_decref(g->repository);
	json_decref(g->items);
	test_dir_remove(g->dir);
	free(g->repo);
	free(g->base);
	free(g->key_file);
	free(g->name);
	free(g);
}

void golden_each(void (*fn)(const char *name, void *arg), void *arg)
{
	glob_t found;

	if (glob(GOLDEN_DIR "/*.tar.gz", 0, NULL, &found) != 0)
		give_up("no tarballs in", GOLDEN_DIR);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		char *name = strdup(strrchr(found.gl_pathv[i], '/') + 1);

		if (!name)
			give_up("out of memory", GOLDEN_DIR);
		name[strlen(name) - strlen(".tar.gz")] = '\0';
		fn(name, arg);
		free(name);
	}
	globfree(&found);
}

const json_t *golden_archive(const struct golden *g, const char *archive)
{
	return json_object_get(json_object_get(g->repository, "archives"), archive);
}

bool golden_archive_has(const json_t *archive, const json_t *item)
{
	const char *path = json_string_value(json_object_get(item, "path_hex"));
	const json_t *paths = json_object_get(archive, "paths_hex");
	const json_t *listed;
	size_t i;

	if (!path)
		return false;
	if (!json_is_array(paths))
		return true;
	json_array_foreach(paths, i, listed)
	{
		if (strcmp(json_string_value(listed), path) == 0)
			return true;
	}
	return false;
}

uint8_t *golden_bytes(const json_t *item, const char *field, size_t *len)
{
	const char *text = json_string_value(json_object_get(item, field));

	if (!text)
		give_up("no such field in an item", field);
	return unhex(text, len);
}
