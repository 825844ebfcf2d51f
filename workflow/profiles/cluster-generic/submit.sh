#!/usr/bin/env bash
# Submit a job script and print the job's number; this is Slurm's, see docs/hpc.md for SGE and PBS.
# submit.sh RULE THREADS MEMORY_MB MINUTES GPUS SCRIPT
set -euo pipefail

partition=cpu
[ "$5" = 0 ] || partition=gpu
logs=.snakemake/cluster_logs
mkdir -p "$logs"
# `arielflow recover` knows a run's jobs by this name and the working directory.
exec sbatch --parsable --job-name="arielflow-$1" --partition="$partition" --ntasks=1 \
    --cpus-per-task="$2" --mem="$3" --time="$4" --gres="gpu:$5" --output="$logs/$1-%j.log" "$6"
