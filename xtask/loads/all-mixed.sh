# Five loads at once.
packages="nginx-light apache2-utils redis-server redis-tools sysbench"
five="nginx-ab redis sysbench-memory dd-sync compile"
loads=$here

versions() {
	for one in $five; do bash "$loads/run.sh" "$one" versions; done
}

load() {
	for one in $five; do
		mkdir "$one"
		chmod a+rwx "$one" .
		bash "$loads/run.sh" "$one" run "$PWD/$one" &
	done
	for one in $five; do
		until [ -e "$one/ready" ]; do sleep 0.1; done
	done
	ready
	wait
}
