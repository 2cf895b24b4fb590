# What every probe begins with; it stands before the probe's own text. $1 deploy_dir.
# The answer is lines: `=name words` begins a section, and every line of a file or of another program's output comes
# with a `|` before it, so nothing that a run or a tool writes can look like a section. The last line is `=end`.
set -u
umask 077
LC_ALL=C
export LC_ALL
case $1 in
"~") root=$HOME ;;
"~/"*) root=$HOME/${1#"~/"} ;;
*) root=$1 ;;
esac
machine_id='' host_name=''
[ ! -r /etc/machine-id ] || read -r machine_id </etc/machine-id || :
read -r host_name 2>/dev/null </proc/sys/kernel/hostname || host_name=$(uname -n)

# The lines of stdin as content of the section that was begun last.
content() {
    while IFS= read -r line || [ -n "$line" ]; do
        printf '|%s\n' "$line"
    done
}

# Whether a name is one of ours: short, and of characters that mean nothing to a shell.
plain() {
    case $1 in
    '' | *[!a-z0-9-]*) return 1 ;;
    esac
    [ "${#1}" -le 64 ]
}

# Seconds since boot, in $up.
read_uptime() {
    up=0
    read -r up _ 2>/dev/null </proc/uptime
}

memory_facts() {
    while read -r key amount _; do
        case $key in
        MemTotal:) total=$amount ;;
        MemAvailable:)
            echo "=memory $total $amount"
            break
            ;;
        esac
    done 2>/dev/null </proc/meminfo
    group=/sys/fs/cgroup
    if [ -r "$group/memory.max" ]; then
        read -r most <"$group/memory.max" && read -r used <"$group/memory.current" || return 0
    elif [ -r "$group/memory/memory.limit_in_bytes" ]; then
        group=$group/memory
        read -r most <"$group/memory.limit_in_bytes" && read -r used <"$group/memory.usage_in_bytes" || return 0
    else
        return 0
    fi
    # `max`, or 19 digits in the older form: no limit.
    case $most in
    *[!0-9]* | ???????????????????*) return 0 ;;
    esac
    while read -r key amount; do
        case $key in
        inactive_file | total_inactive_file)
            echo "=cgroup $most $used $amount"
            break
            ;;
        esac
    done 2>/dev/null <"$group/memory.stat"
}

# Where deploy_dir is or would be, and what is left there.
disk_facts() {
    place=$root state=present
    while [ ! -d "$place" ]; do
        [ "$state" = unwritable ] || state=absent
        # Something that is no folder: none can be made in its place or below it.
        [ ! -e "$place" ] && [ ! -L "$place" ] || state=unwritable
        case $place in
        /*/*) place=${place%/*} ;;
        *) place=/ ;;
        esac
    done
    [ -w "$place" ] || state=unwritable
    echo "=place $state"
    stat -f -c '=disk %S %b %a %c %d %T' "$place" 2>/dev/null || {
        echo "=df"
        df -Pk "$place" 2>/dev/null | content
    }
}

printf '\nfleet-probe 1\n'
read_uptime
echo "=uptime $up"
date '+=now %s'
echo "=identity"
printf '|%s\n|%s\n' "$machine_id" "$host_name"
