"""What every implementation of the rows port does. A test class inherits these and says how its rows are opened."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.simplex import lattice
from foretaste.store.rows import Done, Record, Rows
from foretaste.weights import TaskWeights, uniform

__all__ = ["ROW", "Opener", "RowsContract", "evaluated", "worked"]

Opener = Callable[[], Rows]

ROW = Evaluation(
    TaskWeights(["b", "a"], [0.1, 0.9]),
    {"b": {"loss": 0.1234567890123, "accuracy": 1 / 3}, "a": {"loss": 1e-17, "accuracy": 1.0}},
    Fidelity.PREVIEW,
    "simple",
    seed=2**62 + 3,
    cost=0.25,
)


def worked(key: str, kind: str = "site", artefact: str | None = None, size: int = 0) -> Record:
    """A piece of finished work."""
    return Record(Done(key, kind, {"x": [key]}, {"units": 3}, artefact, 1.5), size)


def evaluated(key: str, row: Evaluation = ROW) -> Record:
    """A finished evaluation."""
    return Record(Done(key, "evaluation", {"of": key}, {}, f"tensors of {key}", row.cost), 10, row)


class RowsContract:
    """Tests of one implementation, whose `opener` opens the same rows each time, as another process would."""

    @pytest.fixture
    def opener(self, tmp_path: Path) -> Opener:
        raise NotImplementedError

    @pytest.fixture
    def opened(self, opener: Opener) -> Iterator[Opener]:
        """The opener, whose rows are closed in the end."""
        with ExitStack() as stack:

            def rows() -> Rows:
                found = opener()
                stack.callback(found.close)
                return found

            yield rows

    def test_a_replaced_evaluation_is_the_newest_row(self, opened: Opener) -> None:
        rows, other = opened(), opened()
        first, second = (evaluated(key, replace(ROW, seed=seed)) for seed, key in enumerate("ab"))
        rows.replace([first, second])
        assert [row.seed for row in other.evaluations_after(0)[0]] == [0, 1]
        rows.replace([evaluated("a", replace(ROW, seed=7))])
        assert [row.seed for row in other.evaluations_after(0)[0]] == [1, 7]
        assert list(other.work(["a", "b"])) == ["a", "b"]
        assert other.evaluations(["a"])["a"].seed == 7

    def test_recipes_are_remembered_latest_first(self, opened: Opener) -> None:
        rows = opened()
        assert rows.recipe() is None
        for name in ("one", "two", "two", "one"):
            rows.add_recipe(name, {"name": name, "deep": {"list": [1, None, 0.1]}})
        assert opened().recipe() == ("one", {"name": "one", "deep": {"list": [1, None, 0.1]}})
        before = rows.revision()
        rows.add_recipe("one", {"name": "one", "deep": {"list": [1, None, 0.1]}})
        assert rows.revision() == before

    def test_work_is_found_by_its_key(self, opened: Opener) -> None:
        rows = opened()
        assert rows.work([]) == rows.work(["k"]) == {}
        rows.add([worked("k", artefact="1f", size=2**40), worked("j", "joint")])
        assert list(opened().work(["j", "none", "k"])) == ["j", "k"]
        assert rows.work(["k"]) == {"k": Done("k", "site", {"x": ["k"]}, {"units": 3}, "1f", 1.5)}

    def test_all_work_is_in_the_order_it_was_added(self, opened: Opener) -> None:
        rows = opened()
        for key, kind in (("c", "site"), ("a", "joint"), ("b", "site")):
            rows.add([worked(key, kind)])
        assert [done.key for done in opened().all_work()] == ["c", "a", "b"]
        assert [done.key for done in rows.all_work("site")] == ["c", "b"]
        assert rows.all_work("none") == []

    def test_what_is_there_stays_as_it_is(self, opened: Opener) -> None:
        rows = opened()
        rows.add([worked("k", artefact="1f", size=3), evaluated("e")])
        rows.add(
            [
                replace(worked("k"), done=replace(worked("k").done, result={"units": 4})),
                evaluated("e", replace(ROW, cost=9.0)),
            ]
        )
        assert rows.work(["k"])["k"].result == {"units": 3}
        assert rows.evaluations(["e"])["e"].cost == 0.25
        assert len(rows.all_work()) == 2

    def test_evaluations_come_back_bit_for_bit(self, opened: Opener) -> None:
        opened().add([evaluated("e")])
        row = opened().evaluations(["e"])["e"]
        assert row == ROW
        assert (row.key, list(row.weights), row.seed) == ("e", ["b", "a"], 2**62 + 3)
        assert opened().work(["e"])["e"] == evaluated("e").done

    def test_uniform_weights_keep_their_key(self, opened: Opener) -> None:
        row = replace(ROW, weights=uniform(["a", "b", "c"]))
        opened().add([evaluated("e", row)])
        assert opened().evaluations(["e"])["e"].weights == row.weights

    def test_any_number_of_evaluations_is_found_in_the_order_of_the_keys(self, opened: Opener) -> None:
        rows, points = opened(), lattice("ab", 3000)
        rows.add([evaluated(f"key {place}", replace(ROW, weights=weights)) for place, weights in enumerate(points)])
        keys = [f"key {place}" for place in reversed(range(-40_000, len(points)))]
        found = rows.evaluations(keys)
        assert list(found) == keys[: len(points)]
        assert [row.weights for row in found.values()] == points[::-1]

    def test_evaluations_after_one_are_those_that_are_new(self, opened: Opener) -> None:
        rows = opened()
        assert rows.evaluations_after(0) == ([], 0)
        rows.add([evaluated("b"), worked("k"), evaluated("a")])
        first, last = rows.evaluations_after(0)
        assert [row.key for row in first] == ["b", "a"]
        assert rows.evaluations_after(last) == ([], last)
        opened().add([evaluated("c")])
        fresh, later = rows.evaluations_after(last)
        assert [row.key for row in fresh] == ["c"]
        assert later > last
        assert [row.key for row in rows.evaluations_after(0)[0]] == ["b", "a", "c"]

    def test_everything_is_added_or_nothing(self, opened: Opener) -> None:
        rows = opened()
        unwritable: Any = object()
        broken = evaluated("h", replace(ROW, metrics={"a": {"loss": unwritable}}))
        with pytest.raises(Exception, match="not JSON serializable"):
            rows.add([worked("k", artefact="1f"), evaluated("g"), broken])
        assert opened().all_work() == []
        assert rows.evaluations_after(0)[0] == []

    def test_the_revision_follows_evaluations_and_recipes(self, opened: Opener) -> None:
        rows = opened()
        revisions = [rows.revision()]
        rows.add_recipe("a", {})
        revisions.append(opened().revision())
        rows.add([evaluated("e")])
        revisions.append(opened().revision())
        rows.add_recipe("b", {})
        revisions.append(opened().revision())
        assert len(set(revisions)) == 4

    def test_many_writers_lose_nothing(self, opened: Opener) -> None:
        def write(name: str) -> None:
            rows = opened()
            for place in range(20):
                rows.add([evaluated(f"{name}{place}")])
                rows.add_recipe("same", {})

        threads = [Thread(target=write, args=[name]) for name in "xyz"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(opened().all_work()) == len(opened().evaluations_after(0)[0]) == 60
