"""The other side of test_repo_check.c: Borg's Repository class makes repositories, damages them, checks
and repairs them, and says what is in them."""

import glob
import hashlib
import os
import random
import struct
import sys

from borg.hashindex import NSIndex
from borg.logger import setup_logging
from borg.repository import Repository

setup_logging(level="critical")


def key(n):
    return bytes([n]) + bytes(31)


def data(n, size):
    return random.Random(n).randbytes(size)


def make(path):
    with Repository(path, exclusive=True, create=True) as r:
        for turn in [[(0, 200), (1, 100), (2, 70000), (3, 0)], [(0, 210), (4, 3000), (5, 4000), (6, 5000)],
                     [(0, 220), (2, 60000), (7, 1)], [(8, 3000), (9, 2000000), (10, 30)]]:
            for n, size in turn:
                r.put(key(n), data(n + size, size))
            if turn[0][1] == 220:
                r.delete(key(5))
            r.commit(compact=False)


def newest(path, kind):
    names = glob.glob(f"{path}/{kind}.*")
    return max(names, key=lambda name: int(name.rsplit(".", 1)[1]))


def segments(path):
    return sorted((int(os.path.basename(p)), p) for p in glob.glob(f"{path}/data/*/*"))


def place(path, n):
    segment, off = NSIndex.read(newest(path, "index"))[key(n)]
    return f"{path}/data/0/{segment}", off


def write_at(name, off, content, whence=os.SEEK_SET):
    with open(name, "r+b") as f:
        f.seek(off, whence)
        f.write(content)


def commits(path):
    return [p for _, p in segments(path) if os.path.getsize(p) == 17]


def wrong_index(path):
    name = newest(path, "index")
    index = NSIndex.read(name)
    index[key(77)] = 1, 8
    index[key(4)] = 0, 8
    index.write(name)
    os.unlink(newest(path, "integrity"))


def damage(path, what):
    payload, header, end = 41, 0, os.SEEK_END
    if what == "payload":
        name, off = place(path, 4)
        write_at(name, off + payload + 100, b"BOOM")
    elif what == "big_payload":
        name, off = place(path, 9)
        write_at(name, off + payload + 1100000, b"BOOM")
    elif what == "checksum":
        write_at(*place(path, 6), b"BOOM")
    elif what == "size":
        name, off = place(path, 4)
        write_at(name, off + 4, struct.pack("<I", 0x7fffffff))
    elif what == "small_size":
        name, off = place(path, 4)
        write_at(name, off + 4, struct.pack("<I", 3))
    elif what == "magic":
        write_at(place(path, 4)[0], 0, b"BORG-SEG")
    elif what == "truncated":
        name = place(path, 10)[0]
        os.truncate(name, os.path.getsize(name) - 10)
    elif what == "truncated_head":
        name, off = place(path, 10)
        os.truncate(name, off + 5)
    elif what == "emptied":
        os.truncate(place(path, 4)[0], 0)
    elif what == "short":
        os.truncate(place(path, 4)[0], 12)
    elif what == "missing":
        os.unlink(place(path, 4)[0])
    elif what == "garbage":
        write_at(place(path, 4)[0], 0, data(1, 5000), end)
    elif what == "zeros":
        write_at(place(path, 4)[0], 0, bytes(5000), end)
    elif what == "lost_commit":
        os.unlink(commits(path)[-1])
    elif what == "broken_commit":
        write_at(commits(path)[-1], -1, b"X", end)
    elif what == "no_commit":
        for name in commits(path):
            write_at(name, -1, b"X", end)
    elif what == "no_commit_no_index":
        for name in commits(path):
            write_at(name, -1, b"X", end)
        os.unlink(newest(path, "index"))
    elif what == "missing_index":
        os.unlink(newest(path, "index"))
    elif what == "corrupt_index":
        write_at(newest(path, "index"), 2000, b"BOOM")
    elif what == "wrong_index":
        wrong_index(path)
    elif what == "new_index":
        os.rename(newest(path, "index"), f"{path}/index.100")
    elif what == "missing_hints":
        os.unlink(newest(path, "hints"))
    elif what == "corrupt_hints":
        write_at(newest(path, "hints"), 5, b"BOOM")
    elif what == "nothing_left":
        for _, name in segments(path):
            os.unlink(name)
        os.unlink(newest(path, "index"))
    elif what != "none":
        raise ValueError(what)


def check(path, repair):
    with Repository(path, exclusive=True) as r:
        print("clean" if r.check(repair=repair) else "problems")


def dump(path):
    with Repository(path, exclusive=True) as r:
        for id_ in sorted(r.list()):
            print(id_.hex(), hashlib.sha256(r.get(id_)).hexdigest())


command, path = sys.argv[1:3]
if command == "make":
    make(path)
elif command == "damage":
    damage(path, sys.argv[3])
elif command == "check":
    check(path, False)
elif command == "repair":
    check(path, True)
elif command == "dump":
    dump(path)
