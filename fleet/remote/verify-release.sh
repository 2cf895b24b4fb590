# Does a release still hold exactly what its manifest lists? Takes no lock and changes nothing in deploy_dir. Sent behind
# release-functions.sh and release-verify.sh. $1 deploy_dir, $2 id, $3 interpreter.
python=$3
locate "$1" none
[ -d "$base/releases/$2" ] || fail 66 "no release $2"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/fleet-XXXXXX") || fail 73 "cannot create a temporary folder"
trap 'rm -rf -- "$scratch"' EXIT
trap 'exit 74' HUP INT TERM PIPE
verify "$base/releases/$2" "$2" "$scratch/notes" || fail 65 "$reason"
printf 'verified %s\n' "$(wc -l <"$base/releases/$2/.fleet/manifest")"
