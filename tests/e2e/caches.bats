#!/usr/bin/env bats
# The caches never invent a chunk: whatever became of the repository behind their back, an archive is whole.

load lib

setup() {
	sandbox
	make_repo b12 repokey
	mkdir src
	for n in 1 2 3; do head -c 200000 /dev/urandom >src/$n; done
	"$ALCOVE" create repo::a src
	sleep 0.1
	for n in 4 5 6; do head -c 200000 /dev/urandom >src/$n; done
}

create_is_whole() { # ARCHIVE
	"$ALCOVE" create "repo::$1" src
	b12 check --verify-data repo >out 2>&1 || fail "check: $(<out)" || return 1
	[[ ! -s out ]] || fail "check: $(<out)" || return 1
	mkdir "out.$1"
	(cd "out.$1" && b12 extract "../repo::$1")
	same_tree src "out.$1/src"
}

# What this machine trusts, forgotten; what it has cached, not.
forget_trust() {
	rm -rf base/.config/borg/security
}

@test "borg deletes and compacts between two of ours" {
	"$ALCOVE" create repo::b src
	b12 delete repo::b
	b12 compact --threshold 0 repo
	create_is_whole c
	b12 delete -a '*' repo
	b12 compact --threshold 0 repo
	create_is_whole d
}

@test "the repository is put back from an older copy" {
	cp -a repo older
	"$ALCOVE" create repo::b src
	rm -rf repo
	mv older repo
	forget_trust
	create_is_whole b
}

@test "the repository is put back, and has another archive of that name" {
	cp -a repo older
	"$ALCOVE" create repo::b src
	rm -rf repo
	mv older repo
	forget_trust
	echo other >other
	BORG_BASE_DIR=$T/elsewhere b12 create repo::b other
	forget_trust
	create_is_whole c
}

@test "a copy of the repository goes its own way" {
	cp -a repo copy
	"$ALCOVE" create copy::b src
	forget_trust
	create_is_whole b
}

@test "the cache of another machine" {
	mkdir elsewhere
	BORG_BASE_DIR=$T/elsewhere "$ALCOVE" create repo::b src
	"$ALCOVE" rename repo::a a2 # a younger cache than that
	b12 delete repo::b
	b12 compact --threshold 0 repo
	rm -rf base/.cache/alcove
	cp -a elsewhere/.cache/alcove base/.cache/
	create_is_whole c
}

@test "copies that go their own ways, in any order" {
	"$PYTHON" "$E2E/faults.py" --bin "$(dirname "$(realpath "$ALCOVE")")" --times "$(soak 24 1000)" copies | sed 's/^/# /' >&3
	return "${PIPESTATUS[0]}"
}

@test "a cache that is damaged, emptied or gone" {
	"$ALCOVE" create repo::b src
	b12 delete repo::b
	b12 compact --threshold 0 repo
	local file
	for file in base/.cache/alcove/*/*.mdb; do
		flip "$file" 5000
		flip "$file" 20
	done
	create_is_whole c
	: >"$file"
	create_is_whole d
	rm -r base/.cache/alcove
	create_is_whole e
}
