"""`fleet trust` with a print that was announced: it is compared whatever is known of the host."""

from __future__ import annotations

from tests.fleet.cli.site import Site


def test_a_known_key_has_to_be_the_announced_one(site: Site) -> None:
    other, own = site.farm.hosts[0].host_key, site.farm.hosts[1].host_key
    refused = site.fleet("trust", "h1", "--fingerprint", other, "--yes", expect=4)
    assert other in refused.err and own in refused.err
    assert site.fleet("trust", "h1", "--fingerprint", own, "--yes").out.endswith("known\n")
