# 8 threads that compute primes.
packages="sysbench"

versions() { sysbench --version; }

load() {
	ready
	sysbench cpu --threads=8 --time=0 run >sysbench.log
}
