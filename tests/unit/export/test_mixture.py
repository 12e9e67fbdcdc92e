import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
import yaml

from checkpoints import image_folder
from foretaste.errors import DataError, StorageError, TaskError, WeightsError
from foretaste.export import mixture as module
from foretaste.export.folder import MANIFEST
from foretaste.export.manifest import LeakWarning
from foretaste.export.mixture import Format, write_mixture
from foretaste.export.part import Part
from foretaste.export.settings import Settings
from foretaste.metrics import METRICS
from foretaste.sources.data import read_rows
from foretaste.task import Rows, Task, Unit
from foretaste.train.mixture import mixture
from foretaste.train.training import Training
from foretaste.weights import TaskWeights

SIZES = {"a": 7, "b": 11, "c": 5}
LENGTHS = {"a": 2, "b": 10, "c": 4}


def parts_of(lengths: Mapping[str, Sequence[int]] | None = None) -> dict[str, Part]:
    """Rows that say which they are; their label tokens, if given."""
    return {
        name: Part(
            [{"id": f"{name}{index}", "number": index} for index in range(size)],
            lengths[name] if lengths else None,
            digest=name,
        )
        for name, size in SIZES.items()
    }


def alpha_of(*values: float) -> TaskWeights:
    return TaskWeights(list(SIZES), values)


def read(folder: Path) -> list[dict[str, Any]]:
    """What `datasets` makes of it, as a trainer would."""
    file = next(folder.glob("train.*"))
    kind = "parquet" if file.suffix == ".parquet" else "json"
    return list(datasets.load_dataset(kind, data_files=str(file), split="train"))


class TestRows:
    @pytest.mark.parametrize("kind", ["parquet", "jsonl"])
    @pytest.mark.parametrize("unit", ["example", "token"])
    def test_they_are_those_of_the_joint_run_in_its_order(self, tmp_path: Path, kind: Format, unit: Unit) -> None:
        lengths = {name: [LENGTHS[name] + index % 2 for index in range(size)] for name, size in SIZES.items()}
        tasks = []
        for name, size in SIZES.items():
            labels = torch.full((size, 12), -100)
            for index, length in enumerate(lengths[name]):
                labels[index, :length] = 1
            rows = Rows(torch.zeros(size, 1), labels)
            tasks.append(Task(name, rows, rows, [METRICS["accuracy"]], unit=unit))
        alpha = alpha_of(0.2, 0.5, 0.3)
        made = write_mixture(tmp_path / "m", parts_of(lengths), alpha, unit=unit, rows=48, seed=3, format=kind)
        found = read(tmp_path / "m")
        assert len(found) == made["rows"] == 48
        for number, step in enumerate(mixture(tasks, alpha, 6, 8, torch.Generator().manual_seed(3))):
            expected = [(portion.task, f"{portion.task}{index}") for portion in step for index in portion.indices]
            batch = [(row["task"], row["id"]) for row in found[8 * number : 8 * number + 8]]
            assert sorted(batch, key=lambda row: row[0]) == expected

    def test_every_prefix_is_within_one_row_of_its_share(self, tmp_path: Path) -> None:
        alpha = alpha_of(0.6, 0.1, 0.3)
        write_mixture(tmp_path / "m", parts_of(), alpha, unit="example", rows=50)
        seen = Counter[str]()
        for place, row in enumerate(read(tmp_path / "m"), start=1):
            seen[row["task"]] += 1
            assert all(abs(seen[name] - alpha[name] * place) <= 1 for name in alpha)
        assert seen == {"a": 30, "b": 5, "c": 15}

    def test_every_pass_has_each_row_once_in_another_order(self, tmp_path: Path) -> None:
        made: Any = write_mixture(tmp_path / "m", parts_of(), alpha_of(0, 0, 1), unit="example", rows=20)
        ids = [row["number"] for row in read(tmp_path / "m")]
        passes = [ids[start : start + 5] for start in range(0, 20, 5)]
        assert all(sorted(each) == list(range(5)) for each in passes)
        assert all(one != other for one, other in pairwise(passes))
        assert made["tasks"]["c"]["repeats"] == 4
        assert made["tasks"]["a"]["rows"] == 0

    def test_tokens_count_not_rows(self, tmp_path: Path) -> None:
        lengths = {name: [LENGTHS[name]] * size for name, size in SIZES.items()}
        made: Any = write_mixture(tmp_path / "m", parts_of(lengths), alpha_of(0.25, 0.5, 0.25), unit="token", rows=95)
        tasks = made["tasks"]
        assert {name: each["rows"] for name, each in tasks.items()} == {"a": 50, "b": 20, "c": 25}
        assert [each["units"] for each in tasks.values()] == [100, 200, 100]
        assert [each["share_of_units"] for each in tasks.values()] == [0.25, 0.5, 0.25]
        assert "means over label tokens" in made["meaning"]

    @pytest.mark.parametrize("kind", ["parquet", "jsonl"])
    def test_chunks_do_not_show(self, tmp_path: Path, kind: Format, monkeypatch: pytest.MonkeyPatch) -> None:
        write_mixture(tmp_path / "one", parts_of(), alpha_of(0.2, 0.5, 0.3), unit="example", rows=50, format=kind)
        monkeypatch.setattr(module, "CHUNK", 3)
        write_mixture(tmp_path / "many", parts_of(), alpha_of(0.2, 0.5, 0.3), unit="example", rows=50, format=kind)
        assert read(tmp_path / "one") == read(tmp_path / "many")

    def test_rows_of_a_data_set_that_was_drawn_from(self, tmp_path: Path) -> None:
        rows = datasets.Dataset.from_dict({"x": list(range(100))}).shuffle(seed=0).select(range(10))
        write_mixture(tmp_path / "m", {"a": Part(rows)}, TaskWeights("a", [1.0]), unit="example", rows=10)
        assert sorted(row["x"] for row in read(tmp_path / "m")) == sorted(rows["x"])


class TestColumns:
    def test_they_are_united(self, tmp_path: Path) -> None:
        parts = {"a": Part([{"x": "1", "label": 1}]), "b": Part([{"x": "2", "y": [1.5]}]), "c": Part([{"z": 1}])}
        made: Any = write_mixture(tmp_path / "m", parts, alpha_of(0.5, 0.5, 0), unit="example", rows=2)
        assert read(tmp_path / "m") == [
            {"task": "a", "x": "1", "label": 1, "y": None},
            {"task": "b", "x": "2", "label": None, "y": [1.5]},
        ]
        assert made["notes"] == [
            "column 'label' is null in rows of b, which lack it",
            "column 'y' is null in rows of a, which lack it",
        ]

    def test_types_that_do_not_go_together(self, tmp_path: Path) -> None:
        parts = {"a": Part([{"x": 1}]), "b": Part([{"x": "1"}])}
        with pytest.raises(DataError, match="column 'x' is not of one type"):
            write_mixture(tmp_path / "m", parts, TaskWeights("ab", [0.5, 0.5]), unit="example", rows=2)
        assert not list(tmp_path.iterdir())

    def test_the_name_of_the_task_column(self, tmp_path: Path) -> None:
        part = {"a": Part([{"task": "translate"}])}
        with pytest.raises(
            DataError, match="have a column 'task' already; give the column that says the task another name"
        ):
            write_mixture(tmp_path / "m", part, TaskWeights("a", [1.0]), unit="example", rows=1)
        write_mixture(tmp_path / "m", part, TaskWeights("a", [1.0]), unit="example", rows=1, task_column="of")
        assert read(tmp_path / "m") == [{"of": "a", "task": "translate"}]

    def test_pictures(self, tmp_path: Path) -> None:
        rows = {
            name: read_rows(str(image_folder(tmp_path / name, 3, seed, ["cat", other])), "train", None)
            for seed, (name, other) in enumerate((("a", "dog"), ("b", "elk")))
        }
        parts = {name: Part(each) for name, each in rows.items()}
        alpha = TaskWeights("ab", [0.5, 0.5])
        with pytest.raises(
            DataError, match=r"column 'image' holds pictures, .* JSON lines cannot; write format='parquet'"
        ):
            write_mixture(tmp_path / "m", parts, alpha, unit="example", rows=6, format="jsonl")
        write_mixture(tmp_path / "m", parts, alpha, unit="example", rows=6)
        found = read(tmp_path / "m")
        for name, each in rows.items():
            names = each.features["label"].names
            pixels = Counter((row["label"], row["image"].tobytes()) for row in found if row["task"] == name)
            assert pixels == Counter((names[row["label"]], row["image"].tobytes()) for row in each)


class TestManifest:
    def test_it_says_what_is_there(self, tmp_path: Path) -> None:
        made: Any = write_mixture(tmp_path / "m", parts_of(), alpha_of(0.2, 0.5, 0.3), unit="example", rows=10, seed=5)
        assert json.loads((tmp_path / "m" / MANIFEST).read_text()) == made
        assert made["sha256"] == hashlib.sha256((tmp_path / "m" / "train.parquet").read_bytes()).hexdigest()
        assert (made["unit"], made["seed"], made["weights"]) == ("example", 5, {"a": 0.2, "b": 0.5, "c": 0.3})
        assert made["tasks"]["b"] == {
            "alpha": 0.5,
            "rows_available": 11,
            "rows": 5,
            "repeats": 5 / 11,
            "units": 5,
            "share_of_rows": 0.5,
            "share_of_units": 0.5,
            "source": "",
            "digest": "b",
            "columns": {},
            "rows_also_in_validation": None,
        }
        assert sorted(made["versions"]) == ["datasets", "foretaste", "pyarrow"]
        assert (made["trainers"], made["warnings"]) == ({}, [])
        assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [MANIFEST, "train.parquet"]

    def test_the_same_twice_is_the_same_file(self, tmp_path: Path) -> None:
        hashes = {
            write_mixture(tmp_path / name, parts_of(), alpha_of(0.2, 0.5, 0.3), unit="example", rows=30, seed=seed)[
                "sha256"
            ]
            for name, seed in (("x", 0), ("y", 0), ("z", 1))
        }
        assert len(hashes) == 2

    def test_rows_that_leak_are_counted(self, tmp_path: Path) -> None:
        rows = [{"x": "same", "y": 1}, {"x": "other", "y": 1}]
        parts = {
            "a": Part(rows, validation=[{"y": 1, "x": "same"}, {"x": "new", "y": 2}]),
            "b": Part(rows, validation=[{"x": "same", "y": 2}]),
            "c": Part(rows, validation=[{"x": "same"}]),
        }
        with pytest.warns(
            LeakWarning, match="rows of task a that are both training and validation rows: 1; remove them"
        ):
            made: Any = write_mixture(tmp_path / "m", parts, alpha_of(0.5, 0.25, 0.25), unit="example", rows=4)
        assert [each["rows_also_in_validation"] for each in made["tasks"].values()] == [1, 0, None]
        assert len(made["warnings"]) == 1


class TestRefusals:
    @pytest.mark.parametrize(
        "lengths", [None, {"a": [1] * 6, "b": [1] * 11, "c": [1] * 5}, {"a": [0] * 7, "b": [1] * 11, "c": [1] * 5}]
    )
    def test_label_tokens_of_every_row(self, tmp_path: Path, lengths: Mapping[str, Sequence[int]] | None) -> None:
        with pytest.raises(DataError, match="units_per_row"):
            write_mixture(tmp_path / "m", parts_of(lengths), alpha_of(0.2, 0.5, 0.3), unit="token", rows=10)

    def test_no_rows_and_other_tasks(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="a mixture of 0 rows"):
            write_mixture(tmp_path / "m", parts_of(), alpha_of(0.2, 0.5, 0.3), unit="example", rows=0)
        with pytest.raises(WeightsError, match="weights are for x, tasks are a, b, c"):
            write_mixture(tmp_path / "m", parts_of(), TaskWeights("x", [1.0]), unit="example", rows=10)

    def test_when_writing_fails_nothing_is_there_and_what_was_there_stays(self, tmp_path: Path) -> None:
        parts = {"a": Part([{"x": 1.0}, {"x": float("nan")}])}
        for before in ([], ["m", MANIFEST, "train.parquet"]):
            with pytest.raises(DataError, match="NaN or infinity, which JSON lines cannot; write format='parquet'"):
                write_mixture(
                    tmp_path / "m",
                    parts,
                    TaskWeights("a", [1.0]),
                    unit="example",
                    rows=2,
                    format="jsonl",
                    overwrite=True,
                )
            assert sorted(path.name for path in tmp_path.rglob("*")) == before
            write_mixture(tmp_path / "m", parts, TaskWeights("a", [1.0]), unit="example", rows=2, overwrite=True)
        with pytest.raises(
            StorageError, match="m exists already; choose another folder, or replace it with --overwrite"
        ):
            write_mixture(tmp_path / "m", parts, TaskWeights("a", [1.0]), unit="example", rows=2)

    def test_what_was_put_beside_a_mixture_is_not_lost(self, tmp_path: Path) -> None:
        """Such as the model that a trainer made of it: the configurations say to write it there."""
        parts = {"a": Part([{"x": 1.0}])}
        write_mixture(tmp_path / "m", parts, TaskWeights("a", [1.0]), unit="example", rows=2)
        (tmp_path / "m" / "trained-by-trl").mkdir()
        with pytest.raises(
            StorageError, match=r"holds manifest\.json, train\.parquet, trained-by-trl and was not written by foretaste"
        ):
            write_mixture(tmp_path / "m", parts, TaskWeights("a", [1.0]), unit="example", rows=2, overwrite=True)
        assert (tmp_path / "m" / "trained-by-trl").is_dir()


class TestTrainers:
    SETTINGS = Settings("gpt2", Training(steps=5, batch_size=4))

    def asks(self, file: Path | None = None) -> dict[str, Part]:
        """Two tasks whose columns have other names."""
        if file is not None:
            file.write_text("".join(json.dumps({"q": f"q{index}", "reply": "r"}) + "\n" for index in range(4)))
        asked = [{"q": f"q{index}", "reply": "r"} for index in range(4)]
        told = [{"prompt": "p", "completion": "c d e", "id": index} for index in range(4)]
        return {
            "a": Part(
                asked, [2] * 4, str(file or ""), columns={"prompt": "q", "completion": "reply"}, whole=file is not None
            ),
            "b": Part(told, [6] * 4),
        }

    def test_their_files_and_columns(self, tmp_path: Path) -> None:
        made: Any = write_mixture(
            tmp_path / "m",
            self.asks(),
            TaskWeights("ab", [0.5, 0.5]),
            unit="token",
            rows=20,
            trainers=("trl", "axolotl", "llama-factory"),
            settings=self.SETTINGS,
        )
        found = read(tmp_path / "m")
        assert Counter(row["task"] for row in found) == {"a": 15, "b": 5}
        assert {tuple(row) for row in found} == {("task", "prompt", "completion", "id")}
        assert {row["completion"] for row in found} == {"r", "c d e"}
        assert made["tasks"]["a"]["columns"] == {"prompt": "q", "completion": "reply"}
        files = {trainer: each["files"] for trainer, each in made["trainers"].items()}
        assert files == {
            "trl": ["trl.yaml"],
            "axolotl": ["axolotl.yaml"],
            "llama-factory": ["llama-factory.yaml", "dataset_info.json"],
        }
        config = yaml.safe_load((tmp_path / "m" / "trl.yaml").read_text())
        assert (
            list(
                datasets.load_dataset(config["datasets"][0]["path"], data_files=config["datasets"][0]["data_files"])[
                    "train"
                ]
            )
            == found
        )
        comments = (tmp_path / "m" / "axolotl.yaml").read_text()
        assert all(note in comments for note in made["trainers"]["axolotl"]["notes"])
        assert "a=0.375, b=0.625" in made["trainers"]["llama-factory"]["notes"][-1]

    def test_sources_are_read_where_they_are_whole_files(self, tmp_path: Path) -> None:
        write_mixture(
            tmp_path / "m",
            {"a": self.asks(tmp_path / "a.jsonl")["a"]},
            TaskWeights("a", [1.0]),
            unit="token",
            rows=6,
            trainers=("llama-factory",),
            settings=self.SETTINGS,
        )
        entry = json.loads((tmp_path / "m" / "dataset_info.json").read_text())["a"]
        columns = {"prompt": "q", "response": "reply"}
        assert entry == {"file_name": str(tmp_path / "a.jsonl"), "columns": columns, "num_samples": 6}

    def test_formats_that_differ(self, tmp_path: Path) -> None:
        parts = {"a": Part([{"text": "x"}], [1]), "b": self.asks()["b"]}
        with pytest.raises(
            DataError, match=r"tasks have several \(a: text; b: prompt, completion\); give all tasks one format"
        ):
            write_mixture(
                tmp_path / "m",
                parts,
                TaskWeights("ab", [0.5, 0.5]),
                unit="token",
                rows=4,
                trainers=("trl",),
                settings=self.SETTINGS,
            )

    def test_what_they_need(self, tmp_path: Path) -> None:
        with pytest.raises(TaskError, match="a configuration of TRL needs to know the model; give settings="):
            write_mixture(
                tmp_path / "m", self.asks(), TaskWeights("ab", [0.5, 0.5]), unit="token", rows=4, trainers=("trl",)
            )
        with pytest.raises(TaskError, match="alpha weighs losses that are means over examples"):
            write_mixture(
                tmp_path / "m",
                self.asks(),
                TaskWeights("ab", [0.5, 0.5]),
                unit="example",
                rows=4,
                trainers=("trl",),
                settings=self.SETTINGS,
            )
        assert not list(tmp_path.iterdir())

    def test_classifiers_are_refused_for_what_they_are(self, tmp_path: Path) -> None:
        parts = {"a": Part([{"sentence": "fine", "label": 1}])}
        settings = Settings("bert", self.SETTINGS.training, kind="text-classification")
        with pytest.raises(TaskError, match="this model is of the kind 'text-classification'"):
            write_mixture(
                tmp_path / "m",
                parts,
                TaskWeights("a", [1.0]),
                unit="example",
                rows=1,
                trainers=("axolotl",),
                settings=settings,
            )
