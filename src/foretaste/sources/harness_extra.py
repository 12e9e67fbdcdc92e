"""The optional package of the extra ``harness``, which is imported here alone."""

from foretaste.errors import MissingExtra

try:
    import lm_eval
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
except ImportError as error:  # pragma: no cover - the tests install the extra, and try without it in another process
    raise MissingExtra(
        "metrics such as arc_easy:acc need lm_eval; install it with: pip install 'foretaste[harness]'"
    ) from error

__all__ = ["HFLM", "ConfigurableTask", "TaskManager", "evaluate", "lm_eval"]
