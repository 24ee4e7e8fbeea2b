/* fuzz_key.c - a key blob in Borg's text form, and as the map itself, for both families. */

#include "core/crypto/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_both(struct bytes blob)
{
	static const uint8_t types[] = { KEY_REPOKEY, KEY_BLAKE2_KEYFILE };

	for (size_t i = 0; i < sizeof(types); i++) {
		struct key *k = NULL;

		key_open_blob(&k, types[i], blob, bytes_str("test"), true, NULL);
		key_close(k);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf blob = BUF_INIT;

	open_both((struct bytes){ data, size });
	if (key_blob_decode((struct bytes){ data, size }, &blob, NULL) == 0)
		open_both(buf_bytes(&blob));
	buf_fini(&blob);
	return 0;
}
