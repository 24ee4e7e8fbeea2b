#!/usr/bin/env bats
# The view of versions beside stock borg's: names, kinds, bytes, and which names are one file.

load lib

setup() {
	sandbox
	mkdir theirs
	mkdir -p src/d/sub src/x
	make_repo b12 repokey
	cd src || return 1
	echo one >d/plan.txt
	echo t >d/test
	ln d/plan.txt d/two.c
	ln d/plan.txt x/three.txt
	ln -s plan.txt d/ln
	mkfifo d/p
	mknod d/dev c 5 1
	: >d/empty
	ln d/empty d/empty2
	echo hidden >.rc
	head -c 300000 /dev/urandom >d/sub/big.tar.gz
	b12 create --timestamp 2024-01-01T00:00:00 ../repo::a1 .
	echo two >>d/plan.txt
	ln -sfn test d/ln
	mkdir d/was
	echo f >d/was/f
	echo x >x/new
	b12 create --timestamp 2024-01-02T00:00:00 ../repo::a2 .
	rm -r d/was d/two.c d/test
	echo 'a file now' >d/was
	echo solo >d/two.c
	mkdir d/test
	echo q >d/test/q
	b12 create --timestamp 2024-01-03T00:00:00 ../repo::a3 .
	cd ..
}

# Directories that no archive has get the time of their making from borg, so their times are left out.
listing() { # FOLDER
	(
		cd "$1" || exit 1
		find . \( -type d -printf '%P d %m\n' \) -o -printf '%P %y %m %s %l %T@ %U %G\n' | sort
		find . -type f -exec sha256sum {} + | sort -k2
		find . -type f -links +1 -printf '%i %P\n' | sort -k2 |
			awk '{ name[NR] = $2; inode[NR] = $1; names[$1]++ }
				END { for (i = 1; i <= NR; i++) if (names[inode[i]] > 1) {
					if (!(inode[i] in group)) group[inode[i]] = ++groups
					print "group", group[inode[i]], name[i] } }'
	)
}

same_versions() { # PATTERN [OPTION...]: a name that must be there
	local pattern=$1
	shift
	b12 mount -o versions "$@" "$T/repo" theirs "${PATHS[@]}"
	listing theirs >theirs.list
	b12 umount theirs
	"$ALCOVE" mount -o versions "$@" "$T/repo" "$MNT" "${PATHS[@]}"
	listing "$MNT" >ours.list
	umount_it
	grep -qE "$pattern" theirs.list
	diff theirs.list ours.list
}

@test "versions: three archives, links and changed kinds" {
	PATHS=()
	same_versions '^d/plan.txt/plan.00002.txt f'
	grep -q '^d/was/was.00001 f' ours.list
	grep -q '^d/was/f/f.00001 f' ours.list
	grep -q '^group 1 .*d/empty2' ours.list
}

@test "versions: numbers are those of the archives chosen" {
	PATHS=()
	same_versions '^d/two.c/two.00002.c f' --last 2
}

@test "versions: PATHs; links whose masters are not shown" {
	PATHS=(x)
	same_versions '^x/three.txt/three.00002.txt f'
	PATHS=(d)
	same_versions '^d/two.c/two.00003.c f'
	PATHS=()
	same_versions '^x/three.txt/three.00002.txt f' --exclude d/plan.txt
}

@test "versions: leading components stripped" {
	PATHS=()
	same_versions '^plan.txt/plan.00002.txt f' --strip-components 1
	same_versions '^three.txt/three.00002.txt f' --strip-components 1 --exclude d/plan.txt
}
