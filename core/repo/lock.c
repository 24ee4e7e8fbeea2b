/*
 * lock.c - see lock.h.
 *
 * The folder is taken by renaming one with our name in it to PREFIX.exclusive, which succeeds
 * where there is none or an empty one.  Who meets a dead name removes it through a descriptor of
 * the folder that he looked into, and so never from one that came in its place.
 */

#include "core/repo/lock.h"

#include "core/base/io.h"
#include "core/base/log.h"
#include "core/platform/host.h"
#include "core/repo/roster.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

DEFINE_CLEANUP(struct lock *, lock_forget);

static const double pause_min = 0.01, pause_max = 0.2; /* seconds between two attempts */
static const char logger[] = "borg.locking";
enum { READS_MAX = 5 }; /* of a roster that somebody else may be writing */

struct lock {
	char *path;      /* PREFIX, absolute */
	char *exclusive; /* PREFIX.exclusive */
	char *roster;    /* PREFIX.roster */
	char *host;
	char *name; /* PREFIX.exclusive/HOST.PID-0 */
	pid_t pid;
	double wait;
	enum lock_mode mode;
	bool held;
	bool complained; /* of a name that stays: said once */
};

static struct owner self_of(const struct lock *l)
{
	return (struct owner){ .host = l->host, .pid = l->pid };
}

/* --- the sentences --- */

static int failed(const struct lock *l, int code, const char *why, struct err *e)
{
	return err_set_id(e, code, "LockFailed", "Failed to create/acquire the lock %s (%s).",
			  l->exclusive, why);
}

static int failed_at(const struct lock *l, int code, const char *path, struct err *e)
{
	return err_set_id(e, code, "LockFailed",
			  "Failed to create/acquire the lock %s ([Errno %d] %s: '%s').",
			  l->exclusive, code, strerror(code), path);
}

static int timed_out(const char *path, struct err *e)
{
	return err_set_id(e, EBUSY, "LockTimeout",
			  "Failed to create/acquire the lock %s (timeout).", path);
}

static int not_locked(const struct lock *l, struct err *e)
{
	return err_set_id(e, ENOLCK, "NotLocked",
			  "Failed to release the lock %s (was not locked).", l->exclusive);
}

static int not_mine(const struct lock *l, struct err *e)
{
	return err_set_id(e, ENOLCK, "NotMyLock",
			  "Failed to release the lock %s (was/is locked, but not by me).",
			  l->exclusive);
}

/* --- time --- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double deadline_of(const struct lock *l)
{
	return l->wait < 0 ? INFINITY : now() + l->wait;
}

/* A tenth of the time there is, within bounds. */
static double pause_of(const struct lock *l)
{
	double pause = l->wait / 10;

	if (l->wait < 0 || pause > pause_max)
		return pause_max;
	return pause < pause_min ? pause_min : pause;
}

/* False when the time is over, else true after a pause. */
static bool wait_a_little(const struct lock *l, double deadline)
{
	struct timespec t = { .tv_nsec = (long)(pause_of(l) * 1e9) };

	if (now() >= deadline)
		return false;
	nanosleep(&t, NULL);
	return true;
}

/* --- the folder --- */

static bool exists(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int write_name(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* All of the text as a number; -1 where it is none. */
static int64_t number(const char *text, size_t len, int base)
{
	char copy[20], *end;
	long long n;

	if (len == 0 || len >= sizeof(copy) || !isxdigit((unsigned char)text[0]))
		return -1;
	memcpy(copy, text, len);
	copy[len] = '\0';
	errno = 0;
	n = strtoll(copy, &end, base);
	return *end || errno ? -1 : n;
}

/* Taken apart from the right: a host has dots and dashes. */
static bool parse_name(const char *name, size_t *host_len, int64_t *pid, int64_t *thread)
{
	const char *dash = strrchr(name, '-');
	const char *dot = dash ? memrchr(name, '.', (size_t)(dash - name)) : NULL;

	if (!dot)
		return false;
	*host_len = (size_t)(dot - name);
	*pid = number(dot + 1, (size_t)(dash - dot - 1), 10);
	*thread = number(dash + 1, strlen(dash + 1), 16);
	return *pid >= 0 && *thread >= 0;
}

/* Remove a name whose process is gone; false when it stays. */
static bool bury(struct lock *l, int folder, const char *name)
{
	const struct owner self = self_of(l);
	bool complained = l->complained;
	int64_t pid, thread;
	size_t host_len;

	if (!parse_name(name, &host_len, &pid, &thread)) {
		l->complained = true;
		if (!complained)
			log_error(logger,
				  "Found malformed lock %s in %s. Please check/fix manually.",
				  name, l->exclusive);
		return false;
	}
	if (!owner_dead(&self, name, host_len, pid, thread))
		return false;
	if (unlinkat(folder, name, 0) == 0) {
		log_warning(logger, "Killed stale lock %s.", name);
		return true;
	}
	if (errno == ENOENT)
		return true;
	l->complained = true;
	if (!complained)
		log_error(logger, "Found stale lock %s, but cannot delete due to %s", name,
			  strerror(errno));
	return false;
}

/* Remove the names of the dead; false when somebody else is left in the folder.  Where one cannot
 * look into it, the attempt to take it decides. */
static bool clear(struct lock *l)
{
	DIR *folder = opendir(l->exclusive);
	const struct dirent *entry;
	bool free_now = true;

	if (!folder)
		return true;
	while (free_now && (entry = readdir(folder)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			free_now = bury(l, dirfd(folder), entry->d_name);
	closedir(folder);
	if (free_now)
		rmdir(l->exclusive); /* not every file system renames onto an empty folder */
	return free_now;
}

/* 1 it is ours now, 0 somebody else's, -errno. */
static int rename_candidate(const struct lock *l, const char *folder, const char *name,
			    struct err *e)
{
	int rc;

	if (mkdir(folder, 0700) < 0)
		return failed_at(l, errno, folder, e);
	rc = write_name(name);
	if (rc < 0) {
		rc = failed_at(l, -rc, name, e);
	} else if (rename(folder, l->exclusive) < 0) {
		rc = errno;
		rc = rc == ENOTEMPTY || rc == EEXIST ? 0 : failed_at(l, rc, l->exclusive, e);
	} else {
		return 1;
	}
	unlink(name);
	rmdir(folder);
	return rc;
}

static int attempt(struct lock *l, struct err *e)
{
	CLEANUP(cleanup_freep) char *folder = NULL;
	CLEANUP(cleanup_freep) char *name = NULL;
	uint64_t random;

	if (exists(l->name))
		return 1;
	if (!clear(l))
		return 0;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return failed(l, EIO, "no random bytes", e);
	if (asprintf(&folder, "%s.%016" PRIx64 ".tmp", l->exclusive, random) < 0) {
		folder = NULL;
		return err_nomem(e, "lock");
	}
	name = path_join(folder, strrchr(l->name, '/') + 1);
	return name ? rename_candidate(l, folder, name, e) : err_nomem(e, "lock");
}

static int take(struct lock *l, double deadline, struct err *e)
{
	int rc;

	while ((rc = attempt(l, e)) == 0)
		if (!wait_a_little(l, deadline))
			return timed_out(l->exclusive, e);
	return rc < 0 ? rc : 0;
}

/* That another takes or breaks it between the two steps is fine. */
static int leave(const struct lock *l, struct err *e)
{
	if (unlink(l->name) < 0 && errno != ENOENT)
		return failed_at(l, errno, l->name, e);
	if (rmdir(l->exclusive) < 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT)
		return failed_at(l, errno, l->exclusive, e);
	return 0;
}

/* --- the roster, changed by who has the folder --- */

/* 1 the roster is to be saved, 0 not, -errno. */
typedef int change_fn(const struct lock *l, json_t *roster, pid_t old_pid, struct err *e);

static int enter_shared(const struct lock *l, json_t *roster, pid_t old_pid, struct err *e)
{
	const struct owner self = self_of(l);
	int rc;

	(void)old_pid;
	roster_bury(roster, &self);
	rc = roster_add(roster, ROSTER_SHARED, &self, e);
	return rc < 0 ? rc : 1;
}

static int enter_alone(const struct lock *l, json_t *roster, pid_t old_pid, struct err *e)
{
	const struct owner self = self_of(l);
	int rc;

	(void)old_pid;
	roster_bury(roster, &self);
	if (roster_others(roster, ROSTER_SHARED, &self) > 0)
		return 0;
	roster_remove(roster, ROSTER_SHARED, &self);
	rc = roster_add(roster, ROSTER_EXCLUSIVE, &self, e);
	return rc < 0 ? rc : 1;
}

/* The old pid goes; ours comes in its place unless it is the same. */
static int replace(const struct lock *l, json_t *roster, pid_t old_pid, struct err *e)
{
	const char *list = l->mode == LOCK_EXCLUSIVE ? ROSTER_EXCLUSIVE : ROSTER_SHARED;
	const struct owner old = { .host = l->host, .pid = old_pid };
	const struct owner self = self_of(l);
	int rc = 0;

	if (!roster_has(roster, list, &old))
		return 0;
	roster_remove(roster, list, &old);
	if (old_pid != l->pid)
		rc = roster_add(roster, list, &self, e);
	return rc < 0 ? rc : 1;
}

static int change(const struct lock *l, change_fn *fn, pid_t old_pid, struct err *e)
{
	json_auto_t *roster = NULL;
	struct err why = ERR_INIT;
	int rc = roster_load(&roster, l->roster, &why), saved = 0;

	if (rc == 0)
		rc = fn(l, roster, old_pid, &why);
	if (rc > 0)
		saved = roster_save(roster, l->roster, &why);
	if (rc < 0 || saved < 0)
		return failed(l, rc < 0 ? -rc : -saved, why.msg, e);
	return rc;
}

/* The same for who does not have the folder. */
static int change_outside(struct lock *l, change_fn *fn, pid_t old_pid, struct err *e)
{
	int rc = take(l, deadline_of(l), e), left;

	if (rc < 0)
		return rc;
	rc = change(l, fn, old_pid, e);
	left = leave(l, rc < 0 ? NULL : e);
	return rc >= 0 && left < 0 ? left : rc;
}

/* --- what the killed have left --- */

enum { CANDIDATE_AGE_MAX = 3600 }; /* seconds that somebody may need to write a name */

/* An empty one says nothing of its maker: it may be about to get its name. */
static bool given_up(const struct lock *l, DIR *names)
{
	const struct owner self = self_of(l);
	const struct dirent *entry;
	int64_t pid, thread;
	size_t host_len;
	struct stat st;
	bool dead =
		fstat(dirfd(names), &st) == 0 && time(NULL) - st.st_mtime > CANDIDATE_AGE_MAX;

	while ((entry = readdir(names))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		dead = parse_name(entry->d_name, &host_len, &pid, &thread) &&
		       owner_dead(&self, entry->d_name, host_len, pid, thread) &&
		       unlinkat(dirfd(names), entry->d_name, 0) == 0;
		if (!dead)
			break;
	}
	return dead;
}

static void sweep_candidate(const struct lock *l, int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *names = fd < 0 ? NULL : fdopendir(fd);

	if (names && given_up(l, names))
		unlinkat(parent, name, AT_REMOVEDIR);
	if (names)
		closedir(names);
	else if (fd >= 0)
		close(fd);
}

/* Folders that were to become PREFIX.exclusive, of processes of this host that are no more.  They
 * harm nobody, so failures are left to the next one. */
static void sweep(const struct lock *l)
{
	static const char end[] = ".tmp";
	const char *base = strrchr(l->exclusive, '/') + 1;
	CLEANUP(cleanup_freep)
	char *parent = strndup(l->exclusive, (size_t)(base - l->exclusive));
	DIR *folder = parent ? opendir(parent) : NULL;
	const struct dirent *entry;
	size_t len;

	while (folder && (entry = readdir(folder))) {
		len = strlen(entry->d_name);
		if (strncmp(entry->d_name, base, strlen(base)) == 0 &&
		    entry->d_name[strlen(base)] == '.' && len >= strlen(base) + sizeof(end) &&
		    strcmp(entry->d_name + len + 1 - sizeof(end), end) == 0)
			sweep_candidate(l, dirfd(folder), entry->d_name);
	}
	if (folder)
		closedir(folder);
}

/* --- the lock --- */

static int exclude(struct lock *l, struct err *e)
{
	double deadline = deadline_of(l);
	int rc;

	for (;;) {
		rc = take(l, deadline, e);
		if (rc < 0)
			return rc;
		rc = change(l, enter_alone, 0, e);
		if (rc > 0)
			return 0;
		leave(l, NULL);
		if (rc < 0)
			return rc;
		if (!wait_a_little(l, deadline))
			return timed_out(l->path, e);
	}
}

static int name_of(const struct lock *l, char **out)
{
	if (asprintf(out, "%s/%s.%ld-0", l->exclusive, l->host, (long)l->pid) < 0) {
		*out = NULL;
		return -ENOMEM;
	}
	return 0;
}

static char *absolute(const char *path)
{
	CLEANUP(cleanup_freep) char *here = NULL;

	if (path[0] == '/')
		return strdup(path);
	here = getcwd(NULL, 0);
	return here ? path_join(here, path) : NULL;
}

static int set_paths(struct lock *l, const char *path_prefix)
{
	l->path = absolute(path_prefix);
	if (!l->path || asprintf(&l->exclusive, "%s.exclusive", l->path) < 0) {
		l->exclusive = NULL;
		return -ENOMEM;
	}
	if (asprintf(&l->roster, "%s.roster", l->path) < 0) {
		l->roster = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int set_self(struct lock *l, struct err *e)
{
	int rc = host_id(&l->host, e);

	if (rc < 0)
		return rc;
	if (strchr(l->host, '/'))
		return failed(l, EINVAL, "BORG_HOST_ID has a slash", e);
	l->pid = getpid();
	return name_of(l, &l->name) < 0 ? err_nomem(e, "lock") : 0;
}

int lock_acquire(struct lock **out, const char *path_prefix, enum lock_mode mode,
		 const struct lock_options *options, struct err *e)
{
	CLEANUP(lock_closep) struct lock *l = calloc(1, sizeof(*l));
	int rc;

	*out = NULL;
	if (!l || set_paths(l, path_prefix) < 0)
		return err_nomem(e, "lock");
	l->wait = options ? options->wait : 1;
	l->mode = mode;
	rc = set_self(l, e);
	if (rc == 0)
		rc = mode == LOCK_EXCLUSIVE ? exclude(l, e)
					    : change_outside(l, enter_shared, 0, e);
	if (rc < 0)
		return rc;
	l->held = true;
	if (mode == LOCK_EXCLUSIVE)
		sweep(l);
	*out = TAKE(l);
	return 0;
}

int lock_upgrade(struct lock *l, struct err *e)
{
	int rc = l->mode == LOCK_SHARED ? exclude(l, e) : 0;

	if (rc == 0)
		l->mode = LOCK_EXCLUSIVE;
	return rc;
}

static bool shared_still(const struct lock *l)
{
	const struct owner self = self_of(l);
	json_auto_t *roster = NULL;

	return roster_load(&roster, l->roster, NULL) == 0 &&
	       roster_has(roster, ROSTER_SHARED, &self);
}

bool lock_still_held(const struct lock *l)
{
	/* Borg writes the roster in place: for a moment it is empty. */
	const struct timespec moment = { .tv_nsec = (long)(pause_min * 1e9) };
	unsigned left = READS_MAX;

	if (!l->held)
		return false;
	if (l->mode == LOCK_EXCLUSIVE)
		return exists(l->name);
	while (!shared_still(l)) {
		if (--left == 0)
			return false;
		nanosleep(&moment, NULL);
	}
	return true;
}

/* The new name before the old one goes: the folder is never without. */
static int migrate_exclusive(const struct lock *l, const char *old_name, pid_t old_pid,
			     struct err *e)
{
	int rc;

	if (!exists(old_name))
		return not_mine(l, e);
	rc = write_name(l->name);
	if (rc < 0)
		return failed_at(l, -rc, l->name, e);
	rc = change(l, replace, old_pid, e);
	unlink(rc < 0 ? l->name : old_name);
	return rc < 0 ? rc : 0;
}

static int replace_shared(struct lock *l, pid_t old_pid, struct err *e)
{
	int rc = change_outside(l, replace, old_pid, e);

	if (rc == 0)
		return not_locked(l, e);
	return rc < 0 ? rc : 0;
}

int lock_migrate(struct lock *l, struct err *e)
{
	CLEANUP(cleanup_freep) char *old_name = l->name;
	pid_t old_pid = l->pid;
	int rc;

	l->pid = getpid();
	l->name = NULL;
	if (name_of(l, &l->name) < 0)
		rc = err_nomem(e, "lock");
	else if (l->pid == old_pid)
		return 0;
	else if (l->mode == LOCK_EXCLUSIVE)
		rc = migrate_exclusive(l, old_name, old_pid, e);
	else
		rc = replace_shared(l, old_pid, e);
	if (rc < 0) {
		free(l->name);
		l->name = TAKE(old_name);
		l->pid = old_pid;
	}
	return rc;
}

/* The roster before the folder, which permits to write it. */
static int release_exclusive(const struct lock *l, struct err *e)
{
	int rc, left;

	if (!exists(l->exclusive))
		return not_locked(l, e);
	if (!exists(l->name))
		return not_mine(l, e);
	rc = change(l, replace, l->pid, e);
	left = leave(l, rc < 0 ? NULL : e);
	return rc < 0 ? rc : left;
}

int lock_release(struct lock *l, struct err *e)
{
	if (!l->held)
		return not_locked(l, e);
	l->held = false;
	return l->mode == LOCK_EXCLUSIVE ? release_exclusive(l, e)
					 : replace_shared(l, l->pid, e);
}

void lock_close(struct lock *l)
{
	if (l && l->held && l->pid == getpid())
		lock_release(l, NULL);
	lock_forget(l);
}

void lock_forget(struct lock *l)
{
	if (!l)
		return;
	free(l->path);
	free(l->exclusive);
	free(l->roster);
	free(l->host);
	free(l->name);
	free(l);
}

/* --- breaking it --- */

static int cannot_break(const char *path, struct err *e)
{
	return err_set(e, errno, "[Errno %d] %s: '%s'", errno, strerror(errno), path);
}

static int break_folder(const char *path, struct err *e)
{
	DIR *folder = opendir(path);
	const struct dirent *entry;
	int rc = 0;

	if (!folder)
		return errno == ENOENT ? 0 : cannot_break(path, e);
	while (rc == 0 && (entry = readdir(folder))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(folder), entry->d_name, 0) < 0 && errno != ENOENT)
			rc = cannot_break(path, e);
	}
	closedir(folder);
	/* Where it is not empty, somebody took it since. */
	if (rc == 0 && rmdir(path) < 0 && errno != ENOENT && errno != ENOTEMPTY &&
	    errno != EEXIST)
		rc = cannot_break(path, e);
	return rc;
}

int lock_break(const char *path_prefix, struct err *e)
{
	CLEANUP(lock_forgetp) struct lock *l = calloc(1, sizeof(*l));

	if (!l || set_paths(l, path_prefix) < 0)
		return err_nomem(e, "lock");
	if (unlink(l->roster) < 0 && errno != ENOENT)
		return cannot_break(l->roster, e);
	return break_folder(l->exclusive, e);
}
