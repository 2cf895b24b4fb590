"""`python -m fleet.cli`, where the console script `fleet` is not installed."""

from __future__ import annotations

from fleet.cli.application import main

main()
