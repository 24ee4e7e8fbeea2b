#ifndef TOOLS_KEY_PAGE_H
#define TOOLS_KEY_PAGE_H

/* key_page.h - an HTML page, to be printed, with a key file as text and as a QR code. */

#include "core/base/bytes.h"
#include "core/base/err.h"

/* Append the page.  `key_file` has nothing but letters, digits, '+', '/', '=', '_', blanks and line
 * ends.  -EFBIG: more than a QR code holds. */
int key_page(struct bytes key_file, struct buf *page, struct err *e);

#endif
