#!/usr/bin/env bats
# Faults under the real program: at every call by which it changes something on the disk it is killed, with and without
# the loss of what was not synced, or the call fails.  faults.py says how; soak takes every one, and every kind at each.

load lib

run_faults() {
	"$PYTHON" "$E2E/faults.py" --bin "$(dirname "$(realpath "$ALCOVE")")" "$@"
}

faults() { # SCENARIO, with every K-th call unless in soak
	local options=(--every "$K")
	if [[ -n ${ALCOVE_SOAK:-} ]]; then
		b14 --version >/dev/null
		options=(--each --borg14 "$B14")
	fi
	run_faults "${options[@]}" "$1"
}

@test "a repository's commits hold, and are seen by borg" {
	K=5 faults repository
}

@test "a repository's commits hold, and are seen by us" {
	K=5 faults repository-first
}

# What follows also counts AES-CTR counters, and lets our program go on with the caches that it has.

@test "create" {
	K=35 faults create
}

@test "create, with caches of the last time" {
	K=35 faults create-known
}

@test "delete" {
	K=35 faults delete
}

@test "prune" {
	K=35 faults prune
}

@test "compact" {
	K=30 faults compact
}

@test "rename" {
	K=35 faults rename
}

@test "check --repair" {
	K=40 faults repair
}

@test "kill -9 at any moment" {
	for scenario in create create-known delete prune compact; do
		run_faults --times "$(soak 1 200)" "$scenario"
	done
}

@test "no counter is used twice, by both programs in turn, under kill -9" {
	run_faults --times "$(soak 10 200)" turns
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
