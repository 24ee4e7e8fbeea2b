"""growing_files.py DIR SEED COUNT MAX - files that grow and change at random, with an fsync at random moments in between: sizes
and offsets lie around those at which the chunker cuts."""
import os
import random
import sys

EDGES = [1 << 19, 1 << 21, 1 << 23]  # the least, the usual and the largest chunk


def some_size(rng, most):
    if rng.random() < 0.4:
        return min(most, max(0, rng.choice(EDGES) + rng.randrange(-3, 4)))
    return rng.randrange(1, rng.choice([5000, 200000, most]))


def change(rng, f, most):
    size = os.fstat(f.fileno()).st_size
    kind = rng.random()
    if kind < 0.7 and size < most:
        f.seek(size)
        f.write(rng.randbytes(min(some_size(rng, most // 2), most - size)))
    elif kind < 0.9:
        f.seek(rng.randrange(size + 1))
        f.write(rng.randbytes(rng.randrange(1, 70000)))
    else:
        f.truncate(max(size - rng.randrange(300000), 3 << 20 if size > 3 << 20 else 0))


def main():
    top, seed, count, most = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    rng = random.Random(seed)
    files = [open('%s/f%d' % (top, i), 'w+b', buffering=0) for i in range(3)]
    for f in files:
        f.write(rng.randbytes((3 << 20) + rng.randrange(1 << 20)))
    for _ in range(count):
        f = rng.choice(files)
        change(rng, f, most)
        if rng.random() < 0.35:
            os.fsync(f.fileno())
    for f in files:
        f.close()


main()
