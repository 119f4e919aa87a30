# redis under its own benchmark: 50 clients, every kind of command.
packages="redis-server redis-tools"

versions() {
	redis-server --version
	redis-benchmark --version
}

load() {
	setsid redis-server --bind 127.0.0.1 --port 18079 --save '' --appendonly no --dir "$PWD" >redis.log &
	sleep 0.5
	ready
	while :; do
		redis-benchmark -h 127.0.0.1 -p 18079 -c 50 -n 100000 -q >benchmark.log 2>&1 || sleep 0.2
	done
}
