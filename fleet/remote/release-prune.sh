# Remove what nothing needs any more, or list it. $1 deploy_dir, $2 releases and environments to keep, $3 age in days of
# logs, $4 list or remove, $5 interpreter. To remove, stdin names what was listed, `kind name` a line: only what is both
# named there and still free goes. Checkpoints are never touched, nor anything that fleet did not make.
keep=$2
days=$3
mode=$4
python=$5
chosen=
#: How many of the newest runs keep their environment: those that are most likely to be resumed.
recent_runs=10

# Something may go: $1 kind, $2 name, $3 path.
offer() {
    if [ "$mode" = list ]; then
        size=$(du -sk "$3" 2>/dev/null) || size=0
        printf 'item %s %s %s\n' "$1" "${size%%[!0-9]*}" "$2"
        return
    fi
    case $chosen in
    *"
$1 $2
"*) ;;
    *) return ;;
    esac
    size=$(du -sk "$3" 2>/dev/null) || size=0
    doomed=$host/tmp/going
    # Renamed first, so that nobody ever sees half of it. A directory must be writable to be moved.
    { [ ! -d "$3" ] || chmod u+w "$3"; } && rename "$3" "$doomed" && discard "$doomed" || fail 74 "cannot remove $3"
    printf 'item %s %s %s\n' "$1" "${size%%[!0-9]*}" "$2"
}

# Something stays: $1 kind, $2 name, $3 why.
keeps() {
    printf 'kept %s %s %s\n' "$1" "$2" "$3"
}

# The releases that are current or previous, here or on another host with the same folder.
in_use() {
    for link in "$base"/hosts/*/current "$base"/hosts/*/previous; do
        [ -L "$link" ] || continue
        target=$(readlink "$link")
        [ "${target##*/}" = "$1" ] && return 0
    done
    return 1
}

prune_releases() {
    count=0
    for name in $(ls -1t "$base/releases" 2>/dev/null); do
        case $name in
        *[!0-9a-f]*) continue ;;
        esac
        [ ! -L "$base/releases/$name" ] && [ -f "$base/releases/$name/.fleet/manifest" ] || continue
        count=$((count + 1))
        [ "$count" -gt "$keep" ] || continue
        if in_use "$name"; then
            keeps release "$name" "it is current or previous"
        elif pinned "$name"; then
            keeps release "$name" "run $run uses it"
        else
            offer release "$name" "$base/releases/$name"
        fi
    done
}

# Whether one of the newest runs was started in the environment $1.
used_lately() {
    for run in $(ls -1t "$base/runs" 2>/dev/null | sed "${recent_runs}q"); do
        grep -qF -- "$1" "$base/runs/$run/launch.json" "$base/runs/$run/run.json" 2>/dev/null && return 0
    done
    return 1
}

# Only finished environments: one without its mark may be on its way.
prune_environments() {
    count=0
    for name in $(ls -1t "$base/envs" 2>/dev/null); do
        case $name in
        *[!0-9a-z-]*) continue ;;
        esac
        [ ! -L "$base/envs/$name" ] && [ -f "$base/envs/$name/.fleet-ready.json" ] || continue
        count=$((count + 1))
        [ "$count" -gt "$keep" ] || continue
        if held "$base/envs/$name.lock"; then
            keeps environment "$name" "it is being built"
        elif pinned "$name"; then
            keeps environment "$name" "run $run uses it"
        elif used_lately "$name"; then
            keeps environment "$name" "one of the newest runs used it"
        else
            offer environment "$name" "$base/envs/$name"
        fi
    done
}

# What receivers left that died. Taking the lock removes all of it, so it is listed before.
show_temporary() {
    for path in "$host/tmp"/*; do
        [ -e "$path" ] || [ -L "$path" ] || continue
        held "$host/locks/deploy" && return
        size=$(du -sk "$path" 2>/dev/null) || size=0
        printf 'item temporary %s %s\n' "${size%%[!0-9]*}" "${path##*/}"
    done
}

# Old segments of the logs of runs that ended, but for the last one, which tells how.
prune_logs() {
    for path in "$base"/runs/*/log; do
        [ -d "$path" ] && [ ! -L "$path" ] || continue
        run=${path%/log}
        run=${run##*/}
        case "
$live" in
        *"
$run
"*) continue ;;
        esac
        last=$(ls -1 "$path" | grep '^[0-9]\{20\}\.seg$' | tail -n 1)
        find "$path" -type f -name '*.seg' -mtime +"$days" | sort | while IFS= read -r segment; do
            [ "${segment##*/}" = "$last" ] || offer log "$run/${segment##*/}" "$segment"
        done || exit 74
    done
}

# Old build logs of environments that are gone.
prune_build_logs() {
    find "$base/envs" -type f -name '*.log' -mtime +"$days" 2>/dev/null | sort | while IFS= read -r path; do
        [ "${path%/*}" = "$base/envs" ] && [ ! -d "${path%.log}" ] || continue
        offer log "envs/${path##*/}" "$path"
    done || exit 74
}

locate "$1" ""
if [ "$mode" = remove ]; then
    chosen="
$(cat)
"
    remains=$(show_temporary)
    take_lock
    [ -z "$remains" ] || printf '%s\n' "$remains"
    trap 'discard "$host/tmp/going"' EXIT
    trap 'exit 74' HUP INT TERM PIPE
fi
find_live
[ "$mode" = remove ] || show_temporary
prune_releases
prune_environments
prune_logs
prune_build_logs
printf 'end\n'
