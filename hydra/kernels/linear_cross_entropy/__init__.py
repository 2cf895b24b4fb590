"""Cross-entropy of a linear head: from the last hidden states to the loss without a tensor of all logits.

The head's product and the softmax over the vocabulary are the largest tensors of a language model, so they are one op.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from hydra.kernels.linear_cross_entropy import chunked, reference
from hydra.kernels.registry import Candidate, Choice, Facts, select

LinearCrossEntropy = Callable[[Tensor, Tensor, Tensor, float | None], tuple[Tensor, Tensor]]

#: Below this vocabulary the logits of a batch are small, and one product beats many.
SMALL_VOCABULARY = 16384

IMPLEMENTATIONS: dict[str, LinearCrossEntropy] = {
    "chunked": chunked.linear_cross_entropy,
    "reference": reference.linear_cross_entropy,
}


def choose(vocabulary: int, facts: Facts, pins: Mapping[str, str]) -> Choice:
    """The implementation for a head of this vocabulary, chosen once when the model is built.

    On the CPU a small vocabulary takes the reference, which is the faster one there. Raises Unsupported when a pinned
    implementation cannot run.
    """

    def refusal() -> str | None:
        if facts.device == "cpu" and vocabulary <= SMALL_VOCABULARY and "linear_cross_entropy" not in pins:
            return f"vocabulary {vocabulary} <= {SMALL_VOCABULARY}: on the CPU one product is faster than chunks"
        if facts.device == "cuda" and facts.triton is None:
            return "the row step is compiled, which needs Triton, and Triton is not installed"
        return None

    candidates = (
        Candidate("chunked", refusal(), f"vocabulary {vocabulary}, by rows of {chunked.CHUNK_BYTES >> 20} MiB"),
        Candidate("reference", None, f"vocabulary {vocabulary}, all logits at once"),
    )
    return select("linear_cross_entropy", candidates, facts, pins)


__all__ = ["choose", "IMPLEMENTATIONS", "LinearCrossEntropy"]
