import math
from collections import Counter

import pytest

from foretaste.sources.texts import TEXT_METRICS, bleu, chrf

WANTED = ["the cat sat on the mat", "a dog ran over the hill today"]
WRITTEN = ["the cat sat on a mat", "a dog ran over the hill"]


def ngrams(words: str | list[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + size]) for start in range(len(words) - size + 1))


def test_bleu_is_the_formula_of_its_paper() -> None:
    """Geometric mean of the clipped n-gram precisions up to 4, times the brevity penalty."""
    shares = []
    for size in range(1, 5):
        pairs = [(ngrams(w.split(), size), ngrams(r.split(), size)) for w, r in zip(WRITTEN, WANTED, strict=True)]
        shares.append(sum((w & r).total() for w, r in pairs) / sum(w.total() for w, _ in pairs))
    lengths = [sum(len(text.split()) for text in texts) for texts in (WRITTEN, WANTED)]
    penalty = min(1.0, math.exp(1 - lengths[1] / lengths[0]))
    assert bleu(WRITTEN, WANTED) == pytest.approx(
        100 * penalty * math.exp(sum(math.log(share) for share in shares) / 4)
    )


def test_chrf_is_the_formula_of_its_paper() -> None:
    """F2 of the mean precision and the mean recall of character n-grams up to 6, blanks left out."""
    precisions, recalls = [], []
    for size in range(1, 7):
        pairs = [
            (ngrams(w.replace(" ", ""), size), ngrams(r.replace(" ", ""), size))
            for w, r in zip(WRITTEN, WANTED, strict=True)
        ]
        matched = sum((w & r).total() for w, r in pairs)
        precisions.append(matched / sum(w.total() for w, _ in pairs))
        recalls.append(matched / sum(r.total() for _, r in pairs))
    precision, recall = sum(precisions) / 6, sum(recalls) / 6
    assert chrf(WRITTEN, WANTED) == pytest.approx(100 * 5 * precision * recall / (4 * precision + recall))


@pytest.mark.parametrize("name", TEXT_METRICS)
def test_more_is_better_up_to_100(name: str) -> None:
    metric = TEXT_METRICS[name]
    assert metric.higher_is_better
    assert metric.compute(WANTED, WANTED) == pytest.approx(100)
    assert metric.compute(["", ""], WANTED) == 0
    assert 0 < metric.compute(WRITTEN, WANTED) < 100


def test_text_that_looks_like_tokens_is_no_reason_to_complain(caplog: pytest.LogCaptureFixture) -> None:
    bleu(["a cat ."] * 200, ["a cat ."] * 200)
    assert caplog.messages == []
