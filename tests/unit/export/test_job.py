import json
from pathlib import Path

import pytest

from checkpoints import Checkpoints, language_recipe, table
from foretaste.evaluate import evaluate
from foretaste.export.job import JobRecord, write_job_files
from foretaste.export.job_measure import main
from foretaste.loading import load
from foretaste.params import tensors_of
from foretaste.recipe import read
from foretaste.weights import uniform


def test_what_is_measured_is_what_the_study_measures(checkpoints: Checkpoints, tmp_path: Path) -> None:
    rows = [{"prompt": f"say {place}", "completion": "one " * (1 + place)} for place in range(5)]
    files = table(tmp_path / "a.jsonl", rows), table(tmp_path / "b.jsonl", rows[:3])
    tasks = {"a": files, "b": files}
    plan, text = read(
        recipe := language_recipe(tmp_path / "tiny.yaml", checkpoints.gpt2, "causal-lm", tasks, "metrics: [perplexity]")
    )
    problem = load(plan, text, str(recipe))
    (folder := tmp_path / "job").mkdir()
    write_job_files(folder, JobRecord("tiny", "key", uniform(["a", "b"]), "joint", 7, "axolotl"), problem.tasks)
    assert "axolotl train axolotl.yaml" in (folder / "run.sh").read_text()
    main(folder, checkpoints.gpt2)
    measured = json.loads((folder / "metrics.json").read_text())["a"]
    own = evaluate(problem.model, tensors_of(problem.model), problem.tasks)
    assert measured["perplexity"] == pytest.approx(own["a"].metrics["perplexity"], rel=1e-4)
