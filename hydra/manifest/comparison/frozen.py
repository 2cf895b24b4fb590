"""What must stand still in a fair comparison: nothing automatic, nothing that reacts, nothing unverified.

An automatic choice is made per run, by what the machine happens to be; a reaction (skipping a step, say) is made per
run, by what the loss happens to do. Either lets arms train under different settings while their manifests agree.
"""

from __future__ import annotations

from collections.abc import Mapping

from hydra.manifest.comparison.groups import covered, group_of
from hydra.manifest.comparison.violations import Row, Violation
from hydra.manifest.identity import resolved
from hydra.manifest.paths import dotted
from hydra.manifest.root import Manifest
from hydra.manifest.tree import leaves

AUTO = "auto"
#: Settings that are fixed to one value, with the reason; the loop then cannot react to what it sees.
_FIXED: dict[str, tuple[object, str]] = {
    "training.nonfinite_in_a_row": (1, "a skipped step gives an arm fewer updates, so the first one ends the run"),
    "training.nonfinite_in_1000": (1, "a skipped step gives an arm fewer updates, so the first one ends the run"),
    "kernels.accept": (["verified"], "an implementation that was never checked may compute something else"),
}
#: Where a text may read `auto` without leaving anything to the machine.
_FREE_TEXT = (
    *("name", "notes", "data.sources", "tokenizer", "tracking", "runs", "comparison", "kernels.pin"),
    *("model.blocks.*.id", "evaluation.samples.prompts", "data.tokenizer_artifacts", "data.token_artifacts"),
)


def automatic(arms: Mapping[str, Manifest]) -> tuple[Violation, ...]:
    """Settings that are `auto` in some arm: device, number format, compilation, exactness, threads, layout."""
    found: dict[str, dict[str, object]] = {}
    for arm, manifest in arms.items():
        for path, value in leaves(resolved(manifest)):
            name = dotted(path)
            if value == AUTO and not covered(_FREE_TEXT, name):
                found.setdefault(name, {})[arm] = value
    rows = tuple(Row(path, found[path]) for path in sorted(found))
    groups = ", ".join(sorted({group_of(row.path) for row in rows}))
    return (Violation("frozen", f"automatic choices must be written out ({groups})", rows),) if rows else ()


def reactive(arms: Mapping[str, Manifest]) -> tuple[Violation, ...]:
    """Settings that let a run react to its own loss, or run what was never verified."""
    found = []
    for path, (wanted, why) in _FIXED.items():
        first, second = path.split(".")
        values = {arm: resolved(manifest)[first][second] for arm, manifest in arms.items()}
        if any(value != wanted for value in values.values()):
            found.append(Violation("frozen", f"{path} must be {wanted}: {why}", (Row(path, values),)))
    return tuple(found)
