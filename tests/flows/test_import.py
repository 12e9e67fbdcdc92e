"""Models that were trained elsewhere: checkpoints and adapters merged where they are, and as a study's own."""

import json
import shutil
from pathlib import Path

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from checkpoints import Checkpoints, sentences, table, transformers_recipe
from commands import contents, foretaste, refused
from foretaste.merge import merge
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.site import GaussianSite, Record
from foretaste.sources.loop import capture
from foretaste.sources.posterior_callback import PosteriorCallback
from foretaste.sources.site_file import NAME, load_site, save_site
from foretaste.store.study import StudyStore
from foretaste.weights import TaskWeights

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # PEFT asks for it

LABELS = {0: "bad", 1: "good"}


def expert(base: Path, folder: Path, seed: int, labels: dict[int, str] | None = None) -> Path:
    """The base with noise and a head, as a Trainer would leave it."""
    torch.manual_seed(seed)
    model = transformers.BertForSequenceClassification.from_pretrained(base, num_labels=2)
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    model.config.id2label, model.config.label2id = (
        labels or LABELS,
        {label: place for place, label in (labels or LABELS).items()},
    )
    model.save_pretrained(folder)
    for file in base.glob("tokenizer*"):
        shutil.copyfile(file, folder / file.name)
    return folder


def adapter(base: Path, folder: Path, seed: int, rank: int = 2) -> Path:
    """A LoRA adapter of the base with a head of its own, by PEFT."""
    torch.manual_seed(seed)
    model = transformers.BertForSequenceClassification.from_pretrained(base, num_labels=2)
    config = peft.LoraConfig(
        task_type="SEQ_CLS", r=rank, lora_alpha=3, target_modules=["query", "dense"], init_lora_weights=False
    )
    peft.get_peft_model(model, config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, checkpoints: Checkpoints) -> Path:
    """Two experts, two adapters, and a recipe with their tasks' data."""
    folder = tmp_path_factory.mktemp("import")
    for seed, name in enumerate(("movies", "books"), start=1):
        expert(checkpoints.bert, folder / f"{name}-expert", seed)
        adapter(checkpoints.bert, folder / f"{name}-adapter", seed, rank=1 + seed)
        table(folder / f"{name}.jsonl", sentences(24, seed))
        table(folder / f"{name}_validation.jsonl", sentences(12, seed + 10))
    tasks = {name: (Path(f"{name}.jsonl"), Path(f"{name}_validation.jsonl")) for name in ("movies", "books")}
    transformers_recipe(folder / "tiny.yaml", checkpoints.bert, tasks)
    return folder


def bring(place: Path, study: Path, kind: str, *options: object) -> str:
    tasks = [word for name in ("movies", "books") for word in ("--task", f"{name}={place / f'{name}-{kind}'}")]
    found = foretaste("import", study, *tasks, *options)
    assert found.code == 0, found.err
    return found.out


def loss_by_peft(place: Path, checkpoints: Checkpoints) -> float:
    """The validation loss of the adapter for books, as PEFT loads it."""
    torch.manual_seed(0)
    model = peft.PeftModel.from_pretrained(
        transformers.BertForSequenceClassification.from_pretrained(checkpoints.bert, num_labels=2),
        place / "books-adapter",
    ).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints.bert)
    data = [json.loads(line) for line in (place / "books_validation.jsonl").read_text().splitlines()]
    with torch.no_grad():
        logits = torch.cat([model(**tokenizer(row["text"], return_tensors="pt")).logits for row in data])
    labels = torch.tensor([("bad", "good").index(row["label"]) for row in data])
    return float(torch.nn.functional.cross_entropy(logits, labels))


class TestWithoutARecipe:
    def test_checkpoints_are_averaged_into_one_that_transformers_loads(
        self, place: Path, checkpoints: Checkpoints, tmp_path: Path
    ) -> None:
        base = expert(checkpoints.bert, tmp_path / "base", 0)
        assert f"next: foretaste export {tmp_path / 'study'}" in bring(
            place, tmp_path / "study", "expert", "--base", base
        )
        found = foretaste("export", tmp_path / "study", "--to", tmp_path / "merged", "-w", "movies=0.25,books=0.75")
        assert found.code == 0, found.err
        one, two = (load_file(place / f"{name}-expert" / "model.safetensors") for name in ("movies", "books"))
        merged = load_file(tmp_path / "merged" / "model.safetensors")
        for name, tensor in merged.items():
            assert torch.allclose(tensor, 0.25 * one[name] + 0.75 * two[name], atol=1e-6)
        assert (
            transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged").config.id2label
            == LABELS
        )
        assert transformers.AutoTokenizer.from_pretrained(tmp_path / "merged").vocab_size
        assert json.loads((tmp_path / "merged" / "foretaste.json").read_text())["weights"] == {
            "movies": 0.25,
            "books": 0.75,
        }

    def test_a_memory_budget_changes_nothing_but_the_pieces(
        self, place: Path, checkpoints: Checkpoints, tmp_path: Path
    ) -> None:
        bring(place, tmp_path / "study", "expert", "--base", expert(checkpoints.bert, tmp_path / "base", 0))
        export = ["export", tmp_path / "study", "-w", "movies=0.25,books=0.75"]
        for name, options in (("free", []), ("tight", ["--memory", "2MiB"])):
            assert foretaste(*export, "--to", tmp_path / name, *options).code == 0
        free, tight = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("free", "tight"))
        assert free == tight
        said = refused(*export, "--to", tmp_path / "x", "--memory", "100KiB")
        assert "a memory budget of 0.1 MiB is too small: the buffers for a slice (tasks: 2, weightings: 1)" in said
        assert not (tmp_path / "x").exists()

    def test_a_corner_is_the_expert_bit_for_bit(self, place: Path, checkpoints: Checkpoints, tmp_path: Path) -> None:
        bring(place, tmp_path / "study", "expert", "--base", expert(checkpoints.bert, tmp_path / "base", 0))
        assert foretaste("export", tmp_path / "study", "--to", tmp_path / "merged", "-w", "movies=0,books=1").code == 0
        expected = load_file(place / "books-expert" / "model.safetensors")
        merged = load_file(tmp_path / "merged" / "model.safetensors")
        assert all(tensor.equal(expected[name]) for name, tensor in merged.items())

    @pytest.mark.parametrize(("asked", "scale"), [([], 0.5), (["--prior-precision", 0.25], 0.25)])
    def test_curvature_beside_the_experts_weighs(
        self, place: Path, checkpoints: Checkpoints, tmp_path: Path, asked: list[object], scale: float
    ) -> None:
        base = expert(checkpoints.bert, tmp_path / "base", 0)
        for name, height in (("movies", 1.0), ("books", 0.0)):
            shutil.copytree(place / f"{name}-expert", tmp_path / f"{name}-expert")
            params = load_file(tmp_path / f"{name}-expert" / "model.safetensors")
            curvature = Diagonal({key: torch.full_like(tensor, height) for key, tensor in params.items()})
            save_site(
                GaussianSite(params, curvature, record=Record("token")), tmp_path / f"{name}-expert" / NAME, mean=False
            )
        assert "from its site file" in bring(tmp_path, tmp_path / "study", "expert", "--base", base)
        options = ["-w", "uniform", "--method", "diagonal", *asked]
        assert foretaste("export", tmp_path / "study", "--to", tmp_path / "merged", *options).code == 0
        facts = json.loads((tmp_path / "merged" / "foretaste.json").read_text())
        assert facts["prior precision"] == pytest.approx(scale)
        own, one, two = (
            load_file(tmp_path / f"{name}" / "model.safetensors") for name in ("base", "movies-expert", "books-expert")
        )
        for name, tensor in load_file(tmp_path / "merged" / "model.safetensors").items():
            expected = own[name] + (
                0.5 * (scale + 1) * (one[name] - own[name]) + 0.5 * scale * (two[name] - own[name])
            ) / (scale + 0.5)
            assert torch.allclose(tensor, expected, atol=1e-5)

    def test_from_a_trainer_to_a_merge_by_curvature(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        """The callback's file lies beside the checkpoint, and all there is to do is to name the folder."""
        for seed, name in enumerate(("code", "math"), start=1):
            rows = torch.randint(3, 20, (16, 6), generator=torch.Generator().manual_seed(seed))
            settings = transformers.TrainingArguments(
                tmp_path / name, max_steps=2, report_to=[], use_cpu=True, save_strategy="no", seed=seed
            )
            model = transformers.GPT2LMHeadModel.from_pretrained(checkpoints.gpt2)
            data = [{"input_ids": row, "labels": row} for row in rows]
            trainer = transformers.Trainer(
                model, settings, train_dataset=data, callbacks=[PosteriorCallback(mean=False, max_examples=8)]
            )
            trainer.train()
            trainer.save_model()
        tasks = [word for name in ("code", "math") for word in ("--task", f"{name}={tmp_path / name}")]
        found = foretaste("import", tmp_path / "study", "--base", checkpoints.gpt2, *tasks)
        assert found.out.count("from its site file") == 2
        options = ["-w", "code=0.3,math=0.7", "--method", "diagonal"]
        found = foretaste("export", tmp_path / "study", "--to", tmp_path / "merged", *options)
        assert found.code == 0, found.err
        sites = {
            name: load_site(tmp_path / name / NAME, load_file(tmp_path / name / "model.safetensors"))
            for name in ("code", "math")
        }
        facts = json.loads((tmp_path / "merged" / "foretaste.json").read_text())
        prior = Gaussian(load_file(checkpoints.gpt2 / "model.safetensors"), Isotropic(facts["prior precision"]))
        expected = merge(prior, sites, TaskWeights(["code", "math"], [0.3, 0.7])).params
        for name, tensor in load_file(tmp_path / "merged" / "model.safetensors").items():
            assert torch.allclose(tensor, expected[name], atol=1e-6)

    def test_adapters_add_up_exactly(self, place: Path, checkpoints: Checkpoints, tmp_path: Path) -> None:
        bring(place, tmp_path / "study", "adapter")
        assert foretaste("export", tmp_path / "study", "--to", tmp_path / "sum", "-w", "movies=0.5,books=0.5").code == 0
        facts = json.loads((tmp_path / "sum" / "foretaste.json").read_text())
        assert (facts["ranks"], facts["relative error of the reduction"]) == ([5], 0.0)
        weights = []
        for folder in (place / "movies-adapter", place / "books-adapter", tmp_path / "sum"):
            model = transformers.BertForSequenceClassification.from_pretrained(checkpoints.bert, num_labels=2)
            merged = peft.PeftModel.from_pretrained(model, folder).merge_and_unload()
            weights.append(merged.bert.encoder.layer[0].attention.self.query.weight.detach())
        assert torch.allclose(weights[2], (weights[0] + weights[1]) / 2, atol=1e-5)

    def test_a_rank_is_reached_and_its_error_told(self, place: Path, tmp_path: Path) -> None:
        bring(place, tmp_path / "study", "adapter")
        found = foretaste(
            "export", tmp_path / "study", "--to", tmp_path / "sum", "-w", "uniform", "--rank", 2, "--json"
        )
        facts = json.loads(found.out)
        assert facts["ranks"] == [2]
        assert 0 < facts["relative error of the reduction"] < 1
        shown = foretaste("export", tmp_path / "study", "--to", tmp_path / "shown", "-w", "uniform", "--rank", 2).out
        assert (
            f"reduced to rank 2: relative error {facts['relative error of the reduction']:.3g} of the merge's norm"
            in shown
        )
        said = refused("export", tmp_path / "study", "--to", tmp_path / "x", "-w", "uniform", "--memory", "1GiB")
        assert "a memory budget is for checkpoints, and these experts are adapters" in said

    def test_an_adapter_of_another_base_is_refused(self, place: Path, checkpoints: Checkpoints, tmp_path: Path) -> None:
        wide = transformers.BertConfig(
            vocab_size=20, hidden_size=32, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
        )
        transformers.BertModel(wide).save_pretrained(tmp_path / "wide")
        query = "encoder.layer.0.attention.self.query"
        for base, said in (
            (tmp_path / "wide", f"changes bert.{query} by [16, 16], and {query}.weight of the base is [32, 32]"),
            (checkpoints.gpt2, f"changes bert.{query}, which the base does not have"),
        ):
            message = refused(
                "import", tmp_path / "study", "--base", base, "--task", f"books={place / 'books-adapter'}"
            )
            assert said in message
            assert "give the base that the adapter was trained on (--base)" in message
        assert not (tmp_path / "study").exists()
        assert "trained on" not in bring(place, tmp_path / "study", "adapter", "--base", checkpoints.bert)

    def test_nothing_of_the_study_is_replaced(self, place: Path, checkpoints: Checkpoints, tmp_path: Path) -> None:
        """Not even what foretaste wrote itself, if it was imported since."""
        bring(place, tmp_path / "study", "adapter")
        export = ["export", tmp_path / "study", "-w", "uniform", "--overwrite", "--to"]
        assert foretaste(*export, tmp_path / "sum").code == 0
        assert foretaste("import", tmp_path / "study", "--task", f"movies={tmp_path / 'sum'}").code == 0
        before = contents(tmp_path)
        for target, said in (
            (tmp_path / "sum", "sum is the imported model of task 'movies'"),
            (place / "books-adapter", "is the imported model of task 'books'"),
            (place, "holds the imported model of task 'books'"),
            (tmp_path / "study", "is the study's folder"),
        ):
            assert said in refused(*export, target)
        own = ["export", place / "tiny.yaml", "--study", tmp_path / "study", "-w", "uniform", "--overwrite", "--to"]
        assert "bert is the recipe's model" in refused(*own, checkpoints.bert)
        assert "holds the recipe's model" in refused(*own, checkpoints.bert.parent)
        assert "holds the training data of task 'movies'" in refused(*own, place)
        assert {name: found for name, found in contents(tmp_path).items() if "study" not in name} == {
            name: found for name, found in before.items() if "study" not in name
        }

    def test_what_is_in_the_way_is_told(self, place: Path, checkpoints: Checkpoints, tmp_path: Path) -> None:
        bring(place, tmp_path / "study", "expert")
        export = ["export", tmp_path / "study", "--to", tmp_path / "merged"]
        assert "needs --weights" in refused(*export)
        assert "needs the model they come from" in refused(*export, "-w", "uniform")
        assert "movies" in refused(*export, "-w", "news=1")
        assert (
            foretaste("import", tmp_path / "study", "--base", expert(checkpoints.bert, tmp_path / "base", 0)).code == 0
        )
        assert "has no curvature beside it" in refused(*export, "-w", "uniform", "--method", "diagonal")
        assert "method kronecker needs a recipe" in refused(*export, "-w", "uniform", "--method", "kronecker")
        assert "--joint needs a recipe" in refused(*export, "-w", "uniform", "--joint")
        assert "--prior-precision is for --method diagonal" in refused(*export, "-w", "uniform", "--prior-precision", 1)
        assert "--prior-precision is for merges" in refused(
            "export", place / "tiny.yaml", "--to", tmp_path / "x", "--prior-precision", 1
        )
        assert "rank is for sums of adapters" in refused(*export, "-w", "uniform", "--rank", 2)
        assert not (tmp_path / "merged").exists()
        shutil.copytree(place / "movies-adapter", tmp_path / "one")
        assert foretaste("import", tmp_path / "study", "--task", f"movies={tmp_path / 'one'}").code == 0
        assert "do not merge without a recipe: adapter, checkpoint" in refused(*export, "-w", "uniform")
        shutil.rmtree(tmp_path / "one")
        assert "import it again" in refused(*export, "-w", "uniform")

    def test_an_expert_that_changed_since_it_was_imported(
        self, place: Path, checkpoints: Checkpoints, tmp_path: Path
    ) -> None:
        for name in ("movies", "books"):
            shutil.copytree(place / f"{name}-expert", tmp_path / f"{name}-expert")
        bring(tmp_path, tmp_path / "study", "expert", "--base", expert(checkpoints.bert, tmp_path / "base", 0))
        shutil.copyfile(place / "movies-expert" / "model.safetensors", tmp_path / "books-expert" / "model.safetensors")
        said = refused("export", tmp_path / "study", "--to", tmp_path / "merged", "-w", "uniform")
        assert "books-expert has changed since it was imported for task 'books'" in said
        assert not (tmp_path / "merged").exists()

    def test_a_number_that_is_none_is_named_and_nothing_is_left(
        self, place: Path, checkpoints: Checkpoints, tmp_path: Path
    ) -> None:
        for name in ("movies", "books"):
            shutil.copytree(place / f"{name}-expert", tmp_path / f"{name}-expert")
        params = load_file(tmp_path / "books-expert" / "model.safetensors")
        params["classifier.weight"][1, 3] = float("nan")
        save_file(params, tmp_path / "books-expert" / "model.safetensors", metadata={"format": "pt"})
        bring(tmp_path, tmp_path / "study", "expert", "--base", expert(checkpoints.bert, tmp_path / "base", 0))
        said = refused("export", tmp_path / "study", "--to", tmp_path / "merged", "-w", "uniform")
        assert "books" in said
        assert "classifier.weight" in said
        assert not [path.name for path in tmp_path.iterdir() if "merged" in path.name]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ([], "nothing to import"),
            (["--task", "code"], "is not NAME=FOLDER"),
            (["--task", "code=no-such"], "no-such does not exist"),
            (["--task", "code=a", "--task", "code=b"], "twice"),
        ],
    )
    def test_nothing_is_made_where_nothing_fits(self, tmp_path: Path, arguments: list[str], said: str) -> None:
        assert said in refused("import", tmp_path / "study", *arguments)
        assert not (tmp_path / "study").exists()

    def test_a_pickle_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "expert").mkdir()
        (tmp_path / "expert" / "pytorch_model.bin").touch()
        said = refused("import", tmp_path / "study", "--task", f"code={tmp_path / 'expert'}")
        assert "pytorch_model.bin is a pickle" in said


class TestWithARecipe:
    def test_the_experts_take_the_place_of_training(self, place: Path, tmp_path: Path) -> None:
        bring(place, tmp_path / "study", "expert")
        found = foretaste("run", place / "tiny.yaml", "--study", tmp_path / "study", "--json")
        assert found.code == 0, found.err
        assert "single-task finetuning" not in found.err  # there is nothing to do
        rows = json.loads(
            foretaste(
                "preview", place / "tiny.yaml", "--study", tmp_path / "study", "-w", "books=1,movies=0", "--json"
            ).out
        )
        model = transformers.AutoModelForSequenceClassification.from_pretrained(place / "books-expert").eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(place / "books-expert")
        data = [json.loads(line) for line in (place / "books_validation.jsonl").read_text().splitlines()]
        with torch.no_grad():
            logits = torch.cat([model(**tokenizer(row["text"], return_tensors="pt")).logits for row in data])
        loss = torch.nn.functional.cross_entropy(
            logits, torch.tensor([("bad", "good").index(row["label"]) for row in data])
        )
        assert rows[0]["metrics"]["books"]["loss"] == pytest.approx(float(loss), abs=1e-5)

    def test_an_adapter_is_its_model_with_the_factors_in_it(
        self, place: Path, checkpoints: Checkpoints, tmp_path: Path
    ) -> None:
        bring(place, tmp_path / "study", "adapter")
        options = ["--study", tmp_path / "study", "-w", "books=1,movies=0", "--method", "simple", "--json"]
        rows = json.loads(foretaste("preview", place / "tiny.yaml", *options).out)
        loss = loss_by_peft(place, checkpoints)
        assert rows[0]["metrics"]["books"]["loss"] == pytest.approx(loss, abs=1e-5)

    @pytest.fixture
    def lora(self, place: Path, tmp_path: Path) -> Path:
        """The recipe, by LoRA of another rank and other layers than the adapters'."""
        text = (place / "tiny.yaml").read_text()
        for part in ("train", "validation"):
            text = text.replace(f"{part}: ", f"{part}: {place}/")
        said = "learning_rate: 0.01, method: lora, r: 2, alpha: 6, targets: [query, value]"
        path = tmp_path / "lora.yaml"
        path.write_text(text.replace("learning_rate: 0.01", said))
        return path

    def test_adapters_of_any_rank_and_layers_are_models_of_a_study_by_lora(
        self, place: Path, checkpoints: Checkpoints, lora: Path, tmp_path: Path
    ) -> None:
        bring(place, tmp_path / "study", "adapter")
        found = foretaste("run", lora, "--study", tmp_path / "study", "--json")
        assert found.code == 0, found.err
        assert "single-task finetuning" not in found.err
        shown = json.loads(found.out)
        assert {row["fidelity"] for row in shown["rows"]} == {"preview", "joint"}
        assert shown["recommendation"]["weights"]
        expected = loss_by_peft(place, checkpoints)
        options = ["--study", tmp_path / "study", "-w", "books=1,movies=0", "--json"]
        for method in ("simple", "diagonal"):
            rows = json.loads(foretaste("preview", lora, *options, "--method", method).out)
            assert rows[0]["metrics"]["books"]["loss"] == pytest.approx(expected, abs=1e-5)
        said = foretaste(
            "export",
            lora,
            "--study",
            tmp_path / "study",
            "--to",
            tmp_path / "out",
            "-w",
            "uniform",
            "--method",
            "simple",
        )
        assert said.code == 0, said.err
        config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
        assert any(name.endswith("attention.output.dense") for name in config["target_modules"])

    def test_a_refused_recipe_leaves_the_study_open_to_another(self, place: Path, lora: Path, tmp_path: Path) -> None:
        """A LoRA recipe cannot hold whole models; the way out that its refusal names leads out."""
        bring(place, tmp_path / "study", "expert")
        fit = ["--study", tmp_path / "study"]
        message = refused("fit", lora, *fit)
        assert "import an adapter or remove finetune.method to merge whole models" in message
        with StudyStore.open(tmp_path / "study") as study:
            assert study.recipe() is None
        assert foretaste("fit", place / "tiny.yaml", *fit).code == 0

    def test_models_for_other_tasks_are_refused_before_training(self, place: Path, tmp_path: Path) -> None:
        assert foretaste("import", tmp_path / "study", "--task", f"poems={place / 'movies-expert'}").code == 0
        message = refused("fit", place / "tiny.yaml", "--study", tmp_path / "study")
        assert "the study has models for poems, the recipe has the tasks movies, books" in message
        assert "--remove poems" in message
        with StudyStore.open(tmp_path / "study") as study:
            assert (study.recipe(), study.all_work("finetune")) == (None, [])

    def test_curvature_without_training(self, place: Path, tmp_path: Path) -> None:
        fit = ["fit", place / "tiny.yaml", "--study", tmp_path / "study", "--estimate", "fisher"]
        assert "there is no model yet of movies, books" in refused(*fit)
        bring(place, tmp_path / "study", "expert")
        assert foretaste(*fit).code == 0
        assert foretaste(*fit, "--json").out.count('"site"') == 2

    def test_curvature_of_a_model_with_a_head_of_its_own(
        self, place: Path, checkpoints: Checkpoints, tmp_path: Path
    ) -> None:
        """Whose params have other names in the study, where trunk and heads are apart.

        Without its params in the site file.
        """
        names = ("movies", "books")
        for name in names:
            trained = transformers.BertForSequenceClassification.from_pretrained(
                expert(checkpoints.bert, tmp_path / name, len(name))
            ).eval()
            tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / name)
            rows = [dict(tokenizer(row["text"]), labels=int(row["label"] == "good")) for row in sentences(8, 1)]
            save_site(
                capture(trained, rows, collate=transformers.DataCollatorWithPadding(tokenizer)),
                tmp_path / name / NAME,
                mean=False,
            )
        tasks = {name: (place / f"{name}.jsonl", place / f"{name}_validation.jsonl") for name in names}
        recipe = transformers_recipe(tmp_path / "heads.yaml", checkpoints.bert, tasks, head="private")
        study = tmp_path / "study"
        assert (
            foretaste(
                "import", study, *(word for name in names for word in ("--task", f"{name}={tmp_path / name}"))
            ).code
            == 0
        )
        found = foretaste("fit", recipe, "--study", study)
        assert found.code == 0, found.err
        with StudyStore.open(study) as opened:
            kept = {str(done.inputs["task"][0]): opened.tensors(done.artefact) for done in opened.all_work("site")}
        own = load_file(tmp_path / "books" / NAME)
        for there, here in (
            ("bert.pooler.dense.weight", "trunk.pooler.dense.weight"),
            ("classifier.bias", "heads.for_books.classifier.bias"),
        ):
            at = next(name for name in kept["books"] if name.endswith(here))
            assert torch.equal(kept["books"][at], own[f"precision/{there}"])

    def test_labels_in_another_order_are_other_labels(
        self, place: Path, checkpoints: Checkpoints, tmp_path: Path
    ) -> None:
        turned = expert(checkpoints.bert, tmp_path / "turned", 3, {0: "good", 1: "bad"})
        assert foretaste("import", tmp_path / "study", "--task", f"movies={turned}").code == 0
        said = refused("fit", place / "tiny.yaml", "--study", tmp_path / "study")
        assert "has the labels good, bad, task 'movies' has bad, good" in said

    def test_models_of_tasks_that_the_recipe_lacks(self, place: Path, tmp_path: Path) -> None:
        assert foretaste("import", tmp_path / "study", "--task", f"news={place / 'books-expert'}").code == 0
        assert "the study has models for news" in refused("fit", place / "tiny.yaml", "--study", tmp_path / "study")

    def test_a_changed_expert_is_noticed(self, place: Path, tmp_path: Path) -> None:
        shutil.copytree(place / "books-expert", tmp_path / "books")
        assert foretaste("import", tmp_path / "study", "--task", f"books={tmp_path / 'books'}").code == 0
        shutil.copyfile(place / "movies-expert" / "model.safetensors", tmp_path / "books" / "model.safetensors")
        assert "has changed since it was imported" in refused("fit", place / "tiny.yaml", "--study", tmp_path / "study")
