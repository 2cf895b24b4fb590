# Send a growing log from a byte on; ends when stdin does.
#   $1 log: $2 is a folder of segments, one logical file; file: $2 is the file itself
#   $3 offset of the first byte wanted
#   $4 seconds after which it ends in any case; 0: send what is there and end; -1: send the first line alone
#   $5 Python to use, and $6 the program follower.py, where tail cannot do it
# First comes a line `fleet-follow START SIZE NEXT`: offset of the opened segment, its bytes, offset of the following
# one or `-`. A segment that has a following one is complete: it is sent to its end, and the status is 65.
# Status 66: what was asked for is gone; 67: there is nothing yet; 68: it ends before the offset; 78: no Python.
set -u
case $2 in
"~/"*) place=$HOME/${2#"~/"} ;;
*) place=$2 ;;
esac
absent() {
    [ "$1" -eq 0 ] && exit 67
    exit 66
}
file='' start=0 next=-
if [ "$1" = log ]; then
    [ -d "${place%/*}" ] || exit 66
    for segment in "$place"/*.seg; do
        name=${segment##*/}
        name=${name%.seg}
        case $name in
        '' | *[!0-9]*) continue ;;
        esac
        zeros=${name%%[!0]*}
        name=${name#"$zeros"}
        if [ "${name:-0}" -le "$3" ]; then
            file=$segment start=${name:-0}
        else
            next=$name
            break
        fi
    done
    [ -n "$file" ] || [ "$next" = - ] || exit 66
else
    [ -d "${place%/*}" ] || exit 66
    file=$place
fi
[ -f "$file" ] || absent "$3"
size=$(stat -c %s -- "$file" 2>/dev/null || wc -c <"$file") || absent 1
offset=$(($3 - start))
[ "$offset" -le "$size" ] || exit 68
printf '\nfleet-follow %d %d %s\n' "$start" "$size" "$next"
[ "$4" -ge 0 ] || exit 0
if [ "$next" != - ] || [ "$4" -eq 0 ]; then
    tail -c "+$((offset + 1))" -- "$file" || exit 1
    [ "$next" = - ] || exit 65
    exit 0
fi
# GNU tail is told of new bytes by the kernel, and looks every 0.1 s on file systems that do not tell. It ends with the
# process that holds our stdin.
if tail --pid=$$ -s 0.1 -c 1 /dev/null >/dev/null 2>&1 && command -v timeout >/dev/null; then
    exec 3<&0
    timeout "$4" cat <&3 >/dev/null 2>&1 3<&- &
    exec 3<&-
    tail --pid=$! -s 0.1 -f -c "+$((offset + 1))" -- "$file"
    kill $! 2>/dev/null
    exit 0
fi
for python in "$5" python3 /usr/bin/python3 /usr/local/bin/python3; do
    command -v "$python" >/dev/null 2>&1 && exec "$python" -I -S -c "$6" "$file" "$offset" "$4"
done
exit 78
