/*
 * test_attr.c - a node as stat(2) shows it: owners by policy, modes under the umask, times on both
 * sides of 1970, blocks; and flags as lsattr(1) reads them.
 */

#include "tests/support/tap.h"

#include "fs/attr.h"

#include <linux/fs.h>

enum {
	NOBODY = 7,
	NAMED = 0,
	UNNAMED = 1
}; /* names of the tree: 0 is user 1234 here, 1 is not here */

static uint32_t uids[] = { 1234, UINT32_MAX }, gids[] = { 4321, UINT32_MAX };

static const struct row {
	const char *name;
	struct attr_policy policy;
	bool with_names;
	uint32_t user, uid;
	uint32_t want_uid, want_gid;
} owner_rows[] = {
	{ "by name", { 0 }, true, NAMED, 1, 1234, 4321 },
	{ "a name that is not here", { 0 }, true, UNNAMED, 5, 5, 5 },
	{ "no name", { 0 }, true, UINT32_MAX, 6, 6, 6 },
	{ "a name beyond the table", { 0 }, true, NOBODY, 8, 8, 8 },
	{ "numbers only", { .numeric_ids = true }, false, NAMED, 1, 1, 1 },
	{ "forced user", { .force_uid = true, .uid = 99 }, true, NAMED, 1, 99, 4321 },
	{ "forced group", { .force_gid = true, .gid = 98 }, true, NAMED, 1, 1234, 98 },
	{ "the largest number", { 0 }, true, UINT32_MAX, 4294967294, 4294967294, 4294967294 },
};

static void owner(const void *arg)
{
	const struct row *row = arg;
	struct attr_owners owners = { uids, gids, row->with_names ? 2 : 0 };
	struct tree_node node = {
		.user = row->user, .group = row->user, .uid = row->uid, .gid = row->uid
	};
	struct stat st;

	attr_stat(&row->policy, &owners, &node, 1, &st);
	assert_int_equal(st.st_uid, row->want_uid);
	assert_int_equal(st.st_gid, row->want_gid);
}

static const struct time_row {
	const char *name;
	int64_t ns;
	long sec, nsec;
} time_rows[] = {
	{ "the epoch", 0, 0, 0 },
	{ "after it", 1600000026123456789, 1600000026, 123456789 },
	{ "just before it", -1, -1, 999999999 },
	{ "a whole second before it", -1000000000, -1, 0 },
	{ "1901", -2147483648000000001, -2147483649, 999999999 },
	{ "the last that fits", INT64_MAX, 9223372036, 854775807 },
	{ "the first that fits", INT64_MIN, -9223372037, 145224192 },
};

static void moment(const void *arg)
{
	const struct time_row *row = arg;
	struct tree_node node = { .mtime_ns = row->ns,
				  .atime_ns = row->ns,
				  .ctime_ns = row->ns };
	struct stat st;

	attr_stat(&(struct attr_policy){ 0 }, &(struct attr_owners){ 0 }, &node, 1, &st);
	assert_int_equal(st.st_mtim.tv_sec, row->sec);
	assert_int_equal(st.st_mtim.tv_nsec, row->nsec);
	assert_int_equal(st.st_atim.tv_sec, row->sec);
	assert_int_equal(st.st_ctim.tv_nsec, row->nsec);
}

static const struct block_row {
	const char *name;
	uint64_t size;
	int64_t blocks;
} block_rows[] = {
	{ "empty", 0, 0 },
	{ "a byte", 1, 1 },
	{ "a block", 512, 1 },
	{ "a byte more", 513, 2 },
	{ "over 4 GiB", 5000000000, 9765625 },
};

static void blocks(const void *arg)
{
	const struct block_row *row = arg;
	struct tree_node node = { .size = row->size, .mode = S_IFREG | 06777, .nlink = 3 };
	struct attr_policy policy = { .umask = 0277 };
	struct stat st;

	attr_stat(&policy, &(struct attr_owners){ 0 }, &node, UINT64_C(5) << 32 | 7, &st);
	assert_int_equal(st.st_size, row->size);
	assert_int_equal(st.st_blocks, row->blocks);
	assert_int_equal(st.st_mode, S_IFREG | 06500);
	assert_int_equal(st.st_nlink, 3);
	assert_true(st.st_ino == (UINT64_C(5) << 32 | 7));
}

static void flags(void **state)
{
	(void)state;
	assert_int_equal(attr_flags(0), 0);
	assert_int_equal(attr_flags(1), FS_NODUMP_FL);
	assert_int_equal(attr_flags(2), FS_IMMUTABLE_FL);
	assert_int_equal(attr_flags(4), FS_APPEND_FL);
	assert_int_equal(attr_flags(0x20), FS_COMPR_FL);
	assert_int_equal(attr_flags(7), FS_NODUMP_FL | FS_IMMUTABLE_FL | FS_APPEND_FL);
	assert_int_equal(attr_flags(0xffff0000), 0); /* what has no flag here */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags),
	};
	int rc = run_table(owner_rows, owner) + run_table(time_rows, moment);

	return rc + run_table(block_rows, blocks) + cmocka_run_group_tests(tests, NULL, NULL);
}
