#!/usr/bin/env bats
# Locks: ours and borg's stand in each other's way, and those of the dead in nobody's. break-lock, with-lock, config.

load lib

setup() {
	sandbox
	make_repo b12 none
	echo hello >f
	b12 create "$T/repo::a" f
}

no_lock() {
	[[ ! -e $T/repo/lock.exclusive && ! -e $T/repo/lock.roster ]] || fail "locked: $(ls "$T/repo")" || return 1
	[[ -z $(find "$T/repo" -name '*.tmp') ]] || fail "left behind: $(ls "$T/repo")"
}

# The lock of another host, which nobody takes for dead.
foreign_lock() {
	mkdir "$T/repo/lock.exclusive"
	touch "$T/repo/lock.exclusive/elsewhere@1.7-0"
	echo '{"exclusive": [["elsewhere@1", 7, 0]]}' >"$T/repo/lock.roster"
}

timeout_of() { # COMMAND...
	expect 2 "Failed to create/acquire the lock $T/repo/lock.exclusive \(timeout\)." "$@"
}

@test "ours keeps borg out, and borg's keeps us out" {
	timeout_of "$ALCOVE" with-lock repo "$B12" --lock-wait 0 create repo::b f
	no_lock
	timeout_of "$B12" with-lock repo "$ALCOVE" with-lock --lock-wait 0 repo true
	no_lock
	timeout_of "$ALCOVE" with-lock repo "$ALCOVE" with-lock --lock-wait 0 repo true
	run b14 with-lock repo "$ALCOVE" with-lock --lock-wait 0 repo true
	[[ $status == 2 ]]
	[[ $output == *'(timeout)'* ]]
	no_lock
	[[ $(b12 list --short repo) == a ]]
}

@test "who waits gets it" {
	"$ALCOVE" with-lock repo sleep 1 &
	within 5 test -e repo/lock.roster
	expect 0 '' "$B12" --lock-wait 20 create repo::b f
	wait
	"$B12" with-lock repo sleep 1 &
	within 5 test -e repo/lock.roster
	expect 0 got "$ALCOVE" --lock-wait 20 with-lock repo echo got
	wait
	no_lock
}

@test "the lock of a dead program is in nobody's way" {
	run "$B12" with-lock repo sh -c 'kill -9 $PPID'
	[[ -e repo/lock.roster ]]
	EXPECT_LINES=3 expect 0 'Killed stale lock' "$ALCOVE" with-lock repo echo got
	no_lock
	run "$ALCOVE" with-lock repo sh -c 'kill -9 $PPID'
	[[ -e repo/lock.roster ]]
	EXPECT_LINES=3 expect 0 'Killed stale lock' "$B12" create repo::b f
	no_lock
}

@test "break-lock removes what only a person can judge" {
	foreign_lock
	timeout_of "$ALCOVE" with-lock --lock-wait 0 repo true
	expect 0 '^$' "$ALCOVE" break-lock repo
	no_lock
	expect 0 '^$' "$ALCOVE" break-lock repo
	expect 0 got "$ALCOVE" with-lock repo echo got
}

@test "break-lock opens borg's cache, and knows BORG_REPO" {
	local cache
	cache=$(echo "$T"/base/.cache/borg/*/)
	mkdir "$cache/lock.exclusive"
	touch "$cache/lock.exclusive/elsewhere@1.7-0"
	foreign_lock
	BORG_REPO=$T/repo expect 0 '^$' "$ALCOVE" break-lock
	no_lock
	expect 0 '' "$B12" create repo::b f
}

@test "break-lock where the log is lost" {
	foreign_lock
	rm -r repo/data/* repo/index.* repo/hints.*
	expect 0 '^$' "$ALCOVE" break-lock repo
	no_lock
	expect 2 'Repository .*nowhere does not exist' "$ALCOVE" break-lock nowhere
	expect 2 'Not allowed to bypass locking mechanism' "$ALCOVE" break-lock --bypass-lock repo
}

@test "with-lock has the command's status, words and streams" {
	expect 7 '^$' "$ALCOVE" with-lock repo sh -c 'exit 7'
	expect 137 '^$' "$ALCOVE" with-lock repo sh -c 'kill -9 $$'
	expect 0 '^-x --lock-wait -- --$' "$ALCOVE" with-lock --lock-wait 3 repo echo -x --lock-wait -- --
	[[ $(echo text | "$ALCOVE" with-lock repo cat) == text ]]
	BORG_PASSPHRASE=secret expect 0 '^unset$' "$ALCOVE" with-lock repo sh -c 'echo ${BORG_PASSPHRASE-unset}'
	expect 0 "^[^ ]*repo/lock.exclusive/.*@[0-9]+\.[0-9]+-0\$" "$ALCOVE" with-lock repo sh -c 'ls -d repo/lock.exclusive/*'
	expect 2 "Error while trying to run 'no-such': .*No such file" "$ALCOVE" with-lock repo no-such
	BORG_EXIT_CODES=modern expect 4 'no-such' "$ALCOVE" with-lock repo no-such
	run "$ALCOVE" with-lock repo
	[[ $status == 2 && $output == *'the following arguments are required: COMMAND, ARGS'* ]]
	no_lock
}

@test "with-lock hands a signal on, and ends after its command" {
	local status=0
	"$ALCOVE" with-lock repo sh -c 'trap "touch caught; exit 3" TERM; touch ready; sleep 5 & wait' 2>said &
	within 5 test -e ready
	kill "$!"
	wait "$!" || status=$?
	[[ $status == 143 && -e caught ]]
	[[ $(<said) == 'Received SIGTERM' ]]
	no_lock
}

@test "a lock that was broken meanwhile is not released" {
	expect 2 'Failed to release the lock .*lock.exclusive \(was not locked\).' "$ALCOVE" with-lock repo "$ALCOVE" break-lock repo
	no_lock
}

# Both say and do the same to a copy of the same configuration.  (Borg says more about a wrong value.)
same_config() { # ARGUMENT...
	local theirs=0 ours=0
	cp repo/config before
	"$B12" config "$@" >theirs.out 2>theirs.err || theirs=$?
	mv repo/config theirs.config
	cp before repo/config
	"$ALCOVE" config "$@" >ours.out 2>ours.err || ours=$?
	[[ $theirs == "$ours" ]] || fail "$*: exit status $ours, not $theirs: $(<ours.err)" || return 1
	cmp theirs.out ours.out
	cmp theirs.config repo/config
	if grep -q '^ValueError' theirs.err; then
		[[ $(<ours.err) == "$(grep '^ValueError' theirs.err)" ]] || fail "$*: $(<ours.err)"
	else
		diff <(sed 's/^borg/alcove/' theirs.err | tail -n 1) <(tail -n 1 ours.err)
	fi
}

@test "config shows, sets and deletes what borg does" {
	same_config --list repo
	same_config repo id
	same_config repo repository.VERSION
	same_config repo
	same_config repo Nope
	same_config repo nope.nope
	same_config repo append_only 1
	same_config repo append_only ''
	same_config repo append_only yes
	same_config repo max_segment_size 5G
	same_config repo max_segment_size 1.5G
	same_config repo storage_quota 5M
	same_config repo storage_quota 2G
	same_config repo last_segment_checked 12
	same_config --list repo
	same_config --delete repo last_segment_checked
	same_config --delete repo storage_quota
	same_config --delete repo nope
	same_config repo version 2
	same_config repo cache.id 1
	same_config repo id 12
	same_config --list --delete repo
	same_config --list repo
	same_config repo::a id
	same_config --cache repo previous_location
	same_config --cache repo version
	same_config --cache --list repo
	same_config --cache repo version 2
	no_lock
	expect 0 '' "$B12" create repo::b f
}

@test "config keeps the key" {
	rm -r repo
	make_repo b12 repokey
	b12 create repo::a f
	grep -q '^key = ' repo/config
	same_config repo additional_free_space 1M
	[[ $(b12 list --short repo) == a && $("$ALCOVE" list --short repo) == a ]]
}

@test "config changes only under the lock" {
	foreign_lock
	expect 0 '^0$' "$ALCOVE" config repo append_only
	timeout_of "$ALCOVE" config --lock-wait 0 repo append_only 1
	expect 0 '^0$' "$ALCOVE" config repo append_only
	expect 0 '^$' "$ALCOVE" config --bypass-lock repo append_only 1
	expect 0 '^1$' "$ALCOVE" config repo append_only
	[[ ! -e repo/config.old ]]
}

@test "config of borg's cache" {
	"$ALCOVE" config --cache repo previous_location /elsewhere
	grep -qx 'previous_location = /elsewhere' "$T"/base/.cache/borg/*/config
	"$ALCOVE" config --cache --delete repo previous_location
	not grep -q previous_location "$T"/base/.cache/borg/*/config
	expect 0 '' "$B12" create repo::b f
	rm -r "$T/base/.cache"
	expect 1 "^No section: 'cache'\$" "$ALCOVE" config --cache repo version
	expect 2 'Borg has no cache of this repository' "$ALCOVE" config --cache repo previous_location /elsewhere
}
