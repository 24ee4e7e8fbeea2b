/*
 * file_storm.c - one file under random operations, held against an array of bytes after each.
 *
 *   file_storm PATH SEED COUNT [STEPS]
 *
 * Reads and writes, by system call and through memory maps, truncations, holes, ranges copied within the file
 * and from another, fsync, reopening; offsets anywhere, at pages' edges often.  STEPS: letters of operations to be
 * left out, z: ranges set to zero.  The first difference is told with the operations before it; exit status 1.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 3 << 20, RANGE_MAX = 300 << 10, TOLD = 30, LINE = 100 };

static uint64_t random_state;
static const char *path;
static int fd;
static uint8_t *model, *scratch;
static size_t size;
static char told[TOLD][LINE];
static uint64_t step;
static const char *left_out = "";

static uint32_t pick(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 11) % below;
}

__attribute__((noreturn)) static void stop(const char *what)
{
	fprintf(stderr, "%s: step %" PRIu64 ": %s (%s)\n", path, step, what, strerror(errno));
	for (uint64_t i = step > TOLD ? step - TOLD + 1 : 1; i <= step; i++)
		fprintf(stderr, "  %" PRIu64 " %s\n", i, told[i % TOLD]);
	exit(1);
}

static void tell(const char *what, size_t off, size_t len)
{
	snprintf(told[step % TOLD], LINE, "%s %zu+%zu of %zu", what, off, len, size);
}

/* --- ranges --- */

static size_t some_offset(size_t below)
{
	size_t off = pick((uint32_t)below + 1);

	switch (pick(4)) {
	case 0: return off & ~(size_t)4095;
	case 1: return size < below ? size : off; /* at the end */
	default: return off;
	}
}

static size_t some_len(size_t off)
{
	size_t len = 1 + pick(pick(3) ? 9000 : RANGE_MAX);

	return off + len <= FILE_MAX ? len : FILE_MAX - off;
}

static void grow_to(size_t end)
{
	if (end <= size)
		return;
	memset(model + size, 0, end - size);
	size = end;
}

static void fill(uint8_t *p, size_t len)
{
	uint8_t first = (uint8_t)pick(256);
	bool noise = pick(2);

	for (size_t i = 0; i < len; i++)
		p[i] = noise ? (uint8_t)pick(256) : (uint8_t)(first + i / 512);
}

/* --- operations --- */

static void compare(size_t off, const uint8_t *got, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (got[i] != model[off + i]) {
			snprintf(told[step % TOLD] + strlen(told[step % TOLD]),
				 LINE - strlen(told[step % TOLD]), " !! at %zu: %02x not %02x",
				 off + i, got[i], model[off + i]);
			stop("wrong byte");
		}
}

static void read_some(void)
{
	size_t off = some_offset(FILE_MAX), len = some_len(off);
	size_t want = off >= size ? 0 : len < size - off ? len : size - off, have = 0;
	ssize_t n;

	tell("read", off, len);
	while (have < want &&
	       (n = pread(fd, scratch + have, len - have, (off_t)(off + have))) > 0)
		have += (size_t)n;
	if (have != want)
		stop("short read");
	compare(off, scratch, want);
}

static void write_some(void)
{
	size_t off = some_offset(FILE_MAX - 1), len = some_len(off);

	tell("write", off, len);
	grow_to(off + len);
	fill(model + off, len);
	if (pwrite(fd, model + off, len, (off_t)off) != (ssize_t)len)
		stop("write");
}

static void map_some(bool write)
{
	size_t off = size ? some_offset(size - 1) : 0;
	size_t len = size - off < RANGE_MAX ? size - off : 1 + pick(RANGE_MAX);
	size_t from = off & ~(size_t)4095;
	uint8_t *p;

	tell(write ? "map and write" : "map and read", off, len);
	if (len == 0)
		return;
	p = mmap(NULL, len + off - from, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED, fd,
		 (off_t)from);
	if (p == MAP_FAILED)
		stop("mmap");
	if (write) {
		fill(model + off, len);
		memcpy(p + off - from, model + off, len);
		if (pick(2) && msync(p, len + off - from, MS_SYNC) < 0)
			stop("msync");
	} else {
		compare(off, p + off - from, len);
	}
	munmap(p, len + off - from);
}

static void truncate_some(void)
{
	size_t to = some_offset(FILE_MAX);

	tell("truncate", to, 0);
	if (ftruncate(fd, (off_t)to) < 0)
		stop("ftruncate");
	grow_to(to);
	size = to;
}

static void allocate_some(void)
{
	static const int modes[] = { 0, FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_ZERO_RANGE,
				     FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE };
	size_t off = some_offset(FILE_MAX - 1), len = some_len(off);
	int mode = modes[pick(strchr(left_out, 'z') ? 3 : 5)];

	tell("fallocate", off, len);
	snprintf(told[step % TOLD] + strlen(told[step % TOLD]), 20, " mode %d", mode);
	if (fallocate(fd, mode, (off_t)off, (off_t)len) < 0)
		stop("fallocate");
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		grow_to(off + len);
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && off < size)
		memset(model + off, 0, len < size - off ? len : size - off);
}

static void copy_some(void)
{
	size_t from = some_offset(FILE_MAX - 1), len = some_len(from);
	size_t to = some_offset(FILE_MAX - 1);
	loff_t in, out;
	ssize_t n;

	if (to + len > FILE_MAX)
		len = FILE_MAX - to;
	if ((from < to ? to - from : from - to) < len)
		len = from < to ? to - from : from - to;
	tell("copy", from, len);
	snprintf(told[step % TOLD] + strlen(told[step % TOLD]), 20, " to %zu", to);
	if (from >= size)
		len = 0;
	else if (len > size - from)
		len = size - from;
	memcpy(scratch, model + from, len);
	in = (loff_t)from;
	out = (loff_t)to;
	for (size_t done = 0; done < len; done += (size_t)n)
		if ((n = copy_file_range(fd, &in, fd, &out, len - done, 0)) <= 0)
			stop("copy_file_range");
	if (len > 0) {
		grow_to(to + len);
		memcpy(model + to, scratch, len);
	}
}

/* What lies in a hole is zero; data and holes take turns up to the end. */
static void look_for_holes(void)
{
	off_t at = 0, next;

	tell("seek", 0, 0);
	while ((next = lseek(fd, at, SEEK_DATA)) >= 0) {
		for (off_t i = at; i < next; i++)
			if (model[i])
				stop("data in a hole");
		at = lseek(fd, next, SEEK_HOLE);
		if (at <= next || (size_t)at > size)
			stop("SEEK_HOLE");
	}
	if (errno != ENXIO)
		stop("SEEK_DATA");
	for (size_t i = (size_t)at; i < size; i++)
		if (model[i])
			stop("data behind the last");
}

static void reopen(void)
{
	close(fd);
	tell("reopen", 0, 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		stop("open");
}

static void sync_it(void)
{
	tell("fsync", 0, 0);
	if (fsync(fd) < 0)
		stop("fsync");
}

static void operate(void)
{
	static const char letters[] = "rrrwwwwwmMtacchos";
	char what = letters[pick(sizeof(letters) - 1)];

	if (what == 's' && pick(20))
		what = 'r';
	if (strchr(left_out, what))
		what = 'w';
	step++;
	switch (what) {
	case 'r': read_some(); break;
	case 'm': map_some(false); break;
	case 'M': map_some(true); break;
	case 't': truncate_some(); break;
	case 'a': allocate_some(); break;
	case 'c': copy_some(); break;
	case 'h': look_for_holes(); break;
	case 'o': reopen(); break;
	case 's': sync_it(); break;
	default: write_some();
	}
}

static void check_size(void)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || (size_t)st.st_size != size)
		stop("size");
}

int main(int argc, char **argv)
{
	uint64_t count;

	if (argc < 4)
		return 2;
	path = argv[1];
	random_state = strtoull(argv[2], NULL, 10) | 1;
	count = strtoull(argv[3], NULL, 10);
	if (argc > 4)
		left_out = argv[4];
	model = malloc(FILE_MAX);
	scratch = malloc(FILE_MAX);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (!model || !scratch || fd < 0)
		stop("start");
	for (uint64_t i = 0; i < count; i++) {
		operate();
		check_size();
	}
	tell("all", 0, size);
	if (lseek(fd, 0, SEEK_SET) < 0 || read(fd, scratch, FILE_MAX) != (ssize_t)size)
		stop("last read");
	compare(0, scratch, size);
	printf("%" PRIu64 " operations, %zu bytes\n", count, size);
	return 0;
}
