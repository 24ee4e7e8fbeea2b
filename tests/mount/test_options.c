/*
 * test_options.c - mount_options_parse() takes what is documented and refuses all else by name.
 *
 * Method: rows of -o text; each says the result and, where it is good, one thing to look at.
 */

#include "tests/support/tap.h"

#include "mount/options.h"

enum look {
	NOTHING,
	VERSIONS,
	DAMAGED,
	IGNORE_PERM,
	UID_IS,
	GID_IS,
	UMASK,
	CACHE,
	SUBDIR,
	FSNAME,
	SUBTYPE,
	OTHER,
	INTERVAL,
	REMOVAL,
	KERNEL_LIST
};

static const struct row {
	const char *name;
	const char *text;
	int want;
	const char *says; /* part of the message */
	enum look look;
	uint64_t number;
	const char *string;
} rows[] = {
	{ "nothing", "", 0, "", NOTHING, 0, NULL },
	{ "empty parts", ",,", 0, "", NOTHING, 0, NULL },
	{ "versions", "versions", 0, "", VERSIONS, 1, NULL },
	{ "a flag switched off again", "versions,versions=no", 0, "", VERSIONS, 0, NULL },
	{ "a flag with yes", "allow_damaged_files=yes", 0, "", DAMAGED, 1, NULL },
	{ "a flag with 1", "ignore_permissions=1", 0, "", IGNORE_PERM, 1, NULL },
	{ "a flag with y", "ignore_permissions=y", 0, "", IGNORE_PERM, 1, NULL },
	{ "a flag with something else", "versions=maybe", -EINVAL, "versions", NOTHING, 0,
	  NULL },
	{ "uid", "uid=1000", 0, "", UID_IS, 1000, NULL },
	{ "uid by name", "uid=root", 0, "", UID_IS, 0, NULL },
	{ "uid nobody has", "uid=no-such-user-here", -EINVAL, "no-such-user", NOTHING, 0,
	  NULL },
	{ "uid without value", "uid", -EINVAL, "uid: needs a value", NOTHING, 0, NULL },
	{ "uid empty", "uid=", -EINVAL, "uid", NOTHING, 0, NULL },
	{ "uid negative", "uid=-1", -EINVAL, "-1", NOTHING, 0, NULL },
	{ "uid that means none", "uid=4294967295", -EINVAL, "uid", NOTHING, 0, NULL },
	{ "gid", "gid=50,uid=3", 0, "", GID_IS, 50, NULL },
	{ "umask", "umask=0277", 0, "", UMASK, 0277, NULL },
	{ "umask not octal", "umask=089", -EINVAL, "umask", NOTHING, 0, NULL },
	{ "umask too wide", "umask=10000", -EINVAL, "umask", NOTHING, 0, NULL },
	{ "what vorta passes", "umask=0277,uid=1000", 0, "", UMASK, 0277, NULL },
	{ "cache size", "cache_size=1000000", 0, "", CACHE, 1000000, NULL },
	{ "cache size in MiB", "cache_size=64M", 0, "", CACHE, 64 << 20, NULL },
	{ "cache size in small letters", "cache_size=2g", 0, "", CACHE, 2ull << 30, NULL },
	{ "cache size with another unit", "cache_size=5X", -EINVAL, "5X", NOTHING, 0, NULL },
	{ "cache size with a tail", "cache_size=5MB", -EINVAL, "5MB", NOTHING, 0, NULL },
	{ "cache size zero", "cache_size=0", -EINVAL, "cache_size", NOTHING, 0, NULL },
	{ "cache size beyond all", "cache_size=99999999999T", -EINVAL, "size", NOTHING, 0,
	  NULL },
	{ "checkpoints", "checkpoint_interval=60", 0, "", INTERVAL, 60, NULL },
	{ "no checkpoints", "checkpoint_interval=0", 0, "", INTERVAL, 0, NULL },
	{ "checkpoints with a unit", "checkpoint_interval=5m", -EINVAL, "5m", NOTHING, 0,
	  NULL },
	{ "removals", "removal_timeout=3", 0, "", REMOVAL, 3, NULL },
	{ "removals at once", "removal_timeout=0", -EINVAL, "removal_timeout", NOTHING, 0,
	  NULL },
	{ "checkpoints before", "checkpoint_interval=-1", -EINVAL, "-1", NOTHING, 0, NULL },
	{ "checkpoints beyond all", "checkpoint_interval=2147483648", -EINVAL, "interval",
	  NOTHING, 0, NULL },
	{ "subdir", "subdir=home/me", 0, "", SUBDIR, 0, "home/me" },
	{ "a comma kept by a backslash", "subdir=a\\,b,uid=1", 0, "", SUBDIR, 0, "a,b" },
	{ "a backslash kept", "subdir=a\\\\b", 0, "", SUBDIR, 0, "a\\b" },
	{ "fsname", "fsname=/srv/x", 0, "", FSNAME, 0, "/srv/x" },
	{ "a value with =", "fsname=a=b", 0, "", FSNAME, 0, "a=b" },
	{ "the last one counts", "subtype=a,subtype=b", 0, "", SUBTYPE, 0, "b" },
	{ "allow_other", "allow_other", 0, "", OTHER, 1, NULL },
	{ "the kernel's own", "nodev,noexec,ro", 0, "", KERNEL_LIST, 0, ",nodev,noexec" },
	{ "fstab",
	  "rw,defaults,noauto,user,_netdev,nofail,x-systemd.automount,X-mount.mkdir=0755", 0,
	  "", KERNEL_LIST, 0, NULL },
	{ "fstab's user with a name", "user=joe,comment=hi", 0, "", NOTHING, 0, NULL },
	{ "libfuse 2's nonempty", "nonempty,default_permissions", 0, "", NOTHING, 0, NULL },
	{ "an unknown option", "nodev,alow_other", -EINVAL, "unknown mount option: alow_other",
	  NOTHING, 0, NULL },
	{ "an unknown option with a value", "speed=high", -EINVAL,
	  "unknown mount option: speed", NOTHING, 0, NULL },
	{ "a value where none belongs", "nodev=1", -EINVAL, "nodev", NOTHING, 0, NULL },
	{ "blanks are part of a name", " versions", -EINVAL, "unknown", NOTHING, 0, NULL },
};

static void same_text(const char *is, const char *want)
{
	if (want)
		assert_string_equal(is, want);
	else
		assert_null(is);
}

static void look_at(struct mount_options *o, const struct row *row)
{
	switch (row->look) {
	case NOTHING: break;
	case VERSIONS: assert_int_equal(o->versions, row->number); break;
	case DAMAGED: assert_int_equal(o->allow_damaged_files, row->number); break;
	case IGNORE_PERM: assert_int_equal(o->ignore_permissions, row->number); break;
	case UID_IS:
		assert_true(o->has_uid);
		assert_int_equal(o->uid, row->number);
		break;
	case GID_IS:
		assert_true(o->has_gid);
		assert_int_equal(o->gid, row->number);
		break;
	case UMASK: assert_int_equal(o->umask, row->number); break;
	case CACHE: assert_int_equal(o->cache_size, row->number); break;
	case REMOVAL:
		assert_int_equal(o->removal_timeout, row->number);
		assert_false(o->has_checkpoint_interval);
		break;
	case INTERVAL:
		assert_true(o->has_checkpoint_interval);
		assert_int_equal(o->checkpoint_interval, row->number);
		break;
	case SUBDIR: same_text(o->subdir, row->string); break;
	case FSNAME: same_text(o->fsname, row->string); break;
	case SUBTYPE: same_text(o->subtype, row->string); break;
	case OTHER: assert_int_equal(o->allow_other, row->number); break;
	case KERNEL_LIST:
		assert_int_equal(buf_append_byte(&o->kernel, 0), 0);
		assert_string_equal((const char *)o->kernel.p, row->string ? row->string : "");
		break;
	}
}

static void parse_one(const void *arg)
{
	const struct row *row = arg;
	struct mount_options o = { 0 };
	struct err e = ERR_INIT;

	assert_int_equal(mount_options_parse(&o, row->text, &e), row->want);
	assert_non_null(strstr(e.msg, row->says));
	look_at(&o, row);
	mount_options_fini(&o);
}

int main(void)
{
	return run_table(rows, parse_one);
}
