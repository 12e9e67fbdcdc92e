import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from checkpoints import Checkpoints
from commands import contents
from foretaste.errors import ParamsError, StorageError
from foretaste.export.checkpoint import new_checkpoint
from foretaste.export.folder import FACTS
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.site import GaussianSite
from foretaste.sources.checkpoint import open_checkpoint
from foretaste.stored import Stored
from foretaste.stream import stream
from foretaste.weights import TaskWeights

HALVES = TaskWeights(["a", "b"], [0.5, 0.5])


def folder_of(path: Path, tensors: Mapping[str, Mapping[str, Tensor]]) -> Path:
    """A checkpoint of one or more shards by file name."""
    path.mkdir()
    (path / "config.json").write_text('{"model_type": "bert"}')
    for file, found in tensors.items():
        save_file(dict(found), path / file, metadata={"format": "pt"})
    if len(tensors) > 1:
        weight_map = {name: file for file, found in tensors.items() for name in found}
        (path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    first = {"w": torch.arange(6.0).reshape(2, 3).bfloat16(), "ids": torch.arange(3)}
    return folder_of(
        tmp_path / "base",
        {"model-00001-of-00002.safetensors": first, "model-00002-of-00002.safetensors": {"v": torch.ones(())}},
    )


def merged_into(target: Path, base: Path, experts: Mapping[str, Path], *, overwrite: bool = False) -> None:
    """A simple average."""
    like = open_checkpoint(base)
    names = [name for name, entry in like.params.entries.items() if entry.type.is_floating_point]
    sites = {task: GaussianSite.flat(_some(open_checkpoint(path).params, names)) for task, path in experts.items()}
    with new_checkpoint(target, like, {"weights": HALVES.key}, overwrite=overwrite) as writer:
        for piece, (found,) in stream(Gaussian(_some(like.params, names), Isotropic(1.0)), sites, [HALVES]):
            writer.put(piece, found)


def _some(stored: Stored, names: Sequence[str]) -> Stored:
    return Stored({name: stored.entries[name] for name in names})


class TestWriting:
    def test_shards_types_and_order_are_those_of_the_model(self, base: Path, tmp_path: Path) -> None:
        other = folder_of(
            tmp_path / "other",
            {"model.safetensors": {"w": torch.ones(2, 3), "v": torch.zeros(()), "ids": torch.arange(3)}},
        )
        merged_into(tmp_path / "out", base, {"a": base, "b": other})
        found, like = open_checkpoint(tmp_path / "out"), open_checkpoint(base)
        assert [path.name for path in found.files] == [path.name for path in like.files]
        for name, entry in like.params.entries.items():
            own = found.params.entries[name]
            assert (own.dtype, own.shape, own.file.name) == (entry.dtype, entry.shape, entry.file.name)
        assert list(found.params) == list(like.params)
        assert found.params["w"].equal(((torch.arange(6.0).reshape(2, 3) + 1) / 2).bfloat16())
        assert found.params["v"].item() == 0.5
        assert found.params["ids"].equal(torch.arange(3))

    def test_facts_are_beside_and_inside_the_files(self, base: Path, tmp_path: Path) -> None:
        merged_into(tmp_path / "out", base, {"a": base, "b": base})
        assert json.loads((tmp_path / "out" / FACTS).read_text()) == {"weights": HALVES.key}
        with safe_open(tmp_path / "out" / "model-00001-of-00002.safetensors", framework="pt") as handle:
            assert json.loads(handle.metadata()["foretaste"]) == {"weights": HALVES.key}
            assert handle.metadata()["format"] == "pt"

    def test_transformers_reads_it_and_its_tokenizer(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        (tmp_path / "base").mkdir()
        model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoints.bert)
        model.save_pretrained(tmp_path / "base", max_shard_size="4KB")
        for file in checkpoints.bert.glob("token*"):
            shutil.copy(file, tmp_path / "base")
        for left in ("README.md", "training_args.bin", "optimizer.pt", "trainer_state.json"):
            (tmp_path / "base" / left).write_text("of the training before")
        merged_into(tmp_path / "out", tmp_path / "base", {"a": checkpoints.bert, "b": checkpoints.bert})
        assert len(list((tmp_path / "out").glob("*.safetensors"))) > 1
        again = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
        assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
        transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
        names = {path.name for path in (tmp_path / "out").iterdir()}
        assert not names & {"README.md", "training_args.bin", "optimizer.pt", "trainer_state.json"}

    def test_numbers_are_rounded_once(self, base: Path, tmp_path: Path) -> None:
        high = {"w": torch.full((2, 3), 1 + 2**-7), "v": torch.zeros(()), "ids": torch.arange(3)}
        low = {"w": torch.full((2, 3), 1 + 2**-8), "v": torch.zeros(()), "ids": torch.arange(3)}
        for name, tensors in (("high", high), ("low", low)):
            folder_of(tmp_path / name, {"model.safetensors": tensors})
        merged_into(tmp_path / "out", base, {"a": tmp_path / "high", "b": tmp_path / "low"})
        expected = torch.tensor(1 + 2**-8 + 2**-9).bfloat16()  # rounding `low` first would give 1 + 2**-8 + 2**-8 or 1
        assert open_checkpoint(tmp_path / "out").params["w"].eq(expected).all()

    def test_what_float16_cannot_hold_is_refused(self, tmp_path: Path) -> None:
        half = folder_of(tmp_path / "half", {"model.safetensors": {"w": torch.zeros(2).half()}})
        large = folder_of(tmp_path / "large", {"model.safetensors": {"w": torch.full((2,), 1e6)}})
        with pytest.raises(ParamsError, match="w has entries beyond what float16 can hold"):
            merged_into(tmp_path / "out", half, {"a": large, "b": large})
        assert sorted(path.name for path in tmp_path.iterdir()) == ["half", "large"]

    def test_every_file_is_brought_to_the_disk_once_before_the_folder_has_its_name(
        self, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[Path] = []
        sync = os.fsync

        def watched(handle: int) -> None:
            synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")))
            sync(handle)

        monkeypatch.setattr(os, "fsync", watched)
        merged_into(tmp_path / "out", base, {"a": base, "b": base})
        files = [path for path in synced if path.suffix == ".safetensors"]
        assert sorted(path.name for path in files) == [
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
        ]
        assert tmp_path / "out" not in {path.parent for path in files}

    def test_a_disk_that_fails_late_leaves_nothing(
        self, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def failing(handle: int) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fsync", failing)
        with pytest.raises((OSError, StorageError), match="Input/output error"):
            merged_into(tmp_path / "out", base, {"a": base, "b": base})
        assert [path.name for path in tmp_path.iterdir()] == ["base"]


class TestFolders:
    def test_one_that_is_not_empty_is_refused(self, base: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        merged_into(tmp_path / "out", base, {"a": base, "b": base})  # an empty one is fine
        before = load_file(tmp_path / "out" / "model-00001-of-00002.safetensors")
        with pytest.raises(
            StorageError, match="out exists already; choose another folder, or replace it with --overwrite"
        ):
            merged_into(tmp_path / "out", base, {"a": base, "b": base})
        assert before.keys() == load_file(tmp_path / "out" / "model-00001-of-00002.safetensors").keys()

    def test_a_file_is_refused(self, base: Path, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("mine")
        with pytest.raises(StorageError, match="out is a file"):
            merged_into(tmp_path / "out", base, {"a": base, "b": base}, overwrite=True)
        assert (tmp_path / "out").read_text() == "mine"

    def test_overwriting_replaces_it_when_complete(self, base: Path, tmp_path: Path) -> None:
        merged_into(tmp_path / "out", base, {"a": base, "b": base})
        (tmp_path / "out" / "more.txt").write_text("before")
        bad = folder_of(
            tmp_path / "bad", {"model.safetensors": {"w": torch.full((2, 3), torch.nan), "v": torch.zeros(())}}
        )
        with pytest.raises(ParamsError):
            merged_into(tmp_path / "out", base, {"a": base, "b": bad}, overwrite=True)
        assert (tmp_path / "out" / "more.txt").read_text() == "before"
        merged_into(tmp_path / "out", base, {"a": base, "b": base}, overwrite=True)
        assert not (tmp_path / "out" / "more.txt").exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "base", "out"]

    def test_overwriting_what_is_not_ours_is_refused(self, base: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").write_text("mine")
        for target in (tmp_path / "out", base):
            before = contents(target)
            with pytest.raises(
                StorageError, match="was not written by foretaste; --overwrite replaces only what foretaste wrote"
            ):
                merged_into(target, base, {"a": base, "b": base}, overwrite=True)
            assert contents(target) == before

    def test_a_full_disk_is_seen_before(self, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 0, 10))
        with pytest.raises(StorageError, match=r"out needs .* GiB, and .* GiB are free; .*nothing was written"):
            merged_into(tmp_path / "out", base, {"a": base, "b": base})
        assert [path.name for path in tmp_path.iterdir()] == ["base"]

    def test_killed_while_writing_nothing_is_left_under_the_name_and_the_rest_goes_next_time(
        self, base: Path, tmp_path: Path
    ) -> None:
        code = (
            "import sys, time; from pathlib import Path; from foretaste.export.checkpoint import new_checkpoint;from"
            " foretaste.sources.checkpoint import open_checkpoint\nwith new_checkpoint(Path(sys.argv[2]),"
            " open_checkpoint(Path(sys.argv[1])), {}): print('writing', flush=True); time.sleep(60)"
        )
        process = subprocess.Popen([sys.executable, "-c", code, base, tmp_path / "out"], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"writing"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert not (tmp_path / "out").exists()
        assert len(list(tmp_path.glob(".out.*.tmp"))) == 1
        (tmp_path / ".out.notes.tmp").write_text("mine")
        merged_into(tmp_path / "out", base, {"a": base, "b": base})
        assert sorted(path.name for path in tmp_path.iterdir()) == [".out.notes.tmp", "base", "out"]


PEAK = """
import sys
from pathlib import Path
from foretaste.export.checkpoint import new_checkpoint
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.site import GaussianSite
from foretaste.sources.checkpoint import open_checkpoint
from foretaste.stream import stream
from foretaste.simplex import lattice

folder, memory, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def merge(name):
    base = open_checkpoint(folder / name)
    sites = {task: GaussianSite(base.params, Diagonal(base.params)) for task in "abc"}
    with new_checkpoint(folder / (name + "-out"), base, {}, overwrite=True) as writer:
        weightings = lattice("abc", 30)[100:100 + count]
        for piece, merged in stream(Gaussian(base.params, Isotropic(1.0)), sites, weightings, memory=memory):
            writer.put(piece, merged[0])
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

print(-merge("small") + merge("large"))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
@pytest.mark.parametrize(("memory", "count"), [(4, 1), (24, 100), (96, 100)])
def test_memory_stays_within_the_budget(tmp_path: Path, memory: int, count: int) -> None:
    """Peak memory of a diagonal merge of three experts of 32 MiB each, beyond that of a merge of tiny ones.

    A child's ``ru_maxrss`` begins at what its parent held; ``VmHWM`` is its own.
    """
    folder_of(tmp_path / "small", {"model.safetensors": {"w": torch.ones(8)}})
    folder_of(
        tmp_path / "large", {f"model-{place}.safetensors": {f"w{place}": torch.ones(1 << 22)} for place in (1, 2)}
    )
    command = [sys.executable, "-c", PEAK, str(tmp_path), str(memory << 20), str(count)]
    one_thread = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
    }  # each thread has an arena of its own, as large as it likes
    found = int(subprocess.run(command, capture_output=True, text=True, check=True, env=one_thread).stdout)
    assert found < memory << 20, f"{found / 2**20:.1f} MiB"
