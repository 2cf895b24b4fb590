"""The sections of a manifest that have one shape: model, data, training, evaluation, checkpoints and the rest.

Units stand in the descriptions; `docs/manifest.md` is generated from them. `auto` is a word, not a hidden default: it
is resolved once at the start of a run, against the device, and the resolved value is stored with the run.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hydra.manifest.section import Impossible, Kind, Section, Slot

Count = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]

Mixer = Annotated[Kind, Slot("mixer")]
Mlp = Annotated[Kind, Slot("mlp")]
Norm = Annotated[Kind, Slot("norm")]
Corpus = Annotated[Kind, Slot("corpus")]
Tokenizer = Annotated[Kind, Slot("tokenizer")]
Optimizer = Annotated[Kind, Slot("optimizer")]
Schedule = Annotated[Kind, Slot("schedule")]


class Block(Section):
    """One block: `x + mixer(norm(x))`, then `x + mlp(norm(x))`."""

    id: str = Field(description="unique name of the block in reports; inferred when absent: `block.<index>`")
    mixer: Mixer = Field(description="what moves information along time")
    mlp: Mlp = Field(description="feed-forward network")
    norm: Norm = Field(description="norm before the mixer and before the MLP; inferred when absent: `model.norm`")


class Head(Section):
    """Projection of the last hidden state to the vocabulary."""

    tied: bool = Field(default=True, description="whether the head shares the embedding's weight")
    softcap: Positive | None = Field(
        default=None, description="logits become `c tanh(x/c)` (arXiv:2408.00118); `null` for none"
    )


class Model(Section):
    """The network: embedding, blocks, final norm, head."""

    width: Count = Field(description="channels of the residual stream", examples=[512])
    context: Count = Field(description="longest sequence in tokens; inferred when absent: `data.sequence`")
    blocks: tuple[Block, ...] = Field(min_length=1, description="blocks in order; `repeat` writes several at once")
    norm: Norm = Field(description="final norm, and the default of every block; inferred when absent: `rms_norm`")
    embedding_norm: bool = Field(default=False, description="whether the embedding's output is normalised as well")
    head: Head = Field(default=Head(), description="projection to the vocabulary")
    init_std: Positive = Field(default=0.02, description="standard deviation of the initial weights")


class Source(Section):
    """One corpus of a weighted mix."""

    name: Name = Field(description="name of the source in metrics and events", examples=["code"])
    weight: Positive = Field(default=1.0, description="share of rows, relative to the other sources")
    corpus: Corpus = Field(description="where the documents come from")


class Data(Section):
    """What is read, how it is packed into rows, and what is held out."""

    sources: tuple[Source, ...] = Field(
        min_length=1, description="corpora and their weights; `data.corpus` is short for a single one"
    )
    sequence: Count = Field(description="target tokens per row (T); a row holds T+1 tokens", examples=[1024])
    held_out: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.02,
        description="share of documents kept for evaluation, chosen by content hash; 0: none, and nothing is evaluated",
    )
    packing: Literal["concat", "bestfit", "pad"] = Field(
        default="concat",
        description="`concat` loses no token, `bestfit` splits no document that fits, `pad` is one document a row",
    )
    document_masks: bool = Field(
        default=True, description="whether attention and positions stop at document boundaries"
    )
    tokenizer_artifacts: str = Field(
        default="artifacts/tokenizers", description="folder of built tokenizers, by content hash"
    )
    token_artifacts: str = Field(default="artifacts/tokens", description="folder of built token files, by content hash")
    prefetch: Count = Field(default=4, description="batches prepared ahead of the step that needs them")

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise Impossible(
                f"data.sources: names must differ, got {', '.join(names)}",
                fix="give each source a name of its own",
                example="data: {sources: [{name: code, corpus: {kind: stdlib}}]}",
            )
        return self


class Training(Section):
    """How long, how large a batch, on what, and how exact."""

    steps: Count = Field(description="optimizer steps", examples=[400])
    batch: Count = Field(description="rows per optimizer step over all ranks and micro-batches", examples=[16])
    micro_batch: Count = Field(
        description="rows per forward pass on one rank; inferred when absent: `batch`, which suits one process"
    )
    clip: Positive | None = Field(default=1.0, description="global gradient norm limit; `null` only measures")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="`auto`: CUDA where there is a GPU")
    determinism: Literal["auto", "exact", "fast"] = Field(
        default="auto", description="`exact`: a resume equals the unbroken run in every bit; `auto`: exact on the CPU"
    )
    threads: Count | Literal["auto"] = Field(default="auto", description="CPU threads of torch; `auto`: physical cores")
    compile: Literal["auto", "blocks", "none"] = Field(
        default="auto", description="torch.compile per kind of block, or nothing; `auto`: blocks on CUDA"
    )
    activation_checkpointing: Literal["none", "selective", "full"] = Field(
        default="none", description="what the backward pass recomputes instead of keeping"
    )
    nonfinite_in_a_row: Count = Field(default=5, description="skipped steps in a row after which the run stops")
    nonfinite_in_1000: Count = Field(default=20, description="skipped steps in any 1,000 after which the run stops")
    log_every: Count = Field(default=10, description="steps between lines on a plain terminal")


class Parallel(Section):
    """How ranks share the work."""

    data: Count | Literal["auto"] = Field(
        default="auto", description="data-parallel ranks; `auto`: all that were launched; a number must equal them"
    )
    bucket_mb: Positive = Field(default=25.0, description="gradient bucket size of the all-reduce in MiB")


class Precision(Section):
    """Number formats. Weights, gradients' sums and optimizer state are fp32 always."""

    compute: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="activations and matrix products; `auto`: bf16 on CUDA, fp32 on the CPU"
    )
    tf32: bool = Field(default=False, description="whether fp32 matrix products on CUDA may use TF32")


class Kernels(Section):
    """Which implementations of ops are acceptable, and which are named explicitly."""

    accept: tuple[Literal["verified", "emulated", "untested"], ...] = Field(
        default=("verified",), description="statuses a chosen implementation may have"
    )
    ledger: str = Field(
        default="artifacts/kernels.json", description="file of self-checks that passed, so that a restart skips them"
    )
    pin: dict[str, str] = Field(default={}, description="op -> implementation, instead of the registry's choice")


class Samples(Section):
    """Text generated while training, to be looked at."""

    every: Natural = Field(default=0, description="steps between samples; 0: only at the end")
    prompts: tuple[str, ...] = Field(default=("",), description="prompts; an empty one starts a fresh document")
    tokens: Count = Field(default=128, description="new tokens per sample")
    temperature: Annotated[float, Field(ge=0)] = Field(default=0.8, description="0 takes the most likely token")
    top_k: Natural = Field(default=40, description="candidates kept; 0: all")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(default=1.0, description="probability mass kept")
    seed: int = Field(default=0, description="seed of the sampling")


class Evaluation(Section):
    """Held-out loss in bits per byte, on rows fixed before the run."""

    every: Natural = Field(default=200, description="steps between evaluations; 0: only at start and end")
    rows: Count = Field(default=64, description="held-out rows at most")
    batch: Count = Field(default=8, description="rows per forward pass")
    samples: Samples = Field(default=Samples(), description="text generated at the same time")


class Checkpoint(Section):
    """When checkpoints are written and which are kept."""

    every: Natural = Field(default=200, description="steps between checkpoints; 0: only at the end and when asked")
    keep_last: Count = Field(default=3, description="newest checkpoints kept")
    keep_every: Natural = Field(default=0, description="checkpoints at multiples of this step are kept; 0: none")
    keep_best: Natural = Field(default=2, description="checkpoints kept for their bits per byte")
    asynchronous: bool = Field(default=True, description="written by another process while training goes on")
    read_back: bool = Field(default=False, description="whether files are read again and compared after writing")


class Wandb(Section):
    """Weights & Biases."""

    project: Annotated[str, Field(min_length=1)] = Field(description="project name", examples=["hydra"])
    entity: str | None = Field(default=None, description="team or user; `null`: the account's default")
    mode: Literal["online", "offline"] = Field(default="online", description="`offline` needs no key and no network")
    tags: tuple[str, ...] = Field(default=(), description="tags of the run")


class Tracking(Section):
    """Where metrics go besides metrics.jsonl."""

    wandb: Wandb | None = Field(default=None, description="Weights & Biases; `null`: not used")
    tensorboard: bool = Field(default=False, description="TensorBoard files under the run (extra `tensorboard`)")


class Runs(Section):
    """Where runs are stored, and the arms of a comparison."""

    directory: str = Field(default="runs", description="folder of the run directories")
    arms: dict[Name, dict[str, object]] = Field(
        default={}, description="arm name -> changes to this manifest; each arm becomes a run"
    )
    arm: Name | None = Field(
        default=None, description="which arm this run is; filled in when arms are written out, `null` without arms"
    )


class Tolerance(Section):
    """How far arms may differ in size."""

    params: Annotated[float, Field(ge=0)] = Field(default=0.01, description="relative difference in parameters")
    flops: Annotated[float, Field(ge=0)] = Field(default=0.02, description="relative difference in FLOPs per token")


class Tuned(Section):
    """An equal search per arm over optimizer settings, which may then differ."""

    space: dict[str, Annotated[tuple[float, ...], Field(min_length=1)]] = Field(
        min_length=1,
        description="dotted path of an optimizer setting -> values tried, for every arm",
        examples=[{"optimizer.0.lr": [1e-3, 3e-3]}],
    )
    budget: Count = Field(description="trials per arm, equal for all")


class Comparison(Section):
    """A comparison of arms under equal conditions; the first arm named is the baseline."""

    apples_to_apples: bool = Field(description="true makes every unfair difference an error", examples=[True])
    arms: tuple[Name, ...] = Field(
        min_length=2, description="names out of `runs.arms`, the baseline first", examples=[["base", "wide"]]
    )
    varies: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        min_length=1,
        description="dotted paths of the model at which, and below which, arms may differ; `*` is any one part",
        examples=[["model.blocks"]],
    )
    seeds: tuple[Natural, ...] = Field(
        min_length=1,
        description="seeds that every arm is run with; inferred when absent: `seeds`",
        examples=[[11, 12, 13]],
    )
    tolerance: Tolerance = Field(default=Tolerance(), description="allowed differences in size")
    tuned: Tuned | None = Field(default=None, description="equal tuning of all arms; `null`: none")

    @model_validator(mode="after")
    def _differ(self) -> Self:
        for key, values in (("arms", self.arms), ("seeds", self.seeds)):
            if len(set(values)) != len(values):
                raise Impossible(
                    f"comparison.{key} names one twice: {', '.join(map(str, values))}",
                    fix="name each of them once",
                    example="arms: [base, wide]",
                )
        return self
