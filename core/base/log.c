/* log.c - see log.h. */

#include "core/base/log.h"

#include "core/base/bytes.h"
#include "core/base/cleanup.h"
#include "core/base/io.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum { ENABLED_MAX = 8 };

/* The one piece of mutable file-scope state in the program: the sink. */
static struct {
	enum log_level threshold;
	bool json;
	bool syslog;
	const char *enabled[ENABLED_MAX];
} sink = { .threshold = LOG_LEVEL_WARNING };

void log_setup(enum log_level threshold, bool json)
{
	sink.threshold = threshold;
	sink.json = json;
}

void log_enable(const char *logger, bool on)
{
	for (size_t i = 0; i < ENABLED_MAX; i++) {
		if (sink.enabled[i] && strcmp(sink.enabled[i], logger) == 0) {
			sink.enabled[i] = on ? logger : NULL;
			return;
		}
	}
	for (size_t i = 0; on && i < ENABLED_MAX; i++) {
		if (!sink.enabled[i]) {
			sink.enabled[i] = logger;
			return;
		}
	}
}

bool log_wants(enum log_level level, const char *logger)
{
	if (strncmp(logger, "borg.output.", 12) != 0)
		return level >= sink.threshold;
	for (size_t i = 0; i < ENABLED_MAX; i++)
		if (sink.enabled[i] && strcmp(sink.enabled[i], logger) == 0)
			return level >= LOG_LEVEL_INFO;
	return level >= LOG_LEVEL_WARNING;
}

bool log_is_json(void)
{
	return sink.json;
}

void log_to_syslog(const char *ident)
{
	openlog(ident, LOG_PID, LOG_DAEMON);
	sink.syslog = true;
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_DEBUG: return "DEBUG";
	case LOG_LEVEL_INFO: return "INFO";
	case LOG_LEVEL_WARNING: return "WARNING";
	case LOG_LEVEL_ERROR: return "ERROR";
	case LOG_LEVEL_CRITICAL: break;
	}
	return "CRITICAL";
}

static int syslog_priority(enum log_level level)
{
	if (level >= LOG_LEVEL_ERROR)
		return LOG_ERR;
	return level >= LOG_LEVEL_WARNING ? LOG_WARNING : LOG_INFO;
}

void log_raw_line(const char *line)
{
	struct buf out = BUF_INIT;

	/* One write(2), so that lines of several threads do not mix.  A broken standard
	 * error is nothing a program can report. */
	if (buf_append_str(&out, line) == 0 && buf_append_byte(&out, '\n') == 0)
		(void)write_all(STDERR_FILENO, out.p, out.len);
	buf_fini(&out);
}

/* A JSON string cannot hold bytes that are not UTF-8: they become U+FFFD. */
static json_t *json_text(const char *text)
{
	json_t *s = json_string(text);
	struct buf clean = BUF_INIT;

	if (s)
		return s;
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < 0x80)
			(void)buf_append_byte(&clean, (uint8_t)*p);
		else
			(void)buf_append_str(&clean, "\xef\xbf\xbd");
	}
	s = json_stringn((const char *)clean.p, clean.len);
	buf_fini(&clean);
	return s;
}

static void write_json(enum log_level level, const char *logger, const char *msgid,
		       const char *text)
{
	CLEANUP(cleanup_freep) char *line = NULL;
	struct timespec now;
	json_t *o = json_object();

	clock_gettime(CLOCK_REALTIME, &now);
	json_object_set_new(o, "type", json_string("log_message"));
	json_object_set_new(o, "time",
			    json_real((double)now.tv_sec + (double)now.tv_nsec / 1e9));
	json_object_set_new(o, "message", json_text(text));
	json_object_set_new(o, "levelname", json_string(level_name(level)));
	json_object_set_new(o, "name", json_string(logger));
	if (msgid)
		json_object_set_new(o, "msgid", json_string(msgid));
	line = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (line)
		log_raw_line(line);
}

void log_message(enum log_level level, const char *logger, const char *msgid, const char *fmt,
		 ...)
{
	CLEANUP(cleanup_freep) char *text = NULL;
	va_list args;
	int n;

	if (!log_wants(level, logger))
		return;
	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	if (n < 0) {
		text = NULL;
		return;
	}
	if (sink.json)
		write_json(level, logger, msgid, text);
	else
		log_raw_line(text);
	if (sink.syslog)
		syslog(syslog_priority(level), "%s", text);
}
