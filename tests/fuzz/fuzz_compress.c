/* fuzz_compress.c - any payload: a good answer or -EBADMSG, never more than the limit. */

#include "core/codec/compress.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct decompressor *d = decompressor_new();
	struct buf out = BUF_INIT;
	size_t hint = size > 0 ? (size_t)data[0] * 1000 : 0;
	int rc;

	if (!d)
		return 0;
	rc = size > 0 ? decompress(d, (struct bytes){ data + 1, size - 1 }, hint, LIMIT, &out,
				   NULL)
		      : 0;
	if ((rc != 0 && rc != -EBADMSG && rc != -ENOMEM) || (rc == 0 && out.len > LIMIT))
		abort();
	buf_fini(&out);
	decompressor_free(d);
	return 0;
}
