/* fuzz_manifest.c - a manifest of an unencrypted repository: type byte, "none", any plaintext. */

#include "core/archive/manifest.h"
#include "core/base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t head[3] = { KEY_PLAINTEXT, 0, 0 };
	CLEANUP(key_closep) struct key *key = NULL;
	CLEANUP(buf_fini) struct buf object = BUF_INIT;
	struct manifest *m = NULL;

	if (key_open_plaintext(&key, NULL) < 0 || buf_append(&object, head, sizeof(head)) < 0 ||
	    buf_append(&object, data, size) < 0)
		return 0;
	if (manifest_parse(&m, key, buf_bytes(&object), MANIFEST_READ, NULL) == 0)
		manifest_free(m);
	return 0;
}
