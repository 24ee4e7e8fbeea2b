#ifndef FS_ARCHIVES_H
#define FS_ARCHIVES_H

/*
 * archives.h - the plain view of a repository: a folder per archive, or one archive's tree.
 *
 * An archive's folder has the archive's name.  Names that no folder can have are shown escaped:
 * "/", NUL, "%" and the names "." and ".." as %2F, %00, %25, %2E, %2E%2E; a name longer than 255
 * bytes is cut and ends in "%" and the first 16 digits of the archive's id.  Should another
 * archive really be called so, the escaped one has a "%" more.
 *
 * With shelf.make the root is the one tree that it makes (of all versions of every file).
 *
 * A node is number of the archive << 32 | index in its tree (of the entry that stands for the
 * file, so hard links share it).
 */

#include "core/archive/select.h"
#include "fs/shelf.h"
#include "fs/view.h"

struct archives_options {
	struct shelf_options shelf;
	struct select_options select; /* which archives are shown; strings are the caller's */
	const char *archive;          /* only this one, as the root; NULL: a folder for each */
	const char *subdir;           /* show this folder as the root; NULL: the root */
	bool allow_damaged_files;
	uint32_t uid, gid; /* of what no archive speaks of: the mounting user */
};

/* Strings, reader and policy must outlive the view.  Errors: Archive.DoesNotExist -ENOENT;
 * -ENOENT, -ENOTDIR for subdir, which is the only reason to load anything here. */
int archives_open(struct view **out, const struct archives_options *options, struct err *e);

#endif
