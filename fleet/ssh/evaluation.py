"""What OpenSSH's configuration files say about one host, worked out by ourselves.

With the `ssh` program installed this only decides whether the files say anything at all about a host: usually they do
not, and the program need not be started. Without it, these are the host's settings.
"""

from __future__ import annotations

import glob
from pathlib import Path

from fleet.ssh.configfile import Line, matches, not_understood, read_lines
from fleet.ssh.tokens import account, home

#: The keywords that `fleet` follows. Others are for OpenSSH's own sessions.
USED = frozenset(
    {
        *("hostname", "port", "user", "identityfile", "identitiesonly", "identityagent", "proxyjump", "proxycommand"),
        *("userknownhostsfile", "globalknownhostsfile", "hostkeyalias", "proxyusefdpass", "revokedhostkeys"),
    }
)
#: Their values are lists of files.
SEVERAL_WORDS = frozenset({"userknownhostsfile", "globalknownhostsfile"})
_WAYS = frozenset({"proxyjump", "proxycommand"})
_DEEPEST = 16
SYSTEM = Path("/etc/ssh/ssh_config")


def configuration_files(given: Path | None) -> list[Path]:
    """The files in the order in which they are read: one given instead of all, else the user's and the system's."""
    return [given] if given is not None else [home() / ".ssh" / "config", SYSTEM]


class Evaluation:
    """The settings of one host, filled by reading files."""

    def __init__(self, host: str, values: dict[str, tuple[str, ...]], *, judge: bool) -> None:
        """`judge` says whether to judge `Match` lines; otherwise only their presence is noted."""
        self.host, self._judge = host, judge
        self.values = dict(values)
        """keyword -> words. The first value wins, so what is given here does."""
        self.ask_openssh = False
        """Only OpenSSH itself can tell: there are `Match` lines, or names are to be made canonical."""

    def read(self, path: Path) -> None:
        """Follow one file and what it includes. Raises Usage for lines that cannot be followed."""
        self._follow(path, active=True, depth=0)

    def _follow(self, path: Path, *, active: bool, depth: int) -> None:
        inherited = active
        for line in read_lines(path):
            if line.keyword == "host":
                active = inherited and matches(line.words, self.host)
            elif line.keyword == "match":
                self.ask_openssh = True
                active = inherited and self._judge and self._match(line)
            elif line.keyword == "include":
                for included in _included(line, path):
                    if depth == _DEEPEST:
                        raise not_understood(line.where, "too many files include each other", "files include 16 deep")
                    self._follow(included, active=active, depth=depth + 1)
            elif active:
                self._take(line)

    def _take(self, line: Line) -> None:
        keyword, words = line.keyword, line.words
        if keyword == "canonicalizehostname" and words[:1] != ("no",):
            self.ask_openssh = True
        if keyword not in USED or not words:
            return
        if keyword == "identityfile":
            known = self.values.get(keyword, ())
            self.values[keyword] = known if words[0] in known else (*known, words[0])
        # A jump and a command exclude each other: the first of the two decides.
        elif not (_WAYS if keyword in _WAYS else {keyword}) & self.values.keys():
            self.values[keyword] = words if keyword in SEVERAL_WORDS else words[:1]

    def _match(self, line: Line) -> bool:
        words, fits = list(line.words), True
        while words:
            criterion = words.pop(0).lower()
            negated, criterion = criterion.startswith("!"), criterion.removeprefix("!")
            if criterion == "all":
                hit = True
            elif words and criterion in {"host", "originalhost", "user", "localuser"}:
                hit = matches(words.pop(0).split(","), self._subject(criterion))
            else:
                why = "fleet runs no command to find out how to reach a host, and leaves such criteria to OpenSSH"
                raise not_understood(line.where, f"'Match {criterion}' is not followed without OpenSSH", why)
            fits = fits and hit is not negated
        return fits

    def _subject(self, criterion: str) -> str:
        if criterion == "host":
            return self.values.get("hostname", (self.host,))[0].replace("%h", self.host)
        if criterion == "user":
            return self.values.get("user", (account(),))[0]
        return self.host if criterion == "originalhost" else account()


def _included(line: Line, path: Path) -> list[Path]:
    """The files that an Include line names, in OpenSSH's order: word by word, each sorted."""
    base = SYSTEM.parent if path.is_relative_to(SYSTEM.parent) else home() / ".ssh"
    found = []
    for word in line.words:
        pattern = base / (str(home()) + word[1:] if word.startswith("~/") else word)
        found += [Path(name) for name in sorted(glob.glob(str(pattern)))]
    return found
