"""Configuration of corpora and tokenizers. Torch-free, so a manifest can be read anywhere."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hydra.manifest.section import Kind

Files = Annotated[tuple[str, ...], Field(min_length=1)]


class StdlibCorpus(Kind):
    """The running interpreter's own library sources, tests excluded, sorted by path: real text without a network."""

    kind: Literal["stdlib"]


class TextCorpus(Kind):
    """Plain text files, each one document; `.gz` and `.zst` are read."""

    kind: Literal["text"]
    files: Files = Field(description="files or glob patterns, relative to the working directory")
    errors: Literal["strict", "replace"] = Field(
        default="strict", description="what undecodable UTF-8 does: an error, or U+FFFD in its place"
    )


class JsonlCorpus(Kind):
    """One JSON object a line, its text in one field; `.gz` and `.zst` are read."""

    kind: Literal["jsonl"]
    files: Files = Field(description="files or glob patterns, relative to the working directory")
    field: str = Field(default="text", description="the field that holds a document's text")


class ParquetCorpus(Kind):
    """Parquet files, one document a row."""

    kind: Literal["parquet"]
    files: Files = Field(description="files or glob patterns, relative to the working directory")
    column: str = Field(default="text", description="the column that holds a document's text")


class ShardsCorpus(Kind):
    """Token files written by `hydra data build`, read by memory map; their tokenizer must be the manifest's."""

    kind: Literal["shards"]
    files: Files = Field(description="shard files or glob patterns, relative to the working directory")


class SyntheticCorpus(Kind):
    """Seeded token ids with a learnable pattern; for speed measurements and tests only."""

    kind: Literal["synthetic"]
    tokens: Annotated[int, Field(gt=0)] = Field(description="tokens to generate, rounded down to whole documents")
    document: Annotated[int, Field(gt=1)] = Field(
        default=1024, description="tokens per document, its two end-of-document ids included"
    )
    seed: int = Field(default=0, description="seed of the generated ids")


class BytesTokenizer(Kind):
    """UTF-8 bytes: 256 ids and one end-of-document id. Needs no training and loses nothing."""

    kind: Literal["bytes"]


class BpeTokenizer(Kind):
    """Byte-level BPE (arXiv:1508.07909), trained on the run's own training documents."""

    kind: Literal["bpe"]
    vocabulary: Annotated[int, Field(ge=257)] = Field(description="ids, the 256 bytes and the special id included")
    sample_bytes: Annotated[int, Field(gt=0)] = Field(
        default=64_000_000, description="training text at most, taken in corpus order"
    )


class HuggingFaceTokenizer(Kind):
    """A `tokenizer.json` in the format of the tokenizers library."""

    kind: Literal["huggingface"]
    file: str = Field(description="path of the tokenizer.json")
    end_of_document: str = Field(default="<|endoftext|>", description="the token that ends a document")


class IdsTokenizer(Kind):
    """No text at all: token ids as they are, for synthetic data, and for text that already is numbers in decimal."""

    kind: Literal["ids"]
    vocabulary: Annotated[int, Field(gt=1)] = Field(description="number of ids; the last one ends a document")
