/* progress.c - see progress.h. */

#include "tools/progress.h"

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/log.h"
#include "tools/command.h"
#include "tools/json_out.h"
#include "tools/text.h"

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
	json_null(&j);
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
		json_null(&j);
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
