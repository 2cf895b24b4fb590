"""`python -m hydra.manifest.documentation > docs/manifest.md`; with `--json`, the schema for editors."""

from __future__ import annotations

import json
import sys

from hydra.manifest.documentation import json_schema, markdown

sys.stdout.write(f"{json.dumps(json_schema(), indent=2)}\n" if "--json" in sys.argv[1:] else markdown())
