/* fuzz_tam.c - the plaintext of a manifest or archive object, with a key and without one. */

#include "core/crypto/tam.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t id[CHUNK_ID_SIZE];
	const struct key keyed = { .traits = key_traits(KEY_AUTHENTICATED),
				   .id_key = { id, sizeof(id) } };
	const struct key none = { .traits = key_traits(KEY_PLAINTEXT) };
	struct bytes packed = { data, size };

	if (tam_verify(&keyed, "archive", packed) == TAM_VALID)
		abort(); /* nobody knows that key */
	tam_verify(&none, "manifest", packed);
	return 0;
}
