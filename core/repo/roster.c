/* roster.c - see roster.h. */

#include "core/repo/roster.h"

#include "core/base/io.h"
#include "core/base/log.h"
#include "core/platform/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const lists[] = { ROSTER_SHARED, ROSTER_EXCLUSIVE };
enum { LISTS = sizeof(lists) / sizeof(lists[0]) };

bool owner_dead(const struct owner *self, const char *host, size_t host_len, int64_t pid,
		int64_t thread)
{
	return bytes_is((struct bytes){ (const uint8_t *)host, host_len }, self->host) &&
	       thread == 0 && !host_process_alive(pid);
}

static const char *entry_host(const json_t *entry)
{
	return json_string_value(json_array_get(entry, 0));
}

static json_int_t entry_pid(const json_t *entry)
{
	return json_integer_value(json_array_get(entry, 1));
}

static json_int_t entry_thread(const json_t *entry)
{
	return json_integer_value(json_array_get(entry, 2));
}

static bool entry_valid(const json_t *entry)
{
	return json_array_size(entry) == 3 && json_is_string(json_array_get(entry, 0)) &&
	       json_is_integer(json_array_get(entry, 1)) &&
	       json_is_integer(json_array_get(entry, 2));
}

static bool is_self(const json_t *entry, const struct owner *self)
{
	return strcmp(entry_host(entry), self->host) == 0 && entry_pid(entry) == self->pid &&
	       entry_thread(entry) == 0;
}

static bool list_valid(const json_t *list)
{
	if (list && !json_is_array(list))
		return false;
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!entry_valid(json_array_get(list, i)))
			return false;
	return true;
}

static int parse(json_t **out, struct bytes text, const char *path, struct err *e)
{
	json_t *root = NULL;

	if (text.len > 0)
		root = json_loadb((const char *)text.p, text.len, 0, NULL);
	/* Python writes bytes of a name that are not UTF-8 as lone surrogates, and reads them. */
	if (!root && text.len > 0 && memmem(text.p, text.len, "\\ud", 3))
		return err_set(e, EBADMSG, "%s: a host name that is not UTF-8", path);
	if (!root)
		root = json_object();
	if (!root)
		return err_nomem(e, path);
	for (size_t i = 0; i < LISTS; i++) {
		if (json_is_object(root) && list_valid(json_object_get(root, lists[i])))
			continue;
		json_decref(root);
		return err_set(e, EBADMSG, "%s: not a lock roster", path);
	}
	*out = root;
	return 0;
}

int roster_load(json_t **out, const char *path, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;
	CLEANUP(cleanup_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int rc = fd < 0 ? -errno : read_to_end(fd, ROSTER_BYTES_MAX, &text);

	if (rc < 0 && rc != -ENOENT)
		return err_set(e, -rc, "[Errno %d] %s: '%s'", -rc, strerror(-rc), path);
	return parse(out, buf_bytes(&text), path, e);
}

static void bury_in(json_t *list, const char *name, const struct owner *self)
{
	for (size_t i = json_array_size(list); i-- > 0;) {
		const json_t *entry = json_array_get(list, i);
		const char *host = entry_host(entry);

		if (!owner_dead(self, host, strlen(host), entry_pid(entry),
				entry_thread(entry)))
			continue;
		log_warning("borg.locking",
			    "Removed stale %s roster lock for host %s pid %lld thread %lld.",
			    name, host, (long long)entry_pid(entry),
			    (long long)entry_thread(entry));
		json_array_remove(list, i);
	}
}

void roster_bury(json_t *roster, const struct owner *self)
{
	for (size_t i = 0; i < LISTS; i++)
		bury_in(json_object_get(roster, lists[i]), lists[i], self);
}

size_t roster_others(const json_t *roster, const char *list, const struct owner *self)
{
	const json_t *entries = json_object_get(roster, list);
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(entries); i++)
		count += !is_self(json_array_get(entries, i), self);
	return count;
}

bool roster_has(const json_t *roster, const char *list, const struct owner *self)
{
	return roster_others(roster, list, self) <
	       json_array_size(json_object_get(roster, list));
}

void roster_remove(json_t *roster, const char *list, const struct owner *self)
{
	json_t *entries = json_object_get(roster, list);

	for (size_t i = json_array_size(entries); i-- > 0;)
		if (is_self(json_array_get(entries, i), self))
			json_array_remove(entries, i);
}

int roster_add(json_t *roster, const char *list, const struct owner *self, struct err *e)
{
	json_t *entries = json_object_get(roster, list);

	if (roster_has(roster, list, self))
		return 0;
	if (!entries) {
		entries = json_array();
		if (json_object_set_new(roster, list, entries) < 0)
			return err_nomem(e, "lock roster");
	}
	if (json_array_append_new(
		    entries, json_pack("[s, I, i]", self->host, (json_int_t)self->pid, 0)) < 0)
		return err_nomem(e, "lock roster");
	return 0;
}

static bool empty(const json_t *roster)
{
	for (size_t i = 0; i < LISTS; i++)
		if (json_array_size(json_object_get(roster, lists[i])) > 0)
			return false;
	return true;
}

int roster_save(const json_t *roster, const char *path, struct err *e)
{
	CLEANUP(cleanup_freep) char *text = NULL;

	if (empty(roster)) {
		if (unlink(path) < 0 && errno != ENOENT)
			return err_set(e, errno, "[Errno %d] %s: '%s'", errno, strerror(errno),
				       path);
		return 0;
	}
	text = json_dumps(roster, JSON_ENSURE_ASCII);
	if (!text)
		return err_nomem(e, "lock roster");
	return file_replace(path, bytes_str(text), 0666, e);
}
