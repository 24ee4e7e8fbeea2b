# life.bats - a repository's whole life by our hands, in every mode: after each step both versions of borg check it without a
# word, and list it from a file system that cannot be written to.

load lib

clean() {
	local out
	out=$(b12 check --verify-data repo 2>&1) && [[ -z $out ]] || fail "$1: 1.2: $out" || return 1
	out=$(b14 check --verify-data repo 2>&1) && [[ -z $out ]] || fail "$1: 1.4: $out"
}

# An index or hints that were not written to the end would have to be made anew, which cannot be done here.
listed_read_only() {
	local out
	mount --bind repo repo
	mount -o remount,bind,ro repo
	out=$(b12 list --bypass-lock --short repo 2>&1) || fail "$1: $out" || return 1
	umount repo
	[[ $out == "$2" ]] || fail "$1: listed '$out', not '$2'"
}

after() { # STEP ARCHIVES
	clean "$1"
	listed_read_only "$1" "$2"
}

extracts() { # BORG ARCHIVE
	[[ ! -d out ]] || chattr -R -f -a -i out || :
	rm -rf out
	mkdir out
	(cd out && "$1" extract --numeric-ids "../repo::$2")
	same_tree "$T/src" "$T/out/src"
}

life() { # MODE
	rich_tree src
	"$ALCOVE" init -e "$1" repo 2>/dev/null
	after init ''
	"$ALCOVE" create repo::one src
	after create one
	extracts b12 one
	extracts b14 one
	"$ALCOVE" create repo::two src
	after 'create again' $'one\ntwo'
	head -c 300000 /dev/urandom >src/more
	"$ALCOVE" create repo::three src
	extracts "$ALCOVE" three
	"$ALCOVE" rename repo::three four
	after rename $'one\ntwo\nfour'
	"$ALCOVE" delete repo::one
	after delete $'two\nfour'
	"$ALCOVE" prune --keep-last 1 repo
	after prune four
	"$ALCOVE" compact --threshold 0 repo
	after compact four
	"$ALCOVE" check --repair repo <<<YES 2>/dev/null
	after 'check --repair' four
	extracts b12 four
	extracts b14 four
}

@test "repokey" { life repokey; }
@test "keyfile-blake2" { life keyfile-blake2; }

@test "every other mode" {
	local mode modes=(authenticated)
	[[ -z ${ALCOVE_SOAK:-} ]] || modes=(none authenticated authenticated-blake2 keyfile repokey-blake2)
	for mode in "${modes[@]}"; do
		chattr -R -f -a -i src out || :
		rm -rf src repo base out
		mkdir base
		life "$mode"
	done
}
