/*
 * test_sorter.c - what went in comes out in order, equal keys as they came; from the buffer and
 * from runs in a file, whatever the sizes of the records.
 *
 * The expected order comes from qsort(3) over (key, number of the record); the value of a record
 * follows from its number.
 */

#include "tests/support/tap.h"

#include "core/base/sorter.h"

#include <dirent.h>

static const struct row {
	const char *name;
	size_t count, key_size, memory, value_max;
	unsigned keys; /* different ones */
} rows[] = {
	{ "nothing", 0, 32, 1 << 20, 10, 5 },
	{ "one", 1, 32, 1 << 20, 10, 5 },
	{ "in the buffer", 500, 8, 1 << 20, 10, 1000000 },
	{ "short keys, many alike", 2000, 3, 1 << 20, 10, 50 },
	{ "all alike, in runs", 3000, 16, 4096, 30, 1 },
	{ "a run for each record", 300, 16, 1, 30, 100 },
	{ "empty values, in runs", 5000, 16, 16384, 0, 100000 },
	{ "many runs", 60000, 20, 65536, 100, 1000000 },
	{ "records longer than a window and than the buffer", 60, 16, 100000, 300000, 1000 },
};

static uint64_t mix(uint64_t n)
{
	n = (n ^ n >> 31) * 0xbf58476d1ce4e5b9u;
	return n ^ n >> 29;
}

static void key_of(const struct row *row, size_t i, uint8_t out[32])
{
	memset(out, 0, 32);
	put_be64(out + 24, mix(i + 1) % row->keys); /* different only at the end, mostly */
	memmove(out, out + 32 - row->key_size, row->key_size);
}

static size_t len_of(const struct row *row, size_t i)
{
	return row->value_max ? mix(i + 77) % (row->value_max + 1) : 0;
}

static void fill(uint8_t *value, size_t len, size_t i)
{
	for (size_t at = 0; at < len; at++)
		value[at] = (uint8_t)(i * 31 + at * 7 + (at >> 8));
}

static const struct row *current;

static int compare(const void *a, const void *b)
{
	const size_t *x = a, *y = b;
	uint8_t kx[32], ky[32];
	int order;

	key_of(current, *x, kx);
	key_of(current, *y, ky);
	order = memcmp(kx, ky, current->key_size);
	return order ? order : *x < *y ? -1 : 1;
}

static void comes_out(struct sorter *s, const struct row *row, const size_t *order)
{
	uint8_t key[32], *want = malloc(row->value_max + 1);
	const uint8_t *got;
	struct bytes value;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < row->count; i++) {
		assert_int_equal(sorter_next(s, &got, &value, &e), 1);
		key_of(row, order[i], key);
		assert_memory_equal(got, key, row->key_size);
		assert_int_equal(value.len, len_of(row, order[i]));
		fill(want, value.len, order[i]);
		assert_true(value.len == 0 || memcmp(value.p, want, value.len) == 0);
	}
	assert_int_equal(sorter_next(s, &got, &value, &e), 0);
	assert_int_equal(sorter_next(s, &got, &value, &e), 0);
	free(want);
}

static void one(const void *arg)
{
	const struct row *row = arg;
	char *dir = test_dir_make();
	size_t *order = calloc(row->count + 1, sizeof(*order));
	struct sorter *s = NULL;
	struct err e = ERR_INIT;
	struct dirent *entry;
	DIR *d;

	assert_int_equal(sorter_new(&s, dir, row->key_size, row->memory, &e), 0);
	for (size_t i = 0; i < row->count; i++) {
		uint8_t key[32], *value = NULL;

		order[i] = i;
		key_of(row, i, key);
		assert_int_equal(sorter_add(s, key, len_of(row, i), &value, &e), 0);
		fill(value, len_of(row, i), i);
	}
	current = row;
	qsort(order, row->count, sizeof(*order), compare);
	for (int times = 0; times < 2; times++) {
		assert_int_equal(sorter_rewind(s, &e), 0);
		comes_out(s, row, order);
	}
	d = opendir(dir);
	while ((entry = readdir(d)))
		assert_true(entry->d_name[0] == '.'); /* its file has no name */
	closedir(d);
	sorter_free(s);
	free(order);
	test_dir_remove(dir);
}

static void no_place_for_the_file(void **state)
{
	struct sorter *s = NULL;
	struct err e = ERR_INIT;
	uint8_t key[4] = { 0 }, *value = NULL;
	int rc = 0;

	(void)state;
	assert_int_equal(sorter_new(&s, "/nowhere/at/all", sizeof(key), 64, &e), 0);
	for (int i = 0; i < 100 && rc == 0; i++)
		rc = sorter_add(s, key, 0, &value, &e);
	assert_int_equal(rc, -ENOENT);
	sorter_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(no_place_for_the_file) };
	int failed = run_table(rows, one);

	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
