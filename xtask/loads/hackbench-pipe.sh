# 8 groups of 20 senders and 20 receivers, over pipes.
packages="rt-tests"

versions() { dpkg-query -W -f 'rt-tests ${Version}\n' rt-tests; }

load() {
	ready
	while :; do
		hackbench -p -g 8 -l 100000 >hackbench.log
	done
}
