/*
 * cmd_info.c - `info`: a repository's or its archives' names, times and sizes.
 *
 * The numbers come from the chunk index; only archives that it does not know are read.
 */

#include "tools/commands.h"

#include "core/base/size_text.h"
#include "core/archive/references.h"
#include "core/base/cleanup.h"
#include "core/codec/mp.h"
#include "core/platform/dirs.h"
#include "core/store/keyring.h"
#include "core/store/object.h"
#include "tools/progress.h"
#include "tools/report.h"
#include "tools/stats.h"
#include "tools/strftime.h"
#include "tools/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULE "------------------------------------------------------------------------------\n"

struct info_args {
	struct location where;
	struct select_options filter;
	bool json;
};

struct info { /* one run */
	struct run *run;
	struct reader *reader;
	struct manifest *manifest;
	struct references *references;
	struct stats_all all;
	struct buf text;
	struct json_out json;
	int operations; /* shown with --progress so far */
	struct err *e;
};

/* Like printf into the text; a failing allocation shows when the text is written. */
static void say(struct info *info, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct info *info, const char *fmt, ...)
{
	CLEANUP(cleanup_freep) char *line = NULL;
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	struct bytes clean;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&line, fmt, args) < 0)
		line = NULL;
	va_end(args);
	clean = text_clean(bytes_str(line ? line : ""), &scratch);
	if (!line || buf_append(&info->text, clean.p, clean.len) < 0)
		info->json.failed = true;
}

/* --- counting --- */

static int count_all(struct info *info)
{
	struct chunk_index *index;
	int rc = references_open(&info->references, info->reader, info->manifest, info->e);

	if (rc < 0)
		return rc;
	index = references_index(info->references);
	rc = chunk_index_totals(index, &info->all.chunks, info->e);
	for (size_t i = 0; rc == 0 && i < info->manifest->count; i++)
		rc = stats_content(index, &info->manifest->entries[i].id, &info->all, info->e);
	return rc;
}

/* --- text --- */

static void say_sizes(struct info *info, const char *label, uint64_t size, uint64_t csize,
		      uint64_t dsize)
{
	bool iec = info->run->common.iec;
	char a[32], b[32], c[32];

	say(info, "%-15s %20s %20s %20s\n", label, size_text(size, iec, a),
	    size_text(csize, iec, b), size_text(dsize, iec, c));
}

static void say_table(struct info *info, const struct chunk_content *content, uint64_t only)
{
	say(info, RULE);
	say(info, "%-15s %20s %20s %20s\n", "", "Original size", "Compressed size",
	    "Deduplicated size");
	if (content)
		say_sizes(info, "This archive:", content->size, content->csize, only);
	say_sizes(info, "All archives:", info->all.size, info->all.csize,
		  info->all.chunks.unique_csize);
	say(info, "\n%-15s %20s %20s\n", "", "Unique chunks", "Total chunks");
	say(info, "%-15s %20" PRIu64 " %20" PRIu64 "\n",
	    "Chunk index:", info->all.chunks.unique_chunks, info->all.chunks.chunks);
}

static void say_encryption(struct info *info)
{
	const struct key_traits *traits = info->reader->key->traits;
	CLEANUP(cleanup_freep) char *file = NULL;

	if (traits->encrypts || traits->type == KEY_BLAKE2_AUTHENTICATED)
		say(info, "Encrypted: Yes (%s)\n", traits->name);
	else
		say(info, "Encrypted: No\n");
	if (traits->store == KEY_IN_FILE &&
	    keyring_find_file(info->reader->repo, &file, NULL) == 0)
		say(info, "Key file: %s\n", file);
}

static void say_time(struct info *info, const char *label, int64_t ns)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;

	if (time_text(report_archive_time(ns), &text) < 0)
		info->json.failed = true;
	say(info, "%s: %.*s\n", label, (int)text.len, (const char *)text.p);
}

static double duration(const struct archive *a)
{
	return (double)((a->time_end_ns - a->time_ns) / 1000) / 1e6;
}

static void say_bytes(struct info *info, const char *label, struct bytes value)
{
	say(info, "%s: %.*s\n", label, (int)value.len, value.len ? (const char *)value.p : "");
}

static void say_archive(struct info *info, const struct archive *a, double used,
			const struct chunk_content *content, uint64_t only)
{
	CLEANUP(buf_fini) struct buf words = BUF_INIT;
	CLEANUP(buf_fini) struct buf time = BUF_INIT;
	char id[CHUNK_ID_HEX];

	if (report_command_line(a, &words) < 0 || text_duration(duration(a), &time) < 0)
		info->json.failed = true;
	say_bytes(info, "Archive name", a->name);
	say(info, "Archive fingerprint: %s\n", id_hex(&a->id, id));
	say_bytes(info, "Comment", a->comment);
	say_bytes(info, "Hostname", a->hostname);
	say_bytes(info, "Username", a->username);
	say_time(info, "Time (start)", a->time_ns);
	say_time(info, "Time (end)", a->time_end_ns);
	say_bytes(info, "Duration", buf_bytes(&time));
	say(info, "Number of files: %" PRIu64 "\n", content->nfiles);
	say_bytes(info, "Command line", buf_bytes(&words));
	say(info, "Utilization of maximum supported archive size: %.0f%%\n", used * 100);
	say_table(info, content, only);
}

/* --- JSON --- */

static void json_stats_member(struct json_out *j, const char *key, uint64_t value)
{
	json_key(j, key);
	json_uint(j, value);
}

/* The array as stored; four numbers, without a name, are Borg 1.1's buzhash. */
static void json_chunker_params(struct json_out *j, struct bytes packed)
{
	struct mp m = mp_read(packed);
	uint32_t count;

	if (packed.len == 0) {
		json_str(j, "");
		return;
	}
	count = mp_array(&m);
	json_open(j, '[');
	for (uint32_t i = 0; i < count && mp_ok(&m); i++) {
		if (mp_peek(&m) == MP_INT) {
			if (i == 0)
				json_str(j, "buzhash");
			json_uint(j, mp_uint(&m));
		} else {
			json_text(j, mp_str(&m));
		}
	}
	json_close(j, ']');
}

static void json_archive(struct info *info, const struct archive *a, double used,
			 const struct chunk_content *content, uint64_t only)
{
	struct json_out *j = &info->json;
	char id[CHUNK_ID_HEX];

	json_open(j, '{');
	json_key(j, "chunker_params");
	json_chunker_params(j, a->chunker_params);
	json_key(j, "command_line");
	report_json_command_line(j, a);
	json_key(j, "comment");
	json_text(j, a->comment);
	json_key(j, "duration");
	json_double(j, duration(a));
	json_key(j, "end");
	report_json_time(j, report_archive_time(a->time_end_ns));
	json_key(j, "hostname");
	json_text(j, a->hostname);
	json_key(j, "id");
	json_str(j, id_hex(&a->id, id));
	json_key(j, "limits");
	json_open(j, '{');
	json_key(j, "max_archive_size");
	json_double(j, used);
	json_close(j, '}');
	json_key(j, "name");
	json_text(j, a->name);
	json_key(j, "start");
	report_json_time(j, report_archive_time(a->time_ns));
	json_key(j, "stats");
	json_open(j, '{');
	json_stats_member(j, "compressed_size", content->csize);
	json_stats_member(j, "deduplicated_size", only);
	json_stats_member(j, "nfiles", content->nfiles);
	json_stats_member(j, "original_size", content->size);
	json_close(j, '}');
	json_key(j, "username");
	json_text(j, a->username);
	json_close(j, '}');
}

/* --- the forms --- */

/* As often as Borg says it, though nothing is read for it. */
static void show_progress(struct info *info, const struct archive *a)
{
	struct progress progress = { "archive.calc_stats",
				     "Calculating statistics for archive %2$s ... %1$3.0f%%",
				     a->item_chunk_count,
				     ++info->operations,
				     5,
				     true,
				     0 };

	for (size_t i = 0; i < a->item_chunk_count; i++)
		progress_show(&progress, i, 1, a->name);
	progress_finish(&progress);
}

struct own { /* one archive's numbers */
	struct chunk_content content;
	struct chunk_totals chunks;
	struct chunk_count object;
};

static int count_own(struct info *info, const struct chunk_id *id, struct own *out)
{
	struct chunk_index *index = references_index(info->references);
	int rc = chunk_index_archive_content(index, id, &out->content, info->e);

	if (rc == 1)
		rc = chunk_index_archive_totals(index, id, &out->chunks, info->e);
	if (rc == 1)
		rc = chunk_index_get(index, id, &out->object, info->e);
	if (rc == 0)
		return err_set(info->e, EBADMSG, "chunk index: an archive is missing");
	return rc < 0 ? rc : 0;
}

static int show_archive(struct info *info, const char *name, bool json)
{
	CLEANUP(archive_freep) struct archive *a = NULL;
	struct own own = { 0 };
	double used;
	int rc;

	rc = report_load_archive(&a, info->reader, info->manifest, name, info->e);
	if (rc == 0)
		rc = count_own(info, &a->id, &own);
	if (rc < 0)
		return rc;
	show_progress(info, a);
	used = (double)own.object.csize / OBJECT_DATA_MAX;
	if (json)
		json_archive(info, a, used, &own.content, own.chunks.unique_csize);
	else
		say_archive(info, a, used, &own.content, own.chunks.unique_csize);
	return 0;
}

static int show_archives(struct info *info, const struct info_args *args)
{
	CLEANUP(selection_fini) struct selection chosen = { 0 };
	struct select_options filter = args->filter;
	int rc;

	if (args->where.archive)
		return show_archive(info, args->where.archive, args->json);
	filter.consider_checkpoints = true;
	rc = select_archives(&chosen, info->manifest, &filter, info->e);
	for (size_t i = 0; rc == 0 && i < chosen.count; i++) {
		if (i > 0 && !args->json)
			say(info, "\n");
		rc = show_archive(info, (const char *)chosen.entries[i]->name.p, args->json);
	}
	return rc;
}

static void say_repository(struct info *info, const char *cache, const char *security)
{
	char id[CHUNK_ID_HEX];

	say(info, "Repository ID: %s\n", id_hex(&repo_config(info->reader->repo)->id, id));
	say(info, "Location: %s\n", repo_canonical(info->reader->repo));
	say_encryption(info);
	say(info, "Cache: %s\nSecurity dir: %s\n", cache, security);
	say_table(info, NULL, 0);
}

static int show_json(struct info *info, const struct info_args *args, bool archives,
		     const char *security)
{
	struct json_out *j = &info->json;
	int rc = 0;

	json_open(j, '{');
	if (archives) {
		json_key(j, "archives");
		json_open(j, '[');
		rc = show_archives(info, args);
		json_close(j, ']');
	}
	if (rc == 0)
		rc = stats_json_cache(j, info->reader, &info->all, info->e);
	if (rc == 0)
		rc = report_json_encryption(j, info->reader, info->e);
	if (rc < 0)
		return rc;
	report_json_repository(j, info->reader, info->manifest);
	if (!archives) {
		json_key(j, "security_dir");
		json_str(j, security);
	}
	json_close(j, '}');
	if (buf_append_byte(&j->out, '\n') < 0 || j->failed)
		return err_nomem(info->e, "info");
	return report_flush(&j->out, info->e);
}

static int show(struct info *info, const struct info_args *args)
{
	const struct chunk_id *id = &repo_config(info->reader->repo)->id;
	bool archives = args->where.archive || select_is_filter(&args->filter);
	CLEANUP(cleanup_freep) char *cache = NULL;
	CLEANUP(cleanup_freep) char *security = NULL;
	int rc;

	/* A misspelt archive must not cost reading all the others. */
	if (args->where.archive &&
	    !manifest_find(info->manifest, bytes_str(args->where.archive)))
		return err_set_id(info->e, ENOENT, "Archive.DoesNotExist",
				  "Archive %s does not exist", args->where.archive);
	rc = dirs_borg_cache(id, &cache, info->e);
	if (rc == 0)
		rc = dirs_security(id, &security, info->e);
	if (rc == 0)
		rc = count_all(info);
	if (rc < 0)
		return rc;
	if (args->json)
		return show_json(info, args, archives, security);
	if (archives)
		rc = show_archives(info, args);
	else
		say_repository(info, cache, security);
	if (rc == 0 && info->json.failed)
		return err_nomem(info->e, "info");
	return rc < 0 ? rc : report_flush(&info->text, info->e);
}

static int run_info(struct run *run, void *arg, struct err *e)
{
	struct info_args *args = arg;
	CLEANUP(reader_closep) struct reader *reader = NULL;
	struct info info = { .run = run, .json.indent = 4, .e = e };
	int rc = run_open_reader(run, &reader, &args->where, e);

	if (rc < 0)
		return rc;
	info.reader = reader;
	info.manifest = reader_manifest(reader);
	rc = show(&info, args);
	references_close(info.references);
	buf_fini(&info.text);
	buf_fini(&info.json.out);
	reader_manifest_unref(reader, info.manifest);
	return rc;
}

static void info_args_fini(void *arg)
{
	struct info_args *args = arg;

	location_fini(&args->where);
	filter_fini(&args->filter);
}

static const struct arg_option info_options[] = {
	{ .name = "json",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct info_args, json),
	  .help = "format output as JSON" },
	ARCHIVE_FILTER_OPTIONS(struct info_args, filter),
};

static const struct arg_positional info_positionals[] = {
	{ "REPOSITORY_OR_ARCHIVE", ARG_OPTIONAL, offsetof(struct info_args, where),
	  arg_location, "repository or archive to display information about" },
};

const struct command command_info = {
	.name = "info",
	.summary = "show repository or archive information",
	.description = "This command displays detailed information about the specified archive "
		       "or repository.\n",
	COMMAND_OPTIONS(info_options),
	COMMAND_POSITIONALS(info_positionals),
	.args_size = sizeof(struct info_args),
	.args_fini = info_args_fini,
	.flags = COMMAND_BYPASS_LOCK,
	.run = run_info,
};
