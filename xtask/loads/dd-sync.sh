# Two synchronous writers beside a process that never sleeps.
packages=""

versions() { dd --version | head -1; }

load() {
	for i in 1 2; do
		(while :; do dd if=/dev/zero of="dd.$i" bs=4k count=20000 oflag=sync status=none; done) &
	done
	bash -c 'while :; do :; done' &
	ready
	wait
}
