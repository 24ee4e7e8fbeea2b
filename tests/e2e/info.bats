#!/usr/bin/env bats
# info's numbers are those of stock borg, whoever wrote, deleted and compacted before, and whatever became of the cache
# they are kept in; and they are kept: an archive is read once.

load lib

setup() {
	sandbox
	mkdir src
	head -c 3000000 /dev/urandom >src/big
	head -c 70000 /dev/urandom >src/one
	cp src/one src/same
	ln src/one src/hard
	ln -s one src/symlink
	: >src/empty
	export CHUNKER=--chunker-params=10,23,16,4095
}

numbers() { # the cache's and each archive's, of JSON
	"$PYTHON" -c 'import json, sys
info = json.load(sys.stdin)
print(sorted(info["cache"]["stats"].items()))
for a in info.get("archives", []):
    print(a["name"], sorted(a["stats"].items()), a["limits"])'
}

# Totals, and every archive's own, checkpoints included.
agrees() { # [REPOSITORY]
	local repo=${1:-$T/repo}
	"$ALCOVE" info --json "$repo" | numbers >ours
	b12 info --json "$repo" 2>/dev/null | numbers >theirs
	[[ -s ours ]] && diff theirs ours || fail "totals differ" || return 1
	"$ALCOVE" info --json -a '*' "$repo" | numbers >ours
	b12 info --json -a '*' "$repo" 2>/dev/null | numbers >theirs
	[[ -s ours ]] && diff theirs ours || fail "archives differ"
}

index() { # the files of the chunk index
	find "${ALCOVE_CACHE_DIR:-$T/home}" "$T/base" -name 'chunks.mdb*' -o -name 'chunks.use'
}

# Nothing of the items can be read from now on; put_back ends that.
hide_items() { # NAME...
	local name
	HIDDEN=()
	for name; do
		locate "$T/repo" items "$name" 0
		flip "$FILE" $((OFFSET + SIZE - 1))
		HIDDEN+=("$FILE" $((OFFSET + SIZE - 1)))
	done
}

put_back() {
	local i
	for ((i = 0; i < ${#HIDDEN[@]}; i += 2)); do
		flip "${HIDDEN[i]}" "${HIDDEN[i + 1]}"
	done
}

@test "an empty repository, and archives of both" {
	make_repo b12 repokey-blake2
	agrees
	b12 create "$CHUNKER" "$T/repo::theirs" src
	agrees
	"$ALCOVE" create "$CHUNKER" "$T/repo::ours" src
	agrees
	head -c 500000 /dev/urandom >>src/big
	"$ALCOVE" create "$CHUNKER" "$T/repo::more" src
	b14 create "$CHUNKER" "$T/repo::later" src/one src/big 2>/dev/null
	agrees
}

@test "deleted, renamed and compacted by both" {
	local i
	make_repo b12 repokey
	for i in 1 2 3 4 5 6; do
		head -c 200000 /dev/urandom >"src/new$i"
		b12 create "$CHUNKER" "$T/repo::a$i" src
	done
	agrees
	b12 delete "$T/repo::a1"
	agrees
	"$ALCOVE" delete "$T/repo::a3"
	agrees
	b12 delete "$T/repo::a6" && b12 compact "$T/repo"
	agrees
	"$ALCOVE" rename "$T/repo::a4" b4
	agrees
	b14 rename "$T/repo::a5" b5 2>/dev/null # what 1.2.4 renames, 1.4 does not believe
	agrees
	"$ALCOVE" delete "$T/repo::b4" "$T/repo::b5" && "$ALCOVE" compact "$T/repo"
	agrees
	b12 delete "$T/repo::a2"
	agrees
}

@test "checkpoints and part files" {
	make_repo b12 repokey
	"$ALCOVE" create --content-from-command --checkpoint-interval 1 "$T/repo::parts" -- sh -c \
		'head -c 4000000 /dev/urandom; sleep 2; head -c 4000000 /dev/urandom; sleep 2; head -c 1000 /dev/zero'
	b12 list --short --consider-part-files "$T/repo::parts" | grep -q borg_part_1
	agrees
	(head -c 6000000 /dev/urandom; sleep 2; head -c 6000000 /dev/urandom; sleep 20) |
		"$B12" create --checkpoint-interval 1 "$T/repo::broken" - &
	within 15 checkpoint_is_there
	kill -TERM $!
	wait $! || :
	b12 list --short --consider-checkpoints "$T/repo" | grep -q broken.checkpoint
	agrees
}

checkpoint_is_there() {
	"$ALCOVE" list --short --consider-checkpoints "$T/repo" | grep -q broken.checkpoint
}

@test "an archive is read once, and what others delete is not read at all" {
	make_repo b12 repokey
	b12 create "$CHUNKER" "$T/repo::a" src
	head -c 200000 /dev/urandom >src/more
	b12 create "$CHUNKER" "$T/repo::b" src
	"$ALCOVE" info --json "$T/repo" | numbers >first
	hide_items a b
	"$ALCOVE" info --json "$T/repo" | numbers >second
	diff first second
	"$ALCOVE" info --json "$T/repo::a" >/dev/null
	put_back
	b12 delete "$T/repo::a"
	head -c 100000 /dev/urandom >src/less
	b12 create "$CHUNKER" "$T/repo::c" src
	hide_items b
	"$ALCOVE" info --json "$T/repo" | numbers >ours
	put_back
	b12 info --json "$T/repo" | numbers >theirs
	diff theirs ours
	# what an own archive holds was known when it was made, and --stats reads nothing either
	"$ALCOVE" create "$CHUNKER" "$T/repo::d" src
	hide_items b c d
	"$ALCOVE" info --json "$T/repo" >/dev/null
	"$ALCOVE" delete --stats "$T/repo::d" 2>stats
	grep -q 'All archives:' stats
	put_back
	agrees
}

@test "an archive that cannot be read is named" {
	make_repo b12 repokey
	b12 create "$CHUNKER" "$T/repo::good" src
	b12 create "$CHUNKER" "$T/repo::bad" src/one
	hide_items bad
	expect 2 'archive bad: ' "$ALCOVE" info "$T/repo"
	put_back
	agrees
}

@test "the cache deleted, damaged, of another machine, unwritable" {
	local file
	make_repo b12 repokey
	b12 create "$CHUNKER" "$T/repo::a" src
	agrees
	[[ -n $(index) ]]
	index | xargs rm
	agrees
	file=$(index | grep 'mdb$')
	flip "$file" 8300
	flip "$file" 12500
	agrees
	# elsewhere it is as it was before what happens here
	cp -a "$T/home" "$T/home2"
	"$ALCOVE" create "$CHUNKER" "$T/repo::b" src/one
	b12 delete "$T/repo::a"
	HOME=$T/home2 agrees
	agrees
	mkdir "$T/there"
	mount -t tmpfs -o size=4k,nr_inodes=2 none "$T/there"
	ALCOVE_CACHE_DIR=$T/there agrees
	umount "$T/there"
	mount -t tmpfs -o ro none "$T/there"
	ALCOVE_CACHE_DIR=$T/there agrees
	umount "$T/there"
	: >"$T/there/file"
	ALCOVE_CACHE_DIR=$T/there/file agrees
	within 60 nothing_left # others may be at work there
}

nothing_left() {
	[[ -z $(find /var/tmp -maxdepth 1 -name 'alcove.??????' -newer "$T/there/file") ]]
}

@test "while others delete and add" {
	local i pid
	make_repo b12 repokey
	for i in 1 2 3 4 5 6 7 8; do
		head -c 60000 /dev/urandom >"src/new$i"
		"$ALCOVE" create "$CHUNKER" "$T/repo::a$i" src
	done
	(while [[ ! -e stop ]]; do "$ALCOVE" info --json "$T/repo" >/dev/null 2>&1 || :; done) &
	pid=$!
	PIDS+=("$pid")
	for i in 1 2 3 4 5 6; do
		"$ALCOVE" delete --stats "$T/repo::a$i" 2>stats
		grep -q 'All archives:' stats
		"$ALCOVE" create "$CHUNKER" "$T/repo::b$i" src
		index | grep 'mdb$' | xargs -r rm -f
	done
	: >stop
	wait "$pid"
	agrees
	b12 check "$T/repo"
}
