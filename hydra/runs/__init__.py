"""The run directory: paths, state, metrics, events, lock and requests of one run, without torch.

It is the only interface between trainer, supervisor, fleet and dashboard, so all that they share about a run is here.
"""

from __future__ import annotations

from hydra.runs.atomic import (
    read_json,
    read_yaml,
    remove_leftovers,
    sync_directory,
    write_bytes,
    write_json,
    write_text,
    write_yaml,
)
from hydra.runs.attempts import last_attempt, write_manifest
from hydra.runs.control import ControlPoller, Rejected, Request, RequestKind, request
from hydra.runs.encoding import decode, encode, encode_document
from hydra.runs.events import (
    Event,
    EventKind,
    EventLog,
    EventWriter,
    Level,
    final_record,
    last_resume,
    read_events,
    resume_steps,
)
from hydra.runs.failures import RunWriteError, write_failed
from hydra.runs.fields import METRIC_UNITS, MetricRow
from hydra.runs.following import JsonReader, LineReader, last_lines
from hydra.runs.identifier import RunId, run_name
from hydra.runs.identity import ProcessIdentity, boot_id, is_alive, machine_id, process_identity
from hydra.runs.layout import RunDirectory
from hydra.runs.lines import LineWriter
from hydra.runs.listing import RunRow, list_runs, run_row
from hydra.runs.lock import LockHolder, LockStatus, RunLock, lock_status
from hydra.runs.metrics import Metrics, MetricsWriter, read_metrics
from hydra.runs.observed import Observed, observed_state
from hydra.runs.progress import Heartbeat, Phase, Progress, read_progress
from hydra.runs.samples import SampleRow, SampleWriter, read_samples
from hydra.runs.state import (
    LIVE,
    TERMINAL,
    Culprit,
    Exit,
    LifeCycle,
    State,
    StateFile,
    VerifiedCheckpoint,
    read_state,
)
from hydra.runs.textlog import RunLogHandler, escape

__all__ = [
    "LIVE",
    "METRIC_UNITS",
    "TERMINAL",
    "ControlPoller",
    "Culprit",
    "Event",
    "EventKind",
    "EventLog",
    "EventWriter",
    "Exit",
    "Heartbeat",
    "JsonReader",
    "Level",
    "LifeCycle",
    "LineReader",
    "LineWriter",
    "LockHolder",
    "LockStatus",
    "MetricRow",
    "Metrics",
    "MetricsWriter",
    "Observed",
    "Phase",
    "ProcessIdentity",
    "Progress",
    "Rejected",
    "Request",
    "RequestKind",
    "RunDirectory",
    "RunId",
    "RunLock",
    "RunLogHandler",
    "RunRow",
    "RunWriteError",
    "SampleRow",
    "SampleWriter",
    "State",
    "StateFile",
    "VerifiedCheckpoint",
    "boot_id",
    "decode",
    "encode",
    "encode_document",
    "escape",
    "final_record",
    "is_alive",
    "last_attempt",
    "last_lines",
    "list_runs",
    "lock_status",
    "machine_id",
    "observed_state",
    "process_identity",
    "read_events",
    "read_json",
    "read_metrics",
    "read_progress",
    "read_samples",
    "read_state",
    "read_yaml",
    "remove_leftovers",
    "request",
    "last_resume",
    "resume_steps",
    "run_name",
    "run_row",
    "sync_directory",
    "write_bytes",
    "write_failed",
    "write_json",
    "write_manifest",
    "write_text",
    "write_yaml",
]
