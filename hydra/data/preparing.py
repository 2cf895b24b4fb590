"""From a manifest to a dataset: build what is missing, open what is there, refuse what cannot be trained on."""

from __future__ import annotations

from pathlib import Path

from hydra.data.building import Input, inputs, obtain_tokenizer, obtain_tokens, write_tokens
from hydra.data.config import ShardsCorpus
from hydra.data.dataset import Dataset, PackedSource
from hydra.data.files import FileDigests
from hydra.data.locking import writing
from hydra.data.order import BLOCK
from hydra.data.split import require_both_sides
from hydra.errors import DataError
from hydra.manifest import Manifest


def prepare(manifest: Manifest) -> Dataset:
    """The dataset of a lowered manifest.

    Tokenizer and tokens are built under a file lock if they are not there, and found by the digest of what they were
    built from; a second call costs reading the digests. Every process of a run calls this. Raises DataError.
    """
    data = manifest.data
    digests = FileDigests(Path(data.token_artifacts))
    sources = inputs(data, digests)
    tokenizer = obtain_tokenizer(manifest.tokenizer, data, sources, digests)
    stores = [obtain_tokens(source, Path(data.token_artifacts), tokenizer, digests) for source in sources]
    names = [source.source.name for source in sources]
    require_both_sides([store.keys for store in stores], names, data.held_out)
    dataset = Dataset(data, tokenizer, stores, manifest.seed)
    for packed, quota in zip(dataset.sources, dataset.quota, strict=True):
        _require_rows(packed, data.sequence, -(-manifest.training.batch * quota // BLOCK))
    return dataset


def build_shards(manifest: Manifest, directory: Path) -> list[Path]:
    """Write `<source>.shard` for every source, and the tokenizer into `tokenizer/`; returns the shards' paths.

    Each shard holds all documents of its source, training and held-out ones: the split is made when it is read, so
    a run on the shards equals a run on the text. Raises DataError for a source that already is shards, and rather
    than write over a file.
    """
    data = manifest.data
    digests = FileDigests(Path(data.token_artifacts))
    sources = inputs(data, digests)
    targets = [directory / f"{source.source.name}.shard" for source in sources]
    for source, target in zip(sources, targets, strict=True):
        _require_writable(source, target)
    tokenizer = obtain_tokenizer(manifest.tokenizer, data, sources, digests)
    for source, target in zip(sources, targets, strict=True):
        with writing(target):
            tokenizer.save(directory / "tokenizer")
            partial = target.with_suffix(".partial")
            partial.unlink(missing_ok=True)
            write_tokens(source, partial, tokenizer, digests)
            partial.rename(target)
    return targets


def _require_rows(source: PackedSource, sequence: int, needed: int) -> None:
    tokens = int(source.store.lengths[~source.held].sum())
    rows = source.training.rows
    fitting = max(1, (tokens - 1) // needed)
    if tokens <= sequence:
        raise DataError(
            f"data.sequence={sequence:,} is longer than the corpus: "
            f"source '{source.name}' has {tokens:,} training tokens",
            why=f"a row holds {sequence + 1:,} tokens, and there is not one whole row",
            fix=f"set data.sequence to at most {fitting:,}, or bring more text",
            example=f"--set data.sequence={fitting}",
        )
    if rows < needed:
        raise DataError(
            f"source '{source.name}' has {rows:,} training rows of {sequence:,} targets, "
            f"a batch takes {needed:,} of them",
            why="a row would occur twice in one optimizer step",
            fix=f"set data.sequence to at most {fitting:,}, lower training.batch, or bring more text",
            example=f"--set data.sequence={fitting}",
        )


def _require_writable(source: Input, target: Path) -> None:
    if isinstance(source.source.corpus, ShardsCorpus):
        raise DataError(
            f"source '{source.source.name}' already is shards",
            why="its tokens are read as they are; there is nothing to build",
            fix="build from the text that the shards came from",
            example="corpus: {kind: jsonl, files: [data/*.jsonl]}",
        )
    if target.exists():
        raise DataError(
            f"{target} exists",
            why="runs may be reading it, and a shard is never written over",
            fix="remove it, or build into another folder",
            example=f"hydra data build MANIFEST --out {target.parent}-2",
        )
