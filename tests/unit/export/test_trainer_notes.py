"""What each note says is tested beside the configurations that carry them, in test_trainers.py."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from foretaste.export.settings import Settings, Trainer, WrittenMixture
from foretaste.export.trainer_notes import notes
from foretaste.train.training import Training

MIXED = WrittenMixture(
    Path("/m/train.jsonl"), "token", ("text",), ("task", "text"), {"a": 8, "b": 2}, {"a": 40, "b": 40}
)


@pytest.mark.parametrize("trainer", get_args(Trainer))
def test_a_plain_run_is_described_in_whole_sentences(trainer: Trainer) -> None:
    said = notes(trainer, MIXED, Settings("gpt2", Training(steps=5, warmup=0.0)))
    assert all(note.endswith(".") for note in said)
    assert len(said) == (8 if trainer == "nemo-automodel" else 5)


@pytest.mark.parametrize(
    ("roles", "note"), [(("messages",), "{% generation %}"), (("prompt", "completion"), "A space")]
)
def test_what_nemo_automodel_makes_of_rows_is_said(roles: tuple[str, ...], note: str) -> None:
    lines = notes("nemo-automodel", replace(MIXED, roles=roles), Settings("gpt2", Training(steps=5, weight_decay=0.1)))
    assert note in lines[-1]
    assert not any("Weight decay" in line or "transformers" in line for line in lines)
