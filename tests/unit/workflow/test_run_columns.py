import numpy as np
import pytest

from foretaste.errors import DataError
from foretaste.sources.run_tables import read_table
from foretaste.surface.table import Headline, Surface
from foretaste.workflow.run_columns import ColumnMapping, TableOptions, map_columns, runs_of

SURFACE = Surface({"qa": Headline("accuracy"), "code": Headline("pass@1")}, (), domains=("web", "code"))
ROW = {"weight.web": 0.25, "code": 0.75, "qa": 0.5, "code.pass@1": "0.4", "code.pass@10": 0.6, "seed": 3.0, "id": "x"}


def mapped(row: dict[str, object], columns: dict[str, str] | None = None) -> ColumnMapping:
    return map_columns(read_table([row]), SURFACE, columns)


def test_columns_are_found_by_their_names() -> None:
    mapping = mapped(ROW)
    assert mapping.weights == {"web": "weight.web", "code": "code"}
    assert mapping.metrics == {
        ("qa", "accuracy"): "qa",
        ("code", "pass@1"): "code.pass@1",
        ("code", "pass@10"): "code.pass@10",
    }
    assert (mapping.facts, mapping.unused, mapping.absent) == ({"seed": "seed"}, ("id",), ())


def test_a_row_becomes_a_run() -> None:
    table = read_table([ROW])
    (run,), faults = runs_of(table, mapped(ROW), SURFACE, TableOptions(fidelity="proxy", cost=0.1))
    assert not faults
    assert (run.weights.key, run.seed, run.fidelity, run.cost) == ("web=0.25,code=0.75", 3, "proxy", 0.1)
    assert run.metrics == {"qa": {"accuracy": 0.5}, "code": {"pass@1": 0.4, "pass@10": 0.6}}


def test_columns_are_named_where_their_names_do_not_tell() -> None:
    row: dict[str, object] = {"w": 100, "humaneval": 0.4, "kind": "proxy-60m"}
    columns = {"web": "w", "code.pass@1": "humaneval", "fidelity": "kind"}
    mapping = mapped(row, columns)
    assert mapping.absent == ("code",)
    (run,), _ = runs_of(read_table([row]), mapping, SURFACE, TableOptions(columns, normalise=True))
    assert (run.weights.corner, run.fidelity) == ("web", "proxy-60m")


@pytest.mark.parametrize(
    ("row", "columns", "reason"),
    [
        ({"qa": 1.0}, {}, r"no column of weights; name columns as weight.web"),
        ({"web": 1.0}, {}, r"no column of metrics; name columns as qa.accuracy"),
        ({"web": 1.0, "qa": 1.0}, {"web": "w"}, r"no column 'w' for 'web'; its columns are web, qa"),
        ({"web": 1.0, "qa": 1.0}, {"chat": "qa"}, r"nothing is called 'chat'"),
    ],
)
def test_tables_without_what_is_needed(row: dict[str, object], columns: dict[str, str], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        mapped(row, columns)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"qa": "high"}, "qa is 'high', which is no number"),
        ({"seed": 1.5}, "a seed is a whole number"),
        ({"code": 0.5}, "weights sum to 0.75"),
        ({"qa": float("inf")}, "accuracy of task 'qa' is inf"),
        ({"fidelity": "simple"}, "write preview:simple"),
        ({"qa": True}, "which is no number"),
    ],
)
def test_every_bad_row_is_named(change: dict[str, object], reason: str) -> None:
    table = read_table([{**ROW, "fidelity": "joint"}, {**ROW, "fidelity": "joint", **change}])
    runs, faults = runs_of(table, map_columns(table, SURFACE), SURFACE, TableOptions())
    assert len(runs) == 1
    assert faults[0].startswith("row 2: ")
    assert reason in faults[0]


def test_a_column_of_names_is_no_metric() -> None:
    mapping = mapped({**ROW, "qa.alias": "questions"})
    assert ("qa", "alias") not in mapping.metrics
    assert "qa.alias" in mapping.unused


def test_weights_may_be_percentages_and_metrics_may_not() -> None:
    table = read_table([{"web": "41%", "code": "59%", "qa": 0.5}, {"web": "41%", "code": "59%", "qa": "50%"}])
    runs, faults = runs_of(table, map_columns(table, SURFACE), SURFACE, TableOptions(normalise=True))
    assert [run.weights.key for run in runs] == ["web=0.41,code=0.59"]
    assert faults == ["row 2: qa is '50%', which is no number (write 0.41 for 41%)"]


def test_an_empty_weight_is_not_scaled_away() -> None:
    table = read_table([{"web": 20, "code": "", "qa": 0.5}, {"web": 20, "code": 60, "qa": 0.5}])
    runs, faults = runs_of(table, map_columns(table, SURFACE), SURFACE, TableOptions(normalise=True))
    assert len(runs) == 1
    assert faults == ["row 1: code is empty; write 0 for no weight"]


def test_numbers_of_numpy_are_numbers() -> None:
    row = {"web": np.float32(0.5), "code": np.float64(0.5), "qa": np.float32(0.5), "seed": np.int64(3)}
    (run,), faults = runs_of(read_table([row]), mapped(row), SURFACE, TableOptions())
    assert not faults
    assert (run.seed, run.weights.key) == (3, "web=0.5,code=0.5")
