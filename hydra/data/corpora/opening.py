"""From a corpus' configuration to the corpus."""

from __future__ import annotations

from functools import partial

import pyarrow

from hydra.data.config import JsonlCorpus, ParquetCorpus, StdlibCorpus
from hydra.data.config import TextCorpus as TextConfig
from hydra.data.corpora.jsonl import read_jsonl
from hydra.data.corpora.parquet import read_parquet
from hydra.data.corpora.stdlib import library_files, read_source
from hydra.data.corpora.text import read_text
from hydra.data.corpora.text_corpus import TextCorpus
from hydra.data.files import expand
from hydra.manifest.sections import Source


def open_text(source: Source) -> TextCorpus | None:
    """The corpus of a source that holds text; None for those that hold token ids (`shards`, `synthetic`).

    Raises DataError when files are missing.
    """
    match source.corpus:
        case StdlibCorpus():
            return TextCorpus(source.name, library_files(), read_source, {"kind": "stdlib"})
        case TextConfig(files=files, errors=errors):
            read = partial(read_text, errors=errors)
            return TextCorpus(source.name, expand(files), read, {"kind": "text", "errors": errors})
        case JsonlCorpus(files=files, field=field):
            parameters = {"kind": "jsonl", "field": field}
            return TextCorpus(source.name, expand(files), partial(read_jsonl, field=field), parameters)
        case ParquetCorpus(files=files, column=column):
            parameters = {"kind": "parquet", "column": column, "pyarrow": pyarrow.__version__}
            return TextCorpus(source.name, expand(files), partial(read_parquet, column=column), parameters)
        case _:
            return None
