"""Metrics of texts, by sacrebleu from the extra ``text``, which is imported here alone."""

from collections.abc import Mapping, Sequence

from foretaste.errors import MissingExtra
from foretaste.metric_kinds import TextMetric

try:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
except ImportError as error:  # pragma: no cover - the tests install the extra, and try without it in another process
    raise MissingExtra(
        "the metrics bleu and chrf need sacrebleu; install it with: pip install 'foretaste[text]'"
    ) from error

__all__ = ["TEXT_METRICS", "bleu", "chrf"]


def bleu(written: Sequence[str], references: Sequence[str]) -> float:
    """Compute BLEU of a corpus, from 0 to 100, with sacrebleu's defaults (its 13a tokenizer, exponential smoothing).

    References:
        Papineni, Roukos, Ward, Zhu: BLEU: a Method for Automatic Evaluation of Machine Translation, 2002,
        https://aclanthology.org/P02-1040
        Post: A Call for Clarity in Reporting BLEU Scores, 2018, https://aclanthology.org/W18-6319

    >>> round(bleu(["the cat sat on the mat"], ["the cat sat on a mat"]), 1)
    53.7
    """
    return float(BLEU(force=True).corpus_score(list(written), [list(references)]).score)


def chrf(written: Sequence[str], references: Sequence[str]) -> float:
    """Compute chrF2 of a corpus, from 0 to 100: the F score of character n-grams up to 6, with double weight on recall.

    References:
        Popović: chrF: character n-gram F-score for automatic MT evaluation, 2015, https://aclanthology.org/W15-3049

    >>> round(chrf(["the cat"], ["the cat"]), 1)
    100.0
    """
    return float(CHRF().corpus_score(list(written), [list(references)]).score)


TEXT_METRICS: Mapping[str, TextMetric] = {
    metric.name: metric for metric in (TextMetric("bleu", bleu), TextMetric("chrf", chrf))
}
