/*
 * test_xattr.c - attributes of what is open, and of what is only named, are read without following
 * it; also where the kernel does not look up names below a descriptor, which a filter of system
 * calls plays.
 *
 * Expected: what setxattr(2) was given.
 */

#include "tests/support/tap.h"

#include "core/platform/xattr.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { LISTXATTRAT = 465 /* 6.13 */ };

struct place {
	char *dir;
	int dirfd;
};

static char *join(const char *dir, const char *name)
{
	char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
	return path;
}

static void make_file(const struct place *at, const char *name)
{
	int fd = openat(at->dirfd, name, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static int setup(void **state)
{
	static struct place at;
	char *path;

	at.dir = test_dir_make();
	at.dirfd = open(at.dir, O_RDONLY | O_DIRECTORY);
	make_file(&at, "two");
	make_file(&at, "none");
	assert_int_equal(symlinkat("two", at.dirfd, "link"), 0);
	path = join(at.dir, "two");
	if (setxattr(path, "user.b", "second", 6, 0) < 0 && errno == ENOTSUP)
		at.dirfd = -1; /* nothing to be tested on this file system */
	else
		assert_int_equal(setxattr(path, "user.a", "", 0, 0), 0);
	free(path);
	*state = &at;
	return 0;
}

static int teardown(void **state)
{
	struct place *at = *state;

	if (at->dirfd >= 0)
		close(at->dirfd);
	test_dir_remove(at->dir);
	return 0;
}

/* Attributes of others than ourselves, as those of a security module, may be there too. */
static size_t count_user(const struct xattr_list *list)
{
	size_t n = 0;

	for (size_t i = 0; i < list->count; i++)
		n += list->v[i].name.len > 5 && memcmp(list->v[i].name.p, "user.", 5) == 0;
	return n;
}

/* "" where all is well: the filter's process has no other way to tell. */
static const char *read_all_three(const struct place *at)
{
	struct xattr_list list = { 0 };
	const char *wrong = "";
	char longest[400];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	if (xattr_read(at->dirfd, "two", &list) != 0 || count_user(&list) != 2 ||
	    !bytes_is(list.v[list.count - 2].name, "user.a") ||
	    list.v[list.count - 2].value.len != 0 ||
	    !bytes_is(list.v[list.count - 1].name, "user.b") ||
	    !bytes_is(list.v[list.count - 1].value, "second") || list.refused)
		wrong = "two attributes";
	else if (xattr_read(at->dirfd, "none", &list) != 0 || count_user(&list) != 0)
		wrong = "none, after two";
	else if (xattr_read(at->dirfd, "link", &list) != 0 || count_user(&list) != 0)
		wrong = "a link was followed";
	else if (xattr_read(at->dirfd, "gone", &list) != -ENOENT)
		wrong = "a name that is not there";
	else if (xattr_read(at->dirfd, longest, &list) != -ENAMETOOLONG)
		wrong = "a name too long";
	else if (xattr_any(at->dirfd, "two") != 1 || xattr_any(at->dirfd, "gone") != -ENOENT ||
		 xattr_any(at->dirfd, longest) != -ENAMETOOLONG)
		wrong = "whether there are any";
	xattr_list_fini(&list);
	return wrong;
}

static void names_below_a_folder(void **state)
{
	struct place *at = *state;

	if (at->dirfd < 0)
		skip();
	assert_string_equal(read_all_three(at), "");
}

static void the_open_object(void **state)
{
	struct place *at = *state;
	struct xattr_list list = { 0 };
	int fd;

	if (at->dirfd < 0)
		skip();
	fd = openat(at->dirfd, "two", O_RDONLY);
	assert_int_equal(xattr_read(fd, NULL, &list), 0);
	assert_int_equal(count_user(&list), 2);
	xattr_list_fini(&list);
	close(fd);
}

static int refuse(unsigned code)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0 /* the call's number */),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LISTXATTRAT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | code),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(program) / sizeof(program[0]), program };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
			       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0
		       ? -errno
		       : 0;
}

/* A thread that has a working folder of its own, where the process may have that. */
static void *read_in_thread(void *arg)
{
	const struct place *at = arg;
	const char *wrong;

	xattr_by_working_folder();
	wrong = read_all_three(at);
	return wrong[0] ? (void *)1 : NULL;
}

/* 0 where all is well in this process and in a thread of it, which must not move the others. */
static int read_twice(struct place *at)
{
	char before[4096], after[4096];
	void *wrong = NULL;
	pthread_t thread;

	if (read_all_three(at)[0] || !getcwd(before, sizeof(before)) ||
	    pthread_create(&thread, NULL, read_in_thread, at) != 0 ||
	    pthread_join(thread, &wrong) != 0 || !getcwd(after, sizeof(after)))
		return 1;
	return wrong || strcmp(before, after) != 0;
}

static void refused(struct place *at, unsigned code)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(refuse(code) < 0 ? 77 : read_twice(at));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void older_kernels(void **state)
{
	struct place *at = *state;

	if (at->dirfd < 0)
		skip();
	refused(at, ENOSYS);
	refused(at, EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* first: it is found out once in a process, and this one's children inherit it */
		cmocka_unit_test(older_kernels),
		cmocka_unit_test(names_below_a_folder),
		cmocka_unit_test(the_open_object),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
