# Run a command that ends when nobody waits for it any more. On stdin come lines NAME=VALUE up to an empty line, variables
# that are in no argument list and in no file; then stdin stays open for as long as somebody waits. Arguments: the command.
set -u
while IFS= read -r line && [ -n "$line" ]; do
    export "$line"
done
exec 3<&0 </dev/null
# Whether somebody lives in the process group besides the watcher.
others() {
    found=0
    for stat in /proc/[0-9]*/stat; do
        IFS= read -r line <"$stat" || continue
        # State, parent, group.
        line=${line##*) }
        group=${line#? * }
        [ "${line%% *}" = Z ] || [ "${group%% *}" != $$ ] || found=$((found + 1))
    done
    [ "$found" -gt 1 ]
}
# The watcher is no child of the command, which may wait for all of its own. It belongs to the process group, whose
# number therefore means no other one for as long as it looks.
(
    (
        cat <&3
        # It ended by itself: what it left behind on purpose is left in peace.
        kill -0 $$ || exit
        trap '' TERM
        kill -TERM -$$ || kill -TERM $$
        sleep 0.1 || sleep 1
        for second in 1 2 3 4 5; do
            others || exit
            sleep 1
        done
        kill -KILL -$$ || kill -KILL $$
    ) >/dev/null 2>&1 &
)
exec 3<&-
exec "$@"
