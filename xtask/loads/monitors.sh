# A server with little to do but to be watched: top, vmstat, watch, a log that is written and followed.
packages="procps"

versions() { top -V; }

load() {
	export TERM=dumb
	top -b -d 0.2 >/dev/null &
	vmstat -n 1 >/dev/null &
	free -s 0.5 >/dev/null &
	(while :; do pgrep -c bash >/dev/null || :; sleep 0.15; done) &
	(while :; do df >/dev/null 2>&1; uptime >/dev/null; sleep 1; done) &
	(while :; do
		echo "$RANDOM request" >>log
		sleep "0.0$((RANDOM % 10))"
	done) &
	sleep 0.2
	tail -F -s 0.1 log 2>/dev/null | grep --line-buffered 1 | while read -r line; do echo "${#line}" >last; done &
	ready
	wait
}
