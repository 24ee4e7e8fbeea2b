/* plus.c - see plus.h. */

#include "mount/plus.h"

enum { FOLDERS_KNOWN = 2 };

bool plus_wanted(struct plus *p, bool first_page)
{
	if (first_page) {
		if (p->bare > 0)
			p->folders++;
		return true;
	}
	if (p->credit > 0)
		return true;
	return p->bare >= PLUS_BARE_MAX && p->folders < FOLDERS_KNOWN;
}

void plus_listed(struct plus *p, bool with, uint64_t files)
{
	if (!with)
		p->bare += files;
	else if (p->credit > 0)
		p->credit -= (int64_t)files;
}

void plus_looked_up(struct plus *p)
{
	if (p->bare == 0)
		return;
	p->credit = PLUS_CREDIT;
	p->bare = 0;
	p->folders = 0;
}
