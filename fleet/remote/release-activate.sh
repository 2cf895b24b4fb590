# Verify a release that is on the host again, and make it current.
# $1 deploy_dir, $2 id, the beginning of one, or empty for the previous release, $3 full digest or empty, $4 switch or
# keep (verify only), $5 interpreter. A line on stdin is for the audit log.
action=$4
python=$5

end() {
    cd / || exit 1
    discard "$host/tmp/notes"
}

# Sets id to the one release that $1 begins.
find_release() {
    id=
    for path in "$base/releases/$1"*/; do
        [ -d "$path" ] || fail 66 "no release $1"
        [ -z "$id" ] || fail 66 "several releases begin with $1"
        path=${path%/}
        id=${path##*/}
    done
}

wanted=$2
locate "$1" ""
if [ -z "$wanted" ]; then
    [ -L "$host/previous" ] || fail 66 "no previous release"
    wanted=$(readlink "$host/previous")
    wanted=${wanted##*/}
fi
find_release "$wanted"
take_lock
trap end EXIT
trap 'exit 74' HUP INT TERM PIPE
verify "$base/releases/$id" "${3:-$id}" "$host/tmp/notes" || fail 65 "release $id: $reason"
[ "$action" = keep ] || switch_to "$id"
note
printf 'current %s\n' "$id"
