#!/usr/bin/env bats
# A flipped bit anywhere: never a wrong byte, never a crash, and no more lost than what it hit (design decision 16).

load lib

setup() {
	sandbox
	mkdir src
	"$PYTHON" - <<'PY'
import random
rng = random.Random(3)
open('src/big', 'wb').write(rng.randbytes(400000))
open('src/other', 'wb').write(b'all is well\n')
for n in range(3000):
    open('src/file-with-a-longer-name-%05d' % n, 'w').write('%d\n' % n)
PY
	make_repo b12 "${MODE:-repokey}"
	(cd src && b12 create -C none --chunker-params fixed,65536 "$T/repo::a" .)
	(cd src && b12 create "$T/repo::b" other)
	mapfile -t LAST < <(ls "$T/repo" | grep -oE '^index\.[0-9]+')
	INDEX=$T/repo/${LAST[-1]} HINTS=$T/repo/hints.${LAST[-1]#index.}
}

# The third chunk of big is bad: EIO there, the rest right, the mount goes on.
chunk_is_lost() {
	run ! dd if="$MNT/a/big" of=/dev/null bs=65536 skip=2 count=1
	[[ $output == *'Input/output error'* ]]
	cmp -n 131072 src/big "$MNT/a/big"
	cmp -i 196608 src/big "$MNT/a/big"
	cmp src/other "$MNT/a/other"
	cmp src/file-with-a-longer-name-02999 "$MNT/a/file-with-a-longer-name-02999"
}

@test "file chunk, checksum wrong" {
	locate "$T/repo" file a big 2
	flip "$FILE" $((OFFSET + 1000))
	mount_it "$T/repo"
	chunk_is_lost
	umount_it
	mount_it -o allow_damaged_files "$T/repo"
	cmp <(head -c 131072 src/big; head -c 65536 /dev/zero; tail -c +196609 src/big) "$MNT/a/big"
}

@test "file chunk, checksum made right again" {
	locate "$T/repo" file a big 2
	flip "$FILE" $((OFFSET + 1000))
	"$PYTHON" "$E2E/forge.py" crc "$FILE" "$OFFSET"
	mount_it "$T/repo"
	chunk_is_lost
}

@test "file chunk, entry header" {
	locate "$T/repo" file a big 2
	flip "$FILE" $((OFFSET + 4))
	mount_it "$T/repo"
	chunk_is_lost
}

@test "file chunk, damaged while mounted and read before" {
	mount_it -o cache_size=1M "$T/repo"
	cmp src/big "$MNT/a/big"
	locate "$T/repo" file a big 2
	flip "$FILE" $((OFFSET + 1000))
	cmp src/other "$MNT/a/other"
	[[ -n $(ls "$MNT/a") ]]
	# Either still from the kernel's cache, and right, or an error.
	cmp src/big "$MNT/a/big" || run ! cat "$MNT/a/big"
}

@test "extract of a damaged chunk: an error, the other files whole" {
	locate "$T/repo" file a big 2
	flip "$FILE" $((OFFSET + 1000))
	mkdir out
	run env -C out "$ALCOVE" extract "$T/repo::a"
	[[ $status -eq 2 || $status -eq 1 ]]
	[[ $output != *Sanitizer* ]]
	[[ ! -e out/other ]] || cmp src/other out/other
}

@test "item stream: the items that can be read are shown, and the root says so" {
	locate "$T/repo" items a 1
	flip "$FILE" $((OFFSET + 1000))
	mount_it "$T/repo"
	found=$(ls "$MNT/a" | wc -l)
	((found > 500 && found < 3002))
	for f in "$MNT"/a/file-*; do
		cmp -s "$f" "src/${f##*/}" || fail "wrong: $f"
	done
	getfattr -n user.alcove.damaged "$MNT/a"
	cmp src/other "$MNT/b/other"
	run ! getfattr -n user.alcove.damaged "$MNT/b"
}

@test "archive object: that archive's EIO" {
	locate "$T/repo" archive a
	flip "$FILE" $((OFFSET + 100))
	mount_it "$T/repo"
	[[ $(shown_at | tr '\n' ' ') == 'a b ' ]]
	run ! ls "$MNT/a"
	[[ $output == *'Input/output error'* ]]
	cmp src/other "$MNT/b/other"
	umount_it
	expect 2 'archive a: ' "$ALCOVE" mount "$T/repo::a" "$MNT"
	not mounted
	expect 2 'archive a: ' "$ALCOVE" mount -f "$T/repo::a" "$MNT"
	mount_it "$T/repo::b"
	cmp src/other "$MNT/other"
}

@test "manifest: a running mount keeps the last good one, a new one refuses" {
	mount_it "$T/repo"
	locate "$T/repo" manifest
	flip "$FILE" $((OFFSET + 60))
	sleep 3
	[[ $(shown_at | tr '\n' ' ') == 'a b ' ]]
	cmp src/other "$MNT/b/other"
	mkdir second
	EXPECT_LINES=2 expect 2 '.' "$ALCOVE" mount "$T/repo" second
	not mounted "$T/second"
}

@test "COMMIT: what borg sees, or a refusal" {
	locate "$T/repo" commit
	flip "$FILE" $((OFFSET + 8))
	cp -a "$T/repo" copy
	run --separate-stderr b12 list --short copy
	theirs=$output theirs_status=$status
	run --separate-stderr "$ALCOVE" list --short "$T/repo"
	[[ $stderr != *Sanitizer* ]]
	if ((status == 0 && theirs_status == 0)); then
		[[ $output == "$theirs" ]]
	else
		[[ $status == "$theirs_status" ]]
	fi
}

@test "index: everything is still there" {
	local at size
	size=$(stat -c %s "$INDEX")
	for at in 0 10 20 1000 $((size / 2)) $((size - 100)); do
		cp "$INDEX" index.good
		flip "$INDEX" "$at"
		cp "$INDEX" index.bad
		mount_it "$T/repo"
		cmp src/big "$MNT/a/big"
		cmp src/other "$MNT/b/other"
		[[ $(ls "$MNT/a" | wc -l) == 3002 ]]
		umount_it
		cmp "$INDEX" index.bad # never repaired in place
		cp index.good "$INDEX"
	done
}

@test "index cut short, empty, missing" {
	cp "$INDEX" index.good
	for size in 0 5 18 100 5000; do
		head -c "$size" index.good >"$INDEX"
		[[ $("$ALCOVE" list --short "$T/repo::b") == other ]]
	done
	rm "$INDEX"
	mount_it "$T/repo"
	cmp src/big "$MNT/a/big"
	[[ ! -e $INDEX ]]
}

@test "hints and integrity: of no concern to a reader" {
	flip "$HINTS" 20
	flip "${HINTS/hints/integrity}" 20
	mount_it "$T/repo"
	cmp src/big "$MNT/a/big"
}

@test "each of our caches, at many places" {
	local cache file at copy
	mount_it "$T/repo"
	ls -R "$MNT" >/dev/null
	umount_it
	cache=$T/base/.cache/alcove
	[[ -d $cache ]]
	cp -a "$cache" cache.good
	while IFS= read -r file; do
		for at in 0 9 40 200 1000 $(($(stat -c %s "$file") / 2)) $(($(stat -c %s "$file") - 1)); do
			((at >= 0 && at < $(stat -c %s "$file"))) || continue
			flip "$file" "$at"
			mount_it "$T/repo"
			cmp src/other "$MNT/b/other"
			cmp src/big "$MNT/a/big"
			[[ $(ls "$MNT/a" | wc -l) == 3002 ]]
			cmp src/file-with-a-longer-name-02999 "$MNT/a/file-with-a-longer-name-02999"
			umount_it
			rm -rf "$cache"
			cp -a cache.good "$cache"
		done
		: >"$file" # emptied
		mount_it "$T/repo"
		[[ $(ls "$MNT/a" | wc -l) == 3002 ]]
		umount_it
		rm -rf "$cache"
		cp -a cache.good "$cache"
	done < <(find "$cache" -type f -size +0)
}

@test "a bit anywhere in the repository: never a wrong byte, never a crash" {
	local seed=${ALCOVE_TEST_SEED:-$RANDOM} n file at
	echo "# ALCOVE_TEST_SEED=$seed"
	RANDOM=$seed
	mapfile -t files < <(find "$T/repo" -type f -size +0 | sort)
	for ((n = 0; n < $(soak 12 500); n++)); do
		file=${files[RANDOM % ${#files[@]}]}
		at=$(((RANDOM * 32768 + RANDOM) % $(stat -c %s "$file")))
		flip "$file" "$at"
		echo "# $file at $at"
		rm -rf "$T/base/.cache"
		run "$ALCOVE" mount "$T/repo" "$MNT"
		[[ $output != *Sanitizer* && $status -le 2 ]]
		if ((status == 0)); then
			for f in "$MNT"/a/big "$MNT"/a/other "$MNT"/b/other; do
				timeout 20 cat "$f" >shown 2>/dev/null && { cmp shown "src/${f##*/}" || fail "wrong bytes in $f"; }
			done
			mounted
			umount_it
		fi
		flip "$file" "$at"
	done
}
