/* fuzz_segment.c - a segment walked by its heads, and read entry by entry. */

#include <stdlib.h>
#include <sys/mman.h>

#include "core/base/bytes.h"
#include "core/base/io.h"
#include "core/repo/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct segment *s, size_t size)
{
	struct segment_walk *w = calloc(1, sizeof(*w));
	struct buf scratch = BUF_INIT;
	struct segment_entry entry;
	uint64_t off = SEGMENT_FIRST;

	while (w && segment_next_head(s, w, &off, size, &entry, NULL) == 1)
		;
	for (off = SEGMENT_FIRST; segment_read(s, off, &scratch, &entry, NULL) == 1;)
		off += entry.size;
	buf_fini(&scratch);
	free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("segment", MFD_CLOEXEC);
	struct segment *s = NULL;

	if (fd < 0 || write_all(fd, data, size) < 0)
		abort();
	if (segment_open(&s, fd, 1, NULL) == 0)
		walk(s, size);
	segment_close(s);
	return 0;
}
