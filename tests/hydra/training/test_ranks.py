"""What one rank, or one run, owes the others: the whole batch as evidence, an exit code that says who failed."""

from __future__ import annotations

import pytest
import torch

from hydra.errors import PeerLost, UsageError
from hydra.manifest import load
from hydra.training import signals
from hydra.training.assembly import batch_samples
from hydra.training.ending import as_hydra_error
from hydra.training.entry import train_each
from hydra.training.identity import Identity
from hydra.training.options import TrainOptions


def test_several_runs_need_several_run_directories(manifest, tmp_path):
    experiment = load(manifest({"seeds": [1, 2]}))
    supervised = Identity(rank=0, size=1, local_rank=0, local_size=1, run_directory=tmp_path, attempt=1)
    with pytest.raises(UsageError, match="given one run directory"):
        train_each(experiment, TrainOptions(), supervised, signals.Requests())


def test_the_samples_of_a_step_are_those_of_all_ranks(manifest):
    batch = {"training.batch": 8, "training.micro_batch": 2}
    assert batch_samples(load(manifest(batch)).runs[0].manifest, 3).tolist() == list(range(16, 24))


def test_a_failed_collective_is_a_lost_peer_and_other_errors_stay_themselves():
    gloo = RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] Connection reset by peer")
    for error in (gloo, torch.distributed.DistBackendError("NCCL error: remote process exited")):
        assert isinstance(as_hydra_error(error), PeerLost)
    bug = RuntimeError("shapes cannot be multiplied")
    assert as_hydra_error(bug) is bug
