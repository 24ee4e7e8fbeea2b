"""rich_tree.py DIRECTORY - a tree with everything that an archive can hold, the same bytes each time."""
import os
import random
import stat
import subprocess
import sys

T0 = 1600000000123456789


def write(name, data=b'', mode=0o644):
    with open(name, 'wb') as f:
        f.write(data)
    os.chmod(name, mode)


def times(top):
    n = 0
    for folder, dirs, files in os.walk(top, topdown=False):
        for name in sorted(dirs + files):
            n += 1
            ns = T0 + n * 1000000007
            os.utime(os.path.join(folder, name), ns=(ns, ns), follow_symlinks=False)
    os.utime(top, ns=(T0, T0))


def main():
    top = os.fsencode(sys.argv[1])
    rng = random.Random(1)
    os.makedirs(top, exist_ok=True)
    os.chdir(top)
    os.chmod(b'.', 0o751)
    text = b''.join(b'line %d of a text that compresses well\n' % i for i in range(4000))

    write(b'empty')
    write(b'hello', b'hello world\n', 0o640)
    write(b'text', text)
    write(b'big', rng.randbytes(5 << 20) + bytes(3 << 20) + text * 4 + rng.randbytes(123457))
    with open(b'sparse', 'wb') as f:
        f.write(b'start')
        f.seek(6 << 20)
        f.write(b'middle')
        f.truncate(9 << 20)
    for name in (b'caf\xe9-\xff', b'new\nline', b'tab\tand space ', b'-dash', b'back\\slash"\'', b'*glob?[x]', b':x::y',
                 b'L' * 255, 'ünïcödé_名前_🎉'.encode(), b'new', b'.hidden'):
        write(name, b'name ' + name)

    os.makedirs(b'dir/sub/deeper/' + b'd' * 200)
    os.mkdir(b'emptydir', 0o750)
    os.mkdir(b'sticky')
    os.chmod(b'sticky', 0o1777)
    os.mkdir(b'setgid')
    os.chmod(b'setgid', 0o2775)
    write(b'dir/inner', b'inner\n')
    write(b'suid', b'#!/bin/true\n', 0o4755)
    write(b'noperm', b'secret', 0o000)
    write(b'owned', b'12345')
    os.chown(b'owned', 12345, 54321)
    write(b'daemon', b'by name')
    os.chown(b'daemon', 1, 1)
    write(b'maxid', b'x')
    os.chown(b'maxid', 0xfffffffe, 0xfffffffe)

    write(b'hard1', rng.randbytes(100000))
    os.link(b'hard1', b'hard2')
    os.link(b'hard1', b'dir/sub/hard3')
    write(b'hardempty1')
    os.link(b'hardempty1', b'dir/hardempty2')
    os.mkfifo(b'fifo', 0o600)
    os.link(b'fifo', b'dir/fifo-again')
    os.mknod(b'null', stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(b'block', stat.S_IFBLK | 0o640, os.makedev(259, 70000))
    os.link(b'null', b'null-again')

    os.symlink(b'hello', b'link')
    os.symlink(b'/nonexistent/target', b'dangling')
    os.symlink(b'caf\xe9-\xff', b'link-\xe9')
    os.symlink(b'dir', b'link-to-dir')
    os.symlink(b'x' * 4000, b'long-link')
    os.lchown(b'link', 12345, 54321)

    os.setxattr(b'hello', b'user.mime', b'text/plain')
    os.setxattr(b'hello', b'user.binary', bytes(range(256)))
    os.setxattr(b'hello', b'user.empty', b'')
    os.setxattr(b'dir', b'user.on-dir', b'1')
    os.setxattr(b'.', b'user.on-root', b'root')
    os.setxattr(b'hard1', b'trusted.t', b'T')
    os.setxattr(b'link', b'trusted.onlink', b'symlink', follow_symlinks=False)
    os.setxattr(b'suid', b'security.capability', bytes.fromhex('0100000200040000000000000000000000000000'))
    for arguments in (('-m', 'u:1:r,g:1:rw', 'text'), ('-m', 'u:77777:rwx,m::r', 'owned'),
                      ('-d', '-m', 'u:1:rwx,g:66666:rx', 'emptydir'), ('-m', 'u:daemon:rwx', 'dir/sub'),
                      ('-d', '-m', 'u::rwx,o::-', 'dir/sub'), ('-m', 'g:54321:x', '.')):
        subprocess.run(('setfacl',) + arguments, check=True)
    times(b'.')
    # Flags last: they may forbid the rest.
    subprocess.run(('chattr', '+d', 'hello', 'dir'), check=True)
    subprocess.run(('chattr', '+a', 'daemon'), check=True)
    subprocess.run(('chattr', '+i', 'suid'), check=True)
    os.utime(b'.', ns=(T0, T0))


main()
