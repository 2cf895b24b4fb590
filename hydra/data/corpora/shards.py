"""Token files written by `hydra data build`, as they are: nothing is tokenized again, nothing copied."""

from __future__ import annotations

from hydra.data.config import ShardsCorpus
from hydra.data.files import FileDigests, expand
from hydra.data.shards import Shard
from hydra.data.store import TokenStore
from hydra.data.tokenizers.tokenizer import Tokenizer


def open_shards(config: ShardsCorpus, tokenizer: Tokenizer, digests: FileDigests) -> TokenStore:
    """The documents of all files in order. Raises DataError for a file that is no whole shard of this tokenizer."""
    return TokenStore([Shard(path, tokenizer, digests) for path in expand(config.files)])
