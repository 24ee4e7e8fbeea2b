/* stats.c - see stats.h. */

#include "tools/stats.h"

#include "core/base/log.h"
#include "core/base/size_text.h"
#include "core/platform/dirs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char logger[] = "borg.output.stats";

int stats_content(struct chunk_index *index, const struct chunk_id *archive,
		  struct stats_all *out, struct err *e)
{
	struct chunk_content content = { 0 };
	int rc = chunk_index_archive_content(index, archive, &content, e);

	if (rc == 0) /* it was brought to a manifest with this archive */
		return err_set(e, EBADMSG, "chunk index: an archive is missing");
	if (rc < 0)
		return rc;
	out->size += content.size;
	out->csize += content.csize;
	return 0;
}

int stats_collect(struct session *s, struct stats_all *out, struct err *e)
{
	const struct manifest_entry *entry;
	struct chunk_index *index;
	int rc = session_chunks(s, &index, e);

	*out = (struct stats_all){ 0 };
	if (rc == 0)
		rc = chunk_index_totals(index, &out->chunks, e);
	for (size_t i = 0; rc == 0 && (entry = manifest_draft_at(s->draft, i)); i++)
		rc = stats_content(index, &entry->id, out, e);
	return rc;
}

void stats_line(const char *fmt, ...)
{
	CLEANUP(cleanup_freep) char *line = NULL;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vasprintf(&line, fmt, args);
	va_end(args);
	if (n < 0)
		line = NULL;
	else
		log_info(logger, "%s", line);
}

void stats_rule(void)
{
	stats_line("%s",
		   "------------------------------------------------------------------------"
		   "------");
}

static const char *signed_size(int64_t bytes, bool iec, char out[SIZE_TEXT + 1])
{
	if (bytes >= 0)
		return size_text((uint64_t)bytes, iec, out);
	out[0] = '-';
	(void)size_text((uint64_t)-bytes, iec, out + 1);
	return out;
}

static void size_row(const struct stats_row *row, bool iec)
{
	char a[SIZE_TEXT + 1], b[SIZE_TEXT + 1], c[SIZE_TEXT + 1];

	stats_line("%-15s %20s %20s %20s", row->label, signed_size(row->size, iec, a),
		   signed_size(row->csize, iec, b), signed_size(row->unique_csize, iec, c));
}

void stats_table(const struct stats_row *row, const struct stats_all *all, bool iec)
{
	struct stats_row whole = { "All archives:", (int64_t)all->size, (int64_t)all->csize,
				   (int64_t)all->chunks.unique_csize };

	stats_line("%-15s %20s %20s %20s", "", "Original size", "Compressed size",
		   "Deduplicated size");
	size_row(row, iec);
	size_row(&whole, iec);
	stats_line("%s", "");
	stats_line("%-15s %20s %20s", "", "Unique chunks", "Total chunks");
	stats_line("%-15s %20" PRIu64 " %20" PRIu64, "Chunk index:", all->chunks.unique_chunks,
		   all->chunks.chunks);
}

static void member(struct json_out *j, const char *key, uint64_t value)
{
	json_key(j, key);
	json_uint(j, value);
}

int stats_json_cache(struct json_out *j, struct reader *r, const struct stats_all *all,
		     struct err *e)
{
	CLEANUP(cleanup_freep) char *path = NULL;
	int rc = dirs_borg_cache(&repo_config(r->repo)->id, &path, e);

	if (rc < 0)
		return rc;
	json_key(j, "cache");
	json_open(j, '{');
	json_key(j, "path");
	json_str(j, path);
	json_key(j, "stats");
	json_open(j, '{');
	member(j, "total_chunks", all->chunks.chunks);
	member(j, "total_csize", all->csize);
	member(j, "total_size", all->size);
	member(j, "total_unique_chunks", all->chunks.unique_chunks);
	member(j, "unique_csize", all->chunks.unique_csize);
	member(j, "unique_size", all->chunks.unique_size);
	json_close(j, '}');
	json_close(j, '}');
	return 0;
}
