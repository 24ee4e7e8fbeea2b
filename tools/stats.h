#ifndef TOOLS_STATS_H
#define TOOLS_STATS_H

/*
 * stats.h - what `--stats` shows behind a command that changed a repository.
 *
 * Source: command-line specification, 13.2.3 and 14.3.  Threads: no state.
 */

#include "core/archive/session.h"
#include "tools/json_out.h"

struct stats_all {            /* of the repository */
	uint64_t size, csize; /* sums of what the archives say of their content */
	struct chunk_totals chunks;
};

/* Add what one archive says of its content. */
int stats_content(struct chunk_index *index, const struct chunk_id *archive,
		  struct stats_all *out, struct err *e);
int stats_collect(struct session *s, struct stats_all *out, struct err *e);

/* One line, to the logger of statistics. */
void stats_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void stats_rule(void);
/* The table: a line of its own, negative where something was deleted, and the repository's. */
struct stats_row {
	const char *label;
	int64_t size, csize, unique_csize;
};
void stats_table(const struct stats_row *row, const struct stats_all *all, bool iec);
/* "cache": {...} */
int stats_json_cache(struct json_out *j, struct reader *r, const struct stats_all *all,
		     struct err *e);

#endif
