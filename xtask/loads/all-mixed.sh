# Five loads at once.
# shellcheck disable=SC2034 # run.sh reads it.
together="nginx-ab redis sysbench-memory dd-sync compile"
