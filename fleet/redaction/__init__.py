"""Removing secrets from whatever is printed, logged, stored or answered: by value, and by the names they stand under.

It exists because one forgotten place is enough to lose a key: every way out of `fleet` goes through a `Redactor`.
"""

from __future__ import annotations

from fleet.redaction.names import is_hidden_name, is_secret_name
from fleet.redaction.redactor import Redactor
from fleet.redaction.stream import Stream

__all__ = ["Redactor", "Stream", "is_hidden_name", "is_secret_name"]
