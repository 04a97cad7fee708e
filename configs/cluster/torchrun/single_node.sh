#!/usr/bin/env bash
# The scheduled cycle on one machine, one process per GPU, started by torchrun.
#
#   configs/cluster/torchrun/single_node.sh                                   the cycle
#   configs/cluster/torchrun/single_node.sh overspill pretrain --state DIR    another command, the same way
#
# Environment, all optional:
#   OVERSPILL_STATE   folder for finished steps and checkpoints          (./state)
#   OVERSPILL_OUT     folder that receives the files                     (./out)
#   PROCESSES         processes: auto (one per GPU), or a number         (auto)
#   MAX_RESTARTS      how often all processes start again when one fails (3); they go on from the state folder
#   SAVE_SECONDS      time between SIGTERM and SIGKILL for a checkpoint  (120)
#   OMP_NUM_THREADS   threads of each process; torchrun sets 1 where several processes leave it unset
#   MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME_FILE, MLFLOW_TRACKING_PASSWORD_FILE: as without torchrun
#
# SIGTERM and SIGUSR1 reach every process, which saves and leaves; torchrun then ends with exit status 1.
set -euo pipefail

if (($# == 0)); then
    set -- overspill run --train --state "${OVERSPILL_STATE:-state}" --out "${OVERSPILL_OUT:-out}" \
        --set tracking.when_away=spool
fi

# torch 2.13 keeps one store for all attempts: the second finds the first's addresses in it and waits for the dead.
# With this, each attempt makes its own store.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE="${TORCH_DISABLE_SHARE_RDZV_TCP_STORE:-1}"

exec torchrun \
    --standalone \
    --nproc-per-node "${PROCESSES:-auto}" \
    --max-restarts "${MAX_RESTARTS:-3}" \
    --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 \
    --shutdown-timeout "${SAVE_SECONDS:-120}" \
    --no-python "$@"
