import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from disks import fill, read_only, small_disk
from earlier import EARLIER, earlier_study, shown_earlier
from foretaste.cli.reports import summarize_study
from foretaste.errors import DataError, StorageError, StudyError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.json import plain
from foretaste.report.records import study_record
from foretaste.store.study import StudyStore, key_of, require_space
from foretaste.surface.table import Headline
from foretaste.train.run import Snapshot
from foretaste.weights import TaskWeights, uniform
from statements import recorded_queries

HEADLINES = {"a": Headline("accuracy"), "b": Headline("accuracy")}
ROW = Evaluation(
    TaskWeights(["a", "b"], [0.1, 0.9]),
    {"a": {"loss": 0.1234567890123, "accuracy": 1 / 3}, "b": {"loss": 1e-17, "accuracy": 1.0}},
    Fidelity.PREVIEW,
    "simple",
    seed=4,
    cost=0.25,
)


def test_keys_depend_on_everything_and_not_on_order() -> None:
    assert key_of("site", {"a": 1, "b": [2.5]}) == key_of("site", {"b": [2.5], "a": 1})
    others = {key_of("site", {"a": 1}), key_of("joint", {"a": 1}), key_of("site", {"a": 2}), key_of("site", {"a": "1"})}
    assert len(others) == 4


def test_work_is_found_again_with_its_tensors(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "s") as study:
        assert study.find("k") is None
        study.add("site", "k", {"x": 1}, {"units": 3}, {"w": torch.ones(2)}, 1.5)
    with StudyStore.open(tmp_path / "s") as study:
        done = study.find("k")
        assert done is not None
        assert (done.kind, done.inputs, done.result, done.seconds) == ("site", {"x": 1}, {"units": 3}, 1.5)
        assert torch.equal(study.tensors(done.artefact)["w"], torch.ones(2))
        assert [each.key for each in study.all_work("site")] == ["k"]
        assert study.all_work("joint") == []


def test_many_pieces_of_work_are_found_by_one_query(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "s") as study:
        for place in range(9):
            study.add("site", f"k{place}", {}, {}, {"w": torch.full((1,), float(place))} if place % 2 else None, 0.0)
        lost = study.find("k3")
        assert lost is not None
        (tmp_path / "s" / "tensors" / f"{lost.artefact}.safetensors").unlink()
        with recorded_queries() as queries:
            found = study.find_all([f"k{place}" for place in range(20)])
        assert list(found) == ["k0", "k1", "k2", "k4", "k5", "k6", "k7", "k8"]
        assert len(queries) == 1


def test_rows_are_only_ever_appended(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "s") as study:
        study.add("site", "k", {}, {"first": True}, None, 1.0)
        study.add("site", "k", {}, {"first": False}, None, 2.0)
        done = study.find("k")
        assert done is not None
        assert done.result == {"first": True}


def test_evaluations_are_kept_together_or_not_at_all(tmp_path: Path) -> None:
    other = replace(ROW, weights=uniform(["a", "b"]))
    with StudyStore.create(tmp_path / "s") as study:
        study.add_evaluations(
            [("e", {"x": 1}, ROW, {"w": torch.ones(1)}), ("f", {"x": 2}, other, {"w": torch.zeros(1)})]
        )
        assert study.surface(HEADLINES).rows == (ROW, other)
        assert [(done.key, done.inputs, done.seconds) for done in study.all_work()] == [
            ("e", {"x": 1}, 0.25),
            ("f", {"x": 2}, 0.25),
        ]
        assert [float(study.tensors(done.artefact)["w"]) for done in study.all_work()] == [1.0, 0.0]
        broken = replace(other, metrics={"a": {"loss": object()}})  # type: ignore[dict-item]
        with pytest.raises(Exception, match="not JSON serializable"):
            study.add_evaluations([("g", {}, ROW, {"w": torch.ones(1)}), ("h", {}, broken, {"w": torch.ones(1)})])
        assert study.evaluation("g") is None
        assert study.find("g") is None


def test_evaluations_come_back_bit_for_bit(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "s") as study:
        assert study.evaluation("e") is None
        study.add_evaluation("e", {}, ROW, {"a/losses": torch.ones(3)})
        assert study.evaluation("e") == ROW
        assert study.surface(HEADLINES).rows == (ROW,)


def test_snapshots(tmp_path: Path) -> None:
    state = Snapshot(
        3, {"params/w": torch.ones(2)}, [1.0, 0.5, 0.1], {"a": {"examples": 3, "units": 3}}, {"scale": 2.0}
    )
    with StudyStore.create(tmp_path / "s") as study:
        assert study.load_snapshot("k") == (None, 0.0)
        study.save_snapshot("k", state, 12.5)
        found, seconds = study.load_snapshot("k")
        assert found is not None
        assert seconds == 12.5
        assert (found.step, found.history, found.data_counts, found.scaler) == (
            3,
            state.history,
            state.data_counts,
            state.scaler,
        )
        assert torch.equal(found.tensors["params/w"], torch.ones(2))
        study.add("joint", "k", {}, {}, None, 0.0)
        assert study.load_snapshot("k") == (None, 0.0)


def test_recipes_are_remembered_latest_first(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "s") as study:
        assert study.recipe() is None
        study.add_recipe("one", {"n": 1})
        study.add_recipe("two", {"n": 2})
        study.add_recipe("two", {"n": 2})
        assert study.recipe() == ("two", {"n": 2})


def test_a_folder_of_other_things_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StudyError, match="holds files that are not a study"):
        StudyStore.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(StudyError, match="is not a study"):
        StudyStore.open(tmp_path)


def test_a_read_only_place_is_a_storage_error() -> None:
    with pytest.raises(StorageError, match="cannot make the study folder"):
        StudyStore.create(Path("/proc/study"))


def test_space_is_checked(tmp_path: Path) -> None:
    require_space(tmp_path / "not" / "there", 1)
    with pytest.raises(StorageError, match=r"needs about .* GiB, and .* GiB are free; free some space"):
        require_space(tmp_path / "not" / "there", 1 << 60)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "inputs", "begun"), [("import", {}, False), ("finetune", {"import": "1f"}, False), ("site", {}, True)]
)
def test_models_that_were_brought_in_are_no_beginning(
    tmp_path: Path, kind: str, inputs: dict[str, str], begun: bool
) -> None:
    with StudyStore.create(tmp_path / "s") as study:
        study.add(kind, "k", inputs, {}, None, 0.0)
        with study.claim("k"):
            assert study.is_begun() is begun


def test_missing_and_damaged_artefacts_are_named(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "s") as study:
        done = study.add("site", "k", {}, {}, {"w": torch.ones(2)}, 0.0)
        path = tmp_path / "s" / "tensors" / f"{done.artefact}.safetensors"
        path.unlink()
        with pytest.raises(DataError, match="is missing"):
            study.tensors(done.artefact)
        with pytest.raises(DataError, match="has no tensor file"):
            study.tensors(None)


def test_a_study_of_an_earlier_version_shows_what_it_showed(tmp_path: Path) -> None:
    """Read as it is, and once more after it was opened for work; the recommendation is the same."""
    study, shown = earlier_study(tmp_path), shown_earlier()
    for _ in range(2):
        found = plain(study_record(summarize_study(study)))
        assert isinstance(found, dict)
        assert found["rows"] == shown["rows"]
        recommendation = found["recommendation"]
        assert isinstance(recommendation, dict)
        assert recommendation["weights"] == shown["recommended"]
        StudyStore.create(study).close()


def test_a_study_of_an_earlier_version_keeps_its_tensors(tmp_path: Path) -> None:
    study = earlier_study(tmp_path)
    for opened in (StudyStore.open(study), StudyStore.create(study)):
        with opened:
            kept = [done for done in opened.all_work() if done.artefact is not None]
            assert len(kept) > 10
            assert all(opened.find(done.key) == done and opened.tensors(done.artefact) for done in kept)
            assert opened.is_begun()


def test_only_a_study_of_an_earlier_version_is_moved(tmp_path: Path) -> None:
    StudyStore.upgrade(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    study = earlier_study(tmp_path)
    StudyStore.upgrade(study)
    moved = (study / "study.db").read_bytes()
    assert moved != (EARLIER / "study.db").read_bytes()
    StudyStore.upgrade(study)
    assert (study / "study.db").read_bytes() == moved


def test_only_a_folder_with_a_database_is_a_study(tmp_path: Path) -> None:
    assert not StudyStore.exists(tmp_path)
    (tmp_path / "study.db").mkdir()
    assert not StudyStore.exists(tmp_path)
    assert StudyStore.exists(earlier_study(tmp_path))


def test_two_processes_do_not_do_the_same_work_at_once(tmp_path: Path) -> None:
    """The other process holds the claim, is killed, and lets go."""
    code = (
        "import sys, time; from pathlib import Path; from foretaste.store.study import StudyStore\n"
        "with StudyStore.open(Path(sys.argv[1])) as study, study.claim('k'):\n"
        "    print('mine', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "s")]
    with (
        StudyStore.create(tmp_path / "s") as study,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other,
    ):
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        study.add("site", "j", {}, {}, None, 0.0)  # the database is open to both
        start = time.monotonic()
        other.kill()
        with study.claim("k"):
            assert time.monotonic() - start < 30


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from foretaste.store.study import StudyStore\n"
        "with StudyStore.open(Path(sys.argv[1])) as study:\n"
        "    for i in range(40): study.add('site', sys.argv[2] + str(i), {}, {}, None, 0.0)\n"
    )
    with StudyStore.create(tmp_path / "s") as study:
        writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "s"), name]) for name in "xy"]
        assert [writer.wait() for writer in writers] == [0, 0]
        assert len(study.all_work()) == 80


def test_uniform_weights_keep_their_key(tmp_path: Path) -> None:
    row = Evaluation(uniform(["a", "b", "c"]), {}, Fidelity.JOINT, "joint")
    with StudyStore.create(tmp_path / "s") as study:
        study.add_evaluation("e", {}, row, {})
        found = study.evaluation("e")
        assert found is not None
        assert found.weights == row.weights


def test_a_finished_study_is_read_on_a_full_disk_and_on_a_read_only_one(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        with StudyStore.create(disk / "study") as study:
            study.add_recipe("text", {"name": "a"})
        filler = fill(disk)
        with StudyStore.open(disk / "study") as study:
            assert study.recipe() == ("text", {"name": "a"})
        filler.unlink()
        with read_only(disk / "study"), StudyStore.open(disk / "study") as study:
            assert study.recipe() == ("text", {"name": "a"})
        with StudyStore.open(disk / "study") as study:
            study.add_recipe("another", {"name": "b"})
            assert study.recipe() == ("another", {"name": "b"})


def test_one_recipe_however_many_processes_add_it(tmp_path: Path) -> None:
    StudyStore.create(tmp_path / "study").close()

    def add(place: int) -> None:
        with StudyStore.open(tmp_path / "study") as study:
            study.add_recipe("text", {"name": "a"})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(8)))
    with sqlite3.connect(tmp_path / "study" / "study.db") as connection:
        assert connection.execute("SELECT count(*) FROM recipes").fetchone() == (1,)
    connection.close()
