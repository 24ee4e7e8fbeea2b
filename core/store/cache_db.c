/*
 * cache_db.c - see cache_db.h.
 *
 * Two bytes of the .use file carry locks, which go with the open file and so with the process:
 * GATE is held while a process opens, LIFE is shared by all that have the file open.  Who gets
 * LIFE alone, under GATE, is the only one.
 */

#include "core/store/cache_db.h"

#include "core/base/io.h"
#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { GATE = 0, LIFE = 1, USE_SIZE = 4096 };
struct cache_use {
	_Atomic uint32_t at_work;
	_Atomic uint32_t deaths; /* at work, since it was last closed */
};

enum { DEATHS_MAX = 2 };
enum {
	WINDOW = 64 * 1024, /* what the kernel maps around a page that is touched */
	WINDOWS_MAX = 128,
	FILE_SMALL = 24 << 20,
};

/* Before all keys of letters: so that those may be appended. */
static const char version_key[] = "!version";
/* Address space, not memory; less where the process may not have so much. */
static const size_t map_size_max = (size_t)1 << (sizeof(size_t) > 4 ? 38 : 29);
static const size_t map_size_min = (size_t)1 << 26;

/* --- where --- */

static bool is_network(const char *dir)
{
	static const unsigned long types[] = {
		NFS_SUPER_MAGIC,         SMB_SUPER_MAGIC,
		SMB2_SUPER_MAGIC,        CIFS_SUPER_MAGIC,
		AFS_SUPER_MAGIC,         AFS_FS_MAGIC,
		CODA_SUPER_MAGIC,        NCP_SUPER_MAGIC,
		CEPH_SUPER_MAGIC,        V9FS_MAGIC,
		FUSE_SUPER_MAGIC,        OCFS2_SUPER_MAGIC,
		0x0bd00bd0 /* lustre */, 0x47504653 /* gpfs */,
		0x01161970 /* gfs2 */,
	};
	struct statfs fs;

	if (statfs(dir, &fs) < 0)
		return false;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if ((unsigned long)fs.f_type == types[i])
			return true;
	return false;
}

/* A folder that is ours alone, below one that may be everybody's; 1 where it was made, 0. */
static int own_folder(const char *path, struct err *e)
{
	struct stat st;
	int made = mkdir(path, 0700) == 0;

	if (!made && errno != EEXIST)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	if (lstat(path, &st) < 0)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return err_set(e, EPERM, "%s: not a folder of ours alone", path);
	return made;
}

/* top/LEAF of dir; warns when it is made. */
static int folder_below(const char *top, const char *dir, char **out, struct err *e)
{
	const char *leaf = strrchr(dir, '/');
	CLEANUP(cleanup_freep) char *folder = path_join(top, leaf ? leaf + 1 : dir);
	int rc = folder ? own_folder(top, e) : err_nomem(e, dir);

	if (rc >= 0)
		rc = own_folder(folder, e);
	if (rc < 0)
		return rc;
	if (rc == 1)
		log_warning("borg.cache",
			    "%s is on a network file system, some caches are kept in %s", dir,
			    folder);
	*out = TAKE(folder);
	return 0;
}

static int local_folder(const char *dir, char **out, struct err *e)
{
	CLEANUP(cleanup_freep) char *runtime_top = NULL;
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char top[64];

	runtime_top = runtime && *runtime ? path_join(runtime, "alcove") : NULL;
	if (runtime_top && folder_below(runtime_top, dir, out, e) == 0)
		return 0;
	snprintf(top, sizeof(top), "/var/tmp/alcove-%u", (unsigned)geteuid());
	return folder_below(top, dir, out, e);
}

/* --- who else --- */

static int lock_byte(int fd, int byte, short type, bool wait)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1
	};
	int rc;

	do
		rc = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static int open_use(struct cache_db *db, const char *path, struct err *e)
{
	struct stat st;
	void *map;

	db->use_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (db->use_fd < 0)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	if (fstat(db->use_fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return err_set(e, EPERM, "%s: not ours", path);
	if (lock_byte(db->use_fd, GATE, F_WRLCK, true) < 0)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	if (st.st_size < USE_SIZE && posix_fallocate(db->use_fd, 0, USE_SIZE) != 0)
		return err_set(e, ENOSPC, "%s: no room", path);
	map = mmap(NULL, USE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, db->use_fd, 0);
	if (map == MAP_FAILED)
		return err_set(e, errno, "%s: %s", path, strerror(errno));
	db->use = map;
	return 0;
}

void cache_db_enter(struct cache_db *db)
{
	atomic_fetch_add(&db->use->at_work, 1);
}

void cache_db_leave(struct cache_db *db)
{
	atomic_fetch_sub(&db->use->at_work, 1);
}

/* --- opening --- */

static void remove_files(const char *path)
{
	char lock[4096];

	unlink(path);
	if ((size_t)snprintf(lock, sizeof(lock), "%s-lock", path) < sizeof(lock))
		unlink(lock);
}

void cache_db_spoil(struct cache_db *db)
{
	if (!db->spoiled)
		remove_files(db->path);
	db->spoiled = true;
}

int cache_db_fail(struct cache_db *db, int mdb_rc, struct err *e)
{
	if (mdb_rc == MDB_MAP_FULL)
		return err_set(e, ENOSPC, "%s: the cache is full", db->path);
	if (mdb_rc > 0)
		return err_set(e, mdb_rc, "%s: %s", db->path, strerror(mdb_rc));
	cache_db_spoil(db);
	return err_set(e, EBADMSG, "%s: %s, cache removed", db->path, mdb_strerror(mdb_rc));
}

/* Pages behind the end of the file are mapped, and kill who touches them. */
static int whole_size(MDB_env *env, size_t *out)
{
	MDB_envinfo info;
	MDB_stat stat;
	int rc = mdb_env_info(env, &info);

	if (rc == 0)
		rc = mdb_env_stat(env, &stat);
	if (rc == 0)
		*out = (info.me_last_pgno + 1) * stat.ms_psize;
	return rc;
}

static int check_size(MDB_env *env)
{
	struct stat st;
	size_t size = 0;
	int fd, rc = whole_size(env, &size);

	if (rc == 0)
		rc = mdb_env_get_fd(env, &fd);
	if (rc)
		return rc;
	if (fstat(fd, &st) < 0)
		return errno;
	/* One that was just made has its two meta pages and nothing else. */
	return (size_t)st.st_size >= size ? 0 : MDB_CORRUPTED;
}

static int check_version(struct cache_db *db, uint32_t version)
{
	uint8_t bytes[4];
	MDB_val key = { sizeof(version_key), (void *)(uintptr_t)version_key };
	MDB_val value;
	MDB_stat stat;
	MDB_txn *txn;
	int rc = mdb_txn_begin(db->env, NULL, 0, &txn);

	if (rc)
		return rc;
	put_le32(bytes, version);
	rc = mdb_dbi_open(txn, NULL, 0, &db->dbi);
	if (rc == 0)
		rc = mdb_stat(txn, db->dbi, &stat);
	if (rc == 0 && stat.ms_entries == 0) {
		value = (MDB_val){ sizeof(bytes), bytes };
		rc = mdb_put(txn, db->dbi, &key, &value, 0);
		return rc ? (mdb_txn_abort(txn), rc) : mdb_txn_commit(txn);
	}
	if (rc == 0)
		rc = mdb_get(txn, db->dbi, &key, &value);
	if (rc == MDB_NOTFOUND ||
	    (rc == 0 && (value.mv_size != sizeof(bytes) || get_le32(value.mv_data) != version)))
		rc = MDB_VERSION_MISMATCH;
	/* Committed, since the handle of the table is the transaction's until then. */
	return rc ? (mdb_txn_abort(txn), rc) : mdb_txn_commit(txn);
}

static bool is_ours(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT;
	return S_ISREG(st.st_mode) && st.st_uid == geteuid();
}

static int check_pages(MDB_env *env)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

	if (rc)
		return rc;
	rc = cache_db_verify(env, txn);
	mdb_txn_abort(txn);
	return rc;
}

/* 0 or LMDB's result. */
static int try_open(struct cache_db *db, uint32_t version)
{
	size_t map_size = map_size_max;
	int rc;

	for (;; map_size /= 4) {
		rc = mdb_env_create(&db->env);
		if (rc)
			return rc;
		rc = mdb_env_set_mapsize(db->env, map_size);
		if (rc == 0)
			rc = mdb_env_open(db->env, db->path, MDB_NOSUBDIR | MDB_NOTLS, 0600);
		if (rc != ENOMEM || map_size / 4 < map_size_min)
			break;
		mdb_env_close(db->env);
	}
	if (rc == 0) /* who was killed while he read would keep pages from being used again */
		rc = mdb_reader_check(db->env, NULL);
	if (rc == 0)
		rc = check_size(db->env);
	if (rc == 0)
		rc = check_pages(db->env);
	if (rc == 0)
		rc = check_version(db, version);
	if (rc) {
		mdb_env_close(db->env);
		db->env = NULL;
	}
	return rc;
}

static int open_files(struct cache_db *db, uint32_t version, struct err *e)
{
	bool alone = lock_byte(db->use_fd, LIFE, F_WRLCK, false) == 0;
	int rc;

	if (alone && atomic_exchange(&db->use->at_work, 0) != 0 &&
	    atomic_fetch_add(&db->use->deaths, 1) + 1 >= DEATHS_MAX) {
		log_debug("borg.cache", "%s: deadly, begun anew", db->path);
		remove_files(db->path);
		atomic_store(&db->use->deaths, 0);
	}
	if (!is_ours(db->path))
		remove_files(db->path);
	cache_db_enter(db); /* a file may kill us right here, too */
	rc = try_open(db, version);
	if (rc && rc != ENOMEM && rc != ENOSPC) {
		log_debug("borg.cache", "%s: %s, begun anew", db->path, mdb_strerror(rc));
		remove_files(db->path);
		rc = try_open(db, version);
	}
	cache_db_leave(db);
	if (rc)
		return cache_db_fail(db, rc, e);
	lock_byte(db->use_fd, LIFE, F_RDLCK, false);
	lock_byte(db->use_fd, GATE, F_UNLCK, false);
	return 0;
}

/* --- the map --- */

/* LMDB does not tell where it is. */
static void find_map(struct cache_db *db)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long first, inode, off;
	char line[512], mode[8];
	struct stat st;

	if (!maps)
		return;
	if (stat(db->path, &st) == 0)
		while (!db->map && fgets(line, sizeof(line), maps))
			if (sscanf(line, "%lx-%*x %7s %lx %*s %lu", &first, mode, &off,
				   &inode) == 4 &&
			    strcmp(mode, "r--s") == 0 && off == 0 && inode == st.st_ino)
				db->map = (uint8_t *)first;
	fclose(maps);
}

void cache_db_touch(struct cache_db *db, const void *p)
{
	uintptr_t window = (uintptr_t)p / WINDOW;

	if (window == db->window)
		return;
	db->window = window;
	cache_db_touch_any(db);
}

void cache_db_touch_any(struct cache_db *db)
{
	struct stat st;
	int fd;

	if (!db->map || ++db->windows < db->windows_max)
		return;
	db->windows = 0;
	if (mdb_env_get_fd(db->env, &fd) == 0 && fstat(fd, &st) == 0 && st.st_size > FILE_SMALL)
		madvise(db->map, (size_t)st.st_size, MADV_DONTNEED);
}

int cache_db_open(struct cache_db **out, const char *dir, const char *name, uint32_t version,
		  struct err *e)
{
	CLEANUP(cache_db_closep) struct cache_db *db = calloc(1, sizeof(*db));
	CLEANUP(cleanup_freep) char *local = NULL, *use = NULL;
	int rc = 0;

	if (!db)
		return err_nomem(e, name);
	db->use_fd = -1;
	db->windows_max = WINDOWS_MAX;
	if (is_network(dir)) {
		rc = local_folder(dir, &local, e);
		if (rc < 0)
			return rc;
		dir = local;
	}
	if (asprintf(&db->path, "%s/%s.mdb", dir, name) < 0) {
		db->path = NULL;
		return err_nomem(e, name);
	}
	if (asprintf(&use, "%s/%s.use", dir, name) < 0) {
		use = NULL;
		return err_nomem(e, name);
	}
	rc = open_use(db, use, e);
	if (rc == 0)
		rc = open_files(db, version, e);
	if (rc < 0)
		return rc;
	find_map(db);
	*out = TAKE(db);
	return 0;
}

void cache_db_close(struct cache_db *db)
{
	if (!db)
		return;
	if (db->env) {
		mdb_env_close(db->env);
		atomic_store(&db->use->deaths, 0);
	}
	if (db->use)
		munmap(db->use, USE_SIZE);
	if (db->use_fd >= 0)
		close(db->use_fd);
	free(db->path);
	free(db);
}

/* --- transactions and values --- */

int cache_db_begin(struct cache_db *db, bool write, MDB_txn **out, struct err *e)
{
	int rc = mdb_txn_begin(db->env, NULL, write ? 0 : MDB_RDONLY, out);

	return rc ? cache_db_fail(db, rc, e) : 0;
}

/* Pages that were taken and given back in one transaction were never written: the file may be
 * shorter than LMDB's count says, which check_size() must not take for damage. */
static int grow_file(struct cache_db *db)
{
	struct stat st;
	size_t size = 0;
	int fd, rc = whole_size(db->env, &size);

	if (rc == 0)
		rc = mdb_env_get_fd(db->env, &fd);
	if (rc)
		return rc;
	if (fstat(fd, &st) < 0)
		return errno;
	return (size_t)st.st_size < size && ftruncate(fd, (off_t)size) < 0 ? errno : 0;
}

int cache_db_commit(struct cache_db *db, MDB_txn *txn, struct err *e)
{
	int rc = mdb_txn_commit(txn);

	if (rc == 0)
		rc = grow_file(db);
	return rc ? cache_db_fail(db, rc, e) : 0;
}

static uint64_t checksum(struct bytes key, struct bytes value)
{
	return XXH3_64bits_withSeed(value.p, value.len, XXH3_64bits(key.p, key.len));
}

static MDB_val val(struct bytes b)
{
	return (MDB_val){ b.len, (void *)(uintptr_t)b.p };
}

int cache_db_check(struct cache_db *db, struct bytes key, const MDB_val *raw,
		   struct bytes *value, struct err *e)
{
	const uint8_t *p = raw->mv_data;

	cache_db_touch(db, p);
	if (raw->mv_size >= CACHE_DB_SUM) {
		*value = (struct bytes){ p + CACHE_DB_SUM, raw->mv_size - CACHE_DB_SUM };
		if (checksum(key, *value) == get_le64(p))
			return 0;
	}
	cache_db_spoil(db);
	return err_set(e, EBADMSG, "%s: checksum mismatch, cache removed", db->path);
}

int cache_db_get(struct cache_db *db, MDB_txn *txn, struct bytes key, struct bytes *value,
		 struct err *e)
{
	MDB_val k = val(key), v;
	int rc = mdb_get(txn, db->dbi, &k, &v);

	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc)
		return cache_db_fail(db, rc, e);
	rc = cache_db_check(db, key, &v, value, e);
	return rc < 0 ? rc : 1;
}

int cache_db_put(struct cache_db *db, MDB_txn *txn, struct bytes key, struct bytes value,
		 struct err *e)
{
	MDB_val k = val(key), v = { CACHE_DB_SUM + value.len, NULL };
	int rc = mdb_put(txn, db->dbi, &k, &v, MDB_RESERVE);

	if (rc)
		return cache_db_fail(db, rc, e);
	put_le64(v.mv_data, checksum(key, value));
	if (value.len)
		memcpy((uint8_t *)v.mv_data + CACHE_DB_SUM, value.p, value.len);
	return 0;
}

int cache_db_delete(struct cache_db *db, MDB_txn *txn, struct bytes key, struct err *e)
{
	MDB_val k = val(key);
	int rc = mdb_del(txn, db->dbi, &k, NULL);

	return rc && rc != MDB_NOTFOUND ? cache_db_fail(db, rc, e) : 0;
}

bool cache_db_is_new(struct cache_db *db, MDB_txn *txn)
{
	MDB_stat stat;

	return mdb_stat(txn, db->dbi, &stat) == 0 && stat.ms_entries == 1; /* the version */
}
