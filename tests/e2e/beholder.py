"""beholder.py MNT STOP NAME... - until there is a file STOP: looks where each archive is, below MNT/new or in MNT, while it is moved.
It is in one of them at any moment, and complete; nothing is an error."""
import os
import subprocess
import sys


def is_there(path):
    try:
        os.lstat(path)
        return True
    except FileNotFoundError:
        return False


def pairs(mnt, name):
    """In an order in which a move between the two looks is no excuse."""
    staged, published = '%s/new/%s' % (mnt, name), '%s/%s' % (mnt, name)
    if not is_there(staged) and not is_there(published):
        sys.exit('%s is in neither' % name)
    if is_there(published) and is_there(staged):
        sys.exit('%s is in both' % name)


def held(mnt, name, folders):
    """Through a directory that was opened before, nothing moves."""
    got = sorted(os.listdir(folders[name]))
    if got != ['dir', 'mark']:
        sys.exit('%s: %s' % (name, got))


def found(mnt, names):
    done = subprocess.run(['find', mnt, '-ignore_readdir_race', '-name', 'mark', '-printf', '%P\n'], capture_output=True, text=True)
    if done.stderr or done.returncode:
        sys.exit('find: ' + done.stderr)
    seen = [line.split('/')[-2] for line in done.stdout.splitlines()]
    return {name: seen.count(name) for name in names}


def main():
    mnt, stop, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    folders = {name: os.open('%s/new/%s' % (mnt, name), os.O_RDONLY) for name in names}
    runs = moved = 0
    print('looking', flush=True)
    while not os.path.exists(stop):
        before = [is_there('%s/new/%s' % (mnt, name)) for name in names]
        counts = found(mnt, names)
        after = [is_there('%s/new/%s' % (mnt, name)) for name in names]
        runs += 1
        for name, a, b in zip(names, before, after):
            moved += a != b
            # Who walks from the root may come to new/ when it has just gone from there, but finds nothing twice.
            if counts[name] > 1 or counts[name] < 1 and a == b:
                sys.exit('find saw %s %d times' % (name, counts[name]))
            for _ in range(20):
                pairs(mnt, name)
            held(mnt, name, folders)
    print('%d runs, %d during a move' % (runs, moved))


main()
