# 8 threads with timers of their own, 0.7 to 3.85 ms apart, each measuring how late it wakes.
packages="rt-tests"

versions() { dpkg-query -W -f 'rt-tests ${Version}\n' rt-tests; }

load() {
	ready
	cyclictest --quiet --threads=8 --interval=700 --distance=450 --policy=other >timers.log
}
