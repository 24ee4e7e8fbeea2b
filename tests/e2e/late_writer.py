"""late_writer.py PATH - opens PATH and maps it, waits for a line on standard input, then changes it by all that it has: tells what
each is answered."""
import mmap
import os
import sys

path = sys.argv[1]
file = os.open(path, os.O_RDONLY)
folder = os.open(os.path.dirname(path), os.O_RDONLY)
memory = mmap.mmap(file, 0, prot=mmap.PROT_READ)
os.chdir(folder)
print('open', flush=True)
sys.stdin.readline()
own = '/proc/self/fd/%d' % file
attempts = {
    'fchmod': lambda: os.fchmod(file, 0o600),
    'fchown': lambda: os.fchown(file, 1, 1),
    'futimens': lambda: os.utime(file, (1, 1)),
    'fsetxattr': lambda: os.setxattr(file, 'user.x', b'y'),
    'reopened': lambda: os.open(own, os.O_WRONLY),
    'truncate': lambda: os.truncate(own, 0),
    'openat': lambda: os.open('new', os.O_WRONLY | os.O_CREAT, dir_fd=folder),
    'mkdirat': lambda: os.mkdir('d', dir_fd=folder),
    'unlinkat': lambda: os.unlink(os.path.basename(path), dir_fd=folder),
    'linkat': lambda: os.link(os.path.basename(path), 'l', src_dir_fd=folder, dst_dir_fd=folder),
    'renameat': lambda: os.rename(os.path.basename(path), 'r', src_dir_fd=folder, dst_dir_fd=folder),
    'symlink in cwd': lambda: os.symlink('a', 'b'),
}
for name, attempt in attempts.items():
    try:
        attempt()
        print(name, 'done')
    except OSError as e:
        print(name, os.strerror(e.errno))
print('read', os.pread(file, 5, 0) == b'bytes' and memory[:5] == b'bytes')
