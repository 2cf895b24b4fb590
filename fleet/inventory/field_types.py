"""The types of single values in `fleet.json`, each with the words that say what it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints


@dataclass(frozen=True, slots=True)
class Expected:
    """What a type takes, in words, for messages."""

    words: str
    secret: bool = False
    """Whether the value found there may be a secret and is not shown."""


# Control characters have no place in names, paths or addresses, and a leading hyphen would be an option to somebody.
NAME = r"[a-z0-9][a-z0-9-]{0,62}"
_HOST = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}"
_IPV6 = r"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{0,32}(%[A-Za-z0-9_.-]{1,15})?"
_PATH = r"[^\x00-\x1f\x7f]"
Version = Annotated[int, Field(ge=1, le=1), Expected("1, the version that this fleet reads")]
Name = Annotated[
    str,
    StringConstraints(pattern=rf"^{NAME}$"),
    Expected("a name of 1 to 63 letters a-z, digits and -, no - first"),
]
EnvName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$"),
    Expected("a name made of A-Z, 0-9 and _, no digit first"),
]
EnvValue = Annotated[
    str, StringConstraints(pattern=r"^[^\x00]*$"), Expected("text in quotes, without null characters", secret=True)
]
Host = Annotated[
    str,
    StringConstraints(pattern=rf"^({_HOST}|{_IPV6})$"),
    Expected("a host name, an address or an alias of your SSH configuration, without user and port"),
]
User = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@$-]{0,254}$"), Expected("a login name")]
Port = Annotated[int, Field(ge=1, le=65535), Expected("a port from 1 to 65535")]
File = Annotated[str, StringConstraints(pattern=rf"^(~/)?[^~\x00-\x1f\x7f]{_PATH}*$"), Expected("the path of a file")]
HostKey = Annotated[
    str,
    StringConstraints(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$"),
    Expected('"SHA256:" and 43 characters, as ssh-keygen -l prints a key'),
]
Python = Annotated[
    str, StringConstraints(pattern=rf"^(auto|/{_PATH}+)$"), Expected('"auto" or an absolute path of an interpreter')
]
DeployDir = Annotated[
    str,
    StringConstraints(pattern=rf"^(/|~/){_PATH}*[^\x00-\x1f\x7f/]$"),
    Expected('a folder on the host of its own, such as "/data/fleet" or "~/fleet"'),
]
Gpu = Annotated[str, StringConstraints(min_length=1), Expected('"auto" or a profile')]
Index = Annotated[int, Field(ge=0, le=1023), Expected("the index of a GPU, 0 or more")]
Gpus = Annotated[
    Literal["all"] | Annotated[list[Index], Field(min_length=1)], Expected('"all" or a list of indices such as [0, 1]')
]
Role = Annotated[Literal["training", "eval", "spare", "jump"], Expected('"training", "eval", "spare" or "jump"')]
Hop = Annotated[str, StringConstraints(min_length=1), Expected("the name of an instance, or user@host:port")]
Jump = Annotated[list[Hop], Expected('a list such as ["bastion"]')]
Seconds = Annotated[float, Field(gt=0, le=3600), Expected("seconds, more than 0")]
Count = Annotated[int, Field(ge=1, le=10_000_000), Expected("a number from 1 to 10000000")]
Amount = Annotated[float, Field(ge=0, le=10_000_000), Expected("a number from 0 to 10000000")]
Env = Annotated[dict[EnvName, EnvValue], Expected('an object such as {"OMP_NUM_THREADS": "8"}')]
Overrides = Annotated[dict[str, Any], Expected('an object such as {"training.batch": 16}')]
Interface = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,14}$"),
    Expected('"auto" or the name of a network interface'),
]
Members = Annotated[list[Name], Field(min_length=1), Expected('a list of instances such as ["a", "b"]')]
Spares = Annotated[list[Name], Expected('a list of instances such as ["c"]')]
Flag = Annotated[bool, Expected("true or false")]
Kind = Annotated[
    str,
    StringConstraints(pattern=r"^(run|checkpoint|eval|samples|guard|deploy|health)\.[a-z_]+$"),
    Expected('a kind of event such as "run.failed"'),
]
Kinds = Annotated[list[Kind], Field(min_length=1), Expected('a list such as ["run.failed"]')]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$"), Expected("a SHA-256 of 64 digits 0-9a-f")]
