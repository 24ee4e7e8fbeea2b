#!/usr/bin/env bats
# A repository made by an adversary who has the key: never a crash, never out of memory, never a wrong byte, nothing outside.

load lib

setup() {
	sandbox
	mkdir src
	echo good >src/good
	make_repo b12 repokey
	(cd src && b12 create "$T/repo::a" .)
}

hostile() {
	"$PYTHON" "$E2E/forge.py" hostile "$T/repo" "$1" 2>/dev/null
	mount_it "$T/repo"
	PID=$(pgrep -f "alcove mount $T/repo" | head -n 1)
	[[ $(<"$MNT/a/good") == good ]]
}

# The mount is alive, modest in memory, and has shown nothing but ours.
unharmed() {
	[[ $(<"$MNT/a/good") == good ]]
	[[ $ALCOVE == *san/* || $(awk '/VmHWM/ { print $2 }' "/proc/$PID/status") -lt 400000 ]]
	umount_it
}

@test "names with .., /, NUL, twice, too long" {
	hostile names
	find "$MNT/bad" >found
	not grep -q '\.\./' found
	[[ $(<"$MNT/bad/ok") == evil ]]
	mkdir -p out/in
	run env -C out/in "$ALCOVE" extract "$T/repo::bad"
	[[ $output != *Sanitizer* ]]
	[[ ! -e out/evil && ! -e evil && ! -e /abs/evil ]]
	unharmed
}

@test "hard links in cycles, to nothing, to a folder" {
	hostile cycles
	timeout 20 ls -laR "$MNT/bad"
	[[ $(<"$MNT/bad/ok") == fine ]]
	mkdir out
	run env -C out timeout 60 "$ALCOVE" extract "$T/repo::bad"
	[[ $status -le 2 && $output != *Sanitizer* ]]
	unharmed
}

@test "sizes that lie" {
	hostile sizes
	ls -la "$MNT/bad" || true
	[[ $(<"$MNT/bad/ok") == fine ]]
	for f in longer shorter chunk-longer chunk-shorter huge; do
		timeout 20 head -c 1000000 "$MNT/bad/$f" 2>/dev/null | tr -d 'twelve byts\0' >rest
		[[ ! -s rest ]] || fail "$f: bytes from nowhere"
	done
	mkdir out
	(ulimit -f 1000000 && cd out && timeout 60 "$ALCOVE" extract "$T/repo::bad" longer shorter chunk-longer chunk-shorter ok) || true
	[[ $(<out/ok) == fine ]]
	unharmed
}

@test "a negative size" {
	hostile negative
	[[ $(<"$MNT/bad/ok") == fine ]]
	mkdir out
	run env -C out "$ALCOVE" extract "$T/repo::bad"
	[[ $status -ne 0 && $output != *Sanitizer* ]]
	unharmed
}

@test "a chunk under the id of another" {
	hostile swapped
	run ! cat "$MNT/bad/a"
	[[ $(head -c 17 "$MNT/bad/b") == 'the contents of b' ]]
	[[ $(<"$MNT/bad/ok") == fine ]]
	run "$ALCOVE" extract --stdout "$T/repo::bad" a
	[[ $status -ne 0 && $output != *'contents of'* ]]
	unharmed
}

@test "a decompression bomb" {
	hostile bomb
	timeout 20 head -c 1000 "$MNT/bad/lying" >shown 2>/dev/null || true
	timeout 60 head -c 1000 "$MNT/bad/bomb" >shown 2>/dev/null || true
	[[ -z $(tr -d '\0' <shown) ]]
	[[ $(<"$MNT/bad/ok") == fine ]]
	unharmed
}

@test "counts of billions, nesting without end" {
	hostile counts
	timeout 20 ls "$MNT/bad" || true
	unharmed
}

@test "an archive object of the wrong shape" {
	hostile archive_object
	timeout 20 ls "$MNT/bad" || true
	run "$ALCOVE" info "$T/repo::bad"
	[[ $output != *Sanitizer* && $status -le 2 ]]
	run "$ALCOVE" list "$T/repo"
	[[ $output != *Sanitizer* && $status -le 2 ]]
	unharmed
}

@test "an index that lies: absurd sizes, every id at the same place" {
	index=$(ls "$T"/repo/index.*)
	cp "$index" good
	"$PYTHON" - "$index" <<'PY'
import struct, sys
data = bytearray(open(sys.argv[1], 'rb').read())
magic, entries, buckets, key, value = struct.unpack_from('<8siibb', data)
for at in range(18, len(data), key + value):
    if struct.unpack_from('<I', data, at + key)[0] < 0xfffffffe:
        struct.pack_into('<II', data, at + key, 0, 8)
open(sys.argv[1], 'wb').write(data)
PY
	rm "${index/index/integrity}"
	run "$ALCOVE" list "$T/repo"
	[[ $output != *Sanitizer* && $status -le 2 ]]
	cp good "$index"
	printf '\xff\xff\xff\x7f\xff\xff\xff\x7f' | dd of="$index" bs=1 seek=8 conv=notrunc 2>/dev/null
	[[ $("$ALCOVE" list --short "$T/repo") == a ]]
}

@test "config and key file full of nonsense" {
	cp repo/config good
	for n in 1 2 3 4 5 6 7 8; do
		"$PYTHON" -c 'import random, sys
data = bytearray(open("good", "rb").read()); rng = random.Random(int(sys.argv[1]))
for _ in range(5): data[rng.randrange(len(data))] = rng.randrange(256)
open("repo/config", "wb").write(data)' "$n"
		run timeout 20 "$ALCOVE" list "$T/repo"
		[[ $status -le 2 && $output != *Sanitizer* ]]
	done
	# A key blob that asks for a year of key derivation.
	for size in 0 1 100000; do
		head -c "$size" /dev/urandom | tr '\0' x >repo/config
		run timeout 20 "$ALCOVE" list "$T/repo"
		[[ $status -eq 2 && $output != *Sanitizer* ]]
	done
}
