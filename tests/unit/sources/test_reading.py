import json
from pathlib import Path

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from checkpoints import Checkpoints
from foretaste.errors import DataError
from foretaste.metrics import METRICS, SEQUENCE_METRICS
from foretaste.params import parameters_of, swapped
from foretaste.sources.expert import open_expert
from foretaste.sources.heads import Heads
from foretaste.sources.pretrained import pretrained
from foretaste.sources.reading import reader
from foretaste.task import Rows, Task

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # PEFT asks for it

ROWS = Rows(torch.eye(2), torch.tensor([0, 1]))
LANGUAGE = Task("a", ROWS, ROWS, [SEQUENCE_METRICS["perplexity"]])


def labelled(*classes: str) -> Task:
    return Task("a", ROWS, ROWS, [METRICS["accuracy"]], classes=classes)


def adapter(model: nn.Module, folder: Path, **options: object) -> Path:
    config = peft.LoraConfig(r=2, init_lora_weights=False, **options)
    peft.get_peft_model(model, config).save_pretrained(folder)
    return folder


def test_an_adapter_of_transposed_layers(checkpoints: Checkpoints, tmp_path: Path) -> None:
    """GPT-2 keeps its layers ``[in, out]``."""
    model = pretrained(str(checkpoints.gpt2), "causal-lm")
    expert = open_expert(
        adapter(
            pretrained(str(checkpoints.gpt2), "causal-lm"),
            tmp_path,
            target_modules=["c_attn", "c_proj"],
            fan_in_fan_out=True,
        )
    )
    found = reader(str(checkpoints.gpt2), "causal-lm")(model, LANGUAGE, expert)
    own = peft.PeftModel.from_pretrained(pretrained(str(checkpoints.gpt2), "causal-lm"), tmp_path).merge_and_unload()
    assert all(torch.allclose(found[name], tensor, atol=1e-6) for name, tensor in parameters_of(own).items())
    assert not torch.allclose(
        found["transformer.h.0.attn.c_attn.weight"], parameters_of(model)["transformer.h.0.attn.c_attn.weight"]
    )


def test_a_head_of_its_own_goes_to_its_place(checkpoints: Checkpoints, tmp_path: Path) -> None:
    """Two tasks with heads of other sizes: the checkpoint of one is its trunk and its head."""
    models = {
        name: pretrained(str(checkpoints.bert), "text-classification", size) for name, size in (("x", 2), ("y", 3))
    }
    expert = pretrained(str(checkpoints.bert), "text-classification", 3)
    assert isinstance(expert, transformers.PreTrainedModel)
    expert.get_parameter("classifier.weight").data.fill_(7.0)
    expert.save_pretrained(tmp_path)
    model = Heads(models, [2, 3])
    task = Task("a", ROWS, ROWS, [METRICS["accuracy"]], names=model.names("y"), classes=("r", "s", "t"))
    found = reader(str(checkpoints.bert), "text-classification")(model, task, open_expert(tmp_path))
    assert {name for name in found if name in parameters_of(model)} == set(model.names("y"))
    assert set(found["heads.for_y.classifier.weight"].flatten().tolist()) == {7.0}


def test_plain_tensors_go_by_the_model_s_names(checkpoints: Checkpoints, tmp_path: Path) -> None:
    model = pretrained(str(checkpoints.gpt2), "causal-lm")
    save_file({name: tensor.clone() for name, tensor in parameters_of(model).items()}, tmp_path / "model.safetensors")
    found = reader(str(checkpoints.gpt2), "causal-lm")(model, LANGUAGE, open_expert(tmp_path))
    assert found["transformer.wte.weight"].equal(parameters_of(model)["transformer.wte.weight"])


@pytest.fixture(params=["untied", "tied"])
def llama(request: pytest.FixtureRequest, checkpoints: Checkpoints, tmp_path: Path) -> Path:
    """A Llama whose output layer is its own, or is its embeddings."""
    config = transformers.AutoConfig.from_pretrained(checkpoints.llama, tie_word_embeddings=request.param == "tied")
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def moved(base: Path, folder: Path, options: dict[str, object]) -> Path:
    """An adapter whose every trained tensor differs from the model's."""
    model = peft.get_peft_model(
        pretrained(str(base), "causal-lm"),
        peft.LoraConfig(r=2, init_lora_weights=False, task_type="CAUSAL_LM", **options),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    return folder


def loss_of(model: nn.Module) -> float:
    ids = torch.arange(12)[None] + 3
    with torch.no_grad():
        return float(model.eval()(input_ids=ids, labels=ids).loss)


CHANGES: dict[str, dict[str, object]] = {
    "lora of the embeddings": {"target_modules": ["embed_tokens", "q_proj"]},
    "lora of the output layer": {"target_modules": ["lm_head"]},
    "lora of both": {"target_modules": ["embed_tokens", "lm_head"]},
    "whole embeddings": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    "whole output layer": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "whole embeddings, lora of the output layer": {"target_modules": ["lm_head"], "modules_to_save": ["embed_tokens"]},
    "whole, tied by PEFT": {
        "target_modules": ["q_proj"],
        "modules_to_save": ["embed_tokens"],
        "ensure_weight_tying": True,
    },
    "lora, tied by PEFT": {"target_modules": ["embed_tokens"], "ensure_weight_tying": True},
    "neither": {"target_modules": ["q_proj", "down_proj"]},
}
HELD_TIED = ("whole, tied by PEFT", "lora, tied by PEFT", "neither")


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning", "ignore:.*tie.*:UserWarning")
@pytest.mark.parametrize("change", list(CHANGES))
def test_an_adapter_of_embeddings_or_the_output_layer_is_as_peft_runs_it(
    llama: Path, tmp_path: Path, change: str
) -> None:
    torch.manual_seed(1)
    folder = moved(llama, tmp_path / "adapter", CHANGES[change])
    expected = loss_of(peft.PeftModel.from_pretrained(pretrained(str(llama), "causal-lm"), folder))
    model = pretrained(str(llama), "causal-lm")
    before = loss_of(model)
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight  # type: ignore[operator]
    if tied and change not in HELD_TIED:
        with pytest.raises(DataError, match=r"differently, and the study's model holds both as one tied parameter"):
            reader(str(llama), "causal-lm")(model, LANGUAGE, open_expert(folder))
        return
    with swapped(model, reader(str(llama), "causal-lm")(model, LANGUAGE, open_expert(folder))):
        assert loss_of(model) == pytest.approx(expected, rel=1e-5)
    assert abs(expected - before) > 1e-3


@pytest.mark.parametrize("study_tied", [True, False])
@pytest.mark.parametrize("expert_tied", [True, False])
def test_checkpoints_that_tie_and_that_do_not(
    checkpoints: Checkpoints, tmp_path: Path, study_tied: bool, expert_tied: bool
) -> None:
    """A tied expert fits an untied study; an untied one fits a tied study only where both its layers are the same."""
    folders = {}
    for name, tied in (("study", study_tied), ("expert", expert_tied)):
        config = transformers.AutoConfig.from_pretrained(checkpoints.llama, tie_word_embeddings=tied)
        transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / name)
        folders[name] = tmp_path / name
    model = pretrained(str(folders["study"]), "causal-lm")
    if study_tied and not expert_tied:
        with pytest.raises(DataError, match="one tied parameter"):
            reader(str(folders["study"]), "causal-lm")(model, LANGUAGE, open_expert(folders["expert"]))
        return
    with swapped(model, reader(str(folders["study"]), "causal-lm")(model, LANGUAGE, open_expert(folders["expert"]))):
        assert loss_of(model) == pytest.approx(loss_of(pretrained(str(folders["expert"]), "causal-lm")), rel=1e-5)


class TestRefusing:
    def test_a_checkpoint_without_its_head(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        transformers.BertModel.from_pretrained(checkpoints.bert).save_pretrained(tmp_path)
        with pytest.raises(DataError, match=r"classifier.* is missing"):
            reader(str(checkpoints.bert), "text-classification")(
                nn.Linear(1, 1), labelled("x", "y"), open_expert(tmp_path)
            )

    def test_an_adapter_without_a_head(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        folder = adapter(
            pretrained(str(checkpoints.bert), "text-classification", 2), tmp_path, target_modules=["query"]
        )
        with pytest.raises(DataError, match=r"has no head of its own \(modules_to_save\)"):
            reader(str(checkpoints.bert), "text-classification")(
                nn.Linear(1, 1), labelled("x", "y"), open_expert(folder)
            )

    def test_an_adapter_of_another_model(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        folder = adapter(
            pretrained(str(checkpoints.gpt2), "causal-lm"), tmp_path, target_modules=["c_attn"], fan_in_fan_out=True
        )
        with pytest.raises(
            DataError, match=r"changes transformer\.h\.0\.attn\.c_attn, which this study's model does not have"
        ):
            reader(str(checkpoints.llama), "causal-lm")(nn.Linear(1, 1), LANGUAGE, open_expert(folder))

    @pytest.mark.parametrize(
        ("name", "said"), [("lora_A.weight", "changes .* by"), ("classifier", "does it have other labels")]
    )
    def test_an_adapter_of_other_sizes(self, checkpoints: Checkpoints, tmp_path: Path, name: str, said: str) -> None:
        model = pretrained(str(checkpoints.bert), "text-classification", 2)
        adapter(model, tmp_path, target_modules=["query"], task_type="SEQ_CLS")
        file = tmp_path / "adapter_model.safetensors"
        tensors = load_file(file)
        for key in [key for key in tensors if name in key]:
            tensors[key] = torch.cat([tensors[key], tensors[key]], dim=-1)
        save_file(tensors, file)
        assert json.loads((tmp_path / "adapter_config.json").read_text())["r"] == 2
        with pytest.raises(DataError, match=said):
            reader(str(checkpoints.bert), "text-classification")(
                nn.Linear(1, 1), labelled("x", "y"), open_expert(tmp_path)
            )
