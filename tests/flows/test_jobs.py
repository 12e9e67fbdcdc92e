"""Proposed joint runs become jobs that TRL runs, and their results come back."""

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from checkpoints import Checkpoints, language_recipe, table
from commands import ENVIRONMENT, foretaste, refused

TRL = ("--trainer", "trl")


def recipe(folder: Path, checkpoint: Path) -> Path:
    """Two tasks of completions, short ones and long ones."""
    tasks = {}
    for seed, name in enumerate(("short", "long"), start=1):
        for part, count in (("train", 10), ("validation", 4)):
            rows = [{"prompt": f"{part} {place}", "completion": "one " * (3 * seed)} for place in range(count)]
            table(folder / f"{name}-{part}.jsonl", rows)
        tasks[name] = (folder / f"{name}-train.jsonl", folder / f"{name}-validation.jsonl")
    return language_recipe(folder / "tiny.yaml", checkpoint, "causal-lm", tasks, finetune="{steps: 3, batch_size: 4}")


@pytest.fixture
def study(tmp_path: Path, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two jobs in the folder mix, of a new study in the current folder."""
    monkeypatch.chdir(tmp_path)
    asked = foretaste("ask", recipe(tmp_path, checkpoints.gpt2), "--to", "mix", *TRL, "-n", "2")
    assert asked.code == 0, asked.err
    assert asked.out.splitlines()[-1] == "then: foretaste tell tiny.study --from mix"
    return tmp_path / "tiny.study"


def run_job(folder: Path) -> None:
    """Run a job's script with the programs beside this Python first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**ENVIRONMENT, "PATH": path, "PYTHON": sys.executable}
    bash = str(shutil.which("bash"))
    ran = subprocess.run([bash, folder / "run.sh"], cwd="/", env=environment, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()


def lacking(name: str) -> list[str]:
    """What a program needs and this environment does not have; a parser of its files needs less than all of it."""
    try:
        wanted = [Requirement(line) for line in metadata.requires(name) or ()]
    except metadata.PackageNotFoundError:
        return [name]
    needed = [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    there = {canonicalize_name(each.metadata["Name"]) for each in metadata.distributions()}
    return [each for each in needed if canonicalize_name(each) not in there]


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "module"), [("axolotl", "axolotl"), ("llama-factory", "llamafactory")])
def test_other_trainers_run_a_job_where_they_are_installed(
    tmp_path: Path, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch, trainer: str, module: str
) -> None:
    if absent := lacking(module):
        pytest.skip(f"{', '.join(absent)}: pip install {module}, in an environment of its own")
    monkeypatch.chdir(tmp_path)
    asked = foretaste("ask", recipe(tmp_path, checkpoints.llama), "--to", "mix", "--trainer", trainer)
    assert asked.code == 0, asked.err
    run_job(tmp_path / "mix" / "job-01")
    told = json.loads(foretaste("tell", "tiny.study", "--from", "mix", "--json").out)
    assert (told["new"], told["pending"], told["incomplete"]) == (1, 0, 0)


@pytest.mark.slow
def test_trl_runs_two_jobs_and_their_results_come_back(study: Path) -> None:
    pytest.importorskip("trl", reason="the trainer that runs the jobs: pip install trl")
    for name in ("job-01", "job-02"):
        run_job(study.parent / "mix" / name)
    told = json.loads(foretaste("tell", study, "--from", "mix", "--json").out)
    assert (told["new"], told["pending"], told["incomplete"]) == (2, 0, 0)
    assert [job["files"] for job in told["jobs"]] == [["metrics.json"]] * 2
    assert set(told["jobs"][0]["metrics"]["long"]) == {"loss", "perplexity", "token_accuracy", "exact_match"}
    again = json.loads(foretaste("tell", study, "--from", "mix/job-01", "--json").out)
    assert (again["new"], again["unchanged"]) == (0, 1)


def test_a_job_says_what_it_is_and_names_its_files_by_their_place(study: Path) -> None:
    job = study.parent / "mix" / "job-01"
    facts = json.loads((job / "job.json").read_text())
    assert facts["weights"] == {"short": 0.5, "long": 0.5}
    assert facts["validation"] == {"short": "validation-short.jsonl", "long": "validation-long.jsonl"}
    assert str(study.parent / "mix") not in "".join(path.read_text() for path in job.glob("*.yaml"))
    assert os.access(job / "run.sh", os.X_OK)
    assert len((job / "train.jsonl").read_text().splitlines()) == 12


def test_metrics_are_told_and_jobs_without_results_are_named(study: Path) -> None:
    metrics = {"short": {"perplexity": 2.5}, "long": 3.5}
    (study.parent / "mix" / "job-02" / "metrics.json").write_text(json.dumps(metrics))
    shown = foretaste("tell", study, "--from", "mix", "--dry-run")
    assert "no results yet" in shown.out
    assert shown.out.splitlines()[-1] == "nothing was written"
    told = json.loads(foretaste("tell", study, "--from", "mix", "--json").out)
    assert (told["new"], told["pending"]) == (1, 1)
    assert told["jobs"][1]["metrics"] == {"short": {"perplexity": 2.5}, "long": {"perplexity": 3.5}}


def test_what_was_interrupted_is_completed_and_nothing_is_replaced(study: Path) -> None:
    jobs = study.parent / "mix"
    (jobs / "job-02").rename(study.parent / "away")
    again = json.loads(foretaste("ask", study, "--to", "mix", *TRL, "-n", "2", "--json").out)
    assert [Path(job["folder"]).name for job in again] == ["job-02"]
    before = json.loads((study.parent / "away" / "job.json").read_text())
    assert json.loads((jobs / "job-02" / "job.json").read_text()) == before
    (jobs / "job-03").mkdir()
    (jobs / "job-03" / "thesis.txt").touch()
    assert "holds thesis.txt" in refused("ask", study, "--to", "mix", *TRL)
    assert len(json.loads(foretaste("ask", study, "--pending", "--json").out)) == 2


def test_refusals(study: Path, tmp_path: Path) -> None:
    assert "go together" in refused("ask", study, "--to", "mix")
    assert "leave out --fidelity" in refused("ask", study, "--to", "mix", *TRL, "--drop", "all")
    assert "holds no job" in refused("tell", study, "--from", tmp_path)
    assert "leave out --weights" in refused("tell", study, "--from", "mix", "--weights", "short=1")
    assert foretaste("tell", "swarm", "--task", "short=loss", "--task", "long=loss").code == 0
    assert "has no recipe" in refused("ask", "swarm", "--to", "other", *TRL)
    (tmp_path / "mix" / "job-01" / "metrics.json").write_text('{"short": 1.5}')
    assert "another study (tiny) proposed it" in refused("tell", "swarm", "--from", "mix")
    assert not Path("other").exists()


def test_runs_that_are_pending_become_jobs_later(study: Path) -> None:
    later = json.loads(foretaste("ask", study, "-n", "1", "--json").out)  # proposed without a job
    pending = ("ask", study, "--to", "all", *TRL, "--pending")
    written = json.loads(foretaste(*pending, "--json").out)
    assert [Path(job["folder"]).name for job in written] == ["job-01", "job-02", "job-03"]
    assert written[2]["weights"] == later[0]["weights"]
    assert written[2]["proposal"] == later[0]["key"]
    record = json.loads((study.parent / "all" / "job-03" / "job.json").read_text())
    assert record["weights"] == later[0]["weights"]
    before = {path: path.read_bytes() for path in (study.parent / "all").rglob("*") if path.is_file()}
    again = foretaste(*pending)
    assert (again.code, "every pending joint run has its job in all" in again.out) == (0, True)
    assert {path: path.read_bytes() for path in before} == before
    assert len(json.loads(foretaste("ask", study, "--pending", "--json").out)) == 3
    assert foretaste("ask", study, "--drop", "all").code == 0
    assert "no joint run is pending" in refused(*pending)
