#include "core/codec/buzhash.h"
int buzhash_vector_usable(void)
{
	return 0;
}
size_t buzhash_find_vector(const struct buzhash *b, const uint8_t *data, size_t from,
			   size_t end, uint32_t *hash)
{
	return buzhash_find_portable(b, data, from, end, hash);
}
