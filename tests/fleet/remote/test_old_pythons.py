"""What travels to hosts keeps to Python 3.8 and its standard library, and runs on every interpreter that is here."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fleet.remote.hosts import Host, wait_for
from tests.fleet.remote.interpreters import OLDEST, interpreters

REMOTE = Path(__file__).resolve().parents[3] / "fleet" / "remote"
SOURCES = sorted(REMOTE.glob("*.py"))
#: Whether a run is made under every interpreter of this machine, not only under the oldest and the newest.
EVERY_VERSION = False

#: Names that 3.8 does not have, by where they are looked up; `*` is any object.
NEWER = {
    "*": {
        "removeprefix", "removesuffix", "is_relative_to", "with_stem", "readlink", "hardlink_to", "walk", "bit_count",
        "add_note", "raise_signal_safe", "cancel_futures", "indent_tree",
    },
    "os": {
        "pidfd_open", "waitstatus_to_exitcode", "eventfd", "splice", "EFD_CLOEXEC", "unshare", "setns",
        "posix_openpt", "process_cpu_count", "O_EVTONLY",
    },
    "signal": {"pidfd_send_signal"},
    "fcntl": {"F_GETPATH", "F_OFD_GETLK", "F_OFD_SETLK", "F_GETPIPE_SZ", "F_SETPIPE_SZ"},
    "math": {"lcm", "nextafter", "ulp", "cbrt", "exp2", "sumprod", "fma"},
    "random": {"randbytes", "binomialvariate"},
    "itertools": {"pairwise", "batched"},
    "functools": {"cache"},
    "hashlib": {"file_digest"},
    "contextlib": {"chdir", "aclosing"},
    "datetime": {"UTC"},
    "enum": {"StrEnum", "verify", "member", "nonmember"},
    "threading": {"gettrace", "setprofile_all_threads"},
    "asyncio": {"to_thread", "TaskGroup", "timeout", "Runner"},
    "types": {"NoneType", "UnionType", "GenericAlias", "EllipsisType"},
    "typing": {
        "Annotated", "ParamSpec", "Concatenate", "TypeAlias", "TypeGuard", "Self", "Never", "LiteralString", "Required",
        "NotRequired", "Unpack", "TypeVarTuple", "assert_never", "assert_type", "reveal_type", "override",
    },
    "inspect": {"get_annotations", "getmembers_static"},
    "shutil": {"_rmtree_safe"},
    "ast": {"unparse"},
}  # fmt: skip
#: Keyword arguments that came later, by the called function.
NEWER_KEYWORDS = {
    "zip": {"strict"},
    "dataclass": {"slots", "kw_only", "match_args", "weakref_slot"},
    "field": {"kw_only"},
    "rmtree": {"onexc", "dir_fd"},
    "Popen": {"user", "group", "extra_groups", "umask", "pipesize", "process_group"},
    "run": {"user", "group", "extra_groups", "umask", "pipesize", "process_group"},
    "NamedTemporaryFile": {"delete_on_close"},
    "TemporaryDirectory": {"ignore_cleanup_errors", "delete"},
    "shutdown": {"cancel_futures"},
    "mkdir": set(),
    "md5": {"usedforsecurity"},
    "sha256": {"usedforsecurity"},
    "walk": {"walk_up"},
    "relative_to": {"walk_up"},
}
#: Modules that came later.
NEWER_MODULES = {"tomllib", "zoneinfo", "graphlib", "compression", "annotationlib"}


def offences(text: str, name: str = "a.py") -> list[str]:
    """Everything in a source that 3.8 would not understand or does not have."""
    try:
        tree = ast.parse(text, name, feature_version=OLDEST)
    except SyntaxError as error:
        return [f"{name}:{error.lineno}: {error.msg}"]
    found = []
    for node in ast.walk(tree):
        bad: set[str] = set()
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            bad = {node.attr} & (NEWER["*"] | NEWER.get(owner, set())) - ({"walk"} if owner in ("os", "ast") else set())
        elif isinstance(node, ast.ImportFrom) and node.module:
            bad = {alias.name for alias in node.names} & NEWER.get(node.module, set())
            bad |= {node.module.split(".")[0]} & NEWER_MODULES
        elif isinstance(node, ast.Import):
            bad = {alias.name.split(".")[0] for alias in node.names} & NEWER_MODULES
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            bad = {keyword.arg or "" for keyword in node.keywords} & NEWER_KEYWORDS.get(called, set())
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and is_generic(node.value):
            bad = {"a built-in generic evaluated at run time"}
        found += [f"{name}:{getattr(node, 'lineno', 0)}: {what}" for what in sorted(bad)]
    return found


def is_generic(node: ast.expr) -> bool:
    """`list[int]` or `int | None` where it is a value and not an annotation."""
    names = {"list", "dict", "set", "frozenset", "tuple", "type"}
    if isinstance(node, ast.Subscript):
        return isinstance(node.value, ast.Name) and node.value.id in names
    none = isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)
    return none and any(isinstance(side, ast.Constant) and side.value is None for side in (node.left, node.right))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_sources_keep_to_the_oldest_python(source: Path) -> None:
    assert not offences(source.read_text("utf-8"), source.name)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_sources_import_the_standard_library_and_each_other_alone(source: Path) -> None:
    modules = set()
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute: the package travels without its parent"
            modules.add(node.module or "")
    foreign = {name for name in modules if name.split(".")[0] not in sys.stdlib_module_names}
    assert {name for name in foreign if not name.startswith("fleet.remote")} == set()


@pytest.mark.parametrize(
    "line",
    [
        "match x:\n    case 1: pass",
        "with (open(a) as b, open(c) as d): pass",
        "x = 'ab'.removeprefix('a')",
        "from functools import cache",
        "import tomllib",
        "os.pidfd_open(1)",
        "Names = dict[str, int]",
        "Maybe = int | None",
        "for a, b in zip(x, y, strict=True): pass",
        "try:\n    f()\nexcept* OSError:\n    g()",
        "def f[T](x: T) -> T: ...",
        "subprocess.Popen(['a'], process_group=0)",
    ],
)
def test_what_is_newer_is_caught(line: str) -> None:
    assert offences(line)


def test_what_is_old_enough_passes() -> None:
    text = "from __future__ import annotations\ndef f(x: list[int] | None) -> dict[str, int]: ...\nos.walk('.')\n"
    assert not offences(text + "if (n := 1): pass\nx: dict[str, int] = {}\ngetattr(os, 'pidfd_open', None)\n")


def tried() -> list[str]:
    """The versions to run the agent under."""
    found = sorted(interpreters(), key=lambda version: tuple(map(int, version.split("."))))
    return found if EVERY_VERSION else sorted({found[0], found[-1]})


@pytest.mark.parametrize("version", tried())
def test_a_run_lives_under_every_python(hosts: Callable[..., Host], agent_file: Path, version: str) -> None:
    """The agent as it is sent, under each interpreter: start, kill and restart, list, stop, resume."""
    host = hosts(agent=agent_file, python=interpreters()[version])
    assert host.start("run-a", "trainer.py", "--every", "5")["confirmed"] == "line"
    host.wait_step("run-a", 7)
    host.supervisor("run-a").end(0)
    [leader] = [row for row in host.call("ps")["processes"] if row["role"] == "rank"]
    wait_for(lambda: host.row("run-a")["checkpoint"]["newest"], "a checkpoint")
    [process] = [one for one in host.processes("run-a") if one.pid == leader["pid"]]
    process.end()
    wait_for(lambda: host.state("run-a").attempt == 2 and host.state("run-a").state == "running", "a restart")
    answer = host.stop("run-a")
    assert answer["state"] == "stopped" and answer["proven"] and answer["checkpoint"]["step"] >= 5
    assert host.call("verify", run="run-a")["step"] == answer["checkpoint"]["step"]
    assert host.start("run-a", "trainer.py", resume=True, attempt=3)["attempt"] == 3
    assert host.stop("run-a", kill=True)["survivors"] == []
    assert [frame.flags for frame in host.frames("run-a")].count("e") == 3
