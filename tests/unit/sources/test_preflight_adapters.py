import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from foretaste.errors import DataError
from foretaste.lora import Adapter, Factors, Layout
from foretaste.sources.checkpoint import Checkpoint, open_checkpoint
from foretaste.sources.preflight_adapters import base_tensors, preflight_adapters


def checkpoint(folder: Path, params: Mapping[str, Tensor], **config: object) -> Checkpoint:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(dict(params), folder / "model.safetensors")
    return open_checkpoint(folder)


def adapter(modules: Mapping[str, tuple[int, int]], base: Path | None = None, layout: Layout = "linear") -> Adapter:
    """An adapter of rank 1 by the shapes of its updates."""
    factors = {
        name: Factors(
            torch.ones(1, one if layout == "embedding" else two),
            torch.ones(two if layout == "embedding" else one, 1),
            1,
            layout=layout,
        )
        for name, (one, two) in modules.items()
    }
    return Adapter(factors, config={"base_model_name_or_path": str(base)} if base else {})


LAYERS: Mapping[str, Tensor] = {"model.layers.0.q.weight": torch.ones(4, 6), "model.embed.weight": torch.ones(9, 6)}


def test_names_may_differ_before_the_layers(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base", LAYERS)
    for prefix in ("", "model.", "whole.model."):
        assert preflight_adapters(base, {"a": adapter({f"{prefix}layers.0.q": (4, 6)})}) == ()
    assert preflight_adapters(base, {"a": adapter({"model.layers.0.q": (6, 4)})}) == ()  # weights as [in, out]
    assert preflight_adapters(base, {"a": adapter({"embed": (9, 6)}, layout="embedding")}) == ()
    assert preflight_adapters(base, {"a": adapter({"lm_head": (9, 6)})}) == ()  # tied


def test_every_mismatch_is_told_at_once(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base", LAYERS)
    found = {
        "a": adapter(
            {"model.layers.0.q": (4, 48), "model.layers.1.q": (4, 6), "model.layers.0.v": (4, 6)}, tmp_path / "other"
        ),
        "b": adapter({"model.embed": (10, 6)}, layout="embedding"),
    }
    with pytest.raises(DataError) as error:
        preflight_adapters(base, found)
    whose = f"task 'a' does not fit the base (it says that it was trained on {tmp_path / 'other'})"
    assert str(error.value).splitlines() == [
        f"{whose}: it changes model.layers.0.q by [4, 48], and model.layers.0.q.weight of the base is [4, 6]",
        f"{whose}: it changes model.layers.1.q, which the base does not have",
        f"{whose}: it changes model.layers.0.v, which the base does not have",
        (
            "task 'b' does not fit the base: it changes model.embed by [10, 6], and model.embed.weight of the base is"
            " [9, 6]"
        ),
        "give the base that the adapter was trained on (--base), or import an adapter of this one",
    ]


def test_another_base_is_mentioned_where_it_is_plainly_another(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base", LAYERS)
    checkpoint(tmp_path / "moved", LAYERS)
    checkpoint(tmp_path / "other", {**LAYERS, "model.embed.weight": torch.zeros(9, 6)})
    checkpoint(tmp_path / "smaller", {"model.layers.0.q.weight": torch.ones(4, 6)})
    for said in (None, Path("owner/name"), tmp_path / "gone", tmp_path / "base", tmp_path / "moved"):
        assert preflight_adapters(base, {"a": adapter({"layers.0.q": (4, 6)}, said)}) == ()
    for said in (tmp_path / "other", tmp_path / "smaller"):
        (note,) = preflight_adapters(base, {"a": adapter({"layers.0.q": (4, 6)}, said)})
        assert note.startswith(
            f"task 'a' says that it was trained on {said}, which holds another model than the base {base.folder}"
        )


GPT = {"architectures": ["GPT2LMHeadModel"], "tie_word_embeddings": True}


@pytest.mark.parametrize("config", [GPT, {"architectures": ["LlamaForCausalLM"]}])
def test_changing_one_of_two_tied_layers_is_noted(tmp_path: Path, config: Mapping[str, object]) -> None:
    base = checkpoint(tmp_path / "base", {"model.embed_tokens.weight": torch.ones(9, 6)}, **config)
    of_embeddings = adapter({"model.embed_tokens": (9, 6)}, layout="embedding")
    for changed in (
        of_embeddings,
        adapter({"lm_head": (9, 6)}),
        Adapter({}, {"model.embed_tokens.weight": torch.ones(9, 6)}),
    ):
        (note,) = preflight_adapters(base, {"a": changed})
        assert "which the base ties to another layer" in note
    assert preflight_adapters(base, {"a": Adapter(of_embeddings.modules, config={"ensure_weight_tying": True})}) == ()
    untied = checkpoint(
        tmp_path / "untied",
        {"model.embed_tokens.weight": torch.ones(9, 6), "lm_head.weight": torch.ones(9, 6)},
        **config,
    )
    assert preflight_adapters(untied, {"a": of_embeddings}) == ()


def test_the_base_s_tensors_go_by_the_adapters_names(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base", {"embed_tokens.weight": torch.arange(54.0).reshape(9, 6)})
    changed = Adapter(
        {},
        {
            "model.embed_tokens.weight": torch.ones(9, 6),
            "lm_head.weight": torch.ones(9, 6),
            "score.weight": torch.ones(2),
        },
    )
    found = base_tensors(base, {"a": changed})
    assert sorted(found) == ["lm_head.weight", "model.embed_tokens.weight"]
    assert all(tensor.equal(torch.arange(54.0).reshape(9, 6)) for tensor in found.values())
