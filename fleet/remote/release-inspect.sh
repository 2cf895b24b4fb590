# What a deploy must know of a host, in one reply; nothing is changed. One `word value` a line.
# $1 deploy_dir, $2 interpreter.
python=$2

# Runs whose state is not an end, and those that have none yet: the only ones worth asking for their lock.
candidates() {
    cd "$base/runs" 2>/dev/null || return
    for run in */; do
        [ -e "$run/state.json" ] || [ ! -d "$run" ] || printf '%s\n' "${run%/}"
    done
    grep -LE '"state": ?"(completed|stopped|failed|oom|killed|lost)"' */state.json 2>/dev/null
}

# Live runs, each with the release that it was started from.
show_live() {
    for run in $(candidates); do
        run=${run%/state.json}
        lives "$base/runs/$run" || continue
        cd "$base/runs/$run" || continue
        used=$(grep -ohE '"release": ?"[0-9a-f]{16}"' launch.json state.json run.json 2>/dev/null | sed 1q)
        used=${used%\"}
        printf 'live %s %s\n' "$run" "${used##*\"}"
    done
}

# The nearest directory that exists decides which file system will be written.
show_space() {
    place=$base
    while [ ! -d "$place" ]; do
        place=${place%/*}
        place=${place:-/}
    done
    # The number before the percentage: names of devices may hold spaces.
    free=
    for word in $(df -Pk "$place"); do
        case $word in
        *[0-9]%) break ;;
        esac
        free=$word
    done
    case $free in
    "" | *[!0-9]*) ;;
    *) printf 'free_kib %s\n' "$free" ;;
    esac
}

show_tools() {
    for tool in tar flock sha256sum timeout; do
        has "$tool" || printf 'missing %s\n' "$tool"
    done
}

# Newest first, only what looks like a release.
show_releases() {
    for name in $(ls -1t "$base/releases" 2>/dev/null); do
        case $name in
        *[!0-9a-f]*) ;;
        *) [ ! -f "$base/releases/$name/.fleet/manifest" ] || printf 'release %s\n' "$name" ;;
        esac
    done
}

locate "$1" ""
printf 'machine %s\nbase %s\n' "$machine" "$base"
if cd -P "$host/current" 2>/dev/null; then
    digest_of .fleet/manifest
    printf 'current %s %s\n' "${PWD##*/}" "$digest"
fi
# Words of tools are split, and must not be taken for patterns.
set -f
show_releases
show_space
set +f
show_tools
show_live
printf 'end\n'
