"""The self-check: every bound op runs a tiny forward and backward on the device and is compared with its reference.

A path that was declared but never executed is how a broken kernel survives for months, so nothing is called verified
that did not just run here, or in an earlier start with the same sources, device and versions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from hydra.errors import UsageError
from hydra.kernels.cases import Case, normal
from hydra.platform import Capabilities
from hydra.runs import write_failed, write_json

_HALF_RATIO = 0.005  # RMS error against fp64 allowed in bf16 and fp16
_RELATIVE = {False: (1e-4, 1e-5), True: (1e-3, 1e-4)}  # fp32: (rtol, atol) of outputs, and of gradients


def disagreement(case: Case) -> str | None:
    """What differs between candidate and reference, None when they agree.

    Truth is the reference in fp64 on the same rounded inputs. In bf16 and fp16 the RMS error must be within 0.5 % or
    twice the error of the reference in that type, and the largest error within twice the reference's plus two units
    in the last place; in fp32 outputs agree within 1e-4, gradients within 1e-3.
    """
    truth = _results(case, candidate=False, double=True)
    low = _results(case, candidate=False, double=False)
    got = _results(case, candidate=True, double=False)
    half = case.inputs[0].dtype in (torch.bfloat16, torch.float16)
    for name, value in got.items():
        wrong = _half(value, truth[name], low[name]) if half else _full(value, truth[name], "gradient" in name)
        if wrong is not None:
            return f"{name}: {wrong}"
    return None


def _results(case: Case, *, candidate: bool, double: bool) -> dict[str, Tensor]:
    """Outputs and gradients of one run, by name."""
    with torch.enable_grad():
        inputs = [x.detach().to(torch.float64 if double else x.dtype).requires_grad_() for x in case.inputs]
        answer = (case.candidate if candidate else case.reference)(*inputs)
        outputs = answer if isinstance(answer, tuple) else (answer,)
        found = {f"output {index}": output.detach() for index, output in enumerate(outputs)}
        if not case.backward:
            return found
        live = [output for output in outputs if output.requires_grad]
        stored = case.inputs[0].dtype  # the same slopes in every run, whatever type it computes in
        slopes = [normal(y.shape, y.device, stored, seed=7 + index).to(y.dtype) for index, y in enumerate(live)]
        gradients = torch.autograd.grad(live, inputs, slopes)
    return {**found, **{f"gradient of input {index}": gradient for index, gradient in enumerate(gradients)}}


def _half(value: Tensor, truth: Tensor, low: Tensor) -> str | None:
    error, allowed = (value.double() - truth), (low.double() - truth)
    size = truth.square().mean().sqrt().item()
    ratio, reference = error.square().mean().sqrt().item() / size, allowed.square().mean().sqrt().item() / size
    unit = torch.finfo(value.dtype).eps * truth.abs().max().item()
    if not ratio <= max(_HALF_RATIO, 2 * reference):
        return f"RMS error {ratio:.2e} of the fp64 result, the reference in this type has {reference:.2e}"
    if not error.abs().max().item() <= 2 * allowed.abs().max().item() + 2 * unit:
        return f"largest error {error.abs().max().item():.2e}, the reference in this type has {allowed.abs().max():.2e}"
    return None


def _full(value: Tensor, truth: Tensor, gradient: bool) -> str | None:
    relative, absolute = _RELATIVE[gradient]
    error = (value.double() - truth).abs()
    if bool((error <= absolute + relative * truth.abs()).all()):
        return None
    return f"largest error {error.max().item():.2e} on values up to {truth.abs().max().item():.2e}"


class Ledger:
    """Which checks have passed, by a digest of the sources, the op's description, the device and the versions.

    With a path, passes are kept in that JSON file between starts; without one, only for the life of this object. A
    change of any source file of the kernels, of torch, or of the device makes every entry stale.
    """

    def __init__(self, capabilities: Capabilities, path: Path | None = None) -> None:
        self._path, self._machine = path, _machine(capabilities)
        self._passed: set[str] = set()
        if path is not None and path.is_file():
            self._passed = _entries(path)

    def __contains__(self, described: str) -> bool:
        return self._entry(described) in self._passed

    def add(self, described: str) -> None:
        """Note a pass."""
        self._passed.add(self._entry(described))
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise write_failed(self._path, error) from error
            write_json(self._path, {"passed": sorted(self._passed)})

    def _entry(self, described: str) -> str:
        return hashlib.sha256(f"{self._machine}\n{described}".encode()).hexdigest()


def _entries(path: Path) -> set[str]:
    """What a ledger holds. Raises UsageError for another file: it is not ours to write over."""
    try:
        passed = json.loads(path.read_text(encoding="utf-8"))["passed"]
    except (ValueError, KeyError, TypeError) as error:
        raise _no_ledger(path) from error
    if not isinstance(passed, list) or not all(isinstance(entry, str) for entry in passed):
        raise _no_ledger(path)
    return set(passed)


def _no_ledger(path: Path) -> UsageError:
    return UsageError(
        f"{path} is not a ledger of checked kernels",
        why="it is only ever replaced as a whole, so it was edited, or kernels.ledger names some other file",
        fix="remove the file (the checks then run again), or name another in kernels.ledger",
        example=f"rm {path}",
    )


def _machine(capabilities: Capabilities) -> str:
    facts: Mapping[str, object] = {
        "sources": sources(),
        "name": capabilities.name,
        "level": capabilities.compute_capability,
        "versions": dict(sorted(capabilities.versions.items())),
    }
    return json.dumps(facts)


@cache
def sources() -> str:
    """Digest of every source file of the kernels and of the attention backends beside them."""
    package = Path(__file__).parent
    files = sorted([*package.rglob("*.py"), *(package.parent / "attention").rglob("*.py")])
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(package.parent).as_posix().encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
