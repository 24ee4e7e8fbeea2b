/*
 * writer_files.c - the files that a writer makes and removes beside the log: index, hints and
 * integrity of a transaction, segments that are no longer needed.
 *
 * At any moment a power cut leaves something every Borg can open: all three are complete under other
 * names before the first gets its own, and the index gets its own when those of the others are
 * durable, because it is what says that the transaction is there.  (Borg renames hints and index at
 * once, and complains where only the index came through.)
 */

#include "core/repo/writer_internal.h"

#include "core/base/io.h"
#include "core/base/log.h"
#include "core/base/size_text.h"
#include "core/codec/mp.h"
#include "core/repo/files.h"
#include "core/repo/index_writer.h"
#include "core/repo/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static const char logger[] = "borg.repository";

enum { CHANGES_IN_MEMORY = 390000 /* as many as fit a table before it doubles */ };

static int folder_fd(const struct writer *w)
{
	return w->home.folder->dirfd;
}

static int fail(const struct writer *w, const char *name, int rc, struct err *e)
{
	return err_set(e, -rc, "%s/%s: %s", w->home.folder->path, name, strerror(-rc));
}

static void segment_path(const struct writer *w, uint32_t number, char out[48])
{
	snprintf(out, 48, "data/%" PRIu32 "/%" PRIu32,
		 number / w->home.folder->segments_per_dir, number);
}

/* --- segments --- */

int writer_segment_size(struct writer *w, uint32_t number, uint64_t *size)
{
	struct stat st;
	char path[48];

	segment_path(w, number, path);
	if (fstatat(folder_fd(w), path, &st, 0) < 0)
		return -errno;
	*size = (uint64_t)st.st_size;
	return st.st_size == 0 ? -ENOENT : 0;
}

/* A full file system may have no room for the unlink's own record: emptying the file makes some. */
int writer_remove_segment(struct writer *w, uint32_t number, struct err *e)
{
	char path[48];
	int rc;

	segment_path(w, number, path);
	descriptors_drop(w->home.descriptors, number);
	rc = unlinkat(folder_fd(w), path, 0) < 0 ? -errno : 0;
	if (rc == -ENOSPC) {
		int fd = openat(folder_fd(w), path, O_WRONLY | O_TRUNC | O_CLOEXEC);

		cleanup_closep(&fd);
		rc = unlinkat(folder_fd(w), path, 0) < 0 ? -errno : 0;
	}
	return rc < 0 && rc != -ENOENT ? fail(w, path, rc, e) : 0;
}

int writer_remove_uncommitted(struct writer *w, struct err *e)
{
	struct segment_list l;
	uint32_t first = w->transaction + 1;
	int rc = files_segments(folder_fd(w), w->home.folder->segments_per_dir, first, &l, e);

	if (rc < 0)
		return rc;
	for (size_t i = l.count; rc == 0 && i > 0; i--)
		rc = writer_remove_segment(w, l.numbers[i - 1], e);
	segment_list_fini(&l);
	return rc;
}

static int sync_path(const struct writer *w, const char *path, struct err *e)
{
	CLEANUP(cleanup_closep)
	int fd = openat(folder_fd(w), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0;
	return fd < 0 || fsync(fd) < 0 ? fail(w, path, -errno, e) : 0;
}

int writer_sync_folder(struct writer *w, uint32_t dir, struct err *e)
{
	char path[32];

	snprintf(path, sizeof(path), "data/%" PRIu32, dir);
	return sync_path(w, path, e);
}

int writer_sync_segments(struct writer *w, const uint32_t *numbers, size_t count, struct err *e)
{
	uint32_t per_dir = w->home.folder->segments_per_dir;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		CLEANUP(segment_closep) struct segment *s = NULL;
		uint64_t size;

		if (writer_segment_size(w, numbers[i], &size) == 0)
			rc = descriptors_get(w->home.descriptors, numbers[i], &s, e);
		if (rc == 0 && s && fdatasync(segment_fd(s)) < 0)
			rc = fail(w, "data", -errno, e);
		if (rc == 0 &&
		    (i + 1 == count || numbers[i] / per_dir != numbers[i + 1] / per_dir))
			rc = writer_sync_folder(w, numbers[i] / per_dir, e);
	}
	return rc == 0 && count > 0 ? sync_path(w, "data", e) : rc;
}

void writer_remove_empty_folders(struct writer *w)
{
	int fd = openat(folder_fd(w), "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.')
			(void)unlinkat(dirfd(d), entry->d_name, AT_REMOVEDIR);
	closedir(d);
}

/* --- index, hints, integrity --- */

/* "WHAT.N.tmp", created anew. */
static int create_temp(const struct writer *w, const char *what, char name[48], int *fd,
		       struct err *e)
{
	snprintf(name, 48, "%s.%" PRIu32 ".tmp", what, w->transaction);
	*fd = openat(folder_fd(w), name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	return *fd < 0 ? fail(w, name, -errno, e) : 0;
}

static int finish_temp(const struct writer *w, const char *name, int fd, int rc, struct err *e)
{
	if (rc == 0 && fsync(fd) < 0)
		rc = fail(w, name, -errno, e);
	if (close(fd) < 0 && rc == 0)
		rc = fail(w, name, -errno, e);
	return rc;
}

static int write_temp(const struct writer *w, const char *what, struct bytes content,
		      struct err *e)
{
	char name[48];
	int fd, rc = create_temp(w, what, name, &fd, e);

	if (rc < 0)
		return rc;
	rc = write_all(fd, content.p, content.len);
	if (rc < 0)
		rc = fail(w, name, rc, e);
	return finish_temp(w, name, fd, rc, e);
}

static int write_hints(struct writer *w, struct buf *digest, struct err *e)
{
	CLEANUP(buf_fini) struct buf packed = BUF_INIT;

	if (hints_pack(&w->hints, &packed) < 0 ||
	    hints_digest(buf_bytes(&packed), w->transaction, digest) < 0)
		return err_nomem(e, "hints");
	return write_temp(w, "hints", buf_bytes(&packed), e);
}

static int write_table(struct writer *w, struct buf *digest, struct err *e)
{
	char temp[48], name[24];
	int fd, rc = create_temp(w, "index", temp, &fd, e);

	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "index.%" PRIu32, w->transaction);
	rc = index_make(fd, w->index, &w->changes, e);
	if (rc == 0)
		rc = index_digest(fd, name, digest, e);
	return finish_temp(w, temp, fd, rc, e);
}

static int write_integrity(struct writer *w, const struct buf *hints, const struct buf *index,
			   struct err *e)
{
	CLEANUP(buf_fini) struct buf b = BUF_INIT;

	if (mp_put_map(&b, 3) < 0 || mp_put_str(&b, bytes_str("version")) < 0 ||
	    mp_put_uint(&b, 2) < 0 || mp_put_str(&b, bytes_str("hints")) < 0 ||
	    mp_put_str(&b, buf_bytes(hints)) < 0 || mp_put_str(&b, bytes_str("index")) < 0 ||
	    mp_put_str(&b, buf_bytes(index)) < 0)
		return err_nomem(e, "integrity");
	return write_temp(w, "integrity", buf_bytes(&b), e);
}

static int rename_temp(const struct writer *w, const char *what, struct err *e)
{
	char from[48], to[32];

	snprintf(to, sizeof(to), "%s.%" PRIu32, what, w->transaction);
	snprintf(from, sizeof(from), "%s.tmp", to);
	return renameat(folder_fd(w), from, folder_fd(w), to) < 0 ? fail(w, to, -errno, e) : 0;
}

static int sync_folder(const struct writer *w, struct err *e)
{
	return fsync(folder_fd(w)) < 0 ? fail(w, "", -errno, e) : 0;
}

static int put_in_place(const struct writer *w, struct err *e)
{
	int rc = rename_temp(w, "integrity", e);

	if (rc == 0)
		rc = rename_temp(w, "hints", e);
	if (rc == 0)
		rc = sync_folder(w, e);
	if (rc == 0)
		rc = rename_temp(w, "index", e);
	return rc == 0 ? sync_folder(w, e) : rc;
}

/* What a writer who was killed in file_replace() left: who has the lock is alone here. */
static bool is_rest(const char *name)
{
	static const char *const files[] = { "nonce-", "config-", "lock.roster-", "README-" };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		size_t len = strlen(files[i]), digits = 0;

		if (strncmp(name, files[i], len) != 0)
			continue;
		digits = strspn(name + len, "0123456789");
		return digits > 0 && strcmp(name + len + digits, ".tmp") == 0;
	}
	return false;
}

static bool is_outdated(const struct writer *w, const char *name)
{
	static const char *const kinds[] = { "index.", "hints.", "integrity." };
	char current[16];

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = strlen(kinds[i]);

		if (strncmp(name, kinds[i], len) != 0)
			continue;
		snprintf(current, sizeof(current), "%" PRIu32, w->transaction);
		return strcmp(name + len, current) != 0;
	}
	return false;
}

/* What cannot be removed now is removed by the next one. */
static void remove_outdated(const struct writer *w)
{
	int fd = openat(folder_fd(w), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(d)))
		if (is_outdated(w, entry->d_name) || is_rest(entry->d_name))
			(void)unlinkat(dirfd(d), entry->d_name, 0);
	closedir(d);
}

/* In append-only mode every transaction is on record, so that one can be gone back to. */
static int log_transaction(const struct writer *w, struct err *e)
{
	CLEANUP(cleanup_closep) int fd = -1;
	struct timespec now;
	struct tm utc;
	char line[96], date[40];
	int n, rc;

	if (!w->home.config->append_only)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	n = snprintf(line, sizeof(line), "transaction %" PRIu32 ", UTC time %s.%06ld\n",
		     w->transaction, date, now.tv_nsec / 1000);
	fd = openat(folder_fd(w), "transactions", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
		    0666);
	rc = fd < 0 ? -errno : write_all(fd, line, (size_t)n);
	return rc < 0 ? fail(w, "transactions", rc, e) : 0;
}

/* From now on this index instead of the old one and its changes. */
static void take_index(struct writer *w, struct index *index)
{
	struct index *before;

	mutex_lock(&w->find_lock);
	before = w->index;
	w->index = index;
	w->finds = 0;
	table_fini(&w->changes);
	table_init(&w->changes, sizeof(struct chunk_id), sizeof(struct place));
	mutex_unlock(&w->find_lock);
	index_close(before);
}

static int take_new_index(struct writer *w, struct err *e)
{
	struct index *index = NULL;
	char name[24];
	int fd, rc;

	snprintf(name, sizeof(name), "index.%" PRIu32, w->transaction);
	fd = openat(folder_fd(w), name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(w, name, -errno, e);
	rc = index_open(&index, fd, name, e);
	if (rc < 0)
		return rc;
	take_index(w, index);
	w->has_index_file = true;
	w->index_number = w->transaction;
	w->stale = false;
	return 0;
}

int writer_fold(struct writer *w, struct err *e)
{
	size_t most = w->home.changes_in_memory ? w->home.changes_in_memory : CHANGES_IN_MEMORY;
	struct index *index = NULL;
	int fd, rc;

	if (w->changes.count < most)
		return 0;
	/* Not every file system has files without names: then memory grows. */
	fd = openat(folder_fd(w), ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == ENOSPC ? fail(w, "", -ENOSPC, e) : 0;
	rc = index_make(fd, w->index, &w->changes, e);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	rc = index_open(&index, fd, "index", e);
	if (rc == 0)
		take_index(w, index);
	return rc;
}

int writer_write_index(struct writer *w, struct err *e)
{
	CLEANUP(buf_fini) struct buf hints = BUF_INIT;
	CLEANUP(buf_fini) struct buf index = BUF_INIT;
	int rc = log_transaction(w, e);

	if (rc == 0)
		rc = write_hints(w, &hints, e);
	if (rc == 0)
		rc = write_table(w, &index, e);
	if (rc == 0)
		rc = write_integrity(w, &hints, &index, e);
	if (rc == 0)
		rc = put_in_place(w, e);
	if (rc < 0)
		return rc;
	remove_outdated(w);
	return take_new_index(w, e);
}

/* --- room --- */

/* What compaction of the sparse segments may take while it copies. */
static uint64_t working_space(struct writer *w)
{
	CLEANUP(cleanup_freep) uint32_t *sparse = NULL;
	uint64_t full = w->home.config->max_segment_size + SEGMENT_ENTRY_MAX, sum = 0, size;
	size_t count;

	if (hints_sparse(&w->hints, &sparse, &count) < 0 || count >= 10)
		return full;
	for (size_t i = 0; i < count; i++) {
		int64_t freeable = hints_segment(&w->hints, sparse[i])->freeable;

		if (writer_segment_size(w, sparse[i], &size) == 0 && (int64_t)size > freeable)
			sum += size - (uint64_t)freeable;
	}
	return sum < full ? sum : full;
}

/* Borg's estimate: four times the index, the hints, what the user wants kept free. */
int writer_check_space(struct writer *w, struct err *e)
{
	uint64_t index = INDEX_HEADER + (w->count * 4 / 3 + 1031) * INDEX_BUCKET;
	uint64_t required = 4 * index + 20 * w->hints.segments.count + 4096 +
			    w->home.config->additional_free_space;
	char need[SIZE_TEXT], have[SIZE_TEXT];
	struct statvfs st;
	uint64_t available;

	if (!w->home.config->append_only)
		required += working_space(w);
	if (fstatvfs(folder_fd(w), &st) < 0) {
		log_warning(logger, "Failed to check free space before committing: %s",
			    strerror(errno));
		return 0;
	}
	available = (uint64_t)st.f_bavail * st.f_frsize;
	if (available >= required)
		return 0;
	return err_set_id(e, ENOSPC, "Repository.InsufficientFreeSpaceError",
			  "Insufficient free space to complete transaction (required: %s, "
			  "available: %s).",
			  size_text(required, false, need), size_text(available, false, have));
}
