#!/usr/bin/env bats
# list, info and extract print what stock borg 1.2 prints, byte for byte, with its exit codes.

load lib


setup() {
	sandbox
	rich_tree "$T/src"
	make_repo b12 repokey
	b12 create --timestamp 2024-01-01T10:00:00 --comment 'a comment' "$T/repo::one" src
	(cd src && b12 create --timestamp 2024-02-01T10:00:00 "$T/repo::two" .)
	b12 create --timestamp 2024-03-01T10:00:00 "$T/repo::three" src/hello src/dir
	b12 info "$T/repo" >/dev/null # its cache is in step from here on
}

# same COMMAND...: standard output, messages and exit status of both.  (The order of keys in borg's JSON lines is random.)
same() {
	local theirs=0 ours=0
	"$B12" "$@" >theirs.out 2>theirs.err || theirs=$?
	"$ALCOVE" "$@" >ours.out 2>ours.err || ours=$?
	[[ $theirs == "$ours" ]] || fail "$*: exit status $ours, not $theirs: $(<ours.err)" || return 1
	[[ " $* " != *' --json'* || $theirs != 0 ]] || sort_keys theirs.out ours.out
	cmp theirs.out ours.out || fail "$*: $(diff -a theirs.out ours.out | head -n 20)" || return 1
	same_messages "$*"
}

same_messages() {
	diff <(sed 's/^borg: /alcove: /' theirs.err) <(sed 's/^borg: /alcove: /' ours.err) || fail "$1: messages differ"
}

sort_keys() { # FILE...
	"$PYTHON" - "$@" <<'PY'
import json, sys
for path in sys.argv[1:]:
    text = open(path).read()
    values = [json.loads(text)] if text.startswith('{\n') else [json.loads(line) for line in text.splitlines()]
    open(path, 'w').write('\n'.join(json.dumps(v, sort_keys=True) for v in values))
PY
}

@test "list a repository" {
	same list "$T/repo"
	same list --short "$T/repo"
	same list --json "$T/repo"
	same list --format '{archive:<10}|{time}|{id}|{NL}' "$T/repo"
	same list --format '{name}{TAB}{comment}{TAB}{hostname}{TAB}{username}{TAB}{command_line}{TAB}{end}{NL}' "$T/repo"
	same list --last 2 "$T/repo"
	same list --sort-by name "$T/repo"
	same list -a 't*' --short "$T/repo"
	same list --format '{time:%Y/%m/%d}{NUL}' "$T/repo"
}

@test "list an archive" {
	same list "$T/repo::one"
	same list --short "$T/repo::two"
	same list --json-lines "$T/repo::two"
	same list "$T/repo::two" dir hello
	same list "$T/repo::one" --exclude 'sh:src/dir/**'
	same list "$T/repo::one" --pattern '+src/hello' --pattern='-src/*'
	same list "$T/repo::one" 're:h.*o$'
	same list --short -- "$T/repo::one" src/hello
}

@test "list formats: every key" {
	same list --format '{type} {mode} {uid} {gid} {user} {group} {path} {bpath} {source} {linktarget} {flags}{NL}' "$T/repo::one"
	same list --format '{size} {csize} {num_chunks} {mtime} {isomtime} {health}{extra}{NL}' "$T/repo::one"
	same list --format '{path:>80}|{size:8d}|{{}}{NL}' "$T/repo::one"
	same list --format '{path} {md5} {sha1} {sha256} {sha512} {blake2b} {xxh64}{NL}' "$T/repo::one"
	same list --format '{archivename} {archiveid} {path}{NUL}' "$T/repo::three"
	same list --format '{mtime:%s} {ctime:%s} {isoctime}{NL}' "$T/repo::three"
	same list --format '{path} {dsize} {dcsize} {unique_chunks}{NL}' "$T/repo::three"
}

@test "list: wrong combinations" {
	same list --json "$T/repo::one"
	same list --json-lines "$T/repo"
	same list "$T/repo::nope"
	same list "$T/repo::one" never-there
}

@test "info" {
	same info "$T/repo"
	same info --json "$T/repo"
	same info "$T/repo::one"
	same info --json "$T/repo::one"
	same info --last 1 "$T/repo"
	same info -a 't*' "$T/repo"
}

extracts() { # ARGUMENTS...: both, in folders of their own
	local theirs=0 ours=0 f
	rm -rf theirs ours
	mkdir theirs ours
	(cd theirs && "$B12" extract "$@" >../theirs.out 2>../theirs.err) || theirs=$?
	(cd ours && "$ALCOVE" extract "$@" >../ours.out 2>../ours.err) || ours=$?
	[[ $theirs == "$ours" ]] || fail "exit status $ours, not $theirs: $(<ours.err)" || return 1
	cmp theirs.out ours.out || fail "output differs" || return 1
	same_messages "$*"
	# Folders that no item names have the time of their making.
	for f in theirs ours ${MADE_UP:-}; do
		touch -d @0 "$f"
	done
	same_tree theirs ours
	chattr -R -f -a -i theirs ours || true
}

@test "extract: everything" {
	extracts "$T/repo::one"
	extracts --list "$T/repo::two"
	extracts --numeric-ids "$T/repo::two"
	extracts --sparse "$T/repo::two"
}

@test "extract: what is asked for" {
	extracts "$T/repo::two" dir hello hard2
	extracts --strip-components 1 "$T/repo::one"
	extracts --exclude 'sh:**/big' --exclude 'sh:**/hard1' "$T/repo::two"
	MADE_UP='theirs/src ours/src theirs/src/dir ours/src/dir' extracts "$T/repo::one" src/dir/sub
	extracts --dry-run --list "$T/repo::one"
	extracts --noacls --noxattrs --noflags "$T/repo::two"
	extracts "$T/repo::one" never-there
}

@test "extract --stdout" {
	same extract --stdout "$T/repo::one" src/hello src/text
	same extract --stdout "$T/repo::two"
}

@test "extract --sparse leaves holes" {
	truncate -s 64M holes
	echo end >>holes
	b12 create "$T/repo::holes" holes
	mkdir out
	(cd out && "$ALCOVE" extract --sparse "$T/repo::holes")
	cmp holes out/holes
	[[ $(stat -c %b out/holes) -lt 40000 ]]
}

@test "extract what tar has written as ./name" {
	b12 import-tar "$T/repo::tar" - < <(tar -C src -cf - ./hello ./dir ./text ./hard1 ./hard2)
	same list "$T/repo::tar"
	MADE_UP='theirs/dir/sub ours/dir/sub' extracts --list "$T/repo::tar"
	extracts "$T/repo::tar" ./hello
	MADE_UP='theirs/sub ours/sub' extracts --strip-components 2 "$T/repo::tar"
	"$ALCOVE" mount "$T/repo::tar" "$MNT"
	cmp src/hello "$MNT/hello"
	cmp src/dir/inner "$MNT/dir/inner"
}

@test "extract over what is there" {
	mkdir -p out/hello/full out/dir theirs/hello/full theirs/dir
	echo old >out/text
	echo old >theirs/text
	run env -C theirs "$B12" extract "$T/repo::two"
	theirs=$status
	run env -C out "$ALCOVE" extract "$T/repo::two"
	[[ $status == "$theirs" ]]
	cmp src/text out/text
	[[ -d out/hello/full ]]
}

@test "progress and JSON log lines" {
	mkdir out
	cd out
	run --separate-stderr "$ALCOVE" --log-json extract --progress --list "$T/repo::three"
	[[ $status == 0 ]]
	printf '%s\n' "${stderr_lines[@]}" | "$PYTHON" -c 'import json, sys
kinds = [json.loads(line)["type"] for line in sys.stdin]
assert "progress_percent" in kinds and "log_message" in kinds, kinds'
}

@test "usage errors" {
	for arguments in '' 'nonsense' 'list --nonsense' 'extract' 'mount' 'list --last x ::'; do
		run "$ALCOVE" $arguments
		[[ $status -eq 2 || -z $arguments ]]
		[[ -n $output ]]
	done
	run "$ALCOVE" --version
	[[ $status == 0 && $output =~ ^[a-z]+\ [0-9]+\.[0-9]+ ]]
	for command in mount umount list info extract; do
		run "$ALCOVE" help "$command"
		[[ $status == 0 && -n $output ]]
		run "$ALCOVE" "$command" --help
		[[ $status == 0 && $output == *usage* ]]
	done
}

# The usage text is wrapped by the program's name.
as_borg() {
	ln -s "$ALCOVE" borg
	ALCOVE=$T/borg
}

@test "usage and errors of arguments: borg's words, also for patterns and their files" {
	as_borg
	for command in list info extract mount umount; do
		same "$command" --nonsense-for-usage "$T/repo"
		same "$command" --info=x
		same "$command" -v=x
	done
	same list -e zz:x "$T/repo::one"
	same extract --exclude zz:x "$T/repo::one"
	same list --exclude-from nowhere "$T/repo::one"
	same list --patterns-from nowhere "$T/repo::one"
	same list --patterns-from nowhere nonsense
	same extract --exclude-from nowhere "$T/repo::nope"
	same mount --patterns-from nowhere "$T/repo" "$T/nowhere"
	same mount "$T/repo"
	same list --sort-by nonsense "$T/repo"
}

@test "umount of what is not mounted" {
	same umount "$MNT"
	same umount "$T/nowhere"
	cd "$T"
	same umount mnt
	same umount -- mnt
}

@test "mount: what is said first" {
	same mount -o nonsense "$T/repo" "$T/nowhere"
	same mount -o nonsense "$T/norepo" "$T/nowhere"
	same mount -o nonsense "$T/norepo" "$MNT"
	same mount -o versions "$T/norepo::a" "$MNT"
}

@test "progress of info and extract" {
	same info --progress "$T/repo"
	same info --progress "$T/repo::one"
	same info -p --last 2 "$T/repo"
	same info -p --json "$T/repo::two"
	mkdir many
	(cd many && seq -f 'a-file-with-a-rather-long-name-%g' 20000 | xargs touch)
	b12 create "$T/repo::50% many" many
	same info -p "$T/repo::50% many"
	rm -r many
	same extract --dry-run --progress "$T/repo::three"
	same_json info --progress --log-json "$T/repo::50% many"
	same_json extract --dry-run --progress --log-json "$T/repo::three"
}

# As same, for JSON log lines: times differ, and so does nothing else.
same_json() {
	"$B12" "$@" >/dev/null 2>theirs.err
	"$ALCOVE" "$@" >/dev/null 2>ours.err
	[[ -s theirs.err ]]
	diff <(sed 's/"time": [0-9.]*/"time": 0/' theirs.err) <(sed 's/"time": [0-9.]*/"time": 0/' ours.err)
}

@test "SIGUSR1: extract says with -v where it is" {
	local program pid
	head -c 30000000 /dev/urandom >slow
	b12 create -C none "$T/repo::slow" slow
	mkfifo out
	for program in "$B12" "$ALCOVE"; do
		"$program" -v extract --stdout "$T/repo::slow" >out 2>err &
		pid=$!
		PIDS=("$pid")
		exec 9<out
		dd bs=65536 count=10 iflag=fullblock status=none <&9 >part
		kill -USR1 "$pid"
		cat <&9 >>part
		exec 9<&-
		wait "$pid"
		[[ $program == "$B12" ]] || cmp slow part # which loses bytes when a write is interrupted
		[[ $(<err) =~ ^slow\ [0-9.]+\ k?M?B/\?\?\?$ ]] || fail "$program: $(<err)"
	done
	PIDS=()
}

@test "an item that is larger than a chunk of the item stream" {
	mkdir long
	make_repo b12 none "$T/long.repo"
	for n in 1500000 2000000 3000000; do
		seq 1 "$n" >long/last
		(cd long && b12 create --chunker-params buzhash,10,16,13,1023 "$T/long.repo::$n" last)
		same list "$T/long.repo::$n"
	done
	"$ALCOVE" mount "$T/long.repo" "$MNT"
	cmp long/last "$MNT/3000000/last"
}
