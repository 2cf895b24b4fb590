# What a host is made of. After probe-begin.sh and probe-gpu.sh, whose arguments are $1 and $2. $3 yes or no: also the
# raw texts that are worth keeping.
full=$3

# Descriptor 9 is locked.
cards() {
    claim_in_time || return 0
    echo "=cards"
    ask -q -x
    status=$?
    echo "=smi $status"
    case $status in
    0 | 14) ;;
    *) return 0 ;;
    esac
    echo "=links"
    ask nvlink -s || :
    [ "$full" = yes ] || return 0
    echo "=topology"
    ask topo -m || :
}

echo "=kernel"
uname -srm | content
echo "=system"
grep -s '^PRETTY_NAME=' /etc/os-release | content
echo "=processor"
if command -v lscpu >/dev/null 2>&1; then
    lscpu | content
else
    grep -m 1 '^model name' /proc/cpuinfo | content
    printf '|CPU(s): %s\n' "$(grep -c '^processor' /proc/cpuinfo)"
fi
memory_facts
disk_facts
with_smi cards
read_uptime
echo "=end $up"
