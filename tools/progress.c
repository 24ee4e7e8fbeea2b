/* progress.c - see progress.h. */

#include "tools/progress.h"

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/size_text.h"
#include "tools/command.h"
#include "tools/json_out.h"
#include "tools/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

bool progress_wanted(void)
{
	return log_wants(LOG_LEVEL_INFO, "borg.output.progress");
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* One line, padded or cut to the terminal, that the next one overwrites. */
static void write_text(const char *text)
{
	CLEANUP(cleanup_freep) char *line = NULL;
	int columns = (int)run_columns() - 1;

	if (!isatty(STDERR_FILENO))
		columns = 0;
	if (asprintf(&line, "%-*s\r", columns, text) < 0)
		line = NULL;
	if (line)
		(void)write_all(STDERR_FILENO, line, strlen(line));
}

static void write_json(struct json_out *j)
{
	if (buf_append_byte(&j->out, 0) == 0 && !j->failed)
		log_raw_line((const char *)j->out.p);
	buf_fini(&j->out);
}

static void json_tail(struct json_out *j, const char *msgid, const char *type, int operation,
		      bool finished)
{
	json_key(j, "operation");
	json_int(j, operation);
	json_key(j, "msgid");
	json_str(j, msgid);
	json_key(j, "type");
	json_str(j, type);
	json_key(j, "finished");
	json_bool(j, finished);
	json_key(j, "time");
	json_double(j, now());
	json_close(j, '}');
}

void progress_message(const char *msgid, const char *text, int operation)
{
	struct json_out j = { .indent = -1 };

	if (!progress_wanted())
		return;
	if (!log_is_json()) {
		write_text(text);
		return;
	}
	json_open(&j, '{');
	json_key(&j, "message");
	json_str(&j, text);
	json_key(&j, "current");
	json_int(&j, 0);
	json_key(&j, "total");
	json_int(&j, 0);
	json_key(&j, "info");
	json_nil(&j);
	json_tail(&j, msgid, "progress_percent", operation, false);
	write_json(&j);
}

static void show_json(const struct progress *p, const char *message, uint64_t current,
		      struct bytes path)
{
	struct json_out j = { .indent = -1 };

	json_open(&j, '{');
	json_key(&j, "message");
	json_str(&j, message);
	json_key(&j, "current");
	json_uint(&j, current);
	json_key(&j, "total");
	json_uint(&j, p->total);
	json_key(&j, "info");
	if (p->one_name || !path.p) {
		json_nil(&j);
	} else {
		json_open(&j, '[');
		json_text(&j, path);
		json_close(&j, ']');
	}
	json_tail(&j, p->msgid, "progress_percent", p->operation, false);
	write_json(&j);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* p->format is a literal of the caller */
static int print(char **out, const struct progress *p, double percent, struct bytes path)
{
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	CLEANUP(cleanup_freep) char *text = bytes_dup(text_clean(path, &scratch));

	return asprintf(out, p->format, percent, text ? text : "");
}
#pragma GCC diagnostic pop

void progress_show(struct progress *p, uint64_t before, uint64_t more, struct bytes name)
{
	CLEANUP(cleanup_freep) char *message = NULL;
	double percent = p->total ? 100.0 * (double)before / (double)p->total : 100.0;

	if (!progress_wanted() || percent < p->trigger)
		return;
	p->trigger += p->step;
	if (print(&message, p, percent, name) < 0) {
		message = NULL;
		return;
	}
	if (log_is_json())
		show_json(p, message, before + more, name);
	else
		write_text(message);
}

void progress_finish(struct progress *p)
{
	struct json_out j = { .indent = -1 };

	if (!progress_wanted())
		return;
	if (!log_is_json()) {
		write_text("");
		return;
	}
	json_open(&j, '{');
	json_tail(&j, p->msgid, "progress_percent", p->operation, true);
	write_json(&j);
}

/* --- an archive in the making --- */

enum { NUMBERS_MIN = 12, PATH_MIN = 8 /* columns left for a path */ };

static void archive_json(const struct progress_archive *p, const char *path)
{
	struct json_out j = { .indent = -1 };

	json_open(&j, '{');
	if (path) {
		json_key(&j, "original_size");
		json_uint(&j, p->size);
		json_key(&j, "compressed_size");
		json_uint(&j, p->csize);
		json_key(&j, "deduplicated_size");
		json_uint(&j, p->new_csize);
		json_key(&j, "nfiles");
		json_uint(&j, p->nfiles);
		json_key(&j, "path");
		json_text(&j, bytes_str(path));
	}
	json_key(&j, "time");
	json_double(&j, now());
	json_key(&j, "type");
	json_str(&j, "archive_progress");
	json_key(&j, "finished");
	json_bool(&j, path == NULL);
	json_close(&j, '}');
	write_json(&j);
}

/* The middle of a path that is too long is left out. */
static int shorten(struct bytes path, size_t room, struct buf *out)
{
	size_t head, tail;

	if (path.len <= room)
		return buf_append(out, path.p, path.len);
	head = (room - 3) / 2;
	tail = room - 3 - head;
	if (buf_append(out, path.p, head) < 0 || buf_append_str(out, "...") < 0)
		return -ENOMEM;
	return buf_append(out, path.p + path.len - tail, tail);
}

static void archive_text(const struct progress_archive *p, const char *path)
{
	CLEANUP(buf_fini) struct buf line = BUF_INIT;
	CLEANUP(buf_fini) struct buf scratch = BUF_INIT;
	struct bytes shown = text_clean(bytes_str(path), &scratch);
	char numbers[128], a[SIZE_TEXT], b[SIZE_TEXT], c[SIZE_TEXT];
	size_t columns = run_columns(), room;
	int n = snprintf(numbers, sizeof(numbers), "%s O %s C %s D %" PRIu64 " N ",
			 size_text(p->size, false, a), size_text(p->csize, false, b),
			 size_text(p->new_csize, false, c), p->nfiles);

	if ((size_t)n + NUMBERS_MIN > columns)
		n = 0;
	room = columns - (size_t)n;
	if (buf_append(&line, numbers, (size_t)n) < 0 ||
	    (room >= PATH_MIN && shorten(shown, room, &line) < 0) ||
	    buf_append_byte(&line, 0) < 0)
		return;
	write_text((const char *)line.p);
}

void progress_archive(struct progress_archive *p, const char *path)
{
	if (!progress_wanted() || (path && now() - p->shown < 0.2))
		return;
	p->shown = now();
	if (log_is_json())
		archive_json(p, path);
	else if (path)
		archive_text(p, path);
	else
		write_text("");
}
