/*
 * inode_numbers.c - see inode_numbers.h.
 *
 * The file `inode-numbers` is a magic and then records, only ever appended to:
 *
 *      at  size  field
 *       0     4  number, little-endian
 *       4    32  id of the archive
 *      36     4  crc32 of the 36 bytes before
 *
 * A record that cannot be believed ends the file: the next one is written over it.
 */

#include "core/archive/inode_numbers.h"

#include "core/base/io.h"
#include "core/base/table.h"
#include "core/base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>
#include <zlib.h>

enum { MAGIC_SIZE = 8, RECORD = 40, CRC_AT = 36, NUMBER_MAX = 0x7fffffff };

static const char magic[MAGIC_SIZE + 1] = "ALCVINO1";

struct inode_numbers {
	struct mutex lock;   /* guards everything below */
	struct table by_id;  /* struct chunk_id -> uint32_t */
	struct table in_use; /* uint32_t -> uint8_t */
	int fd;              /* -1: memory only */
	uint64_t end;        /* of the records read so far */
};

int inode_numbers_open(struct inode_numbers **out, const char *cache_dir, struct err *e)
{
	CLEANUP(inode_numbers_closep) struct inode_numbers *n = calloc(1, sizeof(*n));
	CLEANUP(cleanup_freep) char *path = NULL;

	if (!n)
		return err_nomem(e, "inode numbers");
	n->fd = -1;
	mutex_init(&n->lock);
	table_init(&n->by_id, sizeof(struct chunk_id), sizeof(uint32_t));
	table_init(&n->in_use, sizeof(uint32_t), sizeof(uint8_t));
	if (cache_dir) {
		path = path_join(cache_dir, "inode-numbers");
		if (!path)
			return err_nomem(e, "inode numbers");
		n->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (n->fd < 0) /* what was given holds, also where nothing can be added */
			n->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	*out = TAKE(n);
	return 0;
}

void inode_numbers_close(struct inode_numbers *n)
{
	if (!n)
		return;
	if (n->fd >= 0)
		close(n->fd);
	table_fini(&n->by_id);
	table_fini(&n->in_use);
	mutex_fini(&n->lock);
	free(n);
}

static int keep_locked(struct inode_numbers *n, const struct chunk_id *id, uint32_t number)
{
	uint32_t *known = table_put(&n->by_id, id, NULL);

	if (!known || !table_put(&n->in_use, &number, NULL))
		return -ENOMEM;
	*known = number;
	return 0;
}

static bool is_good(const struct inode_numbers *n, const uint8_t *record,
		    const struct chunk_id *id, uint32_t number)
{
	return crc32(0, record, CRC_AT) == get_le32(record + CRC_AT) && number > 0 &&
	       number <= NUMBER_MAX && !table_get(&n->in_use, &number) &&
	       !table_get(&n->by_id, id);
}

/* Take in what the file has gained. */
static int catch_up_locked(struct inode_numbers *n)
{
	uint8_t record[RECORD];
	struct chunk_id id;

	if (n->end == 0) {
		if (read_at(n->fd, record, MAGIC_SIZE, 0) != MAGIC_SIZE ||
		    memcmp(record, magic, MAGIC_SIZE) != 0) {
			if (ftruncate(n->fd, 0) < 0 ||
			    write_all_at(n->fd, magic, MAGIC_SIZE, 0) < 0)
				return -EIO;
		}
		n->end = MAGIC_SIZE;
	}
	while (read_at(n->fd, record, RECORD, n->end) == RECORD) {
		uint32_t number = get_le32(record);

		memcpy(id.b, record + 4, sizeof(id.b));
		if (!is_good(n, record, &id, number))
			break;
		if (keep_locked(n, &id, number) < 0)
			return -ENOMEM;
		n->end += RECORD;
	}
	return 0;
}

static int choose_locked(struct inode_numbers *n, const struct chunk_id *id, uint32_t *number)
{
	*number = get_le32(id->b) & NUMBER_MAX;
	while (*number == 0 || table_get(&n->in_use, number))
		*number = *number == NUMBER_MAX ? 1 : *number + 1;
	return keep_locked(n, id, *number);
}

/* Where the file cannot be written, it is done without from here on: others may keep there what
 * we gave in memory, and what they write behind that must not be written over. */
static void append_locked(struct inode_numbers *n, const struct chunk_id *id, uint32_t number)
{
	uint8_t record[RECORD];

	put_le32(record, number);
	memcpy(record + 4, id->b, sizeof(id->b));
	put_le32(record + CRC_AT, (uint32_t)crc32(0, record, CRC_AT));
	if (write_all_at(n->fd, record, RECORD, n->end) == 0) {
		n->end += RECORD;
	} else {
		close(n->fd); /* and with it goes the lock */
		n->fd = -1;
	}
}

static int give_locked(struct inode_numbers *n, const struct chunk_id *id, uint32_t *number)
{
	bool filed = n->fd >= 0 && flock(n->fd, LOCK_EX) == 0;
	const uint32_t *known;
	int rc = 0;

	if (filed && catch_up_locked(n) < 0) {
		(void)flock(n->fd, LOCK_UN);
		filed = false;
	}
	known = table_get(&n->by_id, id); /* another process may have been first */
	if (known) {
		*number = *known;
	} else {
		rc = choose_locked(n, id, number);
		if (rc == 0 && filed)
			append_locked(n, id, *number);
	}
	if (filed && n->fd >= 0)
		(void)flock(n->fd, LOCK_UN);
	return rc;
}

int inode_numbers_get(struct inode_numbers *n, const struct chunk_id *id, uint32_t *number,
		      struct err *e)
{
	const uint32_t *known;
	int rc = 0;

	mutex_lock(&n->lock);
	known = table_get(&n->by_id, id);
	if (known)
		*number = *known;
	else
		rc = give_locked(n, id, number);
	mutex_unlock(&n->lock);
	return rc < 0 ? err_nomem(e, "inode numbers") : 0;
}
