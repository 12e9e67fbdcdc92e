"""Dates in chats: templates that write the day write one day, in rows and in fingerprints."""

import copy
import datetime
import shutil
from pathlib import Path

import pytest
import transformers

from checkpoints import CHAT_TEMPLATE, Checkpoints, chats, table
from foretaste.errors import DataError
from foretaste.metrics import SEQUENCE_METRICS
from foretaste.sources.chat_dates import dated, own_date, pin_date, writes_date
from foretaste.sources.language import load
from foretaste.sources.pretrained import tokenizer_at
from foretaste.sources.problem import Problem
from foretaste.sources.request import TaskRequest

# As Llama 3's templates do it: a date that is given, today's, or a fixed one.
LLAMA = (
    "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    "{%- set date_string = strftime_now('%d %b %Y') %}{%- else %}{%- set date_string = '05 Dec 2025' %}"
    "{%- endif %}{%- endif %}[today {{ date_string }}]" + CHAT_TEMPLATE
)
FIXED = "{%- if not date_string is defined %}{%- set date_string = '26 Jul 2024' %}{%- endif %}{{ date_string }}"
BARE = "{{ strftime_now('%Y-%m-%d') }}" + CHAT_TEMPLATE
DAY = datetime.date(2026, 1, 31)
ASK = [{"role": "user", "content": "good"}]


@pytest.fixture
def tokenizer(checkpoints: Checkpoints) -> transformers.PreTrainedTokenizerBase:
    return tokenizer_at(str(checkpoints.llama))


@pytest.mark.parametrize(
    ("template", "day", "text"),
    [
        (LLAMA, None, "[today 05 Dec 2025]"),
        (LLAMA, DAY, "[today 31 Jan 2026]"),
        (BARE, None, "2024-07-26"),
        (BARE, DAY, "2026-01-31"),
        (FIXED, None, "26 Jul 2024"),
        (FIXED, DAY, "31 Jan 2026"),
    ],
)
def test_chats_are_of_one_day(
    tokenizer: transformers.PreTrainedTokenizerBase, template: str, day: datetime.date | None, text: str
) -> None:
    tokenizer.chat_template = template
    assert pin_date(tokenizer, day) == (None if template == FIXED and day is None else day or own_date(template))
    for one in (tokenizer, copy.deepcopy(tokenizer)):
        written = one.apply_chat_template(ASK, tokenize=False)
        assert isinstance(written, str)
        assert written.startswith(text)


@pytest.mark.parametrize("start", ["", "\n", "  ", "\n  ", "x"])
@pytest.mark.parametrize("body", ["{% if true %}a{% endif %}", "{%- if true %}a{% endif %}", "{{ 'a' }}"])
@pytest.mark.parametrize("given", [False, True])
def test_a_pinned_template_writes_what_it_wrote(
    tokenizer: transformers.PreTrainedTokenizerBase, start: str, body: str, given: bool
) -> None:
    template = start + body
    texts = [
        tokenizer.apply_chat_template(ASK, tokenize=False, chat_template=one)
        for one in (template, dated(template, DAY, override=given))
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    "form", ["%d %b %Y", "%A, %B %-d, %Y", "%Y-%m-%d", "%F", "%a %e %y %j", "%I:%M:%S %p, %H", "%d%m"]
)
def test_dates_are_written_in_the_template_s_form(tokenizer: transformers.PreTrainedTokenizerBase, form: str) -> None:
    template = "{% set form = '" + form + "' %}{{ strftime_now(form) }}"
    text = tokenizer.apply_chat_template(ASK, tokenize=False, chat_template=dated(template, DAY))
    assert text == DAY.strftime(form)


def test_every_one_of_several_templates_has_the_date(tokenizer: transformers.PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = {"default": CHAT_TEMPLATE, "tool_use": BARE}
    assert pin_date(tokenizer) == datetime.date(2024, 7, 26)
    with_tools = tokenizer.apply_chat_template(ASK, [{"name": "add"}], tokenize=False)
    assert isinstance(with_tools, str)
    assert with_tools.startswith("2024-07-26")
    assert tokenizer.apply_chat_template(ASK, tokenize=False) == "<s>[user]good</s>\n"


def test_the_day_was_today_s_before(tokenizer: transformers.PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = BARE
    today = tokenizer.apply_chat_template(ASK, tokenize=False)
    assert isinstance(today, str)
    assert today.startswith(f"{datetime.datetime.now():%Y-}")


def test_other_templates_are_left_alone(
    tokenizer: transformers.PreTrainedTokenizerBase, checkpoints: Checkpoints
) -> None:
    assert pin_date(tokenizer) is None
    assert tokenizer.chat_template == CHAT_TEMPLATE
    for one in (tokenizer, tokenizer_at(str(checkpoints.gpt2))):
        with pytest.raises(DataError, match="has no chat template that writes a date; remove this"):
            pin_date(one, DAY)


def test_dates_of_templates() -> None:
    assert [writes_date(template) for template in (LLAMA, BARE, FIXED, CHAT_TEMPLATE)] == [True, True, False, False]
    assert own_date('{% set date_string = "some day" %}') == datetime.date(2024, 7, 26)


def loaded(checkpoints: Checkpoints, folder: Path, template: str, day: datetime.date | None = None) -> Problem:
    path = folder / f"llama-{abs(hash((template, day)))}"
    shutil.copytree(checkpoints.llama, path)
    tokenizer = tokenizer_at(str(path))
    tokenizer.chat_template = template
    tokenizer.save_pretrained(path)
    files = [
        str(table(folder / "a.jsonl", chats(3, 0))),
        str(table(folder / "b.jsonl", [{"prompt": "good", "completion": "fine"}])),
    ]
    plans = [
        TaskRequest(name, file, file, (SEQUENCE_METRICS["perplexity"],))
        for name, file in zip(("chat", "pair"), files, strict=True)
    ]
    return load(str(path), "causal-lm", plans, max_length=96, date=day)


def test_the_day_is_in_rows_and_fingerprints_of_chats_alone(checkpoints: Checkpoints, tmp_path: Path) -> None:
    usual, other = loaded(checkpoints, tmp_path, BARE), loaded(checkpoints, tmp_path, BARE, DAY)
    for problem, day in ((usual, "2024-07-26"), (other, "2026-01-31")):
        chat, pair = problem.tasks
        assert problem.view.row(chat, 0).text[0][0].startswith(day)
        assert problem.view.describe(chat)["date"] == day
        assert "date" not in problem.view.describe(pair)
        assert ("date in chats", day) in problem.facts
    (chat, pair), (other_chat, other_pair) = usual.tasks, other.tasks
    assert chat.fingerprint != other_chat.fingerprint
    assert pair.fingerprint == other_pair.fingerprint
    plain = loaded(checkpoints, tmp_path, CHAT_TEMPLATE)
    assert "date in chats" not in dict(plain.facts)
    with pytest.raises(DataError) as caught:
        loaded(checkpoints, tmp_path, CHAT_TEMPLATE, DAY)
    assert caught.value.field == ("model", "date")
