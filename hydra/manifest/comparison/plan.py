"""The check of a comparison before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from hydra.manifest.comparison.differences import unallowed, unfit_paths, unfit_search
from hydra.manifest.comparison.frozen import automatic, reactive
from hydra.manifest.comparison.sizes import Size, check_sizes
from hydra.manifest.comparison.violations import Row, Violation, error_of
from hydra.manifest.experiment import Experiment
from hydra.manifest.root import Manifest
from hydra.manifest.sections import Comparison

#: Size of the model that a manifest describes. The manifest room cannot count it: the model room stands above.
Measure: TypeAlias = Callable[[Manifest], Size]

#: Fewer leave no way to tell a difference between arms from one between seeds.
MIN_SEEDS = 3


def check_plan(experiment: Experiment, measure: Measure | None = None) -> None:
    """Raise one ComparisonError with every violation of an experiment that claims a fair comparison.

    One run of a comparison on its own, as stored in its run directory, is not checked again: its arms are not there.
    """
    comparison, arms = _claimed(experiment)
    if comparison is None or len(experiment.runs) == 1:
        return
    sizes = {arm: measure(manifest) for arm, manifest in arms.items()} if measure is not None else None
    violations = plan_violations(experiment, sizes)
    if violations:
        raise error_of(violations, "nothing was started")


def plan_violations(experiment: Experiment, sizes: Mapping[str, Size] | None = None) -> tuple[Violation, ...]:
    """Every way in which an experiment breaks the rules of a fair comparison; empty if it claims none.

    `sizes` are those of the arms' models; without them the sizes are not judged.
    """
    comparison, arms = _claimed(experiment)
    if comparison is None:
        return ()
    missing = [name for name in comparison.arms if name not in arms]
    absent = (Violation("arms", f"no run of {', '.join(missing)}"),) if missing else ()
    judged = check_sizes(sizes, comparison.tolerance) if sizes is not None else ()
    return (
        *absent,
        *unfit_paths(arms, comparison),
        *unfit_search(comparison),
        *unallowed(arms, comparison),
        *judged,
        *_seeds(experiment, comparison),
        *_held_out(arms),
        *automatic(arms),
        *reactive(arms),
    )


def _claimed(experiment: Experiment) -> tuple[Comparison | None, dict[str, Manifest]]:
    """The comparison that an experiment claims to be fair, and one manifest of each of its arms."""
    comparison = experiment.runs[0].manifest.comparison
    if comparison is None or not comparison.apples_to_apples:
        return None, {}
    arms: dict[str, Manifest] = {}
    for run in experiment.runs:
        if run.arm in comparison.arms:
            arms.setdefault(run.arm, run.manifest)
    return comparison, {name: arms[name] for name in comparison.arms if name in arms}


def _seeds(experiment: Experiment, comparison: Comparison) -> tuple[Violation, ...]:
    found = []
    if len(comparison.seeds) < MIN_SEEDS:
        what = f"{len(comparison.seeds)} given ({', '.join(map(str, comparison.seeds))}), at least {MIN_SEEDS} needed"
        found.append(Violation("seeds", what))
    for arm in comparison.arms:
        own = {run.manifest.seed for run in experiment.runs if run.arm == arm}
        if own and own != set(comparison.seeds):
            found.append(Violation("seeds", f"arm {arm} has the seeds {sorted(own)}, not {list(comparison.seeds)}"))
    return tuple(found)


def _held_out(arms: Mapping[str, Manifest]) -> tuple[Violation, ...]:
    """Documents are held out by a hash of their content, so the split is disjoint from training whenever it exists."""
    shares = {arm: manifest.data.held_out for arm, manifest in arms.items()}
    if all(share > 0 for share in shares.values()):
        return ()
    what = "there is no held-out data, so nothing independent could be measured"
    return (Violation("evaluation", what, (Row("data.held_out", shares),)),)
