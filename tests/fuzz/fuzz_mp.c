/* fuzz_mp.c - every reader of the cursor, picked by the value or against it, then skipping. */

#include "core/codec/mp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_any(struct mp *m, uint8_t reader)
{
	struct bytes s;

	switch (reader % 8) {
	case 0: mp_int(m); break;
	case 1: mp_uint(m); break;
	case 2:
		s = mp_str(m);
		if (s.len > 0 && s.p + s.len > m->end)
			abort();
		break;
	case 3:
		if (mp_array(m) > (size_t)(m->end - m->p))
			abort();
		break;
	case 4:
		if (2 * (uint64_t)mp_map(m) > (size_t)(m->end - m->p))
			abort();
		break;
	case 5: mp_bool(m); break;
	case 6: mp_nil(m); break;
	default: mp_skip(m); break;
	}
}

/* The first half says how to read the second. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t half = size / 2;
	struct mp m = mp_read((struct bytes){ data + half, size - half });

	for (size_t i = 0; i < half && mp_ok(&m); i++)
		read_any(&m, data[i]);
	for (m = mp_read((struct bytes){ data, size }); mp_peek(&m) != MP_END;)
		mp_skip(&m);
	return 0;
}
