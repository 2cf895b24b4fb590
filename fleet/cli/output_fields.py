"""The fields of what `--json` prints, command by command: the contract with programs, in a short notation.

A text names a JSON type (`string`, `integer`, `number|string`, `boolean`, `any`), with `?` if it may be null; a list
holds the notation of its items, a tuple alternatives, a dict the notation of its fields, all of which are always there.
"""

from __future__ import annotations

from typing import Any, Final

Notation = Any
#: Key of a dict whose keys are not known beforehand, such as names of hosts.
EACH: Final = "*"


def fields(text: str = "", **more: Notation) -> dict[str, Notation]:
    """Fields from `name type, name [type]`, and those whose notation is no text."""
    pairs = (part.split(" ") for part in text.split(", ") if part)
    return {name: [kind[1:-1]] if kind.startswith("[") else kind for name, kind in pairs} | more


def by_host(row: Notation) -> Notation:
    """An object with one such row for each host that succeeded."""
    return {EACH: row}


_FINDING: Final = fields("id string, state string, evidence string, gpu integer?, run string?")
_RUN_SUMMARY: Final = fields(
    "id string, state string?, reason string?, attempt integer?, step integer?, total_steps integer?, "
    "loss number|string?, tokens_per_s number|string?, age_s number?"
)
_GPU: Final = fields(
    "index integer, uuid string, name string, utilization_percent number?, memory_used_bytes integer?, "
    "memory_total_bytes integer?, temperature_c number?, power_w number?, compute_capability string?, processes [any]"
)
_DISK: Final = fields("total_bytes integer, free_bytes integer")
HOSTS: Final = fields(
    hosts=[
        fields(
            "name string, state string, reason string?, rtt_ms number?, release string?, env [string], "
            "releases [any], load [number], machine string?",
            gpus=[_GPU],
            runs=[_RUN_SUMMARY],
            disk=(_DISK, "null"),
            health=[_FINDING],
        )
    ],
)
_SETTING: Final = fields("name string, value any, from string")
_CHANGE: Final = fields("name string, was any, becomes any")
_STEP: Final = fields("host string, what string, argv [string], files integer, bytes integer")
_RUN: Final = fields(
    "id string, host string, nodes integer, attempt integer?, state string, step integer?, "
    "total_steps integer?, loss number|string?, started number?, ended number?, duration number?, exit any, "
    "checkpoint integer?, reason string, best_checkpoint integer?, verified_checkpoint any, gpus [string], "
    "release string?"
)
STARTED: Final = fields(
    "run string, attempt integer, hosts [string], gpus [string], resumed_from integer?, state string, "
    "confirmed string?, release string?, environment string?, warnings [string]",
    settings=[_SETTING],
    changes=[_CHANGE],
)
_DEPLOYED: Final = fields(
    "release string, previous string?, action string, bytes_sent integer, files_sent integer, "
    "files_reused integer, seconds number, pinned_by [string], warnings [string]"
)
_PRUNED: Final = fields(
    "removed boolean",
    items=[fields("kind string, name string, bytes integer")],
    kept=[fields("kind string, name string, why string")],
)
_READY: Final = fields(
    "environment string, python string, mode string, reason string, rejected [string], pinned string, "
    "version string, installed [string], torch string?, cuda string?, nccl string?, driver string?, "
    "devices [string], notes [string], action string, seconds number",
    packages={EACH: "string"},
)
_STOPPED: Final = fields(
    "run string, state string, already boolean, proven boolean, steps_lost integer?, survivors [any], notes [string]",
    checkpoint=(fields("step integer, verified boolean"), "null"),
)
_FETCHED: Final = fields(
    "run string, path string",
    outcome=fields(
        "files integer, files_reused integer, bytes_received integer, bytes_reused integer, seconds number, "
        "steps [integer], skipped [any]"
    ),
)
_INVENTORY: Final = fields(
    "name string, machine string?, driver string?, cuda string?, gpus [any], problem string?, "
    "kernel string?, system string?, processor any, memory any",
    disk=(_DISK, "null"),
)
_CHECK: Final = fields("id string, host string, status string, evidence string, fix string?")
_PROCESS: Final = fields(
    "host string, run string, pid integer, start integer, role string, rank integer?, gpu any, rss integer, "
    "command [string]"
)

#: Command -> its `data`. A command whose options make it answer something else has a name for each answer.
DATA: Final[dict[str, Notation]] = {
    "overview": HOSTS,
    "status": {**HOSTS, "environments": by_host([_READY])},
    "runs": fields(runs=[_RUN]),
    "runs-show": by_host(fields("id string, state string?, record any, launch any, manifest any")),
    "runs-diff": fields(diff=[fields("name string, a any, b any")]),
    "ps": fields(processes=[_PROCESS]),
    "doctor": fields(checks=[_CHECK]),
    "gpuinfo": by_host(_INVENTORY),
    "deploy": by_host(_DEPLOYED),
    "deploy-plan": by_host([_STEP]),
    "rollback": by_host(fields("release string, previous string?")),
    "rollback-list": by_host(
        [fields("release string, current boolean, previous boolean, age_seconds integer, commit string?")]
    ),
    "rollback-plan": by_host("string"),
    "setup": by_host(_READY),
    "setup-plan": by_host(["string"]),
    "prune": by_host(_PRUNED),
    "prune-plan": by_host(_PRUNED),
    "train": by_host(STARTED),
    "train-plan": by_host(
        fields(
            "run string, manifest string, gpus [string], nproc integer, argv [string], notices [string]",
            settings=[_SETTING],
            steps=[_STEP],
        )
    ),
    "resume": by_host(STARTED),
    "resume-plan": by_host(
        fields(
            "run string, attempt integer, resumed_from integer?, argv [string]", settings=[_SETTING], changes=[_CHANGE]
        )
    ),
    "stop": by_host([_STOPPED]),
    "stop-plan": by_host([fields("run string, state string, step integer?")]),
    "download": by_host(_FETCHED),
    "download-plan": by_host(
        fields(
            "run string, path string, bytes integer, steps [integer], skipped [any]",
            files=[fields("path string, size integer, sha256 string")],
        )
    ),
    "run": by_host(fields("rc integer, out string, err string")),
    "run-plan": by_host(fields("argv [string], cwd string?, env [string]")),
    "sync-keys": by_host("string"),
    "sync-keys-plan": by_host(fields("kind string, blob string, comment string")),
    "trust": by_host([fields("host string, address string, kind string, fingerprint string, outcome string")]),
    "config-check": fields("path string, instances [string], groups [string]"),
    "config-show": by_host([fields("setting string, value string, origin string")]),
    "config-schema": "any",
    "config-example": "any",
}
#: Commands that print one object a line: each is one of these, told by `kind` where there are several.
LINES: Final[dict[str, list[dict[str, Notation]]]] = {
    "logs": [
        fields(
            "kind string, host string, cursor integer, seq integer, time number, node integer, "
            "rank integer?, stream string, text string, partial boolean"
        ),
        fields("kind string, host string?"),
    ],
    "events": [
        fields(
            "host string, cursor integer, seq integer, time number, attempt integer, step integer?, "
            "kind string, level string, rank integer, data any"
        ),
        fields("kind string, host string?"),
    ],
}
