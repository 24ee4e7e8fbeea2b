#ifndef PLATFORM_ACL_H
#define PLATFORM_ACL_H

/*
 * acl.h - Borg's ACL text <-> the kernel's binary POSIX ACL (system.posix_acl_access/_default).
 *
 * Text: docs/format.md "ACL text": type:qualifier:perms[:numeric-id], one entry a line.
 * Binary: linux/posix_acl_xattr.h, version 2: u32le version, then (u16 tag, u16 perm, u32 id).
 */

#include "core/base/err.h"
#include "core/platform/owner.h"

#include <stdbool.h>

/* Replace out by the binary form.  Names are mapped to this machine's numbers unless
 * numeric_ids; empty text gives empty output.  -EINVAL where the text is not an ACL. */
int acl_to_binary(struct bytes text, bool numeric_ids, struct owner_cache *owners,
		  struct buf *out, struct err *e);

/*
 * Replace out by the text that Borg stores for a binary ACL; for a named entry the number stands
 * behind the permissions, and instead of the name where numeric_ids or where there is none.
 * -EINVAL where the bytes are no ACL.
 */
int acl_text_of(struct bytes binary, bool numeric_ids, struct owner_cache *owners,
		struct buf *out, struct err *e);
/* The text of what the mode alone says. */
int acl_text_of_mode(uint32_t mode, struct buf *out);

/* Does an access ACL say no more than the mode does?  Borg stores such a text beside a default
 * ACL; the kernel keeps no attribute for it. */
bool acl_is_minimal(struct bytes text);

#endif
