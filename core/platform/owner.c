/*
 * owner.c - see owner.h.
 *
 * The user database may live on a server, so it is asked outside the lock; two threads that ask
 * for the same name at once store the same answer.
 */

#include "core/platform/owner.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/table.h"
#include "core/base/thread.h"

enum {
	NAME_MAX_LEN = 62,   /* longer names are looked up each time */
	ENTRIES_MAX = 4096,  /* names come from archives: forget them all rather than grow */
	ANSWER_MAX = 1 << 20 /* bytes of a group with its members */
};

enum kind { USER, GROUP };

struct name_key {
	uint8_t kind, len;
	uint8_t name[NAME_MAX_LEN]; /* zero behind its end */
};

struct answer {
	uint32_t found, number;
};

struct number_key {
	uint32_t kind, number;
};

struct owner_cache {
	struct mutex lock; /* guards the tables */
	struct table answers;
	struct table names; /* number_key -> char *, on the heap; "" where there is none */
};

struct owner_cache *owner_cache_new(void)
{
	struct owner_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	mutex_init(&c->lock);
	table_init(&c->answers, sizeof(struct name_key), sizeof(struct answer));
	table_init(&c->names, sizeof(struct number_key), sizeof(char *));
	return c;
}

void owner_cache_free(struct owner_cache *c)
{
	size_t cursor = 0;
	const void *key;
	void *value;

	if (!c)
		return;
	while (table_next(&c->names, &cursor, &key, &value))
		free(*(char **)value);
	table_fini(&c->names);
	table_fini(&c->answers);
	mutex_fini(&c->lock);
	free(c);
}

static int ask_user(const char *name, char *scratch, size_t len, struct answer *out)
{
	struct passwd entry, *found = NULL;
	int rc = getpwnam_r(name, &entry, scratch, len, &found);

	if (found)
		*out = (struct answer){ 1, found->pw_uid };
	return rc;
}

static int ask_group(const char *name, char *scratch, size_t len, struct answer *out)
{
	struct group entry, *found = NULL;
	int rc = getgrnam_r(name, &entry, scratch, len, &found);

	if (found)
		*out = (struct answer){ 1, found->gr_gid };
	return rc;
}

static struct answer ask(enum kind kind, struct bytes name)
{
	CLEANUP(cleanup_freep)
	char *text = memchr(name.p, 0, name.len) ? NULL : bytes_dup(name);
	struct answer answer = { 0 };
	int rc = ERANGE;

	for (size_t len = 4096; text && rc == ERANGE && len <= ANSWER_MAX; len *= 4) {
		CLEANUP(cleanup_freep) char *scratch = malloc(len);

		if (!scratch)
			break;
		rc = kind == USER ? ask_user(text, scratch, len, &answer)
				  : ask_group(text, scratch, len, &answer);
	}
	return answer;
}

static void store_locked(struct owner_cache *c, const struct name_key *key,
			 struct answer answer)
{
	struct answer *slot;

	if (c->answers.count >= ENTRIES_MAX) {
		table_fini(&c->answers);
		table_init(&c->answers, sizeof(struct name_key), sizeof(struct answer));
	}
	slot = table_put(&c->answers, key, NULL);
	if (slot)
		*slot = answer;
}

static uint32_t number_of(struct owner_cache *c, enum kind kind, struct bytes name,
			  uint32_t fallback)
{
	struct name_key key = { .kind = (uint8_t)kind };
	const struct answer *known;
	struct answer answer = { 0 };

	if (name.len == 0)
		return fallback;
	if (name.len > NAME_MAX_LEN) {
		answer = ask(kind, name);
		return answer.found ? answer.number : fallback;
	}
	key.len = (uint8_t)name.len;
	memcpy(key.name, name.p, name.len);
	mutex_lock(&c->lock);
	known = table_get(&c->answers, &key);
	if (known)
		answer = *known;
	mutex_unlock(&c->lock);
	if (!known) {
		answer = ask(kind, name);
		mutex_lock(&c->lock);
		store_locked(c, &key, answer);
		mutex_unlock(&c->lock);
	}
	return answer.found ? answer.number : fallback;
}

uint32_t owner_uid(struct owner_cache *c, struct bytes name, uint32_t fallback)
{
	return number_of(c, USER, name, fallback);
}

uint32_t owner_gid(struct owner_cache *c, struct bytes name, uint32_t fallback)
{
	return number_of(c, GROUP, name, fallback);
}

/* --- numbers to names --- */

static char *name_by_number(enum kind kind, uint32_t number)
{
	CLEANUP(cleanup_freep) char *scratch = malloc(ANSWER_MAX);
	struct passwd user, *found_user = NULL;
	struct group group, *found_group = NULL;

	if (!scratch)
		return NULL;
	if (kind == USER && getpwuid_r(number, &user, scratch, ANSWER_MAX, &found_user) == 0 &&
	    found_user)
		return strdup(user.pw_name);
	if (kind == GROUP &&
	    getgrgid_r(number, &group, scratch, ANSWER_MAX, &found_group) == 0 && found_group)
		return strdup(group.gr_name);
	return strdup("");
}

/* Names stay where they are until the cache is freed: there are as many as the machine has. */
static struct bytes name_of(struct owner_cache *c, enum kind kind, uint32_t number)
{
	struct number_key key = { (uint32_t)kind, number };
	struct bytes name = { 0 };
	char **slot;

	mutex_lock(&c->lock);
	slot = table_get(&c->names, &key);
	if (!slot) {
		slot = table_put(&c->names, &key, NULL);
		if (slot)
			*slot = name_by_number(kind, number);
	}
	if (slot && *slot)
		name = bytes_str(*slot);
	mutex_unlock(&c->lock);
	return name;
}

struct bytes owner_user(struct owner_cache *c, uint32_t uid)
{
	return name_of(c, USER, uid);
}

struct bytes owner_group(struct owner_cache *c, uint32_t gid)
{
	return name_of(c, GROUP, gid);
}
