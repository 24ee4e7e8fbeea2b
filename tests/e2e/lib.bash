# lib.bash - what every end-to-end test loads: a sandbox for each test, stock borg as the peer, trees that are rich in
# everything an archive can hold, and comparisons.
#
# $ALCOVE is the program under test, $B12 stock borg 1.2, $B14 stock borg 1.4; $T the sandbox of this test, removed with
# all that is mounted below it; $MNT a mount point in it.

bats_require_minimum_version 1.5.0

E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$E2E/../.." && pwd)
ALCOVE=${ALCOVE:-$TOP/build/alcove}
B12=${BORG12:-/usr/bin/borg}
PYTHON=/usr/bin/python3 # the one that has the borg modules

sandbox() {
	((EUID == 0)) || {
		echo 'end-to-end tests need root: device nodes, owners, trusted xattrs' >&2
		return 1
	}
	T=$(mktemp -d "${TMPDIR:-/var/tmp}/alcove-e2e.XXXXXX")
	chmod 755 "$T"
	MNT=$T/mnt
	PIDS=()
	mkdir "$MNT" "$T/home" "$T/base"
	unset "${!BORG_@}" "${!XDG_@}" ALCOVE_CACHE_DIR
	export HOME=$T/home BORG_BASE_DIR=$T/base BORG_PASSPHRASE=test TZ=UTC LC_ALL=C.UTF-8
	export BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes BORG_RELOCATED_REPO_ACCESS_IS_OK=yes
	export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1}
	cd "$T" || return 1
}

setup() {
	sandbox
}

teardown() {
	local pid at
	cd /
	for pid in "${PIDS[@]}"; do
		kill -CONT "$pid" 2>/dev/null
		kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	for at in $(awk -v t="$T/" 'index($5, t) == 1 { print $5 }' /proc/self/mountinfo | sort -r); do
		umount "$at" 2>/dev/null || umount -l "$at"
	done
	[[ -n $T && $T == */alcove-e2e.* ]] || return 0
	chattr -R -f -a -i "$T" 2>/dev/null
	rm -rf "$T"
}

# borg 1.4, fetched when first asked for; a missing one fails the test that needs it.
b14() {
	: "${B14:=$(HOME=$(getent passwd "$EUID" | cut -d: -f6) "$TOP/scripts/borg14")}"
	"$B14" "$@"
}
b12() {
	"$B12" "$@"
}

soak() { # SMALL LARGE: a count
	if [[ -n ${ALCOVE_SOAK:-} ]]; then echo "$2"; else echo "$1"; fi
}

fail() {
	printf '%s\n' "$*" >&2
	return 1
}

# Waits until the command succeeds, at most SECONDS.
within() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || fail "not within the time: $*" || return 1
		sleep 0.1
	done
}

mounted() {
	awk -v m="${1:-$MNT}" '$5 == m { found = 1 } END { exit !found }' /proc/self/mountinfo
}

mount_it() { # [OPTION...] REPOSITORY[::ARCHIVE]
	"$ALCOVE" mount "$@" "$MNT"
	mounted "$MNT" || fail "not mounted: $*"
}

# The names at the mount's root, but for the staging directory.
shown_at() { # [MOUNT POINT]
	ls -A "${1:-$MNT}" | sed '/^new$/d'
}

umount_it() {
	"$ALCOVE" umount "${1:-$MNT}"
	within 5 not mounted "${1:-$MNT}"
}

not() {
	! "$@"
}

# make_repo BORG MODE [PATH]: an empty repository.
make_repo() {
	"$1" init -e "$2" "${3:-$T/repo}" 2>/dev/null
}

# No difference in names, kinds, bytes, owners, modes, times, links, xattrs, ACLs; the folders themselves included.
# (An archive's own folder has its attributes from when it is first entered.)
same_tree() { # SOURCE SHOWN
	local out
	ls "$2/" >/dev/null
	out=$(rsync -aHAXDnic --numeric-ids --delete "$1/" "$2/" 2>&1) || fail "rsync: $out" || return 1
	[[ -z $out ]] || fail "rsync sees differences: $out" || return 1
	same_facts "$@"
}

# What rsync does not compare: ns times, flags, link counts, which names are one file.
same_facts() {
	diff <("$PYTHON" "$E2E/facts.py" "$1") <("$PYTHON" "$E2E/facts.py" "$2") >&2
}

# expect STATUS PATTERN COMMAND...: that exit status, output that matches, no crash, and not a page of it.
expect() {
	local want=$1 pattern=$2
	shift 2
	run "$@"
	[[ $status -eq $want ]] || fail "exit status $status, not $want: $output" || return 1
	[[ $output =~ $pattern ]] || fail "does not say '$pattern': $output" || return 1
	[[ $output != *Sanitizer* && $output != *Traceback* ]] || fail "$output" || return 1
	((${#lines[@]} <= ${EXPECT_LINES:-1})) || fail "more than a sentence: $output"
}

flip() { # FILE OFFSET: inverts that byte
	"$PYTHON" -c 'import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2])); b = f.read(1); f.seek(-1, 1); f.write(bytes([b[0] ^ 0xff]))' "$1" "$2"
}

# Where an object is: FILE, OFFSET of its entry, SIZE of it; see forge.py.
locate() { # REPOSITORY WHAT...
	read -r FILE OFFSET SIZE < <("$PYTHON" "$E2E/forge.py" locate "$@")
	[[ -n $SIZE ]]
}

rich_tree() { # DIRECTORY
	"$PYTHON" "$E2E/rich_tree.py" "$1"
}

golden() { # NAME: unpacks it; $GOLDEN_REPO
	tar -xzf "$TOP/tests/golden/$1.tar.gz" -C "$T"
	GOLDEN_REPO=$T/repo
	[[ ! -d $T/keys ]] || export BORG_KEYS_DIR=$T/keys
}
