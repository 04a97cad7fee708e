#!/usr/bin/env bash
# Pretraining, or any overspill command, on several machines: start this script once on each, with the same
# environment. The machines find one another at RDZV_ENDPOINT; they share the state folder (NFS, Lustre, ...).
#
#   RDZV_ENDPOINT=node1:29400 NODES=2 configs/cluster/torchrun/multi_node.sh
#   RDZV_ENDPOINT=node1:29400 NODES=1:4 ... multi_node.sh overspill run --train --state DIR    elastic: 1 to 4 machines
#
# Environment:
#   RDZV_ENDPOINT     host:port of one of the machines; needed, the same everywhere
#   NODES             number of machines, or LEAST:MOST; needed, the same everywhere
#   RDZV_ID           name of this training, where several share an endpoint (overspill)
#   OVERSPILL_STATE   folder for finished steps and checkpoints, seen by all machines (./state)
#   PROCESSES, MAX_RESTARTS, SAVE_SECONDS, OMP_NUM_THREADS, MLFLOW_*: as in single_node.sh
#   JOIN_SECONDS      how long a machine waits for the others before it gives up (600)
#   NCCL_SOCKET_IFNAME, GLOO_SOCKET_IFNAME: the network card, where the wrong one is found
#
# When a process fails or a machine is lost, those that remain meet again (as soon as LEAST are there) and start
# their processes anew, which go on from the state folder; a machine that comes back joins the same way.
set -euo pipefail

: "${RDZV_ENDPOINT:?multi_node.sh needs RDZV_ENDPOINT=host:port, the same on every machine}"
: "${NODES:?multi_node.sh needs NODES, the number of machines (2) or a range (1:4), the same on every machine}"

if (($# == 0)); then
    set -- overspill pretrain --state "${OVERSPILL_STATE:-state}"
fi

# torch 2.13 keeps one store for all attempts: the second finds the first's addresses in it and waits for the dead.
# With this, each attempt makes its own store.
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE="${TORCH_DISABLE_SHARE_RDZV_TCP_STORE:-1}"

exec torchrun \
    --nnodes "$NODES" \
    --rdzv-backend c10d \
    --rdzv-endpoint "$RDZV_ENDPOINT" \
    --rdzv-id "${RDZV_ID:-overspill}" \
    --rdzv-conf "join_timeout=${JOIN_SECONDS:-600}" \
    --nproc-per-node "${PROCESSES:-auto}" \
    --max-restarts "${MAX_RESTARTS:-3}" \
    --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 \
    --shutdown-timeout "${SAVE_SECONDS:-120}" \
    --no-python "$@"
