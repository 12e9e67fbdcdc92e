import json

import torch

from factors import factors
from foretaste.lora import Adapter
from foretaste.sources.adapter_form import config_of_adapter, modules_to_save, tensors_of_adapter


def test_every_module_has_its_own_rank_and_scaling() -> None:
    adapter = Adapter(
        {"h.q": factors(2, 1, alpha=4.0), "h.v": factors(3, 2, alpha=4.0), "h.k": factors(2, 3, alpha=5.0)}
    )
    config = config_of_adapter(adapter)
    assert (config["r"], config["lora_alpha"]) == (2, 4)
    assert config["rank_pattern"] == {"^h\\.v": 3}
    assert config["alpha_pattern"] == {"^h\\.k": 5}
    assert config["target_modules"] == ["h.q", "h.v", "h.k"]
    json.dumps(config, allow_nan=False)


def test_names_are_peft_s() -> None:
    adapter = Adapter({"e": factors(2, 1, "embedding")}, {"score.weight": torch.ones(1, 1)})
    assert set(tensors_of_adapter(adapter)) == {
        "base_model.model.e.lora_embedding_A",
        "base_model.model.e.lora_embedding_B",
        "base_model.model.score.weight",
    }
    assert modules_to_save(adapter) == ["score"]
