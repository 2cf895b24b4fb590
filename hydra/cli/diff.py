"""`hydra diff`."""

from __future__ import annotations

import json

from hydra.cli.options import RUNS, DirectoryOption, JsonOption, SourceArgument
from hydra.cli.output import remark, write_json, write_table
from hydra.cli.references import described
from hydra.manifest import difference
from hydra.manifest.identity import ABSENT, resolved


def command(
    first: SourceArgument, second: SourceArgument, directory: DirectoryOption = RUNS, as_json: JsonOption = False
) -> None:
    """Show the settings at which two manifests or runs differ.

    Both are compared as they were resolved, so a default that is written out is no difference.
    """
    left, right = (described(reference, directory) for reference in (first, second))
    found = difference(resolved(left.run.manifest), resolved(right.run.manifest))
    if as_json:
        write_json({path: {"first": one, "second": other} for path, (one, other) in found.items()})
    elif not found:
        remark("no difference")
    else:
        rows = [(path, _shown(one), _shown(other)) for path, (one, other) in found.items()]
        write_table(("setting", left.name, right.name), rows)


def _shown(value: object) -> str:
    return ABSENT if value == ABSENT else json.dumps(value, ensure_ascii=False)
