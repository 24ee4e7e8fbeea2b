/* size_text.c - see size_text.h. */

#include "core/base/size_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const char *size_text(uint64_t bytes, bool iec, char out[SIZE_TEXT])
{
	static const char *const units[2][9] = {
		{ "B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB" },
		{ "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB" },
	};
	double value = (double)bytes, factor = iec ? 1024 : 1000;
	char shown[24];
	size_t unit = 0;

	if (bytes < (iec ? 1024u : 1000u)) {
		snprintf(out, SIZE_TEXT, "%" PRIu64 " B", bytes);
		return out;
	}
	do {
		value /= factor;
		unit++;
		snprintf(shown, sizeof(shown), "%.2f", value);
	} while (strtod(shown, NULL) >= factor && unit < 8);
	snprintf(out, SIZE_TEXT, "%s %s", shown, units[iec][unit]);
	return out;
}
