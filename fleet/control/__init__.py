"""The use cases: deploy, set up, train, resume, stop, logs, download, status, doctor, each a typed function.

It composes the rooms below it and is the whole of what the command line can do, so that programs can do it too.
"""

from __future__ import annotations
