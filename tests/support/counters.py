"""counters.py REPOSITORY [SEEN] - no AES-CTR counter is used twice in a repository.

Every PUT of every segment, committed or not, a tail that is cut off included, says the first counter of its payload and
by its length how many follow.  What has been damaged says nothing.  Two payloads with a counter in common fail; a copy of a payload, as compaction makes them, is the
same one.  SEEN is a file that keeps what was found, so that segments which have been removed in the meantime still count.
The repository has one key; those that do not encrypt, have no counters.
"""
import json
import os
import struct
import sys
import zlib

HEAD = struct.Struct('<IIB')
ENCRYPTED = (0x00, 0x01, 0x03, 0x04, 0x05)  # type bytes: passphrase, keyfile, repokey; blake2 of both
OVERHEAD = 1 + 32 + 8  # type, MAC, counter
PUT = 0


def payloads(segment):
    """Payload of each PUT, and its length; the last one may be cut off."""
    off = 8
    while off + HEAD.size <= len(segment):
        crc, size, tag = HEAD.unpack_from(segment, off)
        if size < HEAD.size or tag > 2:
            return  # where the next one begins cannot be told
        whole = off + size <= len(segment)
        if tag == PUT and (not whole or zlib.crc32(segment[off + 4:off + size]) == crc):
            yield segment[off + HEAD.size + 32:off + size]
        off += size


def segments(repository):
    for folder, _, names in os.walk(os.path.join(repository, 'data')):
        for name in names:
            with open(os.path.join(folder, name), 'rb') as f:
                yield f.read()


def collect(repository, seen):
    """seen: MAC in hex -> [first counter, blocks]; a MAC covers counter and bytes."""
    for segment in segments(repository):
        for payload in payloads(segment):
            if len(payload) < OVERHEAD or payload[0] not in ENCRYPTED:
                continue
            first = int.from_bytes(payload[33:41], 'big')
            blocks = (len(payload) - OVERHEAD + 15) // 16
            mac = payload[1:33].hex()
            before = seen.get(mac, [first, 0])
            seen[mac] = [first, max(blocks, before[1])]


def reused(seen):
    """Pairs of ranges with a counter in common."""
    ranges = sorted((first, first + blocks, mac) for mac, (first, blocks) in seen.items() if blocks)
    reach, found = None, []
    for this in ranges:
        if reach and this[0] < reach[1]:
            found.append((reach, this))
        if not reach or this[1] > reach[1]:
            reach = this
    return found


def check(repository, seen):
    """A sentence where a counter is used twice, else None."""
    collect(repository, seen)
    found = reused(seen)
    if not found:
        return None
    (first, end, mac), (first2, end2, mac2) = found[0]
    return '%d pairs of payloads share counters: %d..%d (%s) and %d..%d (%s)' % (
        len(found), first, end - 1, mac[:16], first2, end2 - 1, mac2[:16])


def main():
    seen = {}
    if len(sys.argv) > 2 and os.path.exists(sys.argv[2]):
        with open(sys.argv[2]) as f:
            seen = json.load(f)
    wrong = check(sys.argv[1], seen)
    if len(sys.argv) > 2:
        with open(sys.argv[2], 'w') as f:
            json.dump(seen, f)
    if wrong:
        print(wrong)
        return 1
    print('%d payloads, %d counters' % (len(seen), sum(blocks for _, blocks in seen.values())))
    return 0


if __name__ == '__main__':
    sys.exit(main())
