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
from foretaste.params import parameters_of
from foretaste.sources.expert import look
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
    expert = look(
        adapter(pretrained(str(checkpoints.gpt2), "causal-lm"), tmp_path, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)
    )
    found = reader(str(checkpoints.gpt2), "causal-lm")(model, LANGUAGE, expert)
    own = peft.PeftModel.from_pretrained(pretrained(str(checkpoints.gpt2), "causal-lm"), tmp_path).merge_and_unload()
    assert all(torch.allclose(found[name], tensor, atol=1e-6) for name, tensor in parameters_of(own).items())
    assert not torch.allclose(found["transformer.h.0.attn.c_attn.weight"], parameters_of(model)["transformer.h.0.attn.c_attn.weight"])


def test_a_head_of_its_own_goes_to_its_place(checkpoints: Checkpoints, tmp_path: Path) -> None:
    """Two tasks with heads of other sizes: the checkpoint of one is its trunk and its head."""
    models = {name: pretrained(str(checkpoints.bert), "text-classification", size) for name, size in (("x", 2), ("y", 3))}
    expert = pretrained(str(checkpoints.bert), "text-classification", 3)
    assert isinstance(expert, transformers.PreTrainedModel)
    expert.get_parameter("classifier.weight").data.fill_(7.0)
    expert.save_pretrained(tmp_path)
    model = Heads(models, [2, 3])
    task = Task("a", ROWS, ROWS, [METRICS["accuracy"]], names=model.names("y"), classes=("r", "s", "t"))
    found = reader(str(checkpoints.bert), "text-classification")(model, task, look(tmp_path))
    assert {name for name in found if name in parameters_of(model)} == set(model.names("y"))
    assert set(found["heads.for_y.classifier.weight"].flatten().tolist()) == {7.0}


def test_plain_tensors_go_by_the_model_s_names(checkpoints: Checkpoints, tmp_path: Path) -> None:
    model = pretrained(str(checkpoints.gpt2), "causal-lm")
    save_file({name: tensor.clone() for name, tensor in parameters_of(model).items()}, tmp_path / "model.safetensors")
    found = reader(str(checkpoints.gpt2), "causal-lm")(model, LANGUAGE, look(tmp_path))
    assert found["transformer.wte.weight"].equal(parameters_of(model)["transformer.wte.weight"])


class TestRefusing:
    def test_a_checkpoint_without_its_head(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        transformers.BertModel.from_pretrained(checkpoints.bert).save_pretrained(tmp_path)
        with pytest.raises(DataError, match=r"classifier.* is missing"):
            reader(str(checkpoints.bert), "text-classification")(nn.Linear(1, 1), labelled("x", "y"), look(tmp_path))

    def test_an_adapter_without_a_head(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        folder = adapter(pretrained(str(checkpoints.bert), "text-classification", 2), tmp_path, target_modules=["query"])
        with pytest.raises(DataError, match=r"has no head of its own \(modules_to_save\)"):
            reader(str(checkpoints.bert), "text-classification")(nn.Linear(1, 1), labelled("x", "y"), look(folder))

    def test_an_adapter_of_another_model(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        folder = adapter(pretrained(str(checkpoints.gpt2), "causal-lm"), tmp_path, target_modules=["c_attn"], fan_in_fan_out=True)
        with pytest.raises(DataError, match=r"changes transformer\.h\.0\.attn\.c_attn, which this study's model does not have"):
            reader(str(checkpoints.llama), "causal-lm")(nn.Linear(1, 1), LANGUAGE, look(folder))

    @pytest.mark.parametrize(("name", "said"), [("lora_A.weight", "changes .* by"), ("classifier", "are the labels others")])
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
            reader(str(checkpoints.bert), "text-classification")(nn.Linear(1, 1), labelled("x", "y"), look(tmp_path))
