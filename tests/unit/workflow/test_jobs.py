"""What a job's folder holds and how it is completed is tested as commands, in tests/flows/test_jobs.py."""

from pathlib import Path

import pytest

from checkpoints import Checkpoints, language_recipe, table
from foretaste.errors import DataError, TaskError, WeightsError
from foretaste.loading import load
from foretaste.recipe import read
from foretaste.workflow.ask import pending_runs
from foretaste.workflow.jobs import ask_jobs
from foretaste.workflow.start import start


def test_nothing_is_proposed_before_everything_is_accepted(tmp_path: Path, checkpoints: Checkpoints) -> None:
    file = table(tmp_path / "rows.jsonl", [{"text": f"say {place} words"} for place in range(6)])
    recipe = language_recipe(
        tmp_path / "tiny.yaml", checkpoints.gpt2, "causal-lm", {"a": (file, file), "b": (file, file)}
    )
    plan, text = read(recipe)
    session = start(plan, text, load(plan, text, str(recipe)), tmp_path / "study")
    with session.study:
        for trainer, count, error in (
            ("other", 1, TaskError),
            ("nemo-automodel", 1, DataError),
            ("trl", 0, WeightsError),
        ):
            with pytest.raises(error):
                ask_jobs(session, tmp_path / "mix", trainer, count)
        assert pending_runs(session.study) == []
    assert not (tmp_path / "mix").exists()
