# Futexes between 4 pairs, 2 timers, 2 pairs of pipes.
packages="stress-ng"

versions() { stress-ng --version; }

load() {
	ready
	stress-ng --quiet --futex 4 --timer 2 --timer-freq 2000 --timerfd 2 --timerfd-freq 500 --temp-path "$PWD"
}
