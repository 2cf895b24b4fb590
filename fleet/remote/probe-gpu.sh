# What probes ask of nvidia-smi and of the kernel log; stands between probe-begin.sh and the probe. $2 is the number of
# whole seconds that nvidia-smi gets in all. A driver that hangs can make it unkillable, so it is never waited for in
# the foreground, holds none of our descriptors, and is started only while no earlier one is outstanding.
limit=$2
owners=no
mark="%$$"
smi=''
for candidate in nvidia-smi /usr/local/nvidia/bin/nvidia-smi /usr/lib/wsl/lib/nvidia-smi; do
    if command -v "$candidate" >/dev/null 2>&1; then
        smi=$candidate
        break
    fi
done

# The start of a process that lives, field 22 of its stat, in $begun. Fields are counted behind the command's bracket.
started() {
    IFS= read -r line 2>/dev/null <"/proc/$1/stat" || return 1
    set -- ${line##*) }
    case $1 in
    Z | X) return 1 ;;
    esac
    begun=${20}
}

# Whether the nvidia-smi that the ledger names still runs; its $pid and $age in seconds.
outstanding() {
    pid='' written=''
    read -r pid written 2>/dev/null <"$ledger"
    case $pid:$written in
    :* | *: | *[!0-9:]*) return 1 ;;
    esac
    started "$pid" && [ "$begun" = "$written" ] || return 1
    read_uptime
    age=$((${up%%.*} - begun / 100))
}

# Take descriptor 9 for ourselves. nvidia-smi inherits it, so the kernel keeps the lock for as long as one is stuck.
# Without flock, or where files cannot be locked, the ledger alone decides.
claim() {
    flock -n 9 2>/dev/null
    case $? in
    0) return 0 ;;
    1) return 1 ;;
    *) ! outstanding ;;
    esac
}

# Wait for another probe's nvidia-smi while it is young. Fails, saying so, when it is stuck or time is over.
claim_in_time() {
    tries=0
    until claim; do
        if outstanding && [ "$age" -ge "$limit" ]; then
            echo "=smi stuck $pid $age"
            return 1
        fi
        tries=$((tries + 1))
        if [ "$tries" -gt $((limit * 5)) ]; then
            echo "=smi busy"
            return 1
        fi
        sleep 0.2 2>/dev/null || {
            sleep 1
            tries=$((tries + 4))
        }
    done
}

# Run nvidia-smi, then say `$mark STATUS`, or `$mark late` when it had to be killed.
answer() {
    "$smi" "$@" 2>&1 &
    asked=$!
    started "$asked" && [ -f "$ledger" ] && echo "$asked $begun" >"$ledger"
    (
        over=''
        trap 'over=yes' TERM
        sleep "$left" &
        nap=$!
        [ -n "$over" ] || wait "$nap"
        # KILL: a TERM that comes before sleep is executed would be lost in the shell's own handler.
        if [ -n "$over" ]; then
            kill -9 "$nap"
        else
            kill -9 "$asked"
            echo "$mark late"
        fi
    ) 9>&- &
    watchdog=$!
    wait "$asked"
    status=$?
    kill "$watchdog"
    exec 9>&-
    echo "$mark $status"
}

# Print what nvidia-smi answers as content. Status: its own, or 124 when it did not end in time.
ask() {
    read_uptime
    left=$((deadline - ${up%%.*}))
    [ "$left" -ge 1 ] || left=1
    { answer "$@" </dev/null 2>/dev/null & } | {
        pids=''
        while IFS= read -r line; do
            case $line in
            "$mark late") exit 124 ;;
            "$mark "*)
                status=${line#"$mark "}
                [ "$owners" = no ] || processes
                exit "$status"
                ;;
            esac
            printf '|%s\n' "$line"
            line=${line#*, }
            pids="$pids ${line%%,*}"
        done
        exit 125
    }
}

# Who the processes on the GPUs are: user, run and command of each that can be seen from here.
processes() {
    for pid in $pids; do
        case $pid in
        *[!0-9]*) continue ;;
        esac
        [ -d "/proc/$pid" ] || continue
        echo "=process $pid"
        stat -c '|user %U' "/proc/$pid" 2>/dev/null
        tr '\000' '\n' 2>/dev/null <"/proc/$pid/environ" | grep '^FLEET_RUN_ID=' | content
        IFS= read -r line 2>/dev/null <"/proc/$pid/comm" && printf '|name %s\n' "$line"
    done
}

# Descriptor 9 is locked. $1 fields of the GPUs, $2 those that every driver knows. A field that the driver does not know
# makes it refuse all: then the last one is left out, and then all but those few.
query() {
    claim_in_time || return 0
    for part in "all $1" "most ${1%,*}" "few $2"; do
        echo "=gpus ${part%% *}"
        ask "--query-gpu=${part#* }" --format=csv,noheader,nounits
        status=$?
        [ "$status" -eq 2 ] || break
    done
    echo "=smi $status"
    # 14: the data is good, a checksum in the card's own records is not.
    case $status in
    0 | 14) ;;
    *) return 0 ;;
    esac
    echo "=apps"
    owners=$3
    ask --query-compute-apps=gpu_uuid,pid,used_memory --format=csv,noheader,nounits
    echo "=smi $?"
    owners=no
}

# Run a function with nvidia-smi to ourselves. The ledger is in the machine's own folder; before the first deploy there
# is none, and the home folder serves as the lock.
with_smi() {
    if [ -z "$smi" ]; then
        if [ -e /dev/nvidiactl ]; then echo "=smi missing"; else echo "=smi absent"; fi
        return 0
    fi
    read_uptime
    deadline=$((${up%%.*} + limit))
    machine=$(printf '%s\n%s' "$machine_id" "$host_name" | sha256sum 2>/dev/null)
    locks=$root/hosts/${machine%"${machine#????????????????}"}/locks
    ledger=/dev/null
    if [ -n "$machine" ] && [ -d "$locks" ] && [ -w "$locks" ]; then
        ledger=$locks/nvidia-smi
        "$@" 9>>"$ledger"
    else
        "$@" 9<"$HOME"
    fi
}

# Xid errors since boot, the newest 64.
xids() {
    echo "=xid"
    { dmesg 2>/dev/null || echo "$mark unreadable"; } | while IFS= read -r line; do
        case $line in
        *"NVRM: Xid"*) printf '%s\n' "$line" ;;
        "$mark unreadable") echo "not readable" ;;
        esac
    done | tail -n 64 | content
}
