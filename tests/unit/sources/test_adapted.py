import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import peft
import pytest
import torch
import transformers
from torch import Tensor, nn

from checkpoints import Checkpoints, parquet, table, translations
from foretaste.errors import DataError
from foretaste.estimate.fisher import fisher
from foretaste.estimate.kfac import kfac
from foretaste.lora import Adapter, delta
from foretaste.loss.class_labels import losses
from foretaste.merge import merge
from foretaste.metrics import METRICS
from foretaste.params import Params, buffers_of, in_eval_mode, parameters_of, snapshot, swapped
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.kronecker import Kronecker
from foretaste.posterior.site import GaussianSite
from foretaste.sources.adapted import Checkpoint, LoraPlan, add_lora
from foretaste.sources.adapter import open_adapter
from foretaste.sources.digits import digits
from foretaste.sources.expert import Expert
from foretaste.sources.heads import Heads
from foretaste.sources.language import load as load_language
from foretaste.sources.language_metrics import metrics_named
from foretaste.sources.problem import Problem
from foretaste.sources.request import Dtype, Format, TaskRequest
from foretaste.sources.transformers import load
from foretaste.task import Batch, Rows, Task
from foretaste.train.finetune import finetune
from foretaste.train.joint import joint
from foretaste.train.training import Training
from foretaste.weights import TaskWeights, corners, uniform
from laws import random
from networks import assert_curvature_close

# PEFT asks transformers for names that it has renamed, and warns where no merging is wanted.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
]

TRAINING = Training(steps=3, batch_size=4, learning_rate=0.05)
SMALL = LoraPlan(r=2, alpha=4.0)


def text(checkpoints: Checkpoints, plans: Sequence[TaskRequest], plan: LoraPlan = SMALL, seed: int = 0) -> Problem:
    path = str(checkpoints.bert)
    found = load(path, "text-classification", plans, max_length=16)
    return add_lora(found, plan, seed=seed, base=Checkpoint(path, "text-classification"))


def language(folder: Path, name: str, checkpoint: Path, plan: LoraPlan = SMALL) -> Problem:
    files = {task: str(table(folder / f"{task}.jsonl", translations(5, seed, 1))) for seed, task in enumerate("ab")}
    kind, columns = ("seq2seq", {}) if name == "t5" else ("causal-lm", {"prompt": "source", "completion": "target"})
    plans = [TaskRequest(task, file, file, metrics_named(["perplexity"]), columns) for task, file in files.items()]
    found = load_language(str(checkpoint), kind, plans, max_length=32)
    return add_lora(found, plan, base=Checkpoint(str(checkpoint), kind))


def images(folder: Path, checkpoint: Path, plan: LoraPlan) -> Problem:
    files = {
        name: str(parquet(folder / f"{name}.parquet", 6, seed, ["dark", "light"])) for seed, name in enumerate("ab")
    }
    plans = [TaskRequest(name, file, file, (METRICS["accuracy"],), {"image": "image"}) for name, file in files.items()]
    found = load(str(checkpoint), "image-classification", plans)
    return add_lora(found, plan, base=Checkpoint(str(checkpoint), "image-classification"))


def batch_of(task: Task) -> Batch:
    return task.batch(task.validation, range(4), torch.device("cpu"))


def logits(problem: Problem, place: int = 0, params: Params | None = None) -> Tensor:
    task = problem.tasks[place]
    with in_eval_mode(problem.model), swapped(problem.model, params or {}), torch.no_grad():
        return task.predict(problem.model, batch_of(task))


def stirred(problem: Problem) -> dict[str, Tensor]:
    """What some training could have made of the trained params and the statistics."""
    statistics = {name: tensor for name, tensor in buffers_of(problem.model).items() if ".running_" in name}
    own, generator = parameters_of(problem.model, problem.trained) | statistics, random(1)
    return {name: tensor + 0.3 * torch.rand(tensor.shape, generator=generator) for name, tensor in own.items()}


def test_the_model_computes_what_it_did_and_trains_factors_and_heads(
    checkpoints: Checkpoints, plans: list[TaskRequest]
) -> None:
    plain = load(str(checkpoints.bert), "text-classification", plans, max_length=16)
    problem = text(checkpoints, plans)
    assert isinstance(problem.model, Heads)
    assert torch.equal(logits(plain), logits(problem))
    first, _, third = (task.names or frozenset() for task in problem.tasks)
    shared = {name for name in first & third if ".pooler." not in name}
    assert {name.split(".", 1)[1].split(".attention.self.")[1] for name in shared} == {
        f"{layer}.lora_{factor}.default.weight" for layer in ("query", "value") for factor in "AB"
    }
    assert {name.split(".")[1] for name in first - third} == {"for_a+b"}
    own = dict(problem.model.named_parameters())
    assert {name for name, parameter in own.items() if parameter.requires_grad} == problem.trained
    assert "LoRA of rank 2, layers: 2 (query, value)" in dict(problem.facts)["finetuned"]


def test_all_tasks_begin_with_the_seed_s_a(checkpoints: Checkpoints, plans: list[TaskRequest]) -> None:
    first, again, other = (text(checkpoints, plans[:2], seed=seed) for seed in (0, 0, 1))
    assert first.base() == again.base() != other.base()
    assert torch.equal(logits(first), logits(other))
    assert first.tasks[0].names == first.tasks[1].names


def test_runs_keep_only_what_tasks_have_and_leave_the_rest_alone(
    checkpoints: Checkpoints, plans: list[TaskRequest]
) -> None:
    problem = text(checkpoints, plans)
    before = snapshot(parameters_of(problem.model))
    weights = TaskWeights(problem.names, [0.5, 0.25, 0.25])
    for run, names in (
        (finetune(problem.model, None, problem.tasks[2], TRAINING), problem.tasks[2].names),
        (joint(problem.model, None, problem.tasks, weights, TRAINING), problem.trained),
    ):
        assert set(run.params) == (names or set()) | set(buffers_of(problem.model))
        moved = {name for name in run.params if name in before and not torch.equal(run.params[name], before[name])}
        assert moved == set(names or ())
    assert all(torch.equal(tensor, before[name]) for name, tensor in parameters_of(problem.model).items())


def test_a_stays_where_b_alone_is_trained(checkpoints: Checkpoints, plans: list[TaskRequest]) -> None:
    problem = text(checkpoints, plans[:2], replace(SMALL, train_a=False))
    assert not [name for name in problem.trained if ".lora_A." in name]
    assert [name for name in problem.trained if ".lora_B." in name]


def product(folder: Path, module: str) -> Tensor:
    return delta(open_adapter(folder), module).double()


@pytest.mark.parametrize("train_a", [False, True])
def test_averaging_b_is_averaging_the_products(
    checkpoints: Checkpoints, plans: list[TaskRequest], tmp_path: Path, train_a: bool
) -> None:
    """Exactly, where A is not trained; and not, where it is."""
    problem = text(checkpoints, plans[:2], replace(SMALL, train_a=train_a))
    runs = {task.name: finetune(problem.model, None, task, TRAINING).params for task in problem.tasks}
    sites = {
        task: GaussianSite.flat({name: params[name] for name in problem.trained}, {}) for task, params in runs.items()
    }
    prior = Gaussian(snapshot(parameters_of(problem.model, problem.trained)), Isotropic(1.0))
    points = [*corners(problem.names), TaskWeights(problem.names, [0.3, 0.7])]
    for place, weights in enumerate(points):
        with swapped(problem.model, merge(prior, sites, weights).params):
            problem.save(problem.model, tmp_path / str(place))
    for module in open_adapter(tmp_path / "0").modules:
        first, second, mean = (product(tmp_path / str(place), module) for place in range(3))
        expected = 0.3 * first + 0.7 * second
        gap = float((mean - expected).norm() / expected.norm())
        assert (gap < 1e-6) != train_a


def test_curvature_of_the_factors(checkpoints: Checkpoints, plans: list[TaskRequest]) -> None:
    """The layers' hooks give what autograd gives, one example at a time."""
    problem = text(checkpoints, plans[:2])
    task, params = problem.tasks[0], stirred(problem)
    site = fisher(problem.model, params, task, generator=random(0), labels="empirical")
    truth = {name: torch.zeros_like(params[name], dtype=torch.float64) for name in task.names or ()}
    with in_eval_mode(problem.model), swapped(problem.model, params):
        for index in range(len(task.train)):
            batch = task.batch(task.train, [index], torch.device("cpu"))
            named = {name: parameter for name, parameter in problem.model.named_parameters() if name in truth}
            total = losses(task.predict(problem.model, batch), batch["labels"]).sum()
            for name, grad in zip(named, torch.autograd.grad(total, list(named.values())), strict=True):
                truth[name] += grad.double().square() / len(task.train)
    assert_curvature_close(site.precision.to_tensors(), truth, 1e-4)
    precision = kfac(problem.model, params, task, generator=random(0)).precision
    assert isinstance(precision, Kronecker)
    assert {name for name in precision.basis if ".lora_" in name} == {name for name in truth if ".lora_" in name}


def test_dropout_is_for_training_alone(checkpoints: Checkpoints, plans: list[TaskRequest]) -> None:
    plain, dropping = (text(checkpoints, plans[:2], replace(SMALL, dropout=share)) for share in (0.0, 0.5))
    params = stirred(plain)
    assert torch.equal(logits(plain, 0, params), logits(dropping, 0, params))
    runs = [finetune(each.model, None, each.tasks[0], TRAINING).history for each in (plain, dropping)]
    assert runs[0] != runs[1]


AUTO: Mapping[str, type] = {
    "gpt2": transformers.AutoModelForCausalLM,
    "llama": transformers.AutoModelForCausalLM,
    "t5": transformers.AutoModelForSeq2SeqLM,
}
AUTO_PEFT: Mapping[str, type] = {
    "gpt2": peft.AutoPeftModelForCausalLM,
    "llama": peft.AutoPeftModelForCausalLM,
    "t5": peft.AutoPeftModelForSeq2SeqLM,
}


def assert_same(problem: Problem, params: Params, folder: Path, models: Sequence[nn.Module]) -> None:
    """PEFT's models give the logits that the problem's own gives with these params."""
    expected = logits(problem, 0, params)
    assert not torch.allclose(expected, logits(problem), atol=1e-3)
    batch = {key: tensor for key, tensor in batch_of(problem.tasks[0]).items() if key != "head"}
    for model in models:
        with torch.no_grad():
            found = model.eval()(**batch).logits
        assert torch.allclose(found, expected[:, : found.shape[1]], atol=1e-5)
    assert any((folder / name).exists() for name in ("tokenizer.json", "preprocessor_config.json"))
    assert not (folder / "config.json").exists()


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5"])
@pytest.mark.parametrize(
    "plan", [SMALL, LoraPlan(r=2, alpha=3.0, targets="all-linear", rslora=True, train_a=False)], ids=["usual", "all"]
)
def test_language_models_are_loaded_by_peft(
    checkpoints: Checkpoints, tmp_path: Path, name: str, plan: LoraPlan
) -> None:
    folder = getattr(checkpoints, name)
    problem = language(tmp_path, name, folder, plan)
    params = stirred(problem)
    with swapped(problem.model, params):
        problem.save(problem.model, tmp_path / "out")
    by_hand = peft.PeftModel.from_pretrained(AUTO[name].from_pretrained(folder), tmp_path / "out")  # type: ignore[attr-defined]
    by_itself = AUTO_PEFT[name].from_pretrained(tmp_path / "out")  # type: ignore[attr-defined]
    assert_same(problem, params, tmp_path / "out", [by_hand, by_itself])
    assert sum(path.stat().st_size for path in (tmp_path / "out").glob("*.safetensors")) < 60_000


def test_every_head_s_adapter_is_loaded_by_peft(
    checkpoints: Checkpoints, plans: list[TaskRequest], tmp_path: Path
) -> None:
    three = [replace(plans[0], labels=("bad", "good", "fair")), plans[1]]
    problem = text(checkpoints, three)
    params = stirred(problem)
    with swapped(problem.model, params):
        problem.save(problem.model, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "b"}
    three_labels = {"num_labels": 3, "ignore_mismatched_sizes": True}
    own = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoints.bert, **three_labels)
    by_hand = peft.PeftModel.from_pretrained(own, tmp_path / "out" / "a")
    by_itself = peft.AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "out" / "a", **three_labels)
    assert_same(problem, params, tmp_path / "out" / "a", [by_hand, by_itself])
    found = open_adapter(tmp_path / "out" / "b")
    assert set(found.full) == {
        f"{part}.{kind}" for part in ("classifier", "bert.pooler.dense") for kind in ("weight", "bias")
    }


@pytest.mark.parametrize("name", ["vit", "mobilenet"])
def test_image_models_are_loaded_by_peft_with_their_statistics(
    checkpoints: Checkpoints, tmp_path: Path, name: str
) -> None:
    folder = shutil.copytree(getattr(checkpoints, name), tmp_path / name)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "tf_padding": False})
    )  # else the model asks convolutions for their stride
    problem = images(tmp_path, folder, LoraPlan(r=2, alpha=4.0, targets=targets_of(name, folder)))
    params = stirred(problem)
    with swapped(problem.model, params):
        problem.save(problem.model, tmp_path / "out")
    own = transformers.AutoModelForImageClassification.from_pretrained(folder)
    assert_same(problem, params, tmp_path / "out", [peft.PeftModel.from_pretrained(own, tmp_path / "out")])
    assert_same(problem, params, tmp_path / "out", [peft.AutoPeftModel.from_pretrained(tmp_path / "out")])


def targets_of(name: str, folder: Path) -> Sequence[str]:
    """Names of layers differ between transformers' versions."""
    model = transformers.AutoModelForImageClassification.from_pretrained(folder)
    found = [each for each, module in model.named_modules() if isinstance(module, nn.Linear) or _is_whole(module)]
    return [each for each in found if each != "classifier"][:12]


def _is_whole(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups == 1


def tiny(layer: nn.Module, names: Sequence[frozenset[str] | None] = (None, None)) -> Problem:
    rows = Rows(torch.eye(4), torch.arange(4))
    tasks = [Task(name, rows, rows, [METRICS["accuracy"]], names=own) for name, own in zip("ab", names, strict=True)]
    return Problem(layer, tuple(tasks))


def stack() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4))


def test_a_model_of_one_s_own(tmp_path: Path) -> None:
    problem = add_lora(digits(), LoraPlan(r=3, targets="all-linear"))
    params = stirred(problem)
    with swapped(problem.model, params):
        problem.save(problem.model, tmp_path)
    other = peft.PeftModel.from_pretrained(digits().model, tmp_path).eval()
    task = problem.tasks[0]
    with torch.no_grad():
        assert torch.allclose(task.predict(other, batch_of(task)), logits(problem, 0, params), atol=1e-5)


def test_what_is_not_every_task_s_is_trained_whole() -> None:
    names = [frozenset({"0.weight", "0.bias", "2.weight", "2.bias"}), frozenset({"0.weight", "0.bias"})]
    first, second = (task.names for task in add_lora(tiny(stack(), names), LoraPlan(r=1, targets=["0"])).tasks)
    factors = {"0.lora_A.default.weight", "0.lora_B.default.weight"}
    assert (set(first or ()), set(second or ())) == (factors | {"2.weight", "2.bias"}, factors)


def test_an_embedding_has_factors_too(checkpoints: Checkpoints, tmp_path: Path) -> None:
    problem = language(tmp_path, "gpt2", checkpoints.gpt2, replace(SMALL, targets=["wte", "c_attn"]))
    assert {name.split(".")[-2] for name in problem.trained if "wte" in name} == {
        "lora_embedding_A",
        "lora_embedding_B",
    }
    params = stirred(problem)
    with swapped(problem.model, params):
        problem.save(problem.model, tmp_path / "out")
    model = peft.PeftModel.from_pretrained(
        transformers.AutoModelForCausalLM.from_pretrained(checkpoints.gpt2), tmp_path / "out"
    )
    assert_same(problem, params, tmp_path / "out", [model])
    assert isinstance(open_adapter(tmp_path / "out"), Adapter)


def encoder() -> nn.Module:
    return nn.Sequential(nn.TransformerEncoderLayer(4, 1, 4), nn.Linear(4, 4))


@pytest.mark.parametrize(
    ("model", "targets", "message"),
    [
        (
            stack,
            None,
            r"PEFT has no usual layers for a model of your own; name layers .*, for example \[0, 2\], or all-linear",
        ),
        (
            stack,
            ["0", "q_proj"],
            r"'q_proj' is the name of no layer; name layers under finetune.targets, for example \[0, 2\]",
        ),
        (stack, ["1"], "'1' cannot have factors"),
        (encoder, ["linear1"], "'linear1' cannot have factors"),
        (lambda: nn.LayerNorm(4), "all-linear", "no linear layer"),
        (
            lambda: nn.Sequential(nn.Unflatten(1, (4, 1)), nn.Conv1d(4, 4, 1, groups=4), nn.Flatten()),
            ["1"],
            "PEFT cannot put factors there",
        ),
    ],
)
def test_what_cannot_be_adapted_is_said(
    model: Callable[[], nn.Module], targets: list[str] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        add_lora(tiny(model()), LoraPlan(r=3, targets=targets))
    assert caught.value.field == ("finetune", "targets")


def test_an_architecture_that_peft_does_not_know(checkpoints: Checkpoints, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="PEFT has no usual layers for models of type 'mobilenet_v2'"):
        images(tmp_path, checkpoints.mobilenet, SMALL)


def test_an_expert_is_not_one_of_ours(tmp_path: Path) -> None:
    problem = add_lora(digits(), LoraPlan(r=1, targets=["0"]))
    with pytest.raises(DataError, match="is no adapter, and this study trains by LoRA"):
        problem.read(problem.model, problem.tasks[0], Expert(tmp_path, "tensors", ()))


class TestFrozenInBfloat16:
    def problem(self, folder: Path, checkpoint: Path, dtype: Dtype) -> Problem:
        half = transformers.LlamaForCausalLM.from_pretrained(checkpoint, dtype=torch.bfloat16)
        copied = shutil.copytree(checkpoint, folder / f"half-{dtype}")
        half.save_pretrained(copied)
        files = {task: str(table(folder / f"{task}.jsonl", translations(5, seed, 1))) for seed, task in enumerate("ab")}
        columns = {"prompt": "source", "completion": "target"}
        plans = [TaskRequest(task, file, file, metrics_named(["perplexity"]), columns) for task, file in files.items()]
        found = load_language(str(copied), "causal-lm", plans, max_length=32, form=Format(dtype))
        return add_lora(found, SMALL, base=Checkpoint(str(copied), "causal-lm"))

    def test_what_is_trained_is_float32_and_the_rest_as_it_was_stored(
        self, tmp_path: Path, checkpoints: Checkpoints
    ) -> None:
        problem = self.problem(tmp_path, checkpoints.llama, "bfloat16")
        kinds = {name in problem.trained: tensor.dtype for name, tensor in parameters_of(problem.model).items()}
        assert kinds == {True: torch.float32, False: torch.bfloat16}
        assert dict(problem.facts)["architecture"].endswith(" in bfloat16")
        run = finetune(problem.model, None, problem.tasks[0], TRAINING)
        assert {tensor.dtype for name, tensor in run.params.items() if name in problem.trained} == {torch.float32}
        assert run.history[-1] < run.history[0]

    def test_outputs_and_curvature_are_those_of_float32_within_its_digits(
        self, tmp_path: Path, checkpoints: Checkpoints
    ) -> None:
        half, full = (self.problem(tmp_path, checkpoints.llama, dtype) for dtype in ("bfloat16", "float32"))
        params = stirred(full)
        torch.testing.assert_close(logits(half, 0, params).float(), logits(full, 0, params), rtol=0.05, atol=0.1)
        found, expected = (
            fisher(own.model, params, own.tasks[0], labels="empirical", generator=torch.Generator().manual_seed(0))
            for own in (half, full)
        )
        for name, entries in expected.precision.to_tensors().items():
            other = found.precision.to_tensors()[name]
            assert float((other - entries).norm() / entries.norm()) < 0.1

    def test_a_head_that_is_trained_whole_is_float32(
        self, tmp_path: Path, checkpoints: Checkpoints, plans: list[TaskRequest]
    ) -> None:
        path = shutil.copytree(checkpoints.bert, tmp_path / "half")
        half = transformers.BertForSequenceClassification.from_pretrained(path, dtype=torch.bfloat16)
        half.save_pretrained(path)
        problem = add_lora(load(str(path), "text-classification", plans, max_length=16, form=Format("bfloat16")), SMALL)
        own = parameters_of(problem.model)
        assert {own[name].dtype for name in problem.trained} == {torch.float32}
        assert {own[name].dtype for name in own if name not in problem.trained} == {torch.bfloat16}
        run = joint(problem.model, None, problem.tasks, uniform(problem.names), TRAINING)
        assert run.history[-1] < run.history[0]
        assert logits(problem, 0, run.params).dtype == torch.float32
