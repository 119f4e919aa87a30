# Five loads at once.
members="nginx-ab redis sysbench-memory dd-sync compile"
# shellcheck disable=SC2086
packages=$(packages_of $members)

# shellcheck disable=SC2086
versions() { versions_of $members; }

load() {
	# shellcheck disable=SC2086
	together $members
	ready
	wait
}
