#!/usr/bin/env bats
# The options of the mount, fstab, foreground and signals.

load lib

setup() {
	sandbox
	mkdir -p src/docs/deep src/other
	echo one >src/docs/plan.txt
	echo two >src/docs/deep/note
	echo three >src/other/thing
	chmod 640 src/other/thing
	chown 12345:54321 src/other/thing
	ln -s plan.txt src/docs/link
	make_repo b12 repokey
	(cd src && b12 create --timestamp 2024-01-01T10:00:00 "$T/repo::host-1" .)
	(cd src && b12 create --timestamp 2024-01-02T10:00:00 "$T/repo::host-2" .)
	echo changed >src/docs/plan.txt
	(cd src && b12 create --timestamp 2024-01-03T10:00:00 "$T/repo::other-3" .)
	(cd src && b12 create --timestamp 2024-01-04T10:00:00 "$T/repo::killed.checkpoint" .)
}

names() {
	shown_at | sort | tr '\n' ' '
}

@test "archive selection" {
	mount_it "$T/repo"
	[[ $(names) == 'host-1 host-2 other-3 ' ]]
	umount_it
	mount_it -a 'host-*' "$T/repo"
	[[ $(names) == 'host-1 host-2 ' ]]
	umount_it
	mount_it --prefix oth "$T/repo"
	[[ $(names) == 'other-3 ' ]]
	umount_it
	mount_it --first 1 "$T/repo"
	[[ $(names) == 'host-1 ' ]]
	umount_it
	mount_it --last 2 --sort-by timestamp "$T/repo"
	[[ $(names) == 'host-2 other-3 ' ]]
	umount_it
	mount_it --consider-checkpoints "$T/repo"
	[[ $(names) == 'host-1 host-2 killed.checkpoint other-3 ' ]]
}

@test "the archive's directory has its item's attributes, and before that its time" {
	touch -d '2001-02-03 04:05:06.789' src
	(cd src && b12 create "$T/repo::rooted" .)
	mount_it "$T/repo"
	ls "$MNT/rooted" >/dev/null
	sleep 1.1
	[[ $(stat -c %Y "$MNT/rooted") == "$(stat -c %Y src)" ]]
}

@test "PATHs, --exclude, --strip-components" {
	"$ALCOVE" mount "$T/repo::host-1" "$MNT" docs
	[[ $(names) == 'docs ' ]]
	umount_it
	"$ALCOVE" mount --exclude 'sh:docs/*.txt' "$T/repo::host-1" "$MNT"
	[[ $(ls "$MNT/docs" | tr '\n' ' ') == 'deep link ' ]]
	umount_it
	"$ALCOVE" mount --strip-components 1 "$T/repo::host-1" "$MNT"
	[[ $(names) == 'deep link plan.txt thing ' ]]
}

@test "subdir=" {
	mount_it -o subdir=docs "$T/repo::host-1"
	[[ $(names) == 'deep link plan.txt ' ]]
}

@test "uid, gid, umask, ignore_permissions" {
	mount_it -o uid=33,gid=34,umask=0277 "$T/repo::host-1"
	[[ $(stat -c '%u %g %a' "$MNT/other/thing") == '33 34 400' ]]
	umount_it
	mount_it -o ignore_permissions "$T/repo::host-1"
	[[ $(<"$MNT/other/thing") == three ]]
	not grep -q "$MNT.*default_permissions" /proc/self/mounts
}

@test "owners by number, by name" {
	mount_it --numeric-ids "$T/repo::host-1"
	[[ $(stat -c '%u %g' "$MNT/other/thing") == '12345 54321' ]]
}

@test "versions: every distinct content under a name of its own, as borg shows them" {
	mkdir theirs
	b12 mount -o versions "$T/repo" theirs
	mount_it -o versions "$T/repo"
	diff <(cd theirs && find . | sort) <(cd "$MNT" && find . | sort)
	for f in $(cd theirs && find . -type f); do
		cmp "theirs/$f" "$MNT/$f"
	done
	[[ $(cat "$MNT"/docs/plan.txt/plan.*.txt | sort | tr '\n' ' ') == 'changed one ' ]]
	umount theirs
}

@test "versions of a single archive is an error" {
	expect 2 'for versions view, do not specify a single archive' "$ALCOVE" mount -o versions "$T/repo::host-1" "$MNT"
}

@test "libfuse's options are taken" {
	mount_it -o allow_other,fsname=other,nodev,nosuid,noexec "$T/repo"
	grep -q "^other $MNT fuse.alcove.*nosuid,nodev,noexec.*allow_other" /proc/self/mounts
	[[ $(setpriv --reuid=65534 --regid=65534 --clear-groups cat "$MNT/host-1/docs/plan.txt") == one ]]
	run ! setpriv --reuid=65534 --regid=65534 --clear-groups cat "$MNT/host-1/other/thing"
}

@test "foreground: SIGINT unmounts and exits" {
	"$ALCOVE" mount -f "$T/repo" "$MNT" &
	PIDS+=($!)
	within 10 mounted
	[[ $(<"$MNT/host-1/docs/plan.txt") == one ]]
	kill -INT "${PIDS[0]}"
	within 10 not mounted
	wait "${PIDS[0]}"
	PIDS=()
}

@test "in the background it lets go of the terminal, and of the working directory" {
	mkdir cwd
	out=$(cd cwd && timeout 20 "$ALCOVE" mount "$T/repo" "$MNT")
	[[ -z $out ]]
	mounted
	rmdir cwd
}

@test "fstab: mount and umount through the helpers" {
	mkdir -p dest
	make -s -C "$TOP" install DESTDIR="$T/dest" PREFIX=/usr >/dev/null
	[[ -f dest/usr/bin/alcove && -f dest/usr/share/man/man1/alcove.1 ]]
	for helper in mount.alcove mount.fuse.alcove umount.fuse.alcove; do
		[[ $(readlink "dest/sbin/$helper") == /usr/bin/alcove ]]
		ln -s "$ALCOVE" "$helper"
	done
	# As mount(8) calls its helper: source, target, -o options that are the kernel's and mount's own among ours.
	./mount.fuse.alcove "$T/repo" "$MNT" -o rw,noauto,user,nosuid,nodev,allow_other
	[[ $(<"$MNT/host-1/docs/plan.txt") == one ]]
	./umount.fuse.alcove "$MNT"
	not mounted
	./mount.alcove "$T/repo::host-1" "$MNT" -o defaults,_netdev,x-systemd.automount
	[[ $(<"$MNT/docs/plan.txt") == one ]]
	umount "$MNT"
}

@test "BORG_REPO and ::" {
	BORG_REPO=$T/repo "$ALCOVE" mount ::host-1 "$MNT"
	[[ $(<"$MNT/docs/plan.txt") == one ]]
	umount_it
	BORG_REPO=$T/repo "$ALCOVE" mount :: "$MNT"
	[[ $(names) == 'host-1 host-2 other-3 ' ]]
}

@test "names that no directory can have are shown escaped" {
	for name in . .. 'a b' 'ü'; do
		(cd src && b12 create "$T/repo::$name" docs/plan.txt)
	done
	mount_it "$T/repo"
	[[ $(shown_at | wc -l) == 7 ]]
	[[ -f "$MNT/a b/docs/plan.txt" && -f "$MNT/ü/docs/plan.txt" ]]
	for f in "$MNT"/*/docs/plan.txt; do
		[[ -s $f ]]
	done
}

@test "an archive called new is shown, with a warning" {
	(cd src && b12 create "$T/repo::new" docs/plan.txt)
	mount_it "$T/repo"
	[[ $(<"$MNT/new/docs/plan.txt") == changed ]]
}
