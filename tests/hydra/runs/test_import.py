from __future__ import annotations

import subprocess
import sys


def test_the_room_pulls_in_nothing_heavy() -> None:
    code = "import sys, hydra.runs; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    modules = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not modules & {"torch", "numpy", "triton", "tokenizers", "pyarrow", "typer", "rich", "wandb", "fabric"}


def test_every_public_name_is_there_and_explained() -> None:
    import hydra.runs

    assert len(set(hydra.runs.__all__)) == len(hydra.runs.__all__)
    for name in hydra.runs.__all__:
        public = getattr(hydra.runs, name)
        if callable(public) and type(public).__name__ != "_LiteralGenericAlias":
            assert public.__doc__, name
