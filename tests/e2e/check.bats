#!/usr/bin/env bats
# `check` finds what stock borg finds, and what `check --repair` leaves is what borg's leaves of a copy. (What can happen
# to the log is in tests/core/test_repo_check.c.)

load lib

setup() {
	sandbox
	export BORG_CHECK_I_KNOW_WHAT_I_AM_DOING=YES
	mkdir -p src base2
	"$PYTHON" - <<'PY'
import random
rng = random.Random(3)
open('src/big', 'wb').write(rng.randbytes(400000))
open('src/other', 'wb').write(b'all is well\n')
open('src/zeros', 'wb').write(bytes(200000))
for n in range(2700):
    open('src/file-with-a-' + 30 * 'longer-' + 'name-%05d' % n, 'w').write('%d\n' % (n % 7))
PY
	make_repo b12 "${MODE:-repokey}"
	(cd src && b12 create -C none --chunker-params fixed,65536 "$T/repo::a" .)
	(cd src && b12 create "$T/repo::b" other zeros)
	(cd src && b12 create --chunker-params fixed,65536 "$T/repo::c" big)
}

forge() {
	"$PYTHON" "$E2E/forge.py" "$@"
}

theirs() { # COMMAND...: borg on its copy, which has the same id and its own history
	BORG_BASE_DIR=$T/base2 "$@"
}

contents() { # REPOSITORY: all that is in it
	local name
	for name in $(b12 list --short "$1"); do
		echo "$name"
		b12 list --format '{path} {size} {num_chunks} {health} {mode} {mtime} {user} {source} {xxh64}{NL}' "$1::$name"
	done
}

clean() { # REPOSITORY: for all three
	"$ALCOVE" check --verify-data "$1" || return 1
	b12 check --verify-data "$1" || return 1
	b14 check --verify-data "$1"
}

# found_and_repaired [OPTION...]: as borg finds and repairs a copy.  $STATUS where borg stops before it has found it.
found_and_repaired() {
	cp -a repo copy
	run theirs b12 check "$@" copy
	theirs_status=$status
	run "$ALCOVE" check "$@" repo
	[[ $status -eq ${STATUS:-$theirs_status} ]] || fail "exit status $status, borg's $theirs_status: $output" || return 1
	[[ $output != *Sanitizer* ]] || fail "$output" || return 1
	theirs b12 check --repair "$@" copy
	REPAIR=$("$ALCOVE" check -v --repair "$@" repo 2>&1) || fail "$REPAIR" || return 1
	clean repo
	theirs contents copy >copy.list
	contents repo | diff copy.list -
	[[ -s copy.list ]]
}

@test "nothing wrong: nothing said, nothing changed" {
	before=$(cd repo && find . -type f -exec sha256sum {} + | sort)
	run "$ALCOVE" check --verify-data repo
	[[ $status -eq 0 && -z $output ]]
	[[ $(cd repo && find . -type f -exec sha256sum {} + | sort) == "$before" ]]
}

@test "repaired without need: every version is content, and nothing is different" {
	found_and_repaired
	"$ALCOVE" check repo
}

@test "a chunk of a file is lost, and comes back" {
	forge lose repo file a big 2
	found_and_repaired
	[[ $REPAIR == *'a: big: New missing file chunk detected (Byte 131072-196608, Chunk '*'). Replacing with all-zero chunk.'* ]]
	(cd src && b12 create -C none --chunker-params fixed,65536 "$T/repo::d" big)
	run "$ALCOVE" check -v repo
	[[ $status -eq 0 && $output == *'would be healed'* ]]
	run "$ALCOVE" check -v --repair repo
	[[ $status -eq 0 && $output == *'Healed previously missing file chunk'* ]]
	[[ $output == *'a: big: Completely healed previously damaged file!'* ]]
	clean repo
	mkdir out && (cd out && b14 extract "$T/repo::a" big)
	cmp src/big out/big
}

@test "a chunk of zeros is lost: it is made again" {
	forge lose repo file b zeros 0
	"$ALCOVE" check --repair repo
	clean repo
	mkdir out && (cd out && b12 extract "$T/repo::b" zeros)
	cmp src/zeros out/zeros
}

@test "the replacement of a lost chunk is lost" {
	forge lose repo file a big 2
	"$ALCOVE" check --repair repo
	forge lose repo file a big 2
	found_and_repaired
	[[ $REPAIR == *'Missing all-zero replacement chunk detected'* ]]
}

@test "a chunk that is not authentic" {
	forge spoil repo file a big 2
	run "$ALCOVE" check repo
	[[ $status -eq 0 ]]
	found_and_repaired --verify-data
	[[ $REPAIR == *', integrity error: '* ]]
}

@test "pieces of the item stream are lost: the first, one in the middle, the last" {
	forge lose repo items a 0
	forge lose repo items a 2
	forge lose repo items a -1
	found_and_repaired
	[[ $REPAIR == *'item metadata chunk missing [chunk: 000000_'*'item metadata chunk missing [chunk: 000002_'* ]]
}

@test "a piece of the item stream is not authentic" {
	forge spoil repo items a 1
	STATUS=1 found_and_repaired --verify-data
}

@test "an archive's own object is lost" {
	forge lose repo archive a
	found_and_repaired
	[[ $(b12 list --short repo) == $'b\nc' ]]
}

@test "an archive's own object is not authentic" {
	forge spoil repo archive b
	STATUS=1 found_and_repaired --verify-data
}

@test "the manifest is lost" {
	forge lose repo manifest
	found_and_repaired
	[[ $REPAIR == *'Found archive a'* ]]
}

@test "the manifest is not authentic" {
	forge spoil repo manifest
	found_and_repaired
	[[ $REPAIR == *'Repository manifest is corrupted'* ]]
}

@test "the manifest is lost, and two archives have one name" {
	forge twin repo a
	run "$ALCOVE" check repo
	[[ $status -eq 1 ]]
	"$ALCOVE" check --repair repo
	clean repo
	[[ $(b12 list --short repo | sort) == $'a\na.1\nb\nc' ]]
}

@test "an object that nobody needs" {
	forge orphan repo
	found_and_repaired
	[[ $REPAIR == *'1 orphaned objects found!'* ]]
}

@test "a checksum is wrong in the log" {
	locate "$T/repo" file a big 2
	flip "$FILE" $((OFFSET + 1000))
	found_and_repaired
	[[ $REPAIR == *"attempting to recover $T/repo/data/0/"* ]]
}

@test "the end of the log is lost" {
	locate "$T/repo" commit
	rm "$FILE"
	found_and_repaired
}

@test "without encryption" {
	rm -rf repo base
	MODE=none setup
	forge lose repo file a big 2
	forge lose repo items a 1
	forge lose repo manifest
	found_and_repaired
}

@test "killed anywhere, and repaired again" {
	forge lose repo file a big 2
	locate "$T/repo" file a big 4
	forge lose repo items a 1
	flip "$FILE" $((OFFSET + 1000))
	cp -a repo damaged
	"$ALCOVE" check --repair repo
	contents repo >expected
	for ms in 010 020 040 080 120 160; do
		rm -rf repo base2
		cp -a damaged repo
		cp -a base base2
		BORG_BASE_DIR=$T/base2 "$ALCOVE" check --repair repo &
		sleep 0.$ms
		kill -KILL $! || true
		wait $! || true
		theirs "$ALCOVE" check --repair repo
		theirs "$ALCOVE" check --verify-data repo
		[[ -z $(find repo -name '*.tmp' ! -empty) ]] || fail "$(find repo)"
		theirs contents repo | diff expected -
	done
}

@test "archives that no honest borg writes" {
	for kind in names cycles sizes negative swapped bomb counts archive_object; do
		rm -rf hostile base2
		cp -a base base2
		cp -a repo hostile
		theirs forge hostile hostile $kind
		run theirs "$ALCOVE" check --verify-data hostile
		[[ $status -le 1 && $output != *Sanitizer* ]] || fail "$kind: $output"
		run theirs "$ALCOVE" check --repair --verify-data hostile
		[[ $status -eq 0 && $output != *Sanitizer* ]] || fail "$kind: $output"
		theirs "$ALCOVE" check --verify-data hostile
	done
}

@test "one archive, some archives" {
	forge lose repo file a big 2
	run "$ALCOVE" check -v repo::b
	[[ $status -eq 0 && $output == *'Orphaned objects check skipped'* ]]
	run "$ALCOVE" check -v --glob-archives 'b*' repo
	[[ $status -eq 0 && $output == *'Analyzing archive b (1/1)'* ]]
	run "$ALCOVE" check --last 1 repo
	[[ $status -eq 1 ]]
	EXPECT_LINES=2 expect 1 "Archive 'none' not found" "$ALCOVE" check --archives-only repo::none
}

@test "parts of a check" {
	b12 config repo max_segment_size 100000
	(cd src && b12 create -C zlib,1 "$T/repo::d" .)
	run "$ALCOVE" check -v --repository-only --max-duration 3600 repo
	[[ $status -eq 0 && $output == *'Finished partial repository check, no problems found.'* ]]
	b12 config repo last_segment_checked 2
	run "$ALCOVE" check -v --repository-only --max-duration 3600 repo
	[[ $status -eq 0 && $output == *'skipping to segments >= 3'* ]]
	not grep -q last_segment_checked repo/config
	b12 config repo last_segment_checked 2
	"$ALCOVE" check --repository-only repo
	not grep -q last_segment_checked repo/config
}

@test "what cannot be asked for" {
	expect 2 'repository-only contradicts' "$ALCOVE" check --repository-only --verify-data repo
	EXPECT_LINES=9 expect 2 'repair does not allow' "$ALCOVE" check --repair --repository-only --max-duration 3 repo
	expect 2 'is required for --max-duration' "$ALCOVE" check --max-duration 3 repo
}

@test "repair asks, and only YES goes on" {
	forge orphan repo
	unset BORG_CHECK_I_KNOW_WHAT_I_AM_DOING
	before=$(cd repo && find . -type f -exec sha256sum {} + | sort)
	for answer in yes no '' y; do
		run bash -c 'echo "$1" | "$2" check --repair repo' - "$answer" "$ALCOVE"
		[[ $status -eq 2 && $output == *'potentially dangerous'* ]]
	done
	[[ $(cd repo && find . -type f -exec sha256sum {} + | sort) == "$before" ]]
	echo YES | "$ALCOVE" check --repair repo
	clean repo
}

@test "an append-only repository is not repaired" {
	b12 config repo append_only 1
	EXPECT_LINES=9 expect 2 'is in append-only mode' "$ALCOVE" check --repair repo
	EXPECT_LINES=9 expect 2 'is in append-only mode' "$ALCOVE" check --repair --archives-only repo
	"$ALCOVE" check repo
}

@test "nothing left" {
	rm -rf repo/data/0/* repo/index.* repo/hints.* repo/integrity.*
	run "$ALCOVE" check repo
	[[ $status -eq 1 && $output == *'contains no valid data'* ]]
}

@test "while somebody else has the lock" {
	"$PYTHON" - <<'PY' &
import time
from borg.repository import Repository
with Repository('repo', exclusive=True):
    open('locked', 'w')
    time.sleep(3)
PY
	PIDS+=($!)
	within 3 test -e locked
	expect 2 'Failed to create/acquire the lock' "$ALCOVE" check repo
	"$ALCOVE" --bypass-lock check repo
}
