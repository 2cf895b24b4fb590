"""What pins packages is read strictly, and the environment's name follows from all that decides its content."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.environment.identity import Identity
from fleet.environment.lock import read_lock, reusable
from fleet.errors import Blocked, Usage
from fleet.remote.env_requirements import canonical, constraints_for_reuse, for_reuse, logical_lines, name_of, of_torch
from tests.fleet.environment.index import project

HASHED = """alpha==1.0 \
    --hash=sha256:aa \
    --hash=sha256:bb
    # via x
beta==2 ; python_version > '3' --hash=sha256:cc
"""
IDENTITY = Identity(
    "digest", "3.12.4", "linux-x86_64 glibc 2.36", ("a", "b"), "reuse", "/opt/python3.12", {"torch": "2.13"}
)


def test_logical_lines_join_and_drop_comments() -> None:
    text = "# head\n\n--index-url x\nA==1 \\\n  --hash=sha256:0  # why\nb @ https://example.org/b#egg=b\nlast \\\n"
    assert logical_lines(text) == [
        (3, "--index-url x"),
        (4, "A==1 --hash=sha256:0"),
        (6, "b @ https://example.org/b#egg=b"),
        (7, "last"),
    ]
    assert [name_of(line) for _, line in logical_lines(text)] == [None, "a", "b", "last"]


@given(st.lists(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True), max_size=8))
def test_names_have_one_spelling(names: list[str]) -> None:
    text = "".join(f"{name}==1.0 \\\n  --hash=sha256:0\n" for name in names)
    assert [name_of(line) for _, line in logical_lines(text)] == [canonical(name) for name in names]
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", canonical(name)) for name in names)


@given(
    st.dictionaries(
        st.sampled_from(["torch", "triton", "nvidia-nccl-cu13", "cuda-bindings", "numpy", "rich"]), st.just("9")
    )
)
def test_reuse_pins_what_comes_with_torch_to_what_is_in_place(present: dict[str, str]) -> None:
    lock = "numpy==1\nnvidia-nccl-cu13==1\nrich==1\ntorch==1\ntriton==1\n"
    pins = [line for _, line in logical_lines(constraints_for_reuse(lock, present))]
    for name in ("torch", "nvidia-nccl-cu13", "cuda-bindings"):
        assert [pin for pin in pins if name_of(pin) == name] == ([f"{name}==9"] if name in present else [])
    assert [pin for pin in pins if name_of(pin) == "triton"] == (
        ["triton==9"] if "triton" in present else ["triton==1"]
    )
    assert {"numpy==1", "rich==1"} <= set(pins), "other packages come at the version of the lock"
    assert "torch" not in for_reuse("torch>=2\nnumpy\n", present)


def test_of_torch_knows_no_neighbours() -> None:
    assert all(of_torch(name) for name in ("torch", "triton", "nvidia-cublas", "cuda-pathfinder"))
    assert not any(of_torch(name) for name in ("torchvision", "torch-geometric", "triton-client", "cudatoolkit"))


def test_the_strictest_lock_wins() -> None:
    files = {"uv.lock": "u", "requirements.lock": HASHED, "constraints.txt": "a==1\n", "pyproject.toml": project("a")}
    assert read_lock("h", files, uv=True).kind == "uv"
    assert read_lock("h", files, uv=False).kind == "hashed"
    del files["requirements.lock"]
    lock = read_lock("h", files, uv=False)
    assert (lock.kind, lock.pinned, lock.requirements) == ("constraints", "pinned, not hashed", ("a",))
    assert reusable(files)
    del files["constraints.txt"]
    assert not reusable(files)
    for left in (files, {}):
        with pytest.raises(Blocked) as caught:
            read_lock("h", left, uv=False)
        assert caught.value.exit_code == 11


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"requirements.lock": "a==1\n"}, r"requirements\.lock:1: 'a==1' has no --hash"),
        ({"constraints.txt": "\na>=1\n", "pyproject.toml": project("a")}, r"constraints\.txt:2: 'a>=1'"),
        ({"constraints.txt": "a==1.*\n", "pyproject.toml": project("a")}, r"constraints\.txt:1: 'a==1\.\*'"),
        ({"constraints.txt": "a==1\n", "pyproject.toml": project("a", "B_c>2")}, r"asks for B_c>2, and constraints"),
        ({"constraints.txt": "a==1\n", "pyproject.toml": "[project"}, r"pyproject\.toml: "),
    ],
)
def test_what_does_not_pin_is_an_error_with_its_place(files: dict[str, str], said: str) -> None:
    with pytest.raises(Usage, match=said) as caught:
        read_lock("h", files, uv=False)
    assert caught.value.exit_code == 2


def test_extras_may_name_the_project_itself() -> None:
    extras = {"board": ["b"], "dev": ["Fake.Project[board]", "c"], "loop": ["fake-project[loop]"]}
    files = {"constraints.txt": "a==1\nb==1\nc==1\n", "pyproject.toml": project("a", extras=extras)}
    assert set(read_lock("h", files, uv=False, extras=["dev", "loop"]).requirements) == {"a", "b", "c"}
    with pytest.raises(Usage, match="no extra 'bord'"):
        read_lock("h", files, uv=False, extras=["bord"])


def test_the_digest_depends_on_what_decides_the_packages_alone() -> None:
    files = {"constraints.txt": "a==1\n", "pyproject.toml": project("a")}
    first = read_lock("h", files, uv=False).digest
    same = {**files, "pyproject.toml": project("a") + "[tool.ruff]\nline-length = 120\n"}
    assert read_lock("h", same, uv=False).digest == first
    assert read_lock("h", {**files, "constraints.txt": "a==2\n"}, uv=False).digest != first
    assert read_lock("h", {**files, "pyproject.toml": project("a>0")}, uv=False).digest != first


def test_an_id_is_16_hex_digits_and_depends_on_every_field() -> None:
    first = IDENTITY.environment_id()
    assert re.fullmatch(r"[0-9a-f]{16}", first)
    assert dataclasses.replace(IDENTITY, extras=("b", "a", "b")).environment_id() == first
    changed = {
        "lock": "x",
        "python": "3.12.5",
        "platform": "linux-aarch64 glibc 2.36",
        "extras": ("a",),
        "mode": "pip",
        "interpreter": "/x",
        "base": None,
        "builder": 99,
    }
    assert set(changed) == {field.name for field in dataclasses.fields(Identity)}
    ids = {dataclasses.replace(IDENTITY, **{name: value}).environment_id() for name, value in changed.items()}
    assert len(ids | {first}) == len(changed) + 1
