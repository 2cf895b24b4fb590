"""The hosts that lie on the way to a host, from fleet.json or from OpenSSH's ProxyJump."""

from __future__ import annotations

import re
from dataclasses import replace

from fleet.errors import Usage
from fleet.ssh.configuration import Settings, effective
from fleet.ssh.endpoint import Endpoint

_DEEPEST = 8
_HOP = r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d+))?/?"


def previous(endpoint: Endpoint, settings: Settings) -> Endpoint | None:
    """The last hop before a host, with the hops before that one; None if the host is reached directly."""
    hops = endpoint.jump or tuple(_hop(text, endpoint) for text in settings.jumps)
    return replace(hops[-1], jump=hops[:-1] or hops[-1].jump) if hops else None


def route(endpoint: Endpoint) -> tuple[Endpoint, ...]:
    """All hosts to a host in the order in which they are passed, itself last: each must be trusted.

    Raises Usage if the way goes in a circle.
    """
    way = [endpoint]
    while (hop := previous(way[0], effective(way[0]))) is not None:
        if len(way) == _DEEPEST:
            raise Usage(
                f"the way to {endpoint.name} goes over more than {_DEEPEST} hosts: {way[0].host}, {way[1].host}, ...",
                why="ProxyJump lines of the SSH configuration most likely send each of two hosts over the other",
                fix="exclude the jump host from its own ProxyJump",
                example="Host * !bastion\n  ProxyJump bastion",
            )
        way.insert(0, hop)
    return tuple(way)


def _hop(text: str, endpoint: Endpoint) -> Endpoint:
    """One word of a ProxyJump line, `[user@]host[:port]`; its own settings are asked for like any host's."""
    parts = re.fullmatch(_HOP, text)
    if parts is None:
        raise Usage(
            f"{text!r} is no jump host of {endpoint.name}",
            why="a hop of ProxyJump is [user@]host[:port]",
            fix="correct the ProxyJump line of the SSH configuration",
            example="ProxyJump me@bastion:2222",
        )
    return Endpoint(
        name=text,
        host=parts["v6"] or parts["host"],
        port=None if parts["port"] is None else int(parts["port"]),
        user=parts["user"],
        watchdog=endpoint.watchdog,
        known_hosts=endpoint.known_hosts,
        ssh_config=endpoint.ssh_config,
        trusted_as=endpoint.trusted_as or endpoint.name,
    )
