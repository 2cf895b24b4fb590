"""The homes of all kinds a manifest can name: slot -> kind -> `module:class` of its configuration.

A new attention backend, cell, corpus, tokenizer, optimizer or schedule is one folder in its own room and one line
here. The classes are imported by name when a manifest is first read, so this room depends on none of them; each
lives in a `config.py` that imports no torch.
"""

from __future__ import annotations

KINDS: dict[str, dict[str, str]] = {
    "mixer": {
        "softmax": "hydra.attention.backends.softmax.config:SoftmaxConfig",
    },
    "mlp": {
        "swiglu": "hydra.layers.config:MlpConfig",
        "geglu": "hydra.layers.config:MlpConfig",
        "relu_squared": "hydra.layers.config:MlpConfig",
        "gelu": "hydra.layers.config:MlpConfig",
    },
    "norm": {
        "rms_norm": "hydra.layers.config:NormConfig",
        "layer_norm": "hydra.layers.config:NormConfig",
    },
    "corpus": {
        "stdlib": "hydra.data.config:StdlibCorpus",
        "text": "hydra.data.config:TextCorpus",
        "jsonl": "hydra.data.config:JsonlCorpus",
        "parquet": "hydra.data.config:ParquetCorpus",
        "shards": "hydra.data.config:ShardsCorpus",
        "synthetic": "hydra.data.config:SyntheticCorpus",
    },
    "tokenizer": {
        "bytes": "hydra.data.config:BytesTokenizer",
        "bpe": "hydra.data.config:BpeTokenizer",
        "huggingface": "hydra.data.config:HuggingFaceTokenizer",
        "ids": "hydra.data.config:IdsTokenizer",
    },
    "optimizer": {
        "adamw": "hydra.optim.config:AdamWConfig",
    },
    "schedule": {
        "wsd": "hydra.optim.config:WsdSchedule",
        "cosine": "hydra.optim.config:CosineSchedule",
        "linear": "hydra.optim.config:LinearSchedule",
        "constant": "hydra.optim.config:ConstantSchedule",
    },
}

#: Where the model presets live (a table `PRESETS` of model trees), for the same reason by name.
PRESETS = "hydra.model.framework.presets:PRESETS"
