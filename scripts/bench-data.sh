#!/usr/bin/env bash
# bench-data.sh: builds, once, what `make bench` measures: repositories written by stock borg (repokey, lz4) in $BENCH_DIR
# (default /var/tmp/alcove-bench): `main` with archives `kernel` and `image`, `million` with archive `million`.
# Smaller runs: BENCH_FILES (1000000), BENCH_IMAGE_MB (2048), BENCH_TREE (default: Debian's linux-source-6.1, unpacked).
set -euo pipefail
dir=${BENCH_DIR:-/var/tmp/alcove-bench}
files=${BENCH_FILES:-1000000}
image_mb=${BENCH_IMAGE_MB:-2048}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
export BORG_BASE_DIR=$dir/base BORG_PASSPHRASE=bench
export BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes BORG_RELOCATED_REPO_ACCESS_IS_OK=yes
borg=${BORG:-borg}
wanted="$files $image_mb ${BENCH_TREE:-linux-source-6.1}"

if [[ -f $dir/ready && $(<"$dir/ready") == "$wanted" ]]; then
	exit 0
fi
rm -rf "$dir/ready" "$dir/main" "$dir/million" "$dir/base"
mkdir -p "$dir/source/image"

tree=${BENCH_TREE:-$dir/source/kernel}
if [[ -z ${BENCH_TREE:-} && ! -f $dir/source/kernel.done ]]; then
	tarball=/usr/src/linux-source-6.1.tar.xz
	[[ -f $tarball ]] || { echo "bench-data: $tarball is missing: apt-get install linux-source-6.1" >&2; exit 1; }
	echo "# unpacking $tarball"
	mkdir -p "$tree"
	tar -xJf "$tarball" -C "$tree" --strip-components=1
	touch "$dir/source/kernel.done"
fi

# The image: quarters of zeros, of random bytes, and two of text whose words repeat without whole chunks repeating.
# Seeded, so that every machine measures the same bytes.
image=$dir/source/image/disk.img
if [[ ! -f $image || $(stat -c %s "$image") -ne $((image_mb * 1048576)) ]]; then
	echo "# writing the image, $image_mb MiB"
	python3 - "$image" "$image_mb" <<'PY'
import random, sys
path, mb = sys.argv[1], int(sys.argv[2])
rng = random.Random(6)
words = [bytes(rng.choices(b'abcdefghijklmnopqrstuvwxyz', k=rng.randint(2, 11))) for _ in range(4000)]
sentences = [b' '.join(rng.choices(words, k=12)) + b'.\n' for _ in range(20000)]
def text(size):
    out = bytearray()
    while len(out) < size:
        out += b'%08x ' % rng.getrandbits(32) + b''.join(rng.choices(sentences, k=64))
    return bytes(out[:size])
with open(path, 'wb') as f:
    for n in range(mb):
        quarter = n * 4 // mb
        if quarter == 0:
            f.write(bytes(1 << 20))
        elif quarter == 2:
            f.write(rng.randbytes(1 << 20))
        else:
            f.write(text(1 << 20))
PY
fi

echo '# creating the repositories'
"$borg" init -e repokey "$dir/main"
"$borg" init -e repokey "$dir/million"
(cd "$tree" && "$borg" create -C lz4 "$dir/main::kernel" .)
(cd "$dir/source/image" && "$borg" create -C lz4 "$dir/main::image" .)
echo "# writing $files small files"
many=$dir/source/million
rm -rf "$many"
python3 - "$many" "$files" <<'PY'
import os, sys
top, count = sys.argv[1], int(sys.argv[2])
for n in range(count):
    folder = '%s/%03d' % (top, n // 1000)
    if n % 1000 == 0:
        os.makedirs(folder)
    fd = os.open('%s/file-%07d' % (folder, n), os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, b'%08d' % n)
    os.close(fd)
PY
(cd "$many" && "$borg" create -C lz4 "$dir/million::million" .)
rm -rf "$many"
echo "$wanted" >"$dir/ready"
