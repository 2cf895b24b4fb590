"""The stream that carries a release: a tar whose last members are the checksum list and the manifest."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from fleet.errors import FleetError
from fleet.release import tar
from fleet.release.entry import CONTROL, Entry
from fleet.release.manifest import checksums
from fleet.release.parts import parts
from fleet.release.sources import Read
from fleet.release.tree import Tree

#: Told bytes sent so far and bytes in all.
Progress = Callable[[int, int], None]

_CHUNK = 1 << 18
_MANIFEST = CONTROL + b"/manifest"
_SUMS = CONTROL + b"/SHA256SUMS"
_RECORD = CONTROL + b"/release.json"
_RECORD_SUM = CONTROL + b"/release.json.sha256"
_PATCH = CONTROL + b"/patch.diff"
_CHANGES = CONTROL + b"/changes"
_NOTE = CONTROL + b"/note"
#: What reaches the host has no write permission from its first moment on.
_READ_ONLY = 0o555


class Upload:
    """One upload to one host: its control files, its size and its stream."""

    def __init__(
        self,
        tree: Tree,
        send: Sequence[Entry],
        steps: bytes | None,
        progress: Progress | None = None,
        note: bytes = b"",
    ) -> None:
        """`send` are the entries to send; `steps` turn the host's base release into the rest, if there is one. `note`
        is a line for the host's audit log."""
        sums = checksums(tree.entries)
        self.digests = (tree.digest, _sha256(sums))
        #: The local failure that cut the stream short. The host refuses what it got, and this is what to report.
        self.failed: FleetError | None = None
        #: Bytes handed to the transport.
        self.sent = 0
        self._tree, self._send, self._progress = tree, send, progress
        # With a base most files are there already, and few come.
        self._parts = parts(send) if steps is None else {}
        self._lists = [] if steps is None else [(_CHANGES, steps)]
        self._lists += [(_NOTE, note)] if note else []
        self._lists += [(_SUMS, sums), (_MANIFEST, tree.manifest)]

    @property
    def files(self) -> int:
        """Files and links that are sent, without control files."""
        return len(self._send)

    @property
    def parts(self) -> int:
        """Lists of checksums that go among the files."""
        return len(self._parts)

    @property
    def size(self) -> int:
        """Bytes of the whole stream. git is asked, since the commit and the patch are a part of it."""
        written = self.least + sum(tar.member_size(name, len(data)) for name, data in self._told())
        return written + len(tar.end(written))

    @cached_property
    def least(self) -> int:
        """Bytes of everything but what git tells, which is small unless much is uncommitted."""
        files = sum(
            len(tar.link_member(entry.path, entry.stamp))
            if entry.kind == "l"
            else tar.member_size(entry.path, entry.size)
            for entry in self._send
        )
        lists = sum(tar.member_size(name, len(data)) for name, data in self._lists)
        return files + lists + sum(map(len, self._parts.values()))

    def _told(self) -> list[tuple[bytes, bytes]]:
        """The control files about the commit: the record, its checksum, and the patch."""
        record = self._record
        patch = [(_PATCH, self._tree.provenance.patch)] if self._tree.provenance.patch_kept else []
        return [(_RECORD, record), (_RECORD_SUM, _sha256(record).encode() + b"\n"), *patch]

    @cached_property
    def _record(self) -> bytes:
        return _record(self._tree)

    def chunks(self) -> Iterator[bytes]:
        """The stream. It ends early, without its last members, if a file is no longer what was looked at."""
        # git takes as long as a tenth of the upload, and what it tells comes last.
        asking = threading.Thread(target=self._ask, name="asking git", daemon=True)
        asking.start()
        buffer = bytearray()
        try:
            with self._tree.source.reading() as read:
                for piece in self._pieces(read):
                    buffer += piece
                    if len(buffer) >= _CHUNK:
                        yield self._hand_over(buffer)
                        buffer = bytearray()
        except FleetError as error:
            self.failed = error
            return
        buffer += tar.end(self.sent + len(buffer))
        yield self._hand_over(buffer)

    def _ask(self) -> None:
        # What git refuses is raised again where its answer is used.
        with contextlib.suppress(FleetError):
            _ = self._tree.provenance

    def _pieces(self, read: Read) -> Iterator[bytes]:
        for number, entry in enumerate(self._send):
            yield self._parts.get(number, b"")
            if entry.kind == "l":
                yield tar.link_member(entry.path, entry.stamp)
                continue
            yield tar.file_header(entry.path, entry.mode & _READ_ONLY, entry.size)
            yield from read(entry)
            yield tar.padding(entry.size)
        for name, data in (*self._told(), *self._lists):
            yield tar.file_header(name, 0o444, len(data)) + data + tar.padding(len(data))

    def _hand_over(self, buffer: bytearray) -> bytes:
        self.sent += len(buffer)
        if self._progress is not None:
            self._progress(self.sent, max(self.sent, self.least))
        return bytes(buffer)


def _record(tree: Tree) -> bytes:
    """`release.json`: what is worth knowing of a release and is not in its id. One line."""
    fields = {
        "schema": 1,
        "release": tree.release,
        "digest": tree.digest,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "files": len(tree.entries),
        "bytes": tree.size,
        **tree.provenance.record(),
    }
    return json.dumps(fields).encode() + b"\n"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
