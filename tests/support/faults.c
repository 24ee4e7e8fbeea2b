/*
 * faults.c - a library to preload: the disk of one program below one folder, with a power switch
 * and a thumb on the scale.
 *
 * Counts the calls by which the program changes something below FAULTS_FOLDER, and lets the n-th
 * fail, or kills the program after it.  FAULTS_DISK is a copy of the folder, made before the
 * start, that is kept as a disk which forgets what was not synced: a file's bytes come to it by
 * fsync() or fdatasync() of the file, a name by fsync() of its folder.  After a kill the folder is
 * what a killed program leaves, and the copy is what a power cut leaves.
 *
 *   FAULTS_FOLDER  its real path            FAULTS_MODE  kill, EIO, ENOSPC: the n-th call;
 *   FAULTS_N       0: only count                         EIO+, ENOSPC+: it and all that follow;
 *   FAULTS_THEN    for INT; 0: never                     INT: SIGINT, and so many calls later kill
 *   FAULTS_DISK    the copy, or unset       FAULTS_LOSE  all (default), or half: of what is not
 *   FAULTS_SEED    for half                              synced, a random part has reached the disk
 *   FAULTS_LOG     file for a line a call: number, call, path
 *   FAULTS_OFF     once there is such a file, no call fails any more
 *
 * The copy may be one that an earlier program has left behind: what it lacks, nobody has synced.
 *
 * The order among names of one folder is kept where they depend on each other; everything else
 * reaches the disk in any order, bytes in blocks of BLOCK.  A call that fails may have written a
 * part.  After ENOSPC+ what takes no room succeeds.
 *
 * Threads: one call at a time.  Children of the program run without this library.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BLOCK = 512, CHUNK = 64 * 1024 };

struct node { /* a file or folder that was changed, or has something changed in it */
	dev_t dev;
	ino_t ino;
	bool is_dir;
	int live;    /* a file's bytes as the program sees them; -1: a folder */
	int disk;    /* the same on the disk */
	char id[16]; /* its name in `nodes`: all files, and folders without a place on the disk */
};

enum change_kind { ADD, ADD_DIR, RENAME, REMOVE, REMOVE_DIR };

struct change { /* of names; waits for a sync of the folder */
	enum change_kind kind;
	bool done;
	struct node *dir, *to_dir; /* to_dir, to_name: RENAME */
	char *name, *to_name;
	struct node *node;    /* ADD, ADD_DIR */
	struct node *emptied; /* the folder that goes: REMOVE_DIR, RENAME over one */
};

enum fault { FAULT_NONE, FAULT_KILL, FAULT_ERROR, FAULT_INTERRUPT };

static struct {
	pthread_mutex_t lock;
	char folder[PATH_MAX];
	size_t folder_len; /* 0: nothing is watched */
	bool has_disk;
	int nodes_fd; /* folder DISK.nodes */
	int log_fd;
	struct node **nodes;
	size_t node_count;
	struct change *changes;
	size_t change_count;
	unsigned long count, n;
	unsigned long then;
	bool kill, interrupt, from_on, half;
	char off[PATH_MAX]; /* "": none */
	int error;
	uint64_t random;
} f = { .lock = PTHREAD_MUTEX_INITIALIZER, .nodes_fd = -1, .log_fd = -1 };

static _Noreturn void die(const char *what)
{
	char text[PATH_MAX + 100];
	int n = snprintf(text, sizeof(text), "faults: %s: %s\n", what, strerror(errno));

	syscall(SYS_write, 2, text, (size_t)n);
	_exit(99);
}

static uint64_t draw(void)
{
	f.random ^= f.random << 13;
	f.random ^= f.random >> 7;
	f.random ^= f.random << 17;
	return f.random >> 11;
}

static void *grow(void *p, size_t count, size_t size)
{
	if ((count & (count - 1)) == 0)
		p = realloc(p, (count ? 2 * count : 1) * size);
	if (!p)
		die("memory");
	return p;
}

static char *copy_text(const char *s)
{
	char *copy = strdup(s);

	if (!copy)
		die("memory");
	return copy;
}

/* The system's own, not what is defined below. */
static int sys_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	return (int)syscall(SYS_openat, dirfd, path, flags | O_CLOEXEC, mode);
}

static void sys_close(int fd)
{
	if (fd >= 0)
		syscall(SYS_close, fd);
}

/* --- nodes --- */

static bool path_of(int fd, char out[PATH_MAX])
{
	char link[40];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, PATH_MAX - 1);
	if (n < 0)
		return false;
	out[n] = '\0';
	return true;
}

static bool is_below(const char *path)
{
	return strncmp(path, f.folder, f.folder_len) == 0 &&
	       (path[f.folder_len] == '/' || path[f.folder_len] == '\0');
}

static bool fd_is_below(int fd)
{
	char path[PATH_MAX];

	return path_of(fd, path) && is_below(path);
}

static struct node *node_find(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return NULL;
	for (size_t i = f.node_count; i > 0; i--)
		if (f.nodes[i - 1]->ino == st.st_ino && f.nodes[i - 1]->dev == st.st_dev)
			return f.nodes[i - 1];
	return NULL;
}

/* A number out of the program's way. */
static int aside(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, 1000);

	if (high < 0)
		die("descriptor");
	sys_close(fd);
	return high;
}

static struct node *node_new(int fd)
{
	struct node *node = calloc(1, sizeof(*node));
	struct stat st;

	if (!node || fstat(fd, &st) < 0)
		die("node");
	node->dev = st.st_dev;
	node->ino = st.st_ino;
	node->is_dir = S_ISDIR(st.st_mode);
	node->live = node->disk = -1;
	snprintf(node->id, sizeof(node->id), "%zu", f.node_count);
	if (S_ISREG(st.st_mode)) {
		char link[40];

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		node->live = sys_openat(AT_FDCWD, link, O_RDONLY, 0);
		if (node->live < 0)
			die("cannot look at a file");
		node->live = aside(node->live);
	}
	f.nodes = grow(f.nodes, f.node_count, sizeof(struct node *));
	f.nodes[f.node_count++] = node;
	return node;
}

/* A folder below ours, by a descriptor; NULL where it is not below. */
static struct node *dir_node(int fd)
{
	struct node *node = node_find(fd), *above;
	char path[PATH_MAX];
	int up;

	if (node)
		return node;
	if (!path_of(fd, path) || !is_below(path) || path[f.folder_len] == '\0')
		return NULL;
	up = sys_openat(fd, "..", O_PATH | O_DIRECTORY, 0);
	above = up < 0 ? NULL : dir_node(up);
	sys_close(up);
	if (!above)
		die(path);
	node = node_new(fd);
	if (f.has_disk) {
		node->disk = sys_openat(above->disk, strrchr(path, '/') + 1,
					O_RDONLY | O_DIRECTORY, 0);
		if (node->disk < 0)
			die(path);
		node->disk = aside(node->disk);
	}
	return node;
}

/* A file that was there before anything was changed: it is at the same place on the disk. */
static struct node *old_file(int fd, const struct node *dir, const char *name)
{
	struct node *node = node_find(fd);

	if (node)
		return node;
	node = node_new(fd);
	if (!f.has_disk)
		return node;
	if (syscall(SYS_linkat, dir->disk, name, f.nodes_fd, node->id, 0) < 0)
		die(name);
	if (node->live >= 0) {
		node->disk = sys_openat(dir->disk, name, O_RDWR, 0);
		if (node->disk < 0)
			die(name);
		node->disk = aside(node->disk);
	}
	return node;
}

static struct node *new_file(int fd)
{
	struct node *node = node_new(fd);
	struct stat st;

	if (!f.has_disk)
		return node;
	if (fstat(fd, &st) == 0)
		node->disk = sys_openat(f.nodes_fd, node->id, O_RDWR | O_CREAT | O_EXCL,
					st.st_mode & 07777);
	if (node->disk < 0)
		die("new file");
	node->disk = aside(node->disk);
	return node;
}

static struct node *new_dir(int fd)
{
	struct node *node = node_new(fd);
	struct stat st;

	if (!f.has_disk)
		return node;
	if (fstat(fd, &st) < 0 ||
	    syscall(SYS_mkdirat, f.nodes_fd, node->id, st.st_mode & 07777) < 0)
		die("new folder");
	node->disk = sys_openat(f.nodes_fd, node->id, O_RDONLY | O_DIRECTORY, 0);
	if (node->disk < 0)
		die("new folder");
	node->disk = aside(node->disk);
	return node;
}

/* --- names that wait for their folder --- */

static void change_add(struct change c)
{
	if (!f.has_disk)
		return;
	c.name = copy_text(c.name);
	if (c.to_name)
		c.to_name = copy_text(c.to_name);
	f.changes = grow(f.changes, f.change_count, sizeof(*f.changes));
	f.changes[f.change_count++] = c;
}

static bool names(const struct change *c, const struct node *dir, const char *name)
{
	return (c->dir == dir && strcmp(c->name, name) == 0) ||
	       (c->to_dir == dir && c->to_name && strcmp(c->to_name, name) == 0);
}

static bool depends(const struct change *later, const struct change *earlier)
{
	if (names(earlier, later->dir, later->name) ||
	    (later->to_dir && names(earlier, later->to_dir, later->to_name)))
		return true;
	return later->emptied &&
	       (earlier->dir == later->emptied || earlier->to_dir == later->emptied);
}

static void perform(struct change *c)
{
	long rc = 0;

	switch (c->kind) {
	case ADD:
		rc = syscall(SYS_linkat, f.nodes_fd, c->node->id, c->dir->disk, c->name, 0);
		break;
	case ADD_DIR:
		rc = syscall(SYS_renameat2, f.nodes_fd, c->node->id, c->dir->disk, c->name, 0);
		break;
	case RENAME:
		rc = syscall(SYS_renameat2, c->dir->disk, c->name, c->to_dir->disk, c->to_name,
			     0);
		break;
	case REMOVE: rc = syscall(SYS_unlinkat, c->dir->disk, c->name, 0); break;
	case REMOVE_DIR: rc = syscall(SYS_unlinkat, c->dir->disk, c->name, AT_REMOVEDIR); break;
	}
	/* What is in a folder that an earlier program has removed, is not known. */
	if (rc < 0 && !(c->kind == REMOVE_DIR && !c->emptied))
		die(c->name);
	c->done = true;
}

static void settle(size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (!f.changes[i].done && depends(&f.changes[index], &f.changes[i]))
			settle(i);
	perform(&f.changes[index]);
}

static void sync_names(const struct node *dir)
{
	for (size_t i = 0; i < f.change_count; i++)
		if (!f.changes[i].done &&
		    (f.changes[i].dir == dir || f.changes[i].to_dir == dir))
			settle(i);
}

static bool is_ready(size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (!f.changes[i].done && depends(&f.changes[index], &f.changes[i]))
			return false;
	return true;
}

/* --- bytes that wait for their file --- */

static size_t read_block(int fd, uint8_t *out, size_t len, off_t off)
{
	ssize_t n = pread(fd, out, len, off);

	if (n < 0)
		die("read");
	memset(out + n, 0, len - (size_t)n);
	return (size_t)n;
}

static void copy_block(const struct node *node, size_t len, off_t off)
{
	uint8_t live[CHUNK], disk[CHUNK];
	size_t n = read_block(node->live, live, len, off);

	read_block(node->disk, disk, len, off);
	if (n > 0 && memcmp(live, disk, n) != 0 &&
	    syscall(SYS_pwrite64, node->disk, live, n, off) != (ssize_t)n)
		die("write");
}

static off_t size_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		die("size");
	return st.st_size;
}

static void set_size(const struct node *node, off_t size)
{
	if (size_of(node->disk) != size && syscall(SYS_ftruncate, node->disk, size) < 0)
		die("size");
}

static void sync_bytes(const struct node *node)
{
	off_t size = size_of(node->live);

	for (off_t off = 0; off < size; off += CHUNK)
		copy_block(node, CHUNK, off);
	set_size(node, size);
}

/* Its size is the old one, the new one, or the new one cut; of the blocks, any. */
static void sync_some_bytes(const struct node *node)
{
	off_t before = size_of(node->disk), size = size_of(node->live);

	if (draw() % 3 == 0)
		size = before;
	else if (size > before && draw() % 3 == 0)
		size = before + (off_t)(draw() % (uint64_t)(size - before));
	for (off_t off = 0; off < size; off += BLOCK)
		if (draw() % 2)
			copy_block(node, BLOCK, off);
	set_size(node, size);
}

static void sync_node(const struct node *node)
{
	if (!f.has_disk)
		return;
	if (node->is_dir)
		sync_names(node);
	else if (node->live >= 0)
		sync_bytes(node);
}

/* What reaches the disk by itself before the power is gone. */
static void lose(void)
{
	if (!f.has_disk || !f.half)
		return;
	for (size_t i = 0; i < f.change_count; i++)
		if (!f.changes[i].done && is_ready(i) && draw() % 2)
			perform(&f.changes[i]);
	for (size_t i = 0; i < f.node_count; i++)
		if (f.nodes[i]->live >= 0)
			sync_some_bytes(f.nodes[i]);
}

/* --- what an earlier program has left unsynced --- */

static bool same_bytes(int a, int b)
{
	off_t size = size_of(a);
	uint8_t x[CHUNK], y[CHUNK];

	for (off_t off = 0; off < size; off += CHUNK) {
		read_block(a, x, CHUNK, off);
		read_block(b, y, CHUNK, off);
		if (memcmp(x, y, CHUNK) != 0)
			return false;
	}
	return size == size_of(b);
}

static void adopt_dir(struct node *dir, int live);

static void adopt_entry(struct node *dir, int live, char *name)
{
	int fd = sys_openat(live, name, O_RDONLY | O_NOFOLLOW, 0);
	int disk = sys_openat(dir->disk, name, O_RDONLY | O_NOFOLLOW, 0);
	struct node *node = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		die(name);
	if (disk < 0) {
		node = S_ISDIR(st.st_mode) ? new_dir(fd) : new_file(fd);
		change_add((struct change){ .kind = node->is_dir ? ADD_DIR : ADD,
					    .dir = dir,
					    .name = name,
					    .node = node });
	} else if (S_ISREG(st.st_mode) && !same_bytes(fd, disk)) {
		old_file(fd, dir, name);
	}
	if (S_ISDIR(st.st_mode))
		adopt_dir(node ? node : dir_node(fd), fd);
	sys_close(fd);
	sys_close(disk);
}

static DIR *read_dir(int fd)
{
	DIR *d = fdopendir(sys_openat(fd, ".", O_RDONLY | O_DIRECTORY, 0));

	if (!d)
		die("cannot list a folder");
	return d;
}

static void adopt_dir(struct node *dir, int live)
{
	DIR *d = read_dir(live);
	struct dirent *entry;

	while ((entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			adopt_entry(dir, live, entry->d_name);
	closedir(d);
	d = read_dir(dir->disk);
	while ((entry = readdir(d)))
		if (faccessat(live, entry->d_name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			change_add((struct change){ .kind = entry->d_type == DT_DIR ? REMOVE_DIR
										    : REMOVE,
						    .dir = dir,
						    .name = entry->d_name });
	closedir(d);
}

/* --- counting --- */

static void note(const char *call, const char *path)
{
	char line[PATH_MAX + 80];
	int n;

	if (f.log_fd < 0)
		return;
	n = snprintf(line, sizeof(line), "%lu %s %s\n", f.count, call, path);
	if (syscall(SYS_write, f.log_fd, line, (size_t)n) != n)
		die("log");
}

static bool is_switched_off(void)
{
	return f.off[0] && syscall(SYS_faccessat, AT_FDCWD, f.off, F_OK) == 0;
}

/* One changing call more: what becomes of it? */
static enum fault tick(const char *call, const char *path, bool takes_room)
{
	f.count++;
	note(call, path);
	if (f.interrupt && f.then && f.count == f.n + f.then)
		return FAULT_KILL;
	if (f.n == 0 || f.count < f.n || (f.count > f.n && !f.from_on))
		return FAULT_NONE;
	if (f.kill || f.interrupt)
		return f.kill ? FAULT_KILL : FAULT_INTERRUPT;
	if (f.from_on && f.error == ENOSPC && !takes_room)
		return FAULT_NONE;
	return is_switched_off() ? FAULT_NONE : FAULT_ERROR;
}

static enum fault tick_fd(const char *call, int fd, bool takes_room)
{
	char path[PATH_MAX];

	return tick(call, path_of(fd, path) ? path : "?", takes_room);
}

static void enter(void)
{
	pthread_mutex_lock(&f.lock);
}

static long leave(enum fault fault, long rc)
{
	int code = errno;

	if (fault == FAULT_KILL) {
		lose();
		syscall(SYS_kill, getpid(), SIGKILL);
	}
	pthread_mutex_unlock(&f.lock);
	if (fault == FAULT_INTERRUPT)
		syscall(SYS_kill, getpid(), SIGINT);
	errno = code;
	return rc;
}

static long refuse(void)
{
	errno = f.error;
	return -1;
}

/* Also called by a program that sets the variables later: one that forks to become another. */
void faults_begin(void);
void faults_end(void);

__attribute__((constructor)) void faults_begin(void)
{
	const char *folder = getenv("FAULTS_FOLDER"), *n = getenv("FAULTS_N");
	const char *disk = getenv("FAULTS_DISK"), *mode = getenv("FAULTS_MODE");
	const char *lose_what = getenv("FAULTS_LOSE"), *seed = getenv("FAULTS_SEED");
	const char *log = getenv("FAULTS_LOG"), *then = getenv("FAULTS_THEN");
	const char *off = getenv("FAULTS_OFF");
	struct rlimit files;
	char nodes[PATH_MAX];
	struct node *top;
	int fd;

	if (!folder || f.folder_len != 0)
		return;
	snprintf(f.folder, sizeof(f.folder), "%s", folder);
	f.n = n ? strtoul(n, NULL, 10) : 0;
	mode = mode ? mode : "kill";
	f.kill = strcmp(mode, "kill") == 0;
	f.interrupt = strcmp(mode, "INT") == 0;
	f.then = then ? strtoul(then, NULL, 10) : 0;
	f.error = strncmp(mode, "EIO", 3) == 0 ? EIO : ENOSPC;
	f.from_on = strchr(mode, '+') != NULL;
	snprintf(f.off, sizeof(f.off), "%s", off ? off : "");
	f.half = lose_what && strcmp(lose_what, "half") == 0;
	f.random = (seed ? strtoull(seed, NULL, 10) : 0) * 0x9E3779B97F4A7C15U | 1;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (log)
		f.log_fd =
			aside(sys_openat(AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0666));
	fd = sys_openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		die(folder);
	top = node_new(fd);
	f.has_disk = disk != NULL;
	if (disk) {
		snprintf(nodes, sizeof(nodes), "%s.nodes", disk);
		syscall(SYS_mkdirat, AT_FDCWD, nodes, 0700);
		f.nodes_fd = sys_openat(AT_FDCWD, nodes, O_RDONLY | O_DIRECTORY, 0);
		top->disk = sys_openat(AT_FDCWD, disk, O_RDONLY | O_DIRECTORY, 0);
		if (f.nodes_fd < 0 || top->disk < 0)
			die(disk);
		f.nodes_fd = aside(f.nodes_fd);
		top->disk = aside(top->disk);
	}
	f.folder_len = strlen(f.folder);
	if (disk)
		adopt_dir(top, fd);
	sys_close(fd);
	unsetenv("LD_PRELOAD");
}

/* The power may also go after the program has ended. */
__attribute__((destructor)) void faults_end(void)
{
	if (f.folder_len == 0)
		return;
	enter();
	lose();
	f.has_disk = f.half = false;
	leave(FAULT_NONE, 0);
}

/* --- calls with paths --- */

struct name { /* a path, taken apart; dir NULL: not below our folder */
	struct node *dir;
	char path[PATH_MAX], last[NAME_MAX + 1];
};

/* With the lock held.  An empty last name, "." and ".." name nothing that could be changed. */
static bool name_of(int dirfd, const char *path, struct name *out)
{
	char above[PATH_MAX];
	char *slash, *last;
	int fd;

	out->dir = NULL;
	if (f.folder_len == 0 || strlen(path) >= sizeof(above) || !*path)
		return false;
	strcpy(above, path);
	for (size_t n = strlen(above); n > 1 && above[n - 1] == '/'; n--)
		above[n - 1] = '\0';
	slash = strrchr(above, '/');
	last = slash ? slash + 1 : above;
	if (!*last || strlen(last) > NAME_MAX || strcmp(last, ".") == 0 ||
	    strcmp(last, "..") == 0)
		return false;
	strcpy(out->last, last);
	if (slash)
		slash[slash == above] = '\0';
	fd = sys_openat(dirfd, slash ? above : ".", O_PATH | O_DIRECTORY, 0);
	if (fd >= 0 && path_of(fd, out->path) && is_below(out->path)) {
		out->dir = dir_node(fd);
		strncat(out->path, "/", sizeof(out->path) - strlen(out->path) - 1);
		strncat(out->path, last, sizeof(out->path) - strlen(out->path) - 1);
	}
	sys_close(fd);
	return out->dir != NULL;
}

/* Without it there is nothing to remove, and with it nothing to make: no change, and no fault. */
static bool is_there(int dirfd, const char *path)
{
	return faccessat(dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* What is there now: kept, that it can be brought back.  NULL: nothing. */
static struct node *node_at(int dirfd, const char *path, const struct name *name)
{
	int fd = sys_openat(dirfd, path, O_PATH | O_NOFOLLOW, 0);
	struct node *node = NULL;
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0)
		node = S_ISDIR(st.st_mode) ? dir_node(fd) : old_file(fd, name->dir, name->last);
	sys_close(fd);
	return node;
}

static void track_open(int fd, const struct name *name, bool existed, int flags)
{
	struct node *node;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	if ((flags & O_TMPFILE) == O_TMPFILE) {
		new_file(fd);
	} else if (existed) {
		old_file(fd, name->dir, name->last);
	} else {
		node = new_file(fd);
		change_add((struct change){ .kind = ADD,
					    .dir = name->dir,
					    .name = (char *)(uintptr_t)name->last,
					    .node = node });
	}
}

static int open_call(int dirfd, const char *path, int flags, mode_t mode)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY;
	enum fault fault = FAULT_NONE;
	struct name name;
	bool exists;
	long fd;

	if ((flags & O_PATH) || (!writes && !(flags & (O_CREAT | O_TRUNC))))
		return (int)syscall(SYS_openat, dirfd, path, flags, mode);
	enter();
	if (!name_of(dirfd, path, &name)) {
		fd = syscall(SYS_openat, dirfd, path, flags, mode);
		return (int)leave(fault, fd);
	}
	exists = is_there(dirfd, path);
	if ((flags & O_TMPFILE) == O_TMPFILE || (flags & O_TRUNC && exists) ||
	    (flags & O_CREAT && !exists))
		fault = tick("open", name.path, !exists);
	fd = fault == FAULT_ERROR ? refuse() : syscall(SYS_openat, dirfd, path, flags, mode);
	if (fd >= 0)
		track_open((int)fd, &name, exists, flags);
	return (int)leave(fault, fd);
}

static mode_t mode_of(int flags, va_list args)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return open_call(AT_FDCWD, path, flags, mode);
}

int openat(int dirfd, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = mode_of(flags, args);
	va_end(args);
	return open_call(dirfd, path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));
int openat64(int dirfd, const char *path, int flags, ...) __attribute__((alias("openat")));

/* What _FORTIFY_SOURCE makes of an open() with flags that it does not know. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags) __attribute__((alias("__openat_2")));

int __open_2(const char *path, int flags)
{
	return open_call(AT_FDCWD, path, flags, 0);
}

int __openat_2(int dirfd, const char *path, int flags)
{
	return open_call(dirfd, path, flags, 0);
}

int creat(const char *path, mode_t mode)
{
	return open_call(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode) __attribute__((alias("creat")));

int mkdirat(int dirfd, const char *path, mode_t mode)
{
	enum fault fault = FAULT_NONE;
	struct name name;
	long rc;

	enter();
	if (name_of(dirfd, path, &name) && !is_there(dirfd, path))
		fault = tick("mkdir", name.path, true);
	rc = fault == FAULT_ERROR ? refuse() : syscall(SYS_mkdirat, dirfd, path, mode);
	if (rc == 0 && name.dir) {
		int fd = sys_openat(dirfd, path, O_PATH | O_DIRECTORY, 0);

		change_add((struct change){ .kind = ADD_DIR,
					    .dir = name.dir,
					    .name = name.last,
					    .node = new_dir(fd) });
		sys_close(fd);
	}
	return (int)leave(fault, rc);
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

int unlinkat(int dirfd, const char *path, int flags)
{
	struct node *node = NULL;
	enum fault fault = FAULT_NONE;
	struct name name;
	long rc;

	enter();
	if (name_of(dirfd, path, &name) && is_there(dirfd, path)) {
		fault = tick(flags & AT_REMOVEDIR ? "rmdir" : "unlink", name.path, false);
		node = node_at(dirfd, path, &name);
	}
	rc = fault == FAULT_ERROR ? refuse() : syscall(SYS_unlinkat, dirfd, path, flags);
	if (rc == 0 && name.dir)
		change_add((struct change){
			.kind = flags & AT_REMOVEDIR ? REMOVE_DIR : REMOVE,
			.dir = name.dir,
			.name = name.last,
			.emptied = flags & AT_REMOVEDIR ? node : NULL,
		});
	return (int)leave(fault, rc);
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
	int rc = unlink(path);

	return rc < 0 && errno == EISDIR ? rmdir(path) : rc;
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	struct name old, new;
	struct node *over = NULL;
	enum fault fault = FAULT_NONE;
	long rc;

	enter();
	if (name_of(from_fd, from, &old) && name_of(to_fd, to, &new)) {
		fault = tick("rename", new.path, true);
		node_at(from_fd, from, &old);
		over = node_at(to_fd, to, &new);
		if (flags & RENAME_EXCHANGE)
			die("an exchange");
	} else if (f.folder_len != 0 && (old.dir || name_of(to_fd, to, &new))) {
		die("a rename across the border");
	}
	rc = fault == FAULT_ERROR ? refuse()
				  : syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
	if (rc == 0 && old.dir)
		change_add((struct change){
			.kind = RENAME,
			.dir = old.dir,
			.name = old.last,
			.to_dir = new.dir,
			.to_name = new.last,
			.emptied = over && over->is_dir ? over : NULL,
		});
	return (int)leave(fault, rc);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return renameat2(from_fd, from, to_fd, to, 0);
}

int rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	enum fault fault = FAULT_NONE;
	struct name name;
	long rc;

	enter();
	if (name_of(to_fd, to, &name))
		fault = tick("link", name.path, true);
	rc = fault == FAULT_ERROR ? refuse()
				  : syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
	if (rc == 0 && name.dir) {
		int fd = sys_openat(to_fd, to, O_PATH | O_NOFOLLOW, 0);
		struct node *node = node_find(fd);
		struct name old;

		if (!node && name_of(from_fd, from, &old))
			node = old_file(fd, old.dir, old.last);
		sys_close(fd);
		if (!node)
			die("a link from elsewhere");
		change_add((struct change){
			.kind = ADD, .dir = name.dir, .name = name.last, .node = node });
	}
	return (int)leave(fault, rc);
}

int link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int truncate(const char *path, off_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int rc = fd < 0 ? -1 : ftruncate(fd, size);

	sys_close(fd);
	return rc;
}

int truncate64(const char *path, off_t size) __attribute__((alias("truncate")));

/* --- calls with descriptors --- */

/* With the lock held: is it a file below our folder, opened to be written? */
static struct node *written(int fd)
{
	return f.folder_len == 0 ? NULL : node_find(fd);
}

static void synced_by_itself(int fd, const struct node *node)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && flags & O_DSYNC)
		sync_node(node);
}

/* A write that is cut off, or fails, has written a part. */
static size_t part_of(size_t len)
{
	return len == 0 ? 0 : (size_t)(draw() % len);
}

static ssize_t write_call(const char *call, int fd, const struct iovec *parts, int count,
			  off_t off)
{
	enum fault fault = FAULT_NONE;
	struct node *node;
	struct iovec cut;
	ssize_t rc;

	enter();
	node = written(fd);
	if (node)
		fault = tick_fd(call, fd, true);
	if (fault == FAULT_ERROR || (fault == FAULT_KILL && f.half)) {
		cut = (struct iovec){ parts[0].iov_base, part_of(parts[0].iov_len) };
		parts = &cut;
		count = 1;
	}
	rc = off < 0 ? syscall(SYS_writev, fd, parts, count)
		     : syscall(SYS_pwritev, fd, parts, count, off, 0);
	if (node)
		synced_by_itself(fd, node);
	return leave(fault, fault == FAULT_ERROR ? refuse() : rc);
}

ssize_t write(int fd, const void *p, size_t len)
{
	struct iovec part = { (void *)(uintptr_t)p, len };

	return write_call("write", fd, &part, 1, -1);
}

ssize_t pwrite(int fd, const void *p, size_t len, off_t off)
{
	struct iovec part = { (void *)(uintptr_t)p, len };

	return write_call("pwrite", fd, &part, 1, off);
}

ssize_t pwrite64(int fd, const void *p, size_t len, off_t off) __attribute__((alias("pwrite")));

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	return write_call("writev", fd, parts, count, -1);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t off)
{
	return write_call("pwritev", fd, parts, count, off);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t off)
	__attribute__((alias("pwritev")));

ssize_t copy_file_range(int from, off_t *in, int to, off_t *out, size_t len, unsigned flags)
{
	enum fault fault = FAULT_NONE;
	long rc;

	enter();
	if (written(to))
		fault = tick_fd("copy_file_range", to, true);
	rc = fault == FAULT_ERROR ? refuse()
				  : syscall(SYS_copy_file_range, from, in, to, out, len, flags);
	return leave(fault, rc);
}

int ftruncate(int fd, off_t size)
{
	enum fault fault = FAULT_NONE;
	long rc;

	enter();
	if (written(fd))
		fault = tick_fd("ftruncate", fd, false);
	rc = fault == FAULT_ERROR ? refuse() : syscall(SYS_ftruncate, fd, size);
	return (int)leave(fault, rc);
}

int ftruncate64(int fd, off_t size) __attribute__((alias("ftruncate")));

int fallocate(int fd, int mode, off_t off, off_t len)
{
	enum fault fault = FAULT_NONE;
	long rc;

	enter();
	if (written(fd))
		fault = tick_fd("fallocate", fd, true);
	rc = fault == FAULT_ERROR ? refuse() : syscall(SYS_fallocate, fd, mode, off, len);
	return (int)leave(fault, rc);
}

int fallocate64(int fd, int mode, off_t off, off_t len) __attribute__((alias("fallocate")));

int posix_fallocate(int fd, off_t off, off_t len)
{
	return fallocate(fd, 0, off, len) < 0 ? errno : 0;
}

int posix_fallocate64(int fd, off_t off, off_t len) __attribute__((alias("posix_fallocate")));

static int sync_call(const char *call, long number, int fd)
{
	enum fault fault = FAULT_NONE;
	struct node *node = NULL;
	struct stat st;
	long rc;

	enter();
	if (f.folder_len != 0 && fstat(fd, &st) == 0 && fd_is_below(fd)) {
		fault = tick_fd(call, fd, false);
		node = S_ISDIR(st.st_mode) ? dir_node(fd) : node_find(fd);
	} else if (f.folder_len != 0 && (node = node_find(fd))) {
		fault = tick_fd(call, fd, false); /* a file that has lost its name */
	}
	rc = fault == FAULT_ERROR ? refuse() : syscall(number, fd);
	if (rc == 0 && node)
		sync_node(node);
	return (int)leave(fault, rc);
}

int fsync(int fd)
{
	return sync_call("fsync", SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return sync_call("fdatasync", SYS_fdatasync, fd);
}
