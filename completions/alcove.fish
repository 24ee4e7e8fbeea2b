# fish completion for alcove

set -l commands mount umount list info extract help
complete -c alcove -n "not __fish_seen_subcommand_from $commands" -f -a mount -d 'Mount a repository or an archive'
complete -c alcove -n "not __fish_seen_subcommand_from $commands" -f -a umount -d 'Unmount'
complete -c alcove -n "not __fish_seen_subcommand_from $commands" -f -a list -d 'List archives or contents'
complete -c alcove -n "not __fish_seen_subcommand_from $commands" -f -a info -d 'Show details'
complete -c alcove -n "not __fish_seen_subcommand_from $commands" -f -a extract -d 'Extract an archive'
complete -c alcove -n "not __fish_seen_subcommand_from $commands" -f -a help -d 'Explain a command'
complete -c alcove -n "not __fish_seen_subcommand_from $commands" -s V -l version -d 'Version'
complete -c alcove -n "__fish_seen_subcommand_from help" -f -a 'mount umount list info extract'

for level in critical error warning info verbose debug
    complete -c alcove -l $level -d 'Log level'
end
complete -c alcove -s h -l help -d 'Help'
complete -c alcove -s p -l progress -d 'Show progress'
complete -c alcove -l iec -d 'Units of 1024'
complete -c alcove -l log-json -d 'Messages as JSON'
complete -c alcove -l lock-wait -x -d 'Accepted'
complete -c alcove -l show-version -d 'Log the version'
complete -c alcove -l show-rc -d 'Log the exit code'
complete -c alcove -l umask -x -d 'For new files'
complete -c alcove -l consider-part-files -d 'Part files as files'

set -l archives '__fish_seen_subcommand_from mount list info'
complete -c alcove -n $archives -s P -l prefix -x -d 'Name begins with'
complete -c alcove -n $archives -s a -l glob-archives -x -d 'Name matches'
complete -c alcove -n $archives -l sort-by -x -a 'timestamp name id' -d Order
complete -c alcove -n $archives -l first -x -d 'The first'
complete -c alcove -n $archives -l last -x -d 'The last'
complete -c alcove -n $archives -l consider-checkpoints -d 'Checkpoints too'

set -l patterns '__fish_seen_subcommand_from mount list extract'
complete -c alcove -n $patterns -s e -l exclude -x -d 'Leave out'
complete -c alcove -n $patterns -l exclude-from -r -d 'Leave out'
complete -c alcove -n $patterns -l pattern -x -d 'Include or exclude'
complete -c alcove -n $patterns -l patterns-from -r -d 'Include or exclude'

complete -c alcove -n '__fish_seen_subcommand_from mount' -s f -l foreground -d 'Stay in the foreground'
complete -c alcove -n '__fish_seen_subcommand_from mount' -s o -x -d 'Mount options' -a 'versions allow_damaged_files ignore_permissions uid= gid= umask= subdir= cache_size= allow_other allow_root fsname= nodev nosuid noexec'
complete -c alcove -n '__fish_seen_subcommand_from list info' -l json -d 'As JSON'
complete -c alcove -n '__fish_seen_subcommand_from list' -l json-lines -d 'Items as JSON'
complete -c alcove -n '__fish_seen_subcommand_from list' -l short -d 'Names only'
complete -c alcove -n '__fish_seen_subcommand_from list' -l format -x -d 'What to print'
complete -c alcove -n '__fish_seen_subcommand_from mount extract' -l numeric-ids -d 'Owners by number'
complete -c alcove -n '__fish_seen_subcommand_from mount extract' -l strip-components -x -d 'Leave out components'
complete -c alcove -n '__fish_seen_subcommand_from extract' -l list -d 'Print each path'
complete -c alcove -n '__fish_seen_subcommand_from extract' -s n -l dry-run -d 'Write nothing'
complete -c alcove -n '__fish_seen_subcommand_from extract' -l stdout -d 'Contents to standard output'
complete -c alcove -n '__fish_seen_subcommand_from extract' -l sparse -d 'Leave holes'
complete -c alcove -n '__fish_seen_subcommand_from extract' -l noflags -d 'Without flags'
complete -c alcove -n '__fish_seen_subcommand_from extract' -l noacls -d 'Without ACLs'
complete -c alcove -n '__fish_seen_subcommand_from extract' -l noxattrs -d 'Without xattrs'
