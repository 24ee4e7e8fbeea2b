/* fuzz_compressor.c - any plaintext by any method: what is stored becomes the plaintext again. */

#include "core/codec/compress.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const specs[] = {
	"none",
	"lz4",
	"zstd,1",
	"zstd,9",
	"zlib,0",
	"zlib,6",
	"lzma,0",
	"auto,zstd,3",
	"auto,zlib,6",
	"obfuscate,110,lz4",
	"obfuscate,250,auto,lzma,0",
};

static void need(int ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes plain = { data + (size > 0), size - (size > 0) };
	struct decompressor *d = decompressor_new();
	struct buf stored = BUF_INIT, back = BUF_INIT;
	struct compressor *c = NULL;
	struct compression how;

	if (size == 0 || !d) {
		decompressor_free(d);
		return 0;
	}
	need(compression_parse(specs[data[0] % (sizeof(specs) / sizeof(specs[0]))], &how,
			       NULL) == 0);
	need(compressor_new(&c, &how, NULL) == 0);
	for (int again = 0; again < 2; again++) {
		stored.len = 0;
		need(compress_append(c, plain, &stored, NULL) == 0);
		need(decompress(d, buf_bytes(&stored), 0, plain.len, &back, NULL) == 0);
		need(bytes_equal(buf_bytes(&back), plain));
	}
	buf_fini(&stored);
	buf_fini(&back);
	compressor_free(c);
	decompressor_free(d);
	return 0;
}
