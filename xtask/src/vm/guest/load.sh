# To be sourced: starts loads, each in a session of its own, as logins have, so that the kernel groups them apart, and in
# a pid namespace of its own, so that nothing of it is left when it is stopped.
start_load() { # NAME
	mkdir -p "/tmp/load/$1"
	setsid env --default-signal=INT,QUIT unshare --pid --fork --mount-proc --kill-child \
		bash /host/loads/run.sh "$1" run "/tmp/load/$1" >"/tmp/load/$1.log" 2>&1 &
	load=$!
	while ! [ -e "/tmp/load/$1/ready" ]; do
		if ! kill -0 $load 2>/dev/null; then
			echo "load $1 has ended:" >&2
			cat "/tmp/load/$1.log" >&2
			exit 2
		fi
		sleep 0.1
	done
}

stop_load() {
	kill -KILL $load
	# Killed: that is no failure of whoever stops it.
	wait $load 2>/dev/null || :
}
