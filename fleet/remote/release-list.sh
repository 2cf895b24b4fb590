# Every release of a deploy_dir, newest first, with its record; nothing is changed. $1 deploy_dir, $2 interpreter.
python=$2

# Seconds since the directory $1 was made, on this host's clock.
age_of() {
    made=$(stat -c %Y "$1" 2>/dev/null) || made=$now
    printf '%s' "$((now - made))"
}

locate "$1" ""
now=$(date +%s)
for link in current previous; do
    [ -L "$host/$link" ] || continue
    target=$(readlink "$host/$link")
    printf '%s %s\n' "$link" "${target##*/}"
done
find_live
all=$live
ls -1t "$base/releases" 2>/dev/null | while IFS= read -r name; do
    case $name in
    *[!0-9a-f]*) continue ;;
    esac
    [ -f "$base/releases/$name/.fleet/manifest" ] || continue
    record=
    [ -r "$base/releases/$name/.fleet/release.json" ] && IFS= read -r record <"$base/releases/$name/.fleet/release.json"
    printf 'release %s %s %s\n' "$name" "$(age_of "$base/releases/$name")" "$record"
    for one in $all; do
        live=$one
        pinned "$name" && printf 'pin %s %s\n' "$name" "$one"
    done
done
printf 'end\n'
