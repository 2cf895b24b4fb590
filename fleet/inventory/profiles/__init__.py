"""What is known of GPUs: one row per product in profiles.json, the choice among them, and the settings that follow.

It exists so that a run starts with sensible settings on a host nobody tuned, and says of each one where it is from.
"""

from __future__ import annotations

from fleet.inventory.profiles.choosing import Choice, Device, choose
from fleet.inventory.profiles.in_manifest import Written, keys_in_manifest
from fleet.inventory.profiles.settings import Setting, settings_for
from fleet.inventory.profiles.table import NAMES, PROFILES, Profile, matching

__all__ = [
    "NAMES",
    "PROFILES",
    "Choice",
    "Device",
    "Profile",
    "Setting",
    "Written",
    "choose",
    "keys_in_manifest",
    "matching",
    "settings_for",
]
