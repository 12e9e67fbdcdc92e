import importlib
import json
import re
from pathlib import Path

import pytest
import yaml

from commands import foretaste
from foretaste.errors import RecipeError
from foretaste.recipe import parse, schema
from foretaste.sources import kinds as table
from foretaste.sources.kind import ModelKind
from foretaste.sources.kinds import (
    CAUSAL_LM,
    column_description,
    column_roles,
    kind_named,
    kinds,
    metric_names,
    register,
)
from toy_kind import SCORES

SOURCE = Path(__file__).parents[3] / "src" / "foretaste"
REFERENCES = ("auto_class", "load", "preparation", "predict", "loss", "metric")


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> ModelKind:
    """A kind that is in the table for one test."""
    monkeypatch.setattr(table, "_KINDS", {kind.name: kind for kind in kinds()})
    return register(SCORES)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A small study of the kind `SCORES`."""
    words = ("good", "fine", "great", "dull", "poor", "awful")
    for task, sign in (("praise", 1.0), ("blame", -1.0)):
        rows = [
            {"body": f"{word} {number}", "stars": sign * (1.0 - place / 3)}
            for number in range(4)
            for place, word in enumerate(words)
        ]
        (tmp_path / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"text": "body", "score": "stars"}
    plan = {
        "name": "scores",
        "model": {"source": "transformers", "path": "made-here", "kind": "text-scores", "max_length": 12},
        "tasks": {
            task: {"train": f"{task}.jsonl", "validation": f"{task}.jsonl", **columns} for task in ("praise", "blame")
        },
        "finetune": {"steps": 4, "batch_size": 8, "learning_rate": 1e-3},
        "preview": {"methods": ["simple", "diagonal"], "points": 3},
        "joint": {"points": 0},
    }
    path = tmp_path / "scores.yaml"
    path.write_text(yaml.safe_dump(plan, sort_keys=False))
    return path


@pytest.mark.usefixtures("scores")
def test_a_kind_of_one_s_own_is_studied_like_any_other(recipe: Path, tmp_path: Path) -> None:
    """A row of the table is all that a new kind needs: loss, columns, metrics and batches are its own."""
    study = tmp_path / "scores.study"
    for command in ("check", "fit", "preview"):
        arguments = [recipe] if command == "check" else [recipe, "--study", study]
        result = foretaste(command, *arguments)
        assert result.code == 0, result.err
    shown = json.loads(foretaste("show", study, "--json").out)
    rows = shown["rows"]
    assert {row["method"] for row in rows} >= {"simple", "diagonal"}
    assert all(set(row["metrics"]) == {"praise", "blame"} for row in rows)
    assert {name for row in rows for task in row["metrics"].values() for name in task} == {"loss", "r2"}


@pytest.mark.usefixtures("scores")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("score: stars", "label: stars"), "text-scores needs the name of the score column in 'score'"),
        (("text: body", "text: body\n    image: body"), "text-scores has no use for 'image'; it reads text, score"),
        (
            ("text: body", "metrics: [accuracy]\n    text: body"),
            "text-scores is not judged by accuracy; choose from r2, mean_abs",
        ),
        (("max_length: 12", "head: shared"), "text-scores has no heads to share"),
        (("text: body", "text: body\n    scoer: stars"), "scoer: unknown field"),
    ],
)
def test_recipes_are_checked_by_the_row(recipe: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        parse(recipe.read_text().replace(*change))


@pytest.mark.usefixtures("scores")
def test_editors_are_told_of_a_new_kind() -> None:
    kind = schema()["$defs"]["TransformersModel"]["properties"]["kind"]
    assert kind["enum"] == [row.name for row in kinds()]
    assert "text-scores" in kind["enum"]
    assert {"r2", "mean_absolute_error"} < set(metric_names())
    assert "score" in column_roles()


def test_an_unknown_kind_is_told_with_its_line_and_the_nearest_one() -> None:
    text = (
        "name: a\nmodel:\n  source: transformers\n  path: m\n  kind: causal_lm\ntasks: {a: {train: t, validation: v}}\n"
    )
    with pytest.raises(RecipeError, match=r"line 5, model\.kind: unknown kind 'causal_lm'; did you mean 'causal-lm'\?"):
        parse(text)
    with pytest.raises(RecipeError, match="there are text-classification, image-classification"):
        kind_named("quantum")


@pytest.mark.parametrize("kind", kinds(), ids=[kind.name for kind in kinds()])
def test_every_row_is_complete(kind: ModelKind) -> None:
    for name in REFERENCES:
        module, _, member = getattr(kind, name).partition(":")
        assert hasattr(importlib.import_module(module), member), name
    assert kind.headline in kind.metrics
    assert kind.metric_named(kind.headline)
    assert set(kind.required) <= set(kind.columns)
    assert {role for roles in kind.formats for role in roles} <= set(kind.columns)
    assert kind.new_loss().key or kind.units == ("example",) or kind.units[0] == "token"
    if kind.template:
        template = yaml.safe_load((SOURCE / "recipes" / f"{kind.template}.yaml").read_text())
        assert template["model"]["kind"] == kind.name


def test_columns_are_described_by_kind() -> None:
    assert (
        column_description("prompt") == f"{CAUSAL_LM.name}: column of what the completion follows; prompt if left out"
    )
    assert column_description("label") == "text-classification, image-classification: label column"


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_kinds_are_named_in_the_table_alone(path: Path) -> None:
    """Doctests may name a kind, as users do; code looks it up."""
    if path == SOURCE / "sources" / "kinds.py":
        return
    lines = [
        line
        for line in path.read_text().splitlines()
        if not line.strip().startswith((">>>", "...", "foretaste.errors."))
    ]
    pattern = "|".join(re.escape(kind.name) for kind in kinds())
    assert not [line for line in lines if re.search(pattern, line)]
