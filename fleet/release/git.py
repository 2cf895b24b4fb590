"""Questions to git. It is run without the variables that hooks set, which would point it at another repository."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from fleet.release.refusals import no_git

_CLEAN: Final = ("env", "-u", "GIT_DIR", "-u", "GIT_WORK_TREE", "-u", "GIT_INDEX_FILE", "-u", "GIT_PREFIX", "git")
#: Status of `env` when the program is not there.
_NOT_FOUND: Final = 127


def git_argv(*arguments: str) -> tuple[str, ...]:
    """The command line for git with these arguments."""
    return (*_CLEAN, *arguments)


def ask(root: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder and return what it said. Raises Usage if there is no git."""
    done = subprocess.run(git_argv(*arguments), cwd=root, input=stdin, capture_output=True, check=False)
    return _checked(root, done)


def begin(root: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start git in a folder; its answer is taken by `finish`."""
    pipe = subprocess.PIPE
    return subprocess.Popen(git_argv(*arguments), cwd=root, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)


def finish(root: Path, running: subprocess.Popen[bytes]) -> subprocess.CompletedProcess[bytes]:
    """The answer of a git that was started. Raises Usage if there is no git."""
    out, err = running.communicate()
    return _checked(root, subprocess.CompletedProcess(running.args, running.returncode, out, err))


def ask_all(root: Path, *questions: tuple[str, ...]) -> list[subprocess.CompletedProcess[bytes]]:
    """Several questions at the same time. Raises Usage if there is no git."""
    running = [begin(root, *arguments) for arguments in questions]
    return [finish(root, one) for one in running]


def words(done: subprocess.CompletedProcess[bytes]) -> str:
    """What git said on stderr, in one line."""
    return " ".join(done.stderr.decode(errors="replace").split())


def _checked(root: Path, done: subprocess.CompletedProcess[bytes]) -> subprocess.CompletedProcess[bytes]:
    if done.returncode == _NOT_FOUND:
        raise no_git(root)
    return done
