"""A fake `nvidia-smi`: answers -L, --query-gpu, --query-compute-apps and the plain call for given GPUs."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.farm.tools import tool

#: What a healthy GPU says, in the field's own unit.
HEALTHY = {
    "pci.domain": "0x0000",
    "driver_version": "570.86.15",
    "compute_cap": "9.0",
    "memory.total": "81559",
    "memory.used": "4",
    "memory.free": "81045",
    "memory.reserved": "510",
    "utilization.gpu": "0",
    "utilization.memory": "0",
    "temperature.gpu": "34",
    "temperature.memory": "41",
    "power.draw": "71.42",
    "power.draw.instant": "71.42",
    "power.limit": "700.00",
    "power.default_limit": "700.00",
    "power.min_limit": "200.00",
    "power.max_limit": "700.00",
    "clocks.sm": "345",
    "clocks.gr": "345",
    "clocks.mem": "2619",
    "clocks.max.sm": "1980",
    "clocks.max.gr": "1980",
    "clocks.max.mem": "2619",
    "clocks.current.sm": "345",
    "clocks.current.memory": "2619",
    "clocks.max.memory": "2619",
    "pstate": "P0",
    "fan.speed": "[N/A]",
    "persistence_mode": "Enabled",
    "compute_mode": "Default",
    "mig.mode.current": "Disabled",
    "mig.mode.pending": "Disabled",
    "display_active": "Disabled",
    "vbios_version": "96.00.74.00.01",
    "serial": "1650123456789",
    "accounting.mode": "Disabled",
    "ecc.mode.current": "Enabled",
    "ecc.errors.corrected.volatile.total": "0",
    "ecc.errors.uncorrected.volatile.total": "0",
    "ecc.errors.corrected.aggregate.total": "0",
    "ecc.errors.uncorrected.aggregate.total": "0",
    "remapped_rows.correctable": "0",
    "remapped_rows.uncorrectable": "0",
    "remapped_rows.pending": "No",
    "remapped_rows.failure": "No",
    "retired_pages.pending": "[N/A]",
    "pcie.link.gen.current": "5",
    "pcie.link.gen.max": "5",
    "pcie.link.width.current": "16",
    "pcie.link.width.max": "16",
    "clocks_throttle_reasons.active": "0x0000000000000001",
    "clocks_throttle_reasons.hw_slowdown": "Not Active",
    "clocks_throttle_reasons.hw_thermal_slowdown": "Not Active",
    "clocks_throttle_reasons.hw_power_brake_slowdown": "Not Active",
    "clocks_throttle_reasons.sw_thermal_slowdown": "Not Active",
    "clocks_throttle_reasons.sw_power_cap": "Not Active",
    "clocks_throttle_reasons.gpu_idle": "Active",
}
#: Shown after values, and in the header, unless `nounits` is given; by the beginning of the field's name.
UNITS = {"memory.": "MiB", "utilization.": "%", "power.": "W", "clocks.": "MHz", "used_memory": "MiB"}


@dataclass(frozen=True)
class Gpu:
    """One GPU: `values` are fields of --query-gpu in which it differs from a healthy one."""

    index: int
    name: str
    uuid: str
    values: Mapping[str, str] = field(default_factory=dict)

    def fields(self) -> dict[str, str]:
        """Every field that can be asked for."""
        bus = f"00000000:{0x18 + self.index:02X}:00.0"
        identity = {
            **{name: str(self.index) for name in ("index", "gpu_index")},
            **dict.fromkeys(("name", "gpu_name"), self.name),
            **dict.fromkeys(("uuid", "gpu_uuid"), self.uuid),
            **dict.fromkeys(("pci.bus_id", "gpu_bus_id"), bus),
        }
        everything = {**identity, **HEALTHY, **self.values}
        # Drivers since 535 call the reasons event reasons; both names are answered.
        renamed = {name.replace("throttle", "event"): value for name, value in everything.items() if "throttle" in name}
        return {**renamed, **everything}


def gpus(count: int, model: str = "NVIDIA H100 80GB HBM3", seed: str = "", **values: str) -> list[Gpu]:
    """Equal GPUs; the UUIDs follow from `seed`, so give each host its own. `values` with `_` for `.` in the names."""
    found = {name: value for name in HEALTHY for key, value in values.items() if name.replace(".", "_") == key}
    assert len(found) == len(values), f"unknown among {sorted(values)}"
    return [Gpu(index, model, _uuid(f"{seed}/{index}"), found) for index in range(count)]


def _uuid(text: str) -> str:
    return f"GPU-{uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16])}"


def nvidia_smi(folder: Path, devices: Sequence[Gpu], apps: Sequence[tuple[int, int, str, int]] = ()) -> Path:
    """Write an `nvidia-smi` into the folder and return the folder.

    `apps` are processes on the GPUs: (GPU index, pid, name, MiB). Asking for a field that it does not know fails with
    the status and words of the real one. Queries take the forms `--query-gpu=a,b --format=csv,noheader,nounits`.
    """
    tables = [device.fields() for device in devices]
    rows = [
        {
            "gpu_uuid": devices[index].uuid,
            "gpu_name": devices[index].name,
            "pid": str(pid),
            **dict.fromkeys(("process_name", "name"), name),
            **dict.fromkeys(("used_memory", "used_gpu_memory"), str(size)),
            "gpu_bus_id": tables[index]["pci.bus_id"],
        }
        for index, pid, name, size in apps
    ]
    count = dict.fromkeys(("count", "driver_count"), str(len(devices)))
    listed = "".join(f"GPU {device.index}: {device.name} (UUID: {device.uuid})\n" for device in devices)
    known_app = ("gpu_uuid", "gpu_name", "pid", "process_name", "name", "used_memory", "used_gpu_memory", "gpu_bus_id")
    known = {"gpu": {*(tables[0] if tables else ()), *count}, "app": set(known_app)}
    answers = {"gpu": [{**table, **count} for table in tables], "app": rows}
    body = f"{_functions(answers, known)}{MAIN}"
    return tool(folder, "nvidia-smi", body.replace("@LISTED@", listed).replace("@COUNT@", str(len(devices))))


def _functions(answers: Mapping[str, Sequence[Mapping[str, str]]], known: Mapping[str, set[str]]) -> str:
    """Shell functions: the rows of each kind of query, each field's value, its unit, and whether it is known."""
    values = [
        f'{kind}:{number}:{name}) value="{value}";;'
        for kind, rows in answers.items()
        for number, row in enumerate(rows)
        for name, value in row.items()
    ]
    names = [f"{kind}:{name}) return 0;;" for kind, fields in known.items() for name in sorted(fields)]
    units = [f"{start}*) unit='{unit}';;" for start, unit in UNITS.items()]
    rows_of = [
        f"{kind}) rows='{' '.join(str(number) for number in range(len(rows)))}';;" for kind, rows in answers.items()
    ]
    blocks = {
        "rows_of": rows_of,
        "known": [*names, "*) return 1;;"],
        "unit_of": [*units, "*) unit='';;"],
    }
    functions = [f"{name}() {{ case $1 in\n" + "\n".join(cases) + "\nesac; }\n" for name, cases in blocks.items()]
    return "".join(functions) + "value_of() { value=''; case $1:$2:$3 in\n" + "\n".join(values) + "\nesac; }\n"


MAIN = r"""
kind=''; fields=''; format=''; only=''
while [ $# -gt 0 ]; do
    case $1 in
    --query-gpu=*) kind=gpu; fields=${1#*=};;
    --query-compute-apps=*) kind=app; fields=${1#*=};;
    --format=*) format=",${1#*=},";;
    -i) shift; only=$1;;
    --id=*) only=${1#*=};;
    -L|--list-gpus) kind=list;;
    *) echo "Invalid combination of input arguments. Please run 'nvidia-smi -h' for help." >&2; exit 1;;
    esac
    shift
done
if [ "$kind" = list ]; then
    cat <<'END'
@LISTED@END
    exit 0
fi
if [ -z "$kind" ]; then
    echo "| NVIDIA-SMI 570.86.15    Driver Version: 570.86.15    CUDA Version: 12.8     |"
    echo "| @COUNT@ GPUs |"
    exit 0
fi
case $format in *,csv,*) ;; *) echo 'Option "--format" is missing "csv".' >&2; exit 2;; esac
units=yes; case $format in *,nounits,*) units='';; esac
IFS=' ,'
line=''
for field in $fields; do
    if ! known "$kind:$field"; then
        printf 'Field "%s" is not a valid field to query.\n\n' "$field"
        exit 2
    fi
    unit_of "$field"
    line="$line, $field"
    if [ -n "$units" ] && [ -n "$unit" ]; then line="$line [$unit]"; fi
done
case $format in *,noheader,*) ;; *) echo "${line#, }";; esac
rows_of "$kind"
for row in $rows; do
    if [ -n "$only" ] && [ "$kind" = gpu ] && [ "$row" != "$only" ]; then continue; fi
    line=''
    for field in $fields; do
        value_of "$kind" "$row" "$field"
        unit_of "$field"
        if [ -n "$units" ] && [ -n "$unit" ]; then value="$value $unit"; fi
        line="$line, $value"
    done
    echo "${line#, }"
done
"""
