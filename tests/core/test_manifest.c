/*
 * test_manifest.c - manifests of an unencrypted repository, packed by hand, and Borg's times.
 */

#include "tests/support/tap.h"

#include "core/archive/manifest.h"
#include "core/base/bytes.h"

static const struct time_row {
	const char *name; /* the text */
	int rc;
	int64_t ns;
} times[] = {
	{ "1970-01-01T00:00:00", 0, 0 },
	{ "1970-01-01T00:00:00.000001", 0, 1000 },
	{ "2020-09-13T12:26:40.5", 0, 1600000000500000000 },
	{ "2024-02-29T23:59:59.999999", 0, 1709251199999999000 },
	{ "1969-12-31T23:59:59.000001", 0, -999999000 },
	{ "9999-12-31T23:59:59.999999", 0, INT64_MAX },
	{ "0001-01-01T00:00:00", 0, INT64_MIN },
	{ "2023-02-29T00:00:00", -EINVAL, 0 },
	{ "2024-13-01T00:00:00", -EINVAL, 0 },
	{ "2024-01-01T24:00:00", -EINVAL, 0 },
	{ "2024-01-01 00:00:00", -EINVAL, 0 },
	{ "2024-01-01T00:00:00.", -EINVAL, 0 },
	{ "2024-01-01T00:00:00.1234567", -EINVAL, 0 },
	{ "2024-01-01T00:00", -EINVAL, 0 },
	{ "", -EINVAL, 0 },
};

static void parse_time(const void *arg)
{
	const struct time_row *row = arg;
	int64_t ns = 0;

	if (manifest_parse_time(bytes_str(row->name), &ns) != row->rc || ns != row->ns)
		fail_msg("%s", row->name);
}

#define TIME                                                                                   \
	"\xba"                                                                                 \
	"2024-01-01T00:00:00.000000"
#define ID                                                                                     \
	"\xda\x00\x20"                                                                         \
	"0123456789abcdef0123456789abcdef"
#define ENTRY   "\x82\xa2id" ID "\xa4time" TIME
#define STAMP   "\xa9timestamp" TIME
#define KEYS    "\xa9item_keys\x92\xa4path\xa3new"
#define VERSION "\xa7version\x01"
#define CONFIG                                                                                 \
	"\xa6"                                                                                 \
	"config\x80"
#define FLAGS(op)                                                                              \
	"\xa6"                                                                                 \
	"config\x81\xad"                                                                       \
	"feature_flags\x81" op "\x81\xa9mandatory\x91\xa4zork"
#define ARCHIVES                                                                               \
	"\xa8"                                                                                 \
	"archives\x82\xa1"                                                                     \
	"b" ENTRY "\xa1"                                                                       \
	"a" ENTRY
#define ONE(entry)                                                                             \
	"\xa8"                                                                                 \
	"archives\x81\xa1"                                                                     \
	"a" entry

#define ROW(name, plain, want, says)                                                           \
	{                                                                                      \
		name, plain, sizeof(plain) - 1, want, says                                     \
	}

static const struct row {
	const char *name;
	const char *plain;
	size_t len;
	int want;
	const char *says; /* message id, or part of the message */
} rows[] = {
	ROW("two archives", "\x85" ARCHIVES CONFIG KEYS STAMP VERSION, 0, ""),
	ROW("version 2", "\x85" ARCHIVES CONFIG KEYS STAMP "\xa7version\x02", 0, ""),
	ROW("no item keys", "\x84" ARCHIVES CONFIG STAMP VERSION, 0, ""),
	ROW("feature for writing", "\x84" ARCHIVES FLAGS("\xa5write") STAMP VERSION, 0, ""),
	ROW("feature for reading", "\x84" ARCHIVES FLAGS("\xa4read") STAMP VERSION, -ENOTSUP,
	    "Unsupported repository feature(s) ['zork']. A newer version"),
	ROW("version 3", "\x84" ARCHIVES CONFIG STAMP "\xa7version\x03", -ENOTSUP,
	    "Invalid manifest version"),
	ROW("from the future", "\xc1\xc1\xc1\xc1", -ENOTSUP, "Unsupported manifest envelope."),
	ROW("no archives", "\x83" CONFIG STAMP VERSION, -EBADMSG, "incomplete"),
	ROW("no timestamp", "\x83" ARCHIVES CONFIG VERSION, -EBADMSG, "incomplete"),
	ROW("id of 31 bytes",
	    "\x84" ONE("\x82\xa2id\xbf"
		       "0123456789abcdef0123456789abcde"
		       "\xa4time" TIME "\x00") CONFIG STAMP VERSION,
	    -EBADMSG, "without a proper id"),
	ROW("archive without time",
	    "\x84" ONE("\x82\xa2id" ID "\xa9timestamp" TIME) CONFIG STAMP VERSION, -EBADMSG,
	    "without a proper time"),
	ROW("a name twice",
	    "\x84\xa8"
	    "archives\x82\xa1"
	    "a" ENTRY "\xa1"
	    "a" ENTRY CONFIG STAMP VERSION,
	    -EBADMSG, "two archives of one name"),
	ROW("more archives than bytes",
	    "\x84\xa8"
	    "archives\xdf\x00\xff\xff\xff" CONFIG STAMP VERSION,
	    -EBADMSG, "not a proper map"),
	ROW("bytes behind the map", "\x84" ARCHIVES CONFIG STAMP VERSION "\x00", -EBADMSG,
	    "not a valid record"),
	ROW("malformed TAM", "\x85" ARCHIVES CONFIG STAMP "\xa3tam\x01" VERSION, -EBADMSG,
	    "Manifest authentication did not verify"),
	ROW("nothing", "", -EBADMSG, "manifest: "),
};

static int parse(const void *plain, size_t len, struct manifest **m, struct err *e)
{
	static const uint8_t head[3] = { KEY_PLAINTEXT, 0, 0 }; /* key type, no compression */
	struct key *key = NULL;
	struct buf object = BUF_INIT;
	int rc;

	assert_int_equal(key_open_plaintext(&key, e), 0);
	assert_int_equal(buf_append(&object, head, sizeof(head)), 0);
	assert_int_equal(buf_append(&object, plain, len), 0);
	rc = manifest_parse(m, key, buf_bytes(&object), MANIFEST_READ, e);
	buf_fini(&object);
	key_close(key);
	return rc;
}

static void check_good(const struct manifest *m)
{
	assert_int_equal(m->count, 2);
	assert_string_equal(m->entries[0].name.p, "a"); /* sorted */
	assert_string_equal(m->entries[1].name.p, "b");
	assert_true(m->entries[0].time_ns == 1704067200000000000);
	assert_string_equal(m->timestamp, "2024-01-01T00:00:00.000000");
	assert_ptr_equal(manifest_find(m, bytes_str("b")), &m->entries[1]);
	assert_null(manifest_find(m, bytes_str("bb")));
	assert_false(m->tam_verified);
}

static void parse_one(const void *arg)
{
	const struct row *row = arg;
	struct manifest *m = NULL;
	struct err e = ERR_INIT;

	if (parse(row->plain, row->len, &m, &e) != row->want)
		fail_msg("%s: %s", row->name, e.msg);
	assert_non_null(strstr(e.msg, row->says));
	if (row->want == 0)
		check_good(m);
	manifest_free(m);
	for (size_t len = 0; row->want == 0 && len < row->len; len++) {
		m = NULL;
		assert_int_equal(parse(row->plain, len, &m, NULL), -EBADMSG);
		assert_null(m);
	}
}

static void all_times(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		parse_time(&times[i]);
}

static void all_manifests(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		parse_one(&rows[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_times),
		cmocka_unit_test(all_manifests),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
