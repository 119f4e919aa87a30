# 4 processes that never sleep.
packages=""

versions() { bash --version | head -1; }

load() {
	for _ in 1 2 3 4; do
		bash -c 'while :; do :; done' &
	done
	ready
	wait
}
