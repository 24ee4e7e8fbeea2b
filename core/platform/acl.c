/*
 * acl.c - see acl.h.
 *
 * The kernel takes an ACL only in order: owner, users by number, owning group, groups by number,
 * mask, others.  Tags happen to grow in that order.
 */

#include "core/platform/acl.h"

#include <ctype.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/cleanup.h"

enum {
	HEADER = 4,
	ENTRY = 8,
	ENTRIES_MAX = (65536 - HEADER) / ENTRY, /* what an extended attribute can hold */
	FIELDS_MAX = 4,
};

struct entry {
	uint16_t tag, perm;
	uint32_t id;
};

static struct bytes trim(struct bytes text)
{
	while (text.len > 0 && isspace(text.p[text.len - 1]))
		text.len--;
	while (text.len > 0 && isspace(text.p[0])) {
		text.p++;
		text.len--;
	}
	return text;
}

/* Up to FIELDS_MAX parts of a line between colons; their number, or 0 where there are more. */
static size_t split(struct bytes line, struct bytes fields[FIELDS_MAX])
{
	size_t count = 0, from = 0;

	for (size_t i = 0; i <= line.len; i++) {
		if (i < line.len && line.p[i] != ':')
			continue;
		if (count == FIELDS_MAX)
			return 0;
		fields[count++] = (struct bytes){ line.p + from, i - from };
		from = i + 1;
	}
	return count;
}

/* A decimal number that can be a user's or group's. */
static bool parse_id(struct bytes text, uint32_t *out)
{
	uint64_t value = 0;

	if (text.len == 0 || text.len > 10)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text.p[i] - '0');
	}
	*out = (uint32_t)value;
	return value < UINT32_MAX; /* the largest one means "none" */
}

/* Of "rwx<tab>#effective:r--" Borg cuts off the comment alone and adds its field behind the tab,
 * so a permission may have blanks around it. */
static bool parse_perm(struct bytes text, uint16_t *out)
{
	*out = 0;
	for (size_t i = 0; i < text.len; i++) {
		switch (text.p[i]) {
		case 'r': *out |= ACL_READ; break;
		case 'w': *out |= ACL_WRITE; break;
		case 'x': *out |= ACL_EXECUTE; break;
		case '-': break;
		default: return false;
		}
	}
	return text.len <= 3;
}

static bool parse_tag(struct bytes type, bool named, uint16_t *out)
{
	if (bytes_is(type, "user") || bytes_is(type, "u"))
		*out = named ? ACL_USER : ACL_USER_OBJ;
	else if (bytes_is(type, "group") || bytes_is(type, "g"))
		*out = named ? ACL_GROUP : ACL_GROUP_OBJ;
	else if (!named && (bytes_is(type, "mask") || bytes_is(type, "m")))
		*out = ACL_MASK;
	else if (!named && (bytes_is(type, "other") || bytes_is(type, "o")))
		*out = ACL_OTHER;
	else
		return false;
	return true;
}

/* The number a qualifier stands for: by name, else the stored number, else itself a number. */
static bool resolve(const struct entry *entry, struct bytes qualifier, struct bytes number,
		    bool numeric_ids, struct owner_cache *owners, uint32_t *out)
{
	uint32_t stored = UINT32_MAX;

	if (!parse_id(number, &stored) && !parse_id(qualifier, &stored))
		stored = UINT32_MAX;
	if (numeric_ids && stored != UINT32_MAX)
		*out = stored;
	else if (entry->tag == ACL_USER)
		*out = owner_uid(owners, qualifier, stored);
	else
		*out = owner_gid(owners, qualifier, stored);
	return *out != UINT32_MAX;
}

static bool parse_line(struct bytes line, bool numeric_ids, struct owner_cache *owners,
		       struct entry *out)
{
	struct bytes fields[FIELDS_MAX] = { 0 };
	size_t count = split(line, fields);

	*out = (struct entry){ .id = (uint32_t)ACL_UNDEFINED_ID };
	if (count < 3)
		return false;
	if (!parse_tag(fields[0], fields[1].len > 0, &out->tag) ||
	    !parse_perm(trim(fields[2]), &out->perm))
		return false;
	if (out->tag != ACL_USER && out->tag != ACL_GROUP)
		return true;
	return resolve(out, fields[1], fields[3], numeric_ids, owners, &out->id);
}

/* The next line without its comment and the blanks around it; *rest moves behind it. */
static struct bytes next_line(struct bytes *rest)
{
	const uint8_t *newline = memchr(rest->p, '\n', rest->len);
	size_t len = newline ? (size_t)(newline - rest->p) : rest->len;
	struct bytes line = { rest->p, len };
	const uint8_t *comment = memchr(line.p, '#', line.len);

	rest->p += len + (newline != NULL);
	rest->len -= len + (newline != NULL);
	if (comment)
		line.len = (size_t)(comment - line.p);
	return trim(line);
}

static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* Exactly one entry of each base kind, at most one mask, and one where anybody is named. */
static bool is_complete(const struct entry *entries, size_t count)
{
	size_t seen[ACL_OTHER + 1] = { 0 };

	for (size_t i = 0; i < count; i++)
		seen[entries[i].tag]++;
	if (seen[ACL_USER_OBJ] != 1 || seen[ACL_GROUP_OBJ] != 1 || seen[ACL_OTHER] != 1)
		return false;
	return seen[ACL_MASK] == 1 ||
	       (seen[ACL_MASK] == 0 && seen[ACL_USER] + seen[ACL_GROUP] == 0);
}

static int write_binary(const struct entry *entries, size_t count, struct buf *out)
{
	if (buf_resize(out, HEADER + count * ENTRY) < 0)
		return -ENOMEM;
	put_le32(out->p, POSIX_ACL_XATTR_VERSION);
	for (size_t i = 0; i < count; i++) {
		uint8_t *p = out->p + HEADER + i * ENTRY;

		put_le16(p, entries[i].tag);
		put_le16(p + 2, entries[i].perm);
		put_le32(p + 4, entries[i].id);
	}
	return 0;
}

int acl_to_binary(struct bytes text, bool numeric_ids, struct owner_cache *owners,
		  struct buf *out, struct err *e)
{
	CLEANUP(buf_fini) struct buf entries = BUF_INIT;
	struct bytes rest = text;
	size_t count;

	out->len = 0;
	while (rest.len > 0) {
		struct bytes line = next_line(&rest);
		struct entry entry;

		if (line.len == 0)
			continue;
		if (!parse_line(line, numeric_ids, owners, &entry))
			return err_set(e, EINVAL, "ACL: not an entry: %.*s",
				       line.len < 100 ? (int)line.len : 100,
				       (const char *)line.p);
		if (buf_append(&entries, &entry, sizeof(entry)) < 0)
			return err_nomem(e, "ACL");
	}
	count = entries.len / sizeof(struct entry);
	if (count == 0)
		return 0;
	if (count > ENTRIES_MAX)
		return err_set(e, EINVAL, "ACL: more than %d entries", ENTRIES_MAX);
	qsort(entries.p, count, sizeof(struct entry), compare);
	if (!is_complete((const struct entry *)(const void *)entries.p, count))
		return err_set(e, EINVAL, "ACL: base entries are missing or doubled");
	if (write_binary((const struct entry *)(const void *)entries.p, count, out) < 0)
		return err_nomem(e, "ACL");
	return 0;
}

bool acl_is_minimal(struct bytes text)
{
	size_t count = 0;

	while (text.len > 0)
		count += next_line(&text).len > 0;
	return count <= 3; /* owner, group, others */
}

/* --- binary to text --- */

enum { ALL = 7 /* rwx */ };

/* Where the mask takes something away, libacl shows what is left as a comment behind a tab, and Borg
 * cuts off the comment alone. */
static int put_perm(struct buf *out, unsigned perm, unsigned mask)
{
	const char text[4] = { perm & ACL_READ ? 'r' : '-', perm & ACL_WRITE ? 'w' : '-',
			       perm & ACL_EXECUTE ? 'x' : '-', 0 };

	if (buf_append_str(out, text) < 0)
		return -ENOMEM;
	return perm & ~mask ? buf_append_byte(out, '\t') : 0;
}

/* "\nuser:NAME:" */
static int put_qualifier(struct buf *out, const char *type, struct bytes name)
{
	if ((out->len && buf_append_byte(out, '\n') < 0) || buf_append_str(out, type) < 0 ||
	    buf_append_byte(out, ':') < 0 || buf_append(out, name.p, name.len) < 0)
		return -ENOMEM;
	return buf_append_byte(out, ':');
}

static int put_named(struct buf *out, const char *type, const struct entry *entry,
		     unsigned mask, struct bytes name)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", entry->id);
	if (put_qualifier(out, type, name.len ? name : bytes_str(number)) < 0 ||
	    put_perm(out, entry->perm, mask) < 0 || buf_append_byte(out, ':') < 0)
		return -ENOMEM;
	return buf_append_str(out, number);
}

static int put_plain(struct buf *out, const char *type, unsigned perm, unsigned mask)
{
	return put_qualifier(out, type, (struct bytes){ 0 }) < 0 ? -ENOMEM
								 : put_perm(out, perm, mask);
}

/* 0, -ENOMEM, or -EINVAL for an unknown tag. */
static int put_entry(struct buf *out, const struct entry *entry, unsigned mask,
		     bool numeric_ids, struct owner_cache *owners)
{
	struct bytes none = { 0 };

	switch (entry->tag) {
	case ACL_USER_OBJ: return put_plain(out, "user", entry->perm, ALL);
	case ACL_GROUP_OBJ: return put_plain(out, "group", entry->perm, mask);
	case ACL_MASK: return put_plain(out, "mask", entry->perm, ALL);
	case ACL_OTHER: return put_plain(out, "other", entry->perm, ALL);
	case ACL_USER:
		return put_named(out, "user", entry, mask,
				 numeric_ids ? none : owner_user(owners, entry->id));
	case ACL_GROUP:
		return put_named(out, "group", entry, mask,
				 numeric_ids ? none : owner_group(owners, entry->id));
	default: return -EINVAL;
	}
}

int acl_text_of(struct bytes binary, bool numeric_ids, struct owner_cache *owners,
		struct buf *out, struct err *e)
{
	unsigned mask = ALL;
	int rc = 0;

	out->len = 0;
	if (binary.len < HEADER || (binary.len - HEADER) % ENTRY != 0 ||
	    get_le32(binary.p) != POSIX_ACL_XATTR_VERSION)
		return err_set(e, EINVAL, "not an ACL as this kernel has them");
	for (size_t at = HEADER; at < binary.len; at += ENTRY)
		if (get_le16(binary.p + at) == ACL_MASK)
			mask = get_le16(binary.p + at + 2);
	for (size_t at = HEADER; rc == 0 && at < binary.len; at += ENTRY) {
		struct entry entry = { get_le16(binary.p + at), get_le16(binary.p + at + 2),
				       get_le32(binary.p + at + 4) };

		rc = put_entry(out, &entry, mask, numeric_ids, owners);
	}
	if (rc == -EINVAL)
		return err_set(e, EINVAL, "an ACL with an unknown kind of entry");
	return rc < 0 ? err_nomem(e, "ACL") : 0;
}

int acl_text_of_mode(uint32_t mode, struct buf *out)
{
	out->len = 0;
	if (put_plain(out, "user", mode >> 6 & ALL, ALL) < 0 ||
	    put_plain(out, "group", mode >> 3 & ALL, ALL) < 0)
		return -ENOMEM;
	return put_plain(out, "other", mode & ALL, ALL);
}
