# create.bats - what we archive: stock borg finds it clean, extracts the tree that went in, and adds no chunk of its own;
# the same the other way round.

load lib

source_tree() { # DIRECTORY: rich, with a file of several chunks and one that is sparse
	rich_tree "$1"
	head -c 12000000 /dev/urandom >"$1/several chunks"
	truncate -s 3000000 "$1/sparse"
	echo end >>"$1/sparse"
}

clean() { # REPOSITORY: not a word from either version
	local out
	out=$(b12 check --verify-data "$1" 2>&1) || fail "1.2: $out" || return 1
	[[ -z $out ]] || fail "1.2: $out" || return 1
	out=$(b14 check --verify-data "$1" 2>&1) || fail "1.4: $out" || return 1
	[[ -z $out ]] || fail "1.4: $out" || return 1
}

extracts() { # BORG REPOSITORY::ARCHIVE TREE
	[[ ! -d $T/out ]] || chattr -R -f -a -i "$T/out" || :
	rm -rf "$T/out"
	mkdir "$T/out"
	(cd "$T/out" && "$1" extract --numeric-ids "$2")
	same_tree "$3" "$T/out/${3#/}"
}

data_chunks() { # REPOSITORY ARCHIVE: ids of the content, sorted
	b12 list --format '{path}{NL}' "$1::$2" >/dev/null
	"$PYTHON" "$E2E/content_ids.py" "$1" "$2"
}

each_mode() { # MODE
	source_tree "$T/src"
	"$ALCOVE" init -e "$1" "$T/repo" 2>/dev/null
	clean "$T/repo"
	"$ALCOVE" create "$T/repo::ours" "$T/src"
	clean "$T/repo"
	extracts b12 "$T/repo::ours" "$T/src"
	extracts b14 "$T/repo::ours" "$T/src"
	extracts "$ALCOVE" "$T/repo::ours" "$T/src"
	b12 create --files-cache disabled "$T/repo::theirs" "$T/src"
	"$ALCOVE" create "$T/repo::again" "$T/src"
	"$ALCOVE" create --files-cache disabled "$T/repo::read again" "$T/src"
	clean "$T/repo"
	diff <(data_chunks "$T/repo" ours) <(data_chunks "$T/repo" theirs)
	diff <(data_chunks "$T/repo" ours) <(data_chunks "$T/repo" again)
	diff <(data_chunks "$T/repo" ours) <(data_chunks "$T/repo" 'read again')
	extracts b12 "$T/repo::again" "$T/src"
}

@test 'none: what we create is what borg would' { each_mode none; }
@test 'repokey: what we create is what borg would' { each_mode repokey; }
@test 'keyfile-blake2: what we create is what borg would' { each_mode keyfile-blake2; }
@test 'authenticated: what we create is what borg would' { each_mode authenticated; }

@test 'every other mode begins a repository that borg takes' {
	local mode
	rich_tree "$T/src"
	for mode in keyfile repokey-blake2 authenticated-blake2; do
		"$ALCOVE" init -e "$mode" "$T/$mode" 2>/dev/null
		"$ALCOVE" create "$T/$mode::a" "$T/src"
		clean "$T/$mode"
		extracts b12 "$T/$mode::a" "$T/src"
	done
}

@test 'items are byte for byte those of borg' {
	source_tree "$T/src"
	make_repo b12 none
	b12 create --chunker-params buzhash,10,23,16,4095 "$T/repo::theirs" "$T/src"
	"$ALCOVE" create --chunker-params buzhash,10,23,16,4095 "$T/repo::ours" "$T/src"
	"$PYTHON" "$E2E/content_ids.py" --items "$T/repo" theirs >"$T/theirs"
	"$PYTHON" "$E2E/content_ids.py" --items "$T/repo" ours >"$T/ours"
	cmp "$T/theirs" "$T/ours" || fail "$("$PYTHON" "$E2E/content_ids.py" --differ "$T/theirs" "$T/ours")"
	[[ -s $T/ours ]]
}

@test 'every compression' {
	local how
	mkdir "$T/src"
	cp -a /usr/share/doc/bash "$T/src"
	head -c 3000000 /dev/urandom >"$T/src/random"
	make_repo b12 none
	for how in none lz4 zstd zstd,19 zlib zlib,9 lzma,1 auto,zstd,7 auto,lzma obfuscate,2,lz4 \
		obfuscate,110,auto,zstd; do
		"$ALCOVE" create -C "$how" --chunker-params "buzhash,10,23,$((RANDOM % 8 + 12)),4095" "$T/repo::$how" "$T/src"
		extracts b12 "$T/repo::$how" "$T/src"
	done
	clean "$T/repo"
}

@test 'turn by turn with borg' {
	local turn at
	RANDOM=${ALCOVE_TEST_SEED:-$((SECONDS + $$))}
	seed=$RANDOM
	RANDOM=$seed
	echo "ALCOVE_TEST_SEED=$seed" # shown where it fails
	rich_tree "$T/src"
	"$ALCOVE" init -e repokey "$T/repo" 2>/dev/null
	for ((turn = 0; turn < $(soak 6 100); turn++)); do
		at=$((RANDOM % 5))
		echo "$turn $RANDOM" >"$T/src/file $at"
		case $((RANDOM % 9)) in
		0) b12 create "$T/repo::b$turn" "$T/src" ;;
		1) "$ALCOVE" create "$T/repo::b$turn" "$T/src" ;;
		2) "$ALCOVE" create "$T/repo::b$turn" "$T/src" && b14 rename "$T/repo::b$turn" "r$turn" ;;
		3) b12 create "$T/repo::b$turn" "$T/src" && "$ALCOVE" rename "$T/repo::b$turn" "r$turn" ;;
		4) b12 prune --keep-last 2 "$T/repo" ;;
		5) "$ALCOVE" compact --threshold 0 "$T/repo" ;;
		6) b14 compact --threshold 0 "$T/repo" ;;
		7) "$ALCOVE" prune --keep-last 3 "$T/repo" ;;
		8) "$ALCOVE" create "$T/repo::b$turn" "$T/src" && "$ALCOVE" delete --first 1 "$T/repo" ;;
		esac
		((turn % 10 != 9)) || clean "$T/repo"
	done
	clean "$T/repo"
	"$ALCOVE" create "$T/repo::last" "$T/src"
	clean "$T/repo"
	extracts b12 "$T/repo::last" "$T/src"
}

@test 'a name that is taken, a wrong passphrase, no repository: borg says so and so do we' {
	rich_tree "$T/src"
	make_repo b12 repokey
	"$ALCOVE" create "$T/repo::a" "$T/src"
	expect 2 'Archive a already exists' "$ALCOVE" create "$T/repo::a" "$T/src"
	BORG_PASSPHRASE=wrong expect 2 'passphrase supplied in BORG_PASSPHRASE.* is incorrect' \
		"$ALCOVE" create "$T/repo::b" "$T/src"
	expect 2 "Repository $T/none does not exist" "$ALCOVE" create "$T/none::b" "$T/src"
	clean "$T/repo"
}

@test 'what cannot be read is told, and the rest is archived' {
	mkdir "$T/src"
	echo x >"$T/src/x"
	make_repo b12 none
	expect 1 'nowhere: .*No such file or directory' "$ALCOVE" create "$T/repo::a" "$T/src" "$T/nowhere"
	[[ $(b12 list --short "$T/repo::a" | wc -l) == 2 ]]
	clean "$T/repo"
}

@test 'a socket is left out, and said so to who asks' {
	mkdir src
	"$PYTHON" -c 'import socket; socket.socket(socket.AF_UNIX).bind("src/socket")'
	"$ALCOVE" init -e none repo 2>/dev/null
	run "$ALCOVE" create repo::a src
	[[ $status == 0 && -z $output ]] || fail "$output"
	run "$ALCOVE" create --info repo::b src
	[[ $status == 0 && $output == *'src/socket: a socket, left out'* ]] || fail "$output"
	[[ $(b12 list --short repo::b) == src ]]
}

@test 'status letters' {
	mkdir -p "$T/src/d"
	echo 1 >"$T/src/one"
	ln "$T/src/one" "$T/src/two"
	ln -s one "$T/src/link"
	mkfifo "$T/src/fifo"
	mknod "$T/src/null" c 1 3
	echo no >"$T/src/d/no"
	sleep 0.02
	touch "$T/newest"
	make_repo b12 none
	make_repo b12 none "$T/repo2"
	cd "$T/src"
	b12 create --list --exclude d/no "$T/repo::1" . "$T/newest" 2>"$T/theirs"
	"$ALCOVE" create --list --exclude d/no "$T/repo2::1" . "$T/newest" 2>"$T/ours"
	diff "$T/theirs" "$T/ours"
	echo 2 >"$T/src/one"
	b12 create --list --exclude d/no "$T/repo::2" . 2>"$T/theirs"
	"$ALCOVE" create --list --exclude d/no "$T/repo2::2" . 2>"$T/ours"
	diff "$T/theirs" "$T/ours"
}

@test 'standard input, a command, a list of paths' {
	make_repo b12 none
	echo hello | "$ALCOVE" create --stdin-name in --stdin-mode 644 "$T/repo::in" -
	[[ $(b12 extract --stdout "$T/repo::in") == hello ]]
	"$ALCOVE" create --content-from-command "$T/repo::cmd" -- sh -c 'echo said'
	[[ $(b12 extract --stdout "$T/repo::cmd") == said ]]
	expect 2 "Command 'sh' exited with status 73" "$ALCOVE" create --content-from-command "$T/repo::bad" -- sh -c 'exit 73'
	not b12 list "$T/repo::bad" 2>/dev/null
	mkdir "$T/src"
	touch "$T/src/a" "$T/src/b"
	printf '%s\0' "$T/src" "$T/src/b" | "$ALCOVE" create --paths-from-stdin --paths-delimiter '\0' "$T/repo::paths"
	[[ $(b12 list --short "$T/repo::paths" | wc -l) == 2 ]]
	clean "$T/repo"
}

@test 'excludes, tags, file systems' {
	local -a how=(-e '*/skip' --exclude-caches --exclude-if-present .nobackup --keep-exclude-tags --pattern '+ re:/kept'
		--pattern '! re:/deep$' --exclude-nodump -x)
	mkdir -p "$T"/src/{skip,cache,tagged/sub,deep/kept,other}
	echo x | tee "$T"/src/{skip/a,cache/a,tagged/a,deep/a,deep/kept/a,nodump} >/dev/null
	printf 'Signature: 8a477f597d28d172789f06886806bc55' >"$T/src/cache/CACHEDIR.TAG"
	touch "$T/src/tagged/.nobackup"
	chattr +d "$T/src/nodump"
	mount -t tmpfs none "$T/src/other"
	touch "$T/src/other/inside"
	make_repo b12 none
	cd "$T"
	b12 create --list "${how[@]}" "$T/repo::theirs" src 2>"$T/theirs"
	"$ALCOVE" create --list "${how[@]}" "$T/repo::ours" src 2>"$T/ours"
	diff <(sort "$T/theirs" | sed 's/^[AU]/A/') <(sort "$T/ours" | sed 's/^[AU]/A/')
	diff <(b12 list --short "$T/repo::theirs") <(b12 list --short "$T/repo::ours")
}

@test 'fixed blocks and holes' {
	mkdir "$T/src"
	truncate -s 50M "$T/src/image"
	printf data | dd of="$T/src/image" bs=1 seek=20000000 conv=notrunc status=none
	make_repo b12 none
	b12 create --sparse --chunker-params fixed,65536,512 "$T/repo::theirs" "$T/src"
	"$ALCOVE" create --sparse --chunker-params fixed,65536,512 --files-cache disabled "$T/repo::ours" "$T/src"
	diff <(data_chunks "$T/repo" theirs) <(data_chunks "$T/repo" ours)
	extracts b12 "$T/repo::ours" "$T/src"
	clean "$T/repo"
}

@test 'checkpoints: one is kept, the next replaces it, the archive the last' {
	mkdir "$T/src"
	head -c 60000000 /dev/urandom >"$T/src/big"
	make_repo b12 repokey
	"$ALCOVE" create --content-from-command --checkpoint-interval 1 "$T/repo::a" -- sh -c \
		"for i in 1 2 3 4 5 6; do dd if=$T/src/big bs=10000000 skip=\$((i-1)) count=1 status=none; sleep 0.7; done"
	[[ $(b12 list --short --consider-checkpoints "$T/repo") == a ]]
	clean "$T/repo"
	cmp <(b12 extract --stdout "$T/repo::a") "$T/src/big"
	b12 list --short --consider-part-files "$T/repo::a" | grep -q borg_part_1
}

@test 'Ctrl-C leaves a checkpoint, and the next run has its data' {
	make_repo b12 repokey
	mkfifo "$T/gate"
	head -c 30000000 /dev/urandom >"$T/data"
	"$ALCOVE" create --read-special "$T/repo::a" "$T/gate" 2>"$T/said" &
	PIDS+=($!)
	exec 7>"$T/gate"
	cat "$T/data" >&7
	sleep 1
	kill -INT "${PIDS[0]}"
	cat "$T/data" >&7 || :
	exec 7>&-
	status=0
	wait "${PIDS[0]}" || status=$?
	[[ $status == 2 ]] || fail "$status: $(cat "$T/said")"
	grep -q 'Got Ctrl-C' "$T/said"
	[[ $(b12 list --short --consider-checkpoints "$T/repo") == a.checkpoint ]]
	clean "$T/repo"
}

@test 'SIGTERM: nothing is left behind, no lock either' {
	make_repo b12 repokey
	"$ALCOVE" create --content-from-command "$T/repo::a" -- sh -c 'head -c 9000000 /dev/urandom; sleep 5' 2>"$T/said" &
	PIDS+=($!)
	sleep 1
	kill "${PIDS[0]}"
	status=0
	wait "${PIDS[0]}" || status=$?
	[[ $status == 143 ]] || fail "$status: $(cat "$T/said")"
	grep -q 'Received SIGTERM' "$T/said"
	b12 --lock-wait 0 list "$T/repo"
	clean "$T/repo"
}

@test 'a full disk: an error, and what was there before' {
	mkdir "$T/small" "$T/src"
	mount -t tmpfs -o size=30M none "$T/small"
	make_repo b12 repokey "$T/small/repo"
	echo kept >"$T/src/kept"
	"$ALCOVE" create "$T/small/repo::kept" "$T/src"
	head -c 40000000 /dev/urandom >"$T/src/big"
	EXPECT_LINES=3 expect 2 'No space left on device|Insufficient free space' "$ALCOVE" create "$T/small/repo::big" "$T/src"
	[[ $(b12 list --short "$T/small/repo") == kept ]]
	clean "$T/small/repo"
	rm "$T/src/big"
	"$ALCOVE" create "$T/small/repo::again" "$T/src"
	clean "$T/small/repo"
}
