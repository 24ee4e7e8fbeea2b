/*
 * shared_args.c - converters of what several commands take: locations, archive filters,
 * patterns.  Declared in command.h.
 */

#include "tools/command.h"

#include "core/archive/match.h"
#include "core/base/cleanup.h"
#include "tools/placeholders.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int expand(const char *text, char **out, struct err *e)
{
	*out = NULL;
	return text ? arg_placeholders(out, text, e) : 0;
}

int arg_location(void *field, const char *text, struct err *e)
{
	CLEANUP(cleanup_freep) char *place = NULL;
	CLEANUP(cleanup_freep) char *fallback = NULL;
	struct location parsed = { 0 };
	int rc = expand(text, &place, e);

	if (rc < 0)
		return rc;
	rc = expand(getenv("BORG_REPO"), &fallback, e);
	if (rc < 0)
		return rc;
	rc = location_parse(&parsed, place, fallback, e);
	if (rc < 0)
		return rc;
	location_fini(field);
	*(struct location *)field = parsed;
	return 0;
}

int arg_repository(void *field, const char *text, struct err *e)
{
	const struct location *parsed = field;
	int rc = arg_location(field, text, e);

	if (rc == 0 && parsed->archive)
		return err_set(e, EINVAL, "\"%s\": No archive can be specified", text);
	return rc;
}

int arg_archive(void *field, const char *text, struct err *e)
{
	const struct location *parsed = field;
	int rc = arg_location(field, text, e);

	if (rc == 0 && !parsed->archive)
		return err_set(e, EINVAL, "\"%s\": No archive specified", text);
	return rc;
}

int arg_sort_by(void *field, const char *text, struct err *e)
{
	if (select_sort_keys(text) < 0)
		return args_invalid("SortBySpec", text, e);
	*(const char **)field = text;
	return 0;
}

void filter_fini(struct select_options *filter)
{
	/* arg_placeholders() made them: ours to free, const for everybody else. */
	free((void *)(uintptr_t)filter->prefix);
	free((void *)(uintptr_t)filter->glob);
	filter->prefix = filter->glob = NULL;
}

static int with_matcher(void *field, const char *text,
			int (*add)(struct matcher *, const char *, struct err *), struct err *e)
{
	struct matcher **matcher = field;
	int rc = *matcher ? 0 : matcher_new(matcher, e);

	return rc < 0 ? rc : add(*matcher, text, e);
}

int arg_exclude(void *field, const char *text, struct err *e)
{
	int rc = with_matcher(field, text, matcher_exclude, e);

	return rc == -ENOENT ? args_invalid("parse_exclude_pattern", text, e) : rc;
}

int arg_exclude_from(void *field, const char *text, struct err *e)
{
	return with_matcher(field, text, matcher_exclude_from, e);
}

int arg_pattern(void *field, const char *text, struct err *e)
{
	return with_matcher(field, text, matcher_pattern, e);
}

int arg_patterns_from(void *field, const char *text, struct err *e)
{
	return with_matcher(field, text, matcher_patterns_from, e);
}

int arg_archive_name(void *field, const char *text, struct err *e)
{
	char *name = NULL;
	int rc = arg_placeholders(&name, text, e);

	if (rc < 0)
		return rc;
	if (*name == '\0' || strchr(name, '/') || strstr(name, "::")) {
		rc = err_set(e, EINVAL, "Invalid archive name: \"%s\"", name);
		free(name);
		return rc;
	}
	*(char **)field = name;
	return 0;
}

int matcher_complete(struct matcher **matcher, const struct arg_list *paths, struct err *e)
{
	int rc = *matcher ? 0 : matcher_new(matcher, e);

	return rc < 0 ? rc : matcher_include_paths(*matcher, paths->v, paths->count, e);
}

int run_open_reader(struct run *run, struct reader **out, const struct location *where,
		    struct err *e)
{
	struct reader_options options = { .prompt = &run->prompt };

	return reader_open(out, where, &options, e);
}

int run_open_session(struct run *run, const struct location *where,
		     enum manifest_operation operation, struct reader **reader,
		     struct session **session, struct err *e)
{
	struct session_options options = {
		.prompt = &run->prompt,
		.lock_wait = run->common.lock_wait,
		.operation = operation,
	};
	int rc = run_open_reader(run, reader, where, e);

	return rc < 0 ? rc : session_begin(session, *reader, &options, e);
}
