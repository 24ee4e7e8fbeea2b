/* tap.c - see tap.h. */

#include "tests/support/tap.h"

#include "core/base/bytes.h"
#include "core/base/io.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* cmocka's tests take no argument but their state: each row travels there. */
struct row_call {
	void (*fn)(const void *row);
	const void *row;
};

static void call_row(void **state)
{
	const struct row_call *call = *state;

	call->fn(call->row);
}

int run_rows(const char *group, const void *rows, size_t row_size, size_t count,
	     void (*fn)(const void *row))
{
	struct CMUnitTest *tests = calloc(count, sizeof(*tests));
	struct row_call *calls = calloc(count, sizeof(*calls));
	int rc;

	if (!tests || !calls)
		abort();
	for (size_t i = 0; i < count; i++) {
		const char *row = (const char *)rows + i * row_size;

		calls[i] = (struct row_call){ fn, row };
		memcpy(&tests[i].name, row, sizeof(tests[i].name));
		tests[i].test_func = call_row;
		tests[i].initial_state = &calls[i];
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	rc = _cmocka_run_group_tests(group, tests, count, NULL, NULL);
	free(tests);
	free(calls);
	return rc;
}

int memory_file(const void *content, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	if (fd < 0 || write_all(fd, content, len) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		abort();
	return fd;
}

uint8_t *unhex(const char *text, size_t *len)
{
	char *digits = malloc(strlen(text) + 1);
	uint8_t *out = malloc(strlen(text) / 2 + 1);
	size_t n = 0;

	if (!digits || !out)
		abort();
	for (; *text; text++)
		if (!strchr(" \n\t", *text))
			digits[n++] = *text;
	if (hex_decode((struct bytes){ (uint8_t *)digits, n }, out, n / 2) < 0)
		abort();
	free(digits);
	*len = n / 2;
	return out;
}

char *test_dir_make(void)
{
	const char *base = getenv("TMPDIR");
	char *path = path_join(base && *base ? base : "/tmp", "alcove-test-XXXXXX");

	if (!path || !mkdtemp(path))
		abort();
	return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	return remove(path);
}

void test_dir_remove(char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(path);
}

uint64_t test_seed(void)
{
	const char *set = getenv("ALCOVE_TEST_SEED");
	uint64_t seed = set ? strtoull(set, NULL, 0) : (uint64_t)time(NULL);

	printf("# ALCOVE_TEST_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

size_t test_count(size_t small, size_t large)
{
	const char *soak = getenv("ALCOVE_SOAK");

	return soak && *soak ? large : small;
}
