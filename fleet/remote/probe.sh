# One look at a host: itself, its GPUs, its runs. After probe-begin.sh and probe-gpu.sh, whose arguments are $1 and $2.
# $3 fields of the GPUs, $4 those that every driver knows, $5 how many of the newest runs to show beside the live ones,
# $6 yes or no: also Xids, owners of GPU processes, releases. It reads and changes nothing, and it starts as few
# processes as it can: a fork with exec costs a millisecond, and there may be a hundred hosts.
wanted=$5
detail=$6

installed() {
    for link in "$root"/hosts/*/current; do
        [ -L "$link" ] || continue
        owner=${link%/current}
        plain "${owner##*/}" || continue
        target=-
        cd -P "$link" 2>/dev/null && plain "${PWD##*/}" && target=${PWD##*/}
        echo "=current ${owner##*/} $target"
    done
    for ready in "$root"/envs/*/.fleet-ready.json; do
        ready=${ready%/.fleet-ready.json}
        [ -f "$ready/.fleet-ready.json" ] && plain "${ready##*/}" && echo "=env ${ready##*/}"
    done
    [ "$detail" = yes ] && cd "$root/releases" 2>/dev/null || return 0
    set --
    for id in *; do
        # What somebody else put there is no release.
        case $id in *[!0-9a-f]*) continue ;; esac
        [ "${#id}" -eq 16 ] && [ -d "$id" ] && [ ! -L "$id" ] && set -- "$@" "$id"
    done
    [ "$#" -eq 0 ] || stat -c '=release %n %Y' -- "$@" 2>/dev/null
}

# Whether a state.json says that its run lives; it is read only as far as needed. The reader judges it properly.
claims_life() {
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
        *'"state"'*'"starting"'* | *'"state"'*'"running"'* | *'"state"'*'"stopping"'* | *'"state"'*'"backoff"'*) return 0 ;;
        *'"state":'*) return 1 ;;
        esac
    done <"$1/state.json"
    return 1
}

# Keep run $2 of time $1 in the list of the newest, newest first.
remember() {
    kept=0 placed=no list=''
    for item in $newest "0:"; do
        if [ "$placed" = no ] && [ "$1" -gt "${item%%:*}" ] && [ "$kept" -lt "$wanted" ]; then
            list="$list $1:$2" placed=yes kept=$((kept + 1))
        fi
        if [ "$item" != "0:" ] && [ "$kept" -lt "$wanted" ]; then
            list="$list $item" kept=$((kept + 1))
        fi
    done
    newest=$list
}

# The runs to show: all that claim to live, in $live, and the newest, in $shown with them. Ids are plain, so that the
# lists may be split at blanks.
choose() {
    all='' count=0 newest='' live='' shown=''
    for id in *; do
        plain "$id" && [ -f "$id/state.json" ] || continue
        all="$all $id/state.json" count=$((count + 1))
        stamp=${id%-????}
        stamp=${stamp#"${stamp%????????-??????}"}
        case $stamp in
        ????????-??????) stamp=${stamp%-*}${stamp#*-} ;;
        esac
        case $stamp in
        [1-9]*[!0-9]* | [!1-9]* | '') stamp=1 ;;
        esac
        [ "$wanted" -eq 0 ] || remember "$stamp" "$id"
    done
    # One program for many files, none for a few.
    [ "$count" -le 16 ] ||
        all=$(grep -lsE '"state" *: *"(starting|running|stopping|backoff)"' -- $all)
    for file in $all; do
        claims_life "${file%/state.json}" && live="$live ${file%/state.json}"
    done
    shown=$live
    for item in $newest; do
        case " $live " in
        *" ${item#*:} "*) ;;
        *) shown="$shown ${item#*:}" ;;
        esac
    done
}

# Whether the lock of a run is held, without keeping it: held, free or unknown.
lock_of() {
    lock=$1/supervisor.lock
    [ -f "$lock" ] || lock=$1/lock
    if [ ! -f "$lock" ]; then
        held=free
        return 0
    fi
    flock -n -s 9 9<"$lock" 2>/dev/null
    case $? in
    0) held=free ;;
    1) held=held ;;
    *) held=unknown ;;
    esac
}

# A small file as the content of section $1. $sizes knows how large it is: one of 100,000 bytes is not what it should be.
document() {
    [ -f "$2" ] && [ -r "$2" ] || return 0
    # A pattern and no cutting: dash takes the square of the length for that, and 100 runs may claim to live.
    case $sizes in
    *"|$2 "??????????" "[0-9][0-9][0-9][0-9][0-9][0-9]*) echo "=oversize $1" ;;
    *)
        echo "=$1"
        content <"$2"
        ;;
    esac
}

# The last two lines of a file of lines, of its last 64 KiB. The last one may be unfinished, hence the empty line.
tail_of() {
    [ -f "$1" ] && [ -r "$1" ] || return 0
    tail -c 65536 -- "$1" | sed -n -e 's/^/|/' -e '$!{h;d;}' -e 'H;x;p'
    echo
}

runs() {
    cd "$root/runs" 2>/dev/null || return 0
    choose
    echo "=runs $count"
    [ -n "$shown" ] || return 0
    set --
    for id in $shown; do
        set -- "$@" "$id/state.json" "$id/progress.json" "$id/metrics.jsonl"
    done
    sizes=$(stat -c '|%n %Y %s' -- "$@" 2>/dev/null)
    printf '=files\n%s\n' "$sizes"
    for id in $shown; do
        held=-
        # Before the state is read: it is written before the lock is let go, so a run that ends now is not called lost.
        case " $live " in
        *" $id "*) lock_of "$id" ;;
        esac
        echo "=run $id $held"
        document state "$id/state.json"
        document progress "$id/progress.json"
        echo "=metrics"
        tail_of "$id/metrics.jsonl"
        [ "$detail" = yes ] && [ "$held" != - ] && stragglers "$id/events.jsonl"
    done
}

stragglers() {
    [ -f "$1" ] && [ -r "$1" ] || return 0
    echo "=events"
    tail -c 65536 -- "$1" | grep -F '"guard.straggler"' | tail -n 1 | content
}

read -r line 2>/dev/null </proc/sys/kernel/random/boot_id && echo "=boot $line"
read -r line 2>/dev/null </proc/loadavg && echo "=load $line"
memory_facts
disk_facts
installed
runs
with_smi query "$3" "$4" "$detail"
if [ "$detail" = yes ] && [ -n "$smi" ]; then xids; fi
read_uptime
echo "=end $up"
