/*
 * test_item.c - item_parse() takes what any version of Borg stored and refuses the rest.
 *
 * Method: records packed by hand.  Each row is the text of some packed keys and values, put
 * behind a map head; what must come back is in the checks.  Every record is also cut at every byte.
 */

#include "tests/support/tap.h"

#include <sys/stat.h>

#include "core/archive/item.h"

/* Packed pieces. */
#define PATH                                                                                   \
	"\xa4path\xa1"                                                                         \
	"f"
#define MTIME "\xa5mtime\x07"
#define REG   "\xa4mode\xcd\x81\xa4"
#define DIR_  "\xa4mode\xcd\x41\xed"
#define ID                                                                                     \
	"\xda\x00\x20"                                                                         \
	"0123456789abcdef0123456789abcdef"
#define ENTRY "\x93" ID "\x05\x09"
#define CHUNKS                                                                                 \
	"\xa6"                                                                                 \
	"chunks\x92" ENTRY ENTRY

static int parse(const void *p, size_t len, struct arena *arena, struct item *it, struct mp *m)
{
	struct err e = ERR_INIT;
	int rc;

	*m = mp_read((struct bytes){ p, len });
	rc = item_parse(m, arena, it, &e);
	assert_true(rc < 0 ? e.code == -rc : e.code == 0);
	return rc;
}

static void plain_file(const struct item *it)
{
	assert_true(bytes_is(it->path, "f"));
	assert_int_equal(it->mtime_ns, 7);
	assert_int_equal(it->atime_ns, 7);
	assert_int_equal(it->chunk_count, 2);
	assert_memory_equal(it->chunks[1].id.b, "0123456789abcdef", 16);
	assert_int_equal(it->chunks[1].size, 5);
	assert_int_equal(it->chunks[1].csize, 9);
	assert_int_equal(it->size, 10); /* records of 1.0 have no size */
	assert_true(it->hardlink_master);
	assert_int_equal(it->has, ITEM_CHUNKS);
}

static void directory(const struct item *it)
{
	assert_false(it->hardlink_master);
	assert_false(item_is_hardlink_slave(it));
}

static void hardlink_slave(const struct item *it)
{
	assert_true(item_is_hardlink_slave(it));
	assert_false(it->hardlink_master);
}

static void symlink_(const struct item *it)
{
	assert_false(item_is_hardlink_slave(it));
	assert_true(bytes_is(it->source, "t"));
}

static void wide_times(const struct item *it)
{
	assert_true(it->atime_ns == INT64_MAX);
	assert_true(it->ctime_ns == -2);
	assert_true(it->birthtime_ns == INT64_MAX);
}

static void odd_owners(const struct item *it)
{
	assert_int_equal(it->uid, 0);
	assert_int_equal(it->gid, 4294967294U);
	assert_false(it->has & (ITEM_USER | ITEM_GROUP));
}

static void xattrs(const struct item *it)
{
	assert_int_equal(it->xattr_count, 2);
	assert_true(bytes_is(it->xattrs[0].name, "a"));
	assert_int_equal(it->xattrs[0].value.len, 0);
	assert_true(bytes_is(it->xattrs[1].value, "v"));
}

static void healthy(const struct item *it)
{
	assert_true(it->has & ITEM_CHUNKS_HEALTHY);
	assert_int_equal(it->chunk_count, 2);
}

static void stored_size(const struct item *it)
{
	assert_int_equal(it->size, 3);
	assert_int_equal(it->chunks_size, 10);
	assert_false(it->hardlink_master);
	assert_int_equal(it->part, 2);
}

#define ROW(name, record, want, check)                                                         \
	{                                                                                      \
		name, record, sizeof(record) - 1, want, check                                  \
	}

static const struct row {
	const char *name;
	const char *record;
	size_t len;
	int want;
	void (*check)(const struct item *it);
} rows[] = {
	ROW("file of 1.0", "\x84" PATH MTIME REG CHUNKS, 1, plain_file),
	ROW("keys in any order, unknown ones, attic's acl",
	    "\x87" CHUNKS "\xa3"
	    "acl\x81\xa1x\x90" REG "\xa3new\xc3"
	    "\xa6"
	    "source\xc0" MTIME PATH,
	    1, plain_file),
	ROW("directory", "\x83" PATH MTIME DIR_, 1, directory),
	ROW("hard link", "\x84" PATH MTIME REG "\xa6source\xa1t", 1, hardlink_slave),
	ROW("symlink",
	    "\x84" PATH MTIME "\xa4mode\xcd\xa1\xff"
	    "\xa6source\xa1t",
	    1, symlink_),
	ROW("times beyond 63 bits",
	    "\x85" PATH MTIME "\xa5"
	    "atime\xcf\xff\xff\xff\xff\xff\xff\xff\xff"
	    "\xa5"
	    "ctime\xa9\xfe\xff\xff\xff\xff\xff\xff\xff\xff"
	    "\xa9"
	    "birthtime\xa9\x00\x00\x00\x00\x00\x00\x00\x80\x00",
	    1, wide_times),
	ROW("negative uid, nil names",
	    "\x86" PATH MTIME "\xa3uid\xff"
	    "\xa3gid\xce\xff\xff\xff\xfe"
	    "\xa4user\xc0"
	    "\xa5group\xc0",
	    1, odd_owners),
	ROW("xattrs, nil is empty",
	    "\x83" PATH MTIME "\xa6xattrs\x82\xa1"
	    "a\xc0\xa1"
	    "b\xa1v",
	    1, xattrs),
	ROW("repaired file",
	    "\x84" PATH MTIME CHUNKS "\xae"
	    "chunks_healthy\x91" ENTRY,
	    1, healthy),
	ROW("size, part, no master",
	    "\x86" PATH MTIME CHUNKS "\xa4size\x03"
	    "\xa4part\x02"
	    "\xaf"
	    "hardlink_master\xc2",
	    1, stored_size),
	ROW("no path", "\x82" MTIME REG, -EBADMSG, NULL),
	ROW("no mtime", "\x82" PATH REG, -EBADMSG, NULL),
	ROW("path is a number", "\x82" MTIME "\xa4path\x01", -EBADMSG, NULL),
	ROW("time in a short byte string", "\x82" PATH "\xa5mtime\xa2\x01\x02", -EBADMSG, NULL),
	ROW("id of 31 bytes",
	    "\x83" PATH MTIME "\xa6"
	    "chunks\x91\x93\xbf"
	    "0123456789abcdef0123456789abcde"
	    "\x05\x09\x00\x00",
	    -EBADMSG, NULL),
	ROW("chunk of four fields",
	    "\x83" PATH MTIME "\xa6"
	    "chunks\x91\x94" ID "\x05\x09\x01",
	    -EBADMSG, NULL),
	ROW("chunk of negative size",
	    "\x83" PATH MTIME "\xa6"
	    "chunks\x91\x93" ID "\xff\x09",
	    -EBADMSG, NULL),
	ROW("chunk larger than 32 bits",
	    "\x83" PATH MTIME "\xa6"
	    "chunks\x91\x93" ID "\xcf\x00\x00\x00\x01\x00\x00\x00\x00\x09",
	    -EBADMSG, NULL),
	ROW("more chunks than bytes",
	    "\x83" PATH MTIME "\xa6"
	    "chunks\xdd\x00\x00\x00\x02" ENTRY,
	    0, NULL),
	ROW("not a map", "\x93\x01\x02\x03", -EBADMSG, NULL),
};

static void parse_one(const void *arg)
{
	const struct row *row = arg;
	struct arena arena = ARENA_INIT;
	struct item it;
	struct mp m;

	assert_int_equal(parse(row->record, row->len, &arena, &it, &m), row->want);
	if (row->check)
		row->check(&it);
	if (row->want == 1)
		assert_ptr_equal(m.p, m.end);
	for (size_t len = 0; row->want == 1 && len < row->len; len++) {
		/* A copy of its own, so that a sanitizer sees each byte read too many. */
		uint8_t *cut = malloc(len ? len : 1);

		memcpy(cut, row->record, len);
		assert_int_equal(parse(cut, len, &arena, &it, &m), 0);
		free(cut);
	}
	assert_true(arena.total < 64 * 1024);
	arena_fini(&arena);
}

int main(void)
{
	return run_table(rows, parse_one);
}
