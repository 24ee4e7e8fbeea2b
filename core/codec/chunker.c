/*
 * chunker.c - see chunker.h.
 *
 * The rule of buzhash for a chunk that starts at s in a file of length L, with e = min(s + max,
 * L): the first p >= s + min with p + window < e where the hash over data[p, p + window) has
 * zeros under the mask; else p = e.  The window lies behind the cut, so a cut closer than a
 * window to the end is never seen, and each chunk's hash starts anew: nothing below the minimum
 * is looked at.  That p + window must be below e also means that a cut can be told without
 * knowing L.
 */

#include "core/codec/chunker.h"
#include "core/codec/buzhash.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	EXP_MIN = 6,             /* 64 bytes: chunks below it cost more than they hold */
	EXP_MAX = 23,            /* 8 MiB */
	BLOCK_MIN = 64,          /* bytes */
	BLOCK_MAX = 20971479,    /* bytes: MAX_DATA_SIZE, the largest stored object */
	TEXT_FIELDS_MAX = 5,     /* of --chunker-params */
	NUMBER_MAX = 1000000000, /* above every limit; larger numbers are taken for it */
};

const struct chunker_params CHUNKER_DEFAULT = { .algorithm = CHUNKER_BUZHASH,
						.min_exp = 19,
						.max_exp = 23,
						.mask_bits = 21,
						.window = 4095 };
const struct chunker_params CHUNKER_ITEMS = { .algorithm = CHUNKER_BUZHASH,
					      .min_exp = 15,
					      .max_exp = 19,
					      .mask_bits = 17,
					      .window = 4095 };

/* --- parameters --- */

static struct bytes trim(struct bytes b)
{
	while (b.len > 0 && isspace(b.p[0]))
		b.p++, b.len--;
	while (b.len > 0 && isspace(b.p[b.len - 1]))
		b.len--;
	return b;
}

/* Python's int(): blanks around it, a sign, digits with single underscores between them. */
static bool parse_int(struct bytes b, long *out)
{
	bool minus, digit = false;
	long v = 0;

	b = trim(b);
	minus = b.len > 0 && b.p[0] == '-';
	if (b.len > 0 && (b.p[0] == '-' || b.p[0] == '+'))
		b.p++, b.len--;
	for (size_t i = 0; i < b.len; i++) {
		if (b.p[i] == '_' && digit) {
			digit = false;
			continue;
		}
		digit = isdigit(b.p[i]);
		if (!digit)
			return false;
		v = v * 10 + (b.p[i] - '0');
		if (v > NUMBER_MAX)
			v = NUMBER_MAX;
	}
	*out = minus ? -v : v;
	return digit;
}

/* The text between commas; how many, of which at most TEXT_FIELDS_MAX are stored. */
static size_t split(struct bytes text, struct bytes fields[static TEXT_FIELDS_MAX])
{
	size_t count = 0, start = 0;

	for (size_t i = 0; i <= text.len; i++) {
		if (i < text.len && text.p[i] != ',')
			continue;
		if (count < TEXT_FIELDS_MAX)
			fields[count] = (struct bytes){ text.p + start, i - start };
		count++;
		start = i + 1;
	}
	return count;
}

static bool is_word(struct bytes b, const char *word)
{
	if (b.len != strlen(word))
		return false;
	for (size_t i = 0; i < b.len; i++)
		if (tolower(b.p[i]) != word[i])
			return false;
	return true;
}

static int check_fixed(long block, long header, struct err *e)
{
	if (block < BLOCK_MIN)
		return err_set(e, EINVAL, "block_size must not be less than 64 Bytes");
	if (block > BLOCK_MAX || header > BLOCK_MAX)
		return err_set(e, EINVAL,
			       "block_size and header_size must not exceed MAX_DATA_SIZE [%d]",
			       BLOCK_MAX);
	if (header < 0)
		return err_set(e, EINVAL, "header_size must not be negative");
	return 0;
}

static int check_buzhash(long min, long max, long mask, long window, struct err *e)
{
	if (min > mask || mask > max)
		return err_set(e, EINVAL, "required: chunk_min <= chunk_mask <= chunk_max");
	if (min < EXP_MIN)
		return err_set(e, EINVAL,
			       "min. chunk size exponent must not be less than 6 "
			       "(2^6 = 64B min. chunk size)");
	if (max > EXP_MAX)
		return err_set(e, EINVAL,
			       "max. chunk size exponent must not be more than 23 "
			       "(2^23 = 8MiB max. chunk size)");
	if (window < 1)
		return err_set(e, EINVAL, "window size must be at least 1 byte");
	/* Borg finds this out only when it makes the chunker. */
	if (window + (1L << min) + 1 > 1L << max)
		return err_set(e, EINVAL, "too small max_size");
	return 0;
}

static int params_check(const struct chunker_params *p, struct err *e)
{
	switch (p->algorithm) {
	case CHUNKER_FIXED: return check_fixed(p->block_size, p->header_size, e);
	case CHUNKER_BUZHASH:
		return check_buzhash(p->min_exp, p->max_exp, p->mask_bits, p->window, e);
	}
	return err_set(e, EINVAL, "invalid chunker params");
}

/* Without a sentence: there is no more to say than that it is none. */
static int parse_numbers(const struct bytes *fields, size_t count, long *out)
{
	for (size_t i = 0; i < count; i++)
		if (!parse_int(fields[i], &out[i]))
			return -EINVAL;
	return 0;
}

static int parse_fixed(const struct bytes *fields, size_t count, struct chunker_params *out,
		       struct err *e)
{
	long v[2] = { 0, 0 };
	int rc = parse_numbers(fields, count, v);

	if (rc == 0)
		rc = check_fixed(v[0], v[1], e);
	if (rc == 0)
		*out = (struct chunker_params){ .algorithm = CHUNKER_FIXED,
						.block_size = (uint32_t)v[0],
						.header_size = (uint32_t)v[1] };
	return rc;
}

static int parse_buzhash(const struct bytes fields[static 4], struct chunker_params *out,
			 struct err *e)
{
	long v[4] = { 0, 0, 0, 0 };
	int rc = parse_numbers(fields, 4, v);

	if (rc == 0)
		rc = check_buzhash(v[0], v[1], v[2], v[3], e);
	if (rc == 0)
		*out = (struct chunker_params){ .algorithm = CHUNKER_BUZHASH,
						.min_exp = (unsigned)v[0],
						.max_exp = (unsigned)v[1],
						.mask_bits = (unsigned)v[2],
						.window = (unsigned)v[3] };
	return rc;
}

static int parse(struct bytes text, struct chunker_params *out, struct err *e)
{
	struct bytes fields[TEXT_FIELDS_MAX];
	size_t count = split(text, fields);

	if (is_word(fields[0], "fixed") && (count == 2 || count == 3))
		return parse_fixed(fields + 1, count - 1, out, e);
	if (is_word(fields[0], "default") && count == 1) {
		*out = CHUNKER_DEFAULT;
		return 0;
	}
	if (count == 4 || (is_word(fields[0], "buzhash") && count == 5))
		return parse_buzhash(fields + (count - 4), out, e);
	return -EINVAL;
}

/* Borg 1.2 says only which value was wrong, 1.4 only why. */
int chunker_params_parse(const char *text, struct chunker_params *out, struct err *e)
{
	struct err why = ERR_INIT;

	if (parse(trim(bytes_str(text)), out, &why) == 0)
		return 0;
	if (why.code)
		return err_set(e, EINVAL, "invalid ChunkerParams value: '%s' (%s)", text,
			       why.msg);
	return err_set(e, EINVAL, "invalid ChunkerParams value: '%s'", text);
}

bool chunker_params_equal(const struct chunker_params *a, const struct chunker_params *b)
{
	if (a->algorithm != b->algorithm)
		return false;
	if (a->algorithm == CHUNKER_FIXED)
		return a->block_size == b->block_size && a->header_size == b->header_size;
	return a->min_exp == b->min_exp && a->max_exp == b->max_exp &&
	       a->mask_bits == b->mask_bits && a->window == b->window;
}

const char *chunker_params_format(const struct chunker_params *p,
				  char out[static CHUNKER_PARAMS_TEXT])
{
	if (p->algorithm == CHUNKER_BUZHASH)
		snprintf(out, CHUNKER_PARAMS_TEXT, "buzhash,%u,%u,%u,%u", p->min_exp,
			 p->max_exp, p->mask_bits, p->window);
	else if (p->header_size > 0)
		snprintf(out, CHUNKER_PARAMS_TEXT, "fixed,%" PRIu32 ",%" PRIu32, p->block_size,
			 p->header_size);
	else
		snprintf(out, CHUNKER_PARAMS_TEXT, "fixed,%" PRIu32, p->block_size);
	return out;
}

/* --- cutting --- */

struct chunker {
	enum chunker_algorithm algorithm;
	size_t min, max;      /* buzhash: bytes of a chunk */
	size_t block, header; /* fixed: bytes */
	struct buzhash hash;  /* buzhash */
};

int chunker_new(struct chunker **out, const struct chunker_params *p, uint32_t seed,
		struct err *e)
{
	struct chunker *c;
	int rc = params_check(p, e);

	if (rc < 0)
		return rc;
	c = aligned_alloc(_Alignof(struct chunker), sizeof(*c));
	if (!c)
		return err_nomem(e, "chunker");
	*c = (struct chunker){ .algorithm = p->algorithm };
	if (p->algorithm == CHUNKER_FIXED) {
		c->block = p->block_size;
		c->header = p->header_size;
	} else {
		c->min = (size_t)1 << p->min_exp;
		c->max = (size_t)1 << p->max_exp;
		buzhash_init(&c->hash, seed, p->window, (1u << p->mask_bits) - 1);
	}
	*out = c;
	return 0;
}

void chunker_free(struct chunker *c)
{
	free(c);
}

size_t chunker_max(const struct chunker *c)
{
	return c->algorithm == CHUNKER_FIXED ? c->block : c->max;
}

/* Blocks of the header, then, from its end, blocks of the rest. */
static size_t cut_fixed(const struct chunker *c, uint64_t at, size_t len, bool at_end)
{
	size_t want = c->block;

	if (at < c->header && c->header - at < want)
		want = (size_t)(c->header - at);
	if (len >= want)
		return want;
	return at_end ? len : 0;
}

static size_t cut_buzhash(const struct chunker *c, struct chunker_scan *s, struct bytes data,
			  bool at_end)
{
	size_t end = data.len < c->max ? data.len : c->max, window = c->hash.window;

	if (end > c->min && end - c->min > window) {
		size_t stop =
			end - window; /* cuts from here on would be too close to the end */

		if (s->looked == 0) {
			s->looked = c->min;
			s->hash = buzhash_of(&c->hash, data.p + c->min);
		}
		s->looked = buzhash_find(&c->hash, data.p, s->looked, stop, &s->hash);
		if (s->looked < stop)
			return s->looked;
	}
	return end == c->max || at_end ? end : 0;
}

size_t chunker_cut(const struct chunker *c, struct chunker_scan *s, struct bytes data,
		   bool at_end)
{
	size_t len = c->algorithm == CHUNKER_FIXED ? cut_fixed(c, s->at, data.len, at_end)
						   : cut_buzhash(c, s, data, at_end);

	if (len > 0)
		*s = (struct chunker_scan){ .at = s->at + len };
	return len;
}
