/* sparse.c - see sparse.h. */

#include "core/platform/sparse.h"

#include <errno.h>
#include <unistd.h>

/* Where data begins at or behind at; `size` where there is none, `at` where nobody knows. */
static off_t next_data(int fd, off_t at, off_t size)
{
	off_t data = lseek(fd, at, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? size : at;
	return data < size ? data : size;
}

/* Where the data that begins at at ends. */
static off_t data_end(int fd, off_t at, off_t size)
{
	off_t hole = lseek(fd, at, SEEK_HOLE);

	/* A hole at `at` was made just now; reading it is right as well. */
	return hole > at && hole < size ? hole : size;
}

int sparse_next(int fd, off_t *at, off_t size, struct sparse_range *out)
{
	off_t data;

	if (*at >= size)
		return 0;
	data = next_data(fd, *at, size);
	*out = (struct sparse_range){ .off = *at, .is_hole = data > *at };
	*at = out->is_hole ? data : data_end(fd, *at, size);
	out->len = *at - out->off;
	return 1;
}
