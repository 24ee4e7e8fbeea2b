/* cmd_import_tar.c - `import-tar`: a tar stream, through a filter, becomes an archive. */

#include "tools/creation.h"

#include "core/archive/tar_in.h"
#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "tools/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct import_args {
	struct create_args create;
	const char *tarfile, *filter;
	bool ignore_zeros;
};

static ssize_t read_entry(void *arg, uint8_t *p, size_t len, struct err *e)
{
	return tar_in_read(arg, p, len, e);
}

/* 0; 1 where the user has had enough; -errno. */
static int add_entry(struct tar_in *tar, const struct tar_entry *entry, struct creation *c,
		     struct create *create, struct err *e)
{
	const struct create_content content = { read_entry, tar };
	int rc;

	if (entry->letter == 'E') {
		creation_warning(c, entry->name, "Unsupported tarinfo type");
		creation_status(c, 'E', entry->name);
		return 0;
	}
	if (entry->has_content)
		creation_status(c, entry->letter, entry->name);
	rc = create_item(create, entry->name, &entry->item,
			 entry->has_content ? &content : NULL, e);
	if (rc == 0 && !entry->has_content)
		creation_status(c, entry->letter, entry->name);
	return rc;
}

static int add_entries(struct tar_in *tar, struct creation *c, struct create *create,
		       struct err *e)
{
	struct tar_entry entry;
	int rc;

	while ((rc = tar_in_next(tar, &entry, e)) > 0) {
		rc = add_entry(tar, &entry, c, create, e);
		if (rc != 0)
			return rc;
	}
	return rc;
}

static int open_tarfile(const char *path, struct err *e)
{
	int fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
					: open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? err_set(e, errno, "[Errno %d] %s: '%s'", errno, strerror(errno), path)
		      : fd;
}

/* All entries, with the filter's success before anything is said to be archived. */
static int fill(void *arg, struct creation *c, struct create *create, struct err *e)
{
	const struct import_args *args = arg;
	const char *command = strcmp(args->filter ? args->filter : "auto", "auto") == 0
				      ? filter_of_name(args->tarfile, true)
				      : args->filter;
	struct tar_in *tar = NULL;
	struct filter filter;
	int fd = open_tarfile(args->tarfile, e), rc;

	if (fd < 0)
		return fd;
	rc = filter_start(&filter, command, fd, true, e);
	if (rc == 0)
		rc = tar_in_open(&tar, filter.fd, args->ignore_zeros, e);
	if (rc == 0)
		rc = add_entries(tar, c, create, e);
	tar_in_free(tar);
	if (rc == 0)
		rc = filter_finish(&filter, e);
	filter_abort(&filter);
	return rc < 0 ? rc : 0;
}

static int run_import(struct run *run, void *arg, struct err *e)
{
	struct import_args *args = arg;

	args->create.files_mode.given = true;
	args->create.files_mode.mode.disabled = true;
	return creation_run(run, &args->create, fill, args, e);
}

static void import_args_fini(void *arg)
{
	struct import_args *args = arg;

	location_fini(&args->create.where);
}

#define IMPORT(member) .offset = offsetof(struct import_args, member)

static const struct arg_option import_options_table[] = {
	{ .name = "tar-filter",
	  .kind = ARG_VALUE,
	  IMPORT(filter),
	  .once = true,
	  .metavar = "TAR_FILTER",
	  .help = "filter program to pipe data through" },
	CREATION_REPORT_OPTIONS(struct import_args, create.),
	{ .name = "ignore-zeros",
	  .kind = ARG_FLAG,
	  IMPORT(ignore_zeros),
	  .help = "ignore zero-filled blocks in the input tarball" },
	{ .name = "comment",
	  .kind = ARG_VALUE,
	  IMPORT(create.comment),
	  .metavar = "COMMENT",
	  .help = "add a comment text to the archive" },
	CREATION_ARCHIVE_OPTIONS(struct import_args, create.),
};

static const struct arg_positional import_positionals[] = {
	{ "ARCHIVE", ARG_ONE, offsetof(struct import_args, create.where), arg_archive,
	  "name of archive to create (must be also a valid directory name)" },
	{ "TARFILE", ARG_ONE, offsetof(struct import_args, tarfile), NULL,
	  "input tar file. \"-\" to read from stdin instead." },
};

const struct command command_import_tar = {
	.name = "import-tar",
	.summary = "create a backup archive from a tarball",
	.description =
		"This command makes an archive of a tar stream: TARFILE, or '-' for standard\n"
		"input.  It may be of the v7, ustar, pax or GNU kind.\n"
		"\n"
		"A name that ends in .tar.gz or .tgz, .tar.bz2 or .tbz, .tar.xz or .txz,\n"
		".tar.zstd or .tar.zst, or .tar.lz4 makes gzip, bzip2, xz, zstd or lz4\n"
		"expand it; --tar-filter names any other program.\n"
		"\n"
		"Owners, modes, times, links of both kinds, devices and FIFOs are taken over;\n"
		"ACLs and extended attributes are not.  Reading ends at the first end of a\n"
		"tar; --ignore-zeros goes on behind it, for files made by `cat a.tar b.tar`.\n"
		"\n"
		"Checkpoints, --list and --stats are those of `create`.\n",
	COMMAND_OPTIONS(import_options_table),
	COMMAND_POSITIONALS(import_positionals),
	.args_size = sizeof(struct import_args),
	.args_fini = import_args_fini,
	.run = run_import,
};
