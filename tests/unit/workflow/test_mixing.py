import json
from pathlib import Path

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import torch
import yaml

from checkpoints import Checkpoints, language_recipe, sentences, table, transformers_recipe, translations
from commands import foretaste, refused
from foretaste.errors import DataError
from foretaste.loading import load
from foretaste.recipe import read
from foretaste.train.mixture import mixture
from foretaste.weights import TaskWeights, uniform
from foretaste.workflow.mixing import export_mixture
from foretaste.workflow.session import Session
from foretaste.workflow.start import start


@pytest.fixture
def recipe(tmp_path: Path, checkpoints: Checkpoints) -> Path:
    """Two tasks of completions, short ones and long ones, for a tiny GPT-2."""
    tasks = {}
    for seed, name in enumerate(("short", "long"), start=1):
        for part, count in (("train", 10), ("validation", 4)):
            rows = [{"prompt": f"{part} {place}", "completion": "one " * (3 * seed)} for place in range(count)]
            table(tmp_path / f"{name}-{part}.jsonl", rows)
        tasks[name] = (tmp_path / f"{name}-train.jsonl", tmp_path / f"{name}-validation.jsonl")
    return language_recipe(
        tmp_path / "tiny.yaml", checkpoints.gpt2, "causal-lm", tasks, finetune="{steps: 5, batch_size: 4}"
    )


def test_the_rows_are_those_of_the_joint_run_in_its_order(recipe: Path, tmp_path: Path) -> None:
    plan, text = read(recipe)
    problem, weights = load(plan, text, str(recipe)), TaskWeights(["short", "long"], [0.4, 0.6])
    session = start(plan, text, problem, tmp_path / "study")
    with session.study:
        manifest = export_mixture(session, tmp_path / "mix", weights)
    training = session.joint_training
    steps = mixture(
        problem.tasks, weights, training.steps, training.batch_size, torch.Generator().manual_seed(training.seed)
    )
    seen = pq.read_table(tmp_path / "mix" / "train.parquet").to_pylist()
    for place, step in enumerate(steps):
        expected = sorted((portion.task, f"train {index}") for portion in step for index in portion.indices)
        assert sorted((row["task"], row["prompt"]) for row in seen[4 * place : 4 * place + 4]) == expected
    tasks = manifest["tasks"]
    assert isinstance(tasks, dict)
    assert tasks["short"]["share_of_units"] == pytest.approx(0.4, abs=0.08)
    assert tasks["short"]["rows"] > tasks["long"]["rows"]


def test_the_command_writes_mixture_manifest_and_configurations(recipe: Path, tmp_path: Path) -> None:
    options = [
        "--study",
        tmp_path / "study",
        "-w",
        "uniform",
        "--mixture",
        "jsonl",
        "--trainer",
        "trl",
        "--trainer",
        "axolotl",
    ]
    found = foretaste("export", recipe, "--to", tmp_path / "mix", *options)
    assert found.code == 0, found.err
    assert "share of units" in found.out
    assert len((tmp_path / "mix" / "train.jsonl").read_text().splitlines()) == 20
    assert json.loads((tmp_path / "mix" / "manifest.json").read_text())["weights"] == {"short": 0.5, "long": 0.5}
    assert yaml.safe_load((tmp_path / "mix" / "trl.yaml").read_text())["num_train_epochs"] == 1
    assert (tmp_path / "mix" / "axolotl.yaml").is_file()
    assert "a mixture is rows, not a model" in refused(
        "export", recipe, "--to", tmp_path / "other", *options, "--joint"
    )
    assert "exists already" in refused("export", recipe, "--to", tmp_path / "mix", *options)


@pytest.mark.parametrize(
    ("finetune", "targets"),
    [("targets: [c_attn]", ["c_attn"]), ("targets: [h.0.mlp.c_proj]", ["transformer.h.0.mlp.c_proj"])],
)
def test_a_lora_recipe_is_exported_as_lora(recipe: Path, tmp_path: Path, finetune: str, targets: list[str]) -> None:
    """Two layers of the model end with c_proj, so the one with factors is written by its whole name."""
    lora = f"{{steps: 5, batch_size: 4, method: lora, r: 2, rslora: true, {finetune}}}"
    recipe.write_text(recipe.read_text().replace("{steps: 5, batch_size: 4}", lora))
    export = ["export", recipe, "--study", tmp_path / "study", "-w", "uniform", "--to", tmp_path / "mix"]
    assert (
        foretaste(*export, *(word for name in ("trl", "axolotl", "llama-factory") for word in ("--trainer", name))).code
        == 0
    )
    values = {
        name: yaml.safe_load((tmp_path / "mix" / f"{name}.yaml").read_text())
        for name in ("trl", "axolotl", "llama-factory")
    }
    assert values["trl"]["use_peft"] is True
    assert values["axolotl"]["adapter"] == values["llama-factory"]["finetuning_type"] == "lora"
    assert values["trl"]["lora_target_modules"] == values["axolotl"]["lora_target_modules"] == targets
    assert values["llama-factory"]["lora_target"] == ",".join(targets)
    assert [values["trl"][name] for name in ("lora_r", "lora_alpha", "use_rslora")] == [2, 4, True]


def test_frozen_modules_are_exported_or_refused(recipe: Path, tmp_path: Path) -> None:
    freeze = "{steps: 5, batch_size: 4, freeze: [wte, wpe, h.0]}"
    recipe.write_text(recipe.read_text().replace("{steps: 5, batch_size: 4}", freeze))
    export = ["export", recipe, "--study", tmp_path / "study", "-w", "uniform", "--to", tmp_path / "mix"]
    assert "the recipe freezes some modules" in refused(*export, "--trainer", "trl")
    assert foretaste(*export, "--trainer", "axolotl").code == 0
    trained = yaml.safe_load((tmp_path / "mix" / "axolotl.yaml").read_text())["unfrozen_parameters"]
    assert set(trained) == {"transformer.ln_f.weight$", "transformer.ln_f.bias$"}


def test_classifiers_have_mixtures_without_trainers(checkpoints: Checkpoints, tmp_path: Path) -> None:
    tasks = {
        name: (table(tmp_path / f"{name}.csv", sentences(8, 1)), table(tmp_path / f"{name}-v.csv", sentences(4, 9)))
        for name in "ab"
    }
    path = transformers_recipe(tmp_path / "tiny.yaml", checkpoints.bert, tasks)
    export = ["export", path, "--study", tmp_path / "study", "--to", tmp_path / "mix", "-w", "a=0.25,b=0.75"]
    assert "causal" in refused(*export, "--trainer", "trl")
    assert foretaste(*export, "--mixture", "parquet").code == 0
    assert pq.read_table(tmp_path / "mix" / "train.parquet")["task"].to_pylist().count("b") == 18


def test_translations_have_their_rows(checkpoints: Checkpoints, tmp_path: Path) -> None:
    pairs = {
        name: tuple(table(tmp_path / f"{name}{part}.jsonl", translations(6, part, part)) for part in (1, 2))
        for name in "ab"
    }
    path = language_recipe(
        tmp_path / "tiny.yaml", checkpoints.t5, "seq2seq", {name: (one, two) for name, (one, two) in pairs.items()}
    )
    assert (
        foretaste(
            "export",
            path,
            "--study",
            tmp_path / "study",
            "--to",
            tmp_path / "mix",
            "-w",
            "uniform",
            "--mixture",
            "jsonl",
        ).code
        == 0
    )
    assert set(json.loads((tmp_path / "mix" / "train.jsonl").read_text().splitlines()[0])) == {
        "source",
        "target",
        "task",
    }


def test_examples_without_rows_are_refused(session: Session, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="have no rows to write"):
        export_mixture(session, tmp_path / "mix", uniform(session.problem.names))


def test_a_study_folder_has_no_data(tmp_path: Path) -> None:
    assert "a mixture needs the tasks' data" in refused(
        "export", tmp_path, "--to", tmp_path / "mix", "--trainer", "trl"
    )
