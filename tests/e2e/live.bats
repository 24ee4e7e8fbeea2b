#!/usr/bin/env bats
# A mount takes no lock: borg goes on writing, the mount stays right.

load lib

setup() {
	sandbox
	rich_tree "$T/src"
	make_repo b12 repokey
	(cd "$T/src" && b12 create --chunker-params buzhash,10,16,13,1023 "$T/repo::keep" .)
}

@test "archives appear and vanish within 5 s, by whoever" {
	mount_it "$T/repo"
	[[ $(shown_at) == keep ]]
	not test -e "$MNT/later"
	(cd "$T/src" && b12 create "$T/repo::later" hello)
	within 5 test -f "$MNT/later/hello"
	[[ $(shown_at | tr '\n' ' ') == 'keep later ' ]]
	b14 rename "$T/repo::later" other
	within 5 test -d "$MNT/other"
	within 5 not test -e "$MNT/later"
	b12 delete "$T/repo::other"
	within 5 not test -e "$MNT/other"
	[[ $(shown_at) == keep ]]
	same_tree "$T/src" "$MNT/keep"
}

# A reader that never stops: all names and all contents of the archive that stays.
reader() { # DIRECTORY: writes a line to $T/reader for each thing that was wrong
	local want got
	want=$(cd "$T/src" && find . | sort | sha256sum && find . -type f -print0 | sort -z | xargs -0 cat | sha256sum)
	while [[ ! -e $T/stop ]]; do
		got=$(cd "$1" && find . | sort | sha256sum && find . -type f -print0 | sort -z | xargs -0 cat | sha256sum) ||
			echo "failed: $got" >>"$T/reader"
		[[ $got == "$want" ]] || echo "different: $got" >>"$T/reader"
		find "$MNT" -maxdepth 2 >/dev/null 2>&1 || : # archives may vanish under it
		echo >>"$T/rounds"
	done
}

@test "borg create, prune, compact under constant find and cat, and never waits" {
	local n
	mount_it "$T/repo"
	: >"$T/reader"
	reader "$MNT/keep" &
	PIDS+=($!)
	for ((n = 1; n <= $(soak 4 100); n++)); do
		head -c 300000 /dev/urandom >"$T/src2-$n"
		(cd "$T" && b12 create --lock-wait 0 "$T/repo::cycle-$n" "src2-$n" src/text)
		b12 prune --lock-wait 0 --keep-last 1 -P cycle "$T/repo"
		b12 compact --lock-wait 0 --threshold 1 "$T/repo"
	done
	within 5 test -d "$MNT/cycle-$((n - 1))"
	cmp "$T/src2-$((n - 1))" "$MNT/cycle-$((n - 1))/src2-$((n - 1))"
	touch "$T/stop"
	wait "${PIDS[0]}"
	PIDS=()
	[[ ! -s $T/reader ]] || fail "$(<"$T/reader")"
	[[ $(wc -l <"$T/rounds") -ge 2 ]]
	same_tree "$T/src" "$MNT/keep"
	b12 check --verify-data "$T/repo"
}

@test "borg compact stopped between its intermediate commits" {
	local n
	for n in 1 2 3; do
		head -c 3000000 /dev/urandom >"$T/src2-$n"
		(cd "$T" && b12 create "$T/repo::gone-$n" "src2-$n")
	done
	b12 delete "$T/repo" -a 'gone-[12]'
	mount_it "$T/repo"
	ls "$MNT/keep" >/dev/null
	mkdir "$T/second"
	"$PYTHON" "$E2E/borg_stops.py" compact --threshold 0 "$T/repo" >"$T/compact.log" 2>&1 &
	PIDS=($!)
	for ((n = 0; n < 40; n++)); do
		within 20 stopped_or_gone "${PIDS[0]}"
		[[ -e /proc/${PIDS[0]} ]] && [[ $(state "${PIDS[0]}") == T ]] || break
		# What is mounted, and what is mounted just now.
		same_tree "$T/src" "$MNT/keep"
		if ((n % 4 == 0)); then
			"$ALCOVE" mount "$T/repo" "$T/second"
			same_tree "$T/src" "$T/second/keep"
			cmp "$T/src2-3" "$T/second/gone-3/src2-3"
			umount_it "$T/second"
		fi
		kill -CONT "${PIDS[0]}"
		sleep 0.02
	done
	((n >= 2)) || fail "compact stopped only $n times: $(<"$T/compact.log")"
	wait "${PIDS[0]}"
	PIDS=()
	same_tree "$T/src" "$MNT/keep"
	cmp "$T/src2-3" "$MNT/gone-3/src2-3"
}

state() {
	sed 's/.*) \(.\).*/\1/' "/proc/$1/stat" 2>/dev/null
}
stopped_or_gone() {
	[[ ! -e /proc/$1 || $(state "$1") == [TZ] ]]
}

@test "segments after the last COMMIT are not read" {
	mount_it "$T/repo"
	cp -a "$T/repo" "$T/copy"
	mkdir elsewhere # another machine's trust: on this one the copy would be the newer repository
	(cd "$T/src" && BORG_BASE_DIR=$T/elsewhere b12 create "$T/copy::more" hello)
	# Everything that the create wrote, but for the segment that holds its COMMIT.
	mapfile -t new < <(comm -13 <(ls "$T/repo/data/0" | sort) <(ls "$T/copy/data/0" | sort) | sort -n)
	((${#new[@]} >= 2))
	for f in "${new[@]::${#new[@]}-1}"; do
		cp "$T/copy/data/0/$f" "$T/repo/data/0/"
	done
	sleep 3
	[[ $(shown_at) == keep ]]
	[[ $("$ALCOVE" list --short "$T/repo") == keep ]]
	same_tree "$T/src" "$MNT/keep"
}

@test "a repository on a read-only file system" {
	mkdir ro
	mount --bind "$T/repo" ro
	mount -o remount,ro,bind ro
	mount_it "$T/ro"
	same_tree "$T/src" "$MNT/keep"
}

@test "while borg holds the exclusive lock, the mount starts at once" {
	b12 with-lock "$T/repo" sleep 30 &
	PIDS+=($!)
	within 10 test -e "$T/repo/lock.exclusive"
	mount_it "$T/repo"
	same_tree "$T/src" "$MNT/keep"
	"$ALCOVE" --lock-wait 0 list "$T/repo"
}
