"""Looking at the model while it trains: held-out bits per byte, and text that it writes.

The same blocks, fixed rows, and no use of training randomness: a run with evaluations trains the same bits as one
without them.
"""

from __future__ import annotations

from dataclasses import replace

from hydra.data import Batch, Dataset
from hydra.inference import NonFiniteLogits, Sampling, Score, Sums, generate, measure, torch_rows
from hydra.manifest import Manifest
from hydra.model import LanguageModel
from hydra.training.journal import Journal
from hydra.training.world import World


class Evaluator:
    """Scores the held-out rows, shared out over the ranks, and generates the manifest's samples."""

    def __init__(self, model: LanguageModel, dataset: Dataset, manifest: Manifest, world: World) -> None:
        self._model, self._dataset, self._manifest, self._world = model, dataset, manifest, world
        self._rows: Batch | None = None

    def score(self) -> Score | None:
        """Held-out loss and bits per byte over all ranks; None for a run that holds nothing out."""
        if self._manifest.data.held_out == 0:
            return None
        if self._rows is None:
            rows = self._dataset.held_out(self._manifest.evaluation.rows)
            mine = slice(self._world.rank, None, self._world.size)
            self._rows = replace(
                rows,
                tokens=rows.tokens[mine],
                positions=rows.positions[mine],
                documents=rows.documents[mine],
                sources=rows.sources[mine],
                samples=rows.samples[mine],
            )
        sums = measure(
            self._model,
            torch_rows(self._rows, self._manifest.evaluation.batch),
            self._dataset.tokenizer.token_bytes,
            masked=self._manifest.data.document_masks,
        )
        return Score.from_sums(Sums.from_tensor(self._world.sum(sums.tensor())))

    def write_samples(self, step: int, journal: Journal) -> list[str]:
        """Continue the manifest's prompts, record the texts, and return them. Rank 0 alone writes."""
        if not self._world.leads:
            return []
        settings = self._manifest.evaluation.samples
        sampling = Sampling(settings.temperature, settings.top_k, settings.top_p, settings.seed)
        try:
            generations = generate(
                self._model,
                self._dataset.tokenizer,
                settings.prompts,
                tokens=settings.tokens,
                sampling=sampling,
                context=self._manifest.model.context,
            )
        except NonFiniteLogits as error:
            # The guard decides about a model that went bad; looking at it must not end the run first.
            journal.event("samples.generated", level="warning", step=step, data={"count": 0, "reason": error.what})
            return []
        for index, generation in enumerate(generations):
            journal.sample(generation.row(step=step, set="manifest", prompt_id=str(index)))
        journal.event("samples.generated", step=step, data={"count": len(generations)})
        return [generation.prompt + generation.text for generation in generations]
