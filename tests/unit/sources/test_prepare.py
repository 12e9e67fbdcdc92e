from dataclasses import replace
from pathlib import Path

import datasets
import pytest
import torch
import transformers

from checkpoints import Checkpoints, image_folder, parquet
from foretaste.errors import DataError
from foretaste.sources import prepare
from foretaste.sources.data import read_rows
from foretaste.sources.prepare import Images, Texts
from foretaste.sources.request import TaskRequest

TEXTS = datasets.Dataset.from_dict(
    {"text": ["the fine film", "dull", "a dull a dull a dull a dull"], "other": ["book", "film", "the"]}
)


def test_texts_are_cut_padded_and_masked(checkpoints: Checkpoints) -> None:
    texts = Texts(str(checkpoints.bert), 6)
    examples = texts.examples(TEXTS, ["text"], [1, 0, 0], "here")
    assert [len(examples[index]["input_ids"]) for index in range(len(examples))] == [5, 3, 6]
    batch = texts.collate([examples[index] for index in range(3)])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (3, 6)
    assert torch.equal(batch["labels"], torch.tensor([1, 0, 0]))
    assert batch["attention_mask"].sum(1).tolist() == [5, 3, 6]
    assert bool((batch["input_ids"][batch["attention_mask"] == 0] == 0).all())


def test_a_task_may_have_a_length_of_its_own(checkpoints: Checkpoints) -> None:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoints.bert)
    texts, usual = Texts(str(checkpoints.bert), 6), TaskRequest("a", "train", "validation", ())
    assert texts.suited_to(usual, model) is texts
    shorter = texts.suited_to(replace(usual, max_length=4), model)
    lengths = [len(own.examples(TEXTS, ["text"], [1, 0, 0], "here")[2]["input_ids"]) for own in (texts, shorter)]
    assert lengths == [6, 4]
    assert shorter.fingerprint == Texts(str(checkpoints.bert), 4).fingerprint != texts.fingerprint
    with pytest.raises(DataError, match="max_length 41 are more than the model's 40 positions") as caught:
        texts.suited_to(replace(usual, max_length=41), model)
    assert caught.value.field == ("finetune", "tasks", "a", "max_length")


def test_padding_is_the_tokenizer_s_own(checkpoints: Checkpoints, tmp_path: Path) -> None:
    """Also where the padding token is not number 0."""
    for file in checkpoints.bert.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = (tmp_path / "tokenizer_config.json").read_text()
    (tmp_path / "tokenizer_config.json").write_text(config.replace('"pad_token": "[PAD]"', '"pad_token": "[SEP]"'))
    texts = Texts(str(tmp_path), 6)
    examples = texts.examples(TEXTS, ["text"], [0, 0, 0], "here")
    assert texts.collate([examples[0], examples[1]])["input_ids"][1].tolist()[2:] == [3, 3, 3]


def test_pairs_are_coded_as_pairs(checkpoints: Checkpoints) -> None:
    texts = Texts(str(checkpoints.bert), 16)
    single = texts.examples(TEXTS, ["text"], [0, 0, 0], "here")[0]["input_ids"].tolist()
    other = texts.examples(TEXTS, ["other"], [0, 0, 0], "here")[0]["input_ids"].tolist()
    assert texts.examples(TEXTS, ["text", "other"], [0, 0, 0], "here")[0]["input_ids"].tolist() == single + other[1:]


def test_what_is_no_text_is_named(checkpoints: Checkpoints) -> None:
    rows = datasets.Dataset.from_dict({"text": [1, 2]})
    with pytest.raises(
        DataError, match="row 1 of here has int in column 'text' where a text is expected; name a text column"
    ):
        Texts(str(checkpoints.bert), 8).examples(rows, ["text"], [0, 0], "here")


def test_text_fingerprints_depend_on_length_and_tokenizer(checkpoints: Checkpoints, tmp_path: Path) -> None:
    for file in checkpoints.bert.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    same, longer = Texts(str(checkpoints.bert), 8).fingerprint, Texts(str(checkpoints.bert), 9).fingerprint
    assert Texts(str(tmp_path), 8).fingerprint == same != longer
    tokenizer = (tmp_path / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(
        tokenizer.replace('"[CLS]",\n          "type_id": 0', '"[SEP]",\n          "type_id": 0').replace(
            '"a": 13', '"an": 13'
        )
    )
    assert Texts(str(tmp_path), 8).fingerprint != same


def test_missing_preparations_are_named(checkpoints: Checkpoints, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no tokenizer that can be loaded"):
        Texts(str(tmp_path), 8)
    with pytest.raises(DataError, match="has no image processor that can be loaded"):
        Images(str(tmp_path))


def test_images_are_what_the_processor_makes_and_are_kept(
    checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read_rows(str(parquet(tmp_path / "a.parquet", 4, 1, ["a", "b"])), "train", None)
    images = Images(str(checkpoints.vit))
    examples = images.examples(rows, ["image"], [0, 1, 0, 1], "here")
    assert len(examples) == 4
    first = examples[1]["pixel_values"]
    assert first.shape == (3, 8, 8)
    assert torch.equal(first, images.pixels(rows[1]["image"]))
    assert examples[1]["pixel_values"] is first
    batch = images.collate([examples[0], examples[1]])
    assert batch["pixel_values"].shape == (2, 3, 8, 8)
    assert batch["labels"].tolist() == [0, 1]
    monkeypatch.setattr(prepare, "_KEPT_BYTES", 3 * 8 * 8 * 4 * 4 - 1)
    made_anew = images.examples(rows, ["image"], [0, 1, 0, 1], "here")
    assert made_anew[1]["pixel_values"] is not made_anew[1]["pixel_values"]
    assert torch.equal(made_anew[1]["pixel_values"], first)


def test_grey_images_become_coloured(checkpoints: Checkpoints, tmp_path: Path) -> None:
    rows = read_rows(str(image_folder(tmp_path / "f", 2, 1, ["a", "b"])), "train", None)
    assert Images(str(checkpoints.vit)).pixels(rows[0]["image"].convert("L")).shape == (3, 8, 8)


def test_what_is_no_image_is_named(checkpoints: Checkpoints, tmp_path: Path) -> None:
    images = Images(str(checkpoints.vit))
    with pytest.raises(
        DataError, match="row 1 of here has str in column 'text' where an image is expected; name an image column"
    ):
        images.examples(TEXTS, ["text"], [0, 0, 0], "here")
    folder = image_folder(tmp_path / "f", 4, 1, ["a", "b"])
    (folder / "b" / "3.png").write_bytes(b"not a picture")
    rows = read_rows(str(folder), "train", None)
    examples = images.examples(rows, ["image"], [0, 0, 1, 1], "here")
    with pytest.raises(DataError, match="the image in row 4 of here cannot be decoded"):
        examples[3]


def test_image_fingerprints_depend_on_the_processor(checkpoints: Checkpoints) -> None:
    vit = str(checkpoints.vit)
    assert Images(vit).fingerprint == Images(vit).fingerprint != Images(str(checkpoints.mobilenet)).fingerprint
