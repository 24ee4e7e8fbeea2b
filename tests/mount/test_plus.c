/*
 * test_plus.c - listings come with attributes for who uses them, and without for who does not.
 *
 * Method: clients of each kind list trees of folders, in pages; counted is what they pay: an inode
 * that nobody looks at, and a look-up of its own.
 */

#include "tests/support/tap.h"

#include "mount/plus.h"

enum { PAGE = 180 };

enum client { NAMES_ALONE, EACH_AT_ONCE, EACH_AFTER_ALL };

static const struct row {
	const char *name;
	enum client client;
	unsigned folders, files; /* in each */
	uint64_t lookups_max, inodes_max;
} rows[] = {
	{ "find, long folders", NAMES_ALONE, 1000, 1000, 0, 190000 },
	{ "find, short folders", NAMES_ALONE, 5000, 15, 0, 75000 },
	{ "find, one huge folder", NAMES_ALONE, 1, 1000000, 0, 998000 },
	{ "ls -l, long folders", EACH_AT_ONCE, 1000, 1000, 2000, 1000000 },
	{ "ls -l, one huge folder", EACH_AT_ONCE, 1, 1000000, 2000, 1000000 },
	{ "ls -l, short folders", EACH_AT_ONCE, 5000, 15, 0, 75000 },
	{ "du, long folders", EACH_AFTER_ALL, 1000, 1000, 10000, 1000000 },
	{ "du, one huge folder", EACH_AFTER_ALL, 1, 1000000, 2200, 1000000 },
	{ "du, short folders", EACH_AFTER_ALL, 5000, 15, 0, 75000 },
};

struct paid {
	uint64_t lookups, inodes;
};

static void look_up(struct plus *p, struct paid *paid, uint64_t files)
{
	for (uint64_t i = 0; i < files; i++)
		plus_looked_up(p);
	paid->lookups += files;
}

static void list_folder(struct plus *p, const struct row *row, struct paid *paid)
{
	uint64_t bare = 0;

	for (unsigned at = 0; at < row->files; at += PAGE) {
		uint64_t n = row->files - at < PAGE ? row->files - at : PAGE;
		bool with = plus_wanted(p, at == 0);

		plus_listed(p, with, n);
		if (with)
			paid->inodes += n;
		else if (row->client == EACH_AT_ONCE)
			look_up(p, paid, n);
		else
			bare += n;
	}
	if (row->client == EACH_AFTER_ALL)
		look_up(p, paid, bare);
}

static void client_pays(const void *arg)
{
	const struct row *row = arg;
	struct plus p = { 0 };
	struct paid paid = { 0 };

	for (unsigned i = 0; i < row->folders; i++)
		list_folder(&p, row, &paid);
	if (paid.lookups > row->lookups_max || paid.inodes > row->inodes_max)
		fail_msg("%llu look-ups, %llu inodes", (unsigned long long)paid.lookups,
			 (unsigned long long)paid.inodes);
}

/* A client of names, then one that looks at each: it pays for one folder at most. */
static void learns_again(void **state)
{
	struct plus p = { 0 };
	struct paid paid = { 0 };

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		list_folder(&p, &rows[0], &paid);
	assert_int_equal(paid.lookups, 0);
	for (unsigned i = 0; i < 100; i++)
		list_folder(&p, &rows[6], &paid);
	assert_true(paid.lookups <= rows[6].files);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(learns_again) };
	int failed = run_table(rows, client_pays);

	return cmocka_run_group_tests(tests, NULL, NULL) + failed;
}
