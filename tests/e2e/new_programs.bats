#!/usr/bin/env bats
# Other programs at the staging directory: those that write there, those that look on, and those that have the repository meanwhile.

load staging

@test "the lock goes back and is taken again: nothing is lost, but what others have deleted, which is said" {
	mkdir src && head -c 3000000 /dev/urandom >src/kept && head -c 3000000 /dev/urandom >src/gone && echo gone >src/small
	start
	make_repo "$ALCOVE" repokey-blake2 other
	mkdir mnt2 && "$ALCOVE" mount -f -o rw other mnt2 2>log &
	PIDS+=($!)
	within 10 mounted "$T/mnt2"
	for new in "$MNT/new/a" mnt2/new/a; do
		cp -a src "$new"
	done
	[[ -e repo/lock.exclusive && -e other/lock.exclusive ]]
	within 60 sh -c '[ ! -e repo/lock.exclusive ] && [ ! -e other/lock.exclusive ]'
	# Nobody interferes: others write, and it goes on.
	b12 create repo::x src/kept
	b14 create repo::y src
	[[ $(b12 list --short --consider-checkpoints repo) == a.checkpoint$'\n'x$'\n'y ]]
	echo more >"$MNT/new/a/more" && echo more >src/more && touch -r src/more "$MNT/new/a/more"
	touch -r src "$MNT/new/a"
	[[ -e repo/lock.exclusive ]]
	same_tree src "$MNT/new/a"
	mv "$MNT/new/a" "$MNT/a"
	unmounted
	published_is src a
	# Somebody deletes what is staged.
	rm src/more
	b12 create other::x src/kept 2>/dev/null
	b12 delete other::a.checkpoint
	b12 create other::y src/kept
	b12 prune --keep-last 1 other
	b12 compact --threshold 0 other
	touch mnt2/new/a/more
	cat log
	[[ $(<log) == *'lost content of 2 staged files'* && $(wc -l <log) == 1 ]]
	cmp src/kept mnt2/new/a/kept
	for lost in gone small; do
		run ! cat mnt2/new/a/$lost
		[[ $output == *'Input/output error'* ]]
	done
	run ! mv mnt2/new/a mnt2/a
	[[ $output == *'Input/output error'* ]]
	[[ $(b12 list --short --bypass-lock other 2>/dev/null) == y ]]
	rm mnt2/new/a/small
	run ! mv mnt2/new/a mnt2/a
	[[ $output == *'Input/output error'* ]]
	cp -a src/gone mnt2/new/a/gone
	mv mnt2/new/a mnt2/a
	umount_it "$T/mnt2"
	within 5 not test -e other/lock.exclusive
	[[ $(grep -c 'lost content' log) == 1 ]]
	rm src/small
	: >src/more
	[[ -z $(b12 check --verify-data other 2>&1) ]]
	rm -rf out && mkdir out && (cd out && b12 extract ../other::a)
	diff -r src out
}

@test "who looks on while an archive is published sees it in one place, whole" {
	start
	local names=() i
	for i in $(seq 6); do
		names+=("a$i")
		mkdir -p "$MNT/new/a$i/dir"
		echo "$i" >"$MNT/new/a$i/mark"
		cp -r /usr/include/asm-generic "$MNT/new/a$i/dir/"
	done
	"$PYTHON" "$E2E/beholder.py" "$MNT" "$T/stop" "${names[@]}" >seen 2>&1 &
	local beholder=$!
	within 10 grep -q looking seen
	for i in "${names[@]}"; do
		mv "$MNT/new/$i" "$MNT/$i"
		sleep 0.3
	done
	touch stop
	wait $beholder || fail "$(cat seen)" || return 1
	[[ $(tail -n 1 seen) == *' runs, '* ]]
	unmounted
	clean
}

@test "published: descriptors, maps and folders that were opened before change nothing" {
	start
	mkdir -p "$MNT/new/a/d"
	printf 'bytes\n' >"$MNT/new/a/d/f"
	mkfifo go
	"$PYTHON" "$E2E/late_writer.py" "$MNT/new/a/d/f" <go >said 2>&1 &
	exec {go}>go
	within 10 grep -q open said
	mv "$MNT/new/a" "$MNT/a"
	echo >&$go
	exec {go}>&-
	wait $!
	[[ $(tail -n 1 said) == 'read True' ]] || fail "$(cat said)" || return 1
	[[ $(grep -vc 'Read-only file system$' said) == 2 && $(wc -l <said) == 14 ]] || fail "$(cat said)" || return 1
	unmounted
	mkdir out && (cd out && b12 extract ../repo::a)
	[[ $(ls out/d) == f && $(cat out/d/f) == bytes ]]
	clean
}

@test "a map that can be written holds a publishing up as an open file does, and what msync has stored is there" {
	start
	mkdir "$MNT/new/a"
	"$PYTHON" - "$MNT" <<-'PY'
		import errno, mmap, os, sys
		mnt = sys.argv[1]
		with open(mnt + '/new/a/f', 'w+b') as f:
		    f.truncate(100000)
		    m = mmap.mmap(f.fileno(), 100000)
		m[50000:50005] = b'bytes'
		m.flush()
		try:
		    os.rename(mnt + '/new/a', mnt + '/a')
		    sys.exit('published')
		except OSError as e:
		    assert e.errno == errno.EBUSY, e
		m[60000:60004] = b'more'
		m.close()
		os.rename(mnt + '/new/a', mnt + '/a')
	PY
	unmounted
	mkdir out && (cd out && b12 extract ../repo::a)
	cmp out/f <("$PYTHON" -c 'import sys; b = bytearray(100000); b[50000:50005] = b"bytes"; b[60000:60004] = b"more"; sys.stdout.buffer.write(b)')
	clean
}

@test "fio verifies what it has written, dd writes anywhere, gio copies and moves: borg restores it" {
	mkdir src && cp /usr/include/linux/{a,b}*.h src/ && setfattr -n user.color -v green src/audit.h
	start
	mkdir -p "$MNT/new/a/"{fio,gio}
	for engine in psync mmap; do
		fio --name="$engine" --directory="$MNT/new/a/fio" --ioengine=$engine --rw=randrw --bsrange=512-64k --size="$(soak 6m 200m)" --verify=crc32c \
			--verify_fatal=1 --end_fsync=1 --output=fio.out || fail "$(cat fio.out)" || return 1
	done
	fio --name=append --directory="$MNT/new/a/fio" --rw=write --bs=37k --size=5m --verify=md5 --fsync=40 --output=fio.out || fail "$(cat fio.out)" || return 1
	head -c 4000000 /dev/urandom >image && cp image "$MNT/new/a/image"
	for i in $(seq "$(soak 40 2000)"); do
		head -c $((RANDOM % 9000 + 1)) /dev/urandom >piece
		for to in image "$MNT/new/a/image"; do
			dd if=piece of="$to" bs=64k seek=$((i * 104729 % 4000000)) conv=notrunc oflag=seek_bytes status=none
		done
	done
	cmp image "$MNT/new/a/image"
	for f in src/*; do GIO_USE_VFS=local gio copy -p "$f" "$MNT/new/a/gio/${f##*/}"; done
	for f in src/a*; do GIO_USE_VFS=local gio move "$MNT/new/a/gio/${f##*/}" "$MNT/new/a/moved-${f##*/}"; done
	cp src/audit.h there && GIO_USE_VFS=local gio move there "$MNT/new/a/gio/from-elsewhere"
	for f in src/b*; do cmp "$f" "$MNT/new/a/gio/${f##*/}"; done
	[[ $(getfattr --only-values -n user.color --absolute-names "$MNT/new/a/moved-audit.h") == green ]]
	cp -a "$MNT/new/a" copy
	mv "$MNT/new/a" "$MNT/a"
	same_tree copy "$MNT/a"
	unmounted
	published_is copy a
}

@test "checkpoints while files grow and change leave the chunks that borg create makes" {
	local seed=${ALCOVE_TEST_SEED:-$RANDOM}
	echo "# seed $seed" >&3
	start
	mkdir "$MNT/new/a"
	"$PYTHON" "$E2E/growing_files.py" "$MNT/new/a" "$seed" "$(soak 40 600)" 20000000
	cp -a "$MNT/new/a" copy
	mv "$MNT/new/a" "$MNT/a"
	unmounted
	(cd copy && b12 create ../repo::b .)
	diff <("$PYTHON" "$E2E/content_ids.py" repo a) <("$PYTHON" "$E2E/content_ids.py" repo b)
	published_is copy a
}

@test "pjdfstest, where PJDFSTEST names its folder" {
	[[ -n ${PJDFSTEST:-} ]] || skip 'PJDFSTEST names no folder'
	make_repo "$ALCOVE" repokey
	mount_it -o rw,allow_other repo
	mkdir "$MNT/new/a" && cd "$MNT/new/a"
	prove -r "$PJDFSTEST/tests" >"$T/out" 2>&1 || fail "$(grep -v ' ok$' "$T/out" | tail -n 40)" || return 1
	cd "$T"
	unmounted
	clean
}
