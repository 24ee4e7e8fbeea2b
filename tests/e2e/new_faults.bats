#!/usr/bin/env bats
# Faults under the staging directory of a mount: faults.py ends the program that serves it at every change that it makes on the
# disk, with and without the loss of what was not synced, or lets the call fail; and kills it at any moment of a copy.

load lib

run_faults() {
	b14 --version >/dev/null
	"$PYTHON" "$E2E/faults.py" --bin "$(dirname "$(realpath "$ALCOVE")")" --borg14 "$B14" "$@" | sed "s/^/# /" >&3
	return "${PIPESTATUS[0]}"
}

@test "two checkpoints and a publishing: at each change on the disk a kill, a power cut or an error" {
	if [[ -n ${ALCOVE_SOAK:-} ]]; then
		run_faults --each staging
	else
		run_faults staging
	fi
}

@test "kill -9 at any moment of a copy: it goes on from the last checkpoint, and is published" {
	run_faults --every 0 --times "$(soak 10 200)" staging-copies
}
