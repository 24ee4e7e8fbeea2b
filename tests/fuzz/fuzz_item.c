/* fuzz_item.c - item records from a hostile stream: any bytes, no matter how many records. */

#include "core/archive/item.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mp m = mp_read((struct bytes){ data, size });
	struct arena arena = ARENA_INIT;
	struct item it;

	while (item_parse(&m, &arena, &it, NULL) == 1)
		;
	arena_fini(&arena);
	return 0;
}
