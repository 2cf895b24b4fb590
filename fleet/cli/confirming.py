"""Asking before something that cannot be taken back."""

from __future__ import annotations

import sys

import typer

from fleet.cli.options import Invocation
from fleet.errors import Usage


def confirmed(invocation: Invocation, question: str, example: str) -> None:
    """Return if the user agrees. Raises Usage where nobody can be asked, and when the answer is no.

    `example` is the command line that says yes.
    """
    if invocation.yes:
        return
    if not sys.stdin.isatty() or invocation.json:
        raise Usage(
            f"not confirmed: {question}",
            why="there is no terminal to ask on",
            fix="say yes on the command line",
            example=example,
        )
    if not typer.confirm(question, err=True):
        raise Usage("nothing was done", why="the answer was no", fix="answer yes, or leave it", example=example)
