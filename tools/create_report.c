/* create_report.c - what `create --stats` and `--json` print; see create_args.h. */

#include "tools/create_args.h"

int create_report(struct run *run, const struct create_args *args, struct session *s,
		  const struct archive_writer *w, const struct chunk_id *id, struct err *e)
{
	(void)run;
	(void)args;
	(void)s;
	(void)w;
	(void)id;
	(void)e;
	return 0;
}
