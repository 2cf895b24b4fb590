# Look at the environments of a host in one round trip. Writes either `ready` and the record of the environment that
# fits, or all that is needed to plan one: the files that pin packages, uv, and every interpreter that was asked.
#   $1 deploy_dir   $2 release   $3 what is wanted, as one line   $4 `auto` or the path of an interpreter
#   $5 oldest Python as MAJOR.MINOR   $6 oldest torch   $7 seconds for one interpreter   $8 the probe's text
#   $9 `torch` or `plain`   then: `any` or `anew`, name of the agent, name of the pinned uv, files that pin packages
# What comes before the line `begin` is a greeting of the login's shell. Status 76: no such release.
set -u
printf '\nbegin\n'
case $1 in
"~") root=$HOME ;;
"~/"*) root=$HOME/${1#"~/"} ;;
*) root=$1 ;;
esac
release=$root/releases/$2 wanted=$3 python=$4 oldest=$5 torch=$6 seconds=$7 probe=$8 what=$9
shift 9
anew=$1 agent=$2 uv=$3
shift 3
[ -d "$release" ] || exit 76

digest() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum
    elif command -v openssl >/dev/null 2>&1; then
        openssl dgst -sha256 -r
    else
        python3 -I -S -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'
    fi | cut -c1-16
}

machine=$(printf '%s\n%s' "$(cat /etc/machine-id 2>/dev/null)" "$(uname -n)" | digest)
key=$({
    printf '%s\n' "$wanted"
    for name in "$@"; do
        if [ -f "$release/$name" ]; then
            printf '%s\n' "$name"
            cat "$release/$name"
        fi
    done
} | digest)

# What was chosen before still holds if the environment is complete and neither its interpreter nor its torch changed.
ready() {
    [ -f "$1" ] || return 1
    {
        IFS= read -r id || return 1
        [ -x "$root/envs/$id/bin/python" ] && [ -f "$root/envs/$id/.fleet-ready.json" ] || return 1
        while IFS= read -r stamp; do
            [ "$(stat -L -c '%s %Y %n' "${stamp#* * }" 2>/dev/null)" = "$stamp" ] || return 1
        done
    } <"$1"
}
if [ "$anew" = any ] && ready "$root/hosts/$machine/environments/$key"; then
    echo ready
    exec cat "$root/envs/$id/.fleet-ready.json"
fi

printf 'place\t%s\t%s\t%s\n' "$machine" "$key" "$root"
for name in "$@"; do
    if [ -f "$release/$name" ]; then
        printf 'file\t%s\t%d\n' "$name" "$(wc -c <"$release/$name")"
        cat "$release/$name"
        echo
    fi
done
[ -f "$root/tools/$agent" ] && printf 'agent\t%s\n' "$agent"

# The PATH that the user has after logging in; a profile that waits for a terminal must not hold us up.
limit=
command -v timeout >/dev/null 2>&1 && limit='timeout 10'
login=$($limit "${SHELL:-/bin/sh}" -lc env </dev/null 2>/dev/null | sed -n 's/^PATH=//p' | tail -n 1)
login=${login:-$PATH}

for tool in "$root/tools/$uv" "$(PATH=$login; command -v uv)" "$HOME/.local/bin/uv" "$HOME/.cargo/bin/uv"; do
    [ -f "$tool" ] && [ -x "$tool" ] && printf 'uv\t%s\n' "$tool"
done

candidates() {
    (
        PATH=$login
        command -v python3
        command -v python
    )
    for place in "$HOME/miniconda3" "$HOME/miniforge3" "$HOME/mambaforge" "$HOME/anaconda3" "$HOME/micromamba" \
        /opt/conda /opt/miniconda3 /opt/miniforge3 /opt/anaconda3 /usr/local/miniconda3; do
        printf '%s\n' "$place/bin/python3" "$place"/envs/*/bin/python3
    done
    printf '%s\n' "$HOME/venv/bin/python3" "$HOME/.venv/bin/python3" "$HOME/env/bin/python3" "$HOME"/venvs/*/bin/python3 \
        "$HOME"/.virtualenvs/*/bin/python3 /opt/venv/bin/python3 /venv/bin/python3 /opt/pytorch/bin/python3
    for minor in 14 13 12 11; do
        printf '%s\n' "/usr/local/bin/python3.$minor" "/usr/bin/python3.$minor"
    done
    printf '%s\n' "$HOME"/.pyenv/versions/*/bin/python3 "$HOME"/.local/share/uv/python/*/bin/python3 \
        /usr/local/bin/python3 /usr/bin/python3
}
[ "$python" = auto ] && list=$(candidates) || list=$python

# The short question comes first: it costs 10 ms, and finds old interpreters and the same one under another name. Same
# version in the same folder is the same; sys.prefix cannot tell, since an environment sets it only later.
short='
import os, sys
oldest = tuple(int(part) for part in sys.argv[1].split("."))
print("%d.%d.%d" % sys.version_info[:3])
print("%d.%d %s" % (sys.version_info[:2] + (os.path.realpath(os.path.dirname(sys.executable)),)))
sys.exit(sys.version_info[:2] < oldest)'
seen='
'
printf '%s\n' "$list" | while IFS= read -r path; do
    if ! [ -x "$path" ]; then
        [ "$python" = auto ] || printf 'candidate\t127\t%s\t\n' "$path"
        continue
    fi
    answer=$("$path" -E -S -c "$short" "$oldest" </dev/null 2>&1)
    status=$?
    case $answer in
    [0-9]*)
        case $seen in *"
${answer#*
}
"*) continue ;; esac
        seen="$seen${answer#*
}
" ;;
    esac
    if [ "$status" -ne 0 ]; then
        printf 'candidate\t%d\t%s\t%s\n' "$status" "$path" "$(printf '%s\n' "$answer" | sed -n 1p)"
        continue
    fi
    # Errors of the interpreter come first on stderr, so the last line is the answer or the reason.
    answer=$("$path" -E -c "$probe" "$seconds" "$torch" "$what" </dev/null 2>&1)
    status=$?
    printf 'candidate\t%d\t%s\t%s\n' "$status" "$path" "$(printf '%s\n' "$answer" | tail -n 1)"
    [ "$status" -ne 10 ] || break
done
exit 0
