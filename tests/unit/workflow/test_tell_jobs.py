import json
from pathlib import Path

import pytest

from foretaste.errors import DataError
from foretaste.store.study import StudyStore
from foretaste.workflow.ask import ask, pending_runs
from foretaste.workflow.tell_jobs import preview_jobs, tell_jobs
from swarms import swarm


def job(study: StudyStore, folder: Path, **changes: object) -> Path:
    """The folder of a job that the study has proposed."""
    run = ask(study)[0]
    facts = {"study": "s", "proposal": run.key, "weights": dict(run.weights), "fidelity": "joint", "seed": 3}
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps(facts | changes))
    return folder


def test_files_are_read_in_their_order_and_told_once(tmp_path: Path) -> None:
    with swarm(tmp_path / "s") as study:
        folder = job(study, tmp_path / "mix" / "job-01")
        (folder / "out").mkdir()
        log = [{"eval_qa_accuracy": 0.1, "eval_coding_pass@1": 0.2}]
        (folder / "out" / "trainer_state.json").write_text(json.dumps({"log_history": log}))
        (folder / "results_1.json").write_text(json.dumps({"results": {"qa": {"accuracy,none": 0.3}}}))
        (folder / "metrics.json").write_text('{"coding": {"pass@10": 0.6}}')
        (result,) = preview_jobs(study, folder)
        assert result.files == ("metrics.json", "results_1.json", "out/trainer_state.json")
        assert str(tell_jobs(study, tmp_path / "mix")) == "1 new run"
        assert str(tell_jobs(study, tmp_path / "mix")) == "0 new runs, 1 already known"
        (row,) = study.evaluations_after(0)[0]
        assert row.metrics == {"qa": {"accuracy": 0.3}, "coding": {"pass@1": 0.2, "pass@10": 0.6}}
        assert (row.seed, pending_runs(study)) == (3, [])


def test_what_cannot_be_used_is_refused_with_its_reason(tmp_path: Path) -> None:
    with swarm(tmp_path / "s") as study:
        folder = job(study, tmp_path / "mix" / "job-01")
        for place, value in enumerate((0.3, 0.4)):
            (folder / f"results_{place}.json").write_text(json.dumps({"results": {"qa": {"accuracy,none": value}}}))
        with pytest.raises(DataError, match=r"job-01: several files .* 0.3 and 0.4"):
            tell_jobs(study, tmp_path / "mix")
        assert str(tell_jobs(study, tmp_path / "mix", skip_bad=True)) == "0 new runs"
        other = job(study, tmp_path / "mix" / "job-02", weights={"web": 0.2, "code": 0.8})
        assert "other weights than the study proposed" in preview_jobs(study, other)[0].fault
        lacking = job(study, tmp_path / "mix" / "job-03", seed=None)
        assert "lacks weights, seed or fidelity" in preview_jobs(study, lacking)[0].fault
        with pytest.raises(DataError, match="holds no job"):
            preview_jobs(study, tmp_path / "s")
