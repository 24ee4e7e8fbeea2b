# bash completion for alcove

_alcove() {
	local cur=${COMP_WORDS[COMP_CWORD]} command= word options
	local common='-h --help --critical --error --warning --info -v --verbose --debug --debug-topic -p --progress --iec --log-json
		--lock-wait --bypass-lock --show-version --show-rc --umask --consider-part-files'
	local archives='-P --prefix -a --glob-archives --sort-by --first --last --consider-checkpoints'
	local patterns='-e --exclude --exclude-from --pattern --patterns-from'
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case $word in
		mount | umount | list | info | extract | check | config | with-lock | break-lock | help) command=$word && break ;;
		esac
	done
	case $command in
	'') options="$common -V --version mount umount list info extract check config with-lock break-lock help" ;;
	mount) options="$common $archives $patterns -f --foreground -o --numeric-ids --strip-components" ;;
	umount) options=$common ;;
	list) options="$common $archives $patterns --short --format --json --json-lines" ;;
	info) options="$common $archives --json" ;;
	extract) options="$common $patterns --list -n --dry-run --numeric-ids --noflags --noacls --noxattrs --stdout --sparse --strip-components" ;;
	check) options="$common $archives --repository-only --archives-only --verify-data --repair --save-space --max-duration" ;;
	config) options="$common -c --cache -d --delete -l --list" ;;
	with-lock | break-lock) options=$common ;;
	help) options='mount umount list info extract check config with-lock break-lock' ;;
	esac
	if [[ ${COMP_WORDS[COMP_CWORD - 1]} == -o ]]; then
		options='versions allow_damaged_files ignore_permissions uid= gid= umask= subdir= cache_size= allow_other allow_root fsname= nodev nosuid noexec'
	elif [[ $command && $cur != -* && $command != help ]]; then
		compopt -o filenames -o nospace 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
}
complete -F _alcove alcove
