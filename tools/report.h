#ifndef TOOLS_REPORT_H
#define TOOLS_REPORT_H

/* report.h - the parts that several commands print: JSON's repository and encryption objects,
 * archive times.  Source: command-line specification, 10.2 and 14. */

#include "core/archive/archive.h"
#include "core/archive/reader.h"
#include "tools/json_out.h"

/* An archive's time loses its fraction when Borg makes it local. */
int64_t report_archive_time(int64_t ns);
void report_json_time(struct json_out *j, int64_t ns); /* an item's: with microseconds */

/* "encryption": {...} and "repository": {...} */
int report_json_encryption(struct json_out *j, struct reader *r, struct err *e);
void report_json_repository(struct json_out *j, struct reader *r, const struct manifest *m);
void report_json_command_line(struct json_out *j, const struct archive *a);
/* The words, quoted for a shell. */
int report_command_line(const struct archive *a, struct buf *out);

/* Append "NAME  TIME [ID]" as lists of archives show it; 0 or -ENOMEM. */
int report_archive_line(const struct manifest_entry *entry, struct buf *out);

/* A line of --list with --log-json, on standard error. */
void report_file_status(char letter, struct bytes path);

/* Write to standard output and empty the buffer; a broken pipe is no error. */
int report_flush(struct buf *out, struct err *e);
/* The archive of this name; Archive.DoesNotExist. */
int report_load_archive(struct archive **out, struct reader *r, const struct manifest *m,
			const char *name, struct err *e);

#endif
