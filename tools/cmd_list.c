/*
 * cmd_list.c - `list`: the archives of a repository, or the items of an archive.
 *
 * Both are a format applied to values that are computed only where the format names them.
 * Items are streamed: a line is written as soon as its item is decoded.
 */

#include "tools/commands.h"

#include "core/archive/item_stream.h"
#include "core/archive/match.h"
#include "core/archive/references.h"
#include "core/base/cleanup.h"
#include "core/store/stream.h"
#include "tools/content_hash.h"
#include "tools/format.h"
#include "tools/report.h"
#include "tools/strftime.h"
#include "tools/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	FLUSH_BYTES = 64 << 10, /* output gathered before a write */
	HASH_WINDOW = 32 << 20, /* content decoded ahead where a hash is wanted */
	HASHES_MAX = 16,
};

#define ARCHIVE_FORMAT "{archive:<36} {time} [{id}]{NL}"
#define ITEM_FORMAT    "{mode} {user:6} {group:6} {size:8} {mtime} {path}{extra}{NL}"

struct list_args {
	struct location where;
	struct select_options filter;
	struct matcher *matcher;
	struct arg_list paths;
	const char *format;
	bool brief, json, json_lines;
};

struct list { /* one run */
	struct run *run;
	const struct list_args *args;
	struct reader *reader;
	struct manifest *manifest;
	struct format *format;
	struct json_out json;
	struct buf out;
	struct err *e;
};

/* --- archives --- */

enum archive_key {
	A_NAME,
	A_BARCHIVE,
	A_ID,
	A_START,
	A_END,
	A_COMMENT,
	A_BCOMMENT,
	A_COMMAND_LINE,
	A_HOSTNAME,
	A_USERNAME,
	A_TAM,
};

static const struct format_key archive_keys[] = {
	{ "archive", A_NAME },      { "name", A_NAME },
	{ "barchive", A_BARCHIVE }, { "id", A_ID },
	{ "start", A_START },       { "time", A_START },
	{ "end", A_END },           { "comment", A_COMMENT },
	{ "bcomment", A_BCOMMENT }, { "command_line", A_COMMAND_LINE },
	{ "hostname", A_HOSTNAME }, { "username", A_USERNAME },
	{ "tam", A_TAM },
};

struct archive_line {
	struct list *list;
	const struct manifest_entry *entry;
	struct archive *loaded; /* NULL until a key needs it */
	char id[CHUNK_ID_HEX];
	struct buf words;
};

static int load(struct archive_line *line, struct err *e)
{
	if (line->loaded)
		return 0;
	return archive_load(&line->loaded, line->list->reader, &line->entry->id, e);
}

static const char *tam_word(enum tam_result tam)
{
	return tam == TAM_VALID ? "verified" : "none";
}

static int archive_value_loaded(struct archive_line *line, enum archive_key key,
				struct format_value *out, struct err *e)
{
	const struct archive *a = line->loaded;

	switch (key) {
	case A_END:
		out->kind = FORMAT_TIME;
		out->number = report_archive_time(a->time_end_ns);
		return 0;
	case A_COMMENT:
	case A_BCOMMENT: out->text = a->comment; return 0;
	case A_HOSTNAME: out->text = a->hostname; return 0;
	case A_USERNAME: out->text = a->username; return 0;
	case A_TAM: out->text = bytes_str(tam_word(a->tam)); return 0;
	case A_COMMAND_LINE:
		line->words.len = 0;
		if (report_command_line(a, &line->words) < 0)
			return err_nomem(e, "list");
		out->text = buf_bytes(&line->words);
		return 0;
	case A_NAME:
	case A_BARCHIVE:
	case A_ID:
	case A_START: break;
	}
	return 0;
}

static int archive_value(void *arg, unsigned id, struct format_value *out, struct err *e)
{
	struct archive_line *line = arg;
	int rc;

	switch ((enum archive_key)id) {
	case A_NAME:
	case A_BARCHIVE: out->text = line->entry->name; return 0;
	case A_ID: out->text = bytes_str(id_hex(&line->entry->id, line->id)); return 0;
	case A_START:
		out->kind = FORMAT_TIME;
		out->number = report_archive_time(line->entry->time_ns);
		return 0;
	case A_END:
	case A_COMMENT:
	case A_BCOMMENT:
	case A_COMMAND_LINE:
	case A_HOSTNAME:
	case A_USERNAME:
	case A_TAM: break;
	}
	rc = load(line, e);
	return rc < 0 ? rc : archive_value_loaded(line, (enum archive_key)id, out, e);
}

static int json_archive_member(struct archive_line *line, enum archive_key key,
			       const char *name)
{
	struct json_out *j = &line->list->json;
	struct format_value value = { .kind = FORMAT_TEXT };
	int rc = archive_value(line, key, &value, line->list->e);

	if (rc < 0)
		return rc;
	json_key(j, name);
	if (key == A_COMMAND_LINE)
		report_json_command_line(j, line->loaded);
	else if (value.kind == FORMAT_TIME)
		report_json_time(j, value.number);
	else
		json_text(j, value.text);
	return 0;
}

/* The keys that are always there and those that the format names, sorted. */
static int json_archive(struct archive_line *line)
{
	static const struct {
		const char *name;
		enum archive_key key;
		bool always;
	} members[] = {
		{ "archive", A_NAME, true },       { "barchive", A_BARCHIVE, true },
		{ "bcomment", A_BCOMMENT, false }, { "command_line", A_COMMAND_LINE, false },
		{ "comment", A_COMMENT, false },   { "end", A_END, false },
		{ "hostname", A_HOSTNAME, false }, { "id", A_ID, true },
		{ "name", A_NAME, true },          { "start", A_START, true },
		{ "tam", A_TAM, false },           { "time", A_START, true },
		{ "username", A_USERNAME, false },
	};
	struct list *list = line->list;
	int rc = 0;

	json_open(&list->json, '{');
	for (size_t i = 0; rc == 0 && i < sizeof(members) / sizeof(members[0]); i++)
		if (members[i].always || format_uses(list->format, members[i].key))
			rc = json_archive_member(line, members[i].key, members[i].name);
	json_close(&list->json, '}');
	return rc;
}

static int put_archive(struct list *list, const struct manifest_entry *entry)
{
	struct archive_line line = { .list = list, .entry = entry };
	int rc = list->args->json
			 ? json_archive(&line)
			 : format_put(list->format, archive_value, &line, &list->out, list->e);

	archive_free(line.loaded);
	buf_fini(&line.words);
	if (rc == 0 && list->out.len >= FLUSH_BYTES)
		rc = report_flush(&list->out, list->e);
	return rc;
}

static int put_archives(struct list *list)
{
	CLEANUP(selection_fini) struct selection chosen = { 0 };
	int rc = select_archives(&chosen, list->manifest, &list->args->filter, list->e);

	for (size_t i = 0; rc == 0 && i < chosen.count; i++)
		rc = put_archive(list, chosen.entries[i]);
	return rc;
}

static int list_repository_json(struct list *list)
{
	struct json_out *j = &list->json;
	int rc;

	j->indent = 4;
	json_open(j, '{');
	json_key(j, "archives");
	json_open(j, '[');
	rc = put_archives(list);
	json_close(j, ']');
	if (rc == 0)
		rc = report_json_encryption(j, list->reader, list->e);
	if (rc < 0)
		return rc;
	report_json_repository(j, list->reader, list->manifest);
	json_close(j, '}');
	if (buf_append_byte(&j->out, '\n') < 0 || j->failed)
		return err_nomem(list->e, "list");
	return report_flush(&j->out, list->e);
}

static int list_repository(struct list *list)
{
	const char *text = list->args->format  ? list->args->format
			   : list->args->brief ? "{archive}{NL}"
					       : ARCHIVE_FORMAT;
	int rc;

	if (list->args->json_lines)
		return err_set_id(list->e, EINVAL, "CommandError",
				  "The --json-lines option is only valid for listing archive "
				  "contents, not archives.");
	rc = format_compile(&list->format, text, archive_keys,
			    sizeof(archive_keys) / sizeof(archive_keys[0]), list->e);
	if (rc < 0)
		return rc;
	if (list->args->json)
		return list_repository_json(list);
	rc = put_archives(list);
	return rc < 0 ? rc : report_flush(&list->out, list->e);
}

/* --- items --- */

enum item_key {
	I_TYPE,
	I_MODE,
	I_UID,
	I_GID,
	I_USER,
	I_GROUP,
	I_PATH,
	I_SOURCE,
	I_EXTRA,
	I_FLAGS,
	I_HEALTH,
	I_SIZE,
	I_CSIZE,
	I_DSIZE,
	I_DCSIZE,
	I_NUM_CHUNKS,
	I_UNIQUE_CHUNKS,
	I_MTIME,
	I_CTIME,
	I_ATIME,
	I_ISOMTIME,
	I_ISOCTIME,
	I_ISOATIME,
	I_ARCHIVEID,
	I_ARCHIVENAME,
	I_HASH, /* and following: content_hash_name(id - I_HASH) */
};

static const struct format_key item_keys[] = {
	{ "type", I_TYPE },
	{ "mode", I_MODE },
	{ "uid", I_UID },
	{ "gid", I_GID },
	{ "user", I_USER },
	{ "group", I_GROUP },
	{ "path", I_PATH },
	{ "bpath", I_PATH },
	{ "source", I_SOURCE },
	{ "linktarget", I_SOURCE },
	{ "extra", I_EXTRA },
	{ "flags", I_FLAGS },
	{ "health", I_HEALTH },
	{ "size", I_SIZE },
	{ "csize", I_CSIZE },
	{ "dsize", I_DSIZE },
	{ "dcsize", I_DCSIZE },
	{ "num_chunks", I_NUM_CHUNKS },
	{ "unique_chunks", I_UNIQUE_CHUNKS },
	{ "mtime", I_MTIME },
	{ "ctime", I_CTIME },
	{ "atime", I_ATIME },
	{ "isomtime", I_ISOMTIME },
	{ "isoctime", I_ISOCTIME },
	{ "isoatime", I_ISOATIME },
	{ "archiveid", I_ARCHIVEID },
	{ "archivename", I_ARCHIVENAME },
};

enum { ITEM_KEYS = sizeof(item_keys) / sizeof(item_keys[0]) };

struct item_line {
	struct list *list;
	const struct archive *archive;
	struct item item;
	char mode[11]; /* with the letter of a hard link */
	char type[2];
	char id[CHUNK_ID_HEX];
	struct buf text;
	struct references *all; /* opened where a key needs it */
	struct stream *content; /* opened where a hash is wanted */
	struct content_hash *hashes[HASHES_MAX];
	char hex[CONTENT_HASH_HEX];
};

/* What Borg displays of a time: nothing before 1970 or behind early 2038. */
static int64_t shown_time(int64_t ns)
{
	static const int64_t most = INT64_C(2147310847000000000);

	if (ns < 0)
		return 0;
	return ns > most ? most : ns;
}

static void set_time(struct format_value *out, int64_t ns)
{
	out->kind = FORMAT_TIME;
	out->number = shown_time(ns);
}

static int set_iso(struct item_line *line, struct format_value *out, int64_t ns, struct err *e)
{
	line->text.len = 0;
	if (time_iso(shown_time(ns), &line->text) < 0)
		return err_nomem(e, "list");
	out->text = buf_bytes(&line->text);
	return 0;
}

static void set_number(struct format_value *out, uint64_t number)
{
	out->kind = FORMAT_INT;
	out->number = (int64_t)number;
}

static void set_owner(struct format_value *out, bool named, struct bytes name, uint32_t id)
{
	if (named)
		out->text = name;
	else
		set_number(out, id);
}

static uint64_t shown_size(const struct item *it)
{
	return S_ISLNK(it->mode) ? it->source.len : it->size;
}

static int set_extra(struct item_line *line, struct format_value *out, struct err *e)
{
	const struct item *it = &line->item;

	if (it->source.len == 0)
		return 0;
	line->text.len = 0;
	if (buf_append_str(&line->text, S_ISLNK(it->mode) ? " -> " : " link to ") < 0 ||
	    buf_append(&line->text, it->source.p, it->source.len) < 0)
		return err_nomem(e, "list");
	out->text = buf_bytes(&line->text);
	return 0;
}

/* References to this chunk in the item itself. */
static uint64_t own_refs(const struct item *it, const struct chunk_id *id)
{
	uint64_t refs = 0;

	for (size_t i = 0; i < it->chunk_count; i++)
		refs += id_equal(&it->chunks[i].id, id);
	return refs;
}

/* Of the chunks that only this item uses: plaintext, stored size, or how many. */
static int set_unique(struct item_line *line, enum item_key key, struct format_value *out,
		      struct err *e)
{
	const struct item *it = &line->item;
	uint64_t sum = 0;
	int rc = 0;

	if (!line->all)
		rc = references_open(&line->all, line->list->reader, line->list->manifest, e);
	for (size_t i = 0; rc >= 0 && i < it->chunk_count; i++) {
		const struct item_chunk *c = &it->chunks[i];
		struct chunk_count used = { 0 };

		rc = chunk_index_get(references_index(line->all), &c->id, &used, e);
		/* Most shared chunks are shared with others: ask that before counting. */
		if (rc <= 0 || used.refs > it->chunk_count || used.refs != own_refs(it, &c->id))
			continue;
		sum += key == I_DSIZE ? c->size : key == I_DCSIZE ? c->csize : 1;
	}
	set_number(out, sum);
	return rc < 0 ? rc : 0;
}

static int hash_chunk(struct item_line *line, struct content_hash *d, struct err *e)
{
	CLEANUP(chunk_unrefp) struct chunk *chunk = NULL;
	int rc = stream_pull(line->content, &chunk, e);

	return rc < 0 ? rc : content_hash_update(d, (struct bytes){ chunk->p, chunk->len }, e);
}

static int hash_content(struct item_line *line, struct content_hash *d, struct err *e)
{
	const struct item *it = &line->item;
	size_t pushed = 0;
	int rc = content_hash_start(d, e);

	for (size_t i = 0; rc == 0 && i < it->chunk_count; i++) {
		for (; pushed < it->chunk_count; pushed++) {
			struct chunk_want want = { it->chunks[pushed].id,
						   it->chunks[pushed].size };

			if (!stream_push(line->content, &want))
				break;
		}
		rc = hash_chunk(line, d, e);
	}
	return rc;
}

static int set_hash(struct item_line *line, size_t kind, struct format_value *out,
		    struct err *e)
{
	struct reader *r = line->list->reader;
	int rc = 0;

	if (!(line->item.has & ITEM_CHUNKS))
		return 0;
	if (!line->content)
		rc = stream_open(&line->content, r->repo, r->key, 0, HASH_WINDOW, e);
	if (rc == 0 && !line->hashes[kind])
		rc = content_hash_new(&line->hashes[kind], content_hash_name(kind), e);
	if (rc == 0)
		rc = hash_content(line, line->hashes[kind], e);
	if (rc == 0)
		rc = content_hash_finish(line->hashes[kind], line->hex, e);
	out->text = bytes_str(line->hex);
	return rc;
}

static uint64_t stored_size(const struct item *it)
{
	uint64_t sum = 0;

	if (S_ISLNK(it->mode))
		return it->source.len; /* Borg's answer for either size */
	for (size_t i = 0; i < it->chunk_count; i++)
		sum += it->chunks[i].csize;
	return sum;
}

static int item_value(void *arg, unsigned id, struct format_value *out, struct err *e)
{
	struct item_line *line = arg;
	const struct item *it = &line->item;

	switch ((enum item_key)(id < I_HASH ? id : I_HASH)) {
	case I_TYPE: out->text = bytes_str(line->type); return 0;
	case I_MODE: out->text = (struct bytes){ (const uint8_t *)line->mode, 10 }; return 0;
	case I_UID: set_number(out, it->uid); return 0;
	case I_GID: set_number(out, it->gid); return 0;
	case I_USER: set_owner(out, it->has & ITEM_USER, it->user, it->uid); return 0;
	case I_GROUP: set_owner(out, it->has & ITEM_GROUP, it->group, it->gid); return 0;
	case I_PATH: out->text = it->path; return 0;
	case I_SOURCE: out->text = it->source; return 0;
	case I_EXTRA: return set_extra(line, out, e);
	case I_FLAGS: set_number(out, it->has & ITEM_BSDFLAGS ? it->bsdflags : 0); return 0;
	case I_HEALTH:
		out->text = bytes_str(it->has & ITEM_CHUNKS_HEALTHY ? "broken" : "healthy");
		return 0;
	case I_SIZE: set_number(out, shown_size(it)); return 0;
	case I_CSIZE: set_number(out, stored_size(it)); return 0;
	case I_NUM_CHUNKS: set_number(out, it->chunk_count); return 0;
	case I_DSIZE:
	case I_DCSIZE:
	case I_UNIQUE_CHUNKS: return set_unique(line, (enum item_key)id, out, e);
	case I_MTIME: set_time(out, it->mtime_ns); return 0;
	case I_CTIME: set_time(out, it->ctime_ns); return 0;
	case I_ATIME: set_time(out, it->atime_ns); return 0;
	case I_ISOMTIME: return set_iso(line, out, it->mtime_ns, e);
	case I_ISOCTIME: return set_iso(line, out, it->ctime_ns, e);
	case I_ISOATIME: return set_iso(line, out, it->atime_ns, e);
	case I_ARCHIVEID: out->text = bytes_str(id_hex(&line->archive->id, line->id)); return 0;
	case I_ARCHIVENAME: out->text = line->archive->name; return 0;
	case I_HASH: break;
	}
	return set_hash(line, id - I_HASH, out, e);
}

/* Keys that JSON lines have without being named, and those that never appear there. */
static bool is_json_key(unsigned id)
{
	switch ((enum item_key)(id < I_HASH ? id : I_HASH)) {
	case I_TYPE:
	case I_MODE:
	case I_UID:
	case I_GID:
	case I_USER:
	case I_GROUP:
	case I_PATH:
	case I_SOURCE:
	case I_EXTRA:
	case I_FLAGS:
	case I_HEALTH:
	case I_ARCHIVEID:
	case I_ARCHIVENAME: return false;
	case I_SIZE:
	case I_CSIZE:
	case I_DSIZE:
	case I_DCSIZE:
	case I_NUM_CHUNKS:
	case I_UNIQUE_CHUNKS:
	case I_MTIME:
	case I_CTIME:
	case I_ATIME:
	case I_ISOMTIME:
	case I_ISOCTIME:
	case I_ISOATIME:
	case I_HASH: break;
	}
	return true;
}

static void json_value(struct json_out *j, const char *name, const struct format_value *v)
{
	json_key(j, name);
	switch (v->kind) {
	case FORMAT_TEXT: json_text(j, v->text); break;
	case FORMAT_INT: json_int(j, v->number); break;
	case FORMAT_TIME: report_json_time(j, v->number); break;
	}
}

static int json_member(struct item_line *line, unsigned id, const char *name, struct err *e)
{
	struct format_value value = { .kind = FORMAT_TEXT };
	int rc = item_value(line, id, &value, e);

	if (rc == 0)
		json_value(&line->list->json, name, &value);
	return rc;
}

static int json_item(struct item_line *line, struct err *e)
{
	static const struct format_key fixed[] = {
		{ "type", I_TYPE },         { "mode", I_MODE },      { "user", I_USER },
		{ "group", I_GROUP },       { "uid", I_UID },        { "gid", I_GID },
		{ "path", I_PATH },         { "healthy", I_HEALTH }, { "source", I_SOURCE },
		{ "linktarget", I_SOURCE }, { "flags", I_FLAGS },
	};
	struct json_out *j = &line->list->json;
	const struct format *format = line->list->format;
	int rc = 0;

	json_open(j, '{');
	for (size_t i = 0; rc == 0 && i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		if (fixed[i].id == I_HEALTH) {
			json_key(j, fixed[i].name);
			json_bool(j, !(line->item.has & ITEM_CHUNKS_HEALTHY));
		} else {
			rc = json_member(line, fixed[i].id, fixed[i].name, e);
		}
	}
	for (size_t i = 0; rc == 0 && i < ITEM_KEYS; i++)
		if (is_json_key(item_keys[i].id) && format_uses(format, item_keys[i].id))
			rc = json_member(line, item_keys[i].id, item_keys[i].name, e);
	for (unsigned i = 0; rc == 0 && content_hash_name(i); i++)
		if (format_uses(format, I_HASH + i))
			rc = json_member(line, I_HASH + i, content_hash_name(i), e);
	json_close(j, '}');
	return rc < 0 ? rc : buf_append_byte(&j->out, '\n') < 0 ? err_nomem(e, "list") : 0;
}

static int put_item(struct item_line *line, struct err *e)
{
	struct list *list = line->list;
	struct buf *out = list->args->json_lines ? &list->json.out : &list->out;
	int rc;

	text_mode(line->item.mode, line->mode);
	line->type[0] = line->mode[0];
	if (item_is_hardlink_slave(&line->item))
		line->mode[0] = 'h';
	rc = list->args->json_lines ? json_item(line, e)
				    : format_put(list->format, item_value, line, out, e);
	return rc == 0 && out->len >= FLUSH_BYTES ? report_flush(out, e) : rc;
}

static bool is_listed(const struct list *list, const struct item *it)
{
	if ((it->has & ITEM_PART) && !list->run->common.consider_part_files)
		return false;
	return matcher_match(list->args->matcher, it->path).included;
}

static int put_items(struct item_line *line, struct err *e)
{
	static const struct item_reader_options options = { .robust = false };
	CLEANUP(item_reader_closep) struct item_reader *items = NULL;
	struct list *list = line->list;
	int rc = item_reader_open(&items, list->reader, line->archive, &options, e);

	while (rc >= 0 && (rc = item_reader_next(items, &line->item, e)) > 0) {
		if (is_listed(list, &line->item))
			rc = put_item(line, e);
	}
	if (rc < 0)
		return rc;
	return report_flush(list->args->json_lines ? &list->json.out : &list->out, e);
}

static int compile_item_format(struct list *list)
{
	const char *text = list->args->format  ? list->args->format
			   : list->args->brief ? "{path}{NL}"
					       : ITEM_FORMAT;
	struct format_key keys[ITEM_KEYS + HASHES_MAX];
	size_t count = ITEM_KEYS;

	memcpy(keys, item_keys, sizeof(item_keys));
	for (unsigned i = 0; content_hash_name(i); i++)
		keys[count++] = (struct format_key){ content_hash_name(i), I_HASH + i };
	return format_compile(&list->format, text, keys, count, list->e);
}

static int list_archive(struct list *list)
{
	CLEANUP(archive_freep) struct archive *a = NULL;
	struct item_line line = { .list = list };
	int rc;

	if (list->args->json)
		return err_set_id(list->e, EINVAL, "CommandError",
				  "The --json option is only valid for listing archives, not "
				  "archive contents.");
	rc = report_load_archive(&a, list->reader, list->manifest, list->args->where.archive,
				 list->e);
	if (rc == 0)
		rc = compile_item_format(list);
	if (rc < 0)
		return rc;
	list->json.indent = -1;
	line.archive = a;
	rc = put_items(&line, list->e);
	stream_close(line.content);
	references_close(line.all);
	buf_fini(&line.text);
	for (size_t i = 0; i < HASHES_MAX; i++)
		content_hash_free(line.hashes[i]);
	return rc;
}

static int run_list(struct run *run, void *arg, struct err *e)
{
	struct list_args *args = arg;
	CLEANUP(reader_closep) struct reader *reader = NULL;
	struct list list = { .run = run, .args = args, .e = e };
	int rc = matcher_complete(&args->matcher, &args->paths, e);

	if (rc == 0)
		rc = run_open_reader(run, &reader, &args->where, e);
	if (rc < 0)
		return rc;
	list.reader = reader;
	list.manifest = reader_manifest(reader);
	rc = args->where.archive ? list_archive(&list) : list_repository(&list);
	format_free(list.format);
	buf_fini(&list.out);
	buf_fini(&list.json.out);
	reader_manifest_unref(reader, list.manifest);
	return rc;
}

static void list_args_fini(void *arg)
{
	struct list_args *args = arg;

	location_fini(&args->where);
	filter_fini(&args->filter);
	matcher_free(args->matcher);
}

#define LIST(member) .offset = offsetof(struct list_args, member)

static const struct arg_option list_options[] = {
	{ .name = "consider-checkpoints",
	  .kind = ARG_FLAG,
	  LIST(filter.consider_checkpoints),
	  .help = "Show checkpoint archives in the repository contents list (default: "
		  "hidden)." },
	{ .name = "short",
	  .kind = ARG_FLAG,
	  LIST(brief),
	  .help = "only print file/directory names, nothing else" },
	{ .name = "format",
	  .kind = ARG_VALUE,
	  LIST(format),
	  .metavar = "FORMAT",
	  .help = "specify format for file or archive listing (default for files: "
		  "\"" ITEM_FORMAT "\"; for archives: \"" ARCHIVE_FORMAT "\")" },
	{ .name = "json",
	  .kind = ARG_FLAG,
	  LIST(json),
	  .help = "Only valid for listing repository contents. Format output as JSON." },
	{ .name = "json-lines",
	  .kind = ARG_FLAG,
	  LIST(json_lines),
	  .help = "Only valid for listing archive contents. Format output as JSON Lines." },
	ARCHIVE_FILTER_OPTIONS(struct list_args, filter),
	EXCLUSION_OPTIONS(struct list_args, matcher),
};

static const struct arg_positional list_positionals[] = {
	{ "REPOSITORY_OR_ARCHIVE", ARG_OPTIONAL, offsetof(struct list_args, where),
	  arg_location, "repository or archive to list contents of" },
	{ "PATH", ARG_ANY, offsetof(struct list_args, paths), NULL,
	  "paths to list; patterns are supported" },
};

const struct command command_list = {
	.name = "list",
	.summary = "list archive or repository contents",
	.description =
		"This command lists the contents of a repository or an archive.\n\n"
		"--format takes Python's format fields: {key}, {key:spec} with fill, align "
		"and\n"
		"width.  Keys everywhere: NEWLINE NL NUL SPACE TAB CR LF.\n\n"
		"Keys of archives: archive name barchive id start time end comment bcomment\n"
		"command_line hostname username tam.\n\n"
		"Keys of items: type mode uid gid user group path bpath source linktarget "
		"extra\n"
		"flags size csize dsize dcsize num_chunks unique_chunks mtime ctime atime\n"
		"isomtime isoctime isoatime health archiveid archivename xxh64 md5 sha1 "
		"sha224\n"
		"sha256 sha384 sha512 sha3_224 sha3_256 sha3_384 sha3_512 blake2b blake2s.\n",
	COMMAND_OPTIONS(list_options),
	COMMAND_POSITIONALS(list_positionals),
	.args_size = sizeof(struct list_args),
	.args_fini = list_args_fini,
	.flags = COMMAND_BYPASS_LOCK,
	.run = run_list,
};
