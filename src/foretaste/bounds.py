"""Upper bounds of what can be asked for.

No honest study comes near them. Beyond them a slip of the pen would cost days, or all memory, before anything fails.
"""

__all__ = [
    "BATCH",
    "EPOCHS",
    "JOINT_RUNS",
    "LARGEST",
    "NAME",
    "POINTS",
    "RANK",
    "ROWS",
    "SEED",
    "STEPS",
    "TOKENS",
    "WORKERS",
]

STEPS = 10**9  # of a training
EPOCHS = 10**6  # of a training
ROWS = 10**12  # of a task's data
BATCH = 10**6  # examples
TOKENS = 10**7  # of a text
RANK = 2**16  # of LoRA factors
POINTS = 100_000  # previews
JOINT_RUNS = 10_000
WORKERS = 1024  # processes
NAME = 200  # characters, so that names of files that hold it are possible
SEED = 2**62  # below this, what is added to a seed stays within 64 bits
LARGEST = 1e30  # of a number that tensors are computed with: its square is still finite in double precision
