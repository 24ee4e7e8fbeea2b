#ifndef MOUNT_OPTIONS_H
#define MOUNT_OPTIONS_H

/*
 * options.h - the comma list behind -o: Borg's options, ours, the kernel's, fstab's.
 *
 * Every option is known or refused: a misspelt one must not be mounted without what it asks for.
 * In a value "\," is a comma.  Threads: none yet.
 */

#include "core/base/bytes.h"
#include "core/base/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct mount_options {
	/* Borg's */
	bool versions, allow_damaged_files, ignore_permissions;
	bool has_uid, has_gid;
	uint32_t uid, gid;
	mode_t umask;
	/* ours */
	uint64_t cache_size; /* bytes of chunks in memory; 0: the default */
	char *subdir;        /* NULL: the root */
	bool read_only, manage;
	unsigned removal_timeout;           /* seconds; 0: the default */
	bool keep_lock;                     /* of the repository, once something was written */
	char *staging;                      /* name of the staging directory; NULL: "new" */
	char *compression, *chunker_params; /* as on the command line; NULL: the defaults */
	bool has_checkpoint_interval;
	unsigned checkpoint_interval; /* seconds; 0: none but those that are asked for */
	char *spill;                  /* directory; NULL: TMPDIR */
	char *resume;                 /* an archive to be staged again; NULL */
	char *on_umount;              /* "publish" (NULL), "checkpoint" */
	/* libfuse's */
	char *fsname;  /* NULL: "borgfs", by which front ends find our mounts */
	char *subtype; /* NULL: "alcove" */
	bool allow_other, allow_root, auto_unmount, debug;
	struct buf kernel; /* ",nodev,noexec..." to be handed on */
};

/* Add the options of `text` to *o (zeroed at first).  -EINVAL names the option. */
int mount_options_parse(struct mount_options *o, const char *text, struct err *e);
void mount_options_fini(struct mount_options *o); /* also a cleanup */

#endif
