# keys.bats - keys made, copied out, put back and locked anew, with stock borg as the peer in both directions.

load lib

make_repo() { # MODE REPO
	b12 init -e "$1" "$2" 2>/dev/null
}

opens_in_both() { # REPO
	b12 list "$1" && "$ALCOVE" list "$1"
}

@test "a new repository of each mode opens in borg, and its key file has borg's name" {
	for mode in repokey repokey-blake2 keyfile keyfile-blake2 authenticated authenticated-blake2; do
		"$ALCOVE" init -e $mode "r-$mode"
		b12 create "r-$mode::a" /etc/hostname
		opens_in_both "r-$mode"
	done
	[[ -f $BORG_BASE_DIR/.config/borg/keys/r_keyfile && -f $BORG_BASE_DIR/.config/borg/keys/r_keyfile_blake2 ]]
	[[ $(stat -c %a "$BORG_BASE_DIR/.config/borg/keys/r_keyfile") == 600 ]]
	mkdir sub
	(cd sub && "$ALCOVE" init -e keyfile ../r-keyfile2 && cd .. && mv r-keyfile2 elsewhere)
	"$ALCOVE" init -e keyfile r-keyfile/../r-keyfile2
	[[ -f $BORG_BASE_DIR/.config/borg/keys/r_keyfile2.2 ]]
}

@test "a key file that BORG_KEY_FILE names is never overwritten by a new repository" {
	echo precious >key
	BORG_KEY_FILE=$T/key run -2 "$ALCOVE" init -e keyfile repo
	[[ $output == *"Aborting because key in \"$T/key\" already exists."* && $(<key) == precious ]]
}

@test "exports are byte for byte those of borg" {
	for mode in repokey keyfile-blake2; do
		make_repo $mode $mode
		b12 key export $mode want
		"$ALCOVE" key export $mode have
		"$ALCOVE" key export $mode >out
		"$ALCOVE" key export $mode - >dash
		cmp want have && cmp want out && cmp want dash
		b12 key export --paper $mode want
		"$ALCOVE" key export --paper $mode have
		cmp want have
	done
	run -2 "$ALCOVE" key export repokey "$T"
	[[ $output == "'$T' must be a file, not a directory" ]]
	make_repo none plain
	run -2 "$ALCOVE" key export plain
	[[ $output == 'Keymanagement not available for unencrypted repositories.' ]]
}

@test "the page for printing has the key as text and as a code" {
	make_repo repokey-blake2 repo
	"$ALCOVE" key export --qr-html repo page.html
	"$ALCOVE" key export repo key
	[[ $(head -1 page.html) == '<!doctype html>' && $(tail -1 page.html) == '</html>' ]]
	sed -n '/<textarea/,/<\/textarea/p' page.html | sed '1d;$d' | cmp - key
	grep -q '<svg .*viewBox' page.html
	! grep -qE '(src|href)=' page.html
}

# The code of a page as a picture, eight dots a module.
draw_code() { # PAGE PICTURE
	"$PYTHON" - "$@" <<'PY'
import re, sys
page = open(sys.argv[1]).read()
side = int(re.search(r'viewBox="0 0 (\d+) \1"', page)[1])
path = re.search(r'<path d="([^"]*)"', page)[1]
strokes = re.findall(r'M(\d+) (\d+)h(\d+)v1h-(\d+)z', path)
assert path == ''.join('M%s %sh%sv1h-%sz' % s for s in strokes)
dots = [['0'] * side for _ in range(side)]
for x, y, width, back in (map(int, s) for s in strokes):
    assert width == back
    dots[y][x:x + width] = '1' * width
with open(sys.argv[2], 'w') as f:
    f.write('P1 %d %d\n' % (8 * side, 8 * side))
    for row in dots:
        f.write((' '.join(d for d in row for _ in range(8)) + '\n') * 8)
PY
}

@test "the code is read by a scanner: the key file, byte for byte" {
	local mode
	for mode in repokey repokey-blake2 keyfile keyfile-blake2; do
		make_repo $mode $mode
		"$ALCOVE" key export --qr-html $mode page.html
		"$ALCOVE" key export $mode key
		draw_code page.html code.pbm
		zbarimg --quiet --raw --oneshot -Sbinary code.pbm >scanned
		cmp scanned key
	done
	# and it is good for what it is there for
	make_repo repokey last
	"$ALCOVE" key export --qr-html last page.html
	draw_code page.html code.pbm
	zbarimg --quiet --raw --oneshot -Sbinary code.pbm >scanned
	sed -i '/^key = /,/^$/d' last/config
	run -2 b12 list last
	b12 key import last scanned
	opens_in_both last
}

@test "what either exports the other imports" {
	for mode in repokey keyfile; do
		make_repo $mode $mode
		"$ALCOVE" key export $mode ours
		b12 key export $mode theirs
		for way in ours theirs; do
			sed -i '/^key = /,/^$/d' $mode/config
			rm -f "$BORG_BASE_DIR"/.config/borg/keys/*
			run -2 b12 list $mode
			if [[ $way == ours ]]; then b12 key import $mode $way; else "$ALCOVE" key import $mode - <$way; fi
			opens_in_both $mode
		done
	done
	echo nonsense >bad
	run -2 "$ALCOVE" key import repokey bad
	[[ $output == 'This file is not a borg key backup, aborting.' ]]
	run -2 "$ALCOVE" key import repokey <(b12 key export keyfile)
	[[ $output == 'This key backup seems to be for a different backup repository, aborting.' ]]
	run -2 "$ALCOVE" key import repokey
	[[ $output == 'input file to import key from expected' ]]
	run -2 "$ALCOVE" key import repokey none
	[[ $output == 'input file does not exist: none' ]]
	run -2 "$ALCOVE" key import --paper repokey bad
	[[ $output == 'with --paper import from file is not supported' ]]
	opens_in_both repokey
}

@test "an import of a key file goes to the file that has the key" {
	make_repo keyfile repo
	"$ALCOVE" key export repo backup
	keys=$BORG_BASE_DIR/.config/borg/keys
	mv "$keys/repo" "$keys/odd name"
	"$ALCOVE" key import repo backup
	[[ $(ls "$keys") == 'odd name' ]]
	BORG_KEY_FILE=$T/named "$ALCOVE" key import repo backup
	cmp named backup
}

@test "a key on paper is typed in, with the same talk as borg's" {
	make_repo repokey repo
	b12 key export --paper repo paper
	sed -n 's/^\(id\| *[0-9]*\): //p' paper >typed
	{
		echo 'no dash'
		echo 'a/b - 00'
		sed -n 's/ - .*/ - zz/;1p' typed
		sed -n 1p typed
		echo 'xy - 00'
		sed -n '2s/^./&&/;2p' typed
		sed -n '2s/- .*/- zz/p' typed
		echo
		echo n
		tail -n +2 typed
	} >stumbling
	b12 key import --paper repo <stumbling >want 2>want.err
	cp repo/config borg.config
	sed -i '/^key = /,/^$/d' repo/config
	"$ALCOVE" key import --paper repo <stumbling >have 2>have.err
	cmp want have && cmp want.err have.err
	opens_in_both repo
	cmp <(b12 key export repo) <(cp borg.config repo/config && b12 key export repo)
	run -0 "$ALCOVE" key import --paper repo < <(head -4 typed)
	[[ $output == *$'\n - aborted' ]]
	run -0 "$ALCOVE" key import --paper repo < <(printf '\ny\n')
	[[ $output == *$'\n - aborted' ]]
	make_repo repokey other
	run -2 "$ALCOVE" key import --paper other <typed
	[[ $output == *'This key backup seems to be for a different backup repository, aborting.' ]]
}

@test "the passphrase is changed, and only the new one opens" {
	for mode in repokey keyfile-blake2 authenticated; do
		make_repo $mode $mode
		BORG_NEW_PASSPHRASE='ünew' run -0 "$ALCOVE" --info key change-passphrase $mode
		[[ $output == *'Key updated'*'Key location: '* ]]
		run -2 "$ALCOVE" list $mode
		[[ $output == *'is incorrect.' ]]
		run -2 b12 list $mode
		BORG_PASSPHRASE='ünew' opens_in_both $mode
		BORG_PASSPHRASE=wrong BORG_NEW_PASSPHRASE=x run -2 "$ALCOVE" key change-passphrase $mode
		BORG_PASSPHRASE='ünew' BORG_NEW_PASSPHRASE=test b12 key change-passphrase $mode
		opens_in_both $mode
	done
	make_repo none plain
	run -2 "$ALCOVE" key change-passphrase plain
	[[ $output == 'This repository is not encrypted, cannot change the passphrase.' ]]
}

@test "a new passphrase is typed twice, and shown where wanted" {
	make_repo repokey repo
	unset BORG_PASSPHRASE
	BORG_PASSPHRASE=test BORG_NEW_PASSPHRASE= "$ALCOVE" key change-passphrase repo
	BORG_DISPLAY_PASSPHRASE=y run -0 setsid -w "$ALCOVE" key change-passphrase repo \
		< <(printf 'one\ntwo\nsame\nsame\n')
	[[ $output == *'Passphrases do not match'*'Your passphrase (between double-quotes): "same"'* ]]
	BORG_PASSPHRASE=same opens_in_both repo
	run -2 setsid -w "$ALCOVE" key change-passphrase repo </dev/null
	[[ $output == *'can not acquire a passphrase: '* ]]
}

@test "a repository of the passphrase mode becomes a repokey one" {
	b12 init -e repokey repo 2>/dev/null
	"$PYTHON" - repo <<-'EOF'
		import sys
		from borg.logger import setup_logging
		setup_logging()
		from borg.repository import Repository
		from borg.crypto.key import PassphraseKey, Passphrase
		from borg.helpers import Manifest
		with Repository(sys.argv[1], exclusive=True) as repository:
		    key = PassphraseKey(repository)
		    key.init(repository, Passphrase('test'))
		    key.init_ciphers()
		    manifest = Manifest(key, repository)
		    manifest.write()
		    repository.save_key(b'')
		    repository.commit(compact=False)
	EOF
	BORG_PASSPHRASE=wrong run -2 setsid -w "$ALCOVE" key migrate-to-repokey repo </dev/null
	BORG_NEW_PASSPHRASE=new "$ALCOVE" key migrate-to-repokey repo
	BORG_PASSPHRASE=new opens_in_both repo
}

@test "key alone shows its help; unknown words are refused as usage errors" {
	run -0 "$ALCOVE" key
	[[ $output == *change-passphrase*'migrate-to-repokey'* ]]
	run -2 "$ALCOVE" key lose
	[[ $output == *"alcove key: error: argument <command>: invalid choice: 'lose' (choose from 'export', 'import', 'change-passphrase', 'migrate-to-repokey')" ]]
	run -0 "$ALCOVE" key export --help
	[[ $output == 'usage: alcove key export '* ]]
	run -2 "$ALCOVE" key export repo --nonsense
	[[ $output == *'unrecognized arguments: --nonsense' ]]
}
