# Run a command of the agent: $1 deploy_dir, $2 Python to use (a name or a path), $3 digest of the agent, $4 command,
# $5 keep to allow its byte code to be written beside it. 77: the agent is not there; 79: nor is deploy_dir; 78: no
# Python. Otherwise the agent's own.
set -u
case $1 in
"~") root=$HOME ;;
"~/"*) root=$HOME/${1#"~/"} ;;
*) root=$1 ;;
esac
agent=$root/tools/$(printf '%.16s' "$3").pyz
# What a login's shell says before this line is no answer, and without it commands do not run here at all.
printf '\nfleet-agent 1\n'
[ -d "$root" ] || exit 79
[ -f "$agent" ] || exit 77
for python in "$2" python3 /usr/bin/python3 /usr/local/bin/python3; do
    if command -v "$python" >/dev/null 2>&1; then
        # Isolated and without site: the agent needs the standard library alone and starts in half the time.
        exec "$python" -I -S "$agent" "$4" ${5:+"$5"}
    fi
done
exit 78
