#!/usr/bin/env bats
# The golden repositories: what the mount shows and what extract writes is what their manifest says.

load lib

# shown NAME: each archive that may be read, in the mount and extracted, against manifest.jsonl.
shown() {
	local archive archives
	golden "$1"
	mapfile -t archives < <(archives_of "$1")
	mount_it --consider-checkpoints "$GOLDEN_REPO"
	[[ $(shown_at | sort) == "$(printf '%s\n' "${archives[@]}" | sort)" ]]
	for archive in "${archives[@]}"; do
		"$PYTHON" "$E2E/golden.py" "$1" "$archive" "$MNT/$archive"
		mkdir -p "$T/out/$archive"
		(cd "$T/out/$archive" && "$ALCOVE" extract --numeric-ids "$GOLDEN_REPO::$archive")
		"$PYTHON" "$E2E/golden.py" "$1" "$archive" "$T/out/$archive" extracted
	done
	umount_it
}

archives_of() {
	"$PYTHON" -c 'import json, sys
for line in open(sys.argv[1]):
    line = json.loads(line)
    if line["kind"] == "repo" and line["name"] == sys.argv[2]:
        print("\n".join(line["archives"]))' "$TOP/tests/golden/manifest.jsonl" "$1"
}

@test "comp-none" { shown comp-none; }
@test "comp-lz4" { shown comp-lz4; }
@test "comp-zlib_6" { shown comp-zlib_6; }
@test "comp-zstd_3" { shown comp-zstd_3; }
@test "comp-zstd_19" { shown comp-zstd_19; }
@test "comp-lzma_6" { shown comp-lzma_6; }
@test "comp-auto_lzma_6" { shown comp-auto_lzma_6; }
@test "comp-auto_zstd_3" { shown comp-auto_zstd_3; }
@test "comp-obfuscate_1_lz4" { shown comp-obfuscate_1_lz4; }
@test "comp-obfuscate_110_zstd_3" { shown comp-obfuscate_110_zstd_3; }
@test "enc-none" { shown enc-none; }
@test "enc-authenticated" { shown enc-authenticated; }
@test "enc-authenticated-blake2" { shown enc-authenticated-blake2; }
@test "enc-repokey" { shown enc-repokey; }
@test "enc-repokey-blake2" { shown enc-repokey-blake2; }
@test "enc-keyfile" { shown enc-keyfile; }
@test "enc-keyfile-blake2" { shown enc-keyfile-blake2; }
@test "misc-by-1.4.5" { shown misc-by-1.4.5; }
@test "misc-segments" { shown misc-segments; }
@test "misc-compacted" { shown misc-compacted; }
@test "misc-fixed" { shown misc-fixed; }

@test "misc-appendonly: no archives" {
	golden misc-appendonly
	mount_it "$GOLDEN_REPO"
	[[ -z $(shown_at) ]]
}

@test "misc-checkpoint: uncommitted segments are not read, part files and checkpoints are hidden" {
	golden misc-checkpoint
	mount_it "$GOLDEN_REPO"
	[[ $(shown_at) == parts ]]
	[[ $(ls "$MNT/parts") == stdin ]]
	[[ $(sha256sum <"$MNT/parts/stdin") == "$(cd "$T" && b12 extract --stdout "$GOLDEN_REPO::parts" | sha256sum)" ]]
	umount_it
	mount_it --consider-checkpoints "$GOLDEN_REPO"
	[[ $(shown_at | tr '\n' ' ') == 'killed.checkpoint parts ' ]]
}

@test "misc-repaired: zeros are not passed off as content" {
	golden misc-repaired
	mount_it "$GOLDEN_REPO"
	run ! cat "$MNT/d1/multi.bin"
	cat "$MNT/d1/hello.txt"
	umount_it
	mount_it -o allow_damaged_files "$GOLDEN_REPO"
	mkdir out
	run --separate-stderr env -C out "$B12" extract "$GOLDEN_REPO::d1"
	[[ $status == 1 ]]
	cmp out/multi.bin "$MNT/d1/multi.bin"
	mkdir ours
	run env -C ours "$ALCOVE" extract "$GOLDEN_REPO::d1"
	[[ $status == 1 && $output == *'damaged (all-zero) chunks'* ]]
	cmp out/multi.bin ours/multi.bin
}

@test "misc-stale-archive-tam: the archive is refused, the mount is not" {
	golden misc-stale-archive-tam
	mount_it "$GOLDEN_REPO"
	[[ $(shown_at) == renamed ]]
	run ! ls "$MNT/renamed"
	umount_it
	expect 2 'Data integrity error' "$ALCOVE" list "$GOLDEN_REPO::renamed"
}
