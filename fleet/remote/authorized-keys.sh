# Add a public key to authorized_keys, or remove it: $1 add or remove, $2 type, $3 blob, $4 comment.
# The last line is added, present, removed or absent. Order, comments and options of other lines stay as they are; the file is
# replaced in one step, so a cut connection leaves the old one.
set -u
umask 077
# A greeting of the login's shell may lack its line end.
echo
folder=$HOME/.ssh
file=$folder/authorized_keys
[ -d "$folder" ] || mkdir "$folder" || exit 1
[ ! -L "$file" ] || file=$(readlink -f "$file") || exit 1
if command -v flock >/dev/null 2>&1; then
    exec 9>>"$folder/.authorized_keys.lock" && flock -w 10 9 || exit 75
fi
temporary=$(mktemp "$file.XXXXXX") || exit 1
trap 'rm -f "$temporary"' EXIT
trap 'exit 1' HUP INT TERM
tab=$(printf '\t')
found=no
copy() {
    while IFS= read -r line || [ -n "$line" ]; do
        same=no
        case $line in
        "#"*) ;;
        *)
            case " $line " in
            *[" $tab"]"$3"[" $tab"]*) same=yes found=yes ;;
            esac
            ;;
        esac
        [ "$same $1" = "yes remove" ] || printf '%s\n' "$line" || return 1
    done
}
if [ -e "$file" ]; then
    copy "$@" <"$file" >"$temporary" || exit 1
fi
case "$1 $found" in
"add yes") echo present && exit 0 ;;
"remove no") echo absent && exit 0 ;;
"add no") printf '%s %s %s\n' "$2" "$3" "$4" >>"$temporary" || exit 1 ;;
esac
chmod 600 "$temporary" || exit 1
sync "$temporary" 2>/dev/null || sync
mv -f "$temporary" "$file" || exit 1
[ "$1" = add ] && echo added || echo removed
