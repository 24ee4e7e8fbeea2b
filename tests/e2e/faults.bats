#!/usr/bin/env bats
# Faults under the real program: at every call by which it changes something on the disk it is killed, with and without
# the loss of what was not synced, or the call fails.  faults.py says how; soak takes every one, and every kind at each.

load lib

run_faults() {
	"$PYTHON" "$E2E/faults.py" --bin "$(dirname "$(realpath "$ALCOVE")")" "$@" | sed "s/^/# /" >&3
	return "${PIPESTATUS[0]}"
}

# faults K SCENARIO [N]: with every K-th call, unless in soak, and N kills -9 at any moment, a hundred times as many in soak.
faults() {
	local options=(--every "$1")
	if [[ -n ${ALCOVE_SOAK:-} ]]; then
		b14 --version >/dev/null
		options=(--each --borg14 "$B14")
	fi
	run_faults "${options[@]}" --times "$(soak "${3:-0}" $((100 * ${3:-0})))" "$2"
}

@test "a repository's commits hold, and are seen by borg" {
	faults 5 repository
}

@test "a repository's commits hold, and are seen by us" {
	faults 5 repository-first
}

# What follows also counts AES-CTR counters, and lets our program go on with the caches that it has.

@test "create" {
	faults 35 create 10
}

@test "create, with caches of the last time" {
	faults 35 create-known 10
}

@test "delete" {
	faults 35 delete 10
}

@test "prune" {
	faults 35 prune 10
}

@test "compact" {
	faults 30 compact 10
}

@test "check --repair" {
	faults 40 repair 10
}

@test "rename" {
	faults 35 rename
}

@test "init: a repository, or what says that it is none" {
	faults 30 init
	faults 30 init-keyfile
}

@test "key change-passphrase: the old one or the new one" {
	faults 12 passphrase
	faults 12 passphrase-keyfile
}

@test "key migrate-to-repokey: without a key, or with one" {
	faults 10 migrate
}

@test "config: the old value or the new one" {
	faults 10 config
}

@test "break-lock" {
	faults 4 break-lock
}

@test "no counter is used twice, by both programs in turn, under kill -9" {
	run_faults --times "$(soak 12 400)" turns
}

@test "a counter that is used twice is found" {
	local seen=("$PYTHON" "$TOP/tests/support/counters.py" repo seen)
	make_repo b12 repokey
	cp -a repo older
	head -c 5000 /dev/urandom >f
	b12 create repo::a f
	run "${seen[@]}"
	[[ $status == 0 && $output == *' counters' ]] || fail "$output" || return 1
	rm -rf repo base # the repository is put back from an older copy, to a machine that does not know it
	mv older repo
	mkdir base
	head -c 5000 /dev/urandom >f
	b12 create repo::b f
	run "${seen[@]}"
	[[ $status == 1 && $output == *'share counters'* ]] || fail "$output"
}
