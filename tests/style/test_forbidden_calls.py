"""Nothing is unpickled, and no environment variable configures anything.

A pickle runs code of whoever wrote it, so checkpoints and artifacts never hold one. An environment variable is not in
the manifest, so two runs of one manifest could differ without a trace; what launchers pass (ranks, addresses, the run's
identity) is read in one module, and libraries that listen to nothing else are told in one line that this test lists.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest

UNPICKLERS = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
READERS = {"getenv", "getenvb", "environb", "putenv", "unsetenv"}
#: The only module that may read the environment, and what it may read there.
IDENTITY_MODULE = "hydra/training/identity.py"
IDENTITY = {
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *("FLEET_RUN_ID", "FLEET_RUN_DIR", "FLEET_ATTEMPT"),
}
#: The module that hands the environment of a host's login on to what a run starts. It decides nothing by it.
HANDS_ON = "fleet/remote/surroundings.py"
#: Settings of other libraries that can only be given through the environment of our own process.
TOLD_TO_LIBRARIES = {"CUBLAS_WORKSPACE_CONFIG", "GOMP_SPINCOUNT"}


def dotted(node: ast.AST) -> str:
    """`a.b.c` for an attribute chain, or the empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


def imported(node: ast.AST) -> set[str]:
    """The top-level packages that an import statement names, and `torch.load` for `from torch import load`."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return {node.module.split(".")[0]} | {f"{node.module}.{alias.name}" for alias in node.names}
    return set()


def unpickling(source) -> list[str]:
    """Every way in which this source could execute a pickle."""
    found = []
    for node in ast.walk(source.tree):
        bad = imported(node) & (UNPICKLERS | {"torch.load"})
        if isinstance(node, ast.Attribute) and dotted(node) in {"torch.load", "torch.serialization.load"}:
            bad.add(dotted(node))
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and not is_false(node.value):
            bad.add("allow_pickle")
        if isinstance(node, ast.keyword) and node.arg == "weights_only" and is_false(node.value):
            bad.add("weights_only=False")
        found += [f"{source.path}:{getattr(node, 'lineno', node_line(node))}: {name}" for name in sorted(bad)]
    return found


def node_line(node: ast.AST) -> int:
    """The line of a node that carries none itself, such as a keyword argument in old syntax trees."""
    return next((child.lineno for child in ast.walk(node) if hasattr(child, "lineno")), 0)


def is_false(node: ast.expr) -> bool:
    """The literal False."""
    return isinstance(node, ast.Constant) and node.value is False


def told(node: ast.AST) -> ast.expr | None:
    """The `os.environ` of an assignment `os.environ["KEY"] = ...` whose key is on the list of library settings."""
    if not (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)):
        return None
    listed = isinstance(node.slice, ast.Constant) and node.slice.value in TOLD_TO_LIBRARIES
    return node.value if listed and dotted(node.value) == "os.environ" else None


def environment_use(source) -> list[str]:
    """Every use of the environment in this source that is neither identity nor a listed library setting."""
    nodes = list(ast.walk(source.tree))
    allowed = {id(target) for node in nodes if (target := told(node)) is not None}
    uses = []
    for node in nodes:
        name = dotted(node) if isinstance(node, ast.Attribute) else ""
        reads = name in {"os.environ", *(f"os.{reader}" for reader in READERS)} and id(node) not in allowed
        direct = imported(node) & {"os.environ", *(f"os.{reader}" for reader in READERS)}
        if reads or direct:
            uses.append(f"{source.path}:{node.lineno}: {name or sorted(direct)}")
    if source.path == HANDS_ON:
        return [use for use in uses if not use.endswith("os.environ")]
    if source.path != IDENTITY_MODULE:
        return uses
    constants = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names = {text for text in constants if text.isupper() and text.replace("_", "").isalnum() and text.isascii()}
    return [f"{source.path}: reads {name}" for name in sorted(names - IDENTITY)]


def test_nothing_is_unpickled(package_sources) -> None:
    found = [use for source in package_sources for use in unpickling(source)]
    assert not found, "\n".join(found)


def test_the_environment_configures_nothing(package_sources) -> None:
    found = [use for source in package_sources for use in environment_use(source)]
    assert not found, "make these keys of the manifest or options of the command:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "x = torch.load(path)",
        "from torch import load",
        "numpy.load(path, allow_pickle=True)",
        "dcp.load(state, weights_only=False)",
    ],
)
def test_unpickling_is_caught(source_type: Callable, line: str) -> None:
    assert unpickling(source_type("hydra/a.py", line))


def test_ordinary_loading_passes(source_type: Callable) -> None:
    assert not unpickling(source_type("hydra/a.py", "numpy.load(path, allow_pickle=False)\njson.load(file)\n"))


@pytest.mark.parametrize(
    "line",
    [
        "x = os.environ['HYDRA_FAST']",
        "x = os.environ.get('RANK')",
        "x = os.getenv('A')",
        "from os import environ",
        "os.environ['HYDRA_FAST'] = '1'",
        "f(env={**os.environ})",
    ],
)
def test_reading_the_environment_is_caught(source_type: Callable, line: str) -> None:
    assert environment_use(source_type("hydra/a.py", line))


def test_identity_and_library_settings_pass(source_type: Callable) -> None:
    assert not environment_use(source_type("hydra/a.py", "os.environ['CUBLAS_WORKSPACE_CONFIG'] = ':4096:8'"))
    assert not environment_use(source_type(IDENTITY_MODULE, "rank = os.environ.get('RANK')"))
    assert environment_use(source_type(IDENTITY_MODULE, "x = os.environ.get('HYDRA_FAST')"))
    assert not environment_use(source_type(HANDS_ON, "child = dict(os.environ)"))
    assert environment_use(source_type(HANDS_ON, "child = os.getenv('FLEET_FAST')"))
