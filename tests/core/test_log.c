/*
 * test_log.c - thresholds, the borg.output.* switches, and the shape of JSON lines, read back from
 * standard error.
 */

#include "tests/support/tap.h"

#include "core/base/log.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* Standard error goes to a file in memory between these two; what was written comes back. */
static int saved_stderr;

static void capture(void)
{
	int fd = memory_file("", 0);

	saved_stderr = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

static char *captured(void)
{
	static char text[4096];
	ssize_t n = pread(STDERR_FILENO, text, sizeof(text) - 1, 0);

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static const struct row {
	const char *name;
	enum log_level threshold, level;
	const char *logger;
	bool enabled, written;
} rows[] = {
	{ "warning at warning", LOG_LEVEL_WARNING, LOG_LEVEL_WARNING, "borg.archive", false,
	  true },
	{ "info at warning", LOG_LEVEL_WARNING, LOG_LEVEL_INFO, "borg.archive", false, false },
	{ "info at info", LOG_LEVEL_INFO, LOG_LEVEL_INFO, "borg.archive", false, true },
	{ "list without --list", LOG_LEVEL_INFO, LOG_LEVEL_INFO, "borg.output.list", false,
	  false },
	{ "list with --list", LOG_LEVEL_ERROR, LOG_LEVEL_INFO, "borg.output.list", true, true },
	{ "list warns always", LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, "borg.output.list", false,
	  true },
};

static void one(const void *arg)
{
	const struct row *row = arg;

	log_setup(row->threshold, false);
	log_enable("borg.output.list", row->enabled);
	capture();
	log_message(row->level, row->logger, NULL, "text %d", 1);
	assert_string_equal(captured(), row->written ? "text 1\n" : "");
}

static void json_lines(void **state)
{
	json_t *o;

	(void)state;
	log_setup(LOG_LEVEL_WARNING, true);
	capture();
	log_message(LOG_LEVEL_ERROR, "borg.archiver", "LockTimeout", "bad \xff byte \"q\"");
	o = json_loads(captured(), 0, NULL);
	assert_non_null(o);
	assert_string_equal(json_string_value(json_object_get(o, "type")), "log_message");
	assert_string_equal(json_string_value(json_object_get(o, "levelname")), "ERROR");
	assert_string_equal(json_string_value(json_object_get(o, "msgid")), "LockTimeout");
	assert_string_equal(json_string_value(json_object_get(o, "name")), "borg.archiver");
	assert_string_equal(json_string_value(json_object_get(o, "message")),
			    "bad \xef\xbf\xbd byte \"q\"");
	assert_true(json_is_real(json_object_get(o, "time")));
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_lines),
	};
	int rc = run_table(rows, one);

	return rc + cmocka_run_group_tests(tests, NULL, NULL);
}
