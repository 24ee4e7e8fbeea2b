/* recover.c - see recover.h. */

#include "core/repo/recover.h"

#include "core/base/io.h"
#include "core/codec/checksum.h"
#include "core/repo/files.h"
#include "core/repo/index_writer.h"
#include "core/repo/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint8_t commit[SEGMENT_HEAD] = {
	0x40, 0xf4, 0x3c, 0x25, 9, 0, 0, 0, SEGMENT_COMMIT
};

static int open_segment(const struct snapshot_home *home, uint32_t number, struct segment **out,
			uint64_t *size, struct err *e)
{
	int fd = files_open_segment(home->dirfd, home->segments_per_dir, number);
	struct stat st;

	if (fd < 0)
		return err_set(e, -fd, "segment %u: %s", number, strerror(-fd));
	if (fstat(fd, &st) < 0) {
		close(fd);
		return err_set(e, EIO, "segment %u: cannot stat", number);
	}
	*size = (uint64_t)st.st_size;
	return segment_open(out, fd, number, e);
}

/* Heads from the first entry to the end; nothing but COMMIT behind the first COMMIT. */
static bool heads_lead_to_commit(const struct segment *s, uint64_t size)
{
	CLEANUP(cleanup_freep) struct segment_walk *w = calloc(1, sizeof(*w));
	struct segment_entry entry;
	uint64_t off = SEGMENT_FIRST;
	bool committed = false;
	int rc;

	while (w && (rc = segment_next_head(s, w, &off, size, &entry, NULL)) == 1) {
		if (committed && entry.tag != SEGMENT_COMMIT)
			return false;
		committed = entry.tag == SEGMENT_COMMIT;
	}
	return w && rc == 0 && committed;
}

static bool ends_in_commit(const struct segment *s, uint64_t size)
{
	uint8_t tail[SEGMENT_HEAD];

	return size >= SEGMENT_FIRST + SEGMENT_HEAD &&
	       read_exact(segment_fd(s), tail, sizeof(tail), size - SEGMENT_HEAD) == 1 &&
	       memcmp(tail, commit, sizeof(commit)) == 0;
}

int recover_is_committed(const struct snapshot_home *home, uint32_t number, struct err *e)
{
	CLEANUP(segment_closep) struct segment *s = NULL;
	uint64_t size;
	int rc = open_segment(home, number, &s, &size, e);

	if (rc == -EBADMSG || rc == -ENOTSUP || rc == -EISDIR)
		return 0; /* something, but no segment */
	if (rc < 0)
		return rc;
	return ends_in_commit(s, size) &&
	       (size == SEGMENT_FIRST + SEGMENT_HEAD || heads_lead_to_commit(s, size));
}

static int apply(struct table *changes, const struct segment_entry *entry, uint32_t number,
		 uint64_t off)
{
	struct place *at;

	if (entry->tag == SEGMENT_COMMIT)
		return 0;
	at = table_put(changes, &entry->id, NULL);
	if (!at)
		return -ENOMEM;
	*at = entry->tag == SEGMENT_PUT ? (struct place){ number, (uint32_t)off }
					: (struct place){ UINT32_MAX, 0 };
	return 0;
}

int recover_replay(const struct snapshot_home *home, uint32_t number, struct table *changes,
		   struct err *e)
{
	CLEANUP(segment_closep) struct segment *s = NULL;
	CLEANUP(cleanup_freep) struct segment_walk *w = calloc(1, sizeof(*w));
	struct segment_entry entry;
	uint64_t off = SEGMENT_FIRST, size, at;
	int rc;

	if (!w)
		return err_nomem(e, "segment");
	rc = open_segment(home, number, &s, &size, e);
	if (rc == -EBADMSG || rc == -EISDIR)
		return 0; /* no segment magic: as good as empty */
	if (rc < 0)
		return rc;
	if (size > UINT32_MAX)
		size = UINT32_MAX; /* an offset beyond cannot be named */
	for (at = off; (rc = segment_next_head(s, w, &off, size, &entry, e)) == 1; at = off)
		if (apply(changes, &entry, number, at) < 0)
			return err_nomem(e, "index");
	return rc == -EBADMSG ? 0 : rc;
}

static int cache_path(const struct snapshot_home *home, uint32_t transaction,
		      const char *suffix, char **out)
{
	if (!home->cache_dir)
		return -ENOENT;
	if (asprintf(out, "%s/index.%u%s", home->cache_dir, transaction, suffix) < 0) {
		*out = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int digest_of(int fd, uint64_t *out)
{
	struct xxh64 *h = xxh64_new();
	uint8_t piece[8192];
	uint64_t at = 0;
	ssize_t n = -ENOMEM;

	while (h && (n = read_at(fd, piece, sizeof(piece), at)) > 0) {
		xxh64_update(h, piece, (size_t)n);
		at += (uint64_t)n;
	}
	if (n == 0)
		*out = xxh64_digest(h);
	xxh64_free(h);
	return n < 0 ? (int)n : 0;
}

/* The digest goes in place first, so that no index is ever beside another's digest for long:
 * a mismatch costs a rebuild, nothing else. */
static int save_to(const struct snapshot_home *home, uint32_t transaction, int fd,
		   const char *temp)
{
	CLEANUP(cleanup_freep) char *path = NULL;
	CLEANUP(cleanup_freep) char *sum_path = NULL;
	uint64_t digest;
	uint8_t sum[8];
	int rc;

	rc = cache_path(home, transaction, "", &path);
	if (rc == 0)
		rc = cache_path(home, transaction, ".sum", &sum_path);
	if (rc == 0)
		rc = digest_of(fd, &digest);
	if (rc < 0)
		return rc;
	put_le64(sum, digest);
	rc = file_replace(sum_path, (struct bytes){ sum, sizeof(sum) }, 0600, NULL);
	if (rc == 0 && rename(temp, path) < 0)
		rc = -errno;
	return rc;
}

/* Is this the index of another transaction, or its digest? */
static bool is_outdated(const char *name, uint32_t transaction)
{
	uint32_t number;
	int len = -1;

	if (sscanf(name, "index.%" SCNu32 "%n", &number, &len) != 1 || len < 0)
		return false;
	return number != transaction && (name[len] == '\0' || strcmp(name + len, ".sum") == 0);
}

/* Who has one of them open keeps it. */
static void remove_outdated(const struct snapshot_home *home, uint32_t transaction)
{
	DIR *d = opendir(home->cache_dir);
	struct dirent *entry;

	if (!d)
		return;
	while ((entry = readdir(d)))
		if (is_outdated(entry->d_name, transaction))
			unlinkat(dirfd(d), entry->d_name, 0);
	closedir(d);
}

int recover_save(const struct snapshot_home *home, uint32_t transaction,
		 const struct table *changes)
{
	CLEANUP(cleanup_freep) char *temp = NULL;
	CLEANUP(cleanup_closep) int fd = -1;
	int rc;

	if (!home->cache_dir)
		return -ENOENT;
	rc = make_dirs(home->cache_dir, 0700, NULL);
	if (rc < 0)
		return rc;
	if (asprintf(&temp, "%s/index.%ld.tmp", home->cache_dir, (long)getpid()) < 0) {
		temp = NULL;
		return -ENOMEM;
	}
	fd = open(temp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	rc = index_make(fd, NULL, changes, NULL);
	if (rc == 0)
		rc = save_to(home, transaction, fd, temp);
	if (rc < 0)
		unlink(temp);
	else
		remove_outdated(home, transaction);
	return rc;
}

int recover_open_cached(const struct snapshot_home *home, uint32_t transaction,
			struct index **out)
{
	CLEANUP(cleanup_freep) char *path = NULL;
	CLEANUP(cleanup_freep) char *sum_path = NULL;
	struct buf sum = BUF_INIT;
	uint64_t digest;
	bool good;
	int fd;

	if (cache_path(home, transaction, "", &path) < 0 ||
	    cache_path(home, transaction, ".sum", &sum_path) < 0)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	good = file_read(AT_FDCWD, sum_path, 8, &sum, NULL) == 0 && sum.len == 8 &&
	       digest_of(fd, &digest) == 0 && digest == get_le64(sum.p);
	buf_fini(&sum);
	if (!good) {
		close(fd);
		unlink(path);
		return 0;
	}
	return index_open(out, fd, "index", NULL) == 0;
}
