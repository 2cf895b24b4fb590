"""Signing in, once the host has proved who it is: with keys, and with a password only where one may be asked for."""

from __future__ import annotations

import threading

from fleet.errors import AuthenticationFailed, Unreachable
from fleet.ssh.configuration import Settings
from fleet.ssh.deadline import Deadline
from fleet.ssh.endpoint import Endpoint
from fleet.ssh.failures import lost, silence, unreachable
from fleet.ssh.keys import KeyRing
from fleet.ssh.wire import Wire, paramiko

#: Seconds for the answer to one attempt.
LIMIT = 20.0
_REFUSED = "refused"


def sign_in(wire: Wire, endpoint: Endpoint, settings: Settings, ring: KeyRing, deadline: Deadline) -> None:
    """Offer one key after the other, each with its signature at once, until the host takes one. No agent is forwarded.

    Raises AuthenticationFailed, Unreachable, DeadlinePassed.
    """
    tried: list[str] = []
    for offer in ring.offers(settings):
        try:
            key = offer.load()
        except AuthenticationFailed as error:
            tried.append(error.what)
            continue
        reason = _offer_key(wire, endpoint, settings.user, key, deadline)
        if reason is None:
            return
        tried.append(f"{offer.label}: {reason}")
        if not wire.is_active() and not wire.farewell:
            raise lost(endpoint, wire.link.failure, begun=True)
        if reason != _REFUSED:
            break
    if ring.ask_password is not None and wire.is_active():
        password = ring.ask_password(f"Password of {settings.user} on {endpoint.name}: ")
        reason = (
            "none was given" if password is None else _offer_password(wire, endpoint, settings.user, password, deadline)
        )
        if reason is None:
            return
        tried.append(f"password: {reason}")
    raise _failed(endpoint, settings, tried)


def _offer_key(wire: Wire, endpoint: Endpoint, user: str, key: paramiko.PKey, deadline: Deadline) -> str | None:
    """None if the host takes the key, else why not."""
    answered, limit = threading.Event(), deadline.sooner(LIMIT)
    try:
        wire.auth_publickey(user, key, answered)
    except (paramiko.SSHException, EOFError, OSError) as gone:
        raise unreachable(endpoint, f"it went away before signing in: {gone}", "the connection ended") from gone
    if not answered.wait(limit.remaining()):
        raise _unanswered(endpoint, deadline)
    return None if wire.is_authenticated() else _told(wire, wire.get_exception())


def _offer_password(wire: Wire, endpoint: Endpoint, user: str, password: str, deadline: Deadline) -> str | None:
    """None if the host takes the password, asked for by whichever of the two methods it has, else why not."""
    limit = deadline.sooner(LIMIT)
    wire.auth_timeout = limit.remaining()
    try:
        try:
            more = wire.auth_password(user, password, fallback=False)
        except paramiko.BadAuthenticationType as error:
            if "keyboard-interactive" not in error.allowed_types:
                raise
            more = wire.auth_interactive(user, lambda _title, _text, fields: [password for _ in fields])
    except (paramiko.SSHException, EOFError, OSError) as error:
        # The library tells silence as it tells a refusal.
        if wire.is_active() and limit.passed():
            raise _unanswered(endpoint, deadline) from error
        return _told(wire, error)
    return f"taken, but the host also wants {', '.join(more)}" if more else None


def _unanswered(endpoint: Endpoint, deadline: Deadline) -> Unreachable:
    """The error for a host that says nothing to what it was offered. Raises DeadlinePassed if that came first."""
    deadline.check(f"signing in to {endpoint.name}")
    why = "the host is overloaded, what checks users there hangs, or the network between is gone"
    return unreachable(endpoint, f"{silence(LIMIT)} while signing in", why)


def _told(wire: Wire, error: Exception | None) -> str:
    """Why an attempt failed, from what the library kept of it: nothing, if the host just refused."""
    if isinstance(error, paramiko.ssh_exception.PartialAuthentication):
        return f"taken, but the host also wants {', '.join(error.allowed_types)}"
    if isinstance(error, paramiko.BadAuthenticationType):
        return f"the host does not take it, only {', '.join(error.allowed_types)}"
    if not wire.is_active():
        return f"the host ended the connection: {wire.farewell or error}"
    return _REFUSED if error is None or isinstance(error, paramiko.AuthenticationException) else str(error)


def _failed(endpoint: Endpoint, settings: Settings, tried: list[str]) -> AuthenticationFailed:
    if endpoint.identity is not None and not tried:
        tried = [f"identity {path}: it does not exist" for path in settings.identities]
    nothing = "there is no key to offer: no agent answers, and none of the usual identity files exists"
    return AuthenticationFailed(
        f"{endpoint.name} does not let {settings.user} in: {'; '.join(tried) or nothing}",
        why="the host lets in whoever holds a private key that its authorized_keys lists for that user",
        fix="check the user and the identity, or have the public key added on the host",
        example=f"fleet sync-keys {endpoint.name} --ask-password",
        host=endpoint.name,
    )
