"""The file names of a run directory, in one place because readers and writers live in different programs."""

from __future__ import annotations

from typing import Final

MANIFEST: Final = "manifest.yaml"
MANIFEST_SOURCE: Final = "manifest.source.yaml"
ENVIRONMENT: Final = "environment.json"
CAPABILITIES: Final = "capabilities.json"
STATE: Final = "state.json"
PROGRESS: Final = "progress.json"
METRICS: Final = "metrics.jsonl"
EVENTS: Final = "events.jsonl"
COMPARISON: Final = "comparison.json"
SAMPLES: Final = "samples.jsonl"
TRAIN_LOG: Final = "train.log"
LOCK: Final = "lock"
SUPERVISOR_LOCK: Final = "supervisor.lock"

LOG: Final = "log"
CHECKPOINTS: Final = "checkpoints"
TOKENIZER: Final = "tokenizer"
PROFILES: Final = "profiles"
FLIGHT: Final = "flight"
GUARD: Final = "guard"
CRASH: Final = "crash"
CONTROL: Final = "control"

#: Folders that exist from the start, so that nobody who writes evidence in an emergency has to make one first.
#: `tokenizer` is not among them: its presence says that the run has one.
FOLDERS: Final = (LOG, CHECKPOINTS, PROFILES, FLIGHT, GUARD, CRASH, CONTROL)
