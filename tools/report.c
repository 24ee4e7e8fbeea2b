/* report.c - see report.h. */

#include "tools/report.h"

#include "core/base/cleanup.h"
#include "core/store/keyring.h"
#include "tools/strftime.h"
#include "tools/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int64_t report_archive_time(int64_t ns)
{
	int64_t rest = ns % 1000000000;

	return ns - (rest < 0 ? rest + 1000000000 : rest);
}

void report_json_time(struct json_out *j, int64_t ns)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;

	if (time_iso(ns, &text) < 0)
		j->failed = true;
	json_text(j, buf_bytes(&text));
}

int report_json_encryption(struct json_out *j, struct reader *r, struct err *e)
{
	CLEANUP(cleanup_freep) char *file = NULL;

	json_key(j, "encryption");
	json_open(j, '{');
	if (r->key->traits->store == KEY_IN_FILE) {
		int rc = keyring_find_file(r->repo, &file, e);

		if (rc < 0)
			return rc;
		json_key(j, "keyfile");
		json_str(j, file);
	}
	json_key(j, "mode");
	json_str(j, r->key->traits->argument);
	json_close(j, '}');
	return 0;
}

void report_json_repository(struct json_out *j, struct reader *r, const struct manifest *m)
{
	char id[CHUNK_ID_HEX];
	int64_t modified = 0;

	json_key(j, "repository");
	json_open(j, '{');
	json_key(j, "id");
	json_str(j, id_hex(&repo_config(r->repo)->id, id));
	json_key(j, "last_modified");
	if (m->timestamp)
		(void)manifest_parse_time(bytes_str(m->timestamp), &modified);
	report_json_time(j, report_archive_time(modified));
	json_key(j, "location");
	json_str(j, repo_canonical(r->repo));
	json_close(j, '}');
}

void report_json_command_line(struct json_out *j, const struct archive *a)
{
	json_open(j, '[');
	for (size_t i = 0; i < a->cmdline_count; i++)
		json_text(j, a->cmdline[i]);
	json_close(j, ']');
}

int report_command_line(const struct archive *a, struct buf *out)
{
	for (size_t i = 0; i < a->cmdline_count; i++) {
		if ((i && buf_append_byte(out, ' ') < 0) ||
		    text_shell_quote(a->cmdline[i], out) < 0)
			return -ENOMEM;
	}
	return 0;
}

int report_flush(struct buf *out, struct err *e)
{
	size_t written = out->len ? fwrite(out->p, 1, out->len, stdout) : 0;
	bool whole = written == out->len;

	out->len = 0;
	if (whole || errno == EPIPE)
		return 0;
	return err_set(e, errno, "cannot write to standard output: %s", strerror(errno));
}

int report_load_archive(struct archive **out, struct reader *r, const struct manifest *m,
			const char *name, struct err *e)
{
	const struct manifest_entry *entry = manifest_find(m, bytes_str(name));

	if (!entry)
		return err_set_id(e, ENOENT, "Archive.DoesNotExist",
				  "Archive %s does not exist", name);
	return archive_load(out, r, &entry->id, e);
}

int report_archive_line(const struct manifest_entry *entry, struct buf *out)
{
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	struct bytes name = text_clean(entry->name, &scratch);
	char id[CHUNK_ID_HEX];

	if (buf_append(out, name.p, name.len) < 0)
		return -ENOMEM;
	for (size_t n = name.len; n < 36; n++)
		if (buf_append_byte(out, ' ') < 0)
			return -ENOMEM;
	if (buf_append_byte(out, ' ') < 0 ||
	    time_text(report_archive_time(entry->time_ns), out) < 0 ||
	    buf_append_str(out, " [") < 0 || buf_append_str(out, id_hex(&entry->id, id)) < 0)
		return -ENOMEM;
	return buf_append_byte(out, ']');
}

void report_file_status(char letter, struct bytes path)
{
	struct json_out j = { .indent = -1 };
	char text[2] = { letter, 0 };

	json_open(&j, '{');
	json_key(&j, "type");
	json_str(&j, "file_status");
	json_key(&j, "status");
	json_str(&j, text);
	json_key(&j, "path");
	json_text(&j, path);
	json_close(&j, '}');
	if (buf_append_byte(&j.out, '\n') == 0)
		fwrite(j.out.p, 1, j.out.len, stderr);
	buf_fini(&j.out);
}
