#!/usr/bin/env bats
# What cannot work says why in one sentence, with borg's exit code, before anything is mounted.

load lib

refused() { # PATTERN COMMAND...
	expect 2 "$@"
	not mounted
}

one_file() { # MODE
	mkdir -p src
	echo hello >src/f
	make_repo b12 "${1:-repokey}"
	(cd src && b12 create "$T/repo::a" .)
}

@test "wrong passphrase" {
	one_file
	BORG_PASSPHRASE=wrong refused 'passphrase supplied in .* is incorrect' "$ALCOVE" mount "$T/repo" "$MNT"
	BORG_PASSPHRASE=wrong refused 'passphrase supplied in .* is incorrect' "$ALCOVE" list "$T/repo"
	BORG_PASSPHRASE=wrong BORG_EXIT_CODES=modern expect 52 'passphrase' "$ALCOVE" list "$T/repo"
}

@test "no passphrase, and nobody to ask" {
	one_file
	unset BORG_PASSPHRASE
	EXPECT_LINES=3 refused '[Pp]assphrase' setsid "$ALCOVE" mount "$T/repo" "$MNT" </dev/null
}

@test "passphrase from a command, and from a descriptor" {
	one_file
	unset BORG_PASSPHRASE
	[[ $(BORG_PASSCOMMAND='echo test' "$ALCOVE" list --short "$T/repo") == a ]]
	[[ $(BORG_PASSPHRASE_FD=5 "$ALCOVE" list --short "$T/repo" 5<<<test) == a ]]
	BORG_PASSCOMMAND=false refused 'passcommand supplied in BORG_PASSCOMMAND failed' "$ALCOVE" list "$T/repo"
}

@test "no key file" {
	one_file keyfile
	[[ $("$ALCOVE" list --short "$T/repo") == a ]]
	rm -r "$T/base/.config/borg/keys"
	refused 'No key file for repository .* found in' "$ALCOVE" mount "$T/repo" "$MNT"
}

@test "no key in the repository" {
	one_file
	sed -i '/^key = /,$d' "$T/repo/config"
	refused 'No key entry found in the config of repository' "$ALCOVE" mount "$T/repo" "$MNT"
}

@test "not a repository" {
	refused 'Repository .*nowhere does not exist' "$ALCOVE" mount "$T/nowhere" "$MNT"
	mkdir empty
	refused 'empty' "$ALCOVE" mount "$T/empty" "$MNT"
	mkdir notone
	printf '[something]\nelse = 1\n' >notone/config
	refused 'is not a valid repository|does not have a valid configuration' "$ALCOVE" mount "$T/notone" "$MNT"
	echo text >file
	refused 'file' "$ALCOVE" mount "$T/file" "$MNT"
}

@test "unknown repository version" {
	one_file
	sed -i 's/^version = 1/version = 7/' "$T/repo/config"
	refused 'not a valid repository|version' "$ALCOVE" mount "$T/repo" "$MNT"
}

@test "unknown mandatory feature" {
	one_file
	"$PYTHON" "$E2E/forge.py" feature "$T/repo" from-the-future
	refused "Unsupported repository feature\(s\) .*from-the-future" "$ALCOVE" mount "$T/repo" "$MNT"
}

@test "no such archive" {
	one_file
	refused 'Archive nope does not exist' "$ALCOVE" mount "$T/repo::nope" "$MNT"
	refused 'Archive nope does not exist' "$ALCOVE" list "$T/repo::nope"
	refused 'Archive nope does not exist' "$ALCOVE" info "$T/repo::nope"
	refused 'Archive nope does not exist' "$ALCOVE" extract "$T/repo::nope"
}

@test "locked-out permissions" {
	one_file
	cp "$ALCOVE" alcove
	chmod 755 alcove
	mkdir -m 777 nobody
	HOME=$T/nobody BORG_BASE_DIR=$T/nobody EXPECT_LINES=1 refused 'ermission denied' \
		setpriv --reuid=65534 --regid=65534 --clear-groups ./alcove list "$T/repo"
}

@test "an ordinary user reads what he may, and mounts" {
	one_file none
	cp "$ALCOVE" alcove
	chmod 755 alcove
	mkdir -m 755 nobody nobody/mnt
	cp -a "$T/repo" nobody/repo
	chown -R 65534:65534 nobody
	# /dev/fuse is for everybody, as on any desktop.
	mknod -m 666 fuse c 10 229
	cat >script <<'SH'
set -e
mount --bind fuse /dev/fuse
as() { HOME=$PWD/nobody BORG_BASE_DIR=$PWD/nobody setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
as ./alcove mount nobody/repo nobody/mnt
[ "$(as cat nobody/mnt/a/f)" = hello ]
! ls nobody/mnt 2>/dev/null # not even root, without allow_other
as ./alcove umount nobody/mnt
! mountpoint -q nobody/mnt
SH
	unshare -m sh script
}

@test "no FUSE" {
	one_file
	EXPECT_LINES=2 refused '[Ff][Uu][Ss][Ee]' unshare -m sh -c 'mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 &&
		mknod -m 666 /dev/urandom c 1 9 && exec "$0" mount "$1" "$2"' "$ALCOVE" "$T/repo" "$MNT"
}

@test "unknown option" {
	one_file
	refused 'nonsense' "$ALCOVE" mount -o nonsense "$T/repo" "$MNT"
	refused 'cache_sise' "$ALCOVE" mount -o ro,cache_sise=3 "$T/repo" "$MNT"
	EXPECT_LINES=10 refused '--nonsense' "$ALCOVE" mount --nonsense "$T/repo" "$MNT"
}

@test "mount point missing, not a directory, inside the repository, around it" {
	one_file
	refused 'nowhere: Mountpoint must be a writable directory' "$ALCOVE" mount "$T/repo" "$T/nowhere"
	refused 'Mountpoint must be a writable directory' "$ALCOVE" mount "$T/repo" "$T/src/f"
	mkdir "$T/repo/mnt"
	refused 'repository' "$ALCOVE" mount "$T/repo" "$T/repo/mnt"
	refused 'repository' "$ALCOVE" mount "$T/repo" "$T/repo"
	mkdir "$T/around"
	cp -a "$T/repo" "$T/around/repo"
	refused 'repository' "$ALCOVE" mount "$T/around/repo" "$T/around"
}

@test "umount of what is not mounted" {
	run "$ALCOVE" umount "$MNT"
	[[ $status -ne 0 && -n $output ]]
}

@test "relocated repository, and one that was never seen: asked, or refused" {
	one_file
	unset BORG_RELOCATED_REPO_ACCESS_IS_OK
	"$ALCOVE" list "$T/repo"
	mv repo moved
	EXPECT_LINES=6 refused 'Repository access aborted' "$ALCOVE" mount "$T/moved" "$MNT" </dev/null
	[[ $(BORG_RELOCATED_REPO_ACCESS_IS_OK=yes "$ALCOVE" list --short "$T/moved") == a ]]
	rm -rf moved
	one_file none
	rm -rf "$T/base"
	unset BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK
	EXPECT_LINES=6 refused 'Cache initialization aborted' "$ALCOVE" mount "$T/repo" "$MNT" </dev/null
}

@test "replayed repository" {
	one_file
	cp -a repo old
	(cd src && b12 create "$T/repo::b" .)
	[[ $("$ALCOVE" list --short "$T/repo" | wc -l) == 2 ]]
	rm -rf repo
	mv old repo
	refused 'either an attack or unsafe' "$ALCOVE" mount "$T/repo" "$MNT"
}
