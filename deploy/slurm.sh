#!/usr/bin/env bash
#SBATCH --job-name=census-mlflow
#SBATCH --cpus-per-task=8
#SBATCH --mem=8G
#SBATCH --time=02:00:00
#SBATCH --signal=B:TERM@60
#SBATCH --output=%x-%j.log
#
# Run an entry point on a node of a Slurm cluster; docs/remote.md says what must be set.
#
#   sbatch deploy/slurm.sh https://git.example.org/team/census-mlflow main sweep folds=5

set -euo pipefail
: "${3:?expected a Git URL, a branch, tag or commit, and an entry point}"
: "${MLFLOW_TRACKING_URI:?expected the address of a tracking server}"
url=$1 version=$2 entry=$3
shift 3

if ! command -v mlflow > /dev/null; then # once for all jobs of this user
  home=${XDG_CACHE_HOME:-$HOME/.cache}/census-mlflow/venv
  python3.11 -m venv "$home" && "$home/bin/pip" install -q uv==0.13.9 mlflow==3.17.2
  export PATH=$home/bin:$PATH
fi

# SIGTERM to `mlflow run` alone would not reach the script that it started; Ctrl-C reaches both
set -m
mlflow run "$url" --version "$version" --entry-point "$entry" \
  --env-manager "${ENV_MANAGER:-uv}" "${@/#/-P}" &
job=$!
trap 'kill -INT -- "-$job"' TERM INT
ended=0
wait "$job" || ended=$?
while kill -0 -- "-$job" 2> /dev/null; do # a signal interrupts the first wait
  wait "$job" || ended=$?
  sleep 0.2
done
exit "$ended"
