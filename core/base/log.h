#ifndef BASE_LOG_H
#define BASE_LOG_H

/*
 * log.h - the one sink for messages: text or JSON lines on standard error.
 *
 * Text is the bare message; JSON lines follow Borg's `--log-json` (command-line
 * specification, 2.4).  Loggers carry Borg's names ("borg.archive"); those whose level
 * does not follow the global one (borg.output.*) are switched with log_enable().
 *
 * Threads: any; a message is written with one write(2).  Set up before threads start.
 */

#include <stdbool.h>

enum log_level {
	LOG_LEVEL_DEBUG = 10,
	LOG_LEVEL_INFO = 20,
	LOG_LEVEL_WARNING = 30,
	LOG_LEVEL_ERROR = 40,
	LOG_LEVEL_CRITICAL = 50,
};

void log_setup(enum log_level threshold, bool json);
/* Messages of this borg.output.* logger are written from INFO up (on) or WARNING up (off). */
void log_enable(const char *logger, bool on);
bool log_wants(enum log_level level, const char *logger);
bool log_is_json(void);
/* From now on to syslog too, for a mount that has left its terminal. */
void log_to_syslog(const char *ident);

/* One message; msgid is Borg's error class or NULL. */
void log_message(enum log_level level, const char *logger, const char *msgid, const char *fmt,
		 ...) __attribute__((format(printf, 4, 5)));
/* One finished JSON object (without newline) or text line, written whole. */
void log_raw_line(const char *line);

#define log_debug(logger, ...)   log_message(LOG_LEVEL_DEBUG, logger, NULL, __VA_ARGS__)
#define log_info(logger, ...)    log_message(LOG_LEVEL_INFO, logger, NULL, __VA_ARGS__)
#define log_warning(logger, ...) log_message(LOG_LEVEL_WARNING, logger, NULL, __VA_ARGS__)
#define log_error(logger, ...)   log_message(LOG_LEVEL_ERROR, logger, NULL, __VA_ARGS__)

#endif
