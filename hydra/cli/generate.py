"""`hydra generate`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hydra.cli.open_run import open_model
from hydra.cli.options import RUNS, DeviceOption, DirectoryOption, JsonOption, RunArgument, StepOption
from hydra.cli.output import remark, shown, write_json
from hydra.errors import UsageError
from hydra.inference import Generation, Sampling, generate
from hydra.runs import RunDirectory


def command(
    run: RunArgument,
    prompts: Annotated[
        list[str] | None,
        typer.Option("--prompt", metavar="TEXT", help="Text to continue; several are continued in turn."),
    ] = None,
    files: Annotated[
        list[Path] | None, typer.Option("--file", metavar="F", help="A file whose text is a prompt, after the others.")
    ] = None,
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="New tokens for each prompt, at most.")] = 128,
    temperature: Annotated[float, typer.Option("--temperature", help="0 takes the most likely token.")] = 0.8,
    top_k: Annotated[int, typer.Option("--top-k", help="Candidates kept; 0: all.")] = 40,
    top_p: Annotated[float, typer.Option("--top-p", help="Probability mass kept; 1: all.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same text.")] = 0,
    stops: Annotated[
        list[str] | None, typer.Option("--stop", metavar="TEXT", help="Text before which a continuation ends.")
    ] = None,
    step: StepOption = None,
    device: DeviceOption = "auto",
    directory: DirectoryOption = RUNS,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Keep keys and values of earlier tokens.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Continue prompts with a trained model.

    Text appears as it is written. Without a prompt the model writes a document of its own. Settings that are not given
    are those above, not those of the run's samples.
    """
    found = RunDirectory.find(directory, run)
    sampling = Sampling(temperature, top_k, top_p, seed)
    wanted = [*(prompts or ()), *(_read(path) for path in files or ())] or [""]
    opened = open_model(found, step, device)
    printer = _Printer(wanted, quiet=as_json)
    results = generate(
        opened.model,
        opened.tokenizer,
        wanted,
        tokens=tokens,
        sampling=sampling,
        context=opened.manifest.model.context,
        stops=stops or (),
        on_token=printer.piece,
        cache=cache,
    )
    if as_json:
        write_json({"run": found.id, "step": opened.step, "generations": [_record(result) for result in results]})
        return
    printer.end()
    for result in results:
        ended = f"{result.tokens} tokens, ended by {result.ended}{', repeats itself' if result.repetitive else ''}"
        remark(f"[{found.id}, step {opened.step}, prompt {result.index}: {ended}]")


class _Printer:
    """Shows pieces of text as they come, each prompt before its continuation."""

    def __init__(self, prompts: list[str], *, quiet: bool) -> None:
        self._prompts, self._quiet, self._begun = prompts, quiet, 0
        self._terminal = sys.stdout.isatty()

    def piece(self, index: int, text: str) -> None:
        """The next piece of the continuation of a prompt."""
        self._begin(index + 1)
        self._put(text)

    def end(self) -> None:
        """Begin what nothing was written for, and end the last line."""
        self._begin(len(self._prompts))
        self._put("\n")

    def _begin(self, count: int) -> None:
        for prompt in self._prompts[self._begun : count]:
            self._put(f"\n\n{prompt}" if self._begun else prompt)
            self._begun += 1

    def _put(self, text: str) -> None:
        if not self._quiet:
            # A model may write escape sequences, and a terminal would obey them.
            typer.echo(shown(text) if self._terminal else text, nl=False)
            sys.stdout.flush()


def _record(result: Generation) -> dict[str, object]:
    return {**asdict(result), "tokens": result.tokens}


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read the prompt {path}: {error}",
            why="a prompt is a text file in UTF-8",
            fix="check the path and the encoding of the file",
            example="hydra generate RUN --file notes.txt",
        ) from error
