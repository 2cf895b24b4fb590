"""The backends by kind: where a manifest's `mixer.kind` becomes a module.

A new backend is one folder under `backends/`, one line in the manifest's registrations and one here.
"""

from __future__ import annotations

from hydra.attention.backends.softmax.module import SoftmaxAttention
from hydra.attention.contract import AttentionBackend, MixerSpec

BACKENDS: dict[str, type[SoftmaxAttention]] = {"softmax": SoftmaxAttention}


def backend(spec: MixerSpec) -> AttentionBackend:
    """The mixer a spec describes, with its implementations chosen.

    Raises Unsupported when no implementation of it can run on the device of `spec.facts`.
    """
    return BACKENDS[spec.config.kind](spec)
