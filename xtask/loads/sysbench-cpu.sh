# 8 threads that compute primes.
packages="sysbench"

versions() { sysbench --version; }

load() { sysbench cpu --threads=8 --time=0 run >sysbench.log; }
