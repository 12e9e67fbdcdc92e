from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import datasets
import pytest
import torch
import transformers
from torch import Tensor

from checkpoints import Checkpoints, chats, table, translations
from foretaste.errors import DataError
from foretaste.estimate.fisher import fisher
from foretaste.estimate.kfac import kfac
from foretaste.evaluate import evaluate
from foretaste.loss.class_labels import IGNORED, losses
from foretaste.loss.unit import count_units, unit_factors
from foretaste.params import in_eval_mode, parameters_of
from foretaste.posterior.diagonal import Diagonal
from foretaste.posterior.kronecker import Kronecker
from foretaste.sources.formats import columns_of
from foretaste.sources.language import load, predict_target_tokens
from foretaste.sources.language_metrics import metrics_named
from foretaste.sources.pretrained import tokenizer_at
from foretaste.sources.problem import Problem
from foretaste.sources.request import TaskRequest
from foretaste.task import Task, Unit
from foretaste.train.finetune import finetune
from foretaste.train.joint import joint
from foretaste.train.mixture import predict_alike, units_per_example
from foretaste.train.training import Training
from foretaste.weights import TaskWeights
from laws import random
from networks import assert_curvature_close

Rows = Sequence[Mapping[str, object]]

ALL = metrics_named(["perplexity", "token_accuracy", "exact_match", "bleu", "chrf"])
MODELS: Mapping[str, str] = {"gpt2": "causal-lm", "llama": "causal-lm", "t5": "seq2seq"}
CAUSAL = {"prompt": "source", "completion": "target"}


def problem(folder: Path, checkpoint: Path, data: Mapping[str, Rows], unit: Unit = "token", **options: Any) -> Problem:  # noqa: ANN401
    """Each task's rows for training and validation alike."""
    files = {name: str(table(folder / f"{name}.jsonl", rows)) for name, rows in data.items()}
    kind = MODELS[checkpoint.name]
    options = {"max_length": 32, "most": 12, **options}
    columns = CAUSAL if kind == "causal-lm" and "source" in next(iter(data.values()))[0] else {}
    metrics = options.pop("metrics", ALL)
    plans = [TaskRequest(name, file, file, metrics, columns) for name, file in files.items()]
    return load(str(checkpoint), kind, plans, unit=unit, **options)


def two(count: int = 5) -> dict[str, list[dict[str, str]]]:
    """Two tongues; targets of the second are longer."""
    longer = [{**row, "target": f"{row['target']} {row['source']}"} for row in translations(count, 2, 3)]
    return {"a": translations(count, 1, 1), "b": longer}


def loss_of_the_model(task: Task, model: torch.nn.Module, folder: Path, row: Mapping[str, str]) -> float:
    """transformers' own mean loss on one row that is tokenised here, all in one."""
    tokenizer = tokenizer_at(str(folder))
    with in_eval_mode(model), torch.no_grad():
        if task.predict is predict_target_tokens:
            ids, labels = tokenizer(row["source"])["input_ids"], tokenizer(row["target"])["input_ids"]
        else:
            prompt = tokenizer(row["source"])["input_ids"]
            answer = [*tokenizer(row["target"], add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
            ids, labels = prompt + answer, [IGNORED] * len(prompt) + answer
        return float(model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss)


class TestLogitsAndLabels:
    @pytest.mark.parametrize("name", MODELS)
    def test_the_loss_of_each_row_is_the_model_s_own(self, checkpoints: Checkpoints, tmp_path: Path, name: str) -> None:
        """Whatever the rows beside it in a batch: padding, masks, places and the shift are right."""
        rows = two()["b"]
        found = problem(tmp_path, getattr(checkpoints, name), {"a": rows, "b": rows})
        task = found.tasks[0]
        expected = [loss_of_the_model(task, found.model, getattr(checkpoints, name), row) for row in rows]
        for size in (1, 2, 5):
            result = evaluate(found.model, None, [task], batch_size=size)["a"]
            assert result.losses.tolist() == pytest.approx(expected, rel=1e-4)
        counts = [int((task.train[index]["labels"] != IGNORED).sum()) for index in range(5)]
        mean = sum(each * count for each, count in zip(expected, counts, strict=True)) / sum(counts)
        assert result.metrics["loss"] == pytest.approx(mean, rel=1e-4)
        assert result.metrics["perplexity"] == pytest.approx(torch.tensor(mean).exp().item(), rel=1e-3)

    @pytest.mark.parametrize("name", MODELS)
    def test_there_is_a_logit_for_every_label(self, checkpoints: Checkpoints, tmp_path: Path, name: str) -> None:
        found = problem(tmp_path, getattr(checkpoints, name), two())
        task = found.tasks[0]
        batch = task.batch(task.train, range(5), torch.device("cpu"))
        logits = task.predict(found.model, batch)
        assert logits.shape[:2] == batch["labels"].shape
        assert bool((batch["labels"] == IGNORED).any())
        assert predict_alike(found.tasks)

    def test_chats_learn_the_answers_alone(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        rows = chats(4, 1)
        task = problem(tmp_path, checkpoints.llama, {"a": rows, "b": rows}, max_length=80).tasks[0]
        tokenizer = tokenizer_at(str(checkpoints.llama))
        for index, row in enumerate(rows):
            example = task.train[index]
            learned = [label for label in example["labels"].tolist() if label != IGNORED]
            answers = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
            assert tokenizer.decode(learned) == "".join(f"{answer}</s>\n" for answer in answers)
            whole = tokenizer.apply_chat_template(row["messages"], tokenize=False)
            assert tokenizer.decode([*example["input_ids"].tolist(), learned[-1]]) == whole
            assert bytes(example["reference"].tolist()).decode() == answers[-1]

    def test_answers_of_weight_0_have_no_labels(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        """Neither in training nor in the loss; and the task is another one than without the weights."""
        turns = [
            {"role": role, "content": text}
            for role, text in (("user", "the"), ("assistant", "fine"), ("user", "a"), ("assistant", "dull"))
        ]
        rows = [{"messages": turns}] * 3
        for place, expected in ((1, "dull"), (3, "fine")):
            weighted = [{**turn, "weight": int(index != place)} for index, turn in enumerate(turns)]
            found = problem(tmp_path, checkpoints.llama, {"a": rows, "b": [{"messages": weighted}] * 3})
            whole, masked = found.tasks
            tokenizer = tokenizer_at(str(checkpoints.llama))
            texts = [
                tokenizer.decode(
                    [token for token in task.train[0]["labels"].tolist() if token != IGNORED], skip_special_tokens=True
                ).split()
                for task in (whole, masked)
            ]
            assert texts == [["fine", "dull"], [expected]]
            assert whole.fingerprint != masked.fingerprint

    def test_contents_in_parts_are_the_same_as_texts(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        """Also where only some rows have them."""
        plain = chats(4, 1)
        parts = [
            {
                "messages": [
                    {**turn, "content": [{"type": "text", "text": turn["content"]}]} if place % 2 else turn
                    for turn in row["messages"]
                ]
            }
            for place, row in enumerate(plain)
        ]
        one, other = problem(tmp_path, checkpoints.llama, {"a": plain, "b": parts}, max_length=64).tasks
        assert [one.train[place]["labels"].tolist() for place in range(4)] == [
            other.train[place]["labels"].tolist() for place in range(4)
        ]

    def test_whole_texts_are_learned_from_the_second_token_on(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        rows = [{"text": "the good film"}, {"text": "a superb book is great"}]
        for name, first in (("gpt2", 1), ("llama", 0)):  # one of them begins with a token of its own
            task = problem(tmp_path, getattr(checkpoints, name), {"a": rows, "b": rows}, metrics=ALL[:3]).tasks[0]
            tokenizer = tokenizer_at(str(getattr(checkpoints, name)))
            for index, row in enumerate(rows):
                ids = tokenizer(row["text"], add_special_tokens=False)["input_ids"]
                assert task.train[index]["labels"].tolist() == [*ids[first:], tokenizer.eos_token_id]
            assert "reference" not in task.train[0]


class TestWhatIsLearnedIsWritten:
    @pytest.mark.parametrize("name", MODELS)
    def test_a_model_that_knows_its_rows_writes_them(self, checkpoints: Checkpoints, tmp_path: Path, name: str) -> None:
        rows = [
            {"source": word, "target": f"{word} is {other}"}
            for word, other in (("good", "fine"), ("bad film", "dull"), ("book", "a"))
        ]
        found = problem(tmp_path, getattr(checkpoints, name), {"a": rows, "b": rows}, most=20)
        training = Training(steps=250, batch_size=3, learning_rate=0.02, decay="constant")
        run = finetune(found.model, None, found.tasks[0], training)
        result = evaluate(found.model, run.params, found.tasks[:1], batch_size=2)["a"]
        assert result.texts == tuple(row["target"] for row in rows)
        assert {key: result.metrics[key] for key in ("token_accuracy", "exact_match")} == {
            "token_accuracy": 1.0,
            "exact_match": 1.0,
        }
        assert result.metrics["chrf"] == pytest.approx(100)
        assert result.metrics["perplexity"] < 1.2

    @pytest.mark.parametrize("name", MODELS)
    def test_rows_match_exactly_where_greedy_decoding_gives_the_reference(
        self, checkpoints: Checkpoints, tmp_path: Path, name: str
    ) -> None:
        """Half-way through training some rows are known and some are not."""
        rows = [{"source": row["source"], "target": row["target"]} for row in translations(8, 3, 1)]
        found = problem(tmp_path, getattr(checkpoints, name), {"a": rows, "b": rows}, most=30)
        params, task, matches = None, found.tasks[0], []
        for _ in range(12):
            params = finetune(
                found.model, params, task, Training(steps=20, batch_size=8, learning_rate=0.01, decay="constant")
            ).params
            result = evaluate(found.model, params, [task])["a"]
            same = [text == row["target"] for text, row in zip(result.texts, rows, strict=True)]
            matches.append(result.metrics["exact_match"])
            assert result.metrics["exact_match"] == pytest.approx(sum(same) / 8)
        assert any(0 < match < 1 for match in matches)


@pytest.mark.parametrize("name", MODELS)
class TestCurvature:
    """Against gradients of examples that are collated and taken one by one."""

    def alone(self, found: Problem, task: Task) -> list[tuple[float, dict[str, Tensor]]]:
        named = dict(found.model.named_parameters())
        each = []
        with in_eval_mode(found.model):
            for index in range(len(task.train)):
                batch = task.batch(task.train, [index], torch.device("cpu"))
                total = losses(task.predict(found.model, batch), batch["labels"]).sum()
                grads = torch.autograd.grad(total, list(named.values()), materialize_grads=True)
                each.append(
                    (float(unit_factors(batch["labels"] != IGNORED, task.unit)), dict(zip(named, grads, strict=True)))
                )
        return each

    def count(self, task: Task) -> int:
        return sum(
            count_units(task.train[index]["labels"].unsqueeze(0) != IGNORED, task.unit)
            for index in range(len(task.train))
        )

    @pytest.mark.parametrize("unit", ["token", "example"])
    def test_the_diagonal_fisher(
        self, checkpoints: Checkpoints, tmp_path: Path, name: str, unit: Literal["token", "example"]
    ) -> None:
        found = problem(tmp_path, getattr(checkpoints, name), two(), unit)
        task = found.tasks[1]
        site = fisher(found.model, None, task, generator=random(0), labels="empirical", batch_size=3)
        truth = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in found.model.named_parameters()}
        for factor, gradient in self.alone(found, task):
            for parameter, tensor in gradient.items():
                truth[parameter] += factor * tensor.double().square() / self.count(task)
        assert isinstance(site.precision, Diagonal)
        assert_curvature_close(site.precision.entries, truth, 1e-4)
        assert (site.record.unit, site.record.examples, site.record.units) == (unit, 5, self.count(task))
        assert self.count(task) > 5 or unit == "example"

    def test_kfac(self, checkpoints: Checkpoints, tmp_path: Path, name: str) -> None:
        """In its basis for the linear layers; the diagonal Fisher for norms, embeddings and heads tied to them."""
        found = problem(tmp_path, getattr(checkpoints, name), two())
        task = found.tasks[0]
        precision = kfac(found.model, None, task, generator=random(0), labels="empirical", batch_size=3).precision
        assert isinstance(precision, Kronecker)
        truth = {name: torch.zeros_like(tensor, dtype=torch.float64) for name, tensor in precision.eigenvalues.items()}
        for factor, gradient in self.alone(found, task):
            for weight, axes in precision.basis.items():
                matrix = gradient[weight].double()
                matrix = torch.cat([matrix, gradient[axes.bias].double().unsqueeze(1)], dim=1) if axes.bias else matrix
                truth[weight] += (
                    factor * (axes.left.double().T @ matrix @ axes.right.double()).square() / self.count(task)
                )
        assert_curvature_close(precision.eigenvalues, truth, 1e-3)
        embeddings = {"gpt2": "transformer.wte.weight", "llama": "model.embed_tokens.weight", "t5": "shared.weight"}
        assert embeddings[name] in precision.diagonal.entries
        layers = {
            name
            for name, parameter in found.model.named_parameters()
            if parameter.dim() == 2 and "relative" not in name
        }
        expected = {each for each in layers if not any(word in each for word in ("embed", "wte", "wpe", "shared"))}
        assert set(precision.basis) == expected


class TestUnits:
    def test_tokens_are_counted_and_shares_are_of_tokens(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        found = problem(tmp_path, checkpoints.t5, two(20))
        short, long = (units_per_example(task) for task in found.tasks)
        assert long > 1.5 * short
        run = joint(
            found.model,
            None,
            found.tasks,
            TaskWeights(["a", "b"], [0.5, 0.5]),
            Training(steps=40, batch_size=6, learning_rate=1e-3),
        )
        seen = {name: each["units"] for name, each in run.data_counts.items()}
        assert seen["a"] / sum(seen.values()) == pytest.approx(0.5, abs=0.03)
        assert run.data_counts["a"]["examples"] > 1.4 * run.data_counts["b"]["examples"]

    def test_examples_may_be_the_unit(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        tasks = problem(tmp_path, checkpoints.gpt2, two(), "example").tasks
        assert [task.unit for task in tasks] == ["example"] * 2
        assert units_per_example(tasks[0]) == 1


class TestData:
    def test_columns_are_found_by_their_usual_names(self) -> None:
        everything = ["text", "completion", "messages", "prompt", "source", "target"]
        assert columns_of("causal-lm", {}, everything, "x") == {"messages": "messages"}
        assert columns_of("causal-lm", {}, ["text", "prompt"], "x") == {"text": "text"}
        assert columns_of("causal-lm", {"text": "body"}, everything, "x") == {"text": "body"}
        assert columns_of("seq2seq", {"target": "german"}, everything, "x") == {"source": "source", "target": "german"}
        with pytest.raises(
            DataError,
            match=r"x has none of the columns messages, or prompt and completion, or text; it has a, b; name yours",
        ):
            columns_of("causal-lm", {}, ["a", "b"], "x")

    @pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
    def test_files(self, checkpoints: Checkpoints, tmp_path: Path, ending: str) -> None:
        rows = translations(6, 1, 1)
        path = tmp_path / f"a.{ending}"
        if ending == "parquet":
            datasets.Dataset.from_list(rows).to_parquet(str(path))
        else:
            table(path, rows)
        plans = [TaskRequest(name, str(path), str(path), ALL, max_train=4, max_validation=3) for name in "ab"]
        found = load(str(checkpoints.t5), "seq2seq", plans)
        assert [(len(task.train), len(task.validation)) for task in found.tasks] == [(4, 3)] * 2
        assert dict(found.facts)["architecture"].startswith("T5ForConditionalGeneration, ")

    def test_rows_that_were_cut_are_counted(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        rows = [
            {"source": "good", "target": "fine"},
            {"source": "the " * 30, "target": "fine"},
            {"source": "a", "target": "fine " * 40},
        ]
        facts = dict(problem(tmp_path, checkpoints.gpt2, {"a": rows, "b": rows[:1]}).facts)
        assert facts["cut to max_length"] == "a: 4 of 6 rows"
        assert "cut to max_length" not in dict(problem(tmp_path, checkpoints.t5, two()).facts)

    def test_fingerprints_change_with_all_that_makes_a_task(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        file, other = (
            str(table(tmp_path / f"{name}.jsonl", translations(6, seed, 1))) for name, seed in (("x", 1), ("y", 2))
        )
        plan = TaskRequest("a", file, file, ALL)
        second = replace(plan, name="b")

        def mark(changed: TaskRequest, unit: Unit = "token", length: int = 16, most: int = 8) -> str:
            return (
                load(str(checkpoints.t5), "seq2seq", [changed, second], unit=unit, max_length=length, most=most)
                .tasks[0]
                .fingerprint
            )

        whole = mark(plan)
        assert mark(plan) == whole
        changes = [
            mark(replace(plan, train=other)),
            mark(replace(plan, validation=other)),
            mark(replace(plan, max_train=3)),
            mark(replace(plan, columns={"source": "target"})),
            mark(plan, unit="example"),
            mark(plan, length=8),
            mark(plan, most=9),
        ]
        assert len({whole, *changes}) == len(changes) + 1

    def test_the_chat_template_is_part_of_the_fingerprint(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        (tmp_path / "llama").mkdir()
        for file in checkpoints.llama.iterdir():
            (tmp_path / "llama" / file.name).write_bytes(file.read_bytes())
        template = tmp_path / "llama" / "chat_template.jinja"
        template.write_text(template.read_text().replace("\n", " "))
        data = {"a": chats(2, 1), "b": chats(2, 2)}
        marks = [
            problem(tmp_path, folder, data, max_length=80).tasks[0].fingerprint
            for folder in (checkpoints.llama, tmp_path / "llama")
        ]
        assert len(set(marks)) == 2


GOOD = {"source": "good", "target": "fine"}


class TestFaults:
    @pytest.mark.parametrize(
        ("checkpoint", "rows", "words"),
        [
            (
                "t5",
                [{"source": "good", "aim": "fine"}],
                "has none of the columns source and target; it has source, aim; name yours in the task",
            ),
            ("t5", [GOOD, {"source": "good", "target": None}], "has no value in column 'target'; fill or remove it"),
            (
                "t5",
                [GOOD, {"source": "good", "target": " "}],
                "row 2 of .* has no text in column 'target'; fill or remove it",
            ),
            (
                "t5",
                [{"source": "good", "target": 3}],
                "row 1 of .* has int in column 'target' where a text is expected",
            ),
            ("gpt2", [GOOD, {"source": "good", "target": ""}], "row 2 of .* has no text in column 'target'"),
            (
                "gpt2",
                chats(2, 1),
                "the tokenizer has no chat template; put one in the checkpoint's chat_template.jinja",
            ),
            (
                "llama",
                [*chats(1, 1), {"messages": [{"role": "robot", "content": "x"}]}],
                "row 2 of .* has a message of the role 'robot'",
            ),
            ("llama", [{"messages": "hello"}], "row 1 of .* has str where a list of messages"),
        ],
    )
    def test_rows(self, checkpoints: Checkpoints, tmp_path: Path, checkpoint: str, rows: Rows, words: str) -> None:
        with pytest.raises(DataError, match=words) as caught:
            problem(tmp_path, getattr(checkpoints, checkpoint), {"a": rows, "b": rows})
        assert caught.value.field == ("tasks", "a", "train")

    def test_a_column_that_the_recipe_names_and_validation_lacks(
        self, checkpoints: Checkpoints, tmp_path: Path
    ) -> None:
        file, other = (
            table(tmp_path / "x.jsonl", [GOOD]),
            table(tmp_path / "y.jsonl", [{"source": "good", "german": "fein"}]),
        )
        plans = [TaskRequest(name, str(file), str(other), ALL) for name in "ab"]
        with pytest.raises(DataError, match=r"y\.jsonl has no column 'target'; it has source, german") as caught:
            load(str(checkpoints.t5), "seq2seq", plans)
        assert caught.value.field == ("tasks", "a", "validation")

    def test_all_columns_that_are_missing_are_told_at_once(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        """And a training file of another format is not taken for a fault of the validation file."""
        pair, text = {"prompt": "a", "completion": "b"}, {"text": "a", "label": "b"}
        rows = {"pair": [pair], "text": [text], "both": [{**pair, **text}], "none": [{"a": "b"}]}
        files = {name: str(table(tmp_path / f"{name}.jsonl", each)) for name, each in rows.items()}
        tried = {"one": ("text", "pair"), "two": ("none", "pair"), "fine": ("both", "text"), "four": ("pair", "none")}
        plans = [TaskRequest(name, files[train], files[other], ALL[:1]) for name, (train, other) in tried.items()]
        with pytest.raises(DataError) as caught:
            load(str(checkpoints.gpt2), "causal-lm", plans[:3])
        assert caught.value.field == ("tasks", "one", "train")
        first, second = str(caught.value).splitlines()
        assert (
            first
            == f"{files['text']} has text, and {files['pair']} has prompt and completion; both files of a task need the"
            " same columns"
        )
        assert second.startswith(f"tasks.two.train: {files['none']} has none of the columns messages, or")
        with pytest.raises(DataError, match="has no columns 'prompt', 'completion'; it has a") as caught:
            load(str(checkpoints.gpt2), "causal-lm", plans[2:])
        assert caught.value.field == ("tasks", "four", "validation")
        assert load(
            str(checkpoints.gpt2), "causal-lm", [plans[2], replace(plans[2], name="b")], max_length=16
        ).names == ["fine", "b"]

    def test_rows_of_both_files_are_a_warning(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        found = problem(tmp_path, checkpoints.gpt2, two())
        assert [said.split(":")[0] for said in found.warnings] == [
            f"5 of 5 training rows of task '{name}' are in its validation data too" for name in "ab"
        ]
        assert dict(found.facts)["warning"] == "; ".join(found.warnings)

    def test_texts_cannot_be_judged_without_a_prompt(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        rows = [{"text": "the good film"}]
        with pytest.raises(
            DataError, match="bleu needs a prompt to write from, and the rows are whole texts"
        ) as caught:
            problem(tmp_path, checkpoints.gpt2, {"a": rows, "b": rows})
        assert caught.value.field == ("tasks", "a", "metrics")

    @pytest.mark.parametrize(
        ("length", "most", "field", "words"),
        [
            (65, 4, "max_length", "max_length 65 are more than the model's 64 positions; lower max_length"),
            (
                40,
                30,
                "max_new_tokens",
                "max_length 40 and max_new_tokens 30 are more than the model's 64 positions; lower max_new_tokens",
            ),
        ],
    )
    def test_more_tokens_than_positions(
        self, checkpoints: Checkpoints, tmp_path: Path, length: int, most: int, field: str, words: str
    ) -> None:
        with pytest.raises(DataError, match=words) as caught:
            problem(tmp_path, checkpoints.gpt2, two(), max_length=length, most=most)
        assert caught.value.field == ("model", field)
        problem(tmp_path, checkpoints.gpt2, two(), max_length=64, most=30, metrics=ALL[:3])
        problem(tmp_path, checkpoints.t5, two(), max_length=500)

    def test_a_model_that_sees_what_it_should_predict(self, tmp_path: Path, checkpoints: Checkpoints) -> None:
        sizes = {
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "initializer_range": 0.3,
        }
        for decoder in (False, True):
            folder = tmp_path / f"decoder-{decoder}"
            config = transformers.BertConfig(vocab_size=320, max_position_embeddings=40, is_decoder=decoder, **sizes)
            transformers.BertLMHeadModel(config).save_pretrained(folder)
            tokenizer_at(str(checkpoints.gpt2)).save_pretrained(folder)
            file = str(table(tmp_path / "a.jsonl", [{"text": "the good film"}]))
            plans = [TaskRequest(name, file, file, ALL[:3]) for name in "ab"]
            if decoder:
                assert load(str(folder), "causal-lm", plans, max_length=16).names == ["a", "b"]
            else:
                with pytest.raises(
                    DataError, match=r"is not a causal language model: .* depend on later tokens"
                ) as caught:
                    load(str(folder), "causal-lm", plans, max_length=16)
                assert caught.value.field == ("model", "path")

    def test_checkpoints(self, checkpoints: Checkpoints, tmp_path: Path) -> None:
        file = str(table(tmp_path / "a.jsonl", [GOOD]))
        for path in (tmp_path, checkpoints.bert):
            with pytest.raises(DataError) as caught:
                load(str(path), "seq2seq", [TaskRequest(name, file, file, ALL) for name in "ab"])
            assert caught.value.field == ("model", "path")


def test_tied_params_have_one_name_and_the_tasks_share_all(checkpoints: Checkpoints, tmp_path: Path) -> None:
    found = problem(tmp_path, checkpoints.gpt2, two())
    assert [task.names for task in found.tasks] == [None, None]
    site = fisher(found.model, None, found.tasks[0], generator=random(0))
    assert set(site.center) == set(parameters_of(found.model))
    assert [name for name in site.center if "wte" in name or "lm_head" in name] == ["transformer.wte.weight"]
