# A web server beside a compile.
# shellcheck disable=SC2034 # run.sh reads it.
together="nginx-ab compile"
