# The public names, which `__init__.py` imports when they are first used.
from . import errors
from .errors import BadInput, ForetasteError, RunFailed, Stopped
from .estimate.fisher import fisher
from .estimate.kfac import kfac
from .evaluate import evaluate
from .evaluation import Evaluation, Evaluations, Fidelity
from .loss.bernoulli import Bernoulli
from .loss.cross_entropy import CrossEntropy
from .loss.loss import Loss
from .loss.squared import Squared
from .loss.token_cross_entropy import TokenCrossEntropy
from .merge import Preview, merge
from .method_table import MethodRow, add_method
from .methods.method import Method
from .metric_kinds import Metric, ModelMetric, Predictions, SequenceMetric, TextMetric
from .metrics import metric_named
from .params import parameters_of
from .plan import Recipe
from .posterior.diagonal import Diagonal
from .posterior.gaussian import Gaussian
from .posterior.isotropic import Isotropic
from .posterior.kronecker import Kronecker
from .posterior.lowrank import LowRank
from .posterior.mixture import MixtureSite
from .posterior.precision import Precision
from .posterior.site import GaussianSite, Site
from .report.summary import Summary
from .simplex import lattice
from .sources.loop import capture
from .study.study import Study
from .surface.comparison import Comparison
from .surface.mergeability import Mergeability
from .surface.preference import Floor, Preference
from .surface.recommend import Recommendation
from .surface.searched import Budget, SearchResult
from .surface.table import Headline, Surface
from .task import Rows, Task
from .train.finetune import finetune
from .train.joint import joint
from .train.training import Training
from .weights import TaskWeights, corners, uniform

__version__: str

__all__ = [
    "BadInput",
    "Bernoulli",
    "Budget",
    "Comparison",
    "CrossEntropy",
    "Diagonal",
    "Evaluation",
    "Evaluations",
    "Fidelity",
    "Floor",
    "ForetasteError",
    "Gaussian",
    "GaussianSite",
    "Headline",
    "Isotropic",
    "Kronecker",
    "Loss",
    "LowRank",
    "Mergeability",
    "Method",
    "MethodRow",
    "Metric",
    "MixtureSite",
    "ModelMetric",
    "Precision",
    "Predictions",
    "Preference",
    "Preview",
    "Recipe",
    "Recommendation",
    "Rows",
    "RunFailed",
    "SearchResult",
    "SequenceMetric",
    "Site",
    "Squared",
    "Stopped",
    "Study",
    "Summary",
    "Surface",
    "Task",
    "TaskWeights",
    "TextMetric",
    "TokenCrossEntropy",
    "Training",
    "__version__",
    "add_method",
    "capture",
    "corners",
    "errors",
    "evaluate",
    "finetune",
    "fisher",
    "joint",
    "kfac",
    "lattice",
    "merge",
    "metric_named",
    "parameters_of",
    "uniform",
]
