/* create_report.c - what `create --stats` and `--json` print; see create_args.h. */

#include "tools/create_args.h"

#include "tools/report.h"
#include "tools/stats.h"
#include "tools/strftime.h"
#include "tools/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

struct shown { /* what is shown of the archive just made */
	struct run *run;
	struct session *session;
	struct archive *archive;
	struct archive_stats stats;
	struct stats_all all;
	double duration, used;
};

static void say_time(const char *label, int64_t ns)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;

	if (time_text(report_archive_time(ns), &text) == 0)
		stats_line("%s %.*s", label, (int)text.len, (const char *)text.p);
}

static void say(const struct shown *s)
{
	CLEANUP(buf_fini) struct buf duration = BUF_INIT;
	struct stats_row row = { "This archive:", (int64_t)s->stats.size,
				 (int64_t)s->stats.csize, (int64_t)s->stats.new_csize };
	char id[CHUNK_ID_HEX];

	stats_rule();
	stats_line("Repository: %s", repo_canonical(s->session->reader->repo));
	stats_line("Archive name: %.*s", (int)s->archive->name.len,
		   (const char *)s->archive->name.p);
	stats_line("Archive fingerprint: %s", id_hex(&s->archive->id, id));
	say_time("Time (start):", s->archive->time_ns);
	say_time("Time (end):  ", s->archive->time_end_ns);
	if (text_duration(s->duration, &duration) == 0)
		stats_line("Duration: %.*s", (int)duration.len, (const char *)duration.p);
	stats_line("Number of files: %" PRIu64, s->stats.nfiles);
	stats_line("Utilization of max. archive size: %.0f%%", s->used * 100);
	stats_rule();
	stats_table(&row, &s->all, s->run->common.iec);
	stats_rule();
}

static void json_stat(struct json_out *j, const char *key, uint64_t value)
{
	json_key(j, key);
	json_uint(j, value);
}

static void json_archive(struct json_out *j, const struct shown *s)
{
	char id[CHUNK_ID_HEX];

	json_key(j, "archive");
	json_open(j, '{');
	json_key(j, "command_line");
	report_json_command_line(j, s->archive);
	json_key(j, "duration");
	json_double(j, s->duration);
	json_key(j, "end");
	report_json_time(j, report_archive_time(s->archive->time_end_ns));
	json_key(j, "id");
	json_str(j, id_hex(&s->archive->id, id));
	json_key(j, "limits");
	json_open(j, '{');
	json_key(j, "max_archive_size");
	json_double(j, s->used);
	json_close(j, '}');
	json_key(j, "name");
	json_text(j, s->archive->name);
	json_key(j, "start");
	report_json_time(j, report_archive_time(s->archive->time_ns));
	json_key(j, "stats");
	json_open(j, '{');
	json_stat(j, "compressed_size", s->stats.csize);
	json_stat(j, "deduplicated_size", s->stats.new_csize);
	json_stat(j, "nfiles", s->stats.nfiles);
	json_stat(j, "original_size", s->stats.size);
	json_close(j, '}');
	json_close(j, '}');
}

static int print_json(const struct shown *s, struct err *e)
{
	struct json_out j = { .indent = 4 };
	struct manifest *m = reader_manifest(s->session->reader);
	int rc;

	json_open(&j, '{');
	json_archive(&j, s);
	rc = stats_json_cache(&j, s->session->reader, &s->all, e);
	if (rc == 0)
		rc = report_json_encryption(&j, s->session->reader, e);
	report_json_repository(&j, s->session->reader, m);
	json_close(&j, '}');
	reader_manifest_unref(s->session->reader, m);
	if (rc == 0 && (j.failed || buf_append_byte(&j.out, '\n') < 0))
		rc = err_nomem(e, "JSON");
	if (rc == 0)
		rc = report_flush(&j.out, e);
	buf_fini(&j.out);
	return rc;
}

int create_report(struct run *run, const struct create_args *args, struct session *session,
		  const struct archive_writer *w, const struct chunk_id *id, struct err *e)
{
	CLEANUP(archive_freep) struct archive *archive = NULL;
	struct shown s = { .run = run, .session = session };
	uint32_t object;
	int rc;

	if (!args->stats && !args->json)
		return 0;
	rc = archive_load(&archive, session->reader, id, e);
	if (rc == 0)
		rc = stats_collect(session, &s.all, e);
	if (rc == 0)
		rc = repo_object_size(session->reader->repo, id, &object, e);
	if (rc < 0)
		return rc;
	s.archive = archive;
	archive_writer_stats(w, &s.stats);
	s.duration = (double)((archive->time_end_ns - archive->time_ns) / 1000) / 1e6;
	s.used = (double)object / OBJECT_DATA_MAX;
	if (args->json)
		return print_json(&s, e);
	say(&s);
	return 0;
}
