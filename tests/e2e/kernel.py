"""kernel.py - what the kernel's interfaces say of a mounted file or folder, checked one by one.

  handles FOLDER             files and folders below it, opened by handle after the kernel has forgotten all it can
  content SOURCE SHOWN       the same bytes through mmap, O_DIRECT, pread, preadv, SEEK_DATA and SEEK_HOLE
  sparse SHOWN SIZE AT TEXT  a file of SIZE that is zeros but for TEXT at AT, read around there and here and there
  folder FOLDER COUNT        positions in a large folder: telldir, seekdir, rewinddir
  readonly FILE FOLDER       every call that would change something fails with EROFS
  terminal COMMAND...        runs it on a terminal of its own; at the end of standard input types Ctrl-C; its exit status
"""
import ctypes
import errno
import fcntl
import mmap
import os
import random
import stat
import struct
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result is None or result == -1:
        raise OSError(ctypes.get_errno(), what)
    return result


# --- handles ---

class Handle(ctypes.Structure):
    _fields_ = [('bytes', ctypes.c_uint), ('type', ctypes.c_int), ('data', ctypes.c_ubyte * 128)]


def handle_of(path):
    handle, mount = Handle(bytes=128), ctypes.c_int()
    check(libc.name_to_handle_at(-100, path, ctypes.byref(handle), ctypes.byref(mount), 0), path)
    return handle


def facts(st):
    return st.st_ino, st.st_mode, st.st_size, st.st_mtime_ns, st.st_nlink, st.st_uid


def handles(top):
    known = {}
    for folder, dirs, files in os.walk(os.fsencode(top)):
        for name in dirs + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            if not stat.S_ISREG(st.st_mode) and not stat.S_ISDIR(st.st_mode):
                continue
            content = open(path, 'rb').read(100000) if stat.S_ISREG(st.st_mode) else sorted(os.listdir(path))
            known[path] = handle_of(path), facts(st), content
    assert known
    with open('/proc/sys/vm/drop_caches', 'w') as f:
        f.write('2')
    at = os.open(top, os.O_RDONLY)
    for path, (handle, was, content) in known.items():
        fd = check(libc.open_by_handle_at(at, ctypes.byref(handle), os.O_RDONLY), path)
        st = os.fstat(fd)
        assert facts(st) == was, (path, facts(st), was)
        if stat.S_ISREG(st.st_mode):
            assert os.pread(fd, 100000, 0) == content, path
        else:
            assert sorted(os.fsencode(n) for n in os.listdir(fd)) == content, path
            # A folder found by number is connected to the root: the kernel knows its name.
            assert os.fsencode(os.readlink('/proc/self/fd/%d' % fd)) == path, path
        os.close(fd)


# --- content ---

def direct(fd, size):
    block, out, at = mmap.mmap(-1, 65536), b'', 0
    while at < size:
        n = os.preadv(fd, [block], at)
        assert n > 0
        out += block[:n]
        at += n
        if n % 4096:
            break
    return out


def extents(fd, size):
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            assert e.errno == errno.ENXIO
            return
        assert start >= at
        at = os.lseek(fd, start, os.SEEK_HOLE)
        assert start < at <= size
        yield start, at


def content(source, shown):
    want, size = open(source, 'rb').read(), os.path.getsize(source)
    fd = os.open(shown, os.O_RDONLY)
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED) as m:
        rng = random.Random(7)
        for _ in range(200):
            at = rng.randrange(size)
            assert m[at:at + 5000] == want[at:at + 5000], at
        assert m[:] == want
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_PRIVATE) as m:
        m[0:4] = b'mine'
        assert m[4:] == want[4:]
    assert os.pread(fd, 1 << 20, 0) == want[:1 << 20]
    straight = os.open(shown, os.O_RDONLY | os.O_DIRECT)
    assert direct(straight, size) == want
    for f in fd, straight:
        for at in size, size + 1, size + 4096, size + (1 << 40), 2 ** 62:
            assert os.pread(f, 4096, at // 512 * 512 if f == straight and at > size else at) in (b'', want[size // 512 * 512:])
    assert os.pread(fd, 4096, size) == os.pread(fd, 4096, size + 5000) == b''
    assert os.pread(fd, 4096, size - 3) == want[-3:]
    # Holes may be shown as data, but never data as a hole.
    rest = bytearray(want)
    for start, end in extents(fd, size):
        rest[start:end] = bytes(end - start)
    assert not any(rest)
    for at in size, size + 1, 2 ** 62:
        for whence in os.SEEK_DATA, os.SEEK_HOLE:
            try:
                os.lseek(fd, at, whence)
            except OSError as e:
                assert e.errno == errno.ENXIO
            else:
                raise AssertionError('a place behind the end: %d' % at)
    assert os.lseek(fd, 0, os.SEEK_END) == size
    assert os.read(fd, 10) == b''
    assert open(shown, 'rb').read() == want


def sparse(shown, size, at, text):
    size, at, text = int(size), int(at), text.encode()
    fd = os.open(shown, os.O_RDONLY)
    assert os.fstat(fd).st_size == size
    assert os.pread(fd, len(text), at) == text
    assert os.pread(fd, len(text) + 200, at - 100) == bytes(100) + text + bytes(100)
    for place in 0, 1 << 31, (1 << 32) - 4096, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, size - 5000:
        assert not any(os.pread(fd, 5000, place)), place
        assert len(os.pread(fd, 5000, place)) == 5000, place
    assert os.pread(fd, 100, size - 7) == bytes(7)
    assert os.pread(fd, 100, size) == b''


# --- folders ---

class Dirent(ctypes.Structure):
    _fields_ = [('ino', ctypes.c_uint64), ('off', ctypes.c_int64), ('reclen', ctypes.c_ushort), ('type', ctypes.c_ubyte),
                ('name', ctypes.c_char * 256)]


libc.opendir.restype = ctypes.c_void_p
libc.readdir.restype = ctypes.POINTER(Dirent)
libc.telldir.restype = ctypes.c_long
for function, arguments in (libc.readdir, []), (libc.telldir, []), (libc.seekdir, [ctypes.c_long]), (libc.rewinddir, []), \
        (libc.closedir, []):
    function.argtypes = [ctypes.c_void_p] + arguments


def entries(d):
    while True:
        place = libc.telldir(d)
        entry = libc.readdir(d)
        if not entry:
            return
        yield place, entry.contents.name, entry.contents.ino


def folder(path, count):
    d = libc.opendir(os.fsencode(path))
    assert d
    first = list(entries(d))
    names = [name for _, name, _ in first]
    assert len(names) == int(count) + 2 and len(set(names)) == len(names)
    assert sorted(names)[:2] == [b'.', b'..']
    for place, name, ino in random.Random(5).sample(first, 100):
        libc.seekdir(d, place)
        entry = libc.readdir(d).contents
        assert (entry.name, entry.ino) == (name, ino), name
        if name not in (b'.', b'..'):
            assert os.lstat(os.path.join(os.fsencode(path), name)).st_ino == ino
    libc.rewinddir(d)
    assert [(name, ino) for _, name, ino in entries(d)] == [(name, ino) for _, name, ino in first]
    libc.closedir(d)


# --- nothing is changed ---

def readonly(file, folder, beside_new=''):
    new, fd = os.path.join(folder, 'new-one'), os.open(file, os.O_RDONLY)
    at = os.open(folder, os.O_RDONLY)
    calls = {
        'open O_RDWR': lambda: os.open(file, os.O_RDWR),
        'open O_WRONLY': lambda: os.open(file, os.O_WRONLY),
        'open O_APPEND': lambda: os.open(file, os.O_WRONLY | os.O_APPEND),
        'open O_TRUNC': lambda: os.open(file, os.O_RDONLY | os.O_TRUNC),
        'open O_CREAT': lambda: os.open(new, os.O_RDONLY | os.O_CREAT),
        'open O_TMPFILE': lambda: os.open(folder, os.O_RDWR | os.O_TMPFILE),
        'truncate': lambda: os.truncate(file, 0),
        'mkdir': lambda: os.mkdir(new),
        'mkfifo': lambda: os.mkfifo(new),
        'mknod': lambda: os.mknod(new, 0o600 | stat.S_IFCHR, os.makedev(1, 3)),
        'symlink': lambda: os.symlink('x', new),
        'link': lambda: os.link(file, new),
        'rename': lambda: os.rename(file, new),
        'rename over itself': lambda: os.rename(new, file) if os.path.exists(new) else os.rename(file, file + '-2'),
        'renameat2 RENAME_EXCHANGE': lambda: check(libc.renameat2(-100, file.encode(), -100, folder.encode(), 2), 'renameat2'),
        'unlink': lambda: os.unlink(file),
        'rmdir': lambda: os.rmdir(folder),
        'chmod': lambda: os.chmod(file, 0o777),
        'fchmod': lambda: os.fchmod(fd, 0o777),
        'chown': lambda: os.chown(file, 1, 1),
        'fchown': lambda: os.fchown(fd, 1, 1),
        'utime': lambda: os.utime(file),
        'utimensat': lambda: os.utime(file, ns=(1, 1), follow_symlinks=False),
        'setxattr': lambda: os.setxattr(file, 'user.mine', b'1'),
        'fsetxattr trusted': lambda: os.setxattr(fd, 'trusted.mine', b'1'),
        'setxattr ACL': lambda: os.setxattr(file, 'system.posix_acl_access', struct.pack('<I', 2) + b''.join(
            struct.pack('<HHI', t, 6, 2 ** 32 - 1) for t in (1, 4, 32))),
        'removexattr': lambda: os.removexattr(file, 'user.mime'),
        'ioctl FS_IOC_SETFLAGS': lambda: fcntl.ioctl(fd, 0x40086602, struct.pack('l', 0x10)),
        'ioctl FS_IOC_FSSETXATTR': lambda: fcntl.ioctl(fd, 0x401c5820, bytes(28)),
        'access W_OK': lambda: check(libc.access(file.encode(), 2), 'access'),
        'mkdirat': lambda: os.mkdir('new-one', dir_fd=at),
    }
    wrong = []
    for name, call in calls.items():
        try:
            call()
            wrong.append(name + ': done')
        except OSError as e:
            if e.errno != errno.EROFS:
                wrong.append('%s: %s' % (name, errno.errorcode[e.errno]))
    # What the kernel answers by itself, as the mount can be written; and who may remove an archive is another matter.
    others = {'': [], 'folder': ['access W_OK: done', 'open O_TMPFILE: ENOTSUP']}
    others['archive'] = others['folder'] + ['renameat2 RENAME_EXCHANGE: EINVAL', 'rmdir: EPERM']
    wrong = [w for w in wrong if w not in others[beside_new]]
    # Through descriptors that are open for reading only, the kernel speaks of the descriptor.
    for name, call in {'write': lambda: os.write(fd, b'x'), 'ftruncate': lambda: os.ftruncate(fd, 0),
                       'fallocate': lambda: os.posix_fallocate(fd, 0, 10),
                       'copy_file_range': lambda: os.copy_file_range(fd, fd, 1, 0, 5)}.items():
        try:
            call()
            wrong.append(name + ': done')
        except OSError as e:
            if e.errno not in (errno.EBADF, errno.EINVAL, errno.EROFS):
                wrong.append('%s: %s' % (name, errno.errorcode[e.errno]))
    assert not wrong, wrong


# --- a terminal ---

def terminal(*command):
    pid, fd = os.forkpty()
    if pid == 0:
        os.execv(command[0], command)
    sys.stdin.read()
    os.write(fd, b'\x03')
    end = time.monotonic() + 20
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            sys.exit(os.waitstatus_to_exitcode(status))
        time.sleep(0.05)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    sys.exit('it did not end')


COMMANDS = {f.__name__: f for f in (handles, content, sparse, folder, readonly, terminal)}
COMMANDS[sys.argv[1]](*sys.argv[2:])
