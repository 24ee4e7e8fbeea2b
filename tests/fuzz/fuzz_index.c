/* fuzz_index.c - an index opened, walked, searched and compared with a digest. */

#include <stdlib.h>
#include <sys/mman.h>

#include "core/base/bytes.h"
#include "core/base/io.h"
#include "core/repo/index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the walk finds in use is found by its id too, unless an empty bucket cuts it off. */
static void search(const struct index *x)
{
	struct chunk_id none = { { 0 } };
	struct index_walk walk = { 0 };
	struct chunk_id id;
	struct place at;

	while (index_next(x, &walk, &id, &at))
		index_find(x, &id, &at);
	index_find(x, &none, &at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("index", MFD_CLOEXEC);
	struct index *x = NULL;

	if (fd < 0 || write_all(fd, data, size) < 0)
		abort();
	if (index_open(&x, fd, "index.1", NULL) == 0) {
		search(x);
		index_verify(x, (struct bytes){ data, size }, NULL);
	}
	index_close(x);
	return 0;
}
