/*
 * cmd_mount.c - `mount`: a repository, or one archive, as a file system.
 *
 * All that can go wrong is tried while the terminal is still there: options and mount point
 * before anything is opened, repository, key and archive before the kernel hears of it.
 */

#include "tools/commands.h"

#include "core/base/cleanup.h"
#include "tools/create_args.h"
#include "fs/workspace.h"
#include "fs/archives.h"
#include "fs/versions_tree.h"
#include "mount/background.h"
#include "mount/farewell.h"
#include "mount/mount.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	CACHED_CHUNK = 2 << 20, /* what BORG_MOUNT_DATA_CACHE_ENTRIES counts, about */
	IDLE_S = 30,            /* without a change, then the lock goes back */
	REMOVAL_S = 60,         /* after that what was removed in an archive shows again */
};

struct mount_args {
	struct location where;
	const char *point;
	struct arg_list paths;
	const char *options;
	bool foreground, numeric_ids;
	int strip_components;
	struct interval_arg checkpoint_interval;
	struct select_options filter;
	struct matcher *matcher;
};

static const struct arg_option mount_options[] = {
	{ .name = "consider-checkpoints",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct mount_args, filter) +
		    offsetof(struct select_options, consider_checkpoints),
	  .help = "Show checkpoint archives in the repository contents list (default: "
		  "hidden)." },
	{ .letter = 'f',
	  .name = "foreground",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct mount_args, foreground),
	  .help = "stay in foreground, do not daemonize" },
	{ .letter = 'o',
	  .kind = ARG_VALUE,
	  .offset = offsetof(struct mount_args, options),
	  .metavar = "OPTIONS",
	  .help = "Extra mount options",
	  .once = true },
	{ .letter = 'c',
	  .name = "checkpoint-interval",
	  .kind = ARG_VALUE,
	  .offset = offsetof(struct mount_args, checkpoint_interval),
	  .convert = arg_interval,
	  .metavar = "SECONDS",
	  .ours = true,
	  .help = "write checkpoint of new/ every SECONDS seconds (Default: 300)" },
	{ .name = "numeric-owner",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct mount_args, numeric_ids),
	  .help = "deprecated, use ``--numeric-ids`` instead" },
	{ .name = "numeric-ids",
	  .kind = ARG_FLAG,
	  .offset = offsetof(struct mount_args, numeric_ids),
	  .help = "use numeric user and group identifiers from archive(s)" },
	ARCHIVE_FILTER_OPTIONS(struct mount_args, filter),
	EXCLUSION_OPTIONS(struct mount_args, matcher),
	{ .name = "strip-components",
	  .kind = ARG_VALUE,
	  .offset = offsetof(struct mount_args, strip_components),
	  .convert = arg_int,
	  .metavar = "NUMBER",
	  .help = "Remove the specified number of leading path elements. Paths with fewer "
		  "elements will be silently skipped." },
};

static const struct arg_positional mount_positionals[] = {
	{ "REPOSITORY_OR_ARCHIVE", ARG_ONE, offsetof(struct mount_args, where), arg_location,
	  "repository or archive to mount" },
	{ "MOUNTPOINT", ARG_ONE, offsetof(struct mount_args, point), NULL,
	  "where to mount filesystem" },
	{ "PATH", ARG_ANY, offsetof(struct mount_args, paths), NULL,
	  "paths to extract; patterns are supported" },
};

static void mount_args_fini(void *arg)
{
	struct mount_args *args = arg;

	location_fini(&args->where);
	filter_fini(&args->filter);
	matcher_free(args->matcher);
}

/* --- before anything is opened --- */

static int check_available(struct err *e)
{
	const char *fuse = getenv("BORG_FUSE_IMPL");

	if (!fuse || strcmp(fuse, "none") != 0)
		return 0;
	return err_set_id(e, ENOTSUP, "Error",
			  "borg mount not available: no FUSE support, BORG_FUSE_IMPL=none.");
}

static int check_combination(const struct mount_args *args, const struct mount_options *o,
			     struct err *e)
{
	if (args->strip_components < 0)
		return err_set_id(e, EINVAL, "Error",
				  "Error: --strip-components: the number must not be negative");
	if (args->where.archive && o->versions)
		return err_set_id(
			e, EINVAL, "Error",
			"Error: for versions view, do not specify a single archive, but "
			"always give the repository as location.");
	if (args->where.archive &&
	    (select_is_filter(&args->filter) || args->filter.consider_checkpoints))
		return err_set_id(
			e, EINVAL, "Error",
			"Error: The options --first, --last, --prefix, and --glob-archives, "
			"and --consider-checkpoints can only be used on repository "
			"targets.");
	return 0;
}

/* The mount point's real path; a repository elsewhere cannot be in the way. */
static int check_point(const struct mount_args *args, char **point, struct err *e)
{
	CLEANUP(cleanup_freep) char *repository = NULL;

	if (args->where.proto == LOCATION_FILE)
		repository = realpath(args->where.path, NULL);
	return mount_check_point(args->point, repository, point, e);
}

static size_t cache_bytes(const struct mount_options *o)
{
	const char *entries = getenv("BORG_MOUNT_DATA_CACHE_ENTRIES");
	long count = entries ? strtol(entries, NULL, 10) : 0;

	if (o->cache_size > 0)
		return o->cache_size < SIZE_MAX ? (size_t)o->cache_size : SIZE_MAX;
	return count > 0 && count < 1 << 20 ? (size_t)count * CACHED_CHUNK : 0;
}

/* --- the mount --- */

struct opened { /* what a mount stands on, in the order of opening */
	struct owner_cache *owners;
	struct attr_policy policy;
	struct reader *reader;
	struct bytes *cmdline;
	struct staging *staging; /* NULL: read-only */
	struct mount *mount;
	struct farewell *farewell;
	bool publish;   /* what is staged, when unmounted */
	bool unmounted; /* by somebody who wanted to: not by a signal, nor cut off */
	struct versions_source versions; /* what the view of versions is made of */
};

static void tell(void *arg, bool published, const char *text)
{
	farewell_tell(arg, published, text);
}

static void opened_fini(struct opened *o)
{
	struct err why = ERR_INIT;

	mount_close(o->mount);
	if (staging_close(o->staging, o->publish && o->unmounted, tell, o->farewell, &why) < 0)
		log_error("borg.archiver", "%s", why.msg);
	else
		farewell_done(o->farewell);
	farewell_close(o->farewell);
	free(o->cmdline);
	reader_close(o->reader);
	owner_cache_free(o->owners);
}

static int open_reader(struct run *run, const struct mount_args *args,
		       const struct mount_options *o, struct reader **out, struct err *e)
{
	struct reader_options options = {
		.prompt = &run->prompt,
		.fetch = { .cache_bytes = cache_bytes(o) },
	};

	return reader_open(out, &args->where, &options, e);
}

static int open_view(const struct run *run, const struct mount_args *args,
		     const struct mount_options *o, struct opened *opened, struct view **out,
		     struct err *e)
{
	struct archives_options options = {
		.shelf = {
			.reader = opened->reader,
			.policy = &opened->policy,
			.tree = {
				.matcher = args->matcher,
				.strip_components = (unsigned)args->strip_components,
				.consider_part_files = run->common.consider_part_files,
				.made_up_uid = getuid(),
				.made_up_gid = getgid(),
			},
		},
		.select = args->filter,
		.archive = args->where.archive,
		.subdir = o->subdir,
		.allow_damaged_files = o->allow_damaged_files,
		.uid = getuid(),
		.gid = getgid(),
	};

	opened->versions = (struct versions_source){
		.reader = opened->reader,
		.select = options.select,
		.tree = options.shelf.tree,
	};
	if (o->versions) {
		options.shelf.make = versions_make;
		options.shelf.make_arg = &opened->versions;
	}
	return archives_open(out, &options, e);
}

/* --- the staging directory --- */

/* Is there to be one?  Not where the root is one archive or some, among which what is published need not
 * be, or where nothing can be written. */
static bool is_writable(const struct mount_args *args, const struct mount_options *o)
{
	return !o->read_only && !o->versions && !o->subdir && !args->where.archive &&
	       !select_is_filter(&args->filter) && !(o->ignore_permissions && o->allow_other) &&
	       args->where.proto == LOCATION_FILE && access(args->where.path, W_OK) == 0;
}

static int parse_staging(const struct mount_options *o, struct staging_options *out,
			 struct err *e)
{
	int rc = 0;

	if (o->on_umount && strcmp(o->on_umount, "publish") != 0 &&
	    strcmp(o->on_umount, "checkpoint") != 0)
		return err_set(e, EINVAL, "mount option on_umount: publish or checkpoint");

	out->compression = COMPRESSION_DEFAULT;
	out->chunker = CHUNKER_DEFAULT;
	if (o->compression)
		rc = compression_parse(o->compression, &out->compression, e);
	if (rc == 0 && o->chunker_params)
		rc = chunker_params_parse(o->chunker_params, &out->chunker, e);
	return rc;
}

static int open_staging(struct run *run, const struct mount_options *o, struct opened *opened,
			struct view **view, struct err *e)
{
	struct workspace_options workspace = {
		.name = o->staging ? o->staging : "new",
		.removal_s = !o->manage           ? 0
			     : o->removal_timeout ? o->removal_timeout
						  : REMOVAL_S,
	};
	struct staging_options options = {
		.reader = opened->reader,
		.prompt = &run->prompt,
		.lock_wait = run->common.lock_wait,
		.idle_s = o->keep_lock ? 0 : IDLE_S,
		.checkpoint_s = o->has_checkpoint_interval ? o->checkpoint_interval
							   : CHECKPOINT_INTERVAL,
		.uid = o->has_uid ? o->uid : getuid(),
		.gid = o->has_gid ? o->gid : getgid(),
		.acls = !o->ignore_permissions,
		.spill_dir = o->spill,
		.cmdline_count = (size_t)run->argc,
	};
	int rc = parse_staging(o, &options, e);

	if (rc < 0)
		return rc;
	opened->publish = !o->on_umount || strcmp(o->on_umount, "checkpoint") != 0;
	opened->cmdline = calloc((size_t)run->argc + 1, sizeof(*opened->cmdline));
	if (!opened->cmdline)
		return err_nomem(e, "command line");
	for (int i = 0; i < run->argc; i++)
		opened->cmdline[i] = bytes_str(run->argv[i]);
	options.cmdline = opened->cmdline;
	rc = staging_open(&opened->staging, &options, e);
	if (rc == 0)
		rc = staging_resume(opened->staging, &opened->policy, o->resume, e);
	return rc < 0 ? rc : workspace_open(view, TAKE(*view), opened->staging, &workspace, e);
}

static int open_all(struct run *run, const struct mount_args *args,
		    const struct mount_options *o, const char *point, struct opened *out,
		    struct err *e)
{
	CLEANUP(view_freep) struct view *view = NULL;
	int rc;

	out->owners = owner_cache_new();
	if (!out->owners)
		return err_nomem(e, "owners");
	out->policy = (struct attr_policy){
		.numeric_ids = args->numeric_ids,
		.force_uid = o->has_uid,
		.force_gid = o->has_gid,
		.uid = o->uid,
		.gid = o->gid,
		.umask = o->umask,
		.owners = out->owners,
	};
	rc = open_reader(run, args, o, &out->reader, e);
	if (rc == 0)
		rc = open_view(run, args, o, out, &view, e);
	if (rc == 0 && is_writable(args, o))
		rc = open_staging(run, o, out, &view, e);
	if (rc == 0)
		rc = mount_open(&out->mount, TAKE(view), out->staging, o, point,
				args->foreground, e);
	return rc;
}

/*
 * A mount lives for weeks and hands chunks of all sizes from thread to thread: with an arena for
 * each thread and large buffers in them, malloc(3) would keep twice what is in use.
 */
static void bound_heap(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

static int serve(struct run *run, const struct mount_args *args, const struct mount_options *o,
		 const char *point, struct background *background, struct err *e)
{
	CLEANUP(opened_fini) struct opened opened = { 0 };
	int rc;

	bound_heap();
	rc = open_all(run, args, o, point, &opened, e);

	if (rc < 0)
		return rc;
	log_info("borg.archiver", "Mounting filesystem");
	if (!args->foreground) {
		log_to_syslog("alcove");
		rc = background_ready(background, 0, e);
	}
	if (rc == 0 && opened.staging)
		opened.farewell = farewell_listen(point);
	if (rc == 0)
		rc = mount_serve(opened.mount, e);
	opened.unmounted = rc == 0 && mount_was_unmounted(opened.mount);
	return rc < 0 ? rc : 0;
}

/* Fork, unless in the foreground: the parent returns with the child's exit status. */
static int serve_in_its_place(struct run *run, const struct mount_args *args,
			      const struct mount_options *o, const char *point, struct err *e)
{
	struct background background = { .pipe = -1 };
	int status, rc;

	if (args->foreground)
		return serve(run, args, o, point, NULL, e);
	rc = background_fork(&background, &status, e);
	if (rc < 0)
		return rc;
	if (rc == 0) {
		run->exit_code = status;
		return 0;
	}
	run->common.show_rc = false; /* the parent says how it went */
	return serve(run, args, o, point, &background, e);
}

static int check_request(const struct mount_args *args, struct mount_options *out,
			 struct err *e)
{
	int seconds = args->checkpoint_interval.seconds;
	int rc;

	/* What stands behind -o comes later. */
	out->has_checkpoint_interval = args->checkpoint_interval.given;
	out->checkpoint_interval = seconds > 0 ? (unsigned)seconds : 0;
	rc = args->options ? mount_options_parse(out, args->options, e) : 0;
	return rc < 0 ? rc : check_combination(args, out, e);
}

/* Wrong options are said where the repository can be opened, as by Borg; but nobody is asked for
 * a passphrase for a mount that will be refused. */
static int check_repository(const struct mount_args *args, struct err *e)
{
	struct repo *repo = NULL;
	int rc = repo_open(&repo, &args->where, &(struct repo_options){ 0 }, e);

	repo_close(repo);
	return rc;
}

static int run_mount(struct run *run, void *arg, struct err *e)
{
	struct mount_args *args = arg;
	CLEANUP(mount_options_fini) struct mount_options options = { 0 };
	CLEANUP(cleanup_freep) char *point = NULL;
	struct err why = ERR_INIT;
	int rc = check_available(e), asked;

	if (rc == 0)
		rc = check_point(args, &point, e);
	if (rc < 0)
		return rc;
	asked = check_request(args, &options, &why);
	if (asked < 0) {
		rc = check_repository(args, e);
		if (rc == 0)
			*e = why;
		return rc < 0 ? rc : asked;
	}
	rc = matcher_complete(&args->matcher, &args->paths, e);
	return rc < 0 ? rc : serve_in_its_place(run, args, &options, point, e);
}

const struct command command_mount = {
	.name = "mount",
	.summary = "mount repository",
	.description =
		"Mounts a repository, or one archive, as a file system.  Each "
		"archive\n"
		"is a directory; it is read when first entered.  Archives made or deleted\n"
		"meanwhile appear and vanish by themselves, and no lock is held.\n"
		"\n"
		"Options of -o, separated by commas:\n"
		"\n"
		"  versions             one merged tree with all versions of every file\n"
		"  allow_damaged_files  what is lost reads as zeros instead of an error\n"
		"  ignore_permissions   everybody who may use the mount may read everything\n"
		"  uid=N, gid=N         owner of everything\n"
		"  umask=OCTAL          cleared from all modes\n"
		"  cache_size=BYTES     chunks kept in memory (K, M, G may follow)\n"
		"  subdir=PATH          show this directory as the root\n"
		"  rw                   with a directory new/, in which archives are made "
		"(being "
		"built)\n"
		"  staging=NAME         another name for it\n"
		"  compression=, chunker_params=  of what is written there, as for create\n"
		"  checkpoint_interval=SECONDS    as --checkpoint-interval\n"
		"  on_umount=publish|checkpoint   what becomes of what was written there\n"
		"  resume=ARCHIVE       a checkpoint of others, to go on there\n"
		"  manage               mv renames archives, rmdir and rm -r delete them\n"
		"  removal_timeout=SECONDS        what was removed in an archive shows again\n"
		"  keep_lock            once taken, the lock is kept until unmounted\n"
		"  spill=DIRECTORY      for what does not fit into memory (default: TMPDIR)\n"
		"  allow_other, allow_root, fsname=, subtype=, auto_unmount, debug, nodev, "
		"...\n"
		"                       as other FUSE file systems have them\n"
		"\n"
		"Unmount with `alcove umount MOUNTPOINT` or `fusermount3 -u MOUNTPOINT`.  In "
		"the\n"
		"foreground (-f) Ctrl-C unmounts too.\n",
	COMMAND_OPTIONS(mount_options),
	COMMAND_POSITIONALS(mount_positionals),
	.args_size = sizeof(struct mount_args),
	.args_fini = mount_args_fini,
	.flags = COMMAND_BYPASS_LOCK | COMMAND_OWN_SIGNALS,
	.run = run_mount,
};
