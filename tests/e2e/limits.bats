# limits.bats - what a repository is configured to refuse: more than its quota, anything but additions, the last of the disk.

load lib

setup() {
	sandbox
	head -c 13000000 /dev/urandom >large
	head -c 5000000 /dev/urandom >small
}

clean() {
	local out
	out=$(b12 check --verify-data repo 2>&1) && [[ -z $out ]] || fail "1.2: $out" || return 1
	out=$(b14 check --verify-data repo 2>&1) && [[ -z $out ]] || fail "1.4: $out"
}

quota_used() { # as the hints have it
	"$PYTHON" -c 'import glob
from borg.helpers import msgpack
print(msgpack.unpackb(open(glob.glob("repo/hints.*")[0], "rb").read())[b"storage_quota_use"])'
}

stored() { # what borg counts when it makes the index and the hints anew
	rm -f repo/hints.* repo/index.* repo/integrity.*
	b12 create --files-cache disabled repo::probe small
	b12 delete repo::probe
	b12 compact --threshold 0 repo
	quota_used
}

@test "the quota: what is beyond it is refused, the rest stays, and room is made by deleting" {
	"$ALCOVE" init -e repokey --storage-quota 12M repo 2>/dev/null
	"$ALCOVE" create repo::small small
	expect 2 'The storage quota \(12.00 MB\) has been exceeded \([0-9.]+ MB\). Try deleting some archives.' \
		"$ALCOVE" create repo::large large
	expect 2 'The storage quota \(12.00 MB\) has been exceeded' b12 create repo::large large
	[[ $(b12 list --short repo) == small ]]
	clean
	head -c 6500000 /dev/urandom >other
	"$ALCOVE" create repo::other other
	expect 2 'has been exceeded' "$ALCOVE" create repo::more large
	"$ALCOVE" delete repo::small
	"$ALCOVE" compact --threshold 0 repo
	"$ALCOVE" create repo::again small
	clean
}

@test "the quota's use is counted as borg counts it, also across deleting and compacting" {
	local ours
	"$ALCOVE" init -e repokey --storage-quota 100M repo 2>/dev/null
	"$ALCOVE" create repo::a small
	"$ALCOVE" create repo::b large
	"$ALCOVE" create repo::c small large
	"$ALCOVE" delete repo::b
	"$ALCOVE" rename repo::c d
	"$ALCOVE" compact --threshold 0 repo
	ours=$(quota_used)
	((ours - $(stored) < 3000 && ours > 18000000)) || fail "$ours, $(quota_used)"
}

@test "append-only: the same segments and the same log of transactions as borg's, and nothing is given back" {
	local program n=0
	for program in b12 "$ALCOVE"; do
		rm -rf repo base
		mkdir base
		"$program" init -e repokey --append-only repo 2>/dev/null
		"$program" create repo::a small
		"$program" create repo::b large
		"$program" delete repo::a
		"$program" prune --keep-last 1 repo
		"$program" compact repo
		sed 's/,.*//' repo/transactions >"transactions.$n"
		find repo/data -type f -printf '%P\n' | sort >"segments.$n"
		n=$((n + 1))
	done
	diff transactions.0 transactions.1
	diff segments.0 segments.1
	[[ $(wc -l <transactions.1) == 5 ]]
	[[ $(sed -n '$s/.*, //p' repo/transactions) == 'UTC time '????-??-??T??:??:??.?????? ]]
	clean
	# What was deleted can be had again: the last transaction is taken back by hand, as Borg's manual says.
	n=$(sed -n '3s/transaction \([0-9]*\),.*/\1/p' repo/transactions)
	find repo/data -type f | while IFS= read -r f; do ((${f##*/} <= n)) || rm "$f"; done
	rm repo/index.* repo/hints.* repo/integrity.*
	b12 delete --cache-only repo
	rm -rf "$T"/base/.config/borg/security "$T"/base/.cache
	[[ $(b12 list --short repo 2>/dev/null) == $'a\nb' ]]
	[[ $("$ALCOVE" list --short repo 2>/dev/null) == $'a\nb' ]]
}

@test "additional_free_space: refused before the disk is full" {
	"$ALCOVE" init -e repokey repo 2>/dev/null
	"$ALCOVE" config repo additional_free_space 900T
	expect 2 'Insufficient free space to complete transaction \(required: 900.00 TB, available: ' "$ALCOVE" create repo::a small
	"$ALCOVE" config repo additional_free_space 0
	"$ALCOVE" create repo::a small
	clean
}

@test "what a killed writer left in the folder goes with the next commit; what is not ours stays" {
	local left
	"$ALCOVE" init -e repokey repo 2>/dev/null
	touch repo/{nonce,config,lock.roster,README}-123.tmp repo/nonce-x.tmp repo/notes.tmp
	mkdir repo/lock.exclusive.abc.tmp # empty, and not an hour old: somebody may be about to use it
	"$ALCOVE" create repo::a small
	left=$(cd repo && printf '%s ' *.tmp)
	[[ $left == 'lock.exclusive.abc.tmp nonce-x.tmp notes.tmp ' ]] || fail "$left"
	touch -d '2 hours ago' repo/lock.exclusive.abc.tmp
	"$ALCOVE" create repo::b small
	[[ ! -e repo/lock.exclusive.abc.tmp ]]
}
