#!/usr/bin/env bats
# `delete` beside stock borg on a copy of the same repository: the same archives are left, neither version of borg finds
# anything wrong, and `compact` gives back what borg's gives back.

load lib

setup() {
	sandbox
	export BORG_CHECK_I_KNOW_WHAT_I_AM_DOING=YES
	mkdir -p src base2
	head -c 300000 /dev/urandom >src/shared
	make_repo b12 repokey
	for name in a b c; do
		head -c 200000 /dev/urandom >"src/only-$name"
		(cd src && b12 create -C none --chunker-params fixed,65536 "$T/repo::$name" shared "only-$name")
	done
}

theirs() { # COMMAND...: borg on the copy, which has the same id and its own history
	BORG_BASE_DIR=$T/base2 "$@"
}

clean() { # REPOSITORY: not a word from either version
	local out
	out=$(b12 check --verify-data "$1" 2>&1) || fail "1.2: $out" || return 1
	[[ -z $out ]] || fail "1.2: $out" || return 1
	out=$(b14 check --verify-data "$1" 2>&1) || fail "1.4: $out" || return 1
	[[ -z $out ]] || fail "1.4: $out"
}

left() { # NAME...: exactly these
	[[ $(b12 list --short repo | xargs) == "$*" ]] || fail "left: $(b12 list --short repo | xargs), not $*"
}

unchanged() { # COMMAND...: nothing in the repository is another byte
	local before status=0
	before=$(cd repo && find . -type f -exec sha256sum {} + | sort)
	"$@" || status=$?
	[[ $(cd repo && find . -type f -exec sha256sum {} + | sort) == "$before" ]] || fail "changed by: $*" || return 99
	return "$status"
}

data_size() { # REPOSITORY
	du -sb "$1/data" | cut -f1
}

@test "by name and by filter: as borg, and no space is lost to compact" {
	local each
	for each in '::a' '::a b' ' a c' ' -a [bc]' ' --first 2' ' --last 1' ' -P a' '::a nope b'; do
		rm -rf ours copy base base2 # what is newer than a copy is known there
		cp -a repo ours
		cp -a repo copy
		# shellcheck disable=SC2086 # words
		"$ALCOVE" delete ours$each 2>/dev/null
		# shellcheck disable=SC2086
		theirs b12 delete copy$each 2>/dev/null
		diff <(theirs b12 list --short copy) <(b12 list --short ours) || fail "delete$each" || return 1
		"$ALCOVE" compact --threshold 0 ours
		theirs b12 compact --threshold 0 copy
		(($(data_size ours) <= $(data_size copy) + 4096)) ||
			fail "delete$each: $(data_size ours) bytes, borg's $(data_size copy)" || return 1
		clean ours
	done
}

@test "what is listed, and a dry run that changes nothing" {
	cp -a repo copy
	mine=$(unchanged "$ALCOVE" delete -n --list repo::a c nope 2>&1)
	[[ $mine == "$(theirs b12 delete -n --list copy::a c nope 2>&1)" ]] || fail "$mine" || return 1
	[[ $mine == *'Would delete archive: a '*'(1/3)'*'Archive nope not found (3/3).'* ]]
	mine=$("$ALCOVE" delete --list repo::a c 2>&1)
	[[ $mine == "$(theirs b12 delete --list copy::a c 2>&1)" ]] || fail "$mine" || return 1
	left b
}

@test "--stats" {
	cp -a repo copy
	mine=$("$ALCOVE" delete --stats repo::a 2>&1)
	[[ $mine == "$(theirs b12 delete --stats copy::a 2>&1)" ]] || fail "$mine"
}

@test "names and filters that cannot be" {
	expect 2 'Mixing archive filters and explicitly named archives' unchanged "$ALCOVE" delete -P a repo::b
	expect 0 'Archive nope not found \(1/1\)' unchanged "$ALCOVE" delete repo::nope
	expect 0 '' unchanged "$ALCOVE" delete -a 'nope*' repo
	expect 2 'does not exist' "$ALCOVE" delete nowhere::a
	left a b c
}

@test "an archive that cannot be read: what others need stays" {
	"$PYTHON" "$E2E/forge.py" spoil repo items a 0
	cp -a repo copy
	run "$ALCOVE" delete repo::a
	[[ $status == 2 && $output != *Sanitizer* ]] || fail "$status: $output" || return 1
	[[ $("$ALCOVE" list --short repo | xargs) == 'a b c' ]]
	run "$ALCOVE" delete --force repo::a
	[[ $status == 1 && $output == *'forced deletion succeeded, but the deleted archive was corrupted.'* ]] ||
		fail "$status: $output" || return 1
	b12 check --repair repo
	clean repo
	left b c
	mkdir out && cd out && b12 extract "$T/repo::b" && cmp shared ../src/shared && cmp only-b ../src/only-b
}

@test "--force --force: only the name goes" {
	expect 1 'not found \(1/1\)' env EXPECT_LINES=2 "$ALCOVE" delete --force --force -n repo::nope
	"$PYTHON" "$E2E/forge.py" lose repo archive a
	run "$ALCOVE" delete --force --force repo::a
	[[ $status == 0 && $output == 'Done. Run "borg check --repair" to clean up the mess.' ]] || fail "$output" || return 1
	b12 check --repair repo
	clean repo
	left b c
}

@test "two writers: who comes second is told, and nothing is lost" {
	expect 2 'Failed to create/acquire the lock' "$B12" with-lock repo \
		env BORG_PASSPHRASE=test "$ALCOVE" delete --lock-wait 0 repo::a
	left a b c
	"$ALCOVE" delete repo::a &
	(cd src && b12 create --lock-wait 20 "$T/repo::d" shared)
	wait $!
	left b c d
	clean repo
}

@test "a whole repository: asked before, and this machine keeps nothing" {
	id=$("$ALCOVE" config repo id)
	"$ALCOVE" list repo::a >/dev/null
	run unchanged "$ALCOVE" delete repo </dev/null
	[[ $status == 2 && -d repo ]] || fail "$status: $output" || return 1
	export BORG_DELETE_I_KNOW_WHAT_I_AM_DOING=NO
	run unchanged "$ALCOVE" delete repo
	[[ $status == 2 && -d repo ]]
	export BORG_DELETE_I_KNOW_WHAT_I_AM_DOING=YES
	unchanged "$ALCOVE" delete -n repo
	"$ALCOVE" delete --cache-only repo
	[[ -z $(find base -path "*cache*" -name "$id") ]]
	left a b c
	"$ALCOVE" delete --keep-security-info repo
	[[ ! -e repo && -n $(find base -path '*security*' -name "$id") ]]
	[[ -z $(find base -path '*cache*' -name "$id") ]]
}

@test "append-only: a repository is not destroyed" {
	export BORG_DELETE_I_KNOW_WHAT_I_AM_DOING=YES
	b12 config repo append_only 1
	run "$ALCOVE" delete repo
	[[ $status == 2 && -e repo/config ]] || fail "$status: $output" || return 1
	left a b c
	b12 config repo append_only 0
	"$ALCOVE" delete repo
	[[ ! -e repo && -z $(find base -path '*security*/*' -type f) ]]
}
