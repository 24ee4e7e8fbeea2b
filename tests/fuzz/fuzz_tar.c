/* fuzz_tar.c - any bytes as a tar: entries with relative paths and the bytes they promise, or one error. */

#include "core/archive/tar_in.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENTRIES_MAX = 200, CONTENT_MAX = 1 << 22 };

static void check_path(struct bytes path)
{
	if (path.len == 0 || path.p[0] == '/' ||
	    (path.len >= 3 && memcmp(path.p, "../", 3) == 0))
		abort();
}

static void read_content(struct tar_in *t)
{
	uint8_t piece[4096];
	size_t total = 0;
	ssize_t n;

	while (total < CONTENT_MAX && (n = tar_in_read(t, piece, sizeof(piece), NULL)) > 0)
		total += (size_t)n;
}

static void read_all(struct tar_in *t)
{
	struct tar_entry entry;

	for (int i = 0; i < ENTRIES_MAX && tar_in_next(t, &entry, NULL) > 0; i++) {
		if (entry.letter == 'E')
			continue;
		check_path(entry.item.path);
		if (entry.has_content != (entry.letter == 'A') ||
		    (entry.has_content && !S_ISREG(entry.item.mode)) || entry.item.mtime_ns < 0)
			abort();
		if (entry.has_content)
			read_content(t);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("tar", MFD_CLOEXEC);
	struct tar_in *t = NULL;

	if (fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0 &&
	    tar_in_open(&t, fd, size > 0 && data[size - 1] & 1, NULL) == 0)
		read_all(t);
	tar_in_free(t);
	if (fd >= 0)
		close(fd);
	return 0;
}
