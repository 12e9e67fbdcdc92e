"""The Python front door: a script with a recipe, and models of transformers and PEFT in memory."""

import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

import foretaste as ft
from in_memory import SMALL, classifier, rows_of_tokens

SCRIPT = """
import foretaste as ft

with ft.Study("digits.study", RECIPE) as study:
    study.fit()
    study.preview(points=6)
    best = study.search(joint=1, previews=8, prefer="mean", floors=["all>=1%"])
    print(best)
    study.plot()
    print(len(study.rows.to_dict()) == len(study.rows))
    study.export("out", best.weights)
"""


def text_tasks() -> list[ft.Task]:
    return [
        ft.Task(name, rows_of_tokens(seed), rows_of_tokens(seed + 10), loss=ft.CrossEntropy())
        for seed, name in enumerate(("movies", "books"))
    ]


def previewed(folder: Path, model: nn.Module) -> tuple[frozenset[str], ft.Evaluations]:
    """Preview and recommend; returns the names of the trained parameters, and the rows."""
    parts: dict[str, dict[str, object]] = {
        "finetune": {"steps": 4, "batch_size": 4},
        "preview": {"points": 4, "methods": ["simple"]},
    }
    with ft.Study(
        folder, model=model, tasks=text_tasks(), progress=False, finetune=parts["finetune"], preview=parts["preview"]
    ) as study:
        rows = study.preview()
        assert study.recommend(method="simple").weights in {row.weights for row in rows}
        return frozenset(study.problem.trained), rows


def test_the_script_of_the_front_door_runs(tmp_path: Path) -> None:
    recipe = {"name": "digits", "model": {"source": "digits"}, **SMALL}
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("RECIPE", repr(recipe)))
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "True"
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_a_transformers_model_in_memory_is_previewed(tmp_path: Path) -> None:
    _, rows = previewed(tmp_path / "a.study", classifier())
    assert len({row.weights for row in rows}) == len(rows)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft asks transformers
def test_a_peft_model_in_memory_trains_its_adapter_alone(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["query", "value"], task_type="SEQ_CLS")
    trained, rows = previewed(tmp_path / "a.study", peft.get_peft_model(classifier(), config))
    assert trained
    assert all(".lora_" in name or "modules_to_save" in name for name in trained)
    assert len(rows) > 1
