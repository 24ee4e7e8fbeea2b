/*
 * replay.c - a fuzz target as a plain program: feeds it each file of a corpus folder.
 *
 * One TAP line a file; a target that crashes leaves the plan unfulfilled, which is a failure.
 */

#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int feed(const char *path)
{
	FILE *f = fopen(path, "re");
	uint8_t *data = NULL;
	size_t len = 0, cap = 0, n = 0;

	if (!f)
		return -1;
	do {
		len += n;
		if (len == cap) {
			uint8_t *grown = realloc(data, cap = cap ? 2 * cap : 65536);

			if (!grown)
				abort();
			data = grown;
		}
		n = fread(data + len, 1, cap - len, f);
	} while (n > 0);
	fclose(f);
	LLVMFuzzerTestOneInput(data, len);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	struct dirent **entries = NULL;
	int count = argc == 2 ? scandir(argv[1], &entries, is_input, alphasort) : -1;
	int bad = 0;

	if (count < 1) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER (with a file in it)\n", argv[0]);
		return 2;
	}
	printf("1..%d\n", count);
	for (int i = 0; i < count; i++) {
		char path[PATH_MAX];
		int len = snprintf(path, sizeof(path), "%s/%s", argv[1], entries[i]->d_name);
		int rc;

		fflush(stdout);
		rc = len > 0 && (size_t)len < sizeof(path) ? feed(path) : -1;
		printf("%s %d - %s\n", rc < 0 ? "not ok" : "ok", i + 1, entries[i]->d_name);
		bad |= rc < 0;
		free(entries[i]);
	}
	free(entries);
	return bad;
}
