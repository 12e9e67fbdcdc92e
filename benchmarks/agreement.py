"""Previews against joint finetuning on the benchmark suites: results as JSON, and a page made from them.

    foretaste run benchmarks/recipes/SUITE.yaml --study DIR --var seed=0 ...   # hours on two cores; resumes
    python benchmarks/agreement.py DIR [DIR ...]                               # seconds

Each study becomes ``benchmarks/results/SUITE-seedN.json``; ``docs/agreement.md`` is written from all of
these. Without studies only the page is written.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foretaste.report.summary import summarise, to_json
from foretaste.store.study import Study
from foretaste.workflow.outcome import look

ROOT = Path(__file__).parent
RESULTS = ROOT / "results"
PAGE = ROOT.parent / "docs" / "agreement.md"

_COMMAND = "foretaste run benchmarks/recipes/{name}.yaml --var seed={seed}"
_COLUMNS = ("mean_error", "rank_mean", "rank_worst", "rank_top", "regret_mean", "regret_worst", "spread")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", type=Path)
    for folder in parser.parse_args().studies:
        keep(folder)
    PAGE.write_text(page(results()))
    print(f"wrote {PAGE}")


def keep(folder: Path) -> None:
    """Write one study's outcome to the results."""
    with Study.open(folder) as study:
        found = look(study)
    provenance = {key: value for key, value in found.provenance.items() if key != "model"}  # a path of one machine
    summary = summarise(
        found.surface,
        name=found.name,
        method=found.method,
        preference=found.preference,
        floors=found.floors,
        provenance=provenance,
        costs=found.costs,
    )
    seed = found.provenance["seed"]
    data = {"command": _COMMAND.format(name=found.name, seed=seed), "seed": int(seed), **to_json(summary)}
    path = RESULTS / f"{found.name}-seed{seed}.json"
    path.write_text(json.dumps(data, indent=1) + "\n")
    print(f"wrote {path}")


def results() -> dict[str, list[dict[str, Any]]]:
    """All kept results by suite."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(RESULTS.glob("*-seed*.json")):
        data = json.loads(path.read_text())
        found.setdefault(data["name"], []).append(data)
    return found


def page(suites: dict[str, list[dict[str, Any]]]) -> str:
    """The page, from the results alone."""
    parts = [
        "# Previews against joint finetuning",
        "",
        "Written by `python benchmarks/agreement.py` from `benchmarks/results/`. Every joint run is a real training run;",
        "previews and joint runs are judged on the same validation data. *Error* is the mean absolute difference of the",
        "headline metric, preview against joint, over weightings and tasks; *rank* is Spearman's correlation over the",
        "weightings, of the mean over tasks, of the worst task, and of the mean among the best quarter (at least 3 points);",
        "*regret* is what choosing by preview gives up in the joint metric; *spread* is the range of the joint mean: what",
        "there is to choose. With several seeds: mean, and smallest to largest in brackets. The recipes say which other `--var`",
        "their commands need: where data and pretrained models lie.",
        "",
    ]
    for name, runs in suites.items():
        parts += _suite(name, runs)
    reading = ROOT / "results" / "reading.md"
    return "\n".join(parts) + ("\n" + reading.read_text() if reading.is_file() else "")


def _suite(name: str, runs: Sequence[dict[str, Any]]) -> list[str]:
    facts = runs[0]["provenance"]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    lines = [
        f"## {name}",
        "",
        f"- {facts['architecture']}; {facts['training']}; curvature: {facts['curvature']}; prior precision {facts['prior precision']}",
        f"- command: `{runs[0]['command']}`" + (f" (seeds {seeds})" if len(runs) > 1 else ""),
        f"- {facts['versions']}",
        f"- seconds: {', '.join(f'{kind} {seconds:.0f}' for kind, seconds in runs[0]['costs'].items())}",
        "",
        "| preview | points | error | rank mean | rank worst | rank top | regret mean | regret worst | spread |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for method in [each["method"] for each in runs[0]["agreements"]]:
        found = [next(each for each in run["agreements"] if each["method"] == method) for run in runs]
        cells = [_cell([each[column] for each in found]) for column in _COLUMNS]
        lines.append(f"| {method} | {found[0]['points']} | {' | '.join(cells)} |")
    tasks = list(runs[0]["agreements"][0]["error"])
    lines += ["", "| preview | " + " | ".join(f"{task}: error, rank, error of the loss" for task in tasks) + " |"]
    lines.append("|---|" + "---|" * len(tasks))
    for method in [each["method"] for each in runs[0]["agreements"]]:
        found = [next(each for each in run["agreements"] if each["method"] == method) for run in runs]
        cells = [
            ", ".join(_cell([each[part][task] for each in found]) for part in ("error", "rank", "loss_error")) for task in found[0]["error"]
        ]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return [*lines, ""]


def _cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    if len(values) == 1:
        return f"{known[0]:.3f}"
    return f"{statistics.mean(known):.3f} [{min(known):.3f}, {max(known):.3f}]"


if __name__ == "__main__":
    main()
