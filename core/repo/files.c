/* files.c - see files.h. */

#include "core/repo/files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const uint32_t SEGMENT_MAX =
	0xfffffbff; /* the values above mean something else in an index */

/* A decimal number of 32 bits and nothing else, spelled as it is when a name is made of it. */
static bool parse_number(const char *s, uint32_t *out)
{
	unsigned long long v = 0;

	if (!*s || strlen(s) > 10 || (s[0] == '0' && s[1]))
		return false;
	for (; *s; s++) {
		if (!isdigit((unsigned char)*s))
			return false;
		v = v * 10 + (unsigned)(*s - '0');
	}
	*out = (uint32_t)v;
	return v <= UINT32_MAX;
}

static int push(struct segment_list *l, uint32_t number)
{
	if (l->count == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		uint32_t *p = realloc(l->numbers, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		l->numbers = p;
		l->cap = cap;
	}
	l->numbers[l->count++] = number;
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The numbers among the names of a folder, at least `from`, unsorted; -errno. */
static int numbers_in(int dirfd, const char *path, uint32_t from, struct segment_list *out)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	uint32_t number;

	if (!d) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (rc == 0 && (errno = 0, entry = readdir(d)))
		if (parse_number(entry->d_name, &number) && number >= from)
			rc = push(out, number);
	if (rc == 0 && errno)
		rc = -errno;
	closedir(d);
	return rc;
}

void segment_list_fini(struct segment_list *l)
{
	free(l->numbers);
	*l = (struct segment_list){ 0 };
}

/* Of what was listed from out->numbers[first] on, only segments that belong into the folder, whose
 * numbers are none of those with a meaning of their own. */
static void drop_strays(struct segment_list *out, size_t first, uint32_t dir,
			uint32_t segments_per_dir)
{
	size_t kept = first;

	for (size_t i = first; i < out->count; i++)
		if (out->numbers[i] / segments_per_dir == dir && out->numbers[i] <= SEGMENT_MAX)
			out->numbers[kept++] = out->numbers[i];
	out->count = kept;
}

int files_segments(int dirfd, uint32_t segments_per_dir, uint32_t from,
		   struct segment_list *out, struct err *e)
{
	struct segment_list dirs = { 0 };
	int rc = numbers_in(dirfd, "data", from / segments_per_dir, &dirs);

	*out = (struct segment_list){ 0 };
	/* In this order, a segment that is removed meanwhile has its copies in what is still to be
	 * listed, or in the folder that is being listed. */
	if (dirs.count)
		qsort(dirs.numbers, dirs.count, sizeof(dirs.numbers[0]), compare);
	for (size_t i = 0; rc == 0 && i < dirs.count; i++) {
		size_t before = out->count;
		char path[32];

		snprintf(path, sizeof(path), "data/%u", dirs.numbers[i]);
		rc = numbers_in(dirfd, path, from, out);
		if (rc == -ENOENT || rc == -ENOTDIR)
			rc = 0; /* emptied and removed meanwhile, or a stray file */
		drop_strays(out, before, dirs.numbers[i], segments_per_dir);
	}
	segment_list_fini(&dirs);
	if (rc < 0) {
		segment_list_fini(out);
		return err_set(e, -rc, "data: cannot list the segments: %s", strerror(-rc));
	}
	if (out->count)
		qsort(out->numbers, out->count, sizeof(out->numbers[0]), compare);
	return 0;
}

int files_newest_index(int dirfd, uint32_t *out, struct err *e)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	struct stat st;
	uint32_t number;
	int found = 0;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return err_set(e, errno, "cannot list the repository: %s", strerror(errno));
	}
	while ((entry = readdir(d))) {
		if (strncmp(entry->d_name, "index.", 6) != 0 ||
		    !parse_number(entry->d_name + 6, &number) || (found && number < *out))
			continue;
		if (fstatat(dirfd, entry->d_name, &st, 0) < 0 || st.st_size == 0)
			continue;
		*out = number;
		found = 1;
	}
	closedir(d);
	return found;
}

int files_open_segment(int dirfd, uint32_t segments_per_dir, uint32_t number)
{
	char path[48];
	int fd;

	snprintf(path, sizeof(path), "data/%u/%u", number / segments_per_dir, number);
	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int files_mark(int dirfd, struct files_mark *out)
{
	struct segment_list dirs = { 0 };
	struct stat root, data, newest = { 0 };
	char path[32];
	int rc;

	memset(out, 0, sizeof(*out));
	if (fstat(dirfd, &root) < 0 || fstatat(dirfd, "data", &data, 0) < 0)
		return -errno;
	rc = numbers_in(dirfd, "data", 0, &dirs);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < dirs.count; i++)
		if (dirs.numbers[i] > out->newest_dir)
			out->newest_dir = dirs.numbers[i];
	segment_list_fini(&dirs);
	snprintf(path, sizeof(path), "data/%u", out->newest_dir);
	if (fstatat(dirfd, path, &newest, 0) < 0 && errno != ENOENT)
		return -errno;
	out->root = root.st_mtim;
	out->data = data.st_mtim;
	out->newest = newest.st_mtim;
	return 0;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool files_mark_equal(const struct files_mark *a, const struct files_mark *b)
{
	return a->newest_dir == b->newest_dir && same_time(&a->root, &b->root) &&
	       same_time(&a->data, &b->data) && same_time(&a->newest, &b->newest);
}
