#!/usr/bin/python3
"""tree_storm.py DIR SEED ROUNDS CHECK - random changes of a staged tree; after each fsync CHECK is run, a shell command that fails
where the checkpoint is not the tree."""
import os
import random
import stat
import subprocess
import sys

TOP, SEED, ROUNDS, CHECK = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
R = random.Random(SEED)
FIRST_DIRS, FIRST_FILES, BIG = 40, 12, 700


class Tree:
    def __init__(self):
        self.dirs, self.files, self.n = [TOP], [], 0

    def new(self, parent=None):
        self.n += 1
        return '%s/%s%d' % (parent or R.choice(self.dirs), R.choice(('n', 'näme ', 'x' * R.randrange(1, 60))), self.n)

    def moved(self, old, new):
        def to(p):
            return new + p[len(old):] if p == old or p.startswith(old + '/') else p
        self.dirs, self.files = [to(p) for p in self.dirs], [to(p) for p in self.files]


T = Tree()


def data():
    return R.randbytes(R.choice((0, 1, 30, 500, 5000, 40000)))


def make_file(parent=None):
    p = T.new(parent)
    with open(p, 'wb') as f:
        f.write(data())
    T.files.append(p)


def make_dir():
    p = T.new()
    os.mkdir(p)
    T.dirs.append(p)


def regular():
    p = R.choice(T.files)
    return p if stat.S_ISREG(os.lstat(p).st_mode) else None


def append():
    p = regular()
    if p:
        with open(p, 'ab') as f:
            f.write(data())


def overwrite():
    p = regular()
    if p:
        with open(p, 'r+b') as f:
            f.seek(R.randrange(0, os.path.getsize(p) + 100))
            f.write(data())


def truncate():
    p = regular()
    if p:
        os.truncate(p, R.randrange(0, 2 * os.path.getsize(p) + 10))


def unlink():
    p = T.files.pop(R.randrange(len(T.files)))
    os.unlink(p)


def rmdir():
    for p in R.sample(T.dirs[1:], min(5, len(T.dirs) - 1)):
        if not os.listdir(p):
            os.rmdir(p)
            T.dirs.remove(p)
            return


def rename_file():
    i = R.randrange(len(T.files))
    to = T.new()
    os.rename(T.files[i], to)
    T.files[i] = to


def replace():
    a, b = R.sample(range(len(T.files)), 2)
    if os.lstat(T.files[a]).st_ino == os.lstat(T.files[b]).st_ino:
        return
    os.rename(T.files[a], T.files[b])
    T.files.pop(a)


def rename_dir():
    old, parent = R.choice(T.dirs[1:] or [TOP]), R.choice(T.dirs)
    if old == TOP or (parent + '/').startswith(old + '/'):
        return
    to = T.new(parent)
    os.rename(old, to)
    T.moved(old, to)


def exchange():
    a, b = R.sample(T.files + T.dirs[1:], 2)
    if (a + '/').startswith(b + '/') or (b + '/').startswith(a + '/'):
        return
    subprocess.run([sys.executable, '-c', 'import ctypes, os, sys\n'
                    'libc = ctypes.CDLL(None, use_errno=True)\n'
                    'rc = libc.renameat2(-100, os.fsencode(sys.argv[1]), -100, os.fsencode(sys.argv[2]), 2)\n'
                    'sys.exit(os.strerror(ctypes.get_errno()) if rc else 0)', a, b], check=True)

    def to(p):
        if (p + '/').startswith(a + '/'):
            return b + p[len(a):]
        return a + p[len(b):] if (p + '/').startswith(b + '/') else p
    T.dirs, T.files = [to(p) for p in T.dirs], [to(p) for p in T.files]
    # What was a directory is where a file's name was, and the other way round.
    both = T.dirs + T.files
    T.dirs = [p for p in both if os.path.isdir(p) and not os.path.islink(p)]
    T.files = [p for p in both if os.path.islink(p) or not os.path.isdir(p)]
    T.dirs.sort(key=lambda p: p != TOP)


def link():
    p, to = R.choice(T.files), T.new()
    if os.path.islink(p):
        return  # an archive has each name of a symlink as one of its own
    os.link(p, to, follow_symlinks=False)
    T.files.append(to)


def symlink():
    p = T.new()
    os.symlink('to/%d' % R.randrange(1000), p)
    T.files.append(p)


def fifo():
    p = T.new()
    os.mkfifo(p)
    T.files.append(p)


def chmod():
    p = R.choice(T.files + T.dirs)
    if not os.path.islink(p):
        os.chmod(p, R.choice((0o600, 0o644, 0o755, 0o700)))


def chown():
    os.lchown(R.choice(T.files + T.dirs), R.randrange(3), R.randrange(3))


def utime():
    t = R.randrange(10 ** 9, 2 * 10 ** 9) * 10 ** 9 + R.randrange(10 ** 9)
    os.utime(R.choice(T.files + T.dirs), ns=(t, t), follow_symlinks=False)


def xattr():
    p = R.choice(T.files + T.dirs)
    if not os.path.islink(p) and (os.path.isdir(p) or os.path.isfile(p)):
        os.setxattr(p, 'user.a%d' % R.randrange(3), data()[:200])


OPS = [make_file] * 6 + [make_dir, append, append, overwrite, overwrite, truncate, unlink, unlink, rmdir, rename_file, replace,
                         rename_dir, exchange, link, symlink, fifo, chmod, chown, utime, xattr]


def first():
    for _ in range(FIRST_DIRS):
        make_dir()
    for d in list(T.dirs):
        for _ in range(FIRST_FILES):
            make_file(d)
    for _ in range(BIG):
        make_file(T.dirs[7])


def main():
    first()
    for n in range(ROUNDS):
        for _ in range(R.choice((0, 1, 1, 2, 5, 60))):
            R.choice(OPS)()
        fd = os.open(R.choice(T.dirs), os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        if subprocess.run(CHECK, shell=True).returncode:
            sys.exit('round %d of seed %s: the checkpoint is not the tree' % (n, SEED))


main()
