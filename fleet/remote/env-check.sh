# Ask an environment whether it still works: $1 deploy_dir, $2 environment, then the probe's text and its arguments.
# Writes the line `begin`, the record of the environment and the probe's answer, one line each. What comes before it is a
# greeting of the login's shell. Status 76: no such environment.
set -u
printf '\nbegin\n'
case $1 in
"~") root=$HOME ;;
"~/"*) root=$HOME/${1#"~/"} ;;
*) root=$1 ;;
esac
folder=$root/envs/$2
[ -f "$folder/.fleet-ready.json" ] || exit 76
cat "$folder/.fleet-ready.json"
echo
shift 2
answer=$("$folder/bin/python" -E -c "$@" </dev/null 2>&1)
status=$?
printf '%d\t%s\n' "$status" "$(printf '%s\n' "$answer" | tail -n 1)"
