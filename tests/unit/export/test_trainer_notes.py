"""What each note says is tested beside the configurations that carry them, in test_trainers.py."""

from pathlib import Path

import pytest

from foretaste.export.settings import Settings, Trainer, WrittenMixture
from foretaste.export.trainer_notes import notes
from foretaste.train.training import Training

MIXED = WrittenMixture(
    Path("/m/train.jsonl"), "token", ("text",), ("task", "text"), {"a": 8, "b": 2}, {"a": 40, "b": 40}
)


@pytest.mark.parametrize("trainer", ["trl", "axolotl", "llama-factory"])
def test_a_plain_run_is_described_in_whole_sentences(trainer: Trainer) -> None:
    said = notes(trainer, MIXED, Settings("gpt2", Training(steps=5, warmup=0.0)))
    assert all(note.endswith(".") for note in said)
    assert len(said) == 5
