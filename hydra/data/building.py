"""The two things that are built once: a tokenizer from its configuration, and the tokens of a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tokenizers as library

from hydra.data.artifacts import obtain
from hydra.data.config import BpeTokenizer, BytesTokenizer, HuggingFaceTokenizer, IdsTokenizer, ShardsCorpus
from hydra.data.config import SyntheticCorpus as SyntheticConfig
from hydra.data.corpora import TextCorpus, open_text
from hydra.data.corpora.shards import open_shards
from hydra.data.corpora.synthetic import synthetic_documents
from hydra.data.document import Document, content_key
from hydra.data.files import FileDigests
from hydra.data.shards import Shard
from hydra.data.split import threshold
from hydra.data.store import TokenStore
from hydra.data.tokenizers import Tokenizer, load_tokenizer
from hydra.data.tokenizers.bpe import train_bpe
from hydra.data.tokenizers.bytes import ByteTokenizer
from hydra.data.tokenizers.huggingface import JsonTokenizer, read_definition
from hydra.data.tokenizers.ids import IdTokenizer
from hydra.data.tokens import write_shard
from hydra.errors import DataError
from hydra.manifest.section import Kind
from hydra.manifest.sections import Data, Source

SHARD = "tokens.shard"


@dataclass(frozen=True)
class Input:
    """A source with its text, if it holds text, and the identity of that text; read once per start."""

    source: Source
    corpus: TextCorpus | None
    identity: dict[str, object]

    def documents(self, tokenizer: Tokenizer) -> Iterator[Document]:
        """Its documents: text, or ids that were made for this tokenizer."""
        if self.corpus is not None:
            return self.corpus.documents()
        assert isinstance(self.source.corpus, SyntheticConfig), "shards are opened, not read"
        return synthetic_documents(self.source.corpus, tokenizer.size, tokenizer.end_of_document)

    def require_unchanged(self, digests: FileDigests) -> None:
        """Refuse what was built if the files changed meanwhile: it would be found again under their old digest."""
        if self.corpus is not None and self.corpus.identity(digests) != self.identity:
            raise DataError(
                f"the files of source '{self.source.name}' changed while they were read",
                why="what was built would be neither the old corpus nor the new one",
                fix="start again when nothing writes to them any more",
                example="python trainer.py",
            )


def inputs(data: Data, digests: FileDigests) -> list[Input]:
    """The sources of a manifest, their text found and identified. Raises DataError when files are missing."""
    found = []
    for source in data.sources:
        corpus = open_text(source)
        identity = corpus.identity(digests) if corpus else source.corpus.model_dump(mode="json")
        found.append(Input(source, corpus, identity))
    return found


def obtain_tokenizer(config: Kind, data: Data, sources: Sequence[Input], digests: FileDigests) -> Tokenizer:
    """The tokenizer of a manifest, from its artifact or built into one. Raises DataError when it cannot be built."""
    key: dict[str, object] = {"artifact": "tokenizer", **config.model_dump(mode="json"), "library": library.__version__}
    if isinstance(config, HuggingFaceTokenizer):
        key["file"] = digests.digest(Path(config.file))
    texts = [source for source in sources if source.corpus is not None]
    if isinstance(config, BpeTokenizer):
        key |= {"held_out": data.held_out, "texts": [source.identity for source in texts]}

    def build(directory: Path) -> None:
        _tokenizer(config, data.held_out, texts, digests).save(directory)

    return load_tokenizer(obtain(Path(data.tokenizer_artifacts), key, f"building the {config.kind} tokenizer", build))


def obtain_tokens(source: Input, folder: Path, tokenizer: Tokenizer, digests: FileDigests) -> TokenStore:
    """The tokens of a source: its own shards, or an artifact. Raises DataError for a corpus that is refused."""
    corpus = source.source.corpus
    if isinstance(corpus, ShardsCorpus):
        return open_shards(corpus, tokenizer, digests)
    key = {"artifact": "tokens", **source.identity, "tokenizer": tokenizer.digest, "library": tokenizer.library}

    def build(directory: Path) -> None:
        write_tokens(source, directory / SHARD, tokenizer, digests)

    name = source.source.name
    return TokenStore([Shard(obtain(folder, key, f"tokenizing source '{name}'", build) / SHARD, tokenizer, digests)])


def write_tokens(source: Input, path: Path, tokenizer: Tokenizer, digests: FileDigests) -> None:
    """Tokenize a source into one new shard."""
    write_shard(path, source.documents(tokenizer), tokenizer, source.source.name)
    source.require_unchanged(digests)


def _tokenizer(config: Kind, held_out: float, texts: Sequence[Input], digests: FileDigests) -> Tokenizer:
    match config:
        case BytesTokenizer():
            return ByteTokenizer()
        case IdsTokenizer(vocabulary=vocabulary):
            return IdTokenizer(vocabulary)
        case HuggingFaceTokenizer(file=file, end_of_document=end):
            return JsonTokenizer(read_definition(Path(file)), end, file)
        case BpeTokenizer():
            if not texts:
                raise _no_text()
            tokenizer = train_bpe(config, _training(texts, held_out))
            for source in texts:
                source.require_unchanged(digests)
            return tokenizer
        case _:
            raise AssertionError(f"tokenizer kind '{config.kind}' is registered but not built here")


def _training(texts: Sequence[Input], held_out: float) -> Iterator[Document]:
    """The training documents of all text: a tokenizer must not have seen what a model is measured on."""
    for source in texts:
        assert source.corpus is not None
        for document in source.corpus.documents():
            if content_key(document.encoded()) >= threshold(held_out):
                yield document


def _no_text() -> DataError:
    return DataError(
        "a bpe tokenizer has no text to be trained on: every source holds token ids",
        why="shards and synthetic data have ids already, made with a tokenizer that exists",
        fix="name that tokenizer: for shards, the one saved beside them",
        example="tokenizer: {kind: huggingface, file: shards/tokenizer/tokenizer.json}",
    )
