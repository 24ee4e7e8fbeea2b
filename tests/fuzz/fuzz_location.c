/* fuzz_location.c - the first line is a location, the rest $BORG_REPO.  What is parsed is parsed
 * to the same path again: a normalised path is normal. */

#include <stdlib.h>

#include "core/base/bytes.h"
#include "core/repo/location.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void normal_stays_normal(const struct location *l)
{
	struct location again;

	if (l->path[0] != '/' || (l->path[1] == '/' && l->proto == LOCATION_FILE))
		return;
	if (strstr(l->path, "::") || location_parse(&again, l->path, NULL, NULL) < 0)
		return;
	if (strcmp(again.path, l->path) != 0)
		abort();
	location_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = memchr(data, '\n', size);
	size_t len = newline ? (size_t)(newline - data) : size;
	char *text = bytes_dup((struct bytes){ data, len });
	char *fallback = bytes_dup((struct bytes){ data + len, size - len });
	struct location l;
	char *canonical;

	if (text && fallback &&
	    location_parse(&l, text, *fallback ? fallback + 1 : NULL, NULL) == 0) {
		normal_stays_normal(&l);
		canonical = location_canonical(&l);
		free(canonical);
		location_fini(&l);
	}
	free(text);
	free(fallback);
	return 0;
}
