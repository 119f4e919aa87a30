# redis beside synchronous writers and threads that compute.
# shellcheck disable=SC2034 # run.sh reads it.
together="redis dd-sync sysbench-cpu"
