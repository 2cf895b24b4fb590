"""The root of the schema: one explicit run."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hydra.manifest.section import Impossible, Section
from hydra.manifest.sections import (
    Checkpoint,
    Comparison,
    Data,
    Evaluation,
    Kernels,
    Model,
    Name,
    Natural,
    Optimizer,
    Parallel,
    Precision,
    Runs,
    Schedule,
    Tokenizer,
    Tracking,
    Training,
)

SCHEMA_VERSION = 1


class Manifest(Section):
    """Everything that decides what a run does. After lowering it holds one seed and no variables, repeats or arms."""

    schema_version: Literal[1] = Field(alias="schema", description="version of this format")
    name: Name = Field(description="short name; run ids begin with it", examples=["small-lm"])
    notes: str = Field(default="", description="free text for people; not part of the experiment's identity")
    vars: dict[str, str | int | float | bool] = Field(
        default={}, description='values for `"${name}"` elsewhere in the file; substituted when lowered'
    )
    seeds: Annotated[tuple[Natural, ...], Field(min_length=1)] = Field(
        default=(1,), description="one run per seed; a single one may be written without the list"
    )
    data: Data = Field(description="corpora and packing")
    tokenizer: Tokenizer = Field(description="how text becomes ids")
    model: Model = Field(description="the network, or `preset: NAME` with changes to it")
    optimizer: tuple[Optimizer, ...] = Field(
        min_length=1, description="rules in order; a single rule may be written without the list"
    )
    schedule: Schedule = Field(description="learning rate over steps, as a factor on each rule's `lr`")
    training: Training = Field(description="length, batch, device, exactness")
    parallel: Parallel = Field(default=Parallel(), description="how ranks share the work")
    precision: Precision = Field(default=Precision(), description="number formats")
    kernels: Kernels = Field(default=Kernels(), description="choice of implementations")
    evaluation: Evaluation = Field(default=Evaluation(), description="held-out loss and samples")
    checkpoint: Checkpoint = Field(default=Checkpoint(), description="when to save and what to keep")
    tracking: Tracking = Field(default=Tracking(), description="metric sinks besides JSONL")
    comparison: Comparison | None = Field(default=None, description="fair comparison of arms; `null`: none")
    runs: Runs = Field(default=Runs(), description="run directories and arms")

    @property
    def seed(self) -> int:
        """The seed of this run; a lowered manifest has exactly one."""
        assert len(self.seeds) == 1, "only a lowered manifest has one seed"
        return self.seeds[0]

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        identifiers = [block.id for block in self.model.blocks]
        if len(set(identifiers)) != len(identifiers):
            twice = next(name for name in identifiers if identifiers.count(name) > 1)
            raise Impossible(
                f"model.blocks has two blocks with the id {twice!r}",
                fix="give each block its own id, or leave them out",
                example="id: first",
            )
        if self.model.context < self.data.sequence:
            raise Impossible(
                f"model.context={self.model.context} is shorter than data.sequence={self.data.sequence}: "
                "rows would not fit the positions the model knows",
                fix="raise model.context, leave it out, or lower data.sequence",
                example=f"data: {{sequence: {self.model.context}}}",
            )
        return self

    @model_validator(mode="after")
    def _steps(self) -> Self:
        training = self.training
        if training.batch % training.micro_batch:
            raise Impossible(
                f"training.micro_batch={training.micro_batch} does not divide training.batch={training.batch}",
                fix="choose a divisor of the batch, or leave micro_batch out",
                example="training: {steps: 400, batch: 16, micro_batch: 4}",
            )
        warmup = getattr(self.schedule, "warmup_steps", 0)
        if warmup > training.steps:
            raise Impossible(
                f"schedule.warmup_steps={warmup} exceeds training.steps={training.steps}",
                fix="shorten the warm-up or train longer",
                example=f"schedule: {{kind: wsd, warmup_steps: {training.steps // 10}}}",
            )
        return self

    @model_validator(mode="after")
    def _place_in_comparison(self) -> Self:
        if self.comparison is None:
            return self
        if self.runs.arm is None:
            raise Impossible(
                "comparison is given, and runs.arms defines no arms to compare",
                fix="define the arms it names under runs.arms, or remove the comparison",
                example="runs: {arms: {base: {}, wide: {model: {width: 512}}}}",
            )
        absent = sorted(set(self.seeds) - set(self.comparison.seeds))
        if absent:
            raise Impossible(
                f"seeds has {absent[0]}, and comparison.seeds={list(self.comparison.seeds)} does not",
                fix="leave comparison.seeds out; it is filled from seeds",
                example="seeds: [11, 12, 13]",
            )
        return self
