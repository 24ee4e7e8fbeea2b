/* log_model.c - see log_model.h. */

#include "tests/support/log_model.h"

#include "tests/support/tap.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zlib.h>

enum {
	PER_DIR = 8,         /* segments in a folder */
	SEGMENT_LIMIT = 900, /* bytes, then the next */
	SEGMENTS = 4096,
	ENTRIES = 64, /* in one segment */
	ROUNDS = 12,
	BUCKETS = 131,
};

enum { PUT, DELETE, COMMIT };

struct entry {
	uint8_t tag;
	unsigned object;
	uint32_t off;
};

struct segment_model {
	bool exists;
	uint32_t size;
	size_t count;
	struct entry entries[ENTRIES];
};

struct places {
	uint32_t segment[MODEL_OBJECTS], off[MODEL_OBJECTS]; /* segment UINT32_MAX: none */
};

enum op_kind { CREATE, APPEND, RENAME, TRUNCATE, UNLINK, MKDIR, RMDIR };

struct op {
	enum op_kind what;
	char path[40], to[40];
	struct buf bytes;
	struct model_state after;
};

struct model {
	struct op *ops;
	size_t count, first;
	unsigned flags;
	uint64_t random;

	struct segment_model *segments;
	struct places now, committed;
	uint32_t number; /* of the segment being written, or next */
	bool open;       /* it has been begun */
	struct model_state state;
	uint32_t index; /* the newest one's number */
	bool has_index;
};

static uint32_t dice(struct model *m, uint32_t sides)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(m->random >> 33) % sides;
}

/* --- operations --- */

static struct op *add_op(struct model *m, enum op_kind what, const char *path)
{
	struct op *op;

	m->ops = realloc(m->ops, (m->count + 1) * sizeof(*m->ops));
	assert_non_null(m->ops);
	op = &m->ops[m->count++];
	*op = (struct op){ .what = what, .after = m->state };
	snprintf(op->path, sizeof(op->path), "%s", path);
	return op;
}

static const char *segment_path(char out[40], uint32_t number)
{
	snprintf(out, 40, "data/%u/%u", number / PER_DIR, number);
	return out;
}

static void append(struct model *m, uint32_t number, const void *p, size_t len)
{
	char path[40];

	assert_int_equal(
		buf_append(&add_op(m, APPEND, segment_path(path, number))->bytes, p, len), 0);
	m->segments[number].size += (uint32_t)len;
}

static void remove_file(struct model *m, const char *path)
{
	if (m->flags & MODEL_TRUNCATES)
		add_op(m, TRUNCATE, path);
	add_op(m, UNLINK, path);
}

static void remove_segment(struct model *m, uint32_t number)
{
	char path[40];

	remove_file(m, segment_path(path, number));
	m->segments[number].exists = false;
}

/* --- objects --- */

struct chunk_id model_id(unsigned object)
{
	struct chunk_id id = { { 0 } };

	if (object == 0)
		return id;
	for (unsigned i = 0; i < 4; i++)
		put_le64(id.b + 8 * i, XXH64(&object, sizeof(object), i + 1));
	put_le32(id.b, get_le32(id.b) % 16); /* many meet in the index */
	return id;
}

/* Most are small, one is bigger than what is read at once for the sake of its neighbours. */
static size_t content_len(unsigned object)
{
	return object == 7 ? 40000 : (object * 37) % 200;
}

static uint8_t content_byte(unsigned object, size_t i)
{
	return (uint8_t)(object * 7 + i * 13 + (i >> 8));
}

bool model_is(unsigned object, struct bytes content)
{
	for (size_t i = 0; i < content.len; i++)
		if (content.p[i] != content_byte(object, i))
			return false;
	return content.len == content_len(object);
}

/* --- segments --- */

static void close_segment(struct model *m)
{
	m->number += m->open;
	m->open = false;
}

static bool is_full(const struct model *m)
{
	return m->open && m->segments[m->number].size > SEGMENT_LIMIT;
}

static void begin_segment(struct model *m)
{
	static const char magic[8] = { 'B', 'O', 'R', 'G', '_', 'S', 'E', 'G' };
	char path[40];

	assert_true(m->number < SEGMENTS);
	snprintf(path, sizeof(path), "data/%u", m->number / PER_DIR);
	add_op(m, MKDIR, path); /* where it is there, nothing happens */
	add_op(m, CREATE, segment_path(path, m->number));
	m->segments[m->number] = (struct segment_model){ .exists = true };
	m->open = true;
	append(m, m->number, magic, sizeof(magic));
}

static void write_entry(struct model *m, uint8_t tag, unsigned object)
{
	size_t len = tag == COMMIT ? 9 : tag == DELETE ? 41 : 41 + content_len(object), half;
	struct chunk_id id = model_id(object);
	struct segment_model *s;
	uint8_t *entry = calloc(1, len + 1);

	assert_non_null(entry);
	if (!m->open)
		begin_segment(m);
	s = &m->segments[m->number];
	assert_true(s->count < ENTRIES);
	s->entries[s->count++] = (struct entry){ tag, object, s->size };
	put_le32(entry + 4, (uint32_t)len);
	entry[8] = tag;
	if (tag != COMMIT)
		memcpy(entry + 9, id.b, sizeof(id.b));
	for (size_t i = 41; i < len; i++)
		entry[i] = content_byte(object, i - 41);
	put_le32(entry, (uint32_t)crc32(0, entry + 4, (uInt)len - 4));
	half = dice(m, 3) ? len : dice(m, (uint32_t)len);
	append(m, m->number, entry, half);
	if (half < len)
		append(m, m->number, entry + half, len - half);
	free(entry);
}

static void put(struct model *m, unsigned object)
{
	if (is_full(m))
		close_segment(m);
	if (!m->open)
		begin_segment(m);
	m->now.segment[object] = m->number;
	m->now.off[object] = m->segments[m->number].size;
	write_entry(m, PUT, object);
}

static void delete (struct model *m, unsigned object)
{
	if (is_full(m))
		close_segment(m);
	m->now.segment[object] = UINT32_MAX;
	write_entry(m, DELETE, object);
}

static bool is_live(const struct model *m, unsigned object)
{
	return m->now.segment[object] != UINT32_MAX;
}

/* What has been written becomes true with the last operation added. */
static void settle(struct model *m)
{
	m->state.transaction = m->number;
	m->state.live = 0;
	for (unsigned i = 0; i < MODEL_OBJECTS; i++)
		m->state.live |= (uint64_t)is_live(m, i) << i;
	m->committed = m->now;
	m->ops[m->count - 1].after = m->state;
	close_segment(m);
}

static void commit(struct model *m, bool intermediate)
{
	if (!intermediate)
		close_segment(m);
	write_entry(m, COMMIT, 0);
	settle(m);
}

/* --- index and integrity data --- */

static void index_bytes(const struct model *m, struct buf *out)
{
	uint32_t count = 0;

	assert_int_equal(buf_resize(out, 18 + BUCKETS * 40), 0);
	memset(out->p, 0, out->len);
	memcpy(out->p, "BORG_IDX", 8);
	put_le32(out->p + 12, BUCKETS);
	out->p[16] = 32;
	out->p[17] = 8;
	for (uint32_t i = 0; i < BUCKETS; i++)
		put_le32(out->p + 18 + i * 40 + 32, UINT32_MAX);
	for (unsigned object = 0; object < MODEL_OBJECTS; object++) {
		struct chunk_id id = model_id(object);
		uint32_t i = get_le32(id.b) % BUCKETS;

		if (!is_live(m, object))
			continue;
		while (get_le32(out->p + 18 + i * 40 + 32) != UINT32_MAX)
			i = (i + 1) % BUCKETS;
		memcpy(out->p + 18 + i * 40, id.b, sizeof(id.b));
		put_le32(out->p + 18 + i * 40 + 32, m->now.segment[object]);
		put_le32(out->p + 18 + i * 40 + 36, m->now.off[object]);
		count++;
	}
	put_le32(out->p + 8, count);
}

/* MessagePack of {version: 2, index: JSON}. */
static void integrity_bytes(const struct buf *index, const char *name, struct buf *out)
{
	struct buf stream = BUF_INIT;
	char text[160];

	snprintf(text, sizeof(text), "%10zu%s", strlen(name), name);
	assert_int_equal(buf_append_str(&stream, text), 0);
	assert_int_equal(buf_append(&stream, index->p, 18), 0);
	assert_int_equal(buf_append_str(&stream, "        10HashHeader18"), 0);
	assert_int_equal(buf_append(&stream, index->p + 18, index->len - 18), 0);
	snprintf(text, sizeof(text), "         5final%zu", index->len);
	assert_int_equal(buf_append_str(&stream, text), 0);
	snprintf(text, sizeof(text),
		 "{\"algorithm\": \"XXH64\", \"digests\": {\"final\": \"%016" PRIx64 "\"}}",
		 (uint64_t)XXH64(stream.p, stream.len, 0));
	assert_int_equal(buf_append(out, "\x82\xa7version\x02\xa5index\xd9", 17), 0);
	assert_int_equal(buf_append_byte(out, (uint8_t)strlen(text)), 0);
	assert_int_equal(buf_append_str(out, text), 0);
	buf_fini(&stream);
}

static void add_rename(struct model *m, const char *name)
{
	char temp[40];
	struct op *op;

	snprintf(temp, sizeof(temp), "%.30s.tmp", name);
	op = add_op(m, RENAME, temp);
	snprintf(op->to, sizeof(op->to), "%s", name);
}

/* As Borg: both written beside, integrity renamed first, then the old ones removed. */
static void write_index(struct model *m)
{
	struct buf index = BUF_INIT, integrity = BUF_INIT;
	char index_name[24], integrity_name[24], temp[40];

	snprintf(index_name, sizeof(index_name), "index.%u", m->state.transaction);
	snprintf(integrity_name, sizeof(integrity_name), "integrity.%u", m->state.transaction);
	index_bytes(m, &index);
	integrity_bytes(&index, index_name, &integrity);
	snprintf(temp, sizeof(temp), "%s.tmp", index_name);
	add_op(m, CREATE, temp);
	add_op(m, APPEND, temp)->bytes = index;
	snprintf(temp, sizeof(temp), "%s.tmp", integrity_name);
	add_op(m, CREATE, temp);
	add_op(m, APPEND, temp)->bytes = integrity;
	add_rename(m, integrity_name);
	add_rename(m, index_name);
	if (m->has_index && m->index != m->state.transaction) {
		snprintf(temp, sizeof(temp), "integrity.%u", m->index);
		add_op(m, UNLINK, temp);
		snprintf(temp, sizeof(temp), "index.%u", m->index);
		add_op(m, UNLINK, temp);
	}
	m->index = m->state.transaction;
	m->has_index = true;
}

/* --- compaction --- */

struct compaction {
	uint32_t unused[SEGMENTS];
	size_t count;
	bool crash; /* in the middle */
};

static void drop_unused(struct model *m, struct compaction *c)
{
	for (size_t i = 0; i < c->count; i++)
		remove_segment(m, c->unused[i]);
	c->count = 0;
}

static void begin_copy(struct model *m, struct compaction *c)
{
	if (!is_full(m))
		return;
	commit(m, true);
	drop_unused(m, c);
}

static bool is_unused(const struct compaction *c, uint32_t number)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->unused[i] == number)
			return true;
	return false;
}

/* Is there an older PUT that this DELETE still hides? */
static bool hides(const struct model *m, const struct compaction *c, uint32_t number,
		  unsigned object)
{
	for (uint32_t i = 0; i < number; i++) {
		const struct segment_model *s = &m->segments[i];

		for (size_t k = 0; s->exists && !is_unused(c, i) && k < s->count; k++)
			if (s->entries[k].tag == PUT && s->entries[k].object == object)
				return true;
	}
	return false;
}

static void copy_entry(struct model *m, struct compaction *c, uint32_t number,
		       struct entry entry)
{
	unsigned object = entry.object;

	if (entry.tag == PUT && m->now.segment[object] == number &&
	    m->now.off[object] == entry.off) {
		begin_copy(m, c);
		put(m, object);
	} else if (entry.tag == DELETE && !is_live(m, object) &&
		   (number > m->index || hides(m, c, number, object))) {
		begin_copy(m, c);
		write_entry(m, DELETE, object);
	}
}

static bool has_waste(const struct model *m, uint32_t number)
{
	const struct segment_model *s = &m->segments[number];

	for (size_t i = 0; i < s->count; i++) {
		unsigned object = s->entries[i].object;

		if (s->entries[i].tag != PUT || m->now.segment[object] != number ||
		    m->now.off[object] != s->entries[i].off)
			return true;
	}
	return false;
}

static void remove_empty_folders(struct model *m)
{
	for (uint32_t dir = 0; dir < m->number / PER_DIR; dir++) {
		bool used = false;
		char path[40];

		for (uint32_t i = dir * PER_DIR; i < (dir + 1) * PER_DIR; i++)
			used |= m->segments[i].exists;
		snprintf(path, sizeof(path), "data/%u", dir);
		if (!used)
			add_op(m, RMDIR, path);
	}
}

/* False: crashed on the way. */
static bool compact(struct model *m, bool crash)
{
	struct compaction *c = calloc(1, sizeof(*c));
	uint32_t last = m->state.transaction, stop = crash ? dice(m, last + 1) : UINT32_MAX;

	assert_non_null(c);
	for (uint32_t number = 0; number <= last && number < stop; number++) {
		if (!m->segments[number].exists || !has_waste(m, number) || dice(m, 4) == 0)
			continue;
		for (size_t i = 0; i < m->segments[number].count; i++)
			copy_entry(m, c, number, m->segments[number].entries[i]);
		c->unused[c->count++] = number;
	}
	if (!crash) {
		commit(m, false);
		drop_unused(m, c);
		remove_empty_folders(m);
	}
	free(c);
	return !crash;
}

/* --- transactions --- */

/* What a writer does first: remove what is not committed, and write the index that is missing. */
static void clean_up(struct model *m)
{
	uint32_t last = m->state.transaction;

	m->now = m->committed;
	m->open = false;
	if (m->has_index && m->index != last)
		write_index(m);
	for (uint32_t i = m->number + 1; i > last + 1; i--)
		if (m->segments[i - 1].exists)
			remove_segment(m, i - 1);
	m->number = last + 1;
}

static void write_objects(struct model *m)
{
	for (unsigned i = 4 + dice(m, 20); i > 0; i--) {
		unsigned object = 1 + dice(m, MODEL_OBJECTS - 1);

		if (is_live(m, object))
			delete (m, object);
		else
			put(m, object);
	}
	close_segment(m);
	if (is_live(m, 0))
		delete (m, 0);
	close_segment(m);
	put(m, 0);
}

static void one_transaction(struct model *m)
{
	clean_up(m);
	write_objects(m);
	if (dice(m, 5) == 0)
		return; /* crashed before the COMMIT */
	commit(m, false);
	if (dice(m, 2) && !compact(m, dice(m, 4) == 0))
		return;
	if (dice(m, 5))
		write_index(m);
}

struct model *model_new(uint64_t seed, unsigned flags)
{
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->segments = calloc(SEGMENTS, sizeof(*m->segments));
	assert_non_null(m->segments);
	m->flags = flags;
	m->random = seed;
	memset(&m->now, 0xff, sizeof(m->now));
	m->committed = m->now;
	add_op(m, MKDIR, "data");
	write_objects(m);
	commit(m, false);
	write_index(m);
	m->first = m->count;
	for (unsigned i = 0; i < ROUNDS; i++)
		one_transaction(m);
	return m;
}

void model_free(struct model *m)
{
	for (size_t i = 0; i < m->count; i++)
		buf_fini(&m->ops[i].bytes);
	free(m->ops);
	free(m->segments);
	free(m);
}

size_t model_first(const struct model *m)
{
	return m->first;
}

size_t model_count(const struct model *m)
{
	return m->count;
}

struct model_state model_state(const struct model *m, size_t n)
{
	return n ? m->ops[n - 1].after : (struct model_state){ 0 };
}

uint64_t model_live(const struct model *m, uint32_t transaction)
{
	for (size_t i = m->count; i > 0; i--)
		if (m->ops[i - 1].after.transaction == transaction)
			return m->ops[i - 1].after.live;
	fail_msg("no transaction %u", transaction);
	return 0;
}

void model_apply(const struct model *m, size_t n, int dirfd)
{
	const struct op *op = &m->ops[n];
	int fd, flags = O_WRONLY | O_CLOEXEC;

	switch (op->what) {
	case RENAME: assert_int_equal(renameat(dirfd, op->path, dirfd, op->to), 0); return;
	case UNLINK: assert_int_equal(unlinkat(dirfd, op->path, 0), 0); return;
	case MKDIR: assert_true(mkdirat(dirfd, op->path, 0777) == 0 || errno == EEXIST); return;
	case RMDIR:
		assert_true(unlinkat(dirfd, op->path, AT_REMOVEDIR) == 0 || errno == ENOENT);
		return;
	case CREATE: flags |= O_CREAT | O_EXCL; break;
	case APPEND: flags |= O_APPEND; break;
	case TRUNCATE: flags |= O_TRUNC; break;
	}
	fd = openat(dirfd, op->path, flags, 0666);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, op->bytes.p, op->bytes.len), (ssize_t)op->bytes.len);
	close(fd);
}
