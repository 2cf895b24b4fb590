# Print one file of a run: $1 deploy_dir, $2 run id, $3 file name. Status 66: it is not there.
# What comes before the line `begin` is a greeting of the login's shell.
set -u
case $1 in
"~") root=$HOME ;;
"~/"*) root=$HOME/${1#"~/"} ;;
*) root=$1 ;;
esac
file=$root/runs/$2/$3
[ -f "$file" ] || exit 66
printf '\nbegin\n'
exec cat -- "$file"
