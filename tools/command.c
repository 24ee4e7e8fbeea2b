/*
 * command.c - see command.h: from a command line to an exit status.
 *
 * Signals: these commands only read, so that leaving at once loses nothing.  A thread waits for
 * SIGINT, SIGTERM and SIGHUP, says Borg's sentence and ends the process; every other thread
 * has them blocked.
 */

#include "tools/command.h"

#include "core/base/cleanup.h"
#include "core/base/io.h"
#include "core/base/secret.h"
#include "core/base/thread.h"
#include "core/base/version.h"
#include "tools/exit_code.h"
#include "tools/passphrase.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RC_ERROR = 2, RC_SIGNAL = 128, COLUMNS_DEFAULT = 80 };

/* --- common options --- */

/* Python's int(text, 8). */
static int arg_octal(void *field, const char *text, struct err *e)
{
	const char *digits = strncmp(text, "0o", 2) == 0 ? text + 2 : text;
	char *end;
	unsigned long mode = strtoul(digits, &end, 8);

	if (end == digits || *end || mode > 0777)
		return err_set(e, EINVAL, "invalid <lambda> value: '%s'", text);
	*(int *)field = (int)mode;
	return 0;
}

#define COMMON(member) .offset = offsetof(struct common_args, member)

static const struct arg_option common_options[] = {
	{ .letter = 'h',
	  .name = "help",
	  .kind = ARG_LEAVE,
	  .value = ARGS_HELP,
	  .help = "show this help message and exit" },
	{ .name = "critical",
	  .kind = ARG_SET,
	  COMMON(level),
	  .value = LOG_LEVEL_CRITICAL,
	  .help = "work on log level CRITICAL" },
	{ .name = "error",
	  .kind = ARG_SET,
	  COMMON(level),
	  .value = LOG_LEVEL_ERROR,
	  .help = "work on log level ERROR" },
	{ .name = "warning",
	  .kind = ARG_SET,
	  COMMON(level),
	  .value = LOG_LEVEL_WARNING,
	  .help = "work on log level WARNING (default)" },
	{ .letter = 'v',
	  .name = "verbose",
	  .synonym = "info",
	  .kind = ARG_SET,
	  COMMON(level),
	  .value = LOG_LEVEL_INFO,
	  .help = "work on log level INFO" },
	{ .name = "debug",
	  .kind = ARG_SET,
	  COMMON(level),
	  .value = LOG_LEVEL_DEBUG,
	  .help = "enable debug output, work on log level DEBUG" },
	{ .name = "debug-topic",
	  .kind = ARG_VALUE,
	  COMMON(debug_topic),
	  .metavar = "TOPIC",
	  .help = "enable TOPIC debugging (can be specified multiple times)" },
	{ .letter = 'p',
	  .name = "progress",
	  .kind = ARG_FLAG,
	  COMMON(progress),
	  .help = "show progress information" },
	{ .name = "iec",
	  .kind = ARG_FLAG,
	  COMMON(iec),
	  .help = "format using IEC units (1KiB = 1024B)" },
	{ .name = "log-json",
	  .kind = ARG_FLAG,
	  COMMON(log_json),
	  .help = "Output one JSON object per log line instead of formatted text." },
	{ .name = "lock-wait",
	  .kind = ARG_VALUE,
	  COMMON(lock_wait),
	  .convert = arg_int,
	  .metavar = "SECONDS",
	  .help = "wait at most SECONDS for acquiring a repository/cache lock (default: 1)." },
	{ .name = "bypass-lock",
	  .kind = ARG_FLAG,
	  COMMON(bypass_lock),
	  .help = "Bypass locking mechanism" },
	{ .name = "show-version",
	  .kind = ARG_FLAG,
	  COMMON(show_version),
	  .help = "show/log the borg version" },
	{ .name = "show-rc",
	  .kind = ARG_FLAG,
	  COMMON(show_rc),
	  .help = "show/log the return code (rc)" },
	{ .name = "umask",
	  .kind = ARG_VALUE,
	  COMMON(umask),
	  .convert = arg_octal,
	  .metavar = "M",
	  .help = "set umask to M (local only, default: 0077)" },
	{ .name = "remote-path",
	  .kind = ARG_VALUE,
	  COMMON(remote_path),
	  .convert = arg_placeholders,
	  .metavar = "PATH",
	  .help = "use PATH as borg executable on the remote (default: \"borg\")" },
	{ .name = "remote-ratelimit",
	  .kind = ARG_VALUE,
	  COMMON(upload_ratelimit),
	  .convert = arg_int,
	  .metavar = "RATE",
	  .help = "deprecated, use ``--upload-ratelimit`` instead" },
	{ .name = "upload-ratelimit",
	  .kind = ARG_VALUE,
	  COMMON(upload_ratelimit),
	  .convert = arg_int,
	  .metavar = "RATE",
	  .help = "set network upload rate limit in kiByte/s (default: 0=unlimited)" },
	{ .name = "remote-buffer",
	  .kind = ARG_VALUE,
	  COMMON(upload_buffer),
	  .convert = arg_int,
	  .metavar = "UPLOAD_BUFFER",
	  .help = "deprecated, use ``--upload-buffer`` instead" },
	{ .name = "upload-buffer",
	  .kind = ARG_VALUE,
	  COMMON(upload_buffer),
	  .convert = arg_int,
	  .metavar = "UPLOAD_BUFFER",
	  .help = "set network upload buffer size in MiB. (default: 0=no buffer)" },
	{ .name = "consider-part-files",
	  .kind = ARG_FLAG,
	  COMMON(consider_part_files),
	  .help = "treat part files like normal files (e.g. to list/extract them)" },
	{ .name = "debug-profile",
	  .kind = ARG_VALUE,
	  COMMON(debug_profile),
	  .metavar = "FILE",
	  .help = "Write execution profile in Borg format into FILE." },
	{ .name = "rsh",
	  .kind = ARG_VALUE,
	  COMMON(rsh),
	  .metavar = "RSH",
	  .help = "Use this command to connect to the 'borg serve' process (default: 'ssh')" },
};

static const struct arg_option top_options[] = {
	{ .letter = 'V',
	  .name = "version",
	  .kind = ARG_LEAVE,
	  .value = ARGS_VERSION,
	  .help = "show version number and exit" },
};

static const struct arg_positional top_positionals[] = {
	{ .metavar = "<command>", .count = ARG_ONE, .help = "one of the commands below" },
};

enum { COMMON_COUNT = sizeof(common_options) / sizeof(common_options[0]) };

static struct arg_options common_set(struct run *run)
{
	return (struct arg_options){ common_options, COMMON_COUNT, &run->common };
}

/* --- warnings, terminal --- */

void run_count_warning(struct run *run, const char *msgid)
{
	int code = exit_code_warning(msgid);

	run->warning_code = run->warned && run->warning_code != code ? 1 : code;
	run->warned = true;
}

void run_warn(struct run *run, const char *logger, const char *msgid, const char *fmt, ...)
{
	CLEANUP(cleanup_freep) char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	log_message(LOG_LEVEL_WARNING, logger, msgid, "%s", text ? text : fmt);
	run_count_warning(run, msgid);
}

size_t run_columns(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	long given = columns ? strtol(columns, NULL, 10) : 0;

	if (given > 0 && given < 10000)
		return (size_t)given;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return COLUMNS_DEFAULT;
}

/* --- usage errors and help --- */

static void put(FILE *to, const struct buf *text)
{
	fwrite(text->p, 1, text->len, to);
	fflush(to);
}

static int usage_error(const struct arg_parser *p, const char *why)
{
	CLEANUP(buf_fini) struct buf usage = BUF_INIT;

	if (args_usage(p, run_columns() - 2, &usage) == 0)
		put(stderr, &usage);
	fprintf(stderr, "%s: error: %s\n", p->program, why);
	return RC_ERROR;
}

static void list_commands(const struct command *const *commands, struct buf *out)
{
	char line[160];

	(void)buf_append_str(out, "\ncommands:\n");
	for (; *commands; commands++) {
		if ((*commands)->flags & COMMAND_NO_SHOW)
			continue;
		snprintf(line, sizeof(line), "  %-20s  %s\n", (*commands)->name,
			 (*commands)->summary);
		(void)buf_append_str(out, line);
	}
}

static struct arg_parser parser_of(struct run *run, const struct command *c, void *args)
{
	return (struct arg_parser){
		.options = { common_set(run), { c->options, c->option_count, args } },
		.positionals = c->positionals,
		.positional_count = c->positional_count,
		.into = args,
	};
}

static struct arg_parser top_parser(struct run *run)
{
	return (struct arg_parser){
		.program = run->program,
		.options = { common_set(run),
			     { top_options, sizeof(top_options) / sizeof(top_options[0]),
			       &run->common } },
		.positionals = top_positionals,
		.positional_count = 1,
		.sub_command = true,
	};
}

int run_usage_error(struct run *run, const char *why)
{
	struct arg_parser top = top_parser(run);

	return usage_error(&top, why);
}

static void top_help(struct run *run, struct buf *text)
{
	struct arg_parser p = top_parser(run);

	(void)args_usage(&p, run_columns() - 2, text);
	(void)buf_append_str(text, "\nAlcove " ALCOVE_VERSION
				   " - Borg repositories as a file system, and on the "
				   "command line of Borg " BORG_VERSION "\n");
	(void)args_help(&p, run_columns() - 2, text);
	list_commands(run->commands, text);
}

/* "borg list", "borg key export": on the heap; NULL when out of memory. */
static char *program_of(const struct run *run, const struct command *c)
{
	bool part = run->group && run->group != c;
	char *program;

	if (asprintf(&program, "%s %s%s%s", run->program, part ? run->group->name : "",
		     part ? " " : "", c->name) < 0)
		return NULL;
	return program;
}

/* What stands between a group's name and that of one of its parts. */
static struct arg_parser group_parser(struct run *run, const char *program)
{
	return (struct arg_parser){
		.program = program,
		.options = { common_set(run) },
		.positionals = top_positionals,
		.positional_count = 1,
		.sub_command = true,
	};
}

static void command_help_text(struct run *run, const struct command *c, enum help_part part,
			      struct buf *text)
{
	CLEANUP(cleanup_freep) char *program = program_of(run, c);
	struct arg_parser p;

	p = c->parts ? group_parser(run, NULL) : parser_of(run, c, NULL);
	p.program = program ? program : c->name;
	if (part != HELP_EPILOG) {
		(void)args_usage(&p, run_columns() - 2, text);
		(void)buf_append_str(text, "\n");
		(void)buf_append_str(text, c->summary);
		(void)buf_append_str(text, "\n");
		(void)args_help(&p, run_columns() - 2, text);
		if (c->parts)
			list_commands(c->parts, text);
	}
	if (part != HELP_USAGE)
		(void)buf_append_str(text, c->description ? c->description : "");
}

void command_show_help(struct run *run, const struct command *c, enum help_part part)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;

	if (c)
		command_help_text(run, c, part, &text);
	else
		top_help(run, &text);
	put(stdout, &text);
}

/* An error while parsing: Borg's own errors are shown bare, the others as a usage error. */
static int parse_failed(const struct run *run, const struct arg_parser *p, const struct err *e)
{
	if (!e->msgid)
		return usage_error(p, e->msg);
	fprintf(stderr, "%s\n", e->msg);
	return run->modern ? exit_code_error(e->msgid) : RC_ERROR;
}

/* --- deprecated spellings --- */

static const struct {
	const char *option, *line;
} deprecated[] = {
	{ "--noatime",
	  "Warning: \"--noatime\" has been deprecated because it is the default now." },
	{ "--nobsdflags",
	  "Warning: \"--nobsdflags\" has been deprecated. Use --noflags instead." },
	{ "--numeric-owner",
	  "Warning: \"--numeric-owner\" has been deprecated. Use --numeric-ids instead." },
	{ "--remote-ratelimit", "Warning: \"--remote-ratelimit\" has been deprecated. Use "
				"--upload-ratelimit instead." },
	{ "--remote-buffer",
	  "Warning: \"--remote-buffer\" has been deprecated. Use --upload-buffer instead." },
	{ "--prefix", "Warning: \"--prefix\" has been deprecated. Use \"--glob-archives "
		      "'yourprefix*'\" (-a) instead." },
};

static void warn_deprecated(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		for (size_t d = 0; d < sizeof(deprecated) / sizeof(deprecated[0]); d++)
			if (strncmp(argv[i], deprecated[d].option,
				    strlen(deprecated[d].option)) == 0)
				fprintf(stderr, "%s\n", deprecated[d].line);
	}
}

/* --- the end of a run --- */

static void show_rc(const struct run *run, int rc)
{
	static const char *const words[] = {
		[EXIT_IS_SUCCESS] = "success", [EXIT_IS_WARNING] = "warning",
		[EXIT_IS_ERROR] = "error",     [EXIT_IS_SIGNAL] = "signal",
		[EXIT_IS_OTHER] = "abnormal",
	};
	static const enum log_level levels[] = {
		[EXIT_IS_SUCCESS] = LOG_LEVEL_INFO, [EXIT_IS_WARNING] = LOG_LEVEL_WARNING,
		[EXIT_IS_ERROR] = LOG_LEVEL_ERROR,  [EXIT_IS_SIGNAL] = LOG_LEVEL_ERROR,
		[EXIT_IS_OTHER] = LOG_LEVEL_ERROR,
	};
	enum exit_class class = exit_classify(rc, run->modern);

	if (run->common.show_rc)
		log_message(levels[class], "borg.output.show-rc", NULL,
			    "terminating with %s status, rc %d", words[class], rc);
}

struct leaving { /* what the signal thread knows */
	const struct run *run;
	sigset_t signals;
	pthread_t thread;
};

int run_lock(const struct run *run, struct repo *repo, struct err *e)
{
	if (run->common.lock_wait < 0)
		return err_set(e, EINVAL, "--lock-wait: timeout must be >= 0");
	return repo_lock(repo, run->common.lock_wait, e);
}

int run_ended_by(int signal_number)
{
	if (signal_number == SIGINT)
		log_message(LOG_LEVEL_ERROR, "root", NULL, "Keyboard interrupt");
	else if (signal_number == SIGTERM)
		log_message(LOG_LEVEL_ERROR, "root", "Signal.SIGTERM", "Received SIGTERM");
	else
		log_message(LOG_LEVEL_ERROR, "root", "Signal.SIGHUP", "Received SIGHUP.");
	return RC_SIGNAL + signal_number;
}

static void *wait_for_signal(void *arg)
{
	const struct leaving *leaving = arg;
	int signal_number = 0;

	while (sigwait(&leaving->signals, &signal_number) != 0)
		continue;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL); /* what is begun is said whole */
	terminal_restore();
	signal_number = run_ended_by(signal_number);
	show_rc(leaving->run, signal_number);
	_exit(signal_number);
}

static int watch_signals(struct leaving *leaving, const struct run *run, struct err *e)
{
	static const int watched[] = { SIGINT, SIGTERM, SIGHUP };

	leaving->run = run;
	sigemptyset(&leaving->signals);
	for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
		sigaddset(&leaving->signals, watched[i]);
	pthread_sigmask(SIG_BLOCK, &leaving->signals, NULL);
	return thread_start(&leaving->thread, wait_for_signal, leaving, "signals", e);
}

/* The thread reads what lives as long as the command: it has to be gone before that is. */
void run_take_signals(struct run *run)
{
	if (!run->leaving)
		return;
	pthread_cancel(run->leaving->thread);
	thread_join(run->leaving->thread);
	run->leaving = NULL;
}

static int report(const struct run *run, int rc, const struct err *e)
{
	if (rc < 0) {
		log_message(LOG_LEVEL_ERROR, "borg.archiver", e->msgid, "%s",
			    e->msg[0] ? e->msg : strerror(-rc));
		return run->modern ? exit_code_error(e->msgid) : RC_ERROR;
	}
	if (run->exit_code >= 0)
		return run->exit_code;
	if (!run->warned)
		return 0;
	return run->modern ? run->warning_code : 1;
}

/* --- the run --- */

/* The smallest profile that Borg's `debug convert-profile` and Python's pstats read: one entry,
 * ("~", 0, "main") -> (1, 1, 0.0, 0.0, {}), as msgpack or, for *.pyprof, as a marshal object. */
static int write_profile(const char *path, struct err *e)
{
	static const uint8_t marshal[] = {
		'{', ')', 3,   'z', 1,   '~', 'i', 0,   0, 0, 0, 'z', 4,   'm', 'a', 'i', 'n',
		')', 5,   'i', 1,   0,   0,   0,   'i', 1, 0, 0, 0,   'g', 0,   0,   0,   0,
		0,   0,   0,   0,   'g', 0,   0,   0,   0, 0, 0, 0,   0,   '{', '0', '0',
	};
	static const uint8_t msgpack[] = {
		0x81, 0x93, 0xa1, '~', 0, 0xa4, 'm',  'a', 'i', 'n', 0x95, 1, 1, 0xcb, 0, 0,
		0,    0,    0,    0,   0, 0,    0xcb, 0,   0,   0,   0,    0, 0, 0,    0, 0x80,
	};
	size_t len = strlen(path);
	bool python = len >= 7 && strcmp(path + len - 7, ".pyprof") == 0;
	CLEANUP(cleanup_closep)
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int rc = fd < 0 ? -errno
			: write_all(fd, python ? marshal : msgpack,
				    python ? sizeof(marshal) : sizeof(msgpack));

	return rc < 0 ? err_set(e, -rc, "cannot write profile %s: %s", path, strerror(-rc)) : 0;
}

static void set_up_logging(const struct run *run)
{
	log_setup((enum log_level)run->common.level, run->common.log_json);
	log_enable("borg.output.progress", run->common.progress);
	log_enable("borg.output.show-rc", run->common.show_rc);
	log_enable("borg.output.show-version", run->common.show_version);
}

static int execute(struct run *run, void *args, struct err *e)
{
	const struct command *c = run->command;
	int rc;

	if (run->common.bypass_lock && !(c->flags & COMMAND_BYPASS_LOCK))
		return err_set_id(e, EINVAL, "Error",
				  "Error: Not allowed to bypass locking mechanism for chosen "
				  "command");
	if (run->common.show_version)
		log_info("borg.output.show-version", "borgbackup version %s", BORG_VERSION);
	if (getenv("BORG_LOGGING_CONF"))
		log_warning("borg.logger", "setup_logging for \"%s\" failed with \"%s\".",
			    getenv("BORG_LOGGING_CONF"),
			    "Python logging configurations are not supported");
	rc = c->run(run, args, e);
	if (fflush(stdout) != 0 && errno != EPIPE && rc == 0)
		rc = err_set(e, errno, "cannot write to standard output: %s", strerror(errno));
	if (run->common.debug_profile && rc >= 0)
		rc = write_profile(run->common.debug_profile, e);
	return rc;
}

static int execute_watched(struct run *run, void *args, struct err *e)
{
	struct leaving leaving;
	int rc;

	if (run->command->flags & COMMAND_OWN_SIGNALS)
		return execute(run, args, e);
	rc = watch_signals(&leaving, run, e);
	if (rc < 0)
		return rc;
	run->leaving = &leaving;
	rc = execute(run, args, e);
	run_take_signals(run);
	return rc;
}

static int run_command(struct run *run, void *args)
{
	struct err e = ERR_INIT;
	int rc;

	umask((mode_t)run->common.umask);
	set_up_logging(run);
	rc = report(run, execute_watched(run, args, &e), &e);
	show_rc(run, rc);
	return rc;
}

static const struct command *find_command(const struct command *const *commands,
					  const char *name)
{
	for (; *commands; commands++)
		if (strcmp((*commands)->name, name) == 0)
			return *commands;
	return NULL;
}

static int unknown_command(const struct command *const *commands, const struct arg_parser *p,
			   const char *name)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;

	(void)buf_append_str(&text, "argument <command>: invalid choice: ");
	args_repr(name, &text);
	(void)buf_append_str(&text, " (choose from ");
	for (const struct command *const *c = commands; *c; c++) {
		(void)buf_append_str(&text, c == commands ? "'" : ", '");
		(void)buf_append_str(&text, (*c)->name);
		(void)buf_append_str(&text, "'");
	}
	if (buf_append(&text, ")", 2) < 0)
		return RC_ERROR;
	return usage_error(p, (const char *)text.p);
}

static int too_many(const struct arg_parser *top, const struct arg_list *extras)
{
	CLEANUP(buf_fini) struct buf text = BUF_INIT;

	(void)buf_append_str(&text, "unrecognized arguments:");
	for (size_t i = 0; i < extras->count; i++) {
		(void)buf_append_byte(&text, ' ');
		(void)buf_append_str(&text, extras->v[i]);
	}
	if (buf_append_byte(&text, 0) < 0)
		return RC_ERROR;
	return usage_error(top, (const char *)text.p);
}

/* Parse what stands behind the command's name, and run it. */
static int parse_and_run(struct run *run, const struct arg_parser *top, int argc, char **argv,
			 void *args)
{
	const struct command *c = run->command;
	CLEANUP(cleanup_freep) char *program = program_of(run, c);
	struct arg_parser p = parser_of(run, c, args);
	struct arg_list extras;
	struct err e = ERR_INIT;
	int rc;

	if (!program)
		return RC_ERROR;
	p.program = program;
	run->parser = &p;
	rc = args_parse(&p, argc, argv, &extras, NULL, &e);
	if (rc < 0)
		rc = parse_failed(run, &p, &e);
	else if (rc == ARGS_HELP)
		command_show_help(run, c, HELP_ALL), rc = 0;
	else if (extras.count)
		rc = too_many(top, &extras);
	else
		rc = run_command(run, args);
	free(extras.v);
	return rc;
}

static int with_args(struct run *run, const struct arg_parser *top, int argc, char **argv)
{
	const struct command *c = run->command;
	CLEANUP(cleanup_freep) void *args = calloc(1, c->args_size ? c->args_size : 1);
	int rc;

	if (!args)
		return RC_ERROR;
	rc = parse_and_run(run, top, argc, argv, args);
	if (c->args_fini)
		c->args_fini(args);
	return rc;
}

static int dispatch(struct run *run, const struct arg_parser *top, const struct arg_parser *p,
		    int argc, char **argv);

/* argv[0] is the name of a command of the program, or of the group that was named before it. */
static int named(struct run *run, const struct arg_parser *top, const struct arg_parser *p,
		 int argc, char **argv)
{
	const struct command *const *commands = run->group ? run->group->parts : run->commands;
	const struct command *c = find_command(commands, argv[0]);
	CLEANUP(cleanup_freep) char *program = NULL;
	struct arg_parser parts;

	if (!c)
		return unknown_command(commands, p, argv[0]);
	if (!c->parts) {
		run->command = c;
		return with_args(run, top, argc - 1, argv + 1);
	}
	program = program_of(run, c);
	if (!program)
		return RC_ERROR;
	run->group = c;
	parts = group_parser(run, program);
	return dispatch(run, top, &parts, argc - 1, argv + 1);
}

static int dispatch(struct run *run, const struct arg_parser *top, const struct arg_parser *p,
		    int argc, char **argv)
{
	struct arg_list extras;
	struct err e = ERR_INIT;
	int at = 0, rc = args_parse(p, argc, argv, &extras, &at, &e);

	if (rc < 0) {
		rc = parse_failed(run, p, &e);
	} else if (rc == ARGS_VERSION) {
		printf("%s %s\n", run->program, BORG_VERSION);
		rc = 0;
	} else if (rc == ARGS_DONE && extras.count) {
		rc = too_many(top, &extras);
	} else if (rc == ARGS_HELP || at >= argc) {
		command_show_help(run, run->group, HELP_ALL);
		rc = 0;
	} else {
		rc = named(run, top, p, argc - at, argv + at);
	}
	free(extras.v);
	return rc;
}

int command_main(const struct command *const *commands, int argc, char **argv)
{
	const char *name = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *codes = getenv("BORG_EXIT_CODES");
	struct run run = {
		.program = name       ? name + 1
			   : argc > 0 ? argv[0]
				      : "borg",
		.argv = argv,
		.argc = argc,
		.common = { .level = LOG_LEVEL_WARNING, .lock_wait = 1, .umask = 077 },
		.prompt = terminal_prompt(),
		.commands = commands,
		.modern = codes && strcmp(codes, "modern") == 0,
		.exit_code = -1,
	};
	struct arg_parser top = top_parser(&run);
	int rc;

	signal(SIGPIPE, SIG_IGN);
	/* Borg answers these with a line about its progress; they must not end a restore. */
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	if (secret_setup() < 0) {
		fprintf(stderr, "cannot set up guarded memory\n");
		return RC_ERROR;
	}
	warn_deprecated(argc, argv);
	rc = dispatch(&run, &top, &top, argc > 0 ? argc - 1 : 0, argv + 1);
	free(run.common.remote_path);
	return rc;
}
