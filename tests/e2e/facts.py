"""facts.py DIRECTORY - one line for each file below it, in order, with what rsync does not look at.

Mode, owner, ns mtime, size, device, link count of files, the first name of the same inode, flags, xattrs, target, digest.
"""
import fcntl
import hashlib
import os
import stat
import struct
import sys

FS_IOC_GETFLAGS = 0x80086601
FLAGS = 0x10 | 0x20 | 0x40  # immutable, append-only, nodump: those that Borg keeps


def flags(path, st):
    if not (stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode)):
        return 0
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return struct.unpack('l', fcntl.ioctl(fd, FS_IOC_GETFLAGS, struct.pack('l', 0)))[0] & FLAGS
    except OSError:
        return 0
    finally:
        os.close(fd)


def digest(path):
    h = hashlib.sha256()
    with open(path, 'rb') as f:
        while data := f.read(1 << 20):
            h.update(data)
    return h.hexdigest()


def line(top, name, seen):
    path = os.path.join(top, name) if name != b'.' else top
    st = os.lstat(path)
    out = [repr(name), oct(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns, 'flags=%x' % flags(path, st)]
    if not stat.S_ISDIR(st.st_mode):
        # Borg archives each name of a hard-linked symlink as a symlink of its own.
        if not stat.S_ISLNK(st.st_mode):
            out += ['links=%d' % st.st_nlink, 'first=%r' % seen.setdefault((st.st_dev, st.st_ino), name)]
        out.append('size=%d' % st.st_size)
    if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        out.append('rdev=%d' % st.st_rdev)
    if stat.S_ISLNK(st.st_mode):
        out.append(repr(os.readlink(path)))
    if stat.S_ISREG(st.st_mode):
        out.append(digest(path))
    out += ['%s=%r' % (k, os.getxattr(path, k, follow_symlinks=False))
            for k in sorted(os.listxattr(path, follow_symlinks=False))]
    return ' '.join(str(x) for x in out)


def main():
    top = os.fsencode(sys.argv[1])
    names = [b'.']
    for folder, dirs, files in os.walk(top):
        names += [os.path.relpath(os.path.join(folder, n), top) for n in dirs + files]
    seen = {}
    for name in sorted(names):
        print(line(top, name, seen))


main()
