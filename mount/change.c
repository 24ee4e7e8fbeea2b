/* change.c - see change.h. */

#include "mount/change.h"

#include "core/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const double FOREVER = 1e9; /* seconds: every change comes from this kernel */

void change_begin(struct change *c, fuse_req_t req, uint64_t node, change_apply *apply,
		  change_answer *answer)
{
	const struct fuse_ctx *who = fuse_req_ctx(req);

	*c = (struct change){
		.req = req,
		.mount = fuse_req_userdata(req),
		.apply = apply,
		.answer = answer,
		.node = node,
		.who = { .uid = who->uid,
			 .gid = who->gid,
			 .umask = who->umask,
			 .privileged = who->uid == 0 },
	};
}

/* --- elsewhere --- */

static size_t room(struct bytes b)
{
	return b.p ? b.len + 1 : 0;
}

static struct bytes moved(struct bytes b, uint8_t **at)
{
	struct bytes out = { *at, b.len };

	if (!b.p)
		return b;
	if (b.len > 0)
		memcpy(*at, b.p, b.len);
	(*at)[b.len] = 0;
	*at += b.len + 1;
	return out;
}

static void run_moved(void *arg)
{
	struct change *c = arg;

	change_run(c);
	free(c);
}

static void move_to_writers(const struct change *c)
{
	struct change *m =
		malloc(sizeof(*m) + room(c->name) + room(c->new_name) + room(c->data));
	uint8_t *at;

	if (!m) {
		fuse_reply_err(c->req, ENOMEM);
		return;
	}
	*m = *c;
	at = (uint8_t *)(m + 1);
	m->name = moved(c->name, &at);
	m->new_name = moved(c->new_name, &at);
	m->data = moved(c->data, &at);
	m->may_wait = true;
	pool_submit(c->mount->writers, run_moved, m);
}

/* --- failures --- */

/* What no program can know the reason of is said in the log. */
static void refuse(struct change *c, int rc, const struct err *e)
{
	if ((rc == -EIO || rc == -EBUSY || rc == -ENOSPC || rc == -EDQUOT || rc == -EBADMSG) &&
	    e->msg[0])
		reply_log_error(c->mount->log, e->msg);
	fuse_reply_err(c->req, rc == -EBADMSG ? EIO : -rc);
}

static const uint64_t *staged_nodes(const struct change *c, uint64_t nodes[2])
{
	nodes[0] = is_staged(c->node) ? c->node : 0;
	nodes[1] = is_staged(c->other) ? c->other : 0;
	return nodes;
}

void change_run(struct change *c)
{
	struct staging *staging = c->mount->staging;
	uint64_t nodes[2];
	struct err err = ERR_INIT;
	int rc = 0;

	if (!c->free_of_gate)
		rc = staging_begin_change(staging, c->may_wait, &err);
	else if (!c->may_wait)
		rc = -EAGAIN;
	if (rc == 0) {
		rc = c->apply(c, &err);
		if (!c->free_of_gate)
			staging_end_change(staging, staged_nodes(c, nodes), rc);
	}
	if (rc == -EAGAIN && !c->may_wait)
		move_to_writers(c);
	else if (rc < 0)
		refuse(c, rc, &err);
	else
		c->answer(c);
}

/* --- answers --- */

void answer_done(struct change *c)
{
	fuse_reply_err(c->req, 0);
}

void change_entry(struct change *c, struct fuse_entry_param *out)
{
	staging_complete(&c->out);
	*out = (struct fuse_entry_param){
		.ino = c->out.st.st_ino,
		.attr = c->out.st,
		.attr_timeout = FOREVER,
		.entry_timeout = FOREVER,
	};
}

void answer_entry(struct change *c)
{
	struct fuse_entry_param param;

	change_entry(c, &param);
	if (fuse_reply_entry(c->req, &param) < 0) /* the kernel has not heard of it */
		stage_release(staging_stage(c->mount->staging), param.ino, 1);
}

void answer_attr(struct change *c)
{
	staging_complete(&c->out);
	fuse_reply_attr(c->req, &c->out.st, FOREVER);
}
