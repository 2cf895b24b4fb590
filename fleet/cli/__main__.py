"""`python -m fleet.cli`, where the console script `fleet` is not installed."""

from __future__ import annotations

from fleet.cli import main

main()
