/* create.c - see create.h. */

#include "core/repo/create.h"

#include "core/base/io.h"
#include "core/repo/files.h"
#include "core/repo/recover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	README_HEAD = 100, /* bytes that tell a repository */
	SEGMENTS_PER_DIR = 1000,
	FIRST_SEGMENTS = 3, /* of the first transaction, at most */
	MAX_SEGMENT_SIZE = 500 * 1024 * 1024,
};

static const char readme[] = "This is a Borg Backup repository.\n"
			     "See https://borgbackup.readthedocs.io/\n";

static bool is_repository(const char *path)
{
	CLEANUP(cleanup_freep) char *name = path_join(path, "README");
	CLEANUP(cleanup_closep)
	int fd = name ? open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	uint8_t head[README_HEAD];
	ssize_t n = fd < 0 ? -1 : read_at(fd, head, sizeof(head), 0);

	return n > 0 && (memmem(head, (size_t)n, "Borg Backup repository", 22) ||
			 memmem(head, (size_t)n, "Borg repository", 15));
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Segments have their places by a number in the config, but the first ones. */
static bool has_first_folder_only(int dirfd)
{
	int fd = openat(dirfd, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool is = d || errno == ENOENT;

	while (d && is && (entry = readdir(d)))
		is = is_dot(entry->d_name) || strcmp(entry->d_name, "0") == 0;
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	return is;
}

/* Was its first transaction never committed?  Of what is more than a beginning nobody must hear that
 * it can be removed. */
static bool is_unfinished(const char *path)
{
	CLEANUP(cleanup_closep) int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct snapshot_home home = { .dirfd = dirfd,
					    .path = path,
					    .segments_per_dir = SEGMENTS_PER_DIR };
	struct segment_list segments = { 0 };
	uint32_t index;
	bool is = dirfd >= 0 && files_newest_index(dirfd, &index, NULL) == 0 &&
		  has_first_folder_only(dirfd);
	int rc = is ? files_segments(dirfd, SEGMENTS_PER_DIR, 0, &segments, NULL) : 0;

	is = is && (rc == 0 || rc == -ENOENT); /* data is made after README */
	for (size_t i = 0; is && i < segments.count; i++)
		is = segments.numbers[i] < FIRST_SEGMENTS &&
		     recover_is_committed(&home, segments.numbers[i], NULL) == 0;
	segment_list_fini(&segments);
	return is;
}

static int already_exists(const char *path, struct err *e)
{
	if (is_unfinished(path))
		return err_set_id(e, EEXIST, "Repository.AlreadyExists",
				  "A repository already exists at %s. It was never finished: "
				  "remove that folder to begin again.",
				  path);
	return err_set_id(e, EEXIST, "Repository.AlreadyExists",
			  "A repository already exists at %s.", path);
}

/* What file_replace() leaves when it is killed. */
static bool is_rest(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && strncmp(name, "README-", 7) == 0 &&
	       strcmp(name + len - 4, ".tmp") == 0;
}

/* Nothing is there, or the first file of a repository that was not written to its end: that goes. */
static bool is_empty_dir(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *entry;
	bool empty = d != NULL;

	while (empty && (entry = readdir(d)))
		empty = is_dot(entry->d_name) || is_rest(entry->d_name);
	if (empty)
		rewinddir(d);
	while (empty && (entry = readdir(d)))
		if (is_rest(entry->d_name))
			empty = unlinkat(dirfd(d), entry->d_name, 0) == 0;
	if (d)
		closedir(d);
	return empty;
}

/* A repository inside another one would end among its segments. */
static int check_above(char *path, struct err *e)
{
	for (char *slash; (slash = strrchr(path, '/')) && path[1];) {
		slash[slash == path ? 1 : 0] = '\0';
		if (is_repository(path))
			return already_exists(path, e);
	}
	return 0;
}

static int check_place(const char *path, struct err *e)
{
	CLEANUP(cleanup_freep) char *above = strdup(path);
	struct stat st;

	if (!above)
		return err_nomem(e, "repository");
	if (stat(path, &st) == 0) {
		if (is_repository(path))
			return already_exists(path, e);
		if (!is_empty_dir(path))
			return err_set_id(e, EEXIST, "Repository.PathAlreadyExists",
					  "There is already something at %s.", path);
	}
	return check_above(above, e);
}

/* The folder above the last name; "" is the root. */
static void cut(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = '\0';
}

/* Its name is durable, and those of the folders above that were made for it. */
static int sync_above(const char *path, const char *known, struct err *e)
{
	CLEANUP(cleanup_freep) char *above = strdup(path);

	if (!above)
		return err_nomem(e, "repository");
	do {
		int rc;

		cut(above);
		rc = sync_dir(*above ? above : "/");
		if (rc < 0)
			return err_set(e, -rc, "%s: cannot sync the folder: %s", above,
				       strerror(-rc));
	} while (strlen(above) > strlen(known));
	return 0;
}

static int make_folder(const char *path, bool parents, struct err *e)
{
	CLEANUP(cleanup_freep) char *known = strdup(path);
	struct stat st;
	int rc;

	if (!known)
		return err_nomem(e, "repository");
	while (*known && stat(known, &st) < 0)
		cut(known);
	if (strcmp(known, path) == 0)
		return 0;
	if (parents) {
		rc = make_dirs(path, 0777, e);
		if (rc < 0)
			return rc;
	}
	if (stat(path, &st) == 0 || mkdir(path, 0777) == 0)
		return sync_above(path, known, e);
	if (errno == ENOENT)
		return err_set_id(e, ENOENT, "Repository.ParentPathDoesNotExist",
				  "The parent path of the repo directory [%s] does not exist.",
				  path);
	return err_set(e, errno, "%s: %s", path, strerror(errno));
}

static int config_text(const struct repo_creation *how, struct buf *out, struct err *e)
{
	char hex[CHUNK_ID_HEX], numbers[160];
	struct chunk_id id;

	if (getrandom(id.b, sizeof(id.b), 0) != sizeof(id.b))
		return err_set(e, EIO, "no random numbers");
	snprintf(numbers, sizeof(numbers),
		 "version = 1\nsegments_per_dir = %d\nmax_segment_size = %d\n"
		 "append_only = %d\nstorage_quota = %" PRIu64 "\n",
		 SEGMENTS_PER_DIR, MAX_SEGMENT_SIZE, how->append_only, how->storage_quota);
	if (buf_append_str(out, "[repository]\n") < 0 || buf_append_str(out, numbers) < 0 ||
	    buf_append_str(out, "additional_free_space = 0\nid = ") < 0 ||
	    buf_append_str(out, id_hex(&id, hex)) < 0 || buf_append_str(out, "\n\n") < 0)
		return err_nomem(e, "config");
	return 0;
}

static int make_file(const char *dir, const char *name, struct bytes content, struct err *e)
{
	CLEANUP(cleanup_freep) char *path = path_join(dir, name);

	return path ? file_replace(path, content, 0666, e) : err_nomem(e, name);
}

int repo_create(const struct location *where, const struct repo_creation *how, struct err *e)
{
	CLEANUP(cleanup_freep) char *path = location_canonical(where);
	CLEANUP(cleanup_freep) char *data = path ? path_join(path, "data") : NULL;
	CLEANUP(buf_fini) struct buf config = BUF_INIT;
	int rc;

	if (where->proto != LOCATION_FILE)
		return err_set(e, ENOTSUP,
			       "%s: repositories on other hosts cannot be made yet, only local "
			       "ones",
			       where->host);
	if (!path || !data)
		return err_nomem(e, "repository");
	rc = check_place(path, e);
	if (rc == 0)
		rc = make_folder(path, how->make_parent_dirs, e);
	if (rc == 0)
		rc = make_file(path, "README", bytes_str(readme), e);
	if (rc == 0 && mkdir(data, 0777) < 0)
		rc = err_set(e, errno, "%s: %s", data, strerror(errno));
	if (rc == 0)
		rc = config_text(how, &config, e);
	return rc == 0 ? make_file(path, "config", buf_bytes(&config), e) : rc;
}

/* The config first: what is left after a crash is no repository any more. */
int repo_destroy(struct repo *r, struct err *e)
{
	CLEANUP(cleanup_freep) char *path = strdup(repo_path(r));
	CLEANUP(cleanup_freep) char *config = path_join(repo_path(r), "config");
	bool append_only = repo_config(r)->append_only;
	int rc = 0;

	if (append_only)
		rc = err_set(e, EPERM, "%s is in append-only mode", repo_path(r));
	else if (!path || !config)
		rc = err_nomem(e, "repository");
	else if (unlink(config) < 0)
		rc = err_set(e, errno, "%s: %s", config, strerror(errno));
	if (rc == 0)
		rc = remove_tree(path, e);
	repo_close(r);
	return rc;
}
