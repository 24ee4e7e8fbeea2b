# new.bats - the staging directory of a mount: what is copied into it, changed there and moved to the root is an archive that
# borg restores to the last bit, and what was not moved is a checkpoint.

load staging

@test "a rich tree copied by rsync, cp and tar, published by mv" {
	rich_tree src
	without_flags src
	start
	mkdir "$MNT"/new/{a,b,c}
	rsync -aHAX --numeric-ids src/ "$MNT/new/a/"
	cp -a src/. "$MNT/new/b/"
	tar -C src --xattrs --xattrs-include='*' --acls -cf - . | tar -C "$MNT/new/c" --xattrs --xattrs-include='*' --acls -xpf -
	same_tree src "$MNT/new/a"
	mv "$MNT"/new/{a,b,c} "$MNT/"
	[[ -z $(ls "$MNT/new") ]]
	same_tree src "$MNT/a"
	unmounted
	clean
	for name in a b c; do
		[[ $(b12 list --short repo::$name | wc -l) -gt 10 ]]
	done
	mount_it repo
	same_tree src "$MNT/a"
}

@test "borg restores what was published, and finds nothing to add" {
	cp -a /usr/include/linux src
	start
	cp -a src "$MNT/new/src"
	mv "$MNT/new/src" "$MNT/one"
	unmounted
	published_is src one
	(cd src && b12 create --json --stats ../repo::two . >../stats)
	[[ $(jq '.archive.stats.deduplicated_size' stats) -lt 100000 ]]
}

@test "whatever is done to a published tree: EROFS, through what was opened before, too" {
	start
	mkdir "$MNT/new/a" "$MNT/new/a/d"
	echo one >"$MNT/new/a/f"
	exec {file}<"$MNT/new/a/f"
	cd "$MNT/new/a/d"
	mv "$MNT/new/a" "$MNT/a"
	run ! touch here
	[[ $output == *'Read-only file system'* ]]
	[[ $(cat <&$file) == one ]]
	exec {file}<&-
	run ! sh -c "echo two >'$MNT/a/f'"
	run ! chmod 600 "$MNT/a/f"
	[[ $output == *'Read-only file system'* ]]
	run ! rm "$MNT/a/f"
	run ! mv "$MNT/a/f" "$MNT/a/g"
	run ! ln "$MNT/a/f" "$MNT/a/g"
	cd "$T"
	sleep 2
	[[ $(cat "$MNT/a/f") == one ]]
	unmounted
	clean
}

@test "names that no archive in the making can have" {
	start
	mkdir "$MNT/new/a" && mv "$MNT/new/a" "$MNT/a"
	run ! mkdir "$MNT/new/a"
	[[ $output == *'File exists'* ]]
	run ! mkdir "$MNT/new/x.checkpoint"
	[[ $output == *'Invalid argument'* ]]
	run ! mkdir "$MNT/new/x.checkpoint.7"
	run ! touch "$MNT/new/file"
	[[ $output == *'Operation not permitted'* ]]
	run ! mkdir "$MNT/x"
	run ! mv "$MNT/a" "$MNT/b"
	[[ $output == *'Operation not permitted'* ]]
	mkdir "$MNT/new/b"
	run ! mv -T "$MNT/new/b" "$MNT/a"
	mv "$MNT/new/b" "$MNT/new/c"
	[[ $(ls "$MNT/new") == c ]]
	run ! mv "$MNT/a" "$MNT/new/"
	rmdir "$MNT/new/c"
	unmounted
	[[ $(b12 list --short --consider-checkpoints repo) == a ]]
	clean
}

@test "an open file holds a publishing up, and then refuses it" {
	start
	mkdir "$MNT/new/a"
	exec {file}>"$MNT/new/a/f"
	run ! mv "$MNT/new/a" "$MNT/a"
	[[ $output == *busy* ]]
	(sleep 0.4) &
	exec {file}>&-
	mv "$MNT/new/a" "$MNT/a"
	unmounted
	clean
}

@test "links and copies out of an archive move no data" {
	mkdir src && cp -a /usr/bin/perl /usr/include/linux src/ && head -c 30000000 /dev/urandom >src/big
	start
	cp -a src "$MNT/new/y"
	mv "$MNT/new/y" "$MNT/yesterday"
	unmounted
	mount_rw
	before=$(du -sb repo/data | cut -f1)
	mkdir "$MNT/new/t"
	rsync -aHAX --numeric-ids --link-dest="$MNT/yesterday" src/ "$MNT/new/t/"
	cp "$MNT/yesterday/big" "$MNT/new/t/copy"
	same_tree "$MNT/yesterday/linux" "$MNT/new/t/linux"
	mv "$MNT/new/t" "$MNT/today"
	unmounted
	(($(du -sb repo/data | cut -f1) - before < 400000))
	cp src/big src/copy
	touch -r src/big "$T/time"
	clean
	[[ $(chunk_ids today | grep ' *big' | cut -d' ' -f2-) == $(chunk_ids yesterday | grep big | cut -d' ' -f2-) ]]
	mkdir out && (cd out && b12 extract ../repo::today)
	cmp src/big out/copy && cmp src/perl out/perl
	diff -r src/linux out/linux
}

@test "killed: the checkpoint is staged again, and the copy goes on" {
	cp -a /usr/include/linux src
	start
	mkdir "$MNT/new/n"
	rsync -aHAX src/a* src/b* "$MNT/new/n/"
	sync "$MNT/new/n"
	echo lost >"$MNT/new/n/lost"
	pkill -KILL -f "alcove mount.*$MNT\$"
	within 5 not pgrep -f "alcove mount.*$MNT\$"
	umount -l "$MNT"
	[[ $(b12 list --short --consider-checkpoints --lock-wait 5 repo) == n.checkpoint ]]
	clean
	mount_rw
	within 10 test -d "$MNT/new/n"
	[[ ! -e $MNT/new/n/lost ]]
	[[ -z $(rsync -aHAXnic src/a* src/b* "$MNT/new/n/") ]]
	rsync -aHAX --delete src/ "$MNT/new/n/"
	mv "$MNT/new/n" "$MNT/n"
	unmounted
	[[ $(b12 list --short --consider-checkpoints repo) == n ]]
	published_is src n
}

@test "an interrupted borg create goes on here: its parts are one file again" {
	mkdir src && head -c 60000000 /dev/urandom >src/large && echo small >src/a
	make_repo b12 repokey
	mv src/large large && mkfifo src/large
	(head -c 30000000 large && sleep 2 && tail -c +30000001 large | head -c 20000000 && sleep 60) >src/large &
	feeder=$!
	"$B12" create --read-special --checkpoint-interval 1 repo::c src 2>/dev/null &
	borg=$!
	within 60 sh -c "'$ALCOVE' list --short --consider-checkpoints repo | grep -q checkpoint"
	kill -INT $borg
	wait $borg || :
	pkill -P $feeder || :
	rm src/large && mv large src/large
	[[ $(b12 list --short --consider-checkpoints repo) == c.checkpoint* ]]
	mount_rw
	within 10 test -d "$MNT/new/c"
	ls -la "$MNT/new/c/src"
	size=$(stat -c %s "$MNT/new/c/src/large")
	((size > 0 && size <= 60000000))
	cmp -n "$size" src/large "$MNT/new/c/src/large"
	[[ -z $(ls "$MNT/new/c/src" | grep part) ]]
	rsync -aHAX --delete --inplace src/ "$MNT/new/c/src/"
	mv "$MNT/new/c" "$MNT/c"
	unmounted
	[[ $(b12 list --short --consider-checkpoints repo) == c ]]
	clean
	mkdir out && (cd out && b12 extract ../repo::c) && diff -r src out/src
}

@test "umount publishes what was written, and keeps the rest" {
	start
	mkdir "$MNT"/new/{full,empty}
	echo x >"$MNT/new/full/f"
	run "$ALCOVE" umount "$MNT"
	[[ $output == $'full: published\nempty: left as a checkpoint: it is empty' ]]
	[[ $(b12 list --short repo) == full ]]
	[[ $(b12 list --short --consider-checkpoints repo) == *empty.checkpoint* ]]
	clean
	mount_rw
	within 10 test -d "$MNT/new/empty"
	unmounted
	[[ $(b12 list --short --consider-checkpoints repo) == *empty.checkpoint* ]]
	mount_rw
	within 10 rmdir "$MNT/new/empty"
	unmounted
	[[ $(b12 list --short --consider-checkpoints repo) == full ]]
	clean
}

@test "the lock is another's: the first write waits, and then says so" {
	make_repo "$ALCOVE" repokey
	"$ALCOVE" mount --lock-wait 2 -o rw repo "$MNT"
	b12 with-lock repo sleep 4 &
	within 5 test -d repo/lock.exclusive
	run ! mkdir "$MNT/new/a"
	[[ $output == *busy* ]]
	wait $!
	mkdir "$MNT/new/a"
	run ! b12 list --lock-wait 0 repo
	unmounted
	b12 list repo
}

@test "with ro, and where the repository cannot be written, there is no new/" {
	make_repo "$ALCOVE" repokey
	mount_it -o ro repo
	[[ -z $(ls "$MNT") ]]
	run ! mkdir "$MNT/new"
	umount_it
	"$ALCOVE" create repo::a /etc/hostname
	mount_it repo::a
	[[ $(ls "$MNT") == etc ]]
	umount_it
	mount_it --last 1 repo
	[[ $(ls "$MNT") == a ]]
	umount_it
	mount_it -o versions repo
	[[ $(ls "$MNT") == etc ]]
	umount_it
	mount_it -o rw repo
	[[ $(ls "$MNT") == $'a\nnew' ]]
	umount_it
	mount --bind repo repo && mount -o remount,bind,ro repo
	mount_rw
	[[ $(ls "$MNT") == a ]]
	umount_it
	umount repo
	"$ALCOVE" rename repo::a new
	mount_rw staging=stage
	[[ $(ls "$MNT") == $'new\nstage' ]]
	umount_it
}

@test "three archives under write: the one that is published is clean, and so are the others' checkpoints" {
	cp -a /usr/include/linux src
	start
	mkdir "$MNT"/new/{a,b,c}
	cp -a src/. "$MNT/new/a/"
	(while cp -a src/. "$MNT/new/b/" && rm -r "$MNT/new/b/"*; do :; done 2>/dev/null) &
	busy=$!
	(while :; do head -c 3000000 /dev/urandom >"$MNT/new/c/f$RANDOM"; done 2>/dev/null) &
	busy2=$!
	mv "$MNT/new/a" "$MNT/a"
	kill $busy $busy2
	wait $busy $busy2 2>/dev/null || :
	pkill -KILL -f "alcove mount.*$MNT\$"
	within 5 not pgrep -f "alcove mount.*$MNT\$"
	umount -l "$MNT"
	b12 break-lock repo
	published_is src a
}

@test "programs at work: git, a build, sqlite3, dd at random places" {
	start
	mkdir "$MNT/new/w" && cd "$MNT/new/w"
	git init -q g && cd g && git config user.email a@b && git config user.name n
	cp -r /usr/include/asm-generic . && git add -A && git commit -qm one && git fsck --strict
	cd .. && git clone -q g h && git -C h fsck
	printf 'int f(void){return 3;}\n' >f.c && printf 'int f(void);int main(void){return f()-3;}\n' >m.c
	printf 'm: m.o f.o\n\tcc -o $@ $^\n' >Makefile && make -s m && ./m
	"$PYTHON" - <<-'PY'
		import sqlite3
		for mode in ("wal", "delete"):
		    c = sqlite3.connect(mode + ".db")
		    c.execute("pragma journal_mode=" + mode)
		    c.execute("create table t(a, b)")
		    for i in range(300):
		        c.execute("insert into t values(?, ?)", (i, "x" * (i % 700)))
		        if i % 50 == 0: c.commit()
		    c.commit()
		    c.execute("delete from t where a % 3 = 0"); c.commit(); c.execute("vacuum")
		    assert c.execute("pragma integrity_check").fetchone()[0] == "ok"
		    c.close()
	PY
	cp -a "$MNT/new/w" "$T/copy"
	head -c 5000000 /dev/urandom >"$T/copy/image" && cp "$T/copy/image" image
	for i in $(seq 40); do
		at=$((RANDOM * 150))
		for to in "$T/copy/image" image; do
			yes "$i" | dd of="$to" bs=1 count=$((RANDOM % 9000)) seek=$at conv=notrunc iflag=fullblock status=none oflag=seek_bytes 2>/dev/null || :
		done
		cp image "$T/copy/image"
	done
	cmp image "$T/copy/image"
	cd "$T"
	mv "$MNT/new/w" "$MNT/w"
	unmounted
	clean
	mkdir out && (cd out && b12 extract ../repo::w)
	diff -r --no-dereference copy out
	git -C out/h fsck
}

@test "flags of chattr are kept, obeyed and archived" {
	start
	mkdir "$MNT/new/a" && cd "$MNT/new/a"
	echo x >fixed && echo x >log && echo x >dull && mkdir d
	chattr +i fixed && chattr +a log && chattr +d dull d
	[[ $(lsattr fixed) == ----i* && $(lsattr log) == -----a* ]]
	run ! sh -c 'echo y >fixed'
	[[ $output == *'not permitted'* ]]
	run ! rm fixed
	run ! sh -c 'echo y >log'
	echo y >>log
	cd "$T"
	mv "$MNT/new/a" "$MNT/a"
	unmounted
	mkdir out && (cd out && b12 extract ../repo::a)
	[[ $(lsattr out/fixed) == ----i* && $(lsattr out/log) == -----a* && $(lsattr out/dull) == ------d* ]]
	[[ $(cat out/log) == $'x\ny' ]]
	chattr -i -a out/*
	clean
}

@test "a signal, an aborted connection, on_umount=checkpoint: nothing is published" {
	make_repo "$ALCOVE" repokey
	mountpoint -q /sys/fs/fuse/connections || mount -t fusectl none /sys/fs/fuse/connections
	for end in term abort option; do
		if [[ $end == option ]]; then mount_rw on_umount=checkpoint; else mount_rw; fi
		within 10 sh -c "[ -d '$MNT/new/a' ] || mkdir '$MNT/new/a'"
		echo $end >"$MNT/new/a/$end"
		case $end in
		term) pkill -TERM -f "alcove mount.*$MNT\$" ;;
		abort) echo 1 >"/sys/fs/fuse/connections/$(stat -c %d "$MNT")/abort" ;;
		option) umount_it ;;
		esac
		within 20 not pgrep -f "alcove mount.*$MNT\$"
		! mounted || umount -l "$MNT"
		b12 list --short --consider-checkpoints repo >names 2>&1
		[[ $(<names) == a.checkpoint ]] || fail "$end: $(<names)"
		clean
	done
	mkdir out && (cd out && b12 extract ../repo::a.checkpoint)
	[[ $(ls out) == $'abort\noption\nterm' ]]
}

@test "a file under random operations, across checkpoints: no byte differs, and borg restores it" {
	start
	mkdir "$MNT/new/a"
	seed=${ALCOVE_TEST_SEED:-$RANDOM$RANDOM}
	echo "# seed $seed" >&3
	for i in 1 2; do
		"$(dirname "$(readlink -f "$ALCOVE")")/tests/support/file_storm" "$MNT/new/a/f$i" "$seed$i" "$(soak 3000 500000)"
		cp "$MNT/new/a/f$i" "f$i"
	done
	mv "$MNT/new/a" "$MNT/a"
	unmounted
	clean
	mkdir out && (cd out && b12 extract ../repo::a)
	cmp f1 out/f1
	cmp f2 out/f2
}

@test "a tree under random changes: each checkpoint is the tree as it was, and nothing is left behind" {
	local seed=${ALCOVE_TEST_SEED:-$RANDOM}
	echo "# seed $seed"
	start repokey-blake2
	mkdir "$MNT/new/a"
	cat >each <<-EOF
		set -e
		rm -rf $T/out && mkdir $T/out && cd $T/out
		$ALCOVE extract --numeric-ids $T/repo::a.checkpoint
		touch -r $MNT/new/a .
		[ -z "\$(rsync -aHAXnic --delete $MNT/new/a/ ./ | tee /dev/stderr)" ]
		if [ \$((\$(date +%N | cut -c 7) % 3)) = 0 ]; then
			rm -rf $T/c && cp -a $T/repo $T/c && rm -rf $T/c/lock.*
			[ -z "\$(borg check $T/c 2>&1 | tee /dev/stderr)" ]
		fi
	EOF
	"$PYTHON" "$E2E/tree_storm.py" "$MNT/new/a" "$seed" "$(soak 12 300)" "bash $T/each"
	cp -a "$MNT/new/a" copy
	mv "$MNT/new/a" "$MNT/a"
	unmounted
	published_is copy a
}

@test "a full disk, a quota: told to who writes; what was staged before is kept, and published when there is room" {
	mkdir small && mount -t tmpfs -o size=80m none small
	for kind in disk quota; do
		rm -rf small/*
		limit=()
		[[ $kind == disk ]] || limit=(--storage-quota 60M)
		"$ALCOVE" init -e repokey "${limit[@]}" small/repo 2>/dev/null
		"$ALCOVE" config small/repo max_segment_size 1000000 # one must be free, for a commit to be begun
		mount_it small/repo
		mkdir "$MNT/new/a"
		head -c 20000000 /dev/urandom >keep
		cp keep "$MNT/new/a/keep"
		sync "$MNT/new/a"
		run ! sh -c "head -c 90000000 /dev/urandom >'$MNT/new/a/big' && sync '$MNT/new/a/big'"
		rm "$MNT/new/a/big"
		within 60 sh -c "echo more >>'$MNT/new/a/more' && sync '$MNT/new/a'"
		mv "$MNT/new/a" "$MNT/a"
		umount_it
		[[ -z $(b12 check --verify-data small/repo 2>&1) ]]
		rm -rf out && mkdir out && (cd out && b12 extract ../small/repo::a)
		cmp keep out/keep
		[[ -s out/more && ! -e out/big ]]
	done
	umount small
}

@test "-o manage: mv renames an archive, rmdir deletes it; without it neither" {
	make_repo "$ALCOVE" repokey
	cp -a /usr/include/linux src
	for name in a b c; do (cd src && "$ALCOVE" create ../repo::$name .); done
	mount_rw
	run ! rmdir "$MNT/a"
	[[ $output == *'not permitted'* ]]
	run ! mv "$MNT/a" "$MNT/x"
	unmounted
	mount_rw manage
	ls "$MNT/a" >/dev/null
	mv "$MNT/a" "$MNT/x"
	[[ $(ls "$MNT") == $'b\nc\nnew\nx' ]]
	same_tree src "$MNT/x"
	run ! mv -T "$MNT/b" "$MNT/c"
	rmdir "$MNT/b"
	run ! rmdir "$MNT/b"
	[[ $(ls "$MNT") == $'c\nnew\nx' ]]
	mkdir "$MNT/new/d" && echo x >"$MNT/new/d/f"
	rmdir "$MNT/c"
	mv "$MNT/new/d" "$MNT/"
	unmounted
	[[ $(b12 list --short repo) == $'x\nd' ]]
	published_is src x
}

nested() { # DIRECTORY: directories, hard links across them, many files, a symlink, what can be deleted by its folder only
	local i
	mkdir -p "$1"/{d/e/f,many,empty}
	for ((i = 0; i < 3000; i++)); do echo $i >"$1/many/$i"; done
	echo one >"$1/d/one"
	ln "$1/d/one" "$1/d/e/two"
	ln "$1/d/one" "$1/three"
	ln -s nowhere "$1/d/e/f/link"
	mkfifo "$1/fifo"
	chmod 500 "$1/d/e"
}

archives() { # ARCHIVE...: all of one tree
	nested src
	for name; do (cd src && "$ALCOVE" create ../repo::$name .); done
}

@test "-o manage: rm -r deletes an archive, and no other" {
	make_repo "$ALCOVE" repokey
	archives a b c d
	mount_rw manage
	ls -lR "$MNT/a" "$MNT/b" >/dev/null
	rm -r "$MNT/a"
	[[ $(ls "$MNT") == $'b\nc\nd\nnew' ]]
	rm -rf "$MNT/c" "$MNT/none"
	python3 -c 'import shutil, sys; shutil.rmtree(sys.argv[1])' "$MNT/d"
	[[ $(ls "$MNT") == $'b\nnew' ]]
	same_tree src "$MNT/b"
	unmounted
	[[ $(b12 list --short repo) == b ]]
	published_is src b
}

@test "-o manage: what was removed of an archive that stays shows again" {
	make_repo "$ALCOVE" repokey
	archives a b
	"$ALCOVE" mount -f -o rw,manage,removal_timeout=4 repo "$MNT" 2>log &
	within 10 mounted
	same_tree src "$MNT/a"
	before=$(sha256sum repo/data/*/* repo/index* | sha256sum)
	exec {file}<"$MNT/a/many/17"
	rm -r "$MNT/a/many" "$MNT/a/d/e"
	[[ ! -e $MNT/a/many && ! -e $MNT/a/d/e/two && ! -e $MNT/a/many/3 ]]
	[[ $(ls "$MNT/a") == $'d\nempty\nfifo\nthree' && $(ls "$MNT/a/d") == one ]]
	[[ $(cat "$MNT/a/d/one" "$MNT/a/three") == $'one\none' && $(cat <&$file) == 17 ]]
	exec {file}<&-
	run ! rmdir "$MNT/a/d"
	[[ $output == *'not empty'* ]]
	run ! rm "$MNT/a/many/17"
	run ! mkdir "$MNT/a/many"
	[[ $output == *'Read-only file system'* ]]
	run ! rmdir "$MNT/a/three"
	[[ $output == *'Not a directory'* ]]
	same_tree src "$MNT/b"
	[[ ! -s log ]]
	within 8 test -e "$MNT/a/many"
	same_tree src "$MNT/a"
	[[ $(stat -c %h "$MNT/a/three") == 3 ]]
	[[ $(grep -c 'a: an archive can only be removed as a whole' log) == 1 && $(wc -l <log) == 1 ]]
	rm "$MNT/b/three"
	[[ $(sha256sum repo/data/*/* repo/index* | sha256sum) == "$before" ]]
	unmounted
	grep -q 'b: an archive can only be removed as a whole' log
	[[ $(b12 list --short repo) == $'a\nb' ]]
	published_is src b
	clean
}

@test "rm in an archive where none can be removed: EROFS" {
	make_repo "$ALCOVE" repokey
	archives a
	local options
	for options in '' ro ro,manage manage,versions; do
		mount_it ${options:+-o "$options"} repo
		run ! rm -f "$(find "$MNT" -name 'three*' -type f | head -1)"
		[[ $output == *'Read-only file system'* ]]
		umount_it
	done
	mount_it -o rw,manage repo::a
	run ! rm -r "$MNT/many"
	[[ $output == *'Read-only file system'* ]]
	umount_it
	[[ $(b12 list --short repo) == a ]]
}

value() { # FILE NAME
	getfattr --absolute-names --only-values -n "user.alcove.$2" "$1"
}

own_params() { # ARCHIVE COMPRESSION CHUNKER_PARAMS
	setfattr -n user.alcove.compression -v "$2" "$MNT/new/$1"
	setfattr -n user.alcove.chunker_params -v "$3" "$MNT/new/$1"
}

# The ids of an archive as borg makes it in this repository, from the same files.
same_cuts() { # ARCHIVE SOURCE CHUNKER_PARAMS
	(cd "$2" && b12 create --chunker-params "$3" ../repo::like . 2>/dev/null)
	diff <("$PYTHON" "$E2E/content_ids.py" repo "$1") <("$PYTHON" "$E2E/content_ids.py" repo like)
	b12 delete repo::like 2>/dev/null
}

told_params() { # ARCHIVE
	b12 info --json "repo::$1" 2>/dev/null | jq -c '.archives[0].chunker_params'
}

@test "two archives of one mount, each compressed and cut in its own way" {
	local i name
	mkdir src
	head -c 3000000 /dev/urandom >src/random
	seq 1 700000 >src/text
	truncate -s 3000000 src/hole
	printf x >src/small
	for name in a b c; do
		cp -a src "src-$name"
		sed -i "s/\$/ $name/" "src-$name/text"
	done
	make_repo "$ALCOVE" repokey
	mount_it -o 'rw,chunker_params=12\,20\,15\,4095,compression=none' repo
	mkdir "$MNT"/new/{a,b,c}
	[[ $(value "$MNT/new/a" compression) == none ]]
	[[ $(value "$MNT/new/a" chunker_params) == buzhash,12,20,15,4095 ]]
	own_params a zstd,19 10,16,12,1023
	own_params b auto,lzma,6 fixed,65536
	[[ $(value "$MNT/new/a" compression) == zstd,19 ]]
	[[ $(value "$MNT/new/b" compression) == auto,lzma,6 ]]
	[[ $(value "$MNT/new/b" chunker_params) == fixed,65536 ]]
	[[ $(value "$MNT/new/c" chunker_params) == buzhash,12,20,15,4095 ]]
	[[ -z $(getfattr --absolute-names -d -m - "$MNT/new/a") ]]
	for i in random text small hole; do
		for name in a b c; do
			cp --sparse=always "src-$name/$i" "$MNT/new/$name/$i"
		done
	done
	for name in a b c; do mv "$MNT/new/$name" "$MNT/"; done
	sleep 2 # until the kernel asks the archive
	[[ $(value "$MNT/a" chunker_params) == buzhash,10,16,12,1023 ]]
	[[ $(value "$MNT/b" chunker_params) == fixed,65536 ]]
	run ! value "$MNT/a" compression
	run ! setfattr -n user.alcove.chunker_params -v default "$MNT/a"
	[[ $output == *'Read-only file system'* ]]
	unmounted
	[[ $(told_params a) == '["buzhash",10,16,12,1023]' ]]
	[[ $(told_params b) == '["fixed",65536,0]' ]]
	[[ $(told_params c) == '["buzhash",12,20,15,4095]' ]]
	same_cuts a src-a 10,16,12,1023
	same_cuts b src-b fixed,65536
	same_cuts c src-c 12,20,15,4095
	clean
	# csize of the text: none is as long as it is, the others a fraction.
	(($(b12 list --format '{csize}{NL}' repo::c text) > $(stat -c %s src-c/text)))
	for name in a b; do
		(($(b12 list --format '{csize}{NL}' "repo::$name" text) * 2 < $(stat -c %s "src-$name/text")))
	done
	for name in a b c; do
		rm -rf out && mkdir out && (cd out && b12 extract "../repo::$name")
		diff -r out "src-$name"
	done
}

@test "parameters of one archive: what borg refuses, back to the mount's, files that are there, the next mount" {
	local bad
	start
	mkdir "$MNT"/new/{a,b}
	for bad in 19,23,24,4095 5,23,21,4095 fixed,1 buzhash,1 x ''; do
		run ! setfattr -n user.alcove.chunker_params -v "$bad" "$MNT/new/a"
		[[ $output == *'Invalid argument'* ]] || fail "$bad: $output"
	done
	for bad in zstd,23 lz5 auto '' zlib,10; do
		run ! setfattr -n user.alcove.compression -v "$bad" "$MNT/new/a"
		[[ $output == *'Invalid argument'* ]] || fail "$bad: $output"
	done
	[[ $(value "$MNT/new/a" compression) == lz4 ]]
	mkdir src srcb
	for name in old fresh emptied; do head -c 2000000 /dev/urandom >"src/$name"; done
	head -c 2000000 /dev/urandom >srcb/file
	head -c 1000000 src/old >"$MNT/new/a/old"
	cp src/old "$MNT/new/a/emptied"
	own_params a zstd fixed,131072
	[[ $(value "$MNT/new/a" compression) == zstd,3 ]]
	tail -c +1000001 src/old >>"$MNT/new/a/old" # goes on as it was begun
	cp src/fresh "$MNT/new/a/fresh"
	cp src/emptied "$MNT/new/a/emptied" # truncates it
	setfattr -x user.alcove.compression "$MNT/new/a"
	[[ $(value "$MNT/new/a" compression) == lz4 ]]
	own_params b lzma 10,17,13,511
	head -c 900000 srcb/file >"$MNT/new/b/part"
	sync "$MNT/new/b/part"
	umount_it # b and a are published, as they were written to
	[[ $(told_params a) == '["fixed",131072,0]' ]]
	(cd src && b12 create --chunker-params fixed,131072 ../repo::fixed fresh emptied 2>/dev/null)
	(cd src && b12 create ../repo::default old 2>/dev/null)
	diff <("$PYTHON" "$E2E/content_ids.py" repo a) \
		<(for name in fixed default; do "$PYTHON" "$E2E/content_ids.py" repo "$name"; done | sort -u)
	mount_rw on_umount=checkpoint
	mkdir "$MNT/new/d" && own_params d lzma 10,17,13,511
	cp srcb/file "$MNT/new/d/one"
	umount_it
	mount_rw
	[[ $(value "$MNT/new/d" chunker_params) == buzhash,10,17,13,511 ]]
	[[ $(value "$MNT/new/d" compression) == lz4 ]] # is not kept
	cp src/fresh "$MNT/new/d/two"
	mv "$MNT/new/d" "$MNT/"
	unmounted
	[[ $(told_params d) == '["buzhash",10,17,13,511]' ]]
	mkdir both && cp srcb/file both/one && cp src/fresh both/two
	same_cuts d both 10,17,13,511
	clean
}

@test "checkpoints come as often as they are asked for" {
	make_repo "$ALCOVE" repokey
	mount_it -o rw --checkpoint-interval 1 repo
	mkdir "$MNT/new/a" && cp /bin/ls "$MNT/new/a/"
	within 10 sh -c "'$ALCOVE' --bypass-lock list --short --consider-checkpoints repo | grep -qx a.checkpoint"
	unmounted
	mount_rw checkpoint_interval=0
	mkdir "$MNT/new/b" && cp /bin/ls "$MNT/new/b/"
	sleep 3
	[[ $("$ALCOVE" list --bypass-lock --short --consider-checkpoints repo) != *b.checkpoint* ]]
	unmounted
	run ! mount_it -o rw,checkpoint_interval=5m repo
}

@test "attributes of our own: asked by name, never listed, and only some can be set" {
	start
	mkdir "$MNT/new/a" && head -c 5000000 /dev/urandom >"$MNT/new/a/f"
	setfattr -n user.alcove.comment -v 'what it is' "$MNT/new/a"
	[[ $(value "$MNT/new/a" comment) == 'what it is' ]]
	run ! setfattr -n user.alcove.comment -v x "$MNT/new/a/f"
	[[ $output == *'Invalid argument'* ]]
	run ! setfattr -n user.alcove.else -v x "$MNT/new/a"
	[[ $output == *'Invalid argument'* ]]
	mv "$MNT/new/a" "$MNT/a"
	sleep 2 # until the kernel asks the archive
	[[ $(value "$MNT/a" comment) == 'what it is' ]]
	[[ $(value "$MNT/a" id) == "$(b12 list --format '{id}' --bypass-lock repo 2>/dev/null)" ]]
	[[ $(value "$MNT/a" time) == "$(date -u +%Y)"-* ]]
	value "$MNT/a/f" chunks | sort >told
	[[ -z $(getfattr --absolute-names -d -m - "$MNT/a" "$MNT/a/f") ]]
	run ! setfattr -n user.alcove.comment -v x "$MNT/a"
	[[ $output == *'Read-only file system'* ]]
	unmounted
	[[ $(b12 info --json repo::a | jq -r '.archives[0].comment') == 'what it is' ]]
	diff told <("$PYTHON" "$E2E/content_ids.py" repo a)
}
