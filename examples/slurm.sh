#!/usr/bin/env bash
#SBATCH --job-name=foretaste
#SBATCH --nodes=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=%x-%j.out

# Usage: sbatch slurm.sh RECIPE [STUDY]. Activate your environment first, or here.
#
# One worker process per GPU shares the work. The study keeps every finished piece and, every snapshot_seconds of the
# recipe, the state of unfinished training: submit the same line again after a time limit, and the job goes on.
set -euo pipefail
recipe="$1"
study="${2:-${recipe%.yaml}.study}"
export HF_HUB_OFFLINE="${HF_HUB_OFFLINE:-1}"  # nodes often have no network: fetch the model before, on a login node

foretaste check "$recipe"
foretaste run "$recipe" --study "$study" --workers "${SLURM_GPUS_ON_NODE:-1}"
foretaste show "$study" --explain
