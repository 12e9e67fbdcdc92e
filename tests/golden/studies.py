"""Four small studies, and what each of them gave when its golden file was written.

A golden file holds a fingerprint of every piece of work, every row, and the recommendation. A key is the hash of all
that a piece of work depends on, the bits of params among it, and these differ between processors. A fingerprint hashes
the same inputs with names in place of such bits: a hash of params is the fingerprint of the work that made them. So it
shows when a study would no longer find its own work, on any machine. Numbers are rounded to six digits.
"""

import hashlib
import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers

import checkpoints
from commands import foretaste
from problems import digits_recipe

__all__ = ["FIXTURE", "FOLDER", "STUDIES", "fingerprints", "keep_small_study", "outcome", "rounded", "run"]

FOLDER = Path(__file__).parent
FIXTURE = FOLDER / "study-0.1"  # a finished study as version 0.1 leaves it; never written anew by later versions
_DIGITS = 6
_MEASURED = ("base", "prior_precision", "trust", "tries")  # inputs that hold bits of params, or what was found by them


def _digits(folder: Path) -> Path:
    methods = "[simple, diagonal, kronecker, lowrank, variational, mixture, ensemble, anchored]"
    return digits_recipe(folder, finetune_steps="18", preview_points="3", preview_methods=methods, ensemble_members="2")


def _text(folder: Path) -> Path:
    for name, ending, seed in (("movies", "jsonl", 1), ("books", "csv", 2)):
        checkpoints.table(folder / f"{name}.{ending}", checkpoints.sentences(24, seed))
        checkpoints.table(folder / f"{name}_validation.{ending}", checkpoints.sentences(12, seed + 10))
    data = {
        "movies": (Path("movies.jsonl"), Path("movies_validation.jsonl")),
        "books": (Path("books.csv"), Path("books_validation.csv")),
    }
    recipe = checkpoints.transformers_recipe(folder / "tiny.yaml", checkpoints.bert(folder / "bert"), data)
    return _with_methods(recipe, "simple, diagonal, ensemble, anchored")


def _image(folder: Path) -> Path:
    shades, signs = ["dark", "light"], ["hands", "signs", "words"]
    parquets = [checkpoints.parquet(folder / f"{part}.parquet", count, seed, shades) for part, count, seed in _PARTS]
    folders = [checkpoints.image_folder(folder / part, count + 1, seed + 2, signs) for part, count, seed in _PARTS]
    data = {"shades": (parquets[0], parquets[1]), "signs": (folders[0], folders[1])}
    recipe = checkpoints.transformers_recipe(folder / "tiny.yaml", checkpoints.vit(folder / "vit"), data, kind="image")
    return _with_methods(recipe, "simple, diagonal, ensemble, anchored")


def _language(folder: Path) -> Path:
    tasks = {}
    for name, shift in (("near", 1), ("far", 3)):
        for part, count in (("", 20), ("_validation", 6)):
            checkpoints.table(folder / f"{name}{part}.jsonl", checkpoints.translations(count, shift + count, shift))
        tasks[name] = (Path(f"{name}.jsonl"), Path(f"{name}_validation.jsonl"))
    columns = "prompt: source, completion: target, metrics: [perplexity, token_accuracy, exact_match]"
    recipe = checkpoints.language_recipe(
        folder / "tiny.yaml", checkpoints.gpt2(folder / "gpt2"), "causal-lm", tasks, columns
    )
    return _with_methods(recipe, "simple, diagonal, ensemble, anchored")


_PARTS = (("train", 16, 1), ("validation", 8, 2))


def _with_methods(recipe: Path, methods: str) -> Path:
    text = recipe.read_text()
    recipe.write_text(text.replace("preview: {points: 3}", f"preview: {{points: 3, methods: [{methods}]}}"))
    return recipe


STUDIES: Mapping[str, Callable[[Path], Path]] = {
    "digits": _digits,
    "text": _text,
    "image": _image,
    "language": _language,
}
"""By name: what writes recipe, model and data into a folder, and returns the recipe's path."""


def run(name: str, folder: Path) -> dict[str, object]:
    """Run a study from scratch in an empty folder, and return its outcome."""
    recipe = STUDIES[name](folder)
    done = foretaste("run", recipe, "--study", folder / "study", "--json")
    assert done.code == 0, done.err
    return outcome(folder / "study", json.loads(done.out)["recommendation"])


def outcome(study: Path, recommendation: object) -> dict[str, object]:
    """The keys, the rows and the recommendation of a finished study; seconds and places are left out."""
    connection = sqlite3.connect(study / "study.db")
    try:
        work = list(connection.execute("SELECT kind, key, inputs, artefact FROM work"))
        rows = list(
            connection.execute("SELECT key, weights, fidelity, method, seed, metrics FROM evaluations ORDER BY id")
        )
    finally:
        connection.close()
    marks = fingerprints([(kind, key, json.loads(inputs), artefact) for kind, key, inputs, artefact in work])
    return {
        "work": sorted([kind, marks[key]] for kind, key, *_ in work),
        "rows": [
            {
                "key": marks[key],
                "weights": json.loads(weights),
                "fidelity": fidelity,
                "method": method,
                "seed": seed,
                "metrics": rounded(json.loads(metrics)),
            }
            for key, weights, fidelity, method, seed, metrics in rows
        ],
        "recommendation": rounded(recommendation),
    }


def fingerprints(work: Sequence[tuple[str, str, Mapping[str, Any], str | None]]) -> dict[str, str]:
    """A fingerprint of each piece of work by its key; the same on every processor.

    Args:
        work: Kind, key, inputs, and hash of the tensors that it made, or None.
    """
    makers = {artefact: key for _, key, _, artefact in work if artefact}
    by_key = {key: (kind, inputs) for kind, key, inputs, _ in work}

    @cache
    def mark(key: str) -> str:
        kind, inputs = by_key[key]
        text = json.dumps([kind, named(inputs)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def named(value: object, field: str = "") -> object:
        match value:
            case dict():
                return {name: named(each, name) for name, each in value.items()}
            case list():
                return [named(each, field) for each in value]
            case str() if value in makers or value in by_key:
                return mark(makers.get(value, value))
            case _ if field in _MEASURED:
                return field
        return value

    return {key: mark(key) for key in by_key}


def rounded(value: object) -> object:
    """Every number in a document with six digits."""
    match value:
        case float():
            return float(f"{value:.{_DIGITS}g}")
        case dict():
            return {name: rounded(each) for name, each in value.items()}
        case list():
            return [rounded(each) for each in value]
    return value


def keep_small_study(target: Path) -> None:
    """Run a small digits study and keep its folder, with what `foretaste show` recommends beside it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        recipe = digits_recipe(
            place, finetune_steps="10", preview_points="3", joint_points="1", curvature_max_examples="20"
        )
        done = foretaste("run", recipe, "--study", place / "study", "--json")
        assert done.code == 0, done.err
        (place / "study" / "report.html").unlink()
        shutil.copytree(place / "study", target, ignore=shutil.ignore_patterns("*.lock", "running"))
    target.with_name(f"{target.name}.json").write_text(
        json.dumps(json.loads(done.out)["recommendation"], indent=1) + "\n"
    )


def _main(names: list[str]) -> None:
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    for name in names or STUDIES:
        with tempfile.TemporaryDirectory() as folder:
            datasets.config.HF_DATASETS_CACHE = Path(folder) / "cache"
            found = run(name, Path(folder))
        (FOLDER / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
