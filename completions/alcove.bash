# bash completion for alcove

_alcove() {
	local cur=${COMP_WORDS[COMP_CWORD]} command= word options
	local common='-h --help --critical --error --warning --info -v --verbose --debug --debug-topic -p --progress --iec --log-json
		--lock-wait --bypass-lock --show-version --show-rc --umask --consider-part-files'
	local archives='-P --prefix -a --glob-archives --sort-by --first --last'
	local patterns='-e --exclude --exclude-from --pattern --patterns-from'
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case $word in
		mount | umount | init | create | list | info | extract | export-tar | import-tar | delete | prune | compact | rename | check | key | config | with-lock | break-lock | help) command=$word && break ;;
		esac
	done
	case $command in
	'') options="$common -V --version mount umount init create list info extract export-tar import-tar delete prune compact rename check key config with-lock break-lock help" ;;
	mount) options="$common $archives $patterns --consider-checkpoints -f --foreground -o -c --checkpoint-interval --numeric-ids --strip-components" ;;
	umount) options=$common ;;
	init) options="$common -e --encryption --append-only --storage-quota --make-parent-dirs" ;;
	create)
		options="$common $patterns -n --dry-run -s --stats --list --filter --json --stdin-name --stdin-user --stdin-group --stdin-mode
			--content-from-command --paths-from-stdin --paths-from-command --paths-delimiter --exclude-caches --exclude-if-present
			--keep-exclude-tags --exclude-nodump -x --one-file-system --numeric-ids --atime --noctime --noflags --noacls --noxattrs
			--sparse --files-cache --files-changed --read-special --comment --timestamp -c --checkpoint-interval --chunker-params
			-C --compression"
		;;
	delete)
		options="$common $archives -n --dry-run --list -s --stats --cache-only --force --keep-security-info --save-space
			-c --checkpoint-interval"
		;;
	prune)
		options="$common -n --dry-run --force -s --stats --list --keep-within --keep-last --keep-secondly --keep-minutely -H --keep-hourly
			-d --keep-daily -w --keep-weekly -m --keep-monthly -y --keep-yearly -P --prefix -a --glob-archives --save-space
			-c --checkpoint-interval"
		;;
	compact) options="$common --threshold --cleanup-commits" ;;
	rename) options=$common ;;
	list) options="$common $archives $patterns --consider-checkpoints --short --format --json --json-lines" ;;
	info) options="$common $archives --json" ;;
	extract) options="$common $patterns --list -n --dry-run --numeric-ids --noflags --noacls --noxattrs --stdout --sparse --strip-components" ;;
	export-tar) options="$common $patterns --tar-filter --list --strip-components" ;;
	import-tar)
		options="$common --tar-filter -s --stats --list --filter --json --ignore-zeros --comment --timestamp -c --checkpoint-interval
			--chunker-params -C --compression"
		;;
	check) options="$common $archives --repository-only --archives-only --verify-data --repair --save-space --max-duration" ;;
	key) options="$common export import change-passphrase migrate-to-repokey --paper --qr-html" ;;
	config) options="$common -c --cache -d --delete -l --list" ;;
	with-lock | break-lock) options=$common ;;
	help) options='mount umount init create list info extract export-tar import-tar delete prune compact rename check key config with-lock break-lock' ;;
	esac
	if [[ ${COMP_WORDS[COMP_CWORD - 1]} == -o ]]; then
		options='versions allow_damaged_files ignore_permissions uid= gid= umask= subdir= cache_size= rw ro manage removal_timeout= staging= on_umount= resume= keep_lock compression= chunker_params= checkpoint_interval= spill= allow_other allow_root fsname= nodev nosuid noexec'
	elif [[ $command && $cur != -* && ${COMP_WORDS[COMP_CWORD - 1]} != key && $command != help ]]; then
		compopt -o filenames -o nospace 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
}
complete -F _alcove alcove
