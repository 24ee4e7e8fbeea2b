/* config.c - see config.h. */

#include "core/repo/config.h"

#include "core/base/io.h"
#include "core/base/log.h"
#include "core/repo/ini.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPTIONS_MAX = 64 };

static const char section[] = "repository";
static const char logger[] = "borg.repository";

struct option {
	char *name, *value; /* heap, NUL-terminated */
};

struct ini {
	struct option options[OPTIONS_MAX];
	size_t count;
	bool has_section;
};

static void ini_fini(struct ini *ini)
{
	for (size_t i = 0; i < ini->count; i++) {
		free(ini->options[i].name);
		free(ini->options[i].value);
	}
}

static char *lookup(const struct ini *ini, const char *name)
{
	for (size_t i = 0; i < ini->count; i++)
		if (strcmp(ini->options[i].name, name) == 0)
			return ini->options[i].value;
	return NULL;
}

static int add_option(struct ini *ini, const struct ini_item *item, struct err *e)
{
	struct option *o = &ini->options[ini->count];

	if (ini->count == OPTIONS_MAX)
		return err_set(e, EBADMSG, "config: more than %d options", OPTIONS_MAX);
	*o = (struct option){ bytes_dup(item->name), ini_value(item) };
	ini->count++;
	if (!o->name || !o->value)
		return err_nomem(e, "config");
	for (char *p = o->name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (lookup(ini, o->name) != o->value)
		return err_set(e, EBADMSG, "config: an option twice");
	return 0;
}

static int add_item(struct ini *ini, const struct ini_item *item, struct err *e)
{
	switch (item->kind) {
	case INI_SECTION:
		if (ini->has_section)
			return err_set(e, EBADMSG, "config: a section twice");
		ini->has_section = true;
		return 0;
	case INI_OPTION: return add_option(ini, item, e);
	case INI_OTHER: break;
	}
	return err_set(e, EBADMSG, "config: a line without a value");
}

static int parse_ini(struct ini *ini, struct bytes text, struct err *e)
{
	struct ini_cursor c = { .rest = text };
	struct ini_item item;

	if (text.len && memchr(text.p, '\0', text.len))
		return err_set(e, EBADMSG, "config: not a text file");
	while (ini_next(&c, &item)) {
		int rc = bytes_is(item.section, section) ? add_item(ini, &item, e) : 0;

		if (rc < 0)
			return rc;
	}
	return 0;
}

bool config_parse_size(const char *s, uint64_t *out)
{
	static const char suffixes[] = "KMGTP";
	size_t digits = strspn(s, "0123456789."); /* neither signs, exponents nor hex */
	char *end;
	double v = strtod(s, &end);
	const char *unit = end + strspn(end, " ");
	const char *suffix = *unit ? strchr(suffixes, *unit) : NULL;

	if (digits == 0 || end != s + digits || (*unit && (!suffix || unit[1])))
		return false;
	for (; suffix && suffix >= suffixes; suffix--)
		v *= 1000;
	if (v >= 18446744073709551616.0)
		return false;
	*out = (uint64_t)v;
	return true;
}

static int size_option(const struct ini *ini, const char *name, bool required, uint64_t *out,
		       struct err *e)
{
	const char *value = lookup(ini, name);

	*out = 0;
	if (!value && !required)
		return 0;
	if (!value || !config_parse_size(value, out))
		return err_set(e, EBADMSG, "config: %s is missing or not a size", name);
	return 0;
}

static int number_option(const struct ini *ini, const char *name, uint64_t max, uint64_t *out,
			 struct err *e)
{
	const char *value = lookup(ini, name);
	char *end = NULL;

	errno = 0;
	*out = value ? strtoull(value, &end, 10) : 0;
	if (!value || !isdigit((unsigned char)value[0]) || *end || errno || *out > max)
		return err_set(e, EBADMSG, "config: %s is missing or not a number", name);
	return 0;
}

static int bool_option(const struct ini *ini, const char *name, bool *out, struct err *e)
{
	static const char *const yes[] = { "1", "yes", "true", "on" };
	static const char *const no[] = { "0", "no", "false", "off" };
	const char *value = lookup(ini, name);

	*out = false;
	if (!value)
		return 0;
	for (size_t i = 0; i < 4; i++) {
		if (strcasecmp(value, yes[i]) == 0) {
			*out = true;
			return 0;
		}
		if (strcasecmp(value, no[i]) == 0)
			return 0;
	}
	return err_set(e, EBADMSG, "config: %s is neither yes nor no", name);
}

static int fill(struct repo_config *out, const struct ini *ini, struct err *e)
{
	const char *key = lookup(ini, "key"), *id = lookup(ini, "id");
	uint64_t version, per_dir;
	int rc;

	if (!ini->has_section)
		return err_set(e, EBADMSG, "no repository section found");
	rc = number_option(ini, "version", UINT32_MAX, &version, e);

	if (rc == 0 && version != 1)
		return err_set(e, ENOTSUP,
			       "repository version %" PRIu64
			       " is not supported by this borg version",
			       version);
	if (rc == 0)
		rc = number_option(ini, "segments_per_dir", UINT32_MAX, &per_dir, e);
	if (rc == 0 && per_dir == 0)
		return err_set(e, EBADMSG, "config: segments_per_dir is 0");
	if (rc == 0)
		rc = size_option(ini, "max_segment_size", true, &out->max_segment_size, e);
	if (rc == 0)
		rc = size_option(ini, "storage_quota", false, &out->storage_quota, e);
	if (rc == 0)
		rc = size_option(ini, "additional_free_space", false,
				 &out->additional_free_space, e);
	if (rc == 0)
		rc = bool_option(ini, "append_only", &out->append_only, e);
	if (rc < 0)
		return rc;
	out->segments_per_dir = (uint32_t)per_dir;
	if (!id || id_parse(&out->id, bytes_str(id)) < 0)
		return err_set(e, EBADMSG, "config: id is missing or not 64 hex digits");
	if (key)
		key += strspn(key, "\n"); /* it may begin below its name */
	if (key && *key) {
		out->key = strdup(key);
		if (!out->key)
			return err_nomem(e, "config");
	}
	return 0;
}

int config_parse(struct repo_config *out, struct bytes text, struct err *e)
{
	struct ini ini = { 0 };
	int rc;

	*out = (struct repo_config){ 0 };
	rc = parse_ini(&ini, text, e);
	if (rc == 0)
		rc = fill(out, &ini, e);
	ini_fini(&ini);
	if (rc < 0)
		config_fini(out);
	return rc;
}

void config_fini(struct repo_config *c)
{
	free(c->key);
	*c = (struct repo_config){ 0 };
}

/* --- writing --- */

/* The text of a file that has other names is not ours to overwrite. */
static int overwrite(int fd)
{
	CLEANUP(buf_fini) struct buf noise = BUF_INIT;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_nlink > 1 || st.st_size > CONFIG_FILE_MAX)
		return 0;
	if (buf_resize(&noise, (size_t)st.st_size) < 0)
		return -ENOMEM;
	for (size_t at = 0; at < noise.len;) {
		ssize_t n = getrandom(noise.p + at, noise.len - at, 0);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	if (write_all_at(fd, noise.p, noise.len, 0) < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int erase(const char *path, struct err *e)
{
	CLEANUP(cleanup_closep) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	int rc = fd < 0 ? -errno : overwrite(fd);

	if (rc == -ENOENT)
		return 0;
	if (rc == 0 && unlink(path) < 0)
		rc = -errno;
	return rc < 0 ? err_set(e, -rc, "[Errno %d] %s: '%s'", -rc, strerror(-rc), path) : 0;
}

/* So that the blocks of the old text can still be reached when the new one is in its place. */
static int keep_old(const char *path, const char *old, struct err *e)
{
	static const int no_links[] = { EMLINK, ENOSYS, EPERM, EACCES, ENOTSUP, EIO };

	if (link(path, old) == 0 || errno == ENOENT)
		return 0;
	for (size_t i = 0; i < sizeof(no_links) / sizeof(no_links[0]); i++) {
		if (errno != no_links[i])
			continue;
		log_warning(logger, "Failed to securely erase old repository config file "
				    "(hardlinks not supported). Old repokey data, if any, "
				    "might persist on physical storage.");
		return 0;
	}
	return err_set(e, errno, "[Errno %d] %s: '%s' -> '%s'", errno, strerror(errno), path,
		       old);
}

int config_store(const char *path, struct bytes text, struct err *e)
{
	CLEANUP(cleanup_freep) char *folder = folder_of(path);
	CLEANUP(cleanup_freep) char *old = NULL;
	int rc = 0;

	if (!folder || asprintf(&old, "%s.old", path) < 0) {
		old = NULL;
		return err_nomem(e, "config");
	}
	if (access(old, F_OK) == 0) {
		log_warning(logger,
			    "Old config file not securely erased on previous config update");
		rc = erase(old, e);
	}
	if (rc == 0)
		rc = keep_old(path, old, e);
	if (rc < 0)
		return rc;
	rc = file_replace(path, text, 0666, e);
	if (rc < 0) {
		erase(old, NULL); /* mostly a second name of what still is the config */
		return rc;
	}
	rc = erase(old, e);
	if (rc == 0)
		(void)sync_dir(folder); /* else Borg warns of it after a power cut */
	return rc;
}

int config_change(const char *path, const char *name, const char *value, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	int rc = file_read(AT_FDCWD, path, CONFIG_FILE_MAX, &text, e);

	if (rc < 0)
		return rc;
	if (ini_set(&text, section, name, value) < 0)
		return err_nomem(e, "config");
	return config_store(path, buf_bytes(&text), e);
}
