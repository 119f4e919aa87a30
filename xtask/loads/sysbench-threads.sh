# 8 threads that take and yield 8 mutexes.
packages="sysbench"

versions() { sysbench --version; }

load() {
	ready
	sysbench threads --threads=8 --time=0 run >sysbench.log
}
