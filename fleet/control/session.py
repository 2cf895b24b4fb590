"""One use of a fleet: its inventory, its connections, its records. Every use case works on one of these."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeAlias, TypeVar

from fleet.control.endpoints import endpoint
from fleet.control.known_secrets import known_secrets
from fleet.control.report import Report
from fleet.errors import FleetError, Usage
from fleet.inventory import Instance, Inventory, Purpose, Targets, find, load, resolve
from fleet.redaction import Redactor
from fleet.ssh import Cmd, Deadline, Endpoint, Pool, Transport, fan_out, retried
from fleet.workspace import AuditRecord, LogCache, Workspace

if TYPE_CHECKING:
    from fleet.agent import Agent
    from fleet.ssh.trust import Presented

T = TypeVar("T")
#: Seconds to write one line into the audit log of a host.
_AUDIT: Final = 20.0
#: Seconds to open a connection ahead of its use.
_CONNECT: Final = 60.0
#: Asks the user for the password of a host; None when nobody can be asked.
AskPassword: TypeAlias = Callable[[str], str | None]


class Session:
    """Connections are opened when they are first needed and closed with the session."""

    def __init__(
        self,
        inventory: Inventory,
        *,
        jobs: int = 32,
        timeout: float | None = None,
        argv: Sequence[str] = (),
        ask_password: AskPassword | None = None,
        redactor: Redactor | None = None,
        rehearsal: bool = False,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`timeout` limits the whole session in seconds; `argv` is what the audit log says was asked.

        Passwords of hosts are used only if `ask_password` is given. `redactor` learns the secrets of this fleet. In a
        `rehearsal` hosts are asked, and nothing is left on them, not even what asks them. `tell` hears once of each
        thing that is slower than it could be.
        """
        self.inventory, self.jobs = inventory, jobs
        self.root: Path = inventory.path.parent
        self.workspace = Workspace.beside(inventory.path)
        self.redactor = redactor or Redactor()
        self._rehearsal, self._tell = rehearsal, tell
        self._told: set[str] = set()
        self.learn(known_secrets(inventory))
        self._argv = tuple(argv)
        self._limit = None if timeout is None else Deadline.after(timeout)
        known_hosts = self.workspace.known_hosts
        self.endpoints = {name: endpoint(inventory, name, known_hosts) for name in inventory.instances}
        self._pool = Pool(self.endpoints, ask_password=ask_password)

    @classmethod
    def open(
        cls,
        config: Path | None = None,
        *,
        start: Path | None = None,
        jobs: int = 32,
        timeout: float | None = None,
        argv: Sequence[str] = (),
        ask_password: AskPassword | None = None,
        redactor: Redactor | None = None,
        rehearsal: bool = False,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Self:
        """The session of a fleet.json: `config`, or the nearest one at `start` (the working folder) or above."""
        path = find(start or Path.cwd(), config)
        inventory = load(path, Workspace.beside(path).cache)
        return cls(
            inventory,
            jobs=jobs,
            timeout=timeout,
            argv=argv,
            ask_password=ask_password,
            redactor=redactor,
            rehearsal=rehearsal,
            tell=tell,
        )

    def instance(self, name: str) -> Instance:
        """What fleet.json says of an instance."""
        return self.inventory.instances[name]

    def python(self, name: str) -> str:
        """The interpreter that runs our own programs on a host."""
        python = self.instance(name).python
        return "python3" if python == "auto" else python

    def targets(self, text: str | None, *, purpose: Purpose, everything: bool = False) -> Targets:
        """What a command line names. Raises Usage, listing what there is."""
        return resolve(self.inventory, text, purpose=purpose, all=everything)

    def names(self, text: str | None, *, everything: bool = False, purpose: Purpose = "look") -> tuple[str, ...]:
        """The hosts that a command line names, where a group means its members."""
        return tuple(one.name for one in self.targets(text, purpose=purpose, everything=everything).instances)

    def secret_files(self) -> frozenset[str]:
        """Files of secrets, as fleet.json writes them: they are never deployed, whoever tracks them."""
        return frozenset(one.secrets.file for one in self.inventory.instances.values() if one.secrets is not None)

    def learn(self, secrets: Iterable[str]) -> None:
        """Values that must not appear in anything written from now on."""
        self.redactor.add(secrets)

    @cached_property
    def logs(self) -> LogCache:
        """What was followed of logs."""
        return self.workspace.logs()

    def deadline(self, seconds: float) -> Deadline:
        """The end of so many seconds, or of the session's own limit if that comes first."""
        return Deadline.after(seconds) if self._limit is None else self._limit.sooner(seconds)

    def transport(self, name: str, deadline: Deadline) -> Transport:
        """The connection to a host, opened at most once and again after a cut. Raises what opening it can raise."""
        return self._pool.get(name, deadline)

    def connect(self, names: Sequence[str]) -> None:
        """Begin to open connections in the background, while something else is done on this side.

        What goes wrong is told when the connection is used.
        """
        for name in names[: self.jobs]:
            threading.Thread(target=self._connect, args=(name,), name=f"connect {name}", daemon=True).start()

    def _connect(self, name: str) -> None:
        with contextlib.suppress(FleetError):
            self._pool.get(name, self.deadline(_CONNECT))

    def presented(self, endpoint: Endpoint, deadline: Deadline) -> Presented:
        """The key that a host shows; nothing is said about the user."""
        return self._pool.presented(endpoint, deadline)

    def enter(self, name: str, cmd: Cmd | None) -> int:
        """Give the user a shell on a host, or run one command with their own terminal; its status."""
        from fleet.ssh.terminal import enter

        return enter(self._pool, self.endpoints[name], cmd, self.deadline(_CONNECT))

    def agent(self, name: str, deadline: Deadline) -> Agent:
        """The agent of a host."""
        # Imported late: a deploy needs none.
        from fleet.agent import Agent

        transport, instance = self.transport(name, deadline), self.instance(name)
        keep = not self._rehearsal
        return Agent(transport, instance.deploy_dir, self.python(name), keep=keep, tell=self._tell_once)

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._tell(text)

    def each(
        self,
        names: Sequence[str],
        job: Callable[[str, Deadline], T],
        seconds: float,
        *,
        repeat: bool = False,
        together: bool = False,
    ) -> Report[T]:
        """Do the same on several hosts at once. Every host gets a row or an error, in the order of the names.

        With `repeat` a job whose connection was lost begins again: for those that change nothing, or the same again.
        With `together` all begin at once, however many: for jobs that wait for each other.
        """
        deadline = self.deadline(seconds)
        rows: dict[str, T] = {}
        errors: dict[str, FleetError] = {}

        def work(name: str) -> T:
            if not repeat:
                return job(name, deadline)
            return retried(lambda: job(name, deadline), deadline=deadline)

        jobs = max(1, len(names)) if together else self.jobs
        for outcome in fan_out(names, work, jobs=jobs, deadline=deadline):
            if outcome.error is not None:
                errors[outcome.name] = outcome.error.on(outcome.name)
            else:
                rows[outcome.name] = outcome.value  # type: ignore[assignment]
        return Report(
            {name: rows[name] for name in names if name in rows},
            tuple(errors[name] for name in names if name in errors),
        )

    def note(self, action: str, targets: Sequence[str], result: str, plan: object) -> bytes:
        """The line of `record` for the audit log of a host, for a script that writes it there itself."""
        return self._audit_record(action, targets, result, plan, ()).line()

    def _audit_record(
        self, action: str, targets: Sequence[str], result: str, plan: object, hide: Collection[str]
    ) -> AuditRecord:
        digest = "" if plan is None else hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()
        argv = [_masked(text, hide, self.redactor.mask) for text in self._argv]
        return AuditRecord.of(
            action, argv=argv, targets=targets, result=result, redactor=self.redactor, plan_digest=digest
        )

    def record(
        self,
        action: str,
        targets: Sequence[str],
        result: str,
        *,
        on_hosts: Sequence[str] = (),
        plan: object = None,
        hide: Collection[str] = (),
    ) -> tuple[str, ...]:
        """Write down what was changed and how it ended: here, and in the audit log of each of `on_hosts`.

        `plan` is plain data that says what was carried out; its digest is kept. `hide` are values of variables in the
        command line that are not written. Returns a warning for each place that could not keep the record, this one
        included: what was done is done, and has to be told.
        """
        record = self._audit_record(action, targets, result, plan, hide)
        here: tuple[str, ...] = ()
        try:
            self.workspace.audit(record)
        except Usage as error:
            here = (error.what,)
        line = record.line()

        def on_host(name: str, deadline: Deadline) -> bool:
            cmd = Cmd.script("audit-append.sh", self.instance(name).deploy_dir)
            return self.transport(name, deadline).exec(cmd, stdin=line, deadline=deadline).ok

        report = self.each(on_hosts, on_host, _AUDIT)
        refused = [name for name, kept in report.rows.items() if not kept]
        lost = [f"{error.host}: its audit log was not written: {error.what}" for error in report.errors]
        return (*here, *lost, *(f"{name}: its audit log cannot be written" for name in refused))

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _masked(text: str, values: Iterable[str], mask: str) -> str:
    """An argument without the value after its `=`, if that is one of these."""
    found = next((value for value in values if text.endswith(f"={value}")), None)
    return text if found is None else text[: len(text) - len(found)] + mask
