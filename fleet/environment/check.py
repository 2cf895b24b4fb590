"""Looks at an environment as `doctor` does: is it there, does torch import, see the devices and fit the driver."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, Literal

from fleet.environment.answer import answer as said
from fleet.environment.interpreter import OLDEST_TORCH, PROBE_SECONDS
from fleet.errors import RemoteFailed
from fleet.remote.env_probe import release, torch_problem
from fleet.ssh import Cmd, Deadline, Transport

_ABSENT: Final = 76


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of `doctor`."""

    id: str
    status: Literal["ok", "warn", "fail"]
    evidence: str
    fix: str
    """What to do; empty when nothing is to be done."""


def check(transport: Transport, deploy_dir: str, environment_id: str, *, deadline: Deadline) -> tuple[Finding, ...]:
    """Ask the environment's own interpreter, in one round trip. Raises RemoteFailed if the host cannot be asked."""
    probe = (files("fleet.remote") / "env_probe.py").read_text(encoding="utf-8")
    arguments = (deploy_dir, environment_id, probe, str(PROBE_SECONDS), OLDEST_TORCH, "torch")
    result = transport.exec(Cmd.script("env-check.sh", *arguments), deadline=deadline)
    setup = f"fleet setup {transport.name}"
    if result.rc == _ABSENT:
        missing = f"envs/{environment_id} is not there or not complete"
        return (Finding("environment", "fail", missing, f"{setup} builds it"),)
    lines = said(result.out).decode("utf-8", "replace").splitlines()
    if not result.ok or len(lines) < 2:
        raise RemoteFailed(
            f"{transport.name}: environment {environment_id} could not be asked (status {result.rc})",
            why=result.err.decode("utf-8", "replace").strip() or "it said nothing",
            fix="see whether a login there works",
            example=f"fleet doctor {transport.name}",
            host=transport.name,
        )
    record: dict[str, Any] = json.loads(lines[0])
    status, _, answer = lines[-1].partition("\t")
    try:
        facts = json.loads(answer)
    except ValueError:
        words = f"its Python ended with status {status}: {answer[:200] or 'no words'}"
        return (Finding("environment", "fail", words, f"{setup} --recreate builds it anew"),)
    there = f"{environment_id}: {record['mode']}, Python {facts['version']}, {len(facts['packages'])} packages"
    first = Finding("environment", "ok", f"{there}, {record['pinned']}", "")
    return (first, *findings(setup, record, facts))


def findings(setup: str, record: Mapping[str, Any], facts: Mapping[str, Any]) -> tuple[Finding, ...]:
    """What the record of an environment and the answer of its interpreter mean. `setup` is the remedy's command."""
    torch, gpus = facts["torch"], facts["gpus"]
    if torch is None or "error" in torch:
        words = torch_problem(torch, gpus, OLDEST_TORCH)
        return (Finding("torch", "fail", words, f"{setup} --recreate builds the environment anew"),)
    shown = f"torch {torch['version']} ({'CUDA ' + torch['cuda'] if torch['cuda'] else 'no CUDA'}) in {torch['path']}"
    changed = torch["version"] != record["torch"] or torch["path"] != record["torch_path"]
    moved = f"{shown}; the environment was made with {record['torch']} in {record['torch_path']}"
    imports = Finding("torch", "fail", moved, f"{setup} chooses anew") if changed else Finding("torch", "ok", shown, "")
    return (imports, _devices(setup, torch, gpus), *_driver(setup, torch, facts))


def _devices(setup: str, torch: Mapping[str, Any], gpus: int) -> Finding:
    problem, seen = torch_problem(torch, gpus, OLDEST_TORCH), len(torch["devices"])
    if problem:
        return Finding("torch-devices", "fail", problem, f"{setup} --isolated, or a torch that fits driver and devices")
    if seen < gpus:
        words = f"torch sees {seen} of {gpus} devices"
        return Finding("torch-devices", "warn", words, "see whether CUDA_VISIBLE_DEVICES is set for logins")
    names = ", ".join(sorted(set(torch["devices"]))) or "no GPU here, and none is expected"
    return Finding("torch-devices", "ok", f"{seen} x {names}" if seen else names, "")


def _driver(setup: str, torch: Mapping[str, Any], facts: Mapping[str, Any]) -> tuple[Finding, ...]:
    """CUDA promises that a build runs on every driver of its major version; a newer minor one lacks some features."""
    if torch["cuda"] is None or facts["driver_cuda"] is None:
        return ()
    words = f"driver {facts['driver']} offers CUDA {facts['driver_cuda']}, torch is built for CUDA {torch['cuda']}"
    built, offered = release(torch["cuda"]), release(facts["driver_cuda"])
    if built[0] > offered[0]:
        return (Finding("torch-driver", "fail", words, "update the driver, or use a torch for an older CUDA"),)
    if built > offered:
        fix = "it runs within one major version; update the driver if a kernel is refused"
        return (Finding("torch-driver", "warn", words, fix),)
    return (Finding("torch-driver", "ok", words, ""),)
