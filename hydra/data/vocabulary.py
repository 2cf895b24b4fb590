"""The size of a manifest's vocabulary without reading its corpora, for everything that only counts."""

from __future__ import annotations

from pathlib import Path

from hydra.data.config import BpeTokenizer, BytesTokenizer, HuggingFaceTokenizer, IdsTokenizer
from hydra.data.tokenizers.bytes import ByteTokenizer
from hydra.data.tokenizers.huggingface import JsonTokenizer, read_definition
from hydra.data.tokenizers.tokenizer import PADDING
from hydra.manifest import Manifest


def vocabulary_of(manifest: Manifest) -> int:
    """Ids of the model, padded as training pads them.

    For `bpe` it is what the manifest asks for: `prepare` refuses a corpus that cannot give that many. Raises DataError
    for a tokenizer file that is missing or is none.
    """
    return -(-_size(manifest) // PADDING) * PADDING


def _size(manifest: Manifest) -> int:
    match manifest.tokenizer:
        case BytesTokenizer():
            return ByteTokenizer().size
        case BpeTokenizer(vocabulary=size) | IdsTokenizer(vocabulary=size):
            return size
        case HuggingFaceTokenizer(file=file, end_of_document=end):
            return JsonTokenizer(read_definition(Path(file)), end, file).size
        case other:
            raise AssertionError(f"tokenizer kind '{other.kind}' is registered and has no size here")
