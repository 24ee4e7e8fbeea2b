#ifndef FS_OUTLINE_INTERNAL_H
#define FS_OUTLINE_INTERNAL_H

/* outline_internal.h - what outline.c (the plan) and outline_write.c share. */

#include "core/base/table.h"
#include "fs/outline.h"

enum {
	UNIT_NAMES = 256,    /* at most */
	SECTION_ITEMS = 512, /* about */
	SECTION_FEW = 64,    /* items: where its neighbour is written, it is too */
};

struct unit {
	uint64_t dir;             /* number of the directory */
	uint64_t path;            /* hash of its path */
	uint64_t after, last;     /* the names with cookies in (after, last] ... */
	uint32_t count;           /* ... that are no directories */
	bool head;                /* the directory's own item comes first */
	struct stage_names names; /* all of the directory's, where it is the head */
};

struct section {
	uint32_t mark;
	bool links;  /* a file with several names is in it */
	bool passed; /* the mark is another outline's now */
	size_t unit, unit_count, chunk, chunk_count;
	struct archive_totals totals;
	struct item_counts counts;
};

struct outline {
	struct stage *stage;
	struct chunk_id archive;
	uint64_t link_changes;
	struct section *sections;
	struct unit *units;
	struct item_chunk *chunks;
	size_t section_count, section_cap, unit_count, chunk_count;
};

struct planned_dir {
	size_t parent; /* in outline_plan.dirs; its own: the top */
	uint64_t number, hash;
	size_t name; /* in outline_plan.names */
	uint32_t name_len;
};

struct step { /* a unit of the tree as it is */
	struct unit unit;
	size_t dir; /* in outline_plan.dirs */
	size_t was; /* the same one in old->units, or NOT_THERE */
	bool same;
};
#define NOT_THERE SIZE_MAX

struct outline_plan {
	struct stage *stage;
	struct outline *old; /* or NULL */
	struct outline *next;
	struct buf dirs;  /* of struct planned_dir */
	struct buf steps; /* of struct step */
	struct buf names;
	bool *kept; /* by section of old */
	/* While it is made: */
	size_t cursor;      /* in old->units: where the next directory is likely to be */
	bool has_where;     /* else it was not needed yet */
	struct table where; /* directory -> its first unit in old->units */
	size_t *place;      /* by unit of old: the step that it is now, or NOT_THERE */
};

static inline struct planned_dir *plan_dirs(const struct outline_plan *p)
{
	return (struct planned_dir *)(void *)p->dirs.p;
}

static inline struct step *plan_steps(const struct outline_plan *p)
{
	return (struct step *)(void *)p->steps.p;
}

static inline size_t plan_step_count(const struct outline_plan *p)
{
	return p->steps.len / sizeof(struct step);
}

/* Does a section that is kept begin with this step?  It, or NULL. */
struct section *outline_kept_at(const struct outline_plan *p, size_t step);

#endif
