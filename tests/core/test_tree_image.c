/*
 * test_tree_image.c - an image written by hand from the layout in tree_image.h, and lies in it.
 *
 * The image: the root with two entries, "link" to "target" and "long-name-of-a-file" of two
 * chunks, with an attribute; and the user "root".  Each row changes one field.
 */

#include "tests/support/tap.h"

#include "core/archive/tree_internal.h"

#include <sys/mman.h>
#include <sys/stat.h>

enum {
	NODES = 256,
	CHUNKS = NODES + 3 * 128,
	ORDER = CHUNKS + 2 * 48,
	STRINGS = ORDER + 4,
	STRINGS_LEN = 64,
	NAMES = STRINGS + STRINGS_LEN,
	TOTAL = NAMES + 8,
	ROOT = NODES,
	LINK = NODES + 128,
	FILE_ = NODES + 256,
	EXTRAS = 32, /* in the strings */
	EXTRAS_LEN = 27,
};

static void put_name(uint8_t *node, const char *head, uint16_t len)
{
	memcpy(node, head, len < 8 ? len : 8);
	put_le16(node + 16, len);
}

static void write_nodes(uint8_t *p)
{
	put_le32(p + ROOT + 20, S_IFDIR | 0755);
	put_le32(p + ROOT + 48, 2);
	put_le32(p + ROOT + 64, 1); /* first child */
	put_le32(p + ROOT + 68, 2);
	put_le32(p + ROOT + 76, UINT32_MAX);

	put_name(p + LINK, "link", 4);
	put_le32(p + LINK + 20, S_IFLNK | 0777);
	put_le32(p + LINK + 28, 1);
	put_le32(p + LINK + 48, 1);
	put_le64(p + LINK + 56, 6);
	put_le32(p + LINK + 76, UINT32_MAX);
	put_le64(p + LINK + 104, 20);

	put_name(p + FILE_, "long-nam", 19);
	put_le16(p + FILE_ + 18, 4); /* has attributes */
	put_le32(p + FILE_ + 20, S_IFREG | 0640);
	put_le32(p + FILE_ + 28, 2);
	put_le32(p + FILE_ + 32, 1000);
	put_le32(p + FILE_ + 48, 1);
	put_le64(p + FILE_ + 56, 30);
	put_le32(p + FILE_ + 72, 2);
	put_le64(p + FILE_ + 80, 123456789);
	put_le64(p + FILE_ + 112, EXTRAS);
	put_le32(p + FILE_ + 120, EXTRAS_LEN);
}

static void write_image(uint8_t *p)
{
	memcpy(p, "ALCVTREE\1\0\0\0", 12);
	memset(p + 16, 0xee, 32);
	put_le32(p + 48, 3);
	put_le32(p + 52, 1);
	put_le32(p + 56, 1);
	put_le32(p + 60, 1);
	put_le64(p + 64, 2);
	put_le64(p + 72, 30);
	put_le64(p + 80, NODES);
	put_le64(p + 88, CHUNKS);
	put_le64(p + 96, ORDER);
	put_le64(p + 104, STRINGS);
	put_le64(p + 112, STRINGS_LEN);
	put_le64(p + 120, NAMES);
	put_le64(p + 128, TOTAL);
	write_nodes(p);
	memset(p + CHUNKS, 0x11, 32);
	put_le64(p + CHUNKS + 32, 10);
	put_le32(p + CHUNKS + 40, 10);
	put_le32(p + CHUNKS + 44, 4);
	memset(p + CHUNKS + 48, 0x22, 32);
	put_le64(p + CHUNKS + 80, 30);
	put_le32(p + CHUNKS + 88, 20);
	put_le32(p + ORDER, 2);
	memcpy(p + STRINGS, "long-name-of-a-file", 19);
	memcpy(p + STRINGS + 20, "target", 6);
	memcpy(p + STRINGS + EXTRAS,
	       "\xff\xff\xff\xff\xff\xff\xff\xff\1\0\0\0\6\0\0\0user.a\1\0\0\0v", EXTRAS_LEN);
	memcpy(p + NAMES, "\4\0\0\0root", 8);
}

static uint8_t *new_image(void)
{
	uint8_t *p =
		mmap(NULL, TOTAL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	write_image(p);
	return p;
}

static int see(void *arg, struct bytes name, struct bytes value)
{
	assert_true(bytes_is(name, "user.a") && bytes_is(value, "v"));
	++*(int *)arg;
	return 0;
}

/* The first error of reading everything there is, 0 where all could be read. */
static int read_everything(struct tree *t)
{
	struct buf text = BUF_INIT;
	struct tree_chunk chunks[2];
	struct tree_node n;
	uint32_t index;
	int rc = 0, seen = 0;

	for (uint32_t i = 0; i < 3 && rc >= 0; i++) {
		rc = tree_node(t, i, &n, NULL);
		if (rc >= 0)
			rc = tree_entry_name(t, i, &text, NULL);
		if (rc >= 0)
			rc = tree_path(t, i, &text, NULL);
		if (rc >= 0 && S_ISLNK(n.mode))
			rc = tree_link_target(t, i, &text, NULL);
		if (rc >= 0 && n.chunk_count == 2)
			rc = tree_chunks(t, &n, 0, 2, chunks, NULL);
		if (rc >= 0)
			rc = tree_xattrs(t, i, see, &seen, NULL);
		if (rc >= 0)
			rc = tree_acl(t, i, true, &text, NULL);
	}
	if (rc >= 0)
		rc = tree_lookup(t, TREE_ROOT, bytes_str("long-name-of-a-file"), &index, NULL);
	if (rc >= 0)
		rc = tree_by_order(t, 0, &index, NULL);
	buf_fini(&text);
	return rc < 0 ? rc : 0;
}

static const struct row {
	const char *name;
	size_t at, size;
	uint64_t value;
	int opening, reading; /* results of opening, of reading everything */
} rows[] = {
	{ "the truth", 12, 4, 0, 0, 0 },
	{ "magic", 0, 1, 'B', -EBADMSG, 0 },
	{ "version", 8, 4, 2, -EBADMSG, 0 },
	{ "no node", 48, 4, 0, -EBADMSG, 0 },
	{ "one node more", 48, 4, 4 + 2, -EBADMSG, 0 },
	{ "nodes without end", 48, 4, UINT32_MAX, -EBADMSG, 0 },
	{ "one node less", 48, 4, 2, 0, -EBADMSG },
	{ "more directories than nodes", 52, 4, 4, -EBADMSG, 0 },
	{ "order without end", 56, 4, UINT32_MAX, -EBADMSG, 0 },
	{ "user names without end", 60, 4, UINT32_MAX, -EBADMSG, 0 },
	{ "one user name more", 60, 4, 2, -EBADMSG, 0 },
	{ "chunks without end", 64, 8, UINT64_MAX, -EBADMSG, 0 },
	{ "a chunk count that overflows", 64, 8, UINT64_MAX / 48 + 2, -EBADMSG, 0 },
	{ "one chunk less", 64, 8, 1, 0, -EBADMSG },
	{ "nodes behind the end", 80, 8, TOTAL + 1, -EBADMSG, 0 },
	{ "nodes across the end", 80, 8, TOTAL - 3 * 128 + 1, -EBADMSG, 0 },
	{ "nodes far away", 80, 8, UINT64_MAX, -EBADMSG, 0 },
	{ "chunks across the end", 88, 8, TOTAL - 95, -EBADMSG, 0 },
	{ "order across the end", 96, 8, TOTAL - 3, -EBADMSG, 0 },
	{ "strings across the end", 104, 8, TOTAL - 63, -EBADMSG, 0 },
	{ "strings far away", 104, 8, UINT64_MAX, -EBADMSG, 0 },
	{ "strings without end", 112, 8, UINT64_MAX, -EBADMSG, 0 },
	{ "no strings", 112, 8, 0, 0, -EBADMSG },
	{ "user names behind the end", 120, 8, TOTAL + 1, -EBADMSG, 0 },
	{ "user names at the end", 120, 8, TOTAL, -EBADMSG, 0 },
	{ "another length", 128, 8, TOTAL - 1, -EBADMSG, 0 },
	{ "a user name too long", NAMES, 4, 5, -EBADMSG, 0 },
	{ "a user name without end", NAMES, 4, UINT32_MAX, -EBADMSG, 0 },
	{ "a parent that is not there", FILE_ + 24, 4, 3, 0, -EBADMSG },
	{ "its own parent", FILE_ + 24, 4, 2, 0, -EBADMSG },
	{ "a file that is not there", FILE_ + 28, 4, UINT32_MAX, 0, -EBADMSG },
	{ "a long name elsewhere", FILE_ + 8, 8, UINT64_MAX, 0, -EBADMSG },
	{ "a long name across the end", FILE_ + 8, 8, STRINGS_LEN - 18, 0, -EBADMSG },
	{ "a name without end", FILE_ + 16, 2, UINT16_MAX, 0, -EBADMSG },
	{ "children that are not there", ROOT + 64, 4, 2, 0, -EBADMSG },
	{ "children without end", ROOT + 68, 4, UINT32_MAX, 0, -EBADMSG },
	{ "chunks that are not there", FILE_ + 64, 8, 1, 0, -EBADMSG },
	{ "chunks far away", FILE_ + 64, 8, UINT64_MAX, 0, -EBADMSG },
	{ "more chunks than there are", FILE_ + 72, 4, 3, 0, -EBADMSG },
	{ "a target elsewhere", LINK + 104, 8, UINT64_MAX, 0, -EBADMSG },
	{ "a target without end", LINK + 56, 8, UINT64_MAX, 0, -EBADMSG },
	{ "extras elsewhere", FILE_ + 112, 8, UINT64_MAX - 3, 0, -EBADMSG },
	{ "extras without end", FILE_ + 120, 4, UINT32_MAX, 0, -EBADMSG },
	{ "extras cut", FILE_ + 120, 4, EXTRAS_LEN - 1, 0, -EBADMSG },
	{ "extras cut in a length", FILE_ + 120, 4, 10, 0, -EBADMSG },
	{ "an ACL without end", STRINGS + EXTRAS + 4, 4, UINT32_MAX - 1, 0, -EBADMSG },
	{ "attributes without end", STRINGS + EXTRAS + 8, 4, UINT32_MAX, 0, -EBADMSG },
	{ "a value without end", STRINGS + EXTRAS + 22, 4, UINT32_MAX, 0, -EBADMSG },
	{ "a chunk larger than its end", CHUNKS + 40, 4, 11, 0, -EBADMSG },
	{ "an order that is not there", ORDER, 4, 3, 0, -EBADMSG },
	{ "a user that is not there", FILE_ + 40, 4, 1, 0, 0 },
};

static void lie(const void *arg)
{
	const struct row *row = arg;
	uint8_t *image = new_image(), value[8];
	struct tree *t = NULL;

	put_le64(value, row->value);
	memcpy(image + row->at, value, row->size);
	assert_int_equal(tree_from_image(&t, image, TOTAL, NULL), row->opening);
	if (row->opening == 0)
		assert_int_equal(read_everything(t), row->reading);
	tree_close(t);
}

static void the_truth(void **state)
{
	struct tree *t = NULL;
	struct buf text = BUF_INIT;
	struct tree_chunk c[2];
	struct tree_node n;
	uint32_t index;
	int seen = 0;

	(void)state;
	assert_int_equal(tree_from_image(&t, new_image(), TOTAL, NULL), 0);
	assert_int_equal(tree_lookup(t, TREE_ROOT, bytes_str("link"), &index, NULL), 1);
	assert_int_equal(index, 1);
	assert_int_equal(tree_link_target(t, 1, &text, NULL), 0);
	assert_true(bytes_is(buf_bytes(&text), "target"));
	assert_int_equal(
		tree_lookup(t, TREE_ROOT, bytes_str("long-name-of-a-file"), &index, NULL), 1);
	assert_int_equal(tree_node(t, index, &n, NULL), 0);
	assert_int_equal(n.mode, S_IFREG | 0640);
	assert_int_equal(n.uid, 1000);
	assert_int_equal(n.size, 30);
	assert_int_equal(n.mtime_ns, 123456789);
	assert_true(n.has_xattrs && bytes_is(tree_name(t, n.user), "root"));
	assert_int_equal(tree_chunks(t, &n, 0, 2, c, NULL), 0);
	assert_int_equal(c[0].id.b[0], 0x11);
	assert_int_equal(c[0].csize, 4);
	assert_int_equal(c[1].end, 30);
	assert_int_equal(tree_chunk_at(t, &n, 10, &index, NULL), 0);
	assert_int_equal(index, 1);
	assert_int_equal(tree_xattrs(t, 2, see, &seen, NULL), 0);
	assert_int_equal(seen, 1);
	buf_fini(&text);
	tree_close(t);
}

/* Every length but the right one. */
static void cut_anywhere(void **state)
{
	struct tree *t = NULL;

	(void)state;
	for (size_t len = 1; len < TOTAL; len++) {
		uint8_t *image = new_image();

		/* The pages are given back by the length that the tree was told. */
		assert_int_equal(tree_from_image(&t, image, len, NULL), -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_truth),
		cmocka_unit_test(cut_anywhere),
	};
	int failed = run_table(rows, lie);

	return failed | cmocka_run_group_tests(tests, NULL, NULL);
}
