"""The Python standard library as a corpus: about 11 MB of real text that every machine with Python already has.

The rule, in full: every `.py` file below the running interpreter's `stdlib` folder, one document each, sorted by
relative path; folders of tests and of other distributions are left out (`EXCLUDED`), and so are files without a
single byte, which are package markers and no text. A file is decoded as Python itself does it: by its byte order mark
or declared encoding (PEP 263), else UTF-8. Line ends stay as they are. The text differs between Python versions, so
its digest is part of a run's data fingerprint.
"""

from __future__ import annotations

import io
import os
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

from hydra.data.compressed import opened
from hydra.data.document import Document
from hydra.errors import DataError

#: Folders that are skipped wherever they stand.
EXCLUDED = frozenset({"test", "tests", "idle_test", "idlelib", "site-packages", "dist-packages", "__pycache__"})


def library_files(root: Path | None = None) -> tuple[Path, ...]:
    """The files of the corpus in order. Raises DataError where Python was installed without its sources."""
    root = root or Path(sysconfig.get_path("stdlib"))
    kept = sorted(_sources(root), key=lambda path: path.relative_to(root).as_posix())
    files = tuple(path for path in kept if path.stat().st_size)
    if not files:
        raise DataError(
            f"no Python sources below {root}",
            why="this interpreter was installed without the sources of its standard library (a zip or frozen build)",
            fix="use an ordinary Python, or name a corpus of your own",
            example="corpus: {kind: text, files: [notes/*.txt]}",
        )
    return files


def _sources(root: Path) -> Iterator[Path]:
    """Excluded folders are not entered: `site-packages` may hold a hundred thousand files."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in EXCLUDED]
        yield from (Path(folder, name) for name in names if name.endswith(".py"))


def read_source(path: Path) -> Iterator[Document]:
    """The one document of a Python file. Raises DataError with the line that its declared encoding cannot decode."""
    with opened(path) as stream:
        raw = stream.read()
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        yield Document(raw.decode(encoding), f"{path}:1")
    except (SyntaxError, UnicodeDecodeError) as error:
        line = raw[: error.start].count(b"\n") + 1 if isinstance(error, UnicodeDecodeError) else 1
        raise DataError(
            f"{path}:{line}: cannot be decoded: {error}",
            why="Python itself could not import this file, so it is damaged",
            fix="reinstall this Python, or name a corpus of your own",
            example="corpus: {kind: text, files: [notes/*.txt]}",
        ) from error
