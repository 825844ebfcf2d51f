#!/usr/bin/env bash
# Print running, success or failed for a job of Slurm, with or without an accounting database.
set -uo pipefail

# A controller that restarts is asked again: a lost answer is no failed job.
for _ in $(seq 30); do
    if state=$(squeue --noheader --states=all --format=%T --jobs="$1" 2>&1); then
        break
    fi
    case $state in
        # Forgotten by the controller: the accounting database remembers, where there is one.
        *"Invalid job id"*)
            state=$(timeout 20 sacct -nX -o State -j "$1" 2>/dev/null | awk 'NR == 1 {print $1}')
            state=${state:-FORGOTTEN}
            break
            ;;
    esac
    state=
    sleep 2
done
case $state in
    COMPLETED) echo success ;;
    "" | PENDING | CONFIGURING | RUNNING | COMPLETING | SUSPENDED | REQUEUED | STAGE_OUT) echo running ;;
    *) echo failed ;;
esac
