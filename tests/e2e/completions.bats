#!/usr/bin/env bats
# The shells' completions, each asked by its own shell: the commands, and the options of a command, as the program knows
# them.

load lib

setup() {
	sandbox
	mkdir bin
	ln -s "$ALCOVE" bin/alcove
	PATH=$T/bin:$PATH
}

commands() { # as `alcove --help` has them, sorted
	"$ALCOVE" --help | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p' | sort -u
}

in_bash() { # WORD...: the last is to be completed
	bash -c '. "$0"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_alcove
printf "%s\n" "${COMPREPLY[@]}"' "$TOP/completions/alcove.bash" "$@" | sort -u
}

# In a terminal of its own, where the list of matches is taken from what compadd is given.
in_zsh() { # LINE
	"$PYTHON" - "$TOP/completions" "$1" <<'PY' | sort -u
import os, pty, re, select, sys, time
folder, line = sys.argv[1:]
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(TERM='dumb', PS1='', ZDOTDIR=os.environ['HOME'])
    os.execvp('zsh', ['zsh', '-f', '-i'])
def send(text):
    os.write(fd, text.encode())
def wait(mark):
    seen, end = '', time.time() + 20
    while mark not in seen:
        assert time.time() < end, seen
        if select.select([fd], [], [], 1)[0]:
            seen += os.read(fd, 65536).decode('utf-8', 'replace')
    return seen
send(f'''stty -echo; unsetopt zle 2>/dev/null; fpath=({folder} $fpath); autoload -Uz compinit; compinit -u; setopt zle
zstyle ':completion:*' list-grouped false
compadd() {{ local -a __hits; builtin compadd -O __hits "$@"; (( $#__hits )) && print -l "hit "${{^__hits}} >> $HOME/hits; builtin compadd "$@"; }}
zle -C all list-choices _all; _all() {{ _main_complete; print done >> $HOME/hits; }}; bindkey '^T' all
print re''ady
''')
wait('ready')
time.sleep(0.3)
send(line)
send('\x14')
hits = os.environ['HOME'] + '/hits'
end = time.time() + 20
while not (os.path.exists(hits) and 'done' in open(hits).read()):
    assert time.time() < end
    time.sleep(0.05)
os.kill(pid, 9)
for found in re.findall(r'^hit (\S+)', open(hits).read(), re.M):
    print(found)
os.remove(hits)
PY
}

in_fish() { # LINE
	fish --no-config -c "source $TOP/completions/alcove.fish; complete -C '$1'" | cut -f 1 | sort -u
}

@test "they are read without an error" {
	bash -n "$TOP/completions/alcove.bash"
	zsh -n "$TOP/completions/_alcove"
	fish --no-execute "$TOP/completions/alcove.fish"
}

@test "commands" {
	commands >want
	(($(wc -l <want) > 15))
	in_bash alcove '' | grep -v '^-' | diff want -
	in_fish 'alcove ' | grep -v '^-' | diff want -
	in_zsh 'alcove ' | grep -v '^-' | diff want -
}

@test "options of a command, and the rest of one" {
	in_bash alcove check --rep | diff <(printf '%s\n' --repair --repository-only) -
	in_fish 'alcove check --rep' | diff <(printf '%s\n' --repair --repository-only) -
	in_zsh 'alcove check --rep' | diff <(printf '%s\n' --repair --repository-only) -
}

@test "what stands behind a command is counted from it" {
	local want
	want=$(printf '%s\n' change-passphrase export import migrate-to-repokey)
	[[ $(in_bash alcove key '' | grep -v '^-') == "$want" ]]
	[[ $(in_zsh 'alcove key ' | grep -v '^-') == "$want" ]]
	[[ $(in_zsh 'alcove -v key ' | grep -v '^-') == "$want" ]]
	[[ $(in_fish 'alcove key ' | grep -E '^(export|import|change|migrate)') == "$want" ]]
	[[ $(in_zsh 'alcove -v pru') == prune ]]
	[[ $(in_zsh 'alcove config repo append') == append_only ]]
}

@test "every long option that is offered is one" {
	local command option
	for command in $(commands); do
		"$ALCOVE" "$command" --help >help.txt
		[[ $command != key ]] || "$ALCOVE" key export --help >>help.txt
		in_bash alcove "$command" -- >bash.out
		in_fish "alcove $command --" >fish.out
		in_zsh "alcove $command --" >zsh.out
		[[ $command == help ]] || (($(grep -lx -e --progress ./*.out | wc -l) == 3)) || fail "$command: a shell is silent"
		sort -u bash.out fish.out zsh.out >offered
		while read -r option; do
			grep -qe "$option\b" help.txt || echo "$command has no $option"
		done <offered >>wrong
	done
	[[ ! -s wrong ]] || fail "$(<wrong)"
}
