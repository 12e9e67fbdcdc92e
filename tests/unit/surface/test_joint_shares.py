from dataclasses import replace

import pytest
import torch

from foretaste.surface.joint_shares import JointData, joint_shares, shares_record, shares_table
from foretaste.task import Rows, Task
from foretaste.train.mixture import Realise, mixture, units_per_example
from foretaste.weights import TaskWeights
from problems import blobs

DATA = JointData(25, 8, "token", "sampling", {"a": 40, "b": 10, "c": 5}, {"a": 2.0, "b": 6.0, "c": 1.0})


def texts(name: str, count: int, tokens: int) -> Task:
    """Rows of so many label tokens each."""
    rows = Rows(torch.zeros(count, tokens), torch.zeros(count, tokens, dtype=torch.long))
    return replace(blobs(name, 0), train=rows, unit="token")


@pytest.mark.parametrize("realise", ["sampling", "loss"])
@pytest.mark.parametrize("shares", [(0.5, 0.3, 0.2), (0.9, 0.1, 0.0)])
def test_shares_are_those_of_the_mixture(realise: Realise, shares: tuple[float, ...]) -> None:
    """What is told of a joint run is what the plan of its steps draws, up to a row of each task."""
    tasks = [texts("a", 40, 2), texts("b", 10, 6), texts("c", 5, 1)]
    assert {task.name: units_per_example(task) for task in tasks} == DATA.units
    weights = TaskWeights("abc", shares)
    plan = mixture(tasks, weights, DATA.steps, DATA.batch_size, torch.Generator(), realise)
    drawn = dict.fromkeys("abc", 0)
    for step in plan:
        for portion in step:
            drawn[portion.task] += len(portion.indices)
    found = joint_shares(replace(DATA, realise=realise), weights)
    tokens = {name: count * DATA.units[name] for name, count in drawn.items()}
    for name, part in found.items():
        assert abs(part.rows - drawn[name]) < 1
        assert part.share_of_rows == pytest.approx(drawn[name] / 200, abs=1 / 200)
        assert part.share_of_units == pytest.approx(tokens[name] / sum(tokens.values()), abs=0.03)
        assert part.epochs == pytest.approx(drawn[name] / DATA.rows[name], abs=1 / DATA.rows[name])


def test_by_sampling_the_weights_are_the_shares_of_what_is_learned() -> None:
    found = joint_shares(DATA, TaskWeights("abc", (0.5, 0.3, 0.2)))
    assert [part.share_of_units for part in found.values()] == pytest.approx([0.5, 0.3, 0.2])


@pytest.mark.parametrize(
    ("unit", "realise", "columns", "caption"),
    [
        ("token", "sampling", ["of all rows", "of learned tokens"], ""),
        ("example", "sampling", [], ""),
        ("example", "loss", ["of all rows"], " Weights are factors of the losses, and rows are drawn evenly."),
    ],
)
def test_a_table_has_the_shares_that_differ_from_the_weights(
    unit: str, realise: str, columns: list[str], caption: str
) -> None:
    table = shares_table(replace(DATA, unit=unit, realise=realise), TaskWeights("abc", (0.5, 0.3, 0.2)))
    assert [column.name for column in table.columns] == ["task", "rows drawn", *columns, "epochs"]
    assert table.caption == f"What a joint run trains on: 25 steps of 8 rows.{caption}"


def test_a_record_has_the_numbers_of_the_table() -> None:
    record = shares_record(DATA, TaskWeights("abc", (0.5, 0.3, 0.2)))
    assert (record["steps"], record["batch_size"], list(record["tasks"])) == (25, 8, ["a", "b", "c"])
    assert set(record["tasks"]["a"]) == {"rows", "share_of_rows", "share_of_units", "epochs"}
