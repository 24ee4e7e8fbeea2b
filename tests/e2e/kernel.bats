#!/usr/bin/env bats
# The mount beside the kernel: connections that break, readers that die, caches that fail, every way to ask for a file.

load lib

kernel() { # COMMAND...: see kernel.py
	"$PYTHON" "$E2E/kernel.py" "$@"
}

# A repository with archive a: $T/src, small unless a test has put more there.
archive_of_src() { # [MODE [create options]]
	local mode=${1:-none}
	shift || true
	mkdir -p "$T/src/dir/sub"
	"$PYTHON" -c 'import random
open("src/big", "wb").write(random.Random(4).randbytes(3000001))'
	echo hello >"$T/src/hello"
	echo deep >"$T/src/dir/sub/deep"
	make_repo b12 "$mode"
	(cd "$T/src" && b12 create "$@" "$T/repo::a" .)
}

daemon() { # [MOUNT POINT]: its process
	pgrep -f -- "alcove mount .*${1:-$MNT}\$"
}

connection() { # [MOUNT POINT]: its number at the kernel's
	awk -v m="${1:-$MNT}" '$5 == m { sub(/^[0-9]+:/, "", $3); print $3 }' /proc/self/mountinfo
}

gone() { # PROCESS
	[[ ! -e /proc/$1 ]] || [[ $(sed 's/.*) \(.\).*/\1/' "/proc/$1/stat") == Z ]]
}

# All that archive_of_src put there.
right() { # [FOLDER]
	cmp "$T/src/big" "${1:-$MNT/a}/big" && cmp "$T/src/hello" "${1:-$MNT/a}/hello" &&
		cmp "$T/src/dir/sub/deep" "${1:-$MNT/a}/dir/sub/deep" && [[ $(ls "${1:-$MNT/a}" | tr '\n' ' ') == 'big dir hello ' ]]
}

# Content or an error, but never other bytes.
right_or_error() { # SOURCE SHOWN
	local status=0
	timeout 20 cat "$2" >shown 2>errors || status=$?
	if ((status == 0)); then
		cmp "$1" shown
	else
		[[ $status -eq 1 && $(<errors) == *'Input/output error'* ]] || fail "status $status: $(<errors)"
	fi
}

as_nobody() {
	setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

@test "an aborted connection, a killed daemon: fusermount3 -u, and mounted again, caches intact" {
	local pid n
	archive_of_src repokey
	mount_it "$T/repo"
	right
	pid=$(daemon) n=$(connection)
	mkdir control
	mount -t fusectl none control
	echo 1 >"control/$n/abort"
	run ! stat -f "$MNT"
	within 5 gone "$pid"
	not mounted || fusermount3 -u "$MNT"
	not mounted
	mount_it "$T/repo"
	right
	pid=$(daemon)
	kill -KILL "$pid"
	within 5 gone "$pid"
	run ! stat -f "$MNT"
	expect 2 'a mount whose program has ended is still there' "$ALCOVE" mount "$T/repo" "$MNT"
	fusermount3 -u "$MNT"
	not mounted
	# What the others left in the cache is used, and nothing half-written is beside it.
	[[ -z $(find "$T/base" -name '*.tmp*') ]]
	find "$T/base/.cache/alcove" -name 'tree.*' -printf '%i %s\n' >before
	[[ $(wc -l <before) == 1 ]]
	mount_it "$T/repo"
	right
	find "$T/base/.cache/alcove" -name 'tree.*' -printf '%i %s\n' | cmp before
}

@test "a reader killed while its archive is read: others are served, the archive opens" {
	archive_of_src
	"$PYTHON" "$E2E/forge.py" long "$T/repo" long "$(soak 500 5000)" 2>/dev/null
	mount_it "$T/repo"
	# Several ask the same folder, in different ways.
	for command in ls ls 'getfattr -d' 'stat' ; do
		[[ $command == stat ]] && path=$MNT/long/file-00007 || path=$MNT/long
		$command "$path" >>"list-1" 2>/dev/null &
		PIDS+=($!)
	done
	sleep 0.3
	kill -KILL "${PIDS[@]}"
	for pid in "${PIDS[@]}"; do
		within 2 gone "$pid"
	done
	PIDS=()
	ls "$MNT/long" >list-3 &
	PIDS+=($!)
	right # while it is still being read
	[[ ! -s list-3 ]] || fail 'it is read too fast for this test'
	wait "${PIDS[0]}"
	PIDS=()
	[[ ! -s list-1 && $(wc -l <list-3) == 10000 ]]
	[[ $(ls "$MNT/long" | wc -l) == 10000 ]]
}

@test "umount -l with an open file: readable until it is closed, then the daemon ends" {
	local pid
	archive_of_src
	mount_it -o cache_size=1M "$T/repo"
	pid=$(daemon)
	exec 7<"$MNT/a/big"
	head -c 100000 <&7 >begin
	umount -l "$MNT"
	not mounted
	mkdir -p other
	"$ALCOVE" mount "$T/repo" "$T/other" 7<&- # nothing is in the way of another
	not gone "$pid"
	cat <&7 >rest
	cat begin rest | cmp - src/big
	[[ -e /proc/$pid ]]
	exec 7<&-
	within 5 gone "$pid"
	right other/a
}

# Mounts, or refuses with one sentence; what is mounted is right.
mounts_or_says() {
	local status=0
	"$ALCOVE" mount "$T/repo" "$MNT" 2>said || status=$?
	if ((status == 0)); then
		right
		right # with what was kept of the first look
		umount_it
	else
		[[ $status -eq 2 && $(wc -l <said) -eq 1 ]] || fail "exit status $status: $(<said)"
		not mounted
	fi
}

full() { # FOLDER: not another byte
	dd if=/dev/zero of="$1/ballast" bs=4096 2>/dev/null || true
	while echo x >"$1/more.$RANDOM$RANDOM"; do :; done 2>/dev/null
	true
}

@test "the cache folder: no folder, read-only, without room; at the start" {
	local mode
	for mode in none repokey; do
		rm -rf repo
		archive_of_src "$mode"
		echo 'not a folder' >cache
		ALCOVE_CACHE_DIR=$T/cache mounts_or_says
		rm cache
		mkdir cache
		mount -t tmpfs -o ro tmpfs cache
		ALCOVE_CACHE_DIR=$T/cache mounts_or_says
		umount cache
		mount -t tmpfs -o size=16k tmpfs cache
		full cache
		ALCOVE_CACHE_DIR=$T/cache mounts_or_says
		umount cache
		# Room for the folders, not for what goes there.
		mount -t tmpfs -o size=1m tmpfs cache
		ALCOVE_CACHE_DIR=$T/cache "$ALCOVE" list "$T/repo" >/dev/null
		full cache
		ALCOVE_CACHE_DIR=$T/cache mounts_or_says
		rm repo/index.*
		ALCOVE_CACHE_DIR=$T/cache mounts_or_says # an index of our own would be kept there
		umount cache
		rmdir cache
	done
}

@test "the cache folder: full, gone, emptied while mounted" {
	archive_of_src repokey
	mkdir cache
	for what in full unmounted removed; do
		mount -t tmpfs -o size=1m tmpfs cache
		ALCOVE_CACHE_DIR=$T/cache mount_it "$T/repo"
		case $what in
		full) full cache ;;
		unmounted) umount -l cache ;;
		removed) rm -rf cache/* ;;
		esac
		right
		(cd src && b12 create "$T/repo::later-$what" hello)
		within 5 cmp src/hello "$MNT/later-$what/hello"
		right
		umount_it
		[[ $what == unmounted ]] || umount cache
		rm -rf cache/*
	done
}

@test "cache files exchanged, cut, overwritten while mounted: right all the same" {
	local how cache=$T/base/.cache/alcove
	archive_of_src repokey
	(cd src && b12 create "$T/repo::b" hello)
	"$PYTHON" -c '
import os
os.mkdir("many")
for n in range(5000): open("many/file-%05d-with-a-name-that-needs-its-place" % n, "w").close()'
	b12 create "$T/repo::many" many
	mount_it "$T/repo"
	ls "$MNT/a" "$MNT/b" "$MNT/many" >/dev/null
	umount_it
	[[ $(find "$cache" -name 'tree.*' | wc -l) == 3 ]]
	for how in exchange cut empty noise; do
		mount_it "$T/repo"
		stat "$MNT/a" "$MNT/b" "$MNT/many" >/dev/null # open, hardly read
		mapfile -t trees < <(find "$cache" -name 'tree.*')
		for f in "${trees[@]}"; do
			case $how in
			exchange) cp "$f" "$f.was" ;;
			cut) truncate -s 100 "$f" ;;
			empty) : >"$f" ;;
			noise) dd if=/dev/urandom of="$f" bs=4096 count=1000 conv=notrunc status=none ;;
			esac
		done
		if [[ $how == exchange ]]; then
			for n in "${!trees[@]}"; do
				cat "${trees[(n + 1) % 3]}.was" >"${trees[n]}" # in place: the same file, another's bytes
			done
			rm "$cache"/*/*.was
		fi
		right
		cmp src/hello "$MNT/b/hello"
		[[ $(ls "$MNT/many/many" | wc -l) == 5000 ]]
		stat "$MNT"/many/many/file-* >/dev/null
		umount_it
		mount_it "$T/repo" # and with what is there now
		right
		[[ $(ls "$MNT/many/many" | wc -l) == 5000 ]]
		umount_it
	done
}

@test "an index cut while it is in use, the repository's and our own: right bytes, or EIO, and no crash" {
	local pid index
	archive_of_src none --chunker-params fixed,4096 # many chunks: the table has many pages
	index=$(ls -d "$T"/repo/index.*)
	cp "$index" good
	for size in 0 17 4096 20000; do
		mount_it -o cache_size=1M "$T/repo"
		pid=$(daemon)
		ls "$MNT/a" >/dev/null
		truncate -s "$size" "$index"
		right_or_error src/big "$MNT/a/big"
		right_or_error src/hello "$MNT/a/hello"
		not gone "$pid"
		sleep 1.2 # it has looked at the repository again
		right
		umount_it
		cp good "$index"
	done
	rm "$index" # now one of our own
	mount_it -o cache_size=1M "$T/repo"
	pid=$(daemon)
	ls "$MNT/a" >/dev/null
	index=$(find "$T/base/.cache" -name 'index.*' ! -name '*.sum')
	[[ -f $index ]]
	truncate -s 100 "$index"
	right_or_error src/big "$MNT/a/big"
	not gone "$pid"
	umount_it
	mount_it "$T/repo"
	right
}

@test "files by handle, after the kernel has forgotten them" {
	rich_tree "$T/src"
	make_repo b12 none
	(cd "$T/src" && b12 create "$T/repo::a" .)
	mount_it "$T/repo"
	ls "$MNT/a" >/dev/null
	kernel handles "$MNT"
	umount_it
	mount_it "$T/repo::a"
	kernel handles "$MNT"
}

# lsattr -R without what is the file system's own (extents) and not an archive's.
flags_of() {
	(cd "$1" && lsattr -aR . 2>/dev/null | sed 's/^\([^ ]*\) /\1\t/' | awk -F '\t' -v OFS='\t' '
		NF > 1 { gsub(/[^aid-]/, "-", $1) } { print }' | grep -v '^$' | sort)
}

@test "getfacl -R, lsattr -R, getfattr -dm-: as the source's" {
	rich_tree "$T/src"
	make_repo b12 none
	(cd "$T/src" && b12 create "$T/repo::a" .)
	mount_it "$T/repo"
	ls "$MNT/a" >/dev/null
	diff <(cd src && getfacl -RpP . | sort) <(cd "$MNT/a" && getfacl -RpP . | sort)
	diff <(cd src && getfacl -nRpP . | sort) <(cd "$MNT/a" && getfacl -nRpP . | sort)
	diff <(cd src && getfattr -dRPhm- . | sort) <(cd "$MNT/a" && getfattr -dRPhm- . | sort)
	diff <(flags_of src) <(flags_of "$MNT/a")
	flags_of "$MNT/a" | grep -q '^----i.*suid'
}

@test "mmap, O_DIRECT, SEEK_HOLE, SEEK_DATA, reading past the end" {
	rich_tree "$T/src"
	make_repo b12 none
	(cd "$T/src" && b12 create --sparse "$T/repo::a" big sparse text hello)
	mount_it "$T/repo"
	for f in big sparse text hello; do
		kernel content "src/$f" "$MNT/a/$f"
	done
}

@test "a folder with 100,000 names: listed while it is looked at, positions hold" {
	local count
	count=$(soak 30000 100000)
	mkdir -p src/many
	(cd src/many && seq -f 'entry-%06g' "$count" | xargs touch)
	make_repo b12 none
	(cd src && b12 create "$T/repo::a" .)
	mount_it "$T/repo"
	(cd "$MNT/a/many" && find . -type f -printf '%s\n' | sort | uniq -c) >stats &
	PIDS+=($!)
	ls -f "$MNT/a/many" | sort >shown
	wait "${PIDS[0]}"
	PIDS=()
	diff <(ls -f src/many | sort) shown
	[[ $(<stats) =~ ^\ *$count\ 0$ ]]
	kernel folder "$MNT/a/many" "$count"
}

@test "other users: refused without allow_other; with it, as modes and ACLs say" {
	archive_of_src
	mkdir -m 700 src/private
	echo secret >src/private/file
	install -m 600 src/hello src/mine
	install -m 640 src/hello src/granted
	setfacl -m u:65534:r src/granted
	install -m 444 -o 65534 src/hello src/theirs
	install -m 400 -o 65534 src/hello src/only-theirs
	(cd src && b12 create "$T/repo::b" .)
	mount_it "$T/repo"
	ls "$MNT/b" >/dev/null
	for path in "$MNT" "$MNT/b" "$MNT/b/hello"; do
		run as_nobody stat "$path"
		[[ $status -ne 0 && $output == *'Permission denied'* ]] || fail "$path: $output"
	done
	umount_it
	mount_it -o allow_other "$T/repo"
	[[ $(as_nobody cat "$MNT/b/hello" "$MNT/b/granted" "$MNT/b/theirs" "$MNT/b/only-theirs" | sort -u) == hello ]]
	for path in "$MNT/b/mine" "$MNT/b/private/file"; do
		run as_nobody cat "$path"
		[[ $status -ne 0 && $output == *'Permission denied'* ]] || fail "$path: $output"
	done
	run as_nobody ls "$MNT/b/private"
	[[ $status -ne 0 && $output == *'Permission denied'* ]]
	umount_it
	mount_it -o allow_other,ignore_permissions "$T/repo"
	[[ $(as_nobody cat "$MNT/b/private/file") == secret ]]
}

@test "a working folder in an archive that borg deletes: errors, no hanging, and umount works" {
	local pid
	archive_of_src none
	(cd src && b12 create "$T/repo::other" hello)
	mount_it -o cache_size=1M "$T/repo"
	pid=$(daemon)
	(
		cd "$MNT/a/dir/sub"
		b12 delete "$T/repo::a"
		b12 compact --threshold 0 "$T/repo"
		within 5 not test -e "$MNT/a"
		[[ $(shown_at) == other ]]
		for command in 'ls .' 'cat deep' 'cat ../../big' 'ls ..' 'stat deep' 'cat never' 'ls ../../..'; do
			status=0
			timeout 10 $command >"$T/out" 2>"$T/err" || status=$?
			((status <= 2)) || fail "$command: $status"
			[[ $status -eq 0 || $(<"$T/err") =~ (No such file|Stale|Input/output) ]] || fail "$command: $(<"$T/err")"
		done
		status=0
		cat ../../big >"$T/shown" 2>/dev/null || status=$?
		((status)) || cmp "$T/shown" "$T/src/big"
	) </dev/null
	not gone "$pid"
	cmp src/hello "$MNT/other/hello"
	umount_it
	within 5 gone "$pid"
}

@test "two mounts at once: the same inodes, and the same again later" {
	rich_tree "$T/src"
	make_repo b12 repokey
	(cd "$T/src" && b12 create "$T/repo::a" . && b12 create "$T/repo::b" dir)
	mkdir other
	mount_it "$T/repo"
	"$ALCOVE" mount "$T/repo" "$T/other"
	numbers() { (cd "$1" && find . -mindepth 1 -printf '%i %n %s %p\0' | sort -z | tr '\0' '\n'); }
	ls "$MNT"/* other/* >/dev/null
	numbers "$MNT" >first
	numbers other | cmp first
	umount_it "$T/other"
	umount_it
	(cd "$T/src" && b12 create "$T/repo::c" hello)
	mount_it "$T/repo"
	ls "$MNT"/* >/dev/null
	numbers "$MNT" | grep -av ' \./c' | cmp first
	# No two archives share one.
	[[ $(stat -c %i "$MNT"/*/dir "$MNT"/c/hello | sort -u | wc -l) == 3 ]]
}

@test "a file of 5 GiB, names of 255 bytes" {
	local name
	mkdir src
	truncate -s 5G src/huge
	echo -n 'in the middle' | dd of=src/huge bs=1 seek=4500000000 conv=notrunc status=none
	name=$(printf 'n%.0s' {1..255})
	mkdir -p "src/$name/$name"
	echo deep >"src/$name/$name/$name"
	printf 'é%.0s' {1..127} | xargs -I{} touch src/{}
	ln -s "$name" src/link
	make_repo b12 none
	(cd src && b12 create --sparse --chunker-params fixed,4194304 "$T/repo::a" .)
	mount_it "$T/repo"
	kernel sparse "$MNT/a/huge" $((5 << 30)) 4500000000 'in the middle'
	[[ $(tail -c 1000 "$MNT/a/huge" | tr -d '\0' | wc -c) == 0 ]]
	[[ $(cat "$MNT/a/$name/$name/$name") == deep ]]
	[[ $(cat "$MNT/a/link/$name/$name") == deep ]]
	diff <(cd src && find . | sort) <(cd "$MNT/a" && find . | sort)
	run ! stat "$MNT/a/${name}x"
	[[ $output == *'File name too long'* ]]
}

@test "nothing is written: EROFS for every call that would" {
	rich_tree "$T/src"
	make_repo b12 none
	(cd "$T/src" && b12 create "$T/repo::a" .)
	mount_it -o ro "$T/repo"
	kernel readonly "$MNT/a/hello" "$MNT/a/emptydir"
	kernel readonly "$MNT/a/hello" "$MNT/a"
	same_tree "$T/src" "$MNT/a"
	umount_it
	mount_it "$T/repo"
	kernel readonly "$MNT/a/hello" "$MNT/a/emptydir" folder
	kernel readonly "$MNT/a/hello" "$MNT/a" archive
	same_tree "$T/src" "$MNT/a"
}

is_in() { # PROCESS FOLDER
	[[ $(readlink "/proc/$1/cwd") == "$2" ]]
}

@test "Ctrl-C in the foreground, also with somebody in there, leaves no mount" {
	archive_of_src
	mkfifo go
	for somebody in '' 1; do
		kernel terminal "$ALCOVE" mount -f "$T/repo" "$MNT" <go &
		PIDS=($!)
		exec 8>go
		within 10 mounted
		right
		[[ -z $somebody ]] || {
			(cd "$MNT/a/dir" && exec 8>&- && exec sleep 100) &
			PIDS+=($!)
			within 5 is_in "$!" "$MNT/a/dir"
		}
		exec 8>&-
		wait "${PIDS[0]}" || fail "exit status $?"
		not mounted
		[[ -z $somebody ]] || kill "${PIDS[1]}"
	done
	PIDS=()
	[[ -z $(shown_at) ]]
	mount_it "$T/repo"
	right
}

@test "an end while an archive is read does not wait for it" {
	local pid start=$SECONDS
	archive_of_src
	"$PYTHON" "$E2E/forge.py" long "$T/repo" long 20000 2>/dev/null
	mkfifo go
	kernel terminal "$ALCOVE" mount -f "$T/repo" "$MNT" <go &
	PIDS=($!)
	exec 8>go
	within 10 mounted
	ls "$MNT/long" 8>&- >/dev/null 2>&1 &
	PIDS+=($!)
	sleep 0.5
	exec 8>&-
	within 5 gone "${PIDS[0]}"
	wait "${PIDS[0]}"
	not mounted
	within 5 gone "${PIDS[1]}"
	for options in -v '-o versions'; do
		mount_it $options "$T/repo"
		pid=$(daemon)
		ls "$MNT/long" >/dev/null 2>&1 &
		PIDS=($!)
		sleep 0.5
		kill -KILL "${PIDS[0]}"
		within 5 gone "${PIDS[0]}"
		timeout 5 "$ALCOVE" umount "$MNT"
		within 5 gone "$pid"
	done
	PIDS=()
}

@test "mount points of every name: blanks, commas, dashes, links, with a slash, the working folder" {
	archive_of_src
	mkdir 'sp ace' 'a,b' -- '-d' $'new\nline' back\\slash real cwd
	ln -s real link
	for point in 'sp ace' a,b -d $'new\nline' back\\slash link real/; do
		"$ALCOVE" mount -- repo "$point"
		right "./$point/a"
		"$ALCOVE" umount -- "$point"
		[[ -z $(ls -A "./$point/") ]]
	done
	cd cwd
	"$ALCOVE" mount ../repo .
	right "$T/cwd/a"
	cd ..
	"$ALCOVE" umount cwd
	not grep -q "$T" /proc/self/mountinfo
}

@test "where it cannot be mounted: said before anything is mounted, also through symbolic links" {
	archive_of_src
	mkdir repo/inner around
	ln -s repo/inner link
	ln -s nowhere dangling
	cp -a repo around/repo
	ln -s around to-around
	for arguments in "repo $T/nowhere" "repo $T/dangling" "repo $T/src/hello" "repo $T/link" "repo repo" "repo link" \
		"around/repo around" "around/repo to-around" "-o nonsense repo $MNT" "-o ro,uid=x repo $MNT" "-o umask=9 repo $MNT"; do
		expect 2 . "$ALCOVE" mount $arguments
	done
	not grep -q "$T" /proc/self/mounts
}
