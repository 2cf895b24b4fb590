"""The form of `fleet.json`, strictly: unknown keys and wrong types are refused, nothing is converted.

These models check and describe a file (`fleet config schema`); what the rest of `fleet` uses are the frozen values of
`fleet.inventory.values`. Importing pydantic takes 60 ms, so this module is imported only for a file not seen before.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from fleet.inventory import field_types


class Strict(BaseModel):
    """An object whose keys are all known and whose values have exactly their types. Absent is not the same as null."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def absent(meaning: str) -> Any:
    """A key that may be left out; what that means is decided when instances are merged with the defaults."""
    return Field(default=None, description=meaning)


class Secrets(Strict):
    """Which secrets runs get, and from which local file."""

    file: field_types.File = absent("local file of NAME=VALUE lines, absolute, below ~/ or beside fleet.json")
    allow: Annotated[list[field_types.EnvName], field_types.Expected('a list of names such as ["HF_TOKEN"]')] = absent(
        "names taken from the file; others are not read"
    )


class Uv(Strict):
    """A binary of uv for hosts that have none."""

    path: field_types.File = Field(description="local file, absolute, below ~/ or beside fleet.json")
    sha256: field_types.Digest = Field(description="what its digest must be")


class Watchdog(Strict):
    """When a connection counts as dead."""

    interval: field_types.Seconds = absent("seconds between pings; 3 when absent")
    limit: field_types.Seconds = absent("seconds without an answer after which the connection is closed; 6 when absent")


class Limits(Strict):
    """Retention and size limits."""

    keep_releases: field_types.Count = absent("releases kept besides those in use; 5 when absent")
    min_free_gib: field_types.Amount = absent("GiB that must stay free on the host; 20 when absent")
    max_upload_mib: field_types.Count = absent("MiB above which a deploy is refused; 500 when absent")


class Defaults(Strict):
    """Settings of every instance that does not have its own."""

    port: field_types.Port = absent("port of the SSH server; from the SSH configuration, else 22")
    user: field_types.User = absent("login; from the SSH configuration, else the local user")
    identity: field_types.File = absent("private key; given means that it is the only one offered")
    jump: field_types.Jump = absent("hosts on the way, in order")
    host_key: field_types.HostKey = absent("pin of the host's key; beats every known-hosts file")
    python: field_types.Python = absent("interpreter on the host to build environments on; `auto` looks for one")
    deploy_dir: field_types.DeployDir = absent("folder of fleet on the host; ~/fleet/<project> when absent")
    env: field_types.Env = absent("environment variables of runs")
    gpu: field_types.Gpu = absent("profile of the host's GPUs; `auto` goes by the product name")
    gpus: field_types.Gpus = absent("devices that runs may use")
    overrides: field_types.Overrides = absent("settings of the trainer on this host, by their paths in the manifest")
    role: field_types.Role = absent("what the host is for; `training` when absent")
    secrets: Secrets = absent("secrets of runs")
    uv: Uv = absent("binary of uv that is sent to hosts without one")
    watchdog: Watchdog = absent("timings of the connection")
    limits: Limits = absent("retention and size limits")


class Instance(Defaults):
    """One host."""

    host: field_types.Host = Field(description="host name, address or alias of your SSH configuration")


class Group(Strict):
    """Instances that train one run together."""

    members: field_types.Members = Field(description="instances; after `master` their order is that of the node ranks")
    master: field_types.Name = absent("the member of node rank 0; the first one when absent")
    master_port: field_types.Port = absent("port of the rendezvous on the master; 29500 when absent")
    lead_port: field_types.Port = absent("port of the lead supervisor on the master; 29501 when absent")
    interface: field_types.Interface = absent("network interface between the nodes; `auto` asks the routes")
    spares: field_types.Spares = absent("instances that may take the place of a failed member")
    shared_storage: field_types.Flag = absent("whether all nodes see the same deploy_dir; false when absent")
    env: field_types.Env = absent("environment variables of the group's runs")
    overrides: field_types.Overrides = absent("settings of the trainer for the group's runs")


class Webhook(Strict):
    """Where events are sent."""

    url_env: field_types.EnvName = Field(description="name of the secret that holds the address")
    kinds: field_types.Kinds = Field(description="kinds of events that are sent")


class Notify(Strict):
    """Who is told of events."""

    webhook: Webhook = absent("an HTTP address")


class Document(Strict):
    """The whole of fleet.json."""

    version: field_types.Version = Field(description="version of this format")
    project: field_types.Name = Field(description="name of the project, which names its folder on hosts")
    defaults: Defaults = absent("settings of every instance that does not have its own")
    instances: dict[field_types.Name, Instance] = Field(description="hosts by name")
    groups: dict[field_types.Name, Group] = absent("groups of instances by name")
    notify: Notify = absent("who is told of events")
