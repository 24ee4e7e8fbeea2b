/* fuzz_match.c - the first line is a pattern command, the rest a path. */

#include <stdlib.h>

#include "core/archive/match.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = memchr(data, '\n', size);
	size_t len = newline ? (size_t)(newline - data) : size;
	struct bytes path = { data + len, size - len };
	struct matcher *m = NULL;
	char *line = bytes_dup((struct bytes){ data, len });

	if (line && matcher_new(&m, NULL) == 0) {
		if (matcher_pattern(m, line, NULL) == 0)
			matcher_match(m, path);
		match_glob(line, path);
	}
	matcher_free(m);
	free(line);
	return 0;
}
