"""The dataset of a run: every training row by its global sample index, and the held-out rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hydra.data.arrays import Bools, Int32, Int64, expand
from hydra.data.batch import Batch, assemble
from hydra.data.order import BLOCK, Order, quotas
from hydra.data.packing import Kind, Packing, pack
from hydra.data.scramble import key_of, shuffled
from hydra.data.split import held_out_mask
from hydra.data.store import TokenStore
from hydra.data.tokenizers import Tokenizer
from hydra.manifest.sections import Data


@dataclass(frozen=True)
class PackedSource:
    """One source of the mix: its documents, and its rows for training and for evaluation."""

    name: str
    store: TokenStore
    held: Bools
    training: Packing
    held_out: Packing


class Dataset:
    """Rows as a pure function of (seed, global sample index); holds no position and is safe to read from threads."""

    def __init__(self, data: Data, tokenizer: Tokenizer, stores: Sequence[TokenStore], seed: int) -> None:
        """`stores` are those of `data.sources` in order. Nothing is checked here: `prepare` does."""
        names = [source.name for source in data.sources]
        self.tokenizer = tokenizer
        self.sequence = data.sequence
        self.masks = data.document_masks
        self.quota = quotas(names, [source.weight for source in data.sources])
        self.sources = [
            _packed(name, store, data, key_of("order: documents", seed, number))
            for number, (name, store) in enumerate(zip(names, stores, strict=True))
        ]
        self.order = Order(seed, self.quota, [source.training.rows for source in self.sources])
        self.fingerprint = self._fingerprint(data, seed)

    @property
    def vocabulary(self) -> int:
        """Ids of the model: the tokenizer's, padded up to a multiple of 128."""
        return self.tokenizer.vocabulary

    def rows(self, samples: Int64) -> Batch:
        """Training rows by global sample index, in the order asked for; any index from 0 up."""
        samples = np.asarray(samples, dtype=np.int64)
        sources, rows, _ = self.order.locate(samples)
        return self._read([source.training for source in self.sources], sources, rows, samples)

    def targets(self, samples: Int64) -> int:
        """Valid targets of some training rows together, without reading a token."""
        sources, rows, _ = self.order.locate(np.asarray(samples, dtype=np.int64))
        total = 0
        for number, source in enumerate(self.sources):
            tokens, pieces = source.training.counts(rows[sources == number])
            total += int(tokens.sum()) - (int(pieces.sum()) if self.masks else tokens.size)
        return total

    def held_out(self, limit: int | None) -> Batch:
        """The first `limit` held-out rows (None: all), packed as in training.

        Their order depends on the documents' content and the sources' weights alone: not on the seed, not on
        training. It is scattered over the documents, so that few rows say something about all of them. Sources take
        turns by weight; one that is used up leaves its turns to the others.
        """
        counts = np.array([source.held_out.rows for source in self.sources], dtype=np.int64)
        sources, place = expand(counts)
        rows = np.concatenate([shuffled(key_of("held-out rows"), count) for count in counts.tolist()])
        turns = np.argsort((place + 0.5) / np.array(self.quota)[sources], kind="stable")[:limit]
        samples = np.arange(turns.size, dtype=np.int64)
        return self._read(
            [source.held_out for source in self.sources], sources[turns].astype(np.int32), rows[turns], samples
        )

    def _read(self, packings: Sequence[Packing], sources: Int32, rows: Int64, samples: Int64) -> Batch:
        shape = (samples.size, self.sequence + 1)
        tokens, positions, documents = (np.empty(shape, dtype=np.int32) for _ in range(3))
        for number, packing in enumerate(packings):
            chosen = np.flatnonzero(sources == number)
            if not chosen.size:
                continue
            pieces = packing.pieces(rows[chosen])
            end, store = self.tokenizer.end_of_document, self.sources[number].store
            filled = assemble(store, pieces, chosen.size, self.sequence, end, self.masks)
            tokens[chosen], positions[chosen], documents[chosen] = filled
        return Batch(tokens, positions, documents, sources, samples)

    def _fingerprint(self, data: Data, seed: int) -> str:
        """Identity of the rows and their order: equal fingerprints read equal rows at every index."""
        identity = {
            "format": 1,
            "seed": seed,
            "tokenizer": self.tokenizer.digest,
            "sources": [
                {"quota": quota, "shards": [shard.digest for shard in source.store.shards]}
                for quota, source in zip(self.quota, self.sources, strict=True)
            ],
            **data.model_dump(include={"sequence", "held_out", "packing", "document_masks"}),
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def summary(self) -> dict[str, object]:
        """Documents, tokens and bytes by source and split, for the start of a run and its report.

        `tokens` count both end-of-document ids of each document, `bytes` are those of its text, `weight` is the
        share of rows as rounded, `padding` the share of a row's places that hold no token.
        """
        return {
            "fingerprint": self.fingerprint,
            "vocabulary": self.vocabulary,
            "tokenizer": self.tokenizer.digest,
            "sources": {
                source.name: {
                    "weight": quota / BLOCK,
                    "training": self._split(source.store, ~source.held, source.training),
                    "held_out": self._split(source.store, source.held, source.held_out),
                }
                for quota, source in zip(self.quota, self.sources, strict=True)
            },
        }

    def _split(self, store: TokenStore, chosen: Bools, packing: Packing) -> dict[str, object]:
        tokens, text_bytes = int(store.lengths[chosen].sum()), int(store.sizes[chosen].sum())
        filled = int(packing.counts(np.arange(packing.rows, dtype=np.int64))[0].sum())
        places = packing.rows * (self.sequence + 1)
        return {
            "documents": int(chosen.sum()),
            "tokens": tokens,
            "bytes": text_bytes,
            "bytes_per_token": text_bytes / tokens if tokens else 0.0,
            "rows": packing.rows,
            "padding": 1 - filled / places if places else 0.0,
        }


def _packed(name: str, store: TokenStore, data: Data, key: int) -> PackedSource:
    """Split and pack: training documents in the seed's order, held-out ones in the order of their content keys."""
    held = held_out_mask(store.keys, data.held_out)
    learned, kept = np.flatnonzero(~held), np.flatnonzero(held)
    learned = learned[shuffled(key, learned.size)]
    kept = kept[np.argsort(store.keys[kept], kind="stable")]
    return PackedSource(name, store, held, _rows(data, store, learned), _rows(data, store, kept))


def _rows(data: Data, store: TokenStore, documents: Int64) -> Packing:
    kind: Kind = data.packing
    return pack(kind, documents, store.lengths[documents], data.sequence)
