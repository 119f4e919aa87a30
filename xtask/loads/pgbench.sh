# PostgreSQL under pgbench: 8 clients, the TPC-B-like transaction, synchronous commits.
packages="postgresql postgresql-contrib"

postgres_bin() { find /usr/lib/postgresql -name initdb -printf '%h\n' | sort -V | tail -1; }

versions() { "$(postgres_bin)/postgres" --version; }

load() {
	bin=$(postgres_bin)
	mkdir -p pg
	chown postgres pg .
	chmod a+rx .
	as() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
	as "$bin/initdb" -D "$PWD/pg/data" -A trust >pg.init.log
	as setsid "$bin/postgres" -D "$PWD/pg/data" -p 18078 -k "$PWD/pg" -h '' >pg.log 2>&1 &
	until as "$bin/pg_isready" -q -h "$PWD/pg" -p 18078; do sleep 0.2; done
	as "$bin/pgbench" -h "$PWD/pg" -p 18078 -i -q -s 10 postgres >pg.load.log 2>&1
	ready
	while :; do
		as "$bin/pgbench" -h "$PWD/pg" -p 18078 -c 8 -j 2 -T 3600 postgres >pgbench.log 2>&1 || sleep 0.5
	done
}
