/*
 * test_chunk_index.c - the index agrees with plain arrays of counts, whatever is added, replaced,
 * removed, aborted and synchronised, by one process or two; and damage never passes.
 *
 * The model: archive a refers model.refs[a][c] times to chunk c.  Ids are spread, alike in their
 * first bytes, or at the two ends of all ids.
 */

#include "tests/support/tap.h"

#include "core/store/chunk_index.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARCHIVES = 10, CHUNKS = 700 };

static uint64_t random_state;

static uint64_t next_random(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static size_t below(size_t n)
{
	return (size_t)(next_random() % n);
}

static struct chunk_id chunk_of(size_t c)
{
	struct chunk_id id;

	memset(id.b, c == 1 ? 0xff : 0, CHUNK_ID_SIZE);
	if (c < 2)
		return id;
	if (c % 3)
		put_be64(id.b, c * 0x9e3779b97f4a7c15u);
	put_be64(id.b + 24, c);
	return id;
}

static size_t number_of(const struct chunk_id *id)
{
	return id->b[0] == 0xff && id->b[31] == 0xff ? 1 : (size_t)get_be64(id->b + 24);
}

static uint32_t size_of(size_t c)
{
	return (uint32_t)(c * 1000 + 1);
}

static uint32_t csize_of(size_t c)
{
	return (uint32_t)(c * 500 + 41);
}

/* An archive is named by what it is: its number and how often it was made anew. */
static struct chunk_id name_of(size_t a, unsigned made)
{
	struct chunk_id id = { { 0xaa } };

	put_be32(id.b + 4, (uint32_t)a);
	put_be32(id.b + 8, made);
	return id;
}

struct model {
	bool there[ARCHIVES];
	unsigned made[ARCHIVES];
	uint32_t refs[ARCHIVES][CHUNKS];
	struct chunk_content content[ARCHIVES];
	unsigned manifest;
};

static struct chunk_id manifest_of(const struct model *m)
{
	struct chunk_id id = { { 0xcc } };

	put_be32(id.b + 4, m->manifest);
	return id;
}

static void fill_refs(const uint32_t *refs, const uint32_t *minus, struct chunk_refs *out)
{
	struct err e = ERR_INIT;

	for (size_t i = 0; i < CHUNKS; i++) {
		size_t c = i * 331 % CHUNKS; /* not in order */
		struct chunk_id id = chunk_of(c);
		uint32_t less = minus ? minus[c] : 0;

		for (uint32_t n = less; n < refs[c]; n++)
			assert_int_equal(chunk_refs_add(out, &id, size_of(c), csize_of(c), &e),
					 0);
		for (uint32_t n = refs[c]; n < less; n++)
			assert_int_equal(chunk_refs_drop(out, &id, size_of(c), csize_of(c), &e),
					 0);
	}
}

static uint64_t count_in(const struct model *m, size_t c)
{
	uint64_t n = 0;

	for (size_t a = 0; a < ARCHIVES; a++)
		n += m->there[a] ? m->refs[a][c] : 0;
	return n;
}

static void totals_agree(struct chunk_index *x, const struct model *m)
{
	struct chunk_totals all = { 0 }, got;
	struct err e = ERR_INIT;

	for (size_t c = 0; c < CHUNKS; c++) {
		uint64_t n = count_in(m, c);

		all.chunks += n;
		all.size += n * size_of(c);
		all.csize += n * csize_of(c);
		all.unique_chunks += n > 0;
		all.unique_size += n ? size_of(c) : 0;
		all.unique_csize += n ? csize_of(c) : 0;
	}
	assert_int_equal(chunk_index_totals(x, &got, &e), 0);
	assert_memory_equal(&got, &all, sizeof(all));
}

static void archive_agrees(struct chunk_index *x, const struct model *m, size_t a)
{
	struct chunk_id name = name_of(a, m->made[a]);
	struct chunk_totals want = { 0 }, got;
	struct chunk_content content;
	struct err e = ERR_INIT;

	assert_int_equal(chunk_index_archive_totals(x, &name, &got, &e), m->there[a]);
	if (!m->there[a])
		return;
	for (size_t c = 0; c < CHUNKS; c++) {
		uint32_t n = m->refs[a][c];

		want.chunks += n;
		want.size += (uint64_t)n * size_of(c);
		want.csize += (uint64_t)n * csize_of(c);
		if (!n || count_in(m, c) != n)
			continue;
		want.unique_chunks++;
		want.unique_size += size_of(c);
		want.unique_csize += csize_of(c);
	}
	assert_memory_equal(&got, &want, sizeof(want));
	assert_int_equal(chunk_index_archive_content(x, &name, &content, &e), 1);
	assert_memory_equal(&content, &m->content[a], sizeof(content));
}

static void agrees(struct chunk_index *x, const struct model *m)
{
	struct err e = ERR_INIT;

	for (size_t c = 0; c < CHUNKS; c++) {
		struct chunk_id id = chunk_of(c);
		struct chunk_count got = { 0 };
		uint64_t n = count_in(m, c);

		assert_int_equal(chunk_index_get(x, &id, &got, &e), n > 0);
		if (!n)
			continue;
		assert_int_equal(got.refs, n);
		assert_int_equal(got.size, size_of(c));
		assert_int_equal(got.csize, csize_of(c));
	}
	totals_agree(x, m);
	for (size_t a = 0; a < ARCHIVES; a++)
		archive_agrees(x, m, a);
}

/* --- synchronisation with a model --- */

struct source {
	const struct model *model;
	size_t reads;
	size_t fail_at; /* the call that fails, from 1; 0 none */
};

static int read_archive(void *arg, const struct chunk_id *archive, struct chunk_refs *refs,
			struct err *e)
{
	struct source *s = arg;

	if (++s->reads == s->fail_at)
		return err_set(e, EIO, "cannot read");
	fill_refs(s->model->refs[get_be32(archive->b + 4)], NULL, refs);
	chunk_refs_content(refs, &s->model->content[get_be32(archive->b + 4)]);
	return 0;
}

static int sync_with(struct chunk_index *x, const struct model *m, struct source *s)
{
	struct chunk_id archives[ARCHIVES], manifest = manifest_of(m);
	struct err e = ERR_INIT;
	size_t count = 0;

	for (size_t a = 0; a < ARCHIVES; a++)
		if (m->there[a])
			archives[count++] = name_of(a, m->made[a]);
	return chunk_index_sync(x, &manifest, archives, count, read_archive, s, &e);
}

static void make_archive(struct model *m, size_t a)
{
	size_t first = below(CHUNKS), n = below(CHUNKS);

	memset(m->refs[a], 0, sizeof(m->refs[a]));
	for (size_t i = 0; i < n; i++)
		m->refs[a][(first + i) % CHUNKS] = (uint32_t)(below(8) ? 1 : below(5));
	m->content[a] = (struct chunk_content){ next_random(), next_random(), next_random() };
	m->there[a] = true;
	m->made[a]++;
}

/* Another program changes some archives; returns how many are new. */
static size_t others_write(struct model *m)
{
	size_t made = 0;

	m->manifest++;
	for (size_t a = 0; a < ARCHIVES; a++) {
		if (below(4))
			continue;
		if (m->there[a] && below(2)) {
			m->there[a] = false;
		} else {
			make_archive(m, a);
			made++;
		}
	}
	return made;
}

/* --- sessions --- */

struct orphans {
	bool told[CHUNKS];
	size_t last;
	bool any;
	struct chunk_id last_id;
};

static int take_orphan(void *arg, const struct chunk_id *id, const struct chunk_count *sizes,
		       struct err *e)
{
	struct orphans *o = arg;
	size_t c = number_of(id);

	(void)e;
	if (c >= CHUNKS || o->told[c] || sizes->size != size_of(c) ||
	    sizes->csize != csize_of(c) || (o->any && id_compare(&o->last_id, id) >= 0))
		return -EDOM;
	o->told[c] = o->any = true;
	o->last_id = *id;
	return 0;
}

static struct chunk_refs *refs_of(const char *dir, const uint32_t *refs, const uint32_t *minus)
{
	struct chunk_refs *out = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(chunk_refs_new(&out, dir, &e), 0);
	fill_refs(refs, minus, out);
	return out;
}

/* Stage random changes, and make them in the model. */
static void change(struct chunk_index *x, const char *dir, struct model *m)
{
	struct err e = ERR_INIT;

	for (size_t a = 0; a < ARCHIVES; a++) {
		struct chunk_id old = name_of(a, m->made[a]), new = name_of(a, m->made[a] + 1);
		struct chunk_content content = m->content[a];
		struct chunk_refs *refs;
		uint32_t before[CHUNKS];
		bool was = m->there[a];

		memcpy(before, m->refs[a], sizeof(before));
		if (below(3))
			continue;
		if (was && below(2)) {
			m->there[a] = false;
			assert_int_equal(chunk_index_remove(x, &old, &e), 0);
			continue;
		}
		make_archive(m, a);
		refs = refs_of(dir, m->refs[a], was ? before : NULL);
		if (was && below(2))
			m->content[a] = content; /* as it was, without a word */
		else
			chunk_refs_content(refs, &m->content[a]);
		if (was)
			assert_int_equal(chunk_index_replace(x, &old, &new, refs, &e), 0);
		else
			assert_int_equal(chunk_index_add(x, &new, refs, &e), 0);
	}
}

static void session(struct chunk_index *x, const char *dir, struct model *m)
{
	struct model before = *m;
	struct orphans o = { 0 };
	struct chunk_id manifest;
	struct err e = ERR_INIT;

	change(x, dir, m);
	assert_int_equal(chunk_index_apply(x, take_orphan, &o, &e), 0);
	for (size_t c = 0; c < CHUNKS; c++)
		assert_int_equal(o.told[c], count_in(&before, c) && !count_in(m, c));
	agrees(x, m); /* already, for this process */
	if (below(3)) {
		m->manifest++;
		manifest = manifest_of(m);
		assert_int_equal(chunk_index_commit(x, &manifest, &e), 0);
	} else {
		chunk_index_abort(x);
		before.manifest = m->manifest;
		*m = before;
	}
}

static void random_histories(void **state)
{
	char *dir = test_dir_make();
	struct model *m = calloc(1, sizeof(*m));
	struct chunk_index *x = NULL;
	struct err e = ERR_INIT;

	(void)state;
	random_state = test_seed();
	assert_int_equal(chunk_index_open(&x, dir, &e), 0);
	for (size_t i = 0; i < test_count(60, 3000); i++) {
		struct source s = { .model = m };
		size_t made = below(2) ? others_write(m) : 0;

		assert_int_equal(sync_with(x, m, &s), 0);
		assert_int_equal(s.reads, made); /* a deleted one costs no reading */
		agrees(x, m);
		session(x, dir, m);
		agrees(x, m);
		if (below(4))
			continue;
		chunk_index_close(x);
		assert_int_equal(chunk_index_open(&x, dir, &e), 0);
	}
	chunk_index_close(x);
	free(m);
	test_dir_remove(dir);
}

/* --- endings and damage --- */

/* Run in a process of its own, since the index is opened once in a process. */
static int in_child(void (*fn)(const char *dir, struct model *m), const char *dir,
		    struct model *m)
{
	int status;
	pid_t pid;

	fflush(NULL); /* else the child may write it again */
	pid = fork();
	if (pid == 0) {
		/* A child that dies of a damaged page is counted; cmocka must not speak for it. */
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		signal(SIGABRT, SIG_DFL);
		fn(dir, m);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void write_and_die(const char *dir, struct model *m)
{
	struct chunk_index *x = NULL;
	struct source s = { .model = m };
	struct chunk_id name = name_of(0, m->made[0]);
	struct err e = ERR_INIT;

	if (chunk_index_open(&x, dir, &e) < 0 || sync_with(x, m, &s) < 0 ||
	    chunk_index_remove(x, &name, &e) < 0 || chunk_index_apply(x, NULL, NULL, &e) < 0)
		_exit(1);
	_exit(0); /* the repository may have been committed, the index is not */
}

static void dying_between_the_commits(void **state)
{
	char *dir = test_dir_make();
	struct model *m = calloc(1, sizeof(*m));
	struct source s = { .model = m };
	struct chunk_index *x = NULL;
	struct chunk_id manifest;
	struct err e = ERR_INIT;

	(void)state;
	random_state = test_seed();
	for (size_t a = 0; a < ARCHIVES; a++)
		make_archive(m, a);
	m->manifest = 1;
	assert_int_equal(in_child(write_and_die, dir, m), 0);
	assert_int_equal(chunk_index_open(&x, dir, &e), 0);
	manifest = manifest_of(m);
	assert_true(chunk_index_is_at(x, &manifest)); /* as if not committed: where it was */
	assert_int_equal(chunk_index_apply(x, NULL, NULL, &e), 0); /* no sync needed then */
	chunk_index_abort(x);
	assert_int_equal(sync_with(x, m, &s), 0);
	assert_int_equal(s.reads, 0);
	agrees(x, m);
	m->there[0] = false; /* as if it was */
	m->manifest++;
	assert_int_equal(sync_with(x, m, &s), 0);
	assert_int_equal(s.reads, 0);
	agrees(x, m);
	chunk_index_close(x);
	free(m);
	test_dir_remove(dir);
}

static void sync_elsewhere(const char *dir, struct model *m)
{
	struct chunk_index *x = NULL;
	struct source s = { .model = m };
	struct err e = ERR_INIT;

	if (chunk_index_open(&x, dir, &e) < 0 || sync_with(x, m, &s) < 0)
		_exit(1);
	chunk_index_close(x);
}

static void two_processes(void **state)
{
	char *dir = test_dir_make();
	struct model *m = calloc(1, sizeof(*m)), *other = calloc(1, sizeof(*m));
	struct chunk_index *x = NULL;
	struct source s = { .model = m };
	struct chunk_id name, manifest;
	struct err e = ERR_INIT;
	int go[2], status;
	pid_t pid;

	(void)state;
	random_state = test_seed();
	for (size_t a = 0; a < ARCHIVES; a++)
		make_archive(m, a);
	m->manifest = 1;
	*other = *m;
	other->manifest = 2;
	other->there[3] = false;
	assert_int_equal(pipe(go), 0);
	fflush(NULL); /* else the child may write it again */
	pid = fork();
	if (pid == 0) { /* waits until the other is in its session */
		char c;

		if (read(go[0], &c, 1) != 1)
			_exit(1);
		sync_elsewhere(dir, other);
		_exit(0);
	}
	assert_int_equal(chunk_index_open(&x, dir, &e), 0);
	assert_int_equal(sync_with(x, m, &s), 0);
	assert_int_equal(write(go[1], "x", 1), 1);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	name = name_of(5, m->made[5]);
	assert_int_equal(chunk_index_remove(x, &name, &e), 0);
	assert_int_equal(chunk_index_apply(x, NULL, NULL, &e), -ESTALE);
	s.reads = 0;
	assert_int_equal(sync_with(x, m, &s), 0);
	assert_int_equal(s.reads, 1); /* what the other took away */
	agrees(x, m);
	assert_int_equal(chunk_index_apply(x, NULL, NULL, &e), 0); /* it is staged still */
	m->manifest = 3;
	manifest = manifest_of(m);
	assert_int_equal(chunk_index_commit(x, &manifest, &e), 0);
	m->there[5] = false;
	agrees(x, m);
	chunk_index_close(x);
	close(go[0]);
	close(go[1]);
	free(m);
	free(other);
	test_dir_remove(dir);
}

/* Who looks sees one state, and that only where it is the right one. */
static void one_look(void **state)
{
	char *dir = test_dir_make();
	struct model *m = calloc(1, sizeof(*m)), *other = calloc(1, sizeof(*m));
	struct chunk_id mine, others;
	struct chunk_index *x = NULL;
	struct source s = { .model = m };
	struct err e = ERR_INIT;
	int go[2], status;
	pid_t pid;

	(void)state;
	random_state = test_seed();
	for (size_t a = 0; a < ARCHIVES; a++)
		make_archive(m, a);
	m->manifest = 1;
	*other = *m;
	others_write(other);
	mine = manifest_of(m);
	others = manifest_of(other);
	assert_int_equal(pipe(go), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		char c;

		if (read(go[0], &c, 1) != 1)
			_exit(1);
		sync_elsewhere(dir, other);
		_exit(0);
	}
	assert_int_equal(chunk_index_open(&x, dir, &e), 0);
	assert_int_equal(chunk_index_look(x, &mine, &e), 0);
	assert_int_equal(sync_with(x, m, &s), 0);
	assert_int_equal(chunk_index_look(x, &others, &e), 0);
	assert_int_equal(chunk_index_look(x, &mine, &e), 1);
	totals_agree(x, m);
	assert_int_equal(write(go[1], "x", 1), 1);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	agrees(x, m); /* still */
	chunk_index_look_end(x);
	assert_int_equal(chunk_index_look(x, &mine, &e), 0);
	assert_int_equal(chunk_index_look(x, &others, &e), 1);
	agrees(x, other);
	chunk_index_close(x); /* ends the look */
	close(go[0]);
	close(go[1]);
	free(m);
	free(other);
	test_dir_remove(dir);
}

/* Both begin at the same moment, with nothing. */
static void both_build_it(void **state)
{
	char *dir = test_dir_make();
	struct model *m = calloc(1, sizeof(*m));
	struct chunk_index *x = NULL;
	struct source s = { .model = m };
	struct err e = ERR_INIT;
	int status;
	pid_t pid;

	(void)state;
	random_state = test_seed();
	for (size_t a = 0; a < ARCHIVES; a++)
		make_archive(m, a);
	m->manifest = 1;
	for (int i = 0; i < 5; i++) {
		fflush(NULL); /* else the child may write it again */
		pid = fork();
		if (pid == 0) {
			sync_elsewhere(dir, m);
			_exit(0);
		}
		assert_int_equal(chunk_index_open(&x, dir, &e), 0);
		assert_int_equal(sync_with(x, m, &s), 0);
		agrees(x, m);
		chunk_index_close(x);
		waitpid(pid, &status, 0);
		assert_int_equal(status, 0);
		m->manifest++;
		make_archive(m, 2);
		m->there[7] = !m->there[7];
	}
	free(m);
	test_dir_remove(dir);
}

static void an_archive_that_cannot_be_read(void **state)
{
	char *dir = test_dir_make();
	struct model *m = calloc(1, sizeof(*m));
	struct source s = { .model = m, .fail_at = 4 };
	struct chunk_index *x = NULL;
	struct err e = ERR_INIT;

	(void)state;
	random_state = test_seed();
	for (size_t a = 0; a < ARCHIVES; a++)
		make_archive(m, a);
	m->manifest = 1;
	assert_int_equal(chunk_index_open(&x, dir, &e), 0);
	assert_int_equal(sync_with(x, m, &s), -EIO);
	s = (struct source){ .model = m };
	assert_int_equal(sync_with(x, m, &s), 0);
	assert_int_equal(s.reads, ARCHIVES - 3); /* three were kept */
	agrees(x, m);
	chunk_index_close(x);
	free(m);
	test_dir_remove(dir);
}

/* Flip bytes of the file at random: whatever is answered is right, or -EBADMSG, and after that a
 * synchronisation makes it good. */
/* 1 right, 0 damage was found. */
static int all_right(struct chunk_index *x, const struct model *m)
{
	struct err e = ERR_INIT;

	for (size_t c = 0; c < CHUNKS; c++) {
		struct chunk_id id = chunk_of(c);
		struct chunk_count got = { 0 };
		uint64_t n = count_in(m, c);
		int rc = chunk_index_get(x, &id, &got, &e);

		if (rc == -EBADMSG)
			return 0;
		if (rc < 0 || rc != (n > 0) || (n && got.refs != n))
			_exit(3);
	}
	return 1;
}

static void ask_damaged(const char *dir, struct model *m)
{
	struct chunk_index *x = NULL;
	struct source s = { .model = m };
	struct err e = ERR_INIT;

	if (chunk_index_open(&x, dir, &e) < 0)
		_exit(1);
	if (sync_with(x, m, &s) < 0)
		_exit(2);
	if (!all_right(x, m) && (sync_with(x, m, &s) < 0 || !all_right(x, m)))
		_exit(4);
	chunk_index_close(x);
}

static void flipped_bytes(void **state)
{
	char *dir = test_dir_make(), path[4096];
	struct model *m = calloc(1, sizeof(*m));
	size_t noticed = 0, died = 0;

	(void)state;
	random_state = test_seed();
	for (size_t a = 0; a < ARCHIVES; a++)
		make_archive(m, a);
	m->manifest = 1;
	snprintf(path, sizeof(path), "%s/chunks.mdb", dir);
	for (size_t i = 0; i < test_count(60, 2000); i++) {
		struct stat st, after;
		int fd, status;

		assert_int_equal(in_child(ask_damaged, dir, m), 0);
		fd = open(path, O_RDWR);
		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &st), 0);
		for (size_t n = 0; n < 1 + i % 20; n++) {
			uint8_t byte;
			/* Not the meta pages: LMDB looks at those itself. */
			off_t at = 8192 + (off_t)below((size_t)st.st_size - 8192);

			assert_int_equal(pread(fd, &byte, 1, at), 1);
			byte ^= (uint8_t)(1 + below(255));
			assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		}
		close(fd);
		status = in_child(ask_damaged, dir, m);
		assert_false(WIFEXITED(status) && WEXITSTATUS(status) != 0);
		died += WIFSIGNALED(status) != 0;
		noticed += stat(path, &after) < 0 || after.st_ino != st.st_ino;
	}
	print_message("# %zu noticed, %zu died\n", noticed, died);
	assert_true(noticed > 0);
	assert_int_equal(died, 0);
	free(m);
	test_dir_remove(dir);
}

/* --- much --- */

enum { MANY = 260000 };

static struct chunk_refs *many(const char *dir)
{
	struct chunk_refs *refs = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(chunk_refs_new(&refs, dir, &e), 0);
	for (size_t c = 2; c < MANY; c++) {
		struct chunk_id id = chunk_of(c);

		assert_int_equal(chunk_refs_add(refs, &id, 1, 2, &e), 0);
	}
	return refs;
}

static int count_orphan(void *arg, const struct chunk_id *id, const struct chunk_count *sizes,
			struct err *e)
{
	(void)id, (void)sizes, (void)e;
	++*(size_t *)arg;
	return 0;
}

/* More than one transaction holds: what an abort leaves behind is found and given back. */
static void an_archive_of_many_turns(void **state)
{
	char *dir = test_dir_make();
	struct chunk_index *x = NULL;
	struct chunk_id archive = name_of(1, 1), manifest = { { 1 } }, later = { { 2 } };
	struct chunk_id one = chunk_of(77);
	struct chunk_totals t;
	struct chunk_count count;
	struct err e = ERR_INIT;
	size_t orphans = 0;

	(void)state;
	assert_int_equal(chunk_index_open(&x, dir, &e), 0);
	assert_int_equal(chunk_index_sync(x, &manifest, NULL, 0, NULL, NULL, &e), 0);
	assert_int_equal(chunk_index_add(x, &archive, many(dir), &e), 0);
	assert_int_equal(chunk_index_apply(x, NULL, NULL, &e), 0);
	chunk_index_abort(x);
	assert_int_equal(chunk_index_get(x, &one, &count, &e), 0);
	assert_int_equal(chunk_index_apply(x, count_orphan, &orphans, &e), 0);
	assert_int_equal(orphans, 0); /* nobody ever referred to them */
	assert_int_equal(chunk_index_commit(x, &manifest, &e), 0);
	assert_int_equal(chunk_index_add(x, &archive, many(dir), &e), 0);
	assert_int_equal(chunk_index_commit(x, &later, &e), 0);
	assert_int_equal(chunk_index_totals(x, &t, &e), 0);
	assert_int_equal(t.unique_chunks, MANY - 2);
	assert_int_equal(t.csize, 2 * (MANY - 2));
	assert_int_equal(chunk_index_remove(x, &archive, &e), 0);
	assert_int_equal(chunk_index_apply(x, count_orphan, &orphans, &e), 0);
	assert_int_equal(orphans, MANY - 2);
	assert_int_equal(chunk_index_commit(x, &manifest, &e), 0);
	assert_int_equal(chunk_index_totals(x, &t, &e), 0);
	assert_int_equal(t.unique_chunks + t.unique_csize + t.size, 0);
	chunk_index_close(x);
	test_dir_remove(dir);
}

/* The disk is full in the middle of it: what was there is there, and the next one succeeds. */
static void write_without_room(const char *dir, struct model *m)
{
	struct rlimit limit = { 2 << 20, RLIM_INFINITY };
	struct chunk_index *x = NULL;
	struct source s = { .model = m };
	struct chunk_id archive = { { 9 } }, manifest = { { 2 } };
	struct err e = ERR_INIT;

	signal(SIGXFSZ, SIG_IGN);
	if (chunk_index_open(&x, dir, &e) < 0 || sync_with(x, m, &s) < 0 ||
	    chunk_index_add(x, &archive, many("/tmp"), &e) < 0)
		_exit(1);
	setrlimit(RLIMIT_FSIZE, &limit);
	if (chunk_index_commit(x, &manifest, &e) >= 0)
		_exit(2);
	chunk_index_abort(x);
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	manifest = manifest_of(m);
	if (!chunk_index_is_at(x, &manifest) || !all_right(x, m))
		_exit(3);
	manifest.b[9] = 1;
	if (chunk_index_add(x, &archive, many("/tmp"), &e) < 0 ||
	    chunk_index_commit(x, &manifest, &e) < 0)
		_exit(4);
	chunk_index_close(x);
}

static void no_room(void **state)
{
	char *dir = test_dir_make();
	struct model *m = calloc(1, sizeof(*m));

	(void)state;
	random_state = test_seed();
	for (size_t a = 0; a < ARCHIVES; a++)
		make_archive(m, a);
	m->manifest = 1;
	assert_int_equal(in_child(write_without_room, dir, m), 0);
	free(m);
	test_dir_remove(dir);
}

/* The stored size of a chunk comes with whoever knows it. */
static void unknown_stored_sizes(void **state)
{
	char *dir = test_dir_make();
	struct chunk_index *x = NULL;
	struct chunk_id first = name_of(1, 1), second = name_of(2, 1), id = chunk_of(5);
	struct chunk_id manifest = { { 1 } };
	struct chunk_refs *refs = NULL;
	struct chunk_count count;
	struct chunk_totals t;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(chunk_index_open(&x, dir, &e), 0);
	assert_int_equal(chunk_index_sync(x, &manifest, NULL, 0, NULL, NULL, &e), 0);
	assert_int_equal(chunk_refs_new(&refs, dir, &e), 0);
	assert_int_equal(chunk_refs_add(refs, &id, 100, 0, &e), 0);
	assert_int_equal(chunk_index_add(x, &first, refs, &e), 0);
	assert_int_equal(chunk_index_commit(x, &manifest, &e), 0);
	assert_int_equal(chunk_index_get(x, &id, &count, &e), 1);
	assert_int_equal(count.csize, 0);
	assert_int_equal(chunk_refs_new(&refs, dir, &e), 0);
	assert_int_equal(chunk_refs_add(refs, &id, 100, 0, &e), 0);
	assert_int_equal(chunk_refs_add(refs, &id, 100, 60, &e), 0);
	assert_int_equal(chunk_index_add(x, &second, refs, &e), 0);
	assert_int_equal(chunk_index_commit(x, &manifest, &e), 0);
	assert_int_equal(chunk_index_get(x, &id, &count, &e), 1);
	assert_int_equal(count.csize, 60);
	assert_int_equal(count.refs, 3);
	assert_int_equal(chunk_index_totals(x, &t, &e), 0);
	assert_int_equal(t.unique_csize, 60);
	chunk_index_close(x);
	test_dir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_histories),
		cmocka_unit_test(dying_between_the_commits),
		cmocka_unit_test(two_processes),
		cmocka_unit_test(one_look),
		cmocka_unit_test(both_build_it),
		cmocka_unit_test(an_archive_that_cannot_be_read),
		cmocka_unit_test(flipped_bytes),
		cmocka_unit_test(an_archive_of_many_turns),
		cmocka_unit_test(no_room),
		cmocka_unit_test(unknown_stored_sizes),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
