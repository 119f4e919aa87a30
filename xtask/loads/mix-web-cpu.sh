# A web server beside processes that never sleep.
# shellcheck disable=SC2034 # run.sh reads it.
together="nginx-ab cpu-4"
