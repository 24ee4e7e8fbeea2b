"""golden.py NAME ARCHIVE DIRECTORY [extracted] - compares what is in a directory with the golden manifest; prints and fails."""
import collections
import hashlib
import json
import os
import stat
import struct
import sys

name, archive, top = sys.argv[1:4]
extracted = len(sys.argv) > 4
top = os.fsencode(top)
here = os.path.dirname(os.path.abspath(__file__))
lines = [json.loads(line) for line in open(os.path.join(here, '../golden/manifest.jsonl'))]
about = next(x for x in lines if x['kind'] == 'repo' and x['name'] == name)['archives'][archive]
wanted = None if about['paths_hex'] is None else {bytes.fromhex(h) for h in about['paths_hex']}
items = {bytes.fromhex(x['path_hex']): x for x in lines if x['kind'] == 'item'}
bad = []


def acl(text):
    """The kernel's binary form of an ACL, from the manifest's entries."""
    tags = {('user', True): 1, ('user', False): 2, ('group', True): 4, ('group', False): 8, ('mask', True): 0x10,
            ('other', True): 0x20}
    entries = []
    for entry in text:
        kind, who, perm = entry.split(':')
        bits = sum(b for c, b in zip(perm, (4, 2, 1)) if c != '-')
        entries.append((tags[kind, not who], int(who) if who else 0xffffffff, bits))
    return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', t, p, w) for t, w, p in sorted(entries))


def check(path, what, got, want):
    if got != want:
        bad.append('%r: %s is %r, not %r' % (path, what, got, want))


def compare(path, item, full):
    where = os.path.join(top, path) if path != b'.' else top
    st = os.lstat(where)
    kind = stat.S_IFMT(st.st_mode)
    check(path, 'mode', '%o' % st.st_mode, item['mode'])
    check(path, 'owner', (st.st_uid, st.st_gid), (item['uid'], item['gid']))
    if full and not (extracted and path == b'.'):
        check(path, 'mtime', st.st_mtime_ns, item['mtime_ns'])
    if kind == stat.S_IFREG:
        check(path, 'size', st.st_size, item['size'])
        check(path, 'sha256', hashlib.sha256(open(where, 'rb').read()).hexdigest(), item['sha256'])
    if kind == stat.S_IFLNK:
        check(path, 'target', os.readlink(where).hex(), item['target_hex'])
    if 'rdev' in item:
        check(path, 'device', (os.major(st.st_rdev), os.minor(st.st_rdev)), (item['major'], item['minor']))
    got = {k: os.getxattr(where, k, follow_symlinks=False) for k in os.listxattr(where, follow_symlinks=False)}
    want = {os.fsdecode(bytes.fromhex(k)): bytes.fromhex(v) for k, v in item.get('xattrs_hex', {}).items()}
    for key in ('access', 'default'):
        if 'acl_' + key in item:
            want['system.posix_acl_' + key] = acl(item['acl_' + key])
    check(path, 'xattrs', got, want)


def main():
    os.listdir(top)  # entered, so that it shows its attributes
    full = about['items_tree'] == 'full'
    found = [b'.'] + [os.path.relpath(os.path.join(f, n), top) for f, d, n_ in os.walk(top) for n in d + n_]
    if wanted is None:
        check(b'.', 'list of names', sorted(found), sorted(items))
    else:
        parents = {b'.'} | {p.rsplit(b'/', n)[0] for p in wanted for n in range(1, p.count(b'/') + 1)}
        # Part files are in the archive, and hidden.
        check(b'.', 'list of names', sorted(found), sorted(p for p in wanted | parents if b'.borg_part_' not in p))
    groups = collections.defaultdict(set)
    for path in found:
        # A subset archive holds the tree's items as far as the manifest knows them; times of parents may differ.
        if path in items and (wanted is None or path in wanted):
            compare(path, items[path], full)
            if items[path].get('hardlink_group_hex'):
                groups[items[path]['hardlink_group_hex']].add(path)
    for names in groups.values():
        inodes = {os.lstat(os.path.join(top, n)).st_ino for n in names}
        check(sorted(names), 'number of inodes', len(inodes), 1)
        for n in names:
            check(n, 'links', os.lstat(os.path.join(top, n)).st_nlink, len(names))
    print('\n'.join(bad))
    sys.exit(bool(bad))


main()
