#ifndef BASE_VERSION_H
#define BASE_VERSION_H

/*
 * version.h - the two versions of the program.
 *
 * Front ends choose options and syntax by the version that `--version` prints and servers and
 * clients compare theirs when they greet, so what is shown is the release of Borg whose command
 * line, texts and wire protocol these are.  Alcove's own version is in the help text.
 */

#define BORG_VERSION   "1.2.9"
#define ALCOVE_VERSION "0.1.0"

#endif
