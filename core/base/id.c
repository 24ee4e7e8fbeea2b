/* id.c - see id.h. */

#include "core/base/id.h"

const struct chunk_id MANIFEST_ID = { { 0 } };

const char *id_hex(const struct chunk_id *id, char out[CHUNK_ID_HEX])
{
	hex_encode(id->b, CHUNK_ID_SIZE, out);
	return out;
}

int id_parse(struct chunk_id *out, struct bytes hex)
{
	return hex_decode(hex, out->b, CHUNK_ID_SIZE);
}
