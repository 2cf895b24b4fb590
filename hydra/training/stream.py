"""The proof of what a run of a comparison was trained on: a digest in its state and, now and then, in its metrics."""

from __future__ import annotations

from torch import Tensor

from hydra.manifest.comparison import EVERY, StreamDigest

#: Name in metrics.jsonl of the digest of all samples and tokens up to a step.
DIGEST = "data.digest"


class Stream:
    """The running digest of what a comparison's run is trained on; saved and restored with the training state."""

    def __init__(self, state: str | None) -> None:
        self._digest = StreamDigest(state)

    @property
    def state(self) -> str:
        """The digest so far."""
        return self._digest.state

    def fold(self, step: int, samples: Tensor, tokens: Tensor, last: bool) -> dict[str, str]:
        """Fold in a step's rows; returns the metrics field of the steps at which digests are compared."""
        self._digest.update(step, samples.contiguous().numpy().data, tokens.contiguous().numpy().data)
        return {DIGEST: self.state} if step % EVERY == 0 or last else {}
