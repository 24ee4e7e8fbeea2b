#ifndef ARCHIVE_ARCHIVE_H
#define ARCHIVE_ARCHIVE_H

/*
 * archive.h - one archive's own data: what its archive object says.
 *
 * Source: docs/format.md "Archive object", "TAM".  Immutable once loaded.
 */

#include "core/archive/reader.h"
#include "core/crypto/tam.h"

struct chunker_params;

struct archive {
	struct chunk_id id;
	struct bytes name, comment, hostname, username, cwd;
	bool has_cwd;
	struct bytes time_text, time_end_text; /* as stored; time_end = time where absent */
	int64_t time_ns, time_end_ns;
	struct bytes *cmdline;
	size_t cmdline_count;
	struct bytes *recreate_cmdline; /* NULL where absent */
	size_t recreate_cmdline_count;
	struct chunk_id *items; /* the item stream's chunks, in order */
	size_t item_chunk_count;
	struct bytes chunker_params; /* packed msgpack array, or empty */
	bool has_totals;             /* the following three are there (since 1.2) */
	uint64_t size, csize, nfiles;
	enum tam_result tam;
	size_t packed_size; /* bytes of the archive object's plaintext, for `info` */
	struct archive_private *priv;
};

/* Errors: -ENOENT gone, -EBADMSG damaged, ArchiveTAMInvalid / -EBADMSG, -ENOTSUP version. */
int archive_load(struct archive **out, struct reader *r, const struct chunk_id *id,
		 struct err *e);
/*
 * The same in steps, for whoever has to go on where something is wrong.  plain: the object's
 * plaintext, to which the archive keeps a reference.  Nothing is believed before
 * archive_check_tam(): ArchiveTAMInvalid -EBADMSG; else a->tam says what was found.
 */
int archive_parse(struct archive **out, const struct chunk_id *id, struct chunk *plain,
		  struct err *e);
int archive_check_tam(struct archive *a, const struct key *key, struct err *e);
/* How its files were cut: -ENODATA it does not tell, or in a way that nobody knows. */
int archive_chunker_params(const struct archive *a, struct chunker_params *out);
struct bytes archive_plain(const struct archive *a); /* what was parsed */
void archive_free(struct archive *a);
DEFINE_CLEANUP(struct archive *, archive_free);

#endif
