"""What every test starts from: few threads, fresh shared state of Accelerate, a state folder not the user's."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
import torch
from accelerate.state import AcceleratorState

torch.set_num_threads(1)
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp()
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)


@pytest.fixture(autouse=True)
def _fresh_accelerate() -> Iterator[None]:
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test begins with the same random numbers, in whatever order tests run."""
    torch.manual_seed(0)
