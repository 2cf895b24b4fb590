"""Asking before something that cannot be taken back."""

from __future__ import annotations

import sys

import typer

from fleet.cli.options import Invocation
from fleet.errors import Usage


def confirmed(invocation: Invocation, question: str) -> None:
    """Return if the user agrees. Raises Usage where nobody can be asked, and when the answer is no."""
    if invocation.yes:
        return
    if not sys.stdin.isatty() or invocation.json:
        raise Usage(
            f"not confirmed: {question}",
            why="there is no terminal to ask on",
            fix="say yes on the command line",
            example="fleet stop lab-a --kill --yes",
        )
    if not typer.confirm(question, err=True):
        raise Usage(
            "nothing was done", why="the answer was no", fix="answer yes, or leave it", example="fleet stop lab-a --yes"
        )
