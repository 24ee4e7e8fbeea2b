/* fuzz_config.c - a repository's configuration, read, changed and read again. */

#include "core/base/cleanup.h"
#include "core/repo/config.h"
#include "core/repo/ini.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count_items(struct bytes text)
{
	struct ini_cursor c = { .rest = text };
	struct ini_item item;
	size_t count = 0;

	while (ini_next(&c, &item))
		count++;
	return count;
}

static void change(struct bytes before)
{
	static const char value[] = "hqlh\nbGdv";
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	CLEANUP(cleanup_freep) char *old = NULL;
	CLEANUP(cleanup_freep) char *now = NULL;
	size_t had = ini_has_section(before, "repository"), was;

	if (buf_append(&text, before.p, before.len) < 0)
		abort();
	was = (size_t)ini_get(before, "repository", "key", &old);
	if (ini_set(&text, "repository", "key", value) < 0)
		abort();
	assert(ini_get(buf_bytes(&text), "repository", "key", &now) == 1);
	assert(strcmp(now, value) == 0);
	assert(count_items(buf_bytes(&text)) == count_items(before) + !was + !had);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct repo_config config;

	if (config_parse(&config, (struct bytes){ data, size }, NULL) == 0)
		config_fini(&config);
	if (size > 0)
		change((struct bytes){ data, size });
	return 0;
}
