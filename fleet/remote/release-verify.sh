# Does a release hold exactly what its manifest lists? Sent between release-functions.sh and the scripts that ask.
# What they find wrong they leave in $reason.

# A share of the checksums in $sums: one process alone would be the slowest step of all.
check_share() {
    sed -n "$1" "$sums" | check_digests >"$notes/$2"
}

check_files() {
    if [ "$1" -lt 256 ]; then
        [ "$1" -eq 0 ] || check_share p 1
        return
    fi
    check_share 'p;n;n;n' 1 9>&- &
    share_1=$!
    check_share 'n;p;n;n' 2 9>&- &
    share_2=$!
    check_share 'n;n;p;n' 3 9>&- &
    share_3=$!
    check_share 'n;n;n;p' 4
    shares=$?
    wait "$share_1" && wait "$share_2" && wait "$share_3" && [ "$shares" -eq 0 ]
}

# Every symbolic link points where the manifest says: the targets are hashed together.
check_links() {
    sed -n 's/^l [0-9]* [0-9]* \([0-9a-f]*\) /\1 /p' .fleet/manifest >"$notes/links"
    mkdir "$notes/targets" || return 1
    number=0
    while IFS= read -r line; do
        number=$((number + 1))
        name=${line#* }
        [ -L "./$name" ] || return 1
        target=$(readlink "./$name") || return 1
        printf '%s' "$target" >"$notes/targets/$number" || return 1
        printf '%s  %s\n' "${line%% *}" "$notes/targets/$number"
    done <"$notes/links" >"$notes/links.sums" && check_digests <"$notes/links.sums" >"$notes/links.bad"
}

# Nothing is there that the manifest does not list ($1 lines; each is proved by its digest, so the number is enough), and
# the files that may be executed are those of mode 0755. One walk for both: what may be executed is printed twice.
check_names() {
    sed -n 's/^f 0755 [0-9]* [0-9a-f]* /.\//p' .fleet/manifest | sort >"$notes/wanted" || return 1
    find . -path ./.fleet -prune -o -type f -perm -100 -print -print -o ! -type d -print | sort >"$notes/found" ||
        return 1
    uniq -d "$notes/found" | cmp -s - "$notes/wanted" || return 1
    found=$(wc -l <"$notes/found")
    wanted=$(wc -l <"$notes/wanted")
    [ "$found" -eq "$(($1 + wanted))" ]
}

# verify_contents TREE NOTES [SUMS]: the tree holds what its control files say, which were checked before. SUMS are the
# checksums that are left to be compared, if some files were checked before too.
verify_contents() {
    notes=$2
    mkdir -p "$notes" || fail 73 "cannot create $notes"
    sums=${3:-.fleet/SHA256SUMS}
    cd "$1" || return 1
    know_strict
    set -- $(wc -l .fleet/manifest .fleet/SHA256SUMS)
    lines=$1
    files=$3
    check_names "$lines" 9>&- &
    names=$!
    if ! check_files "$(wc -l <"$sums")"; then
        reason="files differ from the manifest: $(cat "$notes"/[1-4] | grep -v ': OK$' | sed 3q | tr '\n' ';')"
        wait "$names"
        return 1
    fi
    reason="it holds other names than the $lines that its manifest lists, or other files may be executed"
    wait "$names" || return 1
    reason="a symbolic link is missing or points elsewhere"
    [ "$lines" -eq "$files" ] || check_links
}

# verify TREE DIGEST NOTES: the digest is the manifest's, or the id with which that begins.
verify() {
    reason="it is not there, or not whole"
    [ -f "$1/.fleet/manifest" ] && [ -f "$1/.fleet/SHA256SUMS" ] || return 1
    reason="its manifest is not the one that its name stands for"
    digest_of "$1/.fleet/manifest"
    case $digest in
    "$2"*) ;;
    *) return 1 ;;
    esac
    reason="its list of checksums does not belong to its manifest"
    sed -n 's/^f [0-9]* [0-9]* \([0-9a-f]*\) /\1  .\//p' "$1/.fleet/manifest" | cmp -s - "$1/.fleet/SHA256SUMS" ||
        return 1
    verify_contents "$1" "$3"
}
