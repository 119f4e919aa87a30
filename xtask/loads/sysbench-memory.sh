# 4 threads that write memory.
packages="sysbench"

versions() { sysbench --version; }

load() {
	ready
	sysbench memory --threads=4 --time=0 --memory-total-size=0 run >sysbench.log
}
