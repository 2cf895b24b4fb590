# Receive a release as a tar stream on stdin, verify it and make it visible in one rename. Until then it is a directory
# in tmp/ that the next deploy removes.
# $1 deploy_dir, $2 machine, $3 id, $4 digest of the manifest, $5 of the checksum list, $6 base release or empty,
# $7 switch or keep, $8 seconds after which the controller has given up, $9 interpreter, ${10} seconds to wait for the
# next byte, ${11} how many lists of parts arrive among the files.
id=$3
base_release=$6
action=$7
seconds=$8
python=$9
silence=${10}
parts=${11}
work=
unpacking=

end() {
    cd / || exit 1
    [ -z "$unpacking" ] || kill "$unpacking" "$watching"
    # What still runs could write into what is removed.
    wait
    [ -z "$work" ] || discard "$work"
}

# A link that dies without a word keeps stdin open for ever, and the lock with it. This ends the process $1 when it has
# waited $silence seconds for input, or once the controller has given up. Told by the kernel's counters and not by the
# files, since a long one may arrive slowly; where those cannot be read only the second limit is left.
watch_over() {
    pause=
    trap 'kill $pause; exit 0' TERM
    seen=
    idle=0
    total=0
    while kill -0 "$1"; do
        sleep 2 &
        pause=$!
        wait "$pause"
        total=$((total + 2))
        idle=$((idle + 2))
        # Not all lines: a kernel that takes idle pages away changes those about memory.
        now=$(grep -hE '^(rchar|State|voluntary_ctxt_switches):' "/proc/$1/io" "/proc/$1/status")
        case $now in
        rchar*"State:	S"*) [ "$now" = "$seen" ] || idle=0 ;;
        *) idle=0 ;;
        esac
        seen=$now
        if [ "$idle" -ge "$silence" ] || [ "$total" -ge "$seconds" ]; then
            kill "$1"
        fi
    done
}

# Check the files of each part of $1 as soon as its list is whole, while the next part is unpacked by the process $2.
check_ahead() {
    cd "$1" || return 1
    part=0
    while [ "$part" -lt "$parts" ]; do
        part=$((part + 1))
        while [ ! -e ".fleet/part$part.whole" ]; do
            kill -0 "$2" 2>/dev/null || [ -e ".fleet/part$part.whole" ] || return 1
            sleep 0.05 2>/dev/null || sleep 1
        done
        check_digests <".fleet/part$part" >"$work/checked" || return 1
    done
}

# Unpack what arrives into $1.
unpack() {
    # The shell gives a command in the background no input unless it is named.
    exec 3<&0
    tar -xomf - -C "$1" <&3 3<&- 9>&- &
    unpacking=$!
    watch_over "$unpacking" </dev/null >/dev/null 2>&1 3<&- 9>&- &
    watching=$!
    if [ "$parts" -gt 0 ]; then
        check_ahead "$1" "$unpacking" </dev/null >/dev/null 2>&1 3<&- 9>&- &
        checking=$!
    fi
    wait "$unpacking"
    result=$?
    kill "$watching"
    unpacking=
    return "$result"
}

# Run a command on the paths of the tree that the list of changes marks with $1.
on_marked() {
    mark=$1
    shift
    while IFS= read -r line; do
        case $line in
        "$mark "*) set -- "$@" "$tree/${line#? }" ;;
        esac
    done <"$in/.fleet/changes"
    "$@"
}

remove_folders() {
    [ $# -eq 0 ] || rmdir -- "$@"
}

# The base release becomes the tree: hard links where the file system has them, else copies. What changed is removed
# from it, then what arrived takes its place. A linked file is unlinked, never opened or given another mode.
start_from_base() {
    copy="cp -al"
    if ! wait "$linking"; then
        discard "$tree"
        copy="cp -a"
        $copy "$releases/$base_release" "$tree" || fail 76 "cannot copy release $base_release"
    fi
    [ -f "$in/.fleet/changes" ] || fail 74 "the stream ended before its last files"
    on_marked w chmod u+w "$tree" "$tree/.fleet" && on_marked d rm -rf -- "$tree/.fleet" &&
        on_marked r remove_folders || fail 76 "cannot change a copy of release $base_release"
    # Never a copy into a tree of links: it could write through one of them.
    $copy "$in/." "$tree/" || fail 76 "cannot add the files that arrived"
    rm -f -- "$tree/.fleet/changes" && on_marked p chmod 555 "$tree/.fleet" || fail 74 "cannot protect the files"
}

# Both control files are what the controller means, and the record is what it sent; the manifest then vouches for
# everything else.
check_control_files() {
    reason="the stream ended before its last files, or they arrived damaged"
    IFS= read -r recorded <"$tree/.fleet/release.json.sha256" || return 1
    printf '%s  %s\n' "$1" "$tree/.fleet/manifest" "$2" "$tree/.fleet/SHA256SUMS" \
        "$recorded" "$tree/.fleet/release.json" | check_digests >&2
}

# Take away the lists of parts. If all those files were right, and the lists are how the list of all begins, only the rest
# is left to be checked, in the file $rest.
take_parts() {
    rest=
    [ "$parts" -gt 0 ] || return 0
    part=0
    while [ "$part" -lt "$parts" ]; do
        part=$((part + 1))
        cat "$tree/.fleet/part$part"
    done >"$work/ahead" || fail 74 "a list of files did not arrive"
    rm -f -- "$tree"/.fleet/part*
    wait "$checking" || return 0
    bytes=$(wc -c <"$work/ahead")
    head -c "$bytes" "$tree/.fleet/SHA256SUMS" | cmp -s - "$work/ahead" || return 0
    rest=$work/rest
    tail -c "+$((bytes + 1))" "$tree/.fleet/SHA256SUMS" >"$rest" || fail 74 "cannot write $rest"
}

# Write everything down to the disk. The tool that syncs one file system is used where there is one.
flush() {
    case $(sync --help 2>&1) in
    *--file-system* | *"-f"*) sync -f "$tree" ;;
    *) sync ;;
    esac
}

# What is there under this id already: nothing, the same release (then ours is not needed), or a damaged one.
make_room() {
    [ -e "$releases/$id" ] || [ -L "$releases/$id" ] || return 0
    (verify "$releases/$id" "$1" "$work/there") && return 1
    find_live
    pinned "$id" && fail 65 "release $id on this host is damaged, and a live run uses it: it is left alone"
    chmod u+w "$releases/$id" && rename "$releases/$id" "$work/damaged" || fail 73 "cannot move the damaged release $id"
}

# $1 digest of the manifest, $2 of the checksum list.
receive() {
    releases=$base/releases
    work=$host/tmp/up-$$
    in=$work/in
    tree=$work/tree
    [ -n "$base_release" ] || in=$tree
    know_strict
    mkdir "$work" "$in" || fail 73 "cannot create $work"
    if [ -n "$base_release" ]; then
        cp -al "$releases/$base_release" "$tree" 2>/dev/null 9>&- &
        linking=$!
    fi
    unpack "$in" || fail 74 "the files did not all arrive"
    # Not the top: a directory must be writable to be moved elsewhere.
    (cd "$in" && find . -type d ! -name . ! -name .fleet -exec chmod 555 {} +) || fail 74 "cannot protect the files"
    [ ! -f "$in/.fleet/note" ] || mv "$in/.fleet/note" "$work/note" || fail 74 "cannot move the note"
    [ -z "$base_release" ] || start_from_base
    [ -d "$tree/.fleet" ] && check_control_files "$1" "$2" || fail 65 "${reason:-the stream ended early}"
    take_parts
    chmod 555 "$tree/.fleet" || fail 74 "cannot protect the files"
    flush 9>&- &
    flushing=$!
    verify_contents "$tree" "$work/notes" "$rest" || fail 65 "$reason"
    wait "$flushing" || fail 74 "the files could not be written to the disk"
    if make_room "$1"; then
        rename "$tree" "$releases/$id" && chmod 555 "$releases/$id" || fail 73 "cannot create $releases/$id"
    fi
}

locate "$1" "$2"
take_lock
trap end EXIT
trap 'exit 74' HUP INT TERM PIPE
receive "$4" "$5"
[ "$action" = keep ] || switch_to "$id"
[ ! -f "$work/note" ] || note <"$work/note"
printf 'installed %s\n' "$id"
