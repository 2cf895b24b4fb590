"""Writing one checkpoint so that a kill at any byte leaves the old state or the new one. Standard library only.

Everything goes into `.tmp-step-N`, each file fsynced; COMPLETE.json, written last, lists them with their digests; the
directory is fsynced and renamed, its parent fsynced; only then `latest` moves and older checkpoints go. Whatever is
interrupted before the rename is removed by the next start (`recovery.py`), whatever after it is complete.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hydra.training.checkpoint import names
from hydra.training.checkpoint.durable import Digest, digest_of, pieces, replace_line, sync_directory, write
from hydra.training.checkpoint.request import SaveRequest, Shard

#: Files written at a time. Hashing one takes a core, so several keep a fast disk busy.
THREADS = 4

Between = Callable[[], None]


def commit(directory: Path, request: SaveRequest, memory: memoryview, between: Between) -> int:
    """Write a checkpoint under its final name and return its size in bytes.

    `between` is called before every piece of data and every change of a name. Raises OSError; then nothing but the
    temporary directory was touched, and that is removed again.
    """
    _check_room(directory, request.room)
    temporary = directory / f"{names.TEMPORARY}{names.folder(request.step)}"
    try:
        files = _write_files(temporary, request, memory, between)
        size = _write_complete(temporary, request, files, between)
        between()
        _publish(directory, temporary, request)
    except OSError:
        # The first error is the one to report; a rest that cannot be removed now is removed by the next start.
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return size


def tidy(directory: Path, request: SaveRequest, between: Between) -> None:
    """Point at the new checkpoint, then remove what it makes superfluous. Raises OSError; the checkpoint is safe."""
    between()
    _point(directory, request)
    for step in request.remove:
        between()
        discard(directory, names.folder(step))
    discard(directory, f"{names.REPLACED}{names.folder(request.step)}")


def discard(directory: Path, name: str) -> None:
    """Remove a directory, if it is there, such that a kill leaves no half of it under its own name."""
    if not (directory / name).is_dir():
        return
    trash = directory / f"{names.TRASH}{name.lstrip('.')}"
    shutil.rmtree(trash, ignore_errors=True)
    os.rename(directory / name, trash)
    sync_directory(directory)
    shutil.rmtree(trash)


def _check_room(directory: Path, room: int) -> None:
    status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    if free < room:
        raise OSError(errno.ENOSPC, f"{free:,} bytes are free and {room:,} are needed", str(directory))


def _write_files(temporary: Path, request: SaveRequest, memory: memoryview, between: Between) -> dict[str, Digest]:
    if temporary.exists():
        shutil.rmtree(temporary)
    os.mkdir(temporary)

    def one(shard: Shard) -> Digest:
        return write(temporary / shard.file, _content(shard, memory), between)

    with ThreadPoolExecutor(THREADS) as pool:
        digests = list(pool.map(one, request.shards))
    files = {shard.file: digest for shard, digest in zip(request.shards, digests, strict=True)}
    for name, text in request.documents.items():
        files[name] = write(temporary / name, [text.encode()], between)
    if request.tokenizer is not None:
        files |= _copy_tree(Path(request.tokenizer), temporary, names.TOKENIZER, between)
    if request.read_back:
        _read_back(temporary, files)
    return files


def _content(shard: Shard, memory: memoryview) -> Iterator[bytes | memoryview]:
    header = shard.header.encode()
    yield len(header).to_bytes(8, "little") + header
    yield from pieces(memory[shard.offset : shard.offset + shard.length])


def _copy_tree(source: Path, temporary: Path, name: str, between: Between) -> dict[str, Digest]:
    """Copy the regular files below a directory; anything else in it, or a name no reader accepts, is an OSError."""
    os.mkdir(temporary / name)
    copied: dict[str, Digest] = {}
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        inner = f"{name}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            copied |= _copy_tree(source / entry.name, temporary, inner, between)
        elif entry.is_file(follow_symlinks=False) and names.is_inside(inner):
            copied[inner] = write(temporary / inner, pieces(memoryview((source / entry.name).read_bytes())), between)
        else:
            raise OSError(errno.EINVAL, "a tokenizer holds only regular files with plain names", entry.path)
    sync_directory(temporary / name)
    return copied


def _read_back(temporary: Path, files: dict[str, Digest]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        read = pool.map(lambda name: digest_of(temporary / name, from_disk=True), files)
    for (name, written), found in zip(files.items(), read, strict=True):
        if found != written:
            raise OSError(errno.EIO, "the file that was read back differs from what was written", str(temporary / name))


def _write_complete(temporary: Path, request: SaveRequest, files: dict[str, Digest], between: Between) -> int:
    listed = {name: {"size": digest.size, "sha256": digest.sha256} for name, digest in files.items()}
    text = json.dumps({**request.complete, "files": listed}, indent=2, allow_nan=False) + "\n"
    written = write(temporary / names.COMPLETE, [text.encode()], between)
    sync_directory(temporary)
    return written.size + sum(digest.size for digest in files.values())


def _publish(directory: Path, temporary: Path, request: SaveRequest) -> None:
    final = directory / names.folder(request.step)
    if final.exists():
        aside = request.aside or f"{names.REPLACED}{final.name}"
        discard(directory, aside)
        os.rename(final, directory / aside)
        sync_directory(directory)
    os.rename(temporary, final)
    sync_directory(directory)


def _point(directory: Path, request: SaveRequest) -> None:
    replace_line(directory / names.LATEST, names.folder(request.step))
    if request.best is None:
        (directory / names.BEST).unlink(missing_ok=True)
    else:
        replace_line(directory / names.BEST, names.folder(request.best))
