"""Hosts for the tests of `fleet`, and the check that these tests leave no run behind."""

from __future__ import annotations

import pytest

from tests.farm.fixtures import farm, namespaces, no_run_left, proxy

__all__ = ["farm", "namespaces", "no_run_left", "proxy"]


@pytest.fixture(scope="session", autouse=True)
def _no_run_left(no_run_left: None) -> None:
    """Every session that has a test here ends with that check."""
