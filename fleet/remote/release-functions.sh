# What the release scripts share; `fleet` sends it in front of each of them. POSIX sh, and tools that busybox has too.
# Statuses: 65 does not verify, 66 no such release, 69 a tool is missing, 73 cannot be created, 74 the transfer failed,
# 75 busy, 76 the base cannot be linked or copied.
set -u
umask 022
LC_ALL=C
export LC_ALL
python=python3
# What a login script prints comes before this line.
printf '\nbegin\n'

fail() {
    status=$1
    shift
    printf '%s\n' "$*" >&2
    exit "$status"
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# Sets base, machine and host for a deploy_dir. The machine is $2, or asked for if that is empty: it is named by its id
# and its host name, since cloned images share the former.
locate() {
    case $1 in
    "~") base=$HOME ;;
    "~/"*) base=$HOME/${1#"~/"} ;;
    *) base=$1 ;;
    esac
    machine=$2
    [ -n "$machine" ] || name_machine
    host=$base/hosts/$machine
}

name_machine() {
    identity=
    [ -r /etc/machine-id ] && read -r identity </etc/machine-id
    machine=$(printf '%s\n%s' "$identity" "$(uname -n)" | sha256)
    machine=${machine%"${machine#????????????????}"}
    [ -n "$machine" ] || fail 69 "no sha256sum, and no $python either"
}

# SHA-256 of standard input in hex, and something after it.
sha256() {
    if has sha256sum; then
        sha256sum
    else
        "$python" -c 'import hashlib, sys
print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest(), "-")'
    fi
}

# Sets digest to the SHA-256 of a file; to nothing if it cannot be read.
digest_of() {
    digest=$(sha256 <"$1" 2>/dev/null)
    digest=${digest%% *}
}

# Compare files with the checksum lines on standard input. Mismatches are printed.
check_digests() {
    if has sha256sum; then
        know_strict
        # Unquoted: no option at all where the tool knows none.
        sha256sum -c $strict - 2>&1
    else
        "$python" -c 'import hashlib, sys
bad = 0
for line in sys.stdin.buffer.read().splitlines():
    digest, name = line[:64].decode(), line[66:]
    try:
        with open(name, "rb") as file:
            found = hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        found = str(error)
    if found != digest:
        bad = 1
        print(name.decode("utf-8", "replace") + ": FAILED")
sys.exit(bad)'
    fi
}

# Sets strict to the options that make sha256sum refuse malformed lines, if it has them.
know_strict() {
    [ -z "${strict+known}" ] || return 0
    strict=
    case $(sha256sum --help 2>&1) in
    *--strict*) strict="--strict --quiet" ;;
    esac
}

# Whether somebody alive holds the lock of a file. What cannot be told counts as held.
held() {
    [ -e "$1" ] || return 1
    if has flock; then
        ! flock -s -n 8 8<"$1"
    else
        ! "$python" -c 'import fcntl
fcntl.flock(8, fcntl.LOCK_SH | fcntl.LOCK_NB)' 8<"$1" 2>/dev/null
    fi
}

# A run lives while its supervisor or its trainer holds a lock, whatever its files say.
lives() {
    held "$1/supervisor.lock" || held "$1/lock"
}

# Whether a live run among "$live" (one a line) names the directory $1.
pinned() {
    for run in $live; do
        grep -qF -- "$1" "$base/runs/$run/launch.json" "$base/runs/$run/state.json" "$base/runs/$run/run.json" \
            2>/dev/null && return 0
    done
    return 1
}

# Sets live to the names of all live runs, one a line.
find_live() {
    live=
    for run in "$base"/runs/*/; do
        run=${run%/}
        case ${run##*/} in
        *[!a-z0-9-]*) continue ;;
        esac
        lives "$run" && live="$live${run##*/}
"
    done
}

# Take the lock of this machine's releases on descriptor 9. The kernel frees it with this shell; children that could
# outlive the shell must not inherit it (9>&-).
take_lock() {
    if [ ! -d "$host/locks" ] || [ ! -d "$host/tmp" ] || [ ! -d "$base/releases" ]; then
        (umask 077 && mkdir -p "$host/locks" "$host/tmp" "$base/releases") || fail 73 "cannot create $host"
    fi
    # Tried in a subshell first: a redirection of exec that fails ends the shell at once.
    (: >>"$host/locks/deploy") || fail 73 "cannot open $host/locks/deploy"
    exec 9>>"$host/locks/deploy"
    if has flock; then
        flock -n 9
    else
        "$python" -c 'import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(1)'
    fi
    case $? in
    0) ;;
    1)
        holder=
        read -r holder <"$host/locks/deploy"
        fail 75 "${holder:-another process}"
        ;;
    *) fail 69 "cannot lock $host/locks/deploy, neither with flock nor with $python" ;;
    esac
    printf 'process %s of %s\n' "$$" "${USER:-${LOGNAME:-somebody}}" >"$host/locks/deploy"
    # The lock is ours, so whoever left something here is dead.
    for left in "$host/tmp"/* "$host/tmp"/.[!.]*; do
        discard "$left"
    done
}

# Remove a directory whose parts may have lost their write permission. Links are removed, never followed.
discard() {
    [ -e "$1" ] || [ -L "$1" ] || return 0
    rm -rf -- "$1" 2>/dev/null && return 0
    find "$1" -type d -exec chmod u+rwx {} + 2>/dev/null
    rm -rf -- "$1"
}

# rename(2) of $1 to $2, nothing else: an existing directory is never entered.
rename() {
    [ -n "${mv_help:-}" ] || mv_help=$(mv --help 2>&1)
    case $mv_help in
    *-T*) mv -f -T -- "$1" "$2" ;;
    *) "$python" -c 'import os, sys
os.rename(sys.argv[1], sys.argv[2])' "$1" "$2" ;;
    esac
}

# Add the line on standard input, if there is one, to the host's audit log.
note() {
    IFS= read -r noted || return 0
    (umask 077 && printf '%s\n' "$noted" >>"$base/audit.jsonl") || echo unnoted
}

# Point the link $1 of this machine at the release $2, in one step.
point() {
    ln -s "../../releases/$2" "$host/tmp/$1" && rename "$host/tmp/$1" "$host/$1" || fail 73 "cannot write $host/$1"
}

# Make the release $1 current and remember the one before it, which is printed.
switch_to() {
    before=
    [ -L "$host/current" ] && before=$(readlink "$host/current") && before=${before##*/}
    if [ "$before" != "$1" ]; then
        [ -z "$before" ] || point previous "$before"
        point current "$1"
    fi
    printf 'previous %s\n' "$before"
}
