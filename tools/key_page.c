/*
 * key_page.c - see key_page.h.
 *
 * Nothing has to be loaded or run to show the page: the code is drawn here, as a picture in the page.
 */

#include "tools/key_page.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <qrencode.h>
#include <stdio.h>

enum { BORDER = 4 /* modules of white that a scanner needs around the code */ };

static const char head[] =
	"<!doctype html>\n"
	"<html lang=\"en\">\n"
	"<head>\n"
	"<meta charset=\"utf-8\">\n"
	"<title>Backup repository key</title>\n"
	"<style>\n"
	"body { font-family: sans-serif; margin: 2em; }\n"
	"svg { width: 12cm; height: 12cm; }\n"
	"textarea { font-family: monospace; font-size: 10pt; width: 75ch; height: 18em; }\n"
	"@media print { textarea { border: none; resize: none; } }\n"
	"</style>\n"
	"</head>\n"
	"<body>\n"
	"<h1>Key of a backup repository</h1>\n"
	"<p>To restore it, scan the code or copy the text into a file and use\n"
	"<code>borg key import /path/to/repo FILE</code>.\n"
	"The passphrase of the key is needed, too, and is not on this page.</p>\n";

static const char text_open[] = "<p><textarea id=\"keyfile\" readonly>\n";
static const char tail[] = "</textarea></p>\n</body>\n</html>\n";

/* A path of horizontal strokes, one for each run of black modules. */
static void put_row(struct buf *page, const QRcode *code, int y)
{
	const unsigned char *row = code->data + (size_t)y * (size_t)code->width;
	char stroke[64];

	for (int x = 0; x < code->width;) {
		int end = x;

		while (end < code->width && row[end] & 1)
			end++;
		if (end > x) {
			snprintf(stroke, sizeof(stroke), "M%d %dh%dv1h-%dz", x + BORDER,
				 y + BORDER, end - x, end - x);
			(void)buf_append_str(page, stroke);
		}
		x = end + 1;
	}
}

static void put_code(struct buf *page, const QRcode *code)
{
	int size = code->width + 2 * BORDER;
	char open[160];

	snprintf(open, sizeof(open),
		 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\">\n"
		 "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n<path d=\"",
		 size, size, size, size);
	(void)buf_append_str(page, open);
	for (int y = 0; y < code->width; y++)
		put_row(page, code, y);
	(void)buf_append_str(page, "\"/>\n</svg>\n");
}

int key_page(struct bytes key_file, struct buf *page, struct err *e)
{
	QRcode *code = QRcode_encodeData((int)key_file.len, key_file.p, 0, QR_ECLEVEL_M);

	if (!code && errno == ERANGE)
		return err_set(e, EFBIG, "the key is too long for a QR code");
	if (!code)
		return err_nomem(e, "QR code");
	(void)buf_append_str(page, head);
	put_code(page, code);
	QRcode_free(code);
	(void)buf_append_str(page, text_open);
	(void)buf_append(page, key_file.p, key_file.len);
	return buf_append_str(page, tail) < 0 ? err_nomem(e, "page") : 0;
}
