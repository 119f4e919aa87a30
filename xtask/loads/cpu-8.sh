# 8 processes that never sleep.
packages=""

versions() { bash --version | head -1; }

load() {
	for _ in 1 2 3 4 5 6 7 8; do
		bash -c 'while :; do :; done' &
	done
	ready
	wait
}
