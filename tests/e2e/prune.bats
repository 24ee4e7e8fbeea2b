#!/usr/bin/env bats
# `prune` keeps what stock borg keeps of the same repository, for the same reasons, and says so in the same lines.

load lib

setup() {
	sandbox
	mkdir base2
	echo hello >f
	make_repo b12 none
	"$PYTHON" - "$T/repo" <<'PY'
# A history over two years: several a day, gaps, a leap day, new year, two names, checkpoints.
import sys
from borg.archiver import Archiver
stamps = ['2022-12-31T23:59:59', '2023-01-01T00:00:01', '2023-01-02T12:00:00', '2023-06-30T22:30:00',
          '2023-12-24T10:00:00', '2023-12-31T23:30:00', '2024-01-01T00:30:00', '2024-02-28T12:00:00',
          '2024-02-29T12:00:00', '2024-03-01T12:00:00', '2024-03-01T12:00:30', '2024-03-01T12:01:00',
          '2024-03-01T13:00:00', '2024-03-31T00:30:00', '2024-03-31T01:30:00', '2024-04-01T12:00:00']
names = ['%s-%02d' % ('host' if n % 3 else 'other', n) for n in range(len(stamps))]
history = list(zip(names, stamps)) + [('host-03.checkpoint', '2023-06-30T22:00:00'),
                                      ('host-zz.checkpoint', '2024-05-01T00:00:00')]
archiver = Archiver()
for name, stamp in history:
    archiver.run(archiver.get_args(['borg', 'create', '--timestamp', stamp, sys.argv[1] + '::' + name, 'f'], None))
PY
	[[ $(b12 list --short --consider-checkpoints repo | wc -l) == 18 ]]
}

theirs() { # COMMAND...: borg on the copy, which has the same id and its own history
	BORG_BASE_DIR=$T/base2 "$@"
}

clean() { # REPOSITORY: not a word from either version
	local out
	out=$(b12 check --verify-data "$1" 2>&1) || fail "1.2: $out" || return 1
	[[ -z $out ]] || fail "1.2: $out" || return 1
	out=$(b14 check --verify-data "$1" 2>&1) || fail "1.4: $out" || return 1
	[[ -z $out ]] || fail "1.4: $out"
}

same_plan() { # OPTION...: a dry run lists the same as borg's
	local mine want
	want=$(b12 prune -n --list "$@" repo 2>&1) || fail "borg: $want" || return 1
	mine=$("$ALCOVE" prune -n --list "$@" repo 2>&1) || fail "$mine" || return 1
	[[ -n $want && $mine == "$want" ]] || fail "$*:" "$(diff <(echo "$want") <(echo "$mine"))"
}

@test "every rule, alone and with others, as borg" {
	local rules
	for rules in '--keep-last 1' '--keep-last 99' '--keep-minutely 3' '-H 4' '-d 3' '-w 5' '-m 3' '-y 2' '-y 9' '-d -1' \
		'-d 2 -w 2 -m 2 -y 1' '-H 2 -m -1' '--keep-within 1d -y 1' '--keep-within 3y' '-d 3 -P host' '-m 2 -a *-0?' \
		'--keep-secondly 2 --keep-minutely 2 -y 10'; do
		# shellcheck disable=SC2086 # words
		(set -f && same_plan $rules) || return 1
	done
}

@test "periods are those of the local time" {
	export TZ=Europe/Berlin
	same_plan -d 20
	same_plan -m 5 -y 3
	export TZ=America/Los_Angeles
	same_plan -d 20
	same_plan -w 9 -y 3
}

@test "pruned: the same lines, the same left, nothing wrong" {
	cp -a repo copy
	theirs b12 list copy >/dev/null # asks about a repository that it has not seen
	mine=$("$ALCOVE" prune --list --stats -d 2 -m 2 -y 1 repo 2>&1)
	want=$(theirs b12 prune --list --stats -d 2 -m 2 -y 1 copy 2>&1)
	[[ $mine == "$want" ]] || fail "$(diff <(echo "$want") <(echo "$mine"))" || return 1
	diff <(theirs b12 list --consider-checkpoints copy) <(b12 list --consider-checkpoints repo)
	clean repo
	b12 create repo::new f
	clean repo
	"$ALCOVE" compact repo
	clean repo
}

@test "refused: no rule, two filters, a lock" {
	expect 2 'At least one of the "keep-within"' "$ALCOVE" prune repo
	EXPECT_LINES=20 expect 2 'not allowed with' "$ALCOVE" prune -d 1 -P a -a 'b*' repo
	expect 2 'Failed to create/acquire the lock' "$B12" with-lock repo "$ALCOVE" prune --lock-wait 0 -d 1 repo
	[[ $(b12 list --short --consider-checkpoints repo | wc -l) == 18 ]]
}

@test "interrupted: what was pruned is committed, the lock is given back, and the rest follows" {
	"$PYTHON" - "$ALCOVE" <<'PY'
# Nearly no room for what it says, so that it stands still after a few archives until the signal has come.
import fcntl, os, signal, subprocess, sys, time
r, w = os.pipe()
size = fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
os.write(w, b'.' * (size - 600))
p = subprocess.Popen([sys.argv[1], 'prune', '--list', '--keep-last', '1', 'repo'], stderr=w)
os.close(w)
time.sleep(2)
assert p.poll() is None, 'did not stand still'
p.send_signal(signal.SIGINT)
time.sleep(0.2)
said = open(r).read().lstrip('.')
assert p.wait() == 2 and 'Got Ctrl-C' in said and said.count('Pruning archive') < 15, said
PY
	[[ ! -e repo/lock.exclusive ]]
	left=$(b12 list --short repo | wc -l)
	((left > 1 && left < 16)) || fail "$left archives are left" || return 1
	clean repo
	"$ALCOVE" prune --keep-last 1 repo
	[[ $(b12 list --short repo) == host-15 || $(b12 list --short repo) == other-15 ]]
	clean repo
}
