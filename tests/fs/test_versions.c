/*
 * test_versions.c - the names of the versions view, archive by archive.
 *
 * Each row is one item; rows run in order against one view, so that a row sees the history of
 * those above it.  The names expected are those that Borg 1.2's mount shows.
 */

#include "tests/support/tap.h"

#include "fs/versions.h"

#include <stdio.h>
#include <sys/stat.h>

static const struct row {
	const char *name;
	bool next_archive;
	const char *path, *source; /* source: of a hard link */
	uint32_t mode;
	uint8_t content; /* first byte of the only chunk id; 0: no chunk list */
	const char *shown, *shown_source;
} rows[] = {
	{ "a directory stays", true, "d", NULL, S_IFDIR, 0, "d", NULL },
	{ "first content", false, "d/plan.txt", NULL, S_IFREG, 1, "d/plan.txt/plan.00001.txt",
	  NULL },
	{ "no extension", false, "d/test", NULL, S_IFREG, 1, "d/test/test.00001", NULL },
	{ "two extensions", false, "x.tar.gz", NULL, S_IFREG, 1, "x.tar.gz/x.tar.00001.gz",
	  NULL },
	{ "a hidden file", false, ".rc", NULL, S_IFREG, 1, ".rc/.rc.00001", NULL },
	{ "hidden with extension", false, "..a.b", NULL, S_IFREG, 1, "..a.b/..a.00001.b",
	  NULL },
	{ "a dot in the folder", false, "v1.2/f", NULL, S_IFREG, 1, "v1.2/f/f.00001", NULL },
	{ "a symlink", false, "d/ln", NULL, S_IFLNK, 0, "d/ln/ln", NULL },
	{ "a hard link", false, "d/two.c", "d/plan.txt", S_IFREG, 0, "d/two.c/two.00001.c",
	  "d/plan.txt/plan.00001.txt" },
	{ "a fifo", false, "d/p.x", NULL, S_IFIFO, 0, "d/p.x/p.x", NULL },
	{ "a link to the fifo", false, "d/q.x", "d/p.x", S_IFIFO, 0, "d/q.x/q.x", "d/p.x/p.x" },
	{ "a link to nothing", false, "d/gone", "d/nowhere", S_IFREG, 0, NULL, NULL },
	{ "unchanged in the next", true, "d/plan.txt", NULL, S_IFREG, 1,
	  "d/plan.txt/plan.00001.txt", NULL },
	{ "the target is of this archive", false, "d/three", "d/test", S_IFREG, 0, NULL, NULL },
	{ "changed", true, "d/plan.txt", NULL, S_IFREG, 2, "d/plan.txt/plan.00002.txt", NULL },
	{ "its link has a history of its own", false, "d/two.c", "d/plan.txt", S_IFREG, 0,
	  "d/two.c/two.00002.c", "d/plan.txt/plan.00002.txt" },
	{ "a new link to it", false, "d/new.c", "d/plan.txt", S_IFREG, 0, "d/new.c/new.00001.c",
	  "d/plan.txt/plan.00002.txt" },
	{ "changed back is another version", true, "d/plan.txt", NULL, S_IFREG, 1,
	  "d/plan.txt/plan.00003.txt", NULL },
};

static struct versions *view;

static void show(const void *arg)
{
	const struct row *row = arg;
	struct item_chunk chunk = { .id = { { row->content } }, .size = 1 };
	struct item in = { .path = bytes_str(row->path), .mode = row->mode | 0644 }, out;
	struct err e = ERR_INIT;

	if (row->content)
		in.has |= ITEM_CHUNKS, in.chunks = &chunk, in.chunk_count = 1;
	if (row->source)
		in.has |= ITEM_SOURCE, in.source = bytes_str(row->source);
	else if (!S_ISDIR(row->mode) && !S_ISLNK(row->mode))
		in.has |= ITEM_HARDLINK_MASTER, in.hardlink_master = true;
	if (row->next_archive)
		versions_next_archive(view);
	assert_int_equal(versions_map(view, &in, &out, &e), row->shown ? 1 : 0);
	if (!row->shown)
		return;
	assert_int_equal(out.path.len, strlen(row->shown));
	assert_memory_equal(out.path.p, row->shown, out.path.len);
	if (row->shown_source)
		assert_true(bytes_is(out.source, row->shown_source));
}

int main(void)
{
	int rc;

	view = versions_new();
	rc = run_table(rows, show);
	versions_free(view);
	return rc;
}
