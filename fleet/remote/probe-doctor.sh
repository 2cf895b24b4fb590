# Whether a host is fit to train. After probe-begin.sh and probe-gpu.sh, whose arguments are $1 and $2. $3 fields of the
# GPUs, $4 those that every driver knows, $5 the Python of the agent, $6 yes or no: only what a start needs to know.
quick=$6

tools() {
    for name in tar flock sha256sum setsid timeout stat sed grep tail; do
        if command -v "$name" >/dev/null 2>&1; then echo "=tool $name yes"; else echo "=tool $name no"; fi
    done
    # In the order in which the agent looks for one.
    for python in "$1" python3 /usr/bin/python3 /usr/local/bin/python3; do
        command -v "$python" >/dev/null 2>&1 || continue
        echo "=python"
        command -v "$python" | content
        "$python" -I -S -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>&1 | content
        return 0
    done
}

limits() {
    stat -f -c '=shm %S %b %a' /dev/shm 2>/dev/null
    echo "=files $(ulimit -n) $(ulimit -Hn 2>/dev/null)"
}

# Whether processes outlive the login: logind may kill them, unless the user lingers.
survival() {
    user=$(id -un)
    echo "=user $(id -u)"
    printf '|%s\n' "$user"
    # Two lines: KillUserProcesses, RemoveIPC.
    manager=$(busctl --timeout=3 get-property org.freedesktop.login1 /org/freedesktop/login1 \
        org.freedesktop.login1.Manager KillUserProcesses RemoveIPC 2>/dev/null)
    cleans=''
    case $manager in
    *"b true") cleans=cleans ;;
    esac
    case $manager in
    "b true"*) echo "=logind kills $cleans" ;;
    "b false"*) echo "=logind spares $cleans" ;;
    *) if [ -d /run/systemd/system ]; then echo "=logind unknown"; else echo "=logind absent"; fi ;;
    esac
    if [ -e "/var/lib/systemd/linger/$user" ] ||
        [ "$(loginctl show-user "$user" --property=Linger 2>/dev/null)" = Linger=yes ]; then
        echo "=linger yes"
    fi
}

# Whether a control group of ours could be killed as a whole.
groups() {
    path=''
    while IFS= read -r line; do
        case $line in
        0::*) path=${line#0::} ;;
        esac
    done 2>/dev/null </proc/self/cgroup
    folder=/sys/fs/cgroup$path
    if [ -z "$path" ] || [ ! -e "$folder/cgroup.procs" ]; then
        echo "=cgroup2 absent"
    elif [ ! -e "$folder/cgroup.kill" ]; then
        echo "=cgroup2 old"
    elif [ -w "$folder" ] && [ -w "$folder/cgroup.procs" ]; then
        echo "=cgroup2 usable"
    else
        echo "=cgroup2 closed"
    fi
}

# Descriptor 9 is locked. Two more looks at what throttles the GPUs: one alone proves nothing.
cards() {
    query "$1" "$2" yes
    [ "$quick" = no ] || return 0
    for look in 2 3; do
        sleep 1
        echo "=throttle"
        ask --query-gpu=uuid,clocks_throttle_reasons.active --format=csv,noheader,nounits || return 0
    done
}

read -r line 2>/dev/null </proc/sys/kernel/random/boot_id && echo "=boot $line"
tools "$5"
limits
survival
groups
memory_facts
disk_facts
with_smi cards "$3" "$4"
if [ -n "$smi" ]; then xids; fi
read_uptime
echo "=end $up"
