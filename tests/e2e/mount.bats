#!/usr/bin/env bats
# What stock borg wrote, the mount shows without a difference: every encryption, compression and writer.

load lib

agrees() { # BORG MODE [create options]
	local borg=$1 mode=$2
	shift 2
	rich_tree "$T/src"
	make_repo "$borg" "$mode"
	(cd "$T/src" && "$borg" create "$@" "$T/repo::a" .)
	mount_it "$T/repo"
	same_tree "$T/src" "$MNT/a"
	umount_it
	# The second mount opens the tree that the first one kept.
	mount_it "$T/repo::a"
	same_tree "$T/src" "$MNT"
	umount_it
}

@test "borg 1.2, none" { agrees b12 none; }
@test "borg 1.2, authenticated" { agrees b12 authenticated; }
@test "borg 1.2, authenticated-blake2" { agrees b12 authenticated-blake2; }
@test "borg 1.2, repokey" { agrees b12 repokey; }
@test "borg 1.2, repokey-blake2" { agrees b12 repokey-blake2; }
@test "borg 1.2, keyfile" { agrees b12 keyfile; }
@test "borg 1.2, keyfile-blake2" { agrees b12 keyfile-blake2; }
@test "borg 1.4, none" { agrees b14 none; }
@test "borg 1.4, authenticated" { agrees b14 authenticated; }
@test "borg 1.4, authenticated-blake2" { agrees b14 authenticated-blake2; }
@test "borg 1.4, repokey" { agrees b14 repokey; }
@test "borg 1.4, repokey-blake2" { agrees b14 repokey-blake2; }
@test "borg 1.4, keyfile" { agrees b14 keyfile; }
@test "borg 1.4, keyfile-blake2" { agrees b14 keyfile-blake2; }

@test "borg 1.2, compression none" { agrees b12 none -C none; }
@test "borg 1.2, compression zstd,1" { agrees b12 repokey -C zstd,1; }
@test "borg 1.2, compression zlib,1" { agrees b12 repokey -C zlib,1; }
@test "borg 1.2, compression lzma,0" { agrees b12 repokey -C lzma,0; }
@test "borg 1.2, compression auto,zstd,9" { agrees b12 repokey-blake2 -C auto,zstd,9; }
@test "borg 1.2, compression obfuscate,110,lz4" { agrees b12 repokey -C obfuscate,110,lz4; }
@test "borg 1.4, compression obfuscate,3,zstd" { agrees b14 repokey -C obfuscate,3,zstd; }
@test "borg 1.2, fixed chunks, sparse" { agrees b12 repokey --chunker-params fixed,65536 --sparse; }
@test "borg 1.2, small chunks" { agrees b12 repokey --chunker-params buzhash,10,13,11,1023; }

@test "a directory's links are 2 and its folders, blocks are set, links to files share an inode" {
	mkdir -p "$T/src/one/two" "$T/src/three"
	head -c 10000 /dev/urandom >"$T/src/file"
	ln "$T/src/file" "$T/src/one/again"
	make_repo b12 none
	(cd "$T/src" && b12 create "$T/repo::a" .)
	mount_it "$T/repo"
	ls "$MNT/a" >/dev/null # entered: its folder has its own attributes from here on
	[[ $(stat -c %h "$MNT/a" "$MNT/a/one" "$MNT/a/three" | tr '\n' ' ') == '4 3 2 ' ]]
	[[ $(stat -c %b "$MNT/a/file") -ge 20 ]]
	[[ $(stat -c %i "$MNT/a/file") == "$(stat -c %i "$MNT/a/one/again")" ]]
	[[ $(stat -c %h "$MNT/a/file") == 2 ]]
	[[ $(stat -c %i "$MNT/a/file") != "$(stat -c %i "$MNT/a/one")" ]]
}

@test "parents that no item names are made up" {
	mkdir -p "$T/src/deep/er"
	echo hi >"$T/src/deep/er/file"
	make_repo b12 none
	(cd "$T/src" && b12 create "$T/repo::a" deep/er/file)
	mount_it "$T/repo"
	[[ $(cat "$MNT/a/deep/er/file") == hi ]]
	[[ $(stat -c '%F %a' "$MNT/a/deep/er") == 'directory 755' ]]
}

@test "archives are read-only, with -o ro all of it is, and the mount says who it is" {
	make_repo b12 none
	mkdir src
	echo x >src/f
	(cd src && b12 create "$T/repo::a" .)
	mount_it "$T/repo"
	run ! touch "$MNT/a/new-file"
	run ! rm "$MNT/a/f"
	run ! mkdir "$MNT/a/d"
	rmdir "$MNT/a" && return 1
	awk -v m="$MNT" '$5 == m' /proc/self/mountinfo >"$T/line"
	grep -q 'fuse.alcove' "$T/line"
	grep -qE '[ ,]rw[ ,]' "$T/line"
	umount_it
	mount_it -o ro "$T/repo"
	run ! mkdir "$MNT/new"
	awk -v m="$MNT" '$5 == m' /proc/self/mountinfo >"$T/line"
	grep -qE '[ ,]ro[ ,]' "$T/line"
}

@test "an empty repository is a directory with nothing but new/" {
	make_repo b12 repokey
	mount_it "$T/repo"
	[[ -z $(shown_at) ]]
}

@test "statfs has real figures" {
	make_repo b12 none
	mount_it "$T/repo"
	[[ $(stat -f -c %b "$MNT") -gt 0 ]]
	[[ $(stat -f -c %l "$MNT") -ge 255 ]]
}

@test "random reads of a big file are right, from several readers at once" {
	rich_tree "$T/src"
	make_repo b12 repokey
	(cd "$T/src" && b12 create --chunker-params buzhash,10,23,16,4095 "$T/repo::a" big text)
	mount_it "$T/repo"
	local seed=${ALCOVE_TEST_SEED:-$RANDOM} pids=() i
	echo "# ALCOVE_TEST_SEED=$seed"
	for i in 1 2 3 4; do
		"$PYTHON" - "$T/src/big" "$MNT/a/big" "$((seed + i))" "$(soak 300 10000)" <<'PY' &
import os, random, sys
a, b = (os.open(p, os.O_RDONLY) for p in sys.argv[1:3])
rng = random.Random(int(sys.argv[3])); size = os.fstat(a).st_size
assert os.fstat(b).st_size == size
for _ in range(int(sys.argv[4])):
    at, n = rng.randrange(size + 10), rng.choice((1, 100, 4096, 70000, 1 << 20))
    assert os.pread(a, n, at) == os.pread(b, n, at), (at, n)
PY
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i"; done
}
