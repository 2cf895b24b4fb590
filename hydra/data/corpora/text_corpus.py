"""What a corpus of text is to the rest of this room: files, what identifies them, and their documents."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hydra.data.document import Document
from hydra.data.files import FileDigests
from hydra.errors import DataError


@dataclass(frozen=True)
class TextCorpus:
    """Documents of text, read from files in a fixed order.

    `read` yields the documents of one file; it raises DataError with file and line for anything it cannot take as
    it is. `parameters` are the settings and library versions that decide what is read from the same bytes.
    """

    name: str
    files: tuple[Path, ...]
    read: Callable[[Path], Iterator[Document]]
    parameters: Mapping[str, str] = field(default_factory=dict)

    def identity(self, digests: FileDigests) -> dict[str, object]:
        """What decides the documents: the bytes of the files in their order, and the parameters.

        Names of files are left out, so moving a corpus does not rebuild anything.
        """
        content = hashlib.sha256()
        for path in self.files:
            content.update(bytes.fromhex(digests.digest(path)))
        return {**self.parameters, "files": len(self.files), "content": content.hexdigest()}

    def documents(self) -> Iterator[Document]:
        """All documents in order. Raises DataError when there are none, or no text in any."""
        characters = 0
        for path in self.files:
            for document in self.read(path):
                characters += len(document.content)
                yield document
        if not characters:
            raise DataError(
                f"the corpus of source '{self.name}' is empty: {len(self.files)} files, no text",
                why="there is nothing to train on, and nothing is put in its place",
                fix="name files that hold text",
                example="corpus: {kind: text, files: [data/*.txt]}",
            )
