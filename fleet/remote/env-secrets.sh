# Store one set of secrets, which come on stdin as lines NAME=VALUE: $1 deploy_dir, $2 set, $3 bytes that must arrive,
# or `-` to remove the set. They are never in an argument and never executed. A cut connection looks like an end of
# file, so fewer bytes leave the old set in place.
set -u
umask 077
case $1 in
"~") root=$HOME ;;
"~/"*) root=$HOME/${1#"~/"} ;;
*) root=$1 ;;
esac
folder=$root/secrets
if [ "$3" = - ]; then
    exec rm -f -- "$folder/$2.env"
fi
mkdir -p "$root" "$folder" && chmod 700 "$folder" || exit 1
temporary=$folder/.$2.$$
trap 'rm -f -- "$temporary"' EXIT
# `dd` flushes to the disk before it ends, and every shell host has one.
dd of="$temporary" bs=65536 conv=fsync 2>/dev/null || {
    echo "$folder: the secrets could not be written; is the disk full?" >&2
    exit 1
}
if [ "$(wc -c <"$temporary")" -ne "$3" ]; then
    echo "the secrets did not arrive whole" >&2
    exit 1
fi
chmod 600 "$temporary" && mv -f -- "$temporary" "$folder/$2.env"
