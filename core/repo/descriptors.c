/* descriptors.c - see descriptors.h. */

#include "core/repo/descriptors.h"

#include "core/repo/files.h"

#include <string.h>

void descriptors_init(struct descriptors *d)
{
	*d = (struct descriptors){ .dirfd = -1 };
	mutex_init(&d->lock);
}

void descriptors_fini(struct descriptors *d)
{
	for (size_t i = 0; i < DESCRIPTORS_MAX; i++)
		segment_close(d->open[i].segment);
	mutex_fini(&d->lock);
}

static struct segment *cached(struct descriptors *d, uint32_t number)
{
	struct segment *s = NULL;

	mutex_lock(&d->lock);
	for (size_t i = 0; i < DESCRIPTORS_MAX && !s; i++) {
		if (!d->open[i].segment || segment_number(d->open[i].segment) != number)
			continue;
		d->open[i].used = ++d->tick;
		s = segment_ref(d->open[i].segment);
	}
	mutex_unlock(&d->lock);
	return s;
}

/* Keep the segment in the slot used longest ago.  Another thread may have put the same number
 * there meanwhile: two descriptors of one file do no harm. */
static void keep(struct descriptors *d, struct segment *s)
{
	struct segment *evicted;
	size_t oldest = 0;

	mutex_lock(&d->lock);
	for (size_t i = 1; i < DESCRIPTORS_MAX; i++)
		if (d->open[i].used < d->open[oldest].used)
			oldest = i;
	evicted = d->open[oldest].segment;
	d->open[oldest].segment = segment_ref(s);
	d->open[oldest].used = ++d->tick;
	mutex_unlock(&d->lock);
	segment_close(evicted);
}

void descriptors_drop(struct descriptors *d, uint32_t number)
{
	struct segment *dropped[DESCRIPTORS_MAX];
	size_t count = 0;

	mutex_lock(&d->lock);
	for (size_t i = 0; i < DESCRIPTORS_MAX; i++) {
		if (!d->open[i].segment || segment_number(d->open[i].segment) != number)
			continue;
		dropped[count++] = d->open[i].segment;
		d->open[i].segment = NULL;
		d->open[i].used = 0;
	}
	mutex_unlock(&d->lock);
	while (count > 0)
		segment_close(dropped[--count]);
}

int descriptors_get(struct descriptors *d, uint32_t number, struct segment **out, struct err *e)
{
	int fd, rc;

	*out = cached(d, number);
	if (*out)
		return 0;
	fd = files_open_segment(d->dirfd, d->segments_per_dir, number);
	if (fd < 0)
		return err_set(e, -fd, "segment %u: %s", number, strerror(-fd));
	rc = segment_open(out, fd, number, e);
	if (rc == 0)
		keep(d, *out);
	return rc;
}
