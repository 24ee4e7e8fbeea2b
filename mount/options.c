/* options.c - see options.h. */

#include "mount/options.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum kind {
	NOT_FLAG, /* clears a FLAG; takes no value */
	FLAG,     /* bool; "=yes", "=0" and the like allowed, as Borg has it */
	UID,      /* a number or a name */
	GID,
	OCTAL, /* a mode */
	SIZE,  /* bytes, with K, M, G, T */
	SECONDS,
	PERIOD, /* seconds, at least one */
	TEXT,   /* char *, on the heap */
	KERNEL, /* handed on as it is */
	IGNORE, /* meant for others, or what we do anyway */
	IGNORE_VALUE,
	PREFIX, /* ignored with whatever follows */
};

static const struct row {
	const char *name;
	enum kind kind;
	size_t offset;
} rows[] = {
	{ "versions", FLAG, offsetof(struct mount_options, versions) },
	{ "allow_damaged_files", FLAG, offsetof(struct mount_options, allow_damaged_files) },
	{ "ignore_permissions", FLAG, offsetof(struct mount_options, ignore_permissions) },
	{ "uid", UID, offsetof(struct mount_options, uid) },
	{ "gid", GID, offsetof(struct mount_options, gid) },
	{ "umask", OCTAL, offsetof(struct mount_options, umask) },
	{ "cache_size", SIZE, offsetof(struct mount_options, cache_size) },
	{ "subdir", TEXT, offsetof(struct mount_options, subdir) },
	{ "ro", FLAG, offsetof(struct mount_options, read_only) },
	{ "manage", FLAG, offsetof(struct mount_options, manage) },
	{ "removal_timeout", PERIOD, offsetof(struct mount_options, removal_timeout) },
	{ "keep_lock", FLAG, offsetof(struct mount_options, keep_lock) },
	{ "staging", TEXT, offsetof(struct mount_options, staging) },
	{ "compression", TEXT, offsetof(struct mount_options, compression) },
	{ "chunker_params", TEXT, offsetof(struct mount_options, chunker_params) },
	{ "checkpoint_interval", SECONDS, offsetof(struct mount_options, checkpoint_interval) },
	{ "spill", TEXT, offsetof(struct mount_options, spill) },
	{ "resume", TEXT, offsetof(struct mount_options, resume) },
	{ "on_umount", TEXT, offsetof(struct mount_options, on_umount) },
	{ "fsname", TEXT, offsetof(struct mount_options, fsname) },
	{ "subtype", TEXT, offsetof(struct mount_options, subtype) },
	{ "allow_other", FLAG, offsetof(struct mount_options, allow_other) },
	{ "allow_root", FLAG, offsetof(struct mount_options, allow_root) },
	{ "auto_unmount", FLAG, offsetof(struct mount_options, auto_unmount) },
	{ "debug", FLAG, offsetof(struct mount_options, debug) },
	/* mount(8) */
	{ "dev", KERNEL, 0 },
	{ "nodev", KERNEL, 0 },
	{ "suid", KERNEL, 0 },
	{ "nosuid", KERNEL, 0 },
	{ "exec", KERNEL, 0 },
	{ "noexec", KERNEL, 0 },
	{ "async", KERNEL, 0 },
	{ "sync", KERNEL, 0 },
	{ "dirsync", KERNEL, 0 },
	{ "atime", KERNEL, 0 },
	{ "noatime", KERNEL, 0 },
	{ "rw", NOT_FLAG, offsetof(struct mount_options, read_only) },
	{ "default_permissions", IGNORE, 0 },
	{ "diratime", IGNORE, 0 },
	{ "nodiratime", IGNORE, 0 },
	{ "relatime", IGNORE, 0 },
	{ "norelatime", IGNORE, 0 },
	{ "strictatime", IGNORE, 0 },
	{ "nostrictatime", IGNORE, 0 },
	{ "lazytime", IGNORE, 0 },
	{ "nolazytime", IGNORE, 0 },
	/* libfuse 2's default is libfuse 3's only way */
	{ "nonempty", IGNORE, 0 },
	{ "max_read", IGNORE_VALUE, 0 },
	/* fstab(5): for mount(8) and those that call it */
	{ "defaults", IGNORE, 0 },
	{ "auto", IGNORE, 0 },
	{ "noauto", IGNORE, 0 },
	{ "user", IGNORE, 0 },
	{ "user", IGNORE_VALUE, 0 },
	{ "users", IGNORE, 0 },
	{ "nouser", IGNORE, 0 },
	{ "nousers", IGNORE, 0 },
	{ "owner", IGNORE, 0 },
	{ "group", IGNORE, 0 },
	{ "nofail", IGNORE, 0 },
	{ "_netdev", IGNORE, 0 },
	{ "comment", IGNORE_VALUE, 0 },
	{ "x-", PREFIX, 0 },
	{ "X-", PREFIX, 0 },
};

void mount_options_fini(struct mount_options *o)
{
	free(o->subdir);
	free(o->fsname);
	free(o->subtype);
	free(o->staging);
	free(o->compression);
	free(o->chunker_params);
	free(o->spill);
	free(o->resume);
	free(o->on_umount);
	buf_fini(&o->kernel);
	*o = (struct mount_options){ 0 };
}

static int bad_value(const char *name, const char *value, struct err *e)
{
	return err_set(e, EINVAL, "mount option %s: invalid value: %s", name, value);
}

static int parse_flag(const char *value, bool *out)
{
	static const char *const yes[] = { "yes", "true", "1", "y" };
	static const char *const no[] = { "no", "false", "0", "n" };

	for (size_t i = 0; i < 4; i++) {
		if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
			*out = strcmp(value, yes[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

/* Digits of `base` and nothing else. */
static int parse_number(const char *value, int base, unsigned long long max,
			unsigned long long *out, const char **rest)
{
	char *end;

	if (*value < '0' || *value > '9')
		return -EINVAL;
	errno = 0;
	*out = strtoull(value, &end, base);
	if (errno || *out > max || (!rest && *end))
		return -EINVAL;
	if (rest)
		*rest = end;
	return 0;
}

static int parse_owner(const char *value, bool group, uint32_t *out)
{
	unsigned long long number;

	if (parse_number(value, 10, UINT32_MAX - 1, &number, NULL) == 0) {
		*out = (uint32_t)number;
		return 0;
	}
	if (group) {
		const struct group *gr = getgrnam(value);

		*out = gr ? gr->gr_gid : 0;
		return gr ? 0 : -EINVAL;
	}
	const struct passwd *pw = getpwnam(value);

	*out = pw ? pw->pw_uid : 0;
	return pw ? 0 : -EINVAL;
}

static int parse_size(const char *value, uint64_t *out)
{
	static const char units[] = "KMGT";
	unsigned long long number;
	const char *rest, *unit;
	unsigned shift;

	if (parse_number(value, 10, UINT64_MAX >> 40, &number, &rest) < 0)
		return -EINVAL;
	unit = *rest ? strchr(units, *rest & ~0x20) : NULL;
	if (*rest && (!unit || rest[1]))
		return -EINVAL;
	shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	*out = number << shift;
	return *out > 0 ? 0 : -EINVAL;
}

static int set_value(struct mount_options *o, const struct row *row, const char *value)
{
	void *field = (char *)o + row->offset;
	unsigned long long number;

	switch (row->kind) {
	case FLAG: return parse_flag(value, field);
	case UID: o->has_uid = true; return parse_owner(value, false, field);
	case GID: o->has_gid = true; return parse_owner(value, true, field);
	case OCTAL:
		if (parse_number(value, 8, 07777, &number, NULL) < 0)
			return -EINVAL;
		*(mode_t *)field = (mode_t)number;
		return 0;
	case SIZE: return parse_size(value, field);
	case SECONDS:
		if (parse_number(value, 10, INT_MAX, &number, NULL) < 0)
			return -EINVAL;
		o->has_checkpoint_interval = true;
		*(unsigned *)field = (unsigned)number;
		return 0;
	case PERIOD:
		if (parse_number(value, 10, INT_MAX, &number, NULL) < 0 || number == 0)
			return -EINVAL;
		*(unsigned *)field = (unsigned)number;
		return 0;
	case TEXT:
		free(*(char **)field);
		*(char **)field = strdup(value);
		return *(char **)field ? 0 : -ENOMEM;
	case IGNORE_VALUE: return 0;
	case NOT_FLAG:
	case PREFIX:
	case KERNEL:
	case IGNORE: break;
	}
	return -EINVAL;
}

static int set_plain(struct mount_options *o, const struct row *row, struct err *e)
{
	switch (row->kind) {
	case FLAG: *(bool *)((char *)o + row->offset) = true; return 0;
	case NOT_FLAG: *(bool *)((char *)o + row->offset) = false; return 0;
	case KERNEL:
		if (buf_append_byte(&o->kernel, ',') < 0 ||
		    buf_append_str(&o->kernel, row->name) < 0)
			return err_nomem(e, "mount options");
		return 0;
	case PREFIX:
	case IGNORE: return 0;
	case UID:
	case GID:
	case OCTAL:
	case SIZE:
	case SECONDS:
	case PERIOD:
	case TEXT:
	case IGNORE_VALUE: break;
	}
	return err_set(e, EINVAL, "mount option %s: needs a value", row->name);
}

static const struct row *find_row(const char *name, bool with_value)
{
	const struct row *found = NULL;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];

		if (row->kind == PREFIX) {
			if (strncmp(name, row->name, strlen(row->name)) == 0)
				return row;
		} else if (strcmp(name, row->name) == 0) {
			found = row;
			if ((row->kind == IGNORE_VALUE) == with_value)
				break; /* "user" and "user=NAME" are two rows */
		}
	}
	return found;
}

/* One option, which is ours to cut into name and value. */
static int parse_one(struct mount_options *o, char *option, struct err *e)
{
	char *value = strchr(option, '=');
	const struct row *row;
	int rc;

	if (value)
		*value++ = 0;
	row = find_row(option, value != NULL);
	if (!row)
		return err_set(e, EINVAL, "unknown mount option: %s", option);
	if (!value || row->kind == PREFIX)
		return set_plain(o, row, e);
	rc = set_value(o, row, value);
	if (rc == -ENOMEM)
		return err_nomem(e, "mount options");
	return rc < 0 ? bad_value(option, value, e) : 0;
}

/* Cut the next option off *text, in place; a backslash keeps the comma behind it. */
static char *next_option(char **text)
{
	char *start = *text, *to = start, *from = start;

	while (*from && *from != ',') {
		if (*from == '\\' && (from[1] == ',' || from[1] == '\\'))
			from++;
		*to++ = *from++;
	}
	*text = *from ? from + 1 : from;
	*to = 0;
	return start;
}

int mount_options_parse(struct mount_options *o, const char *text, struct err *e)
{
	CLEANUP(cleanup_freep) char *copy = strdup(text);
	char *rest = copy;

	if (!copy)
		return err_nomem(e, "mount options");
	while (*rest) {
		char *option = next_option(&rest);
		int rc = *option ? parse_one(o, option, e) : 0;

		if (rc < 0)
			return rc;
	}
	return 0;
}
