#!/usr/bin/env bats
# Faults under the real program: at every call by which it changes something on the disk it is killed, with and without
# the loss of what was not synced, or the call fails.  faults.py says how; soak takes every one, and every kind at each.

load lib

faults() { # [OPTION...] SCENARIO, with every K-th call unless in soak
	local options=(--every "$K")
	[[ -z ${ALCOVE_SOAK:-} ]] || options=(--each)
	"$PYTHON" "$E2E/faults.py" --bin "$(dirname "$(realpath "$ALCOVE")")" "${options[@]}" "$@"
}

@test "a repository's commits hold, and are seen by borg" {
	K=5 faults repository
}

@test "a repository's commits hold, and are seen by us" {
	K=5 faults repository-first
}

# What follows also counts AES-CTR counters, and lets our program go on with the caches that it has.

@test "create" {
	K=30 faults create
}

@test "create, with caches of the last time" {
	K=25 faults create-known
}

@test "compact" {
	K=20 faults compact
}

@test "rename" {
	K=20 faults rename
}
