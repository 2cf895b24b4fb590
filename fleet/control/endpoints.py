"""From what fleet.json says of an instance to where its host is."""

from __future__ import annotations

from pathlib import Path

from fleet.inventory import Address, Instance, Inventory
from fleet.ssh import Endpoint, Watchdog


def endpoint(inventory: Inventory, name: str, known_hosts: Path) -> Endpoint:
    """The endpoint of an instance, with the hosts on its way."""
    return _of(inventory, inventory.instances[name], known_hosts)


def _of(inventory: Inventory, instance: Instance, known_hosts: Path) -> Endpoint:
    way = tuple(
        _address(hop, instance.name, known_hosts)
        if isinstance(hop, Address)
        # The way to it is spelled out in the route already.
        else _plain(inventory, hop, known_hosts, ())
        for hop in inventory.route(instance)
    )
    return _plain(inventory, instance, known_hosts, way)


def _plain(inventory: Inventory, instance: Instance, known_hosts: Path, way: tuple[Endpoint, ...]) -> Endpoint:
    return Endpoint(
        name=instance.name,
        host=instance.host,
        port=instance.port,
        user=instance.user,
        identity=None if instance.identity is None else inventory.file(instance.identity),
        jump=way,
        host_key=instance.host_key,
        watchdog=Watchdog(instance.watchdog.interval, instance.watchdog.limit),
        known_hosts=(known_hosts,),
    )


def _address(hop: Address, covered_by: str, known_hosts: Path) -> Endpoint:
    return Endpoint(
        name=f"{hop.user}@{hop.host}",
        host=hop.host,
        port=hop.port,
        user=hop.user,
        known_hosts=(known_hosts,),
        trusted_as=covered_by,
    )
