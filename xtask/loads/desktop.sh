# A mostly idle machine: periodic sleepers, shell loops that start programs, something like cron, a small burst now and then.
packages=""

versions() { bash --version | head -1; }

load() {
	# Drawing and input at 60 and 125 Hz.
	bash -c 'exec 3<> <(:); while :; do read -rt 0.016 -u 3 || :; done' &
	bash -c 'exec 3<> <(:); while :; do read -rt 0.008 -u 3 || :; done' &
	# Status bars and monitors: one starts a program each time.
	(while :; do date >/dev/null; sleep 0.5; done) &
	(while :; do ps ax >/dev/null; sleep 2; done) &
	(while :; do cat /proc/loadavg /proc/meminfo >/dev/null; sleep 0.1; done) &
	# Log writers and readers over a pipe.
	(while :; do echo "$RANDOM line"; sleep 0.05; done) | grep --line-buffered 7 >/dev/null &
	# A person who types a command.
	(while :; do
		sleep "$((RANDOM % 2)).$((RANDOM % 10))"
		find /usr/share/doc -maxdepth 1 | sort | head -50 | wc -l >/dev/null
	done) &
	# A job each few seconds.
	(while :; do
		sleep 5
		find /usr/bin -type f | head -300 | xargs cat | gzip -1 | wc -c >/dev/null
	done) &
	ready
	wait
}
