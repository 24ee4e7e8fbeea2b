/*
 * repo_script.c - plays operations on a repository, a line each, and says which are done.
 *
 *   repo_script REPOSITORY <script      init | open | lock | put N LEN VALUE | delete N | commit |
 *                                       rollback | compact PERCENT | unlock | close
 *
 * Object N is LEN bytes of VALUE.  "N done" is printed, unbuffered, when line N has succeeded; at
 * the first that fails the repository is left as a program leaves it that reports an error.
 */

#include "core/base/io.h"
#include "core/repo/create.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OBJECT_MAX = 1 << 20 };

static struct chunk_id id_of(unsigned n)
{
	struct chunk_id id = { { 0 } };

	put_le32(id.b, n);
	return id;
}

static int put(struct repo *r, const char *line, struct err *e)
{
	unsigned n, len, value;
	struct chunk_id id;
	uint8_t *bytes;
	int rc;

	if (sscanf(line, "put %u %u %u", &n, &len, &value) != 3 || len > OBJECT_MAX)
		return err_set(e, EINVAL, "cannot read: %s", line);
	bytes = malloc(len + 1);
	if (!bytes)
		return err_nomem(e, "object");
	memset(bytes, (int)value, len);
	id = id_of(n);
	rc = repo_put(r, &id, (struct bytes){ bytes, len }, e);
	free(bytes);
	return rc;
}

static int compact(struct repo *r, const char *line, struct err *e)
{
	struct compact_options options = { .threshold = atoi(line + 8) / 100.0 };
	uint64_t freed;

	return repo_compact(r, &options, &freed, e);
}

static int delete (struct repo *r, const char *line, struct err *e)
{
	struct chunk_id id = id_of((unsigned)atoi(line + 7));

	return repo_delete(r, &id, e);
}

static int play(struct repo **r, char *path, const char *line, struct err *e)
{
	struct location where = { .proto = LOCATION_FILE, .path = path };

	if (strcmp(line, "init") == 0)
		return repo_create(&where, &(struct repo_creation){ 0 }, e);
	if (strcmp(line, "open") == 0)
		return repo_open(r, &where, NULL, e);
	if (strcmp(line, "lock") == 0)
		return repo_lock(*r, 0, e);
	if (strncmp(line, "put ", 4) == 0)
		return put(*r, line, e);
	if (strncmp(line, "delete ", 7) == 0)
		return delete (*r, line, e);
	if (strcmp(line, "commit") == 0)
		return repo_commit(*r, e);
	if (strcmp(line, "rollback") == 0)
		return repo_rollback(*r, true, e);
	if (strncmp(line, "compact ", 8) == 0)
		return compact(*r, line, e);
	if (strcmp(line, "unlock") == 0)
		return repo_unlock(*r, e);
	if (strcmp(line, "close") != 0)
		return err_set(e, EINVAL, "cannot read: %s", line);
	repo_close(*r);
	*r = NULL;
	return 0;
}

static void give_up(struct repo *r, const struct err *e)
{
	struct err again = ERR_INIT;

	fprintf(stderr, "%s\n", e->msg);
	if (!r)
		return;
	(void)repo_rollback(r, false, &again);
	(void)repo_unlock(r, &again);
	repo_close(r);
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct repo *r = NULL;
	char line[100];

	if (argc != 2)
		return 64;
	setvbuf(stdout, NULL, _IONBF, 0);
	for (unsigned n = 0; fgets(line, sizeof(line), stdin); n++) {
		line[strcspn(line, "\n")] = '\0';
		if (play(&r, argv[1], line, &e) < 0) {
			give_up(r, &e);
			return 2;
		}
		printf("%u done\n", n);
	}
	repo_close(r);
	return 0;
}
