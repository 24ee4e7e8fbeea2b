# tar.bats - export-tar and import-tar beside stock borg's, GNU tar's and bsdtar's: entry for entry the same, and whole or not
# at all.

load lib

setup() {
	sandbox
	rich_tree "$T/src"
	"$ALCOVE" init -e repokey repo 2>/dev/null
	(cd src && "$ALCOVE" create ../repo::a .)
}

same_tar() { # THEIRS OURS
	diff <("$PYTHON" "$E2E/tar_facts.py" tar "$1") <("$PYTHON" "$E2E/tar_facts.py" tar "$2")
}

listed() { # ARCHIVE: by borg, everything that an import decides
	b12 list --json-lines --format '{path}{mode}{uid}{gid}{user}{group}{mtime}{size}{linktarget}{type}{sha256}' "repo::$1" |
		"$PYTHON" "$E2E/tar_facts.py" lines
}

clean() {
	local out
	out=$(b12 check --verify-data repo 2>&1) && [[ -z $out ]] || fail "1.2: $out" || return 1
	out=$(b14 check --verify-data repo 2>&1) && [[ -z $out ]] || fail "1.4: $out"
}

archives() {
	b12 list --short --consider-checkpoints repo | sort | tr '\n' ' '
}

# --- export ---

@test "the same entries as borg's export" {
	b12 export-tar repo::a theirs.tar
	"$ALCOVE" export-tar repo::a ours.tar
	same_tar theirs.tar ours.tar
	[[ $(stat -c %s theirs.tar) == $(stat -c %s ours.tar) ]]
	"$ALCOVE" export-tar repo::a - >stdout.tar
	cmp ours.tar stdout.tar
}

@test "the same selection as borg's" {
	local options
	for options in '--strip-components 1' '--exclude sh:**/hard3' '--exclude sh:**/hard3 --strip-components 1' \
		'--pattern=+dir/sub --pattern=-*' '-e dir'; do
		# shellcheck disable=SC2086
		b12 export-tar $options repo::a theirs.tar
		# shellcheck disable=SC2086
		"$ALCOVE" export-tar $options repo::a ours.tar
		same_tar theirs.tar ours.tar || fail "$options" || return 1
	done
	b12 export-tar repo::a theirs.tar dir hello
	"$ALCOVE" export-tar repo::a ours.tar dir hello
	same_tar theirs.tar ours.tar
	EXPECT_LINES=1 expect 1 "Include pattern 'nowhere' never matched." "$ALCOVE" export-tar repo::a ours.tar nowhere hello
	diff <(b12 export-tar --list --strip-components 1 repo::a /dev/null 2>&1) \
		<("$ALCOVE" export-tar --list --strip-components 1 repo::a /dev/null 2>&1)
}

@test "GNU tar extracts what went in" {
	rm src/null-again src/dir/fifo-again # a tar's links are those of regular files
	"$ALCOVE" export-tar -e null-again -e dir/fifo-again repo::a ours.tar
	mkdir out
	tar -xpf ours.tar -C out --numeric-owner
	run rsync -aHDOnic --numeric-ids --delete --modify-window=1 src/ out/
	[[ $status == 0 && -z $output ]] || fail "$output"
}

@test "large numbers, times before 1970, long names and links" {
	local long
	long=$(printf 'l%.0s' {1..200})
	mkdir -p "far/$long"
	touch "far/$long/$long" far/early far/late
	ln -s "$long/$long" far/link
	ln "far/$long/$long" far/hard
	chown 3000000000:3000000001 far/early
	touch -d '1901-02-03 UTC' far/early
	touch -d '2037-12-01 UTC' far/late
	b12 create --files-cache disabled repo::far far
	b12 export-tar repo::far theirs.tar
	"$ALCOVE" export-tar repo::far ours.tar
	same_tar theirs.tar ours.tar
	truncate -s 9G far/huge # more than a header's octal digits
	"$ALCOVE" create --chunker-params fixed,8388608 repo::huge far/huge
	[[ $("$ALCOVE" export-tar repo::huge - | tar -tv | awk '{ print $3 }') == 9663676416 ]]
}

@test "filters, by the name of the file and by hand" {
	local suffix
	for suffix in gz bz2 xz; do
		"$ALCOVE" export-tar repo::a "o.tar.$suffix"
		tar -tf "o.tar.$suffix" >/dev/null
		"$ALCOVE" import-tar "repo::from $suffix" "o.tar.$suffix"
	done
	xz -t o.tar.xz
	diff <(listed 'from gz') <(listed 'from xz')
	"$ALCOVE" export-tar --tar-filter 'gzip -1 -n' repo::a other
	gzip -t <other
	"$ALCOVE" import-tar --tar-filter 'gzip -d' repo::other other
	diff <(listed 'from gz') <(listed other)
	EXPECT_LINES=2 expect 2 'executable not found: no-such-filter' "$ALCOVE" export-tar --tar-filter no-such-filter repo::a x
	expect 2 'filter false failed, rc=1|has closed it' "$ALCOVE" export-tar --tar-filter false repo::a x
	expect 2 'filter sh -c .* failed, rc=3' "$ALCOVE" export-tar --tar-filter "sh -c 'cat; exit 3'" repo::a x
}

@test "what cannot be written is said" {
	expect 2 'No space left on device' "$ALCOVE" export-tar repo::a /dev/full
	expect 2 'No such file or directory' "$ALCOVE" export-tar repo::a nowhere/x.tar
	expect 2 'does not exist' "$ALCOVE" export-tar repo::b x.tar
	run bash -c '"$1" export-tar repo::a - | head -c 1000 >/dev/null; exit ${PIPESTATUS[0]}' - "$ALCOVE"
	[[ $status == 2 && $output == *'has closed it'* ]] || fail "$status $output"
}

@test "a damaged chunk ends the export" {
	locate repo file a big 1
	flip "$FILE" $((OFFSET + SIZE / 2))
	EXPECT_LINES=1 expect 2 'chunk ' "$ALCOVE" export-tar repo::a x.tar
}

# --- import ---

@test "the same archives as borg makes of GNU tar's and bsdtar's" {
	local format
	rm src/maxid # only GNU's and pax hold so large an owner
	touch -d @1600000000 src # borg's floating-point numbers lose the end of other times
	for format in gnu posix ustar v7 oldgnu; do
		tar -C src --format=$format -cf "$format.tar" . 2>/dev/null || :
	done
	bsdtar -C src --format pax --no-xattrs --no-acls --no-fflags -cf bsd.tar .
	tar -C src --format=posix --pax-option=delete=atime,delete=ctime -P -cf "$T/absolute.tar" "$T/src/dir" src/../hello 2>/dev/null || :
	for format in *.tar; do
		b12 import-tar "repo::theirs $format" "$format"
		"$ALCOVE" import-tar "repo::ours $format" "$format"
		diff <(listed "theirs $format") <(listed "ours $format") || fail "$format" || return 1
	done
	clean
}

@test "exported and imported, nothing is stored again, and the tree is whole" {
	local before
	rm src/null-again src/dir/fifo-again
	"$ALCOVE" export-tar -e null-again -e dir/fifo-again repo::a a.tar
	before=$(du -sb repo/data | cut -f1)
	"$ALCOVE" import-tar repo::b a.tar
	(($(du -sb repo/data | cut -f1) - before < 20000))
	clean
	mkdir out
	(cd out && b14 extract --numeric-ids ../repo::b)
	run rsync -aHDOnic --numeric-ids --delete --modify-window=1 src/ out/
	[[ $status == 0 && -z $output ]] || fail "$output"
}

@test "sparse files of GNU tar" {
	mkdir holes
	truncate -s 5M holes/nothing holes/end
	printf x | dd of=holes/end bs=1 seek=2000000 conv=notrunc status=none
	printf x | dd of=holes/middle bs=1 seek=3000000 status=none
	for format in gnu posix; do
		tar -S --format=$format -cf "$format.tar" holes
		"$ALCOVE" import-tar "repo::$format" "$format.tar"
		rm -rf out
		mkdir out
		(cd out && "$ALCOVE" extract "../repo::$format")
		diff -r holes out/holes
	done
}

@test "one tar behind another" {
	tar -cf one.tar -C src hello
	tar -cf two.tar -C src text
	cat one.tar two.tar >both.tar
	"$ALCOVE" import-tar repo::first both.tar
	"$ALCOVE" import-tar --ignore-zeros repo::both both.tar
	[[ $("$ALCOVE" list --short repo::first) == hello ]]
	[[ $("$ALCOVE" list --short repo::both) == $'hello\ntext' ]]
}

@test "what is told, and the archive's own data" {
	"$ALCOVE" export-tar repo::a a.tar dir link hard2 null block fifo
	diff <(b12 import-tar --list repo::theirs a.tar 2>&1) <("$ALCOVE" import-tar --list repo::ours a.tar 2>&1)
	diff <(b12 import-tar --list --filter dh repo::t2 a.tar 2>&1) <("$ALCOVE" import-tar --list --filter dh repo::o2 a.tar 2>&1)
	"$ALCOVE" import-tar --comment 'from {now}' --timestamp 2001-02-03T04:05:06 -C zstd,3 --chunker-params fixed,65536 repo::c a.tar
	[[ $(b12 list --format '{comment} {start}{NL}' -P c repo) == 'from {now} Sat, 2001-02-03 04:05:06' ]]
	"$ALCOVE" import-tar --json repo::j a.tar | "$PYTHON" -c 'import json, sys
d = json.load(sys.stdin)
assert d["archive"]["name"] == "j" and d["archive"]["stats"]["original_size"] > 0, d'
	run "$ALCOVE" import-tar --stats repo::s a.tar
	[[ $output == *'This archive:'* ]] || fail "$output"
	"$ALCOVE" import-tar repo::in - <a.tar
	diff <(listed ours) <(listed in)
	clean
}

@test "an archive is there whole, or not at all" {
	local before size
	"$ALCOVE" export-tar repo::a a.tar
	before=$(archives)
	size=$(stat -c %s a.tar)
	head -c $((size / 2)) a.tar >cut.tar
	expect 2 'cannot read the tar stream' "$ALCOVE" import-tar repo::cut cut.tar
	head -c 5000 /dev/urandom >noise.tar
	expect 2 'cannot read the tar stream' "$ALCOVE" import-tar repo::noise noise.tar
	: >empty.tar
	expect 2 'cannot read the tar stream' "$ALCOVE" import-tar repo::empty empty.tar
	expect 2 'No such file or directory' "$ALCOVE" import-tar repo::none nowhere.tar
	expect 2 'failed, rc=' "$ALCOVE" import-tar --tar-filter "sh -c 'cat; exit 3'" repo::filter a.tar
	expect 2 'already exists' "$ALCOVE" import-tar repo::a a.tar
	mkdir folder.tar
	expect 2 'folder.tar|Is a directory' "$ALCOVE" import-tar repo::folder folder.tar
	[[ $(archives) == "$before" ]] || fail "$(archives)"
	head -c 10240 /dev/zero >nothing.tar
	"$ALCOVE" import-tar repo::nothing nothing.tar
	clean
}

@test "names that lead elsewhere" {
	"$PYTHON" - <<'X'
import io, tarfile
with tarfile.open('evil.tar', 'w') as t:
    for name in ('/etc/one', '../two', '../../a/../three', './four', 'five/../../six', '//seven'):
        m = tarfile.TarInfo(name)
        m.size = 1
        t.addfile(m, io.BytesIO(b'x'))
    m = tarfile.TarInfo('lost')
    m.type, m.linkname = tarfile.LNKTYPE, 'not/in/this/tar'
    t.addfile(m)
X
	b12 import-tar repo::theirs evil.tar
	"$ALCOVE" import-tar repo::ours evil.tar
	diff <(listed theirs) <(listed ours)
	clean
}

@test "Ctrl-C leaves a checkpoint, and a second run ends it" {
	head -c 30000000 /dev/urandom >src/random
	tar -cf a.tar -C src .
	mkfifo pipe
	(head -c 25000000 a.tar; exec sleep 60) >pipe &
	PIDS+=($!)
	env -u BASH_ENV "$PYTHON" -c 'import signal, os, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
os.execv(sys.argv[1], sys.argv[1:])' "$ALCOVE" import-tar repo::b pipe 2>said &
	pid=$!
	within 20 bash -c "(( \$(du -sb $T/repo/data | cut -f1) > 15000000 ))" || :
	kill -INT $pid
	sleep 0.3
	kill "${PIDS[@]}" 2>/dev/null || :
	wait $pid || status=$?
	[[ ${status:-0} == 2 ]] || fail "${status:-0} $(cat said)" || return 1
	[[ ! -d repo/lock.exclusive ]]
	"$ALCOVE" import-tar repo::b a.tar
	clean
}
