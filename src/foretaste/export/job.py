"""What makes a mixture a job for another trainer: who asked for it, validation rows, and a script that runs it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from foretaste import __version__
from foretaste.export.settings import TRAINER_NAMES, Trainer
from foretaste.export.trainers import run_command
from foretaste.one_line import one_line
from foretaste.sources.job_results import JOB
from foretaste.sources.kinds import CAUSAL_LM
from foretaste.task import Task
from foretaste.weights import TaskWeights

__all__ = ["JobRecord", "write_job_files"]

_MEASURED = ("loss", "perplexity", "token_accuracy", "exact_match")


@dataclass(frozen=True)
class JobRecord:
    """A proposed run, as its job's folder names it.

    Args:
        study: The study's name.
        proposal: Key of the proposal in the study.
        weights: alpha.
        fidelity: How the run is made.
        seed: Seed of the run.
        trainer: The trainer that runs it.
    """

    study: str
    proposal: str
    weights: TaskWeights
    fidelity: str
    seed: int
    trainer: Trainer

    __repr__ = one_line


def write_job_files(folder: Path, record: JobRecord, tasks: Sequence[Task]) -> None:
    """Write ``job.json``, ``run.sh``, ``measure.py`` and every task's validation rows.

    Args:
        folder: Has the mixture and the trainer's configuration.
        record: The run.
        tasks: The study's tasks.
    """
    files = {task.name: f"validation-{task.name}.jsonl" for task in tasks}
    for task in tasks:
        _write_validation_rows(folder / files[task.name], task)
    text = Path(__file__).with_name("job_measure.py").read_text(encoding="utf-8")
    (folder / "measure.py").write_text(text, encoding="utf-8")
    (folder / "run.sh").write_text(_script(record, tasks), encoding="utf-8")
    (folder / "run.sh").chmod(0o755)
    facts = {
        "foretaste": __version__,
        "study": record.study,
        "proposal": record.proposal,
        "weights": dict(record.weights),
        "fidelity": record.fidelity,
        "seed": record.seed,
        "trainer": record.trainer,
        "validation": files,
    }
    (folder / JOB).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_validation_rows(path: Path, task: Task) -> None:
    """Write a task's validation rows as tokens, with the labels that count and their places."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for index in range(len(task.validation)):
            batch = task.collate([task.validation[index]])
            places = task.loss.counts(batch)[0].nonzero().flatten()
            row = {"input_ids": batch["input_ids"][0], "places": places, "labels": batch["labels"][0][places]}
            file.write(json.dumps({name: tensor.tolist() for name, tensor in row.items()}) + "\n")


def _script(record: JobRecord, tasks: Sequence[Task]) -> str:
    shares = ", ".join(f"{task} {share:.1%}" for task, share in record.weights.items())
    return f"""#!/usr/bin/env bash
# A joint run that the study {record.study!r} proposed: {shares}. Written by foretaste {__version__}.
#
# Trains with {TRAINER_NAMES[record.trainer]}, which must be installed, measures every task's validation rows
# (measure.py: loss, perplexity, token accuracy, exact match) and writes metrics.json into this folder:
#   {{"TASK": {{"METRIC": NUMBER, ...}}, ...}}
# PYTHON names the Python that measures. The folder may be copied to another machine, and its metrics.json back.
# Then tell the study: foretaste tell STUDY --from FOLDER
{_unmeasured(_missing_metrics(tasks))}set -euo pipefail
cd "$(dirname "${{BASH_SOURCE[0]}}")"
if [ -e metrics.json ]; then
    echo "metrics.json is there already; remove it to train again"
    exit 0
fi
{run_command(record.trainer, CAUSAL_LM)}
"${{PYTHON:-python}}" measure.py trained-by-{record.trainer}
echo "wrote $PWD/metrics.json; now tell the study: foretaste tell STUDY --from $PWD"
"""


def _missing_metrics(tasks: Sequence[Task]) -> Mapping[str, Sequence[str]]:
    """Find the metrics of each task that the script cannot measure."""
    missing = {task.name: [metric.name for metric in task.metrics if metric.name not in _MEASURED] for task in tasks}
    return {task: names for task, names in missing.items() if names}


def _unmeasured(missing: Mapping[str, Sequence[str]]) -> str:
    if not missing:
        return ""
    listing = "; ".join(f"{task}: {', '.join(names)}" for task, names in missing.items())
    return (
        f"# Not measured here: {listing}. Add them to metrics.json, or put results of lm-evaluation-harness here\n"
        "# (lm_eval --output_path).\n"
    )
