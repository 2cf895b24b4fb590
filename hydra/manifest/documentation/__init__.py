"""The manifest's documentation, generated from its schema: a page for people and a JSON schema for editors.

It exists because a page written by hand describes last month's keys. The output depends on the code alone.
"""

from __future__ import annotations

from hydra.manifest.documentation.editors import json_schema
from hydra.manifest.documentation.page import markdown

__all__ = ["json_schema", "markdown"]
