# staging.bash - what the tests of the staging directory load: a repository mounted, and what was published held against its
# source by both borgs.

load lib

mount_rw() { # [OPTION]
	mount_it ${1:+-o "$1"} repo
}

start() { # [MODE]
	make_repo "$ALCOVE" "${1:-repokey}"
	mount_rw
}

clean() {
	local out
	out=$(b12 check --verify-data repo 2>&1) && [[ -z $out ]] || fail "1.2: $out" || return 1
	out=$(b14 check --verify-data repo 2>&1) && [[ -z $out ]] || fail "1.4: $out"
}

# Everything is stored when it returns.
unmounted() {
	umount_it
	not pgrep -f "alcove mount.*$MNT\$" || within 2 not pgrep -f "alcove mount.*$MNT\$"
}

# The archive as borg restores it.
restored() { # BORG ARCHIVE SOURCE
	[[ ! -d out ]] || chattr -R -f -a -i out || :
	rm -rf out
	mkdir out
	(cd out && "$1" extract --numeric-ids "../repo::$2")
	touch -r "$3" out
	same_tree "$T/$3" "$T/out"
}

chunk_ids() { # ARCHIVE: of each file, by its last name
	"$PYTHON" "$E2E/content_ids.py" "$T/repo" "$1" 2>/dev/null | sed 's|^[^ ]*/||' | sort
}

published_is() { # SOURCE ARCHIVE
	clean
	restored b12 "$2" "$1"
	restored b14 "$2" "$1"
}

# What copying programs leave behind: flags of chattr.
without_flags() { # DIRECTORY
	chattr -R -f -i -a -d "$1" || :
}
