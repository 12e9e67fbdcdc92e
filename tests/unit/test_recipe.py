import re
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

from foretaste.errors import DataError, RecipeError, StudyError
from foretaste.metrics import METRICS, SEQUENCE_METRICS
from foretaste.recipe import parse, read, schema, where
from foretaste.sources.kinds import CAUSAL_LM, IMAGE_CLASSIFICATION, TEXT_CLASSIFICATION, metric_names
from foretaste.sources.plans import FunctionModel, TransformersModel
from foretaste.sources.texts import TEXT_METRICS

DIGITS = "name: a\nmodel: {source: digits}\n"
TEXT = """name: a
model:
  source: transformers
  path: model
  kind: text-classification
tasks:
  movies:
    train: movies.jsonl
    validation: movies.jsonl
    text: text
  news:
    train: ./news.jsonl
    validation: organisation/news
    text: [premise, hypothesis]
"""


@pytest.mark.parametrize("kind", ["text", "image", "causal-lm", "seq2seq", "function", "digits"])
def test_templates_are_recipes_and_fit_the_schema(kind: str) -> None:
    text = (files("foretaste") / "recipes" / f"{kind}.yaml").read_text()
    recipe = parse(text)
    assert recipe.model.source == (kind if kind in ("function", "digits") else "transformers")
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(yaml.safe_load(text), schema())


def test_the_schema_refuses_what_the_parser_refuses() -> None:
    for wrong in ({"seed": -1}, {"nmae": "b"}, {"finetune": {"steps": 0}}, {"model": {"source": "magic"}}):
        plain = yaml.safe_load(DIGITS) | wrong
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(plain, schema())
        with pytest.raises(RecipeError):
            parse(yaml.safe_dump(plain))


def test_inputs_are_text_columns_pairs_or_an_image() -> None:
    recipe = parse(TEXT)
    assert [task.request("a", TEXT_CLASSIFICATION).inputs for task in recipe.tasks.values()] == [
        ("text",),
        ("premise", "hypothesis"),
    ]
    image = parse(
        TEXT.replace("text-", "image-").replace("text:", "image:").replace("[premise, hypothesis]", "picture")
    )
    assert [task.request("a", IMAGE_CLASSIFICATION).inputs for task in image.tasks.values()] == [
        ("text",),
        ("picture",),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            DIGITS + "finetune:\n  steps: 0\n",
            "r.yaml, line 4, finetune.steps: Input should be greater than or equal to 1; found 0",
        ),
        (
            DIGITS + "joint:\n  realise: magic\n",
            "r.yaml, line 4, joint.realise: Input should be 'sampling' or 'loss'; found 'magic'",
        ),
        *(
            (
                DIGITS + f"joint: {{steps: {steps}}}\n",
                f"line 3, joint.steps: should be a whole number from 1 to 1000000000, or all; found {steps}",
            )
            for steps in (0, 2.5, "'some'", 10**9 + 1)
        ),
        (
            DIGITS + "preview: {prior_precision: -1}\n",
            "line 3, preview.prior_precision: must be 'auto', 'mean' or a finite number above 0; found -1",
        ),
        (
            DIGITS + "finetune: {weight_decay: .nan}\n",
            "line 3, finetune.weight_decay: Input should be a finite number; found nan",
        ),
        (
            DIGITS + "finetune:\n  method: lora\n  freeze: [a]\n",
            "r.yaml, line 5, finetune.freeze: LoRA trains nothing but its factors and new heads anyway; remove this",
        ),
        (DIGITS + "finetune:\n  r: 8\n", "r.yaml, line 4, finetune.r: r is for LoRA; remove this, or set method: lora"),
        (
            DIGITS + "finetune: {method: full, targets: [q]}\n",
            "line 3, finetune.targets: targets is for LoRA; remove this, or set method",
        ),
        (
            DIGITS + "preview: {methods: [simple, anchored, simple]}\n",
            "line 3, preview.methods: simple is named twice; name each method once",
        ),
        (DIGITS + "nmae: b\n", "line 3, nmae: unknown field; did you mean name?"),
        (
            "name: a\nmodel:\n  source: digits\n  path: x\n",
            "line 4, model.path: unknown field; there are source, tasks; found 'x'",
        ),
        ("model: {source: digits}\n", "r.yaml, line 1, name: Field required"),
        ("name: a\nmodel: {source: function, call: nowhere}\n", "line 2, model.call: String should match pattern"),
        (
            DIGITS + "tasks: {a: {train: a.csv, validation: a.csv}}\n",
            "line 3, tasks: source 'digits' brings its own tasks; remove",
        ),
        (DIGITS + "tasks: [a]\n", "line 3, tasks: Input should be a valid dictionary"),
        (TEXT.replace("text: text", "txt: text"), "line 10, tasks.movies.txt: unknown field; did you mean text?"),
        (
            TEXT.replace("text: text", "image: text"),
            "line 7, tasks.movies: text-classification needs the name of the text column in 'text'",
        ),
        (TEXT.partition("  news")[0], "line 6, tasks: a transformers model needs at least two tasks, found 1"),
        (TEXT.replace("news:", "ne ws:"), "line 11, tasks.ne ws: the task name 'ne ws' has ' '"),
        (
            TEXT.replace("  movies:", "  preview:").replace("text: text", "txt: x"),
            "tasks.preview.txt: unknown field; did you mean text?",
        ),
        (TEXT.replace("  movies:", "  digits:").replace("text: text", "text: 3"), "line 10, tasks.digits.text"),
        (
            TEXT + "recommend:\n  floors: ['sport>=1']\n",
            "line 16, recommend.floors: floor 'sport>=1' is not understood",
        ),
        (TEXT + "recommend:\n  prefer: sport=1\n", "line 16, recommend.prefer: preference 'sport=1' needs numbers"),
    ],
)
def test_faults_name_line_and_field(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(text, "r.yaml")
    assert message in str(caught.value)


CAUSAL = """name: a
model:
  source: transformers
  path: model
  kind: causal-lm
tasks:
  chats:
    train: chats.jsonl
    validation: chats.jsonl
  sums:
    train: sums.jsonl
    validation: sums.jsonl
    prompt: question
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            CAUSAL + "    image: picture\n",
            (
                "line 14, tasks.sums.image: causal-lm has no use for 'image'; it reads prompt, completion, messages,"
                " tools, text"
            ),
        ),
        (CAUSAL + "    label: sum\n", "line 14, tasks.sums.label: causal-lm has no use for 'label'"),
        (
            CAUSAL + "    messages: m\n",
            "line 10, tasks.sums: name one kind of rows: prompt and completion, or messages, or text",
        ),
        (CAUSAL + "    text: t\n", "line 10, tasks.sums: name one kind of rows"),
        (
            CAUSAL.replace("prompt: question", "text: [a, b]"),
            "line 13, tasks.sums.text: causal-lm reads one text column; for two take",
        ),
        (
            CAUSAL + "    metrics: [perplexity, f1]\n",
            "line 14, tasks.sums.metrics.1: causal-lm is not judged by f1; choose from perplexity, tok",
        ),
        (
            CAUSAL + "    metrics: [rouge]\n",
            "line 14, tasks.sums.metrics.0: Input should be 'accuracy', 'f1', 'mcc', 'perplexity', 'token_acc",
        ),
        (
            CAUSAL.replace("kind: causal-lm", "kind: seq2seq"),
            "line 13, tasks.sums.prompt: seq2seq has no use for 'prompt'; it reads source, target",
        ),
        (
            CAUSAL.replace("path: model", "head: shared\n  path: model"),
            "line 4, model.head: causal-lm has no heads to share; remove this",
        ),
        (
            CAUSAL.replace("path: model", "max_new_tokens: 0\n  path: model"),
            "line 4, model.max_new_tokens: Input should be greater than or",
        ),
        (
            TEXT.replace("path: model", "unit: token\n  path: model"),
            "line 4, model.unit: unit 'token' is for causal-lm and seq2seq; remove",
        ),
        (
            TEXT.replace("path: model", "max_new_tokens: 9\n  path: model"),
            "line 4, model.max_new_tokens: max_new_tokens 9 is for causal-lm",
        ),
        (
            TEXT + "    metrics: [perplexity]\n",
            "line 15, tasks.news.metrics.0: text-classification is not judged by perplexity; choose from acc",
        ),
        (
            TEXT + "    metrics: [accuracy, arc_easy:acc]\n",
            (
                "line 15, tasks.news.metrics.1: arc_easy:acc is of lm-evaluation-harness, which is for causal-lm alone,"
                " not text-clas"
            ),
        ),
        (CAUSAL + "    metrics: ['arc_easy:acc:a:b']\n", "of lm-evaluation-harness, TASK:METRIC or TASK:METRIC:FILTER"),
        (CAUSAL + "    metrics: ['arc_easy:']\n", "line 14, tasks.sums.metrics.0: Input should be 'accuracy'"),
        (
            CAUSAL.replace("path: model", "harness: {limit: 4}\n  path: model"),
            (
                "line 4, model.harness: no task is judged by a metric of lm-evaluation-harness; name one among a task's"
                " metrics, for exa"
            ),
        ),
        (
            CAUSAL.replace("path: model", "harness: {limt: 4}\n  path: model"),
            "line 4, model.harness.limt: unknown field; did you mean limit?",
        ),
        (
            CAUSAL.replace("path: model", "harness: {limit: 0}\n  path: model"),
            "line 4, model.harness.limit: Input should be greater",
        ),
        (CAUSAL.replace("path: model", "paht: model"), "line 4, model.paht: unknown field; did you mean path?"),
        (
            CAUSAL + "    harness: {limit: 4}\n",
            "line 14, tasks.sums.harness: unknown field; did you mean model.harness?",
        ),
        (
            TEXT + "    image: picture\n",
            "line 15, tasks.news.image: text-classification has no use for 'image'; it reads text, label, labels",
        ),
    ],
)
def test_a_task_says_what_its_kind_of_model_reads(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(text, "r.yaml")
    assert message in str(caught.value)


def test_recipes_of_language_models() -> None:
    found = parse(CAUSAL.replace("path: model", "unit: example\n  max_new_tokens: 9\n  path: model"))
    assert isinstance(found.model, TransformersModel)
    assert (found.model.unit, found.model.max_new_tokens) == ("example", 9)
    assert found.tasks["sums"].request("sums", CAUSAL_LM).columns == {"prompt": "question"}
    assert parse(TEXT.replace("path: model", "unit: example\n  path: model")).name == "a"
    both = parse(CAUSAL + "    completion: answer\n")
    assert both.tasks["sums"].request("sums", CAUSAL_LM).columns == {"prompt": "question", "completion": "answer"}


def test_metrics_are_those_that_there_are() -> None:
    """Named by the plan, by the recipe's checks, and by what computes them."""
    assert list(metric_names()) == [*METRICS, *SEQUENCE_METRICS, *TEXT_METRICS]
    for names, kind in (((*SEQUENCE_METRICS, *TEXT_METRICS), CAUSAL), (tuple(METRICS), TEXT)):
        last = parse(f"{kind}    metrics: [{', '.join(names)}]\n").tasks
        assert list(last.values())[-1].metrics == list(names)


HARNESS = CAUSAL.replace("path: model", "harness: {tasks: bench}\n  path: model")
HARNESS += "    metrics: [gsm8k:exact_match:strict-match, perplexity]\n"


def test_metrics_of_the_harness_have_a_colon() -> None:
    recipe = parse(HARNESS)
    assert recipe.tasks["sums"].metrics == ["gsm8k:exact_match:strict-match", "perplexity"]
    jsonschema.validate(yaml.safe_load(HARNESS), schema())
    for wrong in ("rouge", "gsm8k:", "a:b:c:d"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(
                yaml.safe_load(HARNESS.replace("gsm8k:exact_match:strict-match", f"'{wrong}'")), schema()
            )


def test_the_harness_s_folder_starts_at_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "r.yaml").write_text(HARNESS)
    found = read(tmp_path / "r.yaml")[0].model
    assert isinstance(found, TransformersModel)
    assert found.harness is not None
    assert found.harness.tasks == str(tmp_path / "bench")
    arguments = "{harness: {tasks: bench}, tasks: bench}"
    (tmp_path / "f.yaml").write_text(f"{{name: a, model: {{source: function, call: 'm:f', arguments: {arguments}}}}}")
    function = read(tmp_path / "f.yaml")[0].model
    assert isinstance(function, FunctionModel)
    assert function.arguments == {"harness": {"tasks": "bench"}, "tasks": "bench"}


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        parse(DIGITS + "seed: -1\nfinetune: {steps: 0}\n", "r.yaml")
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == [
        "r.yaml, line 3, seed",
        "r.yaml, line 4, finetune.steps",
    ]


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_OUTSIDE", "outside")
    text = (
        "name: ${FROM_OUTSIDE}-${given}\nmodel: {source: function, call: 'm:f', arguments: {a: ['${given}', 3], b:"
        " '${other:-default}'}}\n"
    )
    recipe = parse(text, "r.yaml", {"given": "inside"})
    assert recipe.name == "outside-inside"
    assert isinstance(recipe.model, FunctionModel)
    assert recipe.model.arguments == {"a": ["inside", 3], "b": "default"}
    assert parse(text, "r.yaml", {"given": "x", "FROM_OUTSIDE": "y"}).name == "y-x"
    with pytest.raises(RecipeError) as caught:
        parse("model:\n  source: function\n  arguments:\n    list:\n    - 1\n    - ${absent}\n", "r.yaml")
    assert str(caught.value).startswith(
        "r.yaml, line 6, model.arguments.list.1: ${absent} has no value; give --var absent=VALUE or set"
    )


def test_paths_start_at_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "movies.jsonl").write_text("{}")
    (tmp_path / "r.yaml").write_text(TEXT)
    recipe, text = read(tmp_path / "r.yaml")
    assert text == TEXT
    assert isinstance(recipe.model, TransformersModel)
    assert recipe.model.path == str(tmp_path / "model")
    assert recipe.tasks["movies"].train == str(tmp_path / "movies.jsonl")
    assert recipe.tasks["news"].train == str(tmp_path / "news.jsonl")  # begins with a dot
    assert recipe.tasks["news"].validation == "organisation/news"  # may be on the hub
    assert parse(TEXT).tasks["movies"].train == "movies.jsonl"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00 name"])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "r.yaml").write_bytes(content)
    with pytest.raises(RecipeError, match=r"cannot read the recipe .*r\.yaml.*`foretaste init` writes one"):
        read(tmp_path / "r.yaml")


def test_where_adds_a_place_once() -> None:
    named = where(DataError("no such file").at("tasks", "news", "train"), "r.yaml", TEXT)
    assert str(named) == "r.yaml, line 12, tasks.news.train: no such file"
    assert where(named, "r.yaml", TEXT) is named
    bare = StudyError("newer")
    assert where(bare, "r.yaml", TEXT) is bare


NUMBERS = [
    "seed: true",
    "snapshot_seconds: no",
    "finetune: {steps: true}",
    "finetune: {learning_rate: yes}",
    "finetune: {clip: off}",
    "finetune: {method: lora, r: on}",
    "finetune: {micro_batch: true}",
    "curvature: {max_examples: false}",
    "ensemble: {temperatures: [1.0, true]}",
    "variational: {ess: true}",
    "preview: {prior_precision: true}",
    "joint: {points: false}",
    "recommend: {floors: [true]}",
]


@pytest.mark.parametrize("part", NUMBERS)
def test_true_and_false_are_no_numbers(part: str) -> None:
    (section, value), *_ = yaml.safe_load(part).items()
    field = f"{section}.{list(value)[-1]}" if isinstance(value, dict) else section
    with pytest.raises(
        RecipeError,
        match=rf"^r.yaml, line 3, {field}: should not be true or false, which yes, no, on and off mean in YAML too",
    ):
        parse(DIGITS + part + "\n", "r.yaml")


def test_true_and_false_of_tasks_and_models_are_all_named_at_once() -> None:
    text = TEXT.replace("  kind:", "  max_length: true\n  kind:").replace(
        "    text: text", "    text: text\n    max_train: yes\n    label: no"
    )
    with pytest.raises(RecipeError) as caught:
        parse(text, "r.yaml")
    lines = [line.split(": should not")[0] for line in str(caught.value).splitlines()]
    assert lines == [
        "r.yaml, line 5, model.max_length",
        "r.yaml, line 12, tasks.movies.max_train",
        "r.yaml, line 13, tasks.movies.label",
    ]


def test_true_and_false_stand_where_they_are_meant() -> None:
    recipe = parse(
        "name: a\nmodel: {source: function, call: 'a:b', arguments: {x: true}}\nfinetune: {method: lora, rslora: true,"
        " train_a: no}"
    )
    assert isinstance(recipe.model, FunctionModel)
    assert recipe.model.arguments == {"x": True}
    assert (recipe.finetune.rslora, recipe.finetune.train_a) == (True, False)
    assert parse(TEXT.replace("    text: text", "    text: text\n    quoted: true")).tasks["movies"].quoted


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("text: [a, b, c]", "tasks.movies.text: 3 text columns are named; name one, or two for pairs"),
        ("text: [a, a]", "tasks.movies.text: 'a' appears twice; name each once"),
        ("text: text\n    labels: [x, y, x]", "tasks.movies.labels: 'x' appears twice; name each once"),
        ("text: text\n    labels: [3, 3]", "tasks.movies.labels: 3 appears twice; name each once"),
        (
            "text: text\n    labels: [x]",
            "tasks.movies.labels: a task needs at least two labels; name all, or leave this out",
        ),
        ("text: text\n    metrics: [f1, f1]", "tasks.movies.metrics: 'f1' appears twice; name each once"),
    ],
)
def test_lists_hold_as_many_as_they_should_and_nothing_twice(line: str, message: str) -> None:
    with pytest.raises(
        RecipeError, match=f"^r.yaml, line {10 if line.startswith('text: [') else 11}, {re.escape(message)}"
    ):
        parse(TEXT.replace("text: text", line), "r.yaml")
