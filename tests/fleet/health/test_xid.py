"""Xid errors: the table, whom each concerns, and a log that cannot be read."""

from __future__ import annotations

import time

import pytest

from fleet.health.finding import blocking, worst
from fleet.health.gpus import Gpu
from fleet.health.runs import RunSummary
from fleet.health.sections import Section
from fleet.health.xid import _data, read_xids, rule_of, xid_findings, xid_table
from tests.farm.fakes import dmesg, gpus, nvidia_smi, unreadable_dmesg
from tests.fleet.health.conftest import LIVE_ID

SEED = {
    "failure": {46, 48, 62, 64, 74, 79, 95, 119, 120},
    "warning": {63, 92, 94},
    "application": {13, 31, 43, 45, 68, 109},
}
BY_ACTION = {
    "RESET_GPU": "failure",
    "RESTART_BM": "failure",
    "RESTART_VM": "failure",
    "RESTART_APP": "application",
    "IGNORE": "ignored",
}
CARD = Gpu(0, "GPU-1", "NVIDIA H100", bus="00000000:3B:00.0")


def log(*lines: str) -> Section:
    return Section("xid", (), lines)


def line(code: int, at: float = 1000.0, bus: str = "PCI:0000:3b:00") -> str:
    return f"[{at:12.6f}] NVRM: Xid ({bus}): {code}, pid=4711, name=python, Ch 00000008"


def test_the_table_follows_the_specification_and_then_the_vendor() -> None:
    fixed = {code for codes in SEED.values() for code in codes}
    assert {state: set(codes) for state, codes in _data()["fixed"].items()} == SEED
    for code, rule in xid_table().items():
        if code in fixed:
            assert code in SEED[rule.state], code
        else:
            assert rule.state == BY_ACTION.get(rule.action, "warning"), code
    assert fixed <= set(xid_table())
    assert _data()["source"]["catalogue"] and rule_of(9999).state == "warning"


@pytest.mark.parametrize("code", sorted(SEED["failure"]))
def test_broken_cards_block(code: int) -> None:
    found = list(xid_findings(log(line(code)), [CARD], [], None, 2000.0))
    assert [finding.gpu for finding in blocking(found)] == [0]
    assert "17 min ago" in found[0].evidence and rule_of(code).name in found[0].evidence


@pytest.mark.parametrize("code", sorted(SEED["application"]))
def test_mistakes_of_programs_mark_the_run_and_never_the_host(code: int) -> None:
    now = time.time()
    run = RunSummary(LIVE_ID, "small-lm", "running", "", gpus=("GPU-1",), started=now - 500)
    [before] = xid_findings(log(line(code, at=100)), [CARD], [run], now, 1000.0)
    assert (before.run, before.state) == (None, "healthy"), "the run had not begun"
    [after] = xid_findings(log(line(code, at=900)), [CARD], [run], now, 1000.0)
    assert (after.run, after.state) == (LIVE_ID, "warning")
    assert not blocking([before, after]) and worst([before, after]) == "healthy"
    other = RunSummary("b", "b", "running", "", gpus=("GPU-2",))
    assert [finding.run for finding in xid_findings(log(line(code)), [CARD], [other], now, 2000.0)] == [None]


def test_repeated_errors_are_one_finding() -> None:
    lines = [line(63, at) for at in (10, 20, 30)] + [line(63, 40, "PCI:0000:5e:00")]
    first, second = xid_findings(log(*lines), [CARD], [], None, 100.0)
    assert "3 times since boot" in first.evidence and "70 s ago" in first.evidence
    assert second.gpu is None and "PCI 0000:5e:00" in second.evidence


@pytest.mark.parametrize(
    ("text", "code", "bus"),
    [
        ("NVRM: Xid (0000:03:00): 14, Channel 00000001", 14, "0000:03:00"),
        ("[Mon Jan  6 10:00:02 2025] NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.", 79, "0000:3b:00"),
        ("[    5.100000] NVRM: Xid (PCI:00000008:01:00.0): 119, Timeout", 119, "00000008:01:00"),
        ("kern  :warn  : [ 5.1] NVRM: Xid (PCI:0000:AF:00): 31, pid='<unknown>'", 31, "0000:af:00"),
    ],
)
def test_forms_of_the_line(text: str, code: int, bus: str) -> None:
    [xid] = read_xids(log(text), 10.0)
    assert (xid.code, xid.bus) == (code, bus)


@pytest.mark.parametrize(
    "text", ["", "NVRM: Xid", "NVRM: Xid (PCI:x): 79", "NVRM: loading", "NVRM: Xid (0000:03:00): 7z"]
)
def test_what_is_no_xid(text: str) -> None:
    assert read_xids(log(text), 10.0) == ()


def test_a_log_that_cannot_be_read_is_said_and_blocks_nothing(host, ids) -> None:
    nvidia_smi(host.tools, gpus(1))
    unreadable_dmesg(host.tools)
    report = host.look(detail=True)
    assert ids(report) == {("gpu.xid", "healthy")}
    assert "not readable" in report.health[0].evidence and report.state == "up"


def test_31_and_45_on_the_card_of_a_live_run(host) -> None:
    [device] = gpus(1)
    nvidia_smi(host.tools, [device])
    dmesg(host.tools, [(31, "0000:18:00"), (45, "0000:18:00")])
    host.run("small-lm-20200131-235959-k3qz", locked=True, gpus=(device.uuid,))
    report = host.look(detail=True)
    assert report.state == "up" and not blocking(report.health)
    assert {finding.run for finding in report.health} == {"small-lm-20200131-235959-k3qz"}
